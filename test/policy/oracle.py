"""The reference: what a packet's verdict has to be, from the meaning of the objects alone.

Written from the semantics of Kubernetes' and Calico's policy (their API documentation and the project's notes on
them), as plainly as possible and without knowledge of how felix calculates: no sets, no sharing, no increments.
Tests hold felix's evaluator and real packets against it.

    world = World(objects)              # Kubernetes and Calico objects as dicts
    world.verdict(packet("10.0.0.1", "10.0.0.2", "TCP", 80)).is_allowed
"""

import functools
import ipaddress
import math
import re
from collections import namedtuple

from .cluster import Cluster, kind_of
from .rules import PROTOCOLS, Rule, calico_rules, closed, cluster_rules, kubernetes_rules
from .selector import NAMESPACE, SERVICE_ACCOUNT, Malformed, everything, parse, parse_label_selector

INGRESS, EGRESS = "ingress", "egress"
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
# Where policy is looked at: pods and the host's own traffic; what a host endpoint forwards; before connections are
# tracked; before DNAT. All but the first are for host endpoints.
NORMAL, FORWARD, UNTRACKED, PRE_DNAT = USES = ("normal", "forward", "untracked", "pre-dnat")
BUILTIN_TIERS = {"kube-admin": (1_000.0, "Pass"), "default": (1_000_000.0, "Deny"),
                 "kube-baseline": (10_000_000.0, "Pass")}

Packet = namedtuple("Packet", "source destination protocol source_port destination_port icmp_type icmp_code")
# reason: "rule", "tier" (its default action), "profile", "no profile", "nothing" (and this use does not deny then);
# rule: which element of the policy's list
Decision = namedtuple("Decision", "is_allowed reason policy rule")
# egress and ingress are None where that end is no pod of the node that is asked about
Verdict = namedtuple("Verdict", "is_allowed egress ingress")


address = functools.lru_cache(maxsize=10_000)(ipaddress.ip_address)


def packet(source, destination, protocol, port=0, source_port=40000, icmp=(0, 0)):
    """Addresses as text, the protocol by name or number."""
    return Packet(address(source), address(destination),
                  PROTOCOLS.get(protocol, protocol), source_port, port, *icmp)


class Policy:
    """One enforced policy: where it stands, what it applies to, its rules per direction (absent: the policy has
    nothing to say in that direction)."""

    def __init__(self, obj, kind):
        self.kind = kind
        self.ns = obj["metadata"].get("namespace")
        self.name = obj["metadata"]["name"]
        self.tier, self.order = "default", math.inf
        self.applies_to = None
        self.uses = {NORMAL}
        self.rules = {}

    @property
    def key(self):
        return f"{self.kind} {self.ns + '/' if self.ns else ''}{self.name}"

    @property
    def sort_key(self):
        kind = self.kind.removeprefix("Calico")
        return self.order, f"{self.name}/{self.ns or ''}/{kind}"


def _types(given, fallback):
    """A word that is not understood means both."""
    if not given:
        return fallback
    if not set(given) <= {"Ingress", "Egress"}:
        return [INGRESS, EGRESS]
    return [{"Ingress": INGRESS, "Egress": EGRESS}[name] for name in given]


def _number(value, low=-math.inf, high=math.inf):
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        raise Malformed(f"not a number from {low} to {high}: {value!r}")
    return float(value)


def _is_set(spec, switch):
    value = spec.get(switch)
    if value not in (None, True, False):
        raise Malformed(f"{switch} {value!r}")
    return bool(value)


def _kubernetes(obj, cluster):
    spec, policy = obj["spec"], Policy(obj, "NetworkPolicy")
    policy.order = 1000.0
    try:
        selects = parse_label_selector(spec.get("podSelector") or {})
        is_closed = False
    except Malformed:
        selects, is_closed = everything, True  # for its whole namespace, and nothing is allowed
    policy.applies_to = lambda item: item.is_pod and item.ns == policy.ns and selects(item.labels)
    # What the API's server fills in where policyTypes are missing.
    default = [INGRESS, EGRESS] if spec.get("egress") else [INGRESS]
    for direction in _types(spec.get("policyTypes"), default):
        entries = spec.get(direction) or []
        if is_closed or not isinstance(entries, list):
            entries = []
        policy.rules[direction] = kubernetes_rules(entries, direction, policy.ns, cluster)
    return policy


def _calico_rules_of(spec, direction, policy, is_closed, cluster):
    entries = spec.get(direction) or []
    if not isinstance(entries, list):
        return [Rule("Deny", [])]
    rules = calico_rules(entries, direction, policy.ns, cluster)
    return closed(rules) if is_closed else rules


def _calico_selectors(spec, is_global):
    parts = [parse(spec.get("selector"))]
    if spec.get("serviceAccountSelector"):
        parts.append(parse(spec["serviceAccountSelector"], "pcsa.", SERVICE_ACCOUNT))
    if is_global and spec.get("namespaceSelector"):
        parts.append(parse(spec["namespaceSelector"], "pcns.", NAMESPACE))
    return parts


def _calico_uses(spec, policy):
    untracked, pre_dnat, forward = (_is_set(spec, switch) for switch in ("doNotTrack", "preDNAT", "applyOnForward"))
    if untracked and pre_dnat:
        raise Malformed("doNotTrack and preDNAT")
    if untracked or pre_dnat:
        policy.uses = {UNTRACKED if untracked else PRE_DNAT}
    elif forward:
        policy.uses = {NORMAL, FORWARD}


