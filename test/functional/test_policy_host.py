"""Host endpoints: the node's own traffic, forwarded traffic, before DNAT, without tracking; pods to their node.
Items of docs/PARITY.md in the names.

n1 has the endpoint under test, on eth0 or on every interface; n2 is another node, "outside" a host beyond the
routers. Both pods and hosts listen on ports 80 and 81, n1 on some failsafe ports as well.
"""

import ipaddress
from itertools import permutations, product

import pytest

from lab import Capture
from lab.topology import OUTSIDE4, OUTSIDE6
from policy import explained
from policy.objects import (calico_policy, felix_configuration, global_policy, host_endpoint, ingress, labels,
                            network_policy, peer, port, rule)
from policy.prober import FAMILIES, PORTS, PROTOCOLS, Place, Probe
from policy.services import ServiceRules, behind
from policy.tables import Table

# Those nobody has set: ports in, ports out.
FAILSAFES_IN = {"tcp": (22, 179, 2379, 2380, 5473, 6443, 6666, 6667), "udp": (68,)}
FAILSAFES_OUT = {"tcp": (179, 2379, 2380, 5473, 6443, 6666, 6667), "udp": (53, 67)}
FAILSAFES = (22, 53, 67, 68, *FAILSAFES_OUT["tcp"])
NODE_PORT, HOST_PORT = 30080, 8088
A = labels(pod="a")
ON_HOST = "has(host)"


@pytest.fixture(name="hosts")
def hosts_fixture(world):
    """n1, n2 and outside take part in probes."""
    outside = Place("outside", world.outside, {4: OUTSIDE4, 6: OUTSIDE6})
    for thing in (world.node("n1"), world.node("n2"), outside):
        world.prober.add(thing, more_ports=FAILSAFES)
    yield world
    for name in ("n1", "n2", "outside"):
        world.prober.remove(name)


def n1_endpoint(interface="eth0", **more):
    return host_endpoint("n1-host", "n1", interface, host="n1", **more)


def flows(*ends, ports=PORTS, protocols=PROTOCOLS):
    """Probes of (source, target) in both families."""
    return [Probe(a, b, protocol, number, family) for a, b in ends for protocol in protocols for number in ports
            for family in FAMILIES]


# What runs where, as tables name it; every pod meets every pod.
ON_N1, ON_N2 = ["*/a", "*/b"], "*/c"
N1_PODS, N2_PODS = ([f"{ns}/{pod}" for ns in "xyz" for pod in pods] for pods in ("ab", "c"))
TO_HOST = [("n2", "n1"), ("outside", "n1")]
FROM_HOST = [("n1", end) for end in ("n2", "outside", *N2_PODS)]
FORWARDED = [*product(N1_PODS, N2_PODS), *product(N2_PODS, N1_PODS), *product(["n2"], N1_PODS)]
LOCAL = [*permutations(N1_PODS, 2), *permutations(N2_PODS, 2), *product(["n1"], N1_PODS)]


def check(world, table, ends=(*TO_HOST, *FROM_HOST, *FORWARDED, *LOCAL)):
    return world.check(table, flows(*ends))


FAR = ["n2", "outside", ON_N2]  # for the node itself; whom it is reached by are the first two
CLOSED = Table().deny(["n2", "outside"], "n1").deny("n1", FAR)


# ---- 27
@pytest.mark.parametrize("action,opens", [(None, False), ("Drop", False), ("Accept", True), ("Return", True)])
def test_27_what_becomes_of_packets_to_their_own_node(hosts, action, opens):
    world = hosts
    if action:
        world.apply(felix_configuration(defaultEndpointToHostAction=action))
    ends = [*product(N1_PODS, ["n1"]), *product(N2_PODS, ["n2"]), *LOCAL]
    table = Table() if opens else Table().deny(ON_N1, "n1").deny(ON_N2, "n2")
    check(world, table, ends)
    # Egress policy comes first, whatever the action.
    world.apply(network_policy("x", "no-egress", A, types=["Egress"]))
    check(world, table.copy().deny("x/a"), ends)


