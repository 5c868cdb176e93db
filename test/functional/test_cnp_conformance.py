"""What the conformance suite of ClusterNetworkPolicy v1alpha2 asks of the Admin and Baseline tiers, with packets
of three protocols between all nine pods. Policies are changed in place and have to converge."""

import pytest

from lab.topology import OUTSIDE4, OUTSIDE6
from policy.objects import (cluster_peer, cluster_policy, cluster_rule, expression, felix_configuration, ingress, labels,
                            named_protocol, network_policy, nodes_peer, peer, protocol, subject)
from policy.prober import PROTOCOLS, Place
from policy.tables import Table
from policy.world import port_name

TIERS = ["Admin", "Baseline"]
X, Y, Z = (labels(ns=name) for name in "xyz")
IN_X = subject(X)
A_OF_X = subject(X, labels(pod="a"))


class Side:
    """A direction: policies whose subject is x/a or x/*, seen from it or towards it."""

    def __init__(self, direction):
        self.is_in = direction == "ingress"
        self.key = "from" if self.is_in else "to"

    def rule(self, action, *peers, protocols=None):
        return cluster_rule(action, list(peers), protocols, self.key)

    def policy(self, *rules, tier="Admin", name="cnp", priority=10, of=None):
        return cluster_policy(name, tier, priority, of or IN_X, list(rules) if self.is_in else None,
                              None if self.is_in else list(rules))

    def between(self, own, other):
        """Names for Table: {source, to}."""
        return {"source": other, "to": own} if self.is_in else {"source": own, "to": other}


@pytest.fixture(name="side", params=["ingress", "egress"])
def side_fixture(request):
    return Side(request.param)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_01_to_06_and_12_to_17_rules_of_one_protocol(world, side, tier, name):
    """Accept, deny and pass in every order: the first rule that matches decides."""
    at_80, at_any = [protocol(name, 80)], [protocol(name)]
    accept = side.rule("Accept", cluster_peer(Y), protocols=at_80)
    deny = side.rule("Deny", cluster_peer(Y), protocols=at_any)
    passes = side.rule("Pass", cluster_peer(Z, labels(pod="b")), protocols=at_any)
    deny_z = side.rule("Deny", cluster_peer(Z), protocols=[protocol(name, start=81, end=90)])
    world.apply(side.policy(accept, deny, passes, deny_z, tier=tier))
    expected = (Table().deny(**side.between("x/*", "y/*"), protocol=name)
                .allow(**side.between("x/*", "y/*"), protocol=name, port=80)
                .deny(**side.between("x/*", ["z/a", "z/c"]), protocol=name, port=81))
    world.check(expected)
    world.apply(side.policy(deny, accept, deny_z, passes, tier=tier))
    world.check(Table().deny(**side.between("x/*", "y/*"), protocol=name)
                .deny(**side.between("x/*", "z/*"), protocol=name, port=81))
    world.apply(side.policy(passes, deny_z, tier=tier))
    world.check(Table().deny(**side.between("x/*", ["z/a", "z/c"]), protocol=name, port=81))


@pytest.mark.parametrize("tier", TIERS)
def test_07_and_18_any_protocol_both_ways(world, tier):
    def gress(*actions):
        ins, outs = Side("ingress"), Side("egress")
        return cluster_policy("gress", tier, 10, IN_X,
                              [ins.rule(actions[0], cluster_peer(Y)), ins.rule(actions[1], cluster_peer({}))],
                              [outs.rule(actions[0], cluster_peer(Y)), outs.rule(actions[1], cluster_peer({}))])
    world.apply(gress("Accept", "Deny"))
    world.check(Table().deny(to="x/*").deny("x/*").allow("y/*", "x/*").allow("x/*", "y/*"))
    world.apply(gress("Deny", "Accept"))
    world.check(Table().deny("x/*", "y/*").deny("y/*", "x/*"))
    world.apply(gress("Pass", "Deny"))
    world.check(Table().deny(to="x/*").deny("x/*").allow("y/*", "x/*").allow("x/*", "y/*"))


