"""Makes many realistic objects quickly, for benchmarks: nodes of about 2 KB, pods of about 3 KB.

The bytes are made from a template and stored without being parsed. Pod i lives on node i % nodes and has
the address that this node's pod CIDR gives it.
"""

import asyncio
import ipaddress
import time

from .errors import ApiError, dumps
from .store import Obj, timestamp

TURN = 2000  # objects between two looks at the event loop


class Plan:
    """Sizes and address ranges of a generated cluster."""

    def __init__(self, spec):
        self.nodes = int(spec.get("nodes", 10))
        self.count = int(spec.get("count", 0))
        self.start = int(spec.get("start", 0))
        self.namespaces = max(1, int(spec.get("namespaces", 10)))
        self.apps = max(1, int(spec.get("apps", 100)))
        self.prefix = spec.get("prefix", "")
        self.pod_cidr = ipaddress.ip_network(spec.get("pod_cidr", "10.0.0.0/8"))
        self.node_cidr = ipaddress.ip_network(spec.get("node_cidr", "172.16.0.0/12"))
        self.block = int(spec.get("block", 24))
        self.now = timestamp()

    def node_name(self, i):
        return f"{self.prefix}node-{i:05d}"

    def node_ip(self, i):
        return str(self.node_cidr.network_address + 1 + i)

    def node_block(self, i):
        return f"{self.pod_cidr.network_address + i * 2 ** (32 - self.block)}/{self.block}"

    def pod_ip(self, i, bump=0):
        """Addresses .2 … of the node's block; 'bump' makes another one."""
        span = 2 ** (32 - self.block)
        return str(self.pod_cidr.network_address + (i % self.nodes) * span + (2 + i // self.nodes + bump) % span)


def _uid(number, what):
    return f"{what:08x}-0000-4000-8000-{number:012x}"


def _node_body(plan, i):
    ip = plan.node_ip(i)
    conditions = [{"type": kind, "status": status, "reason": reason, "message": f"kubelet: {reason}",
                   "lastHeartbeatTime": plan.now, "lastTransitionTime": plan.now}
                  for kind, status, reason in (
                      ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                      ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                      ("PIDPressure", "False", "KubeletHasSufficientPID"),
                      ("Ready", "True", "KubeletReady"))]
    sizes = {"cpu": "16", "memory": "65843712Ki", "pods": "110", "ephemeral-storage": "203056560Ki",
             "hugepages-1Gi": "0", "hugepages-2Mi": "0"}
    name = plan.node_name(i)
    return {
        "kind": "Node", "apiVersion": "v1",
        "metadata": {
            "name": name, "uid": _uid(i, 1), "creationTimestamp": plan.now, "generation": 1,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                       "kubernetes.io/arch": "amd64",
                       "topology.kubernetes.io/zone": f"zone-{'abc'[i % 3]}",
                       "node.kubernetes.io/instance-type": "m5.4xlarge"},
            "annotations": {"projectcalico.org/IPv4Address": f"{ip}/20",
                            "volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
        "spec": {"podCIDR": plan.node_block(i), "podCIDRs": [plan.node_block(i)]},
        "status": {"addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}],
                   "capacity": sizes, "allocatable": sizes, "conditions": conditions,
                   "nodeInfo": {"kernelVersion": "6.1.0-18-amd64", "osImage": "Debian GNU/Linux 12",
                                "containerRuntimeVersion": "containerd://1.6.20",
                                "kubeletVersion": "v1.32.0", "operatingSystem": "linux",
                                "architecture": "amd64"}}}


def _pod_template(plan):
    """A serialised pod with %(word)s where pods differ."""
    mounts = [{"name": "kube-api-access", "readOnly": True,
               "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
              {"name": "config", "mountPath": "/etc/app"}]
    probe = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1,
             "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    container = {
        "name": "app", "image": "registry:5000/team/app:v1.2.3", "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"},
                  {"name": "metrics", "containerPort": 9090, "protocol": "TCP"}],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1",
                                                                 "fieldPath": "metadata.name"}}},
                {"name": "LOG_LEVEL", "value": "info"}],
        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": mounts, "livenessProbe": probe, "readinessProbe": probe,
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
    return dumps({
        "metadata": {
            "name": "%(name)s", "generateName": "%(app)s-7d4b9c6f5-", "namespace": "%(namespace)s",
            "uid": "%(uid)s", "resourceVersion": "%(rv)s", "creationTimestamp": plan.now,
            "labels": {"app": "%(app)s", "pod-template-hash": "7d4b9c6f5", "tier": "%(tier)s"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "%(app)s-7d4b9c6f5",
                                 "uid": "%(uid)s", "controller": True, "blockOwnerDeletion": True}]},
        "spec": {
            "volumes": [{"name": "kube-api-access", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}},
                {"name": "config", "configMap": {"name": "%(app)s", "defaultMode": 420}}],
            "containers": [container], "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst", "serviceAccountName": "default", "nodeName": "%(node)s",
            "securityContext": {}, "schedulerName": "default-scheduler", "priority": 0,
            "enableServiceLinks": True, "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": [{"key": key, "operator": "Exists", "effect": "NoExecute",
                             "tolerationSeconds": 300} for key in (
                                 "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": kind, "status": "True", "lastProbeTime": None,
                            "lastTransitionTime": plan.now} for kind in (
                                "Initialized", "Ready", "ContainersReady", "PodScheduled")],
            "hostIP": "%(host_ip)s", "podIP": "%(ip)s", "podIPs": [{"ip": "%(ip)s"}], "startTime": plan.now,
            "containerStatuses": [{"name": "app", "state": {"running": {"startedAt": plan.now}},
                                   "lastState": {}, "ready": True, "restartCount": 0,
                                   "image": "registry:5000/team/app:v1.2.3", "started": True,
                                   "containerID": "containerd://%(uid)s%(uid)s"}],
            "qosClass": "Burstable"}}).decode()[1:]


