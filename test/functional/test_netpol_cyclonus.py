"""The families of cases of the cyclonus generator, table-driven.

A table has nine targets, so nine cases of one direction are tried at once: case i is the one policy of pod i.
A failure's matrix shows the case as a column (ingress) or row (egress).
"""

import dataclasses
import itertools

import pytest

from policy.objects import (ALL, egress, expression, ingress, labels, namespace, network_policy, peer, port,
                            service_account)
from policy.prober import PROTOCOLS, Probe
from policy.services import ServiceRules
from policy.tables import Table
from policy.world import NAMESPACES, PODS

TARGETS = [f"{ns}/{pod}" for ns in NAMESPACES for pod in PODS]
A = labels(pod="a")


@dataclasses.dataclass
class Case:
    """`rules`: what stands in ingress or egress; `expect`: a function that opens what they allow."""

    name: str
    rules: object  # function(world) → list of rules without their side, as keyword arguments
    allows: object  # function(namespace of the target) → [(patterns, protocol, ports)]


def try_cases(world, cases, direction):
    """Nine cases at a time, each on a target of its own."""
    for batch in batched(cases):
        table, policies = Table(), []
        for case, target in zip(batch, TARGETS):
            ns, pod = target.split("/")
            rules = [side(direction, **rule) for rule in case.rules(world)]
            policies.append(network_policy(ns, f"case-{pod}", labels(pod=pod),
                                           rules if direction == "ingress" else None,
                                           rules if direction == "egress" else None, [direction.capitalize()]))
            ends = (lambda other, t=target: {"source": other, "to": t}) if direction == "ingress" else (
                lambda other, t=target: {"source": t, "to": other})
            table.deny(**ends("*"))
            for patterns, protocol, ports in case.allows(ns):
                table.allow(**ends(patterns), protocol=protocol, port=ports)
        world.apply(*policies)
        print({target: case.name for target, case in zip(TARGETS, batch)})
        world.check(table)
        world.reset()


def batched(cases):
    for start in range(0, len(cases), len(TARGETS)):
        yield cases[start:start + len(TARGETS)]


def side(direction, peers=(), ports=None):
    return ingress(*peers, ports=ports) if direction == "ingress" else egress(*peers, ports=ports)


# ---- peers
def n1_blocks(world, *excepts):
    node, out = world.node("n1"), [world.pod(key) for key in excepts]
    return [peer(cidr=node.pod_cidr4, excepts=[f"{p.ip(4)}/32" for p in out] or None),
            peer(cidr=node.pod_cidr6, excepts=[f"{p.ip(6)}/128" for p in out] or None)]


# name: (the peer's elements, whom it matches as seen from a namespace)
PEERS = {
    "own pods": (lambda world: [peer(ALL)], lambda ns: [f"{ns}/*"]),
    "own c": (lambda world: [peer(labels(pod="c"))], lambda ns: [f"{ns}/c"]),
    "any namespace": (lambda world: [peer(namespaces=ALL)], lambda ns: ["*"]),
    "namespace y": (lambda world: [peer(namespaces=labels(ns="y"))], lambda ns: ["y/*"]),
    "any pod anywhere": (lambda world: [peer(ALL, ALL)], lambda ns: ["*"]),
    "any pod of y": (lambda world: [peer(ALL, labels(ns="y"))], lambda ns: ["y/*"]),
    "c anywhere": (lambda world: [peer(labels(pod="c"), ALL)], lambda ns: ["*/c"]),
    "c of z": (lambda world: [peer(labels(pod="c"), labels(ns="z"))], lambda ns: ["z/c"]),
    "block": (n1_blocks, lambda ns: ["*/a", "*/b"]),
    "block with except": (lambda world: n1_blocks(world, "x/b", "z/a"), lambda ns: ["x/a", "y/a", "y/b", "z/b"]),
}


