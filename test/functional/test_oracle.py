"""The reference evaluator itself, held against small tables worked out by hand from the documented semantics."""

import pytest

from policy.generate import Generator
from policy.oracle import FORWARD, NORMAL, PRE_DNAT, UNTRACKED, World, packet
from policy.selector import NAMESPACE, Malformed, parse, parse_label_selector

CRD = "crd.projectcalico.org/v1"
PODS = [(ns, name) for ns in "xyz" for name in "abc"]
IP4 = {pod: f"10.0.{'xyz'.index(pod[0])}.{'abc'.index(pod[1]) + 1}" for pod in PODS}
IP6 = {pod: ip.replace("10.0.", "fd00::").replace(".", ":") for pod, ip in IP4.items()}
SERVED = [("web", "TCP", 80), ("alt", "TCP", 81), ("web-udp", "UDP", 80), ("web-sctp", "SCTP", 80)]


def thing(api, kind, name, ns=None, **rest):
    metadata = {"name": name, **({"namespace": ns} if ns else {}), **rest.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def pod_object(ns, name, ips, **spec):
    ports = [{"name": n, "protocol": p, "containerPort": c} for n, p, c in SERVED]
    return thing("v1", "Pod", name, ns, metadata={"labels": {"pod": name}},
                 spec={"nodeName": "n1", "serviceAccountName": f"sa-{name}",
                       "containers": [{"name": "c", "ports": ports}], **spec},
                 status={"phase": "Running", "podIPs": [{"ip": ip} for ip in ips]})


def base():
    """As cyclonus has it: three namespaces ns=x, y, z; three pods pod=a, b, c in each."""
    found = []
    for ns in "xyz":
        found.append(thing("v1", "Namespace", ns,
                           metadata={"labels": {"ns": ns, "kubernetes.io/metadata.name": ns}}))
        found += [thing("v1", "ServiceAccount", f"sa-{name}", ns, metadata={"labels": {"sa": name}})
                  for name in "abc"]
    return found + [pod_object(*pod, [IP4[pod], IP6[pod]]) for pod in PODS]


def knp(name="p", ns="x", **spec):
    return thing("networking.k8s.io/v1", "NetworkPolicy", name, ns, spec={"podSelector": {}, **spec})


def cnp(tier, priority, subject=None, name=None, **spec):
    return thing("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", name or f"{tier}-{priority}".lower(),
                 spec={"tier": tier, "priority": priority, "subject": subject or {"namespaces": {}}, **spec})


def calico(name="p", ns="x", **spec):
    return thing(CRD, "NetworkPolicy" if ns else "GlobalNetworkPolicy", name, ns, spec=spec)


def tier(name, **spec):
    return thing(CRD, "Tier", name, spec=spec)


def label(key, value):
    return {"matchLabels": {key: value}}


def address(end, ips):
    """Of "namespace/pod"; an address stays what it is."""
    return ips.get(tuple(end.split("/")), end)


def allowed(objects, source, destination, protocol="TCP", port=80, **kwargs):
    """Both families must give the same answer where both ends are pods."""
    world = World(base() + objects)
    answers = {world.verdict(packet(address(source, ips), address(destination, ips), protocol, port, **kwargs))
               .is_allowed for ips in (IP4, IP6)}
    assert len(answers) == 1, "the families differ"
    return answers.pop()


def reach(objects, protocol="TCP", port=80):
    """{destination: the sources that reach it}, as text like "x/a y/b"."""
    world = World(base() + objects)
    return {f"{d[0]}/{d[1]}": " ".join(
        f"{s[0]}/{s[1]}" for s in PODS
        if s != d and world.verdict(packet(IP4[s], IP4[d], protocol, port)).is_allowed) for d in PODS}


def to(objects, destination, protocol="TCP", port=80):
    return reach(objects, protocol, port)[destination]


EVERYBODY_ELSE = "x/b x/c y/a y/b y/c z/a z/b z/c"  # than x/a

# ---- selectors
LABELS = {"a": "1", "b": "two", "x.y/z-w_q": "odd", "empty": ""}
SELECTORS = [
    ("", True), ("  \t", True), ("all()", True), ("!all()", False), ("all( )", True),
    ("a == '1'", True), ("a=='2'", False), ('a == "1"', True), ("a != '1'", False), ("a != '2'", True),
    ("missing == '1'", False), ("missing != '1'", True), ("missing not in {'1'}", True),
    ("missing in {'1'}", False), ("missing contains ''", False), ("missing starts with ''", False),
    ("missing ends with ''", False), ("has(a)", True), ("has( a )", True), ("has(missing)", False),
    ("!has(missing)", True), ("!!has(a)", True), ("! ! ! has(a)", False),
    ("a in {}", False), ("a not in {}", True), ("a in {'0', \"1\"}", True), ("a notin {'1'}", False),
    ("a not  in {'0'}", True), ("b contains 'w'", True), ("b starts with 'tw'", True), ("b startswith 'w'", False),
    ("b ends with 'wo'", True), ("b endswith 'tw'", False), ("x.y/z-w_q == 'odd'", True), ("empty == ''", True),
    # ! binds closer than &&, && closer than ||
    ("has(a) || has(missing) && has(missing)", True), ("(has(a) || has(b)) && has(missing)", False),
    ("!has(missing) && has(a)", True), ("!(has(missing) && has(a))", True), ("!has(a) || has(b)", True),
    ("a == 'it\"s'", False)]
BAD_SELECTORS = ["a", "a ==", "a = '1'", "a == 1", "has(", "has()", "(a == '1'", "a == '1')", "a == '1", "&&",
                 "a == '1' &&", "a in '1'", "a in {'1'", "a in {'1',}", "a in {1}", "!", "a == '1' b == '2'",
                 "global()", "a not '1'", "a == '1' & b == '2'", "has(a b)", "é == '1'", "all"]


@pytest.mark.parametrize("text,expected", SELECTORS)
def test_selector(text, expected):
    assert parse(text)(LABELS) is expected


@pytest.mark.parametrize("text", BAD_SELECTORS)
def test_bad_selector(text):
    with pytest.raises(Malformed):
        parse(text)


def test_selectors_of_namespaces_see_their_own_labels():
    labels = {"pcns.a": "1", "a": "2", "projectcalico.org/namespace": "x"}
    assert parse("a == '1'", "pcns.", NAMESPACE)(labels)
    assert parse("all() && !global()", "pcns.", NAMESPACE)(labels)
    assert parse("global()", "pcns.", NAMESPACE)({})


@pytest.mark.parametrize("selector,expected", [
    ({}, True), (label("a", "1"), True), (label("a", "2"), False),
    *(({"matchExpressions": [{"key": k, "operator": o, **({"values": v} if v else {})}]}, e) for k, o, v, e in (
        ("a", "In", ["1", "2"], True), ("a", "NotIn", ["1"], False), ("no", "NotIn", ["1"], True),
        ("no", "In", ["1"], False), ("a", "Exists", None, True), ("no", "DoesNotExist", None, True),
        ("a", "DoesNotExist", None, False)))])
def test_label_selector(selector, expected):
    assert parse_label_selector(selector)(LABELS) is expected


# ---- networking.k8s.io NetworkPolicy
IN, OUT, BOTH = {"policyTypes": ["Ingress"]}, {"policyTypes": ["Egress"]}, {"policyTypes": ["Ingress", "Egress"]}
ONE = {"podSelector": label("pod", "a")}


@pytest.mark.parametrize("peer,sources", [
    (None, EVERYBODY_ELSE),
    ({"podSelector": {}}, "x/b x/c"),
    ({"podSelector": label("pod", "b")}, "x/b"),
    ({"namespaceSelector": {}}, EVERYBODY_ELSE),
    ({"namespaceSelector": label("ns", "y")}, "y/a y/b y/c"),
    ({"namespaceSelector": label("kubernetes.io/metadata.name", "z")}, "z/a z/b z/c"),
    ({"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "NotIn", "values": ["x"]}]}},
     "y/a y/b y/c z/a z/b z/c"),
    ({"podSelector": label("pod", "b"), "namespaceSelector": {}}, "x/b y/b z/b"),
    ({"podSelector": label("pod", "b"), "namespaceSelector": label("ns", "y")}, "y/b"),
    ({"ipBlock": {"cidr": "10.0.1.0/24"}}, "y/a y/b y/c"),
    ({"ipBlock": {"cidr": "10.0.0.0/16", "except": ["10.0.1.0/24", "10.0.2.1/32"]}}, "x/b x/c z/b z/c"),
    # what is not understood allows nothing
    ({}, ""), ({"ipBlock": {"cidr": "nonsense"}}, ""), ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["x"]}}, ""),
    ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}, "")])
