# Waits for the tuned adapter and pushes it as an image with the files under /data. What comes
# before this text sets
#   image   reference to push to
#   model   name of the preset
#   output  folder that the result appears in; the file fine_tuning_completed.txt comes last
# The containers of the pod see each other's processes. That is how this one learns that the tuning
# ended without a result, and how it ends the process "pause", which waits for a signal: a Job is
# done only when all its containers are. The pod's own process 1 is a "pause" too; it stays.
set -u
work=/tmp/push
completed=$output/fine_tuning_completed.txt
poll=${POLL_SECONDS:-5}

end_pause() {
    tries=0
    while [ $tries -lt 120 ]; do
        ended=
        for process in /proc/[0-9]*; do
            [ "$process" = /proc/1 ] && continue
            name=
            { read -r name < "$process/comm"; } 2> /dev/null
            [ "$name" = pause ] && kill -TERM "${process#/proc/}" && ended=1
        done
        [ -n "$ended" ] && return
        # its container may still be on its way
        tries=$((tries + 1))
        sleep "$poll"
    done
}

fail() {
    echo "$1" >&2
    { printf '%s' "$1" > /dev/termination-log; } 2> /dev/null
    end_pause
    exit 1
}

# The brackets keep this very text from being found.
tuning_runs() {
    for process in /proc/[0-9]*; do
        tr '\0' ' ' < "$process/cmdline" 2> /dev/null | grep -q 'fine_tuning[.]py' && return 0
    done
    return 1
}

missed=0
while [ ! -f "$completed" ]; do
    if tuning_runs; then
        missed=0
    else
        missed=$((missed + 1))
    fi
    [ $missed -lt 3 ] || [ -f "$completed" ] || fail "the tuning ended without a result"
    sleep "$poll"
done

rm -rf "$work"
mkdir -p "$work/data" "$work/layout/blobs/sha256" || fail "cannot make $work"
for file in adapter_config.json adapter_model.safetensors; do
    [ -s "$output/$file" ] || fail "the tuning left no $file"
    cp "$output/$file" "$work/data/$file" || fail "cannot copy $file"
done

digest() {
    sha256sum "$1" | cut -d ' ' -f 1
}

size() {
    wc -c < "$1" | tr -d ' '
}

# keep FILE: moves it among the blobs, and sets hash and bytes
keep() {
    hash=$(digest "$1")
    bytes=$(size "$1")
    mv "$1" "$work/layout/blobs/sha256/$hash" || fail "cannot write to $work"
}

cd "$work" || fail "cannot enter $work"
tar -cf layer.tar data || fail "cannot pack the result"
plain=$(digest layer.tar)
gzip -c layer.tar > layer.tar.gz || fail "cannot compress the result"
keep layer.tar.gz
layer_hash=$hash
layer_bytes=$bytes
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$plain" > config
keep config
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%s}],"annotations":{"sh.kaito.model.name":"%s"}}' \
    "$hash" "$bytes" "$layer_hash" "$layer_bytes" "$model" > manifest
keep manifest
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"result"}}]}' \
    "$hash" "$bytes" > layout/index.json
printf '{"imageLayoutVersion":"1.0.0"}' > layout/oci-layout

# A push that fails must not cost the tuning: a registry may be away for a while.
tries=1
until oras cp --from-oci-layout "$work/layout:result" "$image" 2> error; do
    cat error >&2
    [ $tries -lt 10 ] || fail "cannot push $image: $(tail -n 1 error | cut -c 1-400)"
    tries=$((tries + 1))
    sleep "${PUSH_SECONDS:-30}"
done
echo "$image is pushed"
end_pause
