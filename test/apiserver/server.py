"""The server: listeners, authentication, dispatch to rest.py, discovery.py and admin.py, statistics, and
the outage switch. Called by __main__.py."""

import asyncio
import collections
import os
import socket
import time

from . import discovery
from .admin import Admin
from .errors import ApiError
from .faults import Faults
from .http import Connection
from .rest import Rest, parse_target, verb_of


NAMESPACE_DELAY = 0.3  # seconds that a namespace stays Terminating


class Options:
    """Settings with their defaults; __main__.py fills them from the command line."""

    def __init__(self, **given):
        self.directory = "."
        self.bookmark_interval = 60.0
        self.history = 10000
        self.continue_ttl = 300.0
        self.gzip_min = 128 * 1024
        self.gone_as_status = False
        self.require_auth = True
        self.seed = None
        vars(self).update(given)


class Stats:
    """What was asked and answered."""

    def __init__(self):
        self.requests = collections.Counter()
        self.faults = collections.Counter()
        self.watches = collections.Counter()
        self.connections_total = 0

    def answered(self, request, code):
        if request.verb == "watch" and code == 200:
            return  # counted when it began
        self.requests[(request.verb, request.resource, code)] += 1

    def watch_opened(self, request):
        self.watches[request.resource] += 1
        self.requests[("watch", request.resource, 200)] += 1

    def watch_closed(self, request):
        self.watches[request.resource] -= 1

    def fault(self, action):
        self.faults[action] += 1


class Listener:
    """One listening socket; comes back on the same port after an outage."""

    def __init__(self, app, name, host, port, tls):
        self.app, self.name, self.host, self.port, self.tls = app, name, host, port, tls
        self.server = None

    async def open(self):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: Connection(self.app, self.name), self.host, self.port, ssl=self.tls, backlog=512,
            reuse_address=True, **({"ssl_handshake_timeout": 60} if self.tls else {}))
        self.port = self.server.sockets[0].getsockname()[1]

    def close(self):
        if self.server is not None:
            self.server.close()
            self.server = None


class App:
    """One API server."""

    def __init__(self, store, tokens, options):
        self.store, self.tokens, self.options = store, tokens, options
        self.stats = Stats()
        self.faults = Faults(self)
        self.connections = set()
        self.listeners = []
        self.rest = Rest(self)
        self.admin = Admin(self)
        self.started = time.time()
        self._outage = None
        store.defer = lambda function: asyncio.get_running_loop().call_later(NAMESPACE_DELAY, function)

    # -- connections
    def connection_opened(self, conn):
        self.connections.add(conn)
        self.stats.connections_total += 1

    def connection_closed(self, conn):
        self.connections.discard(conn)

    async def listen(self, name, host, port, tls=None):
        listener = Listener(self, name, host, port, tls)
        await listener.open()
        self.listeners.append(listener)
        return listener

    async def listen_control(self, path):
        """The control socket: reachable from every network namespace, no credentials, no faults."""
        directory = os.open(os.path.dirname(path), os.O_PATH)
        try:  # a socket's path is limited to 107 bytes, the directory's is not
            short = f"/proc/self/fd/{directory}/{os.path.basename(path)}"
            if os.path.exists(short):
                os.unlink(short)
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(short)
        finally:
            os.close(directory)
        os.chmod(path, 0o600)
        await asyncio.get_running_loop().create_unix_server(
            lambda: Connection(self, "control"), sock=sock)

    def outage(self, seconds=None):
        """Close all listeners and connections but the control socket; 'seconds' None: until restore()."""
        if self._outage is not None:
            self._outage.cancel()
        for listener in self.listeners:
            listener.close()
        for conn in list(self.connections):
            if conn.listener != "control":
                conn.reset()
        self._outage = asyncio.get_running_loop().create_task(self._come_back(seconds))

    async def _come_back(self, seconds):
        await asyncio.sleep(86400 if seconds is None else seconds)
        await self._open_listeners()

    async def _open_listeners(self):
        for listener in self.listeners:
            if listener.server is None:
                await listener.open()

    async def restore(self):
        if self._outage is not None:
            self._outage.cancel()
            self._outage = None
        await self._open_listeners()

    def drop_connections(self):
        for conn in list(self.connections):
            if conn.listener != "control":
                conn.reset()

    # -- requests
    def _authenticate(self, request):
        """Sets request.user or raises 401 ("Authenticating": client certificates, bearer tokens)."""
        if request.conn.listener == "control":
            request.user = "system:control"
            return
        header = request.headers.get("authorization", "")
        if header:
            scheme, _, token = header.partition(" ")
            request.user = self.tokens.users.get(token.strip()) if scheme.lower() == "bearer" else None
        else:
            cert = request.conn.transport.get_extra_info("peercert")
            if cert:
                request.user = dict(pair for rdn in cert["subject"] for pair in rdn).get("commonName")
            elif request.conn.listener == "http" or not self.options.require_auth:
                request.user = "system:anonymous"
        if request.user is None:
            raise ApiError(401, "Unauthorized")

    async def handle(self, request, reply):
        """Answer one request; http.py turns ApiError into the answer."""
        target = parse_target(self.store.kinds, request.parts)
        request.verb = METHOD_WORDS.get(request.method, request.method.lower())
        if target is not None:
            request.verb = verb_of(request, target)
            request.resource = target.kind.plural + ("/" + target.sub if target.sub else "")
            request.name = target.name
        code = 0
        try:
            if request.path.startswith("/_test/"):
                await self.admin.run(request, reply)
                return
            if request.path in ("/healthz", "/livez", "/readyz"):
                await _text(reply, b"ok")
                return
            if self.faults.rules:
                await self.faults.at_start(request, reply)
            self._authenticate(request)
            if target is not None:
                await self.rest.run(request, reply, target)
            else:
                await self._other(request, reply)
        except ApiError as error:
            code = error.code
            raise
        finally:
            if not request.path.startswith("/_test/"):
                self.stats.answered(request, code or reply.code)

    async def _other(self, request, reply):
        if request.method not in ("GET", "HEAD"):
            raise ApiError(404, "the server could not find the requested resource")
        if request.path == "/openapi/v2":
            if request.accepts("protobuf") and not request.accepts("application/json"):
                await _text(reply, discovery.openapi_v2_protobuf(), discovery.OPENAPI_V2_PROTO)
            else:
                await reply.json(200, discovery.OPENAPI_V2)
            return
        found = discovery.document(self.store.kinds, request.path)
        if found is None:
            raise ApiError(404, "the server could not find the requested resource")
        await reply.json(200, found)


METHOD_WORDS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
                "DELETE": "delete"}


async def _text(reply, data, content_type="text/plain"):
    reply.start(200, content_type, len(data))
    await reply.write(data)
    await reply.finish()