def test_peer(peer, sources):
    rule = {"from": [peer]} if peer is not None else {}
    assert to([knp(**IN, **ONE, ingress=[rule])], "x/a") == sources
    # The mirror image: egress of x/a to those.
    rule = {"to": [peer]} if peer is not None else {}
    found = reach([knp(**OUT, **ONE, egress=[rule])])
    assert " ".join(d for d, reached in found.items() if "x/a" in reached) == sources


@pytest.mark.parametrize("rules,sources", [([], ""), ([{}], EVERYBODY_ELSE), ([{"from": []}], EVERYBODY_ELSE)])
def test_deny_all_and_allow_all(rules, sources):
    assert to([knp(**IN, **ONE, ingress=rules)], "x/a") == sources


@pytest.mark.parametrize("port,reached", [
    ({}, "TCP/80 TCP/81"), ({"protocol": "UDP"}, "UDP/80 UDP/81"), ({"port": 80}, "TCP/80"),
    ({"protocol": "SCTP", "port": 81}, "SCTP/81"), ({"port": 80, "endPort": 81}, "TCP/80 TCP/81"),
    ({"port": "web"}, "TCP/80"), ({"port": "alt"}, "TCP/81"), ({"port": "web-udp", "protocol": "UDP"}, "UDP/80"),
    ({"port": "web-sctp", "protocol": "SCTP"}, "SCTP/80"),
    # pathological: a name of another protocol, one that nobody serves, a number nobody serves
    ({"port": "web-udp"}, ""), ({"port": "nobody"}, ""), ({"port": 7000}, ""),
    # malformed elements allow nothing
    ({"port": 81, "endPort": 80}, ""), ({"port": 70000}, ""), ({"protocol": "BOGUS"}, ""),
    ({"port": "web", "endPort": 90}, ""), ({"endPort": 90}, "")])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_port(port, reached, direction):
    types = IN if direction == "ingress" else OUT
    ends = ("y/b", "x/a") if direction == "ingress" else ("x/a", "y/b")
    objects = [knp(**types, **ONE, **{direction: [{"ports": [port]}]})]
    found = [f"{proto}/{n}" for proto in ("TCP", "UDP", "SCTP") for n in (80, 81)
             if allowed(objects, *ends, proto, n)]
    assert " ".join(found) == reached


