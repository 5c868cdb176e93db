"""Calico's policies: order, tiers, pass, every match field, network sets, services, accounts. Items of
docs/PARITY.md in the names."""

import contextlib
import itertools
import socket
import struct
import time
from itertools import product

import pytest

from lab import Capture, wait_for
from lab.packets import Prober as Pinger
from policy import sctp
from policy.encapsulation import encapsulated
from policy.objects import (calico_policy, cluster_peer, cluster_policy, cluster_rule, endpoint_slice,
                            felix_configuration, global_policy,
                            ingress, labels, network_policy, network_set, peer, port, rule, service, subject, tier)
from policy.prober import AF, FAMILIES, PROTOCOLS, Probe
from policy.services import ServiceRules
from policy.tables import Table
from policy.world import port_name

A, B, C = ("pod == 'a'", "pod == 'b'", "pod == 'c'")
ALLOW, DENY, PASS = ([rule(action)] for action in ("Allow", "Deny", "Pass"))


def from_(selector, action="Allow", **more):
    return rule(action, source={"selector": selector}, **more)


def to_(selector, action="Allow", **more):
    return rule(action, destination={"selector": selector}, **more)


# ---- 9-11
def test_09_without_policy_everything_is_open(world):
    world.check(Table())


@pytest.mark.parametrize("types,ins,outs", [
    (None, True, False), (None, False, True), (None, True, True), (None, False, False),
    (["Ingress"], False, False), (["Egress"], False, False), (["Ingress", "Egress"], False, False),
    (["Ingress"], False, True), (["Ingress", "Egress"], True, True)])
def test_10_types_and_the_sections_that_are_there(world, types, ins, outs):
    """What is not named is read off the sections: ingress unless there are only egress rules."""
    world.apply(calico_policy("x", "types", A, [from_(B)] if ins else None, [to_(B)] if outs else None, types=types))
    table = Table()
    if "Ingress" in types if types else ins or not outs:
        table.deny(to="x/a")
        if ins:
            table.allow("x/b", "x/a")
    if "Egress" in types if types else outs:
        other = Table().deny("x/a")
        if outs:
            other.allow("x/a", "x/b")
        table = table & other
    world.check(table)


def test_11_an_empty_policy_denies_and_an_allow_rule_reopens(world):
    empty = calico_policy("x", "empty", A, types=["Ingress", "Egress"])
    world.apply(empty)
    world.check(Table().deny("x/a").deny(to="x/a"))
    reopens = calico_policy("x", "open", A, ALLOW, ALLOW, order=1)
    world.apply(reopens)
    world.check(Table())
    world.remove(reopens)
    world.check(Table().deny("x/a").deny(to="x/a"), world.pairs(protocols=["udp"]))
    world.remove(empty)
    world.check(Table())


# ---- 12-13
def test_12_order_inside_a_tier_and_its_change(world):
    deny = lambda order: global_policy("deny", A, DENY, order=order)
    allow = lambda order: global_policy("allow", A, [from_(B)], order=order)
    opened = Table().deny(to="*/a").allow("*/b", "*/a")
    world.apply(allow(10), deny(20))
    world.check(opened)
    world.apply(deny(5))
    world.check(Table().deny(to="*/a"))
    world.apply(deny(None))
    world.check(opened)
    world.apply(allow(None))  # both without: by name, and allow comes first
    world.check(opened)
    world.apply(deny(9.5), allow(9.25))
    world.check(opened)


def test_12_at_equal_order_the_name_decides(world):
    world.apply(global_policy("b-deny", A, DENY, order=7), global_policy("a-allow", A, [from_(B)], order=7),
                global_policy("c-allow", A, ALLOW, order=7))
    world.check(Table().deny(to="*/a").allow("*/b", "*/a"))


def test_12_tiers_pass_and_their_default_action(world):
    passes = global_policy("first.pass", A, [from_(B, "Pass"), from_(C, "Deny")], tier="first")
    allows = global_policy("second.allow", A, [from_("pod in {'b', 'c'}")], tier="second")
    world.apply(tier("first", 10), tier("second", 20), passes, allows)
    # b passes and is allowed; c is denied; a falls off the first tier, which denies.
    world.check(Table().deny(to="*/a").allow("*/b", "*/a"))
    world.apply(tier("first", 10, "Pass"))
    # a falls off both; the second one denies. c is denied by rule.
    world.check(Table().deny(to="*/a").allow("*/b", "*/a"))
    world.apply(tier("second", 20, "Pass"))
    world.check(Table().deny("*/c", "*/a"))
    # Swapped: c is allowed before anything denies it.
    world.apply(tier("second", 5, "Pass"))
    world.check(Table())
    world.apply(tier("second", 20, "Pass"))
    world.check(Table().deny("*/c", "*/a"))


def test_12_a_tier_without_a_policy_for_the_endpoint_is_skipped(world):
    world.apply(tier("first", 10), global_policy("first.other", "pod == 'none'", DENY, tier="first"),
                global_policy("first.egress-only", A, None, [to_(B, "Deny")], tier="first", types=["Egress"]))
    # The tier applies to a's egress: what falls off it is denied. Its ingress is not looked at.
    world.check(Table().deny("*/a"))


