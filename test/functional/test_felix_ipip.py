"""canal-felix and IPIP: tunl0 and who may send. Needs the ipip module, so it runs in the test machine elsewhere."""

import json
import socket
import struct

import pytest

from felix_nodes import NO_REFRESH, FelixCluster, stays
from lab import Capture, ZoneSpec, probe, wait_for
from lab.topology import OUTSIDE4

pytestmark = pytest.mark.ipip


@pytest.fixture(name="cluster", scope="module")
def cluster_fixture():
    with FelixCluster([ZoneSpec("a", ["a1", "a2"])], ipip_mode="CrossSubnet", settings=NO_REFRESH) as cluster:
        cluster.start_nodes()
        yield cluster


def tunnel(node):
    """(MTU, up, addresses) of tunl0."""
    links = json.loads(node.netns.run(["ip", "-json", "-4", "address", "show", "dev", "tunl0"]) or "[]")
    links = [link for link in links if link]
    if not links:
        links = json.loads(node.netns.run(["ip", "-json", "link", "show", "dev", "tunl0"]))
    link = links[0]
    return (link["mtu"], "UP" in link["flags"],
            sorted(f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", []) if a["family"] == "inet"))


def ipip_packet(outer_source, outer_destination, inner_source, inner_destination, text):
    """An IPIP packet with a UDP datagram inside, from the outer header on."""
    def header(source, destination, protocol, length):
        raw = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 1, 0, 64, protocol, 0,
                          socket.inet_aton(source), socket.inet_aton(destination))
        total = sum(struct.unpack("!10H", raw))
        total = (total >> 16) + (total & 0xFFFF)
        return raw[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + raw[12:]

    udp = struct.pack("!HHHH", 4444, 4444, 8 + len(text), 0) + text
    inner = header(inner_source, inner_destination, socket.IPPROTO_UDP, len(udp)) + udp
    return header(outer_source, outer_destination, 4, len(inner)) + inner


def send(netns, packet, destination):
    with netns.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.sendto(packet, (destination, 0))


def test_tunl0_is_as_wanted_and_back_at_once(cluster):
    node = cluster.node("a1")
    address = node.pod_cidr4.replace(".0/24", ".1")
    want = (1480, True, [f"{address}/32"])
    whole = lambda: tunnel(node) == want
    wait_for(whole, 20, lambda: f"tunl0: {tunnel(node)}")
    assert node.annotations()["projectcalico.org/IPv4IPIPTunnelAddr"] == address
    assert node.felix_request({"op": "status"})["mtu"] == 1480
    for what, line in (("address", f"address del {address}/32 dev tunl0"),
                       ("one address more", "address add 192.0.2.7/32 dev tunl0"),
                       ("down", "link set tunl0 down"), ("MTU", "link set tunl0 mtu 1300")):
        node.netns.ip(line)
        wait_for(whole, 10, lambda w=what: f"tunl0 to be mended: {w}: {tunnel(node)}")
    node.netns.ip("link set eth0 mtu 1400")
    wait_for(lambda: tunnel(node)[0] == 1380, 10, "tunl0 to follow the node's MTU")
    node.netns.ip("link set eth0 mtu 1500")
    wait_for(whole, 10, "tunl0 to follow back")


def test_ipip_is_taken_from_nodes_only(cluster):
    node, friend = cluster.node("a1"), cluster.node("a2")
    pod = node.add_felix_pod("target", 5)
    thief = friend.add_felix_pod("thief", 6)
    inner = friend.pod_cidr4.replace(".0/24", ".77")
    node.netns.sysctl({"net/ipv4/conf/all/rp_filter": 0, "net/ipv4/conf/tunl0/rp_filter": 0})
    with Capture(pod.netns, "eth0") as capture, Capture(node.netns, "eth0") as wire:
        send(cluster.outside, ipip_packet(OUTSIDE4, node.ip4, inner, pod.ips[0], b"stranger"), node.ip4)
        # A pod that pretends to be its node, and one that hopes to be masqueraded as it.
        send(thief.netns, ipip_packet(friend.ip4, node.ip4, inner, pod.ips[0], b"thief-1"), node.ip4)
        send(thief.netns, ipip_packet(thief.ips[0], node.ip4, inner, pod.ips[0], b"thief-2"), node.ip4)
        send(friend.netns, ipip_packet(friend.ip4, node.ip4, inner, pod.ips[0], b"friend"), node.ip4)
        arrived, seen = [], []
        wait_for(lambda: arrived.extend(capture.packets()) or any(b"friend" in p.payload for p in arrived), 10,
                 "the packet of a node")
        seen.extend(wire.packets())
    assert any(b"stranger" in p.payload for p in seen), "it reached the node"
    assert not any(b"thief" in p.payload for p in seen), "pods cannot send IPIP"
    assert not [p for p in arrived if b"stranger" in p.payload or b"thief" in p.payload]
    node.clear_pods()
    friend.clear_pods()


def test_tunl0_loses_its_address_when_no_pool_needs_it(cluster):
    node = cluster.node("a1")
    cluster.set_pool(disabled=True)
    stays(lambda: tunnel(node)[2] == [node.pod_cidr4.replace(".0/24", ".1/32")], 2,
          "the address, which pods of a disabled pool need")
    cluster.set_pool(disabled=None)
    cluster.set_pool(ipipMode="Never")
    wait_for(lambda: tunnel(node)[2] == [], 10, lambda: f"the address to go: {tunnel(node)}")
    wait_for(lambda: "projectcalico.org/IPv4IPIPTunnelAddr" not in node.annotations(), 10, "the annotation to go")
    wait_for(lambda: node.felix_request({"op": "status"})["mtu"] == 1500, 10, "the pods' MTU")
    node.netns.ip("address add 192.0.2.7/32 dev tunl0")
    stays(lambda: tunnel(node)[2] == ["192.0.2.7/32"], 2, "an address that is not ours")
    cluster.set_pool(ipipMode="Always")
    wait_for(lambda: tunnel(node)[2] == [node.pod_cidr4.replace(".0/24", ".1/32")], 10, "the address")
    wait_for(node.felix_ready, 10, "felix to be ready")


def test_an_address_of_an_earlier_run_is_taken_away(cluster):
    node = cluster.node("a1")
    wait_for(lambda: tunnel(node)[2] == [node.pod_cidr4.replace(".0/24", ".1/32")], 10, "the address")
    wait_for(lambda: "projectcalico.org/IPv4IPIPTunnelAddr" in node.annotations(), 10, "the annotation")
    node.felix.kill9()
    cluster.set_pool(ipipMode="Never")
    node.start_canal()
    wait_for(lambda: tunnel(node)[2] == [], 20, lambda: f"the address to go: {tunnel(node)}")


def test_tunl0_can_be_switched_off_and_given_another_address(cluster):
    node, api = cluster.node("a1"), cluster.api
    own = node.pod_cidr4.replace(".0/24", ".1/32")
    cluster.set_pool(ipipMode="Always")
    wait_for(lambda: tunnel(node)[2] == [own], 20, lambda: f"tunl0: {tunnel(node)}")
    try:
        api.apply({"apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration", "metadata": {"name": "default"},
                   "spec": {"ipInIpTunnelAddr": "10.99.0.1"}})
        wait_for(lambda: tunnel(node)[2] == ["10.99.0.1/32"], 10, lambda: f"tunl0: {tunnel(node)}")
        api.apply({"apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration", "metadata": {"name": "default"},
                   "spec": {"ipipEnabled": False}})
        wait_for(lambda: tunnel(node)[2] == [], 10, lambda: f"tunl0: {tunnel(node)}")
    finally:
        api.delete("FelixConfiguration", "default")
    wait_for(lambda: tunnel(node)[2] == [own], 10, lambda: f"tunl0: {tunnel(node)}")


def test_49_nodes_and_pods_reach_pods_of_others_through_tunl0(cluster):
    """Without BIRD: routes are the test's own. The node speaks with tunl0's address, also where something else has chosen another
    one (a client of a service, whose address was taken before the way changed): answers to that would not come back."""
    nodes = [cluster.node("a1"), cluster.node("a2")]
    cluster.set_pool(ipipMode="Always")
    for node, other in zip(nodes, reversed(nodes)):
        wait_for(lambda n=node: tunnel(n)[2] == [n.pod_cidr4.replace(".0/24", ".1/32")], 20, f"tunl0 of {node.name}")
        node.netns.ip(f"route replace {other.pod_cidr4} via {other.ip4} dev tunl0 onlink")
        node.netns.sysctl({"net/ipv4/conf/all/rp_filter": 0, "net/ipv4/conf/tunl0/rp_filter": 0})
    near, far = (node.add_felix_pod("pod", 5) for node in nodes)
    a1, a2 = nodes
    try:
        with Capture(a2.netns, "eth0") as wire, Capture(far.netns, "eth0") as inside:
            assert all(probe({"node": (a1.netns, far.ips[0]), "pod": (near.netns, far.ips[0])}, tries=5).values())
            with a1.netns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((a1.ip4, 0))
                s.sendto(b"by another address", (far.ips[0], 9))
            seen = []
            wait_for(lambda: seen.extend(inside.packets()) or any(b"another address" in p.payload for p in seen), 10, "it")
            outer = [p for p in wire.packets() if not p.outgoing and p.inner]
        sources = {p.source for p in seen if p.destination == far.ips[0]}
        assert sources == {a1.pod_cidr4.replace(".0/24", ".1"), near.ips[0]}
        assert outer and {(p.source, p.destination) for p in outer} == {(a1.ip4, a2.ip4)}
    finally:
        for node in nodes:
            node.clear_pods()
