"""Policy beside kube-proxy in IPVS mode, item 43 of docs/PARITY.md. Needs the ip_vs module and ipvsadm, so it runs in
the test machine."""

import pytest

from felix_nodes import NO_REFRESH
from lab import wait_for
from lab.topology import OUTSIDE4, OUTSIDE6
from policy.flows import OpenFlows
from policy.ipvs import Ipvs
from policy.kube_proxy import KubeProxy, Service
from policy.objects import egress, felix_configuration, ingress, labels, network_policy, peer
from policy.prober import FAMILIES, PORTS, PROTOCOLS, Place, Probe
from policy.services import GONE, KEPT, ServiceStream, assert_revoked, behind, wait_on_top
from policy.tables import Table
from policy.world import World

pytestmark = pytest.mark.ipvs

A = labels(pod="a")
A_IPS, C_IPS = ({4: f"10.96.0.{n}", 6: f"fd00:10:96::{n}"} for n in (10, 12))
NODE_PORT = 30080
HOST_PORT = 8022
SERVICES = {**behind("x/a", A_IPS, PORTS), **behind("x/c", C_IPS, PORTS)}


@pytest.fixture(name="world", scope="module", params=["nft", "legacy"])
def world_fixture(request):
    with World(request.param, settings=NO_REFRESH) as world:
        world.start_nodes()
        world.populate()
        world.before = {node.name: node.snapshot() for node in world.nodes.values()}
        # A pod that asks a node port is judged as one that asks the node, too.
        world.client.create(felix_configuration(defaultEndpointToHostAction="Return"))
        world.settle()
        for node in world.nodes.values():
            Ipvs(world, node).up([(A_IPS, "x/a"), (C_IPS, "x/c")], NODE_PORT)
        wait_for(lambda: all(is_noticed(world, node) for node in world.nodes.values()), 15, "felix to notice IPVS")
        world.settle()
        yield world


def is_noticed(world, node):
    return all(":cali-ipvs-from -" in "\n".join(node.own_rules(f, world.backend)) for f in FAMILIES) and len(
        node.set_members("cali40all-ipvs-net")) == 2


@pytest.fixture(autouse=True)
def clean(world):
    yield
    world.reset()


def to_services(world, sources=None, services=(A_IPS, C_IPS), ports=PORTS):
    return [Probe(source, ips[family], protocol, number, family)
            for source in sources or [pod.key for pod in world.pods()] for ips in services
            for protocol in PROTOCOLS for number in ports for family in FAMILIES]


def say(table, verdict, source, ips):
    for address in ips.values():
        getattr(table, verdict)(source, address)
    return table


def ask(world, table, probes, services=None):
    """`services`: whose pods reference and explain are asked about."""
    return world.check(table, probes, has_reference=bool(services), has_explain=bool(services), services=services)


def test_43_services_through_ipvs_are_judged_by_what_is_behind_them(world):
    result = ask(world, Table(), to_services(world), SERVICES)
    for probe, who in result.who.items():
        assert who == ("x/a" if probe.target in A_IPS.values() else "x/c"), (probe, who)
    world.apply(network_policy("y", "to-a", None, None, [egress(
        peer(labels(pod="a"), labels(ns="x")), peer(cidr=f"{C_IPS[4]}/32"), peer(cidr=f"{C_IPS[6]}/128"))], ["Egress"]))
    ask(world, say(Table(), "deny", "y/*", C_IPS), to_services(world), SERVICES)
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]),
                network_policy("x", "c-from-z", labels(pod="c"), [ingress(peer(namespaces=labels(ns="z")))]))
    table = say(say(Table(False), "allow", "z/*", C_IPS), "allow", "y/*", A_IPS)
    ask(world, table, to_services(world), SERVICES)
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")), peer(A))]))
    ask(world, say(table, "allow", "x/a", A_IPS), to_services(world), SERVICES)
    # A pod that comes later is known by its address, too.
    pod = world.add_pod("y", "late", world.node("n1"))
    try:
        ask(world, Table(False).allow("y/late", list(A_IPS.values())), to_services(world, ["y/late"]), SERVICES)
    finally:
        world.del_pod(pod)


def test_43_clients_of_node_ports_through_ipvs_meet_the_pods_policy(world):
    n1, outside = world.node("n1"), Place("outside", world.outside, {4: OUTSIDE4, 6: OUTSIDE6})
    world.prober.add(outside, listens=False)
    try:
        own = {4: n1.ip4, 6: n1.ip6}
        probes = [Probe(source, own[family], protocol, NODE_PORT, family)
                  for source in ("outside", "x/a", "y/a", "y/b", "z/a") for protocol in PROTOCOLS for family in FAMILIES]
        elsewhere = [probe._replace(source="y/c") for probe in probes if probe.source == "outside"]
        services = behind("x/a", own, [NODE_PORT], 80)
        ask(world, Table(), probes, services)
        ask(world, Table(), elsewhere)
        world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
        ask(world, Table(False).allow("y/*"), probes, services)
        ask(world, Table(False), elsewhere)  # they come with their node's address
    finally:
        world.prober.remove("outside")


def test_43_what_ipvs_does_not_take_never_reaches_the_node(world):
    """A service's address at a port the node itself listens on: the pod's egress does not allow the node."""
    node = world.node("n1")
    world.prober.add(Place("host", node.netns, A_IPS), listens=False)
    with node.netns.entered():
        for family in FAMILIES:
            world.prober._listen_tcp(world.prober.places["host"], family, HOST_PORT)  # pylint: disable=protected-access
    try:
        probes = [p for p in to_services(world, services=[A_IPS], ports=[HOST_PORT]) if p.protocol == "tcp"]
        ask(world, Table(False), probes)
    finally:
        world.prober.remove("host")


