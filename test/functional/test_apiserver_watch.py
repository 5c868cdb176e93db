"""The API server of test/apiserver: watches, their resumption and their end."""

import json
import threading
import time

import pytest

from apiserver.client import ApiFailure, ApiServer, Client


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("api"), http=["127.0.0.1:0"],
                   extra=["--history", "50", "--bookmark-interval", "0.2"]) as server:
        yield server


@pytest.fixture
def client(api):
    yield api.client
    api.client.delete_all("nodes")
    api.client.delete_all("pods", "default")


def node(name, **labels):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}


def version(client):
    return client.request("GET", "/api/v1/nodes?limit=1")["metadata"]["resourceVersion"]


def brief(event):
    return event["type"], event["object"]["metadata"]["name"]


def take(events, count):
    return [brief(next(events)) for _ in range(count)]


def test_a_watch_sees_what_happens_after_its_version(client):
    client.create(node("before"))
    start = version(client)
    client.create(node("a"))
    client.patch("nodes", "a", {"spec": {"podCIDR": "x"}})
    client.delete("nodes", "a")
    events = list(client.watch("nodes", timeout=1, resourceVersion=start))
    assert [brief(e) for e in events] == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
    assert versions == sorted(set(versions)) and versions[0] > int(start)


def test_events_arrive_while_the_watch_is_open(client):
    events = client.watch("nodes", timeout=20, resourceVersion=version(client))
    other = Client(client.target)
    timer = threading.Timer(0.3, lambda: other.create(node("late")))
    timer.start()
    began = time.monotonic()
    assert brief(next(events)) == ("ADDED", "late")
    assert time.monotonic() - began < 15  # not only when the watch ends
    timer.join()
    events.close()


def test_resuming_from_every_seen_version_loses_and_repeats_nothing(client):
    seen, at = [], version(client)
    for i in range(10):
        client.create(node(f"n{i}"))
        client.patch("nodes", f"n{i}", {"spec": {"podCIDR": "x"}})
    for _ in range(20):
        event = next(client.watch("nodes", timeout=1, resourceVersion=at))
        at = event["object"]["metadata"]["resourceVersion"]
        seen.append(brief(event))
    assert seen == [(kind, f"n{i}") for i in range(10) for kind in ("ADDED", "MODIFIED")]


def test_without_a_version_the_present_state_comes_first(client):
    client.create(node("a"))
    client.create(node("b"))
    assert take(client.watch("nodes", timeout=1), 2) == [("ADDED", "a"), ("ADDED", "b")]
    assert take(client.watch("nodes", timeout=1, resourceVersion=0), 2) == [("ADDED", "a"), ("ADDED", "b")]


def test_a_version_older_than_the_history_is_gone(client):
    start = version(client)
    client.create(node("a"))
    for i in range(60):
        client.patch("nodes", "a", {"spec": {"podCIDR": str(i)}})
    events = list(client.watch("nodes", timeout=1, resourceVersion=start))
    assert len(events) == 1 and events[0]["type"] == "ERROR"
    assert (events[0]["object"]["code"], events[0]["object"]["reason"]) == (410, "Expired")
    client.options(gone_as_status=True)
    with pytest.raises(ApiFailure) as caught:
        next(client.watch("nodes", timeout=1, resourceVersion=start))
    client.options(gone_as_status=False)
    assert caught.value.code == 410


def test_a_compaction_makes_older_versions_gone_and_newer_ones_work(client):
    start = version(client)
    client.compact()
    assert next(client.watch("nodes", timeout=1, resourceVersion=start))["object"]["code"] == 410
    start = version(client)
    client.create(node("a"))
    assert brief(next(client.watch("nodes", timeout=1, resourceVersion=start))) == ("ADDED", "a")


def test_a_future_version_is_too_large(client):
    with pytest.raises(ApiFailure) as caught:
        next(client.watch("nodes", timeout=1, resourceVersion=int(version(client)) + 100))
    assert caught.value.code == 504


