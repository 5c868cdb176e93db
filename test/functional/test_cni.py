"""The CNI plugin with the real felix: every verb in every version, refusals, roll-back, repair."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time

import pytest

from cni_plugin import (NETWORK, PLUGIN, VERSIONS, CniError, Plugin, Sandbox, ips, one_node,
                        write_file)
from lab import Netns, probe, wait_for

HOST_LOCAL = "/usr/lib/cni/host-local"


@pytest.fixture(name="cluster", scope="module")
def cluster_fixture():
    with one_node() as cluster:
        cluster.start_nodes()
        yield cluster


@pytest.fixture(name="node")
def node_fixture(cluster):
    node = cluster.node("a1")
    if not node.felix.alive():
        node.start_canal()
    node.wait_ready()
    return node


@pytest.fixture(name="plugin")
def plugin_fixture(node):
    """Every test begins and ends without a pod."""
    plugin = Plugin(node)
    yield plugin
    if not node.felix.alive():
        node.start_canal()
        node.wait_ready()
    for sandbox in SANDBOXES:
        plugin.delete(sandbox)
        sandbox.drop()
    SANDBOXES.clear()
    plugin.wait_clean()
    shutil.rmtree(plugin.addresses, ignore_errors=True)


SANDBOXES = []


@pytest.fixture(name="sandbox")
def sandbox_fixture(node, plugin):
    def make(name="web", **kwargs):
        box = Sandbox(node, name, **kwargs)
        SANDBOXES.append(box)
        return box
    assert plugin.node is node
    return make


def reaches(source, address):
    return probe({1: (source, address)}, deadline=5.0, tries=3)[1]


# ---- ADD
@pytest.mark.parametrize("version", VERSIONS)
def test_add_answers_in_the_version_asked_for(plugin, sandbox, version):
    box = sandbox()
    result = plugin.add(box, plugin.config(version, mtu=1400))
    assert result["cniVersion"] == version
    host, inside = result["interfaces"]
    assert host["name"] == box.host_ifname and not host.get("sandbox")
    assert host["mac"] == "ee:ee:ee:ee:ee:ee"
    assert (inside["name"], inside["sandbox"]) == ("eth0", box.netns.path)
    assert inside["mac"] == plugin.pod_link(box)["address"]
    assert ("mtu" in inside) == (version == "1.1.0")
    for entry, family in zip(result["ips"], "46"):
        assert entry["interface"] == 1
        assert entry.get("version") == (family if version < "1" else None)
    assert [e["address"].split("/")[1] for e in result["ips"]] == ["32", "128"]


def test_a_pod_is_wired_as_calico_wires_it(plugin, sandbox, node):
    box = sandbox()
    result = plugin.add(box, plugin.config(mtu=1380))
    link = plugin.host_links()[box.host_ifname]
    assert link["address"] == "ee:ee:ee:ee:ee:ee"
    assert link["ifalias"] == box.container_id[:63]
    assert "UP" in link["flags"] and link["mtu"] == 1380
    inside = plugin.pod_link(box)
    assert inside["mtu"] == 1380
    addresses = {(a["local"], a["prefixlen"]) for a in inside["addr_info"] if a["scope"] == "global"}
    assert addresses == {(ip, 128 if ":" in ip else 32) for ip in ips(result)}
    assert not any(a.get("tentative") for a in inside["addr_info"] if a["scope"] == "global")
    routes = {(r["dst"], r.get("gateway")) for r in
              json.loads(box.netns.run(["ip", "-j", "route", "show"]))}
    assert routes == {("169.254.1.1", None), ("default", "169.254.1.1")}
    routes6 = json.loads(box.netns.run(["ip", "-6", "-j", "route", "show", "default"]))
    assert [r["gateway"] for r in routes6] == ["fe80::ecee:eeff:feee:eeee"]
    forward = box.netns.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).strip()
    assert forward == "0"
    for ip in ips(result):
        assert node.route_to(ip)["dev"] == box.host_ifname
    assert plugin.files() == {ip: (box.container_id, "eth0") for ip in ips(result)}


def pod_routes(box, family, table="main"):
    """{destination: next hop} of the interface of the pod; the kernel's own left out."""
    shown = json.loads(box.netns.run(["ip", f"-{family}", "-j", "route", "show", "table", table, "dev", "eth0"]))
    return {r["dst"]: r.get("gateway") for r in shown if r.get("protocol") != "kernel"}


