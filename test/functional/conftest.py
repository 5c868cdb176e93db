"""The world of the policy tests (test/policy/world.py), one for each iptables backend and run."""

import pytest

from policy.world import World


@pytest.fixture(name="shared_world", scope="session", params=["nft", "legacy"])
def shared_world_fixture(request):
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
    answer = shared_world.node("n1").felix_request({
        "op": "explain", "from": {"ip": "10.0.0.1"}, "to": {"ip": "10.0.0.2"}, "protocol": "tcp", "port": 80})
    if "does not enforce policy yet" in answer.get("error", ""):
        pytest.skip(answer["error"])
    yield shared_world
    shared_world.reset()
