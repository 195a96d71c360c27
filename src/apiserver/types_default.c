/* Static defaults, and the members that a typed object writes even when they are empty. */
#include "apiserver/types_internal.h"

static void fill(struct arena *a, const struct shape *s, struct json *v);

/* What an absent member looks like when it is written all the same. */
static struct json *empty_value(struct arena *a, const struct shape *s)
{
    if (s->pointer)
        return json_new_null(a);
    switch (s->kind) {
    case SHAPE_STRING:
        return json_new_string(a, "");
    case SHAPE_BOOL:
        return json_new_bool(a, false);
    case SHAPE_INT32:
    case SHAPE_INT64:
    case SHAPE_FLOAT:
    case SHAPE_INT_OR_STRING:
        return json_new_int(a, 0);
    case SHAPE_QUANTITY:
        return json_new_string(a, "0");
    case SHAPE_STRUCT:
        return json_new_object(a);
    default:
        return json_new_null(a);
    }
}

static void fill_struct(struct arena *a, const struct api_type *t, struct json *obj)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct type_field *f = &t->fields[i];
        struct json *v = json_get(obj, f->name);
        if (!v || (json_is_null(v) && f->default_value)) {
            if (f->default_value)
                v = json_clone(a, f->default_value);
            else if (f->always)
                v = empty_value(a, f->shape);
            else
                continue;
            json_set(a, obj, f->name, v);
        }
        fill(a, f->shape, v);
    }
}

static void fill(struct arena *a, const struct shape *s, struct json *v)
{
    switch (s->kind) {
    case SHAPE_STRUCT:
        if (json_is_object(v))
            fill_struct(a, s->record, v);
        break;
    case SHAPE_LIST:
    case SHAPE_MAP:
        if (s->element->kind >= SHAPE_STRUCT)
            JSON_FOREACH(it, v)
                fill(a, s->element, it.value);
        break;
    default:
        break;
    }
}

struct json *api_type_empty(struct arena *a, const struct api_type *t)
{
    struct json *obj = json_new_object(a);
    for (size_t i = 0; i < t->count; i++) {
        const struct type_field *f = &t->fields[i];
        if (!f->always)
            continue;
        bool is_struct = f->shape->kind == SHAPE_STRUCT && !f->shape->pointer;
        json_set(a, obj, f->name,
                 is_struct ? api_type_empty(a, f->shape->record) : empty_value(a, f->shape));
    }
    return obj;
}

void api_type_default(struct arena *a, const struct api_type *t, struct json *obj)
{
    fill_struct(a, t, obj);
}

void api_type_settle(struct arena *a, const struct api_type *t, struct json *obj)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct type_field *f = &t->fields[i];
        const struct shape *s = f->shape;
        struct json *v = json_get(obj, f->name);
        if (s->kind == SHAPE_STRUCT && json_is_object(v))
            api_type_settle(a, s->record, v);
        if (s->kind != SHAPE_LIST || !json_is_array(v))
            continue;
        if (f->always && json_size(v) == 0)
            json_set(a, obj, f->name, json_new_null(a));
        if (s->element->kind == SHAPE_STRUCT)
            JSON_FOREACH(it, v)
                if (json_is_object(it.value))
                    api_type_settle(a, s->element->record, it.value);
    }
}
