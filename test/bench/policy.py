"""What policy costs beside the size of the cluster: from a change at the API to the kernel, first programming, memory,
and the processor's time while pods come and go elsewhere.

One namespace with felix and 110 local pods; the API holds PODS pods on other nodes and POLICIES NetworkPolicies, of
which every tenth selects local pods. BENCH_POLICY="1000/100 10000/1000" says which sizes; BENCH_FULL=1 takes all nine
of the design. The kernel is asked over netlink when a change has arrived (test/bench/kernel.py), so what felix says
of itself does not count. Beside each: one process that makes the same change with the tools.
"""

import base64
import hashlib
import os
import statistics
import subprocess
import time
from pathlib import Path

from lab.netns import Netns, ip_batch

from .host import Host, rss_mb, wait_until
from .kernel import Kernel

LOCAL = 110
CHANGES = 40
CHURN_S = 10
PAUSE_S = 0.06  # longer than felix gathers changes
NETPOL = "networking.k8s.io/v1"


def ifname(namespace, name):
    return "cali" + hashlib.sha1(f"{namespace}.{name}".encode()).hexdigest()[:11]


def set_of_selector(text):
    """The kernel's name of the IPv4 set of a selector's canonical text."""
    digest = hashlib.sha224(("s:" + text).encode()).digest()
    return ("cali40s:" + base64.urlsafe_b64encode(digest).decode().rstrip("="))[:31]


def local_pod(i):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "local", "name": f"pod-{i}", "labels": {"app": f"local-{i % 10}", "tier": "local"}},
            "spec": {"nodeName": "n1", "serviceAccountName": "default",
                     "containers": [{"name": "main", "image": "x"}]},
            "status": {"phase": "Running", "podIP": f"10.244.0.{i + 2}", "podIPs": [{"ip": f"10.244.0.{i + 2}"}]}}


def policy(i, port=80):
    """Every tenth is for pods of this node; all let in one application of two namespaces."""
    namespace = "local" if i % 10 == 0 else f"ns-{i % 10:04d}"
    app = f"local-{i // 10 % 10}" if i % 10 == 0 else f"app-{i % 100:04d}"
    return {"apiVersion": NETPOL, "kind": "NetworkPolicy", "metadata": {"namespace": namespace, "name": f"policy-{i}"},
            "spec": {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"],
                     "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": f"app-{i % 100:04d}"}},
                                            "namespaceSelector": {"matchLabels": {"team": f"t{i % 2}"}}}],
                                  "ports": [{"protocol": "TCP", "port": port}]}]}}


