#include "apiserver/fields/set.h"

#include <stdlib.h>
#include <string.h>

#include "apiserver/status.h"
#include "base/str.h"

/* ---- steps --------------------------------------------------------------------------------------------------------- */

static int compare_names(const char *x, size_t x_len, const char *y, size_t y_len)
{
    int c = memcmp(x, y, MIN(x_len, y_len));
    return c ? c : (x_len > y_len) - (x_len < y_len);
}

/* Numbers come before strings, these before booleans, null last. */
static int rank(const struct json *v)
{
    switch (json_type(v)) {
    case JSON_INT:
    case JSON_DOUBLE:
        return 0;
    case JSON_STRING:
        return 1;
    case JSON_BOOL:
        return 2;
    case JSON_ARRAY:
        return 3;
    case JSON_OBJECT:
        return 4;
    case JSON_NULL:
        return 5;
    }
    return 6;
}

static int compare_values(const struct json *x, const struct json *y);

static int compare_numbers(const struct json *x, const struct json *y)
{
    if (json_type(x) == JSON_INT && json_type(y) == JSON_INT) {
        int64_t p = json_int(x, 0), q = json_int(y, 0);
        return (p > q) - (p < q);
    }
    double p = json_double(x, 0), q = json_double(y, 0);
    return (p > q) - (p < q);
}

/* Lists and objects alike: part by part, the shorter one first. */
static int compare_parts(const struct json *x, const struct json *y)
{
    struct json_iter p = json_iter(x), q = json_iter(y);
    for (;;) {
        bool left = json_next(&p), right = json_next(&q);
        if (!left || !right)
            return left - right;
        int c = p.key ? compare_names(p.key, p.key_len, q.key, q.key_len) : 0;
        c = c ? c : compare_values(p.value, q.value);
        if (c)
            return c;
    }
}

static int compare_values(const struct json *x, const struct json *y)
{
    int p = rank(x), q = rank(y);
    if (p != q)
        return p - q;
    switch (p) {
    case 0:
        return compare_numbers(x, y);
    case 1:
        return compare_names(json_string(x), json_string_len(x), json_string(y),
                             json_string_len(y));
    case 2:
        return json_bool(x, false) - json_bool(y, false);
    case 3:
    case 4:
        return compare_parts(x, y);
    default:
        return 0;
    }
}

int field_step_compare(const struct field_step *x, const struct field_step *y)
{
    if (x->kind != y->kind)
        return (int)x->kind - (int)y->kind;
    switch (x->kind) {
    case STEP_FIELD:
        return compare_names(x->name, x->name_len, y->name, y->name_len);
    case STEP_KEY:
    case STEP_VALUE:
        return compare_values(x->value, y->value);
    case STEP_INDEX:
        return (x->index > y->index) - (x->index < y->index);
    }
    return 0;
}

static const char *value_text(struct arena *a, const struct json *v)
{
    return json_is_string(v) ? go_quote(a, json_string(v)) : json_text(a, v);
}

const char *field_step_text(struct arena *a, const struct field_step *step)
{
    const char *text = "";
    switch (step->kind) {
    case STEP_FIELD:
        return arena_printf(a, ".%.*s", (int)step->name_len, step->name);
    case STEP_KEY:
        JSON_FOREACH(it, step->value)
            text = arena_printf(a, "%s%s%s=%s", text, it.index ? "," : "", it.key,
                                value_text(a, it.value));
        return arena_printf(a, "[%s]", text);
    case STEP_VALUE:
        return arena_printf(a, "[=%s]", value_text(a, step->value));
    case STEP_INDEX:
        return arena_printf(a, "[%lld]", (long long)step->index);
    }
    return text;
}

const char *field_steps_text(struct arena *a, const struct field_step *const *path, size_t n)
{
    const char *text = "";
    for (size_t i = 0; i < n; i++)
        text = arena_printf(a, "%s%s", text, field_step_text(a, path[i]));
    return text;
}

/* ---- building ------------------------------------------------------------------------------------------------------ */

