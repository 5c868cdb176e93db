"""What policy does to open connections and first packets, and what becomes of it when sets are damaged, the API is
gone or felix is killed. Items of docs/PARITY.md in the names; faults of iptables are in
test_felix_iptables_faults.py."""

import contextlib
import random
import socket
import struct
import time

import pytest

from felix_nodes import NO_REFRESH, REFRESH, fresh_start, stays
from lab import LabError, Stream, wait_for
from lab.background import Background
from lab.packets import SO_RCVBUFFORCE
from policy.flows import CLIENT, SERVER, OpenFlows, assert_stopped, assert_untouched
from policy.objects import (calico_policy, cluster_peer, cluster_policy, cluster_rule, egress, felix_configuration,
                            global_policy, ingress, labels, network_policy, network_set, nodes_peer, peer, port, rule, subject)
from policy.tables import Table
from policy.world import World, pod_spec

A = labels(pod="a")
OPEN_PORT, OTHER_PORT = 7001, 7002
PROTOCOLS = ("tcp", "udp", "sctp")


@pytest.fixture(name="shared", scope="module", params=["nft", "legacy"])
def shared_fixture(request):
    """A world that looks at its sets and rules every few seconds; felix may be killed in it."""
    with World(request.param, settings={**REFRESH, "FELIX_IPSETSREFRESHINTERVAL": "1s"}) as world:
        world.start_nodes()
        yield world.populate()


@pytest.fixture(name="world")
def world_fixture(shared):
    shared.api.up()
    for node in shared.nodes.values():
        if not node.felix.alive():
            node.start_canal()
            node.wait_ready()
    yield shared
    shared.api.up()
    for node in shared.nodes.values():
        if not node.felix.alive():
            node.start_canal()
            node.wait_ready()
    shared.reset()


# ---- open connections
def all_flows(flows, client, server, port_number):
    return [flows.open(protocol, client, server, port_number, family)
            for protocol in PROTOCOLS for family in (4, 6)]


# On one node, and across two with the change on either side.
CUT = [("y/b", "x/a"), ("y/c", "x/a"), ("y/b", "x/c")]


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_connections_that_policy_takes_away_stop_and_others_go_on(world, direction):
    with OpenFlows() as flows:
        gone = [flow for number, (client, server) in enumerate(CUT)
                for flow in all_flows(flows, world.pod(client), world.pod(server), OPEN_PORT + 10 * number)]
        kept = all_flows(flows, world.pod("z/a"), world.pod("z/b"), OPEN_PORT)
        for number, (client, server) in enumerate(CUT):
            kept += all_flows(flows, world.pod(client), world.pod(server), OTHER_PORT + 10 * number)
            kept += all_flows(flows, world.pod(server), world.pod("z/c"), OPEN_PORT + 10 * number)
        flows.wait_both_ways()
        only = [port(OTHER_PORT + 10 * number, p.upper()) for p in PROTOCOLS for number in range(len(CUT))]
        if direction == "ingress":
            policies = [network_policy("x", f"cut-{pod}", labels(pod=pod), [ingress(ports=only)]) for pod in "ac"]
        else:
            policies = [network_policy("y", f"cut-{pod}", labels(pod=pod), None, [egress(ports=only)], ["Egress"])
                        for pod in "bc"]
        moment = time.monotonic()
        world.apply(*policies)
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)


def test_connections_stop_when_a_label_takes_the_peer_out_of_a_set(world):
    world.apply(network_policy("x", "role", A, [ingress(peer(labels(role="client"), {}))]))
    world.label("Pod", "b", "y", role="client")
    world.label("Pod", "c", "z", role="client")
    with OpenFlows() as flows:
        gone = all_flows(flows, world.pod("y/b"), world.pod("x/a"), OPEN_PORT)
        kept = all_flows(flows, world.pod("z/c"), world.pod("x/a"), OTHER_PORT)
        flows.wait_both_ways()
        moment = time.monotonic()
        world.label("Pod", "b", "y", role=None)
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)


@pytest.fixture(name="unmasked")
def unmasked_fixture(world):
    """Pods reach nodes under their own addresses, which is what the ends of a flow by hand have to know."""
    for pool in ("pods4", "pods6"):
        world.client.patch("IPPool", pool, {"spec": {"natOutgoing": False}})
    yield world
    for pool in ("pods4", "pods6"):
        world.client.patch("IPPool", pool, {"spec": {"natOutgoing": True}})


