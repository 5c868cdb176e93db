"""A daemon of the lab: one process in one namespace, with its output in a file."""

import concurrent.futures
import os
import signal
import subprocess
import time

from .netns import LabError


class Daemon:
    """Started, killed and restarted by tests; `argv` and `env` may be changed between starts."""

    def __init__(self, netns, name, argv, log, env=None):
        self.netns = netns
        self.name = name
        self.argv = list(argv)
        self.env = dict(env or {})
        self.log = log
        self.process = None

    def start(self, extra=()):
        if self.alive():
            raise LabError(f"{self.name} already runs")
        env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LANG": "C.UTF-8",
               **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, **self.env}
        with open(self.log, "ab") as log:
            log.write(f"---- {' '.join([*self.argv, *extra])}\n".encode())
            log.flush()
            # A session of its own: Ctrl-C in the terminal ends the lab in order, not its daemons
            # at random.
            self.process = self.netns.popen([*self.argv, *extra], env=env, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True,
                                            cwd="/")
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        if self.alive():
            self.process.send_signal(number)

    def wait(self, timeout=10):
        """The exit code; negative when a signal ended it."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} did not end in {timeout} s") from None

    def kill9(self):
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.wait()

    def stop(self, timeout=10):
        """Ends it as an operator would (SIGTERM), by force when that takes too long."""
        if not self.alive():
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except LabError:
            self.kill9()
            raise

    def tail(self, lines=25):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except FileNotFoundError:
            return ""


def wait_for(condition, deadline=15, what=None, interval=0.05):
    """Calls condition() until it gives something true, which is returned; LabError when time is up.

    A LabError raised by the condition counts as "not yet"; the last one is quoted."""
    until = time.monotonic() + deadline
    last = None
    while True:
        try:
            got = condition()
            if got:
                return got
        except LabError as error:
            last = error
        if time.monotonic() >= until:
            text = (what() if callable(what) else what) or "condition"
            raise LabError(f"not within {deadline} s: {text}" + (f" ({last})" if last else ""))
        time.sleep(interval)


def at_once(action, items, workers=2):
    """[action(item), ...], two at a time: what starts many programs mostly waits for them, but with more at once
    a busy machine makes each too slow for its deadline. The first exception is raised when all have ended."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return [made.result() for made in [pool.submit(action, item) for item in items]]