def peer_case(*names):
    return Case(" or ".join(names) or "no peers",
                lambda world: [{"peers": [element for name in names for element in PEERS[name][0](world)]}],
                lambda ns: [([p for name in names for p in PEERS[name][1](ns)] if names else "*", None, None)])


PEER_CASES = [peer_case(), *map(peer_case, PEERS)] + [peer_case(*pair) for pair in itertools.combinations(PEERS, 2)]


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_family_3_peers_and_pairs_of_peers(world, direction):
    assert len(PEER_CASES) == 1 + 10 + 45
    try_cases(world, PEER_CASES, direction)


# ---- ports
def port_case(name, elements, allows):
    return Case(name, lambda world: [{"ports": elements}], lambda ns: [("*", *row) for row in allows])


def single_ports():
    yield port_case("empty element", [port()], [("tcp", None)])
    for protocol in (None, "TCP", "UDP", "SCTP"):
        for number in (None, 80, 81):
            if protocol or number:
                yield port_case(f"{protocol}/{number}", [port(number, protocol)], [((protocol or "TCP").lower(), number)])
    for protocol in PROTOCOLS:
        for number in (80, 81):
            yield port_case(f"named {number} {protocol}", [port(f"serve-{number}-{protocol}", protocol.upper())],
                            [(protocol, number)])
            yield port_case(f"from {number} {protocol}", [port(number, protocol.upper(), end=number + 1)],
                            [(protocol, [80, 81] if number == 80 else 81)])


SINGLE_PORTS = list(single_ports())
PORT_PAIRS = [
    port_case("all tcp and all udp", [port(protocol="TCP"), port(protocol="UDP")], [("tcp", None), ("udp", None)]),
    port_case("tcp 80 and tcp 81", [port(80), port(81)], [("tcp", None)]),
    port_case("tcp 80 and udp 81", [port(80), port(81, "UDP")], [("tcp", 80), ("udp", 81)]),
    port_case("number and name", [port(80), port("serve-81-tcp")], [("tcp", None)]),
    port_case("name and another protocol's name", [port("serve-80-tcp"), port("serve-81-sctp", "SCTP")],
              [("tcp", 80), ("sctp", 81)]),
    port_case("range and name", [port(81, "UDP", 90), port("serve-80-udp", "UDP")], [("udp", None)]),
    port_case("overlapping ranges", [port(70, "SCTP", 80), port(80, "SCTP", 81)], [("sctp", None)]),
]


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_family_4_ports_and_pairs_of_ports(world, direction):
    assert len(SINGLE_PORTS) == 1 + 11 + 6 + 6 and len(PORT_PAIRS) == 7
    try_cases(world, SINGLE_PORTS + PORT_PAIRS, direction)


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_family_5_pathological_ports(world, direction):
    cases = [
        port_case("a name of another protocol", [port("serve-81-udp", "TCP")], []),
        port_case("a name nobody has", [port("serve-9999-tcp")], []),
        port_case("a number nobody serves", [port(7777)], []),
        port_case("a name nobody has, beside a number", [port("serve-9999-tcp"), port(80)], [("tcp", 80)]),
        port_case("a name of another protocol, beside it", [port("serve-81-udp", "TCP"), port("serve-81-udp", "UDP")],
                  [("udp", 81)]),
    ]
    try_cases(world, cases, direction)


def test_family_5_a_port_that_is_allowed_and_not_served_is_refused_by_the_pod(world):
    world.apply(network_policy("x", "unserved", A, [ingress(ports=[port(7777, name.upper()) for name in PROTOCOLS])]))
    probes = [Probe("y/b", "x/a", protocol, number, family)
              for protocol in PROTOCOLS for number in (7777, 7778) for family in (4, 6)]
    result = world.check(Table(False).allow(port=7777), probes)
    assert {result[p] for p in probes if p.port == 7777} == {"refused"}


