"""What kube-proxy would do for a service: DNAT on every node, made with the test's own rules."""

from .world import World


class ServiceRules:
    """DNAT of virtual addresses to pods, in chains of this test's own; taken away by close()."""

    CHAIN = "TEST-SERVICES"

    def __init__(self, world: World, nodes=None):
        self.nodes = list(nodes or world.nodes.values())
        self.world = world
        for node in self.nodes:
            for family in (4, 6):
                self._restore(node, family, [f":{self.CHAIN} - [0:0]", f"-I PREROUTING -j {self.CHAIN}",
                                             f"-I OUTPUT -j {self.CHAIN}"])

    def _restore(self, node, family, lines, table="nat"):
        tool = "iptables" if family == 4 else "ip6tables"
        node.netns.run([f"{tool}-{self.world.backend}-restore", "--noflush", "-w", "10"],
                       input="\n".join([f"*{table}", *lines, "COMMIT", ""]))

    def add(self, address, port, target, target_port, protocol="tcp", source=None, masquerade=False):
        """`address` None: any address of the node (a node port). `target`: an address."""
        family = 6 if ":" in target else 4
        where = f"-d {address}" if address else "-m addrtype --dst-type LOCAL"
        to = f"[{target}]:{target_port}" if family == 6 else f"{target}:{target_port}"
        for node in self.nodes:
            lines = [f"-A {self.CHAIN} {where} {f'-s {source}' if source else ''} -p {protocol} --dport {port} "
                     f"-j DNAT --to-destination {to}"]
            if masquerade:
                lines.append(f"-A POSTROUTING -m conntrack --ctstate DNAT --ctorigdstport {port} -p {protocol} "
                             f"-d {target} -j MASQUERADE")
            self._restore(node, family, lines)

    def close(self):
        for node in self.nodes:
            for family, tool in ((4, "iptables"), (6, "ip6tables")):
                text = node.netns.run([f"{tool}-{self.world.backend}-save", "-t", "nat"])
                extra = [line.replace("-A", "-D", 1) for line in text.splitlines()
                         if line.startswith("-A POSTROUTING") and "--ctorigdstport" in line]
                self._restore(node, family, [*extra, f"-D PREROUTING -j {self.CHAIN}", f"-D OUTPUT -j {self.CHAIN}",
                                             f"-F {self.CHAIN}", f"-X {self.CHAIN}"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
