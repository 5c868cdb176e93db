"""One node of the lab: its namespace, its daemons, its pods."""

import json
import re
import socket

from .netns import LabError, Netns
from .pod import Pod
from .process import wait_for

POOL4, POOL6 = "10.244.0.0/16", "fd00:244::/48"


BIRD_ERRORS = 8000  # this reply code and those above


def bird_command(path, command, timeout=20):
    """(text, code) of one command on BIRD's control socket: lines are "1234-text", " text" when the code is the
    one before, and "1234 text" for the last one."""
    text = []
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(timeout)
        control.connect(path)
        lines = control.makefile("r", encoding="utf-8", errors="replace")
        lines.readline()  # who speaks
        control.sendall(command.encode() + b"\n")
        for line in lines:
            is_code = line[:4].isdigit()
            text.append(line[5:] if is_code else line[1:])
            if is_code and line[4] == " ":
                return "".join(text), int(line[:4])
    raise OSError(f"closed by BIRD after {''.join(text)!r}")


class Node:
    """bird, canal-confd and canal-felix run inside `netns`, each with this node's own directories."""

    def __init__(self, lab, zone, name, number):
        self.lab = lab
        self.zone = zone
        self.name = name
        self.number = number
        self.netns = Netns(f"{lab.tag}-{name}")
        self.port = f"p{number}"
        self.ip4, self.ip6 = zone.next_host()
        self.pod_cidr4 = f"10.244.{number}.0/24"
        self.pod_cidr6 = f"fd00:244:0:{number:x}::/64"
        self.pods = {}
        self.dir = lab.dir / name
        self.run_dir, self.state_dir, self.cni_dir = (self.dir / d for d in ("run", "state", "cni"))
        for path in (self.run_dir, self.state_dir, self.cni_dir):
            path.mkdir(parents=True)
        self.bird = self.confd = self.felix = None

    # ---- daemons
    @property
    def bird_conf(self):
        return self.run_dir / "bird.conf"

    @property
    def bird_ctl(self):
        return self.run_dir / "bird.ctl"

    def daemons(self):
        return [d for d in (self.bird, self.confd, self.felix) if d is not None]

    def prepare_bird(self):
        self.bird = self.lab.daemon(
            self.netns, f"{self.name}-bird",
            ["bird", "-f", "-c", str(self.bird_conf), "-s", str(self.bird_ctl),
             "-P", str(self.run_dir / "bird.pid")], directory=self.dir)
        return self.bird

    def start_bird(self, config=None, recover=False):
        """With a configuration of the test's own, or the one that confd has written. `recover`: bird
        takes over the routes its predecessor left in the kernel (graceful restart)."""
        if config is not None:
            self.bird_conf.write_text(config)
        if self.bird is None:
            self.prepare_bird()
        wait_for(self.bird_conf.exists, 90, f"{self.name}: confd to write bird.conf")
        self.bird_ctl.unlink(missing_ok=True)
        self.bird.start(["-R"] if recover else [])
        wait_for(lambda: self.bird_ctl.exists() or not self.bird.alive(), 30,
                 f"{self.name}: bird's control socket")
        if not self.bird.alive():
            raise LabError(f"{self.name}: bird ended: {self.bird.tail()}")

    def restart_bird_gracefully(self):
        """The planned way: bird is told that it is coming back, ends, and starts with -R."""
        self.birdc("graceful restart")
        self.bird.wait(10)
        self.start_bird(recover=True)

    def kill_bird(self):
        """The unplanned way; the runtime starts it again at once."""
        self.bird.kill9()
        self.start_bird(recover=True)

    # ---- looking
    def birdc(self, *words, check=True):
        """What birdc would print, without its banner: asked on the control socket, as starting a process for each
        look is what a lab in the emulated machine would spend its time on."""
        command = " ".join(words)
        try:
            text, code = bird_command(str(self.bird_ctl), command)
        except OSError as error:
            text, code = f"{self.bird_ctl}: {error.strerror or error}\n", BIRD_ERRORS
        if check and code >= BIRD_ERRORS:
            raise LabError(f"{self.name}: birdc {command}: {text.strip()}")
        return text

    def bgp_peers(self):
        """{protocol: state} of every BGP session, e.g. {"mesh_a2": "Established"}."""
        peers = {}
        for line in self.birdc("show protocols").splitlines():
            words = line.split()
            if len(words) > 3 and words[1] == "BGP":
                # name BGP table state since… info; the info column starts with BGP's own state
                info = re.search(r"\d\d:\d\d:\d\d(?:\.\d+)?\s+(\S+)", line)
                peers[words[0]] = info.group(1) if info else words[3]
        return peers

    def bgp_established(self, at_least=1):
        peers = self.bgp_peers()
        return len(peers) >= at_least and all(s == "Established" for s in peers.values())

    def bgp_settled(self, at_least=1):
        """Every session is up and no graceful restart is under way, here or at a neighbour's. A second
        restart before that loses routes by the book: what a neighbour kept through the first one and
        has not heard again is deleted (RFC 4724, 4.2)."""
        if not self.bgp_established(at_least):
            return False
        return ("Graceful restart recovery in progress" not in self.birdc("show status")
                and "graceful restart active" not in self.birdc("show protocols all"))

    def routes(self, family=4):
        """The main table as `ip -json route` gives it: dst, gateway, dev, protocol, scope, …"""
        out = self.netns.run(["ip", f"-{family}", "-json", "route", "show"])
        return json.loads(out or "[]")

    def route_to(self, prefix):
        """The route for exactly this prefix, None when there is none."""
        family = 6 if ":" in prefix else 4
        return next((r for r in self.routes(family) if r["dst"] == prefix), None)

    # ---- pods
    def pod_netns(self, name, namespace):
        """A namespace for a pod; not made yet."""
        where = "" if namespace == "default" else f"{namespace}-"
        return Netns(f"{self.lab.tag}-{self.name}-{where}{name}")

    def wire_pod(self, name, host, namespace="default"):
        """A pod wired by hand, as the CNI plugin and felix would leave it: for tests of the lab and
        of single parts. `host` is the number of its address in the node's pod CIDR."""
        ip4 = self.pod_cidr4.replace(".0/24", f".{host}")
        ip6 = self.pod_cidr6.replace("/64", f"{host:x}")
        pod = Pod(self, namespace, name, self.pod_netns(name, namespace))
        pod.ips = [ip4, ip6]
        self.lab.add_namespaces([pod.netns])
        pod.netns.sysctl({"net/ipv6/conf/default/accept_dad": 0})
        mtu = self.lab.mtu - 20
        self.netns.ip(f"link add {pod.host_ifname} mtu {mtu} type veth peer name eth0 mtu {mtu} "
                      f"netns {pod.netns.name}",
                      f"link set {pod.host_ifname} address ee:ee:ee:ee:ee:ee up",
                      f"address add fe80::1/64 dev {pod.host_ifname} nodad",
                      f"route add {ip4}/32 dev {pod.host_ifname} scope link",
                      f"route add {ip6}/128 dev {pod.host_ifname}")
        self.netns.sysctl({f"net/ipv4/conf/{pod.host_ifname}/proxy_arp": 1,
                           f"net/ipv4/neigh/{pod.host_ifname}/proxy_delay": 0})
        pod.netns.ip("link set lo up", "link set eth0 up", f"address add {ip4}/32 dev eth0",
                     f"address add {ip6}/128 dev eth0 nodad",
                     "route add 169.254.1.1 dev eth0 scope link",
                     "route add default via 169.254.1.1 dev eth0",
                     "route add default via fe80::1 dev eth0")
        self.pods[pod.key] = pod
        return pod

    def drop_pod(self, pod):
        del self.pods[pod.key]
        self.lab.drop_namespaces([pod.netns])

    def __repr__(self):
        return f"<node {self.name} {self.ip4} zone {self.zone.name}>"
