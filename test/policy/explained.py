"""What felix says of every probe when it is asked to explain, against the expected table: on the node of the
source and that of the destination, each of which judges its own end."""

import json
import socket

from . import tables

BATCH = 64


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


def check(pods, table, probes):
    """AssertionError when explain and the table differ. `pods`: {name: lab.Pod}; other probes are left out."""
    asked, found = {}, {}
    for probe in probes:
        ends = [pods.get(probe.source), pods.get(probe.target)]
        if None in ends:
            continue
        question = {"op": "explain", "from": {"ip": ends[0].ip(probe.family)}, "to": {"ip": ends[1].ip(probe.family)},
                    "protocol": probe.protocol, "port": probe.port, "source_port": 40000}
        for node in {end.node.name: end.node for end in ends}.values():
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
