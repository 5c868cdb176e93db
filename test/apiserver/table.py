"""Table answers for `kubectl get` (Kubernetes "API Concepts", "Receiving resources as Tables")."""

import datetime
import json


def wants_table(request):
    return request.accepts("as=Table")


def _age(created):
    try:
        then = datetime.datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError):
        return "<unknown>"
    seconds = max(0, int((datetime.datetime.utcnow() - then).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _ready(body):
    for condition in _get(body, "status", "conditions") or []:
        if condition.get("type") == "Ready":
            return "Ready" if condition.get("status") == "True" else "NotReady"
    return "Unknown"


def _get(body, *path):
    for part in path:
        body = body.get(part) if isinstance(body, dict) else None
    return body


def _text(*path):
    def cell(body):
        value = _get(body, *path)
        return "<none>" if value in (None, "") else str(value)
    return cell


# Columns between Name and Age: kind -> [(heading, function of the object)].
COLUMNS = {
    "Node": [("Status", _ready), ("Internal-IP", lambda b: next(
        (a.get("address", "") for a in _get(b, "status", "addresses") or []
         if a.get("type") == "InternalIP"), "<none>"))],
    "Pod": [("Status", _text("status", "phase")), ("IP", _text("status", "podIP")),
            ("Node", _text("spec", "nodeName"))],
    "Namespace": [("Status", _text("status", "phase"))],
    "Service": [("Type", _text("spec", "type")), ("Cluster-IP", _text("spec", "clusterIP"))],
    "IPPool": [("CIDR", _text("spec", "cidr")), ("IPIP", _text("spec", "ipipMode"))],
    "BGPPeer": [("Peer-IP", _text("spec", "peerIP")), ("AS", _text("spec", "asNumber"))],
}


def as_table(kind, tails, rv, request, list_metadata=None):
    columns = COLUMNS.get(kind.kind, [])
    include = request.query.get("includeObject", "Metadata")
    rows = []
    for tail in tails:
        body = json.loads(kind.prefix + tail)
        metadata = body["metadata"]
        cells = [metadata["name"], *(cell(body) for _, cell in columns),
                 _age(metadata.get("creationTimestamp"))]
        row = {"cells": cells}
        if include == "Object":
            row["object"] = body
        elif include == "Metadata":
            row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                             "metadata": metadata}
        rows.append(row)
    names = ["Name", *(name for name, _ in columns), "Age"]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1",
            "metadata": list_metadata or {"resourceVersion": str(rv)},
            "columnDefinitions": [{"name": name, "type": "string",
                                   "format": "name" if name == "Name" else "", "description": name,
                                   "priority": 0} for name in names],
            "rows": rows}
