"""What has to differ between two servers is masked; what then differs is told by JSON Pointer."""
import copy
import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

from .client import Answer, pointer_get

ACCEPTED = Path(__file__).resolve().parent / "accepted.json"
HEADERS = ("Content-Type", "Warning", "Retry-After", "Allow")
ABSENT = object()

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
CLUSTER_IP = re.compile(r"\b10\.97\.\d+\.\d+\b")
AGE = re.compile(r"^\d+s$")
# written by clients of the real server's own, or by admission that needs what a one-box does not have
TOKEN_VOLUME = re.compile(r"^kube-api-access-")


def is_now(text):
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return False
    return abs(datetime.now(timezone.utc) - when) < timedelta(minutes=30)


def mask_string(text, key, masks):
    if key == "resourceVersion" and text.isdigit() and text != "0":
        return "<version>"
    if key == "continue" and text:
        return "<continue>"
    if key == "cells" and AGE.match(text):
        return "<age>"
    if TIME.match(text) and is_now(text):
        return "<now, finer>" if "." in text else "<now>"
    text = CLUSTER_IP.sub("<cluster IP>", UUID.sub("<uid>", text))
    for pattern, replacement in masks.items():
        text = re.sub(pattern, replacement, text)
    return text


def without_token_volumes(items):
    return [i for i in items if not (isinstance(i, dict) and TOKEN_VOLUME.match(str(i.get("name"))))]


def mask(value, masks, key=""):
    if isinstance(value, str):
        return mask_string(value, key, masks)
    if isinstance(value, list):
        return [mask(v, masks, key if key == "cells" else "") for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for k, v in value.items():
        if k in ("volumes", "volumeMounts") and isinstance(v, list):
            v = without_token_volumes(v)
            if not v:
                continue
        if k == "managedFields" and isinstance(v, list):
            v = sorted(v, key=manager_of)  # their order is that of their times, to the second
        out[UUID.sub("<uid>", k)] = mask(v, masks, k)
    return out


def manager_of(entry):
    return [str(entry.get(k, "")) for k in ("operation", "manager", "apiVersion", "subresource")]


def parent_of(body, pointer):
    head, _, last = pointer.rpartition("/")
    return pointer_get(body, head), last


def choose(body, case):
    for pointer, names in case.pick.items():
        parent, last = parent_of(body, pointer)
        if isinstance(parent, dict) and isinstance(parent.get(last), list):
            chosen = [e for e in parent[last] if name_of(e) in names]
            parent[last] = sorted(chosen, key=name_of)
    for pointer in case.sort:
        parent, last = parent_of(body, pointer)
        if isinstance(parent, dict) and isinstance(parent.get(last), list):
            parent[last].sort(key=name_of)
    return body


def name_of(element):
    if not isinstance(element, dict):
        return element
    keys = element.get("metadata", {}).get("name"), element.get("resource"), element.get("field"), element.get("name")
    return next((k for k in keys if isinstance(k, str)), "")


def differences(ours, real, at=""):
    """Yields (pointer, ours, real)."""
    if isinstance(ours, dict) and isinstance(real, dict):
        for key in sorted(ours.keys() | real.keys()):
            step = str(key).replace("~", "~0").replace("/", "~1")
            yield from differences(ours.get(key, ABSENT), real.get(key, ABSENT), f"{at}/{step}")
    elif isinstance(ours, list) and isinstance(real, list):
        for i in range(max(len(ours), len(real))):
            yield from differences(ours[i] if i < len(ours) else ABSENT, real[i] if i < len(real) else ABSENT, f"{at}/{i}")
    elif type(ours) is not type(real) or ours != real:
        yield at, ours, real


def view(answer, case):
    """Status, headers and body as one value."""
    masks = case.mask
    body = choose(mask(copy.deepcopy(answer.body), masks), case)
    headers = {}
    for name in HEADERS:
        values = sorted(mask_string(v, "", masks) for v in answer.header(name))
        if values:
            headers[name] = values
    return {"status": answer.status, "headers": headers, "body": body}


def compare(case, ours, real):
    """[(pointer, ours, real)], without what the case ignores."""
    for side, answer in (("ours", ours), ("real", real)):
        if not isinstance(answer, Answer):
            return [("", f"{side}: {answer!r}", "")]
    return [d for d in differences(view(ours, case), view(real, case)) if not any(re.search(p, d[0]) for p in case.ignore)]


# ---- accepted differences -------------------------------------------------------------------------------------------------

class Accepted:
    """Rows of accepted.json, and which of them were of use. A row covers the differences of the cases and at the pointers that
    its patterns match as a whole, and of these only those whose values on either side contain what `ours` and `real` match."""

    def __init__(self, path=ACCEPTED):
        self.rows = json.loads(path.read_text())
        self.used = [0] * len(self.rows)
        for row in self.rows:
            assert row.keys() <= {"case", "pointer", "reason", "ours", "real"} and row["reason"], row

    def covers(self, case, difference):
        pointer, ours, real = difference
        for i, row in enumerate(self.rows):
            fits = re.fullmatch(row["case"], case.id) and re.fullmatch(row["pointer"], pointer)
            for side, value in (("ours", ours), ("real", real)):
                fits = fits and (side not in row or re.search(row[side], show(value)))
            if fits:
                self.used[i] += 1
                return True
        return False

    def unused(self, groups):
        """Rows about these groups that no difference needed."""
        return [row for row, used in zip(self.rows, self.used) if not used and any(concerns(row, g) for g in groups)]


def concerns(row, cases):
    return any(re.fullmatch(row["case"], case.id) for case in cases)


def show(value):
    return "(absent)" if value is ABSENT else json.dumps(value, ensure_ascii=False, sort_keys=True)


def short(text, most=600):
    return text if len(text) <= most else text[: most - 1] + "…"


def told(found):
    """Where the statuses differ, nothing in the bodies is alike: both are told as a whole."""
    status = [d for d in found if d[0] == "/status"]
    return status or found


def report(case, path, body, found, answers):
    lines = [f"{case.method} {path}" + (f"  ({case.type})" if case.type else "")]
    if case.accept:
        lines.append(f"Accept: {case.accept}")
    if body:
        lines.append(short(body.decode(errors="replace")))
    for pointer, ours, real in told(found):
        lines.append(f"{pointer}: ours → real\n    {short(show(ours))}\n  → {short(show(real))}")
        if pointer == "/status":
            lines += [f"{side} {short(summary(answer))}" for side, answer in zip(("   ", "  →"), answers)]
    return "\n".join(lines)


def summary(answer):
    body = answer.body
    if isinstance(body, dict) and body.get("kind") == "Status":
        return body.get("message") or body.get("status")
    return body if isinstance(body, str) else show(body)
