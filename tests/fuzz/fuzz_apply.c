/* [object, patch, managedFields, custom]: as a Pod, or as a resource of a CRD whose schema has
 * lists of all kinds. What is applied is there afterwards, applying it again changes nothing, and
 * managers are read as they were written. */
#include "apiserver/fields/managed.h"
#include "apiserver/types.h"
#include "fuzz.h"
#include "schema/schema.h"

static const char schema_text[] =
    "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{"
    "\"plain\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"set\":{\"type\":\"array\",\"items\":{\"x-kubernetes-int-or-string\":true},\"x-kubernetes-list-type\":\"set\"},"
    "\"map\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"k\",\"d\"],"
    "\"items\":{\"type\":\"object\",\"required\":[\"k\"],\"properties\":{\"k\":{\"type\":\"string\"},"
    "\"d\":{\"type\":\"string\",\"default\":\"x\"},\"v\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}}}},"
    "\"whole\":{\"type\":\"object\",\"x-kubernetes-map-type\":\"atomic\",\"additionalProperties\":{\"type\":\"string\"}},"
    "\"free\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}}}";

static struct field_type custom_type(void)
{
    static struct schema *schema;
    if (!schema) {
        AUTO_ARENA a = arena_new();
        struct json *v = NULL;
        struct field_errors errors = { .arena = a };
        must(json_parse(a, schema_text, strlen(schema_text), &v, NULL) == 0);
        must(schema_compile(v, "", &schema, &errors) == 0);
    }
    return field_type_of_schema(schema);
}

static void check_value(struct arena *a, struct field_type t, const struct json *v)
{
    struct field_set *set = NULL, *back = NULL;
    struct field_changes c;
    must(fields_compare(a, t, v, v, &c, NULL) == 0);
    must(field_set_empty(c.removed) && field_set_empty(c.modified) && field_set_empty(c.added));
    must(fields_of(a, t, v, &set, NULL) == 0);
    if (field_set_depth(set) > FIELD_SET_MAX_DEPTH)
        return;
    must(field_set_parse(a, field_set_json(a, set), &back, NULL) == 0);
    must(field_set_equal(set, back));
    fields_remove(a, t, v, set);
    fields_reconcile(a, t, set);
}

static void check_apply(const struct managed_context *x, const struct json *live,
                        const struct json *patch, const struct json *entries)
{
    struct managed m;
    struct managed_conflicts conflicts = { 0 };
    struct json *once = NULL, *twice = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (managed_parse(x->a, entries, &m, NULL) < 0)
        m = (struct managed){ 0 };
    if (managed_apply(x, &m, "m", false, live, patch, &once, &conflicts, &err) < 0) {
        must(error_message(err)[0] != '\0');
        if (managed_parse(x->a, entries, &m, NULL) < 0)
            m = (struct managed){ 0 };
        if (managed_apply(x, &m, "m", true, live, patch, &once, NULL, NULL) < 0)
            return;
    }
    const struct json *result = once ? once : live;
    struct json *text = managed_json(x->a, &m);
    struct managed again;
    conflicts = (struct managed_conflicts){ 0 };
    must(managed_parse(x->a, text, &again, NULL) == 0);
    must(managed_apply(x, &again, "m", false, result, patch, &twice, &conflicts, NULL) == 0);
    must(!twice || json_equal(twice, result));
    must(managed_update(x, &again, "u", live, result, NULL) == 0 || again.count <= m.count + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    struct json *input = NULL;
    if (json_parse(a, (const char *)data, size, &input, NULL) < 0 || !json_is_array(input))
        return 0;
    const struct json *live = json_at(input, 0), *patch = json_at(input, 1);
    if (!json_is_object(live) || !json_is_object(patch))
        return 0;
    struct managed_context x = { .a = a, .api_version = "v1", .subresource = "" };
    x.now = "2024-01-01T00:00:00Z";
    x.type = json_at(input, 3) ? custom_type() : field_type_of_kind(api_type_find("v1", "Pod"));
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (fields_check(a, x.type, live, true, &err) < 0) {
        must(error_message(err)[0] != '\0');
        return 0;
    }
    if (fields_check(a, x.type, patch, false, NULL) < 0)
        return 0;
    check_value(a, x.type, live);
    check_value(a, x.type, patch);
    check_apply(&x, live, patch, json_at(input, 2));
    return 0;
}
