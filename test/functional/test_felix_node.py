"""canal-felix and its Node object: addresses, annotations, duplicates, condition, pools; bad objects."""

import select
import socket

import pytest

from felix_nodes import ON_ONE_BACKEND, REFRESH, FelixCluster, stays
from lab import LabError, ZoneSpec, wait_for
from lab.cluster import BUILD
from lab.packets import PROTO_IPIP
from lab.topology import OUTSIDE4

CRD = "crd.projectcalico.org/v1"
BIRD = 'log stderr all;\nrouter id 10.1.0.11;\nprotocol device {{}}\n{}'


@pytest.fixture(name="cluster", scope="module", params=["nft", "legacy"])
def cluster_fixture(request):
    with FelixCluster([ZoneSpec("a", ["a1", "a2"])], backend=request.param,
                      settings={**REFRESH, "CANAL_NETWORK_UNAVAILABLE_AFTER": "2s"}) as cluster:
        cluster.start_nodes()
        yield cluster


@pytest.fixture(name="node")
def node_fixture(cluster):
    """Node a1 with default settings, ready, as it was made."""
    node = cluster.node("a1")
    yield node
    node.netns.ip("address flush dev lo scope global")
    if node.bird is not None:
        node.bird.kill9()
    node.felix.kill9()
    node.settings = {}
    cluster.api.patch("Node", "a1", {"metadata": {"annotations": {
        f"projectcalico.org/{key}": None for key in ("ASNumber", "IPv4Address", "IPv6Address")}}})
    cluster.api.patch_status("Node", "a1", node.object()["status"])
    node.start_canal()
    node.wait_ready()


def annotation(node, key):
    return node.annotations().get(f"projectcalico.org/{key}")


def expect(node, key, value, deadline=10):
    wait_for(lambda: annotation(node, key) == value, deadline,
             lambda: f"{key} to be {value}; it is {annotation(node, key)}; {node.felix.tail(5)}")


@ON_ONE_BACKEND
def test_addresses_are_written_once(node):
    assert annotation(node, "IPv4Address") == f"{node.ip4}/24"
    assert annotation(node, "IPv6Address") == f"{node.ip6}/64"
    assert annotation(node, "IPv4IPIPTunnelAddr") is None
    version = node.lab.api.client.get("Node", "a1")["metadata"]["resourceVersion"]
    node.restart_felix()
    node.wait_ready()
    wait_for(lambda: node.condition()[0] == "False", 10, "the condition")
    annotations = node.annotations()
    node.lab.api.patch("Node", "a1", {"metadata": {"labels": {"seen": "yes"}}})
    stays(lambda: node.annotations() == annotations, 1, "the annotations")
    assert version


@ON_ONE_BACKEND
@pytest.mark.parametrize("settings, ipv4, ipv6", [
    ({"IP_AUTODETECTION_METHOD": "first-found"}, "10.1.0.11/24", "fd00:1::b/64"),
    ({"IP_AUTODETECTION_METHOD": "interface=extra.*"}, "192.168.7.1/25", "fd00:1::b/64"),
    ({"IP_AUTODETECTION_METHOD": "skip-interface=eth0", "IP6_AUTODETECTION_METHOD": "skip-interface=eth0"},
     "192.168.7.1/25", "fd00:77::1/64"),
    ({"IP_AUTODETECTION_METHOD": "cidr=192.168.0.0/16", "IP6_AUTODETECTION_METHOD": "cidr=fd00:77::/32"},
     "192.168.7.1/25", "fd00:77::1/64"),
    ({"IP_AUTODETECTION_METHOD": "can-reach=192.168.7.99", "IP6_AUTODETECTION_METHOD": "can-reach=fd00:1::99"},
     "192.168.7.1/25", "fd00:1::b/64"),
    ({"IP": "192.168.7.1", "IP6": "fd00:77::1/60"}, "192.168.7.1/25", "fd00:77::1/60"),
    ({"IP6": "none", "AS": "64999"}, "10.1.0.11/24", None),
])
def test_every_way_to_find_the_address(node, settings, ipv4, ipv6):
    node.netns.ip("link add extra0 type bridge", "address add 192.168.7.1/25 dev extra0",
                  "address add fd00:77::1/64 dev extra0 nodad", "link set extra0 up",
                  "route replace 192.168.7.0/25 dev extra0 src 192.168.7.1")
    try:
        node.restart_felix(**settings)
        expect(node, "IPv4Address", ipv4)
        expect(node, "IPv6Address", ipv6)
        if "AS" in settings:
            expect(node, "ASNumber", settings["AS"])
        node.wait_ready()
    finally:
        node.netns.ip("link del extra0")


