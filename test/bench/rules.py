"""One changed chain of ten rules among 1,000 and 10,000, and all of them at once: felix's writer beside a bare
iptables-restore of the same change, both backends."""

import subprocess

from lab.cluster import BUILD

RUNS = 30


def measure(report, backend, chains):
    out = subprocess.run([BUILD / "tools/rules-bench", backend, str(chains), str(RUNS)], capture_output=True, text=True,
                         timeout=300)
    if out.returncode != 0:
        raise RuntimeError(out.stderr)
    found = {}
    for line in out.stdout.splitlines():
        name, value = line.split()
        found.setdefault(name, []).append(int(value) / 1000)
    medians = {name: report.figure(f"rules-{backend}-{chains * 10}-{name}", values, "ms")
               for name, values in found.items()}
    report.row(f"one of {chains} chains changed, {backend}", medians["change"], "ms", "bare iptables-restore",
               medians["bare"])
    report.row(f"all {chains} chains changed in one burst, {backend}", medians["burst"], "ms")
    report.row(f"all {chains} chains into an empty kernel, {backend}", medians["first"], "ms")


def run(report):
    for backend in ("nft", "legacy"):
        for chains in (100, 1000):
            measure(report, backend, chains)
