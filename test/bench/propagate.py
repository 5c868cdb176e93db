"""A new block on one node until its route is in the kernel of the peer: through the API and confd, beside two
bare BIRDs whose static route is written by hand and configured. The kernel says when: no polling."""

import os
import select
import subprocess
import time

from lab import ZoneSpec, wait_for
from lab.cluster import BUILD, CanalNode, Cluster
from lab.lab import ROOT, Lab

from .birdctl import BirdControl

RUNS = 15


class RouteWatch:
    """`ip monitor route` in a namespace, read as it prints."""

    def __init__(self, node):
        self.process = node.netns.popen(["ip", "monitor", "route"], stdout=subprocess.PIPE)

    def wait(self, text, deadline=20):
        end, seen = time.monotonic() + deadline, b""
        while time.monotonic() < end:
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                seen += os.read(self.process.stdout.fileno(), 65536)
                if any(text.encode() in line and not line.startswith(b"Deleted") for line in seen.split(b"\n")):
                    return time.monotonic()
        raise TimeoutError(f"no route {text} within {deadline} s")

    def close(self):
        self.process.kill()
        self.process.wait()


class ConfdNode(CanalNode):
    def start_canal(self):
        if self.confd is None:
            self.confd = self.lab.daemon(self.netns, f"{self.name}-confd",
                                         [str(BUILD / "canal-confd"), "--templates", str(ROOT / "bird-templates")],
                                         self.environment(), self.dir)
        self.confd.start()
        self.start_bird()


class ConfdCluster(Cluster):
    node_class = ConfdNode

    def start_nodes(self):
        for node in self.nodes.values():
            self.start_node(node)


def with_confd():
    times = []
    with ConfdCluster([ZoneSpec("a", ["a1", "a2"])]) as cluster:
        cluster.start_nodes()
        a1, a2 = cluster.node("a1"), cluster.node("a2")
        for node in (a1, a2):
            wait_for(node.bgp_established, 60, "the session")
        wait_for(lambda: a2.route_to(a1.pod_cidr4), 30, "the first route")
        watch = RouteWatch(a2)
        for number in range(RUNS):
            block = f"10.244.{100 + number}.0/24"
            time.sleep(0.3)
            start = time.monotonic()
            cluster.api.patch("Node", "a1", {"spec": {"podCIDRs": [a1.pod_cidr4, a1.pod_cidr6, block]}})
            times.append((watch.wait(block) - start) * 1000)
        watch.close()
    return times


CONFIG = """
router id {own};
protocol device {{ scan time 60; }}
protocol direct {{ ipv4; interface "eth0"; }}
protocol static blocks {{
  ipv4;
  include "{blocks}";
}}
protocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; scan time 60; }}
protocol bgp peer {{ local {own} as 64512; neighbor {other} as 64512; connect delay time 1;
  ipv4 {{ import all; export where source = RTS_STATIC; }}; }}
"""


def bare():
    times = []
    with Lab([ZoneSpec("a", ["a1", "a2"])]) as lab:
        a1, a2 = lab.node("a1"), lab.node("a2")
        for node, other in ((a1, a2), (a2, a1)):
            blocks = node.run_dir / "blocks.conf"
            blocks.write_text(f"route {node.pod_cidr4} blackhole;\n")
            node.start_bird(CONFIG.format(own=node.ip4, other=other.ip4, blocks=blocks))
        for node in (a1, a2):
            wait_for(node.bgp_established, 60, "the session")
        control = BirdControl(a1.bird_ctl)
        watch = RouteWatch(a2)
        for number in range(RUNS):
            block = f"10.244.{100 + number}.0/24"
            time.sleep(0.3)
            start = time.monotonic()
            (a1.run_dir / "blocks.conf").write_text(f"route {a1.pod_cidr4} blackhole;\nroute {block} blackhole;\n")
            control.command("configure")
            times.append((watch.wait(block) - start) * 1000)
        watch.close()
        control.close()
    return times


def run(report):
    ours = report.figure("propagate-confd", with_confd(), "ms")
    peer = report.figure("propagate-bare-bird", bare(), "ms")
    report.row("new block to the peer's kernel route", ours, "ms", "two bare BIRDs", peer)
    report.row("  Canal's share", ours - peer, "ms", "budget", 10)
