"""Floating addresses: pods that are reached under addresses besides their own. Item 36 of docs/PARITY.md.

They lie in the pods' pool and in no node's block. Where there is no BGP the tests lead them to n1 with routes of their own."""

import contextlib
import json
import select
import socket
import subprocess
import time

import pytest

from lab import Capture, ZoneSpec, probe, wait_for
from lab.cluster import Cluster
from lab.topology import OUTSIDE4, OUTSIDE6
from policy.flows import OpenFlows, assert_stopped, assert_untouched
from policy.objects import felix_configuration, global_policy, host_endpoint, ingress, labels, network_policy, peer, rule
from policy.prober import AF, FAMILIES, MAGIC, Place, Probe
from policy.tables import Table

NETS = {4: "10.244.200.0/24", 6: "fd00:244:0:200::/64"}
FIRST = {4: "10.244.200.1", 6: "fd00:244:0:200::1"}
SECOND = {4: "10.244.200.2", 6: "fd00:244:0:200::2"}
BOTH = [FIRST[4], FIRST[6]]
ANNOTATION = "cni.projectcalico.org/floatingIPs"
ENABLED = felix_configuration(floatingIPs="Enabled")
A = labels(pod="a")


def lead_to_n1(world, verb):
    """Routes to the floating addresses, as BGP would make them: n2, the zone's router and the core."""
    n1, n2, zone = world.node("n1"), world.node("n2"), world.zones["a"]
    for netns, via in ((n2.netns, (n1.ip4, n1.ip6)), (world.core, (zone.uplink4, zone.uplink6))):
        netns.ip(*(f"route {verb} {net} via {gateway}" for net, gateway in zip(NETS.values(), via)))
    lead_router_to_n1(world, verb)
    known = [*FIRST.values(), *SECOND.values()]
    (world.filter.add if verb == "add" else world.filter.remove)(known)


def lead_router_to_n1(world, verb):
    """With it, what no pod has is dropped by n1, and does not go round between the two."""
    n1, zone = world.node("n1"), world.zones["a"]
    zone.netns.ip(*(f"route {verb} {net} via {ip}" for net, ip in zip(NETS.values(), (n1.ip4, n1.ip6))))
    n1.netns.ip(*(f"route {verb} blackhole {net} metric 9000" for net in NETS.values()))


class Floating:
    """The world with pods that ask, until the test ends."""

    def __init__(self, world):
        self.world = world
        self.asking = set()

    def ask(self, key, addresses):
        """None: the pod asks no more."""
        namespace, name = key.split("/")
        text = addresses if addresses is None or isinstance(addresses, str) else json.dumps(addresses)
        self.world.client.patch("Pod", name, {"metadata": {"annotations": {ANNOTATION: text}}}, namespace)
        (self.asking.discard if addresses is None else self.asking.add)(key)
        self.world.settle()

    def probes(self, sources, protocols=("tcp", "udp", "sctp"), addresses=None):
        return [Probe(source, (addresses or FIRST)[family], protocol, 80, family)
                for source in sources for protocol in protocols for family in FAMILIES]

    def check(self, table, sources, pod, **kwargs):
        """Packets of these pass as the table has it, and `pod` answers."""
        probes = self.probes(sources, **kwargs)
        result = self.world.prober.check(table, probes)
        assert {result.who.get(p) for p in result.open() if p.protocol != "sctp"} <= {pod}
        return result

    def explained(self, table, sources, pod):
        """The nodes of the pod and of a pod that calls say the same as the table; the floating address is named."""
        places, nodes = self.world.prober.places, {p.key: p.node for p in self.world.pods()}
        for probe_ in self.probes(sources, ("tcp", "udp")):
            answers = [node.felix_request({
                "op": "explain", "from": {"ip": places[probe_.source].ips[probe_.family]}, "to": {"ip": probe_.target},
                "protocol": probe_.protocol, "port": probe_.port, "source_port": 40000})
                for node in {nodes[pod], nodes.get(probe_.source, nodes[pod])}]
            assert ("denied" not in [a["verdict"] for a in answers]) == table.expects(probe_), (str(probe_), answers)
            assert all(a["to"]["pod"] == pod and a["floating"] == probe_.target for a in answers), answers

    def has(self, pod, sources=("y/b",), addresses=None):
        """The addresses lead there, and nowhere when there is no such pod."""
        if pod is None:
            self.world.prober.check(Table(False), self.probes(sources, addresses=addresses))
        else:
            self.check(Table(), sources, pod, addresses=addresses)

    def rules(self, node="n1"):
        return [line for family in FAMILIES for line in self.world.node(node).own_rules(family, self.world.backend)
                if "fip" in line]

    def close(self):
        for key in list(self.asking):
            self.ask(key, None)


