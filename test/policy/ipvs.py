"""kube-proxy in IPVS mode, as it looks in the kernel. Needs the ip_vs module and ipvsadm."""

from .prober import FAMILIES, PORTS


class Ipvs:
    """What kube-proxy sets up on a node: kube-ipvs0, virtual servers, and masquerading of what asked itself."""

    def __init__(self, world, node):
        self.world, self.node = world, node

    def up(self, services, node_port=None, ports=PORTS):
        """`services`: [({family: address}, key of the pod)], `ports`: where they and their pods are; `node_port`: of
        the first one, to the first of its ports."""
        netns, node = self.node.netns, self.node
        netns.run(["ip", "link", "add", "kube-ipvs0", "type", "dummy"])
        lines = []
        for ips, key in services:
            for family in FAMILIES:
                netns.run(["ip", "address", "add", f"{ips[family]}/{32 if family == 4 else 128}", "dev", "kube-ipvs0",
                           *(["nodad"] if family == 6 else [])])
                for port in ports:
                    lines += self.servers(ips[family], port, self.world.ip(key, family), port)
        for family, own in ((4, node.ip4), (6, node.ip6)):
            lines += self.servers(own, node_port, self.world.ip(services[0][1], family), ports[0]) if node_port else []
        netns.run(["ipvsadm", "-R"], input="\n".join([*lines, ""]))
        with netns.entered():
            with open("/proc/sys/net/ipv4/vs/conntrack", "w", encoding="ascii") as file:
                file.write("1")
        for family, tool in ((4, "iptables"), (6, "ip6tables")):
            for own in (self.world.ip(key, family) for _, key in services):
                netns.run([f"{tool}-{self.world.backend}", "-w", "10", "-t", "nat", "-A", "POSTROUTING", "-s", own,
                           "-d", own, "-j", "MASQUERADE"])
        return self

    def serve(self, ips, key, port):
        """One more port of a service that is up."""
        lines = [line for family in FAMILIES for line in self.servers(ips[family], port, self.world.ip(key, family), port)]
        self.node.netns.run(["ipvsadm", "-R"], input="\n".join([*lines, ""]))

    @staticmethod
    def servers(address, port, target, target_port):
        def end(ip, number):
            return f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}"

        lines = []
        for option in ("-t", "-u", "--sctp-service"):
            lines += [f"-A {option} {end(address, port)} -s rr",
                      f"-a {option} {end(address, port)} -r {end(target, target_port)} -m -w 1"]
        return lines

    def down(self):
        """Also where it is down already."""
        self.node.netns.run(["ipvsadm", "-C"])
        self.node.netns.run(["ip", "link", "del", "kube-ipvs0"], check=False)
