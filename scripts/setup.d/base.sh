# base: what `make` needs. yyjson is the one library that Debian 12 lacks.

yyjson=4.0.6
yyjson_flags="-std=c99 -O2 -g -fPIC -ffunction-sections -fdata-sections"

setup_base() {
    python_environment
    step yyjson "$yyjson $yyjson_flags" "$prefix/lib/libyyjson.a" "yyjson $yyjson" yyjson_build
}

yyjson_build() {
    local src=$deps/src/yyjson-$yyjson
    fetch "yyjson-$yyjson.tar.gz"
    unpack "yyjson-$yyjson.tar.gz" "$src"
    cd "$src/yyjson"
    # shellcheck disable=SC2086
    "${CC:-gcc}" $yyjson_flags "-ffile-prefix-map=$PWD=yyjson" -c yyjson.c -o yyjson.o
    rm -f libyyjson.a
    ar rcsD libyyjson.a yyjson.o
    install -m 644 -C yyjson.h "$prefix/include/yyjson.h"
    install -m 644 libyyjson.a "$prefix/lib/libyyjson.a.new"
    mv "$prefix/lib/libyyjson.a.new" "$prefix/lib/libyyjson.a"
    rm -rf "$src"
}
