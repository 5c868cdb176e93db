"""CNI ADD and DEL, one after the other and 30 at once: our plugin with a running felix, beside Debian's ptp with
host-local, in the same namespace and the same run."""

import json
import os
import subprocess

from lab.cluster import BUILD
from lab.netns import ip_batch

from .host import Host, wait_until

ALONE = 100
PARALLEL = 30
PTP = "/usr/lib/cni/ptp"


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def calls(host, plugin, config, verb, prefix, n, parallel):
    out = subprocess.run(["ip", "netns", "exec", host.name, BUILD / "tools/cni-bench", plugin, config, verb, prefix,
                          str(n), str(parallel)], capture_output=True, text=True, timeout=120)
    if out.returncode != 0:
        raise RuntimeError(f"{plugin} {verb}: {out.stderr}")
    return [int(line) / 1000 for line in out.stdout.split()]


def configs(host):
    ours = {"cniVersion": "1.0.0", "name": "bench", "type": "canal",
            "felix_socket": str(host.dir / "run/felix.sock"), "state_dir": str(host.dir / "state"),
            "ipam": {"type": "host-local", "dataDir": str(host.dir / "addresses"),
                     "ranges": [[{"subnet": "usePodCidr"}]]}}
    peer = {"cniVersion": "1.0.0", "name": "bench-ptp", "type": "ptp",
            "ipam": {"type": "host-local", "dataDir": str(host.dir / "ptp-addresses"), "subnet": "10.99.0.0/24",
                     "routes": [{"dst": "0.0.0.0/0"}]}}
    for name, config in (("ours", ours), ("ptp", peer)):
        path = host.dir / f"{name}.json"
        path.write_text(json.dumps(config))
        yield path


def measure(report, host, name, plugin, config):
    """{(verb, parallel): times}; each round leaves nothing behind."""
    prefix, found = f"{host.name}-{name}-", {}
    ip_batch([f"netns add {prefix}{i}" for i in range(ALONE)])
    try:
        for parallel, n in ((1, ALONE), (PARALLEL, PARALLEL)):
            for verb in ("ADD", "DEL"):
                times = calls(host, plugin, config, verb, prefix, n, parallel)
                for share in (0.5, 0.99):
                    key = (verb, parallel, share)
                    found[key] = report.figure(f"cni-{name}-{verb.lower()}-{parallel}-p{int(share * 100)}",
                                               percentile(times, share), "ms")
            if name == "ours":  # felix deletes links behind the runtime's back; wait for the last
                wait_until(lambda: "cali" not in subprocess.run(
                    ["ip", "-n", host.name, "-br", "link"], capture_output=True, text=True).stdout, 60,
                    "the last interface to go")
    finally:
        ip_batch([f"netns del {prefix}{i}" for i in range(ALONE)])
    return found


def run(report):
    if not os.access(PTP, os.X_OK):
        raise RuntimeError(f"{PTP} is missing; `make deps` installs it")
    with Host("cni") as host:
        host.own_node()
        # cni-bench's pods, as the runtime has them from the API; felix would wait for those it does not know.
        host.api.client.load([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}] + [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "bench", "name": f"pod{i}"},
             "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "x"}]}} for i in range(ALONE)])
        host.felix()
        wait_until(lambda: "NetworkUnavailable=False" in host.log("canal-felix"), 30, "felix to be ready")
        ours_config, ptp_config = configs(host)
        ours = measure(report, host, "ours", BUILD / "canal", ours_config)
        peer = measure(report, host, "ptp", PTP, ptp_config)
        for (verb, parallel, share), value in ours.items():
            at_once = "alone" if parallel == 1 else f"{parallel} at once"
            report.row(f"CNI {verb}, {at_once}, p{int(share * 100)}", value, "ms", "ptp + host-local",
                       peer[verb, parallel, share])