# ---- rules, targets, namespaces
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_family_8_deny_all_and_allow_all(world, direction):
    ends = (lambda name: {"to": name}) if direction == "ingress" else (lambda name: {"source": name})
    deny, allow = ([], [{}])
    for rules, expected in ((deny, Table().deny(**ends("x/*"))), (allow, Table())):
        world.apply(network_policy("x", "rules", None, rules if direction == "ingress" else None,
                                   rules if direction == "egress" else None, [direction.capitalize()]))
        world.check(expected)


@pytest.mark.parametrize("name,selector,targets", [
    ("every pod", ALL, "abc"), ("by label", labels(pod="b"), "b"),
    ("in", expression("pod", "In", "a", "c", "d"), "ac"), ("not in", expression("pod", "NotIn", "a"), "bc"),
    ("exists", expression("pod", "Exists"), "abc"), ("does not exist", expression("pod", "DoesNotExist"), ""),
    ("both", {**labels(pod="a"), **expression("pod", "NotIn", "b")}, "a"), ("no match", labels(pod="none"), "")])
def test_family_7_targets(world, name, selector, targets):
    world.apply(*(network_policy(ns, "target", selector) for ns in "xz"))
    world.check(Table().deny(to=[f"{ns}/{pod}" for ns in "xz" for pod in targets]))


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_family_6_namespace_by_its_default_label(world, direction):
    name = "kubernetes.io/metadata.name"
    cases = [Case("is y", lambda world: [{"peers": [peer(namespaces=labels(**{name: "y"}))]}],
                  lambda ns: [("y/*", None, None)]),
             Case("one of", lambda world: [{"peers": [peer(namespaces=expression(name, "In", "y", "z"))]}],
                  lambda ns: [(["y/*", "z/*"], None, None)]),
             Case("not", lambda world: [{"peers": [peer(namespaces=expression(name, "NotIn", "y", "z"))]}],
                  lambda ns: [("x/*", None, None)])]
    try_cases(world, cases, direction)


# ---- conflicts
def everything(world, kind):
    """Peers that match all pods: by selector or by blocks."""
    if kind == "pod":
        return [peer(ALL, ALL)]
    return [peer(cidr="0.0.0.0/0"), peer(cidr="::/0")]


def nothing(kind):
    """Peers that match none of the pods."""
    if kind == "pod":
        return [peer(labels(pod="none"), ALL)]
    return [peer(cidr="192.0.2.0/24"), peer(cidr="2001:db8::/32")]


def test_family_2_the_server_allows_all_and_the_client_denies_all(world):
    world.apply(network_policy("x", "allow", A, [ingress()]),
                network_policy("y", "deny", labels(pod="b"), types=["Egress"]))
    world.check(Table().deny("y/b"))


def test_family_2_the_client_allows_all_and_the_server_denies_all(world):
    world.apply(network_policy("x", "deny", A),
                network_policy("y", "allow", labels(pod="b"), None, [egress()], ["Egress"]))
    world.check(Table().deny(to="x/a"))


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize("deny,allow", [("none", "all"), ("pod", "pod"), ("pod", "ip"), ("ip", "pod"), ("ip", "ip")])
def test_family_2_deny_all_and_allow_all_on_one_pod_allow(world, direction, deny, allow):
    """"none" and "all": an empty list and one empty rule."""
    denies = [] if deny == "none" else [side(direction, peers=nothing(deny))]
    allows = [side(direction)] if allow == "all" else [side(direction, peers=everything(world, allow))]

    def policy(name, rules):
        return network_policy("x", name, A, rules if direction == "ingress" else None,
                              rules if direction == "egress" else None, [direction.capitalize()])

    closed = Table().deny(to="x/a") if direction == "ingress" else Table().deny("x/a")
    world.apply(policy("deny", denies))
    world.check(closed)
    world.apply(policy("allow", allows))
    world.check(Table())