#define FIRST_ENTRIES 4

struct field_set *field_set_new(struct arena *a)
{
    return arena_zalloc(a, sizeof(struct field_set));
}

struct field_entry *field_set_add(struct arena *a, struct field_set *s,
                                  const struct field_step *step)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : FIRST_ENTRIES;
        struct field_entry *more = arena_alloc(a, s->cap * sizeof *more);
        if (s->count)
            memcpy(more, s->entries, s->count * sizeof *more);
        s->entries = more;
    }
    struct field_entry *e = &s->entries[s->count++];
    *e = (struct field_entry){ .step = *step };
    return e;
}

static int compare_entries(const void *x, const void *y)
{
    return field_step_compare(&((const struct field_entry *)x)->step,
                              &((const struct field_entry *)y)->step);
}

/* Neighbours with the same step become one. */
static void join_twins(struct arena *a, struct field_set *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct field_entry *e = &s->entries[i], *last = n ? &s->entries[n - 1] : NULL;
        if (!last || field_step_compare(&last->step, &e->step) != 0) {
            s->entries[n++] = *e;
            continue;
        }
        last->member = last->member || e->member;
        if (!last->children)
            last->children = e->children;
        else
            for (size_t k = 0; e->children && k < e->children->count; k++)
                *field_set_add(a, last->children, &e->children->entries[k].step) =
                    e->children->entries[k];
    }
    s->count = n;
}

void field_set_sort(struct arena *a, struct field_set *s)
{
    bool in_order = true;
    for (size_t i = 1; in_order && i < s->count; i++)
        in_order = compare_entries(&s->entries[i - 1], &s->entries[i]) < 0;
    if (!in_order) {
        qsort(s->entries, s->count, sizeof *s->entries, compare_entries);
        join_twins(a, s);
    }
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct field_entry e = s->entries[i];
        if (e.children)
            field_set_sort(a, e.children);
        if (e.children && e.children->count == 0)
            e.children = NULL;
        if (e.member || e.children)
            s->entries[n++] = e;
    }
    s->count = n;
}

struct field_set *field_set_of_path(struct arena *a, const char *const *names)
{
    struct field_set *root = field_set_new(a), *s = root;
    for (size_t i = 0; names[i]; i++) {
        struct field_entry *e = field_set_add(a, s, &STEP(names[i]));
        e->member = !names[i + 1];
        if (!e->member)
            s = e->children = field_set_new(a);
    }
    return root;
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

bool field_set_empty(const struct field_set *s)
{
    return !s || s->count == 0;
}

bool field_set_equal(const struct field_set *x, const struct field_set *y)
{
    if (field_set_empty(x) || field_set_empty(y))
        return field_set_empty(x) && field_set_empty(y);
    if (x->count != y->count)
        return false;
    for (size_t i = 0; i < x->count; i++) {
        const struct field_entry *p = &x->entries[i], *q = &y->entries[i];
        if (p->member != q->member || field_step_compare(&p->step, &q->step) != 0 ||
            !field_set_equal(p->children, q->children))
            return false;
    }
    return true;
}

size_t field_set_depth(const struct field_set *s)
{
    size_t deepest = 0;
    for (size_t i = 0; s && i < s->count; i++)
        deepest = MAX(deepest, 1 + field_set_depth(s->entries[i].children));
    return deepest;
}

const struct field_entry *field_set_find(const struct field_set *s, const struct field_step *step)
{
    if (field_set_empty(s))
        return NULL;
    const struct field_entry key = { .step = *step };
    return bsearch(&key, s->entries, s->count, sizeof key, compare_entries);
}

static void visit(const struct field_set *s, const struct field_step **path, size_t n,
                  field_set_each_fn *each, void *ctx)
{
    if (!s || n == FIELD_SET_MAX_DEPTH)
        return;
    for (size_t i = 0; i < s->count; i++) {
        path[n] = &s->entries[i].step;
        if (s->entries[i].member)
            each(ctx, path, n + 1);
    }
    for (size_t i = 0; i < s->count; i++) {
        path[n] = &s->entries[i].step;
        visit(s->entries[i].children, path, n + 1, each, ctx);
    }
}

void field_set_each(const struct field_set *s, field_set_each_fn *each, void *ctx)
{
    const struct field_step *path[FIELD_SET_MAX_DEPTH];
    visit(s, path, 0, each, ctx);
}

bool field_set_has(const struct field_set *s, const struct field_step *const *path, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct field_entry *e = field_set_find(s, path[i]);
        if (!e)
            return false;
        if (i + 1 == n)
            return e->member;
        s = e->children;
    }
    return false;
}

