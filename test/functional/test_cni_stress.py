"""The CNI plugin when much happens at once, is killed in between, or leaves addresses to another plugin."""

import json
import random
import shutil
import signal
import subprocess
import time

import pytest

from cni_plugin import HOST_PLUGINS, PLUGIN, CniError, Plugin, Sandbox, ips, one_node
from lab import wait_for


@pytest.fixture(name="cluster", scope="module")
def cluster_fixture():
    with one_node() as cluster:
        cluster.start_nodes()
        yield cluster


@pytest.fixture(name="plugin")
def plugin_fixture(cluster):
    node = cluster.node("a1")
    if not node.felix.alive():
        node.start_canal()
    node.wait_ready()
    plugin = Plugin(node)
    yield plugin
    plugin.wait_clean()
    shutil.rmtree(plugin.addresses, ignore_errors=True)


@pytest.fixture(name="sandbox")
def sandbox_fixture(plugin):
    box = Sandbox(plugin.node, "web")
    yield box
    plugin.delete(box)
    box.drop()


# ---- killed
def killed_add(plugin, sandbox, config, delay):
    """True when the plugin died of it, false when it was through before."""
    process = plugin.popen(sandbox.env("ADD"))
    process.stdin.write(json.dumps(config))
    process.stdin.close()
    until = time.perf_counter() + delay
    while time.perf_counter() < until:
        pass
    process.kill()
    process.stdout.close()
    process.stderr.close()
    return process.wait() == -signal.SIGKILL


def whole_add_seconds(plugin, sandbox, config):
    start = time.perf_counter()
    plugin.add(sandbox, config)
    took = time.perf_counter() - start
    plugin.delete(sandbox, config)
    plugin.wait_clean()
    return took


@pytest.mark.parametrize("felix", ["up", "down"])
def test_an_add_killed_anywhere_leaves_nothing_behind_after_del(plugin, sandbox, felix):
    config = plugin.config()
    took = whole_add_seconds(plugin, sandbox, config)
    rounds = 120 if felix == "up" else 25
    n_killed = n_half = 0
    for i in range(rounds):
        was_killed = killed_add(plugin, sandbox, config, took * (i % 10) / 9)
        # One measured call says little of the next ones: those that get through shorten the time.
        took *= 1.05 if was_killed else 0.85
        n_killed += was_killed
        n_half += bool(plugin.host_links() or plugin.files())
        if felix == "down":
            plugin.node.felix.kill9()
        plugin.delete(sandbox, config)
        plugin.wait_clean()
        if felix == "down":
            plugin.node.start_canal()
            plugin.node.wait_ready()
    assert n_killed > rounds / 3, "hardly one was killed; the delays do not fit"
    assert n_half > rounds / 10, "hardly one had begun; the delays do not fit"
    plugin.add(sandbox, config)


def test_a_killed_add_can_be_repeated_after_its_del_at_once(plugin, sandbox):
    config = plugin.config()
    took = whole_add_seconds(plugin, sandbox, config)
    for i in range(30):
        killed_add(plugin, sandbox, config, took * i / 30)
        plugin.delete(sandbox, config)
        result = plugin.add(sandbox, config)
        plugin.call("CHECK", sandbox, plugin.config(prevResult=result))
        plugin.delete(sandbox, config)


def test_gc_cleans_up_after_killed_adds_that_saw_no_del(plugin, cluster):
    random.seed(7)
    boxes = [Sandbox(plugin.node, f"k{i}") for i in range(10)]
    for box in boxes:
        killed_add(plugin, box, plugin.config(), random.uniform(0.001, 0.006))
    cluster.drop_namespaces([box.netns for box in boxes])
    plugin.plain("GC", plugin.config("1.1.0", **{"cni.dev/valid-attachments": []}))


