"""The manager and the API server are killed while Workspaces come in numbers: each gets one NodeClaim, and becomes Ready."""
import json
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("KAITO_BUILD", Path(__file__).resolve().parents[2] / "build"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class World:
    """The cluster that benchmarks use, with played machines and pods, and one manager."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        (folder / "data").mkdir()
        self.manager = None
        self.start_cluster()
        self.start_manager()

    def start_cluster(self):
        argv = [BUILD / "bench" / "bench_cluster", self.folder / "kubeconfig", self.folder / "data", "claims", str(self.port)]
        self.cluster = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert json.loads(self.cluster.stdout.readline())["port"] == self.port

    def send(self, *words):
        self.cluster.stdin.write(" ".join(map(str, words)) + "\n")
        self.cluster.stdin.flush()

    def ask(self, *words):
        self.send(*words)
        return json.loads(self.cluster.stdout.readline())

    def start_manager(self):
        argv = [BUILD / "kaito", "manager", f"--kubeconfig={self.folder / 'kubeconfig'}", "--metrics-bind-address=0",
                f"--health-probe-bind-address=127.0.0.1:{free_port()}", "--webhook=false", "--kube-client-qps=0"]
        with open(self.folder / "manager.log", "ab") as log:
            self.manager = subprocess.Popen(argv, env=dict(os.environ, CLOUD_PROVIDER="azure"), stdout=log, stderr=log)

    def kill_manager(self):
        self.manager.kill()
        self.manager.wait()

    def kill_cluster(self):
        self.cluster.send_signal(signal.SIGKILL)
        self.cluster.wait()
        self.cluster.stdin.close()
        self.cluster.stdout.close()

    def stop(self):
        for process in (self.manager, self.cluster):
            process.kill()
            process.wait()


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    w.stop()


def all_ready(world, count, seconds=60):
    result = world.ask("wait", 0, count, seconds)
    assert result["ready"] == count, (result, (world.folder / "manager.log").read_text()[-2000:])
    assert result["claimed"] == count
    assert result["twice"] == 0


def run_with_kills_of_the_manager(world, count, kills, seed):
    rng = random.Random(seed)
    world.send("create", 0, count, kills * 0.25)
    for _ in range(kills):
        time.sleep(rng.uniform(0.05, 0.45))
        world.kill_manager()
        world.start_manager()
    assert "seconds" in json.loads(world.cluster.stdout.readline())
    all_ready(world, count)


def test_the_manager_is_killed_in_a_burst(world):
    run_with_kills_of_the_manager(world, 60, 6, 1)


def test_the_api_server_is_killed_under_load(world):
    for step in range(3):
        world.ask("create", step * 20, step * 20 + 20, 0)
        time.sleep(0.1 * step)
        world.kill_cluster()
        time.sleep(0.3)
        world.start_cluster()
        assert world.manager.poll() is None
    all_ready(world, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_manager_is_killed_often(world, seed):
    run_with_kills_of_the_manager(world, 200, 30, seed)
