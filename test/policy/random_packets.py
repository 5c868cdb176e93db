#!/usr/bin/python3
"""Random policy sets and real packets: what the reference evaluator says of them, felix on two nodes has to do.

    test/policy/random_packets.py --count 2000 --seed 0 --backend nft

One lab, nine pods, wired once; a case is what differs from the one before, written to the API server while felix
runs. When felix says that it is in force, every pod asks every other on two ports by three protocols, and by
ping, in both families.
"""

import argparse
import json
import random
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "functional")]

from apiserver.client import ApiFailure  # noqa: E402
from lab import LabError  # noqa: E402
from lab.node import POOL4, POOL6  # noqa: E402
from lab.packets import Prober as Pinger  # noqa: E402
from policy import explained  # noqa: E402
from policy.cluster import kind_of  # noqa: E402
from policy.generate import Generator  # noqa: E402
from policy.oracle import World as Reference  # noqa: E402
from policy.oracle import packet  # noqa: E402
from policy.passage import UNSETTLED, Passage  # noqa: E402
from policy.prober import ARRIVED, DENIED_SECONDS, OPEN, SILENT, Probe  # noqa: E402
from policy.random_hosts import Hosts  # noqa: E402

SOURCE_PORT = 25000  # like those of probes, it is no port that rules name
RULES_PORT = 40000
EXPLAINED = 24  # probes of a case that felix is asked to explain
BUILTIN = ("v1", "networking.k8s.io/v1", "discovery.k8s.io/v1")


def key_of(obj):
    return kind_of(obj), obj["metadata"].get("namespace"), obj["metadata"]["name"]


def ping_once(pairs, seconds, tries):
    pinger = Pinger()  # with an identifier of its own: no answer is taken for one to an earlier call
    try:
        return pinger.probe(pairs, seconds, tries)
    finally:
        pinger.close()


def ping(places, probes, allowed):
    """{probe: "open" or "silent"}. Those that are to be answered and were not at once are asked again."""
    pairs = {probe: (places[probe.source].netns, places[probe.target].ips[probe.family]) for probe in probes}
    answers = ping_once(pairs, DENIED_SECONDS, 1)
    late = {probe: pairs[probe] for probe in allowed if not answers[probe]}
    if late:
        answers |= ping_once(late, 3.0, 3)
    return {probe: OPEN if answers[probe] else SILENT for probe in probes}


def without_version(obj):
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "generation")}
    return {**obj, "metadata": metadata}


