"""Random clusters and policies of every kind, the same for the same seed.

    case = Generator(seed).case()
    case.objects      # Kubernetes and Calico objects
    case.packets()    # every pair of addresses, ports and protocols

Three namespaces with three pods each stay as they are (names, accounts, container ports), so that a lab can wire
them once; their labels and everything else differ from case to case. Bounded: at most a dozen policies with four
rules a direction.
"""

import random

from .generate_bad import Spoiler
from .generate_hosts import HostGenerator
from .generate_rules import RuleGenerator, chance
from .oracle import address, packet

NAMESPACES = ("x", "y", "z")
PODS = ("a", "b", "c")
NODE, OTHER_NODE = "a1", "elsewhere"
CRD = "crd.projectcalico.org/v1"
LABELS = {"app": ("web", "db", "cache"), "tier": ("front", "back"), "env": ("prod", "dev")}
ACCOUNTS = {"a": "default", "b": "builder", "c": "default"}
PORTS = {"a": (("web", "TCP", 80), ("web", "UDP", 81)),
         "b": (("web", "TCP", 81), ("api", "TCP", 80), ("sig", "SCTP", 80)),
         "c": (("api", "UDP", 80), ("sig", "SCTP", 81))}
OUTSIDE = ("203.0.113.7", "203.0.113.200", "2001:db8:1::7", "2001:db8:1:8000::7")
PROBES = [(protocol, port) for protocol in ("TCP", "UDP", "SCTP") for port in (80, 81)]
HOSTS = (("here", "eth7"), ("here-all", "*"))
TIERS = (("security", 100), ("late", 2_000_000), ("loose", None))


def default_ips():
    """{(namespace, pod): [IPv4, IPv6]} of the nine pods where no lab has given them."""
    return {(ns, pod): [f"10.65.{n}.{p}", f"fd00:65::{n}:{p}"]
            for n, ns in enumerate(NAMESPACES) for p, pod in enumerate(PODS, 1)}


def packets_between(addresses):
    """All pairs of one family, without those from an address to itself."""
    found = []
    for source in addresses:
        for destination in addresses:
            if source == destination or (":" in source) != (":" in destination):
                continue
            found += [packet(source, destination, protocol, port) for protocol, port in PROBES]
            echo = ("ICMPv6", 128) if ":" in source else ("ICMP", 8)
            found.append(packet(source, destination, echo[0], source_port=0, icmp=(echo[1], 0)))
    return found


class Case:
    """One cluster with its policies."""

    def __init__(self, seed, objects, pod_ips, far_ips):
        self.seed, self.objects = seed, objects
        self.pod_ips, self.far_ips = pod_ips, far_ips

    def pod_packets(self):
        """Between the nine pods."""
        return packets_between([ip for ips in self.pod_ips.values() for ip in ips])

    def packets(self):
        """Between the nine pods, a pod of another node and addresses outside; some with rare contents."""
        rng = random.Random(f"packets {self.seed}")
        own = [ip for ips in self.pod_ips.values() for ip in ips]
        inside = {address(ip) for ip in own}
        found = packets_between([*own, *self.far_ips, *OUTSIDE])
        found = [p for p in found if p.source in inside or p.destination in inside]
        for p in rng.sample(found, 60):
            six = p.source.version == 6
            found.append(rng.choice((
                p._replace(protocol=6, destination_port=rng.choice((1, 79, 82, 443, 8080, 65535))),
                p._replace(protocol=17, source_port=rng.choice((53, 80, 81))),
                p._replace(protocol=6, source_port=rng.choice((80, 81))),
                p._replace(protocol=58 if six else 1, icmp_type=rng.choice((0, 3, 8, 128, 129)),
                           icmp_code=rng.choice((0, 1, 3)), source_port=0, destination_port=0),
                p._replace(protocol=rng.choice((2, 47, 136)), source_port=0, destination_port=0))))
        return found


