"""What happens to pods themselves, with policy in force: links renamed and flapping, two pods with one address, encapsulated
packets that are allowed, names resolved by DNS, forwarding off. Items of docs/PARITY.md in the names."""

import socket
import struct

import pytest

from lab import Capture, Netns, wait_for
from lab.topology import OUTSIDE4, OUTSIDE6
from policy.encapsulation import encapsulated
from policy.objects import (egress, felix_configuration, global_policy, host_endpoint, ingress, labels, network_policy,
                            peer, port, rule)
from policy.prober import FAMILIES, PORTS, PROTOCOLS, Place, Probe
from policy.services import behind
from policy.tables import Table

A = labels(pod="a")
FROM_Y = network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))])
ONLY_Y = Table().deny(to="x/a").allow("y/*", "x/a")


# ---- 1
def test_01_a_link_that_is_renamed_is_closed_until_it_is_back(world):
    """Under a name that felix does not know nothing passes; policy counts again with the old one."""
    world.apply(FROM_Y)
    pod, node, name = world.pod("x/a"), world.node("n1"), "calitmp0"
    rename = lambda old, new: node.netns.ip(f"link set {old} down", f"link set {old} name {new}", f"link set {new} up")
    rename(pod.host_ifname, name)
    try:
        wait_for(lambda: not any(r and r.get("dev") == name for r in node.pod_routes(pod)), 10, "its routes to be gone")
        closed = ONLY_Y.copy().deny(to="x/a").deny("x/a")
        world.check(closed, has_reference=False, has_explain=False)
    finally:
        rename(name, pod.host_ifname)
    wait_for(lambda: node.is_programmed(pod), 10, "the pod to be programmed again")
    world.check(ONLY_Y)


def test_01_a_link_that_flaps_comes_back_with_its_policy(world):
    world.apply(FROM_Y)
    pod, node = world.pod("x/a"), world.node("n1")
    for _ in range(3):
        node.netns.ip(f"link set {pod.host_ifname} down", f"link set {pod.host_ifname} up")
        wait_for(lambda: node.is_programmed(pod), 10, "the pod to be programmed again")
    world.check(ONLY_Y)


# ---- 2
def twin(world, name, host=200, node="n1", block_of=None):
    """A pod of namespace x with an address that is given, whose label role is its name."""
    node = world.node(node)
    pod = node.wire(name, host, "x", block_of and world.node(block_of))
    world.client.patch("Pod", name, {"metadata": {"labels": {"role": name}}}, "x")
    world.api.patch_status("Pod", name, {"phase": "Running", "podIP": pod.ips[0],
                                         "podIPs": [{"ip": ip} for ip in pod.ips]}, "x")
    assert node.felix_request(node.add_request(pod), timeout=20)["ok"]
    world.prober.add(pod)
    world.settle()
    return pod


def untwin(world, pod):
    """Like a runtime, which removes the link of the one that goes and leaves what the other one has."""
    world.prober.remove(pod.key)
    node = pod.node
    assert node.felix_request({"op": "pod_del", "container_id": pod.container_id, "ifname": "eth0",
                               "host_ifname": pod.host_ifname, "network": "canal", "release": []})["ok"]
    node.netns.run(["ip", "link", "del", pod.host_ifname], check=False)
    world.client.delete("Pod", pod.name, pod.namespace)
    node.drop_pod(pod)
    world.settle()


