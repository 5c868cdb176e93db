"""What the reference evaluator knows of a cluster: endpoints and network sets with their labels and addresses,
services. Part of the reference: knows nothing of felix."""

import ipaddress
import json

from .selector import Malformed

POD_NET_ANNOTATIONS = ("cni.projectcalico.org/podIPs", "cni.projectcalico.org/podIP")
METADATA_ANNOTATION = "projectcalico.org/metadata"
NODE_IP_ANNOTATIONS = ("projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address")
CRD, V3 = "crd.projectcalico.org/v1", "projectcalico.org/v3"
KINDS = {("NetworkPolicy", CRD): "CalicoNetworkPolicy", ("NetworkPolicy", V3): "CalicoNetworkPolicy"}


def kind_of(obj):
    """The kind, Calico's NetworkPolicy told apart from Kubernetes'."""
    return KINDS.get((obj["kind"], obj["apiVersion"]), obj["kind"])


def parse_net(text):
    try:
        if not isinstance(text, str) or "/" not in text:
            raise ValueError("a prefix is address/length")
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise Malformed(f"{text!r}: {error}") from None


def labels_of(obj):
    """Labels of the object; where Calico's API server wrote it, they are in an annotation."""
    metadata = obj["metadata"]
    kept = (metadata.get("annotations") or {}).get(METADATA_ANNOTATION)
    return dict((json.loads(kept) if kept else metadata).get("labels") or {})


class Item:
    """Something with labels and addresses that a selector can find: a pod, a host endpoint, a network set."""

    def __init__(self, key, labels, nets, ports=()):
        self.key, self.labels, self.nets = key, labels, nets
        self.ports = set(ports)  # (name, protocol, number)
        self.is_pod = False
        self.node = None
        self.ns = None
        self.is_profile_allow = False

    def covers(self, ip):
        return any(ip.version == net.version and ip in net for net in self.nets)

    def __repr__(self):
        return f"<{self.key}>"


def _pod_ips(pod):
    status = pod.get("status") or {}
    if found := [entry["ip"] for entry in status.get("podIPs") or []]:
        return found
    if status.get("podIP"):
        return [status["podIP"]]
    annotations = pod["metadata"].get("annotations") or {}
    for name in POD_NET_ANNOTATIONS:
        if annotations.get(name):
            return [text.split("/")[0] for text in annotations[name].split(",")]
    return []


def _is_endpoint(pod):
    """Kubernetes' rules for pods that policy considers."""
    spec, status, metadata = pod["spec"], pod.get("status") or {}, pod["metadata"]
    if spec.get("hostNetwork") or not spec.get("nodeName"):
        return False
    if status.get("phase") in ("Succeeded", "Failed"):
        return False
    annotations = metadata.get("annotations") or {}
    if metadata.get("deletionTimestamp") and any(annotations.get(name) == "" for name in POD_NET_ANNOTATIONS):
        return False
    return bool(_pod_ips(pod))


