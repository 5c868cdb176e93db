"""Settings of canal-felix that change while it runs, and those that wait for a start; seen in the kernel."""

import json
import select
import socket
from pathlib import Path

import pytest

from felix_nodes import ON_ONE_BACKEND, REFRESH, FelixCluster, stays
from lab import Capture, LabError, Netns, Stream, ZoneSpec, probe, wait_for
from lab.topology import OUTSIDE4, OUTSIDE6

CRD = "crd.projectcalico.org/v1"


@pytest.fixture(name="cluster", scope="module", params=["nft", "legacy"])
def cluster_fixture(request):
    with FelixCluster([ZoneSpec("a", ["a1", "a2"])], backend=request.param, settings=REFRESH) as cluster:
        cluster.start_nodes()
        yield cluster


@pytest.fixture(name="node")
def node_fixture(cluster):
    node = cluster.node("a1")
    node.wait_ready()
    yield node
    for name in ("default", f"node.{node.name}"):
        cluster.api.delete("FelixConfiguration", name)
    node.clear_pods()
    if node.settings:
        node.settings = {}
        node.restart_felix()
    for family in (4, 6):
        node.netns.run(["ip", f"-{family}", "route", "flush", "proto", "static"], check=False)


BEGINS = ", API http"


def configure(node, **spec):
    """The whole of what the default object says."""
    api = node.lab.api
    api.apply({"apiVersion": CRD, "kind": "FelixConfiguration", "metadata": {"name": "default"}, "spec": {}})
    api.client.replace({**api.client.get("FelixConfiguration", "default"), "spec": spec})


def outgoing(node, family=4):
    return [rule for rule in node.own_rules(family) if "cali-POSTROUTING" in rule and "masq-ipam-pools" in rule]


def source_seen_outside(node, pod):
    with Capture(node.lab.outside, "eth0") as capture:
        assert probe({1: (pod.netns, OUTSIDE4)}, deadline=5, tries=3)[1]
        return {packet.source for packet in capture.packets() if not packet.outgoing}


def test_pods_leave_with_the_address_that_is_set(node):
    pod = node.add_felix_pod("one", 5)
    assert node.ip4 in source_seen_outside(node, pod)
    second = node.ip4.rsplit(".", 1)[0] + ".200"
    node.netns.ip(f"address add {second}/32 dev lo")
    try:
        configure(node, natOutgoingAddress=second, natPortRange="20000:20999")
        wait_for(lambda: len(outgoing(node)) == 3 and all(f"--to-source {second}" in r for r in outgoing(node)), 10,
                 lambda: f"SNAT: {outgoing(node)}")
        assert any("-p udp " in r and f"{second}:20000-20999" in r for r in outgoing(node)), outgoing(node)
        assert all("MASQUERADE" in rule for rule in outgoing(node, 6))
        configure(node, natOutgoingExclusions="IPPoolsAndHostIPs", iptablesNATOutgoingInterfaceFilter="eth+")
        wait_for(lambda: len(outgoing(node)) == 1, 10, lambda: f"one rule: {outgoing(node)}")
        assert "! --match-set cali40all-hosts-net dst" in outgoing(node)[0] and "-o eth+" in outgoing(node)[0]
    finally:
        node.netns.ip(f"address del {second}/32 dev lo")


