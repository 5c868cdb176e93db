"""What the demo prints of a node and of the wire."""

from lab import Capture, Prober, probe_of
from lab.process import at_once


def node_tables(report, cluster, node):
    """BIRD's view, then the kernel's with the zone of each next hop."""
    report.block(f"{node.name}: birdc show protocols", node.birdc("show protocols"))
    report.block(f"{node.name}: birdc show route", node.birdc("show route"))
    lines = [f"{'destination':<24}{'next hop':<18}{'device':<17}{'zone':<8}how"]
    for route in node.routes(4) + node.routes(6):
        if route["dst"].startswith(("fe80", "ff00")):
            continue
        lines.append(f"{route['dst']:<24}{route.get('gateway', '-'):<18}"
                     f"{route.get('dev', route.get('type', '-')):<17}"
                     f"{zone_word(cluster, node, route):<8}{how_word(node, route)}")
    report.block(f"{node.name}: kernel routes", "\n".join(lines))


def zone_word(cluster, node, route):
    if route.get("dev", "").startswith("cali"):
        return node.zone.name
    zone = cluster.zone_of(route["gateway"]) if "gateway" in route else None
    return zone.name if zone else "-"


def how_word(node, route):
    device = route.get("dev", "")
    if route.get("type") in ("blackhole", "unreachable", "prohibit"):
        return "own block" if route["dst"] in (node.pod_cidr4, node.pod_cidr6) else route["type"]
    if device.startswith("cali"):
        return "pod here"
    if device == "tunl0":
        return "IPIP"
    if route["dst"] == "default" or route.get("protocol") == "kernel":
        return "host"
    return "native"


