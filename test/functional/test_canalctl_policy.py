"""canalctl with felix, policies and packets: explain says what packets do, drops and counters say what was
denied, endpoints when it is in force."""

import json
import os
import re
import socket
import subprocess

import pytest

from lab import wait_for
from lab.cluster import BUILD
from policy.objects import (calico_policy, cluster_peer, cluster_policy, cluster_rule, egress, felix_configuration,
                            global_policy, host_endpoint, ingress, labels, network_policy, network_set, peer, port, rule,
                            subject, tier)
from policy.prober import SILENT, Probe
from policy.tables import Table

CANALCTL = str(BUILD / "canalctl")


def canalctl(node, *args, code=0):
    result = subprocess.run([CANALCTL, "--socket", str(node.felix_socket), *args], capture_output=True, text=True,
                            timeout=30, check=False, env=os.environ)
    assert code is None or result.returncode == code, (result.returncode, result.stdout, result.stderr)
    return result.stdout if code is not None else (result.returncode, result.stdout)


def asked(node, *args, **kwargs):
    return json.loads(canalctl(node, *args, "-o", "json", **kwargs))


def explain(node, probe):
    """felix's answer to one probe on one node, over the socket as canalctl asks."""
    answer = node.felix_request({
        "op": "explain", "from": {"pod": probe.source}, "to": {"pod": probe.target}, "protocol": probe.protocol,
        "port": probe.port, "family": probe.family})
    assert answer["ok"], answer
    return answer


def is_allowed(world, probe):
    """By both ends, each asked on its own node."""
    nodes = {world.pod(probe.source).node, world.pod(probe.target).node}
    answers = [explain(node, probe) for node in nodes]
    assert all(a["complete"] == (len(nodes) == 1) for a in answers)
    assert "elsewhere" not in [a["verdict"] for a in answers], "each node has an end of it"
    return all(a["verdict"] == "allowed" for a in answers)


SETS = {
    "nothing": [],
    "isolated with an opening": [
        network_policy("x", "deny", types=["Ingress", "Egress"]),
        network_policy("x", "open", labels(pod="a"), [ingress(peer(pods=labels(pod="b")), ports=[port(80, "TCP")])],
                       [egress()])],
    "tiers, pass and staged": [
        tier("security", 100, "Pass"),
        global_policy("first", "pod == 'a'", [rule("Log"), rule("Pass", source={"selector": "pod == 'b'"}),
                                              rule("Deny", protocol="UDP")], tier="security"),
        calico_policy("y", "second", "pod == 'a'", [rule("Allow", source={"selector": "pod in {'b', 'c'}"},
                                                         protocol="TCP", destination={"ports": ["serve-80-tcp"]})]),
        {**global_policy("would", "all()", [rule("Deny")], [rule("Deny")], order=1),
         "kind": "StagedGlobalNetworkPolicy"}],
    "admin and baseline": [
        cluster_policy("guard", "Admin", 10, subject(namespaces=labels(ns="z")),
                       [cluster_rule("Deny", [cluster_peer(namespaces=labels(ns="x"))])]),
        cluster_policy("base", "Baseline", 10, subject(namespaces={}),
                       [cluster_rule("Deny", [cluster_peer(namespaces=labels(ns="y"))])])],
}


@pytest.mark.parametrize("name", SETS)
def test_explain_says_what_packets_do(world, name):
    world.apply(*SETS[name])
    probes = world.pairs()
    allowed = {p for p in probes if is_allowed(world, p)}
    result = world.prober.probe(probes, allowed)
    wrong = [(str(p), state) for p, state in result.items() if (p in allowed) != (state != SILENT)]
    assert not wrong, wrong[:10]
    denied = sum(state == SILENT for state in result.values())
    assert (denied > 0) == bool(SETS[name]) and denied < len(result)


def test_explain_names_the_rule_and_the_exit_code_the_verdict(world):
    world.apply(calico_policy("x", "web", "pod == 'a'", [
        rule("Deny", source={"selector": "pod == 'c'"}), rule("Allow", protocol="TCP", destination={"ports": [80]})],
        order=10))
    node = world.node_for("a")
    text = canalctl(node, "explain", "x/b", "x/a", "tcp/80")
    assert text.startswith(f"x/b ({world.ip('x/b')}) > x/a ({world.ip('x/a')}) tcp/80: allowed\n")
    assert "NetworkPolicy.projectcalico.org x/web, ingress rule 1: allow tcp to ports 80" in text
    text = canalctl(node, "explain", "x/b", "x/a", "tcp/81", code=1)
    assert "the end of tier default" in text
    answer = asked(node, "explain", world.ip("x/c"), world.ip("x/a"), "udp/80", code=1)
    assert not answer["complete"] and answer["in_force"]
    elsewhere, here = answer["decisions"]
    assert (here["verdict"], here["rule"], here["interface"]) == ("denied", 0, world.pod("x/a").host_ifname)
    assert f"x/c ({world.ip('x/c')}) is on node n2: its egress is decided there" in elsewhere["by"]


