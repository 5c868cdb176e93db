"""felix beside others: kube-proxy, Docker, firewalls that write their tables anew, and the Calico that ran on the node
before. Items 37, 39 and 43 of docs/PARITY.md. More writers are in test_felix_iptables_faults.py."""

import contextlib
import random
import time

import pytest

from felix_nodes import fresh_start
from lab import Stream, wait_for
from lab.background import Background
from lab.topology import OUTSIDE4, OUTSIDE6
from policy.calico_node import CalicoNode
from policy.kube_proxy import KubeProxy, Service
from policy.objects import egress, felix_configuration, ingress, labels, network_policy, peer
from policy.prober import FAMILIES, PORTS, PROTOCOLS, Place, Probe
from policy.services import behind, forward_rules, wait_on_top
from policy.tables import Table

A = labels(pod="a")
TABLES = ("raw", "mangle", "nat", "filter")
FROM_Y = network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))])
ONLY_Y = Table().deny(to="x/a").allow("y/*", "x/a")


def flows(world, *names):
    """UDP flows to x/a for Stream, both families."""
    return {f"{name} IPv{family}": (world.pod(name).netns, world.pod("x/a").netns, world.ip("x/a", family))
            for name in names for family in (4, 6)}


# ---- a node that ran Calico
def wipe(node):
    """A kernel that felix has never seen; pods and their routes stay."""
    for tool in ("iptables", "ip6tables"):
        for backend in ("nft", "legacy"):
            text = "".join(f"*{table}\n-F\n-X\nCOMMIT\n" for table in TABLES)
            node.netns.run([f"{tool}-{backend}-restore", "--noflush", "-w", "10"], input=text)
    node.netns.run(["ipset", "destroy"])


class Calico:
    """n1 as Calico left it, with FROM_Y enforced by Calico's rules; `before` is what felix makes of FROM_Y."""

    def __init__(self, world, backend):
        self.world, self.node, self.backend = world, world.node("n1"), backend
        self.before = self.node.snapshot()
        self.peers = {family: next(name for name in self.node.netns.run(["ipset", "list", "-n"]).split()
                                   if name.startswith(f"cali{family}0s:")) for family in FAMILIES}
        self.kept = {path: path.read_bytes() for path in (self.node.run_dir / "endpoints").glob("*")}

    def lay_down(self):
        """felix is down and has no state of its own."""
        if self.node.felix.alive():
            self.node.felix.kill9()
        for path in (self.node.run_dir / "endpoints").glob("*"):
            path.unlink()
        wipe(self.node)
        members = [ip for pod in self.world.pods() if pod.namespace == "y" for ip in pod.ips]
        CalicoNode(self.node, self.backend).lay_down(self.world.pod("x/a"), self.peers, members)

    def close(self):
        if self.node.felix.alive():
            self.node.felix.kill9()
        for path, text in self.kept.items():
            path.write_bytes(text)
        self.node.start_canal()
        self.node.wait_ready(60)


@pytest.fixture(name="calico")
def calico_fixture(world, request):
    world.apply(FROM_Y)
    calico = Calico(world, world.backend if request.param == "same" else {"nft": "legacy", "legacy": "nft"}[world.backend])
    try:
        calico.lay_down()
        yield calico
    finally:
        calico.close()


@contextlib.contextmanager
def watched(world):
    """No denied packet passes meanwhile, and no allowed one is lost."""
    denied, allowed = flows(world, "z/a", "x/b", "z/c"), flows(world, "y/b", "y/c")
    with Stream({**denied, **allowed}, rate=200) as stream:
        wait_for(lambda: all(flow.seen for flow in stream.flows if flow.name in allowed), 5, "the allowed flows")
        yield stream
        done = stream.stop(drain=0.3)
    for flow in done:
        if flow.name in denied:
            assert not flow.seen, f"{flow.name}: {len(flow.seen)} of {flow.sent} denied packets passed"
        else:
            assert not flow.lost, f"{flow.name}: {flow.lost} of {flow.sent} allowed packets lost"


def wait_taken_over(world, before):
    node = world.node("n1")
    node.wait_ready(60)
    wait_for(lambda: node.snapshot() == before, 30, lambda: difference(before, node.snapshot()))
    wait_for(lambda: not [own for f in FAMILIES for other in {"nft", "legacy"} - {world.backend}
                          for own in node.own_rules(f, other)], 30, "the other backend to be empty of ours")
    world.settle(30)


