/* What the API server checks of every schema object of a CRD, structural or not. */
#include <string.h>

#include "base/str.h"
#include "schema/schema_internal.h"

/* How defaults and metadata are seen from where we are. */
struct place {
    const char *no_defaults; /* why defaults are not allowed; NULL: they are */
    bool in_meta;            /* inside of type or object metadata */
    bool is_root;
};

static void check(const struct json *s, const struct field_path *p, struct place place,
                  struct field_errors *errors);

static bool given(const struct json *s, const char *key)
{
    return !json_is_null(json_get(s, key));
}

static bool not_empty(const struct json *s, const char *key)
{
    return json_size(json_get(s, key)) > 0;
}

static void check_standard(const struct json *s, const struct field_path *p, struct place place,
                           struct field_errors *errors)
{
    static const char *const known[] = { "array",  "boolean", "integer", "number",
                                         "object", "string",  NULL };
    static const struct {
        const char *key;
        const char *text;
        bool may_be_empty;
    } unsupported[] = {
        { "id", "id is not supported", false },
        { "additionalItems", "additionalItems is not supported", false },
        { "patternProperties", "patternProperties is not supported", true },
        { "definitions", "definitions is not supported", true },
        { "dependencies", "dependencies is not supported", false },
        { "$ref", "$ref is not supported", false },
    };
    const char *type = json_find_str(s, "type");
    bool type_known = str_empty(type);
    for (size_t i = 0; !type_known && known[i]; i++)
        type_known = STREQ(known[i], type);
    if (!type_known)
        field_not_supported_str(errors, FIELD(p, "type"), type, known);
    if (given(s, "default") && place.no_defaults)
        field_forbidden(errors, FIELD(p, "default"), "must not be set%s%s",
                        *place.no_defaults ? " " : "", place.no_defaults);
    for (size_t i = 0; i < COUNT_OF(unsupported); i++)
        if (unsupported[i].may_be_empty ? not_empty(s, unsupported[i].key)
                                        : given(s, unsupported[i].key))
            field_forbidden(errors, FIELD(p, unsupported[i].key), "%s", unsupported[i].text);
    if (str_eq(type, "null"))
        field_forbidden(errors, FIELD(p, "type"),
                        "type cannot be set to null, use nullable as an alternative");
    if (json_is_array(json_get(s, "items")) && not_empty(s, "items"))
        field_forbidden(errors, FIELD(p, "items"),
                        "items must be a schema object and not an array");
    if (place.in_meta && json_find_bool(s, false, "x-kubernetes-embedded-resource"))
        field_forbidden(errors, FIELD(p, "x-kubernetes-embedded-resource"),
                        "must not be used inside of resource meta");
}

/* ---- children -------------------------------------------------------------------------------- */

static void check_additional(const struct json *s, const struct field_path *p, struct place place,
                             struct field_errors *errors)
{
    const struct json *additional = json_get(s, "additionalProperties");
    if (json_is_null(additional))
        return;
    if (not_empty(s, "properties") && (json_is_object(additional) || !json_bool(additional, true)))
        field_forbidden(errors, FIELD(p, "additionalProperties"),
                        "additionalProperties and properties are mutual exclusive");
    if (place.in_meta)
        place.no_defaults = "inside additionalProperties applying to object metadata";
    if (json_is_object(additional))
        check(additional, FIELD(p, "additionalProperties"), place, errors);
}

static void check_properties(const struct json *s, const struct field_path *p, struct place place,
                             struct field_errors *errors)
{
    bool resource = place.is_root || json_find_bool(s, false, "x-kubernetes-embedded-resource");
    JSON_FOREACH(it, json_get(s, "properties")) {
        struct place inner = place;
        inner.is_root = false;
        if (resource &&
            (STREQ(it.key, "metadata") || STREQ(it.key, "kind") || STREQ(it.key, "apiVersion"))) {
            inner.in_meta = true;
            if (place.is_root)
                inner.no_defaults = arena_printf(errors->arena, "in top-level %s", it.key);
        }
        check(it.value, FIELD_KEY(FIELD(p, "properties"), it.key), inner, errors);
    }
}

static void check_children(const struct json *s, const struct field_path *p, struct place place,
                           struct field_errors *errors)
{
    static const char *const lists[] = { "allOf", "oneOf", "anyOf" };
    check_additional(s, p, (struct place){ place.no_defaults, place.in_meta, false }, errors);
    check_properties(s, p, place, errors);
    place.is_root = false;
    if (json_is_object(json_get(s, "not")))
        check(json_get(s, "not"), FIELD(p, "not"), place, errors);
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        JSON_FOREACH(it, json_get(s, lists[i]))
            check(it.value, FIELD_AT(FIELD(p, lists[i]), it.index), place, errors);
    const struct json *items = json_get(s, "items");
    if (json_is_object(items))
        check(items, FIELD(p, "items"), place, errors);
    JSON_FOREACH(it, json_is_array(items) ? items : NULL)
        check(it.value, FIELD_AT(FIELD(p, "items"), it.index), place, errors);
}

