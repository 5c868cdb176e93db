"""Nodes that run canal-felix only, and pods that the test wires as the CNI plugin would, up to the point where
the plugin asks felix."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from lab import LabError, Netns, wait_for
from lab.cluster import BUILD, CNI_NETWORK, CanalNode, Cluster
from lab.pod import Pod

MAC = "ee:ee:ee:ee:ee:ee"
# Short, so that what no notification tells is repaired while a test waits.
REFRESH = {"FELIX_IPTABLESREFRESHINTERVAL": "3s", "FELIX_IPSETSREFRESHINTERVAL": "2s",
           "FELIX_ROUTEREFRESHINTERVAL": "3s", "FELIX_INTERFACEREFRESHINTERVAL": "2s"}
# Long: what is repaired was told by a notification.
NO_REFRESH = {key: "1000s" for key in REFRESH}


class FelixNode(CanalNode):
    """No bird, no confd."""

    settings = {}

    def environment(self):
        found = {**super().environment(), "CALICO_NETWORKING_BACKEND": "none",
                 "CANAL_ADDRESS_DIR": str(self.cni_dir), **self.settings}
        return {key: value for key, value in found.items() if value is not None}

    def start_canal(self):
        if self.felix is None:
            self.felix = self.lab.daemon(self.netns, f"{self.name}-felix", [str(BUILD / "canal-felix")],
                                         self.environment(), self.dir)
        self.felix.env = self.environment()
        self.felix.start()

    def restart_felix(self, kill=True, **settings):
        """Ends it, by force or by SIGTERM, and starts it again with other settings."""
        if kill:
            self.felix.kill9()
        else:
            assert self.felix.stop() == 0, self.felix.tail()
        self.settings = {**self.settings, **settings}
        self.start_canal()

    def wait_ready(self, deadline=30):
        wait_for(lambda: self.felix_socket.exists() and self.felix_ready(), deadline,
                 lambda: f"{self.name}: felix is ready; {self.felix.tail(5)}")

    def log(self):
        return self.felix.log.read_text(errors="replace")

    # ---- pods
    def wire(self, name, host, namespace="default", block_of=None):
        """A pod with its object and its link, without any state of felix: what scheduler, kubelet and plugin do
        before felix is asked. Its addresses may be out of another node's block."""
        block = block_of or self
        pod = Pod(self, namespace, name, Netns(f"{self.lab.tag}-{self.name}-{name}"))
        if self.lab.api.is_up:
            self.lab.api.apply(pod.object())
        pod.ips = [block.pod_cidr4.replace(".0/24", f".{host}"),
                   block.pod_cidr6.replace("/64", f"{host:x}")]
        self.lab.add_namespaces([pod.netns])
        pod.netns.sysctl({"net/ipv6/conf/default/accept_dad": 0})
        self.wire_link(pod)
        directory = self.cni_dir / CNI_NETWORK
        directory.mkdir(exist_ok=True)
        for ip in pod.ips:
            (directory / ip).write_text(f"{pod.container_id}\r\neth0")
        self.pods[pod.key] = pod
        return pod

    def wire_link(self, pod):
        self.netns.ip(f"link add {pod.host_ifname} address {MAC} type veth peer name eth0 netns "
                      f"{pod.netns.name}",
                      f"link set {pod.host_ifname} alias {pod.container_id}",
                      f"link set {pod.host_ifname} up",
                      f"address add fe80::1/64 dev {pod.host_ifname} nodad")
        pod.netns.ip("link set lo up", "link set eth0 up", f"address add {pod.ips[0]}/32 dev eth0",
                     f"address add {pod.ips[1]}/128 dev eth0 nodad",
                     "route add 169.254.1.1 dev eth0 scope link",
                     "route add default via 169.254.1.1 dev eth0",
                     "route add default via fe80::1 dev eth0")

    def add_request(self, pod):
        return {"op": "pod_add", "container_id": pod.container_id, "ifname": "eth0",
                "netns": pod.netns.path, "namespace": pod.namespace, "pod": pod.name,
                "host_ifname": pod.host_ifname, "network": CNI_NETWORK,
                "ips": [f"{ip}/{128 if ':' in ip else 32}" for ip in pod.ips]}

    def address_files(self, pod):
        return [self.cni_dir / CNI_NETWORK / ip for ip in pod.ips]

    def add_felix_pod(self, name, host, namespace="default"):
        """Wired and told to felix; back when felix says it is programmed."""
        pod = self.wire(name, host, namespace)
        answer = self.felix_request(self.add_request(pod), timeout=20)
        assert answer == {**answer, "ok": True}, answer
        return pod

    def del_felix_pod(self, pod):
        answer = self.felix_request({
            "op": "pod_del", "container_id": pod.container_id, "ifname": "eth0",
            "host_ifname": pod.host_ifname, "network": CNI_NETWORK,
            "release": [str(path) for path in self.address_files(pod)]})
        assert answer["ok"], answer
        return pod

    def clear_pods(self):
        """No pod, no link, no state of one: the next test may use their names."""
        if self.felix.alive() and self.pods:  # it may have begun just now
            wait_for(lambda: self.felix_request({"op": "status"}), 15, lambda: f"felix to answer: {self.felix.tail(5)}")
        for pod in list(self.pods.values()):
            if self.felix.alive():
                self.del_felix_pod(pod)
            self.netns.run(["ip", "link", "del", pod.host_ifname], check=False)
            self.drop_pod(pod)
            self.lab.api.delete("Pod", pod.name, pod.namespace)
            for path in self.address_files(pod):
                path.unlink(missing_ok=True)
        for path in (self.run_dir / "endpoints").glob("*"):
            path.unlink(missing_ok=True)

    def endpoints(self):
        return {e["interface"]: e for e in self.felix_request({"op": "endpoints"})["endpoints"]}

    # ---- the kernel
    def set_members(self, name):
        """The members as `ipset save` prints them, None when there is no such set."""
        text = self.netns.run(["ipset", "save", name], check=False)
        if "does not exist" in text:
            return None
        return {" ".join(line.split()[2:]) for line in text.splitlines() if line.startswith("add ")}

    def tool(self, family=4, backend=None):
        """iptables of the cluster's backend, unless another one is named."""
        return f"{'iptables' if family == 4 else 'ip6tables'}-{backend or self.lab.backend}"

    def tables(self, family=4, backend=None):
        """What iptables-save prints, without counters, comments and the order of chains."""
        lines = self.netns.run([f"{self.tool(family, backend)}-save"], stderr=subprocess.DEVNULL).splitlines()
        return [line.split(" [")[0] for line in lines if not line.startswith("#")]

    def own_rules(self, family=4, backend=None):
        return [line for line in self.tables(family, backend) if "cali" in line]

    def pod_routes(self, pod):
        return [self.route_to(ip) for ip in pod.ips]

    def is_programmed(self, pod):
        """Routes, sets and settings of a pod are in the kernel, looked at from outside felix."""
        members = ((self.set_members("cali40wl-net-iface"), pod.ips[0]),
                   (self.set_members("cali60wl-net-iface"), pod.ips[1]))
        routes = self.pod_routes(pod)
        return (all(r is not None and r["dev"] == pod.host_ifname for r in routes)
                and all(s is not None and f"{ip},{pod.host_ifname}" in s for s, ip in members)
                and self.sysctl_of(pod, "ipv4", "proxy_arp") == "1")

    def sysctl_of(self, pod, family, name):
        with self.netns.entered():
            return Path(f"/proc/sys/net/{family}/conf/{pod.host_ifname}/{name}").read_text().strip()

    def snapshot(self):
        """Everything felix owns, to compare before and after."""
        sets = self.netns.run(["ipset", "save"]).splitlines()
        own = {f: self.own_rules(f) for f in (4, 6)}
        return {"sets": sorted(line.split(" hashsize")[0] for line in sets),
                "rules": [sorted(own[f]) for f in (4, 6)],
                "order": [[line for line in own[f] if line.startswith("-A")] for f in (4, 6)],
                "routes": [sorted(json.dumps(r, sort_keys=True) for r in self.routes(f)
                                  if r.get("dev", "").startswith("cali")) for f in (4, 6)]}

    # ---- what it says of itself
    def metric(self, name):
        _, out = self.http_get(9091, "/metrics")
        return next((float(line.split()[-1]) for line in out.splitlines()
                     if line.startswith((name + " ", name + "{"))), None)

    def readiness(self):
        return self.http_get(9099, "/readiness")

    def annotations(self):
        return self.lab.api.client.get("Node", self.name)["metadata"].get("annotations", {})

    def condition(self):
        """(status, reason, message) of NetworkUnavailable."""
        for entry in self.lab.api.client.get("Node", self.name)["status"].get("conditions", []):
            if entry["type"] == "NetworkUnavailable":
                return entry["status"], entry["reason"], entry["message"]
        return None


