"""Discovery documents: /api, /apis, their groups and versions, /version, /openapi (Kubernetes "The
Kubernetes API", "Discovery API")."""

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VERSION = {"major": "1", "minor": "32", "gitVersion": "v1.32.0", "gitCommit": "", "gitTreeState": "clean",
           "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64"}
OPENAPI_V2 = {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.32.0"}, "paths": {},
              "definitions": {}}
OPENAPI_V2_PROTO = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def _field(number, data):
    """One length-delimited protobuf field (short ones only)."""
    return bytes([number << 3 | 2, len(data)]) + data


def openapi_v2_protobuf():
    """OPENAPI_V2 as gnostic's Document message: old kubectl versions read no JSON here."""
    info = _field(1, b"Kubernetes") + _field(2, b"v1.32.0")
    return _field(1, b"2.0") + _field(2, info) + _field(8, b"")


def resource_list(kinds, group, version):
    resources = []
    for kind in kinds.by_key.values():
        if (kind.group, kind.version) != (group, version):
            continue
        entry = {"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
                 "kind": kind.kind, "verbs": VERBS}
        if kind.short:
            entry["shortNames"] = list(kind.short)
        resources.append(entry)
        if kind.status:
            resources.append({"name": kind.plural + "/status", "singularName": "",
                              "namespaced": kind.namespaced, "kind": kind.kind,
                              "verbs": ["get", "patch", "update"]})
    if not resources:
        return None
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}


def _group(name, versions):
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def groups(kinds):
    found = {}
    for group, version in kinds.group_versions():
        if group:
            found.setdefault(group, []).append(version)
    return [_group(name, versions) for name, versions in found.items()]


def document(kinds, path):
    """The discovery document at 'path', or None."""
    parts = [part for part in path.split("/") if part]
    if parts == ["version"]:
        return VERSION
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]}
    if parts == ["api", "v1"]:
        return resource_list(kinds, "", "v1")
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(kinds)}
    if parts[:1] == ["apis"] and len(parts) == 2:
        for group in groups(kinds):
            if group["name"] == parts[1]:
                return {"kind": "APIGroup", "apiVersion": "v1", **group}
    if parts[:1] == ["apis"] and len(parts) == 3:
        return resource_list(kinds, parts[1], parts[2])
    return None
