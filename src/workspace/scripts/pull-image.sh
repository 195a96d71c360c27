# Puts the folder /data of an image into the folder $target. What comes before this text sets
#   image   reference that skopeo understands, without docker://
#   target  folder; what is in it is replaced
# Each file DIR/NAME.json under ~/.docker/config.d is tried as the registry's credentials, after
# none at all. Runs again from the start when its container is started again.
set -u
work=/tmp/pull
root=$work/root

fail() {
    echo "$1" >&2
    { printf '%s' "$1" > /dev/termination-log; } 2> /dev/null
    exit 1
}

rm -rf "$work"
mkdir -p "$root" "$target" || fail "cannot make $target"

fetch() {
    rm -rf "$work/image"
    skopeo copy --quiet "$@" "docker://$image" "dir:$work/image" 2> "$work/error" && return 0
    cat "$work/error" >&2
    return 1
}

fetched=
if fetch; then
    fetched=1
else
    for config in "$HOME"/.docker/config.d/*/*.json; do
        [ -f "$config" ] || continue
        if fetch --authfile "$config"; then
            fetched=1
            break
        fi
    done
fi
[ -n "$fetched" ] || fail "cannot pull $image: $(tail -n 1 "$work/error" | cut -c 1-400)"

empty() {
    rm -rf "${1:?}"/* "${1:?}"/.[!.]* "${1:?}"/..?*
}

# A later layer hides what earlier ones brought: .wh.NAME hides NAME beside it, .wh..wh..opq all
# that was in its folder.
hide() {
    tar -tf "$1" | while IFS= read -r path; do
        base=${path##*/}
        dir=$root/${path%"$base"}
        case /$path/ in
        */../*) continue ;;
        esac
        case $base in
        .wh..wh..opq) empty "$dir" ;;
        .wh.?*) rm -rf "$dir${base#.wh.}" ;;
        esac
    done
}

layers=$(skopeo inspect --format '{{range .Layers}}{{println .}}{{end}}' "dir:$work/image") ||
    fail "$image has no list of layers"
for layer in $layers; do
    file=$work/image/${layer#*:}
    hide "$file"
    tar -xf "$file" -C "$root" --no-same-owner --exclude='.wh.*' ||
        fail "layer $layer of $image cannot be unpacked"
done

[ -d "$root/data" ] || fail "$image has no folder /data"
empty "$target"
cp -a "$root/data/." "$target/" || fail "cannot write to $target"
rm -rf "$work"
echo "$image: its /data is in $target"