def test_43_pods_reach_node_ports_of_a_node_that_is_closed_to_them(world):
    n1 = world.node("n1")
    sources = [pod.key for pod in world.pods() if pod.node is n1]
    own = {4: n1.ip4, 6: n1.ip6}
    world.prober.add(Place("host", n1.netns, own), listens=False)
    with n1.netns.entered():
        for family in FAMILIES:
            for port in (HOST_PORT, NODE_PORT + 1):
                world.prober._listen_tcp(world.prober.places["host"], family, port)  # pylint: disable=protected-access

    def probes(port, protocols=PROTOCOLS):
        return [Probe(source, own[family], protocol, port, family) for source in sources for protocol in protocols
                for family in FAMILIES]

    try:
        world.client.apply(felix_configuration(defaultEndpointToHostAction="Drop"))
        world.settle()
        ask(world, Table(), probes(NODE_PORT))
        ask(world, Table(False), probes(HOST_PORT, ("tcp",)))
        # Where a node port could be, and none is: the node may see the first packet, and nothing comes back.
        ask(world, Table(False), probes(NODE_PORT + 1, ("tcp",)))
        world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
        ask(world, Table(False).allow("y/*"), probes(NODE_PORT))
        world.client.apply(felix_configuration(defaultEndpointToHostAction="Drop", kubeNodePortRanges=[]))
        world.settle()
        ask(world, Table(False), probes(NODE_PORT))
    finally:
        world.prober.remove("host")
        world.client.apply(felix_configuration(defaultEndpointToHostAction="Return"))
        world.settle()


def test_43_the_node_reaches_its_pods_and_pods_each_other(world):
    world.apply(network_policy("x", "deny", A))
    n1 = world.node("n1")
    world.prober.add(n1, listens=False)
    try:
        ask(world, Table(), world.pairs(["n1"], ["x/a"]))
        world.check(Table().deny(to="x/a"), world.pairs([p.key for p in world.pods()], [p.key for p in world.pods()]))
    finally:
        world.prober.remove("n1")


def test_43_a_restart_beside_ipvs_leaves_everything_as_it_is(world):
    node = world.node("n1")
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
    before = node.snapshot()
    node.restart_felix()
    node.wait_ready(60)
    world.settle(30)
    assert node.snapshot() == before
    assert node.metric("felix_iptables_restore_calls") == 0, "nothing had to be written"
    ask(world, say(Table(False), "allow", "y/*", A_IPS), to_services(world, services=[A_IPS]), SERVICES)


def test_open_connections_through_ipvs_stop_when_policy_takes_them_away(world):
    for node in world.nodes.values():
        for number in (*GONE, *KEPT):
            Ipvs(world, node).serve(A_IPS, "x/a", number)
    with OpenFlows() as flows:
        assert_revoked(world, flows, A_IPS, "x/a", within=5)  # the machine is emulated, everything takes ten times longer


def test_43_ipvs_that_goes_is_noticed(world):
    node = world.node("n1")
    for each in world.nodes.values():
        Ipvs(world, each).down()

    def own():
        return [line for f in FAMILIES for line in node.own_rules(f, world.backend) if "ipvs" in line]

    wait_for(lambda: not own(), 15, lambda: f"the rules to go: {own()}")
    world.check(Table())


def test_43_kube_proxy_changes_its_mode_while_felix_runs(world):
    """iptables, IPVS, nft, IPVS, iptables. Denied stays denied, allowed goes on, felix's rules for IPVS are there as long as
    IPVS is."""
    def has_rules(node):
        return all(":cali-ipvs-from -" in "\n".join(node.own_rules(f, world.backend)) for f in FAMILIES)

    class IpvsMode:
        def __init__(self, services):
            self.services, self.all = services, [Ipvs(world, node) for node in world.nodes.values()]

        def open(self):
            for each in self.all:
                each.up([(A_IPS, "x/a")])
                for service in self.services:
                    each.serve(service.ips, "x/a", service.port)
            wait_for(lambda: all(map(has_rules, world.nodes.values())), 30, "felix to notice IPVS")

        def close(self):
            for each in self.all:
                each.down()
            wait_for(lambda: not any(map(has_rules, world.nodes.values())), 30, "felix to notice that IPVS has gone")

    class TablesMode:
        def __init__(self, mode, services):
            services = [*services, *(Service(f"a{number}", A_IPS, {f: [world.ip("x/a", f)] for f in FAMILIES}, number)
                                     for number in PORTS)]
            self.all = [KubeProxy(node, mode, world.backend, services) for node in world.nodes.values()]

        def open(self):
            for each in self.all:
                each.sync()

        def close(self):
            for each in self.all:
                each.close()

    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
    IpvsMode([]).close()
    stream = ServiceStream(world, A_IPS, "x/a", denied=["z/a", "x/b", "z/c"], allowed=["y/b", "y/c"])
    modes = [TablesMode("iptables", stream.services), IpvsMode(stream.services), TablesMode("nft", stream.services),
             IpvsMode(stream.services), TablesMode("iptables", stream.services)]
    table, probes = say(Table(False), "allow", "y/*", A_IPS), to_services(world, services=[A_IPS])

    def check():
        wait_on_top(world)
        ask(world, table, probes, SERVICES)

    stream.switch(modes, check)
