/* What the value validator does not look at: list types, and embedded resources. */
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "schema/schema_internal.h"

/* ---- list types ------------------------------------------------------------------------------ */

static const char *text_of(struct arena *a, const struct json *v)
{
    AUTO_BUF out = BUF_INIT(16 * MIB);
    json_write_canonical(v, &out);
    return arena_strndup(a, buf_str(&out), out.len);
}

/* Calls for the second of equal values; third and later ones say nothing new. */
static void find_repeats(struct arena *a, const struct json *values,
                         void (*report)(void *ctx, size_t index, const struct json *v), void *ctx)
{
    static char once, more;
    AUTO_MAP seen = map_new(NULL);
    JSON_FOREACH(it, values) {
        const char *text = text_of(a, it.value);
        void *times = map_get(seen, text);
        map_set(seen, text, times ? &more : &once);
        if (times == &once)
            report(ctx, it.index, it.value);
    }
}

struct repeat_report {
    const struct field_path *path;
    struct field_errors *errors;
};

static void report_repeat(void *ctx, size_t index, const struct json *v)
{
    const struct repeat_report *r = ctx;
    field_duplicate(r->errors, FIELD_AT(r->path, index), v);
}

static void check_map_list(const struct schema_node *n, const struct json *list,
                           const struct field_path *p, struct field_errors *errors)
{
    struct arena *a = errors->arena;
    struct json *keys = json_new_array(a);
    JSON_FOREACH(it, list) {
        if (!json_is_object(it.value) && !json_is_null(it.value)) {
            field_invalid(errors, FIELD_AT(p, it.index), it.value,
                          "must be an object for an array of list-type map");
            return;
        }
        struct json *key = json_new_object(a);
        for (size_t i = 0; i < n->list_keys.count; i++)
            json_set(a, key, n->list_keys.items[i],
                     json_clone(a, json_get(it.value, n->list_keys.items[i])));
        json_append(keys, key);
    }
    find_repeats(a, keys, report_repeat, &(struct repeat_report){ p, errors });
}

void schema_validate_lists(const struct schema_node *n, const struct json *v,
                           const struct field_path *p, struct field_errors *errors)
{
    if (json_is_object(v)) {
        JSON_FOREACH(it, v) {
            const struct schema_node *member = schema_property_find(n, it.key);
            if (member)
                schema_validate_lists(member, it.value, FIELD(p, it.key), errors);
            else if (n->additional)
                schema_validate_lists(n->additional, it.value, FIELD_KEY(p, it.key), errors);
        }
    } else if (json_is_array(v)) {
        if (n->list_type == LIST_SET)
            find_repeats(errors->arena, v, report_repeat, &(struct repeat_report){ p, errors });
        else if (n->list_type == LIST_MAP)
            check_map_list(n, v, p, errors);
        if (n->items)
            JSON_FOREACH(it, v)
                schema_validate_lists(n->items, it.value, FIELD_AT(p, it.index), errors);
    }
}

/* ---- embedded resources ---------------------------------------------------------------------- */

static void check_api_version(const struct json *v, const struct field_path *p,
                              struct field_errors *errors)
{
    const char *s = json_string(v);
    if (!s) {
        field_invalid(errors, p, v, "must be a string");
        return;
    }
    size_t slashes = 0;
    for (const char *c = s; *c; c++)
        slashes += *c == '/';
    if (!*s)
        field_invalid_str(errors, p, s, "must not be empty");
    else if (slashes > 1)
        field_invalid_str(errors, p, s, "unexpected GroupVersion string: %s", s);
}

static void check_kind(const struct json *v, const struct field_path *p,
                       struct field_errors *errors)
{
    const char *s = json_string(v);
    if (!s) {
        field_invalid(errors, p, v, "must be a string");
    } else if (!*s) {
        field_invalid_str(errors, p, s, "must not be empty");
    } else {
        CLEANUP(error_cleanup) struct error *err = NULL;
        if (kube_validate_dns1035_label(str_lower(errors->arena, s), &err) < 0)
            field_invalid_str(errors, p, s, "may have mixed case, but should otherwise match: %s",
                              str_replace(errors->arena, error_message(err), "; ", ","));
    }
}

static void check_resource(const struct json *v, const struct field_path *p,
                           struct field_errors *errors)
{
    struct arena *a = errors->arena;
    if (!json_get(v, "apiVersion"))
        field_required(errors, FIELD(p, "apiVersion"), NO_DETAIL);
    else
        check_api_version(json_get(v, "apiVersion"), FIELD(p, "apiVersion"), errors);
    if (!json_get(v, "kind"))
        field_required(errors, FIELD(p, "kind"), NO_DETAIL);
    else
        check_kind(json_get(v, "kind"), FIELD(p, "kind"), errors);
    const struct json *meta = json_get(v, "metadata");
    if (json_is_null(meta))
        return;
    struct json *named = json_clone(a, meta);
    if (!json_is_object(meta)) {
        field_invalid(errors, FIELD(p, "metadata"), meta, "must be an object");
        return;
    }
    /* an embedded object needs no name */
    if (str_empty(json_find_str(named, "name")))
        json_set_str(a, named, "name", "fakename");
    metadata_validate(named, !str_empty(json_find_str(named, "namespace")),
                      metadata_name_path_segment, FIELD(p, "metadata"), errors);
}

void schema_validate_embedded(const struct schema_node *n, const struct json *v,
                              const struct field_path *p, struct field_errors *errors)
{
    if (json_is_object(v)) {
        if (n->embedded)
            check_resource(v, p, errors);
        JSON_FOREACH(it, v) {
            const struct schema_node *member = schema_property_find(n, it.key);
            if (member)
                schema_validate_embedded(member, it.value, FIELD(p, it.key), errors);
            else if (n->additional)
                schema_validate_embedded(n->additional, it.value, FIELD_KEY(p, it.key), errors);
        }
    } else if (json_is_array(v) && n->items) {
        JSON_FOREACH(it, v)
            schema_validate_embedded(n->items, it.value, FIELD_AT(p, it.index), errors);
    }
}