@pytest.mark.parametrize("how", ["label", "address", "object"])
def test_connections_stop_when_a_node_is_no_peer_any_more(unmasked, how):
    """From pods to their own node and to another one. What is said of that one changes in the object of a node that is
    registered with the same addresses, for felix writes those of its own node."""
    world, n1, n2 = unmasked, unmasked.node("n1"), unmasked.node("n2")
    twin = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "twin", "labels": {"role": "db"}}, "spec": {},
            "status": {"addresses": [{"type": "InternalIP", "address": ip} for ip in (n2.ip4, n2.ip6)]}}
    accept = cluster_rule("Accept", [nodes_peer(role="db"), cluster_peer(labels(ns="y"))], side="to")
    deny = cluster_rule("Deny", [{"networks": ["0.0.0.0/0", "::/0"]}], side="to")
    world.label("Node", "n1", role="db")
    world.apply(twin, felix_configuration(defaultEndpointToHostAction="Accept"),
                cluster_policy("nodes", "Admin", 10, subject(labels(ns="x")), None, [accept, deny]))
    with OpenFlows() as flows:
        gone = [flow for number, pod in enumerate(("x/a", "x/c"))
                for flow in all_flows(flows, world.pod(pod), n2, OPEN_PORT + 10 * number)]
        kept = [flow for number, (pod, server) in enumerate((("x/a", n1), ("x/c", n1), ("y/b", n2), ("x/a", world.pod("y/c"))))
                for flow in all_flows(flows, world.pod(pod), server, OTHER_PORT + 10 * number)]
        flows.wait_both_ways()
        moment = time.monotonic()
        if how == "label":
            world.client.patch("Node", "twin", {"metadata": {"labels": {"role": "web"}}})
        elif how == "address":
            world.client.patch("Node", "twin", {"status": {"addresses": []}}, sub="status")
        else:
            world.remove(twin)
        assert_stopped(gone, moment)
        assert_untouched(kept, moment)


def test_a_connection_that_is_allowed_again_may_be_opened_anew(world):
    deny = network_policy("x", "deny", A)
    with OpenFlows() as flows:
        first = flows.open("tcp", world.pod("y/b"), world.pod("x/a"), OPEN_PORT)
        flows.wait_both_ways(first)
        moment = time.monotonic()
        world.apply(deny)
        assert_stopped([first], moment, watch=0.2)
        world.remove(deny)
        second = flows.open("tcp", world.pod("y/b"), world.pod("x/a"), OTHER_PORT)
        flows.wait_both_ways(second)


# The bits of accept, pass, refused ... move by one, to others, and back, so that one of before means another thing.
MASKS = (0xfffe0000, 0xff800000, 0x000fffe0, 0xffff0000)


def test_another_mark_mask_opens_nothing_and_cuts_nothing(world):
    """What was ended stays so, what is denied does not pass at any moment, and what is open goes on."""
    only = [port(OTHER_PORT, p.upper()) for p in PROTOCOLS]
    node = world.node("n1")
    denied = {f"{source} {family}": (world.pod(source).netns, world.pod("x/a").netns, world.ip("x/a", family))
              for source in ("y/b", "z/a") for family in (4, 6)}

    def is_taken_up(mask):
        bits = [1 << i for i in range(32) if mask >> i & 1][:3]
        for family in (4, 6):
            rules = node.own_rules(family, world.backend)
            allow = [r for r in rules if r.startswith("-A cali-allow ")]
            refused = {r.split("-m connmark ")[1].split(" -g")[0] for r in rules if "-m connmark" in r}
            if not all(f"0x{bits[0]:x}/" in r for r in allow) or refused != {f"--mark 0x{bits[2]:x}/0x{bits[2]:x}"}:
                return False
        return True

    with OpenFlows() as flows:
        gone = all_flows(flows, world.pod("y/b"), world.pod("x/a"), OPEN_PORT)
        kept = all_flows(flows, world.pod("y/c"), world.pod("x/a"), OTHER_PORT)
        flows.wait_both_ways()
        moment = time.monotonic()
        world.apply(network_policy("x", "cut", A, [ingress(ports=only)]))
        assert_stopped(gone, moment, watch=0.2)
        with Stream(denied, rate=500) as stream:
            for mask in MASKS:
                world.write({"apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration",
                             "metadata": {"name": "default"}, "spec": {"iptablesMarkMask": mask}})
                wait_for(lambda m=mask: is_taken_up(m), 15, lambda m=mask: f"mask {m:#x}: {node.felix.tail(5)}")
            assert_stopped(gone, moment)
            assert not any(flow.seen for flow in stream.stop())
        assert_untouched(kept, moment)
    world.remove({"apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration",
                  "metadata": {"name": "default"}})


