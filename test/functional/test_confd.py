"""canal-confd with real BIRDs and the test API server: two zones, three nodes, no felix.

See confd_nodes.py for what stands in for the IPIP device.
"""

import json
import socket
import time

import pytest

from confd_nodes import CRD, ConfdCluster, bgp_peer, expect_route
from lab import Capture, Stream, ZoneSpec, wait_for
from lab.cluster import BUILD
from lab.lab import ROOT


@pytest.fixture(name="cluster", scope="module")
def cluster_fixture():
    with ConfdCluster([ZoneSpec("a", ["a1", "a2"]), ZoneSpec("b", ["b1"])]) as cluster:
        cluster.start_nodes()
        yield cluster


def settled(cluster):
    for node in cluster.nodes.values():
        wait_for(lambda n=node: n.bgp_settled(cluster.sessions_of(n)), 60, f"{node.name} settled",
                 interval=0.2)


def test_blocks_go_native_inside_a_zone_and_through_tunl0_between_zones(cluster):
    a1, a2, b1 = (cluster.node(n) for n in ("a1", "a2", "b1"))
    expect_route(a1, a2.pod_cidr4, a2.ip4, "eth0")
    expect_route(a1, b1.pod_cidr4, b1.ip4, "tunl0")
    expect_route(b1, a1.pod_cidr4, a1.ip4, "tunl0")
    assert "onlink" in a1.route_to(b1.pod_cidr4)["flags"]
    assert [(r["type"], r["metric"]) for r in a1.own_block_routes()] == [("blackhole", 2**31 - 1)] * 2
    assert a1.route_to(a2.pod_cidr6)["dev"] == "eth0"
    assert a1.route_to(b1.pod_cidr6)["dev"] == "eth0", "IPv6 is never tunnelled"


def forwards(node, sender, target):
    """Whether a packet from elsewhere to an address leaves the node again."""
    with Capture(node.netns, "eth0") as capture, \
            sender.netns.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as s:
        # Behind it comes what the node answers, so that there is an end of waiting.
        s.sendto(b"for nobody", (target, 9))
        s.sendto(b"for the node", (node.ip6 if ":" in target else node.ip4, 9))
        seen = []
        wait_for(lambda: seen.extend(capture.packets()) or any(b"for the node" in p.payload and p.outgoing for p in seen), 5,
                 "the node's refusal")
    to_it = [p.outgoing for p in seen if p.destination == target]
    assert to_it and not to_it[0], "it came"
    return any(to_it)


def test_50_what_is_for_no_pod_of_a_block_does_not_go_back(cluster):
    """By the default route it would go to the router, which sends it back: 31 times there and here before. Only where there is
    no better route for the block, that of another plugin's bridge."""
    a1, a2 = cluster.node("a1"), cluster.node("a2")
    nobody = {4: a1.pod_cidr4.replace(".0/24", ".250"), 6: a1.pod_cidr6.replace("/64", "fa")}
    for target in nobody.values():
        assert not forwards(a1, a2, target)
    a1.netns.ip("link add cni0 type bridge", "link set cni0 up",
                *(f"route add {cidr} dev cni0" for cidr in (a1.pod_cidr4, a1.pod_cidr6)))
    try:
        a1.birdc("reload out kernel4")
        a1.birdc("reload out kernel6")
        for family, target in nobody.items():
            assert "dev cni0" in a1.netns.run(["ip", f"-{family}", "route", "get", target])
    finally:
        a1.netns.ip("link del cni0")
    assert len(a1.own_block_routes()) == 2
    # It is for the kernel alone what it is: peers were told of the block all the time.
    expect_route(a2, a1.pod_cidr4, a1.ip4, "eth0")


