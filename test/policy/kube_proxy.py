"""kube-proxy as it looks in the kernel, in its iptables and its nft mode: the chains, marks and hooks of the real one,
for a few services. sync() writes everything again, as the real one does.

    with KubeProxy(node, "iptables", "nft", services):      # or KubeProxy(node, "nft", None, services)
        ...
"""

import dataclasses
import subprocess

from lab.node import POOL4, POOL6

from .prober import PROTOCOLS

MASQUERADE, DROP = "0x4000/0x4000", "0x8000/0x8000"
CLUSTER_NETS = {4: POOL4, 6: POOL6}
TABLES = ("filter", "nat")
HOOKS = {
    "filter": [("INPUT", "-m conntrack --ctstate NEW", "KUBE-NODEPORTS"), ("INPUT", "", "KUBE-FIREWALL"),
               ("INPUT", "-m conntrack --ctstate NEW", "KUBE-EXTERNAL-SERVICES"), ("FORWARD", "", "KUBE-FORWARD"),
               ("FORWARD", "-m conntrack --ctstate NEW", "KUBE-SERVICES"), ("OUTPUT", "", "KUBE-FIREWALL"),
               ("OUTPUT", "-m conntrack --ctstate NEW", "KUBE-SERVICES")],
    "nat": [("PREROUTING", "", "KUBE-SERVICES"), ("OUTPUT", "", "KUBE-SERVICES"),
            ("POSTROUTING", "", "KUBE-POSTROUTING")]}


@dataclasses.dataclass
class Service:
    """`ips`: {family: cluster address}, `ends`: {family: [pod address]}. Without `ends` nobody answers. `external`: {family:
    an address of externalIPs}."""

    name: str
    ips: dict
    ends: dict
    port: int = 80
    node_port: int = None
    is_local: bool = False  # externalTrafficPolicy
    external: dict = None


