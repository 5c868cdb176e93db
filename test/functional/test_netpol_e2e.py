"""The 48 scenarios of the Kubernetes network policy e2e suite, with packets of three protocols in both families
between all nine pods. Numbers as in docs/PARITY.md."""

from policy.objects import ALL, egress, expression, ingress, labels, network_policy, peer, port
from policy.prober import PORTS, PROTOCOLS
from policy.tables import Table


def only_to_x_a(source, **what):
    """Everything is open, but x/a is reached by `source` alone."""
    return Table().isolate("x/a").allow(source, "x/a", **what)


def cidrs(world, *keys):
    """One ipBlock for every address of the pods."""
    return [peer(cidr=f"{ip}/{128 if ':' in ip else 32}") for key in keys for ip in world.pod(key).ips]


def pool(world, *excepts):
    """ipBlocks for all pods of node n1, in both families, without some pods."""
    node = world.node("n1")
    out = [world.pod(key) for key in excepts]
    return [peer(cidr=node.pod_cidr4, excepts=[f"{p.ip(4)}/32" for p in out] or None),
            peer(cidr=node.pod_cidr6, excepts=[f"{p.ip(6)}/128" for p in out] or None)]


def all_ports(number):
    """One port element a protocol."""
    return [port(number, protocol.upper()) for protocol in PROTOCOLS]


A = labels(pod="a")


def test_01_default_deny_ingress(world):
    world.apply(network_policy("x", "deny-ingress"))
    world.check(Table().deny(to="x/*"))


def test_02_default_deny_all(world):
    world.apply(network_policy("x", "deny-all", types=["Ingress", "Egress"]))
    world.check(Table().deny(to="x/*").deny("x/*"))


def test_03_from_pods_of_the_same_namespace_by_pod_selector(world):
    world.apply(network_policy("x", "from-b", A, [ingress(peer(labels(pod="b")))]))
    world.check(only_to_x_a("x/b"))


def test_04_one_target_is_opened_in_a_closed_namespace(world):
    world.apply(network_policy("x", "deny-ingress"),
                network_policy("x", "open-a", A, [ingress(peer(labels(pod="b")))]))
    world.check(Table().deny(to="x/*").allow("x/b", "x/a"))


def test_05_from_pods_of_all_namespaces(world):
    world.apply(network_policy("x", "from-all", A, [ingress(peer(namespaces=ALL))]))
    world.check(Table())


def test_06_only_from_another_namespace(world):
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=labels(ns="y")))]))
    world.check(only_to_x_a("y/*"))


def test_07_pod_selector_with_expressions(world):
    world.apply(network_policy("x", "from-b", A, [ingress(peer(expression("pod", "In", "b")))]))
    world.check(only_to_x_a("x/b"))


def test_08_namespace_selector_with_expressions(world):
    world.apply(network_policy("x", "from-y", A, [ingress(peer(namespaces=expression("ns", "In", "y")))]))
    world.check(only_to_x_a("y/*"))


def test_09_pod_selector_or_namespace_selector(world):
    world.apply(network_policy("x", "or", A, [ingress(peer(labels(pod="b")), peer(namespaces=labels(ns="y")))]))
    world.check(only_to_x_a(["x/b", "y/*"]))


def test_10_pod_selector_and_namespace_selector(world):
    world.apply(network_policy("x", "and", A, [ingress(peer(labels(pod="b"), expression("ns", "NotIn", "x")))]))
    world.check(only_to_x_a(["y/b", "z/b"]))


def test_11_several_pod_and_namespace_selectors(world):
    world.apply(network_policy("x", "many", A, [ingress(
        peer(expression("pod", "NotIn", "a", "b"), labels(ns="z")),
        peer(labels(pod="b"), expression("ns", "In", "x", "y")),
        peer(namespaces=expression("ns", "DoesNotExist")))]))
    world.check(only_to_x_a(["z/c", "x/b", "y/b"]))


def test_12_any_of_two_pod_selectors(world):
    world.apply(network_policy("x", "b-or-c", A, [ingress(peer(labels(pod="b")), peer(labels(pod="c")))]))
    world.check(only_to_x_a(["x/b", "x/c"]))


def test_13_pods_of_another_namespace(world):
    world.apply(network_policy("x", "from-y-a", A, [ingress(peer(A, labels(ns="y")))]))
    world.check(only_to_x_a("y/a"))


def test_14_rule_restricted_by_port(world):
    world.apply(network_policy("x", "port", A, [ingress(peer(namespaces=labels(ns="y")), ports=[port(81, "TCP")])]))
    world.check(only_to_x_a("y/*", protocol="tcp", port=81))


def test_15_stacked_policies_are_a_union(world):
    first = network_policy("x", "first", A, [ingress(peer(namespaces=labels(ns="y")), ports=[port(81)])])
    second = network_policy("x", "second", expression("pod", "In", "a", "b"),
                            [ingress(peer(namespaces=labels(ns="y")), ports=[port(80)])])
    world.apply(first)
    world.check(only_to_x_a("y/*", protocol="tcp", port=81))
    world.apply(second)
    world.check(Table().isolate("x/a", "x/b").allow("y/*", "x/a", "tcp").allow("y/*", "x/b", "tcp", 80))


