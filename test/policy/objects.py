"""Objects of the API, written short. Every function gives the whole object as a client would send it."""

CRD = "crd.projectcalico.org/v1"
NETWORKING = "networking.k8s.io/v1"
CNP = "policy.networking.k8s.io/v1alpha2"


def _object(api_version, kind, name, namespace, spec, **metadata):
    return {"apiVersion": api_version, "kind": kind,
            "metadata": {"name": name, **({"namespace": namespace} if namespace else {}), **metadata},
            **({"spec": spec} if spec is not None else {})}


def _without_none(**fields):
    return {key: value for key, value in fields.items() if value is not None}


# ---- what selectors are made of
def labels(**equal):
    """{matchLabels}: labels(pod="a"); underscores stand for themselves."""
    return {"matchLabels": equal}


def expression(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


ALL = {}


# ---- Kubernetes NetworkPolicy
def peer(pods=None, namespaces=None, cidr=None, excepts=None):
    """One element of from/to; selectors as labels() and expression() make them, ALL for the empty one."""
    if cidr:
        return {"ipBlock": _without_none(cidr=cidr, **{"except": excepts})}
    return _without_none(podSelector=pods, namespaceSelector=namespaces)


def port(number=None, protocol=None, end=None):
    return _without_none(port=number, protocol=protocol, endPort=end)


def ingress(*peers, ports=None):
    """One ingress rule; without peers anybody may come in."""
    return _without_none(**{"from": list(peers) or None}, ports=ports)


def egress(*peers, ports=None):
    return _without_none(to=list(peers) or None, ports=ports)


def network_policy(namespace, name, pods=None, allow_in=None, allow_out=None, types=None):
    """`allow_in`, `allow_out`: lists of rules, None: the section is not there. `types` defaults as the API
    server does it."""
    types = types or ["Ingress"] + (["Egress"] if allow_out is not None else [])
    return _object(NETWORKING, "NetworkPolicy", name, namespace, _without_none(
        podSelector=pods or {}, ingress=allow_in, egress=allow_out, policyTypes=types))


# ---- Calico
def rule(action, source=None, destination=None, **match):
    """One rule of a Calico policy: rule("Allow", source={"selector": ...}, protocol="TCP")."""
    return {"action": action, **_without_none(source=source, destination=destination), **match}


def calico_policy(namespace, name, selector="all()", ingress_rules=None, egress_rules=None, order=None, tier=None,
                  types=None, **spec):
    """NetworkPolicy of Calico, or GlobalNetworkPolicy when `namespace` is None. Rules None: no such section."""
    kind = "NetworkPolicy" if namespace else "GlobalNetworkPolicy"
    return _object(CRD, spec.pop("kind", kind), name, namespace, _without_none(
        selector=selector, order=order, tier=tier, types=types, ingress=ingress_rules, egress=egress_rules, **spec))


def global_policy(name, *args, **kwargs):
    return calico_policy(None, name, *args, **kwargs)


def tier(name, order=None, default_action=None):
    return _object(CRD, "Tier", name, None, _without_none(order=order, defaultAction=default_action))


def network_set(namespace, name, nets, **set_labels):
    kind = "NetworkSet" if namespace else "GlobalNetworkSet"
    return _object(CRD, kind, name, namespace, {"nets": nets}, labels=set_labels)


def host_endpoint(name, node, interface=None, ips=None, profiles=None, ports=None, **its_labels):
    return _object(CRD, "HostEndpoint", name, None, _without_none(
        node=node, interfaceName=interface, expectedIPs=ips, profiles=profiles, ports=ports), labels=its_labels)


def felix_configuration(name="default", **spec):
    return _object(CRD, "FelixConfiguration", name, None, spec)


# ---- ClusterNetworkPolicy
def cluster_policy(name, tier_name, priority, subject, ingress_rules=None, egress_rules=None):
    return _object(CNP, "ClusterNetworkPolicy", name, None, _without_none(
        tier=tier_name, priority=priority, subject=subject, ingress=ingress_rules, egress=egress_rules))


def subject(namespaces=None, pods=None):
    """Everything in namespaces, or pods in namespaces."""
    if pods is None:
        return {"namespaces": namespaces or {}}
    return {"pods": {"namespaceSelector": namespaces or {}, "podSelector": pods}}


cluster_peer = subject


def nodes_peer(**equal):
    """Nodes with these labels; dots and slashes in names: nodes_peer(**{"kubernetes.io/hostname": "n1"})."""
    return {"nodes": labels(**equal) if equal else {}}


def protocol(name, number=None, start=1, end=65535):
    """tcp, udp or sctp with a destination port, or a range of them: a protocol without any is not allowed."""
    return {name: {"destinationPort": {"number": number} if number is not None
                   else {"range": {"start": start, "end": end}}}}


def named_protocol(name):
    return {"destinationNamedPort": name}


def cluster_rule(action, peers, protocols=None, side="from", name=None):
    return _without_none(name=name, action=action, protocols=protocols, **{side: peers})


# ---- the rest
def namespace(name, **its_labels):
    return _object("v1", "Namespace", name, None, None,
                   labels={"kubernetes.io/metadata.name": name, **its_labels})


def service_account(where, name, **its_labels):
    return _object("v1", "ServiceAccount", name, where, None, labels=its_labels)


def service(where, name, ports=None, **spec):
    return _object("v1", "Service", name, where, _without_none(ports=ports or [], **spec))


def endpoint_slice(where, service_name, addresses, ports, family=4):
    """`ports`: [(name, protocol, number)]"""
    obj = _object("discovery.k8s.io/v1", "EndpointSlice", f"{service_name}-{family}", where, None,
                  labels={"kubernetes.io/service-name": service_name})
    return {**obj, "addressType": f"IPv{family}",
            "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
            "ports": [_without_none(name=n, protocol=p, port=number) for n, p, number in ports]}
