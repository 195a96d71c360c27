/* A path, and behind a zero byte the document that it is tried on. */
#include "fuzz.h"
#include "json/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = memchr(data, 0, size);
    if (!zero)
        return 0;
    AUTO_ARENA a = arena_new();
    struct json_path *path = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    const char *text = (const char *)data; /* ends at the zero byte */
    struct json *v;
    if (json_parse(a, (const char *)zero + 1, size - (size_t)(zero - data) - 1, &v, NULL) == 0)
        json_pointer(v, text);
    else
        v = NULL;
    if (json_path_compile(text, &path, &err) < 0)
        return 0;
    struct json *all = json_path_eval(a, path, v);
    const struct json *first = json_path_first(path, v);
    must(json_size(all) > 0 ? json_equal(first, json_at(all, 0)) : !first);
    json_path_free(path);
    return 0;
}
