"""The verbs of kubectl against one box, as a user types them."""
import base64
import json
import ssl
import subprocess
import threading
import time
import urllib.request

import pytest

from conftest import Box, processes_of

# A pod of this image is any program of this machine.
IMAGES = '{"images": [{"match": "host", "run": "host"}]}'

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME, labels: {app: demo}}
data: {first: "1", second: "2"}
"""

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: host, command: [sh, -c, "echo one; echo two; exec sleep 1000"]}
"""

STATEFUL_SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: NAME}
spec:
  serviceName: NAME
  replicas: 1
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: host, command: [sh, -c, "exec sleep 1000"]}
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """One box for all tests here: each takes names of its own."""
    box = Box(tmp_path_factory.mktemp("kubectl") / "data")
    box.data.mkdir(parents=True)
    (box.data / "images.json").write_text(IMAGES)
    box.start()
    try:
        yield box
    finally:
        box.stop()
        left = processes_of(box.data)
        assert not left, f"processes were left behind: {left}"


def out(box, *args, **more):
    return box.kubectl(*args, **more).stdout


def refused(box, *args, **more):
    done = box.kubectl(*args, check=False, **more)
    assert done.returncode != 0, done.stdout
    return done.stderr


# ---- create: bodies that are protobuf ---------------------------------------------------------------------------------

def test_create_namespace(box):
    assert out(box, "create", "namespace", "space") == "namespace/space created\n"
    assert box.get("namespace", "space")["status"]["phase"] == "Active"
    assert "a lowercase RFC 1123 label" in refused(box, "create", "namespace", "Space")


def test_create_configmap(box, tmp_path):
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "bytes").write_bytes(b"\xff\x00\x01")
    out(box, "create", "configmap", "files", f"--from-file={tmp_path}", "--from-literal=k=v")
    made = box.get("configmap", "files")
    assert made["data"] == {"text": "hello\n", "k": "v"}
    assert base64.b64decode(made["binaryData"]["bytes"]) == b"\xff\x00\x01"
    assert "already exists" in refused(box, "create", "configmap", "files")


def test_create_secrets(box, tmp_path):
    out(box, "create", "secret", "generic", "words", "--from-literal=p=q")
    assert box.get("secret", "words")["data"] == {"p": base64.b64encode(b"q").decode()}
    out(box, "create", "secret", "docker-registry", "pull", "--docker-server=s", "--docker-username=u",
        "--docker-password=p")
    login = json.loads(base64.b64decode(box.get("secret", "pull")["data"][".dockerconfigjson"]))
    assert login["auths"]["s"]["username"] == "u"
    key, cert = tmp_path / "key", tmp_path / "cert"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=a"], check=True, capture_output=True)
    out(box, "create", "secret", "tls", "pair", f"--cert={cert}", f"--key={key}")
    assert base64.b64decode(box.get("secret", "pair")["data"]["tls.crt"]) == cert.read_bytes()


