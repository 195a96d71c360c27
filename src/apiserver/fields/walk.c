/* What the walks share, and those that make a set of one value. */
#include "apiserver/fields/walk.h"

#include <stdlib.h>
#include <string.h>

#include "apiserver/fields/type.h"

/* ---- trails -------------------------------------------------------------------------------------------------------- */

static struct field_set *set_below(struct arena *a, struct field_trail *t, size_t which)
{
    if (t->sets[which])
        return t->sets[which];
    struct field_set *s = t->sets[which] = field_set_new(a);
    if (t->up)
        field_set_add(a, set_below(a, t->up, which), &t->step)->children = s;
    return s;
}

/* The whole value is no field. */
void field_trail_mark(struct arena *a, struct field_trail *t, size_t which)
{
    if (t->up)
        field_set_add(a, set_below(a, t->up, which), &t->step)->member = true;
}

/* ---- maps ---------------------------------------------------------------------------------------------------------- */

static int compare_pairs(const void *x, const void *y)
{
    const struct field_pair *p = x, *q = y;
    int c = memcmp(p->name, q->name, MIN(p->len, q->len));
    return c ? c : (p->len > q->len) - (p->len < q->len);
}

static size_t gather(const struct json *v, bool second, struct field_pair *out)
{
    size_t n = 0;
    JSON_FOREACH(it, v)
        out[n++] = (struct field_pair){ it.key, it.key_len, second ? NULL : it.value,
                                        second ? it.value : NULL };
    return n;
}

struct field_pair *field_pairs(struct arena *a, const struct json *x, const struct json *y,
                               size_t *ret_n)
{
    struct field_pair *v = arena_alloc(a, (json_size(x) + json_size(y) + 1) * sizeof *v);
    size_t left = gather(x, false, v), n = left + gather(y, true, v + left);
    *ret_n = n;
    if (left == 0 || left == n)
        return v;
    qsort(v, n, sizeof *v, compare_pairs);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct field_pair *last = kept ? &v[kept - 1] : NULL;
        if (!last || compare_pairs(last, &v[i]) != 0) {
            v[kept++] = v[i];
            continue;
        }
        last->x = last->x ? last->x : v[i].x;
        last->y = last->y ? last->y : v[i].y;
    }
    *ret_n = kept;
    return v;
}

/* ---- lists --------------------------------------------------------------------------------------------------------- */

int field_elements(struct arena *a, const struct field_atom *atom, const struct json *list,
                   struct field_element **ret, size_t *ret_n, struct error **err)
{
    struct field_element *v = arena_alloc(a, (json_size(list) + 1) * sizeof *v);
    size_t n = 0;
    *ret = v;
    JSON_FOREACH(it, json_is_array(list) ? list : NULL) {
        v[n] = (struct field_element){ .v = it.value, .at = it.index };
        int r = field_element_step(a, atom, it.value, &v[n].step, err);
        if (r < 0)
            return error_prefix(err, r, "element %zu", it.index);
        n++;
    }
    *ret_n = n;
    return 0;
}

static int compare_elements(const void *x, const void *y)
{
    const struct field_element *p = x, *q = y;
    int c = field_step_compare(&p->step, &q->step);
    return c ? c : (p->at > q->at) - (p->at < q->at);
}

void field_elements_sort(struct field_element *v, size_t n)
{
    qsort(v, n, sizeof *v, compare_elements);
}

/* ---- the fields of a value ----------------------------------------------------------------------------------------- */

static int gather_fields(struct arena *a, struct field_type t, const struct json *v,
                         struct field_trail *at, struct error **err);

static bool is_empty_map(const struct json *v)
{
    return json_is_null(v) || (json_is_object(v) && json_size(v) == 0);
}

static int gather_map(struct arena *a, const struct field_type *t, const struct field_atom *atom,
                      const struct json *v, struct field_trail *at, struct error **err)
{
    JSON_FOREACH(it, json_is_object(v) ? v : NULL) {
        bool declared;
        struct field_type member = field_member(t, atom, it.key, &declared);
        struct field_trail below = { at, { .name = it.key, .name_len = it.key_len }, { NULL } };
        int r = gather_fields(a, member, it.value, &below, err);
        if (r < 0)
            return r;
        if (!declared || is_empty_map(it.value))
            field_trail_mark(a, &below, 0);
    }
    return 0;
}

