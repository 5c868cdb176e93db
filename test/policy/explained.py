"""What felix says of every probe when it is asked to explain, against the expected table: on the node of the
source and that of the destination, each of which judges its own end."""

import json
import socket

from . import tables
from .prober import Place

BATCH = 64
# As felix names them to people, and as the reference does.
KINDS = {"NetworkPolicy.projectcalico.org": "CalicoNetworkPolicy"}


def _ask(node, questions):
    """Answers in the order of the questions, over one connection."""
    answers = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(10)
        s.connect(str(node.felix_socket))
        lines = s.makefile("rb")
        for start in range(0, len(questions), BATCH):
            batch = questions[start:start + BATCH]
            s.sendall(b"".join(json.dumps(q).encode() + b"\n" for q in batch))
            for question in batch:
                answer = json.loads(lines.readline() or b"{}")
                if not answer.get("ok", "verdict" in answer):
                    raise AssertionError(f"{node.name}: explain {question}: {answer}")
                answers.append(answer)
    return answers


def _question(probe, ends, source_port):
    ips = [Place.of(end).ips[probe.family] for end in ends]
    question = {"op": "explain", "from": {"ip": ips[0]}, "to": {"ip": ips[1]},
                "protocol": probe.protocol, "port": probe.port, "source_port": source_port}
    if probe.protocol == "icmp":
        for name in ("port", "source_port"):
            del question[name]
        question |= {"protocol": "icmp" if probe.family == 4 else "icmpv6", "icmp_type": 8 if probe.family == 4 else 128}
    return question


def _decision(answer, direction):
    """(allowed, reason, policy, element of its list) of a pod, as the reference has it."""
    found, = (each for each in answer["decisions"] if each["direction"] == direction and "host_endpoint" not in each)
    policy = found.get("policy")
    if policy:
        kind, name = policy.split(" ")
        policy = f"{KINDS.get(kind, kind)} {name}"
    return found["verdict"] == "allowed", found["reason"], policy, found.get("written")


def decisions(pods, probes, source_port):
    """{probe: {"egress": decision of the source's node, "ingress": of the destination's}}; `pods` as below."""
    found = {probe: {} for probe in probes}
    for direction, end in (("egress", 0), ("ingress", 1)):
        asked = {}
        for probe in probes:
            ends = [pods[probe.source], pods[probe.target]]
            node = ends[end].node
            asked.setdefault(node.name, (node, []))[1].append((probe, _question(probe, ends, source_port)))
        for node, questions in asked.values():
            for (probe, _), answer in zip(questions, _ask(node, [q for _, q in questions])):
                found[probe][direction] = _decision(answer, direction)
    return found


def check(places, nodes, table, probes):
    """AssertionError when explain and the table differ. `places`: {name: Place} as the prober has them, `nodes`: {name:
    lab.Node} of those that are on a node or are one. Other probes are left out."""
    asked, found = {}, {}
    for probe in probes:
        ends = [places.get(probe.source), places.get(probe.target)]
        judges = {nodes[name].name: nodes[name] for name in (probe.source, probe.target) if name in nodes}
        if None in ends or not judges:
            continue
        question = _question(probe, ends, 40000)
        for node in judges.values():
            asked.setdefault(node.name, (node, []))[1].append((probe, question))
        found[probe] = True
    for node, questions in asked.values():
        for (probe, _), answer in zip(questions, _ask(node, [q for _, q in questions])):
            if answer["verdict"] == "elsewhere":
                raise AssertionError(f"{node.name}: nothing is decided there for {probe}: {answer}")
            found[probe] = found[probe] and answer["verdict"] == "allowed"
    wrong = {probe for probe in found if found[probe] != table.expects(probe)}
    if wrong:
        states = {probe: "open" if found[probe] else "silent" for probe in found}
        raise AssertionError("explain and the expected table differ: "
                             + tables.describe(states, table.expects, wrong, str(table)))
