#!/usr/bin/python3
"""CNI ADD and DEL, one after the other and 30 at once: canal with a running felix beside Debian's ptp with
host-local, in the same namespaces and the same run, in turns. Prints lines `name value unit`.

A call is timed by a small C program (test/tools/cni-bench.c) from the start of the plugin's process to its end,
as a runtime sees it. Canal's ADD includes felix's part: route, settings and anti-spoofing are in the kernel
when it answers. ptp has no agent and no policy, and its IPAM is a second process: it is a yardstick everybody
has, not the same job. Both give one IPv4 address (ptp waits a second and more for duplicate address detection of
IPv6); canal's figures with both families stand alone. ptp's DEL waits for the kernel to remove the link; canal's leaves that to felix.
"""

import hashlib
import json
import statistics
import subprocess
import sys
from pathlib import Path

TEST = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TEST), str(TEST / "functional")]

from cni_plugin import Plugin, one_node  # noqa: E402
from lab import Netns, wait_for  # noqa: E402
from lab.cluster import BUILD  # noqa: E402

PTP = "/usr/lib/cni/ptp"
ALONE = 100
PARALLEL = 30
ROUNDS = 3  # of the parallel part


class Contender:
    """A plugin with its configuration; `clean` says that nothing of a DEL is still under way."""

    def __init__(self, name, path, config, directory, clean):
        self.name = name
        self.path = path
        self.config = directory / f"{name}.json"
        self.config.write_text(json.dumps(config))
        self.clean = clean


class Bench:
    def __init__(self, node, report):
        self.node = node
        self.report = report
        plugin = Plugin(node, "bench")
        ptp_net = {"cniVersion": "1.0.0", "name": "bench-ptp", "type": "ptp", "mtu": 1500,
                   "ipam": {"type": "host-local", "dataDir": str(node.cni_dir), "ranges": [
                       [{"subnet": "10.93.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}
        ipv4 = plugin.config(mtu=1500, ipam={"ranges": [[{"subnet": "10.92.0.0/24"}]]})
        clean = lambda: not plugin.has_residue()  # noqa: E731
        self.canal = Contender("canal", str(BUILD / "canal"), ipv4, node.dir, clean)
        self.dual = Contender("canal-dual", str(BUILD / "canal"), plugin.config(mtu=1500), node.dir, clean)
        self.ptp = Contender("ptp", PTP, ptp_net, node.dir, self.no_links)
        self.netns = [Netns(f"{node.lab.tag}-b{i}") for i in range(ALONE)]
        node.lab.add_namespaces(self.netns)

    def no_links(self):
        links = json.loads(self.node.netns.run(["ip", "-j", "link", "show", "type", "veth"],
                                               stderr=subprocess.DEVNULL) or "[]")
        return not [link for link in links if link["ifname"].startswith(("veth", "cali"))]

    def call(self, contender, command, count, parallel):
        """(times in ms, wall clock in ms)"""
        jobs = "".join(f"{hashlib.sha256(netns.name.encode()).hexdigest()} {netns.path} pod-{i}\n"
                       for i, netns in enumerate(self.netns[:count]))
        out = self.node.netns.run([str(BUILD / "tools/cni-bench"), contender.path, command,
                                   str(contender.config), str(parallel)], input=jobs, timeout=120)
        lines = out.split("\n")
        times = [int(line) / 1000 for line in lines if line.isdigit()]
        wall = next(int(line.split()[1]) / 1000 for line in lines if line.startswith("wall"))
        assert len(times) == count, out
        return times, wall

    def add_and_delete(self, contender, count, parallel):
        added = self.call(contender, "ADD", count, parallel)
        deleted = self.call(contender, "DEL", count, parallel)
        wait_for(contender.clean, 60, f"{contender.name}: everything is deleted")
        return added, deleted

    def compare(self, title, count, parallel, rounds):
        found = {}
        for _ in range(rounds):
            for contender in (self.canal, self.ptp):
                added, deleted = self.add_and_delete(contender, count, parallel)
                for command, (times, wall) in (("add", added), ("del", deleted)):
                    kept = found.setdefault((contender.name, command), ([], []))
                    kept[0].extend(times)
                    kept[1].append(wall)
        for command in ("add", "del"):
            figures = {}
            for name in ("canal", "ptp"):
                times, walls = found[name, command]
                figures[name] = {"p50": statistics.median(times), "p99": percentile(times, 99),
                                 "wall": statistics.median(walls)}
                for key, value in figures[name].items():
                    self.report.figure(f"cni_{command}_{title}_{name}_{key}", value, "ms")
            for key in ("p50", "p99", "wall"):
                self.report.row(f"CNI {command.upper()}, {title}: {key}", figures["canal"][key], "ms",
                                "ptp + host-local", figures["ptp"][key])

    def both_families(self):
        (added, _), (deleted, _) = self.add_and_delete(self.dual, ALONE, 1)
        for command, times in (("add", added), ("del", deleted)):
            for key, value in (("p50", statistics.median(times)), ("p99", percentile(times, 99))):
                self.report.figure(f"cni_{command}_alone_canal-dual_{key}", value, "ms")
                self.report.row(f"CNI {command.upper()}, alone, both families: {key}", value, "ms")

    def start_cost(self):
        """A process that only says its version: what no plugin can go below."""
        figures = {}
        for contender in (self.canal, self.ptp):
            times, _ = self.call(contender, "VERSION", ALONE, 1)
            figures[contender.name] = statistics.median(times)
            self.report.figure(f"cni_version_{contender.name}_p50", figures[contender.name], "ms")
        self.report.row("CNI VERSION (start of the process): p50", figures["canal"], "ms",
                        "ptp", figures["ptp"])


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(len(ordered) * percent / 100))]


def run(report):
    with one_node() as cluster:
        cluster.start_nodes()
        bench = Bench(cluster.node("a1"), report)
        bench.add_and_delete(bench.canal, 5, 1)  # caches, and the tables of the first pod
        bench.add_and_delete(bench.ptp, 5, 1)
        bench.start_cost()
        bench.compare("alone", ALONE, 1, 1)
        bench.both_families()
        bench.compare(f"{PARALLEL}-parallel", PARALLEL, PARALLEL, ROUNDS)


class Printer:
    """Stands in for the report of `make bench`."""

    def figure(self, name, value, unit):
        print(f"{name} {value:.3f} {unit}", flush=True)
        return value

    def row(self, what, ours, unit, peer_name="", peer=None):
        beside = f"; {peer_name} {peer:.3f} {unit}; ratio {ours / peer:.2f}" if peer else ""
        print(f"# {what}: {ours:.3f} {unit}{beside}", flush=True)


if __name__ == "__main__":
    subprocess.run(["make", "-s", "-C", str(TEST.parent), "all"], check=True)
    run(Printer())
