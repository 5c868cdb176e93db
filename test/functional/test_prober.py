"""The prober of test/policy can fail: it is held against an open network and rules made by hand."""

import time

import pytest

from lab import Lab, ZoneSpec
from policy import sctp
from policy.prober import OPEN, REFUSED, SILENT, Probe, Prober
from policy.tables import Table


@pytest.fixture(name="lab", scope="module")
def lab_fixture():
    with Lab([ZoneSpec("a", ["a1"])]) as lab:
        node = lab.node("a1")
        node.netns.sysctl({"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1})
        for number, namespace in enumerate("xyz"):
            for other, name in enumerate("abc"):
                node.wire_pod(name, 10 + 10 * number + other, namespace)
        yield lab


@pytest.fixture(name="prober", scope="module")
def prober_fixture(lab):
    with Prober(lab.pods()) as prober:
        yield prober


@pytest.fixture(name="rules")
def rules_fixture(lab):
    """Rules in FORWARD of both families until the test ends."""
    netns = lab.node("a1").netns

    def add(*lines, families=(4, 6)):
        for family in families:
            tool = "iptables" if family == 4 else "ip6tables"
            text = "\n".join(["*filter", ":FORWARD ACCEPT", *(f"-A FORWARD {line}" for line in lines), "COMMIT", ""])
            netns.run([f"{tool}-restore"], input=text)

    add()
    yield add
    add()


def test_an_open_network_is_seen_open_at_once(prober):
    probes = prober.pairs()
    assert len(probes) == 9 * 8 * 2 * 3 * 2
    start = time.monotonic()
    result = prober.check(Table(allow=True))
    seconds = time.monotonic() - start
    assert set(result.values()) == {OPEN} and not result.again
    assert all(result.who[p] == p.target for p in probes)
    print(f"{len(probes)} probes in {seconds:.2f} s")
    assert seconds < 8  # at rest a tenth of one; a wait for each would take minutes


def test_what_is_denied_costs_one_short_wait(prober, rules):
    rules("-j DROP")
    start = time.monotonic()
    result = prober.check(Table(allow=False))
    seconds = time.monotonic() - start
    assert set(result.values()) == {SILENT}
    print(f"{len(result)} denied probes in {seconds:.2f} s")
    assert seconds < 8  # at rest a tenth of one; a wait for each would take minutes


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_one_protocol_and_port_are_told_from_the_others(lab, prober, rules, protocol):
    a = next(p for p in lab.pods() if p.key == "x/a")
    for family in (4, 6):
        rules(f"-p {protocol} --dport 80 -d {a.ip(family)} -j DROP", families=[family])
    prober.check(Table().deny(to="x/a", protocol=protocol, port=80))


def test_the_wrong_expectation_fails_and_is_printed_as_a_matrix(prober, rules):
    rules("-p udp --dport 81 -j DROP", families=[6])
    with pytest.raises(AssertionError) as failure:
        prober.check(Table().deny(to="y/b"), allowed_seconds=0.7)
    text = str(failure.value)
    assert "udp/81 IPv6" in text and "tcp/80 IPv4" in text
    assert "x/a      .   .   .   +" in text and "x/a      -   -   -   x" in text


def test_a_packet_that_arrives_is_not_taken_for_denied(prober, rules):
    # Requests pass, answers do not: the destination has seen what policy should have kept away.
    rules("-p udp --sport 80 -j DROP", "-p sctp --sport 80 -j DROP")
    probes = prober.pairs(["x/a"], ["x/b"], ["udp", "sctp"], [80])
    assert set(prober.probe(probes, allowed=()).values()) == {"arrived"}
    with pytest.raises(AssertionError):
        prober.check(Table(allow=False), probes)


def test_an_sctp_packet_that_was_translated_without_its_checksum_is_none():
    whole = sctp.init(1000, 80, 7)
    assert sctp.parse(whole)[:2] == (1000, 80)
    assert sctp.parse(whole[:2] + b"\x00\x51" + whole[4:]) is None


def test_refused_is_told_from_silent(lab, prober, rules):
    rules("-d 10.244.1.10 -j REJECT", families=[4])
    probes = [Probe("x/b", "x/a", protocol, 80, 4) for protocol in ("tcp", "udp")]
    # The kernel sends few ICMP errors a second: they are waited for.
    assert set(prober.probe(probes, allowed=set(probes), allowed_seconds=8).values()) == {REFUSED}
    rules()
    closed = [Probe("x/b", "x/a", protocol, 82, family) for protocol in ("tcp", "udp", "sctp") for family in (4, 6)]
    assert set(prober.probe(closed, allowed=set(closed), allowed_seconds=8).values()) == {REFUSED}


def test_every_table_is_made_of_new_flows(lab, prober, rules):
    """What was allowed a moment ago and is tracked must not hide a rule for new flows."""
    rules("-m conntrack --ctstate ESTABLISHED -j ACCEPT")
    prober.check(Table(), prober.pairs(["x/a"]))
    rules("-m conntrack --ctstate ESTABLISHED -j ACCEPT", "-m conntrack --ctstate NEW -j DROP", "-j LOG")
    prober.check(Table(allow=False), prober.pairs(["x/a"]))
    # An INIT that connection tracking finds implausible would be INVALID, not NEW.
    rules("-m conntrack --ctstate INVALID -j DROP")
    prober.check(Table(), prober.pairs(["x/a"]))
