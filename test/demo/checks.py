"""The checks of both scenes. Each takes the report and the cluster, and leaves the cluster as it was."""

import socket
import time

from lab import Stream, wait_for
from lab.topology import OUTSIDE4, OUTSIDE6

from .look import Matrix, differences, snapshots
from .report import demand

RATE = 50  # packets a second and flow
OUTAGE = 30  # seconds without an API server


def same_zone(source, destination):
    return source.zone is destination.zone


def other_zone(source, destination):
    return not same_zone(source, destination)


def pods_same_zone(source, destination):
    return same_zone(source.node, destination.node)


def wrong(kinds, expected):
    return [f"{s.name} -> {d.name}: {', '.join(sorted(k)) or 'nothing seen'}"
            for (s, d), k in kinds.items() if k != expected]


# ---- reachability and encapsulation
def two_zones(report, cluster):
    """Scene 1: native inside a zone, IPIP between zones."""
    matrix = Matrix(cluster)
    matrix.show(report)
    with report.check("every pod reaches every pod") as remark:
        missing = matrix.unreached()
        demand(not missing, "\n".join(missing))
        remark(f"{len(matrix.pairs)} pairs")
    with report.check("no encapsulated packet inside a zone"):
        found = wrong(matrix.encapsulations(same_zone), {"native"})
        demand(not found, "\n".join(found))
    with report.check("only IPIP between zones, 20 bytes of overhead"):
        found = wrong(matrix.encapsulations(other_zone), {"IPIP+20"})
        demand(not found, "\n".join(found))
        core = matrix.core_packets()
        demand(core and all(p.inner for p in core), "the core saw pod packets without IPIP")
        nodes = {n.ip4 for n in cluster.nodes.values()}
        demand(all({p.source, p.destination} <= nodes for p in core),
               "the core saw outer addresses that are no node's")
    matrix6 = Matrix(cluster, family=6, wanted=pods_same_zone)
    matrix6.show(report)
    with report.check("IPv6 is native inside a zone and never tunnelled"):
        missing = matrix6.unreached(pods_same_zone)
        demand(not missing, "\n".join(missing))
        crossed = matrix6.reached_wrongly(lambda s, d: not pods_same_zone(s, d))
        demand(not crossed, "between zones, past the core:\n" + "\n".join(crossed))
        found = wrong(matrix6.encapsulations(same_zone), {"native"})
        demand(not found, "\n".join(found))


def racks(report, cluster):
    """Scene 2: the switches route both families, nothing is encapsulated."""
    for family in (4, 6):
        matrix = Matrix(cluster, family=family)
        matrix.show(report)
        with report.check(f"every pod reaches every pod through the switches, IPv{family}") as remark:
            missing = matrix.unreached()
            demand(not missing, "\n".join(missing))
            remark(f"{len(matrix.pairs)} pairs")
        with report.check(f"no encapsulated packet anywhere, IPv{family}"):
            found = wrong(matrix.encapsulations(), {"native"})
            demand(not found, "\n".join(found))
            demand(not matrix.core_packets(), "pod packets passed the core")


# ---- the outside
def outside(report, cluster):
    for family, address in ((4, OUTSIDE4), (6, OUTSIDE6)):
        with report.check(f"pods reach the outside with masquerade, IPv{family}"):
            for pod in cluster.pods():
                seen = ask_outside(cluster, pod, address)
                node = pod.node.ip4 if family == 4 else pod.node.ip6
                demand(seen == node, f"{pod.name}: the outside saw {seen}, its node is {node}")