@pytest.fixture(name="floating")
def floating_fixture(world):
    outside = Place("outside", world.outside, {4: OUTSIDE4, 6: OUTSIDE6})
    with contextlib.ExitStack() as stack:
        for thing in (world.node("n1"), world.node("n2"), outside):
            place = world.prober.add(thing, listens=False)
            stack.callback(world.prober.remove, place.name)
        lead_to_n1(world, "add")
        stack.callback(lead_to_n1, world, "del")
        yield stack.enter_context(contextlib.closing(Floating(world)))


EVERYBODY = ("x/a", "x/b", "y/b", "x/c", "z/c", "n1", "n2", "outside")


def test_36_a_pod_is_reached_under_a_floating_address_from_everywhere(world, floating):
    """On its node, from another one, from outside, by the node itself and by the pod itself; TCP, UDP, SCTP and ping."""
    floating.ask("x/a", BOTH)
    assert floating.rules() == []
    floating.has(None)
    world.apply(ENABLED)
    others = [place for place in EVERYBODY if place != "x/a"]
    floating.check(Table(), others, "x/a")
    floating.check(Table(), ["x/a"], "x/a", protocols=("tcp", "udp"))
    pings = {f"{name} IPv{f}": (world.prober.places[name].netns, FIRST[f]) for name in EVERYBODY for f in FAMILIES}
    answered = probe(pings, tries=3)
    assert all(answered.values()), answered
    assert floating.rules("n2") == [], "n2 has no such pod"


def test_36_policy_sees_the_pods_own_address_and_who_really_calls(world, floating):
    """On the pod's node: what is allowed by labels, addresses and services' names holds, in both directions. A pod on
    another node is let out by what its policy says of the floating address itself."""
    world.apply(ENABLED)
    floating.ask("x/a", BOTH)
    world.apply(network_policy("x", "some", A, [
        ingress(peer(namespaces=labels(ns="y"))), ingress(peer(cidr=f"{OUTSIDE4}/32"), peer(cidr=f"{OUTSIDE6}/128"))]))
    table = Table().deny(["x/b", "x/c", "z/b", "n2"])
    everybody = ["x/b", "y/b", "z/b", "x/c", "y/c", "n1", "n2", "outside"]
    floating.check(table, everybody, "x/a")
    floating.explained(table, everybody, "x/a")
    floating.check(Table(False), ["x/a"], "x/a", protocols=("tcp", "udp"))  # it leaves its node's side, and is judged
    floating.explained(Table(False), ["x/a"], "x/a")
    world.apply(network_policy("y", "out", None, allow_out=[{"to": [peer(A, labels(ns="x"))]}], types=["Egress"]))
    floating.check(Table().deny("y/c"), ["y/b", "y/c"], "x/a")
    floating.explained(Table().deny("y/c"), ["y/b", "y/c"], "x/a")
    world.apply(network_policy("y", "out", None, allow_out=[{"to": [peer(cidr=NETS[4]), peer(cidr=NETS[6])]}],
                               types=["Egress"]))
    floating.check(Table().deny("y/b"), ["y/b", "y/c"], "x/a")
    floating.explained(Table().deny("y/b"), ["y/b", "y/c"], "x/a")


def test_36_a_host_endpoint_sees_the_floating_address_before_dnat(world, floating):
    world.apply(ENABLED)
    floating.ask("x/a", BOTH)
    world.write(host_endpoint("n1-host", "n1", "eth0", host="n1"))
    nets = list(NETS.values())
    world.apply(global_policy("no-floating", "has(host)", [rule("Deny", destination={"nets": nets})], order=1,
                              preDNAT=True, applyOnForward=True, types=["Ingress"]))
    floating.check(Table().deny(["x/c", "outside"]), ["x/b", "x/c", "outside"], "x/a")
    floating.explained(Table().deny(["x/c", "outside"]), ["x/b", "x/c", "outside"], "x/a")
    assert world.prober.check(Table(), [Probe("x/c", "x/a", "tcp", 80, family) for family in FAMILIES])