LINK4, LINK6 = "169.254.1.1", "fe80::ecee:eeff:feee:eeee"
ROUTES = [{"dst": "10.0.0.0/8"}, {"dst": "fd00::/8", "gw": "fd00::1", "mtu": 1300, "priority": 7},
          {"dst": "192.0.2.0/24", "advmss": 1200, "table": 100}]


@pytest.mark.parametrize("version", VERSIONS)
def test_listed_routes_replace_the_default_ones(plugin, sandbox, version):
    box = sandbox()
    config = plugin.config(version, ipam={"routes": ROUTES})
    result = plugin.add(box, config)
    assert pod_routes(box, 4) == {LINK4: None, "10.0.0.0/8": LINK4}
    assert pod_routes(box, 6) == {"fd00::/8": LINK6}
    assert pod_routes(box, 4, "100") == {"192.0.2.0/24": LINK4}
    text = box.netns.run(["ip", "-6", "route", "show", "fd00::/8"])
    assert "mtu 1300" in text and "metric 7" in text
    assert "advmss 1200" in box.netns.run(["ip", "route", "show", "table", "100"])
    # Not the next hop that was asked for: the node is the only one there is.
    new = [{k: v for k, v in route.items() if k != "gw"} for route in ROUTES]
    assert result["routes"] == (new if version == "1.1.0" else [{"dst": r["dst"]} for r in new])
    if version != "0.3.1":
        config["prevResult"] = result
        plugin.call("CHECK", box, config)
        for command in ("route del 10.0.0.0/8", "route del fd00::/8", "route del 192.0.2.0/24 table 100"):
            box.netns.ip(command)
            with pytest.raises(CniError) as broken:
                plugin.call("CHECK", box, config)
            assert broken.value.code == 100 and "no route to" in broken.value.text
            box.netns.ip(command.replace("del", "add") + " via " + (LINK6 if "::" in command else LINK4) + " dev eth0")
        plugin.call("CHECK", box, config)
    plugin.delete(box, config)
    plugin.wait_clean()


def test_default_routes_stay_beside_listed_ones_when_that_is_asked_for(plugin, sandbox):
    box, other = sandbox("one"), sandbox("two")
    config = plugin.config(ipam={"routes": [{"dst": "192.0.2.0/24"}]}, include_default_routes=True)
    result = plugin.add(box, config)
    assert pod_routes(box, 4) == {LINK4: None, "192.0.2.0/24": LINK4, "default": LINK4}
    assert pod_routes(box, 6) == {"default": LINK6}
    assert [r["dst"] for r in result["routes"]] == ["192.0.2.0/24", "0.0.0.0/0", "::/0"]
    for ip in ips(plugin.add(other)):
        assert reaches(box.netns, ip), ip


def test_a_pod_reaches_what_its_routes_name_and_nothing_else(plugin, sandbox, node):
    one, two = sandbox("one"), sandbox("two")
    plugin.add(one, plugin.config(ipam={"routes": [{"dst": node.pod_cidr4}]}))
    ip4, ip6 = ips(plugin.add(two, plugin.config()))
    assert reaches(one.netns, ip4)
    assert not probe({1: (one.netns, ip6)}, deadline=1.0, tries=2)[1]


def test_a_route_that_is_wrong_is_refused_by_its_field(plugin, sandbox):
    with pytest.raises(CniError) as refused:
        plugin.add(sandbox(), plugin.config(ipam={"routes": [{"dst": "10.0.0.0/8"}, {"dst": "nowhere"}]}))
    assert refused.value.code == 7 and "ipam.routes[1].dst" in refused.value.text
    assert plugin.files() == {}


def test_pods_reach_each_other_over_both_families_at_once(plugin, sandbox):
    one, two = sandbox("one"), sandbox("two")
    plugin.add(one)
    result = plugin.add(two)
    for ip in ips(result):
        assert reaches(one.netns, ip), ip


def test_a_pod_the_api_does_not_know_is_closed(plugin, sandbox):
    """Nobody can say which policy is its."""
    one, two = sandbox("one"), sandbox("stranger", known=False)
    plugin.add(one)
    for ip in ips(plugin.add(two)):
        assert not probe({1: (one.netns, ip)}, deadline=1.0, tries=3)[1], ip


def test_forwarding_in_the_pod_is_for_who_asks(plugin, sandbox):
    box = sandbox()
    plugin.add(box, plugin.config(container_settings={"allow_ip_forwarding": True}))
    assert box.netns.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).strip() == "1"