def test_malformed_element_leaves_the_others():
    objects = [knp(**IN, **ONE, ingress=[{"ports": [{"port": 70000}, {"port": 81}],
                                          "from": [{}, {"podSelector": {}}]}])]
    assert to(objects, "x/a", port=81) == "x/b x/c"
    assert to(objects, "x/a", port=80) == ""


def test_policies_are_a_union_and_directions_are_independent():
    b, c = ([{"from": [{"podSelector": label("pod", name)}]}] for name in "bc")
    assert to([knp("one", **IN, ingress=b), knp("two", **IN, ingress=c)], "x/a") == "x/b x/c"
    deny_out = knp("out", ns="y", **OUT)
    assert to([knp("in", **IN, ingress=[{}]), deny_out], "x/a") == "x/b x/c z/a z/b z/c"
    assert to([deny_out], "y/a") == "x/a x/b x/c z/a z/b z/c", "its own namespace may not send, others may"
    assert to([knp("in", **IN), knp("all", **OUT, egress=[{}])], "x/a") == ""


@pytest.mark.parametrize("spec,ingress,egress", [
    ({}, False, True), ({"egress": [{"ports": [{"port": 1}]}]}, False, False), ({"policyTypes": ["Egress"]}, True, False),
    ({"policyTypes": ["Ingress"], "egress": [{"ports": [{"port": 1}]}]}, False, True), (BOTH, False, False)])
def test_policy_types(spec, ingress, egress):
    objects = [knp(**ONE, **spec)]
    assert allowed(objects, "y/a", "x/a") is ingress
    assert allowed(objects, "x/a", "y/a") is egress


def test_protocols_without_ports_and_selected_elsewhere():
    objects = [knp(**IN, **ONE, ingress=[{"ports": [{"protocol": "SCTP", "port": 80}]}])]
    assert to(objects, "x/a") == "", "a pod selected by an SCTP policy is isolated for TCP"
    assert to(objects, "x/a", "SCTP") == EVERYBODY_ELSE
    assert to(objects, "y/a") != "" and to([knp(podSelector=label("pod", "none"), **BOTH)], "x/a") == EVERYBODY_ELSE


def test_addresses_outside():
    objects = [knp(**IN, **ONE, ingress=[{"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}])]
    assert allowed(objects, "192.0.2.7", "10.0.0.1") and not allowed(objects, "198.51.100.7", "10.0.0.1")
    assert not allowed([knp(**IN, ingress=[{"from": [{"namespaceSelector": {}}]}])], "192.0.2.7", "10.0.0.1")


# ---- which pods count
@pytest.mark.parametrize("change,counts", [
    ({}, True), ({"spec": {"hostNetwork": True}}, False), ({"spec": {"nodeName": ""}}, False),
    ({"status": {"phase": "Succeeded"}}, False), ({"status": {"phase": "Failed"}}, False),
    ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, True),
    ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z",
                   "annotations": {"cni.projectcalico.org/podIPs": ""}}}, False),
    ({"status": {"podIPs": []}}, False),
    ({"status": {"podIPs": []}, "metadata": {"annotations": {"cni.projectcalico.org/podIP": "10.9.9.9/32"}}}, True)])
def test_pods_that_count(change, counts):
    pod = pod_object("x", "q", ["10.9.9.9"])
    for part, fields in change.items():
        pod[part] |= fields
    objects = [pod, knp(**IN, **ONE, ingress=[{"from": [{"podSelector": label("pod", "q")}]}])]
    pod["metadata"].setdefault("labels", {})["pod"] = "q"
    assert World(base() + objects).verdict(packet("10.9.9.9", "10.0.0.1", "TCP", 80)).is_allowed is counts


