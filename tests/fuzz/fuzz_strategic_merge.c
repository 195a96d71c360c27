/* [pod, patch]: what comes out can be patched with nothing, and stays as it is. */
#include "apiserver/types.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    struct json *input = NULL;
    if (json_parse(a, (const char *)data, size, &input, NULL) < 0 || json_size(input) != 2)
        return 0;
    struct json *target = json_clone(a, json_at(input, 0));
    if (!json_is_object(target) || !json_is_object(json_at(input, 1)))
        return 0;
    const struct api_type *pod = api_type_find("v1", "Pod");
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct json *out = NULL;
    if (api_strategic_merge(a, pod, target, json_at(input, 1), &out, &err) < 0) {
        must(error_message(err)[0] != '\0');
        return 0;
    }
    struct json *before = json_clone(a, out), *after = NULL;
    must(api_strategic_merge(a, pod, out, json_new_object(a), &after, NULL) == 0);
    must(json_equal(before, after));
    return 0;
}