def test_the_mode_of_a_pool_is_switched_live(cluster):
    a1, a2, b1 = (cluster.node(n) for n in ("a1", "a2", "b1"))
    cluster.set_pool(ipipMode="Always")
    expect_route(a1, a2.pod_cidr4, a2.ip4, "tunl0")
    cluster.set_pool(ipipMode="Never")
    expect_route(a1, b1.pod_cidr4, a1.zone.gateway4, "eth0")
    cluster.set_pool(ipipMode="CrossSubnet")
    expect_route(a1, a2.pod_cidr4, a2.ip4, "eth0")
    expect_route(a1, b1.pod_cidr4, b1.ip4, "tunl0")
    assert all(s == "Established" for s in a1.bgp_peers().values()), "no session was restarted"


def test_a_disabled_pool_keeps_its_routes(cluster):
    """Pods still have its addresses: only allocation ends."""
    a1, a2, b1 = (cluster.node(n) for n in ("a1", "a2", "b1"))
    cluster.set_pool(disabled=True)
    wait_for(lambda: all("IPPool pods4, CrossSubnet, disabled" in n.bird_conf.read_text() for n in (a1, a2, b1)),
             10, "BIRD's configuration to name the disabled pool")
    wait_for(lambda: "pods of Node a1 still get addresses of spec.podCIDRs[0]" in a1.log(), 10,
             "a1 to say that its pods have no other addresses")
    for mode, device in (("Never", "eth0"), ("CrossSubnet", "tunl0")):
        cluster.set_pool(ipipMode=mode)
        expect_route(a1, b1.pod_cidr4, b1.ip4 if device == "tunl0" else a1.zone.gateway4, device)
        expect_route(a1, a2.pod_cidr4, a2.ip4, "eth0")
    cluster.set_pool(disabled=None)
    wait_for(lambda: "disabled" not in a1.bird_conf.read_text(), 10, "the pool to be enabled")


FLOATING = {4: "10.244.200.1", 6: "fd00:244:0:200::1"}


def test_floating_addresses_are_announced_while_their_routes_are_there(cluster):
    """What felix routes to a pod, in a pool and in no block of the node; a disabled pool is as good."""
    a1, a2, b1 = (cluster.node(n) for n in ("a1", "a2", "b1"))
    def floats(node, *addresses, verb="replace"):
        node.netns.ip(*(f"route {verb} {address} dev cali0 proto 3 metric 1024" for address in addresses))
    for node in (a1, a2):
        node.netns.ip("link add cali0 type bridge", "link set cali0 up")
    own, strange = a1.pod_cidr4.replace(".0/24", ".7"), "192.0.2.7"
    floats(a1, own, strange, *FLOATING.values())
    try:
        expect_route(a2, FLOATING[4], a1.ip4, "eth0")
        expect_route(a2, FLOATING[6], a1.ip6, "eth0")
        expect_route(b1, FLOATING[4], a1.ip4, "tunl0")
        assert a2.route_to(own) is None and a2.route_to(strange) is None
        cluster.set_pool(disableBGPExport=True)
        wait_for(lambda: a2.route_to(FLOATING[4]) is None, 10, "a pool that is not announced to hide it")
        cluster.set_pool(disableBGPExport=False, disabled=True)
        expect_route(a2, FLOATING[4], a1.ip4, "eth0")
        cluster.set_pool(disabled=False)
        # Another node has it, too, for a while: neither withdraws its own for the other's sake.
        floats(a2, *FLOATING.values())
        wait_for(lambda: len(b1.birdc(f"show route for {FLOATING[4]}/32").split("unicast")) == 3, 10, "b1 to hear of both")
        for node in (a1, a2):
            wait_for(lambda n=node: all(n.route_to(ip)["dev"] == "cali0" for ip in FLOATING.values()), 10, "its own alone")
        floats(a1, *FLOATING.values(), verb="del")
        expect_route(b1, FLOATING[4], a2.ip4, "tunl0")
        expect_route(a1, FLOATING[4], a2.ip4, "eth0")
    finally:
        for node in (a1, a2):
            node.netns.ip("link del cali0")
        cluster.set_pool(disableBGPExport=False, disabled=False)
    wait_for(lambda: not any(node.route_to(FLOATING[f]) for node in (a1, a2, b1) for f in (4, 6)), 10, "the routes to go")


