"""What the API server refuses in metadata whatever the kind (Kubernetes "Object Names and IDs", "Labels").

Specs are not checked: Canal must cope with bad ones, so tests must be able to store them. Objects given to
/_test/load skip these checks too.
"""

import re

from .errors import invalid

SUBDOMAIN = re.compile(r"\A[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
LABEL_NAME = re.compile(r"\A[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
LABEL_VALUE = re.compile(r"\A([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")
PATH_SEGMENT = re.compile(r"\A(?!\.\.?\Z)[^/%]+\Z")
MAX_ANNOTATIONS = 256 * 1024
PATH_NAMED = ("rbac.authorization.k8s.io",)  # these only need to fit in a URL


def _qualified(key):
    prefix, slash, name = key.rpartition("/")
    return bool(LABEL_NAME.match(name)) and (not slash or bool(SUBDOMAIN.match(prefix)))


def _text_map(field, value, causes):
    if not isinstance(value, dict):
        causes.append((field, "must be a map of strings"))
        return {}
    for key, text in value.items():
        if not isinstance(text, str):
            causes.append((f"{field}.{key}", "must be a string"))
    return {k: v for k, v in value.items() if isinstance(v, str)}


def check_metadata(kind, metadata):
    """Raises 422 naming every bad field."""
    causes = []
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        causes.append(("metadata.name", "Required value: name or generateName is required"))
    elif kind.group in PATH_NAMED:
        if not PATH_SEGMENT.match(name):
            causes.append(("metadata.name", f"Invalid value: {name!r}: may not contain '/' or '%'"))
    elif len(name) > 253 or not SUBDOMAIN.match(name):
        causes.append(("metadata.name", f"Invalid value: {name[:80]!r}: a lowercase RFC 1123 subdomain "
                                        "is needed"))
    for key, value in _text_map("metadata.labels", metadata.get("labels") or {}, causes).items():
        if not _qualified(key):
            causes.append(("metadata.labels", f"Invalid value: {key[:80]!r}: not a qualified name"))
        if not LABEL_VALUE.match(value):
            causes.append(("metadata.labels", f"Invalid value: {value[:80]!r}: not a label value"))
    size = 0
    for key, value in _text_map("metadata.annotations", metadata.get("annotations") or {}, causes).items():
        size += len(key) + len(value)
        if not _qualified(key.lower()):
            causes.append(("metadata.annotations", f"Invalid value: {key[:80]!r}: not a qualified name"))
    if size > MAX_ANNOTATIONS:
        causes.append(("metadata.annotations", f"Too long: must have at most {MAX_ANNOTATIONS} bytes"))
    if causes:
        raise invalid(kind, name if isinstance(name, str) else "", causes)