def test_mtu_comes_from_felix_when_the_configuration_has_none(plugin, sandbox, node):
    box = sandbox()
    plugin.add(box)
    told = json.loads((node.state_dir / "podcidrs.json").read_text())["mtu"]
    assert told > 0 and plugin.pod_link(box)["mtu"] == told


def test_a_mac_that_was_asked_for_is_set(plugin, sandbox):
    box = sandbox()
    plugin.add(box, plugin.config(runtimeConfig={"mac": "02:00:00:00:00:07"}))
    assert plugin.pod_link(box)["address"] == "02:00:00:00:00:07"


def test_without_kubernetes_the_link_is_named_by_the_container(plugin, sandbox):
    box = sandbox()
    plugin.add(box, CNI_ARGS=None)
    assert list(plugin.host_links()) == [f"cali{box.container_id[:11]}"]
    plugin.delete(box, CNI_ARGS=None)
    plugin.wait_clean()


@pytest.mark.parametrize("version", VERSIONS)
def test_as_a_chained_plugin_the_earlier_result_is_kept(plugin, sandbox, version):
    box = sandbox()
    earlier = {"cniVersion": version, "interfaces": [{"name": "dummy0", "sandbox": box.netns.path}],
               "ips": [{"address": "192.0.2.7/24", "interface": 0,
                        **({"version": "4"} if version < "1" else {})}],
               "routes": [{"dst": "192.0.2.0/24"}], "dns": {"nameservers": ["192.0.2.53"]}}
    result = plugin.add(box, plugin.config(version, prevResult=earlier))
    assert [i["name"] for i in result["interfaces"]] == ["dummy0", box.host_ifname, "eth0"]
    assert result["ips"][0] == earlier["ips"][0]
    assert [e["interface"] for e in result["ips"]] == [0, 2, 2]
    assert result["dns"] == earlier["dns"] and earlier["routes"][0] in result["routes"]
    if version != "0.3.1":
        plugin.call("CHECK", box, plugin.config(version, prevResult=result))
    plugin.delete(box, plugin.config(version, prevResult=result))
    plugin.wait_clean()


def test_the_next_plugin_of_the_list_can_work_with_the_result(plugin, sandbox, node):
    """portmap, as in deploy/10-canal.conflist."""
    box = sandbox()
    result = plugin.add(box)
    config = {"cniVersion": "1.0.0", "name": NETWORK, "type": "portmap", "snat": True,
              "prevResult": result, "capabilities": {"portMappings": True},
              "runtimeConfig": {"portMappings": [{"hostPort": 18080, "containerPort": 80,
                                                  "protocol": "tcp"}]}}

    def portmap(command):
        node.netns.run(["/usr/lib/cni/portmap"], input=json.dumps(config), env=box.env(command))

    portmap("ADD")
    rules = node.netns.run(["iptables-save", "-t", "nat"])
    assert f"{ips(result)[0]}:80" in rules
    portmap("DEL")


# ---- addresses
def test_explicit_ranges_are_used_one_set_an_address(plugin, sandbox):
    box = sandbox()
    result = plugin.add(box, plugin.config(ipam={
        "ranges": [[{"subnet": "10.99.0.0/24", "rangeStart": "10.99.0.20", "rangeEnd": "10.99.0.29"}]]}))
    assert ips(result) == ["10.99.0.20"]


def test_network_first_and_broadcast_address_are_never_given(plugin, sandbox):
    config = plugin.config(ipam={"subnet": "10.99.1.0/29"})
    given = [ips(plugin.add(sandbox(f"p{i}"), config))[0] for i in range(5)]
    assert given == [f"10.99.1.{n}" for n in range(2, 7)]
    with pytest.raises(CniError) as refused:
        plugin.add(sandbox("late"), config)
    assert "no IPv4 address is left" in refused.value.text
    assert "late" not in str(plugin.files())


def test_addresses_go_round_before_they_are_used_again(plugin, sandbox):
    config = plugin.config(ipam={"subnet": "10.99.2.0/28"})
    box, other = sandbox("one"), sandbox("two")
    first = ips(plugin.add(box, config))[0]
    plugin.delete(box, config)
    second = ips(plugin.add(other, config))[0]
    assert (first, second) == ("10.99.2.2", "10.99.2.3")
    assert (plugin.addresses / "last_reserved_ip.0").read_text() == second