def test_tunl0_that_comes_late_gets_its_routes(cluster):
    """Loading the module makes the device, down, long before felix raises it: BIRD refuses the routes then."""
    a1, b1 = cluster.node("a1"), cluster.node("b1")
    a1.netns.ip("link del tunl0")
    wait_for(lambda: a1.route(b1.pod_cidr4) is None, 10, "the route to go with its device")
    a1.netns.ip("link add tunl0 type bridge")
    a1.birdc("reload in mesh_b1")
    # confd has looked at the device while it was down, and BIRD has tried the route.
    time.sleep(1.5)
    assert a1.route(b1.pod_cidr4) is None
    a1.netns.ip("link set tunl0 up")
    expect_route(a1, b1.pod_cidr4, b1.ip4, "tunl0")


def test_tunl0_down_for_a_moment_gets_its_routes_back(cluster):
    a1, b1 = cluster.node("a1"), cluster.node("b1")
    for _ in range(5):
        a1.netns.ip("link set tunl0 down", "link set tunl0 up")
        expect_route(a1, b1.pod_cidr4, b1.ip4, "tunl0")


def test_tunl0_raised_while_confd_was_away_gets_its_routes(cluster):
    a1, b1 = cluster.node("a1"), cluster.node("b1")
    a1.netns.ip("link set tunl0 down")
    a1.birdc("reload in mesh_b1")
    a1.confd.stop()
    a1.netns.ip("link set tunl0 up")
    a1.confd.start()
    expect_route(a1, b1.pod_cidr4, b1.ip4, "tunl0")
    wait_for(a1.confd_ready, 40, "confd to be ready")


def test_what_does_not_change_the_text_is_not_loaded(cluster):
    a1 = cluster.node("a1")
    before = a1.metric("canal_bird_reloads_total")
    renders = a1.metric("canal_confd_renders_total")
    cluster.api.patch("Node", "a2", {"metadata": {"labels": {"seen": "yes"}}})
    wait_for(lambda: a1.metric("canal_confd_renders_total") > renders, 10, "a render")
    assert a1.metric("canal_bird_reloads_total") == before


def test_a_burst_of_changes_is_few_reloads(cluster):
    a1 = cluster.node("a1")
    before = a1.metric("canal_bird_reloads_total")
    # In one request: with one each, a slow machine makes no burst of them.
    cluster.api.client.load([{"apiVersion": CRD, "kind": "BGPPeer", "metadata": {"name": f"burst-{i}"},
                              "spec": {"node": "a1", "peerIP": f"192.0.2.{i + 1}", "asNumber": 65000}}
                             for i in range(60)])
    wait_for(lambda: len(a1.bgp_peers()) == 64, 20, "all peers")
    reloads = a1.metric("canal_bird_reloads_total") - before
    print(f"{reloads:.0f} reloads for 60 peers")
    assert reloads < 10
    for i in range(60):
        cluster.api.delete("BGPPeer", f"burst-{i}")
    wait_for(lambda: len(a1.bgp_peers()) == 4, 20, "the peers to go")


