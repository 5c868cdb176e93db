"""The API server of test/apiserver: every fault it can be told to show."""

import http.client
import json
import socket
import time

import pytest

from apiserver.client import ApiFailure, ApiServer, Client

N_NODES = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("api"), http=["127.0.0.1:0"]) as api:
        api.client.generate("Node", N_NODES)
        yield api


@pytest.fixture
def api(server):
    """The server without faults; after the test it has none and works."""
    yield server
    server.client.clear_faults()
    server.client.restore()
    assert len(Client(server.http_url).list("nodes")) == N_NODES


def rule(action, verb="list", resource="nodes", times=1, **more):
    return {"match": {"verb": verb, "resource": resource}, "action": action, "times": times, **more}


def version(api):
    return api.client.request("GET", "/api/v1/nodes?limit=1")["metadata"]["resourceVersion"]


def touch(api, name="node-00000", **spec):
    api.client.patch("nodes", name, {"spec": {"externalID": str(time.monotonic()), **spec}})


def plain(api, timeout=10):
    return Client(api.http_url, timeout=timeout)


def raw_list(api, **kwargs):
    """(head, bytes until the connection ends) of a LIST, without an HTTP library's opinion."""
    conn = plain(api, **kwargs).connect()
    conn.connect()
    conn.sock.sendall(b"GET /api/v1/nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data, error = until_end(conn.sock)
    head, _, body = data.partition(b"\r\n\r\n")
    return head, body, error


def raw_watch(api):
    conn = plain(api).connect()
    conn.connect()
    conn.sock.sendall(b"GET /api/v1/nodes?watch=true&timeoutSeconds=5&resourceVersion=%s HTTP/1.1\r\nHost: x\r\n\r\n"
                      % version(api).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += conn.sock.recv(1)
    return conn


def until_end(sock):
    """(all bytes, the error that ended them or None)"""
    data, error = b"", None
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except (ConnectionResetError, socket.timeout) as caught:
        error = caught
    sock.close()
    return data, error


@pytest.mark.parametrize("action,code,retry", [("410", 410, None), ("429", 429, "7"), ("500", 500, None),
                                               ("503", 503, "1"), ("status", 418, None)])
def test_an_error_status_comes_as_often_as_asked(api, action, code, retry):
    more = {"retry_after": 7} if action == "429" else {"code": 418} if action == "status" else {}
    api.client.faults(rule(action, times=2, **more))
    client = plain(api)
    for _ in range(2):
        with pytest.raises(ApiFailure) as caught:
            client.list("nodes")
        assert caught.value.code == code
        assert caught.value.headers.get("Retry-After") == retry
    assert len(client.list("nodes")) == N_NODES
    assert api.client.stats()["rules"][0]["fired"] == 2


def test_rules_match_verb_resource_name_and_agent_only(api):
    api.client.faults({"match": {"verb": ["patch", "get"], "resource": "nodes", "name": "node-00001"}, "action": "500"},
                      {"match": {"user_agent": "felix"}, "action": "503"})
    client = plain(api)
    assert len(client.list("nodes")) == N_NODES and client.get("nodes", "node-00002")
    for call in (lambda: client.get("nodes", "node-00001"), lambda: client.patch("nodes", "node-00001", {})):
        with pytest.raises(ApiFailure) as caught:
            call()
        assert caught.value.code == 500
    assert client.raw("GET", "/api/v1/nodes", headers={"User-Agent": "canal-felix/1"})[0] == 503


def test_probability_is_the_same_for_the_same_seed(api):
    def pattern(seed):
        api.client.clear_faults()
        api.client.faults({"match": {"verb": "list"}, "action": "500", "probability": 0.5, "seed": seed})
        client = plain(api)
        return [client.raw("GET", "/api/v1/nodes?limit=1")[0] for _ in range(30)]
    first = pattern(1)
    assert first == pattern(1) and first != pattern(2)
    assert 5 < first.count(500) < 25


def test_skip_lets_the_first_requests_through(api):
    api.client.faults(rule("500", skip=2))
    codes = [plain(api).raw("GET", "/api/v1/nodes?limit=1")[0] for _ in range(4)]
    assert codes == [200, 200, 500, 200]


def test_delay_answers_later(api):
    api.client.faults(rule("delay", seconds=0.5))
    began = time.monotonic()
    assert len(plain(api).list("nodes")) == N_NODES
    assert time.monotonic() - began >= 0.5


def test_drop_breaks_a_list_in_the_middle_of_an_object(api):
    api.client.faults(rule("drop"))
    head, body, _ = raw_list(api)
    assert head.startswith(b"HTTP/1.1 200") and b"chunked" in head
    assert 1000 < len(body) and not body.endswith(b"0\r\n\r\n")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        api.client.faults(rule("drop"))
        plain(api).list("nodes")


def test_drop_with_a_reset(api):
    api.client.faults(rule("drop", reset=True))
    _, body, error = raw_list(api)
    assert isinstance(error, ConnectionResetError) and not body.endswith(b"0\r\n\r\n")


def test_truncate_promises_more_bytes_than_it_sends(api):
    api.client.faults(rule("truncate"))
    _, body, error = raw_list(api)
    size, _, rest = body.partition(b"\r\n")
    assert error is None and 0 < len(rest) < int(size, 16)


def test_drip_trickles_and_is_complete(api):
    api.client.faults(rule("drip", bytes=2000, interval=0.01))
    began = time.monotonic()
    assert len(plain(api).list("nodes")) == N_NODES
    assert time.monotonic() - began > 0.1


@pytest.mark.parametrize("mode", ["json", "types", "missing"])
def test_malformed_spoils_one_item_of_a_list(api, mode):
    api.client.faults(rule("malformed", mode=mode))
    body = plain(api).raw("GET", "/api/v1/nodes")[2]
    if mode == "json":
        with pytest.raises(ValueError):
            json.loads(body)
        return
    items = json.loads(body)["items"]
    bad = [i for i in items if not isinstance(i.get("spec"), dict) or "metadata" not in i]
    assert len(items) == N_NODES and len(bad) == 1


def test_stale_lists_the_state_and_version_of_before(api):
    client = api.client
    touch(api)
    before = client.request("GET", "/api/v1/nodes")
    client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "new"}})
    touch(api)
    client.faults(rule("stale", events=2))
    try:
        assert plain(api).request("GET", "/api/v1/nodes") == before
        assert len(plain(api).list("nodes")) == N_NODES + 1
    finally:
        client.delete("nodes", "new")


