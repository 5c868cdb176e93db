"""Faults on demand: rules that change how a request is answered.

A rule is {"match": {...}, "action": "...", ...}. match may name "verb" and "resource" (a word or a list;
"nodes/status" for subresources), "name", "user_agent" and "peer" (substrings); all that are given must
hold. How often: "skip" requests first, then "times" (default: for ever), each with "probability" under
"seed". For a watch "at" is "event" (default for the actions that have an object to spoil) or "start".
docs/apiserver.md lists the actions. The control socket is exempt unless the rule says "control": true.
"""

import asyncio
import json
import random

from .errors import ApiError, REASONS, gone
from .http import Dropped

STATUS = {"410": 410, "429": 429, "500": 500, "503": 503, "401": 401, "409": 409, "504": 504}
ACTIONS = set(STATUS) | {"status", "drop", "truncate", "delay", "malformed", "stale", "drip", "hang",
                         "silent", "refuse", "duplicate"}
AT_EVENT = {"drop", "truncate", "malformed", "silent", "duplicate", "410"}


class Plan:
    """What the faults of one request ask of its handler."""

    def __init__(self):
        self.shape = self.malformed = None
        self.stale = 0
        self.silent = 0.0


def _words(value):
    return None if value in (None, "*") else set([value] if isinstance(value, str) else value)


class Rule:
    """One posted rule and how often it fired."""

    def __init__(self, spec):
        if not isinstance(spec, dict) or str(spec.get("action")) not in ACTIONS:
            raise ApiError(400, f"fault rule: action must be one of {', '.join(sorted(ACTIONS))}")
        match = spec.get("match") or {}
        self.spec = spec
        self.action = str(spec["action"])
        self.verbs, self.resources = _words(match.get("verb")), _words(match.get("resource"))
        self.name, self.agent, self.peer = match.get("name"), match.get("user_agent"), match.get("peer")
        self.skip = int(spec.get("skip", 0))
        self.left = int(spec["times"]) if "times" in spec else None
        self.probability = float(spec.get("probability", 1))
        self.random = random.Random(spec.get("seed", 0))
        self.at = spec.get("at") or ("event" if self.action in AT_EVENT else "start")
        self.fired = 0

    def get(self, name, default):
        return self.spec.get(name, default)

    def code(self):
        return STATUS.get(self.action) or int(self.get("code", 500))

    def matches(self, request):
        if request.conn.listener == "control" and not self.spec.get("control"):
            return False
        return ((self.verbs is None or request.verb in self.verbs)
                and (self.resources is None or request.resource in self.resources)
                and (self.name is None or request.name == self.name)
                and (self.agent is None or self.agent in request.headers.get("user-agent", ""))
                and (self.peer is None or self.peer in request.conn.peer))

    def fires(self):
        if self.left == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.probability < 1 and self.random.random() >= self.probability:
            return False
        if self.left is not None:
            self.left -= 1
        self.fired += 1
        return True

    def error(self):
        code = self.code()
        retry = self.spec.get("retry_after", 1 if code in (429, 503) else None)
        headers = {} if retry is None else {"Retry-After": str(retry)}
        if code == 410:
            return gone(self.get("message", "too old resource version (fault)"))
        return ApiError(code, self.get("message", "fault"), REASONS.get(code), headers=headers)


# ---- how body bytes reach the wire -------------------------------------------------------------------

class Cut:
    """Ends the connection after 'fraction' of the body (or 'bytes'): mid-object. 'truncate' announces the
    whole chunk first and says goodbye properly; otherwise the connection just breaks."""

    def __init__(self, rule, total=0):
        self.rule, self.total = rule, total
        self.sent = 0

    async def __call__(self, reply, data):
        total = self.total or reply.total or len(data)
        limit = int(self.rule.get("bytes", int(total * float(self.rule.get("fraction", 0.5)))))
        if self.sent + len(data) <= limit and limit < total:
            self.sent += len(data)
            reply.conn.write(reply.frame(data))
            return
        part = data[:max(0, limit - self.sent)]
        if self.rule.action == "truncate" and reply.chunked:
            reply.conn.write(b"%x\r\n" % len(data) + part)
        elif part:
            reply.conn.write(reply.frame(part))
        await reply.conn.flushed()
        if self.rule.action == "truncate":
            reply.conn.close()
        elif self.rule.get("reset", False):
            await asyncio.sleep(0.02)  # a reset overtakes bytes that the peer has not read
            reply.conn.reset()
        else:
            reply.conn.transport.abort()
        raise Dropped("fault")


class Drip:
    """Bytes trickle: 'bytes' (default 16) every 'interval' seconds (default 0.05)."""

    def __init__(self, rule):
        self.size = max(1, int(rule.get("bytes", 16)))
        self.interval = float(rule.get("interval", 0.05))

    async def __call__(self, reply, data):
        for at in range(0, len(data), self.size):
            reply.conn.write(reply.frame(data[at:at + self.size]))
            await reply.conn.drain()
            await asyncio.sleep(self.interval)