def test_12_a_policy_of_a_tier_that_does_not_exist_comes_last_and_closes(world):
    world.apply(global_policy("nowhere.b", A, [from_(B)], tier="nowhere"))
    world.check(Table().deny(to="*/a").allow("*/b", "*/a"))
    world.apply(global_policy("default", A, [from_(B, "Deny"), rule("Pass")]))
    world.check(Table().deny(to="*/a"))
    world.apply(tier("nowhere", 10, "Pass"))
    world.check(Table())


def test_12_a_tier_comes_and_goes_under_its_policies(world):
    """Created before them, deleted while they are there, created again with another action."""
    world.apply(tier("first", 10, "Pass"), global_policy("first.b", A, [from_(B)], tier="first"),
                global_policy("default", A, [from_("pod in {'b', 'c'}", "Deny"), rule("Allow")]))
    b_is_first = Table().deny("*/c", "*/a")
    world.check(b_is_first)
    world.remove(tier("first"))
    world.check(Table().deny(["*/b", "*/c"], "*/a"))
    world.apply(tier("first", 10))
    world.check(Table().deny(to="*/a").allow("*/b", "*/a"))
    world.apply(tier("first", 10, "Pass"))
    world.check(b_is_first)


def test_13_a_deny_behind_an_allow_has_no_effect(world):
    world.apply(tier("first", 10), tier("second", 20),
                global_policy("first.allow", A, ALLOW, tier="first"),
                global_policy("second.deny", "all()", DENY, tier="second"))
    world.check(Table().deny(to="*").allow(to="*/a"))


def test_13_after_pass_the_profile_decides(world):
    world.apply(calico_policy("x", "pass", A, PASS))
    world.check(Table())
    world.apply(calico_policy("x", "pass", A, [from_(B, "Pass")]))
    world.check(Table().deny(to="x/a").allow("x/b", "x/a"))


def test_13_pass_in_the_default_tier_reaches_the_baseline(world):
    world.apply(calico_policy("x", "pass", A, [rule("Pass")]),
                cluster_policy("base", "Baseline", 1, subject(labels(ns="x")),
                               [cluster_rule("Deny", [cluster_peer(labels(ns="y"))])]))
    world.check(Table().deny("y/*", "x/*"))


# ---- 15
NINE = [f"{ns}/{pod}" for ns in "xyz" for pod in "abc"]
SIXTEEN = [*range(9000, 9015), 80]
NAMED = [
    # name, entity for the destination or source, protocol, who may reach which ports
    ("one name", {"ports": [port_name(80, "tcp")]}, "TCP", [("*", 80)]),
    ("a name and a number", {"ports": [port_name(80, "tcp"), 81]}, "TCP", [("*", None)]),
    ("a name and sixteen numbers", {"ports": [port_name(81, "tcp"), *SIXTEEN]}, "TCP", [("*", None)]),
    ("udp", {"ports": [port_name(81, "udp")]}, "UDP", [("*", 81)]),
    ("sctp", {"ports": [port_name(80, "sctp"), "9000:9100"]}, "SCTP", [("*", 80)]),
    ("not this name", {"notPorts": [port_name(80, "tcp")]}, "TCP", [("*", 81)]),
    ("not this name nor sixteen numbers", {"notPorts": [port_name(81, "tcp"), *range(9000, 9016)]}, "TCP", [("*", 80)]),
    ("not a number", {"notPorts": [80]}, "UDP", [("*", 81)]),
    ("name but not number", {"ports": [port_name(80, "udp"), 81], "notPorts": ["81:90"]}, "UDP", [("*", 80)]),
]


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_15_named_ports_of_the_destination(world, direction):
    """Nine cases at a time: case i is the policy of pod i, towards it or from it."""
    table, policies = Table(), []
    for (name, entity, protocol, opened), target in zip(NAMED, NINE):
        ns, pod = target.split("/")
        rules = [rule("Allow", destination=entity, protocol=protocol)]
        policies.append(calico_policy(ns, f"named-{pod}", f"pod == '{pod}'", rules if direction == "ingress" else None,
                                      rules if direction == "egress" else None, types=[direction.capitalize()]))
        for who, number in opened:
            allowed = {"protocol": protocol.lower(), "port": number}
            if direction == "ingress":
                table.deny(to=target).allow(who, target, **allowed)
            else:
                table.deny(target).allow(target, who, **allowed)
    world.apply(*policies)
    world.check(table)