@pytest.mark.parametrize("calico", ["same", "other"], indirect=True)
def test_39_a_node_that_ran_calico_is_taken_over_in_place(world, calico):
    """Nothing of Calico's is left."""
    # Calico's rules are real: they enforce the policy by themselves.
    world.check(ONLY_Y, has_explain=False)
    with watched(world) as stream:
        world.node("n1").start_canal()
        wait_taken_over(world, calico.before)
    print(f"{stream.sent()} packets during the takeover")
    world.check(ONLY_Y)


TAKEOVERS, KILLS = 2, 5


@pytest.mark.parametrize("calico", ["same", "other"], indirect=True)
def test_39_felix_is_killed_in_the_middle_of_taking_over(world, calico):
    """At random points, and again in the start that follows; in the end all is as after a start that nobody disturbs."""
    node, pick = world.node("n1"), random.Random(39)
    states = set()

    def begun():
        return node.log().count("in sync with the API")

    for _ in range(TAKEOVERS):
        calico.lay_down()
        world.check(ONLY_Y, has_explain=False)
        states.add(str(node.snapshot()))
        with watched(world):
            for number in range(KILLS):
                before = begun()
                node.start_canal()
                if number:  # else while it starts
                    wait_for(lambda b=before: begun() > b, 20, lambda: f"felix to begin: {node.felix.tail(60)}",
                             interval=0.001)
                time.sleep(pick.random() * 0.1)  # the point it is killed at
                node.felix.kill9()
                states.add(str(node.snapshot()))
            node.start_canal()
            wait_taken_over(world, calico.before)
    print(f"{len(states)} states of the kernel before and after {TAKEOVERS * KILLS} kills")
    assert len(states) > 1, "felix was never at work when it was killed"
    world.check(ONLY_Y)


def difference(want, have):
    return {key: (want[key], have[key]) for key in want if want[key] != have[key]}


FOREIGN_NFT = """table inet foreign {
 set guests { type ipv4_addr; elements = { 192.0.2.7, 192.0.2.8 }; }
 chain cali-look-alike { ip saddr @guests drop; }
 chain forward { type filter hook forward priority 10; jump cali-look-alike; }
}
table ip foreign4 {
 chain prerouting { type nat hook prerouting priority -99; tcp dport 8443 redirect to :443; }
}
"""


def test_39_nft_tables_of_others_are_not_touched(world):
    """Over a start into an empty kernel, which cleans the other backend, drift that is repaired, and a policy's coming."""
    node, tool = world.node("n1"), f"iptables-{world.backend}"
    foreign = lambda: [node.netns.run(["nft", "-s", "list", "table", *name.split()]) for name in ("inet foreign", "ip foreign4")]
    node.netns.run(["nft", "-f", "-"], input=FOREIGN_NFT)
    try:
        before = foreign()
        fresh_start(world, node)
        world.apply(FROM_Y)
        node.netns.run([tool, "-w", "10", "-F", "FORWARD"])
        wait_for(lambda: any("-j cali-FORWARD" in line for line in forward_rules(world)), 10, "our hooks")
        world.check(ONLY_Y, world.pairs(protocols=["udp"]))
        assert foreign() == before and "cali-look-alike" in before[0]
    finally:
        node.netns.run(["nft", "delete", "table", "inet", "foreign"])
        node.netns.run(["nft", "delete", "table", "ip", "foreign4"])


# ---- kube-proxy
NODE_PORT, LOCAL_NODE_PORT = 30080, 30081
EXTERNAL_IPS = {4: "203.0.113.10", 6: "2001:db8:203::10"}
A_IPS, C_IPS, NOBODY_IPS = ({4: f"10.96.0.{n}", 6: f"fd00:10:96::{n}"} for n in (10, 12, 99))
SERVICES = {**behind("x/a", A_IPS, PORTS), **behind("x/c", C_IPS, PORTS)}


@pytest.fixture(name="proxied", params=["iptables", "nft"])
def proxied_fixture(world, request):
    """The world with kube-proxy on both nodes, started after felix, in front of x/a (on n1) and x/c (on n2)."""
    def ends(key):
        return {family: [world.ip(key, family)] for family in FAMILIES}

    services = [*(Service(f"a{number}", A_IPS, ends("x/a"), number, node_port=NODE_PORT if number == 80 else None,
                          external=EXTERNAL_IPS) for number in PORTS),
                *(Service(f"c{number}", C_IPS, ends("x/c"), number) for number in PORTS),
                Service("local", {4: "10.96.0.11", 6: "fd00:10:96::11"}, ends("x/a"), node_port=LOCAL_NODE_PORT,
                        is_local=True), Service("nobody", NOBODY_IPS, {})]
    with contextlib.ExitStack() as stack:
        world.proxies = [stack.enter_context(KubeProxy(node, request.param, world.backend, services))
                         for node in world.nodes.values()]
        wait_on_top(world)
        yield world


