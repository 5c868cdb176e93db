"""What Calico's felix leaves in a node's kernel: chains cali-*, its hooks, its sets. Written out for the pods of a
node, with ingress closed for one of them but for the members of a set, so that it enforces what is taken over.

    calico = CalicoNode(node, "legacy")
    calico.lay_down(guarded=pod, peers={4: "cali40s:...", 6: ...}, members=[...])
"""

import base64
import hashlib

from lab.node import POOL4, POOL6

# In every kernel that ran Calico; the guarded pod's set comes on top.
SETS = {4: {"this-host": "hash:ip", "all-hosts-net": "hash:net", "all-vxlan-net": "hash:net",
            "all-ipam-pools": "hash:net", "masq-ipam-pools": "hash:net",
            "s:0gone-with-calico": "hash:net", "n:0gone-with-calico": "hash:ip,port"},
        6: {"this-host": "hash:ip", "all-ipam-pools": "hash:net", "masq-ipam-pools": "hash:net",
            "s:0gone-with-calico": "hash:net"}}
ACCEPT, PASS, SCRATCH = "0x10000/0x10000", "0x20000/0x20000", "0x40000/0x40000"


def _hash(text):
    return base64.urlsafe_b64encode(hashlib.sha224(text.encode()).digest())[:16].decode()


class _Tables:
    """Input of iptables-restore; every rule gets its comment."""

    def __init__(self):
        self.tables = {}

    def chain(self, table, name, *rules):
        chains, lines = self.tables.setdefault(table, ([], []))
        if name.startswith("cali-"):
            chains.append(f":{name} - [0:0]")
        for rule in rules:
            lines.append(f'-A {name} -m comment --comment "cali:{_hash(name + rule + str(len(lines)))}" {rule}')

    def text(self):
        return "\n".join(line for table, (chains, lines) in self.tables.items()
                         for line in (f"*{table}", *chains, *lines, "COMMIT", ""))