def test_explain_knows_places_that_are_no_pods(world):
    world.apply(network_policy("x", "deny"))
    node, other = world.node("n1"), world.node("n2")
    target = world.ip("x/a")
    assert asked(node, "explain", node.ip4, target, "tcp/80")["decisions"][1]["reason"] == "host-to-pod"
    answer = asked(node, "explain", other.ip4, target, "tcp/80", code=1)
    assert (answer["from"]["where"], answer["from"]["node"]) == ("other-node-itself", "n2")
    answer = asked(node, "explain", "x/a", "192.0.2.7", "tcp/80")
    assert answer["to"]["where"] == "outside" and "after DNAT" in answer["notes"][0]
    assert asked(node, "explain", "x/c", "y/c", "tcp/80", code=4)["verdict"] == "elsewhere"
    assert asked(node, "explain", "x/a", "x/b", "icmp", code=1)["packet"]["icmp_type"] == 8
    assert asked(node, "explain", "-6", "x/a", "x/b", "tcp/80", code=1)["from"]["ip"] == world.ip("x/a", 6)
    assert asked(node, "explain", "x/a", "x/a", "tcp/80")["decisions"][0]["reason"] == "itself"
    canalctl(node, "explain", "x/nobody", "x/a", "tcp/80", code=3)


def send(pod, target, number, ports=1):
    """Datagrams to a port, each socket sends `number` of them."""
    for _ in range(ports):
        with pod.netns.entered():
            s = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
        with s:
            for _ in range(number):
                s.sendto(b"x", (target, 80))


