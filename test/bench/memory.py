"""Resident memory of confd and felix with 5,000 nodes, 1,000 policies and 1,000 or 10,000 pods in the API
(other numbers of pods with $BENCH_PODS)."""

import os
import time

from .host import Host, rss_mb, wait_until

NODES = 5000
POLICIES = 1000


def policy(number):
    """Selects the pods of one app and lets in those of another, from every namespace."""
    app = "app-{:04}".format
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": f"policy-{number:04}", "namespace": f"ns-{number % 10:04}"},
            "spec": {"podSelector": {"matchLabels": {"app": app(number % 200)}}, "policyTypes": ["Ingress"],
                     "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": app(number * 7 % 200)}},
                                            "namespaceSelector": {}}],
                                  "ports": [{"port": 8080, "protocol": "TCP"}]}]}}


def measure(report, pods):
    with Host("mem") as host:
        host.api.client.generate("Node", NODES)
        host.api.client.generate("Pod", pods, nodes=NODES)
        for number in range(POLICIES):
            host.api.client.create(policy(number))
        host.own_node()
        felix, confd = host.felix(), host.confd()
        wait_until(lambda: "in sync with the API" in host.log("canal-felix"), 60, "felix's sync")
        wait_until(lambda: (host.dir / "run/bird.conf").exists(), 60, "confd's first configuration")
        time.sleep(6)  # what only the start took is given back by then: this is the steady figure
        ours = [report.figure(f"rss-{name}-{pods}-pods", rss_mb(process), "MB")
                for name, process in (("felix", felix), ("confd", confd))]
        report.row(f"memory, {NODES} nodes, {POLICIES} policies, {pods} pods: felix", ours[0], "MB")
        report.row(f"memory, {NODES} nodes, {POLICIES} policies, {pods} pods: confd", ours[1], "MB")
        report.row(f"memory, {NODES} nodes, {POLICIES} policies, {pods} pods: both", sum(ours), "MB",
                   *(("budget at 10,000 pods", 25) if pods <= 10000 else ("budget at 150,000 pods", 120)))


def run(report):
    for pods in [int(n) for n in os.environ.get("BENCH_PODS", "1000 10000").split()]:
        measure(report, pods)
