"""The API server of test/apiserver: what REST clients may rely on (Kubernetes API concepts)."""

import copy
import gzip
import json

import pytest

from apiserver.client import ApiFailure, ApiServer, Client, JSON_PATCH, STRATEGIC

CALICO = "crd.projectcalico.org/v1"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("api"), http=["127.0.0.1:0"]) as server:
        yield server


@pytest.fixture
def client(api):
    yield api.client
    for kind in ("nodes", "ippools", "pods"):
        api.client.delete_all(kind, "default" if kind == "pods" else None)


def node(name, **metadata):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, **metadata}, "spec": {}}


def pool(name, cidr="10.0.0.0/16"):
    return {"apiVersion": CALICO, "kind": "IPPool", "metadata": {"name": name}, "spec": {"cidr": cidr}}


def pod(name, node_name="", **metadata):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", **metadata},
            "spec": {"nodeName": node_name, "containers": [{"name": "c", "image": "i"}]}}


def refused(code, call, *args, **kwargs):
    with pytest.raises(ApiFailure) as caught:
        call(*args, **kwargs)
    assert caught.value.code == code, caught.value
    return caught.value


def test_a_created_object_gets_uid_version_time_and_generation(client):
    made = client.create(pool("a"))
    metadata = made["metadata"]
    assert metadata["generation"] == 1 and metadata["uid"] and metadata["creationTimestamp"].endswith("Z")
    assert client.get("IPPool", "a") == made
    assert refused(409, client.create, pool("a")).status["reason"] == "AlreadyExists"