@pytest.mark.parametrize("leaves", ["first", "second"])
def test_02_two_pods_with_one_address(world, leaves):
    """z/b lets the first one's role in, and y/b is closed to it by its own egress. Whoever stays has the routes, its own
    policy, and its place in sets; whoever leaves takes nothing with it."""
    world.apply(network_policy("z", "role", labels(pod="b"), [ingress(peer(labels(role="first"), {}))]),
                network_policy("x", "first", labels(role="first"), [ingress(peer(labels(pod="a"), {}))],
                               [egress(peer(namespaces=labels(ns="z")))], ["Ingress", "Egress"]),
                network_policy("x", "second", labels(role="second"), [ingress(peer(labels(pod="b"), {}))],
                               [egress(peer(namespaces=labels(ns="y")))], ["Ingress", "Egress"]))
    made = {"first": twin(world, "first")}
    others = [p.key for p in world.pods() if not p.name in ("first", "second")]

    def table(name):
        """Of those pods alone."""
        allowed = Table(False)
        allowed.allow("*/a" if name == "first" else "*/b", f"x/{name}")
        for to in [key for key in others if key.startswith("z/" if name == "first" else "y/")]:
            if name == "first" or to != "z/b":
                allowed.allow(f"x/{name}", to)
        return allowed

    def check(name):
        probes = world.pairs([f"x/{name}"], others) + world.pairs(others, [f"x/{name}"])
        world.check(table(name), probes, has_reference=False, has_explain=False)

    try:
        check("first")
        made["second"] = twin(world, "second")
        stays = "second" if leaves == "first" else "first"
        # While there are two, what neither of them may do stays closed.
        probes = [p for name in made for p in world.pairs([f"x/{name}"], ["x/a", "x/c"]) + world.pairs(["z/c", "x/c"], [f"x/{name}"])]
        world.check(Table(False), probes, has_reference=False, has_explain=False)
        untwin(world, made.pop(leaves))
        wait_for(lambda: world.node("n1").is_programmed(made[stays]), 10, f"{stays} to have the address")
        check(stays)
    finally:
        for pod in list(made.values()):
            untwin(world, pod)


def test_02_two_pods_with_one_address_on_two_nodes(world):
    """Where one of them is, it has the address; elsewhere it is whose block it is. A pod that borrows an address of
    another node's block is reached on its own node alone, and the owner again once it is gone. Who was reached, policy
    tells: y is let in by the borrower, x and z by the owner."""
    world.apply(network_policy("x", "owner", labels(role="owner"), [ingress(peer(namespaces=labels(ns="x"))),
                                                                     ingress(peer(namespaces=labels(ns="z")))]),
                network_policy("x", "borrower", labels(role="borrower"), [ingress(peer(namespaces=labels(ns="y")))]))
    made = {"owner": twin(world, "owner", node="n2")}

    def check(on_n1):
        """From n1 the address leads to that one, from n2 to the owner."""
        probes = world.pairs(["x/a", "y/b", "z/a"], [f"x/{on_n1}"]) + world.pairs(["x/c", "y/c"], ["x/owner"])
        allowed = Table(False).allow("y/*", "x/borrower").allow("x/*", "x/owner").allow("z/*", "x/owner")
        world.check(allowed, probes, has_reference=False, has_explain=False)

    try:
        check("owner")
        for _ in range(2):
            made["borrower"] = twin(world, "borrower", block_of="n2")
            check("borrower")
            untwin(world, made.pop("borrower"))
            check("owner")
    finally:
        for pod in list(made.values()):
            untwin(world, pod)


# ---- 8
def test_08_a_named_host_endpoint_beside_one_for_every_interface(world):
    """The named one counts for its interface, the other one where there is none; pods are not touched by either."""
    node = world.node("n1")
    named = host_endpoint("n1-named", "n1", "eth0", host="named")
    for thing in (node, world.node("n2")):
        world.prober.add(thing)
    ends = [Probe(a, b, p, number, f) for a, b in (("n2", "n1"), ("n1", "n2"), ("x/a", "y/c"), ("n2", "x/a"), ("n1", "x/b"), ("y/c", "x/a"))
            for p in ("tcp", "udp", "sctp") for number in (80, 81) for f in FAMILIES]
    closed = Table().deny("n1", "n2").deny("n2", "n1")
    try:
        world.apply(host_endpoint("n1-any", "n1", "*", host="any"), named,
                    global_policy("named", "host == 'named'", [rule("Allow", protocol="TCP", destination={"ports": [80]})],
                                  [rule("Allow", protocol="UDP")]),
                    global_policy("any", "host == 'any'", [rule("Allow", protocol="SCTP")],
                                  [rule("Allow", protocol="TCP", destination={"ports": [81]})]))
        world.check(closed.copy().allow("n2", "n1", "tcp", 80).allow("n1", "n2", "udp"), ends, has_reference=False)
        world.remove(named)
        world.check(closed.copy().allow("n2", "n1", "sctp").allow("n1", "n2", "tcp", 81), ends, has_reference=False)
    finally:
        for name in ("n1", "n2"):
            world.prober.remove(name)


