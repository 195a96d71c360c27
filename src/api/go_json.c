/* A small interpreter of encoding/json's rules over the type table:
 *
 *   - null and absent are the zero value of the type;
 *   - "omitempty" drops false, 0, "", null and empty lists and maps, "omitzero" what is absent;
 * structs are kept otherwise;
 *   - quantity, time and intstr write themselves. */
#include "api/go_json.h"

#include <string.h>

#include "base/clock.h"
#include "base/embed.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/quantity.h"

EMBEDDED(hash_types);
EMBEDDED(workspace_types);
EMBEDDED(kaito_types);

#define MAX_PATH (4 * KIB)

enum kind {
    POINTER,
    LIST,
    MAP,
    STRUCT,
    STRING,
    BOOLEAN,
    INTEGER,
    QUANTITY,
    TIME,
    MICROTIME,
    INTSTR,
    RAW
};

static const struct {
    const char *name;
    enum kind kind;
} scalars[] = {
    { "string", STRING },     { "bool", BOOLEAN }, { "int", INTEGER },
    { "quantity", QUANTITY }, { "time", TIME },    { "microtime", MICROTIME },
    { "intstr", INTSTR },     { "raw", RAW },
};

struct member {
    const char *name;
    const struct type *type;
    bool omit_empty;
    bool omit_zero;
};

struct type {
    enum kind kind;
    const struct type *element; /* of pointers, lists and maps */
    struct member *members;     /* of structs */
    size_t member_count;
};

struct go_types {
    struct arena *a;
    struct map *by_name; /* "PodSpec", "*PodSpec", "[]string" … -> struct type */
};

/* ---- the table ---------------------------------------------------------------------------------------------- */

static struct type *type_named(struct go_types *t, const char *name)
{
    struct type *type = map_get(t->by_name, name);
    if (type)
        return type;
    type = arena_zalloc(t->a, sizeof(*type));
    map_set(t->by_name, name, type);
    const char *element = NULL;
    type->kind = STRUCT;
    if ((element = str_skip_prefix(name, "*")))
        type->kind = POINTER;
    else if ((element = str_skip_prefix(name, "[]")))
        type->kind = LIST;
    else if ((element = str_skip_prefix(name, "map[]")))
        type->kind = MAP;
    if (element)
        type->element = type_named(t, element);
    for (size_t i = 0; i < COUNT_OF(scalars); i++)
        if (STREQ(name, scalars[i].name))
            type->kind = scalars[i].kind;
    return type;
}

static void add_struct(struct go_types *t, const char *name, const struct json *rows)
{
    struct type *type = type_named(t, name);
    type->members = arena_zalloc(t->a, json_size(rows) * sizeof(*type->members));
    JSON_FOREACH(it, rows) {
        const char *option = json_string(json_at(it.value, 2));
        type->members[type->member_count++] = (struct member){
            .name = arena_strdup(t->a, json_string(json_at(it.value, 0))),
            .type = type_named(t, json_string(json_at(it.value, 1))),
            .omit_empty = str_eq(option, "omitempty"),
            .omit_zero = str_eq(option, "omitzero"),
        };
    }
}

static void add_table(struct go_types *t, const char *text, size_t len)
{
    AUTO_ARENA a = arena_new();
    struct json *table = NULL;
    json_parse(a, text, len, &table, NULL);
    JSON_FOREACH(it, table)
        add_struct(t, it.key, it.value);
}

struct go_types *go_types_new(void)
{
    struct go_types *t = NEW0(struct go_types);
    t->a = arena_new();
    t->by_name = map_new(NULL);
    add_table(t, data_hash_types, data_hash_types_size);
    add_table(t, data_workspace_types, data_workspace_types_size);
    add_table(t, data_kaito_types, data_kaito_types_size);
    type_named(t, "*Inference");
    type_named(t, "*Tuning");
    return t;
}