def test_36_settings_and_annotations_count_live(world, floating):
    world.apply(ENABLED)
    floating.has(None)
    floating.ask("x/a", [FIRST[4]])
    floating.check(Table().deny(family=6), ["y/b"], "x/a")
    floating.ask("x/a", [*SECOND.values(), *BOTH])
    floating.has("x/a")
    floating.has("x/a", addresses=SECOND)
    world.apply(felix_configuration(floatingIPs="Disabled"))
    floating.has(None)
    assert floating.rules() == [] and not routes_to(world.node("n1"), *BOTH)
    world.apply(ENABLED)
    floating.has("x/a")
    floating.ask("x/a", list(SECOND.values()))
    floating.has(None)
    floating.has("x/a", addresses=SECOND)
    floating.ask("x/a", None)
    floating.has(None, addresses=SECOND)
    assert floating.rules() == [] and not routes_to(world.node("n1"), *SECOND.values())


def routes_to(node, *addresses):
    """Those felix wrote."""
    return [address for address in addresses
            if any(r["dst"] == address and r.get("dev", "").startswith("cali") for f in FAMILIES for r in node.routes(f))]


def test_36_of_several_pods_the_first_has_it_wherever_they_are(world, floating):
    n1, n2 = world.node("n1"), world.node("n2")
    world.apply(ENABLED)
    floating.ask("y/a", BOTH)
    floating.has("y/a")
    assert routes_to(n1, *BOTH) == BOTH
    floating.ask("x/a", BOTH)
    floating.has("x/a")
    line = f"pod y/a does not get the floating address {FIRST[4]} it asks for: pod x/a has it"
    assert n1.log().count(line) == 1 and line not in n2.log()
    floating.ask("x/a", None)
    floating.has("y/a")
    floating.ask("x/c", BOTH)  # on n2, where routes do not lead yet
    assert floating.rules() == [] and not routes_to(n1, *BOTH) and routes_to(n2, *BOTH) == BOTH
    floating.check(Table(), ["y/c"], "x/c")
    floating.ask("x/c", None)
    floating.has("y/a", ("y/b", "y/c"))
    assert floating.rules("n2") == []


def test_36_what_is_wrong_is_named_and_nothing_else_is_lost(world, floating):
    n1 = world.node("n1")
    world.apply(ENABLED)
    taken = {n1.ip4: "a node's", world.node("n2").ip6: "a node's", world.ip("z/c"): "a pod's own",
             "127.0.0.1": "no pod's to have", "169.254.1.1": "no pod's to have", "ff02::1": "no pod's to have"}
    floating.ask("x/a", ["nonsense", *taken, 7, *BOTH])
    floating.has("x/a")
    log = n1.log()
    assert "Pod x/a" in log and "floatingIPs: 'nonsense'" in log
    for address, use in taken.items():
        assert f"pod x/a does not get the floating address {address} it asks for: it is {use}" in log
    assert not [line for line in floating.rules() if any(f" {address}/" in line for address in taken)]
    floating.ask("x/a", "[")
    floating.has(None)
    assert f"annotation {ANNOTATION}" in n1.log()[len(log):]


class Caller:
    """One UDP flow to the floating address, from one port all the time."""

    def __init__(self, world, key, family):
        self.world, self.target = world, (FIRST[family], 80)
        self.socket = world.pod(key).netns.socket(AF[family], socket.SOCK_DGRAM)
        self.socket.setblocking(False)

    def answered_by(self):
        """The pod that answers, None when nobody does."""
        found = None
        with contextlib.suppress(OSError):  # the kernel says that nobody is there
            self.socket.sendto(MAGIC + bytes(8), self.target)
        self.world.prober.turn(0.03)
        with contextlib.suppress(OSError):
            while True:
                found = self.socket.recv(256)[len(MAGIC) + 8:].decode()
        return found


@pytest.fixture(name="sent_away")
def sent_away_fixture(world, floating):
    """What no pod has leaves n1 by its default route, so that it is a flow like any other, and ends in the core."""
    lead_router_to_n1(world, "del")
    yield floating
    lead_router_to_n1(world, "add")


