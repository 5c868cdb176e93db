"""The API server of test/apiserver under real kubectl: the one on the PATH and Debian's (1.20)."""

import functools
import json
import os
import subprocess
from pathlib import Path

import pytest

from apiserver.client import ApiServer

CACHE = Path(__file__).resolve().parents[2] / "build" / "kubectl-debian"
MANIFEST = """
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: team, labels: {app: web}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 80}]}]}
---
apiVersion: crd.projectcalico.org/v1
kind: IPPool
metadata: {name: pool}
spec: {cidr: 10.0.0.0/16, ipipMode: CrossSubnet}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: team}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""


@functools.lru_cache
def debian_kubectl():
    """Debian's kubectl: the installed one, else unpacked below build/; None when it cannot be had."""
    owned = subprocess.run(["dpkg-query", "-S", "/usr/bin/kubectl"], capture_output=True, text=True, check=False)
    if owned.stdout.startswith("kubernetes-client:"):
        return "/usr/bin/kubectl"
    binary = CACHE / "usr" / "bin" / "kubectl"
    if not binary.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["apt-get", "download", "-q", "kubernetes-client"], cwd=CACHE, capture_output=True,
                          check=False).returncode:
            return None
        package = next(CACHE.glob("kubernetes-client_*.deb"))
        subprocess.run(["dpkg", "-x", str(package), str(CACHE)], check=True)
    return str(binary)


@pytest.fixture(scope="module", params=["path", "debian"])
def kubectl(request, tmp_path_factory):
    binary = "kubectl" if request.param == "path" else debian_kubectl()
    if binary is None:
        pytest.skip("Debian's kubernetes-client cannot be downloaded here")
    directory = tmp_path_factory.mktemp("api")
    with ApiServer(directory) as api:
        command = [binary, "--kubeconfig", str(api.kubeconfig), "--cache-dir", str(directory / "cache")]

        def run(*argv, text=None, code=0):
            done = subprocess.run([*command, *argv], input=text, capture_output=True, text=True, timeout=120,
                                  check=False, env={"PATH": os.environ["PATH"], "HOME": str(directory)})
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout + done.stderr
        run.command, run.api = command, api
        yield run
        assert "Traceback" not in api.log_path.read_text()


def test_a_manifest_is_applied_changed_and_found_unchanged(kubectl):
    assert kubectl("apply", "-f", "-", text=MANIFEST).count(" created") == 4
    assert kubectl("apply", "-f", "-", text=MANIFEST).count(" unchanged") == 4
    out = kubectl("apply", "-f", "-", text=MANIFEST.replace("CrossSubnet", "Always").replace("app: web", "tier: x"))
    assert out.count(" configured") == 2
    assert kubectl.api.client.get("IPPool", "pool")["spec"]["ipipMode"] == "Always"
    assert kubectl.api.client.get("pods", "web", "team")["metadata"]["labels"] == {"tier": "x"}
    assert "(server-side apply is not supported" in kubectl("apply", "--server-side", "-f", "-", text=MANIFEST, code=1)


def test_get_prints_tables_and_documents(kubectl):
    kubectl("apply", "-f", "-", text=MANIFEST)
    lines = kubectl("get", "pods", "-A").splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "STATUS", "IP", "NODE", "AGE"]
    assert lines[1].split()[:3] == ["team", "web", "Pending"]
    assert "app=web" in kubectl("get", "po", "-n", "team", "--show-labels", "-l", "app=web")
    assert "No resources found" in kubectl("get", "po", "-n", "team", "-l", "app=none")
    assert json.loads(kubectl("get", "ippool", "pool", "-o", "json"))["spec"]["cidr"] == "10.0.0.0/16"
    assert kubectl("get", "netpol", "-A", "-o", "name").split() == ["networkpolicy.networking.k8s.io/deny"]
    assert "10.0.0.0/16" in kubectl("get", "ippools,netpol", "-A", "-o", "wide")
    assert kubectl("get", "pods", "-A", "--field-selector", "spec.nodeName=n9") == "No resources found\n"
    assert "NotFound" in kubectl("get", "node", "none", code=1)
    assert "web" in kubectl("describe", "pod", "-n", "team", "web")


