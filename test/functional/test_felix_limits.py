"""What pods ask of their node by annotations: rates of packets, connections at once, bandwidth, DSCP."""

import contextlib
import errno
import json
import select
import socket
import time

import pytest

from felix_nodes import REFRESH, FelixCluster
from lab import Capture, ZoneSpec, probe, wait_for
from lab.topology import OUTSIDE4, OUTSIDE6

SO_RCVBUFFORCE = 33
CRD = "crd.projectcalico.org/v1"
QOS = "qos.projectcalico.org/"


@pytest.fixture(name="cluster", scope="module", params=["nft", "legacy"])
def cluster_fixture(request):
    with FelixCluster([ZoneSpec("a", ["a1"])], backend=request.param, settings=REFRESH) as cluster:
        cluster.start_nodes()
        yield cluster


@pytest.fixture(name="node")
def node_fixture(cluster):
    node = cluster.node("a1")
    node.wait_ready()
    yield node
    node.clear_pods()
    wait_for(lambda: not limit_rules(node), 10, lambda: f"no limits are left: {limit_rules(node)}")


def limit_rules(node, family=4):
    table = None
    found = []
    for line in node.tables(family):
        table = line[1:] if line.startswith("*") else table
        if table == "mangle" and "cali" in line and line.startswith("-A"):
            found.append(line)
    return found


def annotate(node, pod, **annotations):
    """The pod's whole wishes; does not wait."""
    old = node.lab.api.client.get("Pod", pod.name, pod.namespace)["metadata"].get("annotations", {})
    values = {key: None for key in old} | {QOS + key: value for key, value in annotations.items()}
    node.lab.api.client.patch("Pod", pod.name, {"metadata": {"annotations": values}}, pod.namespace)


def has_limit(node, pod, name):
    """The pod is in the set, and the rules of both families know it."""
    return all(ip in (node.set_members(f"cali{family}0{name}") or ())
               and any(f"cali{family}0{name}" in rule for rule in limit_rules(node, family))
               for ip, family in zip(pod.ips, (4, 6)))


def pair(node):
    pods = [node.add_felix_pod("one", 5), node.add_felix_pod("two", 6)]
    wait_for(lambda: all(node.is_programmed(pod) for pod in pods), 10, "both")
    return pods