def test_15_named_ports_with_selectors_and_nets(world):
    n1 = world.node("n1")
    names = [port_name(80, "tcp")]
    both = [{"nets": [n1.pod_cidr4]}, {"nets": [n1.pod_cidr6]}]
    world.apply(
        # Egress by selector: the name counts on pods that the selector has.
        calico_policy("x", "by-selector", A, None, [
            rule("Allow", destination={"selector": B, "namespaceSelector": "ns in {'y', 'z'}", "ports": names},
                 protocol="TCP")], types=["Egress"]),
        # Beside nets: the port by name, and the address in the net.
        calico_policy("y", "by-net", A, None, [
            rule("Allow", destination={**net, "ports": names}, protocol="TCP") for net in both], types=["Egress"]),
        # Ingress: source by selector, the destination's port by name and one that it does not have.
        calico_policy("z", "from", C, [
            rule("Allow", source={"selector": B, "namespaceSelector": "all()"},
                 destination={"ports": [port_name(81, "udp"), "unknown"]}, protocol="UDP")]))
    world.check(Table().deny("x/a").allow("x/a", ["y/b", "z/b"], "tcp", 80)
                .deny("y/a").allow("y/a", ["*/a", "*/b"], "tcp", 80)
                & Table().deny(to="z/c").allow("*/b", "z/c", "udp", 81))


def test_15_names_of_the_source(world):
    """No probe comes from a port that a name stands for: a name as source allows none, its negation all."""
    names = [port_name(80, "tcp")]
    world.apply(calico_policy("x", "source", A, [rule("Allow", source={"ports": names}, protocol="TCP")]),
                calico_policy("x", "not-source", B, [rule("Allow", source={"notPorts": names}, protocol="TCP")]),
                calico_policy("x", "numbers", C, [rule("Allow", source={"ports": ["20000:65535"]}, protocol="UDP")]))
    world.check(Table().deny(to="x/*").allow(to="x/b", protocol="tcp").allow(to="x/c", protocol="udp"),
                has_reference=False)


NAME_PORT, SHARED_PORT, NUMBER_PORT, MARK_PORT = 4321, 4400, 4500, 9


def with_port(number):
    """A pod whose port of that number, in three protocols, is called "client"."""
    def change(obj):
        obj["spec"]["containers"][0]["ports"] = [
            {"name": f"client-{name}", "containerPort": number, "protocol": name.upper()} for name in PROTOCOLS]
    return change


def passes_from(world, source, target, flows, new_ports):
    """Those of (protocol, source port, family) of which a first packet to a new port arrives at the target. A datagram that
    policy allows is sent last: when it is there, they would have been."""
    source, target, arrived = world.pod(source), world.pod(target), set()
    with Capture(target.netns, "eth0") as capture, contextlib.ExitStack() as stack:
        def opened(family, *kind):
            s = stack.enter_context(source.netns.socket(AF[family], *kind))
            s.setblocking(False)
            return s

        for (protocol, number, family), new in zip(flows, new_ports):
            if protocol == "sctp":
                s = opened(family, socket.SOCK_RAW, sctp.PROTO_SCTP)
                s.sendto(sctp.init(number, new, 7), (target.ip(family), 0))
                continue
            s = opened(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((source.ip(family), number))
            s.connect_ex((target.ip(family), new))
            if protocol == "udp":
                s.send(b"x")
        marks = set()
        for family in FAMILIES:
            opened(family, socket.SOCK_DGRAM).sendto(b"mark", (target.ip(family), MARK_PORT))

        def all_in():
            for packet in capture.packets():
                name = {6: "tcp", 17: "udp", sctp.PROTO_SCTP: "sctp"}.get(packet.protocol)
                if packet.outgoing or name is None or packet.source not in source.ips:
                    continue
                family = 6 if ":" in packet.source else 4
                ports = struct.unpack_from("!HH", packet.payload)
                (marks if ports[1] == MARK_PORT else arrived).add((name, ports[0], family))
            return len(marks) == len(FAMILIES)

        wait_for(all_in, 5, "the marks", interval=0.002)
    return arrived


def test_15_names_of_the_source_that_packets_do_come_from(world):
    """Positive and negated, of ingress and egress, a number and nets beside, and one name on several pods."""
    new_ports = itertools.count(30000)
    mark = rule("Allow", protocol="UDP", destination={"ports": [MARK_PORT]})
    nets = [{"nets": [net]} for net in ("10.0.0.0/8", "fd00::/16")]
    of_each = lambda entities: [mark, *(rule("Allow", protocol=name.upper(), source={
        **entity, **{key: [port.format(name) if isinstance(port, str) else port for port in entity[key]]
                     for key in ("ports", "notPorts") if key in entity}}) for entity in entities for name in PROTOCOLS)]
    world.apply(
        calico_policy("x", "by-name", A, of_each([{"selector": "pod in {'d', 'e'}", "ports": ["client-{}"]}])),
        calico_policy("x", "not-name", B, of_each([{"notPorts": ["client-{}"]}])),
        calico_policy("x", "nets", C, of_each([{**net, "ports": ["client-{}", NUMBER_PORT]} for net in nets])),
        calico_policy("x", "out", "pod == 'f'", None, of_each([{"ports": ["client-{}", NUMBER_PORT]}])),
        calico_policy("x", "not-out", "pod == 'g'", None, of_each([{"notPorts": ["client-{}"]}])))
    pods = [world.add_pod("x", name, world.node(node), with_port(number)) for name, node, number in (
        ("d", "n1", NAME_PORT), ("e", "n2", SHARED_PORT), ("f", "n1", NAME_PORT), ("g", "n2", NAME_PORT))]
    try:
        world.settle()
        numbers = {NAME_PORT, SHARED_PORT, NUMBER_PORT}
        for source, target, wanted in (
                ("x/d", "x/a", {NAME_PORT}), ("x/e", "x/a", {SHARED_PORT}), ("x/f", "x/a", set()),
                ("x/d", "x/b", {SHARED_PORT, NUMBER_PORT}), ("x/e", "x/b", {NAME_PORT, NUMBER_PORT}),
                ("x/d", "x/c", {NAME_PORT, NUMBER_PORT}), ("x/e", "x/c", {SHARED_PORT, NUMBER_PORT}),
                ("x/f", "z/b", {NAME_PORT, NUMBER_PORT}), ("x/g", "z/c", {SHARED_PORT, NUMBER_PORT})):
            flows = [(name, number, family) for name in PROTOCOLS for number in sorted(numbers) for family in FAMILIES]
            found = passes_from(world, source, target, flows, new_ports)
            assert found == {flow for flow in flows if flow[1] in wanted}, (source, target)
    finally:
        for pod in pods:
            world.del_pod(pod)


def test_15_a_name_that_moves_to_another_port(world):
    def renamed(number):
        def change(obj):
            obj["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": number, "protocol": "TCP"}]
        return change

    world.apply(calico_policy("x", "web", "pod in {'d', 'e'}", [
        rule("Allow", destination={"ports": ["web"]}, protocol="TCP")]))
    pods = [world.add_pod("x", "d", change=renamed(80)), world.add_pod("x", "e", world.node("n2"), renamed(81))]
    try:
        world.settle()
        world.check(Table().deny(to=["x/d", "x/e"]).allow(to="x/d", protocol="tcp", port=80)
                    .allow(to="x/e", protocol="tcp", port=81))
    finally:
        for pod in pods:
            world.del_pod(pod)


