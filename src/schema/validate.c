/* Validation of a value against a schema, with the API server's words.
 *
 * anyOf and oneOf report the alternative that matched best, so every check counts what it found
 * good; the counts follow the API server's validator, since they decide which words a user sees. On
 * updates, what is wrong but was so before, in a place that can be recognised, is let pass. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "schema/metadata.h"
#include "schema/schema_internal.h"

struct result {
    struct field_errors errors;
    int good;
};

static void check(const struct schema_node *n, const struct json *v, const struct json *old,
                  const struct field_path *p, struct result *r);

static struct result result_in(struct arena *a)
{
    return (struct result){ .errors = { .arena = a } };
}

static bool has_error(const struct field_errors *errors, const struct field_error *e)
{
    for (size_t i = 0; i < errors->count; i++)
        if (STREQ(errors->items[i].message, e->message) && STREQ(errors->items[i].field, e->field))
            return true;
    return false;
}

static void merge_errors(struct field_errors *to, const struct field_errors *from)
{
    for (size_t i = 0; i < from->count; i++)
        if (!has_error(to, &from->items[i]))
            field_errors_add(to, from->items[i].type, from->items[i].field, "%s",
                             from->items[i].message);
}

static void merge(struct result *to, const struct result *from)
{
    merge_errors(&to->errors, &from->errors);
    to->good += from->good;
}

/* The path as it stands in the middle of a message: empty at the root. */
static const char *where(struct result *r, const struct field_path *p)
{
    return p ? field_path_text(r->errors.arena, p) : "";
}

static const char *number_text(struct result *r, double d)
{
    return json_text(r->errors.arena, json_new_double(r->errors.arena, d));
}

/* ---- types ----------------------------------------------------------------------------------- */

static const char *type_of(const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL:
        return "null";
    case JSON_BOOL:
        return "boolean";
    case JSON_INT:
        return "integer";
    case JSON_DOUBLE:
        return "number";
    case JSON_STRING:
        return "string";
    case JSON_ARRAY:
        return "array";
    case JSON_OBJECT:
        return "object";
    }
    return "";
}

static bool type_fits(unsigned types, const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL:
        return false;
    case JSON_BOOL:
        return types & TYPE_BOOLEAN;
    case JSON_INT:
        return types & (TYPE_INTEGER | TYPE_NUMBER);
    case JSON_DOUBLE: {
        double d = json_double(v, 0);
        return (types & TYPE_NUMBER) || ((types & TYPE_INTEGER) && d == trunc(d));
    }
    case JSON_STRING:
        return types & TYPE_STRING;
    case JSON_ARRAY:
        return types & TYPE_ARRAY;
    case JSON_OBJECT:
        return types & TYPE_OBJECT;
    }
    return false;
}

/* A value that can have no format, where one is asked for, is told by the format that Go's type of
 * it has. */
static const char *own_format(const struct json *v)
{
    return json_type(v) == JSON_INT ? "int64" : json_type(v) == JSON_DOUBLE ? "float64" : "";
}

static void check_type(const struct schema_node *n, const struct json *v,
                       const struct field_path *p, struct result *r)
{
    if (!n->types && !n->format)
        return;
    /* a format speaks for strings of any type, and no list is looked at closely where one is */
    bool formatted = json_is_string(v) || json_is_array(v);
    bool by_format = n->format && formatted && !(n->types & (TYPE_INTEGER | TYPE_NUMBER));
    if (json_is_null(v) ? n->nullable || !n->types : (by_format || type_fits(n->types, v))) {
        r->good++;
        return;
    }
    bool format_fails = n->format && !formatted && !json_is_null(v);
    const char *type = format_fails ? own_format(v) : type_of(v);
    field_type_invalid(&r->errors, p, arena_printf(r->errors.arena, "\"%s\"", type),
                       "%s in body must be of type %s: \"%s\"", where(r, p),
                       format_fails ? n->format_text : n->type_text, type);
}

/* ---- scalars --------------------------------------------------------------------------------- */

