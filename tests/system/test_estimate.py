"""`kaito estimate` and `kaito models catalog`: what fits where, without a cluster."""
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import KAITO

A100 = "Standard_NC24ads_A100_v4"
T4 = "nvidia.com/gpu.product=Tesla-T4,nvidia.com/gpu.count=1,nvidia.com/gpu.memory=15360,nvidia.com/cuda.compute.major=7," \
     "nvidia.com/cuda.compute.minor=5"


def run(*args, **env):
    clean = {k: v for k, v in os.environ.items() if k not in ("CLOUD_PROVIDER", "KUBECONFIG", "HF_TOKEN", "HF_ENDPOINT")}
    return subprocess.run([KAITO, *map(str, args)], capture_output=True, text=True, timeout=30, env={**clean, **env})


def estimate(model, *args, **env):
    done = run("estimate", "--model", model, "-o", "json", *args, **env)
    answer = json.loads(done.stdout)
    assert done.returncode == (1 if "error" in answer else 0)
    return answer


@pytest.mark.parametrize("model,sku,cloud,context,expected", [
    ("phi-4-mini-instruct", A100.lower(), "azure", 0, 1),
    ("gpt-oss-120b", A100, "azure", 0, 3),
    ("phi-4", "Standard_NV36ads_A10_v5", "azure", 131072, "gpu-memory-below-overhead"),
    ("phi-4", "Standard_NV36ads_A10_v5", "azure", 32768, 3),
    ("llama-3.3-70b-instruct", "g5.12xlarge", "aws", 32768, 3),
    ("phi-4", "Standard_NC24ads_A100_v5", "azure", 0, "unsupported-sku"),
    ("phi-44", A100, "azure", 0, "unknown-model"),
])
def test_nodes(model, sku, cloud, context, expected):
    answer = estimate(model, "--instance-type", sku, "--cloud", cloud, "--context", context)
    if isinstance(expected, str):
        assert answer["error"] == expected and answer["message"]
    else:
        assert answer["nodes"] == expected
        assert answer["flags"].get("pipeline-parallel-size", "1") == str(expected)


def test_precise():
    for args in (["--precise"], ["--estimator", "precise"]):
        answer = estimate("gpt-oss-120b", "-t", A100, *args)
        assert answer["nodes"] == 1 and answer["mode"] == "precise" and answer["assumptions"] == []
        assert 0 < answer["memory"]["maxContext"] < 131072
    assert estimate("phi-4", "-t", "g5.12xlarge", "--cloud", "aws", "--precise")["flags"]["tensor-parallel-size"] == "2"


def test_own_nodes(tmp_path):
    answer = estimate("phi-4-mini-instruct", "--node-labels", T4)
    assert answer["nodes"] == 1 and answer["flags"]["dtype"] == "float16"
    assert "instanceType" not in answer
    nodes = tmp_path / "nodes.yaml"
    nodes.write_text("""
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Node
  metadata: {name: a, labels: {apps: x, nvidia.com/gpu.product: A, nvidia.com/gpu.count: "1", nvidia.com/gpu.memory: "81920"}}
  status: {conditions: [{type: Ready, status: "False"}]}
- apiVersion: v1
  kind: Node
  metadata: {name: b, labels: {apps: y, nvidia.com/gpu.product: A, nvidia.com/gpu.count: "8", nvidia.com/gpu.memory: "81920"}}
  status: {conditions: [{type: Ready, status: "True"}]}
""")
    byo = ("--node-provisioner", "byo", "--objects", nodes)
    answer = estimate("llama-3.3-70b-instruct", *byo)
    assert answer["nodes"] == 1 and answer["gpu"]["count"] == 8
    assert estimate("llama-3.3-70b-instruct", *byo, "--accelerators", 2)["nodes"] == 2
    assert estimate("llama-3.3-70b-instruct", *byo, "--accelerators", 9)["error"] == "accelerator-count-exceeds-node"
    assert estimate("phi-4", *byo, "-l", "apps=x")["error"] == "no-ready-nodes"
    assert estimate("phi-4", "--mig-profile", "1g.10gb")["error"] == "mig-slice-too-small"
    assert estimate("phi-4", "--node-labels", "a=b")["error"] == "missing-gpu-labels"


