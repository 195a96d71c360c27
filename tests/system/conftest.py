"""One box as a user has it: `kaito up` in a directory of its own, and kubectl."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("KAITO_BUILD", ROOT / "build"))
KAITO = BUILD / "kaito"
MODEL = ROOT / ".deps" / "models" / "gemma-3-270m.gguf"
ENGINE = ROOT / ".deps" / "prefix" / "bin" / "llama-server"
EXAMPLE = ROOT / "examples" / "inference" / "kaito_workspace_gemma_3_270m.yaml"
os.environ["PATH"] += f":{ROOT / '.deps' / 'prefix' / 'bin'}"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def processes_of(data_dir):
    """Pids of processes that belong to one box's data directory: by command line, directory or environment."""
    found = []
    mark = str(data_dir).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        for part in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if mark in (entry / part).read_bytes() and b"python" not in (entry / "cmdline").read_bytes()[:64]:
                    found.append(int(entry.name))
                    break
    return found


class Box:
    def __init__(self, data, args=()):
        self.data = Path(data)
        self.port = free_port()
        self.args = list(args)
        self.process = None
        self.env = dict(os.environ, KUBECONFIG=str(self.data / "kubeconfig"))

    def start(self, wait=True):
        self.data.mkdir(parents=True, exist_ok=True)
        self.log = open(self.data / "up.log", "ab")
        self.process = subprocess.Popen(
            [KAITO, "up", "--data-dir", self.data, "--port", str(self.port), *self.args],
            stdout=self.log, stderr=self.log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=20):
        import ssl
        context = ssl._create_unverified_context()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"kaito up ended with {self.process.returncode}: {self.log_text()[-2000:]}")
            with contextlib.suppress(OSError):
                url = f"https://127.0.0.1:{self.port}/readyz"
                if urllib.request.urlopen(url, timeout=1, context=context).status == 200:
                    return
            time.sleep(0.01)
        raise AssertionError(f"kaito up is not ready after {seconds} s: {self.log_text()[-2000:]}")

    def log_text(self):
        return (self.data / "up.log").read_text(errors="replace")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=30):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(seconds)
        return self.process.returncode if self.process else 0

    def kubectl(self, *args, stdin=None, check=True, timeout=60):
        done = subprocess.run(["kubectl", *map(str, args)], env=self.env, input=stdin, text=True,
                              capture_output=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, args))}: {done.stderr or done.stdout}")
        return done

    def get(self, *args):
        return json.loads(self.kubectl("get", *args, "-o", "json").stdout)

    def condition(self, name, kind, namespace="default"):
        for c in self.get("workspace", name, "-n", namespace).get("status", {}).get("conditions", []):
            if c["type"] == kind:
                return c
        return None

    def wait_condition(self, name, kind, want, seconds=60, reason=None):
        end = time.monotonic() + seconds
        c = None
        while time.monotonic() < end:
            c = self.condition(name, kind)
            if c and c["status"] == want and (reason is None or c["reason"] == reason):
                return c
            time.sleep(0.05)
        raise AssertionError(f"{kind} is not {want} {reason or ''}: {c}; log: {self.log_text()[-3000:]}")

    def create_configmap(self, name, value, check=True):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": value}}
        return self.kubectl("create", "-f", "-", stdin=json.dumps(body), check=check)

    def import_model(self, path, name):
        return subprocess.run([KAITO, "models", "import", path, "--name", name, "--data-dir", self.data],
                              capture_output=True, text=True)


def address_of(box, name):
    """Where a Workspace answers: its Service, or its pod where this user must not listen on port 80."""
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if os.geteuid() == 0 or first <= 80:
        return box.get("service", name)["spec"]["clusterIP"]
    return box.get("pod", name + "-0")["status"]["podIP"] + ":5000"


def need(path, what):
    if not Path(path).exists():
        pytest.skip(f"{what} is not there: {path} (scripts/setup brings it)")


@pytest.fixture(scope="session", autouse=True)
def built():
    need(KAITO, "the build")
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not in PATH (scripts/setup kubectl brings it)")


@pytest.fixture
def new_box(tmp_path):
    """Makes boxes; whatever happens, none of their processes is left, and a test that leaves some fails."""
    boxes = []

    def make(name="data", args=(), start=True):
        box = Box(tmp_path / name, args)
        boxes.append(box)
        return box.start() if start else box

    yield make
    for box in boxes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            box.stop()
    left = processes_of(tmp_path)
    for pid in left:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    assert not left, f"processes were left behind: {left}"


@pytest.fixture
def box(new_box):
    return new_box()


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    """A box with Gemma 3 270M served, shared by the tests of a module."""
    need(MODEL, "the model")
    need(ENGINE, "the engine")
    box = Box(tmp_path_factory.mktemp("gemma") / "data").start()
    try:
        done = box.import_model(MODEL, "gemma-3-270m")
        assert done.returncode == 0, done.stderr
        box.kubectl("apply", "-f", EXAMPLE)
        box.wait_condition("workspace-gemma-3-270m", "WorkspaceSucceeded", "True", 120)
        box.url = "http://" + address_of(box, "workspace-gemma-3-270m")
        yield box
    finally:
        box.stop()
        left = processes_of(box.data)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"processes were left behind: {left}"
