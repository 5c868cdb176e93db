"""canal-confd beside what a fabric has: two routers (plain BIRDs with a configuration of the test's own), a route
reflector among the nodes instead of the mesh, and fields of BGPPeer that only a live session shows."""

import time

import pytest

from confd_nodes import ConfdCluster, bgp_peer, expect_route
from lab import ZoneSpec, wait_for

ROUTER_AS = 65001
NODE_AS = 64512
BOTH = "10.99.0.0/24"  # both routers announce it
LOOPED = "10.98.0.0/24"  # with the nodes' own AS in its path
ROUTERS = ("t1", "t2")
REFLECTOR = {"projectcalico.org/RouteReflectorClusterID": "244.0.0.1"}


class FabricCluster(ConfdCluster):
    """r1 reflects for n1 and n2; t1 and t2 are routers, no nodes of the cluster."""

    def start_nodes(self):
        for name in ROUTERS:
            router = self.node(name)
            router.start_bird(router_config(router, self.node("n1")))
        self.api.create(bgp_peer("reflectors", nodeSelector="!has(reflector)",
                                 peerSelector="has(reflector)"))
        for name in ("r1", "n1", "n2"):
            node = self.node(name)
            self.api.create(node.object(*(({"reflector": "yes"}, REFLECTOR) if name == "r1" else ())))
            node.start_canal()
        for name, count in (("r1", 4), ("n1", 2), ("n2", 2)):
            wait_for(lambda n=self.node(name), c=count: n.bgp_established(c), 60,
                     f"{name}: its BGP sessions", interval=0.2)


def router_config(router, node, extra=""):
    return f"""
router id {router.ip4};
protocol device {{}}
protocol static {{
  ipv4;
  route {BOTH} blackhole;
  route {LOOPED} blackhole {{ bgp_path.prepend({NODE_AS}); }};
}}
protocol bgp n1 {{
  local {router.ip4} as {ROUTER_AS};
  neighbor {node.ip4} as {NODE_AS};
  connect delay time 1; connect retry time 1; error wait time 1, 1;
  {extra}
  ipv4 {{ import all; export all; }};
}}
"""


@pytest.fixture(name="fabric", scope="module")
def fabric_fixture():
    with FabricCluster([ZoneSpec("a", ["r1", "n1", "n2", *ROUTERS])], ipip_mode="Never",
                       mesh=False) as cluster:
        cluster.start_nodes()
        yield cluster


@pytest.fixture(name="peered")
def peered_fixture(fabric):
    """n1 peers with both routers; peers(t1={...}) gives a BGPPeer more fields than it needs."""
    made = []

    def peers(**more):
        for name in ROUTERS:
            fabric.api.create(bgp_peer(name, node="n1", peerIP=fabric.node(name).ip4, asNumber=ROUTER_AS,
                                       **more.get(name, {})))
            made.append(name)

    yield peers
    for name in made:
        fabric.api.delete("BGPPeer", name)
    wait_for(lambda: not fabric.node("n1").gateways(BOTH), 20, "the routers' routes to go")


def up(node, protocol):
    return lambda: node.bgp_peers().get(protocol) == "Established"


def peer_block(node, name):
    return node.bird_conf.read_text().split(f"# BGPPeer {name}\n")[1].split("\n}\n")[0]


def knows(router, cidr):
    return cidr in router.birdc(f"show route {cidr} protocol n1", check=False)


def test_a_reflector_among_the_nodes_replaces_the_mesh(fabric):
    r1, n1, n2 = (fabric.node(n) for n in ("r1", "n1", "n2"))
    assert set(n1.bgp_peers()) == {"peer_reflectors_r1", "peer_reflectors_r1_6"}, "n2 is no peer"
    expect_route(n1, n2.pod_cidr4, n2.ip4, "eth0")  # past the reflector, not through it
    expect_route(n2, n1.pod_cidr4, n1.ip4, "eth0")
    expect_route(n1, n2.pod_cidr6, n2.ip6, "eth0")
    expect_route(r1, n2.pod_cidr4, n2.ip4, "eth0")
    expect_route(n1, r1.pod_cidr4, r1.ip4, "eth0")
    route = n1.birdc(f"show route {n2.pod_cidr4} all")
    assert f"BGP.originator_id: {n2.ip4}" in route and "BGP.cluster_list: 244.0.0.1" in route


