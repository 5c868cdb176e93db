"""The lab itself: what it builds carries packets, drops what a provider would, and vanishes."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lab import Capture, Lab, LabError, Stream, ZoneSpec, probe, probe_of, wait_for
from lab.apihost import ApiHost
from lab.topology import API4, API_PORT, OUTSIDE4, OUTSIDE6

TEST = Path(__file__).resolve().parents[1]

BIRD = """
router id {ip4};
protocol device {{ }}
protocol direct {{ ipv4; ipv6; interface "eth*"; }}
protocol kernel k4 {{ ipv4 {{ import none; export where source = RTS_BGP; }}; persist; learn; graceful restart on; }}
protocol kernel k6 {{ ipv6 {{ import none; export where source = RTS_BGP; }}; persist; learn; graceful restart on; }}
protocol static s4 {{ ipv4; route {pod_cidr4} blackhole; }}
protocol static s6 {{ ipv6; route {pod_cidr6} blackhole; }}
template bgp peer {{
  local as {asn}; graceful restart on; connect delay time 1; error wait time 1, 5;
}}
"""


def bird_config(node, peers):
    """peers: [(name, address, asn)]; a session carries the family of its address."""
    text = BIRD.format(ip4=node.ip4, pod_cidr4=node.pod_cidr4, pod_cidr6=node.pod_cidr6,
                       asn=node.zone.asn or 64512)
    for name, address, asn in peers:
        family = "ipv6" if ":" in address else "ipv4"
        text += (f"protocol bgp {name} from peer {{ neighbor {address} as {asn}; "
                 f"{family} {{ import all; export where source = RTS_STATIC; }}; }}\n")
    return text


def namespaces():
    return {line.split()[0] for line in
            subprocess.run(["ip", "netns"], capture_output=True, text=True,
                           check=True).stdout.splitlines()}


@pytest.fixture(name="two_zones", scope="module")
def two_zones_fixture():
    with Lab([ZoneSpec("a", ["a1", "a2"]), ZoneSpec("b", ["b1"])]) as lab:
        yield lab


def test_nodes_reach_each_other_and_the_outside_in_both_families(two_zones):
    lab = two_zones
    hosts = {n.name: n for n in lab.nodes.values()}
    pairs = {(s, d, f): (hosts[s].netns, hosts[d].ip4 if f == 4 else hosts[d].ip6)
             for s in hosts for d in hosts if s != d for f in (4, 6)}
    pairs["out4"] = (hosts["b1"].netns, OUTSIDE4)
    pairs["out6"] = (hosts["b1"].netns, OUTSIDE6)
    assert [k for k, ok in probe(pairs, deadline=10, tries=5).items() if not ok] == []


def test_the_core_drops_addresses_that_are_no_nodes_and_counts_them(two_zones):
    lab = two_zones
    node, far = lab.node("a1"), lab.node("b1")
    node.netns.ip("address add 10.244.1.1/32 dev lo")
    far.netns.ip("address add 10.244.9.1/32 dev lo")
    before = lab.filter.drops()[4]
    # towards an address that is no node's, then from one that is none
    assert probe({"to": (node.netns, "10.244.9.1")}, deadline=1) == {"to": False}
    out = node.netns.run(["ping", "-c1", "-W1", "-I", "10.244.1.1", far.ip4], check=False)
    assert " 0 received" in out
    assert lab.filter.drops()[4] == before + 2


def test_a_capture_names_encapsulation_and_overhead(two_zones):
    """IPIP made by hand, so that it works where the kernel has no ipip module."""
    lab = two_zones
    with Capture(lab.node("a2").netns, "eth0") as capture:
        script = textwrap.dedent(f"""
            import socket, struct
            inner = bytes.fromhex("450000240001000040010000") + socket.inet_aton("10.244.1.2") \\
                + socket.inet_aton("10.244.2.2") + b"\\x08\\0\\0\\0" + b"x" * 12
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 4)
            s.sendto(inner, ("{lab.node('a2').ip4}", 0))""")
        lab.node("a1").netns.run([sys.executable, "-c", script])
        seen = wait_for(lambda: [p for p in capture.packets() if p.inner], 5, "the packet")
    assert (seen[0].source, seen[0].destination) == (lab.node("a1").ip4, lab.node("a2").ip4)
    assert (seen[0].inner.source, seen[0].inner.destination) == ("10.244.1.2", "10.244.2.2")
    assert seen[0].overhead == 20


def test_a_stream_counts_what_is_lost(two_zones):
    lab = two_zones
    a1, b1 = lab.node("a1"), lab.node("b1")
    probe({1: (a1.netns, b1.ip4)}, deadline=5, tries=5)
    stream = Stream({"v4": (a1.netns, b1.netns, b1.ip4), "v6": (a1.netns, b1.netns, b1.ip6)},
                    rate=50)
    with stream:
        wait_for(lambda: stream.sent() > 40)
        lab.core.ip("link set z2 down")
        at = stream.sent()
        wait_for(lambda: stream.sent() > at + 20)
        lab.core.ip("link set z2 up", *[line for line in (
            f"address replace {lab.zones['b'].core6}/64 dev z2 nodad",
            f"route replace {lab.zones['b'].subnet4} via {lab.zones['b'].uplink4}",
            f"route replace {lab.zones['b'].subnet6} via {lab.zones['b'].uplink6}")])
        at = stream.sent()
        wait_for(lambda: stream.sent() > at + 60)
        flows = {flow.name: flow for flow in stream.stop()}
    assert 5 <= flows["v4"].lost <= flows["v4"].sent - 20, flows["v4"]
    assert 5 <= flows["v6"].lost
    assert flows["v4"].longest_gap > 0.15
    assert flows["v4"].duplicates == 0


def test_pods_of_one_zone_talk_through_static_bird_and_lose_nothing_in_a_planned_restart(two_zones):
    lab = two_zones
    a1, a2 = lab.node("a1"), lab.node("a2")
    pods = [a1.wire_pod("one", 2), a2.wire_pod("two", 2)]
    for node, other in ((a1, a2), (a2, a1)):
        node.netns.sysctl({"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1})
        node.start_bird(bird_config(node, [("p4", other.ip4, 64512), ("p6", other.ip6, 64512)]))
    for node, other in ((a1, a2), (a2, a1)):
        for cidr in (other.pod_cidr4, other.pod_cidr6):
            wait_for(lambda n=node, c=cidr: n.route_to(c), 30, f"{node.name}: route to {cidr}")
    pairs = {(s.name, f): (s.netns, d.ip(f)) for s, d in (pods, pods[::-1]) for f in (4, 6)}
    with Capture(a2.netns, "eth0") as capture:
        assert probe(pairs, deadline=10, tries=5) == dict.fromkeys(pairs, True)
        echoes = [p for p in capture.packets() if probe_of(p)]
    assert echoes and all(p.inner is None for p in echoes)
    stream = Stream({"v4": (pods[0].netns, pods[1].netns, pods[1].ip(4)),
                     "v6": (pods[1].netns, pods[0].netns, pods[0].ip(6))}, rate=50)
    lab.wait_bgp(2)
    with stream:
        a1.restart_bird_gracefully()
        lab.wait_bgp(2)
        a1.kill_bird()
        lab.wait_bgp(2)
        flows = stream.stop()
    assert [(f.name, f.lost) for f in flows] == [("v4", 0), ("v6", 0)]


def test_racks_route_pods_through_their_frr_switches_and_take_a_node_more():
    with Lab([ZoneSpec("a", ["a1"], asn=65101), ZoneSpec("b", ["b1"], asn=65102)]) as lab:
        lab.add_node("b", "b2")
        pods = []
        for node in lab.nodes.values():
            pods.append(node.wire_pod("pod", 2))
            node.netns.sysctl({"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1})
            zone = node.zone
            node.start_bird(bird_config(node, [("tor4", zone.gateway4, zone.asn),
                                               ("tor6", zone.gateway6, zone.asn)]))
        for node in lab.nodes.values():
            for other in lab.nodes.values():
                if node is not other:
                    for cidr in (other.pod_cidr4, other.pod_cidr6):
                        wait_for(lambda n=node, c=cidr: n.route_to(c), 60,
                                 f"{node.name}: route to {cidr}")
        pairs = {(s.node.name, d.node.name, f): (s.netns, d.ip(f))
                 for s in pods for d in pods if s is not d for f in (4, 6)}
        assert probe(pairs, deadline=10, tries=5) == dict.fromkeys(pairs, True)
        # inside the rack the reflected route keeps the neighbour as its next hop
        assert lab.node("b1").route_to(lab.node("b2").pod_cidr4)["gateway"] == lab.node("b2").ip4
        assert lab.node("b1").route_to(lab.node("a1").pod_cidr4)["gateway"] == \
            lab.zones["b"].gateway4
        gone = lab.node("b2")
        lab.remove_node("b2")
        gone.zone.switch.remove_node(gone)  # the operator's part: FRR knows no Node objects
        wait_for(lambda: not lab.node("a1").route_to(gone.pod_cidr4), 60, "b2's routes to go")


def test_a_lab_leaves_nothing_behind_after_an_exception():
    before = namespaces()
    with pytest.raises(LabError, match="on purpose"):
        with Lab([ZoneSpec("a", ["a1"])]) as lab:
            tag, directory = lab.tag, lab.dir
            daemon = lab.daemon(lab.node("a1").netns, "sleeper", ["sleep", "600"]).start()
            assert {n for n in namespaces() if n.startswith(tag)}
            raise LabError("on purpose")
    assert namespaces() - before == set()
    assert not directory.exists()
    assert not daemon.alive()


def test_a_lab_leaves_nothing_behind_after_sigterm():
    script = textwrap.dedent(f"""
        import sys, signal; sys.path.insert(0, {str(TEST)!r})
        from lab import Lab, ZoneSpec
        with Lab([ZoneSpec("a", ["a1"])]) as lab:
            d = lab.daemon(lab.node("a1").netns, "sleeper", ["sleep", "600"]).start()
            print(lab.tag, d.pid, flush=True)
            signal.pause()""")
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    tag, pid = child.stdout.readline().split()
    assert any(n.startswith(tag) for n in namespaces())
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 128 + signal.SIGTERM
    assert not any(n.startswith(tag) for n in namespaces())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_the_api_server_answers_nodes_across_the_core_and_kubectl():
    with Lab([ZoneSpec("a", ["a1"])]) as lab:
        lab.api = ApiHost(lab)
        lab.api.start()
        lab.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        out = lab.node("a1").netns.run(["kubectl", "--kubeconfig", str(lab.api.token_kubeconfig),
                                        "get", "nodes", "-o", "name"])
        assert out.splitlines()[-1] == "node/n1"
        lab.api.down()
        with pytest.raises(OSError):
            lab.node("a1").netns.socket(2, 1).connect((API4, API_PORT))
        lab.api.up()
        lab.node("a1").netns.socket(2, 1).connect((API4, API_PORT))