def check_failsafes(world):
    """SSH, the API, etcd, BGP, and DHCP and DNS of the node; of the ports that are some in one direction no others."""
    table = Table(False)
    for source, target, failsafes in (("n2", "n1", FAILSAFES_IN), ("n1", "n2", FAILSAFES_OUT)):
        for protocol, numbers in failsafes.items():
            table.allow(source, target, protocol, numbers)
    world.check(table, flows(("n2", "n1"), ("n1", "n2"), ports=FAILSAFES))


# ---- 30
@pytest.mark.parametrize("interface", ["eth0", "*"])
def test_30_an_endpoint_without_policy_blocks_the_host_and_nothing_else(hosts, interface):
    world = hosts
    world.apply(n1_endpoint(interface))
    check(world, CLOSED)
    # The API is still reached: felix follows.
    check_failsafes(world)


def test_30_an_endpoint_by_expected_address(hosts):
    world = hosts
    node = world.node("n1")
    world.apply(n1_endpoint(None, ips=[node.ip4, node.ip6]))
    check(world, CLOSED)


def test_30_removal_opens_the_host_again(hosts):
    world = hosts
    endpoint = n1_endpoint()
    world.apply(endpoint)
    check(world, CLOSED)
    world.remove(endpoint)
    check(world, Table())


# ---- 31
@pytest.mark.parametrize("interface", ["eth0", "*"])
def test_31_policies_and_the_profile_of_an_endpoint(hosts, interface):
    world = hosts
    world.apply(n1_endpoint(interface), global_policy("host", "host == 'n1'", [
        rule("Allow", protocol="TCP", destination={"ports": [80]})], [
            rule("Allow", protocol="UDP", destination={"ports": [81]})]))
    opened = CLOSED.copy().allow(["n2", "outside"], "n1", "tcp", 80).allow("n1", FAR, "udp", 81)
    check(world, opened)
    world.apply(global_policy("host", "host == 'n1'", [
        rule("Deny", source={"nets": [f"{OUTSIDE4}/32"]}), rule("Deny", source={"nets": [f"{OUTSIDE6}/128"]}),
        rule("Allow")], [rule("Allow")]))
    check(world, Table().deny("outside", "n1"))
    world.apply(n1_endpoint(interface, profiles=["projectcalico-default-allow"]),
                global_policy("host", "host == 'n2'", [rule("Deny")]))
    check(world, Table())


def test_31_named_ports_of_an_endpoint(hosts):
    """In its own policy and in that of a pod elsewhere; a name that moves to another port."""
    world = hosts
    node = world.node("n1")

    def endpoint(number):
        return n1_endpoint("eth0", ips=[node.ip4, node.ip6], ports=[
            {"name": "web", "protocol": "TCP", "port": number}, {"name": "dns", "protocol": "UDP", "port": 81}])

    web, dns = ({"ports": [name]} for name in ("web", "dns"))
    world.apply(endpoint(80),
                global_policy("host", "host == 'n1'", [rule("Allow", protocol="TCP", destination=web),
                                                       rule("Allow", protocol="UDP", destination=dns)], [rule("Allow")]),
                calico_policy("x", "to-web", "pod == 'c'", None, [
                    rule("Allow", protocol="TCP", destination={**web, "selector": "host == 'n1'",
                                                               "namespaceSelector": "global()"}),
                    rule("Allow", protocol="UDP", destination=dns)]))
    ends = TO_HOST + FROM_HOST + [("x/c", "n1"), ("x/c", "n2"), ("y/c", "n1"), ("x/c", "y/a"), ("x/a", "x/b")]

    def table(number):
        into = Table().deny(to="n1").allow(to="n1", protocol="tcp", port=number).allow(to="n1", protocol="udp", port=81)
        own = Table().deny("x/c").allow("x/c", "n1", "tcp", number).allow("x/c", "n1", "udp", 81)
        return into & own & Table().deny("x/c", "n2")

    check(world, table(80), ends)
    world.apply(endpoint(81))
    check(world, table(81), ends)


