#!/usr/bin/python3
"""Golden pairs of canal-confd: test/golden/confd/<case>/ holds objects.yaml and the node's name, and
what must come out of them: context.json, bird.conf and issues.txt. `make golden-update` writes them
anew; the diff is reviewed as code.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = ROOT / "test/golden/confd"
CONFD = ROOT / "build/canal-confd"


def run(case, flag):
    node = (case / "node").read_text().strip()
    done = subprocess.run(
        [CONFD, f"--objects={case / 'objects.yaml'}", f"--node-name={node}", flag,
         "--local-dir=/nonexistent", f"--templates={ROOT / 'bird-templates'}"],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    # Without the time, which differs.
    return done.stdout, re.sub(r"^\S+ ", "", done.stderr, flags=re.M)


def outputs(case):
    context, issues = run(case, "--dump-context")
    config, _ = run(case, "--dry-run")
    return {"context.json": context, "bird.conf": config, "issues.txt": issues}


def cases():
    return sorted(path for path in CASES.iterdir() if path.is_dir())


if __name__ == "__main__":
    for one in cases():
        for name, text in outputs(one).items():
            (one / name).write_text(text)
    print(f"{len(cases())} cases written", file=sys.stderr)
