"""Golden pairs: what canal-confd makes of objects, and that BIRD takes it."""
import importlib.util
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("golden_confd", ROOT / "test/golden/confd.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


@pytest.mark.parametrize("case", golden.cases(), ids=lambda path: path.name)
def test_objects_give_the_expected_context_and_configuration(case):
    for name, text in golden.outputs(case).items():
        assert text == (case / name).read_text(), f"{case / name}: make golden-update, read the diff"


@pytest.mark.parametrize("case", golden.cases(), ids=lambda path: path.name)
def test_bird_takes_the_configuration(case):
    done = subprocess.run(["/usr/sbin/bird", "-p", "-c", case / "bird.conf"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_of_hostile_objects_is_in_the_configuration():
    config = (golden.CASES / "bad/bird.conf").read_text()
    assert "evil" not in config
