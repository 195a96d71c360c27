#!/bin/sh
# Fetches each URL of $DATA_URLS (white space between them) into the folder $DATA_VOLUME_PATH.
# A file is there whole or not at all. Servers that are busy or failing are asked three times;
# an empty file and any other answer than success end the container.
set -uf

fail() {
    echo "$1" >&2
    { printf '%s' "$1" > /dev/termination-log; } 2> /dev/null
    exit 1
}

cd "$DATA_VOLUME_PATH" || fail "there is no folder $DATA_VOLUME_PATH"

# fetch URL FILE: sets why when it fails; 1: worth another try, 2: not
fetch() {
    code=$(curl -sSL --proto '=http,https' --max-redirs 10 --connect-timeout 30 \
        --speed-time 60 --speed-limit 1 -o "$2" -w '%{http_code}' "$1" 2> .error)
    status=$?
    if [ $status -ne 0 ]; then
        why=$(tail -n 1 .error)
        case $status in
        1 | 3 | 47) return 2 ;;
        *) return 1 ;;
        esac
    fi
    case $code in
    2*) ;;
    408 | 429 | 5*)
        why="the server answered $code"
        return 1
        ;;
    *)
        why="the server answered $code"
        return 2
        ;;
    esac
    [ -s "$2" ] && return 0
    why="the file is empty"
    return 2
}

for url in $DATA_URLS; do
    path=${url#*://}
    path=${path%%[?#]*}
    name=${path##*/}
    case $path in
    */*) ;;
    *) name= ;;
    esac
    case $name in
    '' | . | .. | .error) fail "$url names no file" ;;
    esac
    # two URLs may end in the same name
    number=2
    plain=$name
    while [ -e "$name" ]; do
        name=$number-$plain
        number=$((number + 1))
    done
    try=1
    until fetch "$url" "$name.part"; do
        if [ $? -eq 2 ] || [ $try -eq 3 ]; then
            rm -f "$name.part"
            fail "cannot download $url: $why"
        fi
        echo "$url: $why; trying again" >&2
        sleep "${RETRY_SECONDS:-5}"
        try=$((try + 1))
    done
    mv "$name.part" "$name" || fail "cannot write $name"
    echo "$url is in $DATA_VOLUME_PATH/$name"
done
rm -f .error
