"""One test per request: both servers gave the same answer.

All groups that are asked for run at once, before the first test that needs one of them: some wait seconds for what the real
server's controllers do.
"""
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import servers
from .cases import read_groups
from .client import run_group, wanted
from .compare import Accepted, Answer, compare, report

if servers.reason_to_skip():
    pytest.skip(servers.reason_to_skip(), allow_module_level=True)

GROUPS = read_groups()
ANSWERS = os.environ.get("KUBE_DIFF_ANSWERS")


class Comparison:
    def __init__(self, addresses, groups):
        self.accepted = Accepted()
        self.results = {}
        with ThreadPoolExecutor(2 * len(groups)) as pool:
            sides = {g: [pool.submit(run_group, a, g, GROUPS[g]) for a in addresses] for g in groups}
            for group, futures in sides.items():
                names = [case.name for case in GROUPS[group]]
                self.results[group] = dict(zip(names, zip(*[f.result() for f in futures])))
                if ANSWERS:
                    write_answers(group, GROUPS[group], self.results[group])


def write_answers(group, cases, results):
    def plain(result):
        if not isinstance(result, tuple):
            return repr(result)
        return {"status": result[0].status, "headers": dict(result[0].headers), "body": result[0].body}

    Path(ANSWERS).mkdir(parents=True, exist_ok=True)
    answers = [{"case": c.id, "request": f"{c.method} {c.path}", "ours": plain(results[c.name][0]),
                "real": plain(results[c.name][1])} for c in cases]
    (Path(ANSWERS) / f"{group}.json").write_text(json.dumps(answers, indent=1))


@pytest.fixture(scope="session")
def comparison(request, addresses):
    cases = [item.callspec.params["case"] for item in request.session.items if item.name.startswith("test_same_answer[")]
    return Comparison(addresses, list(dict.fromkeys(case.group for case in cases)))


@pytest.mark.parametrize("case", [c for cases in GROUPS.values() for c in cases], ids=lambda c: c.id)
def test_same_answer(case, comparison):
    ours, real = comparison.results[case.group][case.name]
    found = compare(case, answer_of(ours), answer_of(real))
    left = [d for d in found if not comparison.accepted.covers(case, d)]
    if left:
        path, body = (real if isinstance(real, tuple) else (None, case.path, case.body))[1:]
        pytest.fail(report(case, path, body, left, (answer_of(ours), answer_of(real))), pytrace=False)


def answer_of(result):
    return result[0] if isinstance(result, tuple) else result


def test_until_was_reached(comparison):
    """What the cases wait for comes on the real server: else they are wrong."""
    for group, results in comparison.results.items():
        for case in GROUPS[group]:
            real = answer_of(results[case.name][1])
            assert isinstance(real, Answer) and wanted(case, real), case.id


def test_every_accepted_difference_is_there(comparison):
    unused = comparison.accepted.unused([GROUPS[name] for name in comparison.results])
    assert not unused, "accepted.json has rows that nothing needs: " + json.dumps(unused, indent=1)
