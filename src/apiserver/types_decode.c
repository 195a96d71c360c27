/* Decoding: JSON of a request becomes what the API server's typed decoder would have kept of it.
 *
 * The decoder goes on after a fault and reports the first one, so does this; but it ends at a value
 * of a type that reads itself, and reports that. What stays is what a
 * typed object can hold: unknown members go (and are reported), explicit nulls mean absent, and
 * empty values of optional members that are no pointers cannot be told from absent ones, so they go
 * as well. Members that are always written come back in api_type_default(). */
#include <string.h>

#include "apiserver/types_internal.h"
#include "base/str.h"

/* Where we are: a member of a struct, or an element of a list or map. Lives on the C stack. */
struct place {
    const struct place *up;
    const char *member;
    const char *in;                /* the embedded struct of the member */
    const char *key;               /* of a map */
    size_t index;                  /* of a list, when member and key are NULL */
    const struct api_type *record; /* the struct that `member` belongs to */
};

struct decoder {
    struct arena *a;
    struct json *unknown;
    struct error *fault;
    bool ended;
};

static struct json *decode(struct decoder *d, const struct shape *s, struct json *v,
                           const struct place *at);

/* ---- words ----------------------------------------------------------------------------------- */

static void append_members(struct buf *out, const struct place *at)
{
    if (!at)
        return;
    append_members(out, at->up);
    if (at->in)
        buf_printf(out, "%s%s", out->len ? "." : "", at->in);
    if (at->member)
        buf_printf(out, "%s%s", out->len ? "." : "", at->member);
}

static void append_path(struct buf *out, const struct place *at)
{
    if (!at)
        return;
    append_path(out, at->up);
    if (at->member || at->key)
        buf_printf(out, "%s%s", out->len ? "." : "", at->member ? at->member : at->key);
    else
        buf_printf(out, "[%zu]", at->index);
}

static struct json *mismatch(struct decoder *d, const char *go, const char *what,
                             const struct place *at)
{
    if (d->fault)
        return NULL;
    const struct place *member = at;
    while (member && !member->member)
        member = member->up;
    if (!member) {
        error_set(&d->fault, ERROR_INVALID, "json: cannot unmarshal %s into Go value of type %s",
                  what, go);
        return NULL;
    }
    AUTO_BUF path = BUF_INIT(16 * KIB);
    append_members(&path, at);
    error_set(&d->fault, ERROR_INVALID,
              "json: cannot unmarshal %s into Go struct field %s.%s of type %s", what,
              member->record->name, buf_str(&path), go);
    return NULL;
}

static struct json *wrong_type(struct decoder *d, const struct shape *s, const struct json *v,
                               const struct place *at)
{
    return mismatch(d, s->go, scalar_describe(v), at);
}

/* A fault of a type that reads itself. */
static struct json *from_scalar(struct decoder *d, struct json *v, struct error *err)
{
    if (!err)
        return v;
    error_free(d->fault);
    d->fault = err;
    d->ended = true;
    return v;
}

/* The same, in the words for a value of the wrong type. */
static struct json *end_mismatch(struct decoder *d, const char *go, const char *what,
                                 const struct place *at)
{
    error_free(d->fault);
    d->fault = NULL;
    d->ended = true;
    return mismatch(d, go, what, at);
}