def test_16_allow_all(world):
    world.apply(network_policy("x", "deny"), network_policy("x", "allow-all", None, [ingress()]))
    world.check(Table())


def test_17_one_named_port(world):
    world.apply(network_policy("x", "named", A, [ingress(ports=[port("serve-81-tcp")])]))
    world.check(only_to_x_a("*", protocol="tcp", port=81))


def test_18_from_a_namespace_on_a_named_port(world):
    world.apply(network_policy("x", "named", A, [
        ingress(peer(namespaces=labels(ns="y")), ports=[port("serve-80-tcp"), port("serve-81-udp", "UDP")])]))
    world.check(only_to_x_a("y/*", protocol="tcp", port=80).allow("y/*", "x/a", "udp", 81))


def test_19_egress_on_one_named_port(world):
    world.apply(network_policy("x", "named", A, None, [egress(ports=[port("serve-80-tcp")])], ["Egress"]))
    world.check(Table().deny("x/a").allow("x/a", "*", "tcp", 80))


def test_20_a_policy_updated_in_place(world):
    world.apply(network_policy("x", "one", A, [ingress()]))
    world.check(Table())
    world.apply(network_policy("x", "one", A, [ingress(ports=[port(81)])]))
    world.check(only_to_x_a("*", protocol="tcp", port=81))


def test_21_a_relabelled_namespace_becomes_allowed(world):
    world.apply(network_policy("x", "by-label", A, [ingress(peer(namespaces=labels(ns2="updated")))]))
    world.check(only_to_x_a([]))
    world.label("Namespace", "y", ns2="updated")
    world.check(only_to_x_a("y/*"))
    world.label("Namespace", "y", ns2=None)
    world.check(only_to_x_a([]))


def test_22_a_relabelled_pod_becomes_allowed(world):
    world.apply(network_policy("x", "by-label", A, [ingress(peer(labels(pod2="updated")))]))
    world.check(only_to_x_a([]))
    world.label("Pod", "b", "x", pod2="updated")
    world.label("Pod", "b", "y", pod2="updated")  # another namespace: no business here
    world.check(only_to_x_a("x/b"))


def test_23_other_namespaces_are_denied(world):
    world.apply(network_policy("x", "own", None, [ingress(peer(ALL))]))
    world.check(Table().deny(to="x/*").allow("x/*", "x/*"))


def test_24_a_relabelled_target_becomes_isolated(world):
    world.apply(network_policy("x", "isolate", labels(target="isolated")))
    world.check(Table())
    world.label("Pod", "a", "x", target="isolated")
    world.check(only_to_x_a([]))
    world.label("Pod", "a", "x", target=None)
    world.check(Table())


def test_25_egress_denied_by_pod_selector(world):
    world.apply(network_policy("x", "no-egress", A, types=["Egress"]))
    world.check(Table().deny("x/a"))


def test_26_egress_denied_for_a_namespace(world):
    world.apply(network_policy("x", "no-egress", types=["Egress"]))
    world.check(Table().deny("x/*"))


def test_27_ingress_and_egress_in_one_policy(world):
    world.apply(network_policy("x", "both", A, [ingress(peer(labels(pod="b")))],
                               [egress(ports=all_ports(80))], ["Ingress", "Egress"]))
    world.check(only_to_x_a("x/b").deny("x/a").allow("x/a", "*", port=80))


def test_28_egress_denied_at_the_client_wins_over_the_server_that_allows(world):
    world.apply(network_policy("x", "only-y-a", A, None, [egress(peer(A, labels(ns="y")))], ["Egress"]),
                network_policy("y", "allow-x", labels(pod="a"), [ingress(peer(namespaces=labels(ns="x")))]),
                network_policy("y", "allow-x-b", labels(pod="b"), [ingress(peer(namespaces=labels(ns="x")))]))
    world.check(Table().isolate("y/a", "y/b").allow("x/*", ["y/a", "y/b"]).deny("x/a").allow("x/a", "y/a"))


def test_29_egress_to_a_server_in_another_namespace(world):
    world.apply(network_policy("x", "to-y-a", A, None, [egress(peer(A, labels(ns="y")))], ["Egress"]))
    world.check(Table().deny("x/a").allow("x/a", "y/a"))


def test_30_any_port_of_one_protocol(world):
    world.apply(network_policy("x", "udp", A, [ingress(ports=[port(protocol="UDP")])]))
    world.check(only_to_x_a("*", protocol="udp"))


def test_31_allow_all_has_precedence_among_many_ingress_policies(world):
    world.apply(network_policy("x", "from-b", A, [ingress(peer(labels(pod="b")), ports=[port(80)])]))
    world.check(only_to_x_a("x/b", protocol="tcp", port=80))
    world.apply(network_policy("x", "allow-all", A, [ingress()]))
    world.check(Table())


