#!/usr/bin/python3
"""Random policy sets: the reference evaluator against felix's own (build/tools/policy-eval), no kernel.

    test/policy/random_sets.py --count 2000 --seed 0

Every case is judged by a felix that starts with it, and by one that came to it from the case before, object by
object. A disagreement is made as small as it gets and printed.
"""

import argparse
import copy
import functools
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab.pod import ifname_of  # noqa: E402
from policy.cluster import kind_of  # noqa: E402
from policy.generate import HOSTS, NODE, Generator  # noqa: E402
from policy.oracle import EGRESS, INGRESS, USES, World  # noqa: E402

BUILD = Path(os.environ.get("CANAL_BUILD") or Path(__file__).resolve().parents[2] / "build")
HOST_SHARE = 16  # every so manieth packet is asked of host endpoints, too
# What the calculation must never do; everything else in the list of issues is about malformed input.
BROKEN = ("told of", "policy_state_holds", "a rule names a set", "policy ", "list ", "endpoint ")


text_of = functools.lru_cache(maxsize=10_000)(str)


def key_of(obj):
    return kind_of(obj), obj["metadata"].get("namespace"), obj["metadata"]["name"]


class Evaluator:
    """felix's decoders, calculation and evaluator in a process of their own."""

    def __init__(self):
        self.process = subprocess.Popen([str(BUILD / "tools/policy-eval")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.held = {}

    def send(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")

    def receive(self):
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"policy-eval ended with {self.process.wait()}")
        return json.loads(line)

    def start(self, case):
        """A felix that knows nothing but the interfaces of its pods."""
        self.send(reset=NODE)
        self.held = {}
        for (ns, pod), ips in case.pod_ips.items():
            self.send(local={"ifname": ifname_of(ns, pod), "namespace": ns, "pod": pod, "ips": ips})

    def put(self, obj):
        self.held[key_of(obj)] = obj
        self.send(object=obj)

    def drop(self, key):
        self.send(object=self.held.pop(key), delete=True)

    def flush(self):
        self.send(flush=True)
        return self.receive()

    def load(self, case):
        self.start(case)
        for obj in case.objects:
            self.put(obj)
        return self.flush()

    def move_to(self, case):
        """From the case before to this one, in an order of its own, with pauses in between."""
        rng = random.Random(f"order {case.seed}")
        wanted = {key_of(obj): obj for obj in case.objects}
        changes = [key for key in {**self.held, **wanted} if self.held.get(key) != wanted.get(key)]
        rng.shuffle(changes)
        issues = []
        for key in changes:
            if key in wanted:
                self.put(wanted[key])
            else:
                self.drop(key)
            if rng.random() < 0.15:
                issues += self.flush()
        return issues + self.flush()

    def told(self):
        """How many sets, members, and other things felix says are in force."""
        self.send(told=True)
        return self.receive()

    def judge(self, packets):
        self.send(packets=[[text_of(p.source), text_of(p.destination), *p[2:]] for p in packets])
        return self.receive()

    def judge_host(self, interface, packets):
        """[[decision of one use and direction]], None when this is no host endpoint's."""
        self.send(host=interface, packets=[[text_of(p.source), text_of(p.destination), *p[2:]] for p in packets])
        answers = self.receive()
        return answers and [[end or [True, "nothing", None, None] for end in answer] for answer in answers]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        code = self.process.wait(timeout=30)
        if code:
            raise RuntimeError(f"policy-eval ended with {code}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def verdicts_of(case, packets):
    """What the reference says, in the form felix's answers have: with the policy that decides and which element of
    its list, as it was written."""
    world = World(case.objects, node=NODE)
    return [[verdict.is_allowed, *(list(d) if d else None for d in (verdict.egress, verdict.ingress))]
            for verdict in map(world.verdict, packets)]


def host_verdicts(case, name, packets):
    """What the reference says of a host endpoint, in the order policy-eval has."""
    world = World(case.objects, node=NODE)
    if name not in world.cluster.hosts:
        return None
    return [[list(world.decide_host(name, direction, use, pkt)) for use in USES for direction in (INGRESS, EGRESS)]
            for pkt in packets]


def broken(issues):
    return [text for text in issues if text.startswith(BROKEN)]


def check(evaluator, case, load, packets, expected):
    """[(packet, expected, got)] of one case; `load` brings felix to it."""
    wrong = broken(load(case))
    if wrong:
        return [(None, "a consistent calculation", wrong)]
    found = [each for each in zip(packets, expected, evaluator.judge(packets), strict=True) if each[1] != each[2]]
    for name, interface in HOSTS:
        some = packets[::HOST_SHARE]
        wanted, got = host_verdicts(case, name, some), evaluator.judge_host(interface, some)
        if (wanted is None) != (got is None):
            found.append((None, wanted and f"{name} is enforced", got and f"{name} is enforced"))
        found += [each for each in zip(some, wanted or [], got or []) if each[1] != each[2]]
    if not found and (wrong := broken(evaluator.flush())):
        return [(None, "a consistent evaluation", wrong)]
    return found


def shrink(case, found):
    """The case with everything taken out that the disagreement does not need, and the first disagreement."""
    small = copy.deepcopy(case)
    packets = [pkt for pkt, _, _ in found[:20] if pkt]
    first = None
    with Evaluator() as evaluator:
        def fails(objects):
            nonlocal first
            small.objects = objects
            found = check(evaluator, small, evaluator.load, packets, verdicts_of(small, packets))
            first = found[0] if found else first
            return bool(found)

        kept = small.objects
        if not fails(kept):
            return case, None
        for obj in list(kept):
            if obj["kind"] == "Namespace" or (obj["metadata"].get("namespace"), obj["metadata"]["name"]) in case.pod_ips:
                continue
            fewer = [other for other in kept if other is not obj]
            if fails(fewer):
                kept = fewer
        for obj in list(kept):
            for direction in ("ingress", "egress"):
                kept = _shrink_list(kept, obj, direction, fails)
        fails(kept)
    return small, first


def _shrink_list(objects, obj, direction, fails):
    for rule in list((obj.get("spec") or {}).get(direction) or []):
        rules = obj["spec"][direction]
        obj["spec"][direction] = [other for other in rules if other is not rule]
        if not fails(objects):
            obj["spec"][direction] = rules
    return objects


def explain(case, found, how):
    """A disagreement as text: the packets and, made small, the objects."""
    text = [f"seed {case.seed} ({how}): {len(found)} verdicts differ"]
    small, first = shrink(case, found)
    pkt, expected, got = first or found[0]
    text += [f"  packet    {pkt}", f"  reference {expected}", f"  felix     {got}"]
    if first:
        ends = {str(pkt.source), str(pkt.destination)} if pkt else set()
        text += [f"  {json.dumps(obj)}" for obj in small.objects if obj["kind"] != "Pod" or
                 ends & {entry["ip"] for entry in obj["status"]["podIPs"]}]
    else:
        text.append("  only on the way from the case before")
    return "\n".join(text)


def run(count, seed, sample=None, report=print):
    """How many cases were compared and how many verdicts; the disagreements as texts. `sample`: that many packets
    of each case, not all."""
    compared = verdicts = 0
    disagreements, before = [], None
    with Evaluator() as fresh, Evaluator() as moving:
        for number in range(seed, seed + count):
            case = Generator(number, is_wild=True).case()
            packets = case.packets()
            if sample:
                packets = random.Random(f"sample {number}").sample(packets, sample)
            expected = verdicts_of(case, packets)
            for evaluator, load, how in (
                    (fresh, fresh.load, "from the start"),
                    (moving, moving.move_to if before else moving.load, "from the case before")):
                found = check(evaluator, case, load, packets, expected)
                if found:
                    disagreements.append(explain(case, found, how))
                    report(disagreements[-1])
            if fresh.told() != moving.told():
                disagreements.append(f"seed {number}: on the way from the case before something is left or missing: "
                                     f"sets, members and others {moving.told()}, not {fresh.told()}")
                report(disagreements[-1])
            compared, verdicts, before = compared + 1, verdicts + 2 * len(packets), case
            if len(disagreements) >= 10:
                break
    return compared, verdicts, disagreements


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    start = time.monotonic()
    compared, verdicts, disagreements = run(args.count, args.seed)
    print(f"{compared} policy sets, {verdicts} verdicts, {len(disagreements)} disagreements, "
          f"{time.monotonic() - start:.0f} s")
    return bool(disagreements)


if __name__ == "__main__":
    sys.exit(main())
