"""The REST verbs over the store (Kubernetes "API Concepts"). Called by server.py for every path below
/api/v1 and /apis/<group>/<version> that names a resource."""

import base64
import bisect
import json

import yaml

from . import patch as patches
from . import selectors
from .errors import ApiError, dumps, invalid
from .table import as_table, wants_table
from .watch import Stream, too_large

PIECE = 1024 * 1024
METHODS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
           "DELETE": "delete"}


class Target:
    """What a resource URL names."""

    __slots__ = ("kind", "namespace", "name", "sub")

    def __init__(self, kind, namespace, name, sub):
        self.kind, self.namespace, self.name, self.sub = kind, namespace, name, sub


def parse_target(kinds, parts):
    """The Target of a path's parts, or None when it names no resource we serve."""
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and not (
            len(rest) == 3 and rest[2] in ("status", "finalize") and group == ""):
        namespace, rest = rest[1], rest[2:]
    kind = kinds.get(group, version, rest[0]) if rest else None
    if kind is None or len(rest) > 3:
        return None
    name = rest[1] if len(rest) > 1 else ""
    if namespace and not kind.namespaced or (name and kind.namespaced and not namespace):
        return None
    return Target(kind, namespace, name, rest[2] if len(rest) > 2 else "")


def verb_of(request, target):
    """The API verb, as audit logs and RBAC name it."""
    verb = METHODS.get(request.method)
    if verb is None:
        raise ApiError(405, "the server does not allow this method on the requested resource")
    if verb == "get" and (not target.name or request.flag("watch")):
        return "watch" if request.flag("watch") else "list"
    if verb in ("update", "patch") and not target.name:
        raise ApiError(405, "the server does not allow this method on the requested resource")
    return "deletecollection" if verb == "delete" and not target.name else verb


def _no_constant(word):
    raise ValueError(f"{word} is not JSON")


