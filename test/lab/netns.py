"""Network namespaces: make, enter, configure.

Everything the lab does to a network happens inside a namespace it made itself; nothing here can name
the root namespace. A thread enters a namespace with setns(2), so opening a socket or starting a process
in one costs no helper process, which matters in the emulated machine.
"""

import contextlib
import ctypes
import os
import socket as sockets
import subprocess

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """The lab could not do what it was asked; the text says what and why."""


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise LabError(f"setns: {os.strerror(number)}")


def ip_batch(lines, netns=None):
    """Runs `ip` once for all lines, in 'netns' or, for `netns add|del` lines only, in none."""
    lines = list(lines)
    if not lines:
        return
    if netns is None and any(not line.startswith("netns ") for line in lines):
        raise LabError("only `netns` commands run outside a namespace of the lab")
    argv = ["ip"] + (["-n", netns] if netns else []) + ["-batch", "-"]
    done = subprocess.run(argv, input="\n".join(lines) + "\n", capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise LabError(f"{netns or 'ip'}: {done.stderr.strip()}\n  in: " + "\n      ".join(lines))


class Netns:
    """One namespace, by the name under which `ip netns` knows it."""

    def __init__(self, name):
        self.name = name
        self._fd = None

    @property
    def path(self):
        return f"/run/netns/{self.name}"

    @property
    def fd(self):
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDONLY)
        return self._fd

    def close(self):
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is inside for the duration of the block."""
        fd = self.fd
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _setns(fd)
            try:
                yield self
            finally:
                _setns(home)
        finally:
            os.close(home)

    def ip(self, *lines):
        ip_batch(lines, self.name)

    def sysctl(self, values):
        """{"net/ipv4/ip_forward": 1, ...}; keys are paths because interface names may hold dots."""
        with self.entered():
            for key, value in values.items():
                with open(f"/proc/sys/{key}", "w", encoding="ascii") as file:
                    file.write(str(value))

    def socket(self, *args):
        with self.entered():
            return sockets.socket(*args)

    def popen(self, argv, **kwargs):
        with self.entered():
            return subprocess.Popen(argv, **kwargs)

    def run(self, argv, check=True, timeout=30, **kwargs):
        """Runs argv inside and gives back its output (both streams unless told otherwise)."""
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.STDOUT)
        process = self.popen(argv, text=True,
                             stdin=subprocess.PIPE if kwargs.get("input") is not None
                             else subprocess.DEVNULL,
                             **{k: v for k, v in kwargs.items() if k != "input"})
        try:
            out, _ = process.communicate(kwargs.get("input"), timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise LabError(f"{self.name}: {' '.join(argv)}: no answer in {timeout} s") from None
        if check and process.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(argv)}: exit {process.returncode}: "
                           f"{(out or '').strip()}")
        return out or ""