def test_drops_are_followed_with_policy_and_pods(world):
    world.apply(calico_policy("x", "closed", "pod == 'a'", [rule("Allow", protocol="TCP"), rule("Deny")], order=5),
                network_policy("y", "deny", labels(pod="b")))
    node = world.node_for("a")
    process = subprocess.Popen([CANALCTL, "--socket", str(node.felix_socket), "drops", "-f", "-o", "json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "Following" in process.stderr.readline()
        os.set_blocking(process.stdout.fileno(), False)
        seen = []

        def came(**wanted):
            seen.extend(json.loads(line) for line in process.stdout)
            return [d for d in seen if all(d.get(k) == v for k, v in wanted.items())]

        for family, (source, target) in ((4, ("x/c", "x/a")), (6, ("x/c", "x/a"))):
            send(world.pod(source), world.ip(target, family), 1)
        wait_for(lambda: len(came(policy="NetworkPolicy.projectcalico.org x/closed")) == 2, 10, lambda: str(seen))
        drop = came(policy="NetworkPolicy.projectcalico.org x/closed")[0]
        assert (drop["rule"], drop["direction"], drop["reason"], drop["tier"]) == (1, "ingress", "rule", "default")
        assert (drop["from"]["pod"], drop["to"]["pod"], drop["to"]["port"]) == ("x/c", "x/a", 80)
        assert (drop["protocol"], drop["out"]) == ("udp", world.pod("x/a").host_ifname)
        send(world.pod("x/a"), world.ip("y/b"), 1)
        wait_for(lambda: came(reason="tier"), 10, lambda: str(seen))
        drop = came(reason="tier")[0]
        assert (drop["tier"], drop["from"]["pod"], drop["to"]["pod"]) == ("default", "x/a", "y/b")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    text = canalctl(node, "drops")
    assert re.search(r"udp x/c \(.*\) > x/a \(.*:80\): ingress denied by NetworkPolicy.projectcalico.org x/closed, "
                     r"rule 1\n", text)

    def is_logged():
        """The log takes so many drops a second; other tests' may have been in front."""
        send(world.pod("x/c"), world.ip("x/a"), 1)
        return '"policy":"NetworkPolicy.projectcalico.org x/closed"' in node.log()

    wait_for(is_logged, 15, "the log to have it, too", interval=0.5)


def counted(node, name, direction="ingress"):
    policies = [p for p in asked(node, "policies")["policies"] if p["name"] == name]
    return [(r["packets"], r["bytes"]) for r in policies[0][direction]] if policies else None


def test_rules_are_counted_exactly(world):
    """Every denied packet, and the first one of every connection that is allowed."""
    world.apply(calico_policy("x", "count", "pod == 'a'", [
        rule("Allow", protocol="UDP", source={"selector": "pod == 'b'"}),
        rule("Log", protocol="UDP"),
        rule("Deny", protocol="UDP", destination={"ports": [80, "90:99", "serve-80-udp"]}, source={
            "nets": ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]})], order=5))
    node = world.node_for("a")
    assert [c for c, _ in counted(node, "count")] == [0, 0, 0]
    send(world.pod("x/c"), world.ip("x/a"), 40)
    send(world.pod("x/c"), world.ip("x/a", 6), 7)
    send(world.pod("x/b"), world.ip("x/a"), 1, ports=9)
    wait_for(lambda: [c for c, _ in counted(node, "count")] == [9, 47, 47], 10, lambda: str(counted(node, "count")))
    assert counted(node, "count")[2][1] == 40 * 29 + 7 * 49, "bytes: headers and one"
    # They go on when another policy is written, and begin anew when their own is.
    world.apply(network_policy("y", "other", labels(pod="a")))
    assert [c for c, _ in counted(node, "count")] == [9, 47, 47]
    assert counted(node, "nobody") is None


def test_staged_policies_count_what_they_would_do(world):
    world.apply({**calico_policy("x", "would", "pod == 'a'", [rule("Deny", protocol="UDP"), rule("Allow")], order=5),
                 "kind": "StagedNetworkPolicy"})
    node = world.node_for("a")
    world.prober.check(Table(), [Probe("x/b", "x/a", "tcp", 80, 4)])
    send(world.pod("x/b"), world.ip("x/a"), 1, ports=3)
    wait_for(lambda: [c for c, _ in counted(node, "would")] == [3, 1], 10, lambda: str(counted(node, "would")))
    policy = asked(node, "policies")["policies"][0]
    assert (policy["staged"], policy["policy"]) == (True, "StagedNetworkPolicy x/would")


def scrape(node):
    _, text = node.http_get(9091, "/metrics")
    found = {}
    for line in text.splitlines():
        match = re.match(r"(canal_\w+)\{(.*)\} (\S+)$", line)
        if match:
            found[(match[1], *re.findall(r'="([^"]*)"', match[2]))] = float(match[3])
    return found


def test_prometheus_shows_denied_packets(world):
    world.apply(calico_policy("x", "closed", "pod == 'a'", [rule("Deny", protocol="UDP")], order=5))
    node, name = world.node_for("a"), "NetworkPolicy.projectcalico.org x/closed"
    before = scrape(node)
    tier_key = ("canal_denied_packets_total", "", "default", "", "ingress", "tier")
    send(world.pod("x/c"), world.ip("x/a"), 100)
    with world.pod("x/c").netns.entered():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 200)
    with s:
        for _ in range(5):
            s.sendto(b"x" * 30, (world.ip("x/a"), 0))

    def shown():
        now = scrape(node)
        return (now.get(("canal_denied_packets_total", name, "default", "0", "ingress", "rule")),
                now.get(("canal_policy_rule_packets_total", name, "ingress", "0", "deny", "false")),
                now.get(tier_key, 0) - before.get(tier_key, 0))

    wait_for(lambda: shown() == (100, 100, 5), 20, lambda: str(shown()))
    seen = scrape(node).get(("canal_drops_seen_total", name, "0", "ingress", "rule", "x/a"))
    assert seen and seen <= 100, "NFLOG's are limited"


COUNTED = {"policies": "felix_cluster_num_policies", "active": "felix_active_local_policies", "tiers": "felix_cluster_num_tiers",
           "hosts": "felix_cluster_num_host_endpoints", "selectors": "felix_active_local_selectors",
           "sets": "felix_ipsets_calico", "items": "felix_label_index_num_endpoints",
           "indexed": "felix_label_index_num_active_selectors"}


