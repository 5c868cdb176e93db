"""Expected tables against the reference evaluator (oracle.py), so that a table written by hand and wrong is found
even where felix is wrong in the same way."""

from lab.node import POOL4, POOL6

from . import oracle, tables
from .passage import ARRIVED, SILENT, Passage

KINDS = [*(("v1", kind) for kind in ("Namespace", "ServiceAccount", "Pod", "Node")), ("discovery.k8s.io/v1", "EndpointSlice"),
         ("networking.k8s.io/v1", "NetworkPolicy"), ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
         *(("crd.projectcalico.org/v1", kind) for kind in (
             "Tier", "NetworkPolicy", "GlobalNetworkPolicy", "NetworkSet", "GlobalNetworkSet", "HostEndpoint",
             "FelixConfiguration"))]


def objects_of(client):
    """All objects of the API that policy looks at."""
    found = []
    for api_version, kind in KINDS:
        path = client.path(kind, api_version=api_version)
        found += [{**obj, "kind": kind, "apiVersion": api_version} for obj in client.request("GET", path)["items"]]
    return found


def verdicts(client, places, probes, hosts):
    """{probe: allowed} as the reference has it; `places` as the prober has them, `hosts`: {name: addresses} of nodes."""
    objects = objects_of(client)
    to_host = next((obj["spec"].get("defaultEndpointToHostAction", "Drop") for obj in objects
                    if obj["kind"] == "FelixConfiguration"), "Drop")
    passage = Passage(oracle.World(objects), hosts, (POOL4, POOL6), to_host)
    found = {}
    for probe in probes:
        target = places.get(probe.target)
        state = passage.connect(oracle.packet(
            places[probe.source].ips[probe.family], target.ips[probe.family] if target else probe.target,
            probe.protocol.upper(), probe.port))
        # Of TCP nothing is seen where the answer does not come.
        found[probe] = state != SILENT and (state, probe.protocol) != (ARRIVED, "tcp")
    return found


def check(client, places, table, probes, hosts):
    """AssertionError when the table and the reference differ."""
    found = verdicts(client, places, probes, hosts)
    wrong = {probe for probe in probes if found[probe] != table.expects(probe)}
    if wrong:
        states = {probe: "open" if found[probe] else "silent" for probe in probes}
        raise AssertionError("the reference and the expected table differ: "
                             + tables.describe(states, table.expects, wrong, str(table)))