def ask_outside(cluster, pod, address, deadline=8):
    """The pod asks over UDP; gives back the address that the outside host saw and answered."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = cluster.outside.socket(family, socket.SOCK_DGRAM)
    client = pod.netns.socket(family, socket.SOCK_DGRAM)
    try:
        server.bind((address, 0))
        server.settimeout(0.5)
        client.settimeout(0.5)
        client.connect(server.getsockname()[:2])
        until = time.monotonic() + deadline
        while time.monotonic() < until:
            try:
                client.send(b"who am I")
                _, peer = server.recvfrom(100)
                server.sendto(peer[0].encode(), peer)
                demand(client.recv(100).decode() == peer[0], "the answer was changed on its way")
                return peer[0]
            except OSError:
                continue
        return "nothing"
    finally:
        server.close()
        client.close()


# ---- nothing is lost
def flows_of(cluster):
    """Both ways between the first pods of two nodes of a zone, and of two zones; IPv6 where it goes."""
    first = [next(iter(node.pods.values())) for node in cluster.nodes.values() if node.pods]
    near, far = first[:2], [first[0], first[-1]]
    flows = {}
    for label, (one, two) in (("zone", near), ("zones", far)):
        for source, target in ((one, two), (two, one)):
            flows[f"{source.name}>{target.name}"] = (source.netns, target.netns, target.ip(4))
        if label == "zone" or one.node.zone.asn:
            flows[f"{one.name}>{two.name}/6"] = (one.netns, two.netns, two.ip(6))
    return flows


class Survival:
    """Steps done under one running stream; each step's losses are known once it has drained."""

    def __init__(self, report, cluster):
        self.report = report
        self.cluster = cluster
        self.stream = Stream(flows_of(cluster), RATE)
        self.steps = []

    def __enter__(self):
        self.stream.start()
        wait_for(lambda: self.stream.sent() > 20 * len(self.stream.flows), 20, "the stream to run")
        return self

    def step(self, name, action):
        """Runs action() and keeps the stream's marks around it; its verdict comes at the end."""
        start, error, began = self.stream.mark(), None, time.monotonic()
        try:
            action()
        except Exception as caught:  # pylint: disable=broad-except  # reported as the check's failure
            error = f"{type(caught).__name__}: {caught}"
        # One more second of traffic belongs to the step: what it broke may show late.
        after = self.stream.sent() + RATE * len(self.stream.flows)
        wait_for(lambda: self.stream.sent() >= after, 60, "the stream to go on")
        self.steps.append((name, start, self.stream.mark(), error, time.monotonic() - began))
        self.report.step(f"  {name}: {error or 'done'} ({self.steps[-1][4]:.1f} s)")

    def __exit__(self, kind, *_):
        flows = self.stream.stop(drain=2.0)
        if kind is not None:
            return
        for name, start, end, error, _ in self.steps:
            with self.report.check(f"{name}: no packet lost") as remark:
                demand(error is None, error)
                lost = self.stream.lost_between(start, end)
                sent = sum(end.values()) - sum(start.values())
                demand(not lost, "\n".join(f"{flow}: lost {len(n)} from number {n[0]}"
                                           for flow, n in lost.items()))
                demand(sent >= len(flows), "the stream did not run")
                remark(f"{sent} sent")


def daemons(report, cluster):
    """kill -9 and planned restart of each, on three different nodes in turn, under the stream."""
    nodes = list(cluster.nodes.values())
    a, b = nodes[0], nodes[-1]
    report.step(f"streams of {RATE} packets/s while daemons end and come back")
    with Survival(report, cluster) as run:
        run.step("kill -9 of confd", lambda: restart_confd(cluster, a, kill=True))
        run.step("kill -9 of felix", lambda: restart_felix(a, kill=True))
        run.step("kill -9 of bird", lambda: kill_bird(cluster, a))
        run.step("planned restart of confd", lambda: restart_confd(cluster, b))
        run.step("planned restart of felix", lambda: restart_felix(b))
        run.step("planned restart of bird", lambda: restart_bird(cluster, b))


def restart_confd(cluster, node, kill=False):
    (node.confd.kill9 if kill else node.confd.stop)()
    node.confd.start()
    wait_for(node.confd_ready, 40, f"{node.name}: confd to be ready")
    cluster.wait_bgp()


def restart_felix(node, kill=False):
    (node.felix.kill9 if kill else node.felix.stop)()
    node.felix.start()
    wait_for(node.felix_ready, 40, f"{node.name}: felix to be ready")


def kill_bird(cluster, node):
    node.kill_bird()
    settle(cluster)


def restart_bird(cluster, node):
    node.restart_bird_gracefully()
    settle(cluster)


def settle(cluster):
    """All sessions and all routes. A switch that booted less than two minutes ago says so in its OPEN (the
    restart bit); BIRD then does not wait for it (RFC 4724, 4.1) and its routes are away for a second, in
    which the host's default route leads to the same switch."""
    cluster.wait_bgp()
    cluster.wait_routes()


def api_outage(report, cluster, seconds=OUTAGE, meanwhile=None):
    """meanwhile() is called when the outage has begun; what it starts must not touch this cluster."""
    report.step(f"the API server is gone for {seconds} s")
    before = snapshots(cluster)
    changed = []

    def outage():
        cluster.api.down()
        try:
            until = time.monotonic() + seconds
            if meanwhile is not None:
                meanwhile()
            while time.monotonic() < until:
                time.sleep(min(5, max(0, until - time.monotonic())))
                report.step(f"    {max(0, until - time.monotonic()):.0f} s left")
            changed.extend(differences(before, snapshots(cluster)))
        finally:
            cluster.api.up()

    with Survival(report, cluster) as run:
        run.step(f"API server gone for {seconds} s", outage)
    with report.check("API server gone: nothing changes on any node"):
        demand(not changed, "\n".join(changed))
    with report.check("API server back: still nothing changes, and all is ready"):
        wait_for(lambda: all(n.felix_ready() and n.confd_ready() for n in cluster.nodes.values()),
                 60, "felix and confd to be ready")
        found = differences(before, snapshots(cluster))
        demand(not found, "\n".join(found))


