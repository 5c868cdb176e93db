"""A pod of the lab: a namespace, its addresses, and which node carries it."""


class Pod:
    """`ips` holds its IPv4 and IPv6 address, as far as it has them."""

    def __init__(self, node, namespace, name, netns):
        self.node = node
        self.namespace = namespace
        self.name = name
        self.netns = netns
        self.ips = []
        self.host_ifname = None

    @property
    def key(self):
        return f"{self.namespace}/{self.name}"

    def ip(self, family=4):
        """Its address of this family, None when it has none."""
        return next((ip for ip in self.ips if (":" in ip) == (family == 6)), None)

    def exec(self, argv, **kwargs):
        return self.netns.run(argv, **kwargs)

    def __repr__(self):
        return f"<pod {self.key} {','.join(self.ips)} on {self.node.name}>"