class FelixCluster(Cluster):
    """Pools without IPIP unless a test asks for it: most of felix is tested where no ipip module is. `backend` of
    iptables: None leaves it to felix, which finds nft where no rule is."""

    node_class = FelixNode

    def __init__(self, zones, ipip_mode="Never", backend=None, settings=None, **kwargs):
        super().__init__(zones, ipip_mode=ipip_mode,
                         settings={**({"FELIX_IPTABLESBACKEND": backend} if backend else {}), **(settings or {})}, **kwargs)
        self.backend = backend or "nft"
        self.other_backend = {"nft": "legacy", "legacy": "nft"}[self.backend]

    def start_nodes(self):
        for node in self.nodes.values():
            self.start_node(node)
        for node in self.nodes.values():
            node.wait_ready()


# For tests of what no rule, set or packet has a part in: once is enough. The fixture `cluster` has both backends.
ON_ONE_BACKEND = pytest.mark.parametrize("cluster", ["nft"], indirect=True)


def timed(call):
    """Milliseconds a call took."""
    start = time.monotonic()
    call()
    return (time.monotonic() - start) * 1000


def stays(condition, seconds, what):
    """Fails as soon as the condition is false within that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not condition():
            raise LabError(f"did not last {seconds} s: {what}")
        time.sleep(0.05)


def has_legacy_tables():
    return os.access("/usr/sbin/iptables-legacy-restore", os.X_OK)


def fresh_start(world, node):
    """felix starts with a kernel that holds nothing of it; back when all is in force."""
    node.felix.kill9()
    for tool in ("iptables", "ip6tables"):
        text = "".join(f"*{table}\n-F\n-X\nCOMMIT\n" for table in ("raw", "mangle", "nat", "filter"))
        node.netns.run([f"{tool}-{world.backend}-restore", "--noflush", "-w", "10"], input=text)
    node.netns.run(["ipset", "destroy"])
    node.start_canal()
    node.wait_ready()
    world.settle(30)