# ---- actions
def test_family_1_a_policy_is_created_updated_and_deleted(world):
    world.check(Table())
    world.apply(network_policy("x", "one", A, [ingress(peer(labels(pod="b")))]))
    world.check(Table().isolate("x/a").allow("x/b", "x/a"))
    world.apply(network_policy("x", "one", labels(pod="b"), [ingress(peer(labels(pod="c")), ports=[port(80)])]))
    world.check(Table().isolate("x/b").allow("x/c", "x/b", "tcp", 80))
    last = network_policy("x", "one", labels(pod="b"), None, [egress()], ["Egress"])
    world.apply(last)
    world.check(Table())
    world.remove(last)
    world.check(Table())


def test_family_1_a_namespace_with_pods_is_created_relabelled_and_deleted(world):
    world.apply(network_policy("x", "by-label", A, [ingress(peer(namespaces=labels(ns="w")))]))
    world.check(Table().isolate("x/a"))
    world.apply(namespace("w", ns="w"), service_account("w", "sa-d"))
    pod = world.add_pod("w", "d")
    try:
        world.settle()
        world.check(Table().isolate("x/a").allow("w/*", "x/a"))
        world.label("Namespace", "w", ns="other")
        world.check(Table().isolate("x/a"))
        world.label("Namespace", "y", ns="w")
        world.check(Table().isolate("x/a").allow("y/*", "x/a"))
    finally:
        world.del_pod(pod)
        world.changed.pop(("Namespace", None, "w"), None)
    world.remove(namespace("w"), service_account("w", "sa-d"))
    world.check(Table().isolate("x/a").allow("y/*", "x/a"))


def test_family_1_pods_are_created_relabelled_and_deleted(world):
    world.apply(network_policy("x", "by-label", labels(pod="d"), [ingress(peer(labels(pod="b")))]))
    world.check(Table())
    pods = [world.add_pod("x", "d", world.node(node)) if node == "n1" else world.add_pod("x", "e", world.node(node))
            for node in ("n1", "n2")]
    try:
        world.settle()
        world.check(Table().isolate("x/d").allow("x/b", "x/d"))
        world.label("Pod", "e", "x", pod="d")  # the second becomes a target
        world.check(Table().isolate("x/d", "x/e").allow("x/b", ["x/d", "x/e"]))
        world.label("Pod", "d", "x", pod="b")  # the first leaves, and is a peer now
        world.check(Table().isolate("x/e").allow(["x/b", "x/d"], "x/e"))
    finally:
        for pod in pods:
            world.del_pod(pod)
            world.changed.pop(("Pod", "x", pod.name), None)
    world.settle()
    world.check(Table())


# ---- probe modes
def test_family_10_by_the_address_of_a_service(world):
    """What policy allows to a pod it allows through the pod's service, on another port, and nothing else."""
    vips = {key: {4: f"10.96.1.{n}", 6: f"fd00:96::1:{n}"} for n, key in enumerate(TARGETS, 1)}
    with ServiceRules(world) as rules:
        for key, addresses in vips.items():
            for family, vip in addresses.items():
                for protocol in PROTOCOLS:
                    rules.add(vip, 8080, world.ip(key, family), 80, protocol)
        world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")), ports=[port(80)])]),
                    network_policy("z", "to-x", labels(pod="b"), None, [egress(peer(namespaces=labels(ns="x")))],
                                   ["Egress"]))
        direct = (Table().deny(to="x/a").allow("y/*", "x/a", "tcp", 80)
                  & Table().deny("z/b").allow("z/b", "x/*"))
        table, probes = Table(), []
        for source in TARGETS:
            for key, addresses in vips.items():
                for family, vip in addresses.items():
                    for protocol in PROTOCOLS if source != key else ():
                        probes.append(Probe(source, vip, protocol, 8080, family))
                        if not direct.expects(Probe(source, key, protocol, 80, family)):
                            table.deny(source, vip, protocol)
        services = {(vip, 8080): (key, 80) for key, addresses in vips.items() for vip in addresses.values()}
        result = world.check(table, probes, services=services)
        owner = {vip: key for key, addresses in vips.items() for vip in addresses.values()}
        assert all(result.who[p] == owner[p.target] for p in probes if result[p] == "open")
