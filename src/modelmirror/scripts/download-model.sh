#!/bin/sh
# Fetches the model $MODEL_ID from Hugging Face into /models/$MODEL_ID.
set -u
folder=/models/$MODEL_ID

fail() {
    echo "$1" >&2
    { printf '%s' "$1" > /dev/termination-log; } 2> /dev/null
    exit 1
}

pip install --quiet --no-cache-dir huggingface-hub==1.18.0 || fail "cannot install huggingface-hub"
export HF_HUB_DOWNLOAD_TIMEOUT=300
mkdir -p "$folder" || fail "cannot make $folder"
hf download "$MODEL_ID" --local-dir "$folder" --max-workers 4 --exclude 'original/*' 2> /tmp/error ||
    fail "cannot download $MODEL_ID: $(tail -n 1 /tmp/error | cut -c 1-400)"
rm -rf "$folder/.cache"
# A reader of the folder takes all weights below it: copies in other formats would be read too.
for inner in "$folder"/*/; do
    [ -d "$inner" ] && [ -n "$(find "$inner" -name '*.safetensors')" ] && rm -rf "$inner"
done
ls "$folder"/*.safetensors > /dev/null 2>&1 || fail "$MODEL_ID has no .safetensors files"
echo "$MODEL_ID is in $folder"