def test_36_what_is_open_follows_the_address(world, sent_away):
    """The kernel would let it go on as it began, UDP without end. Connections to the pod's own address do go on."""
    world.apply(ENABLED)
    with contextlib.ExitStack() as stack:
        callers = [Caller(world, "x/b", family) for family in FAMILIES]
        for caller in callers:
            stack.callback(caller.socket.close)

        def assert_answered_by(pod):
            for caller in callers:
                wait_for(lambda c=caller: c.answered_by() == pod, 5, lambda c=caller: f"{pod} at {c.target}, not {c.answered_by()}")

        assert_answered_by(None)
        sent_away.ask("x/a", BOTH)
        assert_answered_by("x/a")
        flows = stack.enter_context(OpenFlows())
        client, server = world.pod("y/b"), world.pod("x/a")
        gone = [flows.open("tcp", client, server, 7001, family, via=(FIRST[family], 7001)) for family in FAMILIES]
        kept = [flows.open("tcp", client, server, 7002, family) for family in FAMILIES]
        flows.wait_both_ways()
        moment = time.monotonic()
        sent_away.ask("x/a", None)
        sent_away.ask("y/a", BOTH)
        assert_answered_by("y/a")
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)
        sent_away.ask("y/a", None)
        assert_answered_by(None)


@contextlib.contextmanager
def routes_that_go(node):
    """The list, filled in behind the block, of what the kernel tells of them meanwhile."""
    first, last = "192.0.2.1", "192.0.2.2"
    monitor = node.netns.popen(["ip", "monitor", "route"], stdout=subprocess.PIPE, text=True)

    def read_until(address):
        lines = []
        while not lines or f" {address} " not in lines[-1]:
            line = monitor.stdout.readline()
            assert line
            lines += [line] if line.startswith("Deleted ") else []
        return lines

    def mark(address):
        node.netns.ip(f"route add blackhole {address}", f"route del blackhole {address}")

    gone = []
    with monitor:
        wait_for(lambda: mark(first) or select.select([monitor.stdout], [], [], 0.1)[0], 5, "ip monitor to listen")
        read_until(first)
        yield gone
        mark(last)
        gone += read_until(last)
        monitor.kill()


def test_36_a_restart_takes_no_address_away(world, floating):
    """Neither its rules nor its route, which BIRD would withdraw."""
    n1 = world.node("n1")
    world.apply(ENABLED)
    floating.ask("x/a", BOTH)
    floating.has("x/a")
    before = n1.snapshot()
    n1.felix.kill9()
    with routes_that_go(n1) as gone:
        n1.start_canal()
        n1.wait_ready()
        world.settle()
    assert not [line for line in gone if any(f" {address} " in line for address in BOTH)]
    assert n1.snapshot() == before
    floating.has("x/a")
    n1.felix.kill9()
    world.client.patch("Pod", "a", {"metadata": {"annotations": {ANNOTATION: None}}}, "x")
    n1.start_canal()
    n1.wait_ready()
    wait_for(lambda: not routes_to(n1, *BOTH) and not floating.rules(), 10, n1.felix.tail)


# ---- with BGP
@pytest.fixture(name="cluster", scope="module", params=["Never", pytest.param("Always", marks=pytest.mark.ipip)])
def cluster_fixture(request):
    with Cluster([ZoneSpec("a", ["n1", "n2", "n3"])], ipip_mode=request.param,
                 settings={"FELIX_FLOATINGIPS": "Enabled"}) as made:
        made.start_nodes()
        yield made


def test_36_bird_leads_to_the_node_whose_pod_has_the_address(cluster):
    """The old pod gives it up, the new one has it on another node: callers everywhere follow."""
    def pod(node, name):
        return cluster.node(node).add_pod(name, change=lambda obj: obj["metadata"].update(
            annotations={ANNOTATION: json.dumps(BOTH)}))

    caller = cluster.node("n3").add_pod("caller")
    first, second = pod("n1", "first"), pod("n2", "second")

    def answers(pod):
        """It, and it alone."""
        with Capture(pod.netns, "eth0") as capture:
            answered = probe({address: (caller.netns, address) for address in BOTH}, deadline=0.5)
            return all(answered.values()) and set(caller.ips) <= {p.source for p in capture.packets() if not p.outgoing}

    wait_for(lambda: answers(first), 20, "the first pod to answer")
    cluster.api.client.patch("Pod", "first", {"metadata": {"annotations": {ANNOTATION: None}}}, "default")
    wait_for(lambda: answers(second), 20, "the second pod to answer")
    cluster.node("n2").del_pod(second)
    wait_for(lambda: not routes_by_bird(cluster.node("n3")), 20, "the route to go")


def routes_by_bird(node):
    return [address for address in BOTH if node.route_to(address)]
