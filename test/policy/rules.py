"""Rules of the three kinds of policy as the reference evaluator understands them: an action and conditions a
packet has to meet.

What is not understood never opens. A rule that would allow (or log) is left out; one that denies or passes
denies everything. In a Kubernetes NetworkPolicy, whose rules are lists of alternatives that allow, only the
alternative is left out.
"""

from .cluster import parse_net
from .selector import NAMESPACE, Malformed, parse, parse_label_selector

PROTOCOLS = {"ICMP": 1, "TCP": 6, "UDP": 17, "ICMPv6": 58, "SCTP": 132, "UDPLite": 136}
NAMES = {number: name for name, number in PROTOCOLS.items()}
WITH_PORTS = (6, 17, 132)


class Rule:
    """`conditions` are functions of a packet; all have to hold. `number`: which element of the list it was written
    as."""

    def __init__(self, action, conditions, number=0):
        self.action, self.conditions, self.number = action, conditions, number

    def matches(self, pkt):
        return all(condition(pkt) for condition in self.conditions)


class Addresses:
    """Those of all items that a predicate over labels selects, as a test that remembers its answers."""

    def __init__(self, items, predicate, pods_only=False):
        self.items = [item for item in items if (item.is_pod or not pods_only) and predicate(item.labels)]
        self.answers = {}

    def __contains__(self, ip):
        if ip not in self.answers:
            self.answers[ip] = any(item.covers(ip) for item in self.items)
        return self.answers[ip]

    def serve(self, ip, name, protocol, port):
        """Whether one of them has this address and a port of that name, protocol and number."""
        return any((name, protocol, port) in item.ports and item.covers(ip) for item in self.items)


class Nets:
    """Prefixes, as a test that remembers its answers."""

    def __init__(self, texts):
        if not isinstance(texts, list):
            raise Malformed(f"not a list of prefixes: {texts!r}")
        self.nets = [parse_net(text) for text in texts]
        self.answers = {}

    def has_family(self, ip):
        return any(net.version == ip.version for net in self.nets)

    def __contains__(self, ip):
        if ip not in self.answers:
            self.answers[ip] = any(net.version == ip.version and ip in net for net in self.nets)
        return self.answers[ip]


def end_of(side):
    """How to get a packet's address and port of one side."""
    if side == "source":
        return (lambda pkt: pkt.source), (lambda pkt: pkt.source_port)
    return (lambda pkt: pkt.destination), (lambda pkt: pkt.destination_port)


def peer_side(direction):
    return "source" if direction == "ingress" else "destination"


def fail_closed(action, number=0):
    """The rule instead of one that is not understood."""
    return [] if action in ("Allow", "Log") else [Rule("Deny", [], number)]


def closed(rules):
    """What is left of the rules of a policy for whom nobody knows: none that allows, and where it would pass it
    denies."""
    return [Rule("Log" if rule.action == "Log" else "Deny", rule.conditions, rule.number)
            for rule in rules if rule.action != "Allow"]


def know(entry, *fields):
    """Nobody knows what a member of a later version means."""
    if not isinstance(entry, dict):
        raise Malformed(f"not an object: {entry!r}")
    if unknown := {name for name, value in entry.items() if value is not None} - set(fields):
        raise Malformed(f"members {unknown}")


def protocol_number(value):
    if isinstance(value, str) and value in PROTOCOLS:
        return PROTOCOLS[value]
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 255:
        return value
    raise Malformed(f"protocol {value!r}")


def port_number(value):
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    raise Malformed(f"port {value!r}")


# ---- networking.k8s.io NetworkPolicy
def _kubernetes_port(entry, everyone):
    """Protocol and port, as one condition."""
    know(entry, "protocol", "port", "endPort")
    number = protocol_number(entry.get("protocol") or "TCP")
    if number not in WITH_PORTS:
        raise Malformed(f"protocol {entry['protocol']!r}")
    port, last = entry.get("port"), entry.get("endPort")
    if port is None:
        if last is not None:
            raise Malformed("endPort without port")
        return lambda pkt: pkt.protocol == number
    if isinstance(port, str):
        if last is not None or not port:
            raise Malformed(f"port {port!r}, endPort {last!r}")
        return lambda pkt: (pkt.protocol == number
                            and everyone.serve(pkt.destination, port, NAMES[number], pkt.destination_port))
    first, last = port_number(port), port_number(port if last is None else last)
    if last < first:
        raise Malformed(f"endPort {last} below port {first}")
    return lambda pkt: pkt.protocol == number and first <= pkt.destination_port <= last