def test_a_pod_of_an_unknown_namespace_is_closed():
    verdict = World([*base(), pod_object("w", "a", ["10.9.9.9"])]).verdict(packet("10.0.0.1", "10.9.9.9", "TCP", 80))
    assert not verdict.is_allowed and verdict.ingress.reason == "no profile"


def test_labels_of_a_pod_cannot_pose_as_those_of_its_namespace():
    pod = pod_object("x", "q", ["10.9.9.9"])
    pod["metadata"]["labels"] |= {"pcns.ns": "y", "pcsa.sa": "z", "projectcalico.org/namespace": "y"}
    objects = [pod, calico(ns=None, selector="has(pod)", ingress=[
        {"action": "Allow", "source": {"namespaceSelector": "ns == 'y'"}}])]
    world = World(base() + objects)
    assert not world.verdict(packet("10.9.9.9", IP4["z", "a"], "TCP", 80)).is_allowed
    assert world.verdict(packet(IP4["y", "a"], IP4["z", "a"], "TCP", 80)).is_allowed


def test_only_pods_of_the_node_have_a_say():
    verdict = World([*base(), knp(**BOTH)], node="elsewhere").verdict(packet(IP4["x", "a"], IP4["x", "b"], "TCP", 80))
    assert verdict == (True, None, None)


# ---- projectcalico
def rule(action="Allow", **rest):
    return {"action": action, **rest}


@pytest.mark.parametrize("source,sources", [
    ({}, EVERYBODY_ELSE),
    ({"selector": "pod == 'b'"}, "x/b"),
    ({"selector": "pod != 'b'"}, "x/c"),
    ({"selector": "pod == 'b'", "namespaceSelector": "all()"}, "x/b y/b z/b"),
    ({"namespaceSelector": "ns in {'y', 'z'}"}, "y/a y/b y/c z/a z/b z/c"),
    ({"namespaceSelector": "global()"}, ""),
    ({"notSelector": "pod == 'b'"}, "x/c"),
    ({"notSelector": "pod == 'b'", "namespaceSelector": "ns == 'y'"}, "y/a y/c"),
    ({"serviceAccounts": {"names": ["sa-b"]}}, "x/b"),
    ({"serviceAccounts": {"selector": "sa == 'c'"}, "namespaceSelector": "all()"}, "x/c y/c z/c"),
    ({"serviceAccounts": {"selector": "sa == 'c'", "names": ["sa-b"]}}, ""),
    ({"nets": ["10.0.1.0/24", "10.0.2.2/32"]}, "y/a y/b y/c z/b"),
    ({"nets": ["10.0.0.0/8"], "notNets": ["10.0.1.0/24"]}, "x/b x/c z/a z/b z/c"),
    ({"nets": ["fd00::/16"]}, ""), ({"notNets": ["fd00::/16"]}, ""), ({"notNets": ["0.0.0.0/0"]}, ""),
    ({"nets": ["10.0.1.0/24"], "selector": "pod == 'b'", "namespaceSelector": "has(ns)"}, "y/b")])
def test_calico_source(source, sources):
    assert to([calico(selector="pod == 'a'", ingress=[rule(source=source)])], "x/a") == sources


def test_negated_selectors_differ_for_addresses_outside():
    """!has(x): known and without it; notSelector has(x): also what is unknown. Only in a global policy: in a
    namespaced one both are about its namespace."""
    for ns, source, expected in ((None, {"selector": "!has(no)"}, False), (None, {"notSelector": "has(no)"}, True),
                                 ("x", {"notSelector": "has(no)"}, False)):
        objects = [calico(ns=ns, selector="pod == 'a'", ingress=[rule(source=source)])]
        assert allowed(objects, "192.0.2.7", "10.0.0.1") is expected, source


@pytest.mark.parametrize("spec,ingress,egress", [
    ({}, False, True), ({"ingress": [rule()]}, True, True), ({"egress": [rule("Deny")]}, True, False),
    ({"ingress": [rule()], "egress": [rule("Deny")]}, True, False), ({"types": ["Egress"]}, True, False),
    ({"types": ["Ingress"], "egress": [rule("Deny")]}, False, True), ({"types": ["Ingress", "Egress"]}, False, False)])
def test_calico_types(spec, ingress, egress):
    objects = [calico(selector="pod == 'a'", **spec)]
    assert allowed(objects, "y/a", "x/a") is ingress and allowed(objects, "x/a", "y/a") is egress


TCP = {"protocol": "TCP"}