@pytest.mark.parametrize("tier", TIERS)
def test_08_and_19_egress_to_networks(world, tier):
    side, node = Side("egress"), world.node("n1")
    own = {"networks": [f"{ip}/{128 if ':' in ip else 32}" for ip in world.pod("y/b").ips]}
    all_n1 = {"networks": [node.pod_cidr4, node.pod_cidr6]}
    accept, deny = side.rule("Accept", own), side.rule("Deny", all_n1)
    world.apply(side.policy(accept, deny, tier=tier, of=A_OF_X))
    world.check(Table().deny("x/a", ["*/a", "*/b"]).allow("x/a", "y/b"))
    world.apply(side.policy(deny, accept, tier=tier, of=A_OF_X))
    world.check(Table().deny("x/a", ["*/a", "*/b"]))
    only = side.rule("Deny", {"networks": ["0.0.0.0/0"]}, protocols=[protocol("udp")])
    world.apply(side.policy(accept, only, tier=tier, of=A_OF_X))
    world.check(Table().deny("x/a", "*", "udp", family=4).allow("x/a", "y/b"))


def host_node(name):
    return nodes_peer(**{"kubernetes.io/hostname": name})


@pytest.fixture(name="hosts")
def hosts_fixture(world):
    """n1, n2 and a host outside listen, and pods may talk to their own node, where policy lets them."""
    outside = Place("outside", world.outside, {4: OUTSIDE4, 6: OUTSIDE6})
    world.apply(felix_configuration(defaultEndpointToHostAction="Accept"))
    for place in (world.node("n1"), world.node("n2"), outside):
        world.prober.add(place)
    yield world
    for name in ("n1", "n2", "outside"):
        world.prober.remove(name)


def to_hosts(world):
    """From both nodes, subjects and another, to both nodes, outside and two pods: every protocol, port and family."""
    return world.pairs(["x/a", "x/c", "y/b"], ["n1", "n2", "outside", "y/a", "z/c"])


