"""The world most policy tests live in: namespaces x, y, z with pods a, b, c, on two nodes of one zone.

    world.apply(network_policy("x", "deny-all"))
    world.check(Table().deny(to="x/*"))

Pods a and b run on node n1, pods c on n2, so that every table has flows that stay on a node and flows judged
by two. The CNI plugin wires the pods; routes between the nodes are the test's own, there is no bird and no
ipip. apply() and its likes return when every felix has what was written in force: felix says up to which
resourceVersion it has, nothing sleeps.
"""

import itertools
import time

from felix_nodes import FelixCluster
from lab import ZoneSpec, wait_for

from . import explained, objects, reference
from .prober import FAMILIES, PORTS, PROTOCOLS, Prober
from .tables import Table

NAMESPACES, PODS = "xyz", "abc"
NODE_OF = {"a": "n1", "b": "n1", "c": "n2"}
SETTLE_SECONDS = 15
# Every table is hundreds of tracked flows. Kept for the usual times they would be tens of thousands, which felix
# judges again with every change of policy.
FORGETFUL = {f"net/netfilter/nf_conntrack_{name}": 3 for name in (
    "udp_timeout", "udp_timeout_stream", "tcp_timeout_close", "tcp_timeout_time_wait", "tcp_timeout_syn_sent",
    "sctp_timeout_cookie_wait", "sctp_timeout_cookie_echoed", "sctp_timeout_closed")}


def port_name(number, protocol):
    return f"serve-{number}-{protocol}"


def pod_spec(namespace, name):
    """Changes a Pod object to what these tests want of it."""
    def change(obj):
        obj["metadata"]["labels"] = {"pod": name}
        obj["spec"]["serviceAccountName"] = f"sa-{name}"
        obj["spec"]["containers"][0]["ports"] = [
            {"name": port_name(number, protocol), "containerPort": number, "protocol": protocol.upper()}
            for number in PORTS for protocol in PROTOCOLS]
    return change


