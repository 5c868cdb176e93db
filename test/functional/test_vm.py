"""The machine of test/vm: what a command in it sees, and what reaches the caller."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "test" / "vm" / "run"
IN_VM = os.environ.get("CANAL_VM") == "1"

pytestmark = pytest.mark.skipif(IN_VM, reason="a machine is not started inside the machine")


def vm(*argv, options=(), env=None, timeout=300):
    return subprocess.run([str(RUN), *options, "--", *argv], capture_output=True, text=True,
                          timeout=timeout, check=False, cwd=ROOT, env={**os.environ, **(env or {})})


def test_output_streams_arguments_environment_and_exit_code_come_through(tmp_path):
    script = ('echo "$1"; echo "$CANAL_WORD" >&2; pwd; uname -r; ls /sys/class/net; '
              'echo kept > "$2/file"; echo lost > /etc/canal-vm-test; exit 7')
    done = vm("sh", "-c", script, "sh", "it's $HOME \"quoted\"; x", str(tmp_path),
              options=["--results", str(tmp_path)], env={"CANAL_WORD": "a b;c"})
    lines = done.stdout.splitlines()
    assert done.returncode == 7, done.stderr
    assert lines[0] == "it's $HOME \"quoted\"; x"
    assert done.stderr.splitlines()[-1] == "a b;c"
    assert lines[1] == str(ROOT)
    assert lines[2].endswith("-amd64")
    assert set(lines[3:]) == {"lo", "tunl0"}  # no device leads out
    assert (tmp_path / "file").read_text() == "kept\n"
    assert not Path("/etc/canal-vm-test").exists()


def test_the_kernel_makes_ipip_tunnels_and_the_need_probe_knows():
    script = ("ip netns add a && ip -n a link add name tun type ipip local 192.0.2.1 remote 192.0.2.2 && "
              "ipset create s hash:net && iptables -A INPUT -m set --match-set s src -j DROP && "
              "! test/vm/need")
    done = vm("sh", "-c", script)
    assert done.returncode == 0, done.stderr


def test_a_command_that_takes_too_long_is_ended_with_the_machine():
    done = vm("sleep", "600", options=["--timeout", "5"])
    assert done.returncode == 124
    assert "time is up" in done.stderr