def test_two_routers_share_the_load_and_one_carries_on(fabric, peered):
    n1, n2, t1, t2 = (fabric.node(n) for n in ("n1", "n2", *ROUTERS))
    peered()
    wait_for(lambda: n1.gateways(BOTH) == {t1.ip4, t2.ip4}, 30,
             lambda: f"a route with two next hops; it is {n1.route_to(BOTH)}")
    for router in (t1, t2):
        wait_for(lambda r=router: knows(r, n1.pod_cidr4) and knows(r, n2.pod_cidr4), 20,
                 f"{router.name} to know the blocks of the cluster")
        assert not knows(router, BOTH), "a node is no transit between routers"
    t1.birdc("disable n1")
    wait_for(lambda: n1.gateways(BOTH) == {t2.ip4}, 20,
             lambda: f"the other router alone; it is {n1.route_to(BOTH)}")
    t1.birdc("enable n1")
    wait_for(lambda: n1.gateways(BOTH) == {t1.ip4, t2.ip4}, 30, "both again")


def test_routers_and_clients_of_a_reflector_hear_of_floating_addresses(fabric, peered):
    """Of all nodes; what felix would route stands for felix."""
    n1, n2, routers = fabric.node("n1"), fabric.node("n2"), [fabric.node(name) for name in ROUTERS]
    floating = {n1: "10.244.200.1", n2: "10.244.200.2"}
    peered()
    for node, address in floating.items():
        node.netns.ip("link add cali0 type bridge", "link set cali0 up", f"route add {address} dev cali0 proto 3 metric 1024")
    try:
        expect_route(n1, floating[n2], n2.ip4, "eth0")
        expect_route(n2, floating[n1], n1.ip4, "eth0")
        for router in routers:
            wait_for(lambda r=router: all(knows(r, f"{address}/32") for address in floating.values()), 20,
                     f"{router.name} to know floating addresses")
    finally:
        for node in floating:
            node.netns.ip("link del cali0")
    wait_for(lambda: not any(knows(r, f"{address}/32") for address in floating.values() for r in routers), 20, "them to go")


def test_the_own_as_in_a_path_is_accepted_as_often_as_allowed(fabric, peered):
    n1, t1 = fabric.node("n1"), fabric.node("t1")
    peered()
    wait_for(lambda: t1.ip4 in n1.gateways(BOTH), 30, "the routers' other route")
    assert not n1.gateways(LOOPED), "a path with the own AS is a loop"
    fabric.api.patch("BGPPeer", "t1", {"spec": {"numAllowedLocalASNumbers": 1}})
    wait_for(lambda: n1.gateways(LOOPED) == {t1.ip4}, 30,
             lambda: f"the route that is allowed now; {n1.birdc('show route')}")


def test_ttl_security_takes_neighbours_only(fabric, peered):
    """t1 speaks with TTL 255, as ttlSecurity asks; t2, as any eBGP router, with 1."""
    n1, t1, t2 = (fabric.node(n) for n in ("n1", *ROUTERS))
    try:
        t1.bird_conf.write_text(router_config(t1, n1, "ttl security on;"))
        t1.birdc("configure")
        peered(t1={"ttlSecurity": 1}, t2={"ttlSecurity": 1})
        wait_for(up(n1, "peer_t1"), 30, "the session with the router that sends TTL 255")
        time.sleep(3)  # that nothing comes can only be waited for; the router tries every second
        assert not up(n1, "peer_t2")(), n1.bgp_peers()
        assert n1.gateways(BOTH) == {t1.ip4}
        # t2 did not hear that n1 gave up its last try: it would wait for its hold timer.
        fabric.api.patch("BGPPeer", "t2", {"spec": {"ttlSecurity": None}})
        wait_for(lambda: "ttl security" not in peer_block(n1, "t2"), 10, "confd to follow")
        t2.birdc("restart n1")
        wait_for(up(n1, "peer_t2"), 30, "the session without the check")
    finally:
        t1.bird_conf.write_text(router_config(t1, n1))
        t1.birdc("configure")