# ---- the first packet of a pod
class Eager(Background):
    """Sends numbered UDP packets from a namespace as fast as it may, from before it has an address on."""

    def __init__(self, netns, targets, port_number):
        super().__init__()
        self.sockets = {t: netns.socket(socket.AF_INET6 if ":" in t else socket.AF_INET, socket.SOCK_DGRAM)
                        for t in targets}
        self.port = port_number
        self.sent = {t: 0 for t in targets}

    def step(self):
        for target, s in self.sockets.items():
            with contextlib.suppress(OSError):
                s.sendto(struct.pack("!Q", self.sent[target]), (target, self.port))
                self.sent[target] += 1
        self.pause(0.0005)

    def stop(self):
        super().stop()
        for s in self.sockets.values():
            s.close()


class Ear:
    """What arrives at a port of a pod: {source address: [numbers]}."""

    def __init__(self, pod, port_number):
        self.sockets = []
        for family, kind in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            s = pod.netns.socket(kind, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)  # it is read at the end only
            s.bind((pod.ip(family), port_number))
            s.setblocking(False)
            self.sockets.append(s)
        self.found = {}

    def so_far(self):
        for s in self.sockets:
            while True:
                try:
                    text, address = s.recvfrom(64)
                except BlockingIOError:
                    break
                self.found.setdefault(address[0], []).append(struct.unpack("!Q", text)[0])
        return self.found

    def heard(self, last=None):
        """At the end; waits a moment for the last number of each source, which may be in the kernel's queues still."""
        with contextlib.suppress(LabError):
            wait_for(lambda: all(number in self.so_far().get(source, []) for source, number in (last or {}).items()), 5)
        found = self.so_far()
        for s in self.sockets:
            s.close()
        return found


@pytest.mark.parametrize("rounds", [5])
def test_a_pods_policy_and_its_place_in_every_set_are_there_before_its_first_packet(world, rounds):
    """Its namespace lets it reach clients of its role only; x/a lets that role in. From before CNI ADD on the pod
    sends to both: what is denied never arrives, and what is sent after ADD has returned all arrives."""
    world.apply(network_policy("y", "new", labels(role="new"), None, [
        egress(peer(labels(pod="a"), labels(ns="x")))], ["Egress"]),
                network_policy("x", "role", A, [ingress(peer(labels(role="new"), labels(ns="y")))]))
    node = world.node("n1")
    for number in range(rounds):
        name = f"new-{number}"
        good, bad = Ear(world.pod("x/a"), OPEN_PORT), Ear(world.pod("z/b"), OPEN_PORT)
        goods, bads = world.pod("x/a").ips, world.pod("z/b").ips

        def change(obj):
            pod_spec("y", "new")(obj)
            obj["metadata"]["labels"] = {"role": "new"}
            obj["spec"]["serviceAccountName"] = "sa-a"

        pod, eager, after = add_pod_that_sends(node, name, change, [*goods, *bads])
        try:
            time.sleep(0.1)  # it goes on sending for a while
            eager.stop()
            heard = good.heard({source: eager.sent[target] - 1 for target, source in zip(goods, pod.ips)})
            leaked = bad.heard()
            assert not leaked, f"round {number}: {leaked}"
            for target, source in zip(goods, pod.ips):
                numbers = heard.get(source, [])
                lost = [n for n in range(after[target], eager.sent[target]) if n not in set(numbers)]
                assert not lost, f"round {number}: {len(lost)} of {eager.sent[target]} packets lost after ADD"
        finally:
            node.del_pod(pod)


def add_pod_that_sends(node, name, change, targets):
    """node.add_pod(), with a thread that sends from the namespace's first moment; how far it was when ADD returned."""
    made = {}
    real = node.cni

    def cni(command, pod, stdin=None):
        if command == "ADD":
            made["eager"] = Eager(pod.netns, targets, OPEN_PORT)
            made["eager"].start()
        answer = real(command, pod, stdin)
        if command == "ADD":
            made["after"] = dict(made["eager"].sent)
        return answer

    node.cni = cni
    try:
        pod = node.add_pod(name, "y", change)
    finally:
        node.cni = real
    return pod, made["eager"], made["after"]


