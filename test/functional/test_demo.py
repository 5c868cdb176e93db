"""Every check of `make demo`, one test each; both scenes are played once."""

import contextlib
import sys

import pytest

from demo.report import Report
from demo.scenes import SCENES, play_all

pytestmark = pytest.mark.ipip

RESTARTS = [f"{how} of {daemon}: no packet lost" for how in ("kill -9", "planned restart")
            for daemon in ("confd", "felix", "bird")]
OUTAGE = ["API server gone for 30 s: no packet lost",
          "API server gone: nothing changes on any node",
          "API server back: still nothing changes, and all is ready"]
NODES = ["node b3 added: reachable from every pod within seconds",
         "node b3 deleted: its routes are gone everywhere"]
OUTSIDE = [f"pods reach the outside with masquerade, IPv{family}" for family in (4, 6)]

START = ["bird, confd and felix come up on every node", "pods start through the CNI plugin",
         "all checks of the scene can be made"]

CHECKS = {
    "two zones": [
        *START, "every pod reaches every pod",
        "no encapsulated packet inside a zone",
        "only IPIP between zones, 20 bytes of overhead",
        "IPv6 is native inside a zone and never tunnelled", *OUTSIDE, *RESTARTS, *OUTAGE, *NODES,
        "pool switched live to Always: IPIP everywhere",
        "pool switched live to Never: nothing encapsulated, nothing crosses zones",
        "pool switched live to CrossSubnet: as at first"],
    "two racks": [
        *START, *[f"{what}, IPv{family}" for family in (4, 6) for what in
                                  ("every pod reaches every pod through the switches",
                                   "no encapsulated packet anywhere")],
        *OUTSIDE, *RESTARTS, *OUTAGE, *NODES],
}
NAMES = [f"{scene}: {check}" for scene, checks in CHECKS.items() for check in checks]


@pytest.fixture(name="played", scope="module")
def played_fixture():
    report = Report(out=sys.stdout)
    with contextlib.ExitStack() as stack:
        play_all(report, list(SCENES), stack)
    return report


@pytest.mark.parametrize("name", NAMES)
def test_the_demo_holds(played, name):
    assert name in played.passed, played.reasons.get(name, "the check was not made")


def test_the_demo_makes_no_check_that_is_not_listed(played):
    assert set(played.passed) | set(played.failed) == set(NAMES)
