"""A small HTTP/1.1 server layer (RFC 9112) on asyncio transports.

Own code rather than a library because faults need the transport itself: half a chunk, bytes that
trickle, a connection that is reset in the middle of an object. One Connection per socket, one task per
Connection, requests of a connection one after the other. Called by server.py.
"""

import asyncio
import socket
import struct
import sys
import time
import traceback
import urllib.parse
import zlib

from .errors import ApiError, dumps

PHRASES = {100: "Continue", 200: "OK", 201: "Created", 202: "Accepted", 400: "Bad Request",
           401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
           406: "Not Acceptable", 409: "Conflict", 410: "Gone", 413: "Request Entity Too Large",
           415: "Unsupported Media Type", 422: "Unprocessable Entity", 429: "Too Many Requests",
           500: "Internal Server Error", 503: "Service Unavailable", 504: "Gateway Timeout"}
MAX_HEAD = 64 * 1024
MAX_BODY = 2 * 1024 * 1024 * 1024
READ_AHEAD = 1024 * 1024
# Upstream compresses answers from this size on.
GZIP_MIN = 128 * 1024


class Request:
    """One request; header names in lower case, the first value of each query parameter."""

    __slots__ = ("method", "path", "parts", "query", "headers", "body", "conn", "user", "keep_alive", "verb",
                 "resource", "name", "plan")

    def __init__(self, method, target, headers, conn):
        path, _, query = target.partition("?")
        self.method = method
        self.path = urllib.parse.unquote(path)
        # A name may hold an escaped slash: split first.
        self.parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
        self.query = dict(reversed(urllib.parse.parse_qsl(query, keep_blank_values=True)))
        self.headers = headers
        self.conn = conn
        self.body = b""
        self.user = None
        self.keep_alive = True
        self.verb = self.resource = self.name = ""
        self.plan = None

    def accepts(self, word):
        return word in self.headers.get("accept", "")

    def flag(self, name):
        return self.query.get(name) in ("true", "1")


class Dropped(Exception):
    """The connection was ended on purpose (a fault) or by the peer."""


