"""Faults of the tools that write rules, and other tools that write over ours: afterwards the kernel holds the
same bytes as before, on both backends, and what policy denies stays denied while rules cannot be written.

felix finds scripts in front of the real tools on its PATH, which count, fail and wait when a test says so."""

import contextlib
import fcntl
import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from felix_nodes import NO_REFRESH
from lab import LabError, wait_for
from lab.background import Background
from policy.objects import ingress, labels, network_policy, peer
from policy.tables import Table
from policy.world import World

A = labels(pod="a")
BASE = network_policy("x", "base", A, [ingress(peer(namespaces=labels(ns="y")))])
FOREIGN = ["-A FORWARD -p udp -m udp --dport 9 -j DROP", "-A FOREIGN -s 192.0.2.0/24 -j ACCEPT"]
SCRIPT = """#!/bin/sh
echo "$0 $*" >>{dir}/log
[ ! -e {dir}/slow ] || sleep $(cat {dir}/slow)
if [ -s {dir}/fail ]; then
    read n <{dir}/fail
    if [ "$n" -gt 0 ]; then
        echo $((n - 1)) >{dir}/fail
        echo "made to fail" >&2
        exit 4
    fi
fi
PATH={path}
exec {tool} "$@"
"""


class Tools:
    """The scripts."""

    def __init__(self, backend):
        self.dir = Path(tempfile.mkdtemp(prefix="canal-tools-"))
        self.backend = backend
        self.path = f"{self.dir}:{os.environ['PATH']}"
        self.lock = self.dir / "lock"  # not the machine's
        self.environment = {**os.environ, "XTABLES_LOCKFILE": str(self.lock)}
        self.reset()

    def names(self, what):
        return [f"{ip}tables-{self.backend}-{what}" for ip in ("ip", "ip6")]

    def put(self, name, text):
        path = self.dir / name
        path.write_text(text)
        path.chmod(0o755)

    def reset(self):
        for path in self.dir.iterdir():
            if path != self.lock:
                path.unlink()
        for what in ("save", "restore"):
            for name in self.names(what):
                self.put(name, SCRIPT.format(dir=self.dir, path=os.environ["PATH"], tool=name))
        self.clear()

    def clear(self):
        (self.dir / "log").write_text("")

    def started(self, what):
        """What only tries (--test) writes nothing, and does not count."""
        lines = (self.dir / "log").read_text().splitlines()
        return sum(f"tables-{self.backend}-{what} " in line and "--test" not in line for line in lines)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(name="shared", scope="module", params=["nft", "legacy"])
def shared_fixture(request):
    """One node, whose felix repairs nothing just because time passes."""
    tools = Tools(request.param)
    with World(request.param, nodes=("n1",), settings={
            **NO_REFRESH, "PATH": tools.path, "XTABLES_LOCKFILE": str(tools.lock)}) as world:
        world.tools = tools
        world.start_nodes()
        yield world.populate()
    tools.close()


@pytest.fixture(name="world")
def world_fixture(shared):
    """With the policy `base`: only y reaches x/a. `before` is what the kernel holds with it."""
    shared.apply(BASE)
    shared.table = Table().deny(to="x/a").allow("y/*", "x/a")
    shared.before = shared.node("n1").snapshot()
    shared.tools.clear()
    yield shared
    shared.tools.reset()
    node = shared.node("n1")
    if not node.felix.alive():
        node.start_canal()
    node.wait_ready(60)
    shared.reset()


@pytest.fixture(name="node")
def node_fixture(world):
    return world.node("n1")


def kept_processes(node):
    """Pids of the iptables-restore processes felix keeps."""
    children = Path(f"/proc/{node.felix.pid}/task/{node.felix.pid}/children").read_text().split()
    return [int(pid) for pid in children if "restore" in command_line(pid)]


