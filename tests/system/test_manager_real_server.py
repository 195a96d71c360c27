"""The real kube-apiserver is killed while Workspaces come: the manager goes on where it was, and nothing is made twice."""
import collections
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("KAITO_BUILD", ROOT / "build"))
STEPS, EACH = 3, 15
REVISION_LABEL = "workspace.kaito.io/name"
PATIENCE = 240  # seconds, on a machine with other work

sys.path.insert(0, str(ROOT / "bench" / "lib"))
import real_cluster  # noqa: E402


def reason_to_skip():
    return os.environ.get("KAITO_KUBE_SKIP") or real_cluster.missing()


reason = reason_to_skip()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(reason is not None, reason=reason or "")]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    c = real_cluster.RealCluster(tmp_path)
    yield c
    c.stop()


@pytest.fixture
def manager(cluster, tmp_path):
    argv = [BUILD / "kaito", "manager", f"--kubeconfig={cluster.kubeconfig}", "--metrics-bind-address=0",
            f"--health-probe-bind-address=127.0.0.1:{free_port()}", "--webhook=false"]
    with open(tmp_path / "manager.log", "wb") as log:
        process = subprocess.Popen(argv, env=dict(os.environ, CLOUD_PROVIDER="azure"), stdout=log, stderr=log)
    yield process
    process.kill()
    process.wait()


def owners(objects, label):
    return collections.Counter(obj["metadata"]["labels"][label] for obj in objects)


def test_the_real_api_server_is_killed_under_load(cluster, manager, tmp_path):
    for step in range(STEPS):
        cluster("create", step * EACH, step * EACH + EACH, 0)
        time.sleep(0.3 * step)
        cluster.kill_api_server()
        time.sleep(0.5)
        cluster.start_api_server()
        assert manager.poll() is None, (tmp_path / "manager.log").read_text()[-2000:]
    count = STEPS * EACH
    result = cluster("wait", 0, count, PATIENCE)
    assert result["ready"] == count, (result, (tmp_path / "manager.log").read_text()[-2000:])
    once = {f"b-{index:04d}": 1 for index in range(count)}
    assert owners(cluster.api.list_all("NodeClaim"), "kaito.sh/workspace") == once
    of_workspaces = [r for r in cluster.api.list_all("ControllerRevision", real_cluster.NAMESPACE)
                     if REVISION_LABEL in r["metadata"].get("labels", {})]
    assert owners(of_workspaces, REVISION_LABEL) == once
    sets = cluster.api.list_all("StatefulSet", real_cluster.NAMESPACE)
    assert sorted(s["metadata"]["name"] for s in sets) == sorted(once)
    assert result["twice"] == 0
