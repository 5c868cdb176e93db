"""The API server of test/apiserver: TLS, tokens, client certificates, kubeconfigs and where it may listen."""

import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import urllib.parse

import pytest
from cryptography import x509

from apiserver.client import TEST, ApiFailure, ApiServer, Client


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("api"), http=["127.0.0.1:0"]) as server:
        yield server


def code_of(client):
    return client.raw("GET", "/api/v1/nodes")[0]


def test_without_or_with_a_wrong_token_nothing_is_answered(api):
    assert code_of(Client(api.url, ca=str(api.ca))) == 401
    assert code_of(Client(api.url, ca=str(api.ca), token="wrong")) == 401
    assert code_of(Client(api.http_url, token="wrong")) == 401
    assert code_of(Client(api.http_url)) == 200
    assert code_of(api.https_client()) == 200


def test_a_rotated_token_replaces_the_old_one_and_the_files_follow(api):
    old = api.token()
    client = api.https_client()
    new = api.client.rotate_token()
    assert new != old and api.token() == new
    assert (api.dir / "serviceaccount" / "token").read_text() == new
    assert code_of(client) == 401
    assert code_of(api.https_client()) == 200
    newer = api.client.rotate_token(keep_old=True)
    assert code_of(api.https_client(newer)) == code_of(api.https_client(new)) == 200


def test_a_client_certificate_is_enough(api):
    client = Client(api.url, ca=str(api.ca), cert=(api.dir / "admin.crt", api.dir / "admin.key"))
    assert code_of(client) == 200


def test_a_foreign_ca_is_not_trusted_by_either_side(api, tmp_path):
    with ApiServer(tmp_path / "other") as other:
        with pytest.raises(ssl.SSLError):
            Client(api.url, ca=str(other.ca)).raw("GET", "/version")
        stranger = Client(api.url, ca=str(api.ca), cert=(other.dir / "admin.crt", other.dir / "admin.key"))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            stranger.raw("GET", "/version")
    assert code_of(api.https_client()) == 200


@pytest.mark.parametrize("name,good", [("127.0.0.1", True), ("kubernetes", True), ("elsewhere.test", False)])
def test_the_certificate_is_for_this_server_only(api, name, good):
    context = ssl.create_default_context(cafile=str(api.ca))
    with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(api.url).port), timeout=10) as sock:
        if good:
            assert context.wrap_socket(sock, server_hostname=name).version().startswith("TLS")
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                context.wrap_socket(sock, server_hostname=name)


def test_keys_are_elliptic_and_private(api):
    for name in ("server.key", "admin.key", "tokens/canal"):
        assert stat.S_IMODE((api.dir / name).stat().st_mode) == 0o600
    cert = x509.load_pem_x509_certificate((api.dir / "server.crt").read_bytes())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert cert.public_key().curve.name == "secp256r1"
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_kubeconfigs_name_the_server_and_their_credentials(api):
    admin = json.loads(api.kubeconfig.read_text())
    assert admin["clusters"][0]["cluster"] == {"server": api.url, "certificate-authority": str(api.ca)}
    assert admin["users"][0]["user"]["client-key"] == str(api.dir / "admin.key")
    token = json.loads(api.token_kubeconfig.read_text())
    assert token["users"][0]["user"]["tokenFile"] == str(api.dir / "tokens" / "canal")
    assert json.loads(api.http_kubeconfig.read_text())["clusters"][0]["cluster"] == {"server": api.http_url}


def test_outside_of_a_namespace_only_loopback_is_allowed(tmp_path):
    server = ApiServer(tmp_path, listen=["0.0.0.0:0"])
    with pytest.raises(RuntimeError, match="only loopback"):
        server.start()


def test_in_a_namespace_it_listens_on_the_namespaces_address(tmp_path):
    name = f"apit{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "-n", name, "addr", "add", "10.77.0.1/32", "dev", "lo"], check=True)
        with ApiServer(tmp_path, netns=name, listen=["10.77.0.1:6443"]) as api:
            assert api.url == "https://10.77.0.1:6443"
            api.client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})  # from outside
            with pytest.raises(OSError):
                api.https_client().connect().connect()
            script = ("import sys; from apiserver.client import Client; "
                      "print(Client(sys.argv[1], sys.argv[2], sys.argv[3]).list('nodes')[0]['metadata']['name'])")
            done = subprocess.run(
                ["ip", "netns", "exec", name, sys.executable, "-P", "-c", script, api.url, str(api.ca), api.token()],
                capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(TEST)})
            assert done.stdout == "n\n", done.stderr
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_it_stops_when_told_and_says_why_it_did_not_start(tmp_path):
    server = ApiServer(tmp_path / "a", extra=["--load", str(tmp_path / "missing.yaml")])
    with pytest.raises(RuntimeError, match="missing.yaml"):
        server.start()
    server = ApiServer(tmp_path / "b").start()
    process = server.process
    server.stop()
    assert process.returncode == 0


def test_objects_are_loaded_at_the_start(tmp_path):
    (tmp_path / "objects.yaml").write_text("""
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: made-for-it}
status: {phase: Running}
---
apiVersion: v1
kind: List
items: [{apiVersion: v1, kind: Node, metadata: {name: a}}, {apiVersion: v1, kind: Node, metadata: {name: b}}]
""")
    (tmp_path / "more.json").write_text('{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"c"}}]}')
    extra = ["--load", str(tmp_path / "objects.yaml"), "--load", str(tmp_path / "more.json")]
    with ApiServer(tmp_path / "api", extra=extra) as api:
        assert [n["metadata"]["name"] for n in api.client.list("nodes")] == ["a", "b", "c"]
        assert api.client.get("pods", "p", "made-for-it")["status"] == {"phase": "Running"}
        with pytest.raises(ApiFailure):
            api.client.load(b"{")