def leaves_as(node, pod, target, kind=socket.SOCK_DGRAM):
    """Address and port under which a packet of the pod leaves the node by eth0."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with Capture(node.netns, "eth0") as capture, pod.netns.socket(family, kind) as client:
        client.setblocking(False)
        found = []
        client.connect_ex((target, 9))
        if kind == socket.SOCK_DGRAM:
            client.send(b"x")
        wait_for(lambda: found.extend(p for p in capture.packets() if p.outgoing and p.destination == target) or found, 5,
                 f"a packet to {target}", interval=0.002)
    return found[0].source, int.from_bytes(found[0].payload[:2], "big")


def test_48_packets_leave_with_the_source_that_pools_and_settings_say(node):
    pod, neighbour = node.add_felix_pod("one", 5), node.lab.node("a2")
    second = node.ip4.rsplit(".", 1)[0] + ".200"
    node.netns.ip(f"address add {second}/32 dev lo")

    def becomes(wanted, target=OUTSIDE4):
        wait_for(lambda: leaves_as(node, pod, target)[0] == wanted, 10, lambda: f"{wanted} towards {target}")

    def masqueraded(*targets):
        return [leaves_as(node, pod, target)[0] != pod.ip(6 if ":" in target else 4) for target in targets]

    def ports(target):
        return {leaves_as(node, pod, target, kind)[1] for _ in range(6) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)}

    try:
        assert masqueraded(OUTSIDE4, OUTSIDE6, neighbour.ip4) == [True, True, True]
        configure(node, natOutgoingExclusions="IPPoolsAndHostIPs")
        becomes(pod.ips[0], neighbour.ip4)
        assert masqueraded(OUTSIDE4, OUTSIDE6) == [True, True]
        configure(node, iptablesNATOutgoingInterfaceFilter="wan+")
        becomes(pod.ips[0])
        becomes(pod.ips[1], OUTSIDE6)
        configure(node, iptablesNATOutgoingInterfaceFilter="eth+")
        becomes(node.ip4)
        becomes(node.ip6, OUTSIDE6)
        configure(node, natOutgoingAddress=second, natPortRange="20000:20099")
        becomes(second)
        for target in (OUTSIDE4, OUTSIDE6):
            wait_for(lambda t=target: ports(t) <= set(range(20000, 20100)), 10, f"ports in the range, to {target}")
        configure(node)
        becomes(node.ip4)
        # The pool's own switch, and a pool that has the destination, which may be a disabled one.
        node.lab.set_pool("pods4", natOutgoing=False)
        becomes(pod.ips[0])
        assert masqueraded(OUTSIDE6) == [True]
        node.lab.set_pool("pods4", natOutgoing=True)
        becomes(node.ip4)
        node.lab.api.create({"apiVersion": CRD, "kind": "IPPool", "metadata": {"name": "outside"},
                             "spec": {"cidr": OUTSIDE4.rsplit(".", 1)[0] + ".0/24", "disabled": True}})
        becomes(pod.ips[0])
    finally:
        node.netns.ip(f"address del {second}/32 dev lo")
        node.lab.set_pool("pods4", natOutgoing=True)
        node.lab.api.delete("IPPool", "outside")
    becomes(node.ip4)


@ON_ONE_BACKEND
def test_routes_that_are_not_the_pods_go_unless_they_are_to_stay(node):
    pod = node.add_felix_pod("one", 5)

    def foreign():
        node.netns.ip(f"route replace 192.0.2.0/24 dev {pod.host_ifname} proto static",
                      f"route replace 198.51.100.7 dev {pod.host_ifname}")
        return [node.route_to("192.0.2.0/24"), node.route_to("198.51.100.7")]

    assert all(foreign())
    wait_for(lambda: not node.route_to("192.0.2.0/24") and not node.route_to("198.51.100.7"), 10,
             lambda: "foreign routes to go")
    configure(node, removeExternalRoutes=False)
    wait_for(lambda: all(foreign()) and stays_quiet(node), 15, "foreign routes to stay")
    assert node.is_programmed(pod)


def stays_quiet(node):
    """The /24 outlives a whole refresh."""
    try:
        stays(lambda: node.route_to("192.0.2.0/24"), 4, "the route")
    except LabError:  # the setting has not come yet
        return False
    return True


@ON_ONE_BACKEND
def test_an_interval_of_zero_is_never(node):
    node.restart_felix(FELIX_ROUTEREFRESHINTERVAL="0s")
    try:
        node.wait_ready()
        pod = node.add_felix_pod("one", 5)
        node.netns.ip(f"route replace 192.0.2.0/24 dev {pod.host_ifname} proto static")
        stays(lambda: node.route_to("192.0.2.0/24"), 5, "the route")
    finally:
        node.settings = {}
        node.restart_felix()
        node.wait_ready()
    wait_for(lambda: not node.route_to("192.0.2.0/24"), 10, "the route to go again")


@ON_ONE_BACKEND
def test_03_pod_routes_can_be_left_to_somebody_else(node):
    """Those that are there stay, those that go do not come back, new ones are not made, and others' are left alone."""
    one = node.add_felix_pod("one", 5)
    wait_for(lambda: node.is_programmed(one), 10, "the pod")
    configure(node, routeSyncDisabled=True)
    wait_for(lambda: "RouteSyncDisabled=true" in saved(node), 10, "the setting")
    two, ours = node.add_felix_pod("two", 6), node.route_to(one.ips[0])
    node.netns.ip(f"route del {one.ips[1]}", f"route add 192.0.2.0/24 dev {one.host_ifname} proto static")
    stays(lambda: node.pod_routes(one) == [ours, None] and node.pod_routes(two) == [None, None]
          and node.route_to("192.0.2.0/24"), 3.5, "the routes as they are, over a refresh")
    configure(node)
    wait_for(lambda: node.is_programmed(one) and node.is_programmed(two) and not node.route_to("192.0.2.0/24"), 10,
             "the routes")


FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


@ON_ONE_BACKEND
def test_04_forwarding_is_left_alone_while_that_is_set(node):
    def forwarding():
        with node.netns.entered():
            return [Path(f"/proc/sys/{key}").read_text().strip() for key in FORWARDING]

    configure(node, ipForwarding="Disabled")
    wait_for(lambda: "IPForwarding=Disabled" in saved(node), 10, "the setting")
    node.netns.sysctl({key: 0 for key in FORWARDING})
    pod = node.add_felix_pod("one", 5)
    stays(lambda: forwarding() == ["0", "0"], 2.5, "no forwarding, over a refresh")
    assert node.is_programmed(pod) and node.sysctl_of(pod, "ipv4", "forwarding") == "1"
    configure(node)
    wait_for(lambda: forwarding() == ["1", "1"], 10, lambda: str(forwarding()))


def saved(node):
    path = node.state_dir / "felix-configuration"
    return path.read_text() if path.exists() else ""


@ON_ONE_BACKEND
def test_the_source_of_pod_routes_is_set(node):
    pod = node.add_felix_pod("one", 5)
    configure(node, deviceRouteSourceAddress=node.ip4)
    wait_for(lambda: (node.route_to(pod.ips[0]) or {}).get("prefsrc") == node.ip4, 10, "the source")
    configure(node, deviceRouteSourceAddress="203.0.113.99")
    wait_for(lambda: "203.0.113.99 is no address of this node" in node.log(), 10, node.felix.tail)
    wait_for(lambda: node.is_programmed(pod) and "prefsrc" not in node.route_to(pod.ips[0]), 10, "a route without")


def test_the_metric_of_pod_routes_changes_without_a_gap(node):
    pod = node.add_felix_pod("one", 5)

    def metrics():
        return [[r.get("metric", 0) for r in node.routes(family) if r["dst"] == pod.ip(family)] for family in (4, 6)]

    assert metrics() == [[1024], [1024]]
    with Stream({"4": (node.netns, pod.netns, pod.ips[0]), "6": (node.netns, pod.netns, pod.ips[1])}, rate=500) as stream:
        for low, high in ((512, 700), (2000, 2001), (1024, 1024)):
            configure(node, ipv4NormalRoutePriority=low, ipv6NormalRoutePriority=high)
            wait_for(lambda want=[[low], [high]]: metrics() == want, 10, lambda: str(metrics()))
        assert not any(flow.lost or flow.refused for flow in stream.stop())
    # An earlier version's, and Calico's with another setting.
    repaired = node.metric("canal_felix_repaired_total")
    node.netns.ip(f"route add {pod.ips[0]}/32 dev {pod.host_ifname} scope link proto boot")
    wait_for(lambda: metrics() == [[1024], [1024]], 10, lambda: str(metrics()))
    assert node.is_programmed(pod) and node.metric("canal_felix_repaired_total") == repaired