static void check_string(const struct schema_node *n, const struct json *v,
                         const struct field_path *p, struct result *r)
{
    const char *s = json_string(v);
    size_t len = json_string_len(v);
    if (n->max_length >= 0 || n->min_length >= 0) {
        int64_t runes = 0;
        for (size_t i = 0; i < len; i++)
            runes += (s[i] & 0xc0) != 0x80;
        if (n->max_length >= 0 && runes > n->max_length) {
            field_too_long(&r->errors, p, n->max_length);
            return;
        }
        if (n->min_length >= 0 && runes < n->min_length) {
            field_invalid(&r->errors, p, v, "%s in body should be at least %" PRId64 " chars long",
                          where(r, p), n->min_length);
            return;
        }
    }
    if (n->pattern && !pattern_matches(n->pattern, s, len))
        field_invalid(&r->errors, p, v, "%s in body should match '%s'", where(r, p),
                      n->pattern_text);
}

static void check_format(const struct schema_node *n, const struct json *v,
                         const struct field_path *p, struct result *r)
{
    if (n->format(json_string(v), json_string_len(v)))
        return;
    const char *quoted = field_value_text(r->errors.arena, v);
    field_type_invalid(&r->errors, p, quoted, "%s in body must be of type %s: %s", where(r, p),
                       n->format_text, quoted);
}

/* Integers are compared with the whole part of a bound, as the API server does. */
static const char *bound_text(struct result *r, const struct json *v, double bound)
{
    return number_text(r, json_type(v) == JSON_INT ? trunc(bound) : bound);
}

static void check_multiple(const struct schema_node *n, const struct json *v,
                           const struct field_path *p, struct result *r)
{
    double factor = n->multiple_of;
    bool fits = false;
    if (json_type(v) == JSON_INT && fabs(factor) < 9e18) {
        factor = trunc(factor);
        fits = factor > 0 && json_int(v, 0) % (int64_t)factor == 0;
    } else {
        double times = factor < 1 ? 1 / factor * json_double(v, 0) : json_double(v, 0) / factor;
        fits = fabs(times - round(times)) < 1e-9;
    }
    if (factor <= 0)
        field_invalid(&r->errors, p, json_new_double(r->errors.arena, factor),
                      "factor MultipleOf declared for %s must be positive: %s", where(r, p),
                      number_text(r, factor));
    else if (!fits)
        field_invalid(&r->errors, p, v, "%s in body should be a multiple of %s", where(r, p),
                      number_text(r, factor));
}

static int compare_with_bound(const struct json *v, double bound)
{
    if (json_type(v) == JSON_INT && fabs(bound) < 9e18) {
        int64_t n = json_int(v, 0), b = (int64_t)bound;
        return (n > b) - (n < b);
    }
    double d = json_double(v, 0);
    return (d > bound) - (d < bound);
}

static void check_number(const struct schema_node *n, const struct json *v,
                         const struct field_path *p, struct result *r)
{
    if (n->has_multiple_of)
        check_multiple(n, v, p, r);
    if (n->has_minimum) {
        int c = compare_with_bound(v, n->minimum);
        if (c < 0 || (c == 0 && n->exclusive_minimum))
            field_invalid(&r->errors, p, v, "%s in body should be greater than %s%s", where(r, p),
                          n->exclusive_minimum ? "" : "or equal to ", bound_text(r, v, n->minimum));
    }
    if (n->has_maximum) {
        int c = compare_with_bound(v, n->maximum);
        if (c > 0 || (c == 0 && n->exclusive_maximum))
            field_invalid(&r->errors, p, v, "%s in body should be less than %s%s", where(r, p),
                          n->exclusive_maximum ? "" : "or equal to ", bound_text(r, v, n->maximum));
    }
    r->good++;
}

/* A number is turned into the type that the listed one has before they are compared, so 2.5 counts
 * as 2. */
static bool is_listed(const struct json *v, const struct json *listed)
{
    if (json_type(v) == JSON_DOUBLE && json_type(listed) == JSON_INT)
        return trunc(json_double(v, 0)) == json_double(listed, 0);
    return json_equal(v, listed);
}

static void check_enum(const struct schema_node *n, const struct json *v,
                       const struct field_path *p, struct result *r)
{
    if (!n->enumeration)
        return;
    if (!json_is_null(v))
        JSON_FOREACH(it, n->enumeration)
            if (is_listed(v, it.value))
                return;
    field_not_supported(&r->errors, p, v, n->enum_texts);
}

