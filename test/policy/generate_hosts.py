"""Random host endpoints of nodes and policies for them: the node's own traffic, what it forwards, before DNAT, without
tracking. Used by generate.py where a lab has told of its nodes."""

from .generate_rules import chance

SHARE = 0.6  # of cases that have host endpoints
# How a policy for hosts looks at packets; everything else in a case is for what is tracked, behind DNAT.
USES = ({}, {"applyOnForward": True}, {"applyOnForward": True}, {"preDNAT": True, "applyOnForward": True}, {"preDNAT": True},
        {"doNotTrack": True, "applyOnForward": True}, {"doNotTrack": True})
TO_HOST = ("Drop", "Accept", "Return", None, None)
# An answer to what was masqueraded comes to a port that should be no failsafe and none that rules name.
NAT_PORTS = "50000:60000"


class HostGenerator:
    """`generator`: the one of the case; `hosts`: {node: [addresses]}."""

    def __init__(self, generator, hosts):
        self.generator, self.rng, self.hosts = generator, generator.rng, hosts

    def objects(self):
        spec = {"natPortRange": NAT_PORTS}
        if action := self.rng.choice(TO_HOST):
            spec["defaultEndpointToHostAction"] = action
        found = [self.generator.object("crd.projectcalico.org/v1", "FelixConfiguration", "default", spec=spec)]
        if not chance(self.rng, SHARE):
            return found
        for node in self.hosts:
            found += [self.endpoint(node, number) for number in range(self.rng.choice((0, 1, 1, 1, 2)))]
        found += [self.policy(number) for number in range(self.rng.randint(0, 4))]
        return found

    def endpoint(self, node, number):
        """By the interface's name, by an address of it, for all interfaces; sometimes two claim the same."""
        spec, ips = {"node": node}, self.hosts[node]
        match self.rng.randint(0, 5):
            case 0 | 1:
                spec["interfaceName"] = "eth0"
            case 2 | 3:
                spec["interfaceName"] = "*"
            case 4:
                spec["expectedIPs"] = self.rng.choice((ips, ips[:1], ips[1:]))
            case 5:
                spec["interfaceName"] = self.rng.choice(("eth7", "eth0"))
        if "interfaceName" in spec and chance(self.rng, 0.5):
            spec["expectedIPs"] = list(ips)
        if chance(self.rng, 0.5):
            spec["profiles"] = ["projectcalico-default-allow"]
        if chance(self.rng, 0.3):
            spec["ports"] = [{"name": "web", "protocol": "TCP", "port": 80}]
        labels = {"host": node, **self.generator.some_labels()}
        return self.generator.object("crd.projectcalico.org/v1", "HostEndpoint", f"{self.rng.choice('abc')}{number}-{node}",
                                     metadata={"labels": labels}, spec=spec)

    def policy(self, number):
        """For hosts alone, or nearly so; half of them end in what allows the rest."""
        spec = self.generator.calico_spec(None)
        spec["selector"] = self.rng.choice(("has(host)", f"host == '{self.rng.choice(list(self.hosts))}'",
                                            f"has(host) && {self.generator.rules.selector()}"))
        for field in ("namespaceSelector", "serviceAccountSelector"):
            spec.pop(field, None)
        spec |= self.rng.choice(USES)
        for direction in ("ingress", "egress"):
            if chance(self.rng, 0.5):
                rules = self.generator.rules
                spec[direction] = [*(spec.get(direction) or []), {"action": "Allow", **self.rng.choice((
                    {}, {}, {"protocol": "TCP"}, {"protocol": "UDP"},
                    {"source": {"nets": rules.nets(4)}}, {"destination": {"nets": rules.nets(4)}}))}]
        return self.generator.object("crd.projectcalico.org/v1", "GlobalNetworkPolicy", f"hosts-{number}", spec=spec)