def command_line(pid):
    """Empty when it has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def end_kept(node):
    for pid in kept_processes(node):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    wait_for(lambda: not kept_processes(node), 5, "the kept processes to end")


def is_ready(node):
    try:
        return node.felix_ready()
    except LabError:
        return False


def is_as_before(world):
    return world.node("n1").snapshot() == world.before


def tool(world, *args, family=4):
    """As another tool would call it, with the same lock."""
    name = f"{'iptables' if family == 4 else 'ip6tables'}-{world.backend}"
    return world.node("n1").netns.run([name, "-w", "10", *args], env=world.tools.environment)


def restore(world, lines, *args, family=4):
    name = f"{'iptables' if family == 4 else 'ip6tables'}-{world.backend}-restore"
    return world.node("n1").netns.run([name, "-w", "10", *args], input="\n".join([*lines, ""]),
                                      env=world.tools.environment)


def another(number):
    """A policy that changes chains, and lets nobody in whom `base` keeps out."""
    return network_policy("x", f"more-{number}", labels(pod="c"), [ingress(peer(labels(pod="b")))])


# ---- the tool
def test_failures_of_restore_are_tried_again_until_it_works(world, node):
    end_kept(node)
    errors = node.metric("felix_iptables_restore_errors")
    (world.tools.dir / "fail").write_text("6")
    world.apply(another(1))
    assert node.metric("felix_iptables_restore_errors") >= errors + 3
    assert "made to fail" in node.log()
    world.check(world.table.copy().deny(to="x/c").allow("x/b", "x/c"))
    world.remove(another(1))
    assert is_as_before(world)


def test_while_restore_is_missing_what_was_denied_stays_denied(world, node):
    for name in world.tools.names("restore"):
        world.tools.put(name, "#!/bin/sh\nexit 127\n")
    end_kept(node)
    world.write(another(1))
    wait_for(lambda: not is_ready(node), 10, "felix to be not ready")
    world.check(world.table, has_reference=False, has_explain=False)
    with pytest.raises(LabError):
        world.settle(1)
    world.tools.reset()
    world.settle(30)
    world.remove(another(1))
    assert is_as_before(world)


def test_a_slow_restore_gathers_what_comes_meanwhile(world, node):
    end_kept(node)
    (world.tools.dir / "slow").write_text("1.5")
    calls = node.metric("felix_iptables_restore_calls")
    for number in range(20):
        world.write(another(number))
        time.sleep(0.02)
    world.settle(30)
    # Two families, two or three commits each: the first change, and what came while that was written.
    assert node.metric("felix_iptables_restore_calls") - calls <= 8
    world.remove(*[another(number) for number in range(20)])
    assert is_as_before(world)


def test_a_restore_that_hangs_is_told_by_liveness(world, node):
    configuration = {"apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration",
                     "metadata": {"name": "default"}, "spec": {"dataplaneWatchdogTimeout": "1s"}}
    world.apply(configuration)
    end_kept(node)
    (world.tools.dir / "slow").write_text("5")
    try:
        assert node.http_get(9099, "/liveness")[0] == 200
        world.write(another(1))
        wait_for(lambda: node.http_get(9099, "/liveness")[0] == 503, 8, node.felix.tail)
        assert "iptables has been at work for" in node.log()
    finally:
        world.tools.reset()
    wait_for(lambda: node.http_get(9099, "/liveness")[0] == 200, 20, node.felix.tail)
    world.settle(30)
    world.remove(another(1), configuration)
    assert is_as_before(world)


def test_tables_called_incompatible_are_not_taken_for_empty(world, node):
    node.felix.kill9()
    for name in world.tools.names("save"):
        world.tools.put(name, "#!/bin/sh\necho \"# Table \\`filter' is incompatible, use 'nft' tool.\"\n")
    node.start_canal()
    wait_for(lambda: "is incompatible" in node.log(), 20, "felix to say so")
    assert world.tools.started("restore") == 0
    world.check(world.table, has_reference=False, has_explain=False)
    world.tools.reset()
    world.settle(30)
    assert is_as_before(world)


def test_a_lock_held_for_half_a_minute_is_waited_for(world, node):
    with open(world.tools.lock, "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if world.backend == "nft":  # it has none
            world.apply(another(1))
            return
        until = time.monotonic() + 30
        world.write(another(1))
        wait_for(lambda: "xtables lock" in node.log(), 25, "felix to say what it waits for")
        world.check(world.table, has_reference=False, has_explain=False)
        time.sleep(max(0.0, until - time.monotonic()))  # the fault itself
    world.settle(30)
    world.remove(another(1))
    assert is_as_before(world)


def test_the_lock_is_free_while_nothing_is_written(world, node):
    assert kept_processes(node) or world.backend == "legacy"
    tool(world, "-L", "FORWARD")
    with open(world.tools.lock, "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_changes_start_no_process_and_read_nothing(world, node):
    world.apply(another(0))  # a legacy process is not kept for ever
    wait_for(lambda: len(kept_processes(node)) == 2, 5, "one process a family")
    world.tools.clear()
    for number in range(1, 6):
        world.apply(another(number))
    assert world.tools.started("restore") == 0
    if world.backend == "nft":  # on legacy it looks some time after
        assert world.tools.started("save") == 0
    world.remove(*[another(number) for number in range(6)])
    assert is_as_before(world)


# ---- other tools
def flush(world, family):
    for table in ("raw", "mangle", "nat", "filter"):
        tool(world, "-t", table, "-F", family=family)


def flush_and_delete(world, family):
    """A table at a time in one go: felix is faster than two calls."""
    for table in ("raw", "mangle", "nat", "filter"):
        restore(world, [f"*{table}", "-F", "-X", "COMMIT"], "--noflush", family=family)


def own_chains(world, family):
    return [line[1:].split()[0] for line in world.node("n1").own_rules(family, world.backend) if line.startswith(":")]


def empty_a_policy(world, family):
    tool(world, "-F", next(name for name in own_chains(world, family) if name.startswith("cali-pi-")), family=family)


def cut(world, family):
    tool(world, "-D", "cali-FORWARD", "1", family=family)


def open_up(world, family):
    tool(world, "-I", "cali-FORWARD", "-j", "ACCEPT", family=family)


def unhook(world, family):
    hook = next(line for line in world.node("n1").own_rules(family, world.backend)
                if line.startswith("-A FORWARD") and "-j cali-FORWARD" in line)
    assert "cali-FORWARD" in hook
    tool(world, "-D", "FORWARD", "1", family=family)


def get_above(world, family):
    """Not ours to delete, and yet nothing may come ahead of policy."""
    tool(world, "-I", "FORWARD", "-p", "udp", "-m", "udp", "--dport", "9", "-j", "ACCEPT", family=family)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("damage", [flush, flush_and_delete, empty_a_policy, cut, open_up, unhook])
def test_what_other_tools_do_to_our_rules_is_undone(world, node, damage, family):
    damage(world, family)
    wait_for(lambda: is_as_before(world), 10, lambda: f"{damage.__name__} to be undone; {node.felix.tail(3)}")
    world.check(world.table)


def test_a_rule_that_got_above_ours_does_not_stay_there(world, node):
    get_above(world, 4)

    def forward():
        return [line for line in node.tables(4, world.backend) if line.startswith("-A FORWARD")]

    wait_for(lambda: "cali-FORWARD" in forward()[0], 10, lambda: f"our hook to be first: {forward()}")
    assert any("--dport 9" in line for line in forward()), "the rule of others stays"
    tool(world, "-D", "FORWARD", "-p", "udp", "-m", "udp", "--dport", "9", "-j", "ACCEPT")
    assert is_as_before(world)


def reorder(world, family):
    """The same rules in another order: the same size."""
    rules = [line for line in world.node("n1").own_rules(family, world.backend) if line.startswith("-A cali-FORWARD ")]
    assert len(rules) >= 2
    restore(world, ["*filter", ":cali-FORWARD - [0:0]", *rules[::-1], "COMMIT"], "--noflush", family=family)


def test_rules_in_another_order_are_put_back(world, node):
    if world.backend == "legacy":  # its size says nothing: that is what the refresh interval is for
        node.restart_felix(FELIX_IPTABLESREFRESHINTERVAL="2s")
        node.wait_ready()
    reorder(world, 4)
    wait_for(lambda: is_as_before(world), 15, lambda: f"the order to be back; {node.felix.tail(3)}")
    world.check(world.table)
    if world.backend == "legacy":
        node.restart_felix(FELIX_IPTABLESREFRESHINTERVAL="1000s")
        node.wait_ready()


def test_a_reload_of_a_firewall_leaves_its_rules_and_brings_ours_back(world, node):
    """firewalld: everything goes, then comes what it knows of."""
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":FOREIGN - [0:0]",
             *FOREIGN, "-A FORWARD -j FOREIGN", "COMMIT", "*nat", ":POSTROUTING ACCEPT [0:0]", "COMMIT"]
    for _ in range(3):
        restore(world, lines)
        wait_for(lambda: is_as_before(world), 10, lambda: f"our rules to be back; {node.felix.tail(3)}")
        assert all(rule in node.tables(4, world.backend) for rule in FOREIGN)
    world.check(world.table)
    forward = [line for line in node.tables(4, world.backend) if line.startswith("-A FORWARD")]
    assert "cali-FORWARD" in forward[0]
    restore(world, ["*filter", "-D FORWARD -j FOREIGN", "-D FORWARD -p udp -m udp --dport 9 -j DROP", "-F FOREIGN",
                    "-X FOREIGN", "COMMIT"], "--noflush")


class Proxy(Background):
    """Writes chains of its own all the time, as kube-proxy does while services change."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def step(self):
        restore(self.world, ["*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-SVC-A - [0:0]",
                             "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SVC-A",
                             f"-A KUBE-SVC-A -p tcp -m tcp --dport {self.n + 1} -j RETURN", "COMMIT",
                             "*filter", ":KUBE-FORWARD - [0:0]", "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 "
                             "-j ACCEPT", "COMMIT"], "--noflush")