@ON_ONE_BACKEND
def test_without_an_internal_ip_the_first_address_found_is_taken(node):
    node.felix.kill9()
    node.lab.api.patch_status("Node", "a1", {"addresses": [{"type": "Hostname", "address": "a1"}]})
    node.lab.api.patch("Node", "a1", {"metadata": {"annotations": {"projectcalico.org/IPv4Address": None}}})
    node.start_canal()
    expect(node, "IPv4Address", f"{node.ip4}/24")


def test_an_address_that_changes_is_followed_at_once(node):
    node.restart_felix(IP_AUTODETECTION_METHOD="cidr=192.168.0.0/16", AUTODETECT_POLL_INTERVAL="1000s")
    wait_for(lambda: "no IPv4 address" in node.readiness()[1], 10, "the reason")
    assert node.readiness()[0] == 503
    node.netns.ip("link add extra0 type bridge", "link set extra0 up", "address add 192.168.7.1/25 dev extra0")
    try:
        expect(node, "IPv4Address", "192.168.7.1/25", 3)
        node.netns.ip("address del 192.168.7.1/25 dev extra0", "address add 192.168.7.2/24 dev extra0")
        expect(node, "IPv4Address", "192.168.7.2/24", 3)
        wait_for(lambda: node.set_members("cali40all-hosts-net") >= {"192.168.7.2", node.ip4}, 5, "the set")
        assert "192.168.7.1" not in node.set_members("cali40all-hosts-net")
    finally:
        node.netns.ip("link del extra0")


def test_two_nodes_with_one_address_are_both_named_and_the_second_waits(node):
    first = node.lab.node("a2")
    before = annotation(first, "IPv4Address")
    node.netns.ip(f"address add {first.ip4}/32 dev lo")
    node.restart_felix(IP=first.ip4)
    wait_for(lambda: f"address {first.ip4} is also that of node a2" in node.log(), 10, "the error")
    assert "Node a1" in node.log()
    wait_for(lambda: "is also that of node a2" in node.readiness()[1], 5, "the reason")
    status = node.felix_request({"op": "status"})
    assert not status["ready"] and status["limited"], "which of both nodes packets come to is not sure"
    stays(lambda: annotation(node, "IPv4Address") == f"{node.ip4}/24", 1, "the old annotation")
    assert first.felix_ready() and annotation(first, "IPv4Address") == before
    node.netns.ip("address flush dev lo scope global")
    # Somebody writes the address of a1 to another node, while a1 works with it: a1 goes on.
    node.restart_felix(IP="autodetect")
    node.wait_ready()
    twin = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "twin"},
            "status": {"addresses": [{"type": "InternalIP", "address": node.ip4}]}}
    node.lab.api.client.load([twin])
    wait_for(lambda: "this node had it first" in node.log(), 10, "the error")
    assert node.felix_ready()
    node.lab.api.delete("Node", "twin")
    wait_for(lambda: node.set_members("cali40all-hosts-net") == {node.ip4, first.ip4}, 10,
             "the address to stay when the twin goes")


@ON_ONE_BACKEND
def test_the_check_for_duplicates_can_be_switched_off(node):
    first = node.lab.node("a2")
    node.netns.ip(f"address add {first.ip4}/32 dev lo")
    node.restart_felix(IP=first.ip4, DISABLE_NODE_IP_CHECK="true")
    expect(node, "IPv4Address", f"{first.ip4}/32")


