"""Makes the packages below test/ (lab, apiserver, demo) importable by their own names, and runs the tests
marked `ipip` or `ipvs` in the test machine where the running kernel has not what they need.

They run there in one go, when the first of them is due, by a pytest of the machine's own; every test then
passes or fails here as it did there.
"""

import json
import os
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
    """One run of all marked tests in the machine, made when the first result is asked for."""

    def __init__(self, config, items):
        self.config = config
        self.names = [item.nodeid for item in items]
        self.results = None
        self.exit_code = None

    def _run(self):
        self.results = {}
        with tempfile.TemporaryDirectory(prefix="canal-results-") as directory:
            results = Path(directory) / "results"
            argv = [str(TEST / "vm/run"), "--results", directory, "--timeout", str(MACHINE_SECONDS),
                    "--", "/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-q",
                    "--rootdir", str(self.config.rootdir), *self.names]
            capture = self.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                print(f"\n{len(self.names)} tests run in the test machine", flush=True)
                done = subprocess.run(argv, cwd=str(self.config.rootdir), check=False,
                                      env={**os.environ, RESULTS_ENV: str(results)})
            self.exit_code = done.returncode
            if results.exists():
                for line in results.read_text(encoding="utf-8").splitlines():
                    entry = json.loads(line)
                    self.results.setdefault(entry["nodeid"], []).append(entry)

    def replay(self, item):
        """Ends as the test ended in the machine."""
        if self.results is None:
            self._run()
        entries = self.results.get(item.nodeid, [])
        for entry in entries:
            if entry["outcome"] == "failed":
                pytest.fail(f"in the test machine ({entry['when']}):\n{entry['text']}", pytrace=False)
            if entry["outcome"] == "skipped":
                pytest.skip(entry["text"])
        if not any(entry["when"] == "call" for entry in entries):
            pytest.fail(f"the test machine did not run it (exit code {self.exit_code})",
                        pytrace=False)


def pytest_collection_modifyitems(config, items):
    if config.option.collectonly or not any(item.get_closest_marker(name) for item in items for name in MARKERS):
        return
    missing = missing_here()
    marked = [item for item in items if any(item.get_closest_marker(name) for name in missing)]
    if not marked:
        return
    run = MachineRun(config, marked)
    for item in marked:
        item.setup = lambda: None  # its fixtures are set up in the machine, not here
        item.runtest = lambda item=item: run.replay(item)


def pytest_runtest_logreport(report):
    path = os.environ.get(RESULTS_ENV)
    if path and os.environ.get("CANAL_VM") == "1":
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"nodeid": report.nodeid, "outcome": report.outcome,
                                   "when": report.when, "text": report.longreprtext}) + "\n")