def test_create_service_and_account(box):
    out(box, "create", "service", "clusterip", "made", "--tcp=80:8080")
    spec = box.get("service", "made")["spec"]
    assert spec["ports"] == [{"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    assert spec["clusterIP"].startswith("127.") and spec["selector"] == {"app": "made"}
    out(box, "create", "serviceaccount", "who")
    assert "not supported" in refused(box, "create", "token", "who")


def test_dry_runs_make_nothing(box):
    for where in ("client", "server"):
        text = out(box, "create", "configmap", "dry", "--from-literal=k=v", f"--dry-run={where}", "-o", "json")
        assert json.loads(text)["data"] == {"k": "v"}
    assert "NotFound" in refused(box, "get", "configmap", "dry")


# ---- apply and edit ---------------------------------------------------------------------------------------------------

def managers(box, name):
    """{manager: operation} of a ConfigMap."""
    shown = json.loads(out(box, "get", "cm", name, "-o", "json", "--show-managed-fields"))
    return {e["manager"]: e["operation"] for e in shown["metadata"].get("managedFields", [])}


def test_apply_on_the_server(box):
    text = CONFIG.replace("NAME", "served")
    apply = ["apply", "--server-side", "-f", "-"]
    assert out(box, *apply, stdin=text) == "configmap/served serverside-applied\n"
    assert out(box, *apply, stdin=text) == "configmap/served serverside-applied\n"
    assert managers(box, "served") == {"kubectl": "Apply"}
    assert "managedFields" not in out(box, "get", "cm", "served", "-o", "yaml")
    other = text.replace('"1"', '"3"')
    conflict = refused(box, *apply, "--field-manager=other", stdin=other)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.first' in conflict
    out(box, *apply, "--field-manager=other", "--force-conflicts", stdin=other)
    assert managers(box, "served") == {"kubectl": "Apply", "other": "Apply"}
    assert box.get("cm", "served")["data"] == {"first": "3", "second": "2"}
    diff = box.kubectl("diff", "--server-side", "--force-conflicts", "-f", "-", stdin=text, check=False)
    assert diff.returncode == 1 and '+  first: "1"' in diff.stdout, diff.stdout + diff.stderr
    assert out(box, *apply, "--dry-run=server", "--force-conflicts", stdin=text) == "configmap/served serverside-applied (server dry run)\n"
    assert box.get("cm", "served")["data"]["first"] == "3"


def test_apply_on_either_side(box):
    """kubectl moves what it applied on its own side to the server's, and back."""
    text = CONFIG.replace("NAME", "moved")
    out(box, "apply", "-f", "-", stdin=text)
    assert managers(box, "moved") == {"kubectl-client-side-apply": "Update"}
    less = text.replace(', second: "2"', "")
    assert out(box, "apply", "--server-side", "-f", "-", stdin=less) == "configmap/moved serverside-applied\n"
    assert box.get("cm", "moved")["data"] == {"first": "1"}
    assert managers(box, "moved") == {"kubectl": "Apply", "kubectl-last-applied": "Apply"}
    assert out(box, "apply", "-f", "-", stdin=text) == "configmap/moved configured\n"
    assert box.get("cm", "moved")["data"] == {"first": "1", "second": "2"}
    out(box, "apply", "--server-side", "-f", "-", stdin=less)
    assert box.get("cm", "moved")["data"] == {"first": "1"}


def test_apply(box):
    text = CONFIG.replace("NAME", "applied")
    assert out(box, "apply", "-f", "-", stdin=text) == "configmap/applied created\n"
    assert out(box, "apply", "-f", "-", stdin=text) == "configmap/applied unchanged\n"
    text = text.replace(', second: "2"', "").replace('"1"', '"3"')
    changes = box.kubectl("diff", "-f", "-", stdin=text, check=False)
    assert changes.returncode == 1 and "-  second: \"2\"" in changes.stdout
    assert out(box, "apply", "-f", "-", stdin=text) == "configmap/applied configured\n"
    assert box.get("configmap", "applied")["data"] == {"first": "3"}


def test_edit_replace_patch(box):
    box.create_configmap("edited", "before")
    env = dict(box.env, KUBE_EDITOR="sed -i s/before/after/")
    done = subprocess.run(["kubectl", "edit", "configmap", "edited"], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "configmap/edited edited\n", done.stderr
    assert box.get("configmap", "edited")["data"] == {"n": "after"}
    out(box, "patch", "configmap", "edited", "-p", '{"data":{"n":"3"}}')
    out(box, "patch", "configmap", "edited", "--type=json", "-p", '[{"op":"add","path":"/data/a","value":"b"}]')
    assert box.get("configmap", "edited")["data"] == {"n": "3", "a": "b"}
    out(box, "replace", "-f", "-", stdin=CONFIG.replace("NAME", "edited"))
    assert box.get("configmap", "edited")["data"] == {"first": "1", "second": "2"}


def test_label_annotate_delete(box):
    box.create_configmap("marked", "1")
    out(box, "label", "configmap", "marked", "a=b")
    assert "--overwrite is false" in refused(box, "label", "configmap", "marked", "a=c")
    out(box, "annotate", "configmap", "marked", "note=x")
    assert out(box, "get", "configmap", "-l", "a=b", "-o", "name") == "configmap/marked\n"
    out(box, "label", "configmap", "marked", "a-")
    assert out(box, "get", "configmap", "-l", "a=b", "-o", "name") == ""
    assert out(box, "delete", "configmap", "marked").startswith('configmap "marked" deleted')  # newer ones add from where
    assert "NotFound" in refused(box, "delete", "configmap", "marked")
    out(box, "delete", "configmap", "marked", "--ignore-not-found")


# ---- get --------------------------------------------------------------------------------------------------------------

def test_get_in_each_form(box):
    out(box, "apply", "-f", "-", stdin=CONFIG.replace("NAME", "shown"))
    what = ("get", "configmap", "shown", "-o")
    assert out(box, *what, "wide").split()[:5] == ["NAME", "DATA", "AGE", "shown", "2"]
    assert out(box, *what, "name") == "configmap/shown\n"
    assert "kind: ConfigMap" in out(box, *what, "yaml")
    assert json.loads(out(box, *what, "json"))["data"]["second"] == "2"
    assert out(box, *what, "jsonpath={.data.second}") == "2"
    assert out(box, *what, "custom-columns=N:.metadata.name,S:.data.second").split() == ["N", "S", "shown", "2"]
    assert out(box, "get", "configmap", "-A", "--no-headers", "-l", "app=demo").split()[0] == "default"


@pytest.mark.parametrize("version", ["v2@v1.0", "v2.v1.0"])
def test_schemas_for_old_clients(box, version):
    """kubectl 1.20, which is Debian's, asks with a media type that it cannot read itself."""
    request = urllib.request.Request(f"https://127.0.0.1:{box.port}/openapi/v2", headers={
        "Authorization": "Bearer " + (box.data / "token").read_text().strip(),
        "Accept": f"application/com.github.proto-openapi.spec.{version}+protobuf"})
    context = ssl.create_default_context(cafile=box.data / "ca.pem")
    answer = urllib.request.urlopen(request, timeout=10, context=context)
    assert answer.headers["Content-Type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def test_get_watch(box):
    watch = subprocess.Popen(["kubectl", "get", "configmaps", "-l", "seen=yes", "-w", "--output-watch-events"],
                             env=box.env, stdout=subprocess.PIPE, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(watch.stdout.readline, "")))
    reader.start()
    try:
        text = CONFIG.replace("NAME", "watched").replace("app: demo", '"seen": "yes"')
        out(box, "apply", "-f", "-", stdin=text)
        out(box, "apply", "-f", "-", stdin=text.replace('"1"', '"2"'))
        out(box, "delete", "configmap", "watched")
        end = time.monotonic() + 10
        while not any(line.startswith("DELETED") for line in lines) and time.monotonic() < end:
            time.sleep(0.02)
    finally:
        watch.terminate()
        watch.wait()
        reader.join()
    # the watch may begin behind the first of them
    events = [line.split()[0] for line in lines]
    assert events[0] == "EVENT" and events[-1] == "DELETED", lines
    assert events[1:] == ["ADDED", "MODIFIED", "DELETED"][-len(events[1:]):], lines


def test_what_there_is(box):
    assert f"https://127.0.0.1:{box.port}" in out(box, "cluster-info")
    rows = [line.split()[0] for line in out(box, "api-resources").splitlines()]
    assert {"pods", "statefulsets", "workspaces", "leases"} <= set(rows)
    assert "Server Version: v1.32" in out(box, "version")
    assert "valueFrom\t<EnvVarSource>" in out(box, "explain", "pod.spec.containers.env")
    assert "name\t<string> -required-" in out(box, "explain", "workspace.inference.preset")


# ---- pods -------------------------------------------------------------------------------------------------------------

def test_pod(box):
    out(box, "create", "-f", "-", stdin=POD.replace("NAME", "talker"))
    out(box, "wait", "--for=condition=Ready", "pod/talker", "--timeout=20s")
    assert out(box, "logs", "talker") == "one\ntwo\n"
    assert out(box, "logs", "talker", "--tail=1") == "two\n"
    text = out(box, "describe", "pod", "talker")
    assert "Started container main" in text and "Successfully assigned default/talker" in text
    out(box, "expose", "pod", "talker", "--port=80", "--selector=a=b")
    assert box.get("service", "talker")["spec"]["ports"][0]["targetPort"] == 80
    assert "pods/exec is not supported" in refused(box, "exec", "talker", "--", "true")
    out(box, "delete", "pod", "talker", "--grace-period=0", "--force")
    out(box, "wait", "--for=delete", "pod/talker", "--timeout=20s")


def test_run(box):
    out(box, "run", "short", "--image=host", "--restart=Never", "--command", "--", "sh", "-c", "echo done")
    out(box, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/short", "--timeout=20s")
    assert out(box, "logs", "short") == "done\n"
    assert out(box, "get", "pods", "--field-selector=status.phase=Succeeded", "-o", "name") == "pod/short\n"
    out(box, "delete", "pod", "short", "--now")


def test_node(box):
    node = out(box, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    out(box, "cordon", node)
    assert "SchedulingDisabled" in out(box, "get", "node", node)
    out(box, "uncordon", node)
    out(box, "taint", "node", node, "k=v:PreferNoSchedule")
    assert box.get("node", node)["spec"]["taints"] == [{"key": "k", "value": "v", "effect": "PreferNoSchedule"}]
    out(box, "taint", "node", node, "k-")
    out(box, "label", "node", node, "disk=fast")
    assert out(box, "get", "nodes", "-l", "disk=fast", "-o", "name") == f"node/{node}\n"


def test_stateful_set(box):
    out(box, "create", "-f", "-", stdin=STATEFUL_SET.replace("NAME", "set"))
    out(box, "rollout", "status", "statefulset/set", "--timeout=20s")
    first = box.get("pod", "set-0")["metadata"]["uid"]
    out(box, "rollout", "restart", "statefulset/set")
    out(box, "rollout", "status", "statefulset/set", "--timeout=20s")
    out(box, "wait", "--for=condition=Ready", "pod/set-0", "--timeout=20s")
    assert box.get("pod", "set-0")["metadata"]["uid"] != first
    assert len(out(box, "rollout", "history", "statefulset/set").strip().splitlines()) == 4
    out(box, "delete", "statefulset", "set")
    out(box, "wait", "--for=delete", "pod/set-0", "--timeout=20s")
