/* Values walked along their type: which fields one has, which differ between two, two merged, some
 * removed, and whether a value is of its type at all. Pure; results live in the arena.
 *
 * NULL is an absent value, which JSON null is not. Where a value cannot be taken apart (an element
 * of a list without its key), functions fail with the API server's words. */
#pragma once

#include "apiserver/fields/type.h"

/* Problems, in the API server's words: `.spec.replicas: expected numeric …`; elements of lists may
 * not be there twice unless `allow_twins`. */
int fields_check(struct arena *a, struct field_type t, const struct json *v, bool allow_twins,
                 struct error **err);

/* Every leaf of the value, and the elements and members that exist by their key alone. */
int fields_of(struct arena *a, struct field_type t, const struct json *v, struct field_set **ret,
              struct error **err);

struct field_changes {
    struct field_set *removed, *modified, *added;
};
/* metadata.managedFields are not looked at. */
int fields_compare(struct arena *a, struct field_type t, const struct json *from,
                   const struct json *to, struct field_changes *ret, struct error **err);

/* `over` laid over `under`: its values win, its lists are in its order; nothing is removed. Neither
 * is changed or shared. */
int fields_merge(struct arena *a, struct field_type t, const struct json *under,
                 const struct json *over, struct json **ret, struct error **err);

/* Without the members of the set; of what is left empty null remains. Shares nothing. */
struct json *fields_remove(struct arena *a, struct field_type t, const struct json *v,
                           const struct field_set *set);

/* The set, and the declared members on the way to its members. */
struct field_set *fields_with_parents(struct arena *a, struct field_type t,
                                      const struct field_set *set);

/* The set as the type sees it now: what has become one leaf since it was written is one. */
struct field_set *fields_reconcile(struct arena *a, struct field_type t,
                                   const struct field_set *set);

/* ---- what the walks share ------------------------------------------------------------------------------------------- */

/* Where a walk is, on the C stack, and the sets that it fills, which get their inner nodes as they
 * are needed. */
struct field_trail {
    struct field_trail *up; /* NULL: the whole value */
    struct field_step step;
    struct field_set *sets[3];
};
void field_trail_mark(struct arena *a, struct field_trail *t, size_t which);

/* Members of two maps with the same name, side by side; the order is that of the names when both
 * have any. */
struct field_pair {
    const char *name;
    size_t len;
    const struct json *x, *y; /* NULL: absent */
};
struct field_pair *field_pairs(struct arena *a, const struct json *x, const struct json *y,
                               size_t *ret_n);

/* The elements of a list that is a set or a map, with their steps. */
struct field_element {
    struct field_step step;
    const struct json *v;
    size_t at; /* position in the list */
};
int field_elements(struct arena *a, const struct field_atom *atom, const struct json *list,
                   struct field_element **ret, size_t *ret_n, struct error **err);
/* By step, those of one step in their order. */
void field_elements_sort(struct field_element *v, size_t n);