@pytest.mark.parametrize("how", ["runtimeConfig", "args", "CNI_ARGS"])
def test_an_address_that_was_asked_for_is_given_or_refused(plugin, sandbox, node, how):
    wanted = node.pod_cidr4.replace(".0/24", ".77")
    box, other = sandbox("one"), sandbox("two")

    def add(target):
        if how == "CNI_ARGS":
            return plugin.add(target, CNI_ARGS=target.env("ADD")["CNI_ARGS"] + f";IP={wanted}")
        more = {"runtimeConfig": {"ips": [wanted]}} if how == "runtimeConfig" else \
            {"args": {"cni": {"ips": [wanted]}}}
        return plugin.add(target, plugin.config(**more))

    assert wanted in ips(add(box))
    with pytest.raises(CniError) as refused:
        add(other)
    assert "in use" in refused.value.text
    assert len({owner for owner, _ in plugin.files().values()}) == 1


def test_a_range_of_the_runtime_is_used(plugin, sandbox):
    result = plugin.add(sandbox(), plugin.config(
        runtimeConfig={"ipRanges": [[{"subnet": "10.99.3.0/24"}]]}))
    assert ips(result) == ["10.99.3.2"]


def test_both_families_are_given_or_none(plugin, sandbox):
    config = plugin.config(ipam={"ranges": [[{"subnet": "10.99.4.0/24"}],
                                            [{"subnet": "fd99::/126"}]]})
    plugin.add(sandbox("one"), config)
    plugin.add(sandbox("two"), config)  # ::2 and ::3 are all there is
    before = plugin.files()
    with pytest.raises(CniError):
        plugin.add(sandbox("three"), config)
    assert plugin.files() == before


def test_host_locals_own_files_are_understood(plugin, sandbox, node):
    """Debian's host-local gives an address; we do not give it again, and release what it gave."""
    box = sandbox("old")
    config = plugin.config("1.0.0", ipam={"subnet": "10.99.5.0/24"})
    out = node.netns.run([HOST_LOCAL], input=json.dumps(config), env=box.env("ADD"), stderr=None)
    theirs = ips(json.loads(out))[0]
    assert theirs in plugin.files()
    ours = ips(plugin.add(sandbox("new"), config))[0]
    assert ours != theirs
    plugin.delete(box, config)
    wait_for(lambda: theirs not in plugin.files(), 5, "the address is released")
    # And the other way round.
    out = node.netns.run([HOST_LOCAL], input=json.dumps(config), env=box.env("ADD"), stderr=None)
    assert ips(json.loads(out))[0] not in (theirs, ours)
    node.netns.run([HOST_LOCAL], input=json.dumps(config), env=SANDBOXES[1].env("DEL"), stderr=None)
    assert ours not in plugin.files()
    node.netns.run([HOST_LOCAL], input=json.dumps(config), env=box.env("DEL"), stderr=None)


# ---- repair
def test_after_a_reboot_old_files_do_not_block_addresses(plugin, sandbox):
    """/var/lib survives a reboot, sandboxes do not."""
    config = plugin.config(ipam={"subnet": "10.99.6.0/29"})
    for n in range(2, 7):
        write_file(plugin.addresses, f"10.99.6.{n}", f"{'d' * 63}{n}\r\neth0")
        subprocess.run(["touch", "-d", "2020-01-01", str(plugin.addresses / f"10.99.6.{n}")], check=True)
    assert ips(plugin.add(sandbox(), config))[0].startswith("10.99.6.")
    assert len(plugin.files()) == 1


def test_reclaiming_spares_the_living_and_the_young(plugin, sandbox):
    config = plugin.config(ipam={"subnet": "10.99.7.0/29"})
    alive = sandbox("alive")
    living = ips(plugin.add(alive, config))[0]
    subprocess.run(["touch", "-d", "2020-01-01", str(plugin.addresses / living)], check=True)
    rest = [f"10.99.7.{n}" for n in range(2, 7) if f"10.99.7.{n}" != living]
    for ip in rest:
        write_file(plugin.addresses, ip, f"{'e' * 64}\r\neth0")  # as of an ADD that is under way
    with pytest.raises(CniError):
        plugin.add(sandbox("late"), config)
    assert set(plugin.files()) == {living, *rest}
    subprocess.run(["touch", "-d", "2020-01-01", str(plugin.addresses / rest[0])], check=True)
    assert ips(plugin.add(sandbox("later"), config)) != [living]
    for ip in rest:
        (plugin.addresses / ip).unlink(missing_ok=True)


def test_lost_files_do_not_make_duplicates(plugin, sandbox):
    """The directory was wiped while pods run: the kernel still knows their addresses."""
    config = plugin.config(ipam={"subnet": "10.99.8.0/29"})
    given = {ips(plugin.add(sandbox(f"p{i}"), config))[0] for i in range(3)}
    shutil.rmtree(plugin.addresses)
    rest = {ips(plugin.add(sandbox(f"q{i}"), config))[0] for i in range(2)}
    assert not given & rest
    with pytest.raises(CniError):
        plugin.add(sandbox("late"), config)


