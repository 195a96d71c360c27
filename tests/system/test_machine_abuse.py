"""Pods under abuse: shims and containers killed, pods deleted, sets scaled and rolled out, `kaito up` killed, all at random.
Afterwards the sets are what they ask for, each container has exactly its processes, and nothing else is left."""
import contextlib
import json
import os
import random
import signal
import time

import pytest

from conftest import processes_of

SECONDS = 30
SETS = "abc"
IMAGES = '{"images": [{"match": "host", "run": "host"}]}'

STATEFULSET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: NAME}
spec:
  replicas: 5
  podManagementPolicy: Parallel
  serviceName: none
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: c, image: host, command: [sh, -c, "setsid sleep 5000 & trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"]}
"""


def kill_something(box, choose):
    found = [p for p in processes_of(box.data) if p != box.process.pid]
    if found:
        with contextlib.suppress(OSError):
            os.kill(choose.choice(found), choose.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))


def delete_a_pod(box, choose):
    force = choose.choice([[], ["--grace-period=0", "--force"]])
    name = f"{choose.choice(SETS)}-{choose.randrange(5)}"
    box.kubectl("delete", "pod", name, "--wait=false", "--ignore-not-found", *force, check=False)


def patch(box, name, spec):
    box.kubectl("patch", "statefulset", name, "--type=merge", "-p", json.dumps({"spec": spec}))


def scale(box, choose):
    patch(box, choose.choice(SETS), {"replicas": choose.randrange(6)})


def roll_out(box, choose):
    patch(box, choose.choice(SETS), {"template": {"metadata": {"annotations": {"v": str(choose.random())}}}})


def crash(box, choose):
    box.kill()
    box.start()


ACTIONS = [kill_something] * 5 + [delete_a_pod] * 4 + [scale] * 3 + [roll_out, crash]


def settled(box):
    for s in box.get("statefulsets")["items"]:
        status = s["status"]
        if not (status["replicas"] == status.get("readyReplicas") == status.get("updatedReplicas") == 2):
            return False
    return len(box.get("pods")["items"]) == 2 * len(SETS)


@pytest.mark.slow
def test_pods_under_abuse(new_box):
    box = new_box(start=False)
    box.data.mkdir(parents=True)
    (box.data / "images.json").write_text(IMAGES)
    box.start()
    choose = random.Random(20261125)
    for name in SETS:
        box.kubectl("apply", "-f", "-", stdin=STATEFULSET.replace("NAME", name))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(choose.uniform(0.01, 0.1))
        choose.choice(ACTIONS)(box, choose)
        assert box.process.poll() is None, box.log_text()[-3000:]
    for name in SETS:
        patch(box, name, {"replicas": 2})
    end = time.monotonic() + 330  # the longest back-off is five minutes
    while not settled(box):
        assert time.monotonic() < end, box.kubectl("get", "statefulsets,pods").stdout
        time.sleep(0.2)
    # Up; and per pod the shim, the shell and its two children.
    expected = 1 + 2 * len(SETS) * 4
    end = time.monotonic() + 10
    while len(processes_of(box.data)) != expected:
        assert time.monotonic() < end, (expected, len(processes_of(box.data)))
        time.sleep(0.1)
    kept = [e for e in os.listdir(box.data / "pods") if not e.startswith(".")]
    assert len(kept) == 2 * len(SETS), "directories of pods that are gone were left"
    assert box.stop() == 0
    assert not processes_of(box.data)
