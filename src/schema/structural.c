/* Whether a schema is structural: every field has a type of its own, outside of allOf, anyOf, oneOf
 * and not, which may only restrict values of fields that are specified. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/schema_internal.h"

enum level { LEVEL_ROOT, LEVEL_ITEM, LEVEL_FIELD };

static bool flag(const struct json *s, const char *key)
{
    return json_find_bool(s, false, key);
}

static const char *type_of(const struct json *s)
{
    const char *type = json_find_str(s, "type");
    return type ? type : "";
}

/* ---- what cannot become a structural schema at all ------------------------------------------- */

const char *schema_unsupported(const struct json *s)
{
    static const struct {
        const char *key;
        const char *text;
    } unsupported[] = {
        { "id", "OpenAPIV3Schema 'id' is not supported" },
        { "$schema", "OpenAPIV3Schema 'schema' is not supported" },
        { "$ref", "OpenAPIV3Schema '$ref' is not supported" },
        { "patternProperties", "OpenAPIV3Schema 'patternProperties' is not supported" },
        { "dependencies", "OpenAPIV3Schema 'dependencies' is not supported" },
        { "additionalItems", "OpenAPIV3Schema 'additionalItems' is not supported" },
        { "definitions", "OpenAPIV3Schema 'definitions' is not supported" },
    };
    static const char *const lists[] = { "allOf", "anyOf", "oneOf" };
    static const char *const single[] = { "not", "additionalProperties" };
    for (size_t i = 0; i < COUNT_OF(unsupported); i++)
        if (!json_is_null(json_get(s, unsupported[i].key)))
            return unsupported[i].text;
    const struct json *preserve = json_get(s, "x-kubernetes-preserve-unknown-fields");
    if (json_is_bool(preserve) && !json_bool(preserve, true))
        return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined";
    const struct json *items = json_get(s, "items");
    if (json_is_array(items))
        return "OpenAPIV3Schema 'items' must be a schema, but is an array";
    const char *text = items ? schema_unsupported(items) : NULL;
    JSON_FOREACH(it, json_get(s, "properties"))
        text = text ? text : schema_unsupported(it.value);
    for (size_t i = 0; !text && i < COUNT_OF(lists); i++)
        JSON_FOREACH(it, json_get(s, lists[i]))
            text = text ? text : schema_unsupported(it.value);
    for (size_t i = 0; !text && i < COUNT_OF(single); i++)
        if (json_is_object(json_get(s, single[i])))
            text = schema_unsupported(json_get(s, single[i]));
    return text;
}

/* ---- value validations ----------------------------------------------------------------------- */

/* anyOf of exactly {type: integer} and {type: string}: how int-or-string was written before it had
 * a name. */
static bool is_int_or_string(const struct json *any_of)
{
    const struct json *first = json_at(any_of, 0), *second = json_at(any_of, 1);
    return json_size(any_of) == 2 && json_size(first) == 1 && json_size(second) == 1 &&
           STREQ(type_of(first), "integer") && STREQ(type_of(second), "string");
}

static void check_nested(const struct json *v, bool skip_any_of, const struct field_path *p,
                         struct field_errors *errors);

static void check_pattern(const struct json *s, const struct field_path *p,
                          struct field_errors *errors)
{
    const char *pattern = json_find_str(s, "pattern");
    const struct pattern *compiled;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!str_empty(pattern) && pattern_compile(errors->arena, pattern, &compiled, &err) < 0)
        field_invalid_str(errors, FIELD(p, "pattern"), pattern,
                          "must be a valid regular expression, but isn't: %s", error_message(err));
}

static void check_value_validation(const struct json *s, bool skip_any_of, bool skip_first_all_of,
                                   const struct field_path *p, struct field_errors *errors)
{
    if (!skip_any_of)
        JSON_FOREACH(it, json_get(s, "anyOf"))
            check_nested(it.value, false, FIELD_AT(FIELD(p, "anyOf"), it.index), errors);
    JSON_FOREACH(it, json_get(s, "allOf"))
        check_nested(it.value, skip_first_all_of && it.index == 0,
                     FIELD_AT(FIELD(p, "allOf"), it.index), errors);
    JSON_FOREACH(it, json_get(s, "oneOf"))
        check_nested(it.value, false, FIELD_AT(FIELD(p, "oneOf"), it.index), errors);
    if (json_is_object(json_get(s, "not")))
        check_nested(json_get(s, "not"), false, FIELD(p, "not"), errors);
    check_pattern(s, p, errors);
}

