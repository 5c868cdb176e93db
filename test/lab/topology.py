"""The lab's network: zones and their routers, the core between them, hosts outside.

            zone a  10.1.0.0/24                 zone b  10.2.0.0/24
        node a1 ── br0 ── node a2           node b1 ── br0 ── node b2
                    │                                   │
                 router-a ═══(racks: inter-switch)═══ router-b
                    └───────────── core ────────────────┘
                              │           │
                             api       outside

A zone is one subnet: a bridge inside its router's namespace. The core forwards only between addresses it
knows (nodes, the API server's host, the outside host) and counts what it drops, as a cloud provider's
network does: a pod's address means nothing there. In a rack the router is a top-of-rack switch that runs
FRR (switch.py) and has a link of its own to the other switches, on which pod addresses are routed.
"""

import dataclasses
import ipaddress

from .netns import LabError

PREFIX4, PREFIX6 = 24, 64


@dataclasses.dataclass
class ZoneSpec:
    """What a test asks for: a zone's name, its nodes, and for a rack the AS number of its switch."""

    name: str
    nodes: list
    asn: int = None


class Zone:
    """Addresses of one zone; the n-th zone of a lab always has the same ones."""

    def __init__(self, lab, spec, number):
        self.lab = lab
        self.name = spec.name
        self.number = number
        self.asn = spec.asn
        self.netns = None
        self.nodes = []
        self.switch = None
        self.hosts_given = 0
        self.subnet4 = ipaddress.ip_network(f"10.{number}.0.0/{PREFIX4}")
        self.subnet6 = ipaddress.ip_network(f"fd00:{number}::/{PREFIX6}")
        self.gateway4 = str(self.subnet4[1])
        self.gateway6 = str(self.subnet6[1])
        self.core4 = f"172.16.{number}.1"
        self.uplink4 = f"172.16.{number}.2"
        self.core6 = f"fd00:16:{number}::1"
        self.uplink6 = f"fd00:16:{number}::2"

    def next_host(self):
        """Addresses for one more node: .11, .12, …"""
        self.hosts_given += 1
        host = 10 + self.hosts_given
        return str(self.subnet4[host]), str(self.subnet6[host])

    def __contains__(self, address):
        address = ipaddress.ip_address(address)
        return address in (self.subnet4 if address.version == 4 else self.subnet6)


# Duplicate address detection would hold every IPv6 address back for a second; nobody else is here.
QUIET6 = {"net/ipv6/conf/all/accept_dad": 0, "net/ipv6/conf/default/accept_dad": 0,
          "net/ipv6/conf/all/accept_ra": 0, "net/ipv6/conf/default/accept_ra": 0}
