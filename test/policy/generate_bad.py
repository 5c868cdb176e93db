"""Policies that cannot be understood, made out of good ones: whom they are for, what they are, members nobody knows.
docs/policy.md says what becomes of each."""

from .generate_rules import chance

UNKNOWN = "fromTheFuture"
BAD_SELECTORS = ("has(app", "app = 'web'", "&&", "app == 'web' ||", "global()", 7)
BAD_LABELS = ({"matchExpressions": [{"key": "app", "operator": "Like", "values": ["web"]}]}, {UNKNOWN: {"app": "web"}})
# What only a later version knows, or nobody.
BAD_RULES = ({UNKNOWN: True}, {"http": {"methods": ["GET"]}}, {"action": "Perhaps"}, {"action": None},
             {"source": {UNKNOWN: ["x"]}}, {"destination": {"domains": ["example.org"]}},
             {"source": {"serviceAccounts": {UNKNOWN: "x"}}})
SHARE = 0.12  # of policies that something is wrong with


class Spoiler:
    """Spoils policies of any kind; what is refused altogether gets a name no good policy ever has, as the last good
    version of an object stays in force."""

    def __init__(self, rng):
        self.rng = rng

    def maybe_spoil(self, obj):
        if chance(self.rng, SHARE):
            how = {"NetworkPolicy": self.kubernetes if obj["apiVersion"].startswith("networking") else self.namespaced,
                   "GlobalNetworkPolicy": self.cluster_wide, "ClusterNetworkPolicy": self.tiered}.get(obj["kind"])
            if how:
                how(obj, obj["spec"])
        return obj

    def refuse(self, obj, **spec):
        obj["metadata"]["name"] = f"refused-{obj['metadata']['name']}"
        obj["spec"] |= spec

    def rule(self, spec, words=("ingress", "egress")):
        """One of the policy's rules, made into what nobody understands."""
        rules = [rule for word in words for rule in spec.get(word) or []]
        if rules:
            self.rng.choice(rules).update(self.rng.choice(BAD_RULES))

    def section(self, spec):
        """A section that is no list."""
        spec[self.rng.choice(("ingress", "egress"))] = self.rng.choice(("all", {"action": "Allow"}, 1))

    def kubernetes(self, obj, spec):
        match self.rng.randint(0, 5):
            case 0 | 1:
                spec["podSelector"] = self.rng.choice((*BAD_LABELS, "app=web"))
            case 2:
                self.kubernetes_part(spec)
            case 3:
                spec["policyTypes"] = self.rng.choice((["ingress"], ["Ingress", "Both"]))
            case 4:
                spec[UNKNOWN] = {"action": "Allow"}
            case 5:
                self.section(spec)

    def kubernetes_part(self, spec):
        """A rule, peer or port with a member nobody knows."""
        rules = [rule for word in ("ingress", "egress") for rule in spec.get(word) or []]
        if not rules:
            return
        rule = self.rng.choice(rules)
        parts = [rule, *(part for key in ("from", "to", "ports") for part in rule.get(key) or [])]
        self.rng.choice(parts)[UNKNOWN] = 1

    def namespaced(self, obj, spec):
        match self.rng.randint(0, 7):
            case 0 | 1 | 2:
                spec[self.rng.choice(("selector", "selector", "serviceAccountSelector"))] = self.rng.choice(BAD_SELECTORS)
            case 3:
                spec["types"] = self.rng.choice((["Ingres"], ["Ingress", "Both"]))
            case 4:
                self.section(spec)
            case 5:
                spec[UNKNOWN] = True
            case 6:
                self.refuse(obj, **self.rng.choice(({"order": "first"}, {"tier": "Not A Name"}, {"order": True})))
            case 7:
                self.rule(spec)

    def cluster_wide(self, obj, spec):
        match self.rng.randint(0, 4):
            case 0 | 1:
                where = self.rng.choice(("selector", "namespaceSelector", "serviceAccountSelector"))
                bad = [text for text in BAD_SELECTORS if where != "namespaceSelector" or text != "global()"]
                self.refuse(obj, **{where: self.rng.choice(bad)})
            case 2:
                self.refuse(obj, **self.rng.choice(({"order": "last"}, {"doNotTrack": True, "preDNAT": True},
                                                    {"applyOnForward": "yes"}, {"tier": "-"})))
            case 3:
                self.section(spec)
            case 4:
                self.rule(spec)

    def tiered(self, obj, spec):
        match self.rng.randint(0, 3):
            case 0 | 1:
                self.refuse(obj, **self.rng.choice((
                    {"tier": "Middle"}, {"priority": 1001}, {"priority": "high"}, {"subject": {}},
                    {"subject": {"namespaces": BAD_LABELS[0]}}, {"subject": {"namespaces": {}, "pods": {}}})))
            case 2:
                spec[UNKNOWN] = 1
            case 3:
                rules = [rule for word in ("ingress", "egress") for rule in spec.get(word) or []]
                if rules:
                    self.rng.choice(rules).update(self.rng.choice(({UNKNOWN: 1}, {"action": "Allow"},
                                                                   {"from": [], "to": []})))
