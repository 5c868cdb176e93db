"""One namespace with an API server and, on demand, canal-confd and canal-felix in it."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from apiserver.client import ApiServer
from lab.cluster import BUILD
from lab.lab import ROOT
from lab.netns import ip_batch

CRD = "crd.projectcalico.org/v1"


class Host:
    """with Host("mem") as host: host.api.client.create(...); host.felix(); host.rss(process)"""

    def __init__(self, tag):
        self.name = f"bench-{tag}-{os.getpid()}"
        self.dir = Path(tempfile.mkdtemp(prefix="canal-bench-", dir="/dev/shm"))
        self.processes = []

    def __enter__(self):
        ip_batch([f"netns add {self.name}"])
        ip_batch(["link set lo up", "link add eth0 type veth peer name eth0p", "addr add 10.0.0.1/16 dev eth0",
                  "link set eth0 up", "link set eth0p up"], self.name)
        self.api = ApiServer(self.dir / "api", netns=self.name, http=["127.0.0.1:8080"])
        self.api.start()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        self.api.stop()
        ip_batch([f"netns del {self.name}"])
        shutil.rmtree(self.dir, ignore_errors=True)

    def environment(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NODENAME": "n1",
                "KUBECONFIG": str(self.api.http_kubeconfig), "CANAL_RUN_DIR": str(self.dir / "run"),
                "CANAL_STATE_DIR": str(self.dir / "state"), "CANAL_ADDRESS_DIR": str(self.dir / "addresses"),
                "CANAL_TEMPLATES": str(ROOT / "bird-templates"), "CALICO_NETWORKING_BACKEND": "none"}

    def start(self, *argv, **env):
        log = open(self.dir / f"{Path(argv[0]).name}.log", "ab")
        (self.dir / "run").mkdir(exist_ok=True)
        process = subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, argv)],
                                   env={**self.environment(), **env}, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def log(self, program):
        return (self.dir / f"{program}.log").read_text()

    def felix(self):
        return self.start(BUILD / "canal-felix")

    def confd(self):
        return self.start(BUILD / "canal-confd")

    def bird(self):
        return self.start("/usr/sbin/bird", "-f", "-c", self.dir / "run/bird.conf", "-s",
                          self.dir / "run/bird.ctl")

    def own_node(self):
        self.api.client.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
                               "spec": {"podCIDRs": ["10.244.0.0/24"]},
                               "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}})
        self.api.client.apply({"apiVersion": CRD, "kind": "IPPool", "metadata": {"name": "default"},
                               "spec": {"cidr": "10.244.0.0/16", "ipipMode": "Never", "natOutgoing": True}})
        self.api.client.apply({"apiVersion": CRD, "kind": "BGPConfiguration", "metadata": {"name": "default"},
                               "spec": {"nodeToNodeMeshEnabled": False}})


def rss_mb(process):
    """Resident memory; `ip netns exec` becomes the program, so the pid is its own."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the process has ended")


def wait_until(condition, deadline, what):
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not happen within {deadline} s")
