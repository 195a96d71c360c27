#!/usr/bin/env python3
"""The figures of the manager: memory, latency, requests and processor time, beside the reference's.

    bench/manager.py [--build DIR] [--byo] [--server embedded|real] [--workspaces N] [--foreign-nodes N] [--foreign-pods N]
                     [--flag=FLAG ...] [--json FILE]

The manager is measured from outside, against the embedded API server in a process of its own (bench/cluster.c), which also
plays a node provisioner and a kubelet that react at once. Bursts take as long to create as the reference's did. The
reference's figures are of the same two-core class of machine, against a real API server with parts played in Python:
`--server real` measures against the same (bench/lib/real_cluster.py), with 200 Workspaces and without foreign objects
unless told otherwise; it exits with 77 where the programs of tests/kube are missing.
`--byo`: nodes of the user's instead of NodeClaims.
Exit status 1 when a limit is missed.
"""
import argparse
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench" / "lib"))
import real_cluster  # noqa: E402

SINGLES = 20
FIRST_STOP = 200
REVIEWS = 500

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--build", default=ROOT / "build", type=Path)
parser.add_argument("--byo", action="store_true")
parser.add_argument("--server", default="embedded", choices=("embedded", "real"))
parser.add_argument("--workspaces", type=int, help="default 1000; real: 200, which is the least")
parser.add_argument("--foreign-nodes", default=50000, type=int, help="embedded only")
parser.add_argument("--foreign-pods", default=100000, type=int, help="embedded only")
parser.add_argument("--flag", action="append", default=[], help="a further flag of the manager")
parser.add_argument("--json", type=Path)
options = parser.parse_args()
real = options.server == "real"
if real and options.byo:
    parser.error("--server real plays a provisioner; --byo needs --server embedded")
if options.workspaces is None:
    options.workspaces = FIRST_STOP if real else 1000
if options.workspaces < FIRST_STOP:
    parser.error(f"--workspaces {options.workspaces}: it must be at least {FIRST_STOP}")

rows = []


