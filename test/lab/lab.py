"""Builds a lab, keeps track of everything in it, takes it down.

    with Lab([ZoneSpec("a", ["a1", "a2"]), ZoneSpec("b", ["b1", "b2"])]) as lab:
        lab.node("a1").netns.run([...])

Leaving the block ends every process and removes every namespace and directory the lab made, also after
an exception, Ctrl-C or SIGTERM. The names of its namespaces carry a random tag, so labs run side by side.
"""

import atexit
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

from . import topology
from .netns import LabError, Netns, ip_batch
from .node import Node
from .process import Daemon, wait_for
from .switch import Switch
from .topology import Zone

ROOT = Path(__file__).resolve().parents[2]


def _on_sigterm(*_):
    sys.exit(128 + signal.SIGTERM)  # as an exception, so that the with blocks end in order


class Lab:
    """All zones, nodes, switches and pods of one test."""

    node_class = Node

    def __init__(self, zones, mtu=1500, keep_logs=None):
        self.tag = "lab" + secrets.token_hex(2)
        self.mtu = mtu
        self.dir = Path(tempfile.mkdtemp(prefix=f"canal-{self.tag}-"))
        self.dir.chmod(0o755)  # FRR's daemons run as a user of their own
        self.keep_logs = Path(keep_logs) if keep_logs else None
        self.daemons = []
        self.namespaces = []
        self.nodes = {}
        self.zones = {}
        self.api = None
        self._node_numbers = 0
        self._open = True
        for number, spec in enumerate(zones, 1):
            self.zones[spec.name] = Zone(self, spec, number)
        self.core = Netns(f"{self.tag}-core")
        self.api_host = Netns(f"{self.tag}-api")
        self.outside = Netns(f"{self.tag}-outside")
        self._specs = list(zones)
        self.filter = topology.CoreFilter(self.core)

    # ---- life
    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                signal.signal(signal.SIGTERM, _on_sigterm)
        atexit.register(self.close)
        try:
            self.build()
        except BaseException:
            self.close(failed=True)
            raise
        return self

    def __exit__(self, kind, *_):
        self.close(failed=kind is not None)

    def close(self, failed=False):
        """Safe to call twice. Logs are kept when asked for, or when something failed."""
        if not self._open:
            return
        self._open = False
        atexit.unregister(self.close)
        for daemon in self.daemons:
            daemon.signal(signal.SIGKILL)
        for daemon in self.daemons:
            if daemon.process is not None:
                daemon.process.wait()
        if self.api is not None:
            self.api.stop()
        for netns in self.namespaces:
            netns.close()
        made = [n for n in self.namespaces if os.path.exists(n.path)]
        ip_batch(f"netns del {n.name}" for n in made)
        target = self.keep_logs or os.environ.get("CANAL_LAB_LOGS")
        if target or failed:
            target = Path(target) / self.tag if target else Path(f"{self.dir}-logs")
            self.save_logs(target)
            print(f"lab: logs are in {target}", file=sys.stderr)
        shutil.rmtree(self.dir, ignore_errors=True)

    def save_logs(self, target):
        for path in self.dir.rglob("*"):
            if path.is_file() and (path.suffix in (".log", ".conf", ".json")):
                copy = Path(target) / path.relative_to(self.dir)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)

    def add_namespaces(self, namespaces):
        namespaces = list(namespaces)
        self.namespaces += namespaces  # before they exist: a half-done batch is taken down, too
        ip_batch(f"netns add {n.name}" for n in namespaces)

    def drop_namespaces(self, namespaces):
        for netns in namespaces:
            netns.close()
            self.namespaces.remove(netns)
        ip_batch(f"netns del {n.name}" for n in namespaces)

    def daemon(self, netns, name, argv, env=None, directory=None):
        log = (directory or self.dir) / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        daemon = Daemon(netns, name, argv, log, env)
        self.daemons.append(daemon)
        return daemon

    # ---- network
    def build(self):
        fresh = [self.core, self.api_host, self.outside]
        for spec in self._specs:
            zone = self.zones[spec.name]
            zone.netns = Netns(f"{self.tag}-{'tor' if zone.asn else 'router'}-{zone.name}")
            fresh.append(zone.netns)
            for name in spec.nodes:
                fresh.append(self._new_node(zone, name).netns)
        self.add_namespaces(fresh)
        for netns in fresh:
            netns.sysctl(topology.QUIET6)
        for router in [self.core, *(zone.netns for zone in self.zones.values())]:
            router.sysctl(topology.FORWARDING)
        self.core.ip("link set lo up", *topology.core_lines(self))
        self.api_host.ip(*topology.host_lines(f"{topology.API4}/30", topology.API_GW4,
                                              f"{topology.API6}/64", topology.API_GW6))
        self.outside.ip(*topology.host_lines(f"{topology.OUTSIDE4}/24", topology.OUTSIDE_GW4,
                                             f"{topology.OUTSIDE6}/64", topology.OUTSIDE_GW6))
        for zone in self.zones.values():
            zone.netns.ip(*topology.router_lines(self, zone))
        self.core.ip(*topology.core_routes(self))
        for node in self.nodes.values():
            node.netns.ip(*topology.node_lines(node))
        self.filter.install([topology.API4, topology.API6, topology.OUTSIDE4, topology.OUTSIDE6]
                            + [a for n in self.nodes.values() for a in (n.ip4, n.ip6)])
        racks = [zone for zone in self.zones.values() if zone.asn]
        for zone in racks:
            zone.switch = Switch(self, zone)
        for i, zone in enumerate(racks):
            for other in racks[i + 1:]:
                zone.switch.connect(other.switch)
        for zone in racks:
            zone.switch.start()

    def _new_node(self, zone, name):
        if name in self.nodes:
            raise LabError(f"there is a node {name} already")
        self._node_numbers += 1
        node = self.node_class(self, zone, name, self._node_numbers)
        self.nodes[name] = node
        zone.nodes.append(node)
        return node

    def add_node(self, zone_name, name):
        """One more host in a running lab: cabled, addressed, allowed through the core."""
        zone = self.zones[zone_name]
        node = self._new_node(zone, name)
        self.add_namespaces([node.netns])
        node.netns.sysctl(topology.QUIET6)
        zone.netns.ip(*topology.port_lines(self, node))
        node.netns.ip(*topology.node_lines(node))
        self.filter.add([node.ip4, node.ip6])
        if zone.switch:
            zone.switch.add_node(node)
        return node

    def remove_node(self, name):
        """The host vanishes with everything on it, as when its power is cut."""
        node = self.nodes.pop(name)
        node.zone.nodes.remove(node)
        for daemon in node.daemons():
            daemon.kill9()
            self.daemons.remove(daemon)
        self.filter.remove([node.ip4, node.ip6])
        self.drop_namespaces([pod.netns for pod in node.pods.values()] + [node.netns])

    def node(self, name):
        return self.nodes[name]

    def wait_bgp(self, at_least=1, deadline=60):
        """Until all sessions of all nodes are up and nothing is restarting."""
        wait_for(lambda: all(n.bgp_settled(at_least) for n in self.nodes.values() if n.bird),
                 deadline,
                 "all BGP sessions to be up and settled", interval=0.2)

    def zone_of(self, address):
        """The zone an address lies in, None when it is no zone's."""
        return next((zone for zone in self.zones.values() if address in zone), None)

    def pods(self):
        return [pod for node in self.nodes.values() for pod in node.pods.values()]
