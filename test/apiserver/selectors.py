"""Label and field selectors of LIST, WATCH and DELETECOLLECTION (Kubernetes "Labels and Selectors",
"Field Selectors"). A selector becomes a function of an object; None means everything."""

import re

from .errors import ApiError

KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
VALUE = re.compile(r"\A(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")
SET = re.compile(rf"\A({KEY})\s+(in|notin)\s*\(([^()]*)\)\Z")
EQUALITY = re.compile(rf"\A({KEY})\s*(==|=|!=)\s*(\S*)\Z")
EXISTS = re.compile(rf"\A(!?)\s*({KEY})\Z")


def _terms(text):
    """Split at commas outside parentheses."""
    depth, start = 0, 0
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            yield text[start:i].strip()
            start = i + 1
    yield text[start:].strip()


def _label_term(term):
    match = SET.match(term)
    if match:
        key, operator, values = match[1], match[2], {v.strip() for v in match[3].split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    match = EQUALITY.match(term)
    if match and VALUE.match(match[3]):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    match = EXISTS.match(term)
    if match:
        wanted, key = not match[1], match[2]
        return lambda labels: (key in labels) == wanted
    raise ApiError(400, f"unable to parse requirement: found '{term}', which is not a label requirement")


def labels(text):
    """A function of the label map, or None when 'text' selects everything."""
    if not text or not text.strip():
        return None
    terms = [_label_term(term) for term in _terms(text)]
    return terms[0] if len(terms) == 1 else lambda have: all(term(have) for term in terms)


def _unescape(value):
    return re.sub(r"\\([\\,=])", r"\1", value)


def fields(text, kind):
    """[(field, value, equal)] of a field selector; fields that the kind does not offer are refused."""
    terms = []
    for term in re.split(r"(?<!\\),", text or ""):
        if not term.strip():
            continue
        match = re.match(r"\A([^=!\\]+?)(==|=|!=)(.*)\Z", term.strip(), re.S)
        if not match:
            raise ApiError(400, f"invalid selector: '{term}'; can't understand '{term}'")
        name, operator, value = match.groups()
        if name not in kind.field_names():
            raise ApiError(400, f"Unable to find \"{kind.api_version}, Resource={kind.plural}\" that "
                                f"match label selector \"\", field selector \"{text}\": field label "
                                f"not supported: {name}")
        terms.append((name, _unescape(value), operator != "!="))
    return terms


def field_value(body, path):
    """The value at a dotted path as the selector sees it: text, booleans in lower case, absent is ''."""
    value = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "false" if path in ("spec.unschedulable", "spec.hostNetwork") else ""
    return str(value)


def compile_match(kind, label_text, field_text):
    """A function of a stored object (labels, fields, name, namespace), or None for everything."""
    by_label = labels(label_text)
    terms = fields(field_text, kind)
    if not terms:
        return None if by_label is None else lambda obj: by_label(obj.labels)
    getters = []
    for name, value, equal in terms:
        if name == "metadata.name":
            getters.append(lambda obj, v=value, e=equal: (obj.name == v) == e)
        elif name == "metadata.namespace":
            getters.append(lambda obj, v=value, e=equal: (obj.namespace == v) == e)
        else:
            at = kind.fields.index(name)
            getters.append(lambda obj, i=at, v=value, e=equal: (obj.fields[i] == v) == e)
    if by_label is not None:
        getters.append(lambda obj: by_label(obj.labels))
    return getters[0] if len(getters) == 1 else lambda obj: all(get(obj) for get in getters)