# ---- packets
def deliver(source, target, family, n=300):
    """How many of n datagrams of one flow, which is open both ways, arrive; and how long sending took."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    ear = target.netns.socket(kind, socket.SOCK_DGRAM)
    mouth = source.netns.socket(kind, socket.SOCK_DGRAM)
    with contextlib.closing(ear), contextlib.closing(mouth):
        ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)
        ear.bind((target.ip(family), 0))
        mouth.connect(ear.getsockname())
        mouth.send(b"hello")
        assert select.select([ear], [], [], 5)[0], "the first datagram"
        ear.sendto(b"answer", ear.recvfrom(16)[1])
        begin = time.monotonic()
        for _ in range(n):
            mouth.send(b"x")
            time.sleep(0.001)
        took = time.monotonic() - begin
        arrived = 0
        while select.select([ear], [], [], 0.1)[0]:
            ear.recv(16)
            arrived += 1
        return arrived, took


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_24_packets_above_the_rate_are_dropped(node, direction):
    one, two = pair(node)
    limited = two if direction == "ingress" else one
    assert deliver(one, two, 4)[0] == 300
    annotate(node, limited, **{f"{direction}PacketRate": "50", f"{direction}PacketBurst": "20"})
    wait_for(lambda: has_limit(node, limited, f"pkts-{direction[0]}-50-20"), 10, node.felix.tail)
    for family in (4, 6):
        arrived, took = deliver(one, two, family)
        assert 50 * took * 0.8 <= arrived <= 20 + 50 * took * 1.2 + 2, (family, arrived, took)
    assert deliver(two, one, 4)[0] == 300, "the other direction has no limit"
    annotate(node, limited)
    wait_for(lambda: not limit_rules(node), 10, node.felix.tail)
    assert deliver(one, two, 4)[0] == 300
    wait_for(lambda: node.set_members(f"cali40pkts-{direction[0]}-50-20") is None, 10, "its set is gone")


# ---- connections
class Server:
    """Listens inside a pod; what it accepts stays open until close()."""

    def __init__(self, pod, family):
        self.socket = pod.netns.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        self.socket.bind((pod.ip(family), 0))
        self.socket.listen(64)
        self.clients = []

    def connect(self, pod):
        """The error a connection from the pod ends with; 0: it is open."""
        client = pod.netns.socket(self.socket.family, socket.SOCK_STREAM)
        client.settimeout(2)
        code = client.connect_ex(self.socket.getsockname())
        if code == 0:
            self.clients.append((client, self.socket.accept()[0]))
        else:
            client.close()
        return code

    def hang_up(self):
        for end in self.clients.pop():
            end.close()

    def close(self):
        while self.clients:
            self.hang_up()
        self.socket.close()


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_24_connections_beyond_the_limit_are_refused(node, direction):
    one, two = pair(node)
    limited = two if direction == "ingress" else one
    annotate(node, limited, **{f"{direction}MaxConnections": "3"})
    wait_for(lambda: has_limit(node, limited, f"conns-{direction[0]}-3"), 10, node.felix.tail)
    for family in (4, 6):
        with contextlib.closing(Server(two, family)) as server, contextlib.closing(Server(one, family)) as other:
            assert [server.connect(one) for _ in range(5)] == [0, 0, 0, errno.ECONNREFUSED, errno.ECONNREFUSED]
            # Rules of policy are written anew: what was counted is not forgotten.
            node.lab.api.apply({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": "open", "namespace": "default"},
                "spec": {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}})
            wait_for(lambda: any("cali-pi-" in rule for rule in node.own_rules(family, node.lab.backend)), 10, "policy")
            assert server.connect(one) == errno.ECONNREFUSED
            assert other.connect(two) == 0, "the other direction has no limit"
            server.hang_up()
            wait_for(lambda: server.connect(one) == 0, 5, "one place is free")
            assert server.connect(one) == errno.ECONNREFUSED
            node.lab.api.delete("NetworkPolicy", "open", "default")
            wait_for(lambda: not any("cali-pi-" in r for r in node.own_rules(family, node.lab.backend)), 10, "no policy")
    annotate(node, limited)
    wait_for(lambda: not limit_rules(node), 10, node.felix.tail)
    with contextlib.closing(Server(two, 4)) as server:
        assert [server.connect(one) for _ in range(5)] == [0] * 5


def test_24_a_pod_has_so_many_connections_to_its_node_too(node):
    one, _ = pair(node)
    annotate(node, one, egressMaxConnections="2")
    wait_for(lambda: has_limit(node, one, "conns-e-2"), 10, node.felix.tail)

    class Node:
        netns = node.netns

        @staticmethod
        def ip(_family):
            return node.ip4

    with contextlib.closing(Server(Node, 4)) as server:
        assert [server.connect(one) for _ in range(3)] == [0, 0, errno.ECONNREFUSED]
        assert server.connect(Node) == 0


# ---- DSCP
def dscp_seen(capture, family):
    """Of echo requests, by which way they left."""
    kind = 8 if family == 4 else 128
    return {packet.dscp for packet in capture.packets()
            if packet.protocol == (1 if family == 4 else 58) and packet.payload[0] == kind}


def test_24_what_leaves_the_cluster_has_the_dscp(node):
    one, two = pair(node)
    annotate(node, one, dscp="AF41")
    wait_for(lambda: has_limit(node, one, "dscp-34"), 10, node.felix.tail)
    outside = {4: OUTSIDE4, 6: OUTSIDE6}
    with Capture(node.lab.outside, "eth0") as wire, Capture(node.netns, two.host_ifname) as inside:
        for family in (4, 6):
            assert probe({1: (one.netns, outside[family]), 2: (one.netns, two.ip(family))}, tries=3) == {1: True, 2: True}
            assert dscp_seen(wire, family) == {34}
            assert dscp_seen(inside, family) == {0}
            assert probe({1: (two.netns, outside[family])}, tries=3)[1]
            assert dscp_seen(wire, family) == {0}
        annotate(node, one, dscp="0x2e")
        wait_for(lambda: not limit_rules(node), 10, node.felix.tail)
        assert probe({1: (one.netns, OUTSIDE4)}, tries=3)[1] and dscp_seen(wire, 4) == {0}
    assert "dscp: '0x2e' is neither" in node.log()


# ---- bandwidth
def qdiscs(node):
    return [line for line in node.netns.run(["tc", "qdisc", "show"]).splitlines() if "ca11:" in line]


def ifbs(node):
    return json.loads(node.netns.run(["ip", "-j", "link", "show", "type", "ifb"]) or "[]")


def is_shaped(node, pod, direction):
    """The bucket is there; and what the pod sends leads to it, which comes last."""
    leads = "mirred" in node.netns.run(["tc", "filter", "show", "dev", pod.host_ifname, "ingress"], check=False)
    return len(qdiscs(node)) == 1 and leads == (direction == "egress")


def bytes_in(source, target, family, seconds=1.0):
    """What one TCP connection carries in that time, and the time."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    ear = target.netns.socket(kind, socket.SOCK_STREAM)
    mouth = source.netns.socket(kind, socket.SOCK_STREAM)
    with contextlib.closing(ear), contextlib.closing(mouth):
        ear.bind((target.ip(family), 0))
        ear.listen(1)
        mouth.connect(ear.getsockname())
        other, _ = ear.accept()
        with contextlib.closing(other):
            mouth.setblocking(False)
            other.setblocking(False)
            begin, n = time.monotonic(), 0
            while time.monotonic() < begin + seconds:
                ready, writable, _ = select.select([other], [mouth], [], 0.05)
                with contextlib.suppress(BlockingIOError):
                    if writable:
                        mouth.send(b"x" * 65536)
                    if ready:
                        n += len(other.recv(1 << 20))
            return n, time.monotonic() - begin


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_24_bandwidth_is_what_was_asked_for(node, direction):
    one, two = pair(node)
    limited = two if direction == "ingress" else one
    rate, burst = 1_000_000, 100_000  # bytes
    assert bytes_in(one, two, 4, 0.3)[0] > 10 * rate
    annotate(node, limited, **{f"{direction}Bandwidth": "8M", f"{direction}Burst": "800k"})
    wait_for(lambda: is_shaped(node, limited, direction), 10, node.felix.tail)
    for family in (4, 6):
        carried, took = bytes_in(one, two, family)
        assert rate * took * 0.5 <= carried <= rate * took + burst + 100_000, (carried, took)
        assert bytes_in(two, one, family, 0.3)[0] > 5 * rate, "the other direction has no limit"
    annotate(node, limited, **{f"{direction}Bandwidth": "16M", f"{direction}Burst": "800k"})
    wait_for(lambda: "rate 16Mbit" in qdiscs(node)[0], 10, node.felix.tail)
    annotate(node, limited)
    wait_for(lambda: not qdiscs(node) and not ifbs(node), 10, node.felix.tail)
    assert bytes_in(one, two, 4, 0.3)[0] > 10 * rate


