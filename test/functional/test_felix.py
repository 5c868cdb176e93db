"""canal-felix with the test API server and a real kernel: pods, drift, restarts, outages. No bird, no confd, no
ipip module (test_felix_ipip.py)."""

import json
import socket
import threading
import time

import pytest

from felix_nodes import NO_REFRESH, REFRESH, FelixCluster, stays, timed
from lab import Capture, LabError, Stream, ZoneSpec, probe, wait_for
from lab.topology import OUTSIDE4, OUTSIDE6


@pytest.fixture(name="cluster", scope="module", params=["nft", "legacy"])
def cluster_fixture(request):
    with FelixCluster([ZoneSpec("a", ["a1", "a2"])], backend=request.param, settings=REFRESH) as cluster:
        cluster.start_nodes()
        yield cluster


@pytest.fixture(name="node")
def node_fixture(cluster):
    """Node a1, ready; whatever pods a test left are taken away."""
    node = cluster.node("a1")
    cluster.api.up()
    if node.felix.alive() and node.settings:
        node.felix.kill9()
        node.settings = {}
    if not node.felix.alive():
        node.settings = {}
        node.start_canal()
    node.wait_ready()
    yield node
    cluster.api.up()
    node.clear_pods()


def reaches(source, address, deadline=5.0):
    return probe({1: (source, address)}, deadline=deadline, tries=3)[1]


# ---- pods
def test_a_pod_is_programmed_when_felix_answers(node):
    pod = node.wire("one", 5)
    times = []

    def add():
        answer = node.felix_request(node.add_request(pod))
        assert answer["ok"], answer

    times.append(timed(add))
    assert node.is_programmed(pod)
    for family, name in (("ipv4", "forwarding"), ("ipv4", "route_localnet"), ("ipv6", "forwarding"),
                         ("ipv6", "proxy_ndp")):
        assert node.sysctl_of(pod, family, name) == "1", name
    assert node.sysctl_of(pod, "ipv6", "accept_ra") == "0"
    route = node.route_to(pod.ips[0])
    assert (route["scope"], route.get("protocol", "boot")) == ("link", "boot")
    assert node.endpoints()[pod.host_ifname]["programmed"]
    assert times[0] < 200, f"{times[0]:.1f} ms"
    # Asked again, as a runtime may: the same answer.
    add()


def test_pods_reach_each_other_and_the_outside_through_masquerade(node):
    one, two = node.add_felix_pod("one", 5), node.add_felix_pod("two", 6)
    for family in (0, 1):
        assert reaches(one.netns, two.ips[family])
    with Capture(node.lab.outside, "eth0") as capture:
        assert reaches(one.netns, OUTSIDE4)
        assert reaches(one.netns, OUTSIDE6)
        sources = {p.source for p in capture.packets() if not p.outgoing}
    assert sources >= {node.ip4, node.ip6}
    assert not sources & set(one.ips), "a pod's own address left the node"
    assert reaches(node.netns, one.ips[0]), "the node reaches its pods"


def test_between_pods_nothing_is_masqueraded(node):
    one, two = node.add_felix_pod("one", 5), node.add_felix_pod("two", 6)
    with Capture(two.netns, "eth0") as capture:
        assert reaches(one.netns, two.ips[0]) and reaches(one.netns, two.ips[1])
        sources = {p.source for p in capture.packets()}
    assert set(one.ips) <= sources
    assert not {node.ip4, node.ip6} & sources


def test_a_forward_policy_of_drop_does_not_hurt_pods(node):
    one, two = node.add_felix_pod("one", 5), node.add_felix_pod("two", 6)
    for family in (4, 6):
        node.netns.run([node.tool(family), "-P", "FORWARD", "DROP"])
    try:
        assert reaches(one.netns, two.ips[0]) and reaches(one.netns, two.ips[1])
        assert reaches(one.netns, OUTSIDE4)
    finally:
        for family in (4, 6):
            node.netns.run([node.tool(family), "-P", "FORWARD", "ACCEPT"])