@pytest.mark.parametrize("match,reached", [
    ({}, "TCP/80 TCP/81 UDP/80 UDP/81 SCTP/80 SCTP/81"), (TCP, "TCP/80 TCP/81"), ({"protocol": 17}, "UDP/80 UDP/81"),
    ({"notProtocol": "TCP"}, "UDP/80 UDP/81 SCTP/80 SCTP/81"), ({"ipVersion": 4} | TCP, "TCP/80 TCP/81"),
    ({"ipVersion": 6}, ""),
    (TCP | {"destination": {"ports": [80]}}, "TCP/80"), (TCP | {"destination": {"ports": ["web", 81]}}, "TCP/80 TCP/81"),
    (TCP | {"destination": {"ports": ["80:90"]}}, "TCP/80 TCP/81"), (TCP | {"destination": {"notPorts": ["web"]}}, "TCP/81"),
    (TCP | {"destination": {"ports": ["web-udp"]}}, ""), (TCP | {"source": {"ports": ["1:1023"]}}, ""),
    (TCP | {"destination": {"ports": ["alt"], "selector": "pod == 'a'"}}, "TCP/81"),
    (TCP | {"destination": {"ports": ["alt"], "selector": "pod == 'b'"}}, ""),
    # malformed rules that allow are left out
    ({"destination": {"ports": [80]}}, ""), ({"protocol": "BOGUS"}, ""), (TCP | {"icmp": {"type": 8}}, ""),
    (TCP | {"destination": {"ports": ["90:80"]}}, ""), ({"source": {"selector": "has("}}, ""),
    ({"source": {"nets": ["10.0.0.0/99"]}}, ""), ({"source": {"notNets": ["x"]}}, ""),
    ({"http": {"methods": ["GET"]}}, ""), ({"destination": {"services": {"name": "s"}}}, "")])
def test_calico_match(match, reached):
    world = World([*base(), calico(selector="pod == 'a'", ingress=[rule(**match)])])
    found = [f"{proto}/{port}" for proto in ("TCP", "UDP", "SCTP") for port in (80, 81)
             if world.verdict(packet("10.0.1.1", "10.0.0.1", proto, port)).is_allowed]
    assert " ".join(found) == reached


@pytest.mark.parametrize("match,reached", [
    ({}, "8/0 3/1 3/3"), ({"icmp": {"type": 8}}, "8/0"), ({"icmp": {"type": 3, "code": 1}}, "3/1"),
    ({"notICMP": {"type": 3, "code": 1}}, "8/0 3/3"), ({"notICMP": {"type": 3}}, "8/0"), ({"icmp": {"code": 1}}, ""),
    ({"icmp": {"type": 255}}, "")])
def test_icmp(match, reached):
    objects = [calico(selector="pod == 'a'", ingress=[rule(protocol="ICMP", **match)])]
    world = World(base() + objects)
    found = [f"{kind}/{code}" for kind, code in ((8, 0), (3, 1), (3, 3))
             if world.verdict(packet("10.0.1.1", "10.0.0.1", "ICMP", icmp=(kind, code))).is_allowed]
    assert " ".join(found) == reached


@pytest.mark.parametrize("action,expected", [("Allow", True), ("Log", True), ("Deny", False), ("Pass", False)])
def test_a_rule_that_is_not_understood_fails_closed(action, expected):
    objects = [calico(selector="pod == 'a'", ingress=[rule(action, source={"selector": "has("}), rule()])]
    assert allowed(objects, "y/a", "x/a") is expected


def test_order_within_a_tier():
    deny, allow = {"ingress": [rule("Deny")]}, {"ingress": [rule()]}
    for first, second, expected in (
            (calico("b", order=1, **deny), calico("a", order=2, **allow), False),
            (calico("b", order=-1.5, **allow), calico("a", order=0, **deny), True),
            (calico("a", **deny), calico("b", order=1e9, **allow), True),
            (calico("a", **deny), calico("b", **allow), False), (calico("b", **deny), calico("a", **allow), True),
            # "p/…" comes after "p-a/…"; a global one has no namespace
            (calico("p", **deny), calico("p-a", **allow), True), (calico("p", **deny), calico("p", None, **allow), True),
            # a Kubernetes NetworkPolicy has order 1000
            (calico("a", order=999, **deny), knp(**IN, ingress=[{}]), False),
            (calico("a", order=1001, **deny), knp(**IN, ingress=[{}]), True)):
        assert allowed([first, second], "y/a", "x/a") is expected, (first, second)
        assert allowed([second, first], "y/a", "x/a") is expected, (second, first)


def test_rules_log_pass_and_first_match():
    assert allowed([calico(ingress=[rule("Log"), rule(), rule("Deny")])], "y/a", "x/a")
    assert not allowed([calico(ingress=[rule("Log")])], "y/a", "x/a"), "a policy of Log alone isolates"
    assert not allowed([calico(ingress=[rule("Deny"), rule()])], "y/a", "x/a")
    assert allowed([calico(ingress=[rule("Pass"), rule("Deny")])], "y/a", "x/a"), "to the profile, which allows"


