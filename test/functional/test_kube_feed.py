"""lib/kube and lib/feed against the test API server: the store, as feed-dump writes it, is what the
API has; under every fault it stays as it was and is right afterwards."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from apiserver.client import ApiServer

BUILD = Path(os.environ.get("BUILD", "build"))
FAST = {"KUBE_BACKOFF_MIN_MS": "20", "KUBE_BACKOFF_MAX_MS": "200", "KUBE_SILENT_MS": "1500",
        "KUBE_REQUEST_MS": "2000", "KUBE_CONNECT_MS": "1000", "KUBE_PAGE": "7", "KUBE_DISTRUST_MS": "600000"}
N_NODES = 20


def until(test, deadline=20, what="condition"):
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        found = test()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {deadline} s: {what() if callable(what) else what}")


class Feed:
    """A running feed-dump."""

    def __init__(self, directory, kubeconfig, kinds=(), prefix=(), **env):
        self.out = Path(directory) / f"store.{os.getpid()}.{id(self)}"
        self.log_path = self.out.with_suffix(".log")
        self.log_file = self.log_path.open("w")
        self.process = subprocess.Popen(
            [*prefix, BUILD / "tools/feed-dump", self.out, *kinds], stderr=self.log_file,
            env={**os.environ, **FAST, **env, "KUBECONFIG": str(kubeconfig)})

    def text(self):
        return self.out.read_text() if self.out.exists() else ""

    def lines(self):
        return [line for line in self.text().split("# metrics")[0].splitlines() if not line.startswith("#")]

    def in_sync(self):
        return self.text().startswith("# in_sync=1")

    def log(self):
        return self.log_path.read_text()

    def metric(self, pattern):
        return sum(float(n) for n in re.findall(rf"^{pattern} (\S+)$", self.text(), re.M))

    def stop(self):
        """Ends it; a leaked handle or a crash is a failure."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "hung"
        self.log_file.close()
        assert code == 0, f"feed-dump ended with {code}: {self.log()[-2000:]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def expected(api):
    """What the store should hold, told from the API's own list."""
    lines = []
    for node in api.client.list("nodes"):
        cidrs = "".join(f" cidr={cidr}" for cidr in node["spec"].get("podCIDRs", []))
        address = next((a["address"] for a in node.get("status", {}).get("addresses", [])
                        if a["type"] == "InternalIP"), "none")
        labels = "".join(f" {k}={v}" for k, v in sorted(node["metadata"].get("labels", {}).items()))
        lines.append(f"Node {node['metadata']['name']}{cidrs} ip={address}{labels}")
    return sorted(lines)


def touch(api, name, value):
    api.client.patch("nodes", name, {"metadata": {"labels": {"touched": str(value)}}})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("api"), listen=["127.0.0.1:0"], http=["127.0.0.1:0"],
                   extra=["--bookmark-interval", "0.3"]) as api:
        api.client.generate("Node", N_NODES)
        yield api


@pytest.fixture
def api(server):
    yield server
    server.client.clear_faults()
    server.client.restore()


def kubeconfig(api, name="http"):
    return Path(api.dir) / f"{name}.kubeconfig"


def settled(feed, api):
    until(lambda: feed.in_sync() and feed.lines() == expected(api), 30,
          lambda: f"the store equals the API; it is\n{feed.text()}\n{feed.log()[-2000:]}\nwanted\n{expected(api)}")


@pytest.fixture
def feed(api, tmp_path):
    with Feed(tmp_path, kubeconfig(api), ["Node"]) as running:
        settled(running, api)
        yield running


@pytest.mark.parametrize("name", ["http", "token", "admin"])
def test_every_kind_of_credential_reaches_the_api(api, tmp_path, name):
    with Feed(tmp_path, kubeconfig(api, name), ["Node"]) as feed:
        settled(feed, api)
        touch(api, "node-00001", name)
        settled(feed, api)
        token = (Path(api.dir) / "tokens/canal").read_text().strip()
        assert token not in feed.log() and "PRIVATE KEY" not in feed.log()


def test_a_rotated_token_file_is_read_again(api, tmp_path):
    directory = Path(api.dir)
    port = api.url.rsplit(":", 1)[1]
    config = tmp_path / "config"
    config.write_text(f"""
current-context: c
contexts: [{{name: c, context: {{cluster: k, user: u}}}}]
clusters: [{{name: k, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: {directory}/ca.crt}}}}]
users: [{{name: u, user: {{tokenFile: {directory}/tokens/canal}}}}]
""")
    with Feed(tmp_path, config, ["Node"]) as feed:
        settled(feed, api)
        api.client.rotate_token()
        api.client.disconnect()
        touch(api, "node-00002", "rotated")
        settled(feed, api)