class World(FelixCluster):
    """A FelixCluster with its pods, a prober that listens in all of them, and a memory of what tests wrote."""

    def __init__(self, backend="nft", nodes=("n1", "n2"), settings=None, **kwargs):
        super().__init__([ZoneSpec("a", list(nodes))], backend=backend,
                         # Left to FelixConfiguration, which the environment would hide.
                         settings={"FELIX_DEFAULTENDPOINTTOHOSTACTION": None, **(settings or {})}, **kwargs)
        self.prober = None
        self.families = itertools.cycle(FAMILIES)
        self.written = {}  # (kind, namespace, name, apiVersion) of what tests made: the object as it is now
        self.changed = {}  # the same for objects of the world: what restores them

    @property
    def client(self):
        return self.api.client

    # ---- making it
    def populate(self):
        for name in NAMESPACES:
            self.client.create(objects.namespace(name, ns=name))
            for pod in PODS:
                self.client.create(objects.service_account(name, f"sa-{pod}", account=pod))
        nodes = list(self.nodes.values())
        for node in nodes:
            node.netns.sysctl(FORGETFUL)
            for other in nodes:
                if other is not node:
                    node.netns.ip(f"route add {other.pod_cidr4} via {other.ip4}",
                                  f"route add {other.pod_cidr6} via {other.ip6}")
        for name in NAMESPACES:
            for pod in PODS:
                self.node_for(pod).add_pod(pod, name, pod_spec(name, pod))
        self.prober = Prober(self.pods())
        self.settle()
        return self

    def node_for(self, pod):
        return self.nodes.get(NODE_OF.get(pod)) or next(iter(self.nodes.values()))

    def pod(self, key):
        return next(pod for pod in self.pods() if pod.key == key)

    def ip(self, key, family=4):
        return self.pod(key).ip(family)

    def add_pod(self, namespace, name, node=None, change=None):
        """One more pod, which listens, too."""
        def both(obj):
            pod_spec(namespace, name)(obj)
            if change:
                change(obj)
        pod = (node or self.node_for(name)).add_pod(name, namespace, both)
        self.prober.add(pod)
        return pod

    def del_pod(self, pod):
        self.prober.remove(pod.key)
        pod.node.del_pod(pod)

    def close(self, failed=False):
        if self.prober is not None:
            self.prober.close()
            self.prober = None
        super().close(failed)

    # ---- writing
    @staticmethod
    def key_of(obj):
        return obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"], obj["apiVersion"]

    def write(self, *objs):
        """Creates or replaces; does not wait."""
        for obj in objs:
            key = self.key_of(obj)
            if key in self.written:
                path = self.client.path(key[0], key[2], key[1], api_version=key[3])
                version = self.client.request("GET", path)["metadata"]["resourceVersion"]
                self.client.replace({**obj, "metadata": {**obj["metadata"], "resourceVersion": version}})
            else:
                self.client.create(obj)
            self.written[key] = obj

    def apply(self, *objs):
        self.write(*objs)
        self.settle()

    def remove(self, *objs):
        """Deletes what apply() made."""
        for obj in objs:
            kind, namespace, name, version = key = self.key_of(obj)
            self.client.request("DELETE", self.client.path(kind, name, namespace, api_version=version))
            del self.written[key]
        self.settle()

    def label(self, kind, name, namespace=None, **labels):
        """Changes labels of an object of this world until the test ends; None takes one away."""
        before = self.client.get(kind, name, namespace)["metadata"].get("labels", {})
        restore = self.changed.setdefault((kind, namespace, name), {})
        for key in labels:
            restore.setdefault(key, before.get(key))
        self.client.patch(kind, name, {"metadata": {"labels": labels}}, namespace)
        self.settle()

    def settle(self, deadline=SETTLE_SECONDS):
        """Until all that was written is in force on every node."""
        version = self.client.bookmark()
        marked = time.monotonic()

        def is_in_force(node):
            nonlocal marked
            if time.monotonic() - marked > 0.3:  # a watch that was just away has missed the bookmark
                self.client.bookmark()
                marked = time.monotonic()
            return node.felix_request({"op": "status"}).get("in_force", 0) >= version

        for node in self.nodes.values():
            wait_for(lambda n=node: is_in_force(n), deadline,
                     lambda n=node: f"{n.name}: version {version} to be in force; "
                                    f"{n.felix_request({'op': 'status'})}; {n.felix.tail(5)}", interval=0.003)

    def reset(self):
        """Takes away whatever a test left."""
        for kind, namespace, name, version in list(self.written):
            self.client.request("DELETE", self.client.path(kind, name, namespace, api_version=version))
        self.written.clear()
        for (kind, namespace, name), labels in self.changed.items():
            self.client.patch(kind, name, {"metadata": {"labels": labels}}, namespace)
        self.changed.clear()
        self.settle()

    # ---- looking
    def pairs(self, *args, **kwargs):
        return self.prober.pairs(*args, **kwargs)

    def check(self, table, probes=None, has_reference=True, has_explain=True, services=None, **kwargs):
        """The expected table, the reference evaluator, packets of all pairs and what felix explains agree.
        `has_reference` false: the reference does not know what the test is about. What is the same for both
        backends is compared on one of them. `services`: {(address, port): (name of the pod behind it, its port)}, which
        reference and felix are asked about instead."""
        probes = list(self.pairs() if probes is None else probes)
        is_first = self.backend == "nft"
        judged, asked = table.behind(probes, services) if services else (table, probes)
        if has_reference and is_first:
            hosts = {node.name: [node.ip4, node.ip6] for node in self.nodes.values()}
            reference.check(self.client, self.prober.places, judged, asked, hosts)
        result = self.prober.check(table, probes, **kwargs)
        if has_explain and is_first:
            # Asking costs as much as sending: one family a table, in turn.
            family = next(self.families)
            nodes = {pod.key: pod.node for pod in self.pods()} | self.nodes
            # Felix knows no service's address: asked about a pod and itself it says that nothing leaves the pod.
            explained.check(self.prober.places, nodes, judged,
                            [p for p in asked if p.family == family and p.source != p.target])
        return result

    def check_open(self):
        return self.check(Table())