def test_an_empty_file_of_a_killed_add_is_nobodys(plugin, sandbox):
    config = plugin.config(ipam={"subnet": "10.99.9.0/29"})
    for n in range(2, 7):
        write_file(plugin.addresses, f"10.99.9.{n}", "")
    box = sandbox()
    plugin.add(box, config)
    plugin.delete(box, config)
    wait_for(lambda: not plugin.files(), 5, lambda: plugin.files())


# ---- DEL
def test_del_works_again_and_again(plugin, sandbox):
    box = sandbox()
    result = plugin.add(box)
    for previous in ({"prevResult": result}, {}, {}):
        plugin.delete(box, plugin.config(**previous))
    plugin.wait_clean()


def test_del_without_the_namespace(plugin, sandbox):
    box = sandbox()
    plugin.add(box)
    plugin.delete(box, CNI_NETNS=None)
    plugin.wait_clean()
    plugin.delete(box, CNI_NETNS="/run/netns/never-there")


def test_del_after_the_namespace_has_gone_with_its_link(plugin, sandbox, cluster):
    box = sandbox()
    plugin.add(box)
    cluster.drop_namespaces([box.netns])
    try:
        wait_for(lambda: not plugin.host_links(), 10, "the kernel takes the link down")
        plugin.delete(box)
        plugin.wait_clean()
    finally:
        cluster.add_namespaces([box.netns])


def test_del_of_what_never_was(plugin, sandbox):
    plugin.delete(sandbox())
    plugin.delete(sandbox("two"), CNI_ARGS=None)


def test_del_while_the_api_is_down(plugin, sandbox, cluster):
    box = sandbox()
    plugin.add(box)
    cluster.api.down()
    try:
        plugin.delete(box)
        plugin.wait_clean()
        other = sandbox("two")  # ADD needs it as little
        plugin.add(other)
    finally:
        cluster.api.up()


@pytest.mark.parametrize("how", ["as told", "no namespace", "no arguments", "gone"])
def test_del_while_felix_is_down_does_the_work_itself(plugin, sandbox, node, how):
    box = sandbox()
    result = plugin.add(box)
    node.felix.kill9()
    extra = {"as told": {}, "no namespace": {"CNI_NETNS": None}, "gone": {"CNI_NETNS": "/nowhere"},
             "no arguments": {"CNI_ARGS": None, "CNI_NETNS": None}}[how]
    start = time.monotonic()
    plugin.delete(box, **extra)
    assert time.monotonic() - start < 8  # it does not wait for felix to come back
    assert plugin.host_links() == {} and plugin.files() == {}
    assert plugin.pod_link(box) is None
    node.start_canal()
    node.wait_ready()
    assert not any(e["ips"] for e in node.endpoints().values())  # the Pod object is there still
    assert all(node.route_to(ip) is None for ip in ips(result))
    plugin.wait_clean()


def test_an_old_sandboxs_del_leaves_the_new_one_alone(plugin, sandbox, node):
    """A StatefulSet's pod keeps its name, and so its interface's."""
    old = sandbox("db-0")
    plugin.add(old)
    new = Sandbox(node, "db-0", container_id="b" * 64, netns=second_netns(node))
    SANDBOXES.append(new)
    result = plugin.add(new)
    plugin.delete(old)
    plugin.delete(old, CNI_NETNS=None)
    wait_for(lambda: {c for c, _ in plugin.files().values()} == {new.container_id}, 5,
             lambda: plugin.files())
    assert plugin.host_links()[new.host_ifname]["ifalias"] == new.container_id[:63]
    assert all(node.route_to(ip)["dev"] == new.host_ifname for ip in ips(result))
    plugin.call("CHECK", new, plugin.config(prevResult=result))


def second_netns(node):
    """A second namespace for a pod of a name that is in use."""
    netns = Netns(f"{node.lab.tag}-{node.name}-again")
    node.lab.add_namespaces([netns])
    return netns


def test_the_same_sandbox_can_be_added_right_after_its_del(plugin, sandbox):
    """cnitool and test suites do; felix may still have the old link in its hands."""
    box = sandbox()
    for _ in range(5):
        result = plugin.add(box)
        assert set(ips(result)) <= set(plugin.files())
        plugin.delete(box)
    result = plugin.add(box)
    wait_for(lambda: set(plugin.files()) == set(ips(result)), 5, lambda: plugin.files())
    plugin.call("CHECK", box, plugin.config(prevResult=result))


