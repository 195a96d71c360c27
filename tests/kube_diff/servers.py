"""The two servers: ours alone (serve.c), and etcd with the real kube-apiserver."""
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("KAITO_BUILD", ROOT / "build"))
SERVE = BUILD / "tests" / "kube_diff" / "serve"
KUBE = ROOT / "tests" / "kube" / "kube"
BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager")
INSECURE = ssl._create_unverified_context()


@dataclass
class Address:
    port: int
    token: str


def reason_to_skip():
    """Why the two cannot be compared here; None: they can."""
    if not SERVE.exists():
        return f"{SERVE} is not built"
    if os.environ.get("KAITO_KUBE_SKIP"):
        return os.environ["KAITO_KUBE_SKIP"]
    folder = Path(subprocess.run([KUBE, "bin"], capture_output=True, text=True, check=True).stdout.strip())
    missing = [name for name in BINARIES if not os.access(folder / name, os.X_OK)]
    if missing:
        return f"{folder} has no {', '.join(missing)} (scripts/setup kube builds them)"
    found = shutil.which("kubectl") or os.access(folder / "kubectl", os.X_OK)
    return None if found else "kubectl is not in PATH (scripts/setup kubectl brings it)"


def port_with_room():
    """The middle one of 19 free ports below those that the kernel hands out."""
    while True:
        port = random.randrange(20010, 32000)
        free = True
        for near in range(port - 9, port + 10):
            with socket.socket() as s:
                free = free and s.connect_ex(("127.0.0.1", near)) != 0
        if free:
            return port


class Ours:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.process = None

    def start(self):
        port = port_with_room()
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "serve.log", "ab") as log:
            self.process = subprocess.Popen([SERVE, self.folder / "data", str(port)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended with {self.process.returncode}: {self.log()[-2000:]}")
            try:
                url = f"https://127.0.0.1:{port}/readyz"
                if urllib.request.urlopen(url, timeout=1, context=INSECURE).status == 200:
                    return Address(port, (self.folder / "data" / "token").read_text().strip())
            except OSError:
                time.sleep(0.01)
        self.stop()
        raise AssertionError(f"serve is not ready: {self.log()[-2000:]}")

    def log(self):
        return (self.folder / "serve.log").read_text(errors="replace")

    def stop(self):
        """Its exit status; negative: the signal that ended it."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode if self.process else None


class Real:
    def __init__(self, folder):
        self.folder = Path(folder)

    def run(self, *args, **env):
        env = {**os.environ, "KUBE_DIR": str(self.folder), **env}
        return subprocess.run([KUBE, *args], env=env, capture_output=True, text=True, check=False)

    def start(self):
        port = port_with_room()
        done = self.run("up", "--api", KUBE_PORT=str(port))
        if done.returncode != 0:
            self.stop()
            raise AssertionError(f"the real API server does not start: {done.stderr[-2000:]}")
        return Address(port, (self.folder / "token").read_text().strip())

    def stop(self):
        """At once: nothing of it is needed any more."""
        for path in self.folder.glob("*.pid"):
            try:
                os.kill(int(path.read_text()), signal.SIGKILL)
            except (OSError, ValueError):
                pass
        self.run("down")
