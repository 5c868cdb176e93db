"""The reference's way of a connection through nodes with host endpoints (test/policy/passage.py) against answers worked
out by hand. No kernel; random packets hold it against one (test_policy_random.py)."""

import pytest

from policy.objects import calico_policy, global_policy, host_endpoint, namespace, network_policy, rule
from policy.oracle import World, packet
from policy.passage import ARRIVED, OPEN, SILENT, UNSETTLED, Passage

N1, N2, OUT = "10.1.0.11", "10.1.0.12", "198.51.100.10"
POD, OTHER = "10.244.1.5", "10.244.2.5"  # on n1, on n2
ALLOW = ["projectcalico-default-allow"]


def pod(name, node, ip):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "labels": {"pod": name}},
            "spec": {"nodeName": node}, "status": {"podIPs": [{"ip": ip}]}}


def endpoint(interface="eth0", name="h", **more):
    return host_endpoint(name, "n1", interface, host="n1", **more)


def passes(objects, source, destination, protocol="TCP", port=80, **kwargs):
    world = World([namespace("x"), pod("a", "n1", POD), pod("b", "n2", OTHER), *objects])
    passage = Passage(world, {"n1": [N1], "n2": [N2]}, pools=["10.244.0.0/16"], **kwargs)
    return passage.connect(packet(source, destination, protocol, port, 25000))


@pytest.mark.parametrize("source,destination", [(N2, N1), (OUT, N1), (N1, N2), (N1, OUT)])
def test_an_endpoint_without_policy_closes_all_but_failsafes(source, destination):
    for interface in ("eth0", "*"):
        objects = [endpoint(interface)]
        assert passes(objects, source, destination) == SILENT
        assert passes(objects, source, destination, port=179) == OPEN
        assert passes(objects, source, destination, port=22) == (OPEN if destination == N1 else SILENT)
    assert passes([endpoint("eth7")], source, destination) == OPEN
    assert passes([endpoint(profiles=ALLOW)], source, destination) == OPEN


@pytest.mark.parametrize("source,destination", [(OUT, POD), (POD, OUT), (POD, OTHER), (N1, POD), (N2, POD)])
def test_an_endpoint_without_policy_does_not_look_at_pods(source, destination):
    assert passes([endpoint()], source, destination) == OPEN


def test_the_lowest_name_claims_an_interface_and_all_interfaces_come_last():
    closed, opened = endpoint(name="b"), endpoint(name="a", profiles=ALLOW)
    assert passes([closed, opened], N2, N1) == OPEN
    assert passes([endpoint(name="b", profiles=ALLOW), endpoint(name="a")], N2, N1) == SILENT
    assert passes([endpoint("*", name="a", profiles=ALLOW), closed], N2, N1) == SILENT
    assert passes([endpoint(None, ips=[N1], name="a"), endpoint(name="b", profiles=ALLOW)], N2, N1) == SILENT


@pytest.mark.parametrize("action,expected", [("Drop", SILENT), ("Accept", OPEN), ("Return", OPEN)])
def test_pods_to_their_node(action, expected):
    assert passes([endpoint()], POD, N1, to_host=action) == expected
    assert passes([network_policy("x", "p", types=["Egress"])], POD, N1, to_host=action) == SILENT


def test_forwarded():
    deny = global_policy("p", "has(host)", [rule("Deny", protocol="UDP"), rule("Allow")],
                         [rule("Deny", protocol="TCP"), rule("Allow")], applyOnForward=True)
    for source, destination, protocol, expected in (
            (OUT, POD, "TCP", OPEN), (OUT, POD, "UDP", SILENT), (POD, OUT, "TCP", SILENT), (POD, OUT, "UDP", OPEN),
            (N2, N1, "UDP", SILENT), (N1, N2, "TCP", SILENT), (N1, POD, "UDP", OPEN)):
        assert passes([endpoint(), deny], source, destination, protocol) == expected
    failsafe = global_policy("p", "has(host)", [rule("Deny")], applyOnForward=True)
    assert passes([endpoint(), failsafe], OUT, POD, port=22) == SILENT, "failsafes are for the node"


def test_pre_dnat():
    def policy(action):
        return global_policy("p", "has(host)", [rule(action)], preDNAT=True)

    normal = global_policy("q", "has(host)", [rule("Deny")], applyOnForward=True)
    assert passes([endpoint(profiles=ALLOW), policy("Deny")], OUT, POD) == SILENT
    assert passes([endpoint(profiles=ALLOW), policy("Deny")], POD, OUT) == OPEN, "answers are known"
    assert passes([endpoint(), policy("Deny")], OUT, POD, port=22) == OPEN, "a failsafe port, whoever it is for"
    for destination in (N1, POD):
        assert passes([endpoint(), policy("Allow"), normal], OUT, destination) == OPEN, "and nobody else is asked"
    pods_own = calico_policy("x", "r", ingress_rules=[rule("Deny")])
    assert passes([endpoint(), policy("Allow"), pods_own], OUT, POD) == SILENT, "but the pod"


def test_do_not_track():
    def policy(ingress=None, egress=None):
        return global_policy("p", "has(host)", ingress, egress, doNotTrack=True)

    both, one = policy([rule("Allow")], [rule("Allow")]), policy([rule("Allow")])
    assert passes([endpoint(), both], N2, N1) == OPEN
    assert passes([endpoint("*"), both], N2, N1) == SILENT, "not for all interfaces"
    # The request is let in and forgotten; its answer is no connection's, or, a datagram, the first of its own.
    assert passes([endpoint(), one], N2, N1) == ARRIVED
    assert passes([endpoint(profiles=ALLOW), one], N2, N1) == ARRIVED
    assert passes([endpoint(profiles=ALLOW), one], N2, N1, "UDP") == OPEN
    assert passes([endpoint(), one], N2, N1, "UDP") == ARRIVED
    # An answer that tracking did not see leaves a handshake without its middle.
    assert passes([endpoint(profiles=ALLOW), policy(None, [rule("Allow")])], N2, N1) == UNSETTLED
    assert passes([endpoint(profiles=ALLOW), policy([rule("Deny")])], N2, N1) == SILENT
    assert passes([endpoint(profiles=ALLOW), policy([rule("Deny")])], POD, OTHER) == ARRIVED, "the answer is denied"
    # What was masqueraded comes back to the node; untracked, it goes no further.
    assert passes([endpoint(profiles=ALLOW), one], POD, OUT, "UDP") == ARRIVED
    assert passes([endpoint(profiles=ALLOW), one], POD, OTHER, "UDP") == OPEN