class Cluster:
    """The host of the benchmark with everything the API holds, felix started and in sync."""

    def __init__(self, pods, policies):
        self.pods, self.policies = pods, policies
        self.host = Host("policy")

    def __enter__(self):
        self.host.__enter__()
        client = self.client = self.host.api.client
        client.generate("Pod", self.pods, nodes=max(10, self.pods // 30))
        self.host.own_node()
        for i in range(10):
            client.apply({"apiVersion": "v1", "kind": "Namespace",
                          "metadata": {"name": f"ns-{i:04d}", "labels": {"team": f"t{i % 2}"}}})
        client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "local"}})
        client.load([local_pod(i) for i in range(LOCAL)])
        for start in range(0, self.policies, 1000):
            client.load([policy(i) for i in range(start, min(start + 1000, self.policies))])
        for i in range(LOCAL):
            self.add_link(f"pod-{i}")
        self.netns = Netns(self.host.name)
        self.kernel = Kernel(self.netns)
        began = time.monotonic()
        self.felix = self.host.start(Path(__file__).resolve().parents[2] / "build/canal-felix",
                                     FELIX_IPTABLESBACKEND="nft", CANAL_DROP_LOG_GROUP="0")
        wait_until(self.is_programmed, 300, "felix programs everything")
        self.first_s = time.monotonic() - began
        return self

    def __exit__(self, *_):
        self.kernel.close()
        self.host.__exit__()
        self.netns.close()

    def is_programmed(self):
        """The chains of the last local pod and of the last local policy are there."""
        text = subprocess.run(["ip", "netns", "exec", self.host.name, "iptables-nft-save", "-t", "filter"],
                              capture_output=True, text=True, check=False).stdout
        last = (self.policies - 1) // 10 * 10
        return f"cali-tw-{ifname('local', f'pod-{LOCAL - 1}')}" in text and \
            f"local/policy-{last} " in text

    def add_link(self, name):
        """Both ends in the same namespace: there is a link of the pod's name, and nobody behind it."""
        link = ifname("local", name)
        ip_batch([f"link add {link} type veth peer name p{link[4:]}", f"link set {link} up",
                  f"link set p{link[4:]} up"], self.host.name)

    def until(self, condition, what, deadline=20):
        start = time.perf_counter()
        while not condition():
            if time.perf_counter() - start > deadline:
                raise TimeoutError(what)

    def time_change(self, change, condition, what):
        """Milliseconds from the request to the API until it is in the kernel, felix being idle before."""
        time.sleep(PAUSE_S)
        start = time.perf_counter()
        change()
        self.until(condition, what)
        return (time.perf_counter() - start) * 1000

    # ---- the changes
    def policy_change(self, i):
        before = self.kernel.generation()
        return self.time_change(
            lambda: self.client.replace(policy(0, 1000 + i)),
            lambda: self.kernel.generation() != before, "the policy's rules")

    def pod_label(self, i):
        """A pod elsewhere becomes app-0000, which a local policy lets in."""
        name, address = self.target
        wanted = "app-0000" if i % 2 == 0 else "other"
        return self.time_change(
            lambda: self.client.patch("Pod", name, {"metadata": {"labels": {"app": wanted}}}, "ns-0002"),
            lambda: self.kernel.holds(self.set_name, address) == (wanted == "app-0000"), "the pod in the set")

    def namespace_label(self, i):
        address = self.members[0]
        wanted = "t1" if i % 2 == 0 else "t0"
        return self.time_change(
            lambda: self.client.patch("Namespace", "ns-0000", {"metadata": {"labels": {"team": wanted}}}),
            lambda: self.kernel.holds(self.set_name, address) == (wanted == "t0"), "the namespace's pods")

    def new_pod(self, i):
        """A local pod whose link is there: its object comes, then its chains."""
        name = f"new-{i}"
        pod = local_pod(120 + i)
        pod["metadata"]["name"] = name
        self.add_link(name)
        before = self.kernel.generation()
        return self.time_change(lambda: self.client.load(pod), lambda: self.kernel.generation() != before,
                                "the pod's chains")

    def find_targets(self):
        """The set of policy-0's peer, and pods in and out of it."""
        selector = ('app == "app-0000" && pcns.team == "t0" && has(projectcalico.org/namespace) && '
                    'projectcalico.org/orchestrator == "k8s"')
        saved = subprocess.run(["ip", "netns", "exec", self.host.name, "ipset", "save"], capture_output=True,
                               text=True, check=True).stdout
        self.set_name = set_of_selector(selector)
        if f"create {self.set_name} " not in saved:
            # The text is felix's own affair: take the set that rules of policy-0 name.
            rules = subprocess.run(["ip", "netns", "exec", self.host.name, "iptables-nft-save", "-t", "filter"],
                                   capture_output=True, text=True, check=True).stdout
            line = next(line for line in rules.splitlines() if "local/policy-0 " in line)
            self.set_name = line.split("--match-set ")[1].split()[0]
        self.members = [line.split()[2] for line in saved.splitlines() if line.startswith(f"add {self.set_name} ")]
        pod = next(p for p in self.client.list("Pod", "ns-0000", limit=500)
                   if p["status"]["podIP"] in self.members)
        self.members = [pod["status"]["podIP"]]
        other = next(p for p in self.client.list("Pod", "ns-0002", limit=500)
                     if p["metadata"]["labels"]["app"] != "app-0000")
        self.target = (other["metadata"]["name"], other["status"]["podIP"])

    def cpu_s(self):
        words = Path(f"/proc/{self.felix.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def percentile99(values):
    return sorted(values)[max(0, int(len(values) * 0.99) - 1)]


def bare_tools(cluster):
    """Milliseconds of one process that makes one change: a chain rewritten, a member added."""
    def run(argv, text=None):
        start = time.perf_counter()
        subprocess.run(["ip", "netns", "exec", cluster.host.name, *argv], input=text, text=True, check=True,
                       capture_output=True)
        return (time.perf_counter() - start) * 1000

    restore = [run(["iptables-nft-restore", "--noflush"],
                   f"*filter\n:bench-chain - [0:0]\n-A bench-chain -p tcp --dport {i + 1} -j RETURN\nCOMMIT\n")
               for i in range(10)]
    run(["iptables-nft-restore", "--noflush"], "*filter\n:bench-chain - [0:0]\n-X bench-chain\nCOMMIT\n")
    run(["ipset", "create", "bench", "hash:net"])
    members = [run(["ipset", "add", "bench", f"192.0.2.{i}"]) for i in range(10)]
    run(["ipset", "destroy", "bench"])
    return statistics.median(restore), statistics.median(members)


def measure(report, pods, policies):
    tag = f"{pods}-pods-{policies}-policies"
    what = f"{pods} pods, {policies} policies"
    with Cluster(pods, policies) as cluster:
        report.row(f"first programming, {what}", report.figure(f"policy-first-{tag}", cluster.first_s, "s"), "s")
        report.row(f"felix's memory, {what}", report.figure(f"policy-rss-{tag}", rss_mb(cluster.felix), "MB"), "MB")
        cluster.find_targets()
        restore, member = bare_tools(cluster)
        for name, change, peer_name, peer in (
                ("a policy", cluster.policy_change, "iptables-nft-restore", restore),
                ("a pod's label", cluster.pod_label, "ipset add", member),
                ("a namespace's label", cluster.namespace_label, "ipset add", member),
                ("a new local pod", cluster.new_pod, "iptables-nft-restore", restore)):
            values = [change(i) for i in range(CHANGES)]
            key = f"policy-{name.replace(' ', '-').replace(chr(39), '')}-{tag}"
            report.row(f"{name}, {what}", report.figure(key, values, "ms"), "ms", peer_name, peer)
            report.row("  99th of a hundred", report.figure(key + "-p99", percentile99(values), "ms"), "ms",
                       peer_name, peer)
        before = cluster.cpu_s()
        cluster.client.churn(CHURN_S * 100, pods=min(pods, 1000), rate=100, nodes=max(10, pods // 30))
        used = (cluster.cpu_s() - before) / CHURN_S * 1000
        report.row(f"100 pods/s elsewhere, {what}", report.figure(f"policy-churn-{tag}", used, "mCPU"), "mCPU")
        report.row(f"felix's memory afterwards, {what}",
                   report.figure(f"policy-rss-after-{tag}", rss_mb(cluster.felix), "MB"), "MB")


def run(report):
    default = "1000/100 10000/1000 100000/10000"
    if os.environ.get("BENCH_FULL"):
        default = " ".join(f"{p}/{n}" for p in (1000, 10000, 100000) for n in (100, 1000, 10000))
    for size in os.environ.get("BENCH_POLICY", default).split():
        pods, policies = size.split("/")
        measure(report, int(pods), int(policies))