# ---- many
@pytest.mark.parametrize("count", [30, 250])
def test_many_at_once_get_addresses_of_their_own(plugin, cluster, count):
    node = plugin.node
    boxes = [Sandbox(node, f"m{i}", defer=True) for i in range(count)]
    cluster.add_namespaces([box.netns for box in boxes])
    try:
        text = json.dumps(plugin.config(policy_setup_timeout_seconds=60))
        start = time.monotonic()
        running = [plugin.popen(box.env("ADD")) for box in boxes]
        for process in running:
            process.stdin.write(text)
            process.stdin.close()
            process.stdin = None
        results = [plugin.finish(process, None) for process in running]
        took = time.monotonic() - start
        given = [ip for result in results for ip in ips(result)]
        assert len(given) == len(set(given)) == 2 * count
        assert set(plugin.files()) == set(given)
        for box, result in list(zip(boxes, results))[:: max(1, count // 10)]:
            assert all(node.route_to(ip)["dev"] == box.host_ifname for ip in ips(result))
        assert took < 30, f"{took:.1f} s"
        running = [plugin.popen(box.env("DEL")) for box in boxes]
        for process in running:
            process.stdin.write(text)
            process.stdin.close()
            process.stdin = None
        for process in running:
            plugin.finish(process, None)
        plugin.wait_clean(60)
    finally:
        cluster.drop_namespaces([box.netns for box in boxes])


def test_a_full_node_gives_every_address_once_and_then_says_so(plugin, cluster):
    config = plugin.config(ipam={"subnet": "10.99.20.0/28"})
    boxes = [Sandbox(plugin.node, f"f{i}") for i in range(16)]
    refused, given = 0, set()
    running = [(box, plugin.popen(box.env("ADD"))) for box in boxes]
    for _, process in running:
        try:
            given.add(ips(plugin.finish(process, json.dumps(config)))[0])
        except CniError as error:
            assert "no IPv4 address is left" in error.text
            refused += 1
    assert given == {f"10.99.20.{n}" for n in range(2, 15)} and refused == 3
    for box in boxes:
        plugin.delete(box, config)
    cluster.drop_namespaces([box.netns for box in boxes])


# ---- addresses from somebody else
def test_addresses_from_the_static_plugin(plugin, sandbox):
    config = plugin.config()
    config["ipam"] = {"type": "static", "addresses": [{"address": "10.95.0.7/24"},
                                                      {"address": "fd95::7/64"}]}
    result = plugin.add(sandbox, config)
    assert [e["address"] for e in result["ips"]] == ["10.95.0.7/32", "fd95::7/128"]
    assert plugin.node.route_to("10.95.0.7")["dev"] == sandbox.host_ifname
    plugin.call("CHECK", sandbox, {**config, "prevResult": result})
    plugin.delete(sandbox, config)
    # The other plugin may give the address anew at once: the link must have gone before.
    assert plugin.host_links() == {}
    plugin.wait_clean()


def test_routes_and_dns_of_a_delegated_plugin_are_the_pods(plugin, sandbox):
    config = plugin.config("1.0.0")
    config["ipam"] = {"type": "static", "addresses": [{"address": "10.95.0.7/24"}],
                      "routes": [{"dst": "192.0.2.0/24", "gw": "10.95.0.1"}],
                      "dns": {"nameservers": ["192.0.2.53"], "search": ["example.org"]}}
    result = plugin.add(sandbox, config)
    shown = json.loads(sandbox.netns.run(["ip", "-j", "route", "show", "dev", "eth0"]))
    assert {r["dst"]: r.get("gateway") for r in shown} == {"169.254.1.1": None, "192.0.2.0/24": "169.254.1.1"}
    assert result["routes"] == [{"dst": "192.0.2.0/24"}]
    assert result["dns"] == config["ipam"]["dns"]
    plugin.call("CHECK", sandbox, {**config, "prevResult": result})
    plugin.delete(sandbox, {**config, "prevResult": result})


@pytest.fixture(name="foreign")
def foreign_fixture(tmp_path):
    """host-local under another name: a plugin we know nothing of, with state."""
    path = tmp_path / "bin"
    path.mkdir()
    shutil.copy(f"{HOST_PLUGINS}/host-local", path / "foreign-ipam")
    return path


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_addresses_from_a_plugin_of_any_name(plugin, sandbox, foreign, version):
    config = plugin.config(version)
    config["ipam"] = {"type": "foreign-ipam", "dataDir": str(foreign / "data"),
                      "subnet": "10.94.0.0/24"}
    where = {"CNI_PATH": f"/nowhere:{foreign}"}
    result = plugin.add(sandbox, config, **where)
    assert result["ips"][0]["address"] == "10.94.0.2/32"
    files = foreign / "data" / plugin.network
    assert (files / "10.94.0.2").exists()
    if version != "0.3.1":
        plugin.call("CHECK", sandbox, {**config, "prevResult": result}, **where)
    plugin.delete(sandbox, config, **where)
    assert not (files / "10.94.0.2").exists()
    plugin.delete(sandbox, config, **where)


def test_a_delegated_address_is_given_back_when_the_add_fails(plugin, sandbox, foreign):
    config = plugin.config(policy_setup_timeout_seconds=1, mtu=20000)
    config["ipam"] = {"type": "foreign-ipam", "dataDir": str(foreign / "data"),
                      "subnet": "10.94.1.0/24"}
    sandbox.netns.ip("link add eth0 type veth peer name other0")  # its name is taken: the link cannot be made
    with pytest.raises(CniError):
        plugin.add(sandbox, config, CNI_PATH=str(foreign))
    sandbox.netns.ip("link del eth0")
    assert not (foreign / "data" / plugin.network / "10.94.1.2").exists()


def script(directory, text):
    path = directory / "broken-ipam"
    path.write_text(text)
    path.chmod(0o755)
    return {"CNI_PATH": str(directory)}


BROKEN = {
    "fails": ("#!/bin/sh\ncat >/dev/null\necho '{\"code\":117,\"msg\":\"no way\"}'\nexit 1\n", 117),
    "says nothing": ("#!/bin/sh\nexit 0\n", None),
    "prints garbage": ("#!/bin/sh\ncat >/dev/null\necho '{'\n", None),
    "gives no address": ("#!/bin/sh\ncat >/dev/null\necho '{\"ips\":[]}'\n", None),
    "gives nonsense": ("#!/bin/sh\ncat >/dev/null\necho '{\"ips\":[{\"address\":\"x\"}]}'\n", None),
    "dies": ("#!/bin/sh\nkill -9 $$\n", None),
    "is no program": ("\x7fELF", None),
    "floods": ("#!/bin/sh\nhead -c 3000000 /dev/zero\n", None),
}


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_a_broken_ipam_plugin_is_reported(plugin, sandbox, tmp_path, how):
    text, code = BROKEN[how]
    config = plugin.config()
    config["ipam"] = {"type": "broken-ipam"}
    with pytest.raises(CniError) as refused:
        plugin.add(sandbox, config, **script(tmp_path, text))
    assert refused.value.code and (code is None or refused.value.code == code)
    assert plugin.host_links() == {}


def test_an_ipam_plugin_that_is_not_there(plugin, sandbox):
    config = plugin.config()
    config["ipam"] = {"type": "no-such-ipam"}
    with pytest.raises(CniError) as refused:
        plugin.add(sandbox, config)
    assert "no-such-ipam" in refused.value.text


# ---- what the plugin is made of
def test_the_plugin_links_nothing_that_makes_it_slow():
    out = subprocess.run(["ldd", PLUGIN], capture_output=True, text=True, check=True).stdout
    libraries = {line.split()[0].split(".so")[0] for line in out.splitlines() if "=>" in line}
    assert libraries <= {"libjson-c", "libmnl", "libmd", "libc", "libasan", "libubsan", "libm",
                         "libgcc_s"}


def test_an_add_starts_no_process_and_touches_no_secret(plugin, sandbox, tmp_path):
    """What it opens and runs, as the kernel sees it (strace is not needed: /proc of a stopped felix)."""
    log = tmp_path / "trace"
    env = sandbox.env("ADD")
    done = plugin.node.netns.run(["strace", "-f", "-o", str(log), "-e", "trace=execve,openat,open,clone,"
                                  "fork,vfork,clone3", PLUGIN],
                                 input=json.dumps(plugin.config()), env=env, stderr=None)
    assert len(json.loads(done)["ips"]) == 2
    text = log.read_text()
    assert text.count("execve(") == 1 and "clone" not in text and "fork(" not in text
    assert "serviceaccount" not in text and "kubeconfig" not in text
    wait_for(lambda: plugin.files(), 1, "files")
