"""The two scenes of the demo, as functions that test_demo.py calls, too."""

import contextlib
import threading

from lab import ZoneSpec
from lab.cluster import Cluster

from . import checks, look

PODS_PER_NODE = 2


class Scene:
    """A cluster to be built and the checks to be made on it. begin() builds it in the background, while
    the scene before it waits out an API outage; enter() waits for that, or builds it now."""

    def __init__(self, name, new, play):
        self.name = name
        self._new = new
        self._play = play
        self._thread = None
        self._cluster = None
        self._error = None

    def begin(self):
        self._thread = threading.Thread(target=self._build, name=f"scene {self.name}")
        self._thread.start()

    def _build(self):
        try:
            cluster = self._new()
            cluster.__enter__()  # pylint: disable=unnecessary-dunder-call  # enter()'s caller leaves it
            self._cluster = cluster
            cluster.start_nodes()
        except Exception as error:  # pylint: disable=broad-except  # raised again in enter()
            self._error = error

    def enter(self, stack):
        """The running cluster, taken down with 'stack'."""
        if self._thread is None:
            self.begin()
        self._thread.join()
        if self._cluster is not None:
            stack.push(self._cluster)
        if self._error is not None:
            raise self._error
        return self._cluster

    def play(self, report, cluster, meanwhile):
        self._play(report, cluster, meanwhile)


def play_all(report, names, stack, keep=False):
    """Plays the scenes in turn; gives back the clusters, which 'stack' takes down when 'keep' is set."""
    scenes = [Scene(name, *SCENES[name]) for name in names]
    clusters = []
    for scene, following in zip(scenes, [*scenes[1:], None]):
        with contextlib.ExitStack() as life:
            report.title(*TITLES[scene.name])
            cluster = None
            with report.check("bird, confd and felix come up on every node"):
                report.step("building the lab, starting bird, confd and felix on every node")
                cluster = scene.enter(life)
            if cluster is None:
                continue
            with report.check("all checks of the scene can be made"):
                scene.play(report, cluster, following.begin if following else None)
            clusters.append(cluster)
            if keep:
                stack.push(life.pop_all())
    return clusters


def start_pods(report, cluster):
    with report.check("pods start through the CNI plugin"):
        for node in cluster.nodes.values():
            for number in range(1, PODS_PER_NODE + 1):
                node.add_pod(f"{node.name}-pod{number}")


def two_zones(report, cluster, meanwhile=None):
    start_pods(report, cluster)
    look.node_tables(report, cluster, cluster.node("a1"))
    checks.two_zones(report, cluster)
    checks.outside(report, cluster)
    checks.daemons(report, cluster)
    node = checks.node_added(report, cluster, "b", "b3")
    checks.node_deleted(report, cluster, node)
    checks.pool_modes(report, cluster)
    checks.api_outage(report, cluster, meanwhile=meanwhile)


def two_racks(report, cluster, meanwhile=None):
    start_pods(report, cluster)
    look.node_tables(report, cluster, cluster.node("a1"))
    checks.racks(report, cluster)
    checks.outside(report, cluster)
    checks.daemons(report, cluster)
    node = checks.node_added(report, cluster, "b", "b3")
    checks.node_deleted(report, cluster, node)
    checks.api_outage(report, cluster, meanwhile=meanwhile)


def new_two_zones():
    return Cluster([ZoneSpec("a", ["a1", "a2"]), ZoneSpec("b", ["b1", "b2"])])


def new_two_racks():
    return Cluster([ZoneSpec("a", ["a1", "a2"], asn=65101), ZoneSpec("b", ["b1", "b2"], asn=65102)],
                   ipip_mode="Never", mesh=False)


SCENES = {"zones": (new_two_zones, two_zones), "racks": (new_two_racks, two_racks)}
TITLES = {"zones": ("two zones", "scene 1: two zones, native inside, IPIP between them"),
          "racks": ("two racks", "scene 2: two racks, an AS each, nodes peer with FRR switches")}