/* ---- extensions ------------------------------------------------------------------------------ */

static void check_type_for(const struct json *s, const char *extension, const char *want,
                           const struct field_path *p, struct field_errors *errors)
{
    const char *type = json_find_str(s, "type");
    if (str_empty(type))
        field_required(errors, FIELD(p, "type"), "must be %s if %s is specified", want, extension);
    else if (!STREQ(type, want))
        field_invalid_str(errors, FIELD(p, "type"), type, "must be %s if %s is specified", want,
                          extension);
}

static void check_map_type(const struct json *s, const struct field_path *p,
                           struct field_errors *errors)
{
    static const char *const known[] = { "atomic", "granular", NULL };
    const char *map_type = json_find_str(s, "x-kubernetes-map-type");
    if (!map_type)
        return;
    check_type_for(s, "x-kubernetes-map-type", "object", p, errors);
    if (!STREQ(map_type, "atomic") && !STREQ(map_type, "granular"))
        field_not_supported_str(errors, FIELD(p, "x-kubernetes-map-type"), map_type, known);
}

/* Elements of sets are compared whole. */
static void check_set_items(const struct json *items, const struct field_path *p,
                            struct field_errors *errors)
{
    static const char must[] = "must be atomic as item of a list with x-kubernetes-list-type=set";
    const char *type = json_find_str(items, "type");
    const struct json *list = json_get(items, "x-kubernetes-list-type");
    if (str_eq(type, "array") && list && !str_eq(json_string(list), "atomic"))
        field_invalid(errors, FIELD(p, "x-kubernetes-list-type"), list, must);
    if (str_eq(type, "object") && !str_eq(json_find_str(items, "x-kubernetes-map-type"), "atomic"))
        field_invalid(errors, FIELD(p, "x-kubernetes-map-type"), list, must);
}

static void check_map_keys(const struct json *s, const struct field_path *p,
                           struct field_errors *errors)
{
    const struct json *keys = json_get(s, "x-kubernetes-list-map-keys"),
                      *properties = json_find(s, "items", "properties");
    const struct field_path *at = FIELD(p, "x-kubernetes-list-map-keys");
    JSON_FOREACH(it, keys) {
        const char *key = json_string(it.value);
        const struct json *property = key ? json_get(properties, key) : NULL;
        const char *type = json_find_str(property, "type");
        if (!property)
            field_invalid(errors, at, keys, "entries must all be names of item properties");
        else if (str_eq(type, "array") || str_eq(type, "object"))
            field_invalid_str(
                errors, FIELD(FIELD_KEY(FIELD(FIELD(p, "items"), "properties"), key), "type"),
                json_find_str(s, "items", "type"),
                "must be a scalar type if parent array's x-kubernetes-list-type is map");
        JSON_FOREACH(before, keys) {
            if (before.index >= it.index)
                break;
            if (str_eq(json_string(before.value), key)) {
                field_invalid(errors, at, keys, "must not contain duplicate entries");
                break;
            }
        }
    }
}

static void check_map_list(const struct json *s, const struct field_path *p,
                           struct field_errors *errors)
{
    const struct json *items = json_get(s, "items");
    const char *type = json_find_str(items, "type");
    if (!not_empty(s, "x-kubernetes-list-map-keys"))
        field_required(errors, FIELD(p, "x-kubernetes-list-map-keys"),
                       "must not be empty if x-kubernetes-list-type is map");
    if (json_is_null(items))
        field_required(errors, FIELD(p, "items"),
                       "must have a schema if x-kubernetes-list-type is map");
    if (json_is_array(items))
        field_invalid(errors, FIELD(p, "items"), items,
                      "must only have a single schema if x-kubernetes-list-type is map");
    if (json_is_object(items) && !str_eq(type, "object"))
        field_invalid_str(errors, FIELD(FIELD(p, "items"), "type"), type,
                          "must be object if parent array's x-kubernetes-list-type is map");
    if (json_is_object(items) && str_eq(type, "object"))
        check_map_keys(s, p, errors);
}

static void check_list_type(const struct json *s, const struct field_path *p,
                            struct field_errors *errors)
{
    static const char *const known[] = { "atomic", "set", "map", NULL };
    const char *list_type = json_find_str(s, "x-kubernetes-list-type");
    const struct field_path *at = FIELD(p, "x-kubernetes-list-type");
    if (list_type) {
        if (!str_eq(json_find_str(s, "type"), "array"))
            check_type_for(s, "x-kubernetes-list-type", "array", p, errors);
        else if (STREQ(list_type, "set") && json_is_object(json_get(s, "items")))
            check_set_items(json_get(s, "items"), FIELD(p, "items"), errors);
        if (!STREQ(list_type, "atomic") && !STREQ(list_type, "set") && !STREQ(list_type, "map"))
            field_not_supported_str(errors, at, list_type, known);
    }
    if (not_empty(s, "x-kubernetes-list-map-keys")) {
        if (!list_type)
            field_required(errors, at, "must be map if x-kubernetes-list-map-keys is non-empty");
        else if (!STREQ(list_type, "map"))
            field_invalid_str(errors, at, list_type,
                              "must be map if x-kubernetes-list-map-keys is non-empty");
    }
    if (str_eq(list_type, "map"))
        check_map_list(s, p, errors);
}