class Matrix:
    """All ordered pairs of pods, probed at once while every point of the wire is captured.

    Each pair's echo request carries a number of its own, so the path printed is where that very packet
    was seen, not where the configuration says it goes."""

    def __init__(self, cluster, family=4, wanted=lambda s, d: True):
        """`wanted` says which pairs of pods are to reach each other; the others get a second."""
        self.cluster = cluster
        self.family = family
        pods = [pod for pod in cluster.pods() if pod.ip(family)]
        self.pairs = {(s, d): (s.netns, d.ip(family)) for s in pods for d in pods if s is not d}
        points = self._open_captures()
        prober = Prober()
        try:
            self.reached = prober.probe(self.pairs, deadline=12, tries=6,
                                        wanted=[p for p in self.pairs if wanted(*p)])
            self.seen = self._sightings(points, prober.ident)
        finally:
            prober.close()
            for capture in points.values():
                capture.close()

    def _open_captures(self):
        points = {("node", n.name): Capture(n.netns, "eth0") for n in self.cluster.nodes.values()}
        for zone in self.cluster.zones.values():
            points["router", zone.name] = Capture(zone.netns, "br0")
            points["core", zone.name] = Capture(self.cluster.core, f"z{zone.number}")
        return points

    def _sightings(self, points, ident):
        """{pair: {point: the request as it was there}}"""
        seen = {pair: {} for pair in self.pairs}
        order = list(self.pairs)
        for point, capture in points.items():
            for packet in capture.packets():
                found = probe_of(packet)
                if found and found[0] == ident and not found[2] and found[1] < len(order):
                    seen[order[found[1]]].setdefault(point, packet)
        return seen

    def unreached(self, wanted=lambda s, d: True):
        return [f"{s.name} ({s.node.name}) -> {d.name} ({d.node.name})"
                for (s, d), ok in self.reached.items() if wanted(s, d) and not ok]

    def reached_wrongly(self, unwanted):
        return [f"{s.name} -> {d.name}" for (s, d), ok in self.reached.items()
                if ok and unwanted(s, d)]

    def between(self, source, destination):
        """The pairs of pods from one node to another."""
        return [k for k in self.pairs if k[0].node is source and k[1].node is destination]

    def node_pairs(self):
        nodes = list(self.cluster.nodes.values())
        return [(s, d) for s in nodes for d in nodes if s is not d]

    def on_wire(self, source, destination):
        """Requests for these nodes' pods as they left the source's node."""
        point = ("node", source.name)
        return [self.seen[k][point] for k in self.between(source, destination)
                if point in self.seen[k]]

    def encapsulations(self, wanted=lambda s, d: True):
        """{(source, destination): set of "native" and "IPIP+20"} for the node pairs that are wanted."""
        return {(s, d): {f"IPIP+{p.overhead}" if p.inner else "native" for p in self.on_wire(s, d)}
                for s, d in self.node_pairs() if wanted(s, d)}

    def core_packets(self):
        """Requests as the core saw them."""
        return [p for points in self.seen.values() for point, p in points.items()
                if point[0] == "core"]

    def show(self, report):
        lines = [f"{'from':<5}{'to':<5}{'zones':<7}{'pods':<6}{'path':<50}on the wire"]
        for source, destination in self.node_pairs():
            pairs = self.between(source, destination)
            reached = sum(self.reached[k] for k in pairs)
            zones = f"{source.zone.name}-{destination.zone.name}"
            paths = sorted({self._path(k) for k in pairs})
            lines.append(f"{source.name:<5}{destination.name:<5}{zones:<7}"
                         f"{f'{reached}/{len(pairs)}':<6}{' | '.join(paths):<50}"
                         f"{self._encapsulation(source, destination)}")
        same = [k for k in self.pairs if k[0].node is k[1].node]
        lines.append(f"on one node: {sum(self.reached[k] for k in same)}/{len(same)} pairs, "
                     "nothing on the wire")
        report.block(f"pod to pod, IPv{self.family}", "\n".join(lines))

    def _path(self, pair):
        source, destination = pair[0].node, pair[1].node
        seen = self.seen[pair]
        word = "tor" if source.zone.asn else "router"
        hops = [source.name]
        left = seen.get(("node", source.name))
        if left is None:
            return f"{source.name} > nothing"
        if left.inner:
            hops.append("tunl0")
        hops += [f"{word}-{source.zone.name}"] * (("router", source.zone.name) in seen)
        hops += ["core"] * any(point[0] == "core" for point in seen)
        if destination.zone is not source.zone:
            hops += [f"{word}-{destination.zone.name}"] * (("router", destination.zone.name) in seen)
        hops += [destination.name if ("node", destination.name) in seen else "lost"]
        return " > ".join(hops)

    def _encapsulation(self, source, destination):
        kinds = {f"IPIP {p.source} > {p.destination} +{p.overhead}" if p.inner else "native"
                 for p in self.on_wire(source, destination)}
        return ", ".join(sorted(kinds)) or "nothing"


def snapshot(node):
    """What must not change on a node while the API server is away: kernel state and BIRD's config."""
    return {
        "routes": sorted(node.netns.run(["ip", "route"]).splitlines()),
        "routes6": sorted(line for line in node.netns.run(["ip", "-6", "route"]).splitlines()
                          if not line.startswith("fe80")),
        "iptables": _without_counters(node.netns.run(["iptables-save"])),
        "ip6tables": _without_counters(node.netns.run(["ip6tables-save"])),
        "ipsets": sorted(node.netns.run(["ipset", "save"]).splitlines()),
        "bird.conf": node.bird_conf.read_text().splitlines(),
        "addresses": [" ".join(line.split()) for line in
                      node.netns.run(["ip", "-o", "addr"]).splitlines()],
    }


def snapshots(cluster):
    """{node's name: its snapshot}"""
    nodes = list(cluster.nodes.values())
    return dict(zip([node.name for node in nodes], at_once(snapshot, nodes)))


def differences(before, after):
    return [f"{name}: {line}" for name, was in before.items() for line in difference(was, after[name])]


def _without_counters(text):
    return [line.split("[")[0] for line in text.splitlines() if not line.startswith("#")]


def difference(before, after):
    """Lines that are in only one of two snapshots, for a failure's text."""
    lines = []
    for part, was in before.items():
        now = after[part]
        lines += [f"{part}: - {line}" for line in was if line not in now]
        lines += [f"{part}: + {line}" for line in now if line not in was]
    return lines