class KubeProxy:
    def __init__(self, node, mode, backend, services, protocols=PROTOCOLS):
        self.node, self.mode, self.backend, self.protocols = node, mode, backend, protocols
        self.services = services

    def _run(self, family, name, *args, **kwargs):
        tool = "iptables" if family == 4 else "ip6tables"
        return self.node.netns.run([f"{tool}-{self.backend}{name}", "-w", "10", *args], **kwargs)

    def sync(self):
        for family in (4, 6):
            if self.mode == "nft":
                self.node.netns.run(["nft", "-f", "-"], input=self._nft(family))
                continue
            self._run(family, "-restore", "--noflush", "--counters", input=self._iptables(family))
            self._hook(family)

    def _hook(self, family):
        """Missing jumps come in at the top."""
        for table, hooks in HOOKS.items():
            for builtin, match, target in hooks:
                rule = [builtin, *match.split(), "-m", "comment", "--comment", "kubernetes", "-j", target]
                if self._run(family, "", "-t", table, "-C", *rule, check=False):  # it says that it is missing
                    self._run(family, "", "-t", table, "-I", *rule)

    def close(self):
        for family in (4, 6):
            if self.mode == "nft":
                self.node.netns.run(["nft", "delete", "table", "ip" if family == 4 else "ip6", "kube-proxy"])
                continue
            save = self.node.netns.run(
                [f"{'iptables' if family == 4 else 'ip6tables'}-{self.backend}-save"], stderr=subprocess.DEVNULL)
            lines, chains = [], []
            for line in save.splitlines():
                if line.startswith("*"):
                    lines.append(line)
                elif line.startswith(":KUBE-"):
                    lines.append(f":{line.split()[0][1:]} - [0:0]")
                    chains.append(line.split()[0][1:])
                elif line.startswith("-A") and "-j KUBE-" in line and not line.startswith("-A KUBE-"):
                    lines.append(line.replace("-A", "-D", 1))
                elif line == "COMMIT":
                    lines += [*[f"-X {chain}" for chain in chains], line]
                    chains = []
            self._run(family, "-restore", "--noflush", input="\n".join([*lines, ""]))

    def __enter__(self):
        self.sync()
        return self

    def __exit__(self, *_):
        self.close()

    # ---- iptables mode
    def _iptables(self, family):
        filter_chains = ["KUBE-NODEPORTS", "KUBE-FIREWALL", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-SERVICES",
                         "KUBE-PROXY-FIREWALL"]
        filter_rules = [
            "-A KUBE-FIREWALL ! -s {0} -d {0} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP".format(
                "127.0.0.0/8" if family == 4 else "::1/128"),
            "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
            f"-A KUBE-FORWARD -m mark --mark {MASQUERADE} -j ACCEPT",
            "-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
        chains = ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"]
        rules = [f"-A KUBE-MARK-MASQ -j MARK --or-mark {MASQUERADE.split('/', maxsplit=1)[0]}",
                 f"-A KUBE-POSTROUTING -m mark ! --mark {MASQUERADE} -j RETURN",
                 "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000", "-A KUBE-POSTROUTING -j MASQUERADE --random-fully"]
        for service in self.services:
            for protocol in self.protocols:
                self._service(family, service, protocol, chains, rules, filter_rules)
        rules.append("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")
        out = []
        for table, names, lines in (("filter", filter_chains, filter_rules), ("nat", chains, rules)):
            out += [f"*{table}", *[f":{name} - [0:0]" for name in names], *lines, "COMMIT"]
        return "\n".join([*out, ""])

    @staticmethod
    def _service(family, service, protocol, chains, rules, filter_rules):
        key = f"{service.name.upper()}{protocol.upper()}"
        svc, ext = f"KUBE-SVC-{key}", f"KUBE-EXT-{key}"
        where = f"-d {service.ips[family]} -p {protocol} -m {protocol} --dport {service.port}"
        ends = service.ends.get(family, [])
        if not ends:
            filter_rules.append(f"-A KUBE-SERVICES {where} -j REJECT")
            return
        chains += [svc, ext]
        rules += [f"-A KUBE-SERVICES {where} -j {svc}",
                  f"-A {svc} ! -s {CLUSTER_NETS[family]} {where} -j KUBE-MARK-MASQ"]
        for number, end in enumerate(ends):
            sep = f"KUBE-SEP-{key}{number}"
            chains.append(sep)
            to = f"[{end}]:{service.port}" if family == 6 else f"{end}:{service.port}"
            chance = 1 / (len(ends) - number)
            pick = "" if chance == 1 else f"-m statistic --mode random --probability {chance:.10f} "
            rules += [f"-A {svc} {pick}-j {sep}", f"-A {sep} -s {end} -j KUBE-MARK-MASQ",
                      f"-A {sep} -p {protocol} -m {protocol} -j DNAT --to-destination {to}"]
        if service.external:
            where = f"-d {service.external[family]} -p {protocol} -m {protocol} --dport {service.port}"
            rules.append(f"-A KUBE-SERVICES {where} -j {ext}")
        if service.node_port:
            rules.append(f"-A KUBE-NODEPORTS -p {protocol} -m {protocol} --dport {service.node_port} -j {ext}")
        if service.node_port or service.external:
            rules += [] if service.is_local else [f"-A {ext} -j KUBE-MARK-MASQ"]
            rules.append(f"-A {ext} -j {svc}")

    # ---- nft mode
    def _nft(self, family):
        ip = "ip" if family == 4 else "ip6"
        kind = "ipv4_addr" if family == 4 else "ipv6_addr"
        services, ports, chains, refused = [], [], [], []
        for service in self.services:
            for protocol in self.protocols:
                ends = service.ends.get(family, [])
                name = f"service-{service.name}-{protocol}"
                key = f"{service.ips[family]} . {protocol} . {service.port}"
                if not ends:
                    refused.append(f"{key} : goto reject-chain")
                    continue
                services.append(f"{key} : goto {name}")
                targets = ", ".join(f"{n} : goto endpoint-{service.name}-{protocol}-{n}" for n in range(len(ends)))
                for number, end in enumerate(ends):
                    to = f"[{end}]:{service.port}" if family == 6 else f"{end}:{service.port}"
                    chains.append(f"chain endpoint-{service.name}-{protocol}-{number} {{ {ip} saddr {end} jump "
                                  f"mark-for-masquerade; meta l4proto {protocol} dnat to {to}; }}")
                chains.append(f"chain {name} {{ {ip} daddr {service.ips[family]} {ip} saddr != {CLUSTER_NETS[family]} "
                              f"jump mark-for-masquerade; numgen random mod {len(ends)} vmap {{ {targets} }}; }}")
                if service.node_port or service.external:
                    masquerade = "" if service.is_local else "jump mark-for-masquerade; "
                    chains.append(f"chain external-{service.name}-{protocol} {{ {masquerade}goto {name}; }}")
                if service.node_port:
                    ports.append(f"{protocol} . {service.node_port} : goto external-{service.name}-{protocol}")
                if service.external:
                    services.append(f"{service.external[family]} . {protocol} . {service.port} : "
                                    f"goto external-{service.name}-{protocol}")

        def elements(entries):
            return f"elements = {{ {', '.join(entries)} }};" if entries else ""

        return f"""table {ip} kube-proxy
delete table {ip} kube-proxy
table {ip} kube-proxy {{
 chain mark-for-masquerade {{ meta mark set meta mark or 0x4000; }}
 chain reject-chain {{ reject; }}
 {chr(10).join(chains)}
 map service-ips {{ type {kind} . inet_proto . inet_service : verdict; {elements(services)} }}
 map no-endpoint-services {{ type {kind} . inet_proto . inet_service : verdict; {elements(refused)} }}
 map service-nodeports {{ type inet_proto . inet_service : verdict; {elements(ports)} }}
 chain services {{
  {ip} daddr . meta l4proto . th dport vmap @service-ips
  fib daddr type local meta l4proto . th dport vmap @service-nodeports
 }}
 chain masquerading {{
  meta mark & 0x4000 == 0 return
  meta mark set meta mark xor 0x4000
  masquerade fully-random
 }}
 chain service-endpoints-check {{ {ip} daddr . meta l4proto . th dport vmap @no-endpoint-services; }}
 chain nat-prerouting {{ type nat hook prerouting priority -100; jump services; }}
 chain nat-output {{ type nat hook output priority -100; jump services; }}
 chain nat-postrouting {{ type nat hook postrouting priority 100; jump masquerading; }}
 chain filter-forward {{ type filter hook forward priority -110; ct state new jump service-endpoints-check; }}
 chain filter-output {{ type filter hook output priority -110; ct state new jump service-endpoints-check; }}
}}
"""
