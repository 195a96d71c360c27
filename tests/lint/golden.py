#!/usr/bin/env python3
"""Checks that every accepted difference of tests/golden/accepted.json can be read about, and can be found at all.

    golden.py ROOT

A row names where docs/differences.md tells of it: `row`, else `reason`, is text of one row's cells or of a heading there,
enough of it to be that one's alone. Its regular expressions must be ones, and `scenario` and `stage` those of a recording.
Prints one line per fault; the exit status is 1 when there is one.
"""
import json
import re
import sys
from pathlib import Path

root = Path(sys.argv[1])
GOLDEN = root / "tests" / "golden"
KEYS = {"scenario", "stage", "pointer", "reason", "row"}


def plain(text):
    return " ".join(text.replace("`", "").split())


def places():
    """The headings and the rows of the tables."""
    for line in (root / "docs" / "differences.md").read_text().splitlines():
        if line.startswith(("#", "|")) and not re.fullmatch(r"[|\s-]+", line):
            yield plain(line)


def recorded():
    """[(scenario, stage), ...]"""
    for path in sorted(GOLDEN.glob("scenarios/*/scenario.json")):
        for stage in json.loads(path.read_text())["stages"]:
            yield path.parent.name, stage["id"]


def faults_of(row, told, stages):
    if unknown := set(row) - KEYS:
        yield f"unknown keys {sorted(unknown)}"
    if not row.get("pointer") or not row.get("reason"):
        yield "pointer and reason are needed"
        return
    try:
        patterns = {key: re.compile(row.get(key, ".")) for key in ("scenario", "stage", "pointer")}
    except re.error as error:
        yield f"no regular expression: {error}"
        return
    if not any(patterns["scenario"].search(scenario) and patterns["stage"].search(stage) for scenario, stage in stages):
        yield "no such scenario and stage"
    where = plain(row.get("row") or row["reason"])
    if not any(where in place for place in told):
        yield f"docs/differences.md has neither a row nor a heading with {where!r}: let `row` quote the one that tells why"


def main():
    told, stages = list(places()), list(recorded())
    rows = json.loads((GOLDEN / "accepted.json").read_text())
    found = [(index, fault) for index, row in enumerate(rows) for fault in faults_of(row, told, stages)]
    for index, fault in found:
        print(f"tests/golden/accepted.json: row {index} ({rows[index].get('pointer')}): {fault}")
    return bool(found)


sys.exit(main())