/* What may not stand below a combination. */
static const struct {
    const char *key;
    const char *must;
} forbidden[] = {
    { "type", "must be empty to be structural" },
    { "additionalProperties", "must be undefined to be structural" },
    { "default", "must be undefined to be structural" },
    { "title", "must be empty to be structural" },
    { "description", "must be empty to be structural" },
    { "nullable", "must be false to be structural" },
    { "x-kubernetes-preserve-unknown-fields", "must be false to be structural" },
    { "x-kubernetes-embedded-resource", "must be false to be structural" },
    { "x-kubernetes-int-or-string", "must be false to be structural" },
    { "x-kubernetes-list-map-keys", "must be empty to be structural" },
    { "x-kubernetes-list-type", "must be undefined to be structural" },
    { "x-kubernetes-map-type", "must be undefined to be structural" },
    { "x-kubernetes-validations", "must be empty to be structural" },
};

static bool is_set(const struct json *v)
{
    if (json_is_string(v))
        return json_string_len(v) > 0;
    if (json_is_array(v))
        return json_size(v) > 0;
    return json_is_bool(v) ? json_bool(v, false) : !json_is_null(v);
}

static void check_nested(const struct json *v, bool skip_any_of, const struct field_path *p,
                         struct field_errors *errors)
{
    check_value_validation(v, skip_any_of, false, p, errors);
    if (json_is_object(json_get(v, "items")))
        check_nested(json_get(v, "items"), false, FIELD(p, "items"), errors);
    JSON_FOREACH(it, json_get(v, "properties"))
        check_nested(it.value, false, FIELD_KEY(FIELD(p, "properties"), it.key), errors);
    for (size_t i = 0; i < COUNT_OF(forbidden); i++) {
        const struct json *value = json_get(v, forbidden[i].key);
        bool given = STREQ(forbidden[i].key, "default") ? !json_is_null(value) : is_set(value);
        if (given)
            field_forbidden(errors, FIELD(p, forbidden[i].key), "%s", forbidden[i].must);
    }
    if (json_find(v, "properties", "metadata"))
        field_forbidden(errors, FIELD_KEY(FIELD(p, "properties"), "metadata"),
                        "must not be specified in a nested context");
}

/* ---- structure ------------------------------------------------------------------------------- */

/* Of the root's metadata nothing but name and generateName can be restricted. */
static void check_metadata(const struct json *s, bool must_be_object, enum level level,
                           const struct field_path *p, struct field_errors *errors)
{
    if (must_be_object && !STREQ(type_of(s), "object"))
        field_invalid_str(errors, FIELD(p, "type"), type_of(s), "must be object");
    if (level != LEVEL_ROOT)
        return;
    bool more = false;
    JSON_FOREACH(it, json_get(s, "properties"))
        more = more || (!STREQ(it.key, "name") && !STREQ(it.key, "generateName"));
    JSON_FOREACH(it, s)
        more = more || (!STREQ(it.key, "type") && !STREQ(it.key, "default") &&
                        !STREQ(it.key, "properties") && is_set(it.value));
    if (more)
        field_forbidden(
            errors, p,
            "must not specify anything other than name and generateName, but metadata is implicitly specified");
}

static void check_type(const struct json *s, enum level level, const struct field_path *p,
                       struct field_errors *errors)
{
    static const char *const missing[] = { "must not be empty at the root",
                                           "must not be empty for specified array items",
                                           "must not be empty for specified object fields" };
    const char *type = type_of(s);
    bool embedded = flag(s, "x-kubernetes-embedded-resource");
    if (embedded && !*type)
        field_required(errors, FIELD(p, "type"),
                       "must be object if x-kubernetes-embedded-resource is true");
    else if (embedded && !STREQ(type, "object"))
        field_invalid_str(errors, FIELD(p, "type"), type,
                          "must be object if x-kubernetes-embedded-resource is true");
    else if (!*type && !flag(s, "x-kubernetes-int-or-string") &&
             !flag(s, "x-kubernetes-preserve-unknown-fields"))
        field_required(errors, FIELD(p, "type"), "%s", missing[level]);
    if (embedded && !json_is_null(json_get(s, "additionalProperties")))
        field_forbidden(errors, FIELD(p, "additionalProperties"),
                        "must not be used if x-kubernetes-embedded-resource is set");
    if (level == LEVEL_ROOT && *type && !STREQ(type, "object"))
        field_invalid_str(errors, FIELD(p, "type"), type, "must be object at the root");
}

static void check_extensions(const struct json *s, const struct field_path *p,
                             struct field_errors *errors)
{
    static const char *const excluded[] = { "x-kubernetes-preserve-unknown-fields",
                                            "x-kubernetes-embedded-resource" };
    for (size_t i = 0; i < COUNT_OF(excluded); i++)
        if (flag(s, "x-kubernetes-int-or-string") && flag(s, excluded[i]))
            field_invalid_raw(errors, FIELD(p, excluded[i]), "true",
                              "must be false if x-kubernetes-int-or-string is true");
}

