"""What policies of host endpoints do to connections that are open: those of the node itself, forwarded ones, and those
that came through DNAT. n1 has the endpoint; "outside" is a host beyond the routers."""

import time

import pytest

from lab.topology import OUTSIDE4, OUTSIDE6
from policy.flows import OpenFlows, assert_stopped, assert_untouched
from policy.objects import felix_configuration, global_policy, host_endpoint, ingress, labels, network_policy, network_set, port, rule
from policy.prober import FAMILIES, Place
from policy.services import ServiceRules

GONE, KEPT = 7001, 7002
NODE_PORT = 30081
FAILSAFE_IN, FAILSAFE_OUT = 22, 179
ON_HOST = "has(host)"
PROTOCOLS = ("tcp", "udp", "sctp")
BY_INTERFACE = pytest.mark.parametrize("interface", ["eth0", "*"])


@pytest.fixture(name="ends")
def ends_fixture(world):
    """{name: Place} of n1, n2, outside, which knows no way to pods, and the pods."""
    found = {pod.key: Place.of(pod) for pod in world.pods()}
    found |= {name: Place.of(world.node(name)) for name in ("n1", "n2")}
    found["outside"] = Place("outside", world.outside, {4: OUTSIDE4, 6: OUTSIDE6})
    return found


def n1_endpoint(interface="eth0", **more):
    return host_endpoint("n1-host", "n1", interface, host="n1", **more)


def only(number, **more):
    """Rules of one direction: this destination port, in all three protocols."""
    return [rule("Allow", protocol=name, destination={"ports": [number]}, **more) for name in ("TCP", "UDP", "SCTP")]


def open_all(flows, ends, pairs, number, protocols=PROTOCOLS):
    return [flows.open(protocol, ends[a], ends[b], number, family) for a, b in pairs for protocol in protocols
            for family in FAMILIES]


NODE_PAIRS = [("outside", "n1"), ("n1", "outside")]
FORWARDED = [("n2", "x/a"), ("y/b", "y/c"), ("x/c", "y/a")]
LOCAL = [("n1", "z/a"), ("z/a", "z/b"), ("x/a", "x/b")]


@BY_INTERFACE
def test_connections_of_the_node_stop_and_others_go_on(world, ends, interface):
    everything = global_policy("host", ON_HOST, [rule("Allow")], [rule("Allow")])
    world.apply(n1_endpoint(interface), everything)
    with OpenFlows() as flows:
        gone = open_all(flows, ends, NODE_PAIRS, GONE)
        kept = open_all(flows, ends, NODE_PAIRS, KEPT) + open_all(flows, ends, FORWARDED + LOCAL, GONE)
        kept.append(flows.open("tcp", ends["outside"], ends["n1"], FAILSAFE_IN))
        kept.append(flows.open("tcp", ends["n1"], ends["n2"], FAILSAFE_OUT, 6))
        flows.wait_both_ways()
        moment = time.monotonic()
        world.apply(global_policy("host", ON_HOST, only(KEPT), only(KEPT)))
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)
        # What is allowed again goes on, as it does for pods.
        world.apply(everything)
        flows.wait_both_ways(*[flow for flow in gone if flow.name.startswith("udp")])


@BY_INTERFACE
def test_an_endpoint_that_comes_ends_what_it_does_not_allow(world, ends, interface):
    with OpenFlows() as flows:
        gone = open_all(flows, ends, NODE_PAIRS, GONE)
        kept = open_all(flows, ends, FORWARDED + LOCAL, KEPT)
        kept.append(flows.open("tcp", ends["outside"], ends["n1"], FAILSAFE_IN))
        flows.wait_both_ways()
        moment = time.monotonic()
        endpoint = n1_endpoint(interface)
        world.apply(endpoint)
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)
        world.remove(endpoint)
        flows.wait_both_ways(*[flow for flow in gone if flow.name.startswith("udp")])


@BY_INTERFACE
def test_forwarded_connections_stop_under_apply_on_forward(world, ends, interface):
    world.apply(n1_endpoint(interface, profiles=["projectcalico-default-allow"]))
    with OpenFlows() as flows:
        gone = open_all(flows, ends, FORWARDED, GONE)
        kept = open_all(flows, ends, FORWARDED, KEPT) + open_all(flows, ends, LOCAL, GONE)
        flows.wait_both_ways()
        moment = time.monotonic()
        world.apply(global_policy("forward", ON_HOST, only(KEPT), only(KEPT), applyOnForward=True))
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)


def test_connections_stop_when_an_address_leaves_a_set_of_the_host(world, ends):
    def clients(*nets):
        return network_set(None, "clients", [*nets, "192.0.2.0/24"], role="client")
    world.apply(clients(f"{OUTSIDE4}/32", f"{OUTSIDE6}/128"), n1_endpoint(), global_policy("host", ON_HOST, [
        rule("Allow", source={"selector": "role == 'client'"}), *only(KEPT)], [rule("Allow")]))
    with OpenFlows() as flows:
        gone = open_all(flows, ends, [("outside", "n1")], GONE)
        kept = open_all(flows, ends, NODE_PAIRS, KEPT)
        flows.wait_both_ways()
        moment = time.monotonic()
        world.apply(clients())
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)


@BY_INTERFACE
def test_connections_through_a_node_port_are_judged_as_they_arrived(world, ends, interface):
    """preDNAT sees the node's port, applyOnForward and the pod's policy the pod's."""
    world.apply(n1_endpoint(interface, profiles=["projectcalico-default-allow"]))
    n1, pod = ends["n1"], ends["x/a"]
    with ServiceRules(world, [world.node("n1")]) as rules, OpenFlows() as flows:
        gone, kept = [], []
        for family in FAMILIES:
            for protocol in PROTOCOLS:
                for number in (GONE, KEPT):
                    via = (n1.ips[family], NODE_PORT + number)
                    rules.add(None, via[1], pod.ips[family], number, protocol)
                    flow = flows.open(protocol, ends["outside"], pod, number, family, via)
                    (gone if number == GONE else kept).append(flow)
        by_node = list(kept)
        # The same port of the pod, not by way of the node's.
        kept += open_all(flows, ends, [("n2", "x/b"), ("x/c", "y/a")], GONE)
        flows.wait_both_ways()
        deny = [rule("Deny", protocol=name, destination={"ports": [NODE_PORT + GONE]}) for name in ("TCP", "UDP", "SCTP")]
        moment = time.monotonic()
        world.apply(global_policy("node-ports", ON_HOST, deny, preDNAT=True, applyOnForward=True))
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)
        # The pod's policy goes by its own port.
        moment = time.monotonic()
        world.apply(network_policy("x", "a", labels(pod="a"), [ingress(ports=[port(9, "TCP")])]))
        assert_stopped(by_node, moment)
        assert_untouched(kept[len(by_node):], moment)


def test_failsafe_ports_that_are_taken_away_keep_nothing_open(world, ends):
    world.apply(n1_endpoint())
    with OpenFlows() as flows:
        gone = [flows.open("tcp", ends["outside"], ends["n1"], FAILSAFE_IN, family) for family in FAMILIES]
        kept = open_all(flows, ends, FORWARDED, GONE)
        flows.wait_both_ways()
        moment = time.monotonic()
        world.apply(felix_configuration(failsafeInboundHostPorts=[{"protocol": "tcp", "port": 179}]))
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)
