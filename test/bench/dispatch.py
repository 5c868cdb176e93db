"""What a packet of a new connection pays to find its pod's chain, by layout of dispatch (felix/rules/dispatch.h).

Three namespaces, a - router - b; the router has rules for N pods in each layout, the last of which is b's, and two
routes through dispatch as a packet between two local pods has. The receiver never answers, so every packet counts as
new. Felix is not involved: layouts it does not use are measured as well.
"""

import hashlib
import os
import subprocess

from lab.cluster import BUILD
from lab.netns import Netns, ip_batch

PACKETS = 60000
RUNS = 5
PORT = 5000
HEX = "0123456789abcdef"


def ifnames(n):
    return ["cali" + hashlib.sha1(f"ns.pod-{i}".encode()).hexdigest()[:11] for i in range(n)]


class Chains:
    """Collects one table and writes it as iptables-restore reads it."""

    def __init__(self):
        self.rules, self.order = {}, []

    def add(self, chain, rule):
        if chain not in self.rules:
            self.rules[chain] = []
            self.order.append(chain)
        self.rules[chain].append(rule)

    def text(self):
        lines = ["*filter"] + [f":{chain} - [0:0]" for chain in self.order if chain != "FORWARD"]
        lines += [f"-A {chain} {rule}" for chain in self.order for rule in self.rules[chain]]
        return "\n".join(lines + ["COMMIT", ""])


def leaf(chains, side, name):
    chain = f"cali-{'f' if side == 'i' else 't'}w-{name}"
    chains.add(chain, "-j RETURN")
    return chain


def linear(chains, side, names):
    root = f"dispatch-{side}"
    for name in names:
        chains.add(root, f"-{side} {name} -g {leaf(chains, side, name)}")
    chains.add(root, "-j DROP")
    return root


def tree(levels):
    def build(chains, side, names):
        def below(prefix, level):
            chain = f"dispatch-{side}-{prefix}"
            mine = [name for name in names if name[4:].startswith(prefix)]
            if level == levels:
                for name in mine:
                    chains.add(chain, f"-{side} {name} -g {leaf(chains, side, name)}")
            else:
                for digit in HEX:
                    if any(name[4:].startswith(prefix + digit) for name in mine):
                        chains.add(chain, f"-{side} cali{prefix}{digit}+ -g {below(prefix + digit, level + 1)}")
            chains.add(chain, "-j DROP")
            return chain
        return below("", 0)
    return build


def by_set(n_lists):
    """One set of interfaces for each distinct list of policies: the set says which list is the packet's."""
    def build(chains, side, names):
        root = f"dispatch-{side}"
        for i in range(n_lists):
            chains.add(f"list-{side}-{i}", "-j RETURN")
            chains.add(root, f"-m set --match-set bench{i} {'src,src' if side == 'i' else 'dst,dst'} "
                             f"-g list-{side}-{i}")
        chains.add(root, "-j DROP")
        return root
    build.n_lists = n_lists
    return build


LAYOUTS = {"linear": linear, "tree of one level": tree(1), "tree of two levels (ours)": tree(2),
           "tree of three levels": tree(3), "a set for each of 10 lists": by_set(10),
           "a set for each of 100 lists": by_set(100)}


class Path:
    """The three namespaces."""

    def __init__(self, names):
        tag = f"bench-dispatch-{os.getpid()}"
        self.a, self.r, self.b = (Netns(f"{tag}-{x}") for x in "arb")
        self.in_name, self.out_name = names[-2], names[-1]

    def __enter__(self):
        ip_batch([f"netns add {x.name}" for x in (self.a, self.r, self.b)])
        for peer, name, net in ((self.a, self.in_name, "10.1.0"), (self.b, self.out_name, "10.2.0")):
            peer.ip("link set lo up")
            self.r.ip(f"link add {name} type veth peer name eth0 netns {peer.name}", f"link set {name} up",
                      f"address add {net}.1/24 dev {name}")
            peer.ip("link set eth0 up", f"address add {net}.2/24 dev eth0", f"route add default via {net}.1")
        self.r.sysctl({"net/ipv4/ip_forward": 1})
        self.server = self.b.popen([str(BUILD / "tools/net-rate"), "serve", str(PORT)],
                                   stdout=subprocess.PIPE, text=True)
        self.server.stdout.readline()
        return self

    def __exit__(self, *_):
        self.server.kill()
        self.server.wait()
        ip_batch([f"netns del {x.name}" for x in (self.a, self.r, self.b)])

    def packet_ns(self):
        return float(self.a.run([str(BUILD / "tools/net-rate"), "send", "10.2.0.2", str(PORT), str(PACKETS)]))


def make_sets(path, names, n_lists):
    lines = []
    for i in range(n_lists):
        lines.append(f"create bench{i} hash:net,iface")
    for k, name in enumerate(names):
        # b's pod is in the last list, as b's rule is the last one elsewhere
        lines.append(f"add bench{k % n_lists if name != names[-1] else n_lists - 1} 10.9.{k // 250}.{k % 250 + 1},{name}")
    lines.append(f"add bench{n_lists - 1} 10.2.0.2,{names[-1]}")
    lines.append(f"add bench{n_lists - 1} 10.1.0.2,{names[-2]}")
    path.r.run(["ipset", "restore"], input="\n".join(lines) + "\n")


def measure(backend, n, build):
    names = sorted(ifnames(n))  # b's is looked at last at every level: the worst case of each layout
    with Path(names) as path:
        if build is not None:
            chains = Chains()
            if hasattr(build, "n_lists"):
                make_sets(path, names, build.n_lists)
            for side in "io":
                chains.add("FORWARD", f"-{side} cali+ -j {build(chains, side, names)}")
            path.r.run([f"iptables-{backend}-restore", "--noflush"], input=chains.text())
        path.packet_ns()
        return [path.packet_ns() for _ in range(RUNS)]


def run(report):
    for backend in ("nft", "legacy"):
        for n in [int(x) for x in os.environ.get("BENCH_DISPATCH", "110 1000").split()]:
            bare = report.figure(f"dispatch-{backend}-{n}-none", measure(backend, n, None), "ns")
            for name, build in LAYOUTS.items():
                ours = report.figure(f"dispatch-{backend}-{n}-{name.replace(' ', '-')}",
                                     measure(backend, n, build), "ns")
                report.row(f"packet, {backend}, {n} pods, {name}", ours, "ns", "no rules", bare)
