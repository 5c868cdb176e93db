"""Policy behind services: kube-proxy changes its mode, and open connections through its DNAT. Item 43 of docs/PARITY.md; IPVS
is in test_felix_ipvs.py."""

import contextlib

import pytest

from policy.flows import OpenFlows
from policy.kube_proxy import KubeProxy, Service
from policy.objects import ingress, labels, network_policy, peer
from policy.prober import FAMILIES, PORTS, PROTOCOLS, Probe
from policy.services import GONE, KEPT, ServiceStream, assert_revoked, behind, wait_on_top
from policy.tables import Table

A = labels(pod="a")
A_IPS = {4: "10.96.0.10", 6: "fd00:10:96::10"}


def service(world, name, number):
    return Service(name, A_IPS, {f: [world.ip("x/a", f)] for f in FAMILIES}, port=number)


class Mode:
    """kube-proxy in one mode on every node."""

    def __init__(self, world, mode, services):
        self.proxies = [KubeProxy(node, mode, world.backend, services) for node in world.nodes.values()]

    def open(self):
        for proxy in self.proxies:
            proxy.sync()

    def close(self):
        for proxy in self.proxies:
            proxy.close()


def test_43_kube_proxy_changes_its_mode_while_felix_runs(world):
    """iptables, nft, iptables, nft: no denied packet passes at any moment, what is allowed does in every mode."""
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
    stream = ServiceStream(world, A_IPS, "x/a", denied=["z/a", "x/b", "z/c"], allowed=["y/b", "y/c"])
    services = [*stream.services, *(service(world, f"main{number}", number) for number in PORTS)]
    probes = [Probe(pod.key, A_IPS[family], protocol, number, family) for pod in world.pods() for protocol in PROTOCOLS
              for number in PORTS for family in FAMILIES]
    table = Table(False).allow("y/*")

    def check():
        wait_on_top(world)
        world.check(table, probes, services=behind("x/a", A_IPS, PORTS))

    stream.switch([Mode(world, mode, services) for mode in ("iptables", "nft", "iptables", "nft")], check)


@pytest.mark.parametrize("mode", ["iptables", "nft"])
def test_open_connections_through_a_service_stop_when_policy_takes_them_away(world, mode):
    services = [service(world, f"s{number}", number) for number in (*GONE, *KEPT)]
    with contextlib.ExitStack() as stack:
        for node in world.nodes.values():
            stack.enter_context(KubeProxy(node, mode, world.backend, services))
        wait_on_top(world)
        assert_revoked(world, stack.enter_context(OpenFlows()), A_IPS, "x/a")
