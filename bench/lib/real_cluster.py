"""The cluster of `bench/manager.py --server real`: etcd and the kube-apiserver of tests/kube, its controllers and its
scheduler, and a provisioner and a kubelet played here, which react to watches at once. It takes the commands of
bench/cluster.c that it can; see there."""
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KUBE = ROOT / "tests" / "kube" / "kube"
NAMESPACE = "bench"
INSTANCE_TYPE = "Standard_NV36ads_A10_v5"
PRESET = "phi-4-mini-instruct"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
PORTS = 30  # of the control plane and of the played kubelet


def missing():
    """What keeps it from starting; None: nothing."""
    folder = Path(subprocess.run([KUBE, "bin"], capture_output=True, text=True, check=True).stdout.strip())
    absent = [name for name in COMPONENTS if not os.access(folder / name, os.X_OK)]
    if absent:
        return f"{folder} has no {', '.join(absent)} (scripts/setup kube builds them)"
    return None


def free_ports():
    """The first of a row of free ports below those that the kernel hands out."""
    while True:
        first = random.randrange(20000, 32000 - PORTS)
        free = True
        for port in range(first, first + PORTS):
            with socket.socket() as s:
                free = free and s.connect_ex(("127.0.0.1", port)) != 0
        if free:
            return first


def manifest(index):
    name = f"b-{index:04d}"
    return {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": name, "namespace": NAMESPACE},
            "resource": {"instanceType": INSTANCE_TYPE, "labelSelector": {"matchLabels": {"apps": name}}},
            "inference": {"preset": {"name": PRESET}}}


def percentile(ordered, fraction):
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] if ordered else 0


class Progress:
    """Of one Workspace, in times of the monotonic clock."""

    def __init__(self):
        self.created = self.claimed = self.ready = 0
        self.uids = set()  # of its NodeClaims