def test_hang_accepts_and_never_answers(api):
    api.client.faults(rule("hang"))
    head, body, error = raw_list(api, timeout=0.5)
    assert (head, body) == (b"", b"") and isinstance(error, socket.timeout)


def test_refuse_closes_everything_for_a_while_but_the_control_socket(api):
    conn = raw_watch(api)
    api.client.faults(rule("refuse", seconds=3))
    assert raw_list(api)[0] == b""
    assert not until_end(conn.sock)[0].endswith(b"0\r\n\r\n")
    port = int(api.http_url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert api.client.list("nodes")
    deadline = time.monotonic() + 10
    while True:
        try:
            assert len(plain(api).list("nodes")) == N_NODES
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_outage_lasts_until_it_is_taken_back(api):
    api.client.outage()
    for url in (api.url, api.http_url):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5)
    api.client.restore()
    assert len(api.https_client().list("nodes")) == N_NODES


def test_disconnect_ends_open_watches(api):
    conn = raw_watch(api)
    api.client.disconnect()
    assert not until_end(conn.sock)[0].endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("action", ["drop", "truncate"])
def test_a_watch_breaks_inside_an_event(api, action):
    conn = raw_watch(api)
    api.client.faults(rule(action, "watch", skip=1))
    touch(api)
    touch(api)
    body, _ = until_end(conn.sock)
    assert body.count(b'"type":"MODIFIED"') == 2 and body.count(b"}\n") == 1