def test_31_the_life_of_an_automatic_endpoint(hosts):
    """As kube-controllers makes it of a Node: every interface, its addresses and labels, a profile that allows all; the Node's
    labels change, and the Node goes."""
    world = hosts
    node = world.node("n1")

    def endpoint(**its_labels):
        obj = host_endpoint("n1-auto-hep", "n1", "*", [node.ip4, node.ip6], ["projectcalico-default-allow"], **its_labels)
        obj["metadata"]["labels"]["projectcalico.org/created-by"] = "calico-kube-controllers"
        return obj

    world.apply(endpoint(zone="a"), global_policy("zone-b", "zone == 'b'", [
        rule("Allow", protocol="TCP", destination={"ports": [80]})], types=["Ingress"]),
                calico_policy("x", "from-b", "pod == 'a'", [rule("Allow", source={
                    "selector": "zone == 'b'", "namespaceSelector": "global()"}), rule("Allow", source={"selector": "all()"})]))
    ends = TO_HOST + FROM_HOST + [("x/c", "x/a"), ("n2", "x/a"), ("x/a", "x/b"), ("n1", "x/b")]
    closed = Table().deny("n2", "x/a")
    check(world, closed, ends)
    world.apply(endpoint(zone="b"))
    check(world, closed.copy().deny(to="n1").allow(to="n1", protocol="tcp", port=80), ends)
    world.apply(endpoint(zone="c"))
    check(world, closed, ends)
    world.apply(endpoint(zone="b"))
    world.remove(endpoint())
    check(world, closed, ends)


# ---- 32
@pytest.mark.parametrize("interface", ["eth0", "*"])
def test_32_forwarded_traffic_with_and_without_apply_on_forward(hosts, interface):
    world = hosts
    ends = FORWARDED + LOCAL
    normal = global_policy("host", ON_HOST, [rule("Deny")], [rule("Deny")])
    world.apply(n1_endpoint(interface), normal)
    check(world, Table(), ends)  # a policy without applyOnForward does not look at forwarded packets
    deny = global_policy("forward", ON_HOST, [rule("Deny", protocol="TCP")], [rule("Deny", protocol="UDP")],
                         applyOnForward=True, order=1)
    world.apply(deny)
    # In at n1's eth0 (to pods of n1) no TCP, out of it no UDP; the rest falls off the tier, which denies.
    check(world, Table().deny([ON_N2, "n2"], ON_N1).deny(ON_N1, ON_N2), ends)
    world.apply(global_policy("forward", ON_HOST, [rule("Deny", protocol="TCP"), rule("Allow")],
                              [rule("Deny", protocol="UDP"), rule("Allow")], applyOnForward=True, order=1))
    table = Table().deny([ON_N2, "n2"], ON_N1, "tcp").deny(ON_N1, ON_N2, "udp")
    check(world, table, ends)
    # Together with the pod's own policy both have to allow.
    world.apply(network_policy("x", "only-80", A, [ingress(ports=[port(80, p) for p in ("TCP", "UDP", "SCTP")])]))
    check(world, table & Table().deny("*", "x/a", port=81).allow("n1", "x/a"), ends)


# ---- 33
@pytest.fixture(name="node_ports")
def node_ports_fixture(hosts):
    """A node port of n1 to x/a:80, as kube-proxy makes it for a backend on the same node."""
    with ServiceRules(hosts, [hosts.node("n1")]) as rules:
        for family in FAMILIES:
            for protocol in PROTOCOLS:
                rules.add(None, NODE_PORT, hosts.ip("x/a", family), 80, protocol)
        yield hosts


def via_node(world, source, node="n1", number=NODE_PORT):
    node = world.node(node)
    return [Probe(source, {4: node.ip4, 6: node.ip6}[family], protocol, number, family)
            for protocol in PROTOCOLS for family in FAMILIES]


def behind_node_port(world):
    """For World.check(); preDNAT policies look at packets ahead of that."""
    n1 = world.node("n1")
    return behind("x/a", {4: n1.ip4, 6: n1.ip6}, [NODE_PORT], 80)