FORWARDING = {"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1}

API_PORT = 6443
API4, API_GW4 = "172.31.0.2", "172.31.0.1"
API6, API_GW6 = "fd00:31::2", "fd00:31::1"
OUTSIDE4, OUTSIDE_GW4 = "198.51.100.10", "198.51.100.1"
OUTSIDE6, OUTSIDE_GW6 = "2001:db8:100::10", "2001:db8:100::1"


def core_lines(lab):
    """What the core's namespace holds; veth peers land directly in the other namespaces."""
    lines = []
    for zone in lab.zones.values():
        lines += [f"link add z{zone.number} mtu {lab.mtu} type veth peer name up0 mtu {lab.mtu} "
                  f"netns {zone.netns.name}",
                  f"address add {zone.core4}/30 dev z{zone.number}",
                  f"address add {zone.core6}/64 dev z{zone.number} nodad",
                  f"link set z{zone.number} up"]
    for name, host, gw4, gw6 in (("api", lab.api_host, f"{API_GW4}/30", f"{API_GW6}/64"),
                                 ("out", lab.outside, f"{OUTSIDE_GW4}/24", f"{OUTSIDE_GW6}/64")):
        lines += [f"link add {name} mtu {lab.mtu} type veth peer name eth0 mtu {lab.mtu} "
                  f"netns {host.name}",
                  f"address add {gw4} dev {name}", f"address add {gw6} dev {name} nodad",
                  f"link set {name} up"]
    return lines


def core_routes(lab):
    """Only once the routers' ends are up: IPv6 refuses routes over links without a carrier."""
    lines = []
    for zone in lab.zones.values():
        lines += [f"route add {zone.subnet4} via {zone.uplink4}",
                  f"route add {zone.subnet6} via {zone.uplink6}"]
    return lines


def host_lines(address4, gateway4, address6, gateway6):
    return ["link set lo up", "link set eth0 up",
            f"address add {address4} dev eth0", f"address add {address6} dev eth0 nodad",
            f"route add default via {gateway4}", f"route add default via {gateway6}"]


def router_lines(lab, zone):
    lines = [f"link add br0 mtu {lab.mtu} type bridge forward_delay 0 mcast_snooping 0",
             "link set lo up", "link set up0 up", "link set br0 up",
             f"address add {zone.gateway4}/{PREFIX4} dev br0",
             f"address add {zone.gateway6}/{PREFIX6} dev br0 nodad",
             f"address add {zone.uplink4}/30 dev up0",
             f"address add {zone.uplink6}/64 dev up0 nodad",
             f"route add default via {zone.core4}", f"route add default via {zone.core6}"]
    for node in zone.nodes:
        lines += port_lines(lab, node)
    return lines


def port_lines(lab, node):
    """The router's side of a node: a port of the zone's bridge."""
    return [f"link add {node.port} mtu {lab.mtu} type veth peer name eth0 mtu {lab.mtu} "
            f"netns {node.netns.name}",
            f"link set {node.port} master br0 up"]


def node_lines(node):
    zone = node.zone
    return host_lines(f"{node.ip4}/{PREFIX4}", zone.gateway4, f"{node.ip6}/{PREFIX6}", zone.gateway6)


class CoreFilter:
    """Drops in the core whatever is not between two known addresses, and counts it."""

    def __init__(self, netns):
        self.netns = netns

    def install(self, addresses):
        sets = ["create known4 hash:ip family inet", "create known6 hash:ip family inet6"]
        self.netns.run(["ipset", "restore"], input="\n".join(sets) + "\n")
        self.add(addresses)
        for family, command in ((4, "iptables-restore"), (6, "ip6tables-restore")):
            known = f"-m set --match-set known{family} src -m set --match-set known{family} dst"
            # Ahead of routing, so that what has no route here is counted, too. The core's own
            # addresses and neighbour discovery are not traffic between hosts.
            link = ["-A PREROUTING -s fe80::/10 -j ACCEPT", "-A PREROUTING -d fe80::/10 -j ACCEPT",
                    "-A PREROUTING -d ff00::/8 -j ACCEPT"] if family == 6 else []
            self.netns.run([command], input="\n".join([
                "*mangle", ":PREROUTING ACCEPT", f"-A PREROUTING {known} -j ACCEPT", *link,
                "-A PREROUTING -m addrtype --dst-type LOCAL -j ACCEPT",
                "-A PREROUTING -j DROP", "COMMIT", ""]))

    def add(self, addresses):
        self._change("add", addresses)

    def remove(self, addresses):
        self._change("del", addresses)

    def _change(self, verb, addresses):
        lines = [f"{verb} known{6 if ':' in a else 4} {a}" for a in addresses]
        self.netns.run(["ipset", "-exist", "restore"], input="\n".join(lines) + "\n")

    def drops(self):
        """{4: packets, 6: packets} dropped so far."""
        counted = {}
        for family, command in ((4, "iptables"), (6, "ip6tables")):
            out = self.netns.run([command, "-t", "mangle", "-nvxL", "PREROUTING"])
            rows = [line.split() for line in out.splitlines() if " DROP " in f" {line} "]
            rows = [row for row in rows if row[0].isdigit()]
            if not rows:
                raise LabError(f"the core has no drop rule: {out}")
            counted[family] = sum(int(row[0]) for row in rows)
        return counted
