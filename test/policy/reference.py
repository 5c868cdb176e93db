"""Expected tables against the reference evaluator (oracle.py), so that a table written by hand and wrong is found
even where felix is wrong in the same way."""

from . import oracle, tables

KINDS = [("v1", "Namespace"), ("v1", "ServiceAccount"), ("v1", "Pod"), ("discovery.k8s.io/v1", "EndpointSlice"),
         ("networking.k8s.io/v1", "NetworkPolicy"), ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
         *(("crd.projectcalico.org/v1", kind) for kind in (
             "Tier", "NetworkPolicy", "GlobalNetworkPolicy", "NetworkSet", "GlobalNetworkSet", "HostEndpoint"))]


def objects_of(client):
    """All objects of the API that policy looks at."""
    found = []
    for api_version, kind in KINDS:
        path = client.path(kind, api_version=api_version)
        found += [{**obj, "kind": kind, "apiVersion": api_version} for obj in client.request("GET", path)["items"]]
    return found


def verdicts(client, places, probes):
    """{probe: allowed} as the reference has it; `places` as the prober has them."""
    world = oracle.World(objects_of(client))
    found = {}
    for probe in probes:
        target = places.get(probe.target)
        found[probe] = world.verdict(oracle.packet(
            places[probe.source].ips[probe.family], target.ips[probe.family] if target else probe.target,
            probe.protocol.upper(), probe.port)).is_allowed
    return found


def check(client, places, table, probes):
    """AssertionError when the table and the reference differ."""
    found = verdicts(client, places, probes)
    wrong = {probe for probe in probes if found[probe] != table.expects(probe)}
    if wrong:
        states = {probe: "open" if found[probe] else "silent" for probe in probes}
        raise AssertionError("the reference and the expected table differ: "
                             + tables.describe(states, table.expects, wrong, str(table)))
