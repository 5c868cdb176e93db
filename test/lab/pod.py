"""A pod of the lab: a namespace, its addresses, and which node carries it."""

import hashlib


def ifname_of(namespace, name):
    """The name of its interface on the node: cali and eleven digits of SHA-1, as Calico's."""
    return "cali" + hashlib.sha1(f"{namespace}.{name}".encode()).hexdigest()[:11]


class Pod:
    """`ips` holds its IPv4 and IPv6 address, as far as it has them."""

    def __init__(self, node, namespace, name, netns):
        self.node = node
        self.namespace = namespace
        self.name = name
        self.netns = netns
        self.ips = []
        self.host_ifname = ifname_of(namespace, name)
        self.container_id = hashlib.sha256(f"{netns.name}/{self.key}".encode()).hexdigest()

    @property
    def key(self):
        return f"{self.namespace}/{self.name}"

    def ip(self, family=4):
        """Its address of this family, None when it has none."""
        return next((ip for ip in self.ips if (":" in ip) == (family == 6)), None)

    def object(self):
        """As the API server holds it once it is scheduled, before the runtime has made it."""
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": self.name, "namespace": self.namespace,
                             "labels": {"app": self.name}},
                "spec": {"nodeName": self.node.name, "serviceAccountName": "default",
                         "containers": [{"name": "main", "image": "example.org/none"}]},
                "status": {"phase": "Pending"}}

    def exec(self, argv, **kwargs):
        return self.netns.run(argv, **kwargs)

    def __repr__(self):
        return f"<pod {self.key} {','.join(self.ips)} on {self.node.name}>"