def test_a_pod_cannot_send_with_an_address_that_is_not_its_own(node):
    one, two = node.add_felix_pod("one", 5), node.add_felix_pod("two", 6)
    stolen = ["10.244.1.77", two.ips[0], node.ip4, "192.0.2.9"]
    stolen6 = [two.ips[1], node.ip6, "2001:db8::9"]
    with Capture(two.netns, "eth0") as capture, Capture(one.netns, "eth0") as sent:
        for address in stolen + stolen6:
            six = ":" in address
            one.netns.ip(f"address add {address}/{128 if six else 32} dev eth0{' nodad' if six else ''}")
            with one.netns.entered():
                s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((address, 0))
            # To another pod of the node, which the node would deliver without any further check.
            s.sendto(b"stolen", (two.ips[1] if six else two.ips[0], 4444))
            s.close()
            one.netns.ip(f"address del {address}/{128 if six else 32} dev eth0")
        # The last one is honest: when it is there, the others would have been.
        with one.netns.entered():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(b"honest", (two.ips[0], 4444))
        s.close()
        arrived = []
        wait_for(lambda: arrived.extend(p for p in capture.packets() if not p.outgoing) or
                 any(b"honest" in p.payload for p in arrived), 5, "the honest packet")
        left = [p for p in sent.packets() if b"stolen" in p.payload]
    assert {p.source for p in left} >= set(stolen) - {two.ips[0]}, "the test did send them"
    assert not [p.source for p in arrived if b"stolen" in p.payload]


def test_09_an_interface_that_felix_does_not_know_is_closed(node):
    stranger = node.wire("stranger", 9)
    known = node.add_felix_pod("known", 5)
    node.netns.ip(f"route add {stranger.ips[0]}/32 dev {stranger.host_ifname} scope link")
    node.netns.sysctl({f"net/ipv4/conf/{stranger.host_ifname}/proxy_arp": 1})
    node.netns.ip(f"route add {stranger.ips[1]}/128 dev {stranger.host_ifname}")
    ways = {"out": (stranger.netns, known.ips[0]), "out6": (stranger.netns, known.ips[1]), "node": (stranger.netns, node.ip4),
            "node6": (stranger.netns, node.ip6), "in": (known.netns, stranger.ips[0]), "in6": (known.netns, stranger.ips[1])}
    assert not any(probe(ways, deadline=1.5, tries=3).values())
    assert node.felix_request(node.add_request(stranger), timeout=20)["ok"]
    assert all(probe(ways, tries=3).values()), "they are ways for a pod that it knows"


def test_thirty_pods_at_once_are_all_answered_quickly(node):
    pods = [node.wire(f"many-{i}", 100 + i) for i in range(30)]
    answers = {}

    def add(pod):
        start = time.monotonic()
        answers[pod.key] = (node.felix_request(node.add_request(pod), timeout=20)["ok"],
                            time.monotonic() - start)

    threads = [threading.Thread(target=add, args=(pod,)) for pod in pods]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ok for ok, _ in answers.values()) and len(answers) == 30
    assert all(node.is_programmed(pod) for pod in pods)
    worst = max(seconds for _, seconds in answers.values())
    assert worst < 8, f"{worst:.3f} s"