class RealCluster:
    def __init__(self, folder):
        folder, first = Path(folder), free_ports()
        # the library of the golden tests finds its places there
        os.environ.update(KUBE_DIR=str(folder / "kube"), KUBE_PORT=str(first + 9), GOLDEN_RUN=str(folder / "run"),
                          GOLDEN_PORT=str(first))
        os.environ.pop("KUBECONFIG", None)
        sys.path.insert(0, str(ROOT / "tests" / "golden" / "lib"))
        for name in ("cluster", "kubeapi", "operators", "played", "settings"):
            sys.modules.pop(name, None)  # they may have been imported for another cluster
        import cluster
        import kubeapi
        import played
        import settings
        self.plane, self.api, self.played = cluster, kubeapi, played
        self.kubeconfig = Path(settings.KUBECONFIG)
        self.lock, self.known = threading.Lock(), {}
        self.claims, self.pods = queue.Queue(), queue.Queue()
        self.gate, self.kubelet = played.Gate({"pods": "ready"}), played.Kubelet()
        try:
            cluster.up()
            kubeapi.ensure({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            self.start_played_parts()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        subprocess.run([KUBE, "down", "--purge"], check=False)

    # ---- faults

    def pid_file(self):
        return self.kubeconfig.parent / "kube-apiserver.pid"

    def kill_api_server(self):
        """What it was started with is remembered, for start_api_server()."""
        pid = int(self.pid_file().read_text())
        self.argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        os.kill(pid, signal.SIGKILL)

    def start_api_server(self, seconds=90):
        with open(self.kubeconfig.parent / "kube-apiserver.log", "ab") as log:
            process = subprocess.Popen(self.argv, cwd=self.kubeconfig.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True)
        self.pid_file().write_text(str(process.pid))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self.api.request("GET", "/api/v1/namespaces/default")
                return
            except (OSError, self.api.ApiError):
                time.sleep(0.1)
        raise TimeoutError("the API server does not come back")

    # ---- the played parts

    def start_played_parts(self):
        self.played.GATES[NAMESPACE] = self.gate
        self.played.start_log_server()
        watches = (("NodeClaim", None, self.on_claim), ("Pod", NAMESPACE, self.on_pod), ("Workspace", NAMESPACE, self.on_workspace))
        for kind, namespace, handle in watches:
            self.spawn(self.watch, self.api.path_of(kind, namespace), handle)
        for _ in range(6):
            self.spawn(self.serve, self.claims, self.serve_claim)
        for _ in range(4):
            self.spawn(self.serve, self.pods, lambda pod: self.kubelet.serve_pod(pod, self.gate))

    @staticmethod
    def spawn(target, *arguments):
        threading.Thread(target=target, args=arguments, daemon=True).start()

    def watch(self, path, handle):
        while True:
            try:
                listed = self.api.request("GET", path)
                for obj in listed["items"]:
                    handle(obj)
                query = {"watch": 1, "resourceVersion": listed["metadata"]["resourceVersion"]}
                with self.api.session().get(self.api.server() + path, params=query, stream=True, timeout=600) as stream:
                    for line in stream.iter_lines(chunk_size=None):
                        event = json.loads(line) if line else {"type": "BOOKMARK"}
                        if event["type"] == "ERROR":
                            break
                        if event["type"] in ("ADDED", "MODIFIED"):
                            handle(event["object"])
            except (self.api.ApiError, OSError, ValueError):
                time.sleep(0.2)  # the API server may be away

    def serve(self, items, action):
        """Each until it is done or gone: the API server may be away."""
        while True:
            item = items.get()
            while not self.served(action, item):
                time.sleep(0.2)

    def served(self, action, item):
        try:
            action(item)
        except self.api.ApiError as error:
            return error.code == 404
        except OSError:
            return False
        return True

    def progress(self, name):
        return self.known.setdefault(name, Progress())

    def on_claim(self, claim):
        metadata = claim["metadata"]
        workspace = metadata.get("labels", {}).get("kaito.sh/workspace")
        if not workspace or metadata.get("deletionTimestamp"):
            return
        with self.lock:
            p = self.progress(workspace)
            if not p.uids:
                p.claimed = time.monotonic()
            if metadata["uid"] not in p.uids:
                p.uids.add(metadata["uid"])
                self.claims.put(claim)

    def on_pod(self, pod):
        pending = pod["spec"].get("nodeName") and pod.get("status", {}).get("phase") == "Pending"
        if pending or pod["metadata"].get("deletionTimestamp"):
            self.pods.put(pod)

    def on_workspace(self, workspace):
        with self.lock:
            p = self.progress(workspace["metadata"]["name"])
            if workspace.get("status", {}).get("state") != "Ready":
                p.ready = 0
            elif not p.ready:
                p.ready = time.monotonic()

    def serve_claim(self, claim):
        name = claim["metadata"]["name"]
        labels = {**claim["metadata"].get("labels", {}), "accelerator": "nvidia"}
        node = self.played.node_object("n-" + name, labels, INSTANCE_TYPE, claim["spec"].get("taints", []))
        self.played.put_node(node)
        self.api.patch_status("NodeClaim", None, name, self.played.claim_ready_status(node))

    # ---- commands

    def __call__(self, command, *words):
        began = time.monotonic()
        answer = getattr(self, "do_" + command)(*words)
        return answer or {"seconds": time.monotonic() - began}

    def do_create(self, first, last, seconds):
        began = time.monotonic()

        def create(index):
            due = began + seconds * (index - first) / (last - first)
            time.sleep(max(0, due - time.monotonic()))
            obj = manifest(index)
            with self.lock:
                self.progress(obj["metadata"]["name"]).created = time.monotonic()
            self.api.create(obj)

        with ThreadPoolExecutor(8) as executor:
            list(executor.map(create, range(first, last)))

    def do_wait(self, first, last, seconds):
        began = time.monotonic()
        while True:
            with self.lock:
                all_of = [self.progress(f"b-{index:04d}") for index in range(first, last)]
                ready = sum(p.ready > 0 for p in all_of)
                latencies = sorted(p.claimed - p.created for p in all_of if p.uids)
                twice = sum(len(p.uids) > 1 for p in all_of)
            took = time.monotonic() - began
            if ready == len(all_of) or took > seconds:
                break
            time.sleep(0.01)
        return {"ready": ready, "readyS": took, "claimed": len(latencies), "p50S": percentile(latencies, 0.5),
                "p99S": percentile(latencies, 0.99), "maxS": percentile(latencies, 1), "twice": twice}

    def do_touch(self, first, last):
        def touch(index):
            change = {"metadata": {"annotations": {"bench/touch": str(time.monotonic())}}}
            self.api.patch("Workspace", NAMESPACE, f"b-{index:04d}", change)

        with ThreadPoolExecutor(8) as executor:
            list(executor.map(touch, range(first, last)))

    def do_unready(self, count):
        broken = {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]}
        names = [claim["status"]["nodeName"] for claim in self.api.list_all("NodeClaim") if claim.get("status", {}).get("nodeName")]

        def break_node(name):
            self.api.patch_status("Node", None, name, broken, self.api.STRATEGIC_PATCH)

        with ThreadPoolExecutor(8) as executor:
            list(executor.map(break_node, names[:count]))
