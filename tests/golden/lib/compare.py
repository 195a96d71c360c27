"""Compare what a run left with the recording, field by field."""
import functools
import json
import os
import re

import settings

ABSENT = '<none>'
SKIPPED = 'skipped'  # file in the place of results: why there are none


def flatten(value, pointer=''):
    """Yield (JSON pointer, leaf) for every leaf of value; an empty object or list is a leaf."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from flatten(value[key], pointer + '/' + str(key).replace('~', '~0').replace('/', '~1'))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from flatten(item, f'{pointer}/{index}')
    else:
        yield pointer, value


def hide_scripts(value):
    """Scripts inside containers are an implementation's own: a text of several lines with code becomes SCRIPT."""
    if isinstance(value, dict):
        return {key: hide_scripts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide_scripts(item) for item in value]
    if isinstance(value, str) and '\n' in value and re.match(r'#!|# Copyright|set -e|.*\bimport ', value, re.S):
        return 'SCRIPT'
    return value


def settle_random(stage):
    """Level out what is random in the Go operator itself.

    Which of several equal InferenceSet children goes on scale-down: the remaining ones are renumbered.
    A transient RAGEngineSucceeded=False (an update conflict that it does not retry): left out.
    """
    part = {key: hide_scripts(stage.get(key)) for key in ('objects', 'pods')}
    text = json.dumps(part)
    for index, old in enumerate(sorted(set(re.findall(r'RAND(\d+)', text)), key=int)):
        text = re.sub(rf'RAND{old}(?!\d)', f'RAND@{index}', text)
    part = json.loads(text.replace('RAND@', 'RAND'))
    for obj in part['objects'] or []:
        if obj['kind'] == 'RAGEngine':
            status = obj.setdefault('status', {})
            status['conditions'] = [item for item in status.get('conditions', [])
                                    if (item['type'], item['status']) != ('RAGEngineSucceeded', 'False')]
    return {**stage, **part}


def _by_name(stage):
    return {f"{obj['kind']}/{obj['metadata']['name']}": obj for obj in stage['objects']}


def stage_differences(expected, actual):
    """Return [(pointer, expected, actual)]; pointers start with Kind/name for objects."""
    expected, actual = settle_random(expected), settle_random(actual)
    found = []
    left, right = _by_name(expected), _by_name(actual)
    for key in sorted(set(left) | set(right)):
        if key not in right:
            found.append((key, 'present', 'missing'))
        elif key not in left:
            found.append((key, 'missing', 'present'))
        else:
            wanted, got = dict(flatten(left[key])), dict(flatten(right[key]))
            for pointer in sorted(set(wanted) | set(got)):
                if wanted.get(pointer, ABSENT) != got.get(pointer, ABSENT):
                    found.append((key + pointer, wanted.get(pointer, ABSENT), got.get(pointer, ABSENT)))
    for key in ('events', 'pods', 'apiRejections'):
        if expected.get(key) != actual.get(key):
            found.append((key, expected.get(key), actual.get(key)))
    return found


def load_accepted(path):
    """Read [{"scenario", "stage", "pointer": regular expressions, "reason": text, "row": text}].

    pointer and reason are required; tests/lint/golden.py checks that docs/differences.md has the row.
    """
    with open(path) as file:
        rows = json.load(file)
    for row in rows:
        if not row.get('pointer') or not row.get('reason'):
            raise SystemExit(f'golden: an accepted difference needs pointer and reason: {row}')
    return rows


@functools.cache
def accepted_rows():
    """Return the rows of the list that belongs to the recording."""
    return load_accepted(settings.ACCEPTED)


def is_accepted(rows, scenario, stage, pointer):
    """Tell whether a difference is accepted; rows that say so get the key 'used'."""
    found = [row for row in rows
             if re.search(row.get('scenario', '.'), scenario)
             and re.search(row.get('stage', '.'), stage)
             and re.search(row['pointer'], pointer)]
    for row in found:
        row['used'] = True
    return bool(found)


def recorded(folder):
    """Return the recorded stages of a scenario, in the order in which they were played."""
    with open(os.path.join(folder, 'expected.jsonl')) as file:
        return [json.loads(line) for line in file]


def _read(path):
    return json.loads(_read_text(path))


def _read_text(path):
    with open(path) as file:
        return file.read()


def skipped(results, scenario):
    """Return why a scenario was not played; None: it was."""
    path = os.path.join(results, scenario, SKIPPED)
    return _read_text(path) if os.path.exists(path) else None


def compare_scenario(folder, results, accepted):
    """Return {stage: [(pointer, expected, actual), ...]} of a scenario; an absent stage is one difference."""
    scenario = os.path.basename(folder)
    found = {}
    for expected in recorded(folder):
        stage = expected['stage']
        actual = os.path.join(results, scenario, stage + '.json')
        if not os.path.exists(actual):
            found[stage] = [('', 'recorded', 'missing')]
            continue
        found[stage] = [row for row in stage_differences(expected, _read(actual))
                        if not is_accepted(accepted, scenario, stage, row[0])]
    return found


def compare(folders, results, accepted, limit):
    """Print how results/SCENARIO/STAGE.json differ from the stages of FOLDER/expected.jsonl.

    Return (passed, failed, skipped): numbers of stages. A stage that was not recorded has failed.
    """
    passed = failed = left_out = 0
    for folder in folders:
        scenario = os.path.basename(folder)
        reason = skipped(results, scenario)
        if reason:
            print(f'skipped {scenario}: {reason}')
            left_out += len(recorded(folder))
            continue
        for stage, differences in compare_scenario(folder, results, accepted).items():
            if not differences:
                passed += 1
                continue
            failed += 1
            print(f'differs {scenario} {stage}: {len(differences)}')
            for pointer, wanted, got in differences[:limit]:
                print(f'    {pointer}: {str(wanted)[:120]} -> {str(got)[:120]}')
    return passed, failed, left_out


def unused(accepted):
    """Print the accepted differences that were not found; return their number."""
    rows = [row for row in accepted if not row.get('used')]
    for row in rows:
        print('accepted, but not found:', json.dumps(row, sort_keys=True))
    return len(rows)
