"""Random rules, selectors and prefixes for test/policy/generate.py; some of them malformed on purpose."""

KEYS = {"app": ("web", "db", "cache"), "tier": ("front", "back"), "env": ("prod", "dev")}
MALFORMED = 0.04
ICMP_TYPES = ((8, 0), (0, 0), (3, 1), (3, 3))
ICMP6_TYPES = ((128, 0), (129, 0), (3, 1))


def chance(rng, probability):
    return rng.random() < probability


class RuleGenerator:
    """Draws from `rng`; prefixes lie around the pods' addresses and `others`, those of nodes and hosts outside."""

    def __init__(self, rng, pod_ips, others=()):
        self.rng = rng
        four = [ips[0] for ips in pod_ips.values()]
        six = [ips[1] for ips in pod_ips.values()]
        self.pool4 = [*(f"{ip}/32" for ip in four), *(f"{ip}/{n}" for ip in four[:4] for n in (30, 24, 16)),
                      "203.0.113.0/24", "203.0.113.128/25", "0.0.0.0/0", "128.0.0.0/1", "0.0.0.0/1"]
        self.pool6 = [*(f"{ip}/128" for ip in six), *(f"{ip}/{n}" for ip in six[:4] for n in (126, 112, 64)),
                      "2001:db8:1::/48", "2001:db8:1:8000::/49", "::/0"]
        # At the end: blocks and their exceptions are cut out of the lists above.
        self.pool4 += [f"{ip}/{n}" for ip in others if ":" not in ip for n in (32, 32, 30, 24)]
        self.pool6 += [f"{ip}/{n}" for ip in others if ":" in ip for n in (128, 128, 126, 64)]

    def flip(self, probability=0.5):
        return chance(self.rng, probability)

    def net(self):
        return self.rng.choice(self.pool4 if self.flip() else self.pool6)

    def nets(self, count):
        return list(dict.fromkeys(self.net() for _ in range(count)))

    # ---- selectors
    def label_selector(self, keys=tuple(KEYS)):
        """Of Kubernetes."""
        if self.flip(0.3):
            return {}
        found = {}
        if self.flip(0.6):
            key = self.rng.choice(keys)
            found["matchLabels"] = {key: self.rng.choice(KEYS[key])}
        if self.flip(0.5):
            found["matchExpressions"] = [self.expression(keys) for _ in range(self.rng.randint(1, 2))]
        return found

    def expression(self, keys):
        key, operator = self.rng.choice(keys), self.rng.choice(("In", "NotIn", "Exists", "DoesNotExist"))
        if operator in ("Exists", "DoesNotExist"):
            return {"key": key, "operator": operator}
        return {"key": key, "operator": operator,
                "values": self.rng.sample(KEYS[key], self.rng.randint(1, len(KEYS[key])))}

    def selector(self, keys=tuple(KEYS), in_namespaces=False, depth=0):
        """Of Calico."""
        kind = self.rng.randint(0, 9)
        if depth < 2 and kind < 3:
            a, b = (self.selector(keys, in_namespaces, depth + 1) for _ in range(2))
            return (f"{a} && {b}", f"({a}) || {b}", f"!({a})")[kind]
        if kind == 3:
            return "global()" if in_namespaces and self.flip(0.3) else self.rng.choice(("all()", "!all()", "all( )"))
        return self.comparison(self.rng.choice(keys))

    def comparison(self, key):
        rng = self.rng
        value, quote = rng.choice(KEYS[key]), rng.choice("'\"")
        text = f"{quote}{value}{quote}"
        some = "{" + ", ".join(f"'{v}'" for v in rng.sample(KEYS[key], rng.randint(0, len(KEYS[key])))) + "}"
        return rng.choice((
            f"{key} == {text}", f"{key}=={text}", f"{key} != {text}", f"has({key})", f"!has({key})",
            f"{key} in {some}", f"{key} not in {some}", f"{key} notin {some}",
            f"{key} contains '{value[1:3]}'", f"{key} starts with '{value[:2]}'", f"{key} ends  with {quote}k{quote}"))

    # ---- networking.k8s.io
    def kubernetes(self, word):
        rule = {}
        if self.flip(0.8):
            rule[word] = [self.kubernetes_peer() for _ in range(self.rng.randint(0, 3))]
        if self.flip(0.6):
            rule["ports"] = [self.kubernetes_port() for _ in range(self.rng.randint(0, 3))]
        return rule

    def kubernetes_peer(self):
        if self.flip(MALFORMED):
            return self.rng.choice((
                {}, {"ipBlock": {"cidr": "10.65.0.0/33"}}, {"ipBlock": {"cidr": "anywhere"}},
                {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["no-net"]}},
                {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Like", "values": ["web"]}]}},
                {"ipBlock": {"cidr": "0.0.0.0/0"}, "podSelector": {}}))
        if self.flip(0.25):
            pool = self.pool4 if self.flip() else self.pool6
            block = {"cidr": self.rng.choice(pool[9:])}
            if self.flip(0.5):
                block["except"] = self.rng.sample(pool[:9], self.rng.randint(1, 3))
            return {"ipBlock": block}
        peer = {}
        if self.flip(0.6):
            peer["podSelector"] = self.label_selector()
        if self.flip(0.6) or not peer:
            peer["namespaceSelector"] = self.label_selector(("env", "tier"))
            if self.flip(0.2):
                peer["namespaceSelector"] = {"matchLabels": {
                    "kubernetes.io/metadata.name": self.rng.choice("xyz")}}
        return peer

    def kubernetes_port(self):
        rng = self.rng
        if self.flip(MALFORMED):
            return rng.choice(({"port": 70000}, {"port": 80, "endPort": 10}, {"protocol": "BOGUS", "port": 80},
                               {"port": "web", "endPort": 90}, {"endPort": 90}, {"port": -1}))
        port = {}
        if self.flip(0.8):
            port["protocol"] = rng.choice(("TCP", "TCP", "UDP", "SCTP"))
        if self.flip(0.85):
            port["port"] = rng.choice((80, 81, 80, "web", "api", "sig", "none", 79))
            if isinstance(port["port"], int) and self.flip(0.25):
                port["endPort"] = port["port"] + rng.randint(0, 5)
        return port

    # ---- projectcalico
    def calico(self, direction, ns):
        rng = self.rng
        rule = {"action": rng.choices(("Allow", "Deny", "Pass", "Log"), (50, 25, 17, 8))[0]}
        if self.flip(0.12):
            rule["ipVersion"] = rng.choice((4, 6))
        self.protocol(rule)
        for side in ("source", "destination"):
            is_peer = (side == "source") == (direction == "ingress")
            if self.flip(0.75 if is_peer else 0.35):
                rule[side] = self.entity(rule, side, is_peer, ns)
        if self.flip(MALFORMED):
            self.spoil(rule, direction)
        return rule

    def protocol(self, rule):
        rng = self.rng
        if self.flip(0.6):
            rule["protocol"] = rng.choice(("TCP", "TCP", "UDP", "SCTP", 6, "ICMP", "ICMPv6", 47))
            version = {"ICMP": 4, "ICMPv6": 6}.get(rule["protocol"])
            if version:
                rule.pop("ipVersion", None)
                kind, code = rng.choice(ICMP_TYPES if version == 4 else ICMP6_TYPES)
                for field in ("icmp", "notICMP"):
                    if self.flip(0.35):
                        rule[field] = {"type": kind, **({"code": code} if self.flip() else {})}
        elif self.flip(0.2):
            rule["notProtocol"] = rng.choice(("TCP", "UDP", 132))

    def entity(self, rule, side, is_peer, ns):
        rng, entity = self.rng, {}
        if is_peer and self.flip(0.1):
            name, where = rng.choice((("front", "x"), ("back", "y"), ("gone", "z")))
            entity["services"] = {"name": name, "namespace": where}
            if ns == where and self.flip():
                del entity["services"]["namespace"]
            return entity
        if self.flip(0.25):
            entity["nets"] = self.nets(rng.randint(1, 4))
        if self.flip(0.15):
            entity["notNets"] = self.nets(rng.randint(1, 3))
        if self.flip(0.45):
            entity["selector"] = self.selector()
        if self.flip(0.15):
            entity["notSelector"] = self.selector()
        if self.flip(0.25):
            entity["namespaceSelector"] = self.selector(("env", "tier"), in_namespaces=True)
        if self.flip(0.12):
            entity["serviceAccounts"] = rng.choice((
                {"names": ["builder"]}, {"names": ["default", "other"]}, {"selector": self.selector(("tier",))},
                {"names": ["default"], "selector": self.selector(("tier",))}))
        if rule.get("protocol") in ("TCP", "UDP", "SCTP", 6):
            if self.flip(0.5 if side == "destination" else 0.05):
                entity["ports"] = self.ports(side)
            if self.flip(0.12 if side == "destination" else 0.05):
                entity["notPorts"] = self.ports(side)
        return entity

    def ports(self, side):
        pool = (80, 81, "80:81", "79:80", "web", "api", "sig", 443, "1:65535")
        if side == "source":
            pool = ("1024:65535", 40000, "1:1023", "web")
        return self.rng.sample(pool, self.rng.randint(1, 3))

    def spoil(self, rule, direction):
        """Makes the rule one that cannot be understood."""
        peer = "source" if direction == "ingress" else "destination"
        other = "destination" if direction == "ingress" else "source"
        change = self.rng.choice((
            {peer: {"selector": "has(app"}}, {peer: {"selector": "app = 'web'"}}, {peer: {"nets": ["10.0.0.0/99"]}},
            {peer: {"notSelector": "app =="}}, {peer: {"namespaceSelector": "&&"}}, {"protocol": "BOGUS"},
            {"protocol": 256}, {"ipVersion": 5}, {"protocol": "UDP", "destination": {"ports": ["90:80"]}},
            {"protocol": 47, "destination": {"ports": [80]}}, {"protocol": "TCP", "destination": {"ports": [70000]}},
            {"protocol": "TCP", "icmp": {"type": 8}}, {"protocol": "ICMP", "ipVersion": 4, "icmp": {"code": 1}},
            {"protocol": "ICMP", "ipVersion": 4, "icmp": {"type": 300}},
            {other: {"services": {"name": "front", "namespace": "x"}}}, {peer: {"notNets": ["nonsense"]}},
            {peer: {"services": {"name": "front", "namespace": "x"}, "nets": ["10.0.0.0/8"]}}))
        for field in ("icmp", "notICMP"):
            rule.pop(field, None)
        rule |= change

    # ---- policy.networking.k8s.io
    def cluster_wide(self, direction):
        rule = {"action": self.rng.choices(("Accept", "Deny", "Pass"), (40, 35, 25))[0]}
        rule["from" if direction == "ingress" else "to"] = [self.cluster_peer(direction)
                                                            for _ in range(self.rng.randint(1, 3))]
        if self.flip(0.5):
            rule["protocols"] = [self.cluster_protocol() for _ in range(self.rng.randint(1, 3))]
        return rule

    def cluster_peer(self, direction):
        if self.flip(MALFORMED / 2):
            return self.rng.choice((
                {}, {"nodes": {} if direction == "ingress" else {"matchExpressions": [{"key": "env", "operator": "Gt"}]}},
                {"domainNames": ["example.org"]}, {"networks": ["no-net"]},
                {"namespaces": {"matchExpressions": [{"key": "env", "operator": "Like"}]}}))
        if direction == "egress" and self.flip(0.3):
            return {"networks": self.nets(self.rng.randint(1, 3))}
        if direction == "egress" and self.flip(0.25):
            return {"nodes": self.label_selector()}
        spaces = self.label_selector(("env", "tier"))
        if self.flip(0.4):
            return {"namespaces": spaces}
        return {"pods": {"namespaceSelector": spaces, "podSelector": self.label_selector()}}

    def cluster_protocol(self):
        rng = self.rng
        if self.flip(MALFORMED / 2):
            return rng.choice(({}, {"icmp": {}}, {"tcp": {"destinationPort": {"number": 70000}}},
                               {"udp": {"destinationPort": {"range": {"start": 90, "end": 80}}}}))
        if self.flip(0.2):
            return {"destinationNamedPort": rng.choice(("web", "api", "sig"))}
        port = {"number": rng.choice((80, 81, 443))}
        if self.flip(0.3):
            start = rng.choice((1, 79, 80))
            port = {"range": {"start": start, "end": start + rng.randint(1, 100)}}
        return {rng.choice(("tcp", "tcp", "udp", "sctp")): {"destinationPort": port}}
