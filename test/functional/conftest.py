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
    yield shared_world
    shared_world.reset()
