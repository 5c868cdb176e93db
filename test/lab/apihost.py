"""The API server of a lab, in the namespace of its own host; nodes reach it through the core."""

from apiserver.client import ApiServer

from . import topology


class ApiHost(ApiServer):
    """What a cluster's API server is to the lab. `client` has the rest: faults, watches, stats."""

    def __init__(self, lab):
        self.is_up = True
        super().__init__(lab.dir / "api", netns=lab.api_host.name, listen=[f"{topology.API4}:{topology.API_PORT}"])

    def create(self, obj):
        return self.client.create(obj)

    def apply(self, obj):
        return self.client.apply(obj)

    def patch(self, kind, name, patch, namespace=None, sub=None):
        return self.client.patch(kind, name, patch, namespace, sub)

    def patch_status(self, kind, name, status, namespace=None):
        return self.client.patch(kind, name, {"status": status}, namespace, "status")

    def delete(self, kind, name, namespace=None):
        return self.client.delete(kind, name, namespace, missing_ok=True)

    def down(self):
        """Nobody is answered, open connections are cut; what is stored stays."""
        self.is_up = False
        self.client.outage()

    def up(self):
        self.client.restore()
        self.is_up = True