def test_deletion_is_answered_at_once_and_the_address_stays_until_the_link_is_gone(node):
    pod = node.add_felix_pod("one", 5)
    other = node.add_felix_pod("two", 6)
    kept = node.cni_dir / "elsewhere"
    kept.write_text(pod.container_id)
    foreign = node.cni_dir / "canal" / "10.244.1.200"
    foreign.write_text("another-container\r\neth0")
    request = {"op": "pod_del", "container_id": pod.container_id, "ifname": "eth0",
               "host_ifname": pod.host_ifname,
               "release": [*(str(p) for p in node.address_files(pod)), str(foreign),
                           f"{node.cni_dir}/canal/../elsewhere"]}
    refused = node.felix_request(request)
    assert not refused["ok"], "a path that leads out of the directory is refused"
    request["release"].pop()
    took = timed(lambda: node.felix_request(request))
    links = lambda: node.netns.run(["ip", "-o", "link", "show"])

    def is_released():
        files = [path.exists() for path in node.address_files(pod)]
        if not all(files):
            assert pod.host_ifname not in links(), "released while the link was there"
        return not any(files)

    wait_for(is_released, 5, "the address to be released", interval=0)
    assert took < 1000, f"{took:.1f} ms"  # and not the seconds that it waits for the link to go
    wait_for(lambda: node.pod_routes(pod) == [None, None], 5, "the routes to go")
    assert f"{pod.ips[0]},{pod.host_ifname}" not in node.set_members("cali40wl-net-iface")
    assert foreign.exists() and kept.exists(), "files of others stay"
    assert not [p for p in (node.run_dir / "endpoints").iterdir() if pod.container_id in p.name]
    assert node.is_programmed(other)
    assert node.felix_request(request)["ok"], "again, as runtimes do"
    foreign.unlink()
    kept.unlink()


def test_a_deletion_that_was_promised_is_done_after_a_kill(node):
    pods = [node.add_felix_pod(f"gone-{i}", 20 + i) for i in range(4)]
    for pod in pods:
        node.del_felix_pod(pod)
    node.felix.kill9()  # most of the links are still there: each takes the kernel 20 ms or more
    node.start_canal()
    wait_for(lambda: not any(pod.host_ifname in node.netns.run(["ip", "-o", "link"]) for pod in pods), 10,
             "the links to go")
    wait_for(lambda: not any(p.exists() for pod in pods for p in node.address_files(pod)), 5,
             "the addresses to be free")
    wait_for(lambda: not list((node.run_dir / "endpoints").iterdir()), 5, "no file to be left")


def test_a_pod_made_anew_under_the_same_name_takes_over_its_interface(node):
    pod = node.add_felix_pod("sts-0", 5)
    old = pod.container_id
    node.netns.ip(f"link del {pod.host_ifname}")
    pod.container_id = "f" * 64
    pod.ips = [node.pod_cidr4.replace(".0/24", ".8"), node.pod_cidr6.replace("/64", "8")]
    node.wire_link(pod)
    assert node.felix_request(node.add_request(pod), timeout=10)["ok"]
    assert node.is_programmed(pod)
    # The late DEL of the old sandbox must not take the new one's link.
    assert node.felix_request({"op": "pod_del", "container_id": old, "ifname": "eth0",
                               "host_ifname": pod.host_ifname})["ok"]
    stays(lambda: node.is_programmed(pod), 1, "the new pod to be left alone")
    assert reaches(pod.netns, node.ip4)


def test_a_link_that_comes_after_the_request_is_programmed_when_it_comes(node):
    pod = node.add_felix_pod("late", 5)
    node.netns.ip(f"link del {pod.host_ifname}")
    wait_for(lambda: node.pod_routes(pod) == [None, None], 5, "the routes to go with the link")
    wait_for(lambda: not node.endpoints()[pod.host_ifname]["programmed"], 5, "felix to see it")
    node.wire_link(pod)
    wait_for(lambda: node.is_programmed(pod), 5, "the pod to be programmed")