def check_explained(world, table, probes):
    """What n1 says of packets to its node ports as they arrive."""
    n1 = world.node("n1")
    places = {ip: Place(ip, None, {family: ip}) for family, ip in ((4, n1.ip4), (6, n1.ip6))}
    explained.check({**world.prober.places, **places}, dict.fromkeys(places, n1), table, probes)


@pytest.mark.parametrize("interface", ["eth0", "*"])
def test_33_pre_dnat_closes_node_ports_and_pins_holes(node_ports, interface):
    world = node_ports
    probes, services = via_node(world, "outside") + via_node(world, "n2"), behind_node_port(world)
    world.check(Table(), probes, services=services)
    check_explained(world, Table(), probes)
    # Without preDNAT an endpoint does not see what is forwarded to a pod.
    world.apply(n1_endpoint(interface, profiles=["projectcalico-default-allow"]))
    world.check(Table(), probes, services=services)
    check_explained(world, Table(), probes)
    deny = [rule("Deny", protocol=name.upper(), destination={"ports": [NODE_PORT]}) for name in PROTOCOLS]
    world.apply(global_policy("node-ports", ON_HOST, deny, preDNAT=True, applyOnForward=True, order=20))
    world.check(Table(False), probes, has_reference=False)
    check_explained(world, Table(False), probes)
    check(world, Table())  # and nothing else
    # A pinhole by the port before DNAT, for one client.
    world.apply(global_policy("pinhole", ON_HOST, [
        rule("Allow", protocol="TCP", source={"nets": [net]}, destination={"ports": [NODE_PORT]})
        for net in (f"{OUTSIDE4}/32", f"{OUTSIDE6}/128")], preDNAT=True, applyOnForward=True, order=10))
    world.check(Table(False).allow("outside", protocol="tcp"), probes, has_reference=False)
    check_explained(world, Table(False).allow("outside", protocol="tcp"), probes)
    # The port behind DNAT is not what it sees.
    world.apply(global_policy("pinhole", ON_HOST, [rule("Allow", protocol="TCP", destination={"ports": [80]})],
                              preDNAT=True, applyOnForward=True, order=10))
    world.check(Table(False), probes, has_reference=False)
    check_explained(world, Table(False), probes)


def test_33_the_port_behind_dnat_is_for_apply_on_forward_and_the_pod(node_ports):
    world = node_ports
    probes, services = via_node(world, "outside") + via_node(world, "n2"), behind_node_port(world)
    world.apply(n1_endpoint(profiles=["projectcalico-default-allow"]),
                global_policy("forward", ON_HOST, [
                    rule("Allow", protocol="TCP", destination={"ports": [80]}), rule("Deny")],
                              types=["Ingress"], applyOnForward=True))
    world.check(Table(False).allow(protocol="tcp"), probes, services=services)
    # The pod's own policy sees the client's address: nothing was masqueraded on the way in.
    world.apply(network_policy("x", "outside-only", A, [
        ingress(peer(cidr=f"{OUTSIDE4}/32"), peer(cidr=f"{OUTSIDE6}/128"), ports=[port(80)])]))
    world.check(Table(False).allow("outside", protocol="tcp"), probes, services=services)


def test_33_egress_policy_of_the_pod_behind_a_node_port_does_not_stop_answers(node_ports):
    world = node_ports
    world.apply(network_policy("x", "no-egress", A, types=["Egress"]))
    world.check(Table(), via_node(world, "outside"), services=behind_node_port(world))


# ---- 34
def tracked(world, node):
    """The flows the node's connection tracking knows: {(protocol, "src=…", "dst=…", "sport=…", "dport=…")}."""
    with world.node(node).netns.entered():
        with open("/proc/thread-self/net/nf_conntrack", encoding="ascii") as file:
            found = [line.split() for line in file]
    ends = [(words[2], [w for w in words if w.startswith(("src=", "dst=", "sport=", "dport="))][:4]) for words in found]
    return {(protocol, *words) for protocol, words in ends}


