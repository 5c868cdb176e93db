"""The kinds this server knows: one row each. CustomResourceDefinitions created through the API add more.

Scopes, short names and subresources follow the upstream API reference; Calico's CRDs have no status
subresource, so their status is an ordinary part of the object.
"""

from .errors import dumps

CLUSTER, NAMESPACED = False, True
CALICO = "crd.projectcalico.org"


class Kind:
    """One served resource. 'strategic': strategic merge patch works, as for all built-in types."""

    def __init__(self, group, version, plural, kind, namespaced, short=(), status=False, fields=(),
                 builtin=True, singular=None, list_kind=None):
        self.group, self.version, self.plural, self.kind = group, version, plural, kind
        self.namespaced, self.short, self.status, self.fields = namespaced, short, status, fields
        self.builtin = self.strategic = builtin
        self.crd = None  # name of the CustomResourceDefinition that made this kind
        self.singular = singular or kind.lower()
        self.list_kind = list_kind or kind + "List"
        self.api_version = f"{group}/{version}" if group else version
        self.qualified = f"{plural}.{group}" if group else plural
        # What every serialised object starts with. Items of built-in lists have neither kind nor
        # apiVersion upstream, those of custom resources have both.
        self.prefix = dumps({"kind": kind, "apiVersion": self.api_version})[:-1] + b","
        self.list_lead = b"{" if builtin else self.prefix

    @property
    def key(self):
        return (self.group, self.version, self.plural)

    def field_names(self):
        return ("metadata.name", "metadata.namespace") + tuple(self.fields)


def _core(plural, kind, namespaced, short=(), status=False, fields=()):
    return Kind("", "v1", plural, kind, namespaced, short, status, fields)


def _calico(plural, kind, namespaced=CLUSTER):
    return Kind(CALICO, "v1", plural, kind, namespaced, builtin=False)


EVENT_FIELDS = ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
                "involvedObject.uid", "reason", "type")


def builtin_kinds():
    return [
        _core("nodes", "Node", CLUSTER, ("no",), True, ("spec.unschedulable",)),
        _core("pods", "Pod", NAMESPACED, ("po",), True,
              ("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "spec.hostNetwork",
               "status.phase", "status.podIP")),
        _core("namespaces", "Namespace", CLUSTER, ("ns",), True, ("status.phase",)),
        _core("serviceaccounts", "ServiceAccount", NAMESPACED, ("sa",)),
        _core("services", "Service", NAMESPACED, ("svc",), True, ("spec.clusterIP", "spec.type")),
        _core("secrets", "Secret", NAMESPACED, (), False, ("type",)),
        _core("configmaps", "ConfigMap", NAMESPACED, ("cm",)),
        _core("events", "Event", NAMESPACED, ("ev",), False, EVENT_FIELDS),
        _core("endpoints", "Endpoints", NAMESPACED, ("ep",)),
        Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", NAMESPACED),
        Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", NAMESPACED, ("netpol",)),
        Kind("policy.networking.k8s.io", "v1alpha2", "clusternetworkpolicies", "ClusterNetworkPolicy",
             CLUSTER, ("cnp",), True, builtin=False),
        Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition",
             CLUSTER, ("crd", "crds"), True),
        Kind("apps", "v1", "daemonsets", "DaemonSet", NAMESPACED, ("ds",), True),
        Kind("apps", "v1", "deployments", "Deployment", NAMESPACED, ("deploy",), True),
        Kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", CLUSTER),
        Kind("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", CLUSTER),
        Kind("rbac.authorization.k8s.io", "v1", "roles", "Role", NAMESPACED),
        Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", NAMESPACED),
        Kind("coordination.k8s.io", "v1", "leases", "Lease", NAMESPACED),
        _calico("ippools", "IPPool"),
        _calico("bgpconfigurations", "BGPConfiguration"),
        _calico("bgppeers", "BGPPeer"),
        _calico("bgpfilters", "BGPFilter"),
        _calico("felixconfigurations", "FelixConfiguration"),
        _calico("clusterinformations", "ClusterInformation"),
        _calico("networkpolicies", "NetworkPolicy", NAMESPACED),
        _calico("globalnetworkpolicies", "GlobalNetworkPolicy"),
        _calico("stagednetworkpolicies", "StagedNetworkPolicy", NAMESPACED),
        _calico("stagedglobalnetworkpolicies", "StagedGlobalNetworkPolicy"),
        _calico("stagedkubernetesnetworkpolicies", "StagedKubernetesNetworkPolicy", NAMESPACED),
        _calico("tiers", "Tier"),
        _calico("networksets", "NetworkSet", NAMESPACED),
        _calico("globalnetworksets", "GlobalNetworkSet"),
        _calico("hostendpoints", "HostEndpoint"),
        _calico("blockaffinities", "BlockAffinity"),
        _calico("ipamblocks", "IPAMBlock"),
        _calico("ipamhandles", "IPAMHandle"),
        _calico("ipamconfigs", "IPAMConfig"),
        _calico("ipreservations", "IPReservation"),
        _calico("caliconodestatuses", "CalicoNodeStatus"),
        _calico("kubecontrollersconfigurations", "KubeControllersConfiguration"),
    ]


class KindTable:
    """Kinds by their place in the URL and by their name in a document."""

    def __init__(self):
        self.by_key = {}
        self.by_name = {}
        for kind in builtin_kinds():
            self.add(kind)

    def add(self, kind):
        self.by_key[kind.key] = kind
        self.by_name[(kind.api_version, kind.kind)] = kind

    def remove(self, kind):
        self.by_key.pop(kind.key, None)
        self.by_name.pop((kind.api_version, kind.kind), None)

    def get(self, group, version, plural):
        return self.by_key.get((group, version, plural))

    def of(self, document):
        """The kind of an object or None."""
        return self.by_name.get((document.get("apiVersion"), document.get("kind")))

    def by_plural(self, plural):
        """The kind with this plural, the group's name appended after a dot where it is ambiguous."""
        found = [kind for kind in self.by_key.values() if plural in (kind.plural, kind.qualified)]
        return found[0] if found else None

    def group_versions(self):
        """[(group, version)] in the order of the table, each once."""
        return list(dict.fromkeys((kind.group, kind.version) for kind in self.by_key.values()))


def kind_from_crd(crd):
    """The storage version's kind. Other served versions are not offered: no conversion here."""
    spec = crd["spec"]
    names = spec["names"]
    version = next(v for v in spec["versions"] if v.get("storage"))
    kind = Kind(spec["group"], version["name"], names["plural"], names["kind"],
                spec.get("scope") == "Namespaced", tuple(names.get("shortNames") or ()),
                "status" in (version.get("subresources") or {}), builtin=False,
                singular=names.get("singular"), list_kind=names.get("listKind"))
    kind.crd = crd["metadata"]["name"]
    return kind


def crd_status(crd, now):
    """What the API server's own controllers would write: names accepted, established."""
    condition = {"status": "True", "lastTransitionTime": now}
    names = dict(crd["spec"]["names"])
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", names["kind"] + "List")
    return {"acceptedNames": names,
            "storedVersions": [v["name"] for v in crd["spec"]["versions"] if v.get("storage")],
            "conditions": [
                {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found",
                 **condition},
                {"type": "Established", "reason": "InitialNamesAccepted",
                 "message": "the initial names have been accepted", **condition}]}
