"""Control calls below /_test/: faults, outages, statistics, loading, generating, tokens. Not part of
Kubernetes; reachable on every listener without credentials, best through the control socket."""

import json
import time

import yaml

from . import generate
from .errors import ApiError


def documents(data):
    """Objects of a JSON or YAML text: single, multi-document, or a List."""
    text = data.lstrip()
    try:
        if text[:1] == b"{":
            found = [json.loads(text)]
        else:
            found = list(yaml.load_all(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (ValueError, yaml.YAMLError) as error:
        raise ApiError(400, f"not JSON or YAML: {error}") from error
    for document in found:
        if not isinstance(document, dict):
            if document is not None:
                raise ApiError(400, "a document is not an object")
        elif isinstance(document.get("items"), list) and str(document.get("kind", "")).endswith("List"):
            kind = document["kind"][:-len("List")]
            for item in document["items"]:
                if kind:
                    item.setdefault("kind", kind)
                    item.setdefault("apiVersion", document.get("apiVersion"))
                yield item
        else:
            yield document


class Admin:
    """Handlers by (method, path)."""

    def __init__(self, app):
        self.app = app
        self.calls = {
            ("POST", "faults"): self._add_faults, ("DELETE", "faults"): self._clear_faults,
            ("GET", "faults"): self._show_faults, ("GET", "stats"): self._stats,
            ("DELETE", "stats"): self._reset_stats, ("POST", "load"): self._load,
            ("POST", "generate"): self._generate, ("POST", "churn"): self._churn,
            ("POST", "outage"): self._outage, ("DELETE", "outage"): self._restore,
            ("POST", "disconnect"): self._disconnect, ("POST", "compact"): self._compact,
            ("POST", "bookmark"): self._bookmark, ("POST", "tokens"): self._tokens,
            ("POST", "options"): self._options,
        }

    async def run(self, request, reply):
        call = self.calls.get((request.method, request.path[len("/_test/"):].strip("/")))
        if call is None:
            raise ApiError(404, "no such control call")
        try:
            await reply.json(200, await call(request))
        except (KeyError, TypeError, ValueError) as error:
            raise ApiError(400, f"bad control call: {error!r}") from error

    @staticmethod
    def _body(request):
        return json.loads(request.body or b"{}")

    async def _add_faults(self, request):
        rules = self.app.faults.add(self._body(request))
        return {"added": len(rules), "rules": len(self.app.faults.rules)}

    async def _clear_faults(self, _request):
        self.app.faults.clear()
        return {"rules": 0}

    async def _show_faults(self, _request):
        return {"rules": self.app.faults.fired()}

    async def _stats(self, _request):
        app, stats, now = self.app, self.app.stats, time.time()
        return {
            "uptime": round(now - app.started, 3), "resourceVersion": str(app.store.rv),
            "requests": [{"verb": verb, "resource": resource, "code": code, "count": count}
                         for (verb, resource, code), count in sorted(stats.requests.items())],
            "watches": {resource: count for resource, count in stats.watches.items() if count},
            "faults": dict(stats.faults), "rules": app.faults.fired(),
            "objects": {r.kind.qualified: len(r.objects) for r in app.store.resources.values() if r.objects},
            "connections_total": stats.connections_total,
            "connections": [{
                "peer": c.peer, "listener": c.listener, "requests": c.n_requests,
                "age": round(now - c.opened, 3), "serving": c.now_serving,
                "tls": self._tls_version(c),
            } for c in app.connections],
        }

    @staticmethod
    def _tls_version(connection):
        if connection.transport.is_closing():  # what it knew may be gone
            return ""
        tls = connection.transport.get_extra_info("ssl_object")
        return tls.version() if tls else ""

    async def _reset_stats(self, _request):
        self.app.stats.requests.clear()
        self.app.stats.faults.clear()
        return {}

    async def _load(self, request):
        count = 0
        for body in documents(request.body):
            self.app.store.load(body)
            count += 1
        return {"loaded": count}

    async def _generate(self, request):
        return await generate.generate(self.app.store, self._body(request))

    async def _churn(self, request):
        return await generate.churn(self.app.store, self._body(request))

    async def _outage(self, request):
        seconds = self._body(request).get("seconds")
        self.app.outage(None if seconds is None else float(seconds))
        return {}

    async def _restore(self, _request):
        await self.app.restore()
        return {}

    async def _disconnect(self, _request):
        self.app.drop_connections()
        return {}

    async def _compact(self, _request):
        self.app.store.forget_history()
        return {"resourceVersion": str(self.app.store.rv)}

    async def _bookmark(self, _request):
        """All watches are told the current version now, as after bookmark_interval."""
        for watcher in [w for r in self.app.store.resources.values() for w in r.watchers]:
            watcher.mark_due = True
            watcher.wake.set()
        return {"resourceVersion": str(self.app.store.rv)}

    async def _tokens(self, request):
        body = self._body(request)
        token = self.app.tokens.rotate(str(body.get("user", "canal")), bool(body.get("keep_old")))
        return {"token": token}

    async def _options(self, request):
        options = self.app.options
        for name, value in self._body(request).items():
            if name not in ("bookmark_interval", "gzip_min", "gone_as_status", "require_auth"):
                raise ApiError(400, f"option {name!r} cannot be set")
            setattr(options, name, type(getattr(options, name))(value))
        return {}
