"""The three patch formats: JSON merge patch (RFC 7396), JSON patch (RFC 6902) and strategic merge patch
(Kubernetes "Update API Objects in Place Using kubectl patch"), the last with the merge keys of the kinds
we use."""

import copy

from .errors import ApiError

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = ("application/apply-patch+yaml", "application/apply-patch+cbor")

# Path of a list (list items as '*') -> key by which its items are merged; '' for lists of plain values
# that are merged as a set. Lists that are not named here are replaced whole, as upstream does.
_CONTAINER = {"": "name", ".env": "name", ".ports": "containerPort", ".volumeMounts": "mountPath",
              ".volumeDevices": "devicePath"}
_POD_SPEC = {"volumes": "name", "imagePullSecrets": "name", "hostAliases": "ip",
             "topologySpreadConstraints": "topologyKey", "resourceClaims": "name"}
MERGE_KEYS = {
    "metadata.finalizers": "", "metadata.ownerReferences": "uid", "status.conditions": "type",
    "status.addresses": "type", "status.podIPs": "ip", "status.hostIPs": "ip",
    "spec.podCIDRs": "", "spec.ports": "port", "secrets": "name",
}
for _where in ("spec", "spec.template.spec"):
    for _list in ("containers", "initContainers", "ephemeralContainers"):
        for _tail, _key in _CONTAINER.items():
            MERGE_KEYS[f"{_where}.{_list}" + (".*" + _tail if _tail else "")] = _key
    for _name, _key in _POD_SPEC.items():
        MERGE_KEYS[f"{_where}.{_name}"] = _key


def apply(content_type, body, patch):
    """The patched copy of 'body'."""
    if content_type == MERGE:
        _need(isinstance(patch, dict), "a merge patch must be a JSON object")
        return merge(body, patch)
    if content_type == JSON:
        return json_patch(body, patch)
    if content_type == STRATEGIC:
        _need(isinstance(patch, dict), "a strategic merge patch must be a JSON object")
        return strategic(body, patch)
    raise ApiError(415, f"the body of the request was in an unknown format - accepted media types "
                        f"include: {JSON}, {MERGE}, {STRATEGIC}")


def _need(condition, message):
    if not condition:
        raise ApiError(400, message)


def merge(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


# ---- RFC 6902 ----------------------------------------------------------------------------------------

def _pointer(text):
    if text == "":
        return []
    _need(isinstance(text, str) and text.startswith("/"), f"json patch: bad path {text!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _index(items, token, upper):
    _need(token.isdigit() and int(token) <= upper, f"json patch: index {token} is outside of the list")
    return int(token)


def _walk(document, parts):
    for part in parts:
        if isinstance(document, list):
            document = document[_index(document, part, len(document) - 1)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise ApiError(422, f"the server rejected our request: json patch: missing path at '{part}'",
                           "Invalid")
    return document


def _add(document, parts, value):
    if not parts:
        return value
    parent, last = _walk(document, parts[:-1]), parts[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(parent, last, len(parent)), value)
    else:
        _need(isinstance(parent, dict), "json patch: parent is not an object")
        parent[last] = value
    return document


def _remove(document, parts):
    _need(parts, "json patch: cannot remove the whole document")
    _walk(document, parts)
    parent = _walk(document, parts[:-1])
    if isinstance(parent, list):
        parent.pop(int(parts[-1]))
    else:
        del parent[parts[-1]]


def json_patch(body, operations):
    _need(isinstance(operations, list), "a JSON patch must be a list")
    document = copy.deepcopy(body)
    for operation in operations:
        _need(isinstance(operation, dict), "json patch: an operation must be an object")
        name, path = operation.get("op"), _pointer(operation.get("path"))
        value = copy.deepcopy(operation.get("value"))
        if name == "add":
            document = _add(document, path, value)
        elif name == "remove":
            _remove(document, path)
        elif name == "replace":
            _walk(document, path)
            if path:
                parent = _walk(document, path[:-1])
                parent[int(path[-1]) if isinstance(parent, list) else path[-1]] = value
            else:
                document = value
        elif name in ("move", "copy"):
            source = _pointer(operation.get("from"))
            value = copy.deepcopy(_walk(document, source))
            if name == "move":
                _remove(document, source)
            document = _add(document, path, value)
        elif name == "test":
            if _walk(document, path) != value:
                raise ApiError(422, f"the server rejected our request: json patch: testing value "
                                    f"{operation.get('path')} failed", "Invalid")
        else:
            raise ApiError(400, f"json patch: unknown operation {name!r}")
    return document


# ---- strategic merge ---------------------------------------------------------------------------------

def strategic(target, patch, path=""):
    """Merge 'patch' over 'target' (both objects at 'path')."""
    if patch.get("$patch") == "replace":
        return {k: copy.deepcopy(v) for k, v in patch.items() if k != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        result = {k: v for k, v in result.items() if k in patch["$retainKeys"]}
    for key, value in patch.items():
        if key in ("$patch", "$retainKeys"):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.split("/", 1)[1]
            result[name] = [item for item in result.get(name) or [] if item not in value]
        elif not key.startswith("$"):
            _set(result, key, value, f"{path}.{key}" if path else key)
    for key, order in patch.items():
        if key.startswith("$setElementOrder/"):
            name = key.split("/", 1)[1]
            if name in result:
                result[name] = _ordered(result[name], order, MERGE_KEYS.get(_join(path, name)))
    return result


def _join(path, name):
    return f"{path}.{name}" if path else name


def _set(result, key, value, path):
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        result[key] = strategic(result.get(key), value, path)
    elif isinstance(value, list) and path in MERGE_KEYS:
        result[key] = _merge_list(result.get(key) or [], value, MERGE_KEYS[path], path)
    else:
        result[key] = copy.deepcopy(value)


def _merge_list(have, patch, merge_key, path):
    if merge_key == "":
        return have + [item for item in patch if item not in have]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]
    result = list(have)
    for item in patch:
        _need(isinstance(item, dict) and merge_key in item,
              f"map: {item} does not contain declared merge key: {merge_key}")
        at = [i for i, old in enumerate(result) if old.get(merge_key) == item[merge_key]]
        if item.get("$patch") == "delete":
            result = [old for i, old in enumerate(result) if i not in at]
        elif at:
            result[at[0]] = strategic(result[at[0]], item, path + ".*")
        else:
            result.append(strategic({}, item, path + ".*"))
    return result


def _ordered(items, order, merge_key):
    """Items named in 'order' first and in that order; the others keep their place behind them."""
    def key(item):
        return item.get(merge_key) if merge_key and isinstance(item, dict) else item

    def rank(item):
        wanted = [o.get(merge_key) if merge_key and isinstance(o, dict) else o for o in order]
        return wanted.index(key(item)) if key(item) in wanted else len(wanted)
    return sorted(items, key=rank)