# ---- messages
def test_what_is_no_request_is_refused_and_harms_nobody(node):
    pod = node.add_felix_pod("one", 5)
    good = node.add_request(pod)
    bad = [
        {}, {"op": "reboot"}, {"op": "pod_add"}, {**good, "ips": ["10.0.0.0/8"]},
        {**good, "ips": ["x"]}, {**good, "ips": []}, {**good, "ips": [7]}, {**good, "host_ifname": "eth0"},
        {**good, "host_ifname": "cali/../../x"}, {**good, "container_id": "../x"},
        {**good, "container_id": "a\nb"}, {**good, "ifname": "x" * 16},
        {**good, "ips": [f"10.244.1.{i}/32" for i in range(10)]},
        {"op": "pod_gc"}, {"op": "pod_gc", "network": "canal", "valid": [{"container_id": "/"}]},
    ]
    for request in bad:
        answer = node.felix_request(request)
        assert answer["ok"] is False and answer["error"] and answer["code"], (request, answer)
    for text in (b"\n", b"nonsense\n", b"[1]\n", b'{"op":\n', b"\xff\xfe\n", b'{"op":"status"' + b" " * 99 + b"\n"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(5)
            s.connect(str(node.felix_socket))
            s.sendall(text)
            assert json.loads(s.makefile().readline())["ok"] is False, text
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(str(node.felix_socket))
        try:
            for _ in range(64):
                s.sendall(b"x" * 65536)
            assert s.recv(1) == b"", "a line without end is cut off"
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert node.felix_ready() and node.is_programmed(pod)


def test_gc_removes_what_is_not_valid_and_nothing_else(node):
    stays_pod, goes = node.add_felix_pod("stays", 5), node.add_felix_pod("goes", 6)
    other = node.wire("other", 7)
    assert node.felix_request({**node.add_request(other), "network": "second"})["ok"]
    assert node.felix_request({"op": "pod_gc", "network": "canal", "valid": [
        {"container_id": stays_pod.container_id, "ifname": "eth0"}]})["ok"]
    wait_for(lambda: goes.host_ifname not in node.netns.run(["ip", "-o", "link"]), 5, "the link to go")
    wait_for(lambda: not any(p.exists() for p in node.address_files(goes)), 5, "its addresses to be free")
    assert node.is_programmed(stays_pod) and node.is_programmed(other)
    assert all(p.exists() for p in node.address_files(stays_pod))


def test_check_and_status_say_how_it_is(node):
    pod = node.add_felix_pod("one", 5)
    check = {"op": "pod_check", "container_id": pod.container_id, "ifname": "eth0"}
    assert node.felix_request(check)["ok"]
    assert not node.felix_request({**check, "container_id": "unknown"})["ok"]
    status = node.felix_request({"op": "status"})
    assert status["ready"] and status["mtu"] == 1500
    assert status["pod_cidrs"] == [node.pod_cidr4, node.pod_cidr6]
    assert (node.state_dir / "mtu").read_text().strip() == "1500"
    assert (node.state_dir / "nodename").read_text().strip() == node.name
    assert node.readiness()[0] == 200
    assert node.metric("felix_active_local_endpoints") == 1
    assert node.metric("felix_cluster_num_hosts") == 2


# ---- drift
def break_and_mend(node, what, break_it, is_whole, deadline):
    """Breaks one thing and waits for felix to mend it."""
    assert is_whole(), f"{what}: not there before"
    break_it()
    wait_for(is_whole, deadline, lambda: f"{what}: to be mended; {node.felix.tail(3)}")


def test_routes_and_settings_changed_by_hand_are_back_at_once(node):
    node.restart_felix(**NO_REFRESH)
    node.wait_ready()
    pod = node.add_felix_pod("one", 5)
    whole = lambda: node.is_programmed(pod)
    break_and_mend(node, "IPv4 route", lambda: node.netns.ip(f"route del {pod.ips[0]}"), whole, 2)
    break_and_mend(node, "IPv6 route", lambda: node.netns.ip(f"route del {pod.ips[1]}"), whole, 2)
    forwarding = f"net/ipv4/conf/{pod.host_ifname}/forwarding"
    break_and_mend(node, "forwarding of a link", lambda: node.netns.sysctl({forwarding: 0}),
                   lambda: node.sysctl_of(pod, "ipv4", "forwarding") == "1", 2)

    def ip_forward():
        with node.netns.entered():
            with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
                return file.read().strip() == "1"

    break_and_mend(node, "ip_forward", lambda: node.netns.sysctl({"net/ipv4/ip_forward": 0}),
                   ip_forward, 2)
    break_and_mend(node, "link set down and up", lambda: node.netns.ip(
        f"link set {pod.host_ifname} down", f"link set {pod.host_ifname} up"), whole, 2)
    assert node.metric("canal_felix_repaired_total") >= 2


def test_settings_no_notification_tells_are_back_within_the_interval(node):
    pod = node.add_felix_pod("one", 5)
    for family, name, value in (("ipv4", "route_localnet", 0), ("ipv4", "proxy_arp", 0), ("ipv6", "accept_ra", 1)):
        want = str(1 - value)
        break_and_mend(node, name,
                       lambda f=family, n=name, v=value: node.netns.sysctl(
                           {f"net/{f}/conf/{pod.host_ifname}/{n}": v}),
                       lambda f=family, n=name, w=want: node.sysctl_of(pod, f, n) == w, 6)


def test_members_and_sets_changed_by_hand_are_back_within_the_interval(node):
    pod = node.add_felix_pod("one", 5)
    member = f"{pod.ips[0]},{pod.host_ifname}"
    has = lambda: member in node.set_members("cali40wl-net-iface")
    ipset = lambda *words: node.netns.run(["ipset", *words])
    break_and_mend(node, "a member", lambda: ipset("del", "cali40wl-net-iface", member), has, 6)
    break_and_mend(node, "all members", lambda: ipset("flush", "cali60wl-net-iface"),
                   lambda: node.is_programmed(pod), 6)
    break_and_mend(node, "pools", lambda: ipset("flush"),
                   lambda: node.is_programmed(pod)
                   and node.set_members("cali40masq-ipam-pools") == {"10.244.0.0/16"}
                   and node.set_members("cali40all-hosts-net") == {n.ip4 for n in node.lab.nodes.values()}, 6)
    extra = "10.244.1.99,cali00000000000"
    break_and_mend(node, "a member too many", lambda: ipset("add", "cali40wl-net-iface", extra),
                   lambda: extra not in node.set_members("cali40wl-net-iface"), 6)


def test_rules_changed_by_hand_are_back(node):
    at_once = node.lab.backend == "nft"
    if at_once:
        node.restart_felix(**NO_REFRESH)
        node.wait_ready()
    deadline = 4 if at_once else 10
    before = {family: node.own_rules(family) for family in (4, 6)}
    whole = lambda: {family: node.own_rules(family) for family in (4, 6)} == before
    drop = lambda *words: node.netns.run([node.tool(), *words])
    break_and_mend(node, "a rule", lambda: drop("-t", "raw", "-D", "cali-from-wl", "2"), whole, deadline)
    break_and_mend(node, "a chain emptied", lambda: drop("-F", "cali-INPUT"), whole, deadline)
    break_and_mend(node, "a hook", lambda: drop("-t", "nat", "-D", "POSTROUTING", "1"), whole, deadline)
    break_and_mend(node, "a rule more", lambda: drop("-I", "cali-INPUT", "-j", "ACCEPT"), whole, deadline)

    def flush_all():
        """Without --noflush a restore leaves what it names and nothing else; -F and then -X would race with felix,
        whose chains are back in between."""
        text = "".join(f"*{table}\nCOMMIT\n" for table in ("raw", "nat", "filter"))
        node.netns.run([f"{node.tool()}-restore"], input=text)

    break_and_mend(node, "everything", flush_all, whole, deadline)
    break_and_mend(node, "IPv6", lambda: node.netns.run([node.tool(6), "-t", "raw", "-F"]), whole, deadline)


def test_what_belongs_to_others_is_not_touched(node):
    pod = node.add_felix_pod("one", 5)
    node.netns.run(["ipset", "create", "mine", "hash:ip"])
    node.netns.run(["ipset", "add", "mine", "192.0.2.1"])
    node.netns.run(["ipset", "create", "cali40left", "hash:ip"])
    ours = ["-A INPUT -s 192.0.2.1/32 -j DROP", "-A MINE -j RETURN"]
    node.netns.run([node.tool(), "-N", "MINE"])
    for rule in ours:
        node.netns.run([node.tool(), *rule.split()])
    node.netns.ip("route add 192.0.2.0/24 dev eth0 proto 3", "route add 10.244.9.0/24 dev eth0 proto 12",
                  f"route add 10.244.1.250/32 dev {pod.host_ifname} proto 99")
    node.restart_felix()
    node.wait_ready()
    wait_for(lambda: node.metric("canal_felix_resyncs_total") >= 3, 15, "some resyncs")
    text = "\n".join(node.tables())
    assert all(rule in text for rule in ours)
    assert node.set_members("mine") == {"192.0.2.1"}
    assert node.set_members("cali40left") is None, "a set of ours that nothing needs"
    for prefix in ("192.0.2.0/24", "10.244.9.0/24", "10.244.1.250"):
        assert node.route_to(prefix) is not None, prefix
        node.netns.ip(f"route del {prefix}")
    for rule in ours:
        node.netns.run([node.tool(), *rule.replace("-A", "-D").split()])
    node.netns.run([node.tool(), "-X", "MINE"])
    node.netns.run(["ipset", "destroy", "mine"])


# ---- restarts and outages
def test_kill_and_restart_lose_no_packet_and_change_nothing(node):
    one, two = node.add_felix_pod("one", 5), node.add_felix_pod("two", 6)
    before = node.snapshot()
    with Stream({"v4": (one.netns, two.netns, two.ips[0]), "v6": (one.netns, two.netns, two.ips[1]),
                 "out": (one.netns, node.lab.outside, OUTSIDE4)}) as stream:
        for kill in (True, False):
            node.restart_felix(kill=kill)
            node.wait_ready()
            wait_for(lambda: node.endpoints().keys() == {one.host_ifname, two.host_ifname}, 5,
                     "the pods to be known again")
            assert node.metric("felix_iptables_restore_calls") == 0, "everything was in place"
            wait_for(lambda n=stream.sent(): stream.sent() >= n + 150, 10, "packets after the restart")
        flows = stream.stop()
    assert {f.name: f.lost for f in flows} == {"v4": 0, "v6": 0, "out": 0}
    assert all(f.sent >= 100 for f in flows)
    assert node.snapshot() == before


def test_a_kind_the_role_does_not_name_is_named_with_what_to_do(node):
    """A new image with the ClusterRole of an older version: the node goes on, and people are told."""
    one = node.add_felix_pod("one", 5)
    before = node.snapshot()
    client = node.lab.api.client
    node.felix.kill9()
    client.faults(*({"match": {"verb": "list", "resource": kind}, "action": "status", "code": 403}
                    for kind in ("tiers", "hostendpoints")))
    try:
        node.start_canal()
        advice = "the API forbids to list Tier, HostEndpoint; apply the ClusterRole of this version (deploy/canal.yaml)"
        wait_for(lambda: f"dataplane: not ready: {advice}\n" in node.readiness()[1], 20,
                 lambda: f"the kinds and the advice: {node.readiness()}")
        status = node.felix_request({"op": "status"})
        assert status["reason"] == advice and "limited" not in status
        said = [line for line in node.log().splitlines() if "Tier: list /apis/" in line]
        assert "403" in said[-1] and "deploy/canal.yaml" in said[-1] and "error" in said[-1]
        assert node.snapshot() == before and node.is_programmed(one)
    finally:
        client.clear_faults()
    node.wait_ready(60)
    assert "Tier: the API allows to list it now" in node.log()
    node.clear_pods()


def test_started_while_the_api_is_down_it_leaves_the_kernel_and_still_adds_pods(node):
    one = node.add_felix_pod("one", 5)
    before = node.snapshot()
    node.felix.kill9()
    node.lab.api.down()
    node.start_canal()
    wait_for(node.felix_socket.exists, 10, "the socket")
    wait_for(lambda: one.host_ifname in node.endpoints(), 10, "the known pod")
    assert node.snapshot() == before
    two = node.add_felix_pod("two", 6)
    assert node.is_programmed(two)
    # What may be done with it is not known: it is wired, and closed.
    assert not reaches(two.netns, one.ips[0], 0.5) and not reaches(two.netns, OUTSIDE4, 0.5)
    with pytest.raises(LabError, match="first complete list"):
        node.felix_ready()
    assert node.readiness()[0] == 503 and node.http_get(9099, "/liveness")[0] == 200
    node.lab.api.up()
    node.lab.api.apply(two.object())
    node.wait_ready(60)
    assert node.is_programmed(one) and node.is_programmed(two)
    assert node.readiness()[0] == 200
    wait_for(lambda: reaches(two.netns, one.ips[0]) and reaches(two.netns, OUTSIDE4), 10, "the pod to be open")


def test_an_outage_of_the_api_changes_nothing(node):
    one = node.add_felix_pod("one", 5)
    two = node.wire("two", 6)
    wait_for(lambda: node.metric("felix_cluster_num_workload_endpoints") is not None, 5, "metrics")
    wait_for(lambda: two.host_ifname in str(node.snapshot()["rules"]), 5, "the chains of a pod that comes")
    before = node.snapshot()
    node.lab.api.down()
    stays(lambda: node.snapshot() == before, 3, "the kernel's state")
    assert node.felix_request(node.add_request(two), timeout=10)["ok"]
    assert reaches(two.netns, one.ips[0]), "a pod whose object was known before"
    node.lab.api.up()
    wait_for(node.felix_ready, 30, "felix to be ready")


def test_pods_of_the_api_are_taken_over_without_the_plugin(node):
    """A node that ran another plugin: links and Pod objects are there, felix's files are not."""
    pod = node.wire("old", 5)
    node.lab.api.patch_status("Pod", "old", {"phase": "Running", "podIP": pod.ips[0],
                                             "podIPs": [{"ip": ip} for ip in pod.ips]}, "default")
    wait_for(lambda: node.is_programmed(pod), 10, "the pod to be programmed")
    assert node.endpoints()[pod.host_ifname]["source"] == "api"
    assert reaches(pod.netns, OUTSIDE4)
    # Finished: its addresses are no longer its own.
    node.lab.api.patch_status("Pod", "old", {"phase": "Succeeded"}, "default")
    wait_for(lambda: node.pod_routes(pod) == [None, None], 10, "the routes to go")
    node.lab.api.delete("Pod", "old", "default")


def test_chains_of_calico_are_replaced_by_ours(node):
    leftovers = ["*filter", ":cali-FORWARD - [0:0]", ":cali-wl-to-host - [0:0]", ":cali-tw-cali12 - [0:0]",
                 "-I FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD",
                 "-A cali-FORWARD -m comment --comment \"cali:old1\" -g cali-tw-cali12",
                 "-A cali-tw-cali12 -m comment --comment \"cali:old2\" -j cali-wl-to-host",
                 "-A cali-wl-to-host -m comment --comment \"cali:old3\" -j DROP", "COMMIT", ""]
    node.felix.kill9()
    for backend in ("nft", "legacy"):
        node.netns.run([f"iptables-{backend}-restore", "--noflush"], input="\n".join(leftovers))
    node.start_canal()
    node.wait_ready()
    other = node.lab.other_backend
    wait_for(lambda: not [r for r in node.own_rules() if "tw-cali12" in r or "old" in r], 10, "the chains to go")
    wait_for(lambda: not node.own_rules(4, other), 15, lambda: f"the other backend: {node.own_rules(4, other)}")
    assert any("cali-from-wl" in rule for rule in node.own_rules())