def pod_mtu(node):
    return int((node.state_dir / "mtu").read_text())


def wait_mtu(node, wanted):
    wait_for(lambda: pod_mtu(node) == wanted, 10, lambda: f"an MTU of {wanted}: it is {pod_mtu(node)}")


@ON_ONE_BACKEND
def test_05_pods_get_the_smallest_mtu_of_the_interfaces_that_match_and_are_up(node):
    node.netns.ip("link add small type bridge", "link set small mtu 1300 up", "link add smaller type bridge",
                  "link set smaller mtu 1290")
    try:
        configure(node, mtuIfacePattern="^(eth|small).*")
        wait_mtu(node, 1300)
        node.netns.ip("link set smaller up")
        wait_mtu(node, 1290)
        node.netns.ip("link set small down", "link set smaller down")
        wait_mtu(node, 1500)
        node.netns.ip("link set small up")
        wait_mtu(node, 1300)
        configure(node, mtuIfacePattern="^nothing$")  # that of the node's interface
        wait_mtu(node, 1500)
    finally:
        node.netns.ip("link del small", "link del smaller")


@ON_ONE_BACKEND
def test_05_encapsulation_of_pools_and_a_setting_change_the_mtu(node):
    """Whether tunl0 can be made does not matter; test_felix_ipip.py looks at it."""
    try:
        node.lab.set_pool("pods4", ipipMode="CrossSubnet")
        wait_mtu(node, 1480)
        configure(node, ipipMTU=1350)
        wait_mtu(node, 1350)
        node.lab.set_pool("pods4", ipipMode="Never")
        wait_mtu(node, 1500)
        node.lab.set_pool("pods4", ipipMode="Always")
        wait_mtu(node, 1350)
        configure(node)
        wait_mtu(node, 1480)
    finally:
        node.lab.set_pool("pods4", ipipMode="Never")
    wait_mtu(node, 1500)
    wait_for(lambda: answers(node) and node.felix_ready(), 10, node.felix.tail)


def answers(node):
    try:
        return node.felix_request({"op": "status"})["ok"]
    except LabError:
        return False


def test_what_needs_a_start_comes_with_one_in_the_same_process(node):
    ours, other = node.lab.backend, node.lab.other_backend
    node.restart_felix(FELIX_IPTABLESBACKEND=None)  # it would stand before what FelixConfiguration says
    node.wait_ready()

    def begun():
        return node.log().count(BEGINS)

    def is_in(backend, without):
        return node.own_rules(backend=backend) and not node.own_rules(backend=without)

    pod, pid = node.add_felix_pod("one", 5), node.felix.process.pid
    assert is_in(ours, other), "with its rules in place it finds the backend by itself"
    with Stream({"6": (node.netns, pod.netns, pod.ips[1]), "4": (node.netns, pod.netns, pod.ips[0])}) as stream:
        wait_for(lambda: all(flow.seen for flow in stream.flows), 5, "both families")
        configure(node, deviceRouteProtocol=80, maxIpsetSize=4096, iptablesBackend=other.capitalize())
        wait_for(lambda: (node.route_to(pod.ips[0]) or {}).get("protocol") == "80", 20, node.felix.tail)
        wait_for(lambda: is_in(other, ours), 20, node.felix.tail)
        wait_for(lambda: "maxelem 4096" in node.netns.run(["ipset", "list", "cali40all-hosts-net"]), 10, "the size")
        node.wait_ready()
        configure(node, iptablesBackend=ours.upper())
        wait_for(lambda: is_in(ours, other), 20, node.felix.tail)
        before = begun()
        configure(node)
        wait_for(lambda: begun() > before, 20, node.felix.tail)
        node.wait_ready()
        # Of protocol boot, which ip does not print.
        wait_for(lambda: "protocol" not in (node.route_to(pod.ips[0]) or {"protocol": None}), 20, node.felix.tail)
        wait_for(lambda: node.is_programmed(pod), 10, "the pod")
        assert not any(flow.lost for flow in stream.stop())
    assert node.felix.process.pid == pid and node.felix.alive() and is_in(ours, other)


