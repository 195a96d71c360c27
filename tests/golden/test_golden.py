"""The scenarios of smoke.txt on embedded API servers, against the recording: those of all configurations and kinds.

`make test-golden` plays all of them, on a real control plane.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("KAITO_BUILD", HERE.parents[1] / "build"))
SMOKE = [line.strip() for line in (HERE / "smoke.txt").read_text().splitlines() if line.strip() and not line.startswith("#")]
SECONDS = 300


def call(environment, *arguments):
    """Its output; the exit status is no verdict here: differences are told one by one."""
    argv = [sys.executable, HERE / "golden.py", *arguments]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        try:
            return process.communicate(timeout=SECONDS)[0]
        except BaseException:
            process.terminate()  # it stops what it has started
            raise


@pytest.fixture(scope="module")
def differences(tmp_path_factory):
    """{scenario: why it was left out, or {stage: differences}}, and what was said meanwhile."""
    if not (BUILD / "tests" / "golden" / "golden_cluster").exists():
        pytest.skip(f"{BUILD} has no golden_cluster")
    folder = tmp_path_factory.mktemp("golden")
    (folder / "workspace").symlink_to(BUILD / "kaito")  # under this name it takes the Go operator's flags
    environment = {**os.environ, "GOLDEN_RUN": str(folder), "KAITO_BUILD": str(BUILD),
                   "GOLDEN_WORKSPACE_BIN": str(folder / "workspace")}
    names = ["--names", str(HERE / "smoke.txt")]
    said = call(environment, "run", *names, "--server", "embedded", "--shards", "6", "--jobs", "4")
    said += call(environment, "compare", *names, "--accepted", str(HERE / "accepted.json"), "--json", str(folder / "found.json"))
    assert (folder / "found.json").exists(), said
    return json.loads((folder / "found.json").read_text()), said


@pytest.mark.parametrize("scenario", SMOKE)
def test_scenario(differences, scenario):
    found, said = differences
    assert scenario in found, said[-3000:]
    if isinstance(found[scenario], str):
        pytest.skip(found[scenario])
    different = {stage: rows for stage, rows in found[scenario].items() if rows}
    assert not different, json.dumps(different, indent=1)[:3000] + said[-1000:]


def test_servers_and_operators_end_well(differences):
    assert "ended with" not in differences[1], differences[1][-3000:]
