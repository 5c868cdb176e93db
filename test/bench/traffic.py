"""Throughput and new connections between two pods of one node, by number of policies that apply to them and of pods
on the node, beside the same node without any rule (iptables flushed, felix stopped), and with one rule that makes the
kernel track connections and one of NAT, as every node with kube-proxy has.

iperf3 for throughput (one stream, loopback-fast veths: the processor is the limit), net-rate for connections. BENCH_TRAFFIC
= "policies/pods ..." says which sizes.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lab import ZoneSpec, wait_for
from lab.cluster import BUILD
from lab.netns import ip_batch
from lab.pod import ifname_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "functional"))
from felix_nodes import FelixCluster  # noqa: E402

SECONDS = 3
RUNS = 3
PORT = 5001
NETPOL = "networking.k8s.io/v1"


def policy(i):
    """Lets in ports nobody uses; the last lets in what is measured."""
    port = PORT if i is None else 10000 + i
    return {"apiVersion": NETPOL, "kind": "NetworkPolicy",
            "metadata": {"namespace": "default", "name": "zz-last" if i is None else f"policy-{i:04d}"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
                     "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": port}, {"port": 5201}] if i is None
                                  else [{"port": port}]}],
                     "egress": [{"to": [{"podSelector": {}}], "ports": [{"port": port}, {"port": 5201}] if i is None
                                 else [{"port": port}]}]}}


def add_idle_pods(node, n):
    """Pods felix knows by their objects and links; nobody is behind them."""
    names = [f"idle-{i}" for i in range(n)]
    links = [ifname_of("default", name) for name in names]
    ip_batch([f"netns add {node.netns.name}-idle"])
    node.netns.ip(*[f"link add {link} type veth peer name p{i} netns {node.netns.name}-idle"
                    for i, link in enumerate(links)], *[f"link set {link} up" for link in links])
    ip_batch([f"link set p{i} up" for i in range(n)], f"{node.netns.name}-idle")
    node.lab.api.client.load([{
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "labels": {"app": name}},
        "spec": {"nodeName": node.name, "containers": [{"name": "main", "image": "x"}]},
        "status": {"phase": "Running", "podIP": f"10.244.200.{i + 1}" if i < 250 else f"10.244.201.{i - 249}"}}
        for i, name in enumerate(names)])


class Pair:
    """Two wired pods, servers in the second."""

    def __init__(self, node):
        self.one, self.two = node.add_felix_pod("one", 5), node.add_felix_pod("two", 6)
        for pod in (self.one, self.two):
            node.lab.api.patch_status("Pod", pod.name, {"phase": "Running", "podIP": pod.ips[0]}, "default")
        self.servers = [self.two.netns.popen([str(BUILD / "tools/net-rate"), "serve", str(PORT)],
                                             stdout=subprocess.DEVNULL),
                        self.two.netns.popen(["iperf3", "-s"], stdout=subprocess.DEVNULL)]

    def stop(self):
        for server in self.servers:
            server.kill()
            server.wait()

    def connections(self):
        return [float(self.one.netns.run([str(BUILD / "tools/net-rate"), "connect", self.two.ips[0], str(PORT),
                                          str(SECONDS * 1000)])) for _ in range(RUNS)]

    def gbit(self):
        results = []
        for _ in range(RUNS):
            out = self.one.netns.run(["iperf3", "-c", self.two.ips[0], "-t", str(SECONDS), "-J"], timeout=60)
            results.append(json.loads(out)["end"]["sum_received"]["bits_per_second"] / 1e9)
        return results


def figures(report, key, pair):
    return {"connections": report.figure(f"traffic-connections-{key}", pair.connections(), "1/s"),
            "throughput": report.figure(f"traffic-throughput-{key}", pair.gbit(), "Gbit/s")}


def measure_bare(report, backend, node, pair):
    """Felix killed, all rules gone; then with the two that every node of Kubernetes has."""
    node.felix.kill9()
    for family in ("iptables", "ip6tables"):
        for table in ("raw", "mangle", "nat", "filter"):
            node.netns.run([f"{family}-{backend}", "-t", table, "-F"])
            node.netns.run([f"{family}-{backend}", "-t", table, "-X"])
    none = figures(report, f"{backend}-no-rules", pair)
    tool = f"iptables-{backend}"
    node.netns.run([tool, "-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"])
    node.netns.run([tool, "-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE"])
    return none, figures(report, f"{backend}-tracked", pair)


def measure(report, backend, n_policies, n_pods, bare):
    with FelixCluster([ZoneSpec("a", ["a1"])], backend=backend) as cluster:
        cluster.start_nodes()
        node = cluster.node("a1")
        add_idle_pods(node, n_pods - 2)
        pair = Pair(node)
        try:
            if n_policies:
                cluster.api.client.load([policy(i) for i in range(n_policies - 1)] + [policy(None)])
            wait_for(lambda: node.felix_ready() and (not n_policies or any(
                "zz-last" in rule for rule in node.own_rules())), 120, "the rules")
            wait_for(lambda: node.metric("felix_active_local_endpoints") == n_pods, 60, "all pods")
            time.sleep(1)  # the last commit
            ours = figures(report, f"{backend}-{n_policies}-policies-{n_pods}-pods", pair)
            bare = bare or measure_bare(report, backend, node, pair)
        finally:
            pair.stop()
            ip_batch([f"netns del {node.netns.name}-idle"])
    for what, unit in (("connections", "1/s"), ("throughput", "Gbit/s")):
        label = f"{what}, {backend}, {n_policies} policies, {n_pods} pods"
        report.row(label, ours[what], unit, "no rules", bare[0][what])
        report.row("  beside tracking alone", ours[what], unit, "conntrack, NAT", bare[1][what])
    return bare


def run(report):
    sizes = os.environ.get("BENCH_TRAFFIC", "0/2 0/110 0/500 100/110 1000/110 1000/500").split()
    for backend in ("nft", "legacy"):
        bare = None
        for size in sizes:
            n_policies, n_pods = map(int, size.split("/"))
            bare = measure(report, backend, n_policies, n_pods, bare)
