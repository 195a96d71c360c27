# Downloads: through pip, pinned and checked by sources.txt, kept in .deps/cache.

# fetch FILE: makes $cache/FILE be there and right. Runs inside a step.
fetch() {
    local file=$1 requirement sum format try tmp=$cache/.$1.part
    read -r requirement sum < <(awk -v file="$file" '$1 == file { print $2, $3 }' "$here/sources.txt")
    if [ -f "$cache/$file" ]; then
        if [ "$(digest "$cache/$file")" = "$sum" ]; then return 0; fi
        note "$file in the cache is damaged (its SHA-256 is not the pinned one): fetching it again"
        rm -f "$cache/$file"
    fi
    case $file in
        *.whl) format=(--only-binary :all:) ;;
        *) format=(--no-binary "${requirement%%==*}") ;;
    esac
    for try in 1 2 3; do
        rm -rf "$tmp"
        mkdir "$tmp"
        echo "$requirement --hash=sha256:$sum" > "$tmp/requirements.txt"
        # later tries go past pip's own cache, which may be what is damaged
        if [ "$try" -gt 1 ]; then format+=(--no-cache-dir); fi
        if PIP_CONSTRAINT=$here/backends.txt "$venv/bin/python" -m pip download --progress-bar off --no-deps \
            --require-hashes "${format[@]}" --dest "$tmp" --requirement "$tmp/requirements.txt" &&
            [ "$(digest "$tmp/$file")" = "$sum" ]; then
            mv "$tmp/$file" "$cache/$file"
            rm -rf "$tmp"
            return 0
        fi
        rm -rf "$tmp"
        echo "try $try of $file failed"
        sleep $((try * 2))
    done
    return 1
}

# unpack FILE DIRECTORY [MEMBERS...]: a source archive without its top folder, whole or not at all
unpack() {
    local file=$1 directory=$2
    shift 2
    [ ! -d "$directory" ] || return 0
    rm -rf "$directory.new"
    mkdir -p "$directory.new"
    tar -xzf "$cache/$file" -C "$directory.new" --strip-components=1 --no-same-owner --wildcards "$@"
    mv "$directory.new" "$directory"
}

# python_environment: .deps/venv, made again when the Python it was made from is gone or another
python_environment() {
    local version
    version=$(python3 -c 'import sys; print(sys.version.split()[0], sys.base_prefix)')
    if ! "$venv/bin/python" -c 'import pip' 2> /dev/null; then rm -f "$deps/stamps/python"; fi
    step python "$version" "$venv/bin/python" "Python environment" python3 -m venv --clear "$venv"
}
