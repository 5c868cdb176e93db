"""Every fault the API server can be told to show (test/apiserver/faults.py), while policy is enforced and changed:
no denied packet passes at any moment, and afterwards the kernel holds what a fresh start makes of it. The last
point of item 44 of docs/PARITY.md.

A thread changes policies, labels and sets all the time, so every fault meets objects that policy needs. None of what
it writes opens what the test's own policies deny, and in the end all is as it was.
"""

import itertools
import random
import time

import pytest

from felix_nodes import fresh_start
from lab import Stream, wait_for
from lab.background import Background
from policy.objects import (calico_policy, global_policy, ingress, labels, network_policy, network_set, peer, rule)
from policy.tables import Table
from policy.world import World

A = labels(pod="a")
# What is denied rests on every kind of object: on the pod's labels, those of its peers and of namespaces, and on sets.
BASE = [network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]),
        calico_policy("y", "not-z", "pod == 'b'", [
            rule("Deny", source={"selector": "has(pod)", "namespaceSelector": "ns == 'z'"}), rule("Allow")], order=1),
        global_policy("not-foes", "pod == 'c'", [rule("Deny", source={"selector": "role == 'foe'"}), rule("Allow")],
                      order=2)]
TABLE = (Table().deny(to="x/a").allow("y/*", "x/a").deny("z/*", "y/b").deny(["y/a", "z/b"], "*/c"))
DENIED = [("z/a", "x/a"), ("x/b", "x/a"), ("z/c", "x/a"), ("z/a", "y/b"), ("z/c", "y/b"), ("y/a", "z/c"), ("z/b", "x/c")]
ALLOWED = [("y/b", "x/a"), ("y/c", "x/a"), ("x/a", "y/b"), ("x/b", "y/c")]

LISTS = [{"action": action, "times": 4, "seed": seed, **more} for seed, (action, more) in enumerate([
    ("410", {}), ("429", {"retry_after": 1}), ("500", {}), ("503", {"retry_after": 1}), ("401", {}), ("504", {}),
    ("drop", {"fraction": 0.7}), ("drop", {"fraction": 0}), ("truncate", {"fraction": 0.5}), ("malformed", {}),
    ("malformed", {"mode": "types"}), ("malformed", {"mode": "missing"}), ("stale", {"events": 5}),
    ("drip", {"bytes": 512, "interval": 0.01}), ("delay", {"seconds": 0.5}), ("refuse", {"seconds": 0.5})])]
WATCHES = [{"action": action, "probability": 0.3, "seed": seed, "at": "event", **more} for seed, (action, more) in enumerate([
    ("410", {}), ("500", {}), ("drop", {"fraction": 0.5}), ("drop", {"fraction": 0.9, "reset": True}),
    ("truncate", {"fraction": 0.5}), ("malformed", {}), ("malformed", {"mode": "types"}),
    ("malformed", {"mode": "missing"}), ("malformed", {"mode": "types", "resend": False}), ("duplicate", {}),
    ("drip", {"bytes": 64, "interval": 0.01}), ("delay", {"seconds": 0.3}), ("hang", {"seconds": 0.5})])]
# What makes no sense of an object may cost it what it allows.
SPOILS = ("malformed",)


def name_of(fault):
    return "-".join([fault["action"], *[str(fault[key]) for key in ("mode", "fraction", "resend") if key in fault]])


@pytest.fixture(name="shared", scope="module", params=["nft", "legacy"])
def shared_fixture(request):
    with World(request.param) as world:
        world.start_nodes()
        world.populate()
        world.foes = [f"{ip}/{128 if ':' in ip else 32}" for key in ("y/a", "z/b") for ip in world.pod(key).ips]
        world.apply(*BASE, network_set(None, "foes", world.foes, role="foe"))
        for node in world.nodes.values():
            fresh_start(world, node)
        world.check(TABLE)
        world.before = {node.name: node.snapshot() for node in world.nodes.values()}
        yield world


@pytest.fixture(name="world")
def world_fixture(shared):
    for node in shared.nodes.values():
        node.restart_felix()  # one that has not waited for longer and longer in the test before
        node.wait_ready()
    shared.settle()
    yield shared
    shared.client.clear_faults()
    shared.client.restore()


