# What the steps share: stamps, locks, logs, a line of progress each. Sourced by scripts/setup.

# note TEXT: a line that the user sees even from inside a step, whose own output goes to a log
note() { printf '%s\n' "$*" >&3; }

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

begin() {
    exec 3>&2
    mkdir -p "$deps"/{build,cache,log,models,prefix/{bin,include,lib},src,stamps}
}

# step NAME KEY OUTPUT TEXT COMMAND...: runs COMMAND unless it has already made OUTPUT for this KEY. KEY holds whatever
# the result depends on. The stamp is written last, so an interrupted step runs again; commands go on from what they find.
# A second set-up that wants the same step waits for the first.
step() {
    local name=$1 key=$2 output=$3 text=$4 log=$deps/log/$1.log stamp=$deps/stamps/$1 start job status=0
    shift 4
    if step_done; then return 0; fi
    exec 9> "$stamp.lock"
    if ! flock --nonblock 9; then
        note "$text: another set-up is at it, waiting"
        flock 9
        if step_done; then return 0; fi
    fi
    rm -f "$stamp"
    if [ -t 1 ]; then printf '%s ...\r' "$text"; fi
    start=$SECONDS
    # In the background, because `set -e` sleeps inside `if`, `&&` and `||`; in a process group of its own, so that all of
    # it can be ended. It keeps the lock: should this script be killed, the next one waits for what is left of it.
    set -m
    (set -euo pipefail && "$@") > "$log" 2>&1 < /dev/null &
    job=$!
    set +m
    trap 'kill -TERM -- "-$job" 2> /dev/null; wait "$job"; exit 130' HUP INT TERM
    wait "$job" || status=$?
    trap - HUP INT TERM
    if [ "$status" -eq 77 ]; then
        printf 'setup: %s: not on this machine: %s\n' "$text" "$(tail -n 1 "$log")" >&2
        exit 77
    fi
    if [ "$status" -ne 0 ]; then
        tail -n 25 "$log" >&2
        die "$text: failed after $((SECONDS - start)) s; the whole log is ${log#"$root"/}"
    fi
    printf '%s: done (%d s)\n' "$text" $((SECONDS - start))
    printf '%s\n' "$key" > "$stamp.new"
    mv "$stamp.new" "$stamp"
    exec 9>&-
}

step_done() { [ -e "$output" ] && [ "$(cat "$stamp" 2> /dev/null)" = "$key" ]; }

# attempt COMMAND...: leaves its exit status in $status. Not with `||`, under which `set -e` sleeps all the way down.
attempt() {
    set +e
    (
        set -e
        "$@"
    )
    status=$?
    set -e
}

# digest FILE...: one SHA-256 over the files' bytes
digest() { cat "$@" | sha256sum | cut -d' ' -f1; }
