"""Prints what the demo does, and counts what held."""

import contextlib
import json
import sys
import time


class Report:
    """Every check passes or fails by name; a check that raises has failed, and the next one runs."""

    def __init__(self, out=sys.stdout, results=None):
        self.out = out
        self.results = results  # a file that gets one JSON object a check, as they end
        self.passed = []
        self.failed = []
        self.reasons = {}
        self.scene = ""
        self.began = time.monotonic()
        if results is not None:
            results.write_text("")

    def say(self, text=""):
        print(text, file=self.out, flush=True)

    def title(self, scene, text):
        self.scene = scene
        self.say()
        self.say(f"==== {text}")

    def step(self, text):
        self.say(f"[{time.monotonic() - self.began:5.1f} s] {text}")

    def block(self, title, text):
        self.say()
        self.say(f"  {title}")
        for line in text.rstrip("\n").splitlines():
            self.say(f"    {line}".rstrip())

    @contextlib.contextmanager
    def check(self, name):
        """The block is the check; it may hand back a remark by calling what it is given."""
        remarks = []
        started = time.monotonic()
        try:
            yield remarks.append
            reason = None
        except Exception as error:  # pylint: disable=broad-except  # all are failures of the check
            reason = f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) \
                else str(error)
        self._note(name, reason, remarks, time.monotonic() - started)

    def _note(self, name, reason, remarks, took):
        full = f"{self.scene}: {name}"
        (self.passed if reason is None else self.failed).append(full)
        self.reasons[full] = reason
        remark = f" ({'; '.join(remarks)})" if remarks else ""
        self.say(f"[{time.monotonic() - self.began:5.1f} s]   "
                 f"{'ok  ' if reason is None else 'FAIL'}  {name}{remark}")
        if reason is not None:
            for line in reason.splitlines()[:25]:
                self.say(f"                 {line}")
        if self.results is not None:
            with open(self.results, "a", encoding="utf-8") as file:
                file.write(json.dumps({"check": full, "passed": reason is None, "reason": reason,
                                       "remarks": remarks, "seconds": round(took, 2)}) + "\n")

    def close(self):
        """The closing line; the exit code of the program."""
        for name in self.failed:
            self.say(f"failed: {name}")
        self.say(f"{time.monotonic() - self.began:.0f} s")
        self.say(f"{len(self.passed)} passed, {len(self.failed)} failed")
        return 1 if self.failed or not self.passed else 0


def demand(condition, text):
    """An assertion that `python -O` keeps."""
    if not condition:
        raise AssertionError(text)
