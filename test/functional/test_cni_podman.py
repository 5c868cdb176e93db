"""The CNI plugin called by a real runtime: Podman with its CNI backend, in the namespace of a node. The
container's root is a directory with a static busybox, so no image is fetched."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from cni_plugin import HOST_PLUGINS, Plugin, known_pod, one_node
from lab import wait_for
from lab.cluster import BUILD

NETWORK = "k8s-pod-network"


class Podman:
    """All its state below one directory of ours."""

    def __init__(self, node, directory, version):
        self.node = node
        self.dir = directory
        self.plugin = Plugin(node)
        self.root = directory / "root"
        for name in ("bin", "proc", "sys", "dev", "etc", "tmp", "run"):
            (self.root / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.root / "bin/busybox")
        for name in ("sh", "ip", "sleep", "ping"):
            (self.root / "bin" / name).symlink_to("busybox")
        config = directory / "containers.conf"
        nets = directory / "net.d"
        nets.mkdir()
        config.write_text(f"""[network]
network_backend="cni"
cni_plugin_dirs=["{BUILD}","{HOST_PLUGINS}"]
network_config_dir="{nets}"
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
runtime="runc"
""")
        plugin = {k: v for k, v in self.plugin.config().items() if k not in ("cniVersion", "name")}
        (nets / "10-canal.conflist").write_text(json.dumps({
            "cniVersion": version, "name": NETWORK, "plugins": [
                plugin, {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}]}))
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CONTAINERS_CONF": str(config),
                    "HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}
        self.env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})

    def __call__(self, *args, check=True):
        return self.node.netns.run(
            ["podman", "--root", str(self.dir / "storage"), "--runroot", str(self.dir / "run"),
             "--tmpdir", str(self.dir / "tmp"), "--storage-driver", "vfs", "--log-level", "error",
             *args], env=self.env, timeout=60, check=check)

    def run(self, name, *args):
        self("run", "--detach", "--name", name, "--network", NETWORK, "--ulimit", "nofile=1024:1024",
             "--ulimit", "nproc=1024:1024", *args, "--rootfs", str(self.root), "/bin/sleep", "600")

    def exec(self, name, *argv):
        return self("exec", name, *argv)

    def address(self, name):
        text = self("inspect", "--format", "{{json .NetworkSettings.Networks}}", name)
        return json.loads(text)[NETWORK]["IPAddress"]


@pytest.fixture(name="podman", scope="module", params=["0.4.0", "1.0.0"])
def podman_fixture(request):
    directory = Path(tempfile.mkdtemp(prefix="canal-podman-"))
    with one_node() as cluster:
        cluster.start_nodes()
        podman = Podman(cluster.node("a1"), directory, request.param)
        try:
            yield podman
        finally:
            podman("rm", "--all", "--force", "--time", "0", check=False)
            shutil.rmtree(directory, ignore_errors=True)


def test_containers_of_podman_talk_and_leave_nothing(podman):
    plugin, api = podman.plugin, podman.node.lab.api
    for name in ("one", "two"):  # Podman says that a container's namespace is called as the container
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        api.apply(known_pod(podman.node, name, name))
    podman.run("one")
    podman.run("two", "--publish", "18080:80")
    addresses = {name: podman.address(name) for name in ("one", "two")}
    assert set(addresses.values()) <= set(plugin.files())
    assert len(plugin.host_links()) == 2
    assert "1 packets received" in podman.exec("one", "ping", "-c", "1", "-W", "5", addresses["two"])
    routes = podman.exec("one", "ip", "route")
    assert "default via 169.254.1.1 dev eth0" in routes
    for address in addresses.values():
        assert podman.node.route_to(address)["dev"].startswith("cali")
    assert f"{addresses['two']}:80" in podman.node.netns.run(["iptables-save", "-t", "nat"])
    podman("rm", "--force", "--time", "0", "one", "two")
    plugin.wait_clean()


def test_a_restarted_container_is_wired_anew(podman):
    podman.run("again")
    before = podman.address("again")
    podman("restart", "--time", "0", "again")
    wait_for(lambda: podman.address("again"), 10, "an address after the restart")
    after = podman.address("again")
    assert podman.node.route_to(after)["dev"].startswith("cali")
    wait_for(lambda: before == after or podman.node.route_to(before) is None, 5, "the old route goes")
    podman("rm", "--force", "--time", "0", "again")
    podman.plugin.wait_clean()


def test_a_container_that_dies_can_be_removed_while_felix_is_down(podman):
    podman.run("dies")
    podman.node.felix.kill9()
    podman("kill", "dies")
    podman("rm", "--force", "--time", "0", "dies")
    podman.node.start_canal()
    podman.node.wait_ready()
    podman.plugin.wait_clean()