@ON_ONE_BACKEND
def test_the_condition_follows_health_both_ways(node):
    wait_for(lambda: node.condition()[:2] == ("False", "CanalIsUp"), 10, "the condition")
    node.restart_felix(IP_AUTODETECTION_METHOD="interface=extra0")
    wait_for(lambda: node.condition()[0] == "True", 10, "the condition to become true")
    assert "interface=extra0" in node.condition()[2]
    node.netns.ip("link add extra0 type bridge", "link set extra0 up", "address add 192.168.7.1/25 dev extra0")
    try:
        wait_for(lambda: node.condition()[0] == "False", 5, "the condition to become false")
    finally:
        node.netns.ip("link del extra0")


@ON_ONE_BACKEND
def test_a_short_illness_is_no_condition(node):
    node.restart_felix(IP_AUTODETECTION_METHOD="interface=extra0", CANAL_NETWORK_UNAVAILABLE_AFTER="1000s")
    wait_for(lambda: node.readiness()[0] == 503, 10, "to be unready")
    stays(lambda: node.condition()[0] == "False", 3, "the condition")


@ON_ONE_BACKEND
def test_the_condition_asks_bird(node):
    node.restart_felix(CALICO_NETWORKING_BACKEND="bird")
    wait_for(lambda: node.condition()[0] == "True" and "BIRD" in node.condition()[2], 15, "no BIRD to be told")
    peer = "protocol bgp nobody {{ local as 64512; neighbor 10.1.0.99 as 64512; ipv4 {{}}; }}\n"
    node.start_bird(BIRD.format(""))
    wait_for(lambda: node.condition()[0] == "False", 15, "a BIRD without peers to be healthy")
    node.bird_conf.write_text(BIRD.format(peer.format()))
    node.birdc("configure")
    wait_for(lambda: node.condition()[0] == "True", 15, "a BIRD without a session to be told")
    assert "none of 1 BGP peers" in node.condition()[2]
    assert node.felix_ready(), "the pods of this node do not wait for BGP"


def test_pools_are_followed_live(node):
    all_pools = lambda: node.set_members("cali40all-ipam-pools")
    masq = lambda: node.set_members("cali40masq-ipam-pools")
    node.lab.api.create({"apiVersion": CRD, "kind": "IPPool", "metadata": {"name": "more"},
                         "spec": {"cidr": "10.77.0.0/16", "natOutgoing": True}})
    wait_for(lambda: "10.77.0.0/16" in all_pools() & masq(), 5, "the new pool")
    node.lab.set_pool("more", natOutgoing=False)
    wait_for(lambda: "10.77.0.0/16" not in masq(), 5, "no masquerade")
    assert "10.77.0.0/16" in all_pools()
    # A disabled pool gives no new addresses; those it gave are treated as before.
    node.lab.set_pool("more", disabled=True, natOutgoing=True)
    wait_for(lambda: "10.77.0.0/16" in masq(), 5, "the masquerade of a disabled pool")
    assert "10.77.0.0/16" in all_pools()
    node.lab.api.delete("IPPool", "more")
    wait_for(lambda: all_pools() == {"10.244.0.0/16"}, 5, "the pool to go")


def test_nodes_outside_the_cluster_may_send_ipip_when_they_are_named(node):
    node.restart_felix(FELIX_EXTERNALNODESCIDRLIST="192.0.2.0/24, 0.0.0.0/0,bad")
    node.wait_ready()
    wanted = {"0.0.0.0/1", "128.0.0.0/1", "192.0.2.0/24"}
    stays(lambda: wanted <= node.set_members("cali40all-hosts-net"), 5, "the prefixes, over resyncs")
    assert "ExternalNodesCIDRList: 'bad'" in node.log()
    assert node.metric("canal_felix_repaired_total") == 0


class TunnelEar:
    """Hears IPIP that the node takes for itself, with or without a tunl0."""

    def __init__(self, node):
        self.node = node
        self.ear = node.netns.socket(socket.AF_INET, socket.SOCK_RAW, PROTO_IPIP)
        self.mark = node.netns.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.mark.bind((node.ip4, 0))
        for s in (self.ear, self.mark):
            s.settimeout(5)

    def hears(self, sender):
        """Whether IPIP of that namespace passes: when the datagram sent behind it is there, it would have been."""
        with sender.socket(socket.AF_INET, socket.SOCK_RAW, PROTO_IPIP) as raw, \
                sender.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            raw.sendto(b"\x45" + bytes(19), (self.node.ip4, 0))
            udp.sendto(b"behind", self.mark.getsockname())
        self.mark.recv(64)
        readable, _, _ = select.select([self.ear], [], [], 0)
        return bool(readable) and bool(self.ear.recv(128))

    def close(self):
        self.ear.close()
        self.mark.close()


