"""Collects figures, prints the table, writes raw lines."""

import statistics
import time
from pathlib import Path


class Report:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.rows = []      # (what, ours, peer name, peer, unit)
        self.raw = []
        self.not_run = []

    def figure(self, name, values, unit):
        """One measured quantity; gives back its median. 'values' is a number or a list of them."""
        values = values if isinstance(values, list) else [values]
        median = statistics.median(values)
        self.raw.append(f"{name} {median:.6g} {unit} min={min(values):.6g} max={max(values):.6g} n={len(values)}")
        print(f"    {self.raw[-1]}", flush=True)
        return median

    def row(self, what, ours, unit, peer_name="", peer=None):
        self.rows.append((what, ours, unit, peer_name, peer))

    def failed(self, name, why):
        self.not_run.append((name, why))
        print(f"    NOT RUN: {why}", flush=True)

    def print_table(self):
        print(f"\n{'what':54} {'Canal':>12} {'beside':>34} {'':>10} {'ratio':>7}")
        for what, ours, unit, peer_name, peer in self.rows:
            left = f"{ours:.4g} {unit}"
            right = f"{peer:.4g} {unit}" if peer is not None else ""
            ratio = f"{ours / peer:.2f}" if peer else ""
            print(f"{what:54} {left:>12} {peer_name:>34} {right:>10} {ratio:>7}")
        for name, why in self.not_run:
            print(f"{name}: not run: {why}")

    def write(self):
        self.directory.mkdir(exist_ok=True)
        path = self.directory / time.strftime("%Y%m%d-%H%M%S.txt")
        path.write_text("\n".join(self.raw + [f"{n} not-run {w}" for n, w in self.not_run]) + "\n")
        print(f"\nraw lines: {path}")