def test_a_second_add_is_refused_and_harms_nothing(plugin, sandbox):
    box = sandbox()
    result = plugin.add(box)
    with pytest.raises(CniError):
        plugin.add(box)
    assert set(plugin.files()) == set(ips(result))
    plugin.call("CHECK", box, plugin.config(prevResult=result))


# ---- CHECK
BREAKAGE = {
    "address": lambda n, b, ip: b.netns.ip(f"address del {ip}/32 dev eth0"),
    "route": lambda n, b, ip: b.netns.ip("route del default"),
    "interface": lambda n, b, ip: b.netns.ip("link set eth0 name other0"),
    "down": lambda n, b, ip: b.netns.ip("link set eth0 down"),
    "file": lambda n, b, ip: (n.cni_dir / NETWORK / ip).unlink(),
    "host": lambda n, b, ip: n.netns.ip(f"link del {b.host_ifname}"),
}


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_check_is_silent_when_all_is_well(plugin, sandbox, version):
    box = sandbox()
    result = plugin.add(box, plugin.config(version))
    assert plugin.call("CHECK", box, plugin.config(version, prevResult=result)) is None


@pytest.mark.parametrize("what", sorted(BREAKAGE))
def test_check_notices(plugin, sandbox, node, what):
    box = sandbox()
    result = plugin.add(box)
    BREAKAGE[what](node, box, ips(result)[0])
    with pytest.raises(CniError) as refused:
        plugin.call("CHECK", box, plugin.config(prevResult=result))
    assert refused.value.code >= 100, refused.value


def test_check_wants_a_version_that_has_it_and_a_result(plugin, sandbox):
    box = sandbox()
    with pytest.raises(CniError) as refused:
        plugin.call("CHECK", box, plugin.config("0.3.1"))
    assert refused.value.code == 1
    with pytest.raises(CniError) as refused:
        plugin.call("CHECK", box, plugin.config())
    assert refused.value.code == 7


# ---- GC and STATUS
def test_gc_frees_what_is_not_valid_and_nothing_else(plugin, sandbox, node):
    keep, stale, lost = sandbox("keep"), sandbox("stale"), sandbox("lost")
    kept = plugin.add(keep)
    plugin.add(stale)
    plugin.add(lost)
    other = node.cni_dir / "other-network"
    write_file(other, "10.98.0.9", f"{'f' * 64}\r\neth0")
    # felix has forgotten one of them.
    node.felix.kill9()
    for path in plugin.node_endpoints():
        if path.name.startswith(lost.container_id):
            path.unlink()
    node.start_canal()
    node.wait_ready()
    plugin.plain("GC", plugin.config("1.1.0", **{"cni.dev/valid-attachments": [
        {"containerID": keep.container_id, "ifname": "eth0"}]}))
    wait_for(lambda: set(plugin.files()) == set(ips(kept)), 5, lambda: plugin.files())
    wait_for(lambda: set(plugin.host_links()) == {keep.host_ifname}, 5, lambda: plugin.host_links())
    assert (other / "10.98.0.9").exists()
    plugin.call("CHECK", keep, plugin.config(prevResult=kept))
    shutil.rmtree(other)


def test_gc_with_an_empty_list_frees_all(plugin, sandbox):
    plugin.add(sandbox("one"))
    plugin.add(sandbox("two"))
    plugin.plain("GC", plugin.config("1.1.0", **{"cni.dev/valid-attachments": []}))
    plugin.wait_clean()


def test_gc_without_a_list_or_in_an_old_version_is_refused(plugin, sandbox):
    plugin.add(sandbox())
    with pytest.raises(CniError) as refused:
        plugin.plain("GC", plugin.config("1.1.0"))
    assert refused.value.code == 7
    for command in ("GC", "STATUS"):
        with pytest.raises(CniError) as refused:
            plugin.plain(command, plugin.config("1.0.0", **{"cni.dev/valid-attachments": []}))
        assert refused.value.code == 1
    assert len(plugin.files()) == 2


def test_gc_while_felix_is_down_frees_and_reports(plugin, sandbox, node):
    plugin.add(sandbox("one"))
    node.felix.kill9()
    with pytest.raises(CniError) as refused:
        plugin.plain("GC", plugin.config("1.1.0", policy_setup_timeout_seconds=1,
                                         **{"cni.dev/valid-attachments": []}))
    assert refused.value.code == 11
    assert plugin.files() == {} and plugin.host_links() == {}


