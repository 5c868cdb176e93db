"""Objects, their history and consistent snapshots (Kubernetes "API Concepts": resource versions,
"Retrieving large results sets in chunks", "Efficient detection of changes").

An object is kept as the JSON bytes that LIST and WATCH send, with its labels and selectable fields beside
it; it is parsed again only to be changed. Every write makes a new Obj, so a list of Obj is a snapshot.
One counter gives all resource versions.
"""

import bisect
import collections
import json
import random
import time
import uuid

from . import kinds, selectors
from .errors import ApiError, already_exists, conflict, dumps, gone, invalid, not_found
from .validate import check_metadata

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # upstream's alphabet of generated names


def timestamp():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Obj:
    """One version of one object; never changed. 'tail' is its JSON after kind and apiVersion."""

    __slots__ = ("namespace", "name", "rv", "tail", "labels", "fields")

    def __init__(self, namespace, name, rv, tail, labels, fields):
        self.namespace, self.name, self.rv = namespace, name, rv
        self.tail, self.labels, self.fields = tail, labels, fields

    @property
    def key(self):
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Event:
    """One change: 'obj' is the new version (for DELETED the last one, with a new resource version)."""

    __slots__ = ("rv", "type", "obj", "old")

    def __init__(self, rv, type_, obj, old):
        self.rv, self.type, self.obj, self.old = rv, type_, obj, old


class Snapshot:
    """The objects of a kind in key order at one resource version."""

    __slots__ = ("rv", "keys", "objects", "expires")

    def __init__(self, rv, keys, objects):
        self.rv, self.keys, self.objects = rv, keys, objects
        self.expires = 0.0

    def bounds(self, namespace):
        if not namespace:
            return 0, len(self.keys)
        return bisect.bisect_left(self.keys, namespace + "/"), bisect.bisect_left(self.keys, namespace + "0")


class Resource:
    """All objects of one kind, the last changes, and who watches."""

    def __init__(self, kind, history, rv):
        self.kind = kind
        self.objects = {}
        self.history = collections.deque()
        self.max_history = history
        self.floor = rv  # a watch from an older version than this cannot be resumed
        self.watchers = set()
        self._sorted = None

    def snapshot(self, rv):
        if self._sorted is None:
            keys = sorted(self.objects)
            self._sorted = (keys, [self.objects[key] for key in keys])
        return Snapshot(rv, *self._sorted)

    def past(self, rv):
        """The snapshot at an older version, by taking back the changes since."""
        if rv < self.floor:
            raise gone(f"The resourceVersion for the provided list is too old: {rv} ({self.floor})")
        objects = dict(self.objects)
        for event in reversed(self.history):
            if event.rv <= rv:
                break
            if event.old is None:
                objects.pop(event.obj.key, None)
            else:
                objects[event.obj.key] = event.old
        keys = sorted(objects)
        return Snapshot(rv, keys, [objects[key] for key in keys])

    def since(self, rv):
        if rv < self.floor:
            raise gone(f"too old resource version: {rv} ({self.floor})")
        events = []
        for event in reversed(self.history):
            if event.rv <= rv:
                break
            events.append(event)
        events.reverse()
        return events

    def record(self, event):
        self._sorted = None
        if event.type == DELETED:
            del self.objects[event.obj.key]
        else:
            self.objects[event.obj.key] = event.obj
        self.history.append(event)
        while len(self.history) > self.max_history:
            self.floor = self.history.popleft().rv
        for watcher in self.watchers:
            watcher.push(event)

    def compact(self, rv):
        while self.history and self.history[0].rv <= rv:
            self.history.popleft()
        self.floor = max(self.floor, rv)


