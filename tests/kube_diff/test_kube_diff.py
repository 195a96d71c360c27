"""One test per request: both servers gave the same answer. A group's requests go out together when its first test runs."""
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .cases import read_groups
from .client import run_group
from .compare import Accepted, Answer, compare, report

GROUPS = read_groups()
ANSWERS = os.environ.get("KUBE_DIFF_ANSWERS")


class Comparison:
    def __init__(self, addresses):
        self.addresses = addresses
        self.accepted = Accepted()
        self.results = {}

    def group(self, name):
        """{case name: (ours, real)}"""
        if name not in self.results:
            cases = GROUPS[name]
            with ThreadPoolExecutor(2) as pool:
                sides = list(pool.map(lambda address: run_group(address, name, cases), self.addresses))
            self.results[name] = dict(zip((c.name for c in cases), zip(*sides)))
            if ANSWERS:
                write_answers(name, cases, self.results[name])
        return self.results[name]


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
def comparison(addresses):
    return Comparison(addresses)


@pytest.mark.parametrize("case", [c for cases in GROUPS.values() for c in cases], ids=lambda c: c.id)
def test_same_answer(case, comparison):
    ours, real = comparison.group(case.group)[case.name]
    found = compare(case, answer_of(ours), answer_of(real))
    left = [d for d in found if not comparison.accepted.covers(case, d)]
    if left:
        path, body = (real if isinstance(real, tuple) else (None, case.path, case.body))[1:]
        pytest.fail(report(case, path, body, left), pytrace=False)


def answer_of(result):
    return result[0] if isinstance(result, tuple) else result


def test_until_was_reached(comparison):
    """What was waited for came, on the real server: else the cases are wrong."""
    from .client import wanted
    for name, cases in GROUPS.items():
        if name in comparison.results:
            for case in cases:
                real = answer_of(comparison.results[name][case.name][1])
                assert not isinstance(real, Answer) or not case.until or wanted(case, real), case.id


def test_every_accepted_difference_is_there(comparison):
    unused = comparison.accepted.unused([GROUPS[name] for name in comparison.results])
    assert not unused, "accepted.json has rows that nothing needs: " + json.dumps(unused, indent=1)