class Pods:
    """Makes the Obj of pod i."""

    def __init__(self, plan, kind):
        self.plan, self.kind = plan, kind
        self.template = _pod_template(plan)
        self.labels = {}
        self.tiers = ("web", "api", "cache", "db")

    def make(self, i, rv, bump=0):
        plan = self.plan
        app, tier = f"app-{i % plan.apps:04d}", self.tiers[i % 4]
        namespace, name = f"{plan.prefix}ns-{i % plan.namespaces:04d}", f"{app}-7d4b9c6f5-{i:06d}"
        node, ip = plan.node_name(i % plan.nodes), plan.pod_ip(i, bump)
        labels = self.labels.setdefault((app, tier), {"app": app, "pod-template-hash": "7d4b9c6f5",
                                                      "tier": tier})
        tail = self.template % {"name": name, "app": app, "namespace": namespace, "uid": _uid(i, 2), "rv": rv,
                                "tier": tier, "node": node, "host_ip": plan.node_ip(i % plan.nodes), "ip": ip}
        # In the order of the kind's selectable fields.
        return Obj(namespace, name, rv, tail.encode(), labels,
                   (node, "Always", "default", "false", "Running", ip))


async def generate(store, spec):
    """{kind: Node | Pod, count, nodes, namespaces, apps, start, prefix, pod_cidr, node_cidr, block}."""
    plan = Plan(spec)
    if not 0 <= plan.count <= 1000000 or plan.nodes < 1:
        raise ApiError(400, "count or nodes out of range")
    began = time.monotonic()
    if spec.get("kind") == "Node":
        for i in range(plan.start, plan.start + plan.count):
            store.load(_node_body(plan, i))
            if i % 200 == 199:
                await asyncio.sleep(0)
    elif spec.get("kind") == "Pod":
        for i in range(plan.namespaces):
            store.ensure_namespace(f"{plan.prefix}ns-{i:04d}")
        pods = Pods(plan, store.kinds.get("", "v1", "pods"))
        for i in range(plan.start, plan.start + plan.count):
            store.load_encoded(pods.kind, pods.make(i, store.rv + 1))
            if i % TURN == TURN - 1:
                await asyncio.sleep(0)
    else:
        raise ApiError(400, "kind must be Node or Pod")
    return {"count": plan.count, "seconds": round(time.monotonic() - began, 3), "resourceVersion": str(store.rv)}


async def churn(store, spec):
    """Modify generated pods: 'count' changes in all over the first 'pods' pods (same other settings as
    generate), at most 'rate' a second, each giving the pod another address."""
    plan = Plan(spec)
    pods = Pods(plan, store.kinds.get("", "v1", "pods"))
    over, rate = max(1, int(spec.get("pods", plan.count))), float(spec.get("rate", 0))
    began = time.monotonic()
    step = max(1, min(500, int(rate / 50))) if rate else 500
    for i in range(plan.count):
        store.load_encoded(pods.kind, pods.make(plan.start + i % over, store.rv + 1, 1 + i // over))
        if i % step == step - 1:
            ahead = (i + 1) / rate - (time.monotonic() - began) if rate else 0
            await asyncio.sleep(max(0, ahead))
    return {"count": plan.count, "seconds": round(time.monotonic() - began, 3), "resourceVersion": str(store.rv)}