static void check_meta_types(const struct json *s, const struct field_path *p,
                             struct field_errors *errors)
{
    static const char *const names[] = { "kind", "apiVersion" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct json *property = json_find(s, "properties", names[i]);
        if (property && !STREQ(type_of(property), "string"))
            field_invalid_str(errors, FIELD(FIELD_KEY(FIELD(p, "properties"), names[i]), "type"),
                              type_of(property), "must be string");
    }
}

static void check_invariants(const struct json *s, enum level level, const struct field_path *p,
                             struct field_errors *errors)
{
    const struct json *items = json_get(s, "items"),
                      *additional = json_get(s, "additionalProperties");
    const struct json *metadata = json_find(s, "properties", "metadata");
    bool embedded = flag(s, "x-kubernetes-embedded-resource"),
         is_object = level == LEVEL_ROOT || embedded;
    if (STREQ(type_of(s), "array") && json_is_null(items))
        field_required(errors, FIELD(p, "items"), "must be specified");
    if (json_is_object(items))
        check_invariants(items, LEVEL_ITEM, FIELD(p, "items"), errors);
    JSON_FOREACH(it, json_get(s, "properties"))
        check_invariants(it.value, LEVEL_FIELD, FIELD_KEY(FIELD(p, "properties"), it.key), errors);
    if (!json_is_null(additional) && level == LEVEL_ROOT)
        field_forbidden(errors, FIELD(p, "additionalProperties"), "must not be used at the root");
    if (json_is_object(additional))
        check_invariants(additional, LEVEL_FIELD, FIELD(p, "additionalProperties"), errors);
    check_extensions(s, p, errors);
    check_value_validation(s, is_int_or_string(json_get(s, "anyOf")),
                           is_int_or_string(json_get(json_at(json_get(s, "allOf"), 0), "anyOf")), p,
                           errors);
    check_type(s, level, p, errors);
    if (is_object)
        check_meta_types(s, p, errors);
    if (metadata)
        check_metadata(metadata, is_object, level, FIELD_KEY(FIELD(p, "properties"), "metadata"),
                       errors);
    if (embedded && !flag(s, "x-kubernetes-preserve-unknown-fields") &&
        json_size(json_get(s, "properties")) == 0)
        field_required(
            errors, FIELD(p, "properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields");
}

/* ---- completeness ---------------------------------------------------------------------------- */

static void check_nested_complete(const struct json *v, const struct json *s,
                                  const struct field_path *sp, const struct field_path *vp,
                                  struct field_errors *errors);

static void check_complete(const struct json *v, const struct json *s, const struct field_path *sp,
                           const struct field_path *vp, struct field_errors *errors)
{
    static const char *const lists[] = { "allOf", "anyOf", "oneOf" };
    if (json_is_object(json_get(v, "not")))
        check_nested_complete(json_get(v, "not"), s, sp, FIELD(vp, "not"), errors);
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        JSON_FOREACH(it, json_get(v, lists[i]))
            check_nested_complete(it.value, s, sp, FIELD_AT(FIELD(vp, lists[i]), it.index), errors);
}

/* Every restriction v at vp has a field s at sp that it restricts. */
static void check_nested_complete(const struct json *v, const struct json *s,
                                  const struct field_path *sp, const struct field_path *vp,
                                  struct field_errors *errors)
{
    if (!json_is_object(s)) {
        field_required(errors, sp, "because it is defined in %s",
                       field_path_text(errors->arena, vp));
        return;
    }
    check_complete(v, s, sp, vp, errors);
    if (json_is_object(json_get(v, "items")))
        check_nested_complete(json_get(v, "items"), json_get(s, "items"), FIELD(sp, "items"),
                              FIELD(vp, "items"), errors);
    JSON_FOREACH(it, json_get(v, "properties")) {
        const struct field_path *inner = FIELD_KEY(FIELD(sp, "properties"), it.key);
        check_nested_complete(it.value, json_find(s, "properties", it.key), inner,
                              FIELD_KEY(FIELD(vp, "properties"), it.key), errors);
    }
}

static int compare_errors(const void *x, const void *y)
{
    const struct field_error *p = x, *q = y;
    int c = strcmp(p->field, q->field);
    return c ? c : strcmp(p->message, q->message);
}

void schema_check_structural(const struct json *json, const struct field_path *path,
                             struct field_errors *errors)
{
    struct field_errors own = { .arena = errors->arena };
    check_invariants(json, LEVEL_ROOT, path, &own);
    check_complete(json, json, path, path, &own);
    if (own.count)
        qsort(own.items, own.count, sizeof *own.items, compare_errors);
    for (size_t i = 0; i < own.count; i++)
        field_errors_add(errors, own.items[i].type, own.items[i].field, "%s", own.items[i].message);
}
