/* From the JSON of a schema to its nodes. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/schema_internal.h"

static const struct {
    const char *name;
    unsigned bit;
} types[] = {
    { "boolean", TYPE_BOOLEAN }, { "integer", TYPE_INTEGER }, { "number", TYPE_NUMBER },
    { "string", TYPE_STRING },   { "array", TYPE_ARRAY },     { "object", TYPE_OBJECT },
};

static void fill_type(struct schema_node *n, struct arena *a, const struct json *json)
{
    const char *type = json_find_str(json, "type");
    if (n->int_or_string) {
        n->types = TYPE_INTEGER | TYPE_STRING;
        n->type_text = "integer,string";
        return;
    }
    for (size_t i = 0; type && i < COUNT_OF(types); i++)
        if (STREQ(types[i].name, type))
            n->types = types[i].bit;
    n->type_text = arena_strdup(a, type && n->types ? type : "");
}

static struct schema_strings strings_of(struct arena *a, const struct json *list)
{
    struct schema_strings s = { arena_alloc(a, (json_size(list) + 1) * sizeof(char *)), 0 };
    JSON_FOREACH(it, list)
        if (json_is_string(it.value))
            s.items[s.count++] = arena_strdup(a, json_string(it.value));
    return s;
}

static struct schema_nodes nodes_of(struct arena *a, const struct json *list)
{
    struct schema_nodes nodes = {
        arena_alloc(a, (json_size(list) + 1) * sizeof(struct schema_node *)), 0
    };
    JSON_FOREACH(it, list)
        nodes.items[nodes.count++] = schema_node_new(a, it.value);
    return nodes;
}

static int compare_properties(const void *x, const void *y)
{
    return strcmp(((const struct schema_property *)x)->name,
                  ((const struct schema_property *)y)->name);
}

static void fill_children(struct schema_node *n, struct arena *a, const struct json *json)
{
    const struct json *properties = json_get(json, "properties");
    n->properties = arena_alloc(a, (json_size(properties) + 1) * sizeof *n->properties);
    JSON_FOREACH(it, properties)
        n->properties[n->property_count++] =
            (struct schema_property){ arena_strdup(a, it.key), schema_node_new(a, it.value) };
    qsort(n->properties, n->property_count, sizeof *n->properties, compare_properties);
    const struct json *additional = json_get(json, "additionalProperties");
    n->has_additional = !json_is_null(additional);
    n->additional_allowed = json_is_object(additional) || json_bool(additional, false);
    if (json_is_object(additional))
        n->additional = schema_node_new(a, additional);
    const struct json *items = json_get(json, "items");
    if (json_is_object(items))
        n->items = schema_node_new(a, items);
    n->all_of = nodes_of(a, json_get(json, "allOf"));
    n->any_of = nodes_of(a, json_get(json, "anyOf"));
    n->one_of = nodes_of(a, json_get(json, "oneOf"));
    if (json_is_object(json_get(json, "not")))
        n->not_ = schema_node_new(a, json_get(json, "not"));
}

static void fill_number(const struct json *json, const char *key, bool *ret_has, double *ret)
{
    const struct json *v = json_get(json, key);
    *ret_has = json_is_number(v);
    *ret = json_double(v, 0);
}

static const char *canonical_text(struct arena *a, const struct json *v)
{
    AUTO_BUF out = BUF_INIT(MIB);
    json_write_canonical(v, &out);
    return arena_strdup(a, buf_str(&out));
}

static void fill_enum(struct schema_node *n, struct arena *a, const struct json *values)
{
    if (json_size(values) == 0)
        return;
    n->enumeration = json_clone(a, values);
    const char **texts = arena_alloc(a, (json_size(values) + 1) * sizeof(char *));
    size_t count = 0;
    JSON_FOREACH(it, values)
        texts[count++] = json_is_string(it.value) ? arena_strdup(a, json_string(it.value))
                                                  : canonical_text(a, it.value);
    texts[count] = NULL;
    n->enum_texts = texts;
}

static void fill_validations(struct schema_node *n, struct arena *a, const struct json *json)
{
    fill_enum(n, a, json_get(json, "enum"));
    fill_number(json, "maximum", &n->has_maximum, &n->maximum);
    fill_number(json, "minimum", &n->has_minimum, &n->minimum);
    fill_number(json, "multipleOf", &n->has_multiple_of, &n->multiple_of);
    n->exclusive_maximum = json_find_bool(json, false, "exclusiveMaximum");
    n->exclusive_minimum = json_find_bool(json, false, "exclusiveMinimum");
    n->max_length = json_find_int(json, -1, "maxLength");
    n->min_length = json_find_int(json, -1, "minLength");
    n->max_items = json_find_int(json, -1, "maxItems");
    n->min_items = json_find_int(json, -1, "minItems");
    n->max_properties = json_find_int(json, -1, "maxProperties");
    n->min_properties = json_find_int(json, -1, "minProperties");
    n->required = strings_of(a, json_get(json, "required"));
    const char *pattern = json_find_str(json, "pattern");
    if (!str_empty(pattern) && pattern_compile(a, pattern, &n->pattern, NULL) == 0)
        n->pattern_text = arena_strdup(a, pattern);
    const char *format = json_find_str(json, "format");
    if (format && (n->format = format_find(format)))
        n->format_text = arena_strdup(a, format);
}

static void fill_extensions(struct schema_node *n, struct arena *a, const struct json *json)
{
    n->preserve_unknown = json_find_bool(json, false, "x-kubernetes-preserve-unknown-fields");
    n->int_or_string = json_find_bool(json, false, "x-kubernetes-int-or-string");
    n->embedded = json_find_bool(json, false, "x-kubernetes-embedded-resource");
    n->atomic_object = str_eq(json_find_str(json, "x-kubernetes-map-type"), "atomic");
    n->has_rules = json_size(json_get(json, "x-kubernetes-validations")) > 0;
    const char *list = json_find_str(json, "x-kubernetes-list-type");
    n->list_type = str_eq(list, "map") ? LIST_MAP : str_eq(list, "set") ? LIST_SET : LIST_ATOMIC;
    n->list_keys = strings_of(a, json_get(json, "x-kubernetes-list-map-keys"));
}

static bool any_rules(const struct schema_node *n)
{
    bool any = n->has_rules || (n->items && n->items->has_rules) ||
               (n->additional && n->additional->has_rules);
    for (size_t i = 0; !any && i < n->property_count; i++)
        any = n->properties[i].node->has_rules;
    return any;
}

struct schema_node *schema_node_new(struct arena *a, const struct json *json)
{
    struct schema_node *n = arena_zalloc(a, sizeof *n);
    fill_extensions(n, a, json);
    fill_type(n, a, json);
    n->nullable = json_find_bool(json, false, "nullable");
    if (!json_is_null(json_get(json, "default")))
        n->default_value = json_clone(a, json_get(json, "default"));
    fill_children(n, a, json);
    fill_validations(n, a, json);
    schema_rules_fill(n, a, json);
    n->has_rules = any_rules(n);
    return n;
}

struct schema_node *schema_property_find(const struct schema_node *n, const char *name)
{
    struct schema_property key = { .name = name };
    struct schema_property *p =
        bsearch(&key, n->properties, n->property_count, sizeof key, compare_properties);
    return p ? p->node : NULL;
}

struct schema_node *schema_member(const struct schema_node *n, const char *name)
{
    struct schema_node *member = schema_property_find(n, name);
    return member ? member : n->additional;
}