# ---- 40: sets
def policy_sets(node):
    """Names of our sets that policy made."""
    fixed = ("all-", "masq-", "wl-net", "this-host")
    names = node.netns.run(["ipset", "list", "-n"]).split()
    return sorted(n for n in names if n.startswith(("cali40", "cali60")) and not n[6:].startswith(fixed))


def test_40_members_and_sets_changed_by_others_are_repaired(world):
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
    table = Table().deny(to="x/a").allow("y/*", "x/a")
    world.check(table)
    node, foreign = world.node("n1"), world.pod("z/b")
    sets = policy_sets(node)
    assert sets, "policy made no set"
    before = {name: node.set_members(name) for name in sets}
    four = next(name for name in sets if world.ip("y/a") in (before[name] or ()))
    node.netns.run(["ipset", "add", four, foreign.ip()])
    node.netns.run(["ipset", "del", four, world.ip("y/a")])
    wait_for(lambda: node.set_members(four) == before[four], 10, f"{four} to be mended")
    world.check(table)
    for name in sets:
        node.netns.run(["ipset", "flush", name])
    wait_for(lambda: {name: node.set_members(name) for name in sets} == before, 10, "the members to be back")
    world.check(table)
    # Exchanged for another one of the same type under our name, as a restore of another tool might.
    node.netns.run(["ipset", "create", "foreign", "hash:net"])
    node.netns.run(["ipset", "swap", "foreign", four])
    wait_for(lambda: node.set_members(four) == before[four], 10, f"{four} to be mended")
    world.check(table)
    node.netns.run(["ipset", "destroy", "foreign"])


def test_40_hundreds_of_sets_come_and_go(world):
    policies = [global_policy(f"many-{i}", "pod == 'a'", [
        rule("Allow", source={"selector": f"pod == 'b' && number != '{i}'"})], order=i) for i in range(150)]
    world.apply(*policies)
    world.check(Table().deny(to="*/a").allow("*/b", "*/a"))
    assert len(policy_sets(world.node("n1"))) >= 2 * 150
    world.reset()
    wait_for(lambda: not policy_sets(world.node("n1")), 20, lambda: f"left: {policy_sets(world.node('n1'))[:5]}")
    world.check(Table())


def test_40_more_sets_than_one_listing_holds_are_known_after_a_restart(world):
    """What an earlier run left goes, all of it; what is wanted is neither made anew nor lost."""
    node = world.node("n1")
    selectors = [f"pod == 'b' && number != '{i}'" for i in range(400)]
    world.apply(global_policy("many", "pod == 'a'", [rule("Allow", source={"selector": text}) for text in selectors]))
    before, table = node.snapshot(), Table().deny(to="*/a").allow("*/b", "*/a")
    assert len(policy_sets(node)) >= 2 * len(selectors)
    node.felix.kill9()
    node.netns.run(["ipset", "restore"], input="".join(f"create cali40left-{i} hash:net\n" for i in range(1000)))
    node.start_canal()
    node.wait_ready()
    wait_for(lambda: not [name for name in policy_sets(node) if "left-" in name], 60, "what was left to go")
    assert node.snapshot() == before
    world.check(table, world.pairs(protocols=["udp"]))


def test_40_a_set_that_somebody_elses_rule_names_goes_when_it_may(world):
    node, tool = world.node("n1"), f"iptables-{world.backend}"
    policy = network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))])
    world.apply(policy)
    name = next(n for n in policy_sets(node) if world.ip("y/a") in node.set_members(n))
    foreign = ["FORWARD", "-s", "192.0.2.1", "-m", "set", "--match-set", name, "src", "-j", "DROP"]
    node.netns.run([tool, "-w", "10", "-A", *foreign])
    try:
        world.remove(policy)
        world.apply(network_policy("x", "from-z", A, [ingress(peer(namespaces=labels(ns="z")))]))
        world.check(Table().deny(to="x/a").allow("z/*", "x/a"))
        stays(lambda: name in policy_sets(node) and node.readiness()[0] == 200, 1.5, "the set, and felix ready")
    finally:
        node.netns.run([tool, "-w", "10", "-D", *foreign])
    wait_for(lambda: name not in policy_sets(node), 10, "the set to go")


