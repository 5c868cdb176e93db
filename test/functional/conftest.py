"""The world of the policy tests (test/policy/world.py), one for each iptables backend and run."""

import pytest

from felix_nodes import FelixCluster
from lab import ZoneSpec
from policy.world import World


@pytest.fixture(name="policy_is_enforced", scope="session")
def policy_is_enforced_fixture():
    """Skips what needs policy where felix has none built in."""
    with FelixCluster([ZoneSpec("a", ["a1"])]) as cluster:
        cluster.start_nodes()
        answer = cluster.node("a1").felix_request({
            "op": "explain", "from": {"ip": "10.0.0.1"}, "to": {"ip": "10.0.0.2"}, "protocol": "tcp", "port": 80})
    if "does not enforce policy yet" in answer.get("error", ""):
        pytest.skip(answer["error"])


@pytest.fixture(name="shared_world", scope="session", params=["nft", "legacy"])
def shared_world_fixture(request, policy_is_enforced):
    del policy_is_enforced
    with World(request.param) as world:
        world.start_nodes()
        yield world.populate()


@pytest.fixture(name="world")
def world_fixture(shared_world):
    """Open, without any policy; what the test leaves is taken away."""
    for node in shared_world.nodes.values():
        if not node.felix.alive():
            node.start_canal()
            node.wait_ready()
    yield shared_world
    shared_world.reset()