@pytest.mark.parametrize("tiers,spec,expected", [
    ([tier("t", order=1)], {"tier": "t", "ingress": []}, False),
    ([tier("t", order=1, defaultAction="Pass")], {"tier": "t", "ingress": []}, True),
    ([tier("t", order=1, defaultAction="Other")], {"tier": "t", "ingress": []}, False),
    ([tier("t", order=1)], {"tier": "t", "selector": "has(none)"}, True),
    ([tier("t", order=1)], {"tier": "t", "ingress": [rule("Pass")]}, True),
    ([], {"tier": "none", "ingress": []}, False), ([], {"tier": "none", "ingress": [rule()]}, True),
    ([], {"tier": "kube-admin", "ingress": []}, True), ([], {"tier": "kube-baseline", "ingress": []}, True),
    ([tier("default", order=1, defaultAction="Pass")], {"ingress": []}, False)])
def test_end_of_tier(tiers, spec, expected):
    assert allowed([*tiers, calico(**{"types": ["Ingress"], **spec})], "y/a", "x/a") is expected


def test_order_of_tiers():
    def answer(first, second):
        return allowed([first, second, calico("deny", tier="one", ingress=[rule("Deny")]),
                        calico("allow", tier="two", ingress=[rule()])], "y/a", "x/a")

    assert not answer(tier("one", order=1), tier("two", order=2))
    assert answer(tier("one", order=2), tier("two", order=1))
    assert answer(tier("one"), tier("two", order=5e9)), "without an order it is the last"
    assert not answer(tier("one"), tier("two")), "by name"
    assert answer(tier("other"), tier("two")), "a tier that does not exist comes after all others"


def test_staged_policies_do_nothing():
    for kind, spec in (("StagedNetworkPolicy", {"ingress": [rule("Deny")]}),
                       ("StagedKubernetesNetworkPolicy", {"podSelector": {}, "policyTypes": ["Ingress"]})):
        assert allowed([thing(CRD, kind, "s", "x", spec=spec)], "y/a", "x/a")
    assert allowed([thing(CRD, "StagedGlobalNetworkPolicy", "s", spec={"egress": [rule("Deny")]})], "y/a", "x/a")


def test_global_policies():
    assert to([calico(ns=None, selector="pod == 'a'", namespaceSelector="ns == 'x'", ingress=[])], "x/a") == ""
    assert to([calico(ns=None, selector="pod == 'a'", namespaceSelector="ns == 'y'")], "x/a") == EVERYBODY_ELSE
    assert to([calico(ns=None, serviceAccountSelector="sa == 'a'")], "x/a") == ""
    assert to([calico(ns=None, ingress=[rule(source={"selector": "pod == 'b'"})])], "x/a") == "x/b y/b z/b"
    for switch in ("doNotTrack", "preDNAT"):
        assert to([calico(ns=None, applyOnForward=True, **{switch: True})], "x/a") == EVERYBODY_ELSE, "not for pods"


@pytest.mark.parametrize("switches,rules,expected", [
    ({}, [rule("Deny")], {NORMAL}), ({"applyOnForward": True}, [rule("Deny")], {NORMAL, FORWARD}),
    ({"applyOnForward": True, "doNotTrack": True}, [rule("Deny")], {UNTRACKED}),
    ({"applyOnForward": True, "preDNAT": True}, [rule("Deny")], {PRE_DNAT}),
    # the end of a tier
    ({"applyOnForward": True}, [], {NORMAL, FORWARD}), ({"applyOnForward": True, "doNotTrack": True}, [], set()),
    ({"applyOnForward": True, "preDNAT": True}, [], set()), ({"applyOnForward": True}, [rule("Pass")], set())])
def test_where_host_endpoints_deny(switches, rules, expected):
    host = thing(CRD, "HostEndpoint", "h", spec={"node": "n1", "interfaceName": "eth0",
                                                 "profiles": ["projectcalico-default-allow"]})
    world = World([*base(), host, calico("p", None, types=["Ingress"], ingress=rules, **switches)])
    pkt = packet("192.0.2.7", "10.0.0.1", "TCP", 80)
    uses = (NORMAL, FORWARD, UNTRACKED, PRE_DNAT)
    assert {use for use in uses if not world.decide_host("h", "ingress", use, pkt).is_allowed} == expected
    assert all(world.decide_host("h", "egress", use, pkt).is_allowed for use in uses)


def test_a_host_endpoint_without_policy_or_profile():
    host = thing(CRD, "HostEndpoint", "h", spec={"node": "n1", "interfaceName": "*"})
    objects = [*base(), host, calico("p", None, ingress=[rule("Deny")], applyOnForward=True, doNotTrack=True)]
    pkt = packet("192.0.2.7", "10.0.0.1", "TCP", 80)
    world = World(objects)
    assert not world.decide_host("h", "ingress", NORMAL, pkt).is_allowed
    assert world.decide_host("h", "ingress", FORWARD, pkt).is_allowed
    assert world.decide_host("h", "ingress", UNTRACKED, pkt).is_allowed, "doNotTrack is not for all interfaces"