def _pod_ports(spec):
    containers = list(spec.get("containers") or [])
    containers += [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    return {(port["name"], port.get("protocol", "TCP"), port["containerPort"])
            for container in containers for port in container.get("ports") or [] if port.get("name")}


def _node_ips(node):
    """All addresses of a Node, not its names."""
    found = {ipaddress.ip_address(entry["address"]) for entry in (node.get("status") or {}).get("addresses") or []
             if entry["type"] in ("InternalIP", "ExternalIP")}
    annotations = node["metadata"].get("annotations") or {}
    return found | {ipaddress.ip_address(annotations[name].split("/")[0]) for name in NODE_IP_ANNOTATIONS
                    if annotations.get(name)}


class Cluster:
    """Endpoints, sets and services from objects as the API has them."""

    def __init__(self, objects):
        self.namespaces, self.accounts, self.slices = {}, {}, []
        self.items, self.issues, self._pods = [], [], {}
        self.hosts = {}  # host endpoints, which are items, by name
        self.nodes = []  # items of their own: what selects endpoints never selects a node
        for obj in objects:
            metadata = obj["metadata"]
            if obj["kind"] == "Namespace":
                self.namespaces[metadata["name"]] = metadata.get("labels") or {}
            elif obj["kind"] == "ServiceAccount":
                self.accounts[metadata["namespace"], metadata["name"]] = metadata.get("labels") or {}
            elif obj["kind"] == "EndpointSlice":
                self.slices.append(obj)
        for obj in objects:
            add = {"Pod": self._add_pod, "NetworkSet": self._add_set, "GlobalNetworkSet": self._add_set,
                   "HostEndpoint": self._add_host, "Node": self._add_node}.get(obj["kind"])
            if add:
                add(obj)

    # ---- what has labels
    def _namespace_labels(self, ns):
        if ns not in self.namespaces:
            return {}
        return {**{f"pcns.{key}": value for key, value in self.namespaces[ns].items()},
                "pcns.projectcalico.org/name": ns}

    def _account_labels(self, ns, name):
        if (ns, name) not in self.accounts:
            return {}
        return {**{f"pcsa.{key}": value for key, value in self.accounts[ns, name].items()},
                "pcsa.projectcalico.org/name": name}

    def _add_pod(self, pod):
        if not _is_endpoint(pod):
            return
        metadata, spec = pod["metadata"], pod["spec"]
        ns, account = metadata["namespace"], spec.get("serviceAccountName") or ""
        own = {key: value for key, value in (metadata.get("labels") or {}).items()
               if not key.startswith(("pcns.", "pcsa."))}
        own |= {"projectcalico.org/namespace": ns, "projectcalico.org/orchestrator": "k8s"}
        if account:
            own["projectcalico.org/serviceaccount"] = account
        item = Item(f"{ns}/{metadata['name']}",
                    {**self._namespace_labels(ns), **self._account_labels(ns, account), **own},
                    [ipaddress.ip_network(ip) for ip in _pod_ips(pod)], _pod_ports(spec))
        item.is_pod, item.node, item.ns = True, spec["nodeName"], ns
        item.is_profile_allow = ns in self.namespaces
        self.items.append(item)

    def _add_set(self, obj):
        metadata, ns = obj["metadata"], obj["metadata"].get("namespace")
        nets = []
        for text in obj["spec"].get("nets") or []:
            try:
                nets.append(parse_net(text))
            except Malformed as error:
                self.issues.append(f"{obj['kind']} {metadata['name']}: {error}")
        labels = labels_of(obj)
        if obj["kind"] == "NetworkSet":
            labels = {**self._namespace_labels(ns), **labels, "projectcalico.org/namespace": ns}
        self.items.append(Item(f"{obj['kind']} {ns or ''}/{metadata['name']}", labels, nets))

    def _add_host(self, obj):
        name, spec = obj["metadata"]["name"], obj["spec"]
        item = Item(f"host {name}", labels_of(obj),
                    [ipaddress.ip_network(ip) for ip in spec.get("expectedIPs") or []],
                    {(p["name"], p["protocol"], p["port"]) for p in spec.get("ports") or []})
        item.node, item.interface = spec.get("node"), spec.get("interfaceName")
        item.is_any_interface = spec.get("interfaceName") == "*"
        item.is_profile_allow = "projectcalico-default-allow" in (spec.get("profiles") or [])
        self.hosts[name] = item
        self.items.append(item)

    def _add_node(self, obj):
        self.nodes.append(Item(f"node {obj['metadata']['name']}", labels_of(obj),
                               [ipaddress.ip_network(ip) for ip in _node_ips(obj)]))

    # ---- questions
    def pod_of(self, ip):
        """The pod with this address, None."""
        if ip not in self._pods:
            self._pods[ip] = next((item for item in self.items if item.is_pod and item.covers(ip)), None)
        return self._pods[ip]

    def addresses_of_service(self, ns, name):
        """{(ip, protocol, port)} and {ip} of the service's endpoints, ready or not."""
        with_ports, alone = set(), set()
        for piece in self.slices:
            metadata = piece["metadata"]
            if (metadata["namespace"] != ns or piece.get("addressType") == "FQDN"
                    or (metadata.get("labels") or {}).get("kubernetes.io/service-name") != name):
                continue
            ips = [ipaddress.ip_address(text) for endpoint in piece.get("endpoints") or []
                   for text in endpoint.get("addresses") or []]
            alone.update(ips)
            with_ports.update((ip, port.get("protocol") or "TCP", port["port"])
                              for port in piece.get("ports") or [] if port.get("port") is not None
                              for ip in ips)
        return with_ports, alone
