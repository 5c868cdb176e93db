"""The two scenes of the demo, as functions that test_demo.py calls, too."""

from lab import ZoneSpec
from lab.cluster import Cluster

from . import checks, look

PODS_PER_NODE = 2


def start(report, cluster):
    report.step("starting bird, confd and felix on every node")
    cluster.start_nodes()
    report.step("starting pods through the CNI plugin")
    for node in cluster.nodes.values():
        for number in range(1, PODS_PER_NODE + 1):
            node.add_pod(f"{node.name}-pod{number}")


def two_zones(report, cluster):
    report.title("two zones", "scene 1: two zones, native inside, IPIP between them")
    with report.check("the cluster comes up"):
        start(report, cluster)
    look.node_tables(report, cluster, cluster.node("a1"))
    checks.two_zones(report, cluster)
    checks.outside(report, cluster)
    checks.daemons(report, cluster)
    node = checks.node_added(report, cluster, "b", "b3")
    checks.node_deleted(report, cluster, node)
    checks.pool_modes(report, cluster)
    checks.api_outage(report, cluster)


def two_racks(report, cluster):
    report.title("two racks", "scene 2: two racks, an AS each, nodes peer with FRR switches")
    with report.check("the cluster comes up"):
        start(report, cluster)
    look.node_tables(report, cluster, cluster.node("a1"))
    checks.racks(report, cluster)
    checks.outside(report, cluster)
    checks.daemons(report, cluster)
    node = checks.node_added(report, cluster, "b", "b3")
    checks.node_deleted(report, cluster, node)
    checks.api_outage(report, cluster)


def new_two_zones():
    return Cluster([ZoneSpec("a", ["a1", "a2"]), ZoneSpec("b", ["b1", "b2"])])


def new_two_racks():
    return Cluster([ZoneSpec("a", ["a1", "a2"], asn=65101), ZoneSpec("b", ["b1", "b2"], asn=65102)],
                   ipip_mode="Never", mesh=False)


SCENES = {"zones": (new_two_zones, two_zones), "racks": (new_two_racks, two_racks)}