def test_beside_a_writer_like_kube_proxy_nothing_is_lost_and_little_is_read(world, node):
    node.restart_felix()  # one that has nothing left to look at from other tests
    node.wait_ready()
    world.tools.clear()
    proxy = Proxy(world)
    proxy.start()
    number = 0
    while (number < 15 or proxy.n < 30) and number < 200:
        world.apply(another(number))
        number += 1
    reads, writes = world.tools.started("save"), proxy.n
    proxy.stop()
    assert proxy.n >= 30, "the other tool came to write, too"
    if world.backend == "nft":
        assert reads == 0, f"{reads} reads during {writes} writes of others"
    world.remove(*[another(i) for i in range(number)])
    assert f"--dport {proxy.n} -j RETURN" in "\n".join(node.tables(4, world.backend)), "theirs is theirs"
    wait_for(lambda: is_as_before(world), 10, "our rules")
    restore(world, ["*nat", "-F KUBE-SERVICES", "-F KUBE-SVC-A", "-X KUBE-SERVICES", "-X KUBE-SVC-A", "COMMIT",
                    "*filter", "-F KUBE-FORWARD", "-X KUBE-FORWARD", "COMMIT"], "--noflush")


# ---- killed while it writes
def test_killed_while_it_writes_it_ends_in_the_same_state(world, node):
    """The kernel is emptied and felix killed 20 times within the time it takes to write everything."""
    world.apply(*[network_policy("x", f"many-{i}", A, [ingress(peer(namespaces=labels(ns="y")), peer(labels(n=str(i))))])
                  for i in range(60)])
    world.before = node.snapshot()
    pick = random.Random(3)
    for _ in range(20):
        node.felix.kill9()
        # A process that felix has left may be in the middle of its last write.
        wait_for(lambda: [flush_and_delete(world, family) for family in (4, 6)], 10, "the kernel to be emptied")
        node.start_canal()
        time.sleep(pick.random() * 0.8)  # the point it is killed at
    node.wait_ready(60)
    world.settle(30)
    assert is_as_before(world)
    world.check(world.table)


