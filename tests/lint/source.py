#!/usr/bin/env python3
"""Checks on the source as text: layers, banned functions, sizes, names that must not appear.

    source.py ROOT

Layers are read from src/meson.build: a folder may include headers of itself and of folders before it in that list, `serve`
only those up to gguf, `shim` only base. Prints one line per fault; the exit status is the number of kinds of fault.
"""
import re
import subprocess
import sys
from pathlib import Path

root = Path(sys.argv[1])
src = root / "src"

MAX_LINE = 130
MAX_FILE = 900

# function -> what to use instead
BANNED = {
    "strcpy": "arena_strdup or buf_puts",
    "strcat": "buf_puts",
    "sprintf": "snprintf or buf_printf",
    "vsprintf": "buf_vprintf",
    "gets": "file_read",
    "strtok": "str_split",
    "atoi": "str_to_int64",
    "atol": "str_to_int64",
    "atof": "str_to_double",
    "alloca": "arena_alloc",
    "system": "process_spawn",
    "popen": "process_spawn",
    "rand": "rand_u64",
    "pthread_create": "thread_start",
    "gmtime": "time_format_rfc3339",
    "localtime": "time_format_rfc3339",
    "malloc": "mem_alloc",
    "calloc": "mem_zalloc",
    "realloc": "mem_realloc",
    "strdup": "mem_strdup",
}
# The one file each that may call them: it is the wrapper.
ALLOWED = {
    ("base/mem.c", "malloc"), ("base/mem.c", "calloc"), ("base/mem.c", "realloc"), ("base/thread.c", "pthread_create"),
}


def layers():
    text = (src / "meson.build").read_text()
    body = text[text.index("layers = ["):]
    body = body[:body.index("\n]")]
    return re.findall(r"^\s+\['(\w+)'", body, re.M)


def sources():
    return sorted(p for p in src.rglob("*") if p.suffix in (".c", ".h", ".cc"))


def without_comments_and_strings(text):
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def check_layers():
    order = layers()
    seen = {name: set(order[: i + 1]) for i, name in enumerate(order)}
    seen["serve"] = set(order[: order.index("gguf") + 1]) | {"serve"}
    seen["shim"] = {"base", "shim"}
    for path in sources():
        layer = path.relative_to(src).parts[0]
        if layer not in seen:
            yield f"{path.relative_to(root)}: folder {layer} is no layer of src/meson.build"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"/]+)/', line)
            if match and match.group(1) not in seen[layer]:
                yield f"{path.relative_to(root)}:{number}: {layer} must not include {match.group(1)}"
            elif re.match(r'\s*#\s*include\s+"[^/"]+"', line):
                yield f"{path.relative_to(root)}:{number}: write includes from src/ on: \"{layer}/…\""


def check_banned():
    calls = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path in sources():
        name = str(path.relative_to(src))
        for number, line in enumerate(without_comments_and_strings(path.read_text()).splitlines(), 1):
            for match in calls.finditer(line):
                if (name, match.group(1)) not in ALLOWED:
                    yield f"src/{name}:{number}: {match.group(1)}() is banned: use {BANNED[match.group(1)]}"


def check_sizes():
    for path in sources():
        lines = path.read_text().splitlines()
        if len(lines) > MAX_FILE:
            yield f"{path.relative_to(root)}: {len(lines)} lines; split it (limit {MAX_FILE})"
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_LINE:
                yield f"{path.relative_to(root)}:{number}: {len(line)} characters (limit {MAX_LINE})"
            if "\t" in line:
                yield f"{path.relative_to(root)}:{number}: a tab"


def check_words():
    """Paths of one machine and open ends have no place in what is committed."""
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        return
    words = re.compile(r"/root/|/work/|\bTODO\b|\bFIXME\b|\bXXX\b(?!X)")
    for name in listed:
        path = root / name
        if not name or not path.is_file() or name.startswith(("tests/lint/", "tests/kube/go.", "tests/fuzz/corpus/")):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            match = words.search(line)
            if match and "/root/.docker" not in line:
                yield f"{name}:{number}: \"{match.group()}\""


kinds = 0
for check in (check_layers, check_banned, check_sizes, check_words):
    faults = list(check())
    kinds += bool(faults)
    for fault in faults:
        print(fault)
sys.exit(kinds)