def test_46_what_is_known_and_active_is_counted_under_calicos_names(world):
    nodes = [world.node("n1"), world.node("n2")]

    def more(before):
        return [{key: node.metric(name) - old[key] for key, name in COUNTED.items() if node.metric(name) != old[key]}
                for node, old in zip(nodes, before)]

    start = [{key: node.metric(name) for key, name in COUNTED.items()} for node in nodes]
    work = nodes[0].metric("felix_label_index_selector_evals")
    assert [s["items"] for s in start] == [9, 9] and start[0]["policies"] == 0, start
    b, friend = ({"selector": text} for text in ("pod == 'b'", "role == 'friend' && !has(nothing)"))
    objs = [calico_policy("x", "one", "pod == 'a'", [rule("Allow", source=b), rule("Allow", source=friend)], order=5),
            calico_policy("x", "two", "pod == 'c'", [rule("Allow", source=b)]),
            calico_policy("x", "nobody", "pod == 'z'", [rule("Deny", source={"selector": "none == 'x'"})]),
            tier("first", 10), network_set("x", "friends", ["192.0.2.0/24"], role="friend")]
    world.apply(*objs)
    everywhere = {"policies": 3, "tiers": 1, "items": 1}
    # A selector is a set of each family.
    assert more(start) == [{**everywhere, "active": 1, "selectors": 2, "indexed": 2, "sets": 4},
                           {**everywhere, "active": 1, "selectors": 1, "indexed": 1, "sets": 2}]
    assert nodes[0].metric("felix_label_index_selector_evals") > work
    endpoint = host_endpoint("n1-host", "n1", "eth0", profiles=["projectcalico-default-allow"], host="n1")
    world.apply(endpoint)
    assert [found["hosts"] for found in more(start)] == [1, 1] and more(start)[0]["items"] == 2
    world.remove(endpoint, *objs)
    assert more(start) == [{}, {}]


def log_rules(world, node):
    text = node.netns.run([f"iptables-{world.backend}-save", "-c", "-t", "filter"], stderr=subprocess.DEVNULL)
    return [line for line in text.splitlines() if "-j LOG" in line]


def test_the_log_action_says_its_prefix_and_goes_on(world):
    """The kernel writes lines of LOG for the first network namespace only: the rule and its counter are looked at."""
    world.apply(calico_policy("x", "log", "pod == 'a'", [rule("Log", protocol="UDP"), rule("Allow")], order=5))
    node = world.node_for("a")
    send(world.pod("x/b"), world.ip("x/a"), 1, ports=4)
    wait_for(lambda: [c for c, _ in counted(node, "log")] == [4, 4], 10, lambda: str(counted(node, "log")))
    lines = log_rules(world, node)
    assert len(lines) == 1 and lines[0].startswith("[4:")
    assert '--log-prefix "calico-packet: "' in lines[0] and "--log-level 5" in lines[0]
    # With a limit fewer lines are written; the packets go on, and all are counted.
    world.apply(felix_configuration(logPrefix="%t/%n", logActionRateLimit="1/hour", logActionRateLimitBurst=2))
    send(world.pod("x/b"), world.ip("x/a"), 1, ports=9)
    wait_for(lambda: [c for c, _ in counted(node, "log")] == [13, 13], 10, lambda: str(counted(node, "log")))
    lines = log_rules(world, node)
    assert len(lines) == 1 and lines[0].startswith("[2:"), lines
    assert '--log-prefix "default/log: "' in lines[0] and "--limit 1/hour --limit-burst 2" in lines[0]


def test_endpoints_say_what_is_programmed(world):
    node = world.node_for("a")
    world.apply(network_policy("x", "deny", types=["Ingress", "Egress"]), network_policy("x", "more", labels(pod="a")))
    rows = {f"{e['namespace']}/{e['pod']}": e for e in asked(node, "endpoints")["endpoints"]}
    assert set(rows) == {f"{ns}/{pod}" for ns in "xyz" for pod in "ab"}
    assert rows["x/a"]["policies"] == {"ingress": 2, "egress": 1}
    assert rows["x/b"]["policies"] == {"ingress": 1, "egress": 1}
    assert rows["y/a"]["policies"] == {"ingress": 0, "egress": 0}
    assert all(e["programmed"] and e["revision"]["programmed"] == e["revision"]["wanted"] > 0 for e in rows.values())
    untouched = rows["y/a"]["revision"]
    world.apply(network_policy("x", "more", labels(pod="a"), [ingress()]))
    rows = {f"{e['namespace']}/{e['pod']}": e for e in asked(node, "endpoints")["endpoints"]}
    assert rows["x/a"]["revision"]["wanted"] > untouched["wanted"] == rows["y/a"]["revision"]["wanted"]
    text = canalctl(node, "endpoints")
    assert re.search(rf"x/a +{world.pod('x/a').host_ifname} +{re.escape(world.ip('x/a'))}/32,\S+ +2 +1 +\d+ +yes", text)
    status = canalctl(node, "status")
    assert re.search(r"^pods here +6$", status, re.M) and re.search(r"^policies here +2$", status, re.M)