static void report_unknown(struct decoder *d, const char *name, const struct place *at)
{
    if (!d->unknown)
        return;
    AUTO_BUF path = BUF_INIT(16 * KIB);
    append_path(&path, &(struct place){ .up = at, .member = name });
    json_append(d->unknown, json_new_string(d->a, buf_str(&path)));
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool is_empty(const struct shape *s, const struct json *v)
{
    switch (s->kind) {
    case SHAPE_STRING:
    case SHAPE_BYTES:
        return json_string_len(v) == 0;
    case SHAPE_BOOL:
        return !json_bool(v, false);
    case SHAPE_INT32:
    case SHAPE_INT64:
        return json_int(v, 1) == 0;
    case SHAPE_LIST:
    case SHAPE_MAP:
        return json_size(v) == 0;
    default:
        return false;
    }
}

/* A null where a list or map of plain values has an element is that type's zero value. */
static struct json *zero_element(struct decoder *d, const struct shape *s)
{
    if (s->pointer)
        return NULL;
    switch (s->kind) {
    case SHAPE_STRING:
    case SHAPE_BYTES:
        return json_new_string(d->a, "");
    case SHAPE_BOOL:
        return json_new_bool(d->a, false);
    case SHAPE_INT32:
    case SHAPE_INT64:
        return json_new_int(d->a, 0);
    case SHAPE_QUANTITY:
        return json_new_string(d->a, "0");
    case SHAPE_STRUCT:
        return json_new_object(d->a);
    default:
        return NULL;
    }
}

static struct json *decode_struct(struct decoder *d, const struct shape *s, struct json *v,
                                  const struct place *at)
{
    if (!json_is_object(v))
        return wrong_type(d, s, v, at);
    JSON_FOREACH(it, v) {
        const struct type_field *f = type_field_find(s->record, it.key);
        if (!f) {
            report_unknown(d, it.key, at);
            json_iter_remove(&it);
            continue;
        }
        if (json_is_null(it.value)) {
            json_iter_remove(&it);
            continue;
        }
        struct place here = { .up = at, .member = f->name, .in = f->in, .record = s->record };
        struct json *kept = decode(d, f->shape, it.value, &here);
        if (!kept || (!f->always && !f->shape->pointer && is_empty(f->shape, kept)))
            json_iter_remove(&it);
        else if (kept != it.value)
            json_set(d->a, v, f->name, kept);
    }
    return v;
}

/* Nulls are rare, so only lists that have some are built anew. */
static struct json *fill_nulls(struct decoder *d, const struct shape *element, struct json *list)
{
    bool any = false;
    JSON_FOREACH(it, list)
        any = any || json_is_null(it.value);
    if (!any || element->kind == SHAPE_RAW)
        return list;
    struct json *filled = json_new_array(d->a);
    JSON_FOREACH(it, list) {
        struct json *v = it.value;
        json_iter_remove(&it);
        json_append(filled, json_is_null(v) ? zero_element(d, element) : v);
    }
    return filled;
}

static struct json *decode_list(struct decoder *d, const struct shape *s, struct json *v,
                                const struct place *at)
{
    if (!json_is_array(v))
        return wrong_type(d, s, v, at);
    v = fill_nulls(d, s->element, v);
    JSON_FOREACH(it, v) {
        struct place here = { .up = at, .index = it.index };
        struct json *kept = decode(d, s->element, it.value, &here);
        if (kept && kept != it.value)
            json_replace_at(v, it.index, kept);
    }
    return v;
}

static struct json *decode_map(struct decoder *d, const struct shape *s, struct json *v,
                               const struct place *at)
{
    if (!json_is_object(v))
        return wrong_type(d, s, v, at);
    JSON_FOREACH(it, v) {
        struct place here = { .up = at, .key = it.key };
        struct json *kept;
        if (json_is_null(it.value)) {
            kept = zero_element(d, s->element);
        } else if (s->quantities && !d->ended) {
            struct error *err = NULL;
            kept = scalar_decode_quantity(d->a, it.value, true, &err);
            kept = from_scalar(d, kept, err);
        } else {
            kept = decode(d, s->element, it.value, &here);
        }
        if (!kept)
            json_iter_remove(&it);
        else if (kept != it.value)
            json_set(d->a, v, it.key, kept);
    }
    return v;
}

static struct json *decode_int(struct decoder *d, const struct shape *s, struct json *v,
                               const struct place *at)
{
    int64_t n = json_int(v, 0);
    bool fits =
        json_type(v) == JSON_INT && (s->kind == SHAPE_INT64 || (n >= INT32_MIN && n <= INT32_MAX));
    if (fits)
        return v;
    /* of a number that does not fit, the words show the number */
    return json_is_number(v)
               ? mismatch(d, s->go, arena_printf(d->a, "number %s", json_text(d->a, v)), at)
               : wrong_type(d, s, v, at);
}

/* A schema, or a short form of one kind of JSON value; a list is of schemas or of strings. */
static struct json *decode_union(struct decoder *d, const struct shape *s, struct json *v,
                                 const struct place *at)
{
    if (json_is_object(v))
        return decode(d, s->element, v, at);
    if (s->kind == SHAPE_SCHEMA_OR_BOOL && json_is_bool(v))
        return v;
    if (s->kind != SHAPE_SCHEMA_OR_BOOL && json_is_array(v)) {
        if (s->kind == SHAPE_SCHEMA_OR_STRINGS)
            return v;
        JSON_FOREACH(it, v) {
            struct place here = { .up = at, .index = it.index };
            decode(d, s->element, it.value, &here);
        }
        return v;
    }
    struct error *err = NULL;
    error_set(&err, ERROR_INVALID,
              s->kind == SHAPE_SCHEMA_OR_BOOL ? "boolean or JSON schema expected"
                                              : "expected an array or a JSON schema");
    return from_scalar(d, NULL, err);
}

static struct json *decode_int_or_string(struct decoder *d, struct json *v, const struct place *at)
{
    int64_t n = json_int(v, 0);
    if (json_is_string(v) || (json_type(v) == JSON_INT && n >= INT32_MIN && n <= INT32_MAX))
        return v;
    return end_mismatch(d, "int32",
                        json_is_number(v) ? arena_printf(d->a, "number %s", json_text(d->a, v))
                                          : scalar_describe(v),
                        at);
}

static struct json *decode(struct decoder *d, const struct shape *s, struct json *v,
                           const struct place *at)
{
    struct error *err = NULL;
    struct json *kept;
    if (d->ended)
        return v;
    switch (s->kind) {
    case SHAPE_STRING:
        return json_is_string(v) ? v : wrong_type(d, s, v, at);
    case SHAPE_BOOL:
        return json_is_bool(v) ? v : wrong_type(d, s, v, at);
    case SHAPE_INT32:
    case SHAPE_INT64:
        return decode_int(d, s, v, at);
    case SHAPE_FLOAT:
        return json_is_number(v) ? v : wrong_type(d, s, v, at);
    case SHAPE_BYTES:
        if (!json_is_string(v))
            return wrong_type(d, s, v, at);
        kept = scalar_decode_bytes(d->a, v, &err);
        return from_scalar(d, kept, err);
    case SHAPE_QUANTITY:
        kept = scalar_decode_quantity(d->a, v, false, &err);
        return from_scalar(d, kept, err);
    case SHAPE_INT_OR_STRING:
        return decode_int_or_string(d, v, at);
    case SHAPE_TIME:
    case SHAPE_MICRO_TIME:
        if (!json_is_string(v))
            return end_mismatch(d, "string", scalar_describe(v), at);
        kept = scalar_decode_time(d->a, v, s->kind == SHAPE_MICRO_TIME, &err);
        return from_scalar(d, kept, err);
    case SHAPE_RAW:
        return v;
    case SHAPE_SCHEMA_OR_BOOL:
    case SHAPE_SCHEMA_OR_LIST:
    case SHAPE_SCHEMA_OR_STRINGS:
        return decode_union(d, s, v, at);
    case SHAPE_STRUCT:
        return decode_struct(d, s, v, at);
    case SHAPE_LIST:
        return decode_list(d, s, v, at);
    case SHAPE_MAP:
        return decode_map(d, s, v, at);
    }
    return v;
}

int api_type_decode(struct arena *a, const struct api_type *t, struct json *obj,
                    struct json *unknown, struct error **err)
{
    struct decoder d = { .a = a, .unknown = unknown };
    struct shape root = { .kind = SHAPE_STRUCT, .go = t->go, .record = t };
    decode(&d, &root, obj, NULL);
    if (!d.fault)
        return 0;
    int r = error_set(err, error_code(d.fault), "%s", error_message(d.fault));
    error_free(d.fault);
    return r;
}
