"""What stands behind a Service is told in EndpointSlices too, which newer clients read."""
import json
import time

from conftest import Box

IMAGES = '{"images": [{"match": "host", "run": "host"}]}'

PAIR = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: host, command: [sh, -c, "exec sleep 1000"]}
"""


def slices(box):
    text = box.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "json").stdout
    return json.loads(text)["items"]


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_slices_follow_the_pods(tmp_path):
    box = Box(tmp_path / "data")
    box.data.mkdir(parents=True)
    (box.data / "images.json").write_text(IMAGES)
    box.start()
    try:
        box.kubectl("create", "-f", "-", stdin=PAIR)
        box.kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=20s")
        address = box.get("pod", "web")["status"]["podIP"]
        until(lambda: any(e["conditions"]["ready"] for s in slices(box) for e in s["endpoints"] or []))
        [one] = slices(box)
        assert [e["addresses"] for e in one["endpoints"]] == [[address]]
        assert one["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        assert address in box.kubectl("get", "endpointslices").stdout
        version = one["metadata"]["resourceVersion"]
        time.sleep(1)
        assert slices(box)[0]["metadata"]["resourceVersion"] == version
        box.kubectl("delete", "pod", "web")
        until(lambda: not slices(box)[0]["endpoints"])
        box.kubectl("delete", "service", "web")
        until(lambda: slices(box) == [])
    finally:
        box.stop()