def test_40_sets_that_were_destroyed_with_the_rules_are_back_at_once(world):
    """An administrator's iptables -F and ipset destroy: rules cannot be written without sets, and nobody tells that those are
    gone but the tool that writes rules."""
    node = world.node("n1")
    node.restart_felix(**NO_REFRESH)
    node.wait_ready()
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
    before, text = node.snapshot(), "".join(f"*{table}\n-F\n-X\nCOMMIT\n" for table in ("raw", "mangle", "nat", "filter"))

    def destroy():
        """Until the administrator was quicker than felix, whose rules keep a set from being destroyed."""
        for tool in ("iptables", "ip6tables"):
            node.netns.run([f"{tool}-{world.backend}-restore", "--noflush", "-w", "10"], input=text, check=False)
        node.netns.run(["ipset", "destroy"], check=False)
        return not node.netns.run(["ipset", "list", "-n"])

    try:
        wait_for(destroy, 20, "the sets to be gone", interval=0)
        wait_for(lambda: node.snapshot() == before, 10, lambda: f"sets and rules: {node.felix.tail(5)}")
        wait_for(lambda: node.readiness()[0] == 200, 10, "felix to be ready")
        world.check(Table().deny(to="x/a").allow("y/*", "x/a"))
    finally:
        node.settings = {}
        node.restart_felix()
        node.wait_ready()


def test_40_thousands_of_members_flap(world):
    def nets(start):
        return [f"10.{200 + (start + i) // 65536}.{(start + i) // 256 % 256}.{(start + i) % 256}/32" for i in range(4000)]
    own = [f"{ip}/{128 if ':' in ip else 32}" for ip in world.pod("y/b").ips]
    world.apply(global_policy("flap", "pod == 'a'", [rule("Allow", source={"selector": "role == 'flap'"})]))
    for turn in range(6):
        world.write(network_set(None, "flap", nets(turn * 2000) + (own if turn % 2 else []), role="flap"))
    world.settle()
    world.check(Table().deny(to="*/a").allow("y/b", "*/a"))
    name = next(n for n in policy_sets(world.node("n1")) if n.startswith("cali40"))
    assert len(world.node("n1").set_members(name)) == 4001


def test_huge_objects_do_no_harm(world):
    """100,000 members, 10,000 rules, a selector of 64 KiB: what is too large is refused and closes, the rest works."""
    nets = [f"10.{128 + i // 65536}.{i // 256 % 256}.{i % 256}/32" for i in range(100000)]
    own = [f"{ip}/{128 if ':' in ip else 32}" for ip in world.pod("y/b").ips]
    rules = [rule("Allow", protocol="TCP", source={"nets": [f"10.{i // 65536}.{i // 256 % 256}.{i % 256}/32"]})
             for i in range(9999)] + [rule("Allow", source={"selector": "pod == 'b'"})]
    world.apply(network_set(None, "huge", nets + own, role="huge"),
                global_policy("set", "pod == 'a'", [rule("Allow", source={"selector": "role == 'huge'"})]))
    world.check(Table().deny(to="*/a").allow("y/b", "*/a"))
    text = " || ".join(f"pod == '{'b' if i == 0 else i}'" for i in range(5000))
    world.apply(calico_policy("x", "selector", "pod == 'b'", [
        rule("Allow", source={"selector": text[:65536].rsplit(" ||", 1)[0]})]))
    world.client.load(policy := calico_policy("x", "rules", "pod == 'c'", rules))
    world.written[world.key_of(policy)] = policy
    world.settle(60)
    result = world.prober.probe(world.pairs(targets=["x/a", "x/b", "x/c"]), allowed=())
    passed = {(p.source, p.target) for p in result.open()}
    allowed = {("y/b", "x/a"), ("x/b", "x/c")}
    assert passed <= allowed and ("y/b", "x/a") in passed, passed ^ allowed
    # What comes afterwards is in force as fast as ever.
    start = time.monotonic()
    world.apply(network_policy("z", "deny", labels(pod="b")))
    seconds = time.monotonic() - start
    print(f"passed {sorted(passed)}, then a policy in {seconds * 1000:.0f} ms")
    assert seconds < 5


# ---- 44: outages
def test_44_an_outage_of_the_api_keeps_policy_and_a_restart_in_it_too(world):
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
    table = Table().deny(to="x/a").allow("y/*", "x/a")
    world.check(table)
    world.api.down()
    stays(lambda: all(node.felix.alive() for node in world.nodes.values()), 0.5, "felix to live on")
    world.check(table, has_reference=False, has_explain=False)
    for node in world.nodes.values():
        node.felix.kill9()
    world.check(table, has_reference=False, has_explain=False)
    for node in world.nodes.values():
        node.start_canal()
        wait_for(node.felix_socket.exists, 10, "felix's socket")
    world.check(table, has_reference=False, has_explain=False)
    world.api.up()
    world.settle(30)
    world.check(table)


