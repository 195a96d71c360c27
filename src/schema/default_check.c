/* Whether the defaults of a schema would pass it themselves. */
#include <string.h>

#include "base/str.h"
#include "schema/schema_internal.h"

static bool is_meta(const char *key)
{
    return STREQ(key, "apiVersion") || STREQ(key, "kind") || STREQ(key, "metadata");
}

static void check_default(struct arena *a, struct schema_node *n, const struct field_path *p,
                          struct field_errors *errors)
{
    const struct field_path *at = FIELD(p, "default");
    struct json *pruned = json_clone(a, n->default_value);
    schema_prune_node(a, n, pruned, false, NULL);
    if (!json_equal(pruned, n->default_value))
        field_invalid(errors, at, n->default_value, "must not have unknown fields");
    schema_prune_embedded(a, n, n->default_value);
    size_t before = errors->count;
    schema_validate_embedded(n, n->default_value, at, errors);
    if (errors->count == before)
        schema_validate_alone(n, n->default_value, NULL, at, errors);
}

/* json gives the order in which the fields were written. */
static void walk(struct arena *a, struct schema_node *n, const struct json *json, bool in_meta,
                 const struct field_path *p, struct field_errors *errors)
{
    if (n->embedded)
        in_meta = false;
    if (n->default_value && !in_meta)
        check_default(a, n, p, errors);
    else if (n->default_value)
        schema_validate_alone(n, n->default_value, NULL, FIELD(p, "default"), errors);
    if (n->items)
        walk(a, n->items, json_get(json, "items"), in_meta, FIELD(p, "items"), errors);
    JSON_FOREACH(it, json_get(json, "properties"))
        walk(a, schema_property_find(n, it.key), it.value,
             in_meta || (n->embedded && is_meta(it.key)), FIELD_KEY(FIELD(p, "properties"), it.key),
             errors);
}

void schema_check_defaults(struct arena *a, struct schema_node *root, const struct json *json,
                           const struct field_path *path, struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(json, "properties"))
        walk(a, schema_property_find(root, it.key), it.value, is_meta(it.key),
             FIELD_KEY(FIELD(path, "properties"), it.key), errors);
    if (!root->default_value)
        return;
    root->embedded = true; /* the default of an object is an object like it */
    check_default(a, root, path, errors);
    root->embedded = false;
}