# ---- nodes come and go
def node_added(report, cluster, zone, name):
    """A node joins and a pod starts on it; hands the node back."""
    report.step(f"node {name} joins zone {zone}")
    node = cluster.add_node(zone, name)
    with report.check(f"node {name} added: reachable from every pod within seconds") as remark:
        began = time.monotonic()
        cluster.start_node(node)
        wait_for(node.felix_ready, 60, f"{name}: felix to be ready")
        pod = node.add_pod(f"{name}-pod1")
        pairs = {}
        for other in cluster.pods():
            if other is not pod:
                pairs["to", other.name] = (pod.netns, other.ip(4))
                pairs["from", other.name] = (other.netns, pod.ip(4))
        wait_for(lambda: all(_probe(pairs).values()), 60,
                 lambda: f"still unreached: {[k for k, ok in _probe(pairs).items() if not ok]}")
        took = time.monotonic() - began
        remark(f"{took:.1f} s from its first process to {len(pairs)} pairs reached")
    return node


def _probe(pairs):
    from lab import probe  # pylint: disable=import-outside-toplevel

    return probe(pairs, deadline=1.0)


def node_deleted(report, cluster, node):
    report.step(f"node {node.name} is deleted")
    with report.check(f"node {node.name} deleted: its routes are gone everywhere") as remark:
        began = time.monotonic()
        cluster.delete_node(node)
        cidrs = {node.pod_cidr4, node.pod_cidr6}

        def left():
            return [f"{other.name}: {route['dst']}" for other in cluster.nodes.values()
                    for family in (4, 6) for route in other.routes(family)
                    if route["dst"] in cidrs]

        wait_for(lambda: not left(), 60, lambda: f"routes to go: {left()}", interval=0.2)
        remark(f"{time.monotonic() - began:.1f} s")
        for zone in cluster.zones.values():
            if zone.switch:
                wait_for(lambda s=zone.switch: node.pod_cidr4 not in s.routes(), 60,
                         f"the switch of {zone.name} to forget it")


# ---- the pool's mode
def pool_modes(report, cluster):
    """CrossSubnet → Always → Never → CrossSubnet on the live cluster."""
    native, ipip = {"native"}, {"IPIP+20"}
    for mode, near, far, what in (
            ("Always", ipip, ipip, "IPIP everywhere"),
            ("Never", native, native, "nothing encapsulated, nothing crosses zones"),
            ("CrossSubnet", native, ipip, "as at first")):
        report.step(f"the pool becomes ipipMode {mode}")
        with report.check(f"pool switched live to {mode}: {what}") as remark:
            began = time.monotonic()
            cluster.set_pool(ipipMode=mode)
            _wait_devices(cluster, near == ipip, far == ipip)
            remark(f"routes after {time.monotonic() - began:.1f} s")
            if mode == "Never":
                _check_never(cluster)
                continue
            matrix = Matrix(cluster)
            missing = matrix.unreached()
            demand(not missing, "\n".join(missing))
            found = wrong(matrix.encapsulations(same_zone), near) + \
                wrong(matrix.encapsulations(other_zone), far)
            demand(not found, "\n".join(found))


def _check_never(cluster):
    """Zones are separate now: what leaves for the other one does so as it is, and the core drops it."""
    before = cluster.filter.drops()[4]
    matrix = Matrix(cluster, wanted=pods_same_zone)
    missing = matrix.unreached(pods_same_zone)
    demand(not missing, "\n".join(missing))
    crossed = matrix.reached_wrongly(lambda s, d: not pods_same_zone(s, d))
    demand(not crossed, "\n".join(crossed))
    found = wrong(matrix.encapsulations(same_zone), {"native"})
    tunnelled = [f"{s.name} -> {d.name}: {', '.join(sorted(kinds))}"
                 for (s, d), kinds in matrix.encapsulations(other_zone).items()
                 if kinds - {"native"}]
    demand(not found + tunnelled, "\n".join(found + tunnelled))
    if matrix.core_packets():
        demand(cluster.filter.drops()[4] > before, "the core dropped nothing")


def _wait_devices(cluster, near, far):
    def settled():
        for node in cluster.nodes.values():
            routes = {r["dst"]: r for r in node.routes(4)}
            for other in cluster.nodes.values():
                if other is node:
                    continue
                tunnel = near if other.zone is node.zone else far
                route = routes.get(other.pod_cidr4)
                if route is None or (route.get("dev") == "tunl0") != tunnel:
                    return False
        return True

    wait_for(settled, 60, "the kernel routes to follow", interval=0.2)