def _calico(obj, cluster):
    spec, policy = obj["spec"], Policy(obj, kind_of(obj))
    policy.tier = spec.get("tier") or "default"
    if not OBJECT_NAME.fullmatch(policy.tier):
        raise Malformed(f"tier {policy.tier!r}")
    if spec.get("order") is not None:
        policy.order = _number(spec["order"])
    is_global, is_closed = policy.ns is None, False
    if is_global:
        _calico_uses(spec, policy)
    try:
        parts = _calico_selectors(spec, is_global)
    except Malformed:
        if is_global:
            raise
        parts, is_closed = [], True
    policy.applies_to = lambda item: ((is_global or item.ns == policy.ns)
                                      and all(part(item.labels) for part in parts))
    with_rules = [direction for direction in (INGRESS, EGRESS) if spec.get(direction)]
    directions = _types(spec.get("types"), with_rules or [INGRESS])
    if PRE_DNAT in policy.uses and EGRESS in directions:
        directions = [INGRESS]  # before DNAT nothing leaves
    for direction in directions:
        policy.rules[direction] = _calico_rules_of(spec, direction, policy, is_closed, cluster)
    return policy


def _cluster(obj, cluster):
    spec, policy = obj["spec"], Policy(obj, "ClusterNetworkPolicy")
    policy.tier = {"Admin": "kube-admin", "Baseline": "kube-baseline"}.get(spec.get("tier"))
    if policy.tier is None:
        raise Malformed(f"tier {spec.get('tier')!r}")
    policy.order = _number(spec.get("priority"), 0, 1000)
    subject = spec.get("subject") or {}
    if set(subject) == {"namespaces"}:
        in_ns, selects = parse_label_selector(subject["namespaces"], "pcns."), parse_label_selector({})
    elif set(subject) == {"pods"}:
        in_ns = parse_label_selector(subject["pods"].get("namespaceSelector") or {}, "pcns.")
        selects = parse_label_selector(subject["pods"].get("podSelector") or {})
    else:
        raise Malformed(f"subject {subject}")
    policy.applies_to = lambda item: item.is_pod and in_ns(item.labels) and selects(item.labels)
    for direction in (INGRESS, EGRESS):
        if spec.get(direction):
            policy.rules[direction] = cluster_rules(spec[direction], direction, cluster)
    return policy


READERS = {"NetworkPolicy": _kubernetes, "CalicoNetworkPolicy": _calico, "GlobalNetworkPolicy": _calico,
           "ClusterNetworkPolicy": _cluster}


class World:
    """A cluster and its policies. `node`: only its pods' verdicts are known; None: all pods'."""

    def __init__(self, objects, node=None):
        self.node = node
        self.cluster = Cluster(objects)
        self.issues = self.cluster.issues
        self.policies, self.tiers, self._tiers_of = [], dict(BUILTIN_TIERS), {}
        for obj in objects:
            kind = kind_of(obj)
            try:
                if kind == "Tier":
                    self._add_tier(obj)
                elif kind in READERS:
                    self.policies.append(READERS[kind](obj, self.cluster))
            except Malformed as error:
                self.issues.append(f"{kind} {obj['metadata']['name']}: {error}")

    def _add_tier(self, obj):
        name, spec = obj["metadata"]["name"], obj.get("spec") or {}
        if name not in BUILTIN_TIERS:
            order = spec.get("order")
            self.tiers[name] = (math.inf if order is None else float(order),
                                "Pass" if spec.get("defaultAction") == "Pass" else "Deny")

    def tiers_of(self, item, direction, use):
        """[(default action, [policies])] that apply, in order. Tiers that do not exist come last and deny."""
        key = item.key, direction, use
        if key not in self._tiers_of:
            found = {}
            for policy in self.policies:
                if use in policy.uses and direction in policy.rules and policy.applies_to(item):
                    found.setdefault(policy.tier, []).append(policy)
            order = lambda name: (name not in self.tiers, self.tiers.get(name, (math.inf,))[0], name)
            self._tiers_of[key] = [(self.tiers.get(name, (0, "Deny"))[1],
                                    sorted(found[name], key=lambda policy: policy.sort_key))
                                   for name in sorted(found, key=order)]
        return self._tiers_of[key]

    def decide(self, item, direction, pkt, use=NORMAL):
        """The decision of one end's policies in one direction."""
        for default, policies in self.tiers_of(item, direction, use):
            action, policy, number = self._walk(policies, direction, pkt)
            if action in ("Allow", "Deny"):
                return Decision(action == "Allow", "rule", policy.key, number)
            if action is None and default == "Deny" and use in (NORMAL, FORWARD):
                return Decision(False, "tier", None, None)
        if use != NORMAL:
            return Decision(True, "nothing", None, None)
        if item.is_profile_allow:
            return Decision(True, "profile", None, None)
        return Decision(False, "no profile", None, None)

    def decide_host(self, name, direction, use, pkt):
        """The decision of a host endpoint's policies. Those that do not track are not for `*`."""
        host = self.cluster.hosts[name]
        if use == UNTRACKED and host.is_any_interface:
            return Decision(True, "nothing", None, None)
        return self.decide(host, direction, pkt, use)

    @staticmethod
    def _walk(policies, direction, pkt):
        for policy in policies:
            for rule in policy.rules[direction]:
                if rule.action != "Log" and rule.matches(pkt):
                    return rule.action, policy, rule.number
        return None, None, None

    def verdict(self, pkt):
        """What becomes of a connection whose first packet, after DNAT, is this one. An end that is no pod (of
        this node) has no say."""
        source, destination = (self._local_pod(ip) for ip in (pkt.source, pkt.destination))
        egress = self.decide(source, EGRESS, pkt) if source else None
        ingress = self.decide(destination, INGRESS, pkt) if destination else None
        return Verdict(all(d is None or d.is_allowed for d in (egress, ingress)), egress, ingress)

    def _local_pod(self, ip):
        pod = self.cluster.pod_of(ip)
        return pod if pod and (self.node is None or pod.node == self.node) else None