def spoiler(rule):
    """A function that spoils one serialised object. Modes: json (not JSON any more), types (labels, spec
    and status of the wrong type), missing (no metadata)."""
    mode = rule.get("mode", "json")

    def spoil(data):
        if mode == "json":
            return data.rstrip()[:-1] + b"]"  # at the end: in the middle it might change a string's text only
        body = json.loads(data)
        if mode == "missing":
            body.pop("metadata", None)
        else:
            body["metadata"]["labels"] = ["not", "a", "map"]
            body["spec"] = body["status"] = "not an object"
        head = {k: body.pop(k) for k in ("kind", "apiVersion") if k in body}
        return json.dumps({**head, **body}, separators=(",", ":")).encode()
    return spoil


class Faults:
    """The rules in force."""

    def __init__(self, app):
        self.app = app
        self.rules = []

    def add(self, specs):
        rules = [Rule(spec) for spec in (specs if isinstance(specs, list) else [specs])]
        self.rules += rules
        return rules

    def clear(self):
        self.rules = []

    def fired(self):
        return [{"rule": rule.spec, "fired": rule.fired} for rule in self.rules]

    def _count(self, rule):
        self.app.stats.fault(rule.action)

    async def at_start(self, request, reply):
        """Apply the rules that act before a request's handler; sets request.plan and reply.shape."""
        for rule in list(self.rules):
            if request.verb == "watch" and rule.at == "event" or not rule.matches(request) or not rule.fires():
                continue
            self._count(rule)
            action = rule.action
            plan = request.plan = request.plan or Plan()
            if action == "delay":
                await asyncio.sleep(float(rule.get("seconds", 1)))
            elif action in ("drop", "truncate"):
                reply.shape = Cut(rule)
                if request.verb == "watch" or rule.get("fraction", 0.5) == 0:
                    reply.conn.reset()
                    raise Dropped("fault")
            elif action == "drip":
                reply.shape = Drip(rule)
            elif action == "malformed":
                plan.malformed = spoiler(rule)
            elif action == "stale":
                plan.stale = max(1, int(rule.get("events", 1)))
            elif action == "silent" and request.verb == "watch":
                plan.silent = float(rule.get("seconds", 86400))
            elif action in ("hang", "silent"):
                await asyncio.sleep(float(rule.get("seconds", 86400)))
                reply.conn.reset()
                raise Dropped("fault")
            elif action == "refuse":
                self.app.outage(float(rule.get("seconds", 5)))
                raise Dropped("fault")
            elif action != "duplicate":
                raise rule.error()

    def for_events(self, request):
        """What delivers the events of this watch under the rules in force; None when none applies."""
        rules = [rule for rule in self.rules
                 if rule.at == "event" and rule.left != 0 and rule.matches(request)]
        return EventFaults(self, rules) if rules else None


class EventFaults:
    """Delivers watch events one by one, some of them spoilt."""

    def __init__(self, faults, rules):
        self.faults, self.rules = faults, rules

    async def deliver(self, reply, frame):
        """False when the stream is to end."""
        rule = next((rule for rule in self.rules if rule.fires()), None)
        if rule is None:
            await reply.write(frame)
            return True
        self.faults._count(rule)  # pylint: disable=protected-access  # the two classes are one
        if rule.action in STATUS or rule.action == "status":
            error = rule.error().status()
            await reply.write(json.dumps({"type": "ERROR", "object": error}).encode() + b"\n")
            return False
        if rule.action in ("drop", "truncate"):
            reply.shape = Cut(rule, len(frame))
        elif rule.action == "delay":
            await asyncio.sleep(float(rule.get("seconds", 1)))
        elif rule.action in ("hang", "silent"):
            # Half-open: the connection stays, nothing more comes.
            await asyncio.sleep(float(rule.get("seconds", 86400)))
            reply.conn.reset()
            raise Dropped("fault")
        elif rule.action == "malformed":
            await reply.write(self._spoil(rule, frame))
            if not rule.get("resend", True):
                return True
        elif rule.action == "drip":
            shape, reply.shape = reply.shape, Drip(rule)
            await reply.write(frame)
            reply.shape = shape
            return True
        elif rule.action == "duplicate":
            await reply.write(frame)
        elif rule.action == "refuse":
            self.faults.app.outage(float(rule.get("seconds", 5)))
            raise Dropped("fault")
        await reply.write(frame)
        return True

    @staticmethod
    def _spoil(rule, frame):
        mark = b'"object":'
        at = frame.index(mark) + len(mark)
        return frame[:at] + spoiler(rule)(frame[at:].rstrip()[:-1]) + b"}\n"