def _kubernetes_peer(entry, side, ns, cluster):
    address, _ = end_of(side)
    if not isinstance(entry, dict) or not entry:
        raise Malformed("a peer without any field")
    know(entry, "ipBlock", "podSelector", "namespaceSelector")
    if "ipBlock" in entry:
        know(entry["ipBlock"], "cidr", "except")
        if len(entry) > 1:
            raise Malformed("ipBlock beside selectors")
        block, holes = Nets([entry["ipBlock"].get("cidr")]), Nets(entry["ipBlock"].get("except") or [])
        return lambda pkt: address(pkt) in block and address(pkt) not in holes
    pods = parse_label_selector(entry.get("podSelector") or {})
    if "namespaceSelector" in entry:
        spaces = parse_label_selector(entry["namespaceSelector"], "pcns.")
    else:
        spaces = lambda labels: labels["projectcalico.org/namespace"] == ns
    found = Addresses(cluster.items, lambda labels: spaces(labels) and pods(labels), pods_only=True)
    return lambda pkt: address(pkt) in found


def _alternatives(entries, read):
    """Any of them; those that are not understood are none. No entries: no condition."""
    if not entries:
        return []
    found = []
    for entry in entries:
        try:
            found.append(read(entry))
        except Malformed:
            pass
    return [lambda pkt: any(one(pkt) for one in found)]


def kubernetes_rules(entries, direction, ns, cluster):
    everyone = Addresses(cluster.items, lambda labels: True)
    side, word = peer_side(direction), "from" if direction == "ingress" else "to"
    found = []
    for number, entry in enumerate(entries):
        try:
            know(entry, word, "ports")
        except Malformed:
            continue
        found.append(Rule("Allow", _alternatives(entry.get(word),
                                                 lambda peer: _kubernetes_peer(peer, side, ns, cluster))
                          + _alternatives(entry.get("ports"), lambda port: _kubernetes_port(port, everyone)), number))
    return found


# ---- projectcalico NetworkPolicy and GlobalNetworkPolicy
def _selectors(entity, ns):
    """(the positive predicate or None, the negative one or None) of one side."""
    accounts = entity.get("serviceAccounts") or {}
    positive = []
    if entity.get("namespaceSelector"):
        positive.append(parse(entity["namespaceSelector"], "pcns.", NAMESPACE))
    elif ns and (entity.get("selector") or entity.get("notSelector") or accounts):
        positive.append(lambda labels: labels.get("projectcalico.org/namespace") == ns)
    if entity.get("selector"):
        positive.append(parse(entity["selector"]))
    if accounts.get("names"):
        names = set(accounts["names"])
        positive.append(lambda labels: labels.get("projectcalico.org/serviceaccount") in names)
    if accounts.get("selector"):
        positive.append(parse(accounts["selector"], "pcsa."))
    negative = parse(entity["notSelector"]) if entity.get("notSelector") else None
    if not positive:
        return None, negative
    if negative:
        positive.append(lambda labels: not negative(labels))
    return (lambda labels: all(part(labels) for part in positive)), None


def _calico_port(value, served, side, protocol):
    """One entry of ports or notPorts."""
    address, port_of = end_of(side)
    if isinstance(value, str) and ":" in value:
        first, _, last = value.partition(":")
        if not (first.isdigit() and last.isdigit()) or int(last) < int(first) or int(last) > 65535:
            raise Malformed(f"ports {value!r}")
        return lambda pkt: int(first) <= port_of(pkt) <= int(last)
    if isinstance(value, str) and not value.isdigit():
        if not value:
            raise Malformed("a port without a name")
        return lambda pkt: served.serve(address(pkt), value, NAMES[protocol], port_of(pkt))
    number = port_number(int(value) if isinstance(value, str) else value)
    return lambda pkt: port_of(pkt) == number