def test_32_allow_all_has_precedence_among_many_egress_policies(world):
    world.apply(network_policy("x", "port-80", A, None, [egress(ports=[port(80)])], ["Egress"]))
    world.check(Table().deny("x/a").allow("x/a", "*", "tcp", 80))
    world.apply(network_policy("x", "allow-all", A, None, [egress()], ["Egress"]))
    world.check(Table())


def test_33_a_deleted_policy_is_not_enforced(world):
    policy = network_policy("x", "deny", types=["Ingress", "Egress"])
    world.apply(policy)
    world.check(Table().deny(to="x/*").deny("x/*"))
    world.remove(policy)
    world.check(Table())


def test_34_egress_to_a_cidr(world):
    world.apply(network_policy("x", "cidr", A, None, [egress(*cidrs(world, "y/b", "z/c"))], ["Egress"]))
    world.check(Table().deny("x/a").allow("x/a", ["y/b", "z/c"]))


def test_35_except_inside_an_egress_cidr(world):
    world.apply(network_policy("x", "cidr", A, None, [egress(*pool(world, "y/b"))], ["Egress"]))
    world.check(Table().deny("x/a").allow("x/a", ["*/a", "*/b"]).deny("x/a", "y/b"))


def test_36_what_one_policy_excepts_another_allows_again(world):
    world.apply(network_policy("x", "cidr", A, None, [egress(*pool(world, "y/b", "z/b"))], ["Egress"]))
    world.check(Table().deny("x/a").allow("x/a", ["*/a", "x/b"]))
    world.apply(network_policy("x", "again", A, None, [egress(*cidrs(world, "y/b"))], ["Egress"]))
    world.check(Table().deny("x/a").allow("x/a", ["*/a", "x/b", "y/b"]))


def test_37_ingress_and_egress_isolation_are_independent(world):
    world.apply(network_policy("x", "no-egress", A, types=["Egress"]),
                network_policy("x", "from-b", labels(pod="b"), [ingress(peer(labels(pod="c")))]))
    world.check(Table().deny("x/a").isolate("x/b").allow("x/c", "x/b"))


def test_38_an_sctp_rule_neither_opens_nor_closes_tcp(world):
    world.apply(network_policy("x", "deny"),
                network_policy("x", "sctp", A, [ingress(ports=[port(81, "SCTP")])]))
    world.check(Table().deny(to="x/*").allow("*", "x/a", "sctp", 81))
    world.apply(network_policy("x", "tcp", A, [ingress(ports=[port(81, "TCP")])]))
    world.check(Table().deny(to="x/*").allow("*", "x/a", ["sctp", "tcp"], 81))


def test_39_a_pod_selected_by_an_sctp_policy_alone_is_isolated(world):
    world.apply(network_policy("x", "sctp", A, [ingress(ports=[port(80, "SCTP")])]))
    world.check(only_to_x_a("*", protocol="sctp", port=80))


def test_40_no_tcp_where_udp_alone_is_allowed(world):
    world.apply(network_policy("x", "udp", A, [ingress(ports=[port(81, "UDP")])]))
    world.check(only_to_x_a("*", protocol="udp", port=81))


def test_41_the_default_label_of_a_namespace(world):
    world.apply(network_policy("x", "by-name", A, [
        ingress(peer(namespaces=labels(**{"kubernetes.io/metadata.name": "y"})))]))
    world.check(only_to_x_a("y/*"))


def test_42_the_default_label_of_a_namespace_in_expressions(world):
    world.apply(network_policy("x", "by-name", A, [
        ingress(peer(namespaces=expression("kubernetes.io/metadata.name", "NotIn", "x", "z", "default")))]))
    world.check(only_to_x_a("y/*"))


# ---- 43-48: the same with UDP and SCTP alone
def test_43_and_46_default_deny_for_udp_and_sctp(world):
    """An ingress rule for one protocol closes the others: what default-deny is to a protocol."""
    for name in ("UDP", "SCTP"):
        others = [port(protocol=other) for other in ("TCP", "UDP", "SCTP") if other != name]
        world.apply(network_policy("x", "deny", None, [ingress(ports=others)]))
        world.check(Table().deny(to="x/*", protocol=name.lower()))


def test_44_and_47_ports_of_udp_and_sctp(world):
    for name in ("UDP", "SCTP"):
        world.apply(network_policy("x", "port", A, [
            ingress(peer(namespaces=labels(ns="y")), ports=[port(81, name)])]))
        world.check(only_to_x_a("y/*", protocol=name.lower(), port=81))


def test_45_and_48_pod_and_namespace_selector_with_udp_and_sctp(world):
    for name in ("UDP", "SCTP"):
        world.apply(network_policy("x", "both", A, [
            ingress(peer(labels(pod="b"), labels(ns="y")), ports=[port(number, name) for number in PORTS])]))
        world.check(only_to_x_a("y/b", protocol=name.lower()))