def test_wrong_command_lines():
    for args in (["--model", "phi-4"], ["-t", A100], ["--model", "phi-4", "-t", A100, "--node-provisioner", "byo"],
                 ["--model", "phi-4", "-t", A100, "--context", "-1"], ["--model", "phi-4", "-t", A100, "--accelerators", "2"],
                 ["--model", "phi-4", "--node-labels", "x"], ["--model", "phi-4", "-t", A100, "--cloud", "gcp"]):
        done = run("estimate", *args)
        assert done.returncode in (1, 2) and done.stderr.startswith("kaito estimate: ") and not done.stdout, args


def test_text():
    done = run("estimate", "--model", "phi-4-mini-instruct", "--instance-type", A100, "--count", 4)
    assert done.returncode == 0
    assert done.stdout.startswith("phi-4-mini-instruct: 1 node, 1 x NVIDIA A100 with 80 GiB each, " + A100)
    assert "can be used            67.20" in done.stdout and "a count of 4 is not used" in done.stdout


def test_warnings_of_other_vendors():
    answer = estimate("phi-4-mini-instruct", "-t", "inf2.xlarge", "--cloud", "aws")
    assert answer["nodes"] == 1 and "NVIDIA" in answer["warnings"][0]


class Hub(BaseHTTPRequestHandler):
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


def test_models_of_a_hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "no_proxy": "127.0.0.1"}
    try:
        answer = estimate("org/Tiny", "-t", A100, HF_TOKEN="hf_x", **env)
        assert answer["nodes"] == 1 and answer["model"] == "org/Tiny"
        assert answer["flags"]["model"] == "org/tiny" and answer["flags"]["served-model-name"] == "tiny"
        assert estimate("org/Tiny", "-t", A100, "--token", "hf_x", "--precise", **env)["nodes"] == 1
        assert estimate("org/Tiny", "-t", A100, **env)["error"] == "model-access-denied"
        assert estimate("org/None", "-t", A100, HF_TOKEN="hf_x", **env)["error"] == "model-not-found"
    finally:
        server.shutdown()
        server.server_close()


def catalog(*args, **env):
    done = run("models", "catalog", "-o", "json", *args, **env)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    return {row["name"]: row for row in reversed(rows)}  # of a name that both formats have, the first


def count(runtime):
    return len([row for row in json.loads(run("models", "catalog", "-o", "json").stdout) if runtime in row["runtimes"]])


def test_catalog():
    rows = catalog()
    assert count("vllm") == 60 and count("transformers") == 20 and count("llama.cpp") >= 6
    assert rows["phi-4"]["nodes"][A100] == 1 and rows["phi-4"]["nodes"]["Standard_NV36ads_A10_v5"] == 2
    assert rows["phi-4"]["tuning"] is True and rows["phi-4"]["runtimes"] == ["vllm", "transformers"]
    assert not any("V620" in sku for sku in rows["phi-4"]["nodes"])
    assert catalog("--cloud", "aws")["phi-4"]["nodes"]["p5.48xlarge"] == 1
    assert catalog(CLOUD_PROVIDER="arc")["phi-4-mini-instruct"]["nodes"]["Standard_NC4_A2"] == 1


def test_catalog_filters():
    assert set(catalog("--filter", "GPT-OSS")) == {"gpt-oss-20b", "gpt-oss-120b"}
    assert "gemma-3-4b-it" in catalog("--filter", "gemma-3-4b-instruct")
    fits = catalog("--fits", A100.lower())
    assert "phi-4" in fits and "gpt-oss-120b" not in fits and "gemma-3-270m" not in fits
    assert "gpt-oss-120b" in catalog("--fits", A100, "--precise")
    assert "phi-3-medium-128k-instruct" not in catalog("--fits", "Standard_NV72ads_A10_v5", "--context", 131072)
    done = run("models", "catalog", "--fits", "Standard_NC24ads_A100_v5")
    assert done.returncode == 1 and A100 in done.stderr
    assert run("models", "catalog", "--cloud", "gcp").returncode == 1
    assert "phi-4-mini" in run("models", "catalog", "--filter", "phi").stdout