def read_body(request):
    """The request's document: JSON, or YAML as kubectl may send."""
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip()
    if kind == "application/vnd.kubernetes.protobuf":
        raise ApiError(415, "the body of the request was in an unknown format - accepted media types "
                            "include: application/json, application/yaml")
    try:
        if kind == "application/yaml":
            body = yaml.load(request.body, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        else:
            body = json.loads(request.body or b"null", parse_constant=_no_constant)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ApiError(400, f"the object provided is unrecognized: {error}") from error
    return body


def read_object(request, target):
    body = read_body(request)
    if not isinstance(body, dict):
        raise ApiError(400, "the body is not an object")
    kind = target.kind
    if body.get("kind", kind.kind) != kind.kind or body.get("apiVersion", kind.api_version) != kind.api_version:
        raise ApiError(400, f"{body.get('kind')} in version {body.get('apiVersion')!r} cannot be handled "
                            f"as a {kind.kind}")
    if not isinstance(body.setdefault("metadata", {}), dict):
        raise ApiError(400, "metadata is not an object")
    given = body["metadata"].get("namespace")
    if kind.namespaced and given and given != target.namespace:
        raise ApiError(400, f"the namespace of the provided object does not match the namespace sent on "
                            f"the request ({given!r}, {target.namespace!r})")
    body["kind"], body["apiVersion"] = kind.kind, kind.api_version
    return body


class Rest:
    """Handlers by verb; each takes (request, reply, target)."""

    def __init__(self, app):
        self.app = app
        self.store = app.store

    async def run(self, request, reply, target):
        if target.sub and (target.sub != "status" or not target.kind.status):
            raise ApiError(404, "the server could not find the requested resource")
        if request.verb not in ("get", "list", "watch") and request.query.get("dryRun") not in (None, "All"):
            raise ApiError(422, "Invalid value: dryRun: only 'All' is allowed", "Invalid")
        await getattr(self, request.verb)(request, reply, target)

    def _match(self, request, target):
        text = request.query.get("fieldSelector", "")
        if target.name:
            text = f"metadata.name={target.name}"
        return selectors.compile_match(target.kind, request.query.get("labelSelector", ""), text)

    async def _object(self, request, reply, code, kind, obj):
        if wants_table(request) and request.verb == "get":
            await reply.json(code, as_table(kind, [obj.tail], obj.rv, request))
            return
        data = kind.prefix + obj.tail + b"\n"
        if request.plan and request.plan.malformed:
            data = request.plan.malformed(kind.prefix + obj.tail) + b"\n"
        await reply.json(code, data)

    async def get(self, request, reply, target):
        obj = self.store.find(target.kind, target.namespace, target.name)
        await self._object(request, reply, 200, target.kind, obj)

    async def watch(self, request, reply, target):
        match = self._match(request, target)
        await Stream(self.app, request, reply, target.kind, target.namespace, match).run()

    # -- list
    def _snapshot(self, request, kind):
        """(snapshot, key to start behind) for a LIST's resourceVersion and continue parameters."""
        query, store, resource = request.query, self.store, self.store.resource(kind)
        token = query.get("continue")
        if token:
            try:
                rv, after = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            except (ValueError, TypeError) as error:
                raise ApiError(400, f"continue key is not valid: {error}") from error
            if query.get("resourceVersion") not in (None, "", "0"):
                raise ApiError(400, "specifying resource version is not allowed when using continue")
            return store.kept(kind, rv), after
        text = query.get("resourceVersion", "")
        if text and not text.isdigit():
            raise ApiError(400, f"invalid resource version {text!r}")
        rv = int(text or 0)
        if rv > store.rv:
            raise too_large(rv, store.rv)
        if request.plan and request.plan.stale:
            events = list(resource.history)[-request.plan.stale:]
            if events:
                return resource.past(events[0].rv - 1), ""
        if query.get("resourceVersionMatch") == "Exact" and 0 < rv < store.rv:
            return resource.past(rv), ""
        return resource.snapshot(store.rv), ""

    def _page(self, request, target):
        """(list metadata, objects) of one page."""
        query = request.query
        snapshot, after = self._snapshot(request, target.kind)
        match = self._match(request, target)
        low, high = snapshot.bounds(target.namespace)
        if after:
            low = bisect.bisect_right(snapshot.keys, after, low, high)
        limit_text = query.get("limit", "0") or "0"
        if not limit_text.isdigit():
            raise ApiError(400, f"limit {limit_text!r} is not a number")
        limit = int(limit_text)
        metadata = {"resourceVersion": str(snapshot.rv)}
        if not limit:
            objects = snapshot.objects if (low, high) == (0, len(snapshot.keys)) else snapshot.objects[low:high]
            return metadata, (objects if match is None else [o for o in objects if match(o)])
        found = []
        at = low
        while at < high and len(found) < limit:
            obj = snapshot.objects[at]
            if match is None or match(obj):
                found.append(obj)
            at += 1
        if at < high:
            token = base64.urlsafe_b64encode(dumps([snapshot.rv, snapshot.keys[at - 1]])).decode().rstrip("=")
            metadata["continue"] = token
            if match is None:
                metadata["remainingItemCount"] = high - at
            self.store.keep(target.kind, snapshot)
        return metadata, found

    async def list(self, request, reply, target):
        kind = target.kind
        metadata, objects = self._page(request, target)
        if wants_table(request):
            await reply.json(200, as_table(kind, [o.tail for o in objects], 0, request, metadata))
            return
        head = dumps({"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata})
        head = head[:-1] + b',"items":['
        tails = [obj.tail for obj in objects]
        if request.plan and request.plan.malformed and tails:
            at = len(tails) // 2
            tails[at] = request.plan.malformed(kind.list_lead + tails[at])[len(kind.list_lead):]
        separator = b"," + kind.list_lead
        total = len(head) + 3 + sum(map(len, tails)) + len(tails) * len(separator) - bool(tails)
        reply.total = total
        if reply.shape is None and reply.compress(total):
            reply.start(200)
        else:
            reply.start(200, length=None if total > PIECE or reply.shape else total)
        await self._write_items(reply, head, kind.list_lead, tails)

    @staticmethod
    async def _write_items(reply, head, lead, tails):
        separator = b"," + lead
        start, size = 0, 0
        piece = [head]
        if tails:
            piece.append(lead)
        for at, tail in enumerate(tails):
            size += len(tail)
            if size >= PIECE:
                piece.append(separator.join(tails[start:at + 1]))
                if at + 1 < len(tails):
                    piece.append(separator)
                await reply.write(b"".join(piece))
                piece, start, size = [], at + 1, 0
        piece.append(separator.join(tails[start:]))
        piece.append(b"]}\n")
        await reply.write(b"".join(piece))
        await reply.finish()

    # -- write
    async def create(self, request, reply, target):
        if target.name:
            raise ApiError(405, "the server does not allow this method on the requested resource")
        body = read_object(request, target)
        namespace = target.namespace
        if target.kind.namespaced and not namespace:
            raise ApiError(405, "a namespace is needed to create this kind")
        obj = self.store.create(target.kind, namespace, body, request.query.get("dryRun") == "All")
        await self._object(request, reply, 201, target.kind, obj)

    async def update(self, request, reply, target):
        body = read_object(request, target)
        kind = target.kind
        obj = self.store.find(kind, target.namespace, target.name)
        if not kind.builtin and not body["metadata"].get("resourceVersion"):
            raise invalid(kind, target.name, [("metadata.resourceVersion",
                                               "Invalid value: 0x0: must be specified for an update")])
        obj = self.store.update(kind, obj, body, target.sub == "status",
                                request.query.get("dryRun") == "All")
        await self._object(request, reply, 200, kind, obj)

    async def patch(self, request, reply, target):
        kind = target.kind
        content_type = request.headers.get("content-type", "").split(";")[0].strip()
        if content_type in patches.APPLY:
            raise ApiError(415, "server-side apply is not supported by this server; use client-side apply")
        if content_type == patches.STRATEGIC and not kind.strategic:
            raise ApiError(415, "the body of the request was in an unknown format - accepted media types "
                                f"include: {patches.JSON}, {patches.MERGE}")
        obj = self.store.find(kind, target.namespace, target.name)
        body = patches.apply(content_type, self.store.body(kind, obj), read_body(request))
        if not isinstance(body, dict) or not isinstance(body.get("metadata"), dict):
            raise ApiError(422, "the patched document is not an object with metadata", "Invalid")
        obj = self.store.update(kind, obj, body, target.sub == "status",
                                request.query.get("dryRun") == "All")
        await self._object(request, reply, 200, kind, obj)

    @staticmethod
    def _delete_options(request):
        body = read_body(request) if request.body else {}
        return body if isinstance(body, dict) else {}

    async def delete(self, request, reply, target):
        kind, options = target.kind, self._delete_options(request)
        obj = self.store.find(kind, target.namespace, target.name)
        body = self.store.body(kind, obj)
        last, is_gone = self.store.delete(kind, obj, options.get("preconditions"),
                                          request.query.get("dryRun") == "All" or bool(options.get("dryRun")))
        if is_gone and not kind.kind == "Pod":
            await reply.json(200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                                   "details": {"name": obj.name, "group": kind.group, "kind": kind.plural,
                                               "uid": body["metadata"]["uid"]}})
        else:
            await self._object(request, reply, 200, kind, last)

    async def deletecollection(self, request, reply, target):
        kind = target.kind
        _, objects = self._page(request, target)
        for obj in list(objects):
            current = self.store.resource(kind).objects.get(obj.key)
            if current is not None:
                self.store.delete(kind, current)
        await reply.json(200, {"kind": kind.list_kind, "apiVersion": kind.api_version,
                               "metadata": {"resourceVersion": str(self.store.rv)}, "items": []})

