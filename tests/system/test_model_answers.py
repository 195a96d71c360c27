"""A Workspace becomes a model that answers."""
import json
import time
import urllib.request

import pytest


def test_models_are_listed(gemma):
    answer = json.load(urllib.request.urlopen(gemma.url + "/v1/models", timeout=10))
    assert [m["id"] for m in answer["data"]] == ["gemma-3-270m"]


def test_completion(gemma):
    body = json.dumps({"model": "gemma-3-270m", "prompt": "The capital of France is", "max_tokens": 16, "temperature": 0})
    request = urllib.request.Request(gemma.url + "/v1/completions", body.encode(), {"Content-Type": "application/json"})
    answer = json.load(urllib.request.urlopen(request, timeout=120))
    assert "France" in answer["choices"][0]["text"]
    assert answer["usage"]["completion_tokens"] > 0


def test_health(gemma):
    assert urllib.request.urlopen(gemma.url + "/health", timeout=10).status == 200


def test_openai_client(gemma):
    openai = pytest.importorskip("openai", reason="the Python package openai is not installed (make test installs it)")
    client = openai.OpenAI(base_url=gemma.url + "/v1", api_key="unused", timeout=120)
    chat = client.chat.completions.create(
        model="gemma-3-270m", max_tokens=32, temperature=0,
        messages=[{"role": "user", "content": "Answer with one word: what is the capital of France?"}])
    assert chat.choices[0].message.content.strip()
    assert chat.usage.completion_tokens > 0
    pieces = []
    for chunk in client.chat.completions.create(
            model="gemma-3-270m", max_tokens=16, temperature=0, stream=True,
            messages=[{"role": "user", "content": "Count from one to five."}]):
        if chunk.choices and chunk.choices[0].delta.content:
            pieces.append(chunk.choices[0].delta.content)
    assert len(pieces) > 2


def test_status_says_all(gemma):
    ws = gemma.get("workspace", "workspace-gemma-3-270m")
    conditions = {c["type"]: c["status"] for c in ws["status"]["conditions"]}
    assert conditions["ResourceReady"] == conditions["InferenceReady"] == conditions["WorkspaceSucceeded"] == "True"
    assert ws["status"]["state"] == "Ready"
    assert ws["status"]["workerNodes"]
    assert all(c["observedGeneration"] == ws["metadata"]["generation"] for c in ws["status"]["conditions"])


def test_logs_of_the_engine(gemma):
    assert "kaito-serve: gemma-3-270m" in gemma.kubectl("logs", "workspace-gemma-3-270m-0").stdout


def test_nothing_is_written_when_nothing_changes(gemma):
    def versions():
        items = gemma.get("all,workspaces,controllerrevisions,endpoints,nodes,configmaps", "-A")["items"]
        return {(i["kind"], i["metadata"]["name"]): i["metadata"]["resourceVersion"] for i in items}
    before = versions()
    time.sleep(5)
    assert versions() == before


def test_a_restart_finds_everything(gemma):
    before = gemma.get("workspace", "workspace-gemma-3-270m")
    assert gemma.stop() == 0
    gemma.start()
    gemma.wait_condition("workspace-gemma-3-270m", "WorkspaceSucceeded", "True", 60)
    after = gemma.get("workspace", "workspace-gemma-3-270m")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    end = time.monotonic() + 30
    while True:
        try:
            test_models_are_listed(gemma)
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_deleted_workspace_takes_all_with_it(gemma):
    gemma.kubectl("delete", "workspace", "workspace-gemma-3-270m", "--wait", "--timeout=30s")
    end = time.monotonic() + 20
    while time.monotonic() < end:
        left = gemma.get("statefulset,pod,service,controllerrevision")["items"]
        left = [i for i in left if i["metadata"]["name"] != "kubernetes"]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError([f"{i['kind']}/{i['metadata']['name']}" for i in left])
