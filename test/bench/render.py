"""One of 10, 100 or 1,000 BGPPeers changes: from the API's answer until BIRD runs the new configuration, beside
a bare `configure` of the same file."""

import time

from .birdctl import BirdControl
from .host import CRD, Host, wait_until

RUNS = 9


def peer(number, keep):
    return {"apiVersion": CRD, "kind": "BGPPeer", "metadata": {"name": f"peer-{number:04}"},
            "spec": {"peerIP": f"192.0.{2 + number // 250}.{number % 250 + 1}", "asNumber": 65000 + number % 100,
                     "keepOriginalNextHop": keep}}


def reloads(control):
    """BIRD counts nothing, but says when it was last configured."""
    return next(line for line in control.command("show status") if "reconfiguration" in line)


def measure(report, peers):
    with Host("render") as host:
        host.own_node()
        client = host.api.client
        for number in range(peers):
            client.create(peer(number, False))
        host.confd()
        conf = host.dir / "run/bird.conf"
        wait_until(lambda: conf.exists() and conf.read_text().count("neighbor 192.0.") == peers, 60,
                   "the configuration of all peers")
        host.bird()
        wait_until((host.dir / "run/bird.ctl").exists, 20, "BIRD's socket")
        control = BirdControl(host.dir / "run/bird.ctl")
        time.sleep(1)  # confd looks whether BIRD runs what it wrote
        ours, bare = [], []
        for i in range(RUNS):
            before = reloads(control)
            start = time.monotonic()
            client.patch("BGPPeer", "peer-0000", {"spec": {"keepOriginalNextHop": i % 2 == 0}})
            while reloads(control) == before:
                if time.monotonic() - start > 20:
                    raise TimeoutError("BIRD was not configured anew")
                time.sleep(0.0005)
            ours.append((time.monotonic() - start) * 1000)
            time.sleep(0.2)
            start = time.monotonic()
            control.command("configure")
            bare.append((time.monotonic() - start) * 1000)
            time.sleep(0.2)
        control.close()
        a = report.figure(f"render-load-{peers}", ours, "ms")
        b = report.figure(f"configure-{peers}", bare, "ms")
        report.row(f"one of {peers} peers changed, API to BIRD", a, "ms", "bare configure", b)


def run(report):
    for peers in (10, 100, 1000):
        measure(report, peers)
