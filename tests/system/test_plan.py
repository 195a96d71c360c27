"""`kaito plan`: what the operator would make of a file, before anything is billed."""
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from conftest import KAITO, ROOT

pytestmark = pytest.mark.usefixtures("built")

QUICK_START = (ROOT / "examples" / "inference" / "kaito_workspace_phi_4_mini.yaml").read_text()
NODE = """
apiVersion: v1
kind: Node
metadata:
  name: gpu-1
  labels: {apps: phi-4-mini, nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB, nvidia.com/gpu.count: "1", nvidia.com/gpu.memory: "81920"}
status:
  conditions: [{type: Ready, status: "True"}]
"""


def plan(text, *args, objects=None, tmp_path=None, **env):
    if objects:
        (tmp_path / "objects.yaml").write_text(objects)
        args = (*args, "--objects", str(tmp_path / "objects.yaml"))
    return subprocess.run([KAITO, "plan", "-f", "-", *args], input=text, capture_output=True, text=True, timeout=60,
                          check=False, env={**os.environ, **env})


def changed(**members):
    workspace = yaml.safe_load(QUICK_START)
    for path, value in members.items():
        *above, last = path.split("__")
        place = workspace
        for key in above:
            place = place.setdefault(key, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return yaml.safe_dump(workspace)


def names(objects, kind):
    return [o["metadata"]["name"] for o in objects if o["kind"] == kind]


def test_the_quick_start_gets_one_node_and_why():
    result = plan(QUICK_START)
    assert result.returncode == 0, result.stderr
    assert "nodes   1 of Standard_NC24ads_A100_v4, each 1 x NVIDIA A100 with 80 GiB" in result.stdout
    assert "memory  fits: 7.29 GiB of weights need 1 GPU, there is 1" in result.stdout
    assert "61.57 left for weights" in result.stdout


def test_the_objects_are_those_that_the_operator_makes():
    objects = list(yaml.safe_load_all(plan(QUICK_START, "-o", "yaml").stdout))
    assert [o["kind"] for o in objects] == ["NodeClaim", "StatefulSet", "Service", "Service", "ControllerRevision"]
    claim, workload = objects[0], objects[1]
    assert claim["spec"]["resources"]["requests"]["storage"] == "87Gi"
    assert workload["spec"]["replicas"] == 1
    assert workload["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    for obj in objects:
        assert not {"uid", "resourceVersion", "creationTimestamp"} & set(obj["metadata"]), obj
        assert "status" not in obj


def test_figures_as_json():
    result = json.loads(plan(changed(inference__preset__name="llama-3.3-70b-instruct"), "-o", "json").stdout)
    (workspace,) = result["workspaces"]
    assert workspace["nodes"] == 3
    assert workspace["gpu"] == {"product": "NVIDIA A100", "count": 1, "gib": 80}
    assert workspace["memory"]["gpusNeeded"] == 3
    assert workspace["memory"]["weightsGiB"] > 2 * workspace["memory"]["roomGiB"]
    assert len(names(result["objects"], "NodeClaim")) == 3


def test_a_set_is_planned_with_its_workspaces():
    template = yaml.safe_load(QUICK_START)
    labels = template["resource"].pop("labelSelector")
    inference_set = {"apiVersion": "kaito.sh/v1beta1", "kind": "InferenceSet", "metadata": {"name": "chat"},
                     "spec": {"replicas": 2, "labelSelector": labels,
                              "template": {"resource": template["resource"], "inference": template["inference"]}}}
    result = json.loads(plan(json.dumps(inference_set), "-o", "json").stdout)
    assert len(result["workspaces"]) == 2
    assert len(names(result["objects"], "Workspace")) == len(names(result["objects"], "NodeClaim")) == 2


def test_older_versions_of_a_kind_are_planned():
    old = plan(changed(apiVersion="kaito.sh/v1alpha1"))
    assert old.returncode == 0 and "nodes   1 of Standard_NC24ads_A100_v4" in old.stdout, old.stdout + old.stderr
    unknown = plan(changed(apiVersion="kaito.sh/v7"))
    assert unknown.returncode == 1


def test_karpenter_gets_pools():
    classes = '[{"name": "std", "default": true, "spec": {"imageFamily": "Ubuntu2204"}}]'
    result = plan(QUICK_START, "-o", "json", "--node-provisioner", "karpenter", "--karpenter-node-classes", classes)
    objects = json.loads(result.stdout)["objects"]
    assert names(objects, "NodePool") == ["default-workspace-phi-4-mini"]
    assert not names(objects, "NodeClaim"), "Karpenter makes these"
    assert names(objects, "StatefulSet")


def test_karpenter_without_classes_has_those_of_the_chart():
    result = json.loads(plan(QUICK_START, "-o", "json", "--node-provisioner", "karpenter").stdout)
    [pool] = [o for o in result["objects"] if o["kind"] == "NodePool"]
    assert pool["spec"]["template"]["spec"]["nodeClassRef"]["name"] == "image-family-ubuntu"


def test_own_nodes_come_from_the_objects(tmp_path):
    byo = changed(resource__instanceType=None)
    refused = plan(byo, "--node-provisioner", "byo")
    assert "is refused" in refused.stdout and "apps" in refused.stdout
    lost = NODE.replace('status: "True"', 'status: "False"')
    waiting = plan(byo, "--node-provisioner", "byo", objects=lost, tmp_path=tmp_path)
    assert "waits (" in waiting.stdout and "gpu-1" in waiting.stdout, waiting.stdout
    assert "StatefulSet" not in waiting.stdout
    ready = plan(byo, "--node-provisioner", "byo", objects=NODE, tmp_path=tmp_path)
    assert "nodes   1, each 1 x NVIDIA-A100-SXM4-80GB with 80 GiB" in ready.stdout, ready.stdout
    assert "StatefulSet workspace-phi-4-mini" in ready.stdout


class Hub(BaseHTTPRequestHandler):
    """One model, for those with a token, and one that is no model."""
    def do_GET(self):
        if self.headers.get("Authorization") != "Bearer hf_x":
            return self.answer(401, {})
        if self.path.startswith("/api/models/org/Tiny/tree/main"):
            return self.answer(200, [{"type": "file", "path": "model.safetensors", "size": 2 << 30},
                                     {"type": "file", "path": "config.json", "size": 10}])
        if self.path == "/org/Tiny/resolve/main/config.json":
            return self.answer(200, {"architectures": ["LlamaForCausalLM"], "num_attention_heads": 16, "hidden_size": 2048,
                                     "num_hidden_layers": 16, "max_position_embeddings": 4096})
        return self.answer(404, {})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "no_proxy": "127.0.0.1", "HF_TOKEN": ""}
    server.shutdown()
    server.server_close()


SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: hf}
stringData: {HF_TOKEN: hf_x}
"""


def test_models_of_the_hub(hub):
    workspace = changed(inference__preset={"name": "org/Tiny", "presetOptions": {"modelAccessSecret": "hf"}})
    result = plan(SECRET + "---\n" + workspace, "-o", "json", **hub)
    assert result.returncode == 0, result.stdout + result.stderr
    result = json.loads(result.stdout)
    assert result["workspaces"][0]["nodes"] == 1
    (workload,) = [o for o in result["objects"] if o["kind"] == "StatefulSet"]
    (main,) = workload["spec"]["template"]["spec"]["containers"]
    assert "--model=org/tiny" in main["command"][-1] and "--served-model-name=tiny" in main["command"][-1]
    assert main["env"][-1]["valueFrom"]["secretKeyRef"]["name"] == "hf"


@pytest.mark.parametrize("name, secret, part", [
    ("org/Tiny", None, "ModelAccessDenied"),
    ("org/Tiny", "other", "AccessSecretMissing"),
    ("org/None", "hf", "ModelNotFound"),
])
def test_models_that_the_hub_does_not_give(hub, name, secret, part):
    options = {"modelAccessSecret": secret} if secret else {}
    result = plan(SECRET + "---\n" + changed(inference__preset={"name": name, "presetOptions": options}), **hub)
    assert result.returncode == 1, result.stdout
    assert part in result.stdout and "StatefulSet" not in result.stdout


STREAMING = ("--feature-gates", "ModelMirror=true,ModelStreaming=true", "--default-streaming-service-account", "reader")
AZURE = """
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: blob.csi.azure.com}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, annotations: {azure.workload.identity/client-id: "1"}}
"""


def test_models_that_others_keep_are_streamed(tmp_path):
    annotations = {"inference.kaito.sh/static-model-mirror": "true",
                   "inference.kaito.sh/stream-source-type": "byo",
                   "inference.kaito.sh/stream-datarefs-url": "https://x.example/models/m/versions/1",
                   "inference.kaito.sh/stream-identity-client-id": "2"}
    result = plan(changed(metadata__annotations=annotations), "-o", "json", *STREAMING, objects=AZURE, tmp_path=tmp_path)
    objects = json.loads(result.stdout)["objects"]
    (mirror,) = [o for o in objects if o["kind"] == "ModelMirror"]
    assert mirror["spec"]["mode"] == "Static"
    assert names(objects, "ConfigMap") == ["workspace-phi-4-mini-fetch-sas-script"]
    (workload,) = [o for o in objects if o["kind"] == "StatefulSet"]
    pod = workload["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "reader"
    assert [c["name"] for c in pod["initContainers"]] == ["fetch-sas"]
    assert "--model=$STREAM_MODEL_URI" in pod["containers"][0]["command"][-1]

    del annotations["inference.kaito.sh/stream-source-type"]
    result = plan(changed(metadata__annotations=annotations), *STREAMING, objects=AZURE, tmp_path=tmp_path)
    assert result.returncode == 1 and "stream-source-type" in result.stdout


BLOB_CLASS = """
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: blob}
provisioner: blob.csi.azure.com
"""


def test_models_that_are_mirrored_first(tmp_path):
    args = (*STREAMING, "--default-model-mirror-storage-class", "blob")
    result = plan(QUICK_START, "-o", "json", *args, objects=AZURE + BLOB_CLASS, tmp_path=tmp_path)
    objects = json.loads(result.stdout)["objects"]
    (mirror,) = [o for o in objects if o["kind"] == "ModelMirror"]
    assert mirror["spec"]["mode"] == "Managed" and mirror["spec"]["storage"]["storageClassName"] == "blob"
    assert names(objects, "PersistentVolumeClaim") == names(objects, "ModelMirror")
    result = plan(QUICK_START, *args, objects=AZURE + BLOB_CLASS, tmp_path=tmp_path)
    assert "waits (ModelMirrorNotReady)" in result.stdout, result.stdout
    assert f"ModelMirror {mirror['metadata']['name']}" in result.stdout
    lacking = plan(QUICK_START, *args, objects=AZURE, tmp_path=tmp_path)
    assert "there is no StorageClass blob" in lacking.stdout, lacking.stdout


def test_weights_go_to_local_disks(tmp_path):
    workspace = changed(resource__instanceType="Standard_ND96isr_H100_v5")
    local = BLOB_CLASS.replace("name: blob", "name: kaito-local-nvme-disk")
    claims = []
    for objects in (None, local):
        result = json.loads(plan(workspace, "-o", "json", objects=objects, tmp_path=tmp_path).stdout)
        (workload,) = [o for o in result["objects"] if o["kind"] == "StatefulSet"]
        claims.append(workload["spec"].get("volumeClaimTemplates"))
    assert not claims[0]
    assert claims[1][0]["spec"]["storageClassName"] == "kaito-local-nvme-disk"


def test_streaming_needs_its_driver():
    result = plan(QUICK_START, *STREAMING)
    assert result.returncode == 1 and "blob.csi.azure.com" in result.stdout


@pytest.mark.parametrize("change, reason", [
    ({"inference__preset__name": "phi-5"}, "phi-5"),
    ({"resource__instanceType": "Standard_Nowhere"}, "Standard_Nowhere"),
])
def test_what_cannot_run_is_said_and_asks_for_no_node(change, reason):
    result = plan(changed(**change))
    assert result.returncode == 1
    assert reason in result.stdout + result.stderr
    assert "NodeClaim" not in result.stdout


@pytest.mark.parametrize("change, field", [
    ({"metadata__name": "1st"}, "metadata.name"),
    ({"resource__labelSelector": None}, "labelSelector"),
    ({"resource__instanceType": None}, "instanceType"),
    ({"metadata__annotations": {"kaito.sh/performance-mode": "fast"}}, "performance-mode"),
])
def test_what_admission_refuses_is_not_planned(change, field):
    result = plan(changed(**change))
    assert result.returncode == 1
    assert "is refused" in result.stdout and field in result.stdout
    assert "NodeClaim" not in result.stdout


def test_one_that_is_refused_does_not_hide_the_others():
    result = plan(changed(metadata__name="1st") + "\n---\n" + QUICK_START)
    assert result.returncode == 1
    assert "Workspace 1st\n  is refused" in result.stdout
    assert "nodes   1 of Standard_NC24ads_A100_v4" in result.stdout


@pytest.mark.parametrize("text, part", [
    ("", "has no objects"),
    ("a: [", "line 2, column 1"),
    ("kind: Deployment\napiVersion: apps/v1\nmetadata: {name: x}", 'kind "Deployment" has no part in a plan'),
])
def test_bad_files(text, part):
    result = plan(text)
    assert result.returncode == 1
    assert part in result.stderr


def test_bad_flags():
    assert subprocess.run([KAITO, "plan"], capture_output=True, check=False).returncode == 2
    result = plan(QUICK_START, "-o", "xml")
    assert result.returncode == 2 and "xml" in result.stderr
    result = plan(QUICK_START, "--cloud", "moon")
    assert result.returncode == 2 and "moon" in result.stderr
