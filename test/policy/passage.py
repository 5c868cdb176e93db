"""What becomes of a connection on its way through nodes with host endpoints: which tables a packet meets, what is
remembered of it, and which policies are asked where. A part of the reference: knows what hooks mean, nothing of felix.

    passage = Passage(World(objects), {"n1": [ip4, ip6], "n2": [...]}, pools=["10.244.0.0/16", ...])
    passage.connect(packet(source, destination, "TCP", 80))      -> "open", "arrived", "silent" or "unsettled"

A packet on one node:

    net ──► raw: doNotTrack ──► tracking ──► mangle: preDNAT ─┬─► to the node: its ingress
    pod ──────────────────────►                               └─► forwarded: applyOnForward, pods' own, applyOnForward
    the node itself ──► raw ──► tracking ──► its egress
    pod ──► its node: the pod's egress, then DefaultEndpointToHostAction;  node ──► its pods: nobody is asked
"""

import ipaddress
from collections import namedtuple

from .oracle import EGRESS, FORWARD, INGRESS, NORMAL, PRE_DNAT, UNTRACKED

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FAILSAFE_IN = {(TCP, port) for port in (22, 179, 2379, 2380, 5473, 6443, 6666, 6667)} | {(UDP, 68)}
FAILSAFE_OUT = {(TCP, port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667)} | {(UDP, 53), (UDP, 67)}
OPEN, ARRIVED, SILENT = "open", "arrived", "silent"  # "arrived": without its answer
# A handshake of which tracking saw the beginning and not the middle: closed until the beginning is forgotten.
UNSETTLED = "unsettled"
NET, POD, LOCAL = "net", "pod", "local"
MASQUERADED_PORT = 50000  # some port above 1023

# Of a packet: whether it may be the first of a connection, an answer to one, or belongs to one that is set up.
FIRST, ANSWER, LATER = "first", "answer", "later"
NEW, KNOWN, INVALID, NOT_TRACKED = "new", "known", "invalid", "not tracked"


def _key(pkt):
    return pkt.source, pkt.source_port, pkt.destination, pkt.destination_port, pkt.protocol


def _back(pkt):
    """The packet that answers."""
    icmp = {8: 0, 128: 129}.get(pkt.icmp_type, pkt.icmp_type)
    return pkt._replace(source=pkt.destination, destination=pkt.source, source_port=pkt.destination_port,
                        destination_port=pkt.source_port, icmp_type=icmp)


class _Entry:
    """A tracked connection: its first packet as it came, and what was made of it."""

    def __init__(self, came, left):
        self.came, self.left, self.is_answered = came, left, False


_Seen = namedtuple("_Seen", "pkt enters leaves state")