def to_services(world, services=(A_IPS, C_IPS)):
    return [Probe(pod.key, ips[family], protocol, number, family) for pod in world.pods() for ips in services
            for protocol in PROTOCOLS for number in PORTS for family in FAMILIES]


def closed(table, source, ips):
    for address in ips.values():
        table.deny(source, address)
    return table


def opened(table, source, ips):
    for address in ips.values():
        table.allow(source, address)
    return table


def ask(world, table, probes):
    return world.check(table, probes, services=SERVICES)


def test_43_services_are_judged_by_what_is_behind_them(proxied):
    """Policy acts behind DNAT, on one node and across two; a pod that reaches itself through its service is judged
    like any other peer, before it is masqueraded."""
    world = proxied
    result = ask(world, Table(), to_services(world))
    for probe, who in result.who.items():
        assert who == ("x/a" if probe.target in A_IPS.values() else "x/c"), (probe, who)
    # Egress: y reaches pods named a, and the address of the other service, behind which is c.
    world.apply(network_policy("y", "to-a", None, None, [egress(
        peer(labels(pod="a"), labels(ns="x")), peer(cidr=f"{C_IPS[4]}/32"), peer(cidr=f"{C_IPS[6]}/128"))], ["Egress"]))
    ask(world, closed(Table(), "y/*", C_IPS), to_services(world))
    # Ingress, with and without the pod itself.
    world.apply(FROM_Y, network_policy("x", "c-from-z", labels(pod="c"), [ingress(peer(namespaces=labels(ns="z")))]))
    table = opened(closed(closed(Table(), "*", A_IPS), "*", C_IPS), "z/*", C_IPS)
    table = opened(table, "y/*", A_IPS)
    ask(world, table, to_services(world))
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")), peer(A))]))
    ask(world, opened(table, "x/a", A_IPS), to_services(world))


def test_43_node_ports_are_judged_by_the_clients_address(proxied):
    """Before it is masqueraded, as for the iptables rules of Calico."""
    world = proxied
    outside, n1, n2 = Place("outside", world.outside, {4: OUTSIDE4, 6: OUTSIDE6}), world.node("n1"), world.node("n2")
    for place in (outside, n2):
        world.prober.add(place, listens=False)
    own = {4: n1.ip4, 6: n1.ip6}
    services = behind("x/a", own, (NODE_PORT, LOCAL_NODE_PORT), 80)

    def probes(*sources):
        return [Probe(source, own[family], protocol, number, family) for source in sources
                for number in (NODE_PORT, LOCAL_NODE_PORT) for protocol in PROTOCOLS for family in FAMILIES]

    def check_both(table, masqueraded):
        """Pods of n2 come to n1 with the address of n2, as all that leaves the pods' pools does."""
        world.check(table, probes("outside", "n2", *(pod.key for pod in world.pods() if pod.node is n1)), services=services)
        world.check(masqueraded, probes(*(pod.key for pod in world.pods() if pod.node is n2)), has_reference=False,
                    has_explain=False)

    try:
        check_both(Table(), Table())
        world.apply(network_policy("x", "outside", A, [
            ingress(peer(cidr=f"{OUTSIDE4}/32"), peer(cidr=f"{OUTSIDE6}/128"), peer(namespaces=labels(ns="y")))]))
        check_both(Table(False).allow(["outside", "y/*"]), Table(False))
        world.apply(network_policy("y", "no-egress", None, types=["Egress"]))
        check_both(Table(False).allow("outside"), Table(False))
    finally:
        for name in ("outside", "n2"):
            world.prober.remove(name)