# ---- 16
def blocks_of(world, *keys):
    return [f"{ip}/{128 if ':' in ip else 32}" for key in keys for ip in world.pod(key).ips]


def test_16_network_sets_of_the_namespace_and_global_ones(world):
    world.apply(network_set("x", "own", blocks_of(world, "y/a"), role="friend"),
                network_set("y", "foreign", blocks_of(world, "y/b"), role="friend"),
                network_set(None, "global", blocks_of(world, "y/c", "z/c"), role="friend"),
                calico_policy("x", "friends", A, [from_("role == 'friend'")]),
                calico_policy("x", "global-friends", B, [
                    rule("Allow", source={"selector": "role == 'friend'", "namespaceSelector": "global()"})]),
                calico_policy("x", "all-friends", C, [
                    rule("Allow", source={"selector": "role == 'friend'", "namespaceSelector": "all()"})]))
    world.check(Table().deny(to="x/*").allow("y/a", "x/a").allow(["y/c", "z/c"], "x/b").allow(["y/a", "y/b"], "x/c"))


def test_16_members_labels_and_removal_of_sets_in_use(world):
    first = network_set(None, "first", blocks_of(world, "y/a"), role="friend")
    world.apply(first, network_set(None, "second", blocks_of(world, "y/a", "z/a"), role="friend"),
                global_policy("friends", "pod == 'b'", [from_("role == 'friend'")]))
    base = Table().deny(to="*/b")
    world.check(base.copy().allow(["y/a", "z/a"], "*/b"))
    # A member of two sets goes only with the second one.
    world.remove(first)
    world.check(base.copy().allow(["y/a", "z/a"], "*/b"))
    world.apply(network_set(None, "second", blocks_of(world, "z/a", "z/c"), role="friend"))
    world.check(base.copy().allow(["z/a", "z/c"], "*/b"))
    world.apply(network_set(None, "second", blocks_of(world, "z/a", "z/c"), role="foe"))
    world.check(base)


def test_16_a_net_that_is_not_understood_opens_nothing(world):
    """What a version lacks may be what is denied: an earlier one without fault stays; the rest of a first one counts."""
    foes = blocks_of(world, "y/a", "z/a")
    world.apply(network_set(None, "foes", foes, role="foe"),
                global_policy("no-foes", "all()", [from_("role == 'foe'", "Deny"), rule("Allow")], order=1))
    denied = Table().deny("y/a").deny("z/a")
    world.check(denied)
    world.apply(network_set(None, "foes", [*blocks_of(world, "y/a"), "10.0.0.0/33"], role="foe"))
    wait_for(lambda: all("GlobalNetworkSet foes: spec.nets[" in node.felix.tail(400) for node in world.nodes.values()),
             10, "the net to be named")
    world.check(denied, has_reference=False)  # which knows no earlier versions
    world.apply(network_set(None, "foes", blocks_of(world, "y/a"), role="foe"))
    world.check(Table().deny("y/a"))
    world.apply(network_set(None, "first", ["here", *blocks_of(world, "z/c")], role="foe"))
    world.check(Table().deny("y/a").deny("z/c"))