void go_types_free(struct go_types *t)
{
    map_free(t->by_name);
    arena_free(t->a);
    mem_free_cleanup(&t);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

struct writer {
    struct arena *a;
    struct buf *out;
    struct buf path;
    struct error **err;
    bool strict; /* unknown members are errors, which come without their path */
};

static int wrong(struct writer *w, const struct json *v, const char *wanted)
{
    if (w->strict)
        return error_set(w->err, ERROR_INVALID, "%s is not %s", json_type_name(json_type(v)),
                         wanted);
    return error_set(w->err, ERROR_INVALID, "%s: %s is not %s", buf_str(&w->path),
                     json_type_name(json_type(v)), wanted);
}

static bool is_empty(const struct type *type, const struct json *v)
{
    if (json_is_null(v))
        return true;
    switch (type->kind) {
    case STRING:
        return str_eq(json_string(v), "");
    case BOOLEAN:
        return json_is_bool(v) && !json_bool(v, true);
    case INTEGER:
        return json_is_number(v) && json_int(v, 1) == 0;
    case LIST:
    case MAP:
        return (json_is_array(v) || json_is_object(v)) && json_size(v) == 0;
    default:
        return false;
    }
}

static int write_value(struct writer *w, const struct type *type, const struct json *v);

static int write_at(struct writer *w, const struct type *type, const struct json *v,
                    const char *key, size_t index)
{
    size_t len = w->path.len;
    if (key)
        buf_printf(&w->path, "%s%s", len > 0 ? "." : "", key);
    else
        buf_printf(&w->path, "[%zu]", index);
    int r = write_value(w, type, v);
    if (r < 0 && w->strict)
        return r; /* the path stays at what is wrong */
    if (w->path.len > len && w->path.data) {
        w->path.len = len;
        w->path.data[len] = '\0';
    }
    return r;
}

/* The members in the order of the type, so that a misspelled one is told by the nearest of them. */
static int refuse_unknown(struct writer *w, const struct type *type, const struct json *v)
{
    JSON_FOREACH(it, v) {
        const char **names = arena_zalloc(w->a, (type->member_count + 1) * sizeof(*names));
        bool known = false;
        for (size_t i = 0; i < type->member_count && !known; i++) {
            names[i] = type->members[i].name;
            known = STREQ(names[i], it.key);
        }
        if (known)
            continue;
        const char *nearest = NULL;
        bool near = str_nearest(it.key, names, type->member_count, &nearest, 1) > 0;
        buf_printf(&w->path, "%s%s", w->path.len > 0 ? "." : "", it.key);
        return error_set(w->err, ERROR_INVALID, "there is no such field; %s%s%s",
                         near ? "did you mean \"" : "remove it", near ? nearest : "",
                         near ? "\"?" : "");
    }
    return 0;
}

static int write_struct(struct writer *w, const struct type *type, const struct json *v)
{
    if (v && !json_is_null(v) && !json_is_object(v))
        return wrong(w, v, "an object");
    int unknown = w->strict ? refuse_unknown(w, type, v) : 0;
    if (unknown < 0)
        return unknown;
    char separator = '{';
    for (size_t i = 0; i < type->member_count; i++) {
        const struct member *m = &type->members[i];
        const struct json *value = json_get(v, m->name);
        if (m->omit_zero ? json_is_null(value) : m->omit_empty && is_empty(m->type, value))
            continue;
        buf_printf(w->out, "%c\"%s\":", separator, m->name);
        separator = ',';
        int r = write_at(w, m->type, value, m->name, 0);
        if (r < 0)
            return r;
    }
    buf_puts(w->out, separator == '{' ? "{}" : "}");
    return 0;
}

static int write_list(struct writer *w, const struct type *type, const struct json *v)
{
    if (!json_is_array(v))
        return wrong(w, v, "a list");
    buf_putc(w->out, '[');
    JSON_FOREACH(it, v) {
        if (it.index > 0)
            buf_putc(w->out, ',');
        int r = write_at(w, type->element, it.value, NULL, it.index);
        if (r < 0)
            return r;
    }
    buf_putc(w->out, ']');
    return 0;
}

static int write_map(struct writer *w, const struct type *type, const struct json *v)
{
    if (!json_is_object(v))
        return wrong(w, v, "an object");
    struct json *sorted = json_clone(w->a, v);
    json_sort_keys(sorted);
    char separator = '{';
    JSON_FOREACH(it, sorted) {
        buf_putc(w->out, separator);
        separator = ',';
        json_write_canonical(json_new_string_n(w->a, it.key, it.key_len), w->out);
        buf_putc(w->out, ':');
        int r = write_at(w, type->element, it.value, it.key, 0);
        if (r < 0)
            return r;
    }
    buf_puts(w->out, separator == '{' ? "{}" : "}");
    return 0;
}

static int write_quantity(struct writer *w, const struct json *v)
{
    if (json_is_null(v)) {
        buf_puts(w->out, "\"0\"");
        return 0;
    }
    if (!json_is_string(v) && !json_is_number(v))
        return wrong(w, v, "a quantity");
    const char *text = json_is_string(v) ? json_string(v) : json_text(w->a, v);
    char *canonical = NULL;
    if (quantity_canonical(w->a, text, &canonical, NULL) < 0)
        return wrong(w, v, arena_printf(w->a, "a quantity: \"%s\"", text));
    buf_printf(w->out, "\"%s\"", canonical);
    return 0;
}

static int write_time(struct writer *w, const struct json *v, bool micro)
{
    if (json_is_null(v)) {
        buf_puts(w->out, "null");
        return 0;
    }
    int64_t ns = 0;
    if (!json_is_string(v) || time_parse_rfc3339(json_string(v), &ns) < 0)
        return wrong(w, v, "a time");
    char text[TIME_RFC3339_SIZE];
    (micro ? time_format_rfc3339_micro : time_format_rfc3339)(ns, text);
    buf_printf(w->out, "\"%s\"", text);
    return 0;
}

static int write_scalar(struct writer *w, const struct json *v, bool right_type, const char *wanted,
                        const char *zero)
{
    if (json_is_null(v)) {
        buf_puts(w->out, zero);
        return 0;
    }
    if (!right_type)
        return wrong(w, v, wanted);
    json_write_canonical(v, w->out);
    return 0;
}

static bool is_integer(const struct json *v)
{
    return json_is_number(v) && json_int(v, 0) == json_int(v, 1);
}

static int write_value(struct writer *w, const struct type *type, const struct json *v)
{
    bool null = json_is_null(v);
    switch (type->kind) {
    case POINTER:
    case LIST:
    case MAP:
        if (null) {
            buf_puts(w->out, "null");
            return 0;
        }
        return type->kind == LIST  ? write_list(w, type, v)
               : type->kind == MAP ? write_map(w, type, v)
                                   : write_value(w, type->element, v);
    case STRUCT:
        return write_struct(w, type, v);
    case QUANTITY:
        return write_quantity(w, v);
    case TIME:
    case MICROTIME:
        return write_time(w, v, type->kind == MICROTIME);
    case STRING:
        return write_scalar(w, v, json_is_string(v), "a string", "\"\"");
    case BOOLEAN:
        return write_scalar(w, v, json_is_bool(v), "a boolean", "false");
    case INTEGER:
        return write_scalar(w, v, is_integer(v), "an integer", "0");
    case INTSTR:
        return write_scalar(w, v, is_integer(v) || json_is_string(v), "an integer or a string",
                            "0");
    case RAW:
        return write_scalar(w, v, true, "", "null");
    }
    return 0;
}

int go_json_write(const struct go_types *t, const char *type, const char *path,
                  const struct json *v, struct buf *out, struct error **err)
{
    const struct type *root = map_get(t->by_name, type);
    if (!root)
        return error_set(err, ERROR_INTERNAL, "no type %s", type);
    AUTO_ARENA a = arena_new();
    struct writer w = { .a = a, .out = out, .path = BUF_INIT(MAX_PATH), .err = err };
    buf_puts(&w.path, path);
    int r = write_value(&w, root, v);
    buf_done(&w.path);
    if (r == 0 && !buf_ok(out))
        r = error_set(err, ERROR_TOO_LARGE, "more than %zu bytes", out->max);
    return r;
}

int go_json_check(const struct go_types *t, const char *type, const struct json *v, struct arena *a,
                  const char **ret_field, struct error **err)
{
    const struct type *root = map_get(t->by_name, type);
    if (!root)
        return error_set(err, ERROR_INTERNAL, "no type %s", type);
    AUTO_ARENA scratch = arena_new();
    AUTO_BUF nowhere = BUF_INIT(0);
    struct writer w = { scratch, &nowhere, BUF_INIT(MAX_PATH), err, true };
    int r = write_value(&w, root, v);
    if (r < 0)
        *ret_field = arena_strdup(a, buf_str(&w.path));
    buf_done(&w.path);
    return r;
}