# ---- 10: names
class Names:
    """A DNS server on a socket of a pod: A and AAAA of service.namespace.svc; answers within the prober's loop."""

    def __init__(self, world, key, names):
        self.world, self.names = world, names
        place = world.prober.places[key]
        for family in FAMILIES:
            s = place.netns.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
            s.setblocking(False)
            s.bind((place.ips[family], 53))
            world.prober._listen(place, s, self._answer)  # pylint: disable=protected-access

    def _answer(self, s):
        while True:
            try:
                text, address = s.recvfrom(512)
            except BlockingIOError:
                return
            labels_, at = [], 12
            while text[at]:
                labels_.append(text[at + 1:at + 1 + text[at]].decode())
                at += text[at] + 1
            kind, = struct.unpack_from("!H", text, at + 1)
            family = {1: 4, 28: 6}[kind]
            ip = self.names[".".join(labels_)][family]
            data = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, ip)
            s.sendto(text[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + text[12:at + 5]
                     + struct.pack("!HHHIH", 0xC00C, kind, 1, 5, len(data)) + data, address)


def resolve(world, key, server, name, family, seconds=0.3):
    """The address of a name as a pod is told, None without an answer."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    query = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"".join(
        bytes([len(part)]) + part.encode() for part in name.split(".")) + struct.pack("!BHH", 0, 1 if family == 4 else 28, 1)
    with world.pod(key).netns.socket(kind, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        s.sendto(query, (world.ip(server, family), 53))
        for _ in range(int(seconds / 0.02)):
            world.prober.turn(0.02)
            try:
                text = s.recv(512)
            except BlockingIOError:
                continue
            return socket.inet_ntop(kind, text[-(4 if family == 4 else 16):])
    return None


def test_family_10_pods_that_ask_dns_reach_what_the_name_says_if_policy_lets_them(world):
    """Probe mode "service-name": the name's address is asked for first. x may ask z/c for names and reach y/a; z/b may do
    neither; y/b may reach x/b, and may not ask."""
    world.apply(network_policy("x", "dns", None, None, [
        egress(peer(labels(pod="c"), labels(ns="z")), ports=[port(53, "UDP")]),
        egress(peer(A, labels(ns="y")))], ["Egress"]),
                network_policy("z", "none", labels(pod="b"), None, types=["Egress"]),
                network_policy("y", "no-dns", labels(pod="b"), None, [egress(peer(namespaces=labels(ns="x")))], ["Egress"]))
    targets = {f"s-{key.replace('/', '-')}.{key[0]}.svc": key for key in ("y/a", "x/b", "z/a")}
    Names(world, "z/c", {name: {f: world.ip(key, f) for f in FAMILIES} for name, key in targets.items()})
    may_ask = {"x/a": True, "x/c": True, "z/b": False, "y/b": False, "y/c": True, "z/a": True}
    probes, owners = [], {}
    for source, asks in may_ask.items():
        for name, key in targets.items():
            for family in FAMILIES:
                found = resolve(world, source, "z/c", name, family, 2 if asks else 0.12)
                assert found == (world.ip(key, family) if asks else None), (source, name, family, found)
                if asks and source != key:
                    owners |= behind(key, {family: found}, PORTS)
                    probes += [Probe(source, found, p, number, family) for p in PROTOCOLS for number in PORTS]
    allowed = Table()
    for source in ("x/a", "x/c"):
        allowed.deny(source)
        for ip in world.pod("y/a").ips:
            allowed.allow(source, ip)
    world.check(allowed, probes, services=owners)


# ---- e2e: pods that end
@pytest.mark.parametrize("who,how", [("server", "phase"), ("client", "phase"), ("client", "annotation")])
def test_e2e_a_terminating_pod_keeps_its_policy_and_its_place(world, who, how):
    """From the deletion on until its containers are gone (the phase says so, or CNI DEL has blanked the annotation of its
    addresses) a pod answers whom it may and reaches whom it may. Then it is in nobody's sets; its own policy holds while its
    link is there."""
    pod = world.add_pod("x", "ends")
    world.client.patch("Pod", "ends", {"metadata": {"finalizers": ["test/held"], "labels": {"role": who}}}, "x")
    world.apply(network_policy("x", "server", labels(role="server"), [ingress(peer(namespaces=labels(ns="y")))]),
                network_policy("x", "out", labels(role="client"), None, [egress(peer(namespaces=labels(ns="y")))], ["Egress"]),
                network_policy("z", "from-client", labels(pod="b"), [ingress(peer(labels(role="client"), labels(ns="x")))]),
                network_policy("y", "from-client", labels(pod="b"), [ingress(peer(labels(role="client"), labels(ns="x")))]))
    others = [p.key for p in world.pods() if p.key not in ("x/ends", "z/b", "y/b")]
    probes = world.pairs(["x/ends"], [*others, "z/b", "y/b"]) + world.pairs(others, ["x/ends"])
    if who == "server":
        table = Table().deny(to="x/ends").allow("y/*", "x/ends").deny(to=["y/b", "z/b"])
    else:
        table = Table().deny("x/ends").allow("x/ends", "y/*")
    try:
        world.check(table, probes)
        world.client.delete("Pod", "ends", "x")
        assert "deletionTimestamp" in world.client.get("Pod", "ends", "x")["metadata"]
        world.settle()
        world.check(table, probes)
        if how == "phase":
            world.api.patch_status("Pod", "ends", {"phase": "Succeeded"}, "x")
        else:
            world.client.patch("Pod", "ends", {"metadata": {"annotations": {"cni.projectcalico.org/podIPs": ""}}}, "x")
        world.settle()
        world.check(table.deny("x/ends", ["y/b", "z/b"]), probes, has_reference=False, has_explain=False)
    finally:
        world.client.patch("Pod", "ends", {"metadata": {"finalizers": None}}, "x")
        world.del_pod(pod)


# ---- e2e: a pod and itself
def test_e2e_a_pod_reaches_itself_whatever_policy_says(world):
    """By its own address and by loopback: such packets leave no pod."""
    world.apply(*(network_policy(ns, "none", types=["Ingress", "Egress"]) for ns in "xyz"))
    probes = [Probe(pod.key, pod.key, protocol, number, family) for pod in world.pods() for protocol in ("tcp", "udp")
              for number in (80, 81) for family in FAMILIES]
    world.check(Table(), probes, has_reference=False, has_explain=False)
    world.check(Table(False), world.pairs(protocols=["tcp"]), has_reference=False, has_explain=False)


# ---- 25
def stray_segment(source, target, number):
    """An ACK of no connection, from the TCP header on."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    segment = struct.pack("!HHIIBBHHH", number, 4788, 111, 123, 0x50, 0x10, 1000, 0, 0)
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, target)
    head = ends + (struct.pack("!BBH", 0, 6, 20) if family == socket.AF_INET else struct.pack("!II", 20, 6))
    total = sum(struct.unpack(f"!{(len(head) + 20) // 2}H", head + segment))
    total = (total & 0xFFFF) + (total >> 16)
    return segment[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + segment[18:]


def test_25_the_node_answers_a_stray_segment_with_a_reset(world):
    """From outside, to a port nobody listens on, with and without a host endpoint that allows all: who had the connection
    learns at once that it is gone."""
    node, outside = world.node("n1"), {4: OUTSIDE4, 6: OUTSIDE6}

    def resets(number):
        found = set()
        with Capture(world.outside, "eth0") as capture:
            for family, target in ((4, node.ip4), (6, node.ip6)):
                kind = socket.AF_INET6 if family == 6 else socket.AF_INET
                with world.outside.socket(kind, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
                    raw.sendto(stray_segment(outside[family], target, number), (target, 0))

            def answered():
                found.update(6 if ":" in p.source else 4 for p in capture.packets()
                             if not p.outgoing and p.protocol == 6 and p.payload[13] & 4 and p.payload[4:8] == b"\0\0\0\x7b")
                return found == {4, 6}
            wait_for(answered, 5, lambda: f"a reset for both families: {found}")

    resets(3434)
    world.apply(host_endpoint("n1-host", "n1", "eth0", profiles=["projectcalico-default-allow"], host="n1"))
    resets(3435)


def test_25_a_host_with_two_links_may_be_reached_by_one_and_answer_by_the_other(world):
    """What comes from elsewhere is not held against routes, whatever the sources: strict checks are for pods' links."""
    node, pod = world.node("n1"), world.pod("x/a")
    guest = Netns(f"{world.tag}-guest")
    world.add_namespaces([guest])
    node.netns.ip(f"link add eth1 type veth peer name eth0 netns {guest.name}", "link set eth1 up",
                  "address add 192.0.2.1/24 dev eth1", "address add 2001:db8:2::1/64 dev eth1 nodad")
    guest.ip("link set eth0 up", "address add 192.0.2.2/24 dev eth0", "address add 2001:db8:2::2/64 dev eth0 nodad",
             # An address that n1 reaches by eth0.
             f"address add {OUTSIDE4}/32 dev eth0", f"address add {OUTSIDE6}/128 dev eth0 nodad",
             "route add default via 192.0.2.1", "route add default via 2001:db8:2::1")
    try:
        with Capture(pod.netns, "eth0") as capture:
            for source, target in ((OUTSIDE4, pod.ip(4)), (OUTSIDE6, pod.ip(6))):
                with guest.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as s:
                    s.bind((source, 0))
                    s.sendto(b"by the other link", (target, 9))
            seen = set()
            wait_for(lambda: seen.update(p.source for p in capture.packets()
                                         if not p.outgoing and b"other link" in p.payload)
                     or seen == {OUTSIDE4, OUTSIDE6}, 5, lambda: f"both families: {seen}")
        # Policy judges it as ever.
        world.apply(network_policy("x", "deny", A))
        result = world.prober.probe([Probe("y/b", "x/a", "udp", 80, f) for f in FAMILIES], allowed=())
        assert not result.open()
    finally:
        node.netns.run(["ip", "link", "del", "eth1"])


# ---- 29
@pytest.mark.parametrize("target", ["x/b", "x/c"])
def test_29_settings_let_pods_send_encapsulated_packets(world, target):
    assert encapsulated(world, "x/a", target) == set()
    world.apply(felix_configuration(allowIPIPPacketsFromWorkloads=True))
    wait_for(lambda: encapsulated(world, "x/a", target) == {"ipip"}, 5, "IPIP alone to pass")
    world.apply(felix_configuration(allowVXLANPacketsFromWorkloads=True))
    wait_for(lambda: encapsulated(world, "x/a", target) == {"vxlan"}, 5, "VXLAN alone to pass")
    # What may leave a pod as such still meets policy.
    world.apply(network_policy("x", "deny", labels(pod=target[-1])))
    assert not world.prober.probe([Probe("x/a", target, "udp", 80, 4)], allowed=()).open()


# ---- 31
def test_31_a_host_endpoint_on_a_node_that_does_not_forward(world):
    """Forwarding off: nothing comes in from outside for pods, and the node itself is guarded as ever. (felix keeps it on for
    the links of pods.)"""
    node = world.node("n1")
    keys = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
    outside = Place.of(world.node("n2"))
    world.prober.add(node)
    world.prober.add(outside)
    try:
        world.apply(host_endpoint("n1-host", "n1", "eth0", host="n1"), felix_configuration(ipForwarding="Disabled"))
        node.netns.sysctl({key: 0 for key in keys.values()})
        ends = [Probe(a, b, p, number, f) for a, b in (("n2", "n1"), ("n1", "n2"), ("x/c", "x/a"), ("y/c", "z/b"), ("n1", "x/a"))
                for p in ("tcp", "udp", "sctp") for number in (80, 81) for f in FAMILIES]
        table = Table(False).allow("n1", "x/a")
        world.check(table, ends, has_reference=False, has_explain=False)
    finally:
        node.netns.sysctl({key: 1 for key in keys.values()})
        for name in ("n1", "n2"):
            world.prober.remove(name)