def untracked_policy(world):
    """Both directions and both sides of every TCP and UDP flow to port 80 of n1 itself."""
    node = world.node("n1")
    return global_policy("untracked", ON_HOST, [
        rule("Allow", protocol=name, destination={"nets": [ip], "ports": [80]})
        for name in ("TCP", "UDP") for ip in (f"{node.ip4}/32", f"{node.ip6}/128")], [
            rule("Allow", protocol=name, source={"nets": [ip], "ports": [80]})
            for name in ("TCP", "UDP") for ip in (f"{node.ip4}/32", f"{node.ip6}/128")],
                         doNotTrack=True, applyOnForward=True)


def test_34_do_not_track_allows_both_ways_without_a_connection_entry(hosts):
    world = hosts
    world.apply(n1_endpoint(), untracked_policy(world))
    ends = TO_HOST + FORWARDED + LOCAL
    # Port 80 is accepted before everything else, port 81 and SCTP meet the closed endpoint.
    table = Table().deny(["n2", "outside"], "n1").allow(["n2", "outside"], "n1", ["tcp", "udp"], 80)
    before = tracked(world, "n1")
    check(world, table, ends)
    n1 = world.node("n1")
    new = tracked(world, "n1") - before
    for ip in (n1.ip4, ipaddress.ip_address(n1.ip6).exploded):
        to_it = {flow for flow in new if f"dst={ip}" in flow}
        assert {flow for flow in new if f"src={ip}" in flow}, "other flows of the node are tracked, and look so"
        assert not {flow for flow in to_it if flow[0] in ("tcp", "udp") and "dport=80" in flow}
        # And the other way round, as a first packet of an answer would be taken for one.
        assert not {flow for flow in new if flow[0] in ("tcp", "udp") and "sport=80" in flow and f"src={ip}" in flow}
    assert {flow for flow in new if "dport=80" in flow}, "the others are tracked"
    # Failsafes are left alone in raw, too.
    world.check(Table(), flows(("n2", "n1"), ports=(22, 179), protocols=["tcp"]))


def test_34_do_not_track_denies_before_a_normal_policy_allows(hosts):
    world = hosts
    world.apply(n1_endpoint(), global_policy("normal", ON_HOST, [rule("Allow")], [rule("Allow")]))
    check(world, Table())
    world.apply(global_policy("untracked", ON_HOST, [rule("Deny", protocol="UDP", destination={"ports": [80]})],
                              doNotTrack=True, applyOnForward=True))
    check(world, Table().deny(["n2", "outside"], "n1", "udp", 80).deny(["n2", ON_N2], ON_N1, "udp", 80))


def test_34_failsafes_are_open_where_an_untracked_policy_denies_all(hosts):
    """In raw, too, and in both directions; the rest is denied although a normal policy allows it."""
    world = hosts
    world.apply(n1_endpoint(), global_policy("normal", ON_HOST, [rule("Allow")], [rule("Allow")]))
    check(world, Table())
    n1, n2 = world.node("n1"), world.node("n2")
    peers = [{"nets": [f"{ip}/{128 if ':' in ip else 32}"]} for ip in (n1.ip4, n1.ip6)]
    world.apply(global_policy("untracked", ON_HOST, [rule("Deny", destination=peer_) for peer_ in peers],
                              [rule("Deny", source=peer_) for peer_ in peers], doNotTrack=True, applyOnForward=True))
    check_failsafes(world)
    check(world, CLOSED)


# ---- 35
def test_35_host_ports_meet_the_policy_of_the_pod(hosts):
    world = hosts
    node = world.node("n1")
    with ServiceRules(world, [node]) as rules:
        for address, family in ((node.ip4, 4), (node.ip6, 6)):
            for protocol in PROTOCOLS:
                rules.add(address, HOST_PORT, world.ip("x/b", family), 81, protocol)
        probes = [probe for source in ("outside", "n2", *N1_PODS) if source != "x/b"  # nobody masquerades it
                  for probe in via_node(world, source, number=HOST_PORT)]
        to_pod = behind("x/b", {4: node.ip4, 6: node.ip6}, [HOST_PORT], 81)
        world.check(Table(), probes, services=to_pod)
        world.apply(network_policy("x", "from-y", labels(pod="b"), [
            ingress(peer(namespaces=labels(ns="y")), peer(cidr=f"{OUTSIDE4}/32"), ports=[port(81), port(81, "SCTP")])]))
        world.check(Table(False).allow("y/*").allow("outside", family=4).deny(protocol="udp"), probes, services=to_pod)


