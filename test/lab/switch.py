"""A top-of-rack switch: FRR (zebra and bgpd) in the namespace of a rack's router.

The rack is one AS. The switch is the route reflector of its nodes (so they need no mesh), speaks eBGP to the
other switches, and puts its own address as the next hop on what it heard from them.
"""

import shutil

from .netns import LabError
from .process import wait_for

FRR = "/usr/lib/frr"


class Switch:
    """bgpd and zebra of one rack. Static neighbours: FRR forgets a dynamic one together with its
    graceful-restart state when the session drops, and then a restarted BIRD would lose packets."""

    def __init__(self, lab, zone):
        self.lab = lab
        self.zone = zone
        self.netns = zone.netns
        self.asn = zone.asn
        self.dir = lab.dir / f"tor-{zone.name}"
        self.dir.mkdir()
        self.peers = []  # (their asn, their address 4, 6)
        self.zebra = self.bgpd = None

    def connect(self, other):
        """A cable between two switches, with addresses of its own."""
        low, high = sorted((self.zone.number, other.zone.number))
        net4, net6 = f"172.17.{low * 16 + high}", f"fd00:17:{low * 16 + high:x}"
        self.netns.ip(f"link add t{other.zone.number} mtu {self.lab.mtu} type veth peer name "
                      f"t{self.zone.number} mtu {self.lab.mtu} netns {other.netns.name}")
        for switch, peer, host, far in ((self, other, 1, 2), (other, self, 2, 1)):
            link = f"t{peer.zone.number}"
            switch.netns.ip(f"link set {link} up", f"address add {net4}.{host}/30 dev {link}",
                            f"address add {net6}::{host}/64 dev {link} nodad")
            switch.peers.append((peer.asn, f"{net4}.{far}", f"{net6}::{far}"))

    def config(self):
        lines = ["hostname tor-" + self.zone.name, "log stdout informational", "!",
                 f"router bgp {self.asn}", f" bgp router-id {self.zone.gateway4}",
                 " no bgp ebgp-requires-policy", " no bgp default ipv4-unicast",
                 " bgp graceful-restart", " timers bgp 10 30"]
        for family in (4, 6):
            lines += [f" neighbor NODES{family} peer-group",
                      f" neighbor NODES{family} remote-as {self.asn}",
                      f" neighbor NODES{family} timers connect 1"]
        for asn, four, six in self.peers:
            for address in (four, six):
                lines += [f" neighbor {address} remote-as {asn}",
                          f" neighbor {address} timers connect 1"]
        for node in self.zone.nodes:
            lines += self._neighbours(node)
        for family, word in ((4, "ipv4"), (6, "ipv6")):
            lines += [f" address-family {word} unicast",
                      f"  neighbor NODES{family} activate",
                      f"  neighbor NODES{family} route-reflector-client",
                      f"  neighbor NODES{family} next-hop-self"]
            lines += [f"  neighbor {peer[family // 2 - 1]} activate" for peer in self.peers]
            lines += [" exit-address-family"]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _neighbours(node):
        return [f" neighbor {node.ip4} peer-group NODES4", f" neighbor {node.ip6} peer-group NODES6"]

    def start(self):
        (self.dir / "zebra.conf").write_text(f"hostname tor-{self.zone.name}\n")
        (self.dir / "bgpd.conf").write_text(self.config())
        # FRR insists on its own user, which must be able to make its sockets and pid files here.
        shutil.chown(self.dir, "frr", "frr")
        common = ["-A", "127.0.0.1", "--vty_socket", str(self.dir), "-z",
                  str(self.dir / "zserv.api")]
        self.zebra = self.lab.daemon(
            self.netns, "zebra", [f"{FRR}/zebra", "-f", str(self.dir / "zebra.conf"), "-i",
                                  str(self.dir / "zebra.pid"), *common], directory=self.dir)
        self.bgpd = self.lab.daemon(
            self.netns, "bgpd", [f"{FRR}/bgpd", "-f", str(self.dir / "bgpd.conf"), "-i",
                                 str(self.dir / "bgpd.pid"), *common], directory=self.dir)
        for daemon, sign in ((self.zebra, "zserv.api"), (self.bgpd, "bgpd.vty")):
            daemon.start()
            wait_for(lambda d=daemon, s=sign: (self.dir / s).exists() or not d.alive(), 30,
                     f"{daemon.name} of tor-{self.zone.name}")
            if not daemon.alive():
                raise LabError(f"tor-{self.zone.name}: {daemon.name} ended: {daemon.tail()}")

    def vtysh(self, *commands):
        argv = ["vtysh", "--vty_socket", str(self.dir)]
        for command in commands:
            argv += ["-c", command]
        return self.netns.run(argv)

    def add_node(self, node):
        out = self.vtysh("configure terminal", f"router bgp {self.asn}", *self._neighbours(node))
        if "%" in out:
            raise LabError(f"tor-{self.zone.name}: {out.strip()}")

    def remove_node(self, node):
        self.vtysh("configure terminal", f"router bgp {self.asn}",
                   f"no neighbor {node.ip4}", f"no neighbor {node.ip6}")

    def routes(self):
        return self.netns.run(["ip", "route"])