def test_49_ipip_is_taken_from_nodes_and_named_networks_while_they_are(cluster, node):
    """An unknown source, a Node that comes and goes, and a network of ExternalNodesCIDRList."""
    ear, friend, stranger = TunnelEar(node), cluster.node("a2").netns, cluster.outside
    third = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "third"},
             "status": {"addresses": [{"type": "InternalIP", "address": OUTSIDE4}]}}

    def becomes(wanted, what):
        wait_for(lambda: ear.hears(stranger) == wanted, 3, what)
        assert ear.hears(friend)

    try:
        assert not ear.hears(stranger) and ear.hears(friend)
        cluster.api.client.load([third])
        becomes(True, "a new node to be let in")
        cluster.api.delete("Node", "third")
        becomes(False, "a node that went to be kept out")
        felix_configuration(cluster, "default", externalNodesList=[f"{OUTSIDE4}/30"])
        becomes(True, "the named network to be let in")
        cluster.api.delete("FelixConfiguration", "default")
        becomes(False, "the network to be kept out again")
    finally:
        ear.close()
        cluster.api.delete("Node", "third")
        cluster.api.delete("FelixConfiguration", "default")


@ON_ONE_BACKEND
def test_the_mtu_of_the_node_is_followed(node):
    mtu = lambda: (node.felix_request({"op": "status"})["mtu"], (node.state_dir / "mtu").read_text().strip())
    assert mtu() == (1500, "1500")
    node.netns.ip("link set eth0 mtu 1400")
    wait_for(lambda: mtu() == (1400, "1400"), 10, "the smaller MTU")
    node.netns.ip("link set eth0 mtu 1500")
    wait_for(lambda: mtu() == (1500, "1500"), 10, "the old MTU")


