# engine: llama-server, one file that needs libc alone. The source of llama.cpp comes inside that of its Python binding.
#
# For any x86-64 processor with AVX2 (2013 and later), not for the one that compiles. OpenMP's threads spin while they
# wait, which on a machine with other work costs three quarters of the speed, so llama.cpp's own threads are used. HTTPS,
# the web page and the running of programs are left out: it answers HTTP to `kaito-serve` beside it and does nothing else.

llama=0.3.36
llama_options=(
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_SUBPROCESS=OFF
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_TOOLS=ON
    -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_NUMBER=0 "-DLLAMA_BUILD_COMMIT=$llama"
    "-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc"
)
if [ "$(uname -m)" = x86_64 ]; then
    llama_options+=(
        -DGGML_SSE42=ON -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON
        -DGGML_AVX512=OFF -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF
    )
fi

setup_engine() {
    if [ "$(uname -m)" = x86_64 ] && ! grep -q -m 1 -w avx2 /proc/cpuinfo; then
        note "this processor has no AVX2: llama-server gets built, but will not run here"
    fi
    python_environment
    step engine "$llama ${llama_options[*]}" "$prefix/bin/llama-server" \
        "llama-server of llama.cpp (from llama-cpp-python $llama; about five minutes on two cores)" engine_build
}

engine_build() {
    local src=$deps/src/llama-cpp-python-$llama build
    # options have a build folder of their own, so that an interrupted build goes on only with its own objects
    build=$deps/build/llama-$llama-$(printf "%s" "${llama_options[*]}" | sha256sum | cut -c1-8)
    fetch "llama_cpp_python-$llama.tar.gz"
    unpack "llama_cpp_python-$llama.tar.gz" "$src" '*/vendor/llama.cpp'
    export CCACHE_BASEDIR=$deps CCACHE_NOHASHDIR=1
    cmake -S "$src/vendor/llama.cpp" -B "$build" -G Ninja "${llama_options[@]}" \
        "-DCMAKE_C_FLAGS=-ffile-prefix-map=$src/vendor/llama.cpp=llama.cpp" \
        "-DCMAKE_CXX_FLAGS=-ffile-prefix-map=$src/vendor/llama.cpp=llama.cpp"
    cmake --build "$build" --target llama-server
    strip -o "$prefix/bin/llama-server.new" "$build/bin/llama-server"
    mv "$prefix/bin/llama-server.new" "$prefix/bin/llama-server"
    rm -rf "$src" "$build"
}