/* ---- what was there before ------------------------------------------------------------------- */

/* NULL when an element has no keys by which it could be recognised. */
static const char *keys_text(struct arena *a, const struct schema_node *n, const struct json *item)
{
    struct json *keys = json_new_object(a);
    for (size_t i = 0; i < n->list_keys.count; i++) {
        const struct json *v = json_get(item, n->list_keys.items[i]);
        if (json_is_null(v) || json_is_object(v) || json_is_array(v))
            return NULL;
        json_set(a, keys, n->list_keys.items[i], json_clone(a, v));
    }
    AUTO_BUF out = BUF_INIT(MIB);
    json_write_canonical(keys, &out);
    return arena_strdup(a, buf_str(&out));
}

/* The elements of an old list by their keys; NULL when elements cannot be recognised. */
static struct map *index_old(struct arena *a, const struct schema_node *n, const struct json *old)
{
    if (n->list_type != LIST_MAP || !n->items || !json_is_array(old))
        return NULL;
    struct map *m = map_new(NULL);
    JSON_FOREACH(it, old) {
        const char *keys = keys_text(a, n, it.value);
        if (keys && !map_has(m, keys))
            map_set(m, keys, it.value);
    }
    return m;
}

static const struct json *find_old(struct arena *a, const struct map *by_key,
                                   const struct schema_node *n, const struct json *item)
{
    const char *keys = by_key ? keys_text(a, n, item) : NULL;
    return keys ? map_get(by_key, keys) : NULL;
}

static bool is_unchanged(struct arena *a, const struct schema_node *n, const struct json *v,
                         const struct json *old);

static bool is_unchanged_list(struct arena *a, const struct schema_node *n, const struct json *v,
                              const struct json *old)
{
    if (n->list_type != LIST_MAP)
        return json_equal(v, old);
    AUTO_MAP by_key = index_old(a, n, old);
    JSON_FOREACH(it, v) {
        const struct json *was = find_old(a, by_key, n, it.value);
        if (!was || !is_unchanged(a, n->items, it.value, was))
            return false;
    }
    return true;
}

/* Equal, and of fields that the schema knows: an object with others never counts as unchanged. */
static bool is_unchanged(struct arena *a, const struct schema_node *n, const struct json *v,
                         const struct json *old)
{
    if (json_type(v) != json_type(old) || !(json_is_object(v) || json_is_array(v)))
        return json_equal(v, old);
    if (json_size(v) != json_size(old))
        return false;
    if (json_is_array(v))
        return is_unchanged_list(a, n, v, old);
    JSON_FOREACH(it, v) {
        const struct schema_node *member = schema_member(n, it.key);
        const struct json *was = json_get(old, it.key);
        if (!member || !was || !is_unchanged(a, member, it.value, was))
            return false;
    }
    return true;
}

/* ---- containers ------------------------------------------------------------------------------ */

static void check_array(const struct schema_node *n, const struct json *v, const struct json *old,
                        const struct field_path *p, struct result *r)
{
    struct arena *a = r->errors.arena;
    int64_t size = (int64_t)json_size(v);
    if (n->items) {
        AUTO_MAP by_key = index_old(a, n, old);
        JSON_FOREACH(it, v)
            check(n->items, it.value, find_old(a, by_key, n, it.value), FIELD_AT(p, it.index), r);
    }
    if (n->min_items >= 0 && size < n->min_items)
        field_invalid_int(&r->errors, p, size, "%s in body should have at least %" PRId64 " items",
                          where(r, p), n->min_items);
    if (n->max_items >= 0 && size > n->max_items)
        field_too_many(&r->errors, p, size, n->max_items);
    r->good++;
}

static void check_counts(const struct schema_node *n, const struct json *v,
                         const struct field_path *p, struct result *r)
{
    int64_t size = (int64_t)json_size(v);
    if (n->min_properties >= 0 && size < n->min_properties)
        field_invalid_int(&r->errors, p, size,
                          "%s in body should have at least %" PRId64 " properties", where(r, p),
                          n->min_properties);
    if (n->max_properties >= 0 && size > n->max_properties)
        field_too_many(&r->errors, p, size, n->max_properties);
}