def test_bad_objects_are_named_and_harm_nothing(node):
    hostile = '10.0.0.1"; } -j ACCEPT\n-A INPUT'
    bad = [
        {"apiVersion": CRD, "kind": "IPPool", "metadata": {"name": "bad-cidr"}, "spec": {"cidr": "10.0.0.0/33"}},
        {"apiVersion": CRD, "kind": "IPPool", "metadata": {"name": "hostile-cidr"}, "spec": {"cidr": hostile}},
        {"apiVersion": "v1", "kind": "Node",
         "metadata": {"name": "hostile", "annotations": {"projectcalico.org/IPv4Address": hostile,
                                                         "x": "y" * 65536}},
         "spec": {"podCIDRs": [hostile, "10.244.300.0/24"]},
         "status": {"addresses": [{"type": "InternalIP", "address": hostile}]}},
        {"apiVersion": "v1", "kind": "Pod",
         "metadata": {"name": "hostile", "namespace": "default", "labels": {"x": hostile}},
         "spec": {"nodeName": "a1"}, "status": {"podIP": hostile, "phase": 7}},
    ]
    node.lab.api.client.load(bad)
    for text in ("IPPool bad-cidr: spec.cidr", "IPPool hostile-cidr: spec.cidr", "Node hostile: spec.podCIDRs[0]"):
        wait_for(lambda t=text: t in node.log(), 10, f"the log to say: {text}")
    pod = node.add_felix_pod("fine", 5)
    assert node.is_programmed(pod)
    assert node.set_members("cali40all-ipam-pools") == {"10.244.0.0/16"}
    assert node.set_members("cali40all-hosts-net") == {n.ip4 for n in node.lab.nodes.values()}
    assert not [r for r in node.own_rules() if "ACCEPT" in r and "INPUT" in r and "ipencap" not in r]
    assert node.felix_ready()
    for obj in bad:
        node.lab.api.delete(obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace"))
    node.clear_pods()


def test_without_the_ipip_module_the_rest_works_and_the_reason_is_told(node):
    node.lab.set_pool("pods4", ipipMode="CrossSubnet")
    try:
        pod = node.add_felix_pod("fine", 5)
        assert node.is_programmed(pod)
        if "tunl0" in node.netns.run(["ip", "-o", "link"]):
            wait_for(node.felix_ready, 10, "the tunnel")
        else:
            wait_for(lambda: "load the kernel module ipip" in node.log(), 5, "the reason")
            failures = node.metric("felix_int_dataplane_failures")
            wait_for(lambda: node.metric("felix_int_dataplane_failures") > failures, 10, "another try")
            # A pod more does not hide it.
            node.add_felix_pod("two", 6)
            with pytest.raises(LabError, match="load the kernel module ipip"):
                node.felix_ready()
            assert node.felix_request({"op": "status"})["limited"], "pods cannot send through the tunnel"
        assert annotation(node, "IPv4IPIPTunnelAddr") == node.pod_cidr4.replace(".0/24", ".1")
    finally:
        node.lab.set_pool("pods4", ipipMode="Never")
        node.clear_pods()
    wait_for(node.felix_ready, 10, "felix to be ready")
    expect(node, "IPv4IPIPTunnelAddr", None)


def test_no_pod_is_promised_while_rules_cannot_be_written(node):
    tools = node.dir / "tools"
    tools.mkdir()
    broken = tools / f"{node.tool()}-restore"
    for name in (f"{node.tool(4)}-save", f"{node.tool(6)}-save", f"{node.tool(6)}-restore"):
        (tools / name).symlink_to(f"/usr/sbin/{name}")
    broken.write_text("#!/bin/sh\nread -r line; echo out of order >&2; exit 4\n")
    broken.chmod(0o755)
    node.felix.kill9()
    node.netns.run([node.tool(), "-t", "raw", "-F"])
    node.settings = {"PATH": str(tools)}
    node.start_canal()
    wait_for(lambda: "exit code 4: out of order" in node.readiness()[1], 10, lambda: node.readiness()[1])
    assert node.felix_request({"op": "status"})["limited"], "policy is not what it should be"
    pod = node.wire("early", 5)
    with pytest.raises(LabError, match="timed out"):
        node.felix_request(node.add_request(pod), timeout=1.5)
    assert node.metric("felix_iptables_restore_errors") >= 1
    broken.unlink()
    wait_for(lambda: "is the package iptables installed" in node.readiness()[1], 15, "the other reason")
    broken.symlink_to(f"/usr/sbin/{broken.name}")
    assert node.felix_request(node.add_request(pod), timeout=20)["ok"]
    wait_for(node.felix_ready, 10, "felix to be ready")
    assert any("cali-from-wl" in rule and "DROP" in rule for rule in node.own_rules())
    node.clear_pods()


def test_a_write_under_way_is_no_illness(node):
    """Runtimes ask every few seconds, and one "no" makes a node NotReady."""
    node.add_felix_pod("web", 5)
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
              "metadata": {"name": "ports", "namespace": "default"},
              "spec": {"podSelector": {}, "ingress": [{"ports": [{"protocol": "TCP", "port": 80}]}]}}
    wait_for(node.felix_ready, 10, "felix to be ready")
    in_force = set()
    for port in range(1000, 1060):
        policy["spec"]["ingress"][0]["ports"] = [{"protocol": "TCP", "port": port}]
        node.lab.api.apply(policy)
        for _ in range(10):
            status = node.felix_request({"op": "status"})
            in_force.add("in_force" in status)
            assert status["ready"], status
    assert False in in_force, "never asked while something was being written"
    node.lab.api.delete("NetworkPolicy", "ports", "default")
    node.clear_pods()


@ON_ONE_BACKEND
def test_bad_settings_are_named(node):
    for name, value in (("IP_AUTODETECTION_METHOD", "interface=["), ("IP", "10.0.0.0/99"),
                        ("FELIX_INTERFACEPREFIX", "cali;x"), ("FELIX_HEALTHPORT", "0")):
        done = node.netns.run([str(BUILD / "canal-felix")], check=False, timeout=20,
                              env={"NODENAME": "x", "KUBECONFIG": "/nonexistent",
                                   "CANAL_RUN_DIR": str(node.dir / "other"),
                                   "CANAL_STATE_DIR": str(node.dir / "other"), name: value})
        assert value[:4] in done or name in done, (name, done)


