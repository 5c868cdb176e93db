"""The API server of test/apiserver under hundreds of random faults: a client that follows the rules of the
Kubernetes API (list, watch, resume, list again on 410) ends with the server's state. This is what the fault
tests of Canal's own client build on: no fault makes the server itself lose or invent a change."""

import http.client
import json
import random
import threading
import time

from apiserver.client import ApiFailure, ApiServer, Client

ACTIONS = [
    {"action": "410"}, {"action": "410", "at": "start"}, {"action": "429", "retry_after": 0}, {"action": "500"},
    {"action": "503", "retry_after": 0}, {"action": "drop"}, {"action": "drop", "reset": True},
    {"action": "truncate"}, {"action": "malformed", "mode": "json"}, {"action": "malformed", "mode": "types"},
    {"action": "malformed", "mode": "missing"}, {"action": "stale", "events": 5}, {"action": "duplicate"},
    {"action": "delay", "seconds": 0.02}, {"action": "drip", "bytes": 200, "interval": 0.001},
    {"action": "silent", "seconds": 0.05}, {"action": "hang", "seconds": 0.05},
]


class Informer:
    """The smallest correct client."""

    def __init__(self, url):
        self.client = Client(url, timeout=2)
        self.state, self.version, self.n_failures = {}, None, 0

    def _list(self):
        state, token = {}, ""
        while True:
            page = self.client.request("GET", f"/api/v1/nodes?limit=7{token}")
            for item in page["items"]:
                self._check(item)
                state[item["metadata"]["name"]] = item["spec"]
            if not page["metadata"].get("continue"):
                break
            token = "&continue=" + page["metadata"]["continue"]
        self.state, self.version = state, page["metadata"]["resourceVersion"]

    @staticmethod
    def _check(item):
        if not isinstance(item["spec"], dict) or not isinstance(item["metadata"]["name"], str):
            raise ValueError("malformed object")

    def _watch(self):
        for event in self.client.watch("nodes", timeout=1, resourceVersion=self.version, allowWatchBookmarks="true"):
            item = event["object"]
            if event["type"] == "ERROR":
                self.version = None
                return
            if event["type"] != "BOOKMARK":
                try:
                    self._check(item)
                except (KeyError, ValueError, TypeError):
                    self.n_failures += 1
                    continue  # refused; the right one follows
                if event["type"] == "DELETED":
                    self.state.pop(item["metadata"]["name"], None)
                else:
                    self.state[item["metadata"]["name"]] = item["spec"]
            self.version = item["metadata"]["resourceVersion"]

    def turn(self):
        try:
            if self.version is None:
                self._list()
            self._watch()
        except ApiFailure as failure:
            self.n_failures += 1
            if failure.code == 410:
                self.version = None
        except (http.client.HTTPException, OSError, ValueError, KeyError, TypeError):
            self.n_failures += 1
        finally:
            self.client.close()


def test_after_hundreds_of_random_faults_the_state_is_right(tmp_path):
    dice = random.Random(7)
    with ApiServer(tmp_path, http=["127.0.0.1:0"], extra=["--history", "300"]) as api:
        stop = threading.Event()
        informers = [Informer(api.http_url) for _ in range(3)]

        def follow(informer):
            while not stop.is_set():
                informer.turn()
        threads = [threading.Thread(target=follow, args=(informer,)) for informer in informers]
        api.client.faults(*({"match": {"verb": ["list", "watch"], "resource": "nodes"}, "probability": 0.06,
                             "seed": seed, **action} for seed, action in enumerate(ACTIONS)))
        for thread in threads:
            thread.start()
        made, deadline = 0, time.monotonic() + 60
        while sum(api.client.stats()["faults"].values()) < 500 and time.monotonic() < deadline:
            name = f"n{dice.randrange(20)}"
            if dice.random() < 0.2:
                api.client.delete("nodes", name, missing_ok=True)
            else:
                made += 1
                api.client.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                                  "spec": {"externalID": str(made)}})
        fired = api.client.stats()["faults"]
        api.client.clear_faults()
        want = {n["metadata"]["name"]: n["spec"] for n in api.client.list("nodes")}
        deadline = time.monotonic() + 20
        while any(informer.state != want for informer in informers) and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join()
        assert sum(fired.values()) >= 500 and set(fired) == {str(a["action"]) for a in ACTIONS}, fired
        assert [informer.state for informer in informers] == [want] * 3
        assert json.dumps(want) != "{}" and all(informer.n_failures for informer in informers)
        assert "Traceback" not in api.log_path.read_text()
