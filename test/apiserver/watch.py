"""WATCH: a stream of changes from a resource version on (Kubernetes "API Concepts", "Efficient detection of
changes": resume, 410, bookmarks, streaming lists with sendInitialEvents).

Watcher filters the events of one Resource for one request; stream() writes them. Called by rest.py.
"""

import asyncio
import collections
import json
import random
import time

from .errors import ApiError, dumps
from .store import ADDED, DELETED, MODIFIED
from .table import as_table, wants_table

MAX_PENDING = 500000  # a watcher that is further behind is ended, as upstream does
MAX_CHUNK = 256 * 1024


class Watcher:
    """The pending events of one watch request."""

    def __init__(self, resource, namespace, match):
        self.resource, self.namespace, self.match = resource, namespace, match
        self.pending = collections.deque()
        self.wake = asyncio.Event()
        self.overrun = False
        self.mark_due = False  # a bookmark is wanted now

    def push(self, event):
        if len(self.pending) >= MAX_PENDING:
            self.overrun = True
        else:
            self.pending.append(event)
        self.wake.set()

    def sees(self, obj):
        if obj is None or (self.namespace and obj.namespace != self.namespace):
            return False
        return self.match is None or self.match(obj)

    def turn(self, event):
        """(type, tail) as this watcher sees the event, or None. An object that starts or stops to match
        the selector is added or deleted."""
        now = event.type != DELETED and self.sees(event.obj)
        was = self.sees(event.old)
        if now:
            return (MODIFIED if was else ADDED), event.obj.tail
        if not was:
            return None
        if event.type == DELETED:
            return DELETED, event.obj.tail
        body = json.loads(b"{" + event.old.tail)
        body["metadata"]["resourceVersion"] = str(event.rv)
        return DELETED, dumps(body)[1:]


def event_frame(kind, type_, tail):
    return b'{"type":"%b","object":%b%b}\n' % (type_.encode(), kind.prefix, tail)


def error_frame(error):
    return dumps({"type": "ERROR", "object": error.status()}) + b"\n"


def bookmark_frame(kind, rv, initial_end=False):
    metadata = {"resourceVersion": str(rv), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return dumps({"type": "BOOKMARK", "object": {"kind": kind.kind, "apiVersion": kind.api_version,
                                                 "metadata": metadata}}) + b"\n"


class Stream:
    """One watch answer in progress."""

    def __init__(self, app, request, reply, kind, namespace, match):
        self.app, self.request, self.reply, self.kind = app, request, reply, kind
        self.resource = app.store.resource(kind)
        self.watcher = Watcher(self.resource, namespace, match)
        self.bookmarks = request.flag("allowWatchBookmarks")
        self.table = wants_table(request)

    def _backlog(self):
        """(initial frames' events, whether the initial list is to be closed by a bookmark)."""
        query, store = self.request.query, self.app.store
        text = query.get("resourceVersion", "")
        initial = query.get("sendInitialEvents")
        if initial is not None and query.get("resourceVersionMatch") != "NotOlderThan":
            raise ApiError(422, "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
                                "resourceVersionMatch to NotOlderThan", "Invalid")
        if text and not text.isdigit():
            raise ApiError(400, f"invalid resource version {text!r}")
        rv = int(text or 0)
        if rv > store.rv:
            raise too_large(rv, store.rv)
        if initial == "true" or (rv == 0 and initial is None):
            objects = self.resource.snapshot(store.rv).objects
            return [(ADDED, o.tail) for o in objects if self.watcher.sees(o)], initial == "true"
        if rv == 0:
            return [], False
        try:
            events = self.resource.since(rv)
        except ApiError as error:
            if self.app.options.gone_as_status:
                raise
            return [error], False
        return [e for e in map(self.watcher.turn, events) if e], False

    async def run(self):
        timeout = int(self.request.query.get("timeoutSeconds") or 0) or random.randint(1800, 3600)
        deadline = time.monotonic() + timeout
        backlog, mark_end = self._backlog()
        self.resource.watchers.add(self.watcher)
        self.app.stats.watch_opened(self.request)
        try:
            if not backlog or not isinstance(backlog[0], ApiError):
                at = self.app.store.rv
                self.reply.start(200)  # never compressed, as upstream
                if self.request.plan and self.request.plan.silent:
                    await asyncio.sleep(self.request.plan.silent)
                    self.reply.conn.reset()
                    return
                if await self._send(backlog):
                    if mark_end:
                        await self.reply.write(bookmark_frame(self.kind, at, True))
                    await self._follow(deadline)
            else:
                self.reply.start(200)
                await self.reply.write(error_frame(backlog[0]))
            await self.reply.finish()
        finally:
            self.resource.watchers.discard(self.watcher)
            self.app.stats.watch_closed(self.request)

    async def _follow(self, deadline):
        watcher, interval = self.watcher, self.app.options.bookmark_interval
        next_mark = time.monotonic() + interval
        last_mark = 0
        while not watcher.overrun:
            now = time.monotonic()
            if now >= deadline:
                break
            if self.bookmarks and (now >= next_mark or watcher.mark_due and not watcher.pending):
                next_mark = now + interval
                watcher.mark_due = False
                if not watcher.pending and self.app.store.rv != last_mark:
                    last_mark = self.app.store.rv
                    await self._send_control(bookmark_frame(self.kind, last_mark))
                    continue
            if not watcher.pending:
                watcher.wake.clear()
                until = min(deadline, next_mark) if self.bookmarks else deadline
                try:
                    await asyncio.wait_for(watcher.wake.wait(), max(0, until - now))
                except asyncio.TimeoutError:
                    pass
                continue
            events = []
            while watcher.pending and len(events) < 1000:
                seen = watcher.turn(watcher.pending.popleft())
                if seen is not None:
                    events.append(seen)
            if not await self._send(events):
                return
        if self.bookmarks and not watcher.overrun and not watcher.pending:
            await self._send_control(bookmark_frame(self.kind, self.app.store.rv))

    async def _send_control(self, frame):
        if self.table:
            return  # kubectl asks for no bookmarks
        await self.reply.write(frame)

    async def _send(self, events):
        """Write events; False when a fault ended the stream."""
        faults = self.app.faults.for_events(self.request)
        parts, size = [], 0
        for type_, tail in events:
            frame = self._table_frame(type_, tail) if self.table else event_frame(self.kind, type_, tail)
            if faults:
                if not await faults.deliver(self.reply, frame):
                    return False
                continue
            parts.append(frame)
            size += len(frame)
            if size >= MAX_CHUNK:
                await self.reply.write(b"".join(parts))
                parts, size = [], 0
        if parts:
            await self.reply.write(b"".join(parts))
        return True

    def _table_frame(self, type_, tail):
        table = as_table(self.kind, [tail], self.app.store.rv, self.request)
        return dumps({"type": type_, "object": table}) + b"\n"


def too_large(rv, current):
    return ApiError(504, f"Too large resource version: {rv}, current: {current}", "Timeout",
                    {"causes": [{"reason": "ResourceVersionTooLarge",
                                 "message": "Too large resource version"}], "retryAfterSeconds": 1},
                    {"Retry-After": "1"})
