"""Resident memory of confd and felix with 5,000 nodes and 1,000 or 10,000 pods in the API (more with
$BENCH_PODS)."""

import os
import time

from .host import Host, rss_mb, wait_until

NODES = 5000


def measure(report, pods):
    with Host("mem") as host:
        host.api.client.generate("Node", NODES)
        host.api.client.generate("Pod", pods, nodes=NODES)
        host.own_node()
        felix, confd = host.felix(), host.confd()
        wait_until(lambda: "in sync with the API" in host.log("canal-felix"), 60, "felix's sync")
        wait_until(lambda: (host.dir / "run/bird.conf").exists(), 60, "confd's first configuration")
        time.sleep(2)  # what start-up needed is given back or not: this is the steady figure
        ours = [report.figure(f"rss-{name}-{pods}-pods", rss_mb(process), "MB")
                for name, process in (("felix", felix), ("confd", confd))]
        report.row(f"memory, {NODES} nodes, {pods} pods: felix", ours[0], "MB")
        report.row(f"memory, {NODES} nodes, {pods} pods: confd", ours[1], "MB")
        report.row(f"memory, {NODES} nodes, {pods} pods: both", sum(ours), "MB", "budget at 10,000 pods", 25)


def run(report):
    for pods in [int(n) for n in os.environ.get("BENCH_PODS", "1000 10000").split()]:
        measure(report, pods)