def test_settings_of_the_last_run_come_without_the_api(node):
    configure(node, ipv6Support=False, healthPort="x")
    wait_for(lambda: "for setting Ipv6Support felix starts anew" in node.log(), 10, node.felix.tail)
    wait_for(lambda: "spec.healthPort" in node.log(), 5, node.felix.tail)
    wait_for(lambda: "Ipv6Support=false" in saved(node), 5, "the file")
    try:
        pod = node.wire("one", 5)
        node.lab.api.down()
        node.restart_felix()
        # The API is away, and felix knows: the pod gets no IPv6 route.
        wait_for(lambda: answers(node), 10, "the socket")
        assert node.felix_request(node.add_request(pod), timeout=20)["ok"], node.felix.tail(5)
        assert node.route_to(pod.ips[0]) and node.route_to(pod.ips[1]) is None
    finally:
        node.lab.api.up()
    wait_for(lambda: node.felix_ready(), 20, node.felix.tail)
    node.lab.api.delete("FelixConfiguration", "default")
    wait_for(lambda: saved(node) == "", 10, "the file to be empty")
    wait_for(lambda: node.is_programmed(pod), 10, "IPv6 to be back")


def status_of(node, port, path):
    try:
        return node.http_get(port, path)[0]
    except LabError:
        return None


@ON_ONE_BACKEND
def test_health_and_metrics_move_at_once(node):
    configure(node, healthPort=9100, prometheusMetricsPort=9099)
    wait_for(lambda: status_of(node, 9100, "/readiness") == 200 and status_of(node, 9099, "/metrics") == 200, 10,
             node.felix.tail)
    assert status_of(node, 9091, "/metrics") is None
    configure(node, healthEnabled=False)
    wait_for(lambda: status_of(node, 9091, "/metrics") == 200 and status_of(node, 9100, "/readiness") is None, 10,
             node.felix.tail)
    assert status_of(node, 9099, "/readiness") is None
    configure(node)
    wait_for(lambda: status_of(node, 9099, "/readiness") == 200, 10, node.felix.tail)


def test_hooks_move_to_the_end_and_back(node):
    def forward():
        return [rule for rule in node.tables() if rule.startswith("-A FORWARD ")]

    node.netns.run([node.tool(), "-A", "FORWARD", "-s", "192.0.2.1", "-j", "ACCEPT"])
    try:
        wait_for(lambda: "-j cali-FORWARD" in forward()[0], 10, forward)
        configure(node, chainInsertMode="Append")
        # Policy, then what accepts what policy has let through.
        wait_for(lambda: "192.0.2.1" in forward()[0] and forward()[1].endswith("-j cali-FORWARD"), 10, forward)
        assert forward()[2].endswith("-j cali-FORWARD-accept") and len(forward()) == 3
        configure(node)
        wait_for(lambda: forward()[0].endswith("-j cali-FORWARD") and len(forward()) == 3, 10, forward)
    finally:
        node.netns.run([node.tool(), "-D", "FORWARD", "-s", "192.0.2.1", "-j", "ACCEPT"])


def test_drops_are_told_in_the_group_that_is_set(node):
    def groups():
        return {rule.split("--nflog-group ")[1].split()[0] for rule in node.own_rules() if "--nflog-group" in rule}

    node.add_felix_pod("one", 5)
    wait_for(lambda: groups() == {"77"}, 10, groups)
    configure(node, dropLogGroup=78)
    wait_for(lambda: groups() == {"78"}, 10, groups)
    configure(node, dropLogGroup=0)
    wait_for(lambda: not groups(), 10, groups)


