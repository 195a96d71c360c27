/* Which fields differ between two values. */
#include <string.h>

#include "apiserver/fields/walk.h"
#include "apiserver/types_internal.h"
#include "base/str.h"

enum { REMOVED, MODIFIED, ADDED };

struct comparison {
    struct arena *a;
    const struct api_type *metadata;
    struct error **err;
};

static int compare(struct comparison *c, struct field_type t, const struct json *x,
                   const struct json *y, struct field_trail *at);

/* The value changes as a whole. */
static void mark_leaf(struct comparison *c, const struct json *x, const struct json *y,
                      struct field_trail *at)
{
    if (!x)
        field_trail_mark(c->a, at, ADDED);
    else if (!y)
        field_trail_mark(c->a, at, REMOVED);
    else if (!json_equal(x, y))
        field_trail_mark(c->a, at, MODIFIED);
}

static int compare_maps(struct comparison *c, const struct field_type *t,
                        const struct field_atom *atom, const struct json *x, const struct json *y,
                        struct field_trail *at)
{
    size_t n = 0;
    bool is_metadata = t->source == FROM_SHAPE && !t->whole &&
                       ((const struct shape *)t->of)->record == c->metadata;
    is_metadata = is_metadata || (t->whole && t->of == c->metadata);
    struct field_pair *v = field_pairs(c->a, x, y, &n);
    for (size_t i = 0; i < n; i++) {
        bool declared;
        if (is_metadata && STREQ(v[i].name, "managedFields"))
            continue;
        struct field_type member = field_member(t, atom, v[i].name, &declared);
        struct field_trail below = { at, { .name = v[i].name, .name_len = v[i].len }, { NULL } };
        int r = compare(c, member, v[i].x, v[i].y, &below);
        if (r < 0)
            return error_prefix(c->err, r, ".%s", v[i].name);
    }
    return 0;
}

static size_t run_length(const struct field_element *v, size_t n)
{
    size_t len = 1;
    while (len < n && field_step_compare(&v[0].step, &v[len].step) == 0)
        len++;
    return len;
}

/* All elements of one step, on either side. Those that are there more than once count as one thing.
 */
static int compare_elements(struct comparison *c, const struct field_atom *atom,
                            const struct field_element *x, size_t nx, const struct field_element *y,
                            size_t ny, struct field_trail *at)
{
    struct field_trail below = { at, nx ? x->step : y->step, { NULL } };
    if (nx <= 1 && ny <= 1)
        return compare(c, atom->element, nx ? x->v : NULL, ny ? y->v : NULL, &below);
    bool same = nx == ny;
    for (size_t i = 0; same && i < nx; i++)
        same = json_equal(x[i].v, y[i].v);
    int r = 0;
    if (nx >= 2 && ny >= 2) {
        if (!same)
            field_trail_mark(c->a, &below, MODIFIED);
    } else if (nx >= 2) {
        r = ny ? compare(c, atom->element, NULL, y->v, &below) : 0;
        field_trail_mark(c->a, &below, REMOVED);
    } else {
        r = nx ? compare(c, atom->element, x->v, NULL, &below) : 0;
        field_trail_mark(c->a, &below, ADDED);
    }
    return r;
}

static int compare_lists(struct comparison *c, const struct field_atom *atom, const struct json *x,
                         const struct json *y, struct field_trail *at)
{
    struct field_element *p, *q;
    size_t np = 0, nq = 0, i = 0, k = 0;
    int r = field_elements(c->a, atom, x, &p, &np, c->err);
    if (r == 0)
        r = field_elements(c->a, atom, y, &q, &nq, c->err);
    if (r < 0)
        return r;
    field_elements_sort(p, np);
    field_elements_sort(q, nq);
    while (i < np || k < nq) {
        int order = i == np ? 1 : k == nq ? -1 : field_step_compare(&p[i].step, &q[k].step);
        size_t left = order <= 0 ? run_length(p + i, np - i) : 0;
        size_t right = order >= 0 ? run_length(q + k, nq - k) : 0;
        r = compare_elements(c, atom, p + i, left, q + k, right, at);
        if (r < 0)
            return r;
        i += left;
        k += right;
    }
    return 0;
}

/* Sees both values as one form; *ret_leaf: they were not taken apart. Where both are empty nothing
 * can be: then null and empty differ. */
static int compare_as(struct comparison *c, enum field_form form, const struct field_type *t,
                      const struct field_atom *atom, const struct json *x, const struct json *y,
                      struct field_trail *at, bool *ret_leaf)
{
    bool empty = json_size(x) == 0 && json_size(y) == 0;
    *ret_leaf = empty || form == FORM_SCALAR || form == FORM_NOTHING ||
                (form == FORM_MAP ? atom->atomic_map : atom->relation == RELATION_ATOMIC);
    if (*ret_leaf) {
        mark_leaf(c, x, y, at);
        return 0;
    }
    return form == FORM_MAP ? compare_maps(c, t, atom, json_is_object(x) ? x : NULL,
                                           json_is_object(y) ? y : NULL, at)
                            : compare_lists(c, atom, x, y, at);
}

static int compare(struct comparison *c, struct field_type t, const struct json *x,
                   const struct json *y, struct field_trail *at)
{
    if (x && y && json_equal(x, y))
        return 0;
    struct field_atom atom = field_atom_of(&t);
    enum field_form p = field_form_of(&atom, x), q = field_form_of(&atom, y);
    bool leaf = false;
    int r = 0;
    if (x && y && p != q)
        r = compare_as(c, p, &t, &atom, x, y, at, &leaf);
    if (r == 0)
        r = compare_as(c, y ? q : p, &t, &atom, x, y, at, &leaf);
    if (r < 0 || leaf)
        return r;
    if (!x)
        field_trail_mark(c->a, at, ADDED);
    else if (!y)
        field_trail_mark(c->a, at, REMOVED);
    return 0;
}

int fields_compare(struct arena *a, struct field_type t, const struct json *from,
                   const struct json *to, struct field_changes *ret, struct error **err)
{
    struct field_trail root = { .sets = { field_set_new(a), field_set_new(a), field_set_new(a) } };
    struct comparison c = { a, api_type_struct("v1.ObjectMeta"), err };
    int r = compare(&c, t, from, to, &root);
    if (r < 0)
        return r;
    for (size_t i = 0; i < COUNT_OF(root.sets); i++)
        field_set_sort(a, root.sets[i]);
    *ret = (struct field_changes){ root.sets[REMOVED], root.sets[MODIFIED], root.sets[ADDED] };
    return 0;
}