def test_16_overlapping_nets_and_the_whole_internet(world):
    node = world.node("n1")
    wide = [node.pod_cidr4, node.pod_cidr6]
    world.apply(network_set(None, "wide", wide, role="friend"),
                network_set(None, "narrow", blocks_of(world, "y/a"), role="friend"),
                calico_policy("x", "friends", A, [from_("role == 'friend'")]),
                global_policy("g", "pod == 'c'", [from_("role == 'all'")]))
    # In a namespaced policy a selector means the namespace's own sets: the global ones do not count.
    own = Table().deny(to="x/a").deny(to="*/c")
    world.check(own)
    world.apply(calico_policy("x", "friends", A, [
        rule("Allow", source={"selector": "role == 'friend'", "namespaceSelector": "global()"})]))
    world.check(Table().deny(to="x/a").allow(["*/a", "*/b"], "x/a").deny(to="*/c"))
    world.apply(network_set(None, "wide", wide[:1], role="friend"),
                network_set(None, "everything", ["0.0.0.0/0", "::/0"], role="all"))
    world.check(Table().deny(to="x/a").allow(["*/a", "*/b"], "x/a", family=4).allow("y/a", "x/a"))


def test_16_halves_of_the_internet_duplicates_and_host_bits(world):
    """/0 is kept as two halves, which another set may have, too; a net may be there twice, also with host bits. What one set
    loses another one keeps, and the last one's end is the end."""
    n1 = world.node("n1")
    whole = network_set(None, "whole", ["0.0.0.0/0", "::/0"], role="friend")
    halves = network_set(None, "halves", ["0.0.0.0/1", "128.0.0.0/1", "8000::/1"], role="friend")
    once = network_set(None, "once", [n1.pod_cidr4, n1.pod_cidr6], role="friend")
    twice = network_set(None, "twice", [*blocks_of(world, "y/c"), *blocks_of(world, "y/c"), n1.pod_cidr6,
                                        n1.pod_cidr4.replace(".0/", ".77/")], role="friend")
    world.apply(global_policy("friends", A, [from_("role == 'friend'")]), whole, halves)
    closed = Table().deny(to="*/a")
    world.check(Table())
    world.remove(whole)
    world.check(Table())
    world.remove(halves)
    world.check(closed)
    world.apply(once, twice)
    n1s = closed.copy().allow(["*/a", "*/b"], "*/a")
    world.check(n1s.copy().allow("y/c", "*/a"))
    world.remove(once)
    world.check(n1s.copy().allow("y/c", "*/a"))
    world.apply(once, network_set(None, "twice", blocks_of(world, "y/c"), role="friend"))
    world.check(n1s.copy().allow("y/c", "*/a"))
    world.remove(twice)
    world.check(n1s)
    world.remove(once)
    world.check(closed)


def test_16_not_selectors_and_not_nets(world):
    """notSelector matches what is unknown to the cluster, too; !has() does not."""
    world.apply(calico_policy("x", "not-selector", A, [
                    rule("Allow", source={"notSelector": "pod == 'b'", "namespaceSelector": "all()"})]),
                calico_policy("x", "negated", B, [
                    rule("Allow", source={"selector": "!has(pod)", "namespaceSelector": "all()"})]),
                calico_policy("x", "not-nets", C, [
                    rule("Allow", source={"notNets": [f"{world.ip(key)}/32" for key in ("y/a", "y/b")]})]))
    table = Table().deny(to="x/*").allow(to="x/a").deny("*/b", "x/a")
    table.allow(to="x/c", family=4).deny(["y/a", "y/b"], "x/c", family=4)
    world.check(table)


# ---- 17
def service_objects(world, name, keys, number=80, protocol="TCP", ns="y"):
    v4, v6 = ([world.ip(key, family) for key in keys] for family in (4, 6))
    ports = [("main", protocol, number)]
    return [service(ns, name, [{"name": "main", "port": number, "protocol": protocol}]),
            endpoint_slice(ns, name, v4, ports, 4), endpoint_slice(ns, name, v6, ports, 6)]


def test_17_egress_to_a_service(world):
    by_service = lambda action: rule(action, destination={"services": {"name": "web", "namespace": "y"}})
    world.apply(*service_objects(world, "web", ["y/a", "y/c"]),
                calico_policy("x", "to-web", A, None, [by_service("Allow")]),
                calico_policy("x", "not-web", B, None, [by_service("Deny"), rule("Allow")]))
    table = (Table().deny("x/a").allow("x/a", ["y/a", "y/c"], "tcp", 80)
             .deny("x/b", ["y/a", "y/c"], "tcp", 80))
    world.check(table)
    # The endpoints change.
    world.apply(*service_objects(world, "web", ["y/b"], 81)[1:])
    world.check(Table().deny("x/a").allow("x/a", "y/b", "tcp", 81).deny("x/b", "y/b", "tcp", 81))
    # None are left.
    world.remove(*service_objects(world, "web", [])[1:])
    world.check(Table().deny("x/a"))


def test_17_ingress_from_a_service_and_in_a_tier(world):
    by_service = lambda action: rule(action, source={"services": {"name": "web", "namespace": "y"}})
    world.apply(*service_objects(world, "web", ["y/a", "z/c"]), tier("first", 10),
                calico_policy("x", "from-web", A, [by_service("Allow")]),
                global_policy("first.not-web", B, [by_service("Deny"), rule("Pass")], tier="first"))
    world.check(Table().deny(to="x/a").allow(["y/a", "z/c"], "x/a").deny(["y/a", "z/c"], "*/b"))


