"""Both servers, started once; the Workspace CRD is in both."""
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from . import servers
from .client import Client

WORKSPACES = servers.ROOT / "data" / "crds" / "workspaces.kaito.sh.json"


def install_workspaces(address):
    client = Client(address)
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    answer = client.send("POST", crds, WORKSPACES.read_bytes(), {"Content-Type": "application/json"})
    assert answer.status in (201, 409), answer
    end = time.monotonic() + 20
    while client.send("GET", "/apis/kaito.sh/v1beta1/workspaces").status != 200:
        assert time.monotonic() < end, "Workspaces are not served"
        time.sleep(0.05)
    client.close()


def start_ours(ours):
    """Twice: what was written before a start cannot be watched from there on, as with the real one."""
    install_workspaces(ours.start())
    assert ours.stop() == 0, ours.log()[-2000:]
    return ours.start()


def start_real(real):
    address = real.start()
    install_workspaces(address)
    return address


@pytest.fixture(scope="session")
def addresses(tmp_path_factory):
    """(ours, real)"""
    ours = servers.Ours(tmp_path_factory.mktemp("ours"))
    real = servers.Real(tmp_path_factory.mktemp("real"))
    try:
        with ThreadPoolExecutor(2) as pool:
            started = [pool.submit(start_ours, ours), pool.submit(start_real, real)]
            result = tuple(f.result() for f in started)
        yield result
    finally:
        real.stop()
        status = ours.stop()
    assert status == 0, f"serve ended with {status}: {ours.log()[-3000:]}"
