/* A list that is read element by element is the list that is read at once. */
#include "fuzz.h"
#include "json/elements.h"
#include "json/json.h"

/* The array, and in `rest` the text without what is in it. false: not a list. */
static bool read_by_elements(struct arena *a, const char *text, size_t len, struct json **ret_items,
                             struct json **ret_rest)
{
    struct json_elements e;
    if (!json_elements_find(text, len, "items", &e))
        return false;
    const char *begin = e.at, *at = NULL;
    size_t size = 0;
    *ret_items = json_new_array(a);
    while (json_elements_next(&e, &at, &size)) {
        must(at >= begin && at + size <= text + len);
        struct json *item = NULL;
        if (json_parse(a, at, size, &item, NULL) < 0)
            return false;
        json_append(*ret_items, item);
    }
    if (!e.at)
        return false;
    AUTO_BUF rest = BUF_INIT(SIZE_MAX);
    buf_append(&rest, text, (size_t)(begin - text));
    buf_append(&rest, "]", 1);
    buf_append(&rest, e.at, (size_t)(text + len - e.at));
    return json_parse(a, rest.data, rest.len, ret_rest, NULL) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    const char *text = (const char *)data;
    struct json *items = NULL, *rest = NULL, *whole = NULL, *twice = NULL;
    bool by_elements = read_by_elements(a, text, size, &items, &rest);
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r = json_parse_strict(a, text, size, &whole, &twice, &err);
    if (r == -ERROR_TOO_LARGE || (r == 0 && json_size(twice) > 0))
        return 0; /* nested too deep as a whole; "items" twice */
    if (!by_elements)
        return 0;
    must(r == 0);
    must(json_equal(json_get(whole, "items"), items));
    json_del(whole, "items");
    json_del(rest, "items");
    must(json_equal(whole, rest));
    return 0;
}
