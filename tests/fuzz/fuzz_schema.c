/* [schema, object, stored object]: a schema that compiles can be used on any object, and pruning
 * and defaulting twice changes nothing more. */
#include "fuzz.h"
#include "schema/schema.h"
#include "json/json.h"

static void use(struct arena *a, const struct schema *s, struct json *obj, const struct json *old)
{
    schema_prune(a, s, obj, json_new_array(a));
    schema_default(a, s, obj);
    struct json *again = json_clone(a, obj);
    schema_prune(a, s, again, NULL);
    schema_default(a, s, again);
    must(json_equal(obj, again));
    struct field_errors errors = { .arena = a };
    schema_validate(s, obj, old, &errors);
    for (size_t i = 0; i < errors.count; i++)
        must(errors.items[i].type && errors.items[i].field && errors.items[i].message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    struct json *input = NULL;
    if (json_parse(a, (const char *)data, size, &input, NULL) < 0 || json_size(input) < 2)
        return 0;
    struct field_errors errors = { .arena = a };
    struct schema *s = NULL;
    int r = schema_compile(json_at(input, 0), "schema", &s, &errors);
    must((r == 0) == (s != NULL));
    if (r < 0)
        return 0;
    struct json *obj = json_clone(a, json_at(input, 1));
    if (json_is_object(obj))
        use(a, s, obj, json_at(input, 2));
    schema_free(s);
    return 0;
}
