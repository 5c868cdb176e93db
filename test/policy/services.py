"""Services in front of pods: DNAT on every node made with the test's own rules, a stream of packets through kube-proxy while
it changes, and open connections through it."""

import time

from lab import Stream, wait_for

from .flows import assert_stopped, assert_untouched
from .kube_proxy import Service
from .objects import ingress, labels, network_policy, port
from .prober import FAMILIES, PROTOCOLS
from .world import World


class ServiceRules:
    """DNAT of virtual addresses to pods, in chains of this test's own; taken away by close()."""

    CHAIN = "TEST-SERVICES"

    def __init__(self, world: World, nodes=None):
        self.nodes = list(nodes or world.nodes.values())
        self.world = world
        for node in self.nodes:
            for family in (4, 6):
                self._restore(node, family, [f":{self.CHAIN} - [0:0]", f"-I PREROUTING -j {self.CHAIN}",
                                             f"-I OUTPUT -j {self.CHAIN}"])

    def _restore(self, node, family, lines, table="nat"):
        tool = "iptables" if family == 4 else "ip6tables"
        node.netns.run([f"{tool}-{self.world.backend}-restore", "--noflush", "-w", "10"],
                       input="\n".join([f"*{table}", *lines, "COMMIT", ""]))

    def add(self, address, port, target, target_port, protocol="tcp", source=None, masquerade=False):
        """`address` None: any address of the node (a node port). `target`: an address."""
        family = 6 if ":" in target else 4
        where = f"-d {address}" if address else "-m addrtype --dst-type LOCAL"
        to = f"[{target}]:{target_port}" if family == 6 else f"{target}:{target_port}"
        for node in self.nodes:
            lines = [f"-A {self.CHAIN} {where} {f'-s {source}' if source else ''} -p {protocol} --dport {port} "
                     f"-j DNAT --to-destination {to}"]
            if masquerade:
                lines.append(f"-A POSTROUTING -m conntrack --ctstate DNAT --ctorigdstport {port} -p {protocol} "
                             f"-d {target} -j MASQUERADE")
            self._restore(node, family, lines)

    def close(self):
        for node in self.nodes:
            for family, tool in ((4, "iptables"), (6, "ip6tables")):
                text = node.netns.run([f"{tool}-{self.world.backend}-save", "-t", "nat"])
                extra = [line.replace("-A", "-D", 1) for line in text.splitlines()
                         if line.startswith("-A POSTROUTING") and "--ctorigdstport" in line]
                self._restore(node, family, [*extra, f"-D PREROUTING -j {self.CHAIN}", f"-D OUTPUT -j {self.CHAIN}",
                                             f"-F {self.CHAIN}", f"-X {self.CHAIN}"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def forward_rules(world, node="n1", family=4):
    """The rules of FORWARD."""
    return [line for line in world.node(node).tables(family) if line.startswith("-A FORWARD ")]


def wait_on_top(world, deadline=10):
    """Until felix is ahead of whoever inserted rules. Till then what they accept is accepted, kube-proxy for one every packet
    of an open connection."""
    for node in world.nodes:
        for family in FAMILIES:
            wait_for(lambda n=node, f=family: "-j cali-FORWARD" in (forward_rules(world, n, f) or [""])[0], deadline,
                     lambda n=node, f=family: f"our hook first: {forward_rules(world, n, f)}")


def behind(key, ips, ports, pod_port=None):
    """The pod behind a service, as World.check() wants it. `ips`: {family: address}; without `pod_port` every port is the
    pod's, too."""
    return {(address, number): (key, pod_port or number) for address in ips.values() for number in ports}


class ServiceStream:
    """UDP packets to a service's address in front of one pod, of clients that are denied and of others that are allowed.
    Every flow has a port of its own, `services` are what kube-proxy needs to know."""

    def __init__(self, world, ips, key, denied, allowed, rate=100):
        pod = world.pod(key)
        self.denied = {f"{name} IPv{f}" for name in denied for f in FAMILIES}
        self.stream = Stream({f"{name} IPv{f}": (world.pod(name).netns, pod.netns, world.ip(key, f))
                              for name in (*denied, *allowed) for f in FAMILIES}, rate=rate)
        self.services = []
        for flow in self.stream.flows:
            number, family = flow.target[1], int(flow.name[-1])
            flow.target = (ips[family], number)
            self.services.append(Service(f"s{number}", ips, {family: [world.ip(key, family)]}, port=number))

    def passes(self):
        """Every allowed flow does, from now on."""
        before = {flow.name: len(flow.seen) for flow in self.stream.flows}
        wait_for(lambda: all(len(flow.seen) > before[flow.name] for flow in self.stream.flows
                             if flow.name not in self.denied), 20, "the allowed flows")

    def switch(self, modes, check):
        """From each of `modes` to the next one: its open() comes before the last one's close()."""
        last = modes[0]
        last.open()  # before the first packet: what is known without translation stays so
        with self.stream:
            for mode in modes:
                if mode is not last:
                    mode.open()
                    last.close()
                self.passes()
                check()
                last = mode
            last.close()
            done = self.stream.stop(drain=0.3)
        for flow in done:
            if flow.name in self.denied:
                assert not flow.seen, f"{flow.name}: {len(flow.seen)} of {flow.sent} denied packets passed"


GONE, KEPT = (7001, 7003), (7002, 7004)  # one for each client


def assert_revoked(world, flows, ips, key, within=1.0):
    """Connections through a service's address, which policy for what is behind it takes away, end within that time in both
    directions; those to other ports go on. kube-proxy knows the ports GONE and KEPT."""
    def opened(numbers):
        return [flows.open(protocol, world.pod(client), world.pod(key), number, family, via=(ips[family], number))
                for client, number in zip(("y/b", "y/c"), numbers) for protocol in PROTOCOLS for family in FAMILIES]

    gone, kept = opened(GONE), opened(KEPT)
    flows.wait_both_ways()
    moment = time.monotonic()
    world.apply(network_policy("x", "cut", labels(pod=key[-1]), [
        ingress(ports=[port(number, name.upper()) for number in KEPT for name in PROTOCOLS])]))
    assert_stopped(gone, moment, within)
    assert_untouched(kept, moment)