def test_label_annotate_patch_taint_and_edit_by_replace(kubectl):
    kubectl("apply", "-f", "-", text=MANIFEST)
    kubectl("create", "-f", "-", text='{"kind":"Node","apiVersion":"v1","metadata":{"name":"n1"}}')
    get = kubectl.api.client.get
    kubectl("label", "node", "n1", "zone=a", "disk=ssd")
    kubectl("label", "node", "n1", "zone-")
    assert get("nodes", "n1")["metadata"]["labels"] == {"disk": "ssd"}
    assert "already has a value" in kubectl("label", "node", "n1", "disk=x", code=1)
    kubectl("label", "--overwrite", "node", "n1", "disk=x")
    kubectl("annotate", "ippool", "pool", "a/b=c")
    assert get("ippools", "pool")["metadata"]["annotations"]["a/b"] == "c"
    kubectl("taint", "node", "n1", "a=b:NoSchedule")
    kubectl("taint", "node", "n1", "c=d:NoExecute")
    kubectl("taint", "node", "n1", "a-")
    assert [t["key"] for t in get("nodes", "n1")["spec"]["taints"]] == ["c"]
    kubectl("cordon", "n1")
    assert get("nodes", "n1")["spec"]["unschedulable"] is True
    kubectl("patch", "ippool", "pool", "--type=merge", "-p", '{"spec":{"disabled":true}}')
    kubectl("patch", "ippool", "pool", "--type=json", "-p", '[{"op":"remove","path":"/spec/disabled"}]')
    assert "disabled" not in get("ippools", "pool")["spec"]
    document = kubectl("get", "ippool", "pool", "-o", "yaml").replace("CrossSubnet", "Never")
    kubectl("replace", "-f", "-", text=document)
    assert "Conflict" in kubectl("replace", "-f", "-", text=document.replace("Never", "Always"), code=1)


def test_get_watch_prints_changes_as_they_come(kubectl):
    client = kubectl.api.client
    client.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w1"}})
    with subprocess.Popen([*kubectl.command, "get", "nodes", "-w", "-o", "name"], stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            while process.stdout.readline() != "node/w1\n":
                assert process.poll() is None
            client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w2"}})
            assert process.stdout.readline() == "node/w2\n"
        finally:
            process.terminate()
    with subprocess.Popen([*kubectl.command, "get", "nodes", "-w"], stdout=subprocess.PIPE, text=True) as process:
        try:
            while not process.stdout.readline().startswith("w2 "):
                assert process.poll() is None
            client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w3"}})
            assert process.stdout.readline().startswith("w3 ")
        finally:
            process.terminate()


def test_a_crd_is_applied_waited_for_and_used(kubectl):
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": "things.test.canal"},
           "spec": {"group": "test.canal", "scope": "Cluster",
                    "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
                    "versions": [{"name": "v1", "served": True, "storage": True}]}}
    kubectl("apply", "-f", "-", text=json.dumps(crd))
    kubectl("wait", "--for=condition=established", "crd/things.test.canal", "--timeout=20s")
    kubectl("apply", "-f", "-", text='{"apiVersion":"test.canal/v1","kind":"Thing","metadata":{"name":"t"}}')
    assert kubectl("get", "things", "-o", "name") == "thing.test.canal/t\n"
    kubectl("delete", "crd", "things.test.canal")


def test_delete_by_manifest_by_label_and_a_namespace(kubectl):
    kubectl("apply", "-f", "-", text=MANIFEST)
    kubectl("delete", "pod", "-n", "team", "-l", "app=web")
    assert kubectl("get", "pods", "-A", "-o", "name") == ""
    kubectl("apply", "-f", "-", text=MANIFEST)
    assert kubectl("delete", "-f", "-", text=MANIFEST).count(" deleted") == 4
    assert "NotFound" in kubectl("get", "ns", "team", code=1)
    kubectl("delete", "ippools", "--all")
    kubectl("delete", "ippool", "pool", "--ignore-not-found")
