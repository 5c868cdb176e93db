"""Nodes and a host outside as ends of the random packets: what they ask and are asked, and what makes a pod's address
mean something on the way to the host outside, which the lab's core does not forward to by itself."""

from lab.topology import OUTSIDE4, OUTSIDE6

from .prober import FAMILIES, Place, Probe

OUTSIDE = "outside"
# Ports that failsafes keep open in at least one direction, and one that they do not.
SPECIAL = (("tcp", 22), ("tcp", 179), ("udp", 53), ("tcp", 8080))


class Hosts:
    """Puts them into a policy World (world.py) until close()."""

    def __init__(self, world):
        self.world = world
        self.nodes = {node.name: node for node in world.nodes.values()}
        self.outside = Place(OUTSIDE, world.outside, {4: OUTSIDE4, 6: OUTSIDE6})
        for thing in (*self.nodes.values(), self.outside):
            world.prober.add(thing, more_ports=dict.fromkeys(port for _, port in SPECIAL))
        self._reach_pods("add")
        world.filter.add(self._pod_ips())

    def _pod_ips(self):
        return [ip for pod in self.world.pods() for ip in pod.ips]

    def _reach_pods(self, verb):
        for node in self.nodes.values():
            zone = node.zone
            zone.netns.ip(f"route {verb} {node.pod_cidr4} via {node.ip4}", f"route {verb} {node.pod_cidr6} via {node.ip6}")
            self.world.core.ip(f"route {verb} {node.pod_cidr4} via {zone.uplink4}",
                               f"route {verb} {node.pod_cidr6} via {zone.uplink6}")

    @property
    def names(self):
        return [*self.nodes, OUTSIDE]

    @property
    def addresses(self):
        """{node: its addresses}"""
        return {name: [node.ip4, node.ip6] for name, node in self.nodes.items()}

    def probes(self, pods):
        """Hosts and pods, hosts and hosts, both ways; the special ports between hosts."""
        prober, names = self.world.prober, self.names
        found = prober.pairs(names, [*pods, *names]) + prober.pairs(pods, names)
        return found + [Probe(a, b, protocol, port, family) for a in names for b in names if a != b
                        for protocol, port in SPECIAL for family in FAMILIES]

    def close(self):
        for name in self.names:
            self.world.prober.remove(name)
        self._reach_pods("del")
        self.world.filter.remove(self._pod_ips())
