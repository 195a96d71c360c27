/* What parses is written, read again and is the same; patches between two values lead from one to
 * the other. */
#include "fuzz.h"
#include "fuzz_values.h"
#include "json/json.h"

static void round_trip(struct arena *a, const struct json *v)
{
    AUTO_BUF b = BUF_INIT(SIZE_MAX);
    struct json *back;
    json_write(v, &b);
    must(json_parse(a, buf_str(&b), b.len, &back, NULL) == 0);
    must(same_value(v, back));
    buf_clear(&b);
    json_write_canonical(v, &b);
    must(json_parse(a, buf_str(&b), b.len, &back, NULL) == 0);
    must(same_value(v, back));
    buf_clear(&b);
    json_write_pretty(v, 2, &b);
    must(json_parse(a, buf_str(&b), b.len, &back, NULL) == 0);
    must(json_equal(v, json_clone(a, v)));
    must(json_contains(v, v));
    must(!json_merge_diff(a, v, v));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* a zero byte parts two texts */
    const uint8_t *zero = memchr(data, 0, size);
    size_t first = zero ? (size_t)(zero - data) : size;
    AUTO_ARENA a = arena_new();
    struct json *x, *y, *duplicates, *result;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (json_parse_strict(a, (const char *)data, first, &x, &duplicates, &err) < 0)
        return 0;
    round_trip(a, x);
    if (!zero || json_parse(a, (const char *)zero + 1, size - first - 1, &y, NULL) < 0)
        return 0;

    AUTO_BUF lines = BUF_INIT(64 * KIB);
    json_describe_diff(x, y, 20, &lines);
    if (json_patch(a, x, y, &result, NULL) == 0)
        round_trip(a, result);
    struct json *patch = json_merge_diff(a, x, y);
    must(json_equal(x, y) ? !patch : true);
    result = patch ? json_merge_patch(a, json_clone(a, x), patch) : x;
    must(!json_merge_diff(a, result, y));
    return 0;
}