def report(what, value, unit, limit=None, reference=None, note=""):
    ok = limit is None or value <= limit
    rows.append({"what": what, "value": value, "unit": unit, "limit": limit, "ok": ok, "reference": reference, "note": note})
    bound = "" if limit is None else f"limit {limit:g}  {'ok' if ok else 'MISSED'}"
    beside = "" if reference is None else f"reference: {reference:g} {unit}"
    print(f"{what:<62} {value:10.3f} {unit:<5} {bound:<18} {beside}  {note}".rstrip(), flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """bench_cluster, and its answers."""

    def __init__(self, folder):
        self.kubeconfig = Path(folder) / "kubeconfig"
        data = Path(folder) / "data"
        data.mkdir()
        argv = [options.build / "bench" / "bench_cluster", self.kubeconfig, data, "byo" if options.byo else "claims", "0"]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("bench/manager.py: the cluster ended")
        return json.loads(line)

    def __call__(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)


class Manager:
    def __init__(self, cluster):
        self.metrics_port, self.health_port, self.webhook_port = free_port(), free_port(), free_port()
        argv = [options.build / "kaito", "manager", f"--kubeconfig={cluster.kubeconfig}",
                f"--metrics-bind-address=127.0.0.1:{self.metrics_port}",
                f"--health-probe-bind-address=127.0.0.1:{self.health_port}"]
        if options.byo:
            argv.append("--node-provisioner=byo")
        argv += options.flag
        env = dict(os.environ, CLOUD_PROVIDER="azure", SYSTEM_NAMESPACE="kaito-workspace", WEBHOOK_SERVICE="kaito-workspace",
                   WEBHOOK_PORT=str(self.webhook_port))
        began = time.perf_counter()
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(argv, env=env, stdout=self.log, stderr=self.log)
        self.ready_s = self.wait_ready(began)

    def wait_ready(self, began):
        while True:
            try:
                url = f"http://127.0.0.1:{self.health_port}/readyz"
                if urllib.request.urlopen(url, timeout=5).status == 200:
                    return time.perf_counter() - began
            except OSError:
                pass
            if self.process.poll() is not None or time.perf_counter() - began > 60:
                self.log.seek(0)
                sys.exit("bench/manager.py: the manager is not ready: " + self.log.read().decode()[-2000:])
            time.sleep(0.002)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def status(self, field):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        return 0

    def rss(self):
        return self.status("VmRSS") / 1024

    def cpu(self):
        """Seconds, from the scheduler's own count (ns), not in ticks."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def metrics(self):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10).read().decode()

    def requests(self):
        """{method: calls answered}; watches are counted when they begin, and subtracted as GETs nowhere else."""
        counts = {}
        for labels, value in re.findall(r"^rest_client_requests_total\{([^}]*)\} (\S+)$", self.metrics(), re.M):
            method = re.search(r'method="([^"]*)"', labels).group(1)
            counts[method] = counts.get(method, 0) + float(value)
        return counts

    def reconciles(self):
        found = re.findall(r'^controller_runtime_reconcile_total\{[^}]*controller="workspace"[^}]*\} (\S+)$', self.metrics(), re.M)
        return sum(map(float, found))


def writes(counts):
    return sum(value for method, value in counts.items() if method != "GET")


def steady(manager, seconds):
    """(writes a minute, requests a minute, processor seconds a minute) while nothing changes."""
    before, cpu = manager.requests(), manager.cpu()
    time.sleep(seconds)
    after, used = manager.requests(), manager.cpu() - cpu
    scale = 60 / seconds
    return (writes(after) - writes(before)) * scale, (sum(after.values()) - sum(before.values())) * scale, used * scale


def measure_singles(cluster):
    p50, longest = [], []
    for index in range(SINGLES):
        cluster("create", index, index + 1, 0)
        result = cluster("wait", index, index + 1, 30)
        if not result["claimed"]:
            sys.exit("bench/manager.py: no object was made for a Workspace within 30 s")
        p50.append(result["p50S"] * 1000)
        time.sleep(0.2)
    ordered = sorted(p50)
    report("create to first object, one at a time, p50", ordered[len(ordered) // 2], "ms", 10, 37)
    report("create to first object, one at a time, p99", ordered[-1], "ms", 30, 146, f"largest of {SINGLES}")


def measure_burst(cluster, manager, first, last, seconds, limits, reference):
    before, cpu = manager.requests(), manager.cpu()
    created = cluster("create", first, last, seconds)
    result = cluster("wait", first, last, 600)
    after = manager.requests()
    count = last - first
    name = f"burst of {count}"
    report(f"{name}: create to first object, p50", result["p50S"], "s", None, reference[0])
    report(f"{name}: create to first object, p99", result["p99S"], "s", limits[0], reference[1])
    report(f"{name}: all Ready after", created["seconds"] + result["readyS"], "s", limits[1], reference[2],
           f"{result['ready']} of {count}, created in {created['seconds']:.2f} s")
    report(f"{name}: requests per Workspace", (sum(after.values()) - sum(before.values())) / count, "", 12, 32,
           " ".join(f"{m} {(after[m] - before.get(m, 0)) / count:.2f}" for m in sorted(after)))
    report(f"{name}: processor time", manager.cpu() - cpu, "s", None, reference[3])
    report(f"{name}: Workspaces with more than one", result["twice"], "", 0, 0)
    if result["ready"] < count:
        sys.exit("bench/manager.py: not all became Ready")


def measure_start(cluster, count):
    """With all objects present and one new Workspace waiting."""
    cluster("create", count, count + 1, 0)
    began = time.time()
    manager = Manager(cluster)
    result = cluster("wait", count, count + 1, 30)
    # the cluster notes when the first object came; its clock began at the creation, just before the start
    report("start to the first reconcile's object", min(result["p50S"], time.time() - began) * 1000, "ms", 150,
           3000 if count == 1000 else None, f"{count} Workspaces present; readyz after {manager.ready_s * 1000:.0f} ms (reference 2100)")
    return manager


def measure_reconcile(cluster, manager):
    """The event that wakes it included."""
    before, cpu, asked = manager.reconciles(), manager.cpu(), manager.requests()
    cluster("touch", 0, options.workspaces)
    time.sleep(2)
    count = manager.reconciles() - before
    report("processor time per reconcile without change", (manager.cpu() - cpu) / max(1, count) * 1e6, "us", 100, None,
           f"{count:.0f} reconciles, {sum(manager.requests().values()) - sum(asked.values()):.0f} requests")


def review_of(name):
    """An AdmissionReview as the API server sends it when a Workspace is created."""
    resource = {"group": "kaito.sh", "version": "v1beta1", "resource": "workspaces"}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": name, "kind": {"group": "kaito.sh", "version": "v1beta1", "kind": "Workspace"}, "resource": resource,
        "name": name, "namespace": "default", "operation": "CREATE", "userInfo": {"username": "bench"}, "dryRun": False,
        "object": real_cluster.manifest(1), "oldObject": None, "options": {}}})


def measure_webhook(manager):
    """On one connection, as the API server keeps one; what it takes here to write and read is part of it."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", manager.webhook_port, context=context, timeout=10)
    took = []
    for index in range(REVIEWS):
        body = review_of(f"r-{index}")
        began = time.perf_counter()
        connection.request("POST", "/validate/workspace.kaito.sh", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        took.append((time.perf_counter() - began) * 1000)
        if not answer["response"]["allowed"]:
            sys.exit(f"bench/manager.py: the webhook denies what is right: {answer}")
    connection.close()
    took.sort()
    report("webhook: answer to an AdmissionReview, p50", took[REVIEWS // 2], "ms", 5, None, f"{REVIEWS} reviews")
    report("webhook: answer to an AdmissionReview, p99", took[REVIEWS * 99 // 100], "ms", 5)


def measure_unready(cluster, manager):
    cluster("unready", FIRST_STOP)
    time.sleep(20)  # as long as the reference was given to say so in each status
    reconciles, cpu = manager.reconciles(), manager.cpu()
    changed, asked, _ = steady(manager, 20)
    report("writes a minute, 200 with NotReady nodes", changed, "", 0, 1800)
    report("requests a minute, 200 with NotReady nodes", asked, "", None, 1800)
    return reconciles, cpu


def measure_foreign(cluster, manager):
    time.sleep(2)
    before = manager.rss()
    took = cluster("pods", options.foreign_pods)["seconds"]
    report(f"memory that {options.foreign_pods} foreign pods add", manager.rss() - before, "MiB", None, None, f"in {took:.1f} s")
    took = cluster("nodes", options.foreign_nodes)["seconds"]
    time.sleep(5)
    report("memory that they and foreign nodes add", manager.rss() - before, "MiB", 4, None,
           f"{options.foreign_nodes} nodes in {took:.1f} s")


def measure_foreign_at_start(cluster):
    manager = Manager(cluster)
    time.sleep(5)
    report("memory after a start among them", manager.rss(), "MiB", None, None,
           f"largest {manager.status('VmHWM') / 1024:.1f} MiB; ready after {manager.ready_s * 1000:.0f} ms")
    manager.stop()


def measure_bursts(cluster, manager):
    measure_burst(cluster, manager, SINGLES, FIRST_STOP, 1.3, (None, None), (11.9, 24.7, 87, 6.3))
    if options.workspaces == FIRST_STOP:
        return
    time.sleep(10)
    measure_burst(cluster, manager, FIRST_STOP, options.workspaces, 4.6, (10, 100), (58, 122, 437, 38))


def measure():
    load = os.getloadavg()
    print(f"load average {load[0]:.2f} {load[1]:.2f}, {os.cpu_count()} processors, {options.server} API server, "
          f"{'nodes of the user' if options.byo else 'NodeClaims'}", flush=True)
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=folder) as where:
        cluster = real_cluster.RealCluster(where) if real else Cluster(where)
        try:
            measure_all(cluster)
        finally:
            cluster.stop()


def measure_idle(cluster):
    manager = Manager(cluster)
    time.sleep(10)
    report("memory (RSS), idle, no Workspace", max(manager.rss() for _ in range(100) if not time.sleep(0.1)), "MiB", 8, 58,
           f"{manager.status('Threads')} threads, webhooks served; largest of 10 s")
    measure_webhook(manager)
    return manager


def measure_ready(manager, reference):
    time.sleep(5)
    report(f"memory (RSS), {options.workspaces} Workspaces Ready", manager.rss(), "MiB", 32, reference[0],
           f"largest {manager.status('VmHWM') / 1024:.1f} MiB")
    changed, asked, used = steady(manager, 30)
    report("writes a minute while nothing changes", changed, "", 0, 0)
    report("requests a minute while nothing changes", asked, "", None, reference[1])
    report("processor time a minute while nothing changes", used, "s", None, reference[2])


def measure_all(cluster):
    """Beside the reference's figures for as many Workspaces as there are, where it has them."""
    known = {1000: (208, 28, 0.43, 132, 3.9), FIRST_STOP: (95, 0, 0.09, None, None)}
    reference = known.get(options.workspaces, (None,) * 5)
    manager = measure_idle(cluster)
    measure_singles(cluster)
    measure_bursts(cluster, manager)
    measure_ready(manager, reference)
    manager.stop()
    manager = measure_start(cluster, options.workspaces)
    time.sleep(3)
    report("memory (RSS) after that start", manager.rss(), "MiB", 32, reference[3], f"largest {manager.status('VmHWM') / 1024:.1f} MiB")
    report("processor time of a start with all Workspaces", manager.cpu(), "s", None, reference[4], "reference: after 40 s")
    measure_reconcile(cluster, manager)
    if not options.byo:
        measure_unready(cluster, manager)
    if not real:
        measure_foreign(cluster, manager)
    manager.stop()
    if not real:
        measure_foreign_at_start(cluster)


if real and real_cluster.missing():
    print(f"bench/manager.py: {real_cluster.missing()}", file=sys.stderr)
    sys.exit(77)
measure()
if options.json:
    options.json.write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=2) + "\n")
sys.exit(0 if all(r["ok"] for r in rows) else 1)
