"""The lab: zones, routers, nodes, switches and pods in network namespaces. See docs/lab.md."""

from .lab import Lab
from .netns import LabError, Netns
from .packets import Capture, Packet, Prober, Stream, probe, probe_of
from .process import Daemon, wait_for
from .topology import ZoneSpec

__all__ = ["Lab", "LabError", "Netns", "Capture", "Packet", "Prober", "Stream", "probe", "probe_of",
           "Daemon", "wait_for", "ZoneSpec"]
