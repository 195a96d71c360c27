"""Jobs on one box, as a user of kubectl meets them."""
import json
import time

import pytest

from conftest import Box, processes_of

IMAGES = '{"images": [{"match": "host", "run": "host"}]}'

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: NAME}
spec:
  SPEC
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: host, command: [sh, -c, "COMMAND"]}
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """One box for all tests here: each takes names of its own."""
    box = Box(tmp_path_factory.mktemp("jobs") / "data")
    box.data.mkdir(parents=True)
    (box.data / "images.json").write_text(IMAGES)
    box.start()
    try:
        yield box
    finally:
        box.stop()
        left = processes_of(box.data)
        assert not left, f"processes were left behind: {left}"


def create(box, name, command, spec="backoffLimit: 6"):
    text = JOB.replace("NAME", name).replace("SPEC", spec).replace("COMMAND", command)
    box.kubectl("create", "-f", "-", stdin=text)


def wait_for(box, name, condition, seconds=40):
    box.kubectl("wait", f"job/{name}", f"--for=condition={condition}", f"--timeout={seconds}s")


def pods_of(box, name):
    return json.loads(box.kubectl("get", "pods", "-l", f"job-name={name}", "-o", "json").stdout)["items"]


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_create_wait_logs_delete(box):
    box.kubectl("create", "job", "hello", "--image=host", "--", "sh", "-c", "echo hi there")
    wait_for(box, "hello", "complete")
    assert box.kubectl("logs", "job/hello").stdout == "hi there\n"
    status = box.get("job", "hello")["status"]
    assert status["succeeded"] == 1 and "failed" not in status and status["uncountedTerminatedPods"] == {}
    assert [c["type"] for c in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    row = box.kubectl("get", "job", "hello", "--no-headers").stdout.split()
    assert row[:3] == ["hello", "Complete", "1/1"]
    assert "Job completed" in box.kubectl("describe", "job", "hello").stdout
    assert "finalizers" not in pods_of(box, "hello")[0]["metadata"]
    box.kubectl("delete", "job", "hello")
    until(lambda: pods_of(box, "hello") == [])


def test_several_at_a_time(box):
    create(box, "many", "true", "completions: 5\n  parallelism: 2")
    wait_for(box, "many", "complete")
    assert box.get("job", "many")["status"]["succeeded"] == 5
    assert len(pods_of(box, "many")) == 5


def test_indexes(box):
    create(box, "list", "echo index $JOB_COMPLETION_INDEX", "completions: 3\n  parallelism: 3\n  completionMode: Indexed")
    wait_for(box, "list", "complete")
    assert box.get("job", "list")["status"]["completedIndexes"] == "0-2"
    logs = {box.kubectl("logs", p["metadata"]["name"]).stdout for p in pods_of(box, "list")}
    assert logs == {"index 0\n", "index 1\n", "index 2\n"}


def test_failure(box):
    create(box, "broken", "exit 3", "backoffLimit: 0")
    wait_for(box, "broken", "failed")
    status = box.get("job", "broken")["status"]
    assert status["failed"] == 1
    failed = next(c for c in status["conditions"] if c["type"] == "Failed")
    assert failed["reason"] == "BackoffLimitExceeded"


def test_deadline(box):
    create(box, "slow", "exec sleep 1000", "activeDeadlineSeconds: 1")
    wait_for(box, "slow", "failed")
    failed = next(c for c in box.get("job", "slow")["status"]["conditions"] if c["type"] == "Failed")
    assert failed["reason"] == "DeadlineExceeded"
    until(lambda: pods_of(box, "slow") == [])


def test_time_to_live(box):
    create(box, "brief", "true", "ttlSecondsAfterFinished: 1")
    until(lambda: box.kubectl("get", "job", "brief", check=False).returncode != 0, 40)
    until(lambda: pods_of(box, "brief") == [])


def test_suspended_then_resumed(box):
    create(box, "later", "true", "suspend: true")
    wait_for(box, "later", "suspended")
    assert pods_of(box, "later") == []
    box.kubectl("patch", "job", "later", "-p", '{"spec": {"suspend": false}}')
    wait_for(box, "later", "complete")


def test_orphans_are_let_go(box):
    create(box, "parent", "true")
    wait_for(box, "parent", "complete")
    box.kubectl("delete", "job", "parent", "--cascade=orphan")
    [pod] = pods_of(box, "parent")
    box.kubectl("delete", "pod", pod["metadata"]["name"], "--timeout=20s")
