"""Makes the packages below test/ (lab, apiserver, demo) importable by their own names, and runs the tests
marked `ipip` or `ipvs` in the test machine where the running kernel has not what they need.

They run there in one go, beside the tests that run here, by a pytest of the machine's own. Here they come last;
every one then passes or fails as it did there.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TEST = Path(__file__).resolve().parent
ROOT = TEST.parent
MACHINE_SECONDS = 1500
RESULTS_ENV = "CANAL_TEST_RESULTS"

sys.path.insert(0, str(TEST))


MARKERS = ("ipip", "ipvs")


def pytest_configure(config):
    for name in MARKERS:
        config.addinivalue_line("markers", f"{name}: needs the kernel's {name} module")


def missing_here():
    """Those of MARKERS whose tests have to run in the machine."""
    if os.environ.get("CANAL_VM") == "1":
        return []
    return [name for name in MARKERS if subprocess.run([str(TEST / "vm/need"), name], check=False).returncode == 0]


class MachineRun:
    """One run of all marked tests in the machine. What it prints is shown when its results are asked for."""

    def __init__(self, config):
        self.config = config
        self.directory = tempfile.TemporaryDirectory(prefix="canal-results-")
        self.process = None
        self.results = None
        self.exit_code = None

    def path(self, name):
        return Path(self.directory.name) / name

    def start(self, items):
        argv = [str(TEST / "vm/run"), "--results", self.directory.name, "--timeout", str(MACHINE_SECONDS),
                "--", "/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-q",
                "--rootdir", str(self.config.rootdir), *[item.nodeid for item in items]]
        with self.path("said").open("wb") as said:
            # A little behind the tests here, whose times are closer.
            self.process = subprocess.Popen(["nice", "-n", "5", *argv], cwd=str(self.config.rootdir),
                                            stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
                                            env={**os.environ, RESULTS_ENV: str(self.path("results"))})

    def _wait(self):
        self.results = {}
        self.exit_code = self.process.wait()
        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print("\nin the test machine:\n" + self.path("said").read_text(errors="replace"), flush=True)
        if self.path("results").exists():
            for line in self.path("results").read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self.results.setdefault(entry["nodeid"], []).append(entry)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()
        self.directory.cleanup()

    def replay(self, item):
        """Ends as the test ended in the machine."""
        if self.results is None:
            self._wait()
        entries = self.results.get(item.nodeid, [])
        for entry in entries:
            if entry["outcome"] == "failed":
                pytest.fail(f"in the test machine ({entry['when']}):\n{entry['text']}", pytrace=False)
            if entry["outcome"] == "skipped":
                pytest.skip(entry["text"])
        if not any(entry["when"] == "call" for entry in entries):
            pytest.fail(f"the test machine did not run it (exit code {self.exit_code})",
                        pytrace=False)


@pytest.hookimpl(trylast=True)  # behind -k and -m
def pytest_collection_modifyitems(config, items):
    if config.option.collectonly or not any(item.get_closest_marker(name) for item in items for name in MARKERS):
        return
    missing = missing_here()
    marked = [item for item in items if any(item.get_closest_marker(name) for name in missing)]
    if not marked:
        return
    run = MachineRun(config)
    run.start(marked)
    config.add_cleanup(run.end)
    items[:] = [item for item in items if item not in marked] + marked
    for item in marked:
        item.setup = lambda: None  # its fixtures are set up in the machine, not here
        item.runtest = lambda item=item: run.replay(item)


def pytest_runtest_logreport(report):
    path = os.environ.get(RESULTS_ENV)
    if path and os.environ.get("CANAL_VM") == "1":
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"nodeid": report.nodeid, "outcome": report.outcome,
                                   "when": report.when, "text": report.longreprtext}) + "\n")
