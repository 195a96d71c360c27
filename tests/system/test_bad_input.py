"""What bad input gets: a clear answer, and nothing is lost."""
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from conftest import EXAMPLE, KAITO, MODEL, need

WORKSPACE = """
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: w}
resource: {labelSelector: {matchLabels: {kubernetes.io/os: linux}}}
inference: {preset: {name: PRESET}}
"""


def apply_preset(box, preset):
    return box.kubectl("apply", "-f", "-", stdin=WORKSPACE.replace("PRESET", preset))


def up(*args, **more):
    return subprocess.run([KAITO, "up", *map(str, args)], capture_output=True, text=True, timeout=20, **more)


def one_line(done):
    lines = [l for l in done.stderr.splitlines() if l.startswith("kaito up: ")]
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_port_taken(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        line = one_line(up("--data-dir", tmp_path / "d", "--port", port))
    assert str(port) in line and "127.0.0.1" in line


def test_data_directory_in_use(box):
    line = one_line(up("--data-dir", box.data, "--port", 0))
    assert str(box.data) in line and str(box.process.pid) in line
    box.kubectl("get", "namespaces")


def test_data_directory_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    assert str(path) in one_line(up("--data-dir", path, "--port", 0))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_no_permission():
    # The build may lie where nobody may look: a copy runs, in a directory that all may enter.
    with tempfile.TemporaryDirectory() as public:
        os.chmod(public, 0o755)
        closed = Path(public) / "closed"
        closed.mkdir(mode=0o700)
        shutil.copy(KAITO, public)
        done = subprocess.run([f"{public}/kaito", "up", "--data-dir", closed / "d", "--port", "0"],
                              capture_output=True, text=True, timeout=20, user=65534, group=65534)
    line = one_line(done)
    assert "ermission" in line and str(closed) in line


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_full_disk(new_box, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        box = new_box("small/data")
        box.create_configmap("before", "1")
        blob = "x" * 900_000
        refused = None
        for i in range(12):
            done = box.create_configmap(f"c{i}", blob, check=False)
            if done.returncode != 0:
                refused = done.stderr
                break
        assert refused and ("full" in refused or "space" in refused), refused
        assert box.process.poll() is None, "it must go on serving"
        assert box.get("configmap", "before")["data"] == {"n": "1"}
        names = {c["metadata"]["name"] for c in box.get("configmaps")["items"]}
        # A start on the full disk works or says why in one line; with room again all is there.
        box.stop()
        box.start(wait=False)
        try:
            box.wait_ready()
        except AssertionError:
            assert box.process.returncode == 1 and "space" in box.log_text().splitlines()[-1], box.log_text()
            subprocess.run(["mount", "-o", "remount,size=16m", small], check=True)
            box.start()
        assert {c["metadata"]["name"] for c in box.get("configmaps")["items"]} == names
        box.stop()
    finally:
        subprocess.run(["umount", "-l", small])


def test_flags(tmp_path):
    for args, word in ((["--port", "99999"], "--port"), (["--address", "0.0.0.0"], "--address"),
                       (["--log-level", "loud"], "--log-level")):
        assert word in one_line(up("--data-dir", tmp_path / "d", *args))
    done = up("--no-such-flag")
    assert done.returncode == 2 and "no-such-flag" in done.stderr


def test_bad_manifest_names_the_field(box):
    done = box.kubectl("apply", "-f", "-", check=False, stdin="""
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: w}
resource: {count: many, labelSelector: {}}
inference: {preset: {accessMode: secret}}
""")
    assert done.returncode != 0
    for part in ("resource.count", "inference.preset.name", "inference.preset.accessMode", "Required value"):
        assert part in done.stderr, done.stderr


def test_unknown_field_is_refused(box):
    done = box.kubectl("apply", "-f", "-", check=False,
                       stdin=WORKSPACE.replace("PRESET", "gemma-3-270m") + "inferense: {}\n")
    assert done.returncode != 0 and 'unknown field "inferense"' in done.stderr


def test_wrong_preset_names_the_nearest(box):
    apply_preset(box, "gemma-3-270")
    c = box.wait_condition("w", "InferenceReady", "False")
    assert "gemma-3-270m" in c["message"], c
    assert not box.get("statefulsets")["items"]


def test_missing_model_says_the_command_and_goes_on(box):
    need(MODEL, "the model")
    apply_preset(box, "gemma-3-270m")
    c = box.wait_condition("w", "InferenceReady", "False", reason="ModelNotFound")
    assert "kaito models pull gemma-3-270m" in c["message"]
    assert box.import_model(MODEL, "gemma-3-270m").returncode == 0
    box.wait_condition("w", "InferenceReady", "True", 60)


def model_file(box, content):
    (box.data / "models").mkdir(exist_ok=True)
    path = box.data / "models" / "gemma-3-270m.gguf"
    path.write_bytes(content)
    return path


def steady_condition(box, reason, parts):
    apply_preset(box, "gemma-3-270m")
    c = box.wait_condition("w", "InferenceReady", "False", reason=reason)
    for part in parts:
        assert part in c["message"], c
    before = box.get("workspace", "w")["metadata"]["resourceVersion"]
    time.sleep(3)
    assert box.get("workspace", "w")["metadata"]["resourceVersion"] == before, "the status is written again and again"
    assert not box.get("pods")["items"], "no pod may be started for it"


def test_truncated_model(box):
    need(MODEL, "the model")
    with open(MODEL, "rb") as f:
        model_file(box, f.read(20_000_000))
    steady_condition(box, "ModelInvalid", ["truncated", "20000000 bytes", str(MODEL.stat().st_size)])


def test_not_a_model(box):
    model_file(box, b"<html>not found</html>" * 100)
    steady_condition(box, "ModelInvalid", ["not a GGUF file"])


def test_import_refuses_what_is_no_model(box, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    done = box.import_model(bad, "bad")
    assert done.returncode == 1 and str(bad) in done.stderr
    done = box.import_model(tmp_path / "absent.gguf", "bad")
    assert done.returncode == 1 and "absent.gguf" in done.stderr
    assert not list((box.data / "models").glob("bad*"))


def test_model_too_big_for_the_memory(box):
    """A sparse file whose head claims a 2 TiB tensor."""
    def string(s):
        return len(s).to_bytes(8, "little") + s.encode()

    def u32(key, value):
        return string(key) + (4).to_bytes(4, "little") + value.to_bytes(4, "little")

    keys = [string("general.architecture") + (8).to_bytes(4, "little") + string("llama"), u32("llama.context_length", 8192),
            u32("llama.block_count", 32), u32("llama.attention.head_count", 32), u32("llama.embedding_length", 4096)]
    elements = 512 * 2**30
    tensor = (string("big") + (1).to_bytes(4, "little") + elements.to_bytes(8, "little") + (0).to_bytes(4, "little") +
              (0).to_bytes(8, "little"))
    head = b"GGUF" + (3).to_bytes(4, "little") + (1).to_bytes(8, "little") + len(keys).to_bytes(8, "little")
    head += b"".join(keys) + tensor
    path = model_file(box, head)
    start = (len(head) + 31) // 32 * 32
    try:
        os.truncate(path, start + 4 * elements)
    except OSError as e:
        pytest.skip(f"no sparse file of 2 TiB here: {e}")
    steady_condition(box, "InsufficientMemory", ["2048", "GiB"])


def test_no_node_matches(box):
    box.kubectl("apply", "-f", "-", stdin=WORKSPACE.replace("PRESET", "gemma-3-270m").replace(
        "kubernetes.io/os: linux", "apps: special"))
    c = box.wait_condition("w", "ResourceReady", "False")
    assert "apps=special" in c["message"] and "kubectl label node" in c["message"], c


def test_what_cannot_work_is_denied(box):
    """As the webhook of the chart would say it, in dry runs too, and for changes."""
    denied = 'admission webhook "validation.workspace.kaito.sh" denied the request: validation failed: '
    neither = WORKSPACE[:WORKSPACE.index("inference:")].replace("name: w", "name: denied")
    for more in ([], ["--dry-run=server"]):
        done = box.kubectl("create", "-f", "-", *more, stdin=neither, check=False)
        assert done.returncode == 1 and denied in done.stderr, done.stderr
    assert box.kubectl("get", "workspace", "denied", check=False).returncode == 1
    box.kubectl("create", "-f", "-", stdin=WORKSPACE.replace("name: w", "name: denied").replace("PRESET", "phi-4"))
    try:
        done = box.kubectl("patch", "workspace", "denied", "--type=merge", "-p", '{"inference":{"preset":{"name":"phi-4-mini-instruct"}}}',
                           check=False)
        assert done.returncode == 1 and denied in done.stderr, done.stderr
        box.kubectl("label", "workspace", "denied", "team=a")
    finally:
        box.kubectl("delete", "workspace", "denied")


def test_example_is_accepted_by_dry_run(box):
    box.kubectl("apply", "--dry-run=server", "-f", EXAMPLE)
    assert not box.get("workspaces")["items"]