/* Elements that are there more than once are fields as a whole. */
static int gather_list(struct arena *a, const struct field_atom *atom, const struct json *v,
                       struct field_trail *at, struct error **err)
{
    struct field_element *e;
    size_t n = 0;
    int r = field_elements(a, atom, v, &e, &n, err);
    if (r < 0)
        return r;
    field_elements_sort(e, n);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && field_step_compare(&e[i].step, &e[end].step) == 0;)
            end++;
        struct field_trail below = { at, e[i].step, { NULL } };
        field_trail_mark(a, &below, 0);
        if (end == i + 1)
            r = gather_fields(a, atom->element, e[i].v, &below, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int gather_fields(struct arena *a, struct field_type t, const struct json *v,
                         struct field_trail *at, struct error **err)
{
    struct field_atom atom = field_atom_of(&t);
    switch (field_form_of(&atom, v)) {
    case FORM_MAP:
        if (!atom.atomic_map)
            return gather_map(a, &t, &atom, v, at, err);
        break;
    case FORM_LIST:
        if (atom.relation != RELATION_ATOMIC)
            return gather_list(a, &atom, v, at, err);
        break;
    case FORM_SCALAR:
    case FORM_NOTHING:
        break;
    }
    field_trail_mark(a, at, 0);
    return 0;
}

int fields_of(struct arena *a, struct field_type t, const struct json *v, struct field_set **ret,
              struct error **err)
{
    struct field_trail root = { NULL, { 0 }, { field_set_new(a) } };
    int r = gather_fields(a, t, v, &root, err);
    if (r < 0)
        return r;
    *ret = root.sets[0];
    field_set_sort(a, *ret);
    return 0;
}

/* ---- sets along their type ------------------------------------------------------------------------------------------ */

/* The type of what a step leads to, as far as it is known. */
static struct field_type type_behind(const struct field_type *t, const struct field_atom *atom,
                                     const struct field_step *step, bool *ret_declared)
{
    *ret_declared = false;
    if (step->kind == STEP_FIELD && atom->map)
        return field_member(t, atom, step->name, ret_declared);
    if (step->kind == STEP_KEY && atom->list)
        return atom->element;
    return (struct field_type){ 0 };
}

struct field_set *fields_with_parents(struct arena *a, struct field_type t,
                                      const struct field_set *set)
{
    if (field_set_empty(set))
        return NULL;
    struct field_atom atom = field_atom_of(&t);
    struct field_set *out = field_set_new(a);
    for (size_t i = 0; i < set->count; i++) {
        struct field_entry e = set->entries[i];
        bool declared;
        struct field_type below = type_behind(&t, &atom, &e.step, &declared);
        e.member = e.member || (e.children && declared);
        e.children = fields_with_parents(a, below, e.children);
        *field_set_add(a, out, &e.step) = e;
    }
    return out;
}

static bool is_one_leaf(const struct field_atom *atom)
{
    if (atom->scalar)
        return false;
    return atom->map ? atom->atomic_map : atom->list && atom->relation == RELATION_ATOMIC;
}

/* Types that take any value are never looked into. */
struct field_set *fields_reconcile(struct arena *a, struct field_type t,
                                   const struct field_set *set)
{
    struct field_atom atom = field_atom_of(&t);
    if (field_set_empty(set) || t.source == FROM_VALUE || t.source == FROM_RAW_VALUE)
        return (struct field_set *)set;
    struct field_set *out = field_set_new(a);
    for (size_t i = 0; i < set->count; i++) {
        struct field_entry e = set->entries[i];
        bool declared;
        struct field_type below = type_behind(&t, &atom, &e.step, &declared);
        struct field_atom inner = field_atom_of(&below);
        if (e.children && below.source != FROM_VALUE && below.source != FROM_RAW_VALUE &&
            is_one_leaf(&inner)) {
            e.member = true;
            e.children = NULL;
        }
        e.children = fields_reconcile(a, below, e.children);
        *field_set_add(a, out, &e.step) = e;
    }
    return out;
}
