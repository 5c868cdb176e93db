"""Expected truth tables, written short, and what differs from them, printed as a matrix.

    table = Table(allow=True).deny(to="x/*").allow("y/a", "x/a", "tcp", 80)
    prober.check(table)

Later statements win. A place is named "x/a", "x/*", "*/a" or "*"; a list means any of them.
"""

import fnmatch

from .prober import ARRIVED, SILENT


def _as_list(value):
    return list(value) if isinstance(value, (list, tuple, set, range)) else [value]


class _Statement:
    def __init__(self, verdict, sources, targets, protocols, ports, families):
        self.verdict = verdict
        self.sources, self.targets = _as_list(sources), _as_list(targets)
        self.protocols, self.ports, self.families = (
            None if value is None else set(_as_list(value)) for value in (protocols, ports, families))
        self.text = (f"{'allow' if verdict else 'deny'} {','.join(self.sources)} -> {','.join(self.targets)}"
                     + "".join(f" {v}" for v in (protocols, ports, families) if v is not None))
        self.known = {}

    def _names(self, patterns, name):
        key = (id(patterns), name)
        if key not in self.known:
            self.known[key] = any(fnmatch.fnmatchcase(name, p) for p in patterns)
        return self.known[key]

    def matches(self, probe):
        return ((self.protocols is None or probe.protocol in self.protocols)
                and (self.ports is None or probe.port in self.ports)
                and (self.families is None or probe.family in self.families)
                and self._names(self.sources, probe.source) and self._names(self.targets, probe.target))


class Table:
    """What is expected of every probe. `a & b` allows what both allow: the source's side and the destination's."""

    def __init__(self, allow=True):
        self.default = allow
        self.statements = []
        self.others = []

    def _say(self, verdict, source, to, protocol, port, family):
        self.statements.append(_Statement(verdict, source, to, protocol, port, family))
        return self

    def allow(self, source="*", to="*", protocol=None, port=None, family=None):
        return self._say(True, source, to, protocol, port, family)

    def deny(self, source="*", to="*", protocol=None, port=None, family=None):
        return self._say(False, source, to, protocol, port, family)

    def isolate(self, *names, ingress=True, egress=False):
        """Nothing gets in (or out) any more."""
        for name in names:
            if ingress:
                self.deny(to=name)
            if egress:
                self.deny(source=name)
        return self

    def copy(self):
        other = Table(self.default)
        other.statements = list(self.statements)
        other.others = list(self.others)
        return other

    def __and__(self, other):
        both = self.copy()
        both.others.append(other)
        return both

    def expects(self, probe):
        own = next((s.verdict for s in reversed(self.statements) if s.matches(probe)), self.default)
        return own and all(other.expects(probe) for other in self.others)

    def allowed(self, probes):
        return {probe for probe in probes if self.expects(probe)}

    def compare(self, result):
        """AssertionError with a readable difference."""
        wrong = {p for p in result if (result[p] != SILENT) != self.expects(p) or
                 (result[p] == ARRIVED)}
        if wrong:
            raise AssertionError(describe(result, self.expects, wrong, str(self)))

    def behind(self, probes, ends):
        """This table as those see it who look at packets behind a service's translation, and the probes they see. `ends`:
        {(address, port): (place, port)} of services."""
        judged = {}
        for probe in probes:
            place, port = ends.get((probe.target, probe.port), (probe.target, probe.port))
            judged.setdefault(probe._replace(target=place, port=port), set()).add(self.expects(probe))
        both = [str(probe) for probe, verdicts in judged.items() if len(verdicts) > 1]
        assert not both, f"expected to be allowed and denied: {both}"
        return _Judged(judged, str(self)), list(judged)

    def __str__(self):
        lines = ["all " + ("allow" if self.default else "deny")] + [s.text for s in self.statements]
        return "; ".join(lines) + "".join(f" AND ({other})" for other in self.others)


class _Judged:
    def __init__(self, judged, text):
        self.judged, self.text = judged, text

    def expects(self, probe):
        return True in self.judged[probe]

    def __str__(self):
        return self.text


def describe(result, expects, wrong, title, limit=6):
    """A matrix for every different picture of protocol, port and family."""
    pictures = {}
    for kind in sorted({p[2:] for p in wrong}):
        mine = [p for p in result if p[2:] == kind]
        pictures.setdefault(_matrix(mine, result, expects), []).append("{}/{} IPv{}".format(*kind))
    lines = [f"{len(wrong)} of {len(result)} probes are not as expected ({title})",
             "  . open   x closed   + open and should not be   - closed and should be open"
             "   ! arrived, but the answer did not"]
    for picture, kinds in list(pictures.items())[:limit]:
        lines += [", ".join(kinds), picture]
    if len(pictures) > limit:
        lines.append(f"and {len(pictures) - limit} more pictures")
    return "\n".join(lines)


def _sign(state, expected):
    if state == ARRIVED:
        return "!"
    if state == SILENT:
        return "-" if expected else "x"
    return "." if expected else "+"


def _matrix(probes, result, expects):
    sources = sorted({p.source for p in probes})
    targets = sorted({p.target for p in probes})
    signs = {(p.source, p.target): _sign(result[p], expects(p)) for p in probes}
    wide = max(len(name) for name in sources) + 2
    columns = [max(len(name), 3) + 1 for name in targets]
    lines = [" " * wide + "".join(t.ljust(c) for t, c in zip(targets, columns))]
    for source in sources:
        cells = (signs.get((source, t), " ").ljust(c) for t, c in zip(targets, columns))
        lines.append(source.ljust(wide) + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)