def test_e2e_external_addresses_are_judged_by_what_is_behind_them(proxied):
    """Masqueraded by the client's node behind policy for its own pods; a pod elsewhere shows as its node does, as kube-proxy has
    it. Not the service's own address, nor the external one, is what policy sees."""
    world = proxied
    probes = to_services(world, (EXTERNAL_IPS,))

    def check(table):
        return world.check(table, probes, has_reference=False, has_explain=False)

    assert set(check(Table()).who.values()) == {"x/a"}
    world.apply(network_policy("y", "to-a", None, None, [egress(peer(A, labels(ns="x")))], ["Egress"]),
                network_policy("z", "to-address", None, None, [egress(
                    peer(cidr=f"{EXTERNAL_IPS[4]}/32"), peer(cidr=f"{EXTERNAL_IPS[6]}/128"))], ["Egress"]))
    check(Table().deny("z/*"))
    # On x/a's own node clients come with their own address, from n2 with that of n2.
    n2 = world.node("n2")
    world.apply(FROM_Y)
    check(Table(False).allow(["y/a", "y/b"]))
    world.apply(network_policy("x", "from-n2", A, [ingress(peer(cidr=f"{n2.ip4}/32"), peer(cidr=f"{n2.ip6}/128"))]))
    check(Table(False).allow(["y/*", "x/c"]))


class Resyncs(Background):
    """Every proxy writes everything anew, over and over."""

    def __init__(self, proxies):
        super().__init__()
        self.proxies = proxies

    def step(self):
        for proxy in self.proxies:
            proxy.sync()


def test_43_kube_proxy_writes_over_and_over_and_policy_stays(proxied):
    world = proxied
    world.apply(FROM_Y)
    denied, allowed = flows(world, "z/a", "z/c"), flows(world, "y/b", "y/c")
    resyncs = Resyncs(world.proxies)
    with Stream({**denied, **allowed}, rate=100) as stream:
        wait_for(lambda: all(flow.seen for flow in stream.flows if flow.name in allowed), 5, "the allowed flows")
        resyncs.start()
        for number in range(8):  # felix writes, too
            world.apply(network_policy("x", f"more-{number}", labels(pod="b"), [ingress(peer(labels(n=str(number))))]))
        wait_for(lambda: resyncs.n >= 5, 30, "some writes of kube-proxy")
        resyncs.stop()
        done = stream.stop()
    for flow in done:
        if flow.name in denied:
            assert not flow.seen, f"{flow.name}: {len(flow.seen)} of {flow.sent} denied packets passed"
        else:
            assert not flow.lost, f"{flow.name}: {flow.lost} of {flow.sent} allowed packets lost"
    ask(world, opened(closed(Table(), "*", A_IPS), "y/*", A_IPS), to_services(world, [A_IPS]))


# ---- Docker
DOCKER = """*filter
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""
DOCKER_JUMPS = ("DOCKER-FORWARD", "DOCKER-USER")


@pytest.fixture(name="docker")
def docker_fixture(world):
    """n1 with Docker's chains and a FORWARD chain whose policy is DROP; docker() is a restart of dockerd."""
    netns, tools = world.node("n1").netns, [f"iptables-{world.backend}", f"ip6tables-{world.backend}"]

    def restart():
        for tool in tools:
            netns.run([f"{tool}-restore", "--noflush", "-w", "10"], input=DOCKER)
            for target in DOCKER_JUMPS:
                netns.run([tool, "-w", "10", "-D", "FORWARD", "-j", target], check=False)
                netns.run([tool, "-w", "10", "-I", "FORWARD", "-j", target])
            netns.run([tool, "-w", "10", "-P", "FORWARD", "DROP"])

    restart()
    yield restart
    for tool in tools:
        chains = [line[1:].split()[0] for line in DOCKER.splitlines() if line[0] == ":"]
        lines = ["*filter", ":FORWARD ACCEPT [0:0]", "-F FORWARD", *[f":{chain} - [0:0]" for chain in chains],
                 *[f"-X {chain}" for chain in chains], "COMMIT", ""]
        netns.run([f"{tool}-restore", "--noflush", "-w", "10"], input="\n".join(lines))
    wait_on_top(world)


def test_37_pods_work_and_stay_protected_beside_docker(world, docker):
    # A restart leaves tables of the same size, which on legacy only the next reading shows.
    world.apply(felix_configuration(iptablesRefreshInterval="1s"), FROM_Y)
    wait_on_top(world)
    world.check(ONLY_Y)
    denied, allowed = flows(world, "z/a", "z/c"), flows(world, "y/b", "y/c")
    with Stream({**denied, **allowed}, rate=100) as stream:
        wait_for(lambda: all(flow.seen for flow in stream.flows if flow.name in allowed), 5, "the allowed flows")
        for _ in range(3):
            docker()
            wait_on_top(world)
        done = stream.stop()
    for flow in done:
        assert bool(flow.seen) == (flow.name in allowed), flow.name
        assert flow.name in denied or not flow.lost, f"{flow.name}: {flow.lost} of {flow.sent} allowed packets lost"
    assert [line for line in forward_rules(world) if "DOCKER-USER" in line], "Docker's jumps stay"
    world.check(ONLY_Y)