def test_network_sets():
    def a_set(ns, labels, *nets, **metadata):
        return thing(CRD, "NetworkSet" if ns else "GlobalNetworkSet", "s", ns, spec={"nets": list(nets)},
                     metadata={"labels": labels, **metadata})

    def answer(ns, found, **source):
        return allowed([calico(ns=ns, selector="pod == 'a'", ingress=[rule(source=source)]), found],
                       "192.0.2.7", IP4[ns or "x", "a"])

    everything = a_set(None, {"role": "out"}, "0.0.0.0/0", "bad")
    assert answer(None, everything, selector="role == 'out'")
    assert answer("x", everything, selector="role == 'out'", namespaceSelector="global()")
    assert not answer("x", everything, selector="role == 'out'"), "only the policy's own namespace"
    own = a_set("x", {"role": "out"}, "192.0.2.0/24")
    assert answer("x", own, selector="role == 'out'") and answer("x", own, namespaceSelector="ns == 'x'")
    assert not answer("y", own, selector="role == 'out'")
    assert not answer(None, own, notSelector="role == 'out'")
    kept = a_set(None, {}, "192.0.2.0/24",
                 annotations={"projectcalico.org/metadata": '{"labels": {"role": "kept"}}'})
    assert answer(None, kept, selector="role == 'kept'")
    # Kubernetes' selectors are for pods alone.
    objects = [knp(**IN, ingress=[{"from": [{"namespaceSelector": {}}]}]), own]
    assert not allowed(objects, "192.0.2.7", "10.0.0.1")


def test_services():
    piece = thing("discovery.k8s.io/v1", "EndpointSlice", "s-1", "y",
                  metadata={"labels": {"kubernetes.io/service-name": "s"}}, addressType="IPv4",
                  ports=[{"port": 80, "protocol": "TCP"}, {"name": "no-number"}],
                  endpoints=[{"addresses": [IP4["y", "a"]], "conditions": {"ready": False}}])

    def answer(ns, destination, port=80, **service):
        objects = [calico(ns=ns, selector="pod == 'b'", egress=[rule(destination={"services": service})]), piece]
        return World(base() + objects).verdict(packet(IP4["y", "b"], destination, "TCP", port)).is_allowed

    assert answer("y", IP4["y", "a"], name="s")
    assert not answer("y", IP4["y", "a"], 81, name="s") and not answer("y", IP4["y", "c"], name="s")
    assert not answer("y", IP4["y", "a"], name="s", namespace="x")
    assert answer(None, IP4["y", "a"], name="s", namespace="y")
    assert not answer(None, IP4["y", "a"], name="s"), "a global policy has to name the namespace"
    objects = [calico(selector="pod == 'a'", ingress=[rule(source={"services": {"name": "s", "namespace": "y"}})]), piece]
    assert to(objects, "x/a", port=81) == "y/a", "as a source: addresses alone"


# ---- policy.networking.k8s.io
ANY = {"from": [{"namespaces": {}}]}


def test_cluster_tiers():
    deny = {"ingress": [rule("Deny", **ANY)]}
    accept = {"ingress": [rule("Accept", **ANY)]}
    pass_ = {"ingress": [rule("Pass", **ANY)]}
    isolate = knp(**IN)
    for objects, expected in (
            ([cnp("Admin", 1, **deny), knp(**IN, ingress=[{}])], False),
            ([cnp("Admin", 1, **accept), isolate], True),
            ([cnp("Admin", 1, **pass_), cnp("Admin", 2, **accept), isolate], False),
            ([cnp("Admin", 2, **deny), cnp("Admin", 1, **accept)], True),
            ([cnp("Baseline", 1, **deny)], False),
            ([cnp("Baseline", 1, **deny), knp(**IN, ingress=[{}])], True),
            ([cnp("Baseline", 1, **accept), isolate], False),
            ([cnp("Admin", 1, **pass_), cnp("Baseline", 1, **deny)], False),
            ([cnp("Admin", 1, egress=[rule("Deny", to=[{"namespaces": label("ns", "z")}])])], True),
            ([cnp("Admin", 1, subject={"namespaces": label("ns", "y")}, **deny)], True),
            ([cnp("Admin", 1, subject={"pods": {"podSelector": label("pod", "a"), "namespaceSelector": {}}}, **deny)],
             False)):
        assert allowed(objects, "y/b", "x/a") is expected, objects


@pytest.mark.parametrize("peer,reached", [
    ({"namespaces": label("ns", "y")}, "y/a y/b y/c"),
    ({"pods": {"podSelector": label("pod", "b"), "namespaceSelector": {}}}, "x/b y/b z/b"),
    ({"networks": ["10.0.1.0/24", "fd00::/16"]}, "y/a y/b y/c"),
    # Pods are no nodes, whatever their labels are.
    ({"nodes": {}}, ""), ({"nodes": {"matchExpressions": [{"key": "pod", "operator": "DoesNotExist"}]}}, ""),
    ({}, EVERYBODY_ELSE), ({"domainNames": ["example.org"]}, EVERYBODY_ELSE), ({"nodes": []}, EVERYBODY_ELSE)])
