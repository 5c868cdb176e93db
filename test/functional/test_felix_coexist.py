"""felix beside others: kube-proxy, Docker, firewalls that write their tables anew, and the Calico that ran on the node
before. Items 37, 39 and 43 of docs/PARITY.md. More writers are in test_felix_iptables_faults.py."""

import time

import pytest

from lab import Stream, wait_for
from policy.calico_node import CalicoNode
from policy.objects import ingress, labels, network_policy, peer
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


@pytest.fixture(name="calico")
def calico_fixture(world, request):
    """n1 as Calico left it, with FROM_Y enforced by Calico's rules; felix is down and has no state of its own."""
    node = world.node("n1")
    world.apply(FROM_Y)
    before = node.snapshot()
    peers = {family: next(name for name in node.netns.run(["ipset", "list", "-n"]).split()
                          if name.startswith(f"cali{family}0s:")) for family in (4, 6)}
    members = [ip for pod in world.pods() if pod.namespace == "y" for ip in pod.ips]
    node.felix.kill9()
    kept = {path: path.read_bytes() for path in (node.run_dir / "endpoints").glob("*")}
    for path in kept:
        path.unlink()
    wipe(node)
    backend = world.backend if request.param == "same" else {"nft": "legacy", "legacy": "nft"}[world.backend]
    try:
        CalicoNode(node, backend).lay_down(world.pod("x/a"), peers, members)
        yield before
    finally:
        if node.felix.alive():
            node.felix.kill9()
        for path, text in kept.items():
            path.write_bytes(text)
        node.start_canal()
        node.wait_ready(60)


def probes_to(world, name):
    return world.pairs(targets=[name])


@pytest.mark.parametrize("calico", ["same", "other"], indirect=True)
def test_39_a_node_that_ran_calico_is_taken_over_in_place(world, calico):
    """No denied packet passes at any moment, no allowed one is lost, nothing of Calico's is left."""
    node, before = world.node("n1"), calico
    # Calico's rules are real: they enforce the policy by themselves.
    world.check(ONLY_Y, world.pairs(), has_explain=False)
    denied, allowed = flows(world, "z/a", "x/b", "z/c"), flows(world, "y/b", "y/c")
    with Stream({**denied, **allowed}, rate=200) as stream:
        wait_for(lambda: all(flow.seen for flow in stream.flows if flow.name in allowed), 5, "the allowed flows")
        node.start_canal()
        node.wait_ready(60)
        wait_for(lambda: node.snapshot() == before, 30, lambda: difference(before, node.snapshot()))
        wait_for(lambda: not [own for f in (4, 6) for other in {"nft", "legacy"} - {world.backend}
                              for own in node.own_rules(f, other)], 30, "the other backend to be empty of ours")
        world.settle(30)
        done = stream.stop()
    print(f"{sum(f.sent for f in done)} packets during the takeover")
    for flow in done:
        if flow.name in denied:
            assert not flow.seen, f"{flow.name}: {len(flow.seen)} of {flow.sent} denied packets passed"
        else:
            assert not flow.lost, f"{flow.name}: {flow.lost} of {flow.sent} allowed packets lost"
    world.check(ONLY_Y)


def difference(want, have):
    return {key: (want[key], have[key]) for key in want if want[key] != have[key]}