def _service(entity, side, direction, ns, cluster):
    service = entity["services"]
    where = service.get("namespace") or ns
    if side != peer_side(direction) or not service.get("name") or not where:
        raise Malformed(f"services in {side} of {direction}: {service}")
    others = {"nets", "notNets", "selector", "notSelector", "namespaceSelector", "serviceAccounts"}
    if side == "destination":
        others |= {"ports", "notPorts"}
    if any(entity.get(name) for name in others):
        raise Malformed("services beside other fields")
    with_ports, alone = cluster.addresses_of_service(where, service["name"])
    if side == "source":
        return lambda pkt: pkt.source in alone
    return lambda pkt: (pkt.destination, NAMES.get(pkt.protocol), pkt.destination_port) in with_ports


def _nets(entity, address):
    conditions = []
    if entity.get("nets"):
        nets = Nets(entity["nets"])
        conditions.append(lambda pkt: address(pkt) in nets)
    if entity.get("notNets"):
        # Prefixes of the other family only: the rule is not for this one.
        not_nets = Nets(entity["notNets"])
        conditions.append(lambda pkt: not_nets.has_family(address(pkt)) and address(pkt) not in not_nets)
    return conditions


def _entity(entity, side, direction, ns, cluster, protocol):
    """Conditions of a rule's source or destination."""
    know(entity, "nets", "notNets", "selector", "notSelector", "namespaceSelector", "serviceAccounts", "services", "ports",
         "notPorts")
    know(entity.get("serviceAccounts") or {}, "names", "selector")
    know(entity.get("services") or {}, "name", "namespace")
    address, _ = end_of(side)
    conditions = _nets(entity, address)
    positive, negative = _selectors(entity, ns)
    served = Addresses(cluster.items, positive or (lambda labels: True))
    if positive:
        conditions.append(lambda pkt: address(pkt) in served)
    if negative:
        found = Addresses(cluster.items, negative)
        conditions.append(lambda pkt: address(pkt) not in found)
    if entity.get("services"):
        conditions.append(_service(entity, side, direction, ns, cluster))
    for field in ("ports", "notPorts"):
        if not entity.get(field):
            continue
        if protocol not in WITH_PORTS:
            raise Malformed(f"{side}.{field} without protocol TCP, UDP or SCTP")
        ports = [_calico_port(value, served, side, protocol) for value in entity[field]]
        wanted = field == "ports"
        conditions.append(lambda pkt, ports=ports, wanted=wanted: any(p(pkt) for p in ports) == wanted)
    return conditions


def _icmp(fields, protocol):
    if protocol not in (PROTOCOLS["ICMP"], PROTOCOLS["ICMPv6"]):
        raise Malformed("icmp without protocol ICMP or ICMPv6")
    know(fields, "type", "code")
    kind, code = fields.get("type"), fields.get("code")
    if kind is None and code is not None:
        raise Malformed("an ICMP code without type")
    if (kind is not None and not 0 <= kind <= 254) or (code is not None and not 0 <= code <= 255):
        raise Malformed(f"icmp {fields}")
    return lambda pkt: kind in (None, pkt.icmp_type) and code in (None, pkt.icmp_code)


def _calico_conditions(rule, direction, ns, cluster):
    conditions, protocol, version = [], None, rule.get("ipVersion")
    know(rule, "action", "ipVersion", "protocol", "notProtocol", "icmp", "notICMP", "source", "destination", "metadata")
    if version is not None:
        if version not in (4, 6):
            raise Malformed(f"ipVersion {version!r}")
        conditions.append(lambda pkt: pkt.source.version == version)
    if rule.get("protocol") is not None:
        protocol = protocol_number(rule["protocol"])
        conditions.append(lambda pkt: pkt.protocol == protocol)
    if rule.get("notProtocol") is not None:
        other = protocol_number(rule["notProtocol"])
        conditions.append(lambda pkt: pkt.protocol != other)
    if (version, protocol) in ((6, PROTOCOLS["ICMP"]), (4, PROTOCOLS["ICMPv6"])):
        raise Malformed("the ICMP of the other family")
    if rule.get("icmp"):
        conditions.append(_icmp(rule["icmp"], protocol))
    if rule.get("notICMP"):
        unwanted = _icmp(rule["notICMP"], protocol)
        conditions.append(lambda pkt: not unwanted(pkt))
    for side in ("source", "destination"):
        conditions += _entity(rule.get(side) or {}, side, direction, ns, cluster, protocol)
    return conditions