class Generator:
    """`pod_ips`: {(namespace, pod): [addresses]}, `nodes`: {(namespace, pod): node} where a lab has them; the
    rest of the cluster is made around them. `hosts`: {node: [addresses]} of nodes that get host endpoints, `outside`:
    addresses of hosts that are no nodes. `is_wild`: also what an API server would not let a lab do, such as a
    pod without its namespace. `node_objects`: the lab's Nodes, which get other labels; else there are three."""

    def __init__(self, seed, pod_ips=None, nodes=None, is_wild=False, hosts=None, outside=(), node_objects=None):
        self.seed, self.nodes, self.is_wild = seed, nodes or {}, is_wild
        self.given_nodes = node_objects
        self.rng = random.Random(f"case {seed}")
        self.pod_ips = dict(sorted((pod_ips or default_ips()).items()))
        self.far_ips = ["10.66.0.9", "fd00:66::9"]
        self.rules = RuleGenerator(self.rng, self.pod_ips, [ip for ips in (hosts or {}).values() for ip in ips] + list(outside))
        self.host_endpoints = HostGenerator(self, hosts) if hosts else None
        self.spoiler = Spoiler(self.rng)

    def case(self):
        objects = self.cluster()
        for number in range(self.rng.randint(3, 10)):
            objects.append(self.policy(number))
        if self.host_endpoints:
            objects += self.host_endpoints.objects()
        return Case(self.seed, objects, self.pod_ips, self.far_ips)

    # ---- the cluster
    def node_of(self, ns, pod):
        return self.nodes.get((ns, pod), NODE)

    def some_labels(self, keys=("app", "tier", "env"), probability=0.75):
        return {key: self.rng.choice(LABELS[key]) for key in keys if chance(self.rng, probability)}

    def object(self, api, kind, name, ns=None, **rest):
        metadata = {"name": name, **({"namespace": ns} if ns else {}), **rest.pop("metadata", {})}
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}

    def pod(self, ns, name, ips, node, labels, **status):
        role = name if name in PODS else "a"
        ports = [{"name": n, "protocol": proto, "containerPort": port} for n, proto, port in PORTS[role]]
        return self.object(
            "v1", "Pod", name, ns, metadata={"labels": labels},
            spec={"nodeName": node, "serviceAccountName": ACCOUNTS[role],
                  "containers": [{"name": "main", "image": "example.org/none", "ports": ports}]},
            status={"phase": "Running", "podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips], **status})

    def cluster(self):
        rng, objects = self.rng, []
        for ns in NAMESPACES:
            labels = {"kubernetes.io/metadata.name": ns, **self.some_labels(("env", "tier"))}
            objects.append(self.object("v1", "Namespace", ns, metadata={"labels": labels}))
            objects += [self.object("v1", "ServiceAccount", name, ns,
                                    metadata={"labels": self.some_labels(("tier",), 0.6)})
                        for name in ("default", "builder")]
        objects += [self.pod(ns, name, ips, self.node_of(ns, name), self.some_labels())
                    for (ns, name), ips in self.pod_ips.items()]
        objects += self.node_objects() + self.other_pods() + self.sets() + self.hosts() + self.services() + self.tiers()
        rng.shuffle(objects)
        return self.make_wild(objects) if self.is_wild else objects

    def make_wild(self, objects):
        """Some things are missing, one pod is on its way out."""
        rng = self.rng
        gone = rng.choice(("Namespace", "ServiceAccount", None, None, None, None))
        if gone:
            objects.remove(rng.choice([obj for obj in objects if obj["kind"] == gone]))
        if chance(rng, 0.2):
            pod = rng.choice([obj for obj in objects if obj["kind"] == "Pod"])
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            if pod["metadata"]["name"] not in PODS:
                pod["metadata"]["annotations"] = {"cni.projectcalico.org/podIPs": "", "cni.projectcalico.org/podIP": ""}
        return objects

    def node_objects(self):
        """Their labels are like those of pods, which must not matter."""
        if self.given_nodes is not None:
            return [{**node, "metadata": {**node["metadata"], "labels": {
                **(node["metadata"].get("labels") or {}), **self.some_labels()}}} for node in self.given_nodes]
        return [self.node_object(name) for name in (NODE, OTHER_NODE, "third")]

    def node_object(self, name):
        """Two may share an address, and a pod may have that of a node."""
        ips = (*OUTSIDE, *OUTSIDE, "203.0.113.9", *self.far_ips)
        addresses = [{"type": self.rng.choice(("InternalIP", "InternalIP", "ExternalIP")), "address": ip}
                     for ip in self.rng.sample(ips, self.rng.randint(0, 3))]
        metadata = {"labels": self.some_labels()}
        if chance(self.rng, 0.3):
            metadata["annotations"] = {"projectcalico.org/IPv4Address": f"{self.rng.choice(OUTSIDE[:2])}/24"}
        return self.object("v1", "Node", name, metadata=metadata, spec={},
                           status={"addresses": [*addresses, {"type": "Hostname", "address": name}]})

    def hosts(self):
        """Host endpoints of other nodes: what selectors find, nothing that is enforced here. In the wild also of
        this one."""
        found = [self.object(CRD, "HostEndpoint", f"host-{number}", metadata={"labels": self.some_labels()}, spec={
            "node": OTHER_NODE, "interfaceName": f"eth{number}", "expectedIPs": list(OUTSIDE[number::2]),
            **({"ports": [{"name": "web", "protocol": "TCP", "port": 80}]} if chance(self.rng, 0.5) else {})})
                 for number in range(2) if chance(self.rng, 0.25)]
        if self.is_wild:
            found += [self.object(CRD, "HostEndpoint", name, metadata={"labels": self.some_labels()}, spec={
                "node": NODE, "interfaceName": interface,
                **({"profiles": ["projectcalico-default-allow"]} if chance(self.rng, 0.4) else {})})
                      for name, interface in HOSTS if chance(self.rng, 0.5)]
        return found

    def other_pods(self):
        """One elsewhere; and those that do not count: done, in the node's own network, not scheduled."""
        far = self.pod("y", "far", self.far_ips, OTHER_NODE, self.some_labels())
        done = self.pod("x", "done", self.pod_ips["x", "a"], self.node_of("x", "a"), self.some_labels(), phase="Succeeded")
        host = self.pod("y", "host", ["203.0.113.7"], self.node_of("y", "a"), self.some_labels())
        host["spec"]["hostNetwork"] = True
        waiting = self.pod("z", "waiting", [OUTSIDE[1]], "", self.some_labels())
        del waiting["spec"]["nodeName"]
        return [far, done, host, waiting]

    def sets(self):
        rng, found = self.rng, []
        for number in range(rng.randint(0, 3)):
            ns = rng.choice((*NAMESPACES, None))
            labels = self.some_labels(probability=0.6)
            metadata = {"labels": labels}
            if chance(rng, 0.2):
                metadata = {"annotations": {"projectcalico.org/metadata":
                                            '{"labels": {"app": "%s"}}' % rng.choice(LABELS["app"])}}
            found.append(self.object(CRD, "NetworkSet" if ns else "GlobalNetworkSet", f"set-{number}", ns,
                                     metadata=metadata, spec={"nets": self.rules.nets(rng.randint(0, 4))}))
        return found

    def services(self):
        rng, found = self.rng, []
        for ns, name in (("x", "front"), ("y", "back")):
            for family in (0, 1):
                if chance(rng, 0.3):
                    continue
                pods = rng.sample(sorted(self.pod_ips), rng.randint(1, 3))
                ports = [{"name": f"p{port}", "protocol": proto, "port": port}
                         for proto, port in rng.sample(PROBES, rng.randint(1, 2))]
                if chance(rng, 0.1):
                    ports = [{"name": "any", "protocol": "TCP"}]
                found.append(self.object(
                    "discovery.k8s.io/v1", "EndpointSlice", f"{name}-{family}", ns,
                    metadata={"labels": {"kubernetes.io/service-name": name}},
                    addressType=("IPv4", "IPv6")[family], ports=ports,
                    endpoints=[{"addresses": [self.pod_ips[pod][family]],
                                "conditions": {"ready": chance(rng, 0.7)}} for pod in pods]))
        return found

    def tiers(self):
        return [self.object(CRD, "Tier", name, spec={
            **({} if order is None else {"order": order}),
            **({"defaultAction": action} if (action := self.rng.choice((None, "Deny", "Pass", "Pass"))) else {})})
                for name, order in TIERS if chance(self.rng, 0.6)]

    # ---- policies
    def policy(self, number):
        make = self.rng.choices((self.kubernetes, self.calico, self.calico_global, self.cluster_wide, self.staged),
                                (32, 26, 20, 16, 6))[0]
        return self.spoiler.maybe_spoil(make(number))

    def kubernetes(self, number):
        rng = self.rng
        types = rng.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Ingress"]))
        spec = {"podSelector": self.rules.label_selector(), "policyTypes": types}
        for direction, word in (("ingress", "from"), ("egress", "to")):
            if chance(rng, 0.85):
                spec[direction] = [self.rules.kubernetes(word) for _ in range(rng.randint(0, 3))]
        if chance(rng, 0.1):
            del spec["policyTypes"]
        return self.object("networking.k8s.io/v1", "NetworkPolicy", f"knp-{number}", rng.choice(NAMESPACES), spec=spec)

    def calico_spec(self, ns):
        rng, spec = self.rng, {}
        existing = [name for name, _ in TIERS]
        if chance(rng, 0.5):
            spec["tier"] = rng.choices((*existing, "default", "kube-admin", "kube-baseline", "missing"),
                                       (12, 12, 12, 6, 3, 3, 1))[0]
        if chance(rng, 0.7):
            spec["order"] = rng.choice((-1, 10, 10, 500, 1000, 1000.5, 1e9))
        if chance(rng, 0.85):
            spec["selector"] = self.rules.selector()
        if chance(rng, 0.15):
            spec["serviceAccountSelector"] = self.rules.selector(keys=("tier",))
        if ns is None and chance(rng, 0.35):
            spec["namespaceSelector"] = self.rules.selector(keys=("env", "tier"), in_namespaces=True)
        for direction in ("ingress", "egress"):
            if chance(rng, 0.7):
                spec[direction] = [self.rules.calico(direction, ns) for _ in range(rng.randint(0, 4))]
        if chance(rng, 0.6):
            spec["types"] = rng.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
        return spec

    def calico(self, number):
        ns = self.rng.choice(NAMESPACES)
        return self.object(CRD, "NetworkPolicy", f"p-{number}", ns, spec=self.calico_spec(ns))

    def calico_global(self, number):
        spec = self.calico_spec(None)
        if chance(self.rng, 0.4 if self.is_wild else 0.08):
            spec["applyOnForward"] = True
            if kind := self.rng.choice(("doNotTrack", "preDNAT", None)):
                spec[kind] = True
            if kind == "preDNAT":
                spec |= {"types": ["Ingress"]}
                spec.pop("egress", None)
        return self.object(CRD, "GlobalNetworkPolicy", f"p-{number}", spec=spec)

    def staged(self, number):
        """Counted, never enforced."""
        kind = self.rng.choice(("StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "StagedKubernetesNetworkPolicy"))
        if kind == "StagedKubernetesNetworkPolicy":
            staged = self.kubernetes(number)
        else:
            staged = self.calico(number) if kind == "StagedNetworkPolicy" else self.calico_global(number)
        staged |= {"apiVersion": CRD, "kind": kind}
        staged["metadata"]["name"] = f"staged-{number}"
        staged["spec"]["stagedAction"] = self.rng.choice(("Set", "Set", "Delete", "Learn", "Ignore"))
        return staged

    def cluster_wide(self, number):
        rng = self.rng
        subject = ({"namespaces": self.rules.label_selector(("env", "tier"))} if chance(rng, 0.5) else
                   {"pods": {"namespaceSelector": self.rules.label_selector(("env", "tier")),
                             "podSelector": self.rules.label_selector()}})
        spec = {"tier": rng.choice(("Admin", "Baseline")), "priority": number * 50 + rng.randint(0, 49),
                "subject": subject}
        for direction in ("ingress", "egress"):
            if chance(rng, 0.65):
                spec[direction] = [self.rules.cluster_wide(direction) for _ in range(rng.randint(1, 4))]
        return self.object("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", f"kcnp-{number}", spec=spec)
