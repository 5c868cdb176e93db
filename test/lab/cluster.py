"""A lab with Kubernetes on it: the API server, and on every node bird, canal-confd, canal-felix and the CNI
plugin, started and called as a cluster would.

    with Cluster([ZoneSpec("a", ["a1", "a2"]), ZoneSpec("b", ["b1"])]) as cluster:
        pod = cluster.node("a1").add_pod("web")
"""

import http.client
import json
import os
import socket
import subprocess
from pathlib import Path

from .apihost import ApiHost
from .lab import ROOT, Lab
from .netns import LabError
from .node import POOL4, POOL6, Node
from .pod import Pod
from .process import at_once, wait_for

BUILD = Path(os.environ.get("CANAL_BUILD") or ROOT / "build")
CNI_NETWORK = "canal"
CONFD_HEALTH_PORT = 9092


class CanalNode(Node):
    """A node that runs Canal."""

    # ---- its objects
    def object(self, labels=None, annotations=None):
        """The Node as kubelet and the controller manager would have made it."""
        return {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name,
                         "labels": {"kubernetes.io/hostname": self.name,
                                    "topology.kubernetes.io/zone": self.zone.name,
                                    **({"rack": self.zone.name} if self.zone.asn else {}),
                                    **(labels or {})},
                         "annotations": {
                             **({"projectcalico.org/ASNumber": str(self.zone.asn)}
                                if self.zone.asn else {}), **(annotations or {})}},
            "spec": {"podCIDR": self.pod_cidr4, "podCIDRs": [self.pod_cidr4, self.pod_cidr6]},
            "status": {"addresses": [{"type": "InternalIP", "address": self.ip4},
                                     {"type": "InternalIP", "address": self.ip6},
                                     {"type": "Hostname", "address": self.name}]},
        }

    # ---- daemons
    def environment(self):
        """Settings of both daemons: this node's own paths, the rest as shipped. A lab's setting that is None is
        not set at all."""
        found = {
            "NODENAME": self.name,
            "KUBECONFIG": str(self.lab.api.token_kubeconfig),
            "CANAL_RUN_DIR": str(self.run_dir),
            "CANAL_STATE_DIR": str(self.state_dir),
            "CANAL_ADDRESS_DIR": str(self.cni_dir),
            "CANAL_TEMPLATES": str(ROOT / "bird-templates"),
            "CANAL_BIRD_LOCAL": str(self.dir / "local.d"),
            "CANAL_CONFD_METRICS_PORT": str(CONFD_HEALTH_PORT),
            # As installers for Kubernetes set it: pods talk to their node's kubelet and DNS.
            "FELIX_DEFAULTENDPOINTTOHOSTACTION": "ACCEPT",
            **self.lab.settings,
        }
        return {key: value for key, value in found.items() if value is not None}

    def prepare_daemons(self):
        env = self.environment()
        self.felix = self.lab.daemon(self.netns, f"{self.name}-felix",
                                     [str(BUILD / "canal-felix")], env, self.dir)
        self.confd = self.lab.daemon(self.netns, f"{self.name}-confd",
                                     [str(BUILD / "canal-confd")], env, self.dir)

    def start_canal(self):
        """In any order, as on a real node: whatever comes first waits for the rest."""
        if self.felix is None:
            self.prepare_daemons()
        self.felix.start()
        self.confd.start()
        self.start_bird()

    @property
    def felix_socket(self):
        return self.run_dir / "felix.sock"

    def felix_request(self, request, timeout=5):
        """One line to felix's socket, its one line back."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(timeout)
            try:
                s.connect(str(self.felix_socket))
                s.sendall(json.dumps(request).encode() + b"\n")
                line = s.makefile("rb").readline()
            except OSError as error:
                raise LabError(f"{self.name}: felix's socket: {error}") from None
        if not line:
            raise LabError(f"{self.name}: felix closed its socket without an answer")
        return json.loads(line)

    def felix_ready(self):
        answer = self.felix_request({"op": "status"})
        if not (answer.get("ok") and answer.get("ready")):
            raise LabError(f"{self.name}: felix is not ready: {answer.get('reason')}")
        return True

    def http_get(self, port, path):
        """(status, body) of a daemon's HTTP port, asked from inside the node."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            with self.netns.entered():
                connection.connect()
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"{self.name}: port {port}: {error}") from None
        finally:
            connection.close()

    def confd_ready(self):
        """Its readiness endpoint."""
        status, text = self.http_get(CONFD_HEALTH_PORT, "/readiness")
        if status != 200:
            raise LabError(f"{self.name}: confd is not ready: {text.strip()}")
        return True

    # ---- pods
    def cni_config(self):
        return {"cniVersion": "1.0.0", "name": CNI_NETWORK, "type": "canal",
                "felix_socket": str(self.felix_socket), "state_dir": str(self.state_dir),
                "ipam": {"type": "host-local", "dataDir": str(self.cni_dir),
                         "ranges": [[{"subnet": "usePodCidr"}]]}}

    def cni(self, command, pod, stdin=None):
        """One call of the plugin as a runtime makes it; gives back its result, LabError with its
        message when it refuses."""
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CNI_COMMAND": command, "CNI_PATH": str(BUILD),
               "CNI_CONTAINERID": pod.container_id, "CNI_NETNS": pod.netns.path,
               "CNI_IFNAME": "eth0",
               "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.namespace};"
                           f"K8S_POD_NAME={pod.name};K8S_POD_INFRA_CONTAINER_ID={pod.container_id}"}
        process = self.netns.popen([str(BUILD / "canal")], env=env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = process.communicate(json.dumps(stdin or self.cni_config()), timeout=60)
        with open(self.dir / "cni.log", "a", encoding="utf-8") as log:
            log.write(f"{command} {pod.key}: exit {process.returncode}\n{out}{err}\n")
        if process.returncode != 0:
            raise LabError(f"{self.name}: CNI {command} {pod.key}: {out.strip()} {err.strip()}")
        return json.loads(out) if out.strip() else {}

    def add_pod(self, name, namespace="default", change=None):
        """As scheduler, kubelet and runtime do it together: the object, the sandbox, CNI ADD, status.

        `change`: a function of the Pod object (labels, ports, service account) before it is created."""
        pod = Pod(self, namespace, name, self.pod_netns(name, namespace))
        obj = pod.object()
        if change:
            change(obj)
        self.lab.api.create(obj)
        self.lab.add_namespaces([pod.netns])
        pod.netns.sysctl({"net/ipv6/conf/default/accept_dad": 0})
        pod.netns.ip("link set lo up")
        result = self.cni("ADD", pod)
        pod.ips = [entry["address"].split("/")[0] for entry in result["ips"]]
        self.lab.api.patch_status("Pod", name, {
            "phase": "Running", "podIP": pod.ips[0],
            "podIPs": [{"ip": ip} for ip in pod.ips]}, namespace)
        self.pods[pod.key] = pod
        return pod

    def del_pod(self, pod):
        self.cni("DEL", pod)
        self.lab.api.delete("Pod", pod.name, pod.namespace)
        self.drop_pod(pod)


class Cluster(Lab):
    """A Lab whose nodes are CanalNodes, with the API server on its API host."""

    node_class = CanalNode

    def __init__(self, zones, mtu=1500, ipip_mode="CrossSubnet", mesh=True, settings=None, **kwargs):
        super().__init__(zones, mtu=mtu, **kwargs)
        self.ipip_mode = ipip_mode
        self.mesh = mesh
        self.settings = dict(settings or {})

    def build(self):
        super().build()
        self.api = ApiHost(self)
        self.api.start()
        for obj in self.objects():
            self.api.apply(obj)

    def objects(self):
        """What an administrator applies: pools, BGP configuration, for racks one BGPPeer a family."""
        crd = "crd.projectcalico.org/v1"
        found = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}},
            {"apiVersion": crd, "kind": "IPPool", "metadata": {"name": "pods4"},
             "spec": {"cidr": POOL4, "ipipMode": self.ipip_mode, "natOutgoing": True}},
            {"apiVersion": crd, "kind": "IPPool", "metadata": {"name": "pods6"},
             "spec": {"cidr": POOL6, "natOutgoing": True}},
            {"apiVersion": crd, "kind": "BGPConfiguration", "metadata": {"name": "default"},
             "spec": {"asNumber": 64512, "nodeToNodeMeshEnabled": self.mesh}},
        ]
        for zone in self.zones.values():
            if zone.asn:
                found += [{"apiVersion": crd, "kind": "BGPPeer",
                           "metadata": {"name": f"tor-{zone.name}-v{family}"},
                           "spec": {"nodeSelector": f"rack == '{zone.name}'",
                                    "peerIP": address, "asNumber": zone.asn}}
                          for family, address in ((4, zone.gateway4), (6, zone.gateway6))]
        return found

    def start_node(self, node):
        """Registers it and starts its daemons; wait_ready() says when it can carry pods."""
        self.api.create(node.object())
        node.start_canal()

    def start_nodes(self):
        for node in self.nodes.values():
            self.api.create(node.object())
        at_once(lambda node: node.start_canal(), self.nodes.values())
        self.wait_ready()

    def delete_node(self, node):
        """Its machine goes, then its object; a rack's switch is told by its operator."""
        switch = node.zone.switch
        self.remove_node(node.name)
        self.api.delete("Node", node.name)
        if switch:
            switch.remove_node(node)

    def sessions_of(self, node):
        """How many BGP sessions the node must have: one a family to the switch or to every other node."""
        return 2 if node.zone.asn else 2 * (len(self.nodes) - 1)

    def wait_routes(self, deadline=60):
        """Until every node has a route to every other node's blocks."""
        for node in self.nodes.values():
            want = {cidr for other in self.nodes.values() if other is not node
                    for cidr in (other.pod_cidr4, other.pod_cidr6)}
            wait_for(lambda n=node, w=want: w <= {r["dst"] for f in (4, 6) for r in n.routes(f)},
                     deadline, f"{node.name}: routes to {', '.join(sorted(want))}", interval=0.2)

    def wait_ready(self, deadline=90):
        for node in self.nodes.values():
            wait_for(node.felix_socket.exists, deadline, f"{node.name}: felix's socket")
            wait_for(lambda n=node: n.bgp_established(self.sessions_of(n)), deadline,
                     f"{node.name}: all its BGP sessions", interval=0.2)
        self.wait_routes(deadline)
        self.wait_bgp(deadline=deadline)

    def set_pool(self, name="pods4", **spec):
        self.api.patch("IPPool", name, {"spec": spec})