@ON_ONE_BACKEND
def test_a_conflict_is_no_defeat(node):
    """The API refuses a write when the object changed beneath it (409): it is made again."""
    client = node.lab.api.client
    wait_for(lambda: node.condition()[0] == "False", 10, "the condition")
    rule = {"match": {"verb": "patch", "resource": ["nodes", "nodes/status"]}, "action": "409", "times": 2}

    def fired():
        return [r["fired"] for r in client.request("GET", "/_test/faults")["rules"]]

    try:
        client.faults(rule)
        node.restart_felix(IP_AUTODETECTION_METHOD="interface=extra0")
        wait_for(lambda: node.condition()[0] == "True", 20, lambda: f"the condition; {node.felix.tail(5)}")
        assert fired() == [2]
        client.faults(rule)
        node.restart_felix(IP="10.1.0.11/25", IP_AUTODETECTION_METHOD="first-found")
        expect(node, "IPv4Address", "10.1.0.11/25", 20)
        wait_for(lambda: node.condition()[0] == "False", 20, lambda: f"the condition; {node.felix.tail(5)}")
        assert fired() == [2, 2]
    finally:
        client.clear_faults()


# ---- settings that change
def felix_configuration(cluster, name, **spec):
    cluster.api.apply({"apiVersion": CRD, "kind": "FelixConfiguration", "metadata": {"name": name},
                       "spec": spec})


def test_settings_of_felixconfigurations_are_taken_up_live(cluster, node):
    def denies_with(target):
        return any(rule.endswith(f"-j {target}") for rule in node.own_rules() if "cali-cidr-block" in rule)

    cluster.api.apply({"apiVersion": CRD, "kind": "BGPConfiguration", "metadata": {"name": "default"},
                       "spec": {"asNumber": 64512, "serviceClusterIPs": [{"cidr": "10.96.0.0/16"}]}})
    wait_for(lambda: denies_with("DROP"), 10, "the block of service loops")
    felix_configuration(cluster, "default", serviceLoopPrevention="Reject", noSuchSetting="x",
                        externalNodesList=["192.0.2.0/24"], iptablesMarkMask=1)
    wait_for(lambda: any("REJECT" in rule for rule in node.own_rules() if "cali-cidr-block" in rule), 10,
             "the new action")
    wait_for(lambda: "192.0.2.0/24" in node.set_members("cali40all-hosts-net"), 10, "the external nodes")
    wait_for(lambda: node.metric("canal_felix_bad_settings") == 2, 5,
             lambda: f"two bad settings: {node.felix.tail(8)}")
    log = node.log()
    assert "noSuchSetting" in log and "iptablesMarkMask" in log
    # The node's own object is above the default, and its end brings that back.
    felix_configuration(cluster, f"node.{node.name}", serviceLoopPrevention="Disabled")
    wait_for(lambda: not any("10.96.0.0/16" in rule for rule in node.own_rules()), 10, "the node's own setting")
    cluster.api.delete("FelixConfiguration", f"node.{node.name}")
    wait_for(lambda: denies_with("REJECT --reject-with icmp-port-unreachable"), 10, "the default again")
    # One for nodes with a label stands in between, while the node has the label.
    felix_configuration(cluster, "racks", nodeSelector="rack == 'one'", serviceLoopPrevention="Drop")
    cluster.api.client.patch("Node", node.name, {"metadata": {"labels": {"rack": "one"}}})
    wait_for(lambda: denies_with("DROP"), 10, "the setting of the rack")
    cluster.api.client.patch("Node", node.name, {"metadata": {"labels": {"rack": None}}})
    wait_for(lambda: denies_with("REJECT --reject-with icmp-port-unreachable"), 10, "the default once more")
    cluster.api.delete("FelixConfiguration", "racks")
    cluster.api.delete("FelixConfiguration", "default")
    wait_for(lambda: denies_with("DROP"), 10, "the built-in action")
    wait_for(lambda: "192.0.2.0/24" not in node.set_members("cali40all-hosts-net"), 10, "the end of the external nodes")
    assert node.ip4 in node.set_members("cali40all-hosts-net")