def test_35_a_node_port_that_is_masqueraded_shows_the_policy_the_nodes_address(hosts):
    """externalTrafficPolicy Cluster with a backend elsewhere: its node sees the first node, not the client."""
    world = hosts
    n1 = world.node("n1")
    with ServiceRules(world, [n1]) as rules:
        for family in FAMILIES:
            for protocol in PROTOCOLS:
                rules.add(None, NODE_PORT, world.ip("x/c", family), 80, protocol, masquerade=True)
        probes = via_node(world, "outside")
        world.check(Table(), probes, has_reference=False)
        world.apply(network_policy("x", "client", labels(pod="c"), [
            ingress(peer(cidr=f"{OUTSIDE4}/32"), peer(cidr=f"{OUTSIDE6}/128"))]))
        world.check(Table(False), probes, has_reference=False)
        world.apply(network_policy("x", "client", labels(pod="c"), [
            ingress(peer(cidr=f"{n1.ip4}/32"), peer(cidr=f"{n1.ip6}/128"))]))
        world.check(Table(), probes, has_reference=False)


# ---- 38
def test_38_a_forward_policy_of_drop_does_not_hurt(world):
    tools = [f"{tool}-{world.backend}" for tool in ("iptables", "ip6tables")]
    for node in world.nodes.values():
        for tool in tools:
            node.netns.run([tool, "-w", "10", "-P", "FORWARD", "DROP"])
    try:
        world.check(Table())
        world.apply(network_policy("x", "deny", A))
        world.check(Table().deny(to="x/a"))
    finally:
        for node in world.nodes.values():
            for tool in tools:
                node.netns.run([tool, "-w", "10", "-P", "FORWARD", "ACCEPT"])


# ---- 51
@pytest.mark.parametrize("action", ["Drop", "Reject", "Disabled"])
def test_51_what_is_sent_to_a_service_that_is_none_does_not_loop(world, action):
    """An address of a service range, whether of cluster, external or load balancer addresses, that nobody translates would go to
    the router and come back."""
    ranges = {"serviceClusterIPs": ("10.96.0.0/16", "fd00:96::/32"), "serviceExternalIPs": ("203.0.113.9/32", "2001:db8:96::/48"),
              "serviceLoadBalancerIPs": ("203.0.113.128/25", "2001:db8:97::/48")}
    addresses = {"10.96.9.9", "203.0.113.9", "203.0.113.130", "fd00:96:9::9", "2001:db8:96::9", "2001:db8:97::9"}
    no_service = {"203.0.113.10", "2001:db8:98::9"}
    # One of each family for each pod: what a socket is refused once, it is told when it sends the next time.
    probes = [Probe(source, address, "udp", 80, family) for family in FAMILIES for source, address in zip(
        ("x/a", "x/b", "y/a", "y/b"), sorted(a for a in addresses | no_service if (":" in a) == (family == 6)))]
    before = world.client.get("BGPConfiguration", "default")["spec"]
    world.client.patch("BGPConfiguration", "default", {"spec": {
        key: [{"cidr": cidr} for cidr in cidrs] for key, cidrs in ranges.items()}})
    world.apply(felix_configuration(serviceLoopPrevention=action))
    try:
        with Capture(world.node("n1").netns, "eth0") as capture:
            result = world.prober.probe(probes, allowed=())
            left = {p.destination for p in capture.packets() if p.outgoing} & (addresses | no_service)
        assert left == no_service | (addresses if action == "Disabled" else set())
        if action != "Disabled":
            assert {result[p] for p in probes if p.target in addresses} == {"refused" if action == "Reject" else "silent"}
    finally:
        world.client.patch("BGPConfiguration", "default", {"spec": {key: before.get(key) for key in ranges}})