def test_processes_of_a_killed_felix_do_not_stay(world, node):
    world.apply(another(1))
    kept = kept_processes(node)
    assert kept
    node.felix.kill9()

    def left():
        return [pid for pid in kept if subprocess.run(["ps", "-o", "pid=", "-p", str(pid)], check=False,
                                                      stdout=subprocess.DEVNULL).returncode == 0]

    wait_for(lambda: not left(), 5, "the processes felix kept to end with it")


# Tools from before MASQUERADE had the option; tried with --test, they say so.
OLD = """#!/bin/bash
PATH={path}
input=
if [ "$1" = --test ]; then
    input=$(cat)
    [[ $input != *"MASQUERADE --random-fully"* ]] || {{ echo "unknown option \\"--random-fully\\"" >&2; exit 2; }}
    exec {tool} "$@" <<<"$input"
fi
exec {tool} "$@"
"""


def test_47_what_the_tools_cannot_do_is_left_out(world, node):
    def masquerades():
        return [rule for rule in node.own_rules(4, world.backend)
                if "cali-POSTROUTING" in rule and "-j MASQUERADE" in rule]

    assert masquerades() and all("--random-fully" in rule for rule in masquerades())
    for name in world.tools.names("restore"):
        world.tools.put(name, OLD.format(path=os.environ["PATH"], tool=name))
    try:
        node.restart_felix()
        wait_for(lambda: not any("--random-fully" in rule for rule in masquerades()), 20, node.felix.tail)
        node.wait_ready(60)
        assert "iptables does not know MASQUERADE --random-fully" in node.log() and "know SNAT" not in node.log()
        node.restart_felix(FELIX_FEATUREDETECTOVERRIDE="MASQFullyRandom=true")
        wait_for(lambda: all("--random-fully" in rule for rule in masquerades()), 20, node.felix.tail)
    finally:
        node.settings = {key: value for key, value in node.settings.items() if "OVERRIDE" not in key}
        world.tools.reset()
        node.restart_felix()