def test_bad_objects_are_named_and_harm_nothing(cluster):
    a1 = cluster.node("a1")
    hostile = '10.0.0.1"; } protocol bgp evil { neighbor 10.9.9.9 as 1; }\n'
    bad = [
        {"kind": "IPPool", "metadata": {"name": "bad-cidr"}, "spec": {"cidr": "10.0.0.0/33"}},
        {"kind": "IPPool", "metadata": {"name": "zz-overlap"}, "spec": {"cidr": "10.244.7.0/24"}},
        {"kind": "BGPPeer", "metadata": {"name": "bad-address"},
         "spec": {"peerIP": hostile, "asNumber": 65000}},
        {"kind": "BGPPeer", "metadata": {"name": "bad-selector"},
         "spec": {"peerIP": "192.0.2.1", "asNumber": 65000, "nodeSelector": "has(" + "x" * 65536}},
        {"kind": "BGPPeer", "metadata": {"name": "with-password"},
         "spec": {"peerIP": "192.0.2.1", "asNumber": 65000,
                  "password": {"secretKeyRef": {"name": "s", "key": "k"}}}},
    ]
    for obj in bad:
        cluster.api.client.load([{"apiVersion": CRD, **obj}])
    cluster.api.client.load([{
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "hostile", "labels": {"x": hostile, "y": "z" * 65536},
                     "annotations": {"projectcalico.org/IPv4Address": hostile,
                                     "projectcalico.org/ASNumber": "1; evil", "n": "}\n;" * 20000}},
        "spec": {"podCIDRs": [hostile, a1.pod_cidr4]},
        "status": {"addresses": [{"type": "InternalIP", "address": a1.ip4}]}}])
    for text in ("IPPool bad-cidr: spec.cidr", "IPPool zz-overlap: spec.cidr: overlaps IPPool pods4",
                 "BGPPeer bad-address: spec.peerIP", "BGPPeer bad-selector: spec.nodeSelector",
                 "BGPPeer with-password: spec.password", "Node hostile: spec.podCIDRs[0]",
                 "overlaps a block of Node hostile", "is also the address of Node a1"):
        wait_for(lambda t=text: t in a1.log(), 20, f"a1's log to say: {text}")
    good = {"apiVersion": CRD, "kind": "BGPPeer", "metadata": {"name": "good"},
            "spec": {"node": "a1", "peerIP": "192.0.2.9", "asNumber": 65000}}
    cluster.api.create(good)
    wait_for(lambda: "peer_good" in a1.bgp_peers(), 20, "a good peer among bad objects")
    assert "evil" not in a1.bird_conf.read_text()
    cluster.api.delete("BGPPeer", "good")
    cluster.api.delete("Node", "hostile")
    for obj in bad:
        cluster.api.delete(obj["kind"], obj["metadata"]["name"])
    wait_for(lambda: len(a1.bgp_peers()) == 4 and a1.bgp_established(4), 30, "the old state")
    assert cluster.node("b1").route(a1.pod_cidr4) == (a1.ip4, "tunl0")


def test_a_local_addition_is_included_and_a_broken_one_is_refused(cluster):
    a1 = cluster.node("a1")
    local = a1.dir / "local.d"
    local.mkdir(exist_ok=True)
    (local / "mine.conf").write_text("protocol static mine { ipv4; route 203.0.113.0/24 blackhole; }\n")
    a1.confd.signal(1)
    wait_for(lambda: "mine" in a1.birdc("show protocols"), 10, "the local addition")
    (local / "mine.conf").write_text("this is not BIRD\n")
    a1.confd.signal(1)
    wait_for(lambda: "is refused, the last good one stays" in a1.log(), 10, "the refusal")
    assert "mine" in a1.birdc("show protocols")
    (local / "mine.conf").unlink()
    a1.confd.signal(1)
    wait_for(lambda: "mine" not in a1.birdc("show protocols"), 10, "the addition to go")


def test_an_api_outage_and_a_restart_of_confd_change_nothing(cluster):
    a1 = cluster.node("a1")
    text = a1.bird_conf.read_text()
    cluster.api.down()
    a1.confd.kill9()
    a1.confd.start()
    wait_for(lambda: "connected to BIRD" in a1.log().rsplit("BGP sessions are established", 1)[-1]
             or a1.log().count("connected to BIRD") > 1, 20, "the new confd")
    assert a1.bird_conf.read_text() == text
    cluster.api.up()
    wait_for(lambda: a1.metric("canal_bird_config_loaded") == 1, 60, "confd to agree")
    assert a1.bird_conf.read_text() == text
    assert a1.metric("canal_bird_reloads_total") == 0
    assert a1.bgp_established(4)