def test_the_tunnel_and_its_address_can_be_set(node):
    """Seen in rules and annotation, because some kernels have no ipip; test_felix_ipip.py looks at tunl0."""
    def state():
        return (any("-o tunl0" in rule for rule in node.own_rules()),
                node.annotations().get("projectcalico.org/IPv4IPIPTunnelAddr"))

    assert state() == (False, None)
    configure(node, ipipEnabled=True, ipInIpTunnelAddr="10.99.0.1")
    wait_for(lambda: state() == (True, "10.99.0.1"), 10, lambda: str(state()))
    configure(node, programClusterRoutes="Enabled")
    wait_for(lambda: state() == (False, None), 10, lambda: str(state()))
    assert "spec.programClusterRoutes: setting ProgramClusterRoutes: 'Enabled' is not one of: Disabled" in node.log()
    assert node.metric("canal_felix_bad_settings") == 1


@ON_ONE_BACKEND
def test_the_log_goes_to_a_file_at_a_level_of_its_own(node):
    path, before = node.dir / "felix.log", len(node.log())
    node.restart_felix(FELIX_LOGFILEPATH=str(path), FELIX_LOGSEVERITYFILE="debug", FELIX_FELIXHOSTNAME="another",
                       FELIX_LOGDEBUGFILENAMEREGEX="^fee")
    node.wait_ready()
    wait_for(lambda: " debug feed: " in path.read_text(), 10, path.read_text)
    assert f"node {node.name}" in path.read_text(), "FelixHostname stands behind NODENAME"
    assert " debug " not in node.log()[before:]
    configure(node, logSeverityScreen="Error", wireguardEnabled=True)
    wait_for(lambda: "spec.wireguardEnabled: Canal has no such setting" in path.read_text(), 10, path.read_text)
    assert "wireguardEnabled" in node.log()[before:], "the level was lowered before the field was told"
    configure(node, logSeverityScreen="Error", bpfEnabled=True)
    wait_for(lambda: "spec.bpfEnabled: Canal has no such setting" in path.read_text(), 10, path.read_text)
    assert "bpfEnabled" not in node.log()[before:]


@ON_ONE_BACKEND
def test_a_file_says_that_a_pod_is_in_place(node):
    path = node.dir / "calico" / "endpoint-status"
    node.restart_felix(FELIX_ENDPOINTSTATUSPATHPREFIX=str(path.parent))
    node.wait_ready()
    pod = node.add_felix_pod("one", 5)
    file = path / "k8s default%2Fone eth0"
    wait_for(file.exists, 5, lambda: str(list(path.iterdir())))
    assert json.loads(file.read_text()) == {"ifaceName": pod.host_ifname, "ipv4Nets": [f"{pod.ips[0]}/32"],
                                            "ipv6Nets": [f"{pod.ips[1]}/128"]}
    node.felix.kill9()
    left = path / "k8s default%2Fgone eth0"
    left.write_text("{}")
    (path / "other").write_text("not ours")
    node.start_canal()
    wait_for(lambda: not left.exists(), 15, "what an earlier run left to go")
    assert file.exists()
    node.clear_pods()
    wait_for(lambda: not file.exists(), 5, "the file to go with its pod")
    assert (path / "other").exists()


SPOOFED = {4: "198.51.100.9", 6: "2001:db8::9"}