def calico_rules(entries, direction, ns, cluster):
    found = []
    for number, entry in enumerate(entries):
        action = str(entry.get("action")).capitalize()
        try:
            if action not in ("Allow", "Deny", "Log", "Pass"):
                raise Malformed(f"action {action!r}")
            found.append(Rule(action, _calico_conditions(entry, direction, ns, cluster), number))
        except Malformed:
            found += fail_closed(action, number)
    return found


# ---- policy.networking.k8s.io ClusterNetworkPolicy
def _cluster_peer(entry, side, cluster):
    address, _ = end_of(side)
    if not isinstance(entry, dict) or len(entry) != 1:
        raise Malformed(f"a peer has one field: {entry!r}")
    ((field, value),) = entry.items()
    if field == "networks" and side == "destination" and value:
        nets = Nets(value)
        return lambda pkt: address(pkt) in nets
    if field == "nodes" and side == "destination":
        selected = Addresses(cluster.nodes, parse_label_selector(value))
        return lambda pkt: address(pkt) in selected
    if field == "namespaces":
        spaces, pods = parse_label_selector(value, "pcns."), lambda labels: True
    elif field == "pods":
        spaces = parse_label_selector(value.get("namespaceSelector") or {}, "pcns.")
        pods = parse_label_selector(value.get("podSelector") or {})
    else:
        raise Malformed(f"peer {field}")
    found = Addresses(cluster.items, lambda labels: spaces(labels) and pods(labels), pods_only=True)
    return lambda pkt: address(pkt) in found


def _cluster_protocol(entry, everyone):
    if not isinstance(entry, dict) or len(entry) != 1:
        raise Malformed(f"a protocol has one field: {entry!r}")
    ((field, value),) = entry.items()
    if field == "destinationNamedPort":
        return lambda pkt: (pkt.protocol in WITH_PORTS and everyone.serve(
            pkt.destination, value, NAMES[pkt.protocol], pkt.destination_port))
    if field not in ("tcp", "udp", "sctp") or not isinstance(value, dict) or set(value) != {"destinationPort"}:
        raise Malformed(f"protocol {entry!r}")
    number, port = PROTOCOLS[field.upper()], value["destinationPort"]
    if set(port) == {"number"}:
        first = last = port_number(port["number"])
    elif set(port) == {"range"}:
        first, last = port_number(port["range"].get("start")), port_number(port["range"].get("end"))
        if first > last:
            raise Malformed(f"range {first}-{last}")
    else:
        raise Malformed(f"destinationPort {port!r}")
    return lambda pkt: pkt.protocol == number and first <= pkt.destination_port <= last


def cluster_rules(entries, direction, cluster):
    found = []
    everyone = Addresses(cluster.items, lambda labels: True)
    side, word = peer_side(direction), "from" if direction == "ingress" else "to"
    for number, entry in enumerate(entries):
        action = {"Accept": "Allow", "Pass": "Pass"}.get(entry.get("action"), "Deny")
        try:
            if entry.get("action") not in ("Accept", "Deny", "Pass"):
                raise Malformed(f"action {entry.get('action')!r}")
            know(entry, "name", "action", word, "protocols")
            peers = [_cluster_peer(peer, side, cluster) for peer in entry.get(word) or []]
            ports = [_cluster_protocol(port, everyone) for port in entry.get("protocols") or []]
            if not peers:
                raise Malformed(f"no {word}")
            if (any("networks" in peer or "nodes" in peer for peer in entry[word])
                    and any("destinationNamedPort" in port for port in entry.get("protocols") or [])):
                raise Malformed("networks and nodes have no named ports")  # so says the API
        except Malformed:
            found += fail_closed(action, number)
            continue
        conditions = [lambda pkt, peers=peers: any(peer(pkt) for peer in peers)]
        if ports:
            conditions.append(lambda pkt, ports=ports: any(port(pkt) for port in ports))
        found.append(Rule(action, conditions, number))
    return found