class CalicoNode:
    """One node's rules and sets, in `backend`."""

    def __init__(self, node, backend):
        self.node, self.backend = node, backend

    def lay_down(self, guarded, peers, members):
        """`peers`: {family: name of the set of those that reach the pod}, `members`: their addresses."""
        self._sets(peers, members)
        for family, tool in ((4, "iptables"), (6, "ip6tables")):
            self.node.netns.run([f"{tool}-{self.backend}-restore", "--noflush", "-w", "10"],
                                input=self._rules(family, guarded, peers[family]))

    def _sets(self, peers, members):
        lines = []
        for family, word in ((4, "inet"), (6, "inet6")):
            options = f"family {word} maxelem 1048576"
            lines += [f"create cali{family}0{name} {kind} {options}" for name, kind in SETS[family].items()]
            lines += [f"create {peers[family]} hash:net {options}", f"create cali{family}t0 hash:net {options}"]
            lines += [f"add {peers[family]} {ip}" for ip in members if (":" in ip) == (family == 6)]
        pools = ((POOL4, 4), (POOL6, 6))
        lines += [f"add cali{f}0{name} {net}" for net, f in pools for name in ("all-ipam-pools", "masq-ipam-pools")]
        lines += ["add cali40n:0gone-with-calico 10.244.9.9,tcp:8080", "add cali4t0 10.9.9.0/24"]
        self.node.netns.run(["ipset", "restore"], input="\n".join([*lines, ""]))

    def _rules(self, family, guarded, peers):
        out = _Tables()
        self._raw_and_mangle(out)
        self._nat(out, family)
        self._hooks(out, family)
        pods = list(self.node.pods.values())
        for ns in sorted({pod.namespace for pod in pods}):
            for chain in (f"cali-pri-kns.{ns}", f"cali-pro-kns.{ns}"):
                out.chain("filter", chain, f"-j MARK --set-xmark {ACCEPT}", f"-m mark --mark {ACCEPT} -j RETURN")
        out.chain("filter", "cali-pi-_AguardedAAAAAAAAAAA",
                  f"-m set --match-set {peers} src -j MARK --set-xmark {ACCEPT}", f"-m mark --mark {ACCEPT} -j RETURN")
        for pod in pods:
            self._endpoint(out, pod, pod is guarded)
        self._dispatch(out, pods, "from", "-i", "cali-fw-")
        self._dispatch(out, pods, "to", "-o", "cali-tw-")
        return out.text()

    @staticmethod
    def _raw_and_mangle(out):
        out.chain("raw", "cali-PREROUTING", "-j MARK --set-xmark 0x0/0xf0000",
                  f"-i cali+ -j MARK --set-xmark {SCRATCH}",
                  f"-m mark --mark {SCRATCH} -j cali-rpf-skip",
                  f"-m mark --mark {SCRATCH} -m rpfilter --validmark --invert -j DROP",
                  "-m mark --mark 0x0/0x40000 -j cali-from-host-endpoint", f"-m mark --mark {ACCEPT} -j ACCEPT")
        out.chain("raw", "cali-OUTPUT", "-j MARK --set-xmark 0x0/0xf0000", "-j cali-to-host-endpoint",
                  f"-m mark --mark {ACCEPT} -j ACCEPT")
        for name in ("cali-rpf-skip", "cali-from-host-endpoint", "cali-to-host-endpoint"):
            out.chain("raw", name)
        out.chain("raw", "PREROUTING", "-j cali-PREROUTING")
        out.chain("raw", "OUTPUT", "-j cali-OUTPUT")
        out.chain("mangle", "cali-PREROUTING", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                  f"-m mark --mark {ACCEPT} -j ACCEPT", "-j cali-from-host-endpoint",
                  f"-m mark --mark {ACCEPT} -j ACCEPT")
        out.chain("mangle", "cali-POSTROUTING", f"-m mark --mark {ACCEPT} -j RETURN",
                  "-j MARK --set-xmark 0x0/0xf0000", "-m conntrack --ctstate DNAT -j cali-to-host-endpoint")
        for name in ("cali-from-host-endpoint", "cali-to-host-endpoint"):
            out.chain("mangle", name)
        out.chain("mangle", "PREROUTING", "-j cali-PREROUTING")
        out.chain("mangle", "POSTROUTING", "-j cali-POSTROUTING")

    @staticmethod
    def _nat(out, family):
        out.chain("nat", "cali-PREROUTING", "-j cali-fip-dnat")
        out.chain("nat", "cali-OUTPUT", "-j cali-fip-dnat")
        out.chain("nat", "cali-POSTROUTING", "-j cali-fip-snat", "-j cali-nat-outgoing")
        out.chain("nat", "cali-nat-outgoing",
                  f"-m set --match-set cali{family}0masq-ipam-pools src -m set ! --match-set cali{family}0all-ipam-pools "
                  "dst -j MASQUERADE --random-fully")
        for name in ("cali-fip-dnat", "cali-fip-snat"):
            out.chain("nat", name)
        for name in ("PREROUTING", "OUTPUT", "POSTROUTING"):
            out.chain("nat", name, f"-j cali-{name}")

    @staticmethod
    def _hooks(out, family):
        out.chain("filter", "cali-FORWARD", "-j MARK --set-xmark 0x0/0xe0000",
                  "-m mark --mark 0x0/0x10000 -j cali-from-hep-forward", "-i cali+ -j cali-from-wl-dispatch",
                  "-o cali+ -j cali-to-wl-dispatch", "-j cali-to-hep-forward", "-j cali-cidr-block")
        ipip = ([f"-p ipencap -m set --match-set cali{family}0all-hosts-net src -m addrtype --dst-type LOCAL -j ACCEPT",
                 "-p ipencap -j DROP"] if family == 4 else [])
        out.chain("filter", "cali-INPUT", *ipip, "-i cali+ -g cali-wl-to-host", f"-m mark --mark {ACCEPT} -j ACCEPT",
                  "-j MARK --set-xmark 0x0/0xf0000", "-j cali-from-host-endpoint", f"-m mark --mark {ACCEPT} -j ACCEPT")
        out.chain("filter", "cali-OUTPUT", f"-m mark --mark {ACCEPT} -j ACCEPT", "-o cali+ -j RETURN",
                  "-j MARK --set-xmark 0x0/0xf0000", "-m conntrack ! --ctstate DNAT -j cali-to-host-endpoint",
                  f"-m mark --mark {ACCEPT} -j ACCEPT")
        discovery = [f"-p ipv6-icmp -m icmp6 --icmpv6-type {n} -j ACCEPT" for n in (130, 131, 132, 133, 135, 136)]
        out.chain("filter", "cali-wl-to-host", *(discovery if family == 6 else []), "-j cali-from-wl-dispatch",
                  '-m comment --comment "Configured DefaultEndpointToHostAction" -j ACCEPT')
        for name in ("from-hep-forward", "to-hep-forward", "from-host-endpoint", "to-host-endpoint", "cidr-block"):
            out.chain("filter", f"cali-{name}")
        for name in ("INPUT", "FORWARD", "OUTPUT"):
            out.chain("filter", name, f"-j cali-{name}")
        out.chain("filter", "FORWARD",
                  f'-m comment --comment "Policy explicitly accepted packet." -m mark --mark {ACCEPT} -j ACCEPT',
                  f"-j MARK --set-xmark {ACCEPT}")

    @staticmethod
    def _endpoint(out, pod, is_guarded):
        open_ = ["-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-m conntrack --ctstate INVALID -j DROP",
                 "-j MARK --set-xmark 0x0/0x30000"]
        policy = ['-m comment --comment "Start of tier default" -j MARK --set-xmark 0x0/0x20000',
                  "-m mark --mark 0x0/0x20000 -j cali-pi-_AguardedAAAAAAAAAAA", f"-m mark --mark {ACCEPT} -j RETURN",
                  '-m comment --comment "End of tier default. Drop if no policies passed packet" '
                  "-m mark --mark 0x0/0x20000 -j DROP"]
        guard = ["-p udp -m multiport --dports 4789 -j DROP", "-p ipencap -j DROP"]
        for chain, profile, rules in (("fw", "pro", guard), ("tw", "pri", policy if is_guarded else [])):
            out.chain("filter", f"cali-{chain}-{pod.host_ifname}", *open_, *rules,
                      f"-j cali-{profile}-kns.{pod.namespace}", f"-m mark --mark {ACCEPT} -j RETURN",
                      '-m comment --comment "Drop if no profiles matched" -j DROP')

    @staticmethod
    def _dispatch(out, pods, way, option, prefix):
        heads = sorted({pod.host_ifname[4] for pod in pods})
        unknown = '-m comment --comment "Unknown interface" -j DROP'
        for head in heads:
            out.chain("filter", f"cali-{way}-wl-dispatch-{head}", *[
                f"{option} {pod.host_ifname} -g {prefix}{pod.host_ifname}" for pod in pods
                if pod.host_ifname[4] == head], unknown)
        out.chain("filter", f"cali-{way}-wl-dispatch",
                  *[f"{option} cali{head}+ -g cali-{way}-wl-dispatch-{head}" for head in heads], unknown)