static void check_object(const struct schema_node *n, const struct json *v, const struct json *old,
                         const struct field_path *p, struct result *r)
{
    check_counts(n, v, p, r);
    bool closed = n->has_additional && !n->additional_allowed;
    JSON_FOREACH(it, v) {
        const struct schema_node *member = schema_property_find(n, it.key);
        /* of the root's type nothing of the old version can be seen */
        bool hidden = !p && (STREQ(it.key, "apiVersion") || STREQ(it.key, "kind"));
        /* the root has no name before the dot */
        const char *name = member || p ? it.key : arena_printf(r->errors.arena, ".%s", it.key);
        if (!member && closed)
            field_invalid_str(&r->errors, p, it.key, "%s.%s in body is a forbidden property",
                              where(r, p), it.key);
        else if (member || n->additional)
            check(member ? member : n->additional, it.value,
                  hidden || !json_is_object(old) ? NULL : json_get(old, it.key), FIELD(p, name), r);
    }
    for (size_t i = 0; i < n->required.count; i++)
        if (!json_get(v, n->required.items[i]))
            field_required(&r->errors, FIELD(p, n->required.items[i]), NO_DETAIL);
}

/* ---- combinations ---------------------------------------------------------------------------- */

static void add_combined(struct result *r, const struct field_path *p, const char *what)
{
    field_invalid_str(&r->errors, NULL, "", "\"%s\" %s", where(r, p), what);
}

/* What was there before counts for nothing in alternatives. */

/* Runs the alternatives until one fits. Returns what is to be reported of them. */
static void check_any_of(const struct schema_node *n, const struct json *v,
                         const struct field_path *p, struct result *r)
{
    struct result best = { 0 };
    for (size_t i = 0; i < n->any_of.count; i++) {
        struct result one = result_in(r->errors.arena);
        check(n->any_of.items[i], v, NULL, p, &one);
        if (one.errors.count == 0) {
            merge(r, &one);
            return;
        }
        if (i == 0 || one.good > best.good)
            best = one;
    }
    if (n->any_of.count == 0)
        return;
    add_combined(r, p, "must validate at least one schema (anyOf)");
    merge(r, &best);
}

static void check_one_of(const struct schema_node *n, const struct json *v,
                         const struct field_path *p, struct result *r)
{
    struct result best = { 0 }, first = { 0 };
    int valid = 0;
    for (size_t i = 0; i < n->one_of.count; i++) {
        struct result one = result_in(r->errors.arena);
        check(n->one_of.items[i], v, NULL, p, &one);
        if (one.errors.count == 0 && valid++ == 0)
            first = one;
        else if (one.errors.count && valid == 0 && (best.errors.count == 0 || one.good > best.good))
            best = one;
    }
    if (n->one_of.count == 0)
        return;
    if (valid == 1) {
        merge(r, &first);
        return;
    }
    add_combined(
        r, p,
        valid == 0
            ? "must validate one and only one schema (oneOf). Found none valid"
            : arena_printf(
                  r->errors.arena,
                  "must validate one and only one schema (oneOf). Found %d valid alternatives",
                  valid));
    if (valid == 0)
        merge(r, &best);
}

static void check_all_of(const struct schema_node *n, const struct json *v,
                         const struct field_path *p, struct result *r)
{
    size_t valid = 0;
    for (size_t i = 0; i < n->all_of.count; i++) {
        struct result one = result_in(r->errors.arena);
        check(n->all_of.items[i], v, NULL, p, &one);
        valid += one.errors.count == 0;
        merge(r, &one);
    }
    if (valid != n->all_of.count)
        add_combined(r, p,
                     valid ? "must validate all the schemas (allOf)"
                           : "must validate all the schemas (allOf). None validated");
}

static void check_combinations(const struct schema_node *n, const struct json *v,
                               const struct field_path *p, struct result *r)
{
    check_any_of(n, v, p, r);
    check_one_of(n, v, p, r);
    check_all_of(n, v, p, r);
    if (n->not_) {
        struct result one = result_in(r->errors.arena);
        check(n->not_, v, NULL, p, &one);
        if (one.errors.count == 0)
            add_combined(r, p, "must not validate the schema (not)");
    }
    r->good++;
}

/* ---- one node -------------------------------------------------------------------------------- */