def test_17_policy_sees_the_pod_behind_a_service_not_its_address(world):
    vip4, vip6 = "10.96.0.10", "fd00:96::10"
    world.apply(network_policy("x", "only-y-a", labels(pod="a"), None,
                               [{"to": [peer(labels(pod="a"), labels(ns="y"))], "ports": [port(81)]}], ["Egress"]),
                network_policy("x", "by-vip", labels(pod="b"), None,
                               [{"to": [peer(cidr=f"{vip4}/32"), peer(cidr=f"{vip6}/128")]}], ["Egress"]))
    with ServiceRules(world) as rules:
        services = {}
        for (vip, family), (number, end) in product(((vip4, 4), (vip6, 6)), (
                (8080, ("y/a", 81)), (8081, ("y/b", 81)), (8082, ("y/a", 80)))):
            services[vip, number] = end
            for protocol in PROTOCOLS:
                rules.add(vip, number, world.ip(end[0], family), end[1], protocol)
        probes = [Probe(pod.key, vip, protocol, number, family) for pod in world.pods() for protocol in PROTOCOLS
                  for vip, family in ((vip4, 4), (vip6, 6)) for number in (8080, 8081, 8082)
                  if pod.key != services[vip, number][0]]  # hairpin is kube-proxy's to masquerade
        result = world.check(Table().deny("x/a").allow("x/a", protocol="tcp", port=8080).deny("x/b"), probes,
                             services=services)
        assert result.who[Probe("x/a", vip4, "tcp", 8080, 4)] == "y/a"


# ---- 18
def test_18_service_accounts_and_namespaces_in_rules(world):
    world.apply(calico_policy("x", "by-name", A, [rule("Allow", source={"serviceAccounts": {"names": ["sa-b"]}})]),
                calico_policy("x", "by-label", B, [
                    rule("Allow", source={"serviceAccounts": {"selector": "account == 'c'"},
                                          "namespaceSelector": "ns in {'y', 'z'}"})]),
                calico_policy("x", "namespace", C, [
                    rule("Allow", source={"namespaceSelector": "ns != 'y' && has(ns)"})]))
    world.check(Table().deny(to="x/*").allow("x/b", "x/a").allow(["y/c", "z/c"], "x/b").allow(["x/*", "z/*"], "x/c"))
    world.client.patch("ServiceAccount", "sa-c", {"metadata": {"labels": {"account": "d"}}}, "y")
    try:
        world.settle()
        world.check(Table().deny(to="x/*").allow("x/b", "x/a").allow("z/c", "x/b").allow(["x/*", "z/*"], "x/c"))
    finally:
        world.client.patch("ServiceAccount", "sa-c", {"metadata": {"labels": {"account": "c"}}}, "y")


def test_18_policies_that_select_by_account_and_namespace(world):
    world.apply(global_policy("by-account", "all()", DENY, serviceAccountSelector="account == 'a'", order=1,
                              types=["Ingress"]),
                global_policy("by-namespace", "pod == 'b'", DENY, namespaceSelector="ns == 'z'", order=2,
                              types=["Ingress"]))
    world.check(Table().deny(to=["*/a", "z/b"]))


# ---- 19
def test_19_many_policies_with_one_selector_over_tiers_and_staged_ones(world):
    policies = [tier("first", 10, "Pass"), tier("second", 20, "Pass")]
    for name in ("first", "second", "default"):
        prefix = "" if name == "default" else f"{name}."
        for index in range(6):
            policies.append(global_policy(f"{prefix}p{index}", A, [
                rule("Deny", protocol="UDP", destination={"ports": [7000 + index]})], [
                rule("Deny", protocol="UDP", destination={"ports": [7100 + index]})], tier=name, order=index * 10))
        policies.append(global_policy(f"{prefix}staged", A, DENY, DENY, tier=name, order=5,
                                      kind="StagedGlobalNetworkPolicy"))
    policies.append(global_policy("last", A, ALLOW, ALLOW, order=1000))
    world.apply(*policies)
    world.check(Table())
    middle = global_policy("second.middle", A, [rule("Deny", protocol="TCP", destination={"ports": [80]})], PASS,
                           tier="second", order=25)
    world.apply(middle)
    world.check(Table().deny(to="*/a", protocol="tcp", port=80))
    world.apply(global_policy("first.p0", A, [from_(B), from_(C, "Pass")], PASS, tier="first", order=0))
    world.check(Table().deny(to="*/a", protocol="tcp", port=80).allow("*/b", "*/a"))
    world.remove(middle)
    world.check(Table())


@pytest.mark.parametrize("kind,where", [("StagedGlobalNetworkPolicy", None), ("StagedNetworkPolicy", "x")])
def test_19_staged_policies_enforce_nothing(world, kind, where):
    world.apply(tier("first", 10),
                calico_policy(where, "first.staged", "all()", DENY, DENY, kind=kind, tier="first", stagedAction="Set"))
    world.check(Table())