def test_a_watch_is_told_410_in_an_event(api):
    api.client.faults(rule("410", "watch"))
    events = plain(api).watch("nodes", timeout=5, resourceVersion=version(api))
    touch(api)
    seen = list(events)
    assert [e["type"] for e in seen] == ["ERROR"] and seen[0]["object"]["code"] == 410


def test_a_watch_is_refused_at_its_start(api):
    api.client.faults(rule("410", "watch", at="start"))
    with pytest.raises(ApiFailure) as caught:
        next(plain(api).watch("nodes", timeout=1))
    assert caught.value.code == 410


@pytest.mark.parametrize("mode,resend", [("json", True), ("types", True), ("types", False), ("missing", True)])
def test_a_spoilt_event_is_followed_by_the_right_one(api, mode, resend):
    api.client.faults(rule("malformed", "watch", mode=mode, resend=resend))
    start = version(api)
    touch(api)
    touch(api)
    conn = plain(api).connect()
    conn.request("GET", f"/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion={start}")
    lines = conn.getresponse().read().splitlines()
    conn.close()
    assert len(lines) == 3 if resend else 2
    if mode == "json":
        with pytest.raises(ValueError):
            json.loads(lines[0])
    else:
        spoilt = json.loads(lines[0])["object"]
        assert spoilt.get("spec") == "not an object" or "metadata" not in spoilt
    assert all(json.loads(line)["type"] == "MODIFIED" for line in lines[1:])


@pytest.mark.parametrize("at", ["start", "event"])
def test_a_silent_watch_stays_open_and_says_nothing(api, at):
    api.client.options(bookmark_interval=0.1)
    api.client.faults(rule("silent", "watch", at=at))
    conn = raw_watch(api)
    touch(api)
    touch(api)
    conn.sock.settimeout(0.7)
    with pytest.raises(socket.timeout):
        conn.sock.recv(1)
    assert api.client.stats()["watches"] == {"nodes": 1}
    assert api.client.requests("watch", "nodes", 200) > 0
    api.client.options(bookmark_interval=60)
    conn.close()


def test_a_duplicated_and_a_dripping_event(api):
    start = version(api)
    touch(api)
    api.client.faults(rule("duplicate", "watch"))
    assert len(list(plain(api).watch("nodes", timeout=1, resourceVersion=start))) == 2
    api.client.faults(rule("drip", "watch", at="event", bytes=100, interval=0.01))
    assert len(list(plain(api).watch("nodes", timeout=1, resourceVersion=start))) == 1


def test_writes_can_conflict_and_a_broken_write_is_told_apart_from_a_refused_one(api):
    api.client.faults(rule("409", "patch"), rule("drop", "patch"))
    client = plain(api)
    with pytest.raises(ApiFailure) as caught:
        client.patch("nodes", "node-00001", {"spec": {"externalID": "a"}})
    assert caught.value.code == 409
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        client.patch("nodes", "node-00001", {"spec": {"externalID": "b"}})
    assert api.client.get("nodes", "node-00001")["spec"]["externalID"] == "b"  # done, the answer was lost


def test_faults_are_listed_counted_cleared_and_checked(api):
    assert api.client.faults(rule("500"), rule("503", "watch")) == 2
    plain(api).raw("GET", "/api/v1/nodes")
    assert [r["fired"] for r in api.client.stats()["rules"]] == [1, 0]
    assert api.client.stats()["faults"]["500"] >= 1
    api.client.clear_faults()
    assert api.client.stats()["rules"] == []
    with pytest.raises(ApiFailure) as caught:
        api.client.faults({"action": "explode"})
    assert caught.value.code == 400


def test_statistics_count_requests_by_verb_resource_and_code(api):
    client = plain(api)
    before = [api.client.requests("list", "nodes", 200), api.client.requests("get", "nodes", 404)]
    client.list("nodes")
    client.raw("GET", "/api/v1/nodes/none")
    assert [api.client.requests("list", "nodes", 200), api.client.requests("get", "nodes", 404)] == \
        [before[0] + 1, before[1] + 1]