/* `good` grows by one for each kind of check that applies, and by one at the end. */
static void check_value(const struct schema_node *n, const struct json *v, const struct json *old,
                        const struct field_path *p, struct result *r)
{
    check_type(n, v, p, r);
    if (json_is_null(v)) {
        check_enum(n, v, p, r);
        return;
    }
    r->good += n->types != 0;
    check_combinations(n, v, p, r);
    r->good++;
    if (json_is_string(v)) {
        check_string(n, v, p, r);
        r->good++;
        if (n->format) {
            check_format(n, v, p, r);
            r->good++;
        }
    } else if (json_is_number(v)) {
        check_number(n, v, p, r);
        r->good++;
    } else if (json_is_array(v)) {
        check_array(n, v, old, p, r);
        r->good++;
    }
    check_enum(n, v, p, r);
    r->good++;
    if (json_is_object(v)) {
        check_object(n, v, old, p, r);
        r->good++;
    }
    r->good++;
}

static void check(const struct schema_node *n, const struct json *v, const struct json *old,
                  const struct field_path *p, struct result *r)
{
    struct result own = result_in(r->errors.arena);
    check_value(n, v, old, p, &own);
    if (own.errors.count && old && is_unchanged(r->errors.arena, n, v, old))
        own.errors.count = 0;
    merge(r, &own);
}

void schema_validate_node(const struct schema_node *n, const struct json *v, const struct json *old,
                          const struct field_path *p, struct field_errors *errors)
{
    struct result r = result_in(errors->arena);
    check(n, v, old, p, &r);
    for (size_t i = 0; i < r.errors.count; i++)
        field_errors_add(errors, r.errors.items[i].type, r.errors.items[i].field, "%s",
                         r.errors.items[i].message);
}

void schema_validate_alone(const struct schema_node *n, const struct json *v,
                           const struct json *old, const struct field_path *at,
                           struct field_errors *errors)
{
    struct arena *a = errors->arena;
    struct field_errors alone = { .arena = a };
    const char *path = field_path_text(a, at);
    schema_validate_node(n, v, old, NULL, &alone);
    for (size_t i = 0; i < alone.count; i++) {
        const struct field_error *e = &alone.items[i];
        const char *dot = *e->field == '.' ? "" : ".";
        const char *field =
            STREQ(e->field, "<nil>") ? path : arena_printf(a, "%s%s%s", path, dot, e->field);
        field_errors_add(errors, e->type, field, "%s", e->message);
    }
}

/* Rules are not worth running on an object of the wrong shape. */
static bool blocks_rules(const struct field_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        const char *type = errors->items[i].type;
        if (STREQ(type, "FieldValueRequired") || STREQ(type, "FieldValueTooLong") ||
            STREQ(type, "FieldValueTooMany") || STREQ(type, "FieldValueTypeInvalid"))
            return true;
    }
    return false;
}

/* Lists that had duplicates before may keep them. Then the rules. */
static void validate_whole(const struct schema *s, const struct json *obj, const struct json *old,
                           struct field_errors *errors)
{
    struct field_errors before = { .arena = errors->arena };
    if (old)
        schema_validate_lists(s->root, old, NULL, &before);
    if (before.count == 0)
        schema_validate_lists(s->root, obj, NULL, errors);
    if (s->root->has_rules && blocks_rules(errors))
        field_invalid_raw(
            errors, NULL, "null",
            "some validation rules were not checked because the object was invalid; correct the existing errors to "
            "complete validation");
    else
        schema_validate_rules(s->root, obj, old, NULL, errors);
}

void schema_validate(const struct schema *s, const struct json *obj, const struct json *old,
                     struct field_errors *errors)
{
    schema_validate_node(s->root, obj, old, NULL, errors);
    schema_validate_embedded(s->root, obj, NULL, errors);
    validate_whole(s, obj, old, errors);
}

void schema_validate_status(const struct schema *s, const struct json *obj, const struct json *old,
                            struct field_errors *errors)
{
    const struct schema_node *n = schema_property_find(s->root, "status");
    const struct json *status = json_get(obj, "status");
    if (n && status)
        schema_validate_alone(n, status, json_get(old, "status"), FIELD(NULL, "status"), errors);
    validate_whole(s, obj, old, errors);
}