def test_selectors_turn_changes_into_additions_and_deletions(client):
    start = version(client)
    client.create(node("a", zone="x"))
    client.create(node("b", zone="y"))
    client.patch("nodes", "b", {"metadata": {"labels": {"zone": "x"}}})
    client.patch("nodes", "a", {"metadata": {"labels": {"zone": "y"}}})
    gone = client.get("nodes", "a")["metadata"]["resourceVersion"]
    client.delete("nodes", "a")
    events = list(client.watch("nodes", timeout=1, resourceVersion=start, labelSelector="zone=x"))
    assert [brief(e) for e in events] == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert events[2]["object"]["metadata"]["labels"] == {"zone": "x"}
    assert events[2]["object"]["metadata"]["resourceVersion"] == gone


def test_a_watch_follows_pods_of_one_node_and_of_one_namespace(client):
    start = version(client)
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    for name, where, namespace in (("a", "n1", "default"), ("b", "n2", "default"), ("c", "n1", "other")):
        client.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
                       "spec": {"nodeName": where}})
    by_node = client.watch("pods", timeout=1, resourceVersion=start, fieldSelector="spec.nodeName=n1")
    assert [brief(e) for e in by_node] == [("ADDED", "a"), ("ADDED", "c")]
    by_namespace = client.watch("pods", "default", timeout=1, resourceVersion=start)
    assert [brief(e) for e in by_namespace] == [("ADDED", "a"), ("ADDED", "b")]


def test_bookmarks_carry_the_newest_version_only_when_asked_for(client):
    start = version(client)
    client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"x{start}", "namespace": "default"}})
    now = version(client)
    events = list(client.watch("nodes", timeout=1, resourceVersion=start, allowWatchBookmarks="true"))
    assert {e["type"] for e in events} == {"BOOKMARK"}
    assert events[0]["object"]["metadata"]["resourceVersion"] == now and events[0]["object"]["kind"] == "Node"
    assert list(client.watch("nodes", timeout=1, resourceVersion=start)) == []


def test_a_streamed_list_ends_with_a_marked_bookmark(client):
    client.create(node("a"))
    events = client.watch("nodes", timeout=1, sendInitialEvents="true", allowWatchBookmarks="true",
                          resourceVersionMatch="NotOlderThan")
    assert brief(next(events)) == ("ADDED", "a")
    mark = next(events)["object"]["metadata"]
    assert mark["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert mark["resourceVersion"] == version(client)


def test_timeout_ends_the_stream_and_the_connection_goes_on(api, client):
    conn = Client(api.http_url).connect()
    conn.request("GET", "/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion=" + version(client))
    began = time.monotonic()
    assert conn.getresponse().read() == b""
    assert 0.9 < time.monotonic() - began < 15
    conn.request("GET", "/version")
    assert conn.getresponse().status == 200
    conn.close()


def test_a_watch_is_never_compressed(api, client):
    conn = Client(api.http_url).connect()
    start = version(client)
    client.options(gzip_min=0)
    client.create(node("a"))
    path = "/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion=" + start
    conn.request("GET", path, headers={"Accept-Encoding": "gzip"})
    answer = conn.getresponse()
    client.options(gzip_min=128 * 1024)
    assert answer.headers["Content-Encoding"] is None
    assert brief(json.loads(answer.readline())) == ("ADDED", "a")
    conn.close()


def test_many_watches_see_every_event_in_order(api, client):
    start, results = version(client), {}

    def follow(i):
        results[i] = [brief(e) for e in Client(api.http_url).watch("nodes", timeout=3, resourceVersion=start)]
    threads = [threading.Thread(target=follow, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    names = [f"n{i:02d}" for i in range(25)]
    for name in names:
        client.create(node(name))
    for thread in threads:
        thread.join()
    assert all(seen == [("ADDED", name) for name in names] for seen in results.values()) and len(results) == 20
    assert client.stats()["watches"] == {}