class Changes(Background):
    """Writes all the time; ends with everything as it was."""

    def __init__(self, world, seed):
        super().__init__()
        self.client = type(world.client)(world.client.target)
        self.foes, self.random = world.foes, random.Random(seed)

    def step(self):
        self.pause(0.01)
        pick = self.random
        number, kind = str(pick.randrange(9)), pick.randrange(6)
        if kind == 0:  # closes something more, and opens nothing
            self.client.apply(calico_policy("x", f"more-{number}", "pod == 'b'", [
                rule("Allow", source={"selector": f"number == '{number}'"})], order=int(number)))
        elif kind == 1:
            self.client.delete("networkpolicies.crd.projectcalico.org", f"more-{number}", "x", missing_ok=True)
        elif kind == 2:
            where, pod = pick.choice("xyz"), pick.choice("abc")
            self.client.patch("Pod", pod, {"metadata": {"labels": {"number": number}}}, where)
        elif kind == 3:
            self.client.patch("Namespace", pick.choice("xyz"), {"metadata": {"labels": {"number": number}}})
        elif kind == 4:
            self.client.patch("GlobalNetworkSet", "foes", {"spec": {"nets": [*self.foes, f"10.77.0.{number}/32"]}})
        else:  # the policies that deny, written again
            self.client.patch(*pick.choice([
                ("networkpolicies.networking.k8s.io", "from-y", {"metadata": {"annotations": {"number": number}}}, "x"),
                ("networkpolicies.crd.projectcalico.org", "not-z", {"metadata": {"annotations": {"n": number}}}, "y"),
                ("globalnetworkpolicies.crd.projectcalico.org", "not-foes", {"metadata": {"annotations": {"n": number}}})]))

    def stop(self):
        try:
            super().stop()
        finally:
            self._undo()

    def _undo(self):
        for number in range(9):
            self.client.delete("networkpolicies.crd.projectcalico.org", f"more-{number}", "x", missing_ok=True)
        self.client.patch("GlobalNetworkSet", "foes", {"spec": {"nets": self.foes}})
        for where in "xyz":
            self.client.patch("Namespace", where, {"metadata": {"labels": {"number": None}}})
            for pod in "abc":
                self.client.patch("Pod", pod, {"metadata": {"labels": {"number": None}}}, where)
        self.client.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


def flows(world, pairs):
    return {f"{a} > {b} IPv{family}": (world.pod(a).netns, world.pod(b).netns, world.ip(b, family))
            for a, b in pairs for family in (4, 6)}


def n_fired(world):
    return sum(row["fired"] for row in world.client.stats()["rules"])


def under(world, faults, trigger, seconds=0.5):
    """Changes and packets while the fault is on, and until all is in force again."""
    denied, allowed = flows(world, DENIED), flows(world, ALLOWED)
    with Stream({**denied, **allowed}, rate=100) as stream:
        wait_for(lambda: all(flow.seen for flow in stream.flows if flow.name in allowed), 5, "the allowed flows")
        with Changes(world, len(faults)) as changes:
            # Then what most watches have seen last is old.
            wait_for(lambda: changes.n > 20, 5, "some changes", interval=0.01)
            world.client.faults(*faults)
            trigger()
            wait_for(lambda: n_fired(world) > 0, 15, "the fault to be met", interval=0.02)
            time.sleep(seconds)  # the fault itself
            fired = n_fired(world)
            world.client.clear_faults()
            world.client.restore()
        world.settle(60)
        wait_for(lambda: all(node.snapshot() == world.before[node.name] for node in world.nodes.values()), 10,
                 lambda: f"what a fresh start makes: {differences(world)}")
        done = stream.stop(drain=0.3)
    print(f"fired {fired} times, {changes.n} changes, {sum(f.sent for f in done)} packets")
    for flow in done:
        if flow.name in denied:
            assert not flow.seen, f"{flow.name}: {len(flow.seen)} of {flow.sent} denied packets passed"
        elif not any(fault["action"] in SPOILS for fault in faults):
            assert not flow.lost, f"{flow.name}: {flow.lost} of {flow.sent} allowed packets lost"


def differences(world):
    found = []
    for node in world.nodes.values():
        now, before = node.snapshot(), world.before[node.name]
        found += [(node.name, key, before[key], now[key]) for key in before if now[key] != before[key]]
    return str(found)[:2000]


def on(verb, faults):
    return [{**fault, "match": {"verb": verb}} for fault in faults]


def list_again(world):
    world.client.compact()  # what continues a watch is told that it is too old, and lists
    world.client.disconnect()


# What the API does is the same for both backends: one fault at a time on one of them, all in turn on both.
one = pytest.mark.parametrize("shared", ["nft"], indirect=True, scope="module")


@one
@pytest.mark.parametrize("fault", LISTS, ids=name_of)
def test_44_a_fault_of_lists_opens_nothing(world, fault):
    under(world, on("list", [fault]), lambda: list_again(world))


@one
@pytest.mark.parametrize("fault", WATCHES, ids=name_of)
def test_44_a_fault_of_watches_opens_nothing(world, fault):
    under(world, on("watch", [fault]), world.client.disconnect)  # a watch takes its rules up when it begins


def test_44_all_faults_together_open_nothing(world):
    faults = [{**fault, "probability": 0.2, "times": 2} for fault in itertools.chain(on("list", LISTS), on("watch", WATCHES))]
    under(world, faults, lambda: list_again(world), 4)