@pytest.mark.parametrize("tier", TIERS)
def test_09_and_20_egress_to_nodes(hosts, tier):
    world, side, probes = hosts, Side("egress"), to_hosts(hosts)
    accept = side.rule("Accept", host_node("n2"), protocols=[protocol("tcp", 80), protocol("udp", 81), protocol("sctp", 80)])
    passes = side.rule("Pass", nodes_peer(**{"kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "a"}),
                       protocols=[protocol("udp"), protocol("sctp", 81)])
    deny = side.rule("Deny", nodes_peer())
    world.apply(side.policy(accept, passes, deny, tier=tier))
    closed = Table().deny("x/*", ["n1", "n2"])
    world.check(closed.copy().allow("x/*", "n2", "tcp", 80).allow("x/*", "n2", "udp", 81).allow("x/*", "n2", "sctp", 80)
                .allow("x/*", "n1", "udp").allow("x/*", "n1", "sctp", 81), probes)
    world.apply(side.policy(deny, accept, passes, tier=tier))
    world.check(closed, probes)
    # Nodes are no pods, and no networks: of three peers each has its own.
    some = side.rule("Deny", host_node("n1"), cluster_peer(Z), {"networks": [f"{OUTSIDE4}/32"]}, protocols=[protocol("tcp")])
    world.apply(side.policy(some, tier=tier, of=A_OF_X))
    world.check(Table().deny("x/a", ["n1", "z/c"], "tcp").deny("x/a", "outside", "tcp", family=4), probes)
    world.apply(side.policy(side.rule("Deny", {"nodes": expression("kubernetes.io/hostname", "NotIn", "n1", "n3")}),
                            tier=tier))
    world.check(Table().deny("x/*", "n2"), probes)


@pytest.mark.parametrize("tier", TIERS)
def test_09_and_20_node_peers_follow_labels(hosts, tier):
    world, side, probes = hosts, Side("egress"), to_hosts(hosts)
    world.apply(side.policy(side.rule("Accept", nodes_peer(role="db")), side.rule("Deny", nodes_peer()), tier=tier))
    closed = Table().deny("x/*", ["n1", "n2"])
    world.check(closed, probes)
    world.label("Node", "n2", role="db")
    world.check(closed.copy().allow("x/*", "n2"), probes)
    world.label("Node", "n1", role="db")
    world.label("Node", "n2", role=None)
    world.check(closed.copy().allow("x/*", "n1"), probes)
    # What pods and namespaces are called says nothing of nodes.
    world.label("Pod", "a", "y", role="db")
    world.label("Namespace", "z", role="db")
    world.apply(side.policy(side.rule("Deny", nodes_peer(role="db")), tier=tier))
    world.check(Table().deny("x/*", "n1"), probes)


@pytest.mark.parametrize("tier", TIERS)
def test_09_and_20_node_peers_come_go_and_have_several_addresses(hosts, tier):
    """A node that is registered with the address of the host outside, of which the kind and the family change."""
    def node(**metadata):
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n3", "labels": {"role": "edge"}, **metadata}, "spec": {}}

    def addresses(*entries):
        world.client.patch("Node", "n3", {"status": {"addresses": [
            {"type": kind, "address": address} for kind, address in entries]}}, sub="status")
        world.settle()

    world, side, probes = hosts, Side("egress"), to_hosts(hosts)
    deny = side.policy(side.rule("Deny", nodes_peer(role="edge")), tier=tier)
    world.apply(deny)
    world.check(Table(), probes)
    world.apply(node())
    addresses(("InternalIP", "192.0.2.77"), ("ExternalIP", OUTSIDE4), ("Hostname", OUTSIDE6))
    world.check(Table().deny("x/*", "outside", family=4), probes)
    addresses(("InternalIP", "192.0.2.77"), ("ExternalIP", OUTSIDE6))
    world.check(Table().deny("x/*", "outside", family=6), probes)
    world.apply(node(annotations={"projectcalico.org/IPv4Address": f"{OUTSIDE4}/24"}))
    world.check(Table().deny("x/*", "outside"), probes)
    addresses()
    world.check(Table().deny("x/*", "outside", family=4), probes)
    world.remove(node())
    world.check(Table(), probes)


@pytest.mark.parametrize("tier", TIERS)
def test_09_and_20_nodes_are_no_sources_and_have_no_named_ports(world, tier):
    """As the API says, a rule that wants either is not understood."""
    ins, outs = Side("ingress"), Side("egress")
    named = [named_protocol(port_name(80, "tcp"))]
    for side, rule in ((ins, {"peers": [nodes_peer()]}), (outs, {"peers": [nodes_peer()], "protocols": named}),
                       (outs, {"peers": [cluster_peer(Y), nodes_peer()], "protocols": named})):
        make = lambda action, s=side, r=rule: s.rule(action, *r["peers"], protocols=r.get("protocols"))
        behind = side.rule("Deny", cluster_peer(Y))
        world.client.load(side.policy(make("Accept"), behind, tier=tier, of=A_OF_X))
        try:
            world.settle()
            world.check(Table().deny(**side.between("x/a", "y/*")))
            world.client.load(side.policy(make("Deny"), tier=tier, of=A_OF_X))
            world.settle()
            world.check(Table().deny(**side.between("x/a", "*")))
        finally:
            world.client.delete("ClusterNetworkPolicy", "cnp")


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("unknown", [{"domainNames": ["*.example.org"]}, {"sometime": {}}])
def test_domain_names_and_unknown_peers_fail_closed(world, tier, unknown):
    """A rule that accepts and is not understood accepts nothing; one that denies or passes denies all."""
    side = Side("egress")
    accept = side.rule("Accept", unknown)
    behind = side.rule("Deny", cluster_peer(Y))
    world.client.load(side.policy(accept, behind, tier=tier, of=A_OF_X))
    try:
        world.settle()
        world.check(Table().deny("x/a", "y/*"))
        if "domainNames" not in unknown:
            for action in ("Deny", "Pass"):
                world.client.load(side.policy(side.rule(action, unknown), tier=tier, of=A_OF_X))
                world.settle()
                world.check(Table().deny("x/a"))
    finally:
        world.client.delete("ClusterNetworkPolicy", "cnp")


@pytest.mark.parametrize("tier", TIERS)
def test_10_11_21_and_22_named_ports(world, side, tier):
    accept = side.rule("Accept", cluster_peer(Y), protocols=[named_protocol(port_name(80, "tcp")),
                                                            named_protocol(port_name(81, "sctp"))])
    deny = side.rule("Deny", cluster_peer({}))
    expected = (Table().deny(**side.between("x/*", "*"))
                .allow(**side.between("x/*", "y/*"), protocol="tcp", port=80)
                .allow(**side.between("x/*", "y/*"), protocol="sctp", port=81))
    world.apply(side.policy(accept, deny, tier=tier))
    world.check(expected)
    world.apply(side.policy(deny, accept, tier=tier))
    world.check(Table().deny(**side.between("x/*", "*")))


def test_23_admin_then_network_policy_then_baseline(world, side):
    """Pass, deletion, and what stands behind."""
    any_pod = cluster_peer({})
    admin = side.policy(side.rule("Pass", cluster_peer(Y)), side.rule("Deny", cluster_peer(Z)), name="admin")
    section = [ingress(peer(labels(pod="b"), {}))] if side.is_in else [{"to": [peer(labels(pod="b"), {})]}]
    normal = network_policy("x", "normal", None, section if side.is_in else None,
                            None if side.is_in else section, ["Ingress" if side.is_in else "Egress"])
    baseline = side.policy(side.rule("Deny", any_pod), tier="Baseline", name="base")
    world.apply(baseline)
    world.check(Table().deny(**side.between("x/*", "*")))
    world.apply(normal)  # pods that a NetworkPolicy selects are not the baseline's any more
    world.check(Table().deny(**side.between("x/*", "*")).allow(**side.between("x/*", "*/b")))
    world.apply(admin)
    world.check(Table().deny(**side.between("x/*", "*")).allow(**side.between("x/*", ["x/b", "y/b"])))
    world.remove(normal)
    world.check(Table().deny(**side.between("x/*", "*")))
    world.remove(baseline)
    world.check(Table().deny(**side.between("x/*", "z/*")))
    world.apply(side.policy(side.rule("Accept", any_pod), name="admin"), baseline)
    world.check(Table())


def test_24_priorities_and_their_change(world, side):
    accept = lambda priority: side.policy(side.rule("Accept", cluster_peer(Y)), name="accept", priority=priority)
    deny = lambda priority: side.policy(side.rule("Deny", cluster_peer({})), name="deny", priority=priority)
    opened = Table().deny(**side.between("x/*", "*")).allow(**side.between("x/*", "y/*"))
    closed = Table().deny(**side.between("x/*", "*"))
    world.apply(accept(40), deny(50))
    world.check(opened)
    world.apply(deny(30))
    world.check(closed)
    world.apply(accept(0), deny(1000))
    world.check(opened)
    skip = side.policy(side.rule("Pass", cluster_peer(Z, labels(pod="c"))), name="skip", priority=20)
    world.apply(skip)
    world.check(opened.copy().allow(**side.between("x/*", "z/c")))
    world.apply(side.policy(side.rule("Pass", cluster_peer(Z, labels(pod="c"))), name="skip", priority=1000),
                deny(999))
    world.check(opened)


def test_subjects_by_namespace_and_by_pod_follow_labels(world):
    side = Side("ingress")
    world.apply(side.policy(side.rule("Deny", cluster_peer({})), of=subject(labels(guarded="yes"), labels(role="db"))))
    world.check(Table())
    world.label("Namespace", "z", guarded="yes")
    world.check(Table())
    world.label("Pod", "b", "z", role="db")
    world.label("Pod", "b", "y", role="db")
    world.check(Table().deny(to="z/b"))
    world.label("Namespace", "z", guarded=None)
    world.check(Table())
