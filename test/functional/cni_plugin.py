"""Calls the CNI plugin as a runtime does, in the namespace of a node; looks at what it leaves behind."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

from felix_nodes import FelixCluster
from lab import Netns, ZoneSpec, wait_for
from lab.cluster import BUILD
from lab.pod import ifname_of

PLUGIN = str(BUILD / "canal")
HOST_PLUGINS = "/usr/lib/cni"
VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
NETWORK = "k8s-pod-network"


class CniError(Exception):
    """The plugin refused; `code` and `text` are its error object's."""

    def __init__(self, answer, stderr):
        super().__init__(f"{answer} {stderr}")
        self.answer = answer
        self.code = answer.get("code")
        self.text = answer.get("details") or answer.get("msg")


def known_pod(node, name, namespace="default"):
    """The Pod object, scheduled to the node. A runtime has its pods from the API; the packets of one that is not there
    are dropped."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
            "spec": {"nodeName": node.name, "containers": [{"name": "main", "image": "example.org/none"}]}}


class Sandbox:
    """A container as the runtime knows it: an ID, a namespace, a pod's name, which the API knows unless `known`
    says no (felix then waits for the object). With `defer` the caller makes the namespace, many in one go."""

    def __init__(self, node, name, container_id=None, namespace="default", netns=None,
                 defer=False, known=True):
        self.node = node
        self.name = name
        self.namespace = namespace
        self.netns = netns or Netns(f"{node.lab.tag}-{node.name}-c-{name}")
        self.container_id = container_id or hashlib.sha256(
            f"{self.netns.name} {name}".encode()).hexdigest()
        self.host_ifname = ifname_of(namespace, name)
        if netns is None and not defer:
            node.lab.add_namespaces([self.netns])
        if known and node.lab.api.is_up:
            node.lab.api.apply(known_pod(node, name, namespace))

    def env(self, command, **extra):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CNI_COMMAND": command,
               "CNI_CONTAINERID": self.container_id, "CNI_NETNS": self.netns.path,
               "CNI_IFNAME": "eth0", "CNI_PATH": f"{BUILD}:{HOST_PLUGINS}",
               "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={self.namespace};"
                           f"K8S_POD_NAME={self.name};K8S_POD_INFRA_CONTAINER_ID={self.container_id}"}
        env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        env.update(extra)
        return {key: value for key, value in env.items() if value is not None}

    def drop(self):
        """The namespace goes, as when a container dies."""
        self.node.lab.drop_namespaces([self.netns])


class Plugin:
    """The plugin of one node; `config` is what stands in its conflist."""

    def __init__(self, node, network=NETWORK):
        self.node = node
        self.network = network
        self.addresses = node.cni_dir / network

    def config(self, version="1.0.0", ipam=None, **more):
        return {"cniVersion": version, "name": self.network, "type": "canal",
                "felix_socket": str(self.node.felix_socket), "state_dir": str(self.node.state_dir),
                "ipam": {"type": "host-local", "dataDir": str(self.node.cni_dir), **(ipam or {})},
                **more}

    def popen(self, env):
        return self.node.netns.popen([PLUGIN], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)

    def finish(self, process, stdin):
        out, err = process.communicate(stdin, timeout=60)
        if process.returncode != 0:
            raise CniError(json.loads(out) if out.strip() else {"code": None}, err)
        return json.loads(out) if out.strip() else None

    def run(self, env, config):
        text = config if isinstance(config, str) else json.dumps(config)
        return self.finish(self.popen(env), text)

    def call(self, command, sandbox, config=None, **extra):
        return self.run(sandbox.env(command, **extra), config or self.config())

    def add(self, sandbox, config=None, **extra):
        return self.call("ADD", sandbox, config, **extra)

    def delete(self, sandbox, config=None, **extra):
        return self.call("DEL", sandbox, config, **extra)

    def plain(self, command, config):
        """GC, STATUS: no container."""
        return self.run({"CNI_COMMAND": command, "CNI_PATH": f"{BUILD}:{HOST_PLUGINS}"}, config)

    # ---- what is there
    def files(self):
        """{address: (container ID, interface)}"""
        found = {}
        for path in sorted(self.addresses.glob("*")):
            if path.name == "lock" or path.name.startswith("last_reserved_ip."):
                continue
            try:
                found[path.name] = tuple(path.read_bytes().decode().split("\r\n"))
            except FileNotFoundError:  # felix has just released it
                pass
        return found

    def host_links(self):
        return {link["ifname"]: link for link in
                json.loads(self.node.netns.run(["ip", "-j", "link", "show", "type", "veth"],
                                               stderr=subprocess.DEVNULL) or "[]")
                if link["ifname"].startswith("cali")}

    def pod_link(self, sandbox):
        links = json.loads(sandbox.netns.run(["ip", "-j", "-d", "address", "show"]))
        return next((link for link in links if link["ifname"] == "eth0"), None)

    def has_residue(self):
        """What is left of all pods: files, links, routes, felix's memory."""
        try:
            return self.residue()
        except ValueError:  # `ip` complains when links go while it lists them
            return ["a disturbed list"]

    def residue(self):
        left = [*self.files(), *self.host_links(), *(p.name for p in self.node_endpoints())]
        left += [r["dst"] for f in (4, 6) for r in self.node.routes(f)
                 if r.get("dev", "").startswith("cali") and not r["dst"].startswith("fe80")]
        return left

    def node_endpoints(self):
        return list((self.node.run_dir / "endpoints").glob("*"))

    def wait_clean(self, deadline=10):
        wait_for(lambda: not self.has_residue(), deadline, lambda: f"left: {self.has_residue()}")


def one_node(**kwargs):
    return FelixCluster([ZoneSpec("a", ["a1"])], **kwargs)


def ips(result):
    return [entry["address"].split("/")[0] for entry in result["ips"]]


def write_file(directory, name, text):
    Path(directory).mkdir(parents=True, exist_ok=True)
    (Path(directory) / name).write_bytes(text.encode())
