"""First complete list of 10,000 pods into the model, beside downloading the same bytes and tokenising them
with json-c (test/tools/list-tokenise.c). Wall time and CPU, one process each time."""

import re
import subprocess

from lab.cluster import BUILD

from .host import Host

PODS = 10000
RUNS = 5


def once(host, argv, **env):
    out = subprocess.run(["ip", "netns", "exec", host.name, *map(str, argv)], env={**host.environment(), **env},
                         capture_output=True, text=True, timeout=60, check=True).stdout
    return {key: float(value) for key, value in re.findall(r"(\w+)=(\d+)", out)}


def run(report):
    with Host("sync") as host:
        host.api.client.generate("Pod", PODS, nodes=500)
        url = "http://127.0.0.1:8080/api/v1/pods"
        ours, peer, download = [], [], []
        for _ in range(RUNS):
            ours.append(once(host, [BUILD / "tools/feed-dump", host.dir / "dump", "Pod"], FEED_ONCE="1"))
            peer.append(once(host, [BUILD / "tools/list-tokenise", url]))
            download.append(once(host, [BUILD / "tools/list-tokenise", "--download-only", url]))
        for key, unit, scale in (("wall_ms", "ms", 1), ("cpu_us", "ms", 1000)):
            name = key.split("_")[0]
            a = report.figure(f"sync-{name}-feed", [r[key] / scale for r in ours], unit)
            b = report.figure(f"sync-{name}-json-c", [r[key] / scale for r in peer], unit)
            c = report.figure(f"sync-{name}-download", [r[key] / scale for r in download], unit)
            report.row(f"initial sync, {PODS} pods, {name}", a, unit, "download + json-c", b)
            report.row(f"  beyond the download alone, {name}", a - c, unit, "download + json-c", b - c)
