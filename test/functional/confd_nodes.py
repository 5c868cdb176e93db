"""Nodes that run bird and canal-confd only, and routers beside them with a configuration of the test's own."""

from lab import wait_for
from lab.cluster import BUILD, CanalNode, Cluster
from lab.lab import ROOT

CRD = "crd.projectcalico.org/v1"


class ConfdNode(CanalNode):
    """A node with bird and confd only. A bridge called tunl0 stands in for the IPIP device: what is tested
    is the route that BIRD writes, not the packets that would go through it (test_demo does that)."""

    def start_canal(self):
        self.netns.ip("link add tunl0 type bridge", "link set tunl0 up")
        if self.confd is None:
            self.confd = self.lab.daemon(self.netns, f"{self.name}-confd", [
                str(BUILD / "canal-confd"), "--run-dir", str(self.run_dir),
                "--local-dir", str(self.dir / "local.d"),
                "--templates", str(ROOT / "bird-templates")], self.environment(), self.dir)
        self.confd.start()
        self.start_bird()

    def route(self, cidr):
        """(gateway, device) of a route BIRD wrote, None when there is none."""
        route = self.route_to(cidr)
        if route is None or route.get("protocol") != "bird":
            return None
        return route.get("gateway"), route.get("dev")

    def own_block_routes(self):
        return [r for family, cidr in ((4, self.pod_cidr4), (6, self.pod_cidr6)) for r in self.routes(family)
                if r["dst"] == cidr and r.get("protocol") == "bird"]

    def gateways(self, cidr):
        """The gateways of a route BIRD wrote, of all its next hops."""
        route = self.route_to(cidr)
        if route is None or route.get("protocol") != "bird":
            return set()
        return {hop["gateway"] for hop in route.get("nexthops", [route])}

    def log(self):
        return self.confd.log.read_text()

    def metric(self, name):
        _, out = self.http_get(9092, "/metrics")
        return next((float(line.split()[-1]) for line in out.splitlines()
                     if line.startswith((name + " ", name + "{"))), None)


class ConfdCluster(Cluster):
    node_class = ConfdNode

    def start_nodes(self):
        for node in self.nodes.values():
            self.start_node(node)
        for node in self.nodes.values():
            wait_for(lambda n=node: n.bgp_established(self.sessions_of(n)), 60,
                     f"{node.name}: all its BGP sessions", interval=0.2)
        self.wait_routes()


def bgp_peer(name, **spec):
    return {"apiVersion": CRD, "kind": "BGPPeer", "metadata": {"name": name}, "spec": spec}


def expect_route(node, cidr, gateway, dev):
    wait_for(lambda: node.route(cidr) == (gateway, dev), 20,
             lambda: f"{node.name}: {cidr} via {gateway} dev {dev}; it is {node.route(cidr)}")