static bool has_string(const struct json *list, const char *s)
{
    JSON_FOREACH(it, list)
        if (str_eq(json_string(it.value), s))
            return true;
    return false;
}

/* What tells elements apart must be there and not null. */
static void check_keyed_items(const struct json *s, const struct field_path *p,
                              struct field_errors *errors)
{
    const char *list_type = json_find_str(s, "x-kubernetes-list-type");
    const struct json *items = json_get(s, "items");
    const struct field_path *at = FIELD(p, "items");
    if (!json_is_object(items) || (!str_eq(list_type, "set") && !str_eq(list_type, "map")))
        return;
    if (json_find_bool(items, false, "nullable"))
        field_forbidden(errors, FIELD(at, "nullable"),
                        "cannot be nullable when x-kubernetes-list-type is %s", list_type);
    if (!str_eq(list_type, "map"))
        return;
    JSON_FOREACH(it, json_get(s, "x-kubernetes-list-map-keys")) {
        const char *key = json_string(it.value);
        const struct json *property = key ? json_find(items, "properties", key) : NULL;
        if (!property)
            continue;
        const struct field_path *here = FIELD_KEY(FIELD(at, "properties"), key);
        if (!has_string(json_get(items, "required"), key) && !given(property, "default"))
            field_required(
                errors, FIELD(here, "default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property");
        if (json_find_bool(property, false, "nullable"))
            field_forbidden(
                errors, FIELD(here, "nullable"),
                "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
    }
}

/* ---- rules ----------------------------------------------------------------------------------- */

static bool has_line_break(const char *s)
{
    return s && strpbrk(s, "\n\r");
}

static bool blank(struct arena *a, const char *s)
{
    return str_empty(s) || !*str_trim(a, s);
}

static void check_rule(const struct json *rule, const struct field_path *p,
                       struct field_errors *errors)
{
    static const char *const reasons[] = { "FieldValueDuplicate", "FieldValueForbidden",
                                           "FieldValueInvalid", "FieldValueRequired", NULL };
    struct arena *a = errors->arena;
    const char *text = json_find_str(rule, "rule"), *message = json_find_str(rule, "message");
    const char *expression = json_find_str(rule, "messageExpression"),
               *reason = json_find_str(rule, "reason");
    const char *field = json_find_str(rule, "fieldPath");
    bool no_message = blank(a, message);
    if (blank(a, text))
        field_required(errors, FIELD(p, "rule"), "rule is not specified");
    else if (!str_empty(message) && no_message)
        field_invalid_str(errors, FIELD(p, "message"), message, "must be non-empty if specified");
    else if (!no_message && has_line_break(str_trim(a, message)))
        field_invalid_str(errors, FIELD(p, "message"), message, "must not contain line breaks");
    else if (has_line_break(str_trim(a, text)) && no_message)
        field_required(errors, FIELD(p, "message"),
                       "message must be specified if rule contains line breaks");
    if (!str_empty(expression) && blank(a, expression))
        field_required(errors, FIELD(p, "messageExpression"),
                       "messageExpression must be non-empty if specified");
    bool reason_known = !reason;
    for (size_t i = 0; !reason_known && reasons[i]; i++)
        reason_known = STREQ(reasons[i], reason);
    if (!reason_known)
        field_not_supported_str(errors, FIELD(p, "reason"), reason, reasons);
    if (!str_empty(field) && blank(a, field))
        field_invalid_str(errors, FIELD(p, "fieldPath"), field, "must be non-empty if specified");
    if (has_line_break(field))
        field_invalid_str(errors, FIELD(p, "fieldPath"), field, "must not contain line breaks");
}

static void check(const struct json *s, const struct field_path *p, struct place place,
                  struct field_errors *errors)
{
    check_standard(s, p, place, errors);
    if (json_find_bool(s, false, "uniqueItems"))
        field_forbidden(
            errors, FIELD(p, "uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    check_children(s, p, place, errors);
    const struct json *preserve = json_get(s, "x-kubernetes-preserve-unknown-fields");
    if (json_is_bool(preserve) && !json_bool(preserve, true))
        field_invalid(errors, FIELD(p, "x-kubernetes-preserve-unknown-fields"), preserve,
                      "must be true or undefined");
    check_map_type(s, p, errors);
    check_list_type(s, p, errors);
    check_keyed_items(s, p, errors);
    JSON_FOREACH(it, json_get(s, "x-kubernetes-validations"))
        check_rule(it.value, FIELD_AT(FIELD(p, "x-kubernetes-validations"), it.index), errors);
}

void schema_check_openapi(const struct json *json, const struct field_path *path,
                          struct field_errors *errors)
{
    check(json, path, (struct place){ .is_root = true }, errors);
}