/* ---- operations ---------------------------------------------------------------------------------------------------- */

enum operation { UNION, INTERSECTION, DIFFERENCE, WITHOUT };

static struct field_set *combine(struct arena *a, enum operation op, const struct field_set *x,
                                 const struct field_set *y);

/* One step that is in x, in y or in both. */
static struct field_entry combine_entries(struct arena *a, enum operation op,
                                          const struct field_entry *x, const struct field_entry *y)
{
    bool in_x = x && x->member, in_y = y && y->member;
    struct field_entry e = { .step = x ? x->step : y->step };
    e.member = op == UNION ? in_x || in_y : op == INTERSECTION ? in_x && in_y : in_x && !in_y;
    if (op == WITHOUT && in_y)
        return e;
    e.children = combine(a, op, x ? x->children : NULL, y ? y->children : NULL);
    return e;
}

/* NULL when the result is known to be x, y or nothing without a look at the entries. */
static bool is_plain(enum operation op, const struct field_set *x, const struct field_set *y,
                     const struct field_set **ret)
{
    bool no_x = field_set_empty(x), no_y = field_set_empty(y);
    if (!no_x && !no_y)
        return false;
    *ret = no_y && op != INTERSECTION ? x : no_x && op == UNION ? y : NULL;
    if (field_set_empty(*ret))
        *ret = NULL;
    return true;
}

static struct field_set *combine(struct arena *a, enum operation op, const struct field_set *x,
                                 const struct field_set *y)
{
    const struct field_set *plain = NULL;
    if (is_plain(op, x, y, &plain))
        return (struct field_set *)plain;
    struct field_set *out = field_set_new(a);
    size_t i = 0, k = 0;
    while (i < x->count || k < y->count) {
        int c = i == x->count   ? 1
                : k == y->count ? -1
                                : field_step_compare(&x->entries[i].step, &y->entries[k].step);
        const struct field_entry *p = c <= 0 ? &x->entries[i++] : NULL;
        const struct field_entry *q = c >= 0 ? &y->entries[k++] : NULL;
        struct field_entry e = combine_entries(a, op, p, q);
        if (e.member || e.children)
            *field_set_add(a, out, &e.step) = e;
    }
    return out->count ? out : NULL;
}

struct field_set *field_set_union(struct arena *a, const struct field_set *x,
                                  const struct field_set *y)
{
    return combine(a, UNION, x, y);
}

struct field_set *field_set_intersection(struct arena *a, const struct field_set *x,
                                         const struct field_set *y)
{
    return combine(a, INTERSECTION, x, y);
}

struct field_set *field_set_difference(struct arena *a, const struct field_set *x,
                                       const struct field_set *y)
{
    return combine(a, DIFFERENCE, x, y);
}

struct field_set *field_set_without(struct arena *a, const struct field_set *x,
                                    const struct field_set *y)
{
    return combine(a, WITHOUT, x, y);
}

/* ---- FieldsV1 ------------------------------------------------------------------------------------------------------ */