class Player:
    """Brings a policy World (world.py) from case to case; on exit it is what it was."""

    def __init__(self, world, sample=None):
        """`sample`: that many probes of each case, not all."""
        self.world, self.sample = world, sample
        self.pods = {(pod.namespace, pod.name): pod for pod in world.pods()}
        self.held = {}    # what the cases made, by key
        self.before = {}  # objects of the world that cases change
        self.version = {}  # custom resources are replaced by who knows their version
        names = list(world.prober.places)
        pairs = world.prober.pairs(names, names)
        self.hosts = Hosts(world)
        self.node_objects = [without_version(world.client.get("Node", name)) for name in world.nodes]
        self.places = dict(world.prober.places)
        probes = pairs + self.hosts.probes(names)
        self.all = probes + [Probe(p.source, p.target, "icmp", 0, p.family) for p in probes
                             if (p.protocol, p.port) == ("tcp", 80)]
        for place in self.places.values():
            # Rules name this port: no probe may have it by chance.
            place.netns.sysctl({"net/ipv4/ip_local_reserved_ports": RULES_PORT})

    def case(self, seed):
        return Generator(seed, pod_ips={key: [pod.ip(4), pod.ip(6)] for key, pod in self.pods.items()},
                         nodes={key: pod.node.name for key, pod in self.pods.items()}, hosts=self.hosts.addresses,
                         outside=list(self.hosts.outside.ips.values()), node_objects=self.node_objects).case()

    def _put(self, obj):
        client = self.world.client
        key = key_of(obj)
        if key not in self.held and key not in self.before:
            try:
                self.version[key] = client.create(obj)["metadata"]["resourceVersion"]
                return
            except ApiFailure as failure:
                if failure.code != 409:
                    raise
            self.before[key] = client.get(obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace"))
        if obj["apiVersion"] not in BUILTIN:
            obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": self.version[key]}}
        self.version[key] = client.replace(obj)["metadata"]["resourceVersion"]

    def _drop(self, obj):
        key = key_of(obj)
        if key in self.before:
            self.world.client.replace(without_version(self.before.pop(key)))
            return
        metadata = obj["metadata"]
        self.world.client.request("DELETE", self.world.client.path(
            obj["kind"], metadata["name"], metadata.get("namespace"), api_version=obj["apiVersion"]))

    def move_to(self, objects):
        wanted = {key_of(obj): obj for obj in objects}
        for key, obj in list(self.held.items()):
            if key not in wanted:
                self._drop(obj)
                del self.held[key]
        for key, obj in wanted.items():
            if self.held.get(key) != obj:
                self._put(obj)
                self.held[key] = obj
        self.world.settle()

    def packet_of(self, probe):
        """The first packet of a probe."""
        ends = (self.places[probe.source].ips[probe.family], self.places[probe.target].ips[probe.family])
        if probe.protocol == "icmp":
            protocol, kind = ("ICMP", 8) if probe.family == 4 else ("ICMPv6", 128)
            return packet(*ends, protocol, 0, 0, icmp=(kind, 0))
        return packet(*ends, probe.protocol.upper(), probe.port, SOURCE_PORT)

    def probes_of(self, case):
        return random.Random(f"sample {case.seed}").sample(self.all, self.sample or len(self.all))

    def expected(self, case, reference, probes):
        """{probe: what has to become of it}, without those of which that depends on the time."""
        to_host = next(obj["spec"].get("defaultEndpointToHostAction", "Drop") for obj in case.objects
                       if obj["kind"] == "FelixConfiguration")
        passage = Passage(reference, self.hosts.addresses, (POOL4, POOL6), to_host)
        states = {probe: passage.connect(self.packet_of(probe)) for probe in probes}
        # Of TCP and pings nothing is seen where the answer does not come.
        return {probe: SILENT if state == ARRIVED and probe.protocol in ("tcp", "icmp") else state
                for probe, state in states.items() if state != UNSETTLED}

    def play(self, case):
        """How many probes were sent; [(probe, what has to become of it, what became of it)] of those that differ."""
        self.move_to(case.objects)
        reference, states, probes = Reference(case.objects), {}, self.probes_of(case)
        expected = self.expected(case, reference, probes)
        probes = list(expected)
        answered = {probe for probe, state in expected.items() if state == OPEN}
        pings = [probe for probe in probes if probe.protocol == "icmp"]
        pinging = threading.Thread(target=lambda: states.update(ping(self.places, pings, answered & set(pings))))
        pinging.start()
        states |= self.world.prober.probe([probe for probe in probes if probe.protocol != "icmp"],
                                          answered - set(pings))
        pinging.join()
        return len(probes), ([(probe, expected[probe], states.get(probe)) for probe in probes
                              if states.get(probe) != expected[probe]] + self.explained(case, reference))

    def explained(self, case, reference):
        """The same of what felix explains about some of the pods' probes: which rule of which policy decides at
        each end."""
        rng = random.Random(f"explained {case.seed}")
        pods = {pod.key: pod for pod in self.pods.values()}
        asked = rng.sample([probe for probe in self.all
                            if probe.source in pods and probe.target in pods], EXPLAINED)
        wrong = []
        for probe, got in explained.decisions(pods, asked, SOURCE_PORT).items():
            verdict = reference.verdict(self.packet_of(probe))
            wanted = {direction: (decision.is_allowed, decision.reason, decision.policy, decision.rule)
                      for direction, decision in (("egress", verdict.egress), ("ingress", verdict.ingress))}
            if got != wanted:
                wrong.append((probe, f"explained by {wanted}", got))
        return wrong

    def close(self):
        self.hosts.close()
        self.move_to([])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def run(world, seeds, sample=None, report=print):
    """How many cases were played, how many packets; the disagreements as texts."""
    played = packets = 0
    disagreements = []
    with Player(world, sample) as player:
        for seed in seeds:
            try:
                count, found = player.play(player.case(seed))
            except LabError as error:
                error.add_note(f"with seed {seed}")
                raise
            played, packets = played + 1, packets + count
            if played % 100 == 0:
                report(f"{world.backend}, to seed {seed}: {played} policy sets, {packets} packets", flush=True)
            if found:
                lines = [f"{world.backend}, seed {seed}: {len(found)} of {count} packets and {EXPLAINED} explanations"]
                lines += [f"  {probe} has to be {wanted}, is {got}" for probe, wanted, got in found[:5]]
                disagreements.append("\n".join(lines))
                report(disagreements[-1], flush=True)
            if len(disagreements) >= 10:
                break
    return played, packets, disagreements


def main():
    from policy.world import World  # needs the built programs
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", choices=("nft", "legacy"), default="nft")
    parser.add_argument("--sample", type=int, help="so many packets of a case, not all")
    parser.add_argument("--show", action="store_true", help="print the objects of the cases")
    args = parser.parse_args()
    with World(args.backend) as world:
        world.start_nodes()
        world.populate()
        if args.show:
            with Player(world) as player:
                for seed in range(args.seed, args.seed + args.count):
                    print("\n".join(json.dumps(obj) for obj in player.case(seed).objects))
        start = time.monotonic()
        played, packets, disagreements = run(world, range(args.seed, args.seed + args.count), args.sample)
    print(f"{args.backend}: {played} policy sets, {packets} packets, {len(disagreements)} disagreements, "
          f"{time.monotonic() - start:.0f} s")
    return bool(disagreements)


if __name__ == "__main__":
    sys.exit(main())