def test_in_cluster_the_service_account_is_used_and_its_new_token(api, tmp_path):
    """As in a pod: the account's directory at its fixed place, the server in the environment, no kubeconfig."""
    mount = "/run/secrets/kubernetes.io/serviceaccount"
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
              f'mount -t tmpfs tmpfs /run; mkdir -p {mount}; mount --bind "$0" {mount}; exec "$@"',
              str(Path(api.dir).resolve() / "serviceaccount")]
    host, port = api.url.split("//")[1].rsplit(":", 1)
    with Feed(tmp_path, "", ["Node"], inside, KUBERNETES_SERVICE_HOST=host, KUBERNETES_SERVICE_PORT=port) as feed:
        settled(feed, api)
        old = (Path(api.dir) / "serviceaccount/token").read_text()
        api.client.rotate_token()
        assert (Path(api.dir) / "serviceaccount/token").read_text() != old
        api.client.disconnect()
        touch(api, "node-00003", "rotated")
        settled(feed, api)
        assert old.strip() not in feed.log()


def test_in_cluster_service_account_is_refused_without_its_environment(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith("KUBE")}
    done = subprocess.run([BUILD / "tools/feed-dump", tmp_path / "x"], env=env, capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 1 and "KUBERNETES_SERVICE_HOST" in done.stderr


# What is done, and which request it meets. Each must leave the state alone and end right.
FAULTS = {
    "watch dropped mid-object": [{"match": {"verb": "watch"}, "action": "drop", "times": 2}],
    "watch truncated mid-chunk": [{"match": {"verb": "watch"}, "action": "truncate", "times": 2}],
    "watch event not JSON": [{"match": {"verb": "watch"}, "action": "malformed", "mode": "json", "times": 2}],
    "watch event of wrong types": [{"match": {"verb": "watch"}, "action": "malformed", "mode": "types", "times": 2,
                                    "resend": False}],
    "watch event without fields": [{"match": {"verb": "watch"}, "action": "malformed", "mode": "missing", "times": 1}],
    "watch gone 410": [{"match": {"verb": "watch"}, "action": "410", "times": 2}],
    "watch gone 410 as status": [{"match": {"verb": "watch"}, "action": "410", "at": "start", "times": 2}],
    "watch duplicates": [{"match": {"verb": "watch"}, "action": "duplicate", "times": 2}],
    "watch half-open": [{"match": {"verb": "watch"}, "action": "silent", "times": 1, "seconds": 60}],
    "watch half-open from the start": [{"match": {"verb": "watch"}, "action": "silent", "at": "start", "times": 1,
                                        "seconds": 60}],
    "watch drips": [{"match": {"verb": "watch"}, "action": "drip", "times": 1, "bytes": 64, "interval": 0.01}],
    "429 for both": [{"match": {"verb": ["list", "watch"]}, "action": "429", "times": 2}],
    "500 for both": [{"match": {"verb": ["list", "watch"]}, "action": "500", "times": 8}],
    "401 for both": [{"match": {"verb": ["list", "watch"]}, "action": "401", "times": 3}],
    "delay of both": [{"match": {"verb": ["list", "watch"]}, "action": "delay", "seconds": 0.5, "times": 4}],
    "hang of both": [{"match": {"verb": ["list", "watch"]}, "action": "hang", "seconds": 60, "times": 2}],
    "list dropped": [{"match": {"verb": "list"}, "action": "drop", "times": 3}],
    "list truncated": [{"match": {"verb": "list"}, "action": "truncate", "times": 3}],
    "list stale": [{"match": {"verb": "list"}, "action": "stale", "events": 12, "times": 3}],
    "list not JSON": [{"match": {"verb": "list"}, "action": "malformed", "mode": "json", "times": 3}],
    "list with wrong types": [{"match": {"verb": "list"}, "action": "malformed", "mode": "types", "times": 1}],
    "list page gone 410": [{"match": {"verb": "list"}, "action": "410", "skip": 1, "times": 1}],
}


@pytest.mark.parametrize("name", FAULTS)
def test_state_stays_during_and_is_right_after(api, feed, name):
    before = feed.lines()
    api.client.faults(*FAULTS[name])
    # A re-list for the faults of lists; what it meets must take nothing away.
    if "list" in name or "both" in name:
        api.client.compact()
    api.client.disconnect()
    seen, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            seen.append(feed.lines())
            time.sleep(0.005)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for i in range(3):
            touch(api, f"node-{i:05d}", f"{name.replace(' ', '-')}-{i}")
        settled(feed, api)
    finally:
        stop.set()
        watcher.join()
    names = [line.split()[1] for line in before]
    for state in seen:
        assert [line.split()[1] for line in state] == names, "an object vanished or appeared meanwhile"
        for line in state:  # each object is as it was or as it is now: nothing older, nothing made up
            assert line in before or line.split()[1] in ("node-00000", "node-00001", "node-00002")
    assert sum(rule["fired"] for rule in api.client.request("GET", "/_test/faults")["rules"]) >= 1
    api.client.clear_faults()
    touch(api, "node-00003", "after-" + name.replace(" ", "-"))
    settled(feed, api)


def test_a_list_with_an_object_without_a_name_is_asked_for_again(api, tmp_path):
    """Nobody can ask for that object by its name, and no event need ever speak of it."""
    api.client.faults({"match": {"verb": "list"}, "action": "malformed", "mode": "missing", "times": 3})
    with Feed(tmp_path, kubeconfig(api), ["Node"]) as feed:
        until(lambda: "Node (no name)" in feed.log(), what=feed.log)
        settled(feed, api)
        assert feed.metric(r"canal_api_lists_total{kind=\"Node\"}") >= 2
        # An event says nothing of whom it was about: what it was is known from a list.
        api.client.faults({"match": {"verb": "watch"}, "action": "malformed", "mode": "missing", "times": 1,
                           "resend": False})
        api.client.disconnect()
        touch(api, "node-00004", "unnamed")
        settled(feed, api)


def test_a_malformed_object_is_named_counted_and_kept(api, feed):
    good = next(line for line in feed.lines() if " node-00005 " in line)
    api.client.load(b'{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-00005","labels":{"a":7}}}')
    until(lambda: "Node node-00005: label a: metadata.labels" in feed.log(), what=feed.log)
    assert good in feed.lines() and "its last good version stays" in feed.log()
    touch(api, "node-00006", "beside")
    until(lambda: any("node-00006" in line and "touched=beside" in line for line in feed.lines()))
    assert good in feed.lines()
    assert feed.metric(r'canal_objects_rejected_total{kind="Node"}') >= 1
    api.client.delete("nodes", "node-00005")
    settled(feed, api)
    api.client.generate("Node", 1, start=5)
    settled(feed, api)


def test_an_outage_keeps_the_state_and_what_changed_meanwhile_arrives(api, feed):
    before = feed.lines()
    api.client.outage()
    until(lambda: "again in" in feed.log(), what=feed.log)
    touch(api, "node-00004", "meanwhile")
    api.client.delete("nodes", "node-00019")
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert feed.lines() == before
        time.sleep(0.05)
    api.client.restore()
    settled(feed, api)
    api.client.generate("Node", 1, start=19)
    settled(feed, api)


def test_a_relist_removes_what_vanished(api, feed):
    api.client.outage()
    until(lambda: "again in" in feed.log(), what=feed.log)
    api.client.delete("nodes", "node-00018")
    api.client.compact()
    api.client.restore()
    settled(feed, api)
    assert not any("node-00018" in line for line in feed.lines())
    assert feed.metric(r'canal_api_lists_total{kind="Node"}') >= 2
    api.client.generate("Node", 1, start=18)
    settled(feed, api)


def test_retry_after_is_honoured(api, feed):
    api.client.faults({"match": {"verb": "watch"}, "action": "429", "retry_after": 2, "times": 1, "at": "start"})
    start = time.monotonic()
    api.client.disconnect()
    touch(api, "node-00007", "patience")
    settled(feed, api)
    assert 1.9 < time.monotonic() - start < 6


def test_custom_resources_come_and_a_kind_not_served_counts_as_empty(api, tmp_path):
    with Feed(tmp_path, kubeconfig(api)) as feed:
        until(feed.in_sync, what=feed.log)
        api.client.create({"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "metadata": {"name": "p"},
                           "spec": {"cidr": "10.244.0.0/16", "ipipMode": "CrossSubnet", "natOutgoing": True}})
        until(lambda: "IPPool p cidr=10.244.0.0/16 ipip=2 nat=1" in feed.lines(), what=feed.log)
        api.client.delete("ippools", "p")
        until(lambda: not any(line.startswith("IPPool") for line in feed.lines()))


def test_a_thousand_random_faults_end_as_none(api, tmp_path):
    randoms = random.Random(42)
    actions = ["410", "429", "500", "drop", "truncate", "malformed", "stale", "delay", "drip", "duplicate"]
    with Feed(tmp_path, kubeconfig(api), ["Node"], KUBE_BACKOFF_MAX_MS="40", KUBE_BACKOFF_MIN_MS="5",
              KUBE_PAGE="50") as feed:
        settled(feed, api)
        # 429 says Retry-After: 1; a thousand of them would only test our patience.
        rules = []
        for i in range(40):
            action = randoms.choice(actions)
            extra = {"malformed": {"mode": randoms.choice(["json", "types", "missing"])},
                     "delay": {"seconds": 0.01}, "drip": {"bytes": 512, "interval": 0.001},
                     "stale": {"events": randoms.randrange(1, 30)}, "429": {"retry_after": 0}}.get(action, {})
            rules.append({"match": {"verb": randoms.choice(["list", "watch", ["list", "watch"]])}, "action": action,
                          "probability": 0.15, "seed": i, **extra})
        api.client.faults(*rules)
        fired = 0
        end = time.monotonic() + 120
        step = 0
        while fired < 1000 and time.monotonic() < end:
            for _ in range(10):
                name = f"node-{randoms.randrange(N_NODES):05d}"
                step += 1
                if randoms.random() < 0.15:
                    api.client.delete("nodes", name, missing_ok=True)
                else:
                    api.client.generate("Node", 1, start=int(name[5:]))
                    touch(api, name, step)
            if step % 100 == 0:
                api.client.disconnect()
            if step % 250 == 0:
                api.client.compact()
            time.sleep(0.02)
            fired = sum(rule["fired"] for rule in api.client.request("GET", "/_test/faults")["rules"])
        assert fired >= 1000, f"only {fired} faults within the time"
        api.client.clear_faults()
        settled(feed, api)
        assert "in_sync=1" in feed.text()
    api.client.generate("Node", N_NODES)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_nghttpx(api, tmp_path, log):
    """On a port that was free a moment ago: it cannot choose one itself, so another is tried if it is gone."""
    directory, backend = Path(api.dir), api.http_url.rsplit(":", 1)[1]

    def listens(port):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    for _ in range(5):
        port = free_port()
        proxy = subprocess.Popen(
            ["nghttpx", "--conf=/dev/null", f"--frontend=127.0.0.1,{port}", f"--backend=127.0.0.1,{backend}",
             "--workers=1", "--backend-read-timeout=600", f"--accesslog-file={tmp_path}/access.log",
             "--accesslog-format=$alpn $request", directory / "server.key", directory / "server.crt"],
            stdout=log, stderr=log)
        until(lambda n=port, p=proxy: p.poll() is not None or listens(n), what="nghttpx to listen")
        if proxy.poll() is None:
            return proxy, port
    raise AssertionError("nghttpx does not start")


@pytest.fixture
def http2(api, tmp_path):
    """nghttpx in front of the server: HTTP/2 over TLS to the client."""
    directory = Path(api.dir)
    log = (tmp_path / "nghttpx.log").open("w")
    proxy, port = start_nghttpx(api, tmp_path, log)
    config = tmp_path / "h2.kubeconfig"
    config.write_text(f"""
current-context: c
contexts: [{{name: c, context: {{cluster: k}}}}]
clusters: [{{name: k, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: {directory}/ca.crt}}}}]
""")
    yield config, port, tmp_path / "access.log"
    proxy.terminate()
    proxy.wait(10)
    log.close()


def connections_to(port):
    out = subprocess.run(["ss", "-Htn", "state", "established", f"( dport = :{port} )"], capture_output=True,
                         text=True, check=True).stdout
    return len(out.splitlines())


def test_watches_share_one_http2_connection(api, http2, tmp_path):
    config, port, access = http2
    with Feed(tmp_path, config) as feed:
        until(feed.in_sync, what=feed.log)
        touch(api, "node-00008", "h2")
        until(lambda: any("touched=h2" in line for line in feed.lines()), what=feed.log)
        assert connections_to(port) == 1
        api.client.disconnect()
        touch(api, "node-00008", "h2-again")
        until(lambda: any("touched=h2-again" in line for line in feed.lines()), what=feed.log)
    assert "h2 GET /api/v1/nodes?limit=" in access.read_text()