def test_generated_names_start_with_the_prefix_and_differ(client):
    names = {client.create({**node(""), "metadata": {"generateName": "n-"}})["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20 and all(name.startswith("n-") and len(name) == 7 for name in names)


def test_versions_grow_over_all_kinds_and_equal_writes_change_nothing(client):
    first = client.create(node("a"))
    second = client.create(pool("a"))
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert client.patch("nodes", "a", {"metadata": {"name": "a"}}) == first


def test_an_old_version_is_a_conflict(client):
    old = client.create(pool("a"))
    new = copy.deepcopy(old)
    new["spec"]["cidr"] = "10.1.0.0/16"
    client.replace(new)
    assert refused(409, client.replace, old).status["reason"] == "Conflict"
    patch = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "spec": {"cidr": "x"}}
    refused(409, client.patch, "ippools", "a", patch)
    assert client.get("ippools", "a")["spec"]["cidr"] == "10.1.0.0/16"


def test_custom_resources_need_a_version_to_be_replaced_nodes_do_not(client):
    client.create(pool("a"))
    client.create(node("a"))
    refused(422, client.replace, pool("a", "10.9.0.0/16"))
    assert client.replace(node("a", labels={"x": "y"}))["metadata"]["labels"] == {"x": "y"}


def test_generation_counts_spec_changes_only(client):
    client.create(node("a"))
    client.patch("nodes", "a", {"metadata": {"labels": {"a": "b"}}})
    client.patch("nodes", "a", {"status": {"phase": "x"}}, sub="status")
    assert client.get("nodes", "a")["metadata"]["generation"] == 1
    assert client.patch("nodes", "a", {"spec": {"unschedulable": True}})["metadata"]["generation"] == 2


def test_status_and_spec_are_written_by_their_own_paths(client):
    client.create(node("a"))
    client.patch("nodes", "a", {"spec": {"podCIDR": "10.0.0.0/24"}, "status": {"phase": "no"}})
    client.patch("nodes", "a", {"spec": {"podCIDR": "no"}, "status": {"phase": "yes"}}, sub="status")
    found = client.get("nodes", "a")
    assert (found["spec"], found["status"]) == ({"podCIDR": "10.0.0.0/24"}, {"phase": "yes"})


def test_annotations_may_be_written_with_the_status_of_a_node(client):
    client.create(node("a"))
    client.patch("nodes", "a", {"metadata": {"annotations": {"x": "y"}}}, sub="status")
    assert client.get("nodes", "a")["metadata"]["annotations"] == {"x": "y"}


def test_calico_kinds_have_no_status_path_and_keep_their_status(client):
    client.create(pool("a"))
    refused(404, client.patch, "ippools", "a", {"status": {}}, sub="status")
    assert client.patch("ippools", "a", {"status": {"x": 1}})["status"] == {"x": 1}


def test_a_new_pod_is_pending_whatever_its_status_says(client):
    body = pod("p")
    body["status"] = {"phase": "Running", "podIP": "10.0.0.1"}
    made = client.request("POST", "/api/v1/namespaces/default/pods", body)
    assert made["status"] == {"phase": "Pending"}
    client.delete("pods", "p", "default")
    assert client.create(body)["status"] == body["status"]  # the helper writes the status too


def test_merge_patch_removes_with_null(client):
    client.create(node("a", labels={"keep": "1", "drop": "1"}))
    patched = client.patch("nodes", "a", {"metadata": {"labels": {"drop": None, "add": "2"}}})
    assert patched["metadata"]["labels"] == {"keep": "1", "add": "2"}


def test_json_patch_operations_and_a_failed_test(client):
    client.create(node("a", annotations={"a/b": "1"}))
    patched = client.patch("nodes", "a", [
        {"op": "test", "path": "/metadata/annotations/a~1b", "value": "1"},
        {"op": "replace", "path": "/metadata/annotations/a~1b", "value": "2"},
        {"op": "add", "path": "/spec/podCIDRs", "value": ["b"]},
        {"op": "add", "path": "/spec/podCIDRs/0", "value": "a"},
        {"op": "add", "path": "/spec/podCIDRs/-", "value": "c"},
        {"op": "remove", "path": "/spec/podCIDRs/1"},
        {"op": "copy", "from": "/spec/podCIDRs/0", "path": "/spec/podCIDR"}], content_type=JSON_PATCH)
    assert patched["metadata"]["annotations"] == {"a/b": "2"}
    assert patched["spec"] == {"podCIDRs": ["a", "c"], "podCIDR": "a"}
    refused(422, client.patch, "nodes", "a", [{"op": "test", "path": "/spec/podCIDR", "value": "no"}],
            content_type=JSON_PATCH)


@pytest.mark.parametrize("path,key,have,patch,want", [
    ("conditions", "type", [("Ready", "True"), ("Disk", "False")],
     [("NetworkUnavailable", "False"), ("Ready", "False")],
     [("Ready", "False"), ("Disk", "False"), ("NetworkUnavailable", "False")]),
    ("addresses", "type", [("InternalIP", "10.0.0.1")], [("Hostname", "a")],
     [("InternalIP", "10.0.0.1"), ("Hostname", "a")]),
])
def test_strategic_merge_patch_merges_lists_by_key(client, path, key, have, patch, want):
    def items(pairs):
        return [{key: k, "value": v} for k, v in pairs]
    client.create(node("a"))
    client.patch("nodes", "a", {"status": {path: items(have)}}, sub="status")
    patched = client.patch("nodes", "a", {"status": {path: items(patch)}}, sub="status", content_type=STRATEGIC)
    assert patched["status"][path] == items(want)


def test_strategic_merge_patch_directives(client):
    client.create({**node("a"), "status": {"conditions": [{"type": "A"}, {"type": "B"}]},
                   "spec": {"taints": [{"key": "a"}], "podCIDRs": ["x", "y"]}})
    patched = client.patch("nodes", "a", {"status": {
        "$setElementOrder/conditions": [{"type": "C"}, {"type": "B"}],
        "conditions": [{"type": "A", "$patch": "delete"}, {"type": "C"}]}}, sub="status", content_type=STRATEGIC)
    assert [c["type"] for c in patched["status"]["conditions"]] == ["C", "B"]
    patched = client.patch("nodes", "a", {"spec": {
        "taints": [{"key": "b"}], "$deleteFromPrimitiveList/podCIDRs": ["x"], "podCIDRs": ["z"]}},
        content_type=STRATEGIC)
    assert patched["spec"] == {"taints": [{"key": "b"}], "podCIDRs": ["y", "z"]}  # taints are one value
    client.create(pool("p"))
    refused(415, client.patch, "ippools", "p", {}, content_type=STRATEGIC)


def test_server_side_apply_is_refused_clearly(client):
    client.create(node("a"))
    failure = refused(415, client.patch, "nodes", "a", {}, content_type="application/apply-patch+yaml")
    assert "server-side apply" in str(failure)


@pytest.mark.parametrize("name", ["UPPER", "a_b", "-a", "a" * 254, "a\nb", "", 'a"b', "a;b", "a}"])
def test_bad_names_are_invalid(client, name):
    refused(422, client.create, node(name))


@pytest.mark.parametrize("metadata", [
    {"labels": {"a b": "x"}}, {"labels": {"a": "x\ny"}}, {"labels": {"a": 1}}, {"labels": []},
    {"annotations": {"a": 5}}, {"annotations": {"a": "x" * 300000}}])
def test_bad_labels_and_annotations_are_invalid(client, metadata):
    if metadata == {"labels": []}:
        client.create(node("a", **metadata))  # an empty list reads as no labels, as upstream's null
        return
    refused(422, client.create, node("a", **metadata))


def test_loading_takes_what_rest_would_refuse(client):
    hostile = {"apiVersion": CALICO, "kind": "IPPool", "metadata": {"name": 'x";}\n'}, "spec": {"cidr": 5}}
    assert client.load(hostile) == 1
    assert client.get("ippools", 'x";}\n')["spec"] == {"cidr": 5}
    client.load({**hostile, "metadata": {"name": "a/b?c%"}})
    assert client.get("ippools", "a/b?c%")


def test_an_unknown_namespace_is_refused_and_a_deleted_one_takes_its_objects_along(client):
    body = pod("p")
    body["metadata"]["namespace"] = "gone-soon"
    assert 'namespaces "gone-soon" not found' in str(refused(404, client.create, body))
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gone-soon"}})
    made = client.create(body)
    client.delete("namespaces", "gone-soon")
    refused(403, client.create, {**body, "metadata": {"name": "late", "namespace": "gone-soon"}})
    version = made["metadata"]["resourceVersion"]
    events = client.watch("namespaces", resourceVersion=version, fieldSelector="metadata.name=gone-soon")
    assert [next(events)["type"], next(events)["type"]] == ["MODIFIED", "DELETED"]
    refused(404, client.get, "pods", "p", "gone-soon")


def test_finalizers_hold_an_object_until_they_are_taken_away(client):
    client.create(node("a", finalizers=["x/y"]))
    client.delete("nodes", "a")
    assert "deletionTimestamp" in client.get("nodes", "a")["metadata"]
    client.patch("nodes", "a", {"metadata": {"finalizers": None}})
    refused(404, client.get, "nodes", "a")


def test_delete_checks_its_preconditions(client):
    uid = client.create(node("a"))["metadata"]["uid"]
    path = client.path("nodes", "a")
    refused(409, client.request, "DELETE", path, {"preconditions": {"uid": "other"}})
    assert client.request("DELETE", path, {"preconditions": {"uid": uid}})["status"] == "Success"


def test_dry_run_answers_and_stores_nothing(client):
    made = client.request("POST", "/api/v1/nodes?dryRun=All", node("a"))
    assert made["metadata"]["uid"]
    refused(404, client.get, "nodes", "a")


@pytest.mark.parametrize("selector,names", [
    ("zone=a", "ac"), ("zone==a,disk", "a"), ("zone!=a", "bd"), ("zone in (a, b)", "abc"),
    ("zone notin (a)", "bd"), ("!zone", "d"), ("disk=", ""), ("x.io/y=z", "b")])
def test_label_selectors(client, selector, names):
    labels = {"a": {"zone": "a", "disk": "ssd"}, "b": {"zone": "b", "x.io/y": "z"}, "c": {"zone": "a"}, "d": {}}
    for name, have in labels.items():
        client.create(node(name, labels=have))
    assert "".join(o["metadata"]["name"] for o in client.list("nodes", labelSelector=selector)) == names


def test_field_selectors_and_one_that_is_not_offered(client):
    for name, where in (("p1", "n1"), ("p2", "n2"), ("p3", "")):
        client.create(pod(name, where))
    client.patch("pods", "p2", {"status": {"phase": "Running"}}, "default", "status")

    def names(selector):
        return [o["metadata"]["name"] for o in client.list("pods", fieldSelector=selector)]
    assert names("spec.nodeName=n1") == ["p1"]
    assert names("spec.nodeName!=") == ["p1", "p2"]
    assert names("status.phase=Running,metadata.namespace=default") == ["p2"]
    assert names("metadata.name=p3") == ["p3"]
    refused(400, client.list, "pods", fieldSelector="spec.image=x")
    refused(400, client.list, "pods", labelSelector="a in b")


def test_pages_are_of_one_moment(client):
    for i in range(7):
        client.create(node(f"n{i}"))
    page = client.request("GET", "/api/v1/nodes?limit=3")
    version, names = page["metadata"]["resourceVersion"], []
    assert page["metadata"]["remainingItemCount"] == 4
    client.delete("nodes", "n4")
    client.create(node("n35"))
    while True:
        assert page["metadata"]["resourceVersion"] == version
        names += [o["metadata"]["name"] for o in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            break
        page = client.request("GET", f"/api/v1/nodes?limit=3&continue={token}")
    assert names == [f"n{i}" for i in range(7)]


def test_an_expired_or_broken_continue_token(client):
    for i in range(3):
        client.create(node(f"n{i}"))
    token = client.request("GET", "/api/v1/nodes?limit=1")["metadata"]["continue"]
    client.compact()
    assert refused(410, client.request, "GET", f"/api/v1/nodes?limit=1&continue={token}").status["reason"] == "Expired"
    refused(400, client.request, "GET", "/api/v1/nodes?limit=1&continue=garbage")


def test_an_exact_version_lists_the_past_and_a_future_one_waits_in_vain(client):
    client.create(node("a"))
    then = client.create(node("b"))["metadata"]["resourceVersion"]
    client.delete("nodes", "a")
    exact = client.list("nodes", resourceVersion=then, resourceVersionMatch="Exact")
    assert [o["metadata"]["name"] for o in exact] == ["a", "b"]
    failure = refused(504, client.list, "nodes", resourceVersion=int(then) + 1000)
    assert failure.status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_list_items_carry_kind_for_custom_resources_only(client):
    client.create(node("a"))
    client.create(pool("a"))
    assert "kind" not in client.list("nodes")[0]
    assert client.list("ippools")[0]["apiVersion"] == CALICO


def test_deletecollection_follows_the_selector(client):
    for name in "abc":
        client.create(node(name, labels={"x": name}))
    client.delete_all("nodes", labelSelector="x in (a,b)")
    assert [o["metadata"]["name"] for o in client.list("nodes")] == ["c"]


def test_long_answers_are_compressed_when_accepted(api, client):
    client.options(gzip_min=1000)
    for i in range(20):
        client.create(node(f"n{i}", annotations={"x": "y" * 100}))
    plain = client.raw("GET", "/api/v1/nodes")
    packed = client.raw("GET", "/api/v1/nodes", headers={"Accept-Encoding": "gzip"})
    client.options(gzip_min=128 * 1024)
    assert plain[1]["Content-Encoding"] is None and packed[1]["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed[2]) == plain[2] and len(packed[2]) < len(plain[2]) / 4


def test_a_crd_adds_its_kind_at_run_time_and_takes_it_away(client):
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": "things.test.canal"},
           "spec": {"group": "test.canal", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
                    "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}]}}
    made = client.create(crd)
    assert {c["type"]: c["status"] for c in made["status"]["conditions"]}["Established"] == "True"
    thing = {"apiVersion": "test.canal/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "default"}}
    client.create(thing)
    assert client.patch("Thing", "t", {"status": {"ok": True}}, "default", "status")["status"] == {"ok": True}
    client.delete("CustomResourceDefinition", "things.test.canal")
    refused(404, client.request, "GET", "/apis/test.canal/v1/namespaces/default/things/t")
    client.create(crd)
    assert client.list("Thing") == []
    client.delete("CustomResourceDefinition", "things.test.canal")
    refused(422, client.create, {**crd, "metadata": {"name": "bad.test.canal"}, "spec": {"group": "x"}})


def test_discovery_names_every_kind_the_design_reads(client):
    wanted = {"v1": "Node Pod Namespace ServiceAccount Service Secret ConfigMap Event",
              "discovery.k8s.io/v1": "EndpointSlice", "networking.k8s.io/v1": "NetworkPolicy",
              "policy.networking.k8s.io/v1alpha2": "ClusterNetworkPolicy",
              CALICO: "IPPool BGPConfiguration BGPPeer BGPFilter FelixConfiguration ClusterInformation "
                      "NetworkPolicy GlobalNetworkPolicy Tier NetworkSet GlobalNetworkSet HostEndpoint "
                      "BlockAffinity IPAMBlock IPAMHandle IPAMConfig IPReservation StagedNetworkPolicy "
                      "StagedGlobalNetworkPolicy StagedKubernetesNetworkPolicy CalicoNodeStatus "
                      "KubeControllersConfiguration"}
    for version, names in wanted.items():
        path = "/api/v1" if version == "v1" else "/apis/" + version
        served = {r["kind"] for r in client.request("GET", path)["resources"]}
        assert set(names.split()) <= served


@pytest.mark.parametrize("method,path,body,code", [
    ("GET", "/nothing", None, 404), ("GET", "/api/v1/things", None, 404), ("GET", "/api/v1/nodes/none", None, 404),
    ("POST", "/api/v1/nodes", b'{"spec":NaN}', 400), ("POST", "/api/v1/nodes", b'"\xff"', 400),
    ("POST", "/api/v1/nodes", b"{", 400), ("POST", "/api/v1/nodes", b"[]", 400),
    ("POST", "/api/v1/nodes", b'{"kind":"Pod","apiVersion":"v1"}', 400), ("POST", "/api/v1/pods", b"{}", 405),
    ("PUT", "/api/v1/nodes/none", b'{"metadata":{"name":"none"}}', 404), ("PUT", "/api/v1/nodes", b"{}", 405),
    ("OPTIONS", "/api/v1/nodes", None, 405), ("GET", "/api/v1/nodes?limit=x", None, 400),
    ("GET", "/api/v1/nodes?resourceVersion=x", None, 400)])
def test_bad_requests_are_answered_with_a_status(client, method, path, body, code):
    got, _, answer = client.raw(method, path, body, "application/json")
    document = json.loads(answer)
    assert (got, document["kind"], document["code"]) == (code, "Status", code)


def test_one_connection_serves_many_requests(api):
    client = Client(api.http_url)
    for _ in range(5):
        client.list("nodes")
    mine = [c for c in client.stats()["connections"] if c["listener"] == "http" and c["requests"] > 5]
    assert len(mine) == 1
    client.close()


def test_head_has_no_body(api):
    conn = Client(api.http_url).connect()
    for path in ("/version", "/api/v1/nodes"):
        conn.request("HEAD", path)
        answer = conn.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
    conn.close()


def test_a_request_in_pieces_and_two_at_once_are_answered(api):
    conn = Client(api.http_url).connect()
    conn.connect()
    request = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    for byte in request:
        conn.sock.sendall(bytes([byte]))
    conn.sock.sendall(request * 2 + b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n")
    data = b""
    while chunk := conn.sock.recv(65536):
        data += chunk
    conn.close()
    assert data.count(b"HTTP/1.1 200 OK") == 4


def test_generated_pods_look_real_and_are_selected_by_node(client):
    client.generate("Node", 5)
    client.generate("Pod", 100, nodes=5, namespaces=3)
    pods = client.list("pods", fieldSelector="spec.nodeName=node-00003")
    assert len(pods) == 20 and len({p["status"]["podIP"] for p in pods}) == 20
    block = client.get("nodes", "node-00003")["spec"]["podCIDR"]
    assert block == "10.0.3.0/24" and all(p["status"]["podIP"].startswith("10.0.3.") for p in pods)
    assert 2500 < len(json.dumps(pods[0])) < 4500
    version = client.request("GET", "/api/v1/pods?limit=1")["metadata"]["resourceVersion"]
    client.churn(10, nodes=5, namespaces=3, pods=5)
    events = client.watch("pods", resourceVersion=version, timeout=1)
    changed = [next(events)["object"] for _ in range(10)]
    assert len({p["metadata"]["name"] for p in changed}) == 5
    assert changed[0]["status"]["podIP"] != changed[5]["status"]["podIP"]
    for i in range(3):
        client.delete("namespaces", f"ns-{i:04d}")