def test_status_says_whether_a_pod_can_be_added(plugin, sandbox, node):
    config = plugin.config("1.1.0", policy_setup_timeout_seconds=1)
    plugin.plain("STATUS", config)
    full = plugin.config("1.1.0", ipam={"subnet": "10.99.10.0/30"})
    plugin.plain("STATUS", full)
    plugin.add(sandbox(), full)
    with pytest.raises(CniError) as refused:
        plugin.plain("STATUS", full)
    assert refused.value.code == 50 and "no IPv4 address" in refused.value.text
    node.felix.kill9()
    with pytest.raises(CniError) as refused:
        plugin.plain("STATUS", config)
    assert refused.value.code == 50


@pytest.mark.parametrize("limited,code", [(True, 51), (False, 50)])
def test_status_tells_whether_pods_that_are_there_suffer(plugin, node, limited, code):
    node.felix.kill9()
    felix = DeafFelix(node.felix_socket, lambda r: {"ok": True, "ready": False, "limited": limited,
                                                    "reason": "no tunl0"})
    try:
        with pytest.raises(CniError) as refused:
            plugin.plain("STATUS", plugin.config("1.1.0"))
        assert refused.value.code == code and "no tunl0" in refused.value.text
    finally:
        felix.close()


# ---- felix
def test_add_waits_for_a_felix_that_is_starting(plugin, sandbox, node):
    node.felix.kill9()
    box = sandbox()
    process = plugin.popen(box.env("ADD"))
    starter = threading.Timer(0.5, node.start_canal)
    starter.start()
    result = plugin.finish(process, json.dumps(plugin.config(policy_setup_timeout_seconds=30)))
    starter.join()
    assert len(result["ips"]) == 2


def test_add_without_felix_says_try_again_and_leaves_nothing(plugin, sandbox, node):
    node.felix.kill9()
    box = sandbox()
    start = time.monotonic()
    with pytest.raises(CniError) as refused:
        plugin.add(box, plugin.config(policy_setup_timeout_seconds=1))
    assert refused.value.code == 11
    assert 0.5 < time.monotonic() - start < 4
    assert plugin.files() == {} and plugin.host_links() == {} and plugin.pod_link(box) is None