/* 1: a step; 0: one of a kind that nobody knows; negative: none. */
static int parse_step(struct arena *a, const char *key, size_t len, struct field_step *ret,
                      struct error **err)
{
    if (len < 2 || key[1] != ':')
        return error_set(err, ERROR_INVALID, "\"%s\" is no step to a field: write \"f:NAME\"", key);
    const char *rest = key + 2;
    struct json *value = NULL;
    *ret = (struct field_step){ .name = rest, .name_len = len - 2 };
    switch (key[0]) {
    case 'f':
        ret->kind = STEP_FIELD;
        return 1;
    case 'i':
        ret->kind = STEP_INDEX;
        if (str_to_int64(rest, &ret->index) < 0)
            return error_set(err, ERROR_INVALID, "\"%s\" is no index", key);
        return 1;
    case 'k':
    case 'v':
        ret->kind = key[0] == 'k' ? STEP_KEY : STEP_VALUE;
        break;
    default:
        return 0;
    }
    int r = json_parse(a, rest, len - 2, &value, err);
    if (r == 0 && ret->kind == STEP_KEY && !json_is_object(value))
        r = error_set(err, ERROR_INVALID, "\"%s\" has no members to tell elements apart", key);
    if (r < 0)
        return error_prefix(err, r, "step \"%s\"", key);
    if (ret->kind == STEP_KEY)
        json_sort_keys(value);
    ret->value = value;
    return 1;
}

/* *ret_member: the value that leads here is a member of the set, be it alone or beside its parts.
 */
static int parse(struct arena *a, const struct json *v, size_t depth, struct field_set **ret,
                 bool *ret_member, struct error **err)
{
    *ret = NULL;
    *ret_member = false;
    if (depth > FIELD_SET_MAX_DEPTH)
        return error_set(err, ERROR_INVALID, "fields are nested more than %d deep",
                         FIELD_SET_MAX_DEPTH);
    if (!json_is_object(v) && !json_is_null(v))
        return error_set(err, ERROR_INVALID, "fields are objects, and not %s",
                         json_type_name(json_type(v)));
    JSON_FOREACH(it, v) {
        struct field_step step;
        if (STREQ(it.key, ".")) {
            *ret_member = true;
            continue;
        }
        int r = parse_step(a, it.key, it.key_len, &step, err);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        struct field_entry e = { .step = step };
        r = parse(a, it.value, depth + 1, &e.children, &e.member, err);
        if (r < 0)
            return r;
        if (!*ret)
            *ret = field_set_new(a);
        *field_set_add(a, *ret, &step) = e;
    }
    *ret_member = *ret_member || !*ret;
    return 0;
}

int field_set_parse(struct arena *a, const struct json *v, struct field_set **ret,
                    struct error **err)
{
    bool member;
    int r = parse(a, v, 0, ret, &member, err);
    if (r < 0)
        return r;
    if (!*ret)
        *ret = field_set_new(a);
    field_set_sort(a, *ret);
    return 0;
}

static const char *step_key(struct arena *a, const struct field_step *step, size_t *ret_len)
{
    static const char letters[] = { [STEP_FIELD] = 'f', [STEP_KEY] = 'k', [STEP_VALUE] = 'v' };
    if (step->kind == STEP_INDEX) {
        const char *key = arena_printf(a, "i:%lld", (long long)step->index);
        *ret_len = strlen(key);
        return key;
    }
    const char *text = step->kind == STEP_FIELD ? step->name : json_text(a, step->value);
    size_t len = step->kind == STEP_FIELD ? step->name_len : strlen(text);
    char *key = arena_alloc(a, len + 3);
    key[0] = letters[step->kind];
    key[1] = ':';
    memcpy(key + 2, text, len);
    key[len + 2] = '\0';
    *ret_len = len + 2;
    return key;
}

static void write_entries(struct arena *a, const struct field_set *s, struct json *out)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct field_entry *e = &s->entries[i];
        struct json *below = json_new_object(a);
        size_t len;
        const char *key = step_key(a, &e->step, &len);
        if (e->children && e->member)
            json_add(a, below, ".", 1, json_new_object(a));
        if (e->children)
            write_entries(a, e->children, below);
        json_add(a, out, key, len, below);
    }
}

struct json *field_set_json(struct arena *a, const struct field_set *s)
{
    struct json *out = json_new_object(a);
    if (s)
        write_entries(a, s, out);
    return out;
}