class Connection(asyncio.Protocol):
    """One accepted socket."""

    def __init__(self, owner, listener):
        self.owner, self.listener = owner, listener
        self.transport = None
        self.peer = ""
        self.opened = time.time()
        self.n_requests = 0
        self.now_serving = ""
        self._buffer = bytearray()
        self._eof = False
        self._waiter = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._task = None

    # -- asyncio.Protocol
    def connection_made(self, transport):
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) > 1 else "unix"
        self.owner.connection_opened(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data):
        self._buffer += data
        if len(self._buffer) > READ_AHEAD:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self):
        self._eof = True
        self._wake()

    def connection_lost(self, exc):
        self._eof = True
        self._writable.set()
        self._wake()
        self.owner.connection_closed(self)
        self._task.cancel()

    def pause_writing(self):
        self._writable.clear()

    def resume_writing(self):
        self._writable.set()

    # -- reading
    def _wake(self):
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self):
        if self._eof:
            raise Dropped("end of input")
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.resume_reading()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _until(self, mark, limit):
        start = 0
        while True:
            at = self._buffer.find(mark, start)
            if at >= 0:
                data = bytes(self._buffer[:at])
                del self._buffer[:at + len(mark)]
                return data
            if len(self._buffer) > limit:
                raise ApiError(400, "request header is too long")
            start = max(0, len(self._buffer) - len(mark))
            await self._more()

    async def _exactly(self, count):
        while len(self._buffer) < count:
            await self._more()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def _read_request(self):
        head = (await self._until(b"\r\n\r\n", MAX_HEAD)).decode("latin-1").lstrip("\r\n").split("\r\n")
        words = head[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise ApiError(400, "malformed request line")
        headers = {}
        for line in head[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise ApiError(400, "malformed header line")
            name = name.strip().lower()
            value = value.strip()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        request = Request(words[0], words[1], headers, self)
        tokens = headers.get("connection", "").lower()
        request.keep_alive = "close" not in tokens if words[2] == "HTTP/1.1" else "keep-alive" in tokens
        await self._read_body(request)
        return request

    async def _read_body(self, request):
        headers = request.headers
        if "100-continue" in headers.get("expect", "").lower():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            parts, total = [], 0
            while True:
                size = int((await self._until(b"\r\n", 1024)).split(b";")[0], 16)
                total += size
                if total > MAX_BODY:
                    raise ApiError(413, "request body is too large")
                if size == 0:
                    while await self._until(b"\r\n", MAX_HEAD):
                        pass
                    break
                parts.append(await self._exactly(size))
                await self._exactly(2)
            request.body = b"".join(parts)
        elif headers.get("content-length", "0") != "0":
            if not headers["content-length"].isdigit() or int(headers["content-length"]) > MAX_BODY:
                raise ApiError(413, "bad content length")
            request.body = await self._exactly(int(headers["content-length"]))
        if headers.get("content-encoding") == "gzip":
            request.body = zlib.decompress(request.body, 31)

    # -- writing
    def write(self, data):
        if self.transport.is_closing():
            raise Dropped("connection is closed")
        self.transport.write(data)

    async def drain(self):
        if not self._writable.is_set():
            await self._writable.wait()
        if self._eof and self.transport.is_closing():
            raise Dropped("connection is closed")

    async def flushed(self):
        """Everything written so far has left the process (or the peer is gone)."""
        deadline = time.monotonic() + 5
        while self.transport.get_write_buffer_size() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def reset(self):
        """End with a TCP reset, no TLS goodbye."""
        if self.transport.is_closing():  # its socket may be gone already
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def close(self):
        self.transport.close()

    # -- the task
    async def _serve(self):
        try:
            while True:
                reply = None
                try:
                    request = await self._read_request()
                    self.n_requests += 1
                    self.now_serving = f"{request.method} {request.path}"
                    reply = Reply(self, request)
                    await self._answer(request, reply)
                except (ApiError, ValueError, zlib.error) as error:  # the request itself was unreadable
                    reply = Reply(self, None)
                    await reply.fail(error if isinstance(error, ApiError) else ApiError(400, str(error)))
                    break
                self.now_serving = ""
                if not reply.finished or not request.keep_alive:
                    break
            await self.flushed()
        except (Dropped, ConnectionError):
            pass
        finally:
            self.transport.close()

    async def _answer(self, request, reply):
        try:
            await self.owner.handle(request, reply)
        except ApiError as error:
            if not reply.started:
                await reply.fail(error)
        except (Dropped, ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:  # pylint: disable=broad-except  # a bug here must not end the server
            traceback.print_exc(file=sys.stderr)
            if not reply.started:
                await reply.fail(ApiError(500, f"internal error: {error}"))


class Reply:
    """The answer to one request. 'shape' (faults.py) may replace how body bytes reach the wire."""

    def __init__(self, conn, request):
        self.conn, self.request = conn, request
        self.started = self.finished = False
        self.code = 0
        self.chunked = False
        self.total = 0  # bytes of the body when known, for faults
        self.shape = None
        self._gzip = None

    def start(self, code, content_type="application/json", length=None, headers=None):
        """Send the head; without a length the body is chunked."""
        self.started, self.code = True, code
        self.chunked = length is None
        lines = [f"HTTP/1.1 {code} {PHRASES.get(code, 'Unknown')}", f"Content-Type: {content_type}",
                 f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}",
                 "Cache-Control: no-cache, private"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if self._gzip:
            lines += ["Content-Encoding: gzip", "Vary: Accept-Encoding"]
        lines.append("Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {length}")
        if self.request is None or not self.request.keep_alive:
            lines.append("Connection: close")
        self.conn.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def frame(self, data):
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

    async def write(self, data):
        """Body bytes; waits while the peer is slow."""
        if self._gzip:
            data = self._gzip.compress(data)
        if not data or (self.request is not None and self.request.method == "HEAD"):
            return
        if self.shape is not None:
            await self.shape(self, data)
        else:
            self.conn.write(self.frame(data))
        await self.conn.drain()

    async def finish(self):
        if self._gzip:
            gzip, self._gzip = self._gzip, None
            await self.write(gzip.flush())
        if self.chunked and self.request.method != "HEAD":
            self.conn.write(b"0\r\n\r\n")
        self.finished = True
        await self.conn.drain()

    def compress(self, total):
        """Use gzip when the client takes it and the answer is worth it. Before start()."""
        minimum = self.conn.owner.options.gzip_min
        if total >= minimum and "gzip" in self.request.headers.get("accept-encoding", ""):
            self._gzip = zlib.compressobj(1, zlib.DEFLATED, 31)
        return self._gzip is not None

    async def json(self, code, value, headers=None):
        data = value if isinstance(value, bytes) else dumps(value) + b"\n"
        self.total = len(data)
        if self.compress(len(data)):
            self.start(code, headers=headers)
        else:
            self.start(code, length=len(data), headers=headers)
        await self.write(data)
        await self.finish()

    async def fail(self, error):
        await self.json(error.code, error.encode(), error.headers) if self.request else \
            await self._fail_unread(error)

    async def _fail_unread(self, error):
        data = error.encode()
        self.start(error.code, length=len(data))
        await self.write(data)
        self.finished = True