@pytest.mark.parametrize("planned", [False, True], ids=["killed", "planned"])
def test_a_restart_of_bird_loses_no_packet(cluster, planned):
    a1, a2 = cluster.node("a1"), cluster.node("a2")
    settled(cluster)
    pods = [n.pods.get("default/p") or n.wire_pod("p", 7) for n in (a1, a2)]
    for node in (a1, a2):
        node.netns.sysctl({"net/ipv4/ip_forward": 1})
    with Stream({"there": (pods[0].netns, pods[1].netns, pods[1].ip()),
                 "back": (pods[1].netns, pods[0].netns, pods[0].ip())}) as stream:
        wait_for(lambda: all(f.seen for f in stream.flows), 10, "the stream to flow")
        first = stream.mark()
        if planned:
            a2.restart_bird_gracefully()
        else:
            a2.kill_bird()
        wait_for(lambda: a2.bgp_settled(4) and a1.bgp_settled(4), 60, "the sessions", interval=0.2)
        last = stream.mark()
        stream.stop()
    assert stream.lost_between(first, last) == {}
    settled(cluster)


def test_a_node_that_goes_and_comes_back(cluster):
    """The last test: it takes a node away."""
    a1, b1 = cluster.node("a1"), cluster.node("b1")
    cluster.api.delete("Node", "b1")
    wait_for(lambda: a1.route(b1.pod_cidr4) is None, 20, "the routes of a deleted node to go")
    assert sorted(a1.bgp_peers()) == ["mesh_a2", "mesh_a2_6"]
    start = time.monotonic()
    cluster.api.create(b1.object())
    expect_route(a1, b1.pod_cidr4, b1.ip4, "tunl0")
    print(f"a new node's block is in the kernel of another after {time.monotonic() - start:.2f} s")


def test_once_prints_from_the_api(cluster):
    a1 = cluster.node("a1")
    argv = [str(BUILD / "canal-confd"), "--node-name", "a1", "--kubeconfig",
            str(cluster.api.token_kubeconfig), "--templates", str(ROOT / "bird-templates")]
    context = json.loads(a1.netns.run([*argv, "--once", "--dump-context"]))
    assert context["router_id"] == a1.ip4
    text = a1.netns.run([*argv, "--once", "--dry-run"])
    assert "protocol bgp mesh_a2" in text


def test_confd_ends_when_it_is_told_to_and_bird_goes_on(cluster):
    a2 = cluster.node("a2")
    wait_for(lambda: a2.bgp_established(4), 60, "a2's sessions", interval=0.2)
    assert a2.confd.stop() == 0
    assert "ending" in a2.log()
    assert a2.bgp_established(4)


def test_a_kind_the_role_does_not_name_is_named_with_what_to_do(cluster):
    node = cluster.node("a1")
    settled(cluster)
    before = node.bird_conf.read_text()
    node.confd.kill9()
    cluster.api.client.faults({"match": {"verb": "list", "resource": "bgppeers"}, "action": "status", "code": 403})
    try:
        node.confd.start()
        wait_for(lambda: "the API forbids to list BGPPeer; apply the ClusterRole" in node.http_get(9092, "/readiness")[1],
                 20, "the kind and the advice")
        assert node.bird_conf.read_text() == before
    finally:
        cluster.api.client.clear_faults()
    wait_for(lambda: node.http_get(9092, "/readiness")[0] == 200, 60, "confd to be ready")


def test_a_file_that_came_while_bird_started_is_loaded(cluster):
    """BIRD has read the file before, and says a later time than that of the one that is there."""
    node = cluster.node("a1")
    old = node.dir / "older.conf"
    node.bird.kill9()
    old.write_text(node.bird_conf.read_text())
    said = node.log().count("BIRD is not there yet")
    cluster.api.create(bgp_peer("late", node="a1", peerIP="192.0.2.77", asNumber=65077))
    argv = list(node.bird.argv)
    try:
        wait_for(lambda: node.log().count("BIRD is not there yet") > said, 20, "confd to write the file")
        node.bird.argv = [str(old) if word == str(node.bird_conf) else word for word in argv]
        assert node.bird.argv != argv
        node.start_bird(recover=True)
        wait_for(lambda: any("192.0.2.77" in line for line in node.birdc("show protocols all").splitlines()), 20,
                 lambda: f"BIRD to be told of the peer: {node.confd.tail(5)}")
    finally:
        node.bird.argv = argv
        cluster.api.delete("BGPPeer", "late")
    wait_for(lambda: node.bgp_established(cluster.sessions_of(node)), 60, "its sessions")