class _Node:
    """One node: what it lets through and what it remembers."""

    def __init__(self, passage, name):
        self.passage, self.world, self.name = passage, passage.world, name
        self.ips = passage.nodes[name]
        self.host = passage.host_of(name)
        self.has_hosts = any(host.node == name for host in self.world.cluster.hosts.values())
        self.entries = []

    # ---- who is who
    def _pod(self, ip):
        pod = self.world.cluster.pod_of(ip)
        return pod if pod and pod.node == self.name else None

    def _side(self, ip):
        if self._pod(ip):
            return POD
        return LOCAL if ip in self.ips else NET

    def _ask_host(self, direction, use, pkt):
        """True, False; None where no policy of the host's has a say."""
        if self.host is None:
            return None
        decision = self.world.decide_host(self.host, direction, use, pkt)
        return None if decision.reason == "nothing" else decision.is_allowed

    # ---- tracking
    def _track(self, pkt, kind):
        """(state, the packet with its true destination)"""
        for entry in self.entries:
            if _key(pkt) == _key(entry.came):
                # A handshake without its middle: the tracking never saw the answer.
                if kind == LATER and not entry.is_answered:
                    return INVALID, pkt
                return KNOWN, entry.left
            if _key(pkt) == _key(_back(entry.left)):
                entry.is_answered = True
                return KNOWN, pkt._replace(destination=entry.came.source, destination_port=entry.came.source_port)
        return (NEW if kind == FIRST else INVALID), pkt

    # ---- tables
    def _raw(self, pkt, enters, leaves):
        """The untracked policies' word: True, False, None."""
        ends = (pkt.protocol, pkt.destination_port), (pkt.protocol, pkt.source_port)
        if enters == NET:
            is_failsafe = ends[0] in FAILSAFE_IN or ends[1] in FAILSAFE_OUT
            return None if is_failsafe else self._ask_host(INGRESS, UNTRACKED, pkt)
        if enters == LOCAL and leaves == NET:
            is_failsafe = ends[0] in FAILSAFE_OUT or ends[1] in FAILSAFE_IN
            return None if is_failsafe else self._ask_host(EGRESS, UNTRACKED, pkt)
        return None

    def _pre_dnat(self, pkt):
        if (pkt.protocol, pkt.destination_port) in FAILSAFE_IN:
            return None
        return self._ask_host(INGRESS, PRE_DNAT, pkt)

    def _local(self, pkt, enters, leaves, failsafe):
        """To the node or from it, over the network."""
        if (pkt.protocol, pkt.destination_port) in failsafe:
            return True
        return self._ask_host(INGRESS if enters == NET else EGRESS, NORMAL, pkt) is not False

    def _filter(self, seen, is_accepted):
        pkt, enters, leaves, state = seen
        if state == KNOWN:
            return True
        is_pods = POD in (enters, leaves)
        if (enters, leaves) == (LOCAL, POD):
            return True
        if state == INVALID and (self.has_hosts or is_pods):
            return False
        if enters == POD and not self.world.decide(self._pod(pkt.source), EGRESS, pkt).is_allowed:
            return False
        if (enters, leaves) == (POD, LOCAL):
            return self.passage.is_open_to_host
        if LOCAL in (enters, leaves):
            return is_accepted or self._local(pkt, enters, leaves, FAILSAFE_IN if enters == NET else FAILSAFE_OUT)
        if enters == NET and not is_accepted and self._ask_host(INGRESS, FORWARD, pkt) is False:
            return False
        if leaves == POD:
            return self.world.decide(self._pod(pkt.destination), INGRESS, pkt).is_allowed
        return self._ask_host(EGRESS, FORWARD, pkt) is not False

    def _leave(self, seen):
        """Behind all tables: the packet as it goes on, remembered."""
        pkt = seen.pkt
        if seen.state == NEW:
            if (seen.enters, seen.leaves) == (POD, NET) and not self.passage.is_in_pools(pkt.destination):
                port = MASQUERADED_PORT if pkt.protocol not in (ICMP, ICMP6) else 0
                pkt = pkt._replace(source=next(ip for ip in self.ips if ip.version == pkt.source.version),
                                   source_port=port)
            self.entries.append(_Entry(seen.pkt, pkt))
        return pkt

    def send(self, pkt, kind, is_start):
        """The packet as it leaves the node or is taken by it; None when it is dropped."""
        enters = self._side(pkt.source) if is_start else NET
        untracked = self._raw(pkt, enters, self._side(pkt.destination))
        if untracked is False:
            return None
        state, true = (NOT_TRACKED, pkt) if untracked else self._track(pkt, kind)
        before_dnat = None
        if enters == NET and state != KNOWN and not untracked:
            before_dnat = self._pre_dnat(pkt)
            if before_dnat is False:
                return None
        # What raw or mangle accepted needs no word of the host's policies any more.
        seen = _Seen(true if state == KNOWN else pkt, enters, self._side(true.destination), state)
        return self._leave(seen) if self._filter(seen, bool(untracked or before_dnat)) else None


class Passage:
    """Two nodes at most and hosts outside; `to_host`: DefaultEndpointToHostAction."""

    def __init__(self, world, nodes, pools=(), to_host="Drop"):
        self.world = world
        self.nodes = {name: [ipaddress.ip_address(ip) for ip in ips] for name, ips in nodes.items()}
        self.pools = [ipaddress.ip_network(net) for net in pools]
        self.is_open_to_host = to_host in ("Accept", "Return")

    def is_in_pools(self, ip):
        return any(ip.version == net.version and ip in net for net in self.pools)

    def host_of(self, node):
        """The name of the host endpoint of a node's one interface: by its name or address, else that of all."""
        hosts = {name: host for name, host in self.world.cluster.hosts.items() if host.node == node}
        own = [name for name, host in hosts.items() if host.interface == "eth0" or (
            host.interface is None and any(host.covers(ip) for ip in self.nodes[node]))]
        return min(own or [name for name, host in hosts.items() if host.is_any_interface], default=None)

    def node_of(self, ip):
        pod = self.world.cluster.pod_of(ip)
        return pod.node if pod else next((name for name, ips in self.nodes.items() if ip in ips), None)

    def connect(self, first):
        """What a client gets to see whose first packet this is."""
        here, there = self.node_of(first.source), self.node_of(first.destination)
        nodes = [_Node(self, name) for name in dict.fromkeys((here, there)) if name]
        arrived = self._walk(nodes, first, FIRST, here is not None)
        if arrived is None or arrived.destination != first.destination:
            return SILENT
        # To tracking any datagram may be the first.
        kind = FIRST if first.protocol == UDP else ANSWER
        answer = self._walk(nodes[::-1], _back(arrived), kind, there is not None)
        if answer is None or answer.destination != first.source:
            return ARRIVED
        if first.protocol == TCP and self._walk(nodes, first, LATER, here is not None) is None:
            return UNSETTLED
        return OPEN

    @staticmethod
    def _walk(nodes, pkt, kind, starts_on_node):
        for number, node in enumerate(nodes):
            pkt = node.send(pkt, kind, number == 0 and starts_on_node)
            if pkt is None:
                return None
        return pkt
