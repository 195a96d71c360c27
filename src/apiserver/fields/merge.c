/* Two values made one, and values with fields taken away. */
#include <stdlib.h>

#include "apiserver/fields/walk.h"
#include "base/str.h"

#define NOWHERE SIZE_MAX

struct merger {
    struct arena *a;
    struct error **err;
};

static int merge(struct merger *m, struct field_type t, const struct json *under,
                 const struct json *over, struct json **ret);

/* ---- lists --------------------------------------------------------------------------------------------------------- */

struct list_merge {
    struct field_element *under, *over; /* in the order of their lists */
    size_t under_count, over_count;
    size_t *over_of_under;             /* for each element the one of the same step over it */
    const struct json **under_of_over; /* the other way round */
    bool *done;                        /* of `over` */
    struct json *out;
};

static size_t find_step(const struct field_element *sorted, size_t n, const struct field_step *step)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (field_step_compare(&sorted[middle].step, step) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && field_step_compare(&sorted[low].step, step) == 0 ? low : NOWHERE;
}

/* An element that is there more than once below has no value to merge with. */
static int list_merge_begin(struct merger *m, const struct field_atom *atom,
                            const struct json *under, const struct json *over, struct list_merge *l)
{
    struct arena *a = m->a;
    int r = field_elements(a, atom, over, &l->over, &l->over_count, m->err);
    if (r == 0)
        r = field_elements(a, atom, under, &l->under, &l->under_count, m->err);
    if (r < 0)
        return r;
    size_t n = l->over_count;
    struct field_element *sorted = arena_alloc(a, (n + 1) * sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = l->over[i];
    field_elements_sort(sorted, n);
    for (size_t i = 1; i < n; i++)
        if (field_step_compare(&sorted[i - 1].step, &sorted[i].step) == 0)
            return error_set(m->err, ERROR_INVALID, "duplicate entries for key %s",
                             field_step_text(a, &sorted[i].step));
    l->over_of_under = arena_alloc(a, (l->under_count + 1) * sizeof *l->over_of_under);
    l->under_of_over = arena_zalloc(a, (n + 1) * sizeof *l->under_of_over);
    l->done = arena_zalloc(a, n + 1);
    l->out = json_new_array(a);
    for (size_t i = 0; i < l->under_count; i++) {
        size_t at = find_step(sorted, n, &l->under[i].step);
        l->over_of_under[i] = at == NOWHERE ? NOWHERE : sorted[at].at;
        if (at == NOWHERE)
            continue;
        const struct json **partner = &l->under_of_over[sorted[at].at];
        *partner = *partner ? json_new_null(a) : l->under[i].v;
    }
    return 0;
}

static int put(struct merger *m, const struct field_atom *atom, struct list_merge *l,
               const struct json *under, const struct json *over)
{
    struct json *merged = NULL;
    int r = merge(m, atom->element, under, over, &merged);
    json_append(l->out, merged);
    return r;
}

/* The next element of `over`, from i on, that is in both lists. */
static size_t next_shared(const struct list_merge *l, size_t i)
{
    while (i < l->over_count && !l->under_of_over[i])
        i++;
    return i < l->over_count ? i : NOWHERE;
}

/* The order is that of `over`; elements that only `under` has stay behind the shared ones that they
 * followed. */
static int merge_lists(struct merger *m, const struct field_atom *atom, const struct json *under,
                       const struct json *over, struct json **ret)
{
    struct list_merge l = { 0 };
    int r = list_merge_begin(m, atom, under, over, &l);
    size_t i = 0, k = 0, shared = r == 0 ? next_shared(&l, 0) : NOWHERE;
    while (r == 0 && (i < l.under_count || k < l.over_count)) {
        size_t partner = i < l.under_count ? l.over_of_under[i] : NOWHERE;
        if (i < l.under_count && partner == NOWHERE) {
            r = put(m, atom, &l, l.under[i++].v, NULL);
            continue;
        }
        bool both = i < l.under_count && k < l.over_count;
        if (both && partner != k && shared != NOWHERE && shared != partner) {
            i++;
            continue;
        }
        if (i < l.under_count && (partner == k || l.done[partner]))
            i++;
        if (k == l.over_count)
            continue;
        l.done[k] = true;
        r = put(m, atom, &l, l.under_of_over[k], l.over[k].v);
        if (shared == k)
            shared = next_shared(&l, k + 1);
        k++;
    }
    if (r == 0 && json_size(l.out))
        *ret = l.out;
    return r;
}

/* ---- maps ---------------------------------------------------------------------------------------------------------- */

static int merge_maps(struct merger *m, const struct field_type *t, const struct field_atom *atom,
                      const struct json *under, const struct json *over, struct json **ret)
{
    size_t n = 0;
    struct field_pair *v = field_pairs(m->a, under, over, &n);
    struct json *out = json_new_object(m->a);
    for (size_t i = 0; i < n; i++) {
        bool declared;
        struct json *merged = NULL;
        struct field_type member = field_member(t, atom, v[i].name, &declared);
        int r = merge(m, member, v[i].x, v[i].y, &merged);
        if (r < 0)
            return error_prefix(m->err, r, ".%s", v[i].name);
        if (merged)
            json_add(m->a, out, v[i].name, v[i].len, merged);
    }
    if (json_size(out))
        *ret = out;
    return 0;
}

static int merge(struct merger *m, struct field_type t, const struct json *under,
                 const struct json *over, struct json **ret)
{
    const struct json *winner = over ? over : under;
    struct field_atom atom = field_atom_of(&t);
    enum field_form form = field_form_of(&atom, winner);
    bool empty = json_size(under) == 0 && json_size(over) == 0;
    if (!empty && form == FORM_MAP && !atom.atomic_map)
        return merge_maps(m, &t, &atom, json_is_object(under) ? under : NULL,
                          json_is_object(over) ? over : NULL, ret);
    if (!empty && form == FORM_LIST && atom.relation != RELATION_ATOMIC)
        return merge_lists(m, &atom, under, over, ret);
    *ret = json_clone(m->a, winner);
    return 0;
}

int fields_merge(struct arena *a, struct field_type t, const struct json *under,
                 const struct json *over, struct json **ret, struct error **err)
{
    struct merger m = { a, err };
    *ret = NULL;
    int r = merge(&m, t, under, over, ret);
    if (r == 0 && !*ret)
        *ret = json_new_object(a);
    return r;
}

/* ---- taking away ---------------------------------------------------------------------------------------------------- */

static struct json *take(struct arena *a, struct field_type t, const struct json *v,
                         const struct field_set *set);

/* NULL: the step itself goes. */
static struct json *what_remains(struct arena *a, struct field_type t, const struct json *v,
                                 const struct field_set *set, const struct field_step *step)
{
    const struct field_entry *e = field_set_find(set, step);
    if (!e)
        return json_clone(a, v);
    if (e->member)
        return NULL;
    struct json *rest = take(a, t, v, e->children);
    return rest ? rest : json_new_null(a);
}

static struct json *take_from_map(struct arena *a, const struct field_type *t,
                                  const struct field_atom *atom, const struct json *v,
                                  const struct field_set *set)
{
    struct json *out = json_new_object(a);
    JSON_FOREACH(it, v) {
        bool declared;
        struct field_type member = field_member(t, atom, it.key, &declared);
        struct field_step step = { .name = it.key, .name_len = it.key_len };
        struct json *rest = what_remains(a, member, it.value, set, &step);
        if (rest)
            json_add(a, out, it.key, it.key_len, rest);
    }
    return json_size(out) ? out : NULL;
}

static struct json *take_from_list(struct arena *a, const struct field_atom *atom,
                                   const struct json *v, const struct field_set *set)
{
    struct field_element *e;
    size_t n = 0;
    if (field_elements(a, atom, v, &e, &n, NULL) < 0)
        return json_clone(a, v);
    struct json *out = json_new_array(a);
    for (size_t i = 0; i < n; i++) {
        struct json *rest = what_remains(a, atom->element, e[i].v, set, &e[i].step);
        if (rest && !json_is_null(rest)) /* an element of which nothing is left is none */
            json_append(out, rest);
    }
    return json_size(out) ? out : NULL;
}

/* NULL: nothing is left. What is set as a whole goes as a whole. */
static struct json *take(struct arena *a, struct field_type t, const struct json *v,
                         const struct field_set *set)
{
    struct field_atom atom = field_atom_of(&t);
    switch (field_form_of(&atom, v)) {
    case FORM_MAP:
        return atom.atomic_map || !json_is_object(v) ? NULL : take_from_map(a, &t, &atom, v, set);
    case FORM_LIST:
        return atom.relation == RELATION_ATOMIC || !json_is_array(v)
                   ? NULL
                   : take_from_list(a, &atom, v, set);
    default:
        return json_clone(a, v);
    }
}

struct json *fields_remove(struct arena *a, struct field_type t, const struct json *v,
                           const struct field_set *set)
{
    if (field_set_empty(set))
        return json_clone(a, v);
    struct json *rest = take(a, t, v, set);
    return rest ? rest : json_new_object(a);
}
