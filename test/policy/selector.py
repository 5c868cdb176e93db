"""Calico's selector language and Kubernetes' label selectors, as predicates over a dict of labels.

Part of the reference: written from the grammar, knows nothing of felix.
"""

import re

BLANK = re.compile(r"[ \t]*")
LABEL = re.compile(r"[A-Za-z0-9_./-]{1,512}")
STRING = re.compile(r"\"[^\"]*\"|'[^']*'")
CALL = re.compile(r"(all|global)\([ \t]*\)")
HAS = re.compile(r"has\([ \t]*([A-Za-z0-9_./-]{1,512})[ \t]*\)")
OPERATOR = re.compile(r"==|!=|contains|starts[ \t]*with|ends[ \t]*with|not[ \t]*in|in")
NAMESPACE, SERVICE_ACCOUNT = "projectcalico.org/namespace", "projectcalico.org/serviceaccount"


class Malformed(ValueError):
    """A part of an object that cannot be understood."""


def everything(_labels):
    return True


class _Parser:
    """`prefix` goes before every label; with `member`, all() asks whether the object has this label; global(), which
    a namespaceSelector alone may have, whether it has not."""

    def __init__(self, text, prefix="", member=None):
        self.text, self.prefix, self.member = text, prefix, member
        self.at = 0
        self.skip()

    def skip(self):
        self.at = BLANK.match(self.text, self.at).end()

    def take(self, pattern):
        """The match of a pattern or literal at this place, None."""
        found = (re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern).match(self.text, self.at)
        if found:
            self.at = found.end()
            self.skip()
        return found

    def need(self, pattern, what):
        found = self.take(pattern)
        if not found:
            raise Malformed(f"{what} expected at {self.at} in {self.text[:80]!r}")
        return found

    def whole(self):
        found = self.either()
        if self.at != len(self.text):
            raise Malformed(f"trailing text at {self.at} in {self.text[:80]!r}")
        return found

    def either(self):
        parts = [self.both()]
        while self.take("||"):
            parts.append(self.both())
        return lambda labels: any(part(labels) for part in parts)

    def both(self):
        parts = [self.unary()]
        while self.take("&&"):
            parts.append(self.unary())
        return lambda labels: all(part(labels) for part in parts)

    def unary(self):
        is_negated = False
        while self.take("!"):
            is_negated = not is_negated
        inner = self.primary()
        return (lambda labels: not inner(labels)) if is_negated else inner

    def primary(self):
        if self.take("("):
            inner = self.either()
            self.need(")", "')'")
            return inner
        if found := self.take(CALL):
            return self.call(found.group(1))
        if found := self.take(HAS):
            key = self.prefix + found.group(1)
            return lambda labels: key in labels
        key = self.prefix + self.need(LABEL, "a label").group()
        return self.comparison(key, "".join(self.need(OPERATOR, "an operator").group().split()))

    def call(self, name):
        if name == "global" and self.member != NAMESPACE:
            raise Malformed("global() outside a namespaceSelector")
        if self.member:
            return lambda labels: (self.member in labels) == (name == "all")
        return everything

    def comparison(self, key, operator):
        if operator in ("in", "notin"):
            values = self.string_set()
            if operator == "in":
                return lambda labels: labels.get(key) in values
            return lambda labels: labels.get(key) not in values
        value = self.string()
        return {
            "==": lambda labels: labels.get(key) == value,
            "!=": lambda labels: labels.get(key) != value,
            "contains": lambda labels: value in labels[key] if key in labels else False,
            "startswith": lambda labels: labels[key].startswith(value) if key in labels else False,
            "endswith": lambda labels: labels[key].endswith(value) if key in labels else False,
        }[operator]

    def string(self):
        return self.need(STRING, "a string").group()[1:-1]

    def string_set(self):
        self.need("{", "'{'")
        values = set()
        if self.take("}"):
            return values
        while True:
            values.add(self.string())
            if self.take("}"):
                return values
            self.need(",", "',' or '}'")


def parse(text, prefix="", member=None):
    """The predicate of a selector's text; Malformed. An empty text selects everything."""
    if not isinstance(text or "", str):
        raise Malformed(f"a selector is text, not {text!r}")
    if not (text or "").strip(" \t"):
        return everything
    return _Parser(text, prefix, member).whole()


def _expression(prefix, entry):
    if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
        raise Malformed(f"not an expression: {entry!r}")
    key, operator, values = prefix + entry["key"], entry.get("operator"), entry.get("values") or []
    if operator == "In":
        return lambda labels: labels.get(key) in values
    if operator == "NotIn":
        return lambda labels: labels.get(key) not in values
    if operator == "Exists":
        return lambda labels: key in labels
    if operator == "DoesNotExist":
        return lambda labels: key not in labels
    raise Malformed(f"operator {operator!r}")


def parse_label_selector(selector, prefix=""):
    """The predicate of a Kubernetes LabelSelector; an empty one selects everything."""
    if not isinstance(selector, dict):
        raise Malformed(f"not a label selector: {selector!r}")
    if set(selector) - {"matchLabels", "matchExpressions"}:
        raise Malformed(f"members of a label selector: {set(selector)}")
    wanted = {prefix + key: value for key, value in (selector.get("matchLabels") or {}).items()}
    expressions = [_expression(prefix, entry) for entry in selector.get("matchExpressions") or []]
    return lambda labels: (all(labels.get(key) == value for key, value in wanted.items())
                           and all(expression(labels) for expression in expressions))