def test_24_buckets_are_repaired_kept_and_taken_away(node):
    one, _ = pair(node)
    node.lab.api.client.patch("Pod", "one", {"metadata": {"annotations": {
        "kubernetes.io/ingress-bandwidth": "8M", "kubernetes.io/egress-bandwidth": "40G",
        QOS + "egressPeakrate": "80G", QOS + "egressMinburst": "9k"}}}, "default")
    wait_for(lambda: len(qdiscs(node)) == 2 and len(ifbs(node)) == 1, 10, node.felix.tail)
    name = ifbs(node)[0]["ifname"]
    assert name == "bw-" + one.host_ifname[-12:]
    assert any("rate 40Gbit" in q and "peakrate 80Gbit" in q and name in q for q in qdiscs(node)), qdiscs(node)
    node.netns.ip(f"link del {name}")
    node.netns.run(["tc", "qdisc", "del", "dev", one.host_ifname, "root"])
    wait_for(lambda: len(qdiscs(node)) == 2 and len(ifbs(node)) == 1, 10, node.felix.tail)
    before = ifbs(node)[0]["ifindex"]
    node.restart_felix()
    node.wait_ready()
    assert len(qdiscs(node)) == 2 and ifbs(node)[0]["ifindex"] == before
    # What nobody asks for any more while felix is down is taken away when it is back; others' is not.
    node.felix.kill9()
    node.lab.api.client.patch("Pod", "one", {"metadata": {"annotations": {
        key: None for key in ("kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth",
                              QOS + "egressPeakrate", QOS + "egressMinburst")}}}, "default")
    two = node.pods["default/two"]
    node.netns.run(["tc", "qdisc", "add", "dev", two.host_ifname, "root", "handle", "1:", "tbf", "rate", "1gbit",
                    "burst", "100kb", "latency", "25ms"])
    node.start_canal()
    node.wait_ready()
    wait_for(lambda: not qdiscs(node) and not ifbs(node), 10, node.felix.tail)
    assert "qdisc tbf 1: dev " + two.host_ifname in node.netns.run(["tc", "qdisc", "show"])
    assert "filter" not in node.netns.run(["tc", "filter", "show", "dev", one.host_ifname, "ingress"], check=False)