# ---- firewalls that write everything anew
def tables_without(world, family, own):
    """What iptables-save says, without what is ours."""
    lines = world.node("n1").tables(family, world.backend)
    return "\n".join([*[line + (" [0:0]" if line[0] == ":" else "") for line in lines if own not in line], ""])


def restore_without_ours(world):
    """iptables-restore of a file that was saved before felix came: everything goes in one commit a table."""
    for family, tool in ((4, "iptables"), (6, "ip6tables")):
        world.node("n1").netns.run([f"{tool}-{world.backend}-restore", "-w", "10"],
                                   input=tables_without(world, family, "cali"))


def flush_and_delete(world):
    """firewalld of old, and an administrator's iptables -F; iptables -X: many commits."""
    for tool in ("iptables", "ip6tables"):
        for table in TABLES:
            for option in ("-F", "-X"):
                # -X fails where felix was quicker: its chains are in use again.
                world.node("n1").netns.run([f"{tool}-{world.backend}", "-w", "10", "-t", table, option], check=False)


@pytest.mark.parametrize("reload", [restore_without_ours, flush_and_delete])
def test_37_after_a_reload_of_a_firewall_rules_are_back_at_once(world, reload):
    """While the kernel holds no rules nobody can enforce any: the packets that pass then are counted. None passes
    later than the moment the rules are back, and that comes within so many seconds."""
    world.apply(FROM_Y)
    node, denied = world.node("n1"), flows(world, "z/a", "z/c")
    before = node.snapshot()
    for _ in range(2):
        with Stream(denied, rate=500) as stream:
            wait_for(lambda: stream.sent() > 100, 5, "the stream to run")
            assert not any(flow.seen for flow in stream.flows)
            start, begin = stream.mark(), time.monotonic()
            reload(world)
            took = time.monotonic() - begin
            back = wait_for_seconds(lambda: node.snapshot() == before, 10, "our rules to be back")
            end = stream.mark()
            wait_for(lambda: stream.sent() > sum(end.values()) + 400, 10, "the stream to go on")
            done = stream.stop()
        passed = {flow.name: sorted(flow.seen) for flow in done if flow.seen}
        gap = max((numbers[-1] - numbers[0] + 1 for numbers in passed.values()), default=0) / 500
        print(f"{world.backend} {reload.__name__}: rules seen back after {back:.2f} s; passed meanwhile "
              f"{sum(map(len, passed.values()))} of {sum(end.values()) - sum(start.values())}, within {gap:.2f} s")
        for name, numbers in passed.items():
            assert numbers[0] >= start[name] and numbers[-1] <= end[name] + 1, name
        # Not a measurement: beside other tests the tools of both sides are slow.
        assert gap < took + (2 if world.backend == "nft" else 4), (gap, took)
    world.check(ONLY_Y)


def wait_for_seconds(condition, deadline, what):
    start = time.monotonic()
    wait_for(condition, deadline, what)
    return time.monotonic() - start


# ---- where hooks are
def test_37_in_append_mode_hooks_stay_behind_others_and_come_back(world):
    node, tool = world.node("n1"), f"iptables-{world.backend}"
    foreign = ["-p", "udp", "--dport", "81", "-s", world.ip("z/a"), "-j", "ACCEPT"]
    world.apply(felix_configuration(chainInsertMode="Append"), FROM_Y)
    node.restart_felix()
    node.wait_ready()
    try:
        node.netns.run([tool, "-w", "10", "-I", "FORWARD", *foreign])
        world.settle()
        wait_for(lambda: "-j cali-FORWARD" not in forward_rules(world)[0], 5, "our hook behind theirs")
        # What somebody accepts ahead of us is accepted: that is what the setting says.
        world.check(ONLY_Y.copy().allow("z/a", "x/a", "udp", 81, 4), has_reference=False, has_explain=False)
        node.netns.run([tool, "-w", "10", "-F", "FORWARD"])
        wait_for(lambda: any("-j cali-FORWARD" in line for line in forward_rules(world)), 10, "our hooks")
        world.check(ONLY_Y)
        node.netns.run([tool, "-w", "10", "-I", "FORWARD", *foreign])
    finally:
        world.remove(felix_configuration(chainInsertMode="Append"))
        node.restart_felix()
        node.wait_ready()
    wait_on_top(world)  # insert mode: theirs is ahead no more
    world.check(ONLY_Y)
    node.netns.run([tool, "-w", "10", "-D", "FORWARD", *foreign])