def test_44_faults_of_the_api_end_in_the_same_state(world):
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
    table = Table().deny(to="x/a").allow("y/*", "x/a")
    want = world.node("n1").snapshot()
    for fault in (world.client.disconnect, world.client.compact):
        fault()
        world.write(network_policy("x", "other", labels(pod="b"), [ingress(peer(namespaces=labels(ns="z")))]))
        world.settle(30)
        world.check(table.copy().deny(to="x/b").allow("z/*", "x/b"))
        world.remove(network_policy("x", "other"))
        world.check(table)
        assert world.node("n1").snapshot() == want


# ---- killed at random points
class Churn(Background):
    """Changes policies, labels and sets all the time; none of it opens what the test's own policy denies."""

    def __init__(self, world, seed):
        super().__init__()
        self.client = type(world.client)(world.client.target)
        self.random = random.Random(seed)

    def step(self):
        pick = self.random
        number = pick.randrange(6)
        kind = pick.randrange(4)
        if kind == 0:
            self.client.apply(calico_policy("x", f"churn-{number}", "has(pod)", [
                rule("Allow", protocol="TCP", source={"selector": f"number == '{pick.randrange(9)}'"}),
                rule("Allow", source={"selector": "pod == 'b'"})], order=pick.randrange(100)))
        elif kind == 1:
            self.client.delete("networkpolicies.crd.projectcalico.org", f"churn-{number}", "x", missing_ok=True)
        elif kind == 2:
            self.client.patch("Pod", pick.choice("abc"), {"metadata": {"labels": {"number": str(pick.randrange(9))}}},
                              pick.choice("yz"))
        else:
            self.client.apply(network_set("x", "churn", [f"10.77.{number}.{i}/32" for i in range(pick.randrange(50))],
                                          number=str(number)))
        self.pause(0.004)

    def stop(self):
        try:
            super().stop()
        finally:
            self.tidy()

    def tidy(self):
        self.client.delete("NetworkSet", "churn", "x", missing_ok=True)
        for number in range(6):
            self.client.delete("networkpolicies.crd.projectcalico.org", f"churn-{number}", "x", missing_ok=True)
        self.client.close()


KILLS = 200


def test_killed_hundreds_of_times_under_churn_felix_never_lets_a_denied_packet_pass(world):
    """Denied: everybody but x's pods named b to x/a, by UDP and TCP of new flows. Allowed all the time: x/b."""
    world.apply(network_policy("x", "from-b", None, [ingress(peer(labels(pod="b")))]))
    node = world.node("n1")
    denied = {f"{source} {family}": (world.pod(source).netns, world.pod("x/a").netns, world.ip("x/a", family))
              for source in ("y/b", "z/a", "y/c") for family in (4, 6)}
    allowed = {f"x/b {family}": (world.pod("x/b").netns, world.pod("x/a").netns, world.ip("x/a", family))
               for family in (4, 6)}
    pick = random.Random(1)
    churn = Churn(world, 2)
    with Stream({**denied, **allowed}, rate=100) as stream:
        wait_for(lambda: all(flow.seen for flow in stream.flows if flow.name in allowed), 5, "the allowed flows")
        churn.start()
        start, synced = time.monotonic(), node.log().count("in sync with the API")
        for _ in range(KILLS):
            time.sleep(pick.random() ** 3 * 0.45)  # often while it starts, at times in the middle of its work
            node.felix.kill9()
            node.start_canal()
        seconds, synced = time.monotonic() - start, node.log().count("in sync with the API") - synced
        churn.stop()
        node.wait_ready()
        world.settle(30)
        flows = stream.stop()
    print(f"{KILLS} kills in {seconds:.1f} s, {synced} of them in sync, {churn.n} changes, "
          f"{sum(f.sent for f in flows)} packets")
    for flow in flows:
        if flow.name in denied:
            assert not flow.seen, f"{flow.name}: {len(flow.seen)} denied packets passed"
        else:
            assert not flow.lost, f"{flow.name}: {flow.lost} of {flow.sent} allowed packets lost"
    assert synced > KILLS // 20, "felix was never at work when it was killed"
    world.check(Table().deny(to="x/*").allow("x/b", "x/*"))
    assert_same_as_a_fresh_start(world, node)


def assert_same_as_a_fresh_start(world, node):
    """What is in the kernel is what felix makes of an empty one."""
    left = node.snapshot()
    fresh_start(world, node)
    assert node.snapshot() == left