def test_19_a_staged_kubernetes_policy_enforces_nothing(world):
    policy = network_policy("x", "staged", types=["Ingress", "Egress"])
    world.apply({**policy, "apiVersion": "crd.projectcalico.org/v1", "kind": "StagedKubernetesNetworkPolicy"})
    world.check(Table())


def test_19_a_policy_of_log_rules_alone_isolates(world):
    world.apply(calico_policy("x", "log", A, [rule("Log")]))
    world.check(Table().deny(to="x/a"))


# ---- 21
def test_21_policies_and_large_sets_do_not_slow_connections_down(world):
    """A set of 10,000 members costs a lookup, no walk."""
    probes = [Probe("x/b", "x/a", "tcp", 80, 4)]

    def median():
        times = []
        for _ in range(60):
            start = time.perf_counter()
            world.prober.probe(probes, set(probes))
            times.append(time.perf_counter() - start)
        return sorted(times)[len(times) // 2]

    before = median()
    nets = [f"10.{100 + i // 65536}.{i // 256 % 256}.{i % 256}/32" for i in range(10000)]
    for what, objs in (
            ("allow-all", [global_policy("p", "all()", ALLOW, ALLOW)]),
            ("all()", [global_policy("p", "all()", [from_("all()")], [to_("all()")])]),
            ("a set of 10,000", [network_set(None, "large", nets, role="large"), global_policy(
                "p", "all()", [from_("role == 'large'", "Deny"), rule("Allow")], order=1)])):
        world.apply(*objs)
        after = median()
        print(f"connection: {before * 1e6:.0f} µs without, {after * 1e6:.0f} µs with {what}")
        assert after < before * 2 + 0.0005, what


# ---- 22-23
def rules_of(world, node="n1", family=4):
    tool = "iptables" if family == 4 else "ip6tables"
    return world.node(node).netns.run([f"{tool}-{world.backend}-save"])


def test_20_a_policy_that_is_needed_on_every_node_is_written_where_no_pod_needs_it(world):
    def is_written():
        return "Policy early ingress" in rules_of(world)

    early = global_policy("early", "never == 'there'", [rule("Allow", protocol="TCP")])
    world.apply(early)
    assert not is_written()
    early["spec"]["performanceHints"] = ["AssumeNeededOnEveryNode"]
    world.apply(early)
    wait_for(is_written, 5, lambda: f"the policy's chain: {rules_of(world)}")
    world.check_open()
    world.remove(early)
    wait_for(lambda: not is_written(), 5, "the chain to go")


HARMLESS = "note_quote_ _x_ __reboot_ _id_ _-j ACCEPT __n__code _ end"


def test_22_annotations_of_rules_and_hostile_text_become_harmless_comments(world):
    hostile = 'quote" \'x\' $(reboot) `id` \n-j ACCEPT ünïcode \\ end'
    world.apply(calico_policy("x", "noted", A, [
        {**from_(B), "metadata": {"annotations": {"why": "because", "note": hostile}}},
        {"action": "Deny", "metadata": {"annotations": {"k" * 200: "v" * 400}}}]))
    world.check(Table().deny(to="x/a").allow("x/b", "x/a"))
    assert "reboot)" not in rules_of(world)
    for family in FAMILIES:  # a newline, letters beyond ASCII and quotes within one comment of one rule
        comments = [line for line in rules_of(world, family=family).splitlines() if "Policy x/noted ingress" in line]
        noted = [line for line in comments if "why_because" in line]
        assert noted and all(HARMLESS in line for line in noted), comments
        assert any("k" * 200 in line for line in comments), comments


def test_23_the_log_action_counts_and_goes_on(world):
    world.apply(calico_policy("x", "logged", A, [rule("Log", protocol="TCP"), from_(B)]))
    world.check(Table().deny(to="x/a").allow("x/b", "x/a"))
    logs = [line for line in rules_of(world).splitlines() if "-j LOG" in line]
    assert logs and all("--log-prefix" in line for line in logs), logs
    text = world.node("n1").netns.run([f"iptables-{world.backend}", "-t", "filter", "-nvxL"])
    counted = [int(line.split()[0]) for line in text.splitlines() if " LOG " in f" {line} "]
    assert counted and max(counted) > 0, text


# ---- 26
def test_26_icmp_by_type_and_code(world):
    world.apply(calico_policy("x", "echo", A, [
        rule("Allow", protocol="ICMP", icmp={"type": 8}), rule("Allow", protocol="ICMPv6", icmp={"type": 128, "code": 0})]),
                calico_policy("x", "no-echo", B, [
                    rule("Deny", protocol="ICMP", icmp={"type": 8, "code": 0}),
                    rule("Deny", protocol="ICMPv6", icmp={"type": 128}), rule("Allow")]),
                calico_policy("x", "not-other", C, [
                    rule("Allow", protocol="ICMP", notICMP={"type": 8}), rule("Allow", protocol="ICMPv6", notICMP={"type": 1})]))
    pinger = Pinger()
    try:
        pairs = {(to, family): (world.pod("y/a").netns, world.ip(to, family))
                 for to in ("x/a", "x/b", "x/c") for family in (4, 6)}
        wanted = {("x/a", 4), ("x/a", 6), ("x/c", 6)}
        answered = pinger.probe(pairs, wanted=wanted)
    finally:
        pinger.close()
    assert {key for key, ok in answered.items() if ok} == wanted
    world.check(Table().deny(to=["x/a", "x/c"]))


def test_26_neighbours_are_found_under_default_deny(world):
    world.apply(calico_policy("x", "none", "all()", types=["Ingress", "Egress"]),
                network_policy("x", "web", labels(pod="a"), [ingress(ports=[port(80)])]))
    for node in world.nodes.values():
        for link in node.netns.run(["ip", "-br", "link"]).splitlines():
            if link.startswith("cali"):
                node.netns.run(["ip", "neigh", "flush", "dev", link.split("@")[0]])
    for pod in world.pods():
        pod.netns.run(["ip", "neigh", "flush", "dev", "eth0"])
    world.check(Table().deny(to="x/*").deny("x/*").allow(["y/*", "z/*"], "x/a", "tcp", 80))


# ---- 28
def stray_answers(world, source, target):
    """How many of three SYN ACKs that nobody asked for arrive."""
    source, target = world.pod(source), world.pod(target)
    found = []
    with Capture(target.netns, "eth0") as capture:
        raw = source.netns.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        udp = source.netns.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for number in range(3):
            segment = struct.pack("!HHIIBBHHH", 80, 5000 + number, 1, 1, 0x50, 0x12, 1000, 0, 0)
            head = socket.inet_aton(source.ip()) + socket.inet_aton(target.ip()) + struct.pack("!BBH", 0, 6, 20)
            total = sum(struct.unpack("!16H", head + segment))
            total = (total & 0xFFFF) + (total >> 16)
            check = ~(total + (total >> 16)) & 0xFFFF
            raw.sendto(segment[:16] + struct.pack("!H", check) + segment[18:], (target.ip(), 0))
        udp.sendto(b"honest", (target.ip(), 4788))
        raw.close()
        udp.close()
        wait_for(lambda: found.extend(p for p in capture.packets() if not p.outgoing)
                 or any(b"honest" in p.payload for p in found), 5, "the honest packet")
    return sum(p.protocol == 6 and p.payload[13] == 0x12 for p in found)


def test_28_packets_of_no_connection_are_dropped_unless_they_are_to_pass(world):
    assert stray_answers(world, "y/a", "x/b") == 0
    checked_not = felix_configuration(disableConntrackInvalidCheck=True)
    world.apply(checked_not)
    assert stray_answers(world, "y/a", "x/b") == stray_answers(world, "y/a", "x/c") == 3
    world.remove(checked_not)
    assert stray_answers(world, "y/a", "x/b") == stray_answers(world, "y/a", "x/c") == 0


# ---- 29
def test_29_encapsulated_packets_from_a_pod_are_dropped(world):
    """IPIP and VXLAN made by a pod would be taken for the node's own behind masquerade."""
    world.apply(network_policy("x", "all", None, [ingress()], [{}], ["Ingress", "Egress"]))
    arrived = encapsulated(world, "x/a", "x/b")
    assert "ipip" not in arrived, "IPIP of a pod arrived"
    assert "vxlan" not in arrived, "VXLAN of a pod arrived"



# ---- what is not understood
def test_bad_input_closes_its_own_rule_and_nothing_else(world):
    """An allowing rule that is not understood allows nothing, a denying one denies all; the rest stays."""
    a = labels(pod="a")
    bad = [
        network_policy("x", "cidr", a, [ingress(peer(cidr="10.0.0.0/99")), ingress(peer(labels(pod="b")))]),
        network_policy("y", "port", a, [ingress(ports=[port("no such name!"), port(80)])]),
        network_policy("z", "operator", a, [ingress(peer({"matchExpressions": [{"key": "pod", "operator": "Like"}]})),
                                            ingress(peer(labels(pod="c")))]),
        calico_policy("x", "selector", B, [from_("pod == "), from_(C)]),
        calico_policy("y", "deny", B, [from_("pod ==", "Deny"), rule("Allow")]),
        calico_policy("z", "protocol", B, [rule("Allow", protocol=300), from_(C)]),
    ]
    world.client.load(bad)
    for obj in bad:
        world.written[world.key_of(obj)] = obj
    world.settle()
    world.check(Table().deny(to=["*/a", "*/b"]).allow("x/b", "x/a").allow(to="y/a", protocol="tcp", port=80)
                .allow("z/c", "z/a").allow("x/c", "x/b").allow("z/c", "z/b"))
    # A field of a later version may narrow the rule: without it the rule would allow more.
    unknown = calico_policy("z", "field", B, [rule("Allow", sometime={"a": 1}), from_(C)])
    world.client.load(unknown)
    world.written[world.key_of(unknown)] = unknown
    world.settle()
    world.check(Table().deny(to="z/b").allow("z/c", "z/b"), world.pairs(targets=["z/b"]), has_reference=False)