class Store:
    """Everything the server holds. Methods raise ApiError."""

    def __init__(self, history=10000, continue_ttl=300.0, max_snapshots=32, seed=None):
        self.kinds = kinds.KindTable()
        self.history = history
        self.continue_ttl = continue_ttl
        self.max_snapshots = max_snapshots
        self.rv = self.first_rv = 1000
        self.resources = {}
        self.snapshots = collections.OrderedDict()
        self.random = random.Random(seed)
        self.defer = None  # defer(function): run it a little later; None: at once
        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            self.ensure_namespace(name)

    def resource(self, kind):
        resource = self.resources.get(kind.key)
        if resource is None:
            resource = self.resources[kind.key] = Resource(kind, self.history, self.first_rv)
        return resource

    # -- reading
    def find(self, kind, namespace, name):
        key = f"{namespace}/{name}" if kind.namespaced else name
        obj = self.resource(kind).objects.get(key)
        if obj is None:
            raise not_found(kind, name)
        return obj

    @staticmethod
    def body(kind, obj):
        return json.loads(kind.prefix + obj.tail)

    def keep(self, kind, snapshot):
        """Remember a snapshot for the next page of a list."""
        snapshot.expires = time.monotonic() + self.continue_ttl
        self.snapshots[(kind.key, snapshot.rv)] = snapshot
        self.snapshots.move_to_end((kind.key, snapshot.rv))
        while len(self.snapshots) > self.max_snapshots:
            self.snapshots.popitem(last=False)

    def kept(self, kind, rv):
        snapshot = self.snapshots.get((kind.key, rv))
        if snapshot is None or snapshot.expires < time.monotonic():
            raise gone("The provided continue parameter is too old to display a consistent list result. "
                       "You can start a new list without the continue parameter.")
        return snapshot

    def forget_history(self):
        """As an etcd compaction: no watch or continue token from before now can be resumed."""
        self.rv += 1
        self.first_rv = self.rv
        self.snapshots.clear()
        for resource in self.resources.values():
            resource.compact(self.rv)

    # -- writing
    def _commit(self, kind, type_, body, old):
        self.rv += 1
        metadata = body["metadata"]
        metadata["resourceVersion"] = str(self.rv)
        obj = self.encode(kind, body, self.rv)
        self.resource(kind).record(Event(self.rv, type_, obj, old))
        return obj

    @staticmethod
    def encode(kind, body, rv):
        metadata = body["metadata"]
        rest = {k: v for k, v in body.items() if k not in ("kind", "apiVersion", "metadata")}
        labels = metadata.get("labels")
        return Obj(metadata.get("namespace", ""), metadata["name"], rv,
                   dumps({"metadata": metadata, **rest})[1:],
                   labels if isinstance(labels, dict) else {},
                   tuple(selectors.field_value(body, path) for path in kind.fields))

    def create(self, kind, namespace, body, dry_run=False):
        metadata = body.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + "".join(self.random.choices(SUFFIX, k=5))
        if kind.namespaced:
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        check_metadata(kind, metadata)
        name = metadata["name"]
        if metadata.get("resourceVersion") not in (None, "", "0"):
            raise ApiError(400, "resourceVersion should not be set on objects to be created")
        if kind.namespaced:
            self._check_namespace(kind, namespace, name)
        if (f"{namespace}/{name}" if kind.namespaced else name) in self.resource(kind).objects:
            raise already_exists(kind, name)
        metadata.update(uid=str(uuid.UUID(int=self.random.getrandbits(128), version=4)),
                        creationTimestamp=timestamp(), generation=1)
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink"):
            metadata.pop(field, None)
        self._default(kind, body)
        if dry_run:
            return self.encode(kind, body, 0)
        self._before_crd(kind, body)
        obj = self._commit(kind, ADDED, body, None)
        self._after_crd(kind, body)
        return obj

    def _check_namespace(self, kind, namespace, name):
        namespaces = self._namespaces()
        if b'"deletionTimestamp"' in self.find(namespaces, "", namespace).tail:
            raise ApiError(403, f'{kind.qualified} "{name}" is forbidden: unable to create new content in '
                                f"namespace {namespace} because it is being terminated")

    def _default(self, kind, body):
        if kind.kind == "Namespace":
            name = body["metadata"]["name"]
            body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
            body.setdefault("spec", {"finalizers": ["kubernetes"]})
            body["status"] = {"phase": "Active"}
        elif kind.kind == "Pod":
            body["status"] = {"phase": "Pending"}
        elif kind.kind == "Secret":
            body.setdefault("type", "Opaque")
        elif kind.status and kind.kind != "Node":
            body.pop("status", None)  # nodes may bring theirs, as kubelet does when it registers

    def update(self, kind, obj, body, status=False, dry_run=False):
        """Replace 'obj' with 'body' (a whole object); returns the new Obj, or 'obj' when equal."""
        old = self.body(kind, obj)
        metadata = body.get("metadata")
        if not isinstance(metadata, dict):
            raise ApiError(400, "metadata is not an object")
        version = metadata.get("resourceVersion")
        if version and version != str(obj.rv):
            raise conflict(kind, obj.name)
        if metadata.get("uid") and metadata["uid"] != old["metadata"]["uid"]:
            raise conflict(kind, obj.name, f"Precondition failed: UID in precondition: {metadata['uid']}, "
                                           f"UID in object meta: {old['metadata']['uid']}")
        new = self._merge_parts(kind, old, body, status)
        check_metadata(kind, new["metadata"])
        unlike = {k for k in set(new) | set(old) if new.get(k) != old.get(k)} - {"metadata"}
        if kind.status:
            unlike.discard("status")
        new["metadata"]["generation"] = old["metadata"].get("generation", 1) + bool(unlike)
        if new == old:
            return obj
        if dry_run:
            return self.encode(kind, new, obj.rv)
        self._before_crd(kind, new)
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            return self._remove(kind, obj)
        result = self._commit(kind, MODIFIED, new, obj)
        if not status:
            self._after_crd(kind, new)
        return result

    @staticmethod
    def _merge_parts(kind, old, body, status):
        """Which parts of 'body' count: everything but status, or (on /status) status and, for built-in
        kinds, labels and annotations."""
        fixed = {k: old["metadata"][k] for k in (
            "name", "namespace", "uid", "creationTimestamp", "resourceVersion", "deletionTimestamp",
            "deletionGracePeriodSeconds") if k in old["metadata"]}
        if status:
            new = dict(old)
            new.pop("status", None)
            if "status" in body:
                new["status"] = body["status"]
            new["metadata"] = dict(old["metadata"])
            if kind.builtin:
                for part in ("labels", "annotations"):
                    new["metadata"].pop(part, None)
                    if body["metadata"].get(part):
                        new["metadata"][part] = body["metadata"][part]
            return new
        new = {"kind": kind.kind, "apiVersion": kind.api_version}
        new.update((k, v) for k, v in body.items() if k not in ("kind", "apiVersion"))
        if kind.status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        metadata = {k: v for k, v in body["metadata"].items()
                    if v not in (None, {}, []) and k not in ("managedFields", "selfLink",
                                                              "deletionTimestamp")}
        for part in ("name", "namespace"):
            if metadata.get(part) not in (None, old["metadata"].get(part)):
                raise ApiError(400, f"the {part} of the object ({metadata[part]}) does not match the "
                                    f"{part} on the URL ({old['metadata'].get(part)})")
        new["metadata"] = {**metadata, **fixed}
        return new

    def delete(self, kind, obj, preconditions=None, dry_run=False):
        """Delete, or mark for deletion while finalizers remain. Returns (Obj, gone)."""
        body = self.body(kind, obj)
        metadata = body["metadata"]
        for field, have in (("uid", metadata["uid"]), ("resourceVersion", str(obj.rv))):
            want = (preconditions or {}).get(field)
            if want and want != have:
                raise conflict(kind, obj.name, f"Precondition failed: {field} in precondition: {want}, "
                                               f"{field} in object meta: {have}")
        if dry_run:
            return obj, True
        if metadata.get("finalizers"):
            if "deletionTimestamp" in metadata:
                return obj, False
            metadata.update(deletionTimestamp=timestamp(), deletionGracePeriodSeconds=0)
            return self._commit(kind, MODIFIED, body, obj), False
        if kind.kind == "Namespace":
            if self.defer is None:
                self._finish_namespace(obj.name)
                return obj, True
            if "deletionTimestamp" not in metadata:
                metadata["deletionTimestamp"] = timestamp()
                body["status"] = {"phase": "Terminating"}
                obj = self._commit(kind, MODIFIED, body, obj)
                self.defer(lambda: self._finish_namespace(obj.name))
            return obj, False
        return self._remove(kind, obj), True

    def _remove(self, kind, obj):
        last = self._commit(kind, DELETED, self.body(kind, obj), obj)
        if kind.kind == "CustomResourceDefinition":
            for made in [k for k in self.kinds.by_key.values() if k.crd == obj.name]:
                resource = self.resource(made)
                for left in list(resource.objects.values()):
                    self._commit(made, DELETED, self.body(made, left), left)
                self.kinds.remove(made)
        return last

    def _finish_namespace(self, namespace):
        """What upstream's namespace controller does: its objects first, then the namespace."""
        for resource in list(self.resources.values()):
            if resource.kind.namespaced:
                for obj in [o for o in resource.objects.values() if o.namespace == namespace]:
                    self._commit(resource.kind, DELETED, self.body(resource.kind, obj), obj)
        kind = self._namespaces()
        left = self.resource(kind).objects.get(namespace)
        if left is not None:
            self._remove(kind, left)

    # -- helpers
    def _namespaces(self):
        return self.kinds.get("", "v1", "namespaces")

    def ensure_namespace(self, name):
        kind = self._namespaces()
        if name and name not in self.resource(kind).objects:
            self.create(kind, "", {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})

    def load(self, body):
        """Take an object as it is, status included, names unchecked; replaces one of the same name."""
        kind = self.kinds.of(body)
        if kind is None:
            raise ApiError(400, f"no kind {body.get('kind')!r} in {body.get('apiVersion')!r}")
        metadata = body.setdefault("metadata", {})
        if kind.namespaced:
            metadata.setdefault("namespace", "default")
            self.ensure_namespace(metadata["namespace"])
        if not metadata.get("name"):
            raise ApiError(400, f"{kind.kind} without metadata.name")
        key = f"{metadata['namespace']}/{metadata['name']}" if kind.namespaced else metadata["name"]
        old = self.resource(kind).objects.get(key)
        metadata.setdefault("uid", str(uuid.UUID(int=self.random.getrandbits(128), version=4)))
        metadata.setdefault("creationTimestamp", timestamp())
        metadata.setdefault("generation", 1)
        self._before_crd(kind, body)
        obj = self._commit(kind, MODIFIED if old else ADDED, body, old)
        self._after_crd(kind, body)
        return obj

    def load_encoded(self, kind, obj):
        """Take a ready Obj whose tail carries resource version self.rv + 1 (the generator's fast way)."""
        self.rv += 1
        resource = self.resource(kind)
        old = resource.objects.get(obj.key)
        resource.record(Event(self.rv, MODIFIED if old else ADDED, obj, old))

    def _before_crd(self, kind, body):
        if kind.kind == "CustomResourceDefinition":
            try:
                kinds.kind_from_crd(body)
            except (KeyError, TypeError, StopIteration) as error:
                raise invalid(kind, body["metadata"]["name"],
                              [("spec", f"group, names, scope and a storage version: {error!r}")]) from error
            body["status"] = kinds.crd_status(body, body["metadata"].get("creationTimestamp") or timestamp())

    def _after_crd(self, kind, body):
        if kind.kind == "CustomResourceDefinition":
            made = kinds.kind_from_crd(body)
            known = self.kinds.get(*made.key)
            if known is None or known.crd == made.crd:
                self.kinds.add(made)
                self.resource(made).kind = made