def test_cluster_peer(peer, reached):
    """What a Deny takes away; one that is not understood takes all."""
    found = reach([cnp("Admin", 1, subject={"pods": {"podSelector": label("pod", "a"),
                                                     "namespaceSelector": label("ns", "x")}},
                       egress=[rule("Deny", to=[peer])])])
    assert " ".join(d for d, sources in found.items() if d != "x/a" and "x/a" not in sources) == reached


NODES = [thing("v1", "Node", name, metadata={"labels": labels, "annotations": annotations}, status={
    "addresses": [{"type": kind, "address": ip} for kind, ip in addresses]}) for name, labels, annotations, addresses in (
        ("n1", {"role": "db", "pod": "b"}, {"projectcalico.org/IPv4Address": "192.0.2.1/24"},
         [("InternalIP", "192.0.2.11"), ("ExternalIP", "192.0.2.21"), ("InternalIP", "2001:db8::1"), ("Hostname", "192.0.2.31")]),
        ("n2", {"role": "web"}, {}, [("InternalIP", "192.0.2.2")]))]


@pytest.mark.parametrize("peer,reached", [
    ({"nodes": {}}, "1 2 11 21 2001:db8::1"), ({"nodes": label("role", "db")}, "1 11 21 2001:db8::1"),
    ({"nodes": {"matchExpressions": [{"key": "pod", "operator": "DoesNotExist"}]}}, "2"),
    ({"nodes": label("role", "none")}, ""), ({"pods": {"podSelector": label("pod", "b"), "namespaceSelector": {}}}, "")])
def test_node_peers(peer, reached):
    world = World(base() + NODES + [cnp("Admin", 1, egress=[rule("Deny", to=[peer])])])
    found = [ip for ip in ("1", "2", "11", "21", "31", "2001:db8::1") if not world.verdict(
        packet(*((IP6["x", "a"], ip) if ":" in ip else (IP4["x", "a"], f"192.0.2.{ip}")), "TCP", 80)).is_allowed]
    assert " ".join(found) == reached


def test_nodes_have_no_named_ports_and_are_nobodys_source():
    named = {"protocols": [{"destinationNamedPort": "web"}]}
    for spec, expected in (({"egress": [rule("Accept", to=[{"nodes": {}}], **named), rule("Deny", to=[{"nodes": {}}])]}, False),
                           ({"egress": [rule("Deny", to=[{"nodes": {}}], **named)]}, False),
                           ({"ingress": [rule("Accept", **{"from": [{"nodes": {}}]})]}, True)):
        world = World(base() + NODES + [cnp("Admin", 1, **spec)])
        assert world.verdict(packet(IP4["x", "a"], "192.0.2.1", "TCP", 80)).is_allowed is expected, spec
    closed = World(base() + NODES + [cnp("Admin", 1, ingress=[rule("Deny", **{"from": [{"nodes": label("role", "none")}]})])])
    assert not closed.verdict(packet("192.0.2.1", IP4["x", "a"], "TCP", 80)).is_allowed


@pytest.mark.parametrize("protocol,reached", [
    ({"tcp": {"destinationPort": {"number": 80}}}, "TCP/80"),
    ({"udp": {"destinationPort": {"range": {"start": 80, "end": 90}}}}, "UDP/80 UDP/81"),
    ({"destinationNamedPort": "web"}, "TCP/80"), ({"destinationNamedPort": "web-sctp"}, "SCTP/80"),
    ({}, ""), ({"icmp": {}}, ""), ({"tcp": {"destinationPort": {"number": 0}}}, ""),
    ({"tcp": {"destinationPort": {"range": {"start": 90, "end": 80}}}}, "")])
def test_cluster_protocol(protocol, reached):
    objects = [cnp("Admin", 1, ingress=[rule("Accept", **ANY, protocols=[protocol])]), knp(**IN)]
    found = [f"{proto}/{port}" for proto in ("TCP", "UDP", "SCTP") for port in (80, 81)
             if allowed(objects, "y/a", "x/a", proto, port)]
    assert " ".join(found) == reached


# ---- the generator
def test_the_same_seed_makes_the_same_case():
    assert Generator(7).case().objects == Generator(7).case().objects
    assert Generator(7).case().packets() == Generator(7).case().packets()
    assert Generator(7).case().objects != Generator(8).case().objects


def test_cases_are_about_something():
    """About half of the verdicts deny, for every reason there is."""
    allow = deny = 0
    reasons = set()
    for seed in range(40):
        case = Generator(seed).case()
        world = World(case.objects)
        for pkt in case.pod_packets():
            verdict = world.verdict(pkt)
            allow, deny = allow + verdict.is_allowed, deny + (not verdict.is_allowed)
            reasons |= {(d.is_allowed, d.reason) for d in (verdict.egress, verdict.ingress)}
    assert 0.35 < deny / (allow + deny) < 0.65
    assert reasons == {(True, "rule"), (False, "rule"), (False, "tier"), (True, "profile")}