def test_24_a_host_endpoint_has_a_dscp_too(node):
    """What the node itself sends out of the cluster: by interface, or where no interface has an endpoint of its own."""
    allow = {"apiVersion": CRD, "kind": "GlobalNetworkPolicy", "metadata": {"name": "open"},
             "spec": {"selector": "has(host)", "types": ["Ingress", "Egress"], "applyOnForward": True,
                      "ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}}

    def host(name, interface, dscp):
        return {"apiVersion": CRD, "kind": "HostEndpoint",
                "metadata": {"name": name, "labels": {"host": "yes"}, "annotations": {QOS + "dscp": dscp}},
                "spec": {"node": node.name, "interfaceName": interface}}

    def seen(source, family):
        with Capture(node.lab.outside, "eth0") as wire:
            assert probe({1: (source, {4: OUTSIDE4, 6: OUTSIDE6}[family])}, tries=3)[1]
            return dscp_seen(wire, family)

    def becomes(value):
        wait_for(lambda: seen(node.netns, 4) == seen(node.netns, 6) == {value}, 10, node.felix.tail)

    one, _ = pair(node)
    try:
        node.lab.api.apply(allow)
        node.lab.api.apply(host("any", "*", "CS5"))
        becomes(40)
        assert seen(one.netns, 4) == {0}, "what it forwards is not its own"
        node.lab.api.apply(host("named", "eth0", "8"))
        becomes(8)
        node.lab.api.apply(host("named", "eth0", "nonsense"))
        becomes(0)
        assert "dscp: 'nonsense' is neither" in node.log()
        node.lab.api.delete("HostEndpoint", "named")
        becomes(40)
    finally:
        for name in ("any", "named"):
            node.lab.api.delete("HostEndpoint", name)
        node.lab.api.delete("GlobalNetworkPolicy", "open")


def test_24_a_limit_is_in_force_before_a_pod_can_talk(node):
    pod = node.wire("one", 5)
    annotate(node, pod, egressMaxConnections="1", dscp="46", egressBandwidth="1G")
    wait_for(lambda: any("conns-e-1" in rule for rule in limit_rules(node)), 10, node.felix.tail)
    assert node.felix_request(node.add_request(pod), timeout=20)["ok"]
    assert has_limit(node, pod, "conns-e-1") and has_limit(node, pod, "dscp-46")
    assert len(qdiscs(node)) == 1
