"""canalctl: what it prints and how it ends, against a felix that is only a socket here."""

import json
import os
import socket
import subprocess
import threading

import pytest

from lab.cluster import BUILD

CANALCTL = str(BUILD / "canalctl")


class Felix:
    """Answers the first line of each client with `lines`, then hangs up."""

    def __init__(self, path, *lines):
        self.path = str(path)
        self.lines = lines
        self.requests = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(self.path)
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, client.makefile("rb") as lines:
                self.requests.append(json.loads(lines.readline()))
                for line in self.lines:
                    client.sendall(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")

    def close(self):
        """Waits for the thread: it could be about to accept() on a number that the next socket gets."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


@pytest.fixture(name="felix")
def felix_fixture(tmp_path):
    started = []

    def start(*lines):
        started.append(Felix(tmp_path / f"felix{len(started)}.sock", *lines))
        return started[-1]

    yield start
    for felix in started:
        felix.close()


def run(*args, path=None, code=0, **env):
    command = [CANALCTL, *(["--socket", path] if path else []), *args]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False,
                            env={**os.environ, **env})
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    return result.stdout, result.stderr


DECISION = {"direction": "ingress", "of": "default/b (10.0.0.2)", "verdict": "denied", "reason": "rule",
            "by": "NetworkPolicy default/x, ingress rule 0: deny everything",
            "tiers": [{"tier": "default", "end": "Deny", "reached": True, "policies": [
                {"policy": "NetworkPolicy default/x", "staged": False, "reached": True, "rule": 0,
                 "action": "deny", "text": "deny everything", "logs": ["rule 1: log everything"]},
                {"policy": "NetworkPolicy default/y", "staged": True, "reached": False}]}]}
ANSWER = {"ok": True, "verdict": "denied", "complete": True, "packet": {"text": "tcp/80"},
          "from": {"text": "default/a (10.0.0.1)"}, "to": {"text": "default/b (10.0.0.2)"},
          "decisions": [DECISION], "notes": ["something to know"]}


def test_explain_prints_tiers_policies_rule_and_verdict(felix):
    server = felix(ANSWER)
    out, _ = run("explain", "default/a", "10.0.0.2", "tcp/80", path=server.path, code=1)
    assert server.requests == [{"op": "explain", "from": {"pod": "default/a"}, "to": {"ip": "10.0.0.2"},
                                "protocol": "tcp", "port": 80, "source_port": 49152}]
    lines = out.splitlines()
    assert lines[0] == "default/a (10.0.0.1) > default/b (10.0.0.2) tcp/80: denied"
    assert "ingress of default/b (10.0.0.2): denied" in lines
    assert "  tier default, at its end Deny" in lines
    assert "    NetworkPolicy default/x           rule 1: log everything; rule 0: deny everything" in lines
    assert "    NetworkPolicy default/y (staged)  not reached" in lines
    assert "  NetworkPolicy default/x, ingress rule 0: deny everything" in lines
    assert lines[-1] == "note: something to know"


@pytest.mark.parametrize("verdict, code", [("allowed", 0), ("denied", 1), ("elsewhere", 4)])
def test_explain_ends_by_verdict(felix, verdict, code):
    answer = {**ANSWER, "verdict": verdict}
    out, _ = run("explain", "a/b", "a/c", "udp/53", "-o", "json", path=felix(answer).path, code=code)
    assert json.loads(out) == answer


@pytest.mark.parametrize("given, wanted", [
    ("tcp/80", {"protocol": "tcp", "port": 80, "source_port": 49152}),
    ("SCTP/7777", {"protocol": "sctp", "port": 7777, "source_port": 49152}),
    ("icmp", {"protocol": "icmp", "icmp_type": 8, "icmp_code": 0}),
    ("icmp/3/13", {"protocol": "icmp", "icmp_type": 3, "icmp_code": 13}),
    ("icmpv6", {"protocol": "icmpv6", "icmp_type": 128, "icmp_code": 0}),
    ("47", {"protocol": "47"}),
])
def test_explain_takes_protocols(felix, given, wanted):
    server = felix(ANSWER)
    run("explain", "a/b", "a/c", given, path=server.path, code=1)
    asked = server.requests[0]
    assert {k: v for k, v in asked.items() if k not in ("op", "from", "to")} == wanted


def test_explain_takes_source_port_and_family(felix):
    server = felix(ANSWER)
    run("explain", "-6", "--source-port", "1000", "a/b", "a/c", "tcp/80", path=server.path, code=1)
    assert (server.requests[0]["source_port"], server.requests[0]["family"]) == (1000, 6)


@pytest.mark.parametrize("args, reason", [
    ([], "Usage"),
    (["reboot"], "no command 'reboot'"),
    (["explain", "a/b", "a/c"], "usage: canalctl explain FROM TO"),
    (["explain", "b", "a/c", "tcp/80"], "'b' is neither namespace/pod nor an address"),
    (["explain", "a/b/c", "a/c", "tcp/80"], "not namespace/pod"),
    (["explain", "a/b", "a/c", "tcp"], "the port is missing"),
    (["explain", "a/b", "a/c", "tcp/http"], "port"),
    (["explain", "a/b", "a/c", "tcp/65536"], "port"),
    (["explain", "a/b", "a/c", "47/80"], "no ports"),
    (["explain", "a/b", "a/c", "icmp/256"], "ICMP"),
    (["explain", "a/b", "a/c", "tcpp/80"], "not a protocol"),
    (["status", "-o", "yaml"], "-o json or -o text"),
    (["--no-such-option"], "unrecognized option"),
])
def test_what_is_not_understood_is_said(args, reason):
    out, err = run(*args, code=2)
    assert reason in err and not out


def test_without_felix_it_says_what_to_do(tmp_path):
    _, err = run("status", code=3, CANAL_RUN_DIR=str(tmp_path))
    assert f"felix is not there: {tmp_path}/felix.sock" in err
    assert "Does canal-felix run on this node?" in err


@pytest.mark.parametrize("line, reason", [
    ({"ok": False, "code": 100, "error": "there is no pod default/x"}, "there is no pod default/x"),
    (b"hello\n", "felix's answer"),
    (b"[]\n", "felix's answer"),
    (b'{"ok":"yes"}\n', "ok"),
    (b"", "closed the connection"),
    (b'{"ok":tr', "closed the connection"),
])
def test_an_answer_that_is_none_is_an_error(felix, line, reason):
    _, err = run("endpoints", path=felix(line).path, code=3)
    assert reason in err


def test_endpoints_are_a_table(felix):
    out, _ = run("endpoints", path=felix({"ok": True, "endpoints": [
        {"namespace": "default", "pod": "web-0", "interface": "cali0123456789a", "ips": ["10.0.0.1/32", "fd00::1/128"],
         "policies": {"ingress": 2, "egress": 0}, "revision": {"wanted": 7, "programmed": 7}, "programmed": True},
        {"namespace": "default", "pod": "web-1", "interface": "cali0123456789b", "ips": ["10.0.0.2/32"],
         "policies": {"ingress": 1, "egress": 1}, "revision": {"wanted": 9, "programmed": 7},
         "programmed": False}]}).path)
    head, first, second = out.splitlines()
    assert head.split() == ["POD", "INTERFACE", "ADDRESSES", "INGRESS", "EGRESS", "REVISION", "PROGRAMMED"]
    assert first.split() == ["default/web-0", "cali0123456789a", "10.0.0.1/32,fd00::1/128", "2", "0", "7", "yes"]
    assert second.split() == ["default/web-1", "cali0123456789b", "10.0.0.2/32", "1", "1", "7", "of", "9", "NO"]


def test_status_ends_by_readiness(felix):
    out, _ = run("status", path=felix({"ok": True, "ready": True, "node": "n1", "mtu": 1440}).path)
    assert [line.split() for line in out.splitlines()] == [["ready", "yes"], ["node", "n1"], ["pod", "MTU", "1440"]]
    out, _ = run("status", path=felix({"ok": True, "ready": False, "reason": "no rules"}).path, code=1)
    assert "no rules" in out


POLICY = {"policy": "NetworkPolicy default/x", "namespace": "default", "name": "x", "tier": "default",
          "order": 1000, "staged": False, "selector": "all()",
          "ingress": [{"action": "allow", "text": "allow tcp", "packets": 12, "bytes": 720}], "egress": []}


def test_policies_show_counters_and_may_be_named(felix):
    server = felix({"ok": True, "policies": [POLICY, {**POLICY, "policy": "GlobalNetworkPolicy y", "name": "y",
                                                      "namespace": "", "staged": True}]})
    out, _ = run("policies", "default/x", path=server.path)
    assert "NetworkPolicy default/x, tier default, order 1000\n  applies to: all()" in out
    assert "  ingress 0  12       720    allow tcp" in out.splitlines()
    assert "GlobalNetworkPolicy" not in out
    out, _ = run("policies", path=server.path)
    assert "GlobalNetworkPolicy y, tier default, order 1000, STAGED" in out
    _, err = run("policies", "z", path=server.path)
    assert "No such policy is in force" in err


DROP = {"time": "2026-01-31T12:00:00.000Z", "direction": "ingress", "protocol": "tcp", "by": "NetworkPolicy default/x, rule 0",
        "from": {"ip": "10.0.0.1", "port": 40000, "pod": "default/a"}, "to": {"ip": "fd00::2", "port": 80}}


def test_drops_are_shown_a_line_each(felix):
    line = ("2026-01-31T12:00:00.000Z tcp default/a (10.0.0.1:40000) > [fd00::2]:80: ingress denied by "
            "NetworkPolicy default/x, rule 0\n")
    server = felix({"ok": True, "drops": [DROP, DROP]})
    assert run("drops", path=server.path)[0] == line * 2
    assert server.requests == [{"op": "drops", "recent": True}]
    server = felix(b'{"ok":true}\n' + json.dumps(DROP).encode()[:50], json.dumps(DROP).encode()[50:] + b"\n", DROP)
    out, err = run("drops", "-f", path=server.path, code=3)
    assert out == line * 2 and "felix closed the connection" in err
    assert server.requests == [{"op": "drops"}]
    server = felix({"ok": False, "error": "16 follow already"})
    assert "16 follow already" in run("drops", "-f", path=server.path, code=3)[1]


def test_nothing_that_comes_from_felix_moves_the_cursor(felix):
    evil = "a\x1b[2Jb\rc\x07"
    out, _ = run("endpoints", path=felix({"ok": True, "endpoints": [{"namespace": evil, "pod": evil,
                                                                     "interface": 7}]}).path)
    assert "a?[2Jb?c?" in out and not any(c < " " and c != "\n" for c in out)


def test_a_large_answer_is_taken(felix):
    policies = [{**POLICY, "ingress": POLICY["ingress"] * 100} for _ in range(100)]
    out, _ = run("policies", "-o", "json", path=felix({"ok": True, "policies": policies}).path)
    assert len(json.loads(out)["policies"]) == 100
