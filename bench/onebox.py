#!/usr/bin/env python3
"""The figures of one box: start, time to a running engine, memory, idle writes, size of the executable.

    bench/onebox.py [--build DIR] [--runs N] [--json FILE]

Each figure is the median of N runs (minimum and maximum beside it) against its limit. Needs kubectl; the engine's figures
need the model and llama-server (scripts/setup brings both). Exit status 1 when a limit is missed.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSECURE = ssl._create_unverified_context()
NAME = "workspace-gemma-3-270m"
EXAMPLE = ROOT / "examples" / "inference" / "kaito_workspace_gemma_3_270m.yaml"
MODEL = ROOT / ".deps" / "models" / "gemma-3-270m.gguf"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--build", default=ROOT / "build", type=Path)
parser.add_argument("--runs", default=7, type=int)
parser.add_argument("--json", type=Path)
options = parser.parse_args()
KAITO = options.build / "kaito"
os.environ["PATH"] += f":{ROOT / '.deps' / 'prefix' / 'bin'}"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Box:
    def __init__(self, data):
        self.data, self.port = data, free_port()
        self.env = dict(os.environ, KUBECONFIG=f"{data}/kubeconfig")

    def start(self):
        """Seconds from exec to a served /readyz."""
        url = f"https://127.0.0.1:{self.port}/readyz"
        began = time.perf_counter()
        self.process = subprocess.Popen([KAITO, "up", "--data-dir", self.data, "--port", str(self.port)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # A bare connect first: a TLS handshake against a closed port would cost more than it measures.
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    try:
                        if urllib.request.urlopen(url, timeout=5, context=INSECURE).status == 200:
                            return time.perf_counter() - began
                    except OSError:
                        pass
            if self.process.poll() is not None:
                sys.exit(f"kaito up ended with {self.process.returncode}")
            if time.perf_counter() - began > 20:
                sys.exit("kaito up is not ready after 20 s")
            time.sleep(0.001)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def kubectl(self, *args):
        return subprocess.run(["kubectl", *map(str, args)], env=self.env, text=True, capture_output=True, check=True).stdout

    def rss_mib(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def versions(self):
        out = json.loads(self.kubectl("get", "all,workspaces,controllerrevisions,endpoints,nodes,configmaps,events", "-A", "-o", "json"))
        return {(i["kind"], i["metadata"]["name"]): i["metadata"]["resourceVersion"] for i in out["items"]}


def engine_start(data):
    """Wall-clock time at which the engine of this box was started (ns since boot ticks → seconds since the epoch), or None."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if b"llama-server" not in command.split(b"\0")[0] or str(data).encode() not in (entry / "environ").read_bytes() + command:
                continue
            ticks = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[19])
        except OSError:
            continue
        boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return boot + ticks / os.sysconf("SC_CLK_TCK")
    return None


rows = []


def report(what, values, unit, limit=None, note=""):
    values = sorted(values)
    median = statistics.median(values)
    ok = limit is None or median <= limit
    rows.append({"what": what, "median": median, "min": values[0], "max": values[-1], "unit": unit, "limit": limit, "ok": ok,
                 "note": note})
    bound = "" if limit is None else f"limit {limit:g} {unit}  {'ok' if ok else 'MISSED'}"
    print(f"{what:<52} {median:9.2f} {unit:<4} ({values[0]:.2f} to {values[-1]:.2f})  {bound}  {note}", flush=True)


def measure_start():
    first, again, idle = [], [], []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as data:
            box = Box(data)
            first.append(box.start() * 1000)
            time.sleep(1)
            idle.append(box.rss_mib())
            box.stop()
            again.append(box.start() * 1000)
            box.stop()
    report("start to a served /readyz, empty directory", first, "ms", 150, "reference: 2100 ms to its own /readyz, API server aside")
    report("start to a served /readyz, second start", again, "ms", 150)
    report("memory (RSS) of kaito up, idle", idle, "MiB", 24, "reference operator alone: 58 MiB")


def measure_engine():
    if not MODEL.exists() or not shutil.which("llama-server"):
        print("the engine's figures are left out: the model or llama-server is not there (scripts/setup brings them)")
        return
    started, answered, memory, cpu = [], [], [], []
    changed = set()
    for run in range(max(3, options.runs // 2)):
        with tempfile.TemporaryDirectory() as data:
            box = Box(data)
            box.start()
            subprocess.run([KAITO, "models", "import", MODEL, "--name", "gemma-3-270m", "--data-dir", data], check=True,
                           capture_output=True)
            box.kubectl("get", "workspaces")    # kubectl's discovery cache is warm, as a user's is
            box.kubectl("apply", "-f", EXAMPLE)
            applied = time.time()
            start = None
            while start is None:
                start = engine_start(data)
                if time.time() - applied > 30:
                    sys.exit("no engine was started within 30 s")
            started.append(max(0.0, (start - applied) * 1000))
            box.kubectl("wait", "workspace", NAME, "--for=condition=WorkspaceSucceeded", "--timeout=120s")
            answered.append(time.time() - applied)
            if run == 0:
                time.sleep(2)
                before, cpu_before = box.versions(), box.cpu_seconds()
                time.sleep(20)
                after = box.versions()
                changed = {k for k in after if after[k] != before.get(k)}
                cpu.append((box.cpu_seconds() - cpu_before) / 20 * 100)
            memory.append(box.rss_mib())
            box.stop()
    report("kubectl apply returned to engine process started", started, "ms", 200, "clock tick 10 ms")
    report("kubectl apply returned to WorkspaceSucceeded", answered, "s")
    report("memory (RSS) of kaito up, one Workspace served", memory, "MiB", 24)
    report("objects written in 20 idle seconds, leases aside", [len(changed)], "", 0, " ".join(f"{k}/{n}" for k, n in changed))
    report("processor of kaito up, one Workspace, idle", cpu, "%")


def measure_size():
    with tempfile.TemporaryDirectory() as where:
        stripped = Path(where) / "kaito"
        subprocess.run(["strip", "-o", stripped, KAITO], check=True)
        report("size of kaito, stripped", [stripped.stat().st_size / 2**20], "MiB", 4, "reference: 81.6 MiB")


measure_start()
measure_engine()
measure_size()
if options.json:
    options.json.write_text(json.dumps(rows, indent=2) + "\n")
sys.exit(0 if all(r["ok"] for r in rows) else 1)