class DeafFelix:
    """Knows the pod CIDRs and answers nothing else: an ADD is taken back from the far end."""

    def __init__(self, path, answer):
        self.answer = answer
        self.path = path
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.seen = []
        self.threads = [threading.Thread(target=self.serve, daemon=True)]
        self.threads[0].start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.talk, args=(client,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def talk(self, client):
        with client, client.makefile("rb") as stream, contextlib.suppress(OSError):
            for line in stream:
                request = json.loads(line)
                self.seen.append(request["op"])
                answer = self.answer(request)
                if answer is not None:
                    client.sendall(answer if isinstance(answer, bytes)
                                   else json.dumps(answer).encode() + b"\n")

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.threads[0].join()
        self.socket.close()
        self.path.unlink()


FELIX_ANSWERS = {
    "silent": (None, 11),
    "refusing": ({"ok": False, "code": 7, "error": "no"}, 7),
    "garbage": (b"}{\n", None),
    "endless": (b"x" * 300000, None),
}


@pytest.mark.parametrize("how", sorted(FELIX_ANSWERS))
def test_an_add_that_felix_does_not_confirm_is_taken_back(plugin, sandbox, node, how):
    answer, code = FELIX_ANSWERS[how]
    node.felix.kill9()
    status = {"ok": True, "ready": True, "mtu": 1400, "pod_cidrs": ["10.97.0.0/24", "fd97::/64"]}
    felix = DeafFelix(node.felix_socket, lambda r: status if r["op"] == "status" else answer)
    box = sandbox()
    try:
        with pytest.raises(CniError) as refused:
            plugin.add(box, plugin.config(policy_setup_timeout_seconds=1))
        assert code is None or refused.value.code == code
        assert felix.seen == ["status", "pod_add", "pod_del"]
        assert plugin.files() == {} and plugin.host_links() == {}
        assert plugin.pod_link(box) is None
    finally:
        felix.close()


def test_a_node_without_pod_cidr_is_told_as_such(plugin, sandbox, node, tmp_path):
    node.felix.kill9()
    felix = DeafFelix(node.felix_socket, lambda r: {"ok": True, "ready": True})
    config = plugin.config("1.1.0", policy_setup_timeout_seconds=1, state_dir=str(tmp_path))
    try:
        with pytest.raises(CniError) as refused:
            plugin.add(sandbox(), config)
        assert refused.value.code == 11 and "pod CIDR" in refused.value.text
        with pytest.raises(CniError) as refused:
            plugin.plain("STATUS", config)
        assert refused.value.code == 50
        # What felix knew last still holds.
        write_file(tmp_path, "podcidrs.json", '{"podCIDRs":["10.96.0.0/24"],"mtu":1300}')
        plugin.plain("STATUS", config)
    finally:
        felix.close()


# ---- bad input
def test_versions_are_told_without_a_configuration(plugin):
    answer = plugin.run({"CNI_COMMAND": "VERSION"}, "")
    assert set(VERSIONS) <= set(answer["supportedVersions"])
    done = subprocess.run([PLUGIN], env={}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and done.stdout == "" and "canal" in done.stderr


BAD_ENVIRONMENT = {
    "CNI_COMMAND": ["", "add", "PAUSE"],
    "CNI_CONTAINERID": [None, "", "../x", "-x", "a b", "x" * 200, "a\n"],
    "CNI_IFNAME": [None, "", ".", "..", "a/b", "a:b", "a b", "x" * 16, "é"],
    "CNI_NETNS": [None, "", "/nowhere/at/all"],
    "CNI_ARGS": ["K8S_POD_NAME", "K8S_POD_NAME=a/b", "K8S_POD_NAME=" + "x" * 300,
                 "K8S_POD_NAMESPACE=a\"b", "K8S_POD_NAME=$(reboot)"],
}


@pytest.mark.parametrize("variable", sorted(BAD_ENVIRONMENT))
def test_a_bad_environment_is_refused(plugin, sandbox, variable):
    box = sandbox()
    for value in BAD_ENVIRONMENT[variable]:
        with pytest.raises(CniError) as refused:
            plugin.add(box, **{variable: value})
        assert refused.value.code == 4, (variable, value, refused.value)
    assert plugin.files() == {}


def test_the_hosts_own_namespace_is_refused(plugin, sandbox, node):
    box = sandbox()
    before = node.netns.run(["ip", "-o", "link"])
    with pytest.raises(CniError) as refused:
        plugin.add(box, CNI_NETNS=node.netns.path)
    assert refused.value.code == 8
    assert node.netns.run(["ip", "-o", "link"]) == before and plugin.files() == {}


BAD_CONFIG = [
    ("", 6), ("{", 6), ("[]", None), ("null", None), ('{"cniVersion":"1.0.0"', 6),
    ('{"cniVersion":"0.2.0","name":"n"}', 1), ('{"cniVersion":"2.0.0","name":"n"}', 1),
    ('{"cniVersion":1,"name":"n"}', None),
]


@pytest.mark.parametrize("text,code", BAD_CONFIG)
def test_a_bad_configuration_is_refused(plugin, sandbox, text, code):
    with pytest.raises(CniError) as refused:
        plugin.add(sandbox(), text or " ")
    assert refused.value.code is not None
    assert code is None or refused.value.code == code


BAD_FIELDS = [
    {"name": "../up"}, {"name": ""}, {"name": "a/b"}, {"name": 7}, {"mtu": -1}, {"mtu": "big"},
    {"ipam": []}, {"ipam": {"type": "../host-local"}}, {"ipam": {"type": "host-local", "ranges": [{}]}},
    {"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/33"}]]}},
    {"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24", "rangeStart": "10.1.0.1"}]]}},
    {"runtimeConfig": {"mac": "zz"}}, {"runtimeConfig": {"mac": "01:00:00:00:00:01"}},
    {"runtimeConfig": {"ips": ["300.1.1.1"]}}, {"policy_setup_timeout_seconds": -1},
    {"container_settings": 3},
]


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=json.dumps)
def test_a_bad_field_is_refused(plugin, sandbox, fields):
    with pytest.raises(CniError) as refused:
        plugin.add(sandbox(), {**plugin.config(), **fields})
    assert refused.value.code == 7, refused.value


def test_secrets_of_other_plugins_are_never_repeated(plugin, sandbox):
    secret = "c2VjcmV0LXRva2Vu"
    for broken in ({"name": "a/b"}, {"mtu": "big"}, {"cniVersion": "9"}):
        with pytest.raises(CniError) as refused:
            plugin.add(sandbox("x" + str(len(SANDBOXES))),
                       {**plugin.config(), "k8s_auth_token": secret, **broken})
        assert secret not in str(refused.value)
