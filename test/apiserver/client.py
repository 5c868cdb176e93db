"""What the lab, tests and the demo use: ApiServer starts and stops a server, Client talks to it.

Client speaks through the control socket (a path, so it works from any network namespace, needs no
credentials and meets no faults) or through a URL. Standard library only.

    with ApiServer(directory, netns="c1-api", listen=["10.0.0.1:6443"]) as api:
        api.client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        api.kubeconfig            # path of a kubeconfig with a client certificate
"""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

PYTHON = "/usr/bin/python3"
TEST = Path(__file__).resolve().parents[1]
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class ApiFailure(Exception):
    """An answer other than 2xx; 'status' is the Status document when there was one."""

    def __init__(self, code, text, status=None, headers=None):
        super().__init__(f"{code}: {text}")
        self.code, self.status, self.headers = code, status, headers or {}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = Path(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        directory = os.open(self._path.parent, os.O_PATH)  # keeps the address below 108 bytes
        try:
            self.sock.connect(f"/proc/self/fd/{directory}/{self._path.name}")
        finally:
            os.close(directory)


class Client:
    """Requests to one server. 'target' is the control socket's path or a http(s) URL."""

    def __init__(self, target, ca=None, token=None, cert=None, timeout=60):
        self.target, self.token, self.timeout = str(target), token, timeout
        self._context = None
        if self.target.startswith("https:"):
            self._context = ssl.create_default_context(cafile=ca)
            if cert:
                self._context.load_cert_chain(*cert)
        self._kinds = {}
        self._conn = None
        self._lock = threading.Lock()  # a request at a time on the kept connection

    # -- plumbing
    def connect(self):
        """A new connection, for tests that want to see the bytes."""
        if self.target.startswith("/"):
            return _UnixConnection(self.target, self.timeout)
        url = urllib.parse.urlsplit(self.target)
        if self._context:
            return http.client.HTTPSConnection(url.hostname, url.port, timeout=self.timeout,
                                               context=self._context)
        return http.client.HTTPConnection(url.hostname, url.port, timeout=self.timeout)

    def close(self):
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _headers(self, content_type, headers):
        result = {"Accept": "application/json", **(headers or {})}
        if content_type:
            result["Content-Type"] = content_type
        if self.token:
            result["Authorization"] = f"Bearer {self.token}"
        return result

    def raw(self, method, path, body=None, content_type=None, headers=None):
        """(code, headers, bytes) of one request on the kept connection; threads take turns."""
        with self._lock:
            return self._raw(method, path, body, content_type, headers)

    def _raw(self, method, path, body, content_type, headers):
        for attempt in (0, 1):
            fresh = self._conn is None
            self._conn = self._conn or self.connect()
            try:
                self._conn.request(method, path, body, self._headers(content_type, headers))
                answer = self._conn.getresponse()
                data = answer.read()
                if answer.will_close:
                    self.close()
                return answer.status, answer.headers, data
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()
                # A kept connection may have been closed meanwhile; a fresh one tells the truth.
                if fresh or attempt:
                    raise
            except Exception:
                self.close()
                raise
        raise AssertionError("not reached")

    def request(self, method, path, body=None, content_type="application/json", headers=None):
        """The decoded answer; raises ApiFailure when it is not 2xx."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        code, answer_headers, answer = self.raw(method, path, data, content_type if data else None, headers)
        try:
            document = json.loads(answer) if answer else None
        except ValueError:
            document = None
        if not 200 <= code < 300:
            text = document.get("message") if isinstance(document, dict) else answer[:200]
            raise ApiFailure(code, text, document, answer_headers)
        return document

    def path(self, kind, name=None, namespace=None, sub=None, api_version=None, **query):
        """URL of a kind (its Kind, plural, or 'plural.group') or of one object."""
        base, plural, namespaced = self._resolve(kind, api_version)
        parts = [base]
        if namespaced and (namespace or name):
            parts += ["namespaces", quote(namespace or "default")]
        parts.append(plural)
        parts += [quote(name)] if name else []
        parts += [sub] if sub else []
        text = "/".join(parts)
        return text + ("?" + urllib.parse.urlencode(query) if query else "")

    def _resolve(self, kind, api_version=None):
        wanted = (kind, api_version)
        if wanted not in self._kinds:
            self._discover()
        if wanted not in self._kinds:
            raise KeyError(f"the server knows no {kind} in {api_version or 'any group'}")
        return self._kinds[wanted]

    def _discover(self):
        versions = [("/api/v1", "v1")]
        for group in self.request("GET", "/apis")["groups"]:
            versions += [("/apis/" + v["groupVersion"], v["groupVersion"]) for v in group["versions"]]
        for base, version in versions:
            for entry in self.request("GET", base)["resources"]:
                if "/" in entry["name"]:
                    continue
                row = (base, entry["name"], entry["namespaced"])
                group = version.rpartition("/")[0]
                for word in (entry["kind"], entry["name"]):
                    self._kinds.setdefault((word, None), row)
                    self._kinds[(word, version)] = row
                self._kinds[(f"{entry['name']}.{group}", None)] = row

    def _of(self, obj, sub=None, named=True):
        metadata = obj.get("metadata", {})
        _, _, namespaced = self._resolve(obj["kind"], obj["apiVersion"])
        namespace = metadata.get("namespace", "default") if namespaced else None
        return self.path(obj["kind"], metadata["name"] if named else None, namespace, sub, obj["apiVersion"])

    # -- objects
    def create(self, obj):
        """POST; a status in 'obj' is written too, as its owner would with a second request."""
        made = self.request("POST", self._of(obj, named=False), obj)
        if "status" in obj and made.get("status") != obj["status"]:
            path = self._of({**obj, "metadata": made["metadata"]}, "status")
            made = self.request("PATCH", path, {"status": obj["status"]}, MERGE)
        return made

    def get(self, kind, name, namespace=None, **query):
        return self.request("GET", self.path(kind, name, namespace, **query))

    def list(self, kind, namespace=None, **query):
        """The items; query: labelSelector, fieldSelector, limit, …"""
        return self.request("GET", self.path(kind, None, namespace, **query))["items"]

    def replace(self, obj, sub=None):
        return self.request("PUT", self._of(obj, sub), obj)

    def patch(self, kind, name, patch, namespace=None, sub=None, content_type=MERGE):
        return self.request("PATCH", self.path(kind, name, namespace, sub), patch, content_type)

    def apply(self, obj):
        """Create the object, or replace what it has in common with the stored one (merge patch)."""
        try:
            return self.create(obj)
        except ApiFailure as failure:
            if not failure.status or failure.status.get("reason") != "AlreadyExists":
                raise
        made = self.request("PATCH", self._of(obj), obj, MERGE)
        if "status" in obj and made.get("status") != obj["status"]:
            made = self.request("PATCH", self._of(obj, "status"), {"status": obj["status"]}, MERGE)
        return made

    def delete(self, kind, name, namespace=None, missing_ok=False):
        try:
            return self.request("DELETE", self.path(kind, name, namespace))
        except ApiFailure as failure:
            if failure.code != 404 or not missing_ok:
                raise
            return None

    def delete_all(self, kind, namespace=None, **query):
        return self.request("DELETE", self.path(kind, None, namespace, **query))

    def watch(self, kind, namespace=None, timeout=10, **query):
        """Yields events until the server ends the stream; 'timeout' is timeoutSeconds."""
        conn = self.connect()
        try:
            path = self.path(kind, None, namespace, watch="true", timeoutSeconds=timeout, **query)
            conn.request("GET", path, headers=self._headers(None, None))
            answer = conn.getresponse()
            if answer.status != 200:
                raise ApiFailure(answer.status, answer.read()[:500])
            for line in answer:
                yield json.loads(line)
        finally:
            conn.close()

    def wait(self, kind, name, test, namespace=None, deadline=30):
        """The object once 'test' (a function of it, or of None while it is missing) holds."""
        end = time.monotonic() + deadline
        while True:
            try:
                obj = self.get(kind, name, namespace)
            except ApiFailure as failure:
                if failure.code != 404:
                    raise
                obj = None
            if test(obj):
                return obj
            if time.monotonic() > end:
                raise TimeoutError(f"{kind} {name} did not become as expected in {deadline} s: {obj}")
            time.sleep(0.05)

    # -- control calls
    def faults(self, *rules):
        """Add fault rules; returns how many are in force."""
        return self.request("POST", "/_test/faults", list(rules))["rules"]

    def clear_faults(self):
        self.request("DELETE", "/_test/faults")

    def stats(self):
        return self.request("GET", "/_test/stats")

    def requests(self, verb=None, resource=None, code=None):
        """How many requests of this sort were answered."""
        return sum(row["count"] for row in self.stats()["requests"]
                   if verb in (None, row["verb"]) and resource in (None, row["resource"])
                   and code in (None, row["code"]))

    def load(self, data):
        """Store objects as they are (status included, names unchecked): an object, a list of objects, or
        JSON/YAML bytes."""
        if isinstance(data, dict):
            data = [data]
        if isinstance(data, list):
            data = json.dumps({"kind": "List", "apiVersion": "v1", "items": data}).encode()
        return self.request("POST", "/_test/load", data)["loaded"]

    def generate(self, kind, count, **spec):
        return self.request("POST", "/_test/generate", {"kind": kind, "count": count, **spec})

    def churn(self, count, **spec):
        return self.request("POST", "/_test/churn", {"count": count, **spec})

    def outage(self, seconds=None):
        """Refuse and cut all connections for 'seconds', or until restore()."""
        self.request("POST", "/_test/outage", {} if seconds is None else {"seconds": seconds})

    def restore(self):
        self.request("DELETE", "/_test/outage")

    def disconnect(self):
        """Reset every connection once."""
        self.request("POST", "/_test/disconnect", {})

    def compact(self):
        """Forget history: older resource versions and continue tokens are answered with 410."""
        self.request("POST", "/_test/compact", {})

    def bookmark(self):
        """Every watch that asked for bookmarks gets one at once; the version it says."""
        return int(self.request("POST", "/_test/bookmark", {})["resourceVersion"])

    def rotate_token(self, user="canal", keep_old=False):
        return self.request("POST", "/_test/tokens", {"user": user, "keep_old": keep_old})["token"]

    def options(self, **values):
        """Change bookmark_interval, gzip_min, gone_as_status or require_auth of the running server."""
        self.request("POST", "/_test/options", values)


def quote(text):
    return urllib.parse.quote(text, safe="")


class ApiServer:
    """A server process. 'netns' is the name of a network namespace to run in; 'listen' and 'http' are
    lists of "HOST:PORT"; 'extra' are further command-line words."""

    def __init__(self, directory, netns=None, listen=(), http=(), extra=(), log=None):
        self.dir = Path(directory).resolve()
        self.dir.mkdir(parents=True, exist_ok=True)
        self.netns, self.listen, self.http_listen, self.extra = netns, list(listen), list(http), list(extra)
        self.log_path = Path(log) if log else self.dir / "apiserver.log"
        self.process = None
        self.client = Client(self.dir / "api.sock")
        self.ready = {}

    def command(self):
        words = ["ip", "netns", "exec", self.netns] if self.netns else []
        # -P: the caller's directory may hold files that hide Python's own modules, as this one does.
        words += [PYTHON if os.path.exists(PYTHON) else sys.executable, "-P", "-m", "apiserver",
                  "--dir", str(self.dir)]
        for option, values in (("--listen", self.listen), ("--http", self.http_listen)):
            for value in values:
                words += [option, value]
        return words + self.extra

    def start(self, deadline=60):
        (self.dir / "ready.json").unlink(missing_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(TEST), "PYTHONDONTWRITEBYTECODE": "1"})
        end = time.monotonic() + deadline
        while not (self.dir / "ready.json").exists():
            if self.process.poll() is not None:
                raise RuntimeError(f"API server ended with code {self.process.returncode}: {self._tail()}")
            if time.monotonic() > end:
                self.stop()
                raise TimeoutError(f"API server did not answer in {deadline} s: {self._tail()}")
            time.sleep(0.02)
        self.ready = json.loads((self.dir / "ready.json").read_text())
        self.client.request("GET", "/version")
        return self

    def _tail(self):
        return self.log_path.read_text(errors="replace")[-2000:]

    def stop(self):
        self.client.close()
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def kubectl(self, *argv, text=None, timeout=120):
        """Run kubectl against this server, in its namespace; returns the CompletedProcess."""
        words = ["ip", "netns", "exec", self.netns] if self.netns else []
        words += ["kubectl", "--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.dir / "kubectl-cache")]
        return subprocess.run([*words, *argv], input=text, capture_output=True, text=True, timeout=timeout,
                              check=False)

    # -- where things are
    @property
    def url(self):
        return self.ready["https"][0]

    @property
    def http_url(self):
        return self.ready["http"][0]

    @property
    def kubeconfig(self):
        return self.dir / "admin.kubeconfig"

    @property
    def token_kubeconfig(self):
        return self.dir / "token.kubeconfig"

    @property
    def http_kubeconfig(self):
        return self.dir / "http.kubeconfig"

    @property
    def ca(self):
        return self.dir / "ca.crt"

    def token(self, user="canal"):
        return (self.dir / "tokens" / user).read_text()

    def https_client(self, token=None):
        """A client over TLS with a token (default: that of user canal); from this process's namespace."""
        return Client(self.url, ca=str(self.ca), token=token or self.token())
