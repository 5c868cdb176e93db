"""The repository as a person meets it: README, links, installation, manifests."""

import json
import pathlib
import re
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_make_target_that_pages_name_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)", page.read_text()):
            assert target in targets, f"{page.name} names make {target}"


def test_install_puts_everything_below_destdir(tmp_path):
    subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}"], cwd=ROOT, check=True, timeout=300)
    installed = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"usr/local/bin/canal-confd", "usr/local/bin/canal-felix", "opt/cni/bin/canal"} <= installed
    templates = {path.name for path in (ROOT / "bird-templates").iterdir()}
    assert {f"usr/local/share/canal/bird-templates/{name}" for name in templates} <= installed
    for name in ("canal-confd", "canal-felix"):
        out = subprocess.run([tmp_path / "usr/local/bin" / name, "--version"], capture_output=True, text=True,
                             check=True, timeout=30)
        assert out.stdout.startswith(name + " ")


def test_the_plugin_links_nothing_that_pulls_tls():
    out = subprocess.run(["ldd", ROOT / "build/canal"], capture_output=True, text=True, check=True).stdout
    libraries = set(re.findall(r"^\s*(lib[a-z0-9-]+)", out, re.M))
    assert libraries <= {"libjson-c", "libmnl", "libmd", "libc"}, libraries


def test_manifest_and_cni_configuration_parse():
    documents = [doc for doc in yaml.safe_load_all((ROOT / "deploy/canal.yaml").read_text()) if doc]
    by_kind = {doc["kind"]: doc for doc in documents}
    conflist = json.loads(by_kind["ConfigMap"]["data"]["10-canal.conflist"])
    assert conflist["plugins"][0]["type"] == "canal"
    assert conflist == json.loads((ROOT / "deploy/10-canal.conflist").read_text())


def test_the_role_lets_the_programs_watch_every_kind():
    documents = yaml.safe_load_all((ROOT / "deploy/canal.yaml").read_text())
    role = next(doc for doc in documents if doc and doc["kind"] == "ClusterRole")
    allowed = {(group, resource) for rule in role["rules"] if {"get", "list", "watch"} <= set(rule["verbs"])
               for group in rule["apiGroups"] for resource in rule["resources"]}
    kinds = set(re.findall(r'\.resource = "([a-z]+)",\s*\.group = "([a-z0-9.]*)"',
                           (ROOT / "lib/model/kind.c").read_text()))
    assert len(kinds) > 15
    assert {(group, resource) for resource, group in kinds} == allowed


def test_the_role_allows_no_write_but_node_status():
    documents = yaml.safe_load_all((ROOT / "deploy/canal.yaml").read_text())
    role = next(doc for doc in documents if doc and doc["kind"] == "ClusterRole")
    for rule in role["rules"]:
        if set(rule["verbs"]) - {"get", "list", "watch"}:
            assert rule["resources"] == ["nodes/status"] and rule["verbs"] == ["patch"]
        assert "secrets" not in rule["resources"]


def test_programs_explain_themselves():
    for name in ("canal-confd", "canal-felix"):
        out = subprocess.run([ROOT / "build" / name, "--help"], capture_output=True, text=True, check=True,
                             timeout=30)
        assert "Usage:" in out.stdout
        bad = subprocess.run([ROOT / "build" / name, "--no-such-flag"], capture_output=True, text=True,
                             timeout=30)
        assert bad.returncode != 0 and "--no-such-flag" in bad.stderr
