"""`kaito validate`: what a cluster would say, without one."""
import json
import os
import subprocess

import pytest

from conftest import KAITO

WORKSPACE = """
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: w}
resource: {instanceType: Standard_NC24ads_A100_v4, labelSelector: {matchLabels: {apps: x}}}
inference: {preset: {name: phi-4}}
"""
BYO = WORKSPACE.replace("instanceType: Standard_NC24ads_A100_v4, ", "")
NODE = """
apiVersion: v1
kind: Node
metadata: {name: n, labels: {apps: x, nvidia.com/gpu.product: A100, nvidia.com/gpu.count: "1", nvidia.com/gpu.memory: "81920"}}
"""


def validate(*args, stdin="", **env):
    clean = {k: v for k, v in os.environ.items() if k not in ("CLOUD_PROVIDER", "RELEASE_NAMESPACE", "KUBECONFIG")}
    return subprocess.run([KAITO, "validate", *map(str, args)], input=stdin, capture_output=True, text=True, timeout=20,
                          env={**clean, **env})


def verdict(*args, stdin="", **env):
    done = validate("-f", "-", "-o", "json", *args, stdin=stdin, **env)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["allowed"] else 1)
    return answer


def fields(answer):
    return [e["field"] for e in answer["errors"]]


def test_one_object():
    answer = verdict(stdin=WORKSPACE)
    assert answer["allowed"] is True and answer["errors"] == []
    answer = verdict(stdin=WORKSPACE.replace("phi-4", "phi-44"))
    assert answer["errors"][0]["field"] == "inference.preset.name"
    assert answer["errors"][0]["value"] == "phi-44"
    assert "phi-4" in answer["errors"][0]["message"]


def test_text(tmp_path):
    file = tmp_path / "w.yaml"
    file.write_text(WORKSPACE.replace("{name: w}", "{name: 1w}"))
    done = validate("-f", file)
    assert done.returncode == 1
    assert done.stdout.startswith("Workspace default/1w: denied\n  metadata.name: ")


def test_several_objects():
    done = validate("-f", "-", "-o", "yaml", stdin=WORKSPACE + "---\n" + WORKSPACE.replace("name: w", "name: W"))
    assert done.returncode == 1
    assert done.stdout.count("allowed: true") == 1 and done.stdout.count("allowed: false") == 1


@pytest.mark.parametrize("change, field", [
    (("inference:", "bogus: 1\ninference:"), "bogus"),
    (("phi-4}", "phi-4, accessMode: x}"), "inference.preset.accessMode"),
    (("labelSelector: {matchLabels: {apps: x}}", "count: 1"), "resource.labelSelector"),
    (("v1beta1", "v1"), "apiVersion"),
    (("kind: Workspace", "kind: Workspaces"), "kind"),
])
def test_schema(change, field):
    assert field in fields(verdict(stdin=WORKSPACE.replace(*change)))


def test_defaults_of_the_schema():
    old = BYO.replace("v1beta1", "v1alpha1")
    assert verdict(stdin=old)["allowed"]
    assert fields(verdict(stdin=BYO)) == ["resource.instanceType"]


def test_changes(tmp_path):
    old = tmp_path / "old.yaml"
    old.write_text(WORKSPACE)
    assert verdict("--old", old, stdin=WORKSPACE)["allowed"]
    assert fields(verdict("--old", old, stdin=WORKSPACE.replace("phi-4", "phi-4-mini-instruct"))) == ["inference.preset"]
    done = validate("-f", "-", "--old", old, stdin=WORKSPACE.replace("name: w", "name: v"))
    assert done.returncode == 1 and "has no Workspace \"v\"" in done.stderr


def test_cluster(tmp_path):
    objects = tmp_path / "objects.yaml"
    objects.write_text(NODE)
    byo = ["--node-provisioner", "byo"]
    assert fields(verdict(*byo, stdin=BYO)) == ["resource.labelSelector"]
    assert verdict(*byo, "--objects", objects, stdin=BYO)["allowed"]
    assert verdict(*byo, stdin=BYO + "---" + NODE)["allowed"]


def test_settings():
    aws = WORKSPACE.replace("Standard_NC24ads_A100_v4", "g5.4xlarge")
    assert fields(verdict(stdin=aws)) == ["resource.instanceType"]
    assert verdict("--cloud", "aws", stdin=aws)["allowed"]
    assert verdict(stdin=aws, CLOUD_PROVIDER="aws")["allowed"]
    assert fields(verdict("--feature-gates=vLLM=false", stdin=WORKSPACE.replace("phi-4", "phi-4-mini-instruct"))) == [
        "inference.preset.name"]


@pytest.mark.parametrize("args", [[], ["-f"], ["-f", "-", "-o", "xml"], ["-f", "-", "--cloud", "x"], ["-f", "-", "x"],
                                  ["-f", "-", "--feature-gates", "x=true"], ["-f", "-", "--node-provisioner", "x"]])
def test_usage(args):
    done = validate(*args)
    assert done.returncode == 2 and "usage: kaito validate" in done.stderr


@pytest.mark.parametrize("stdin, part", [("a: [", "standard input"), ("kind: Pod", "has no object of kaito.sh"), ("", "has no object")])
def test_what_is_no_object(stdin, part):
    done = validate("-f", "-", stdin=stdin)
    assert done.returncode == 1 and part in done.stderr