class Spoofer:
    """Sends from addresses that are not the pod's, and says what arrives."""

    def __init__(self, sender, receiver):
        sender.netns.ip(f"address add {SPOOFED[4]}/32 dev lo", f"address add {SPOOFED[6]}/128 dev lo nodad")
        self.ends = {}
        for family, kind in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            ear = receiver.netns.socket(kind, socket.SOCK_DGRAM)
            ear.bind((receiver.ip(family), 9))
            ear.setblocking(False)
            mouth = sender.netns.socket(kind, socket.SOCK_DGRAM)
            mouth.bind((SPOOFED[family], 0))
            self.ends[family] = (mouth, ear, receiver.ip(family))

    def passes(self, family):
        mouth, ear, target = self.ends[family]
        mouth.sendto(b"x", (target, 9))
        readable, _, _ = select.select([ear], [], [], 0.1)
        return bool(readable) and bool(ear.recv(8))


def test_25_pods_send_from_what_their_annotation_lists_while_that_is_allowed(node):
    one, two = node.add_felix_pod("one", 5), node.add_felix_pod("two", 6)
    wait_for(lambda: node.is_programmed(one) and node.is_programmed(two), 10, "both")
    spoofer = Spoofer(one, two)

    def allow(*nets):
        node.lab.api.client.patch("Pod", "one", {"metadata": {"annotations": {
            "cni.projectcalico.org/allowedSourcePrefixes": json.dumps(nets)}}}, "default")

    def source_check():
        return node.sysctl_of(one, "ipv4", "rp_filter")

    with node.netns.entered():
        default = Path("/proc/sys/net/ipv4/conf/default/rp_filter").read_text().strip()
        Path(f"/proc/sys/net/ipv4/conf/{one.host_ifname}/rp_filter").write_text("1")
    assert not spoofer.passes(4) and not spoofer.passes(6)
    allow("198.51.100.0/24")
    stays(lambda: not spoofer.passes(4), 1, "the annotation alone")
    configure(node, workloadSourceSpoofing="Any")
    wait_for(lambda: spoofer.passes(4), 10, node.felix.tail)
    assert not spoofer.passes(6) and source_check() == "0"
    allow("2001:db8::/32", "nonsense")
    wait_for(lambda: spoofer.passes(6) and not spoofer.passes(4), 10, node.felix.tail)
    assert "allowedSourcePrefixes: 'nonsense'" in node.log()
    allow("0.0.0.0/0")
    wait_for(lambda: spoofer.passes(4), 10, node.felix.tail)
    configure(node)
    wait_for(lambda: not spoofer.passes(4) and source_check() == default, 10, node.felix.tail)


def test_interfaces_of_another_prefix_are_closed_and_no_host_endpoint(node):
    """A link that somebody else made for a pod of theirs: what it sends and gets is dropped, until it is no pod's."""
    pod = node.add_felix_pod("one", 5)
    guest = Netns(f"{node.lab.tag}-guest")
    node.lab.add_namespaces([guest])
    node.netns.ip(f"link add tap1 type veth peer name eth0 netns {guest.name}", "link set tap1 up",
                  "address add 192.0.2.1/24 dev tap1")
    guest.ip("link set eth0 up", "address add 192.0.2.2/24 dev eth0", "route add default via 192.0.2.1")
    flows = {"to": (pod.netns, guest, "192.0.2.2"), "from": (guest, pod.netns, pod.ips[0])}
    try:
        with Stream(flows) as stream:
            wait_for(lambda: all(flow.seen for flow in stream.flows), 10, "both ways")
        configure(node, interfacePrefix="cali,tap")
        wait_for(lambda: any("-o tap+" in rule for rule in node.own_rules()), 10, node.felix.tail)
        node.wait_ready()
        with Stream(flows) as stream:
            stays(lambda: not any(flow.seen for flow in stream.flows), 1, "silence both ways")
        assert node.is_programmed(pod)
        configure(node)
        wait_for(lambda: not any("tap+" in rule for rule in node.own_rules()), 10, node.felix.tail)
        with Stream(flows) as stream:
            wait_for(lambda: all(flow.seen for flow in stream.flows), 10, "both ways again")
    finally:
        node.netns.run(["ip", "link", "del", "tap1"], check=False)
