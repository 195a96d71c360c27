/* Sets of fields, as metadata.managedFields tells who has set what.
 *
 * A set is a tree. A step leads from a value to one of its parts: a member of an object (`f:name`),
 * an element of a list that is told apart by members (`k:{"port":80,"protocol":"TCP"}`), an element
 * that is its own key (`v:"a"`). An entry may be a member of the set, have members below it, or
 * both; in JSON the first is an empty object, and `.` says the last.
 *
 * Sets live in an arena and borrow the texts and values that their steps are made of. Once sorted
 * they do not change: the operations make new sets, which share what they can. Pure. */
#pragma once

#include <string.h>

#include "json/json.h"

enum field_step_kind { STEP_FIELD, STEP_KEY, STEP_VALUE, STEP_INDEX };

struct field_step {
    enum field_step_kind kind;
    const char *name; /* of fields */
    size_t name_len;
    const struct json *value; /* of keys an object with sorted members; of values a scalar */
    int64_t index;
};

/* The step to a member of this name. */
#define STEP(text) ((struct field_step){ .name = (text), .name_len = strlen(text) })

struct field_set {
    struct field_entry *entries; /* in the order of their steps, once sorted */
    size_t count, cap;
};

struct field_entry {
    struct field_step step;
    bool member;
    struct field_set *children; /* NULL: none */
};

/* Deeper sets are not kept: JSON of an object that has one in its metadata could not be read again.
 */
#define FIELD_SET_MAX_DEPTH 100

int field_step_compare(const struct field_step *x, const struct field_step *y);

/* ---- building: append in any order, then sort -------------------------------------------------------------------- */

struct field_set *field_set_new(struct arena *a);
/* The entry is good until the next one is added to the same set. */
struct field_entry *field_set_add(struct arena *a, struct field_set *s,
                                  const struct field_step *step);
/* Sorts, makes one of entries with the same step, drops those with nothing in them. */
void field_set_sort(struct arena *a, struct field_set *s);
/* A set with one path of names as its member, which ends with NULL. */
struct field_set *field_set_of_path(struct arena *a, const char *const *names);

/* ---- reading ------------------------------------------------------------------------------------------------------ */

bool field_set_empty(const struct field_set *s); /* NULL is empty */
bool field_set_equal(const struct field_set *x, const struct field_set *y);
size_t field_set_depth(const struct field_set *s);
const struct field_entry *field_set_find(const struct field_set *s, const struct field_step *step);
/* Members with their paths: those of one level before those below them. */
typedef void field_set_each_fn(void *ctx, const struct field_step *const *path, size_t n);
void field_set_each(const struct field_set *s, field_set_each_fn *each, void *ctx);
bool field_set_has(const struct field_set *s, const struct field_step *const *path, size_t n);
/* ".spec.ports[port=80,protocol=\"TCP\"].name" */
const char *field_steps_text(struct arena *a, const struct field_step *const *path, size_t n);
const char *field_step_text(struct arena *a, const struct field_step *step);

/* ---- operations ---------------------------------------------------------------------------------------------------- */

/* NULL stands for the empty set, in arguments and results. */
struct field_set *field_set_union(struct arena *a, const struct field_set *x,
                                  const struct field_set *y);
struct field_set *field_set_intersection(struct arena *a, const struct field_set *x,
                                         const struct field_set *y);
/* The members of x that are not in y; what is below a member of y stays. */
struct field_set *field_set_difference(struct arena *a, const struct field_set *x,
                                       const struct field_set *y);
/* The same, and what is below a member of y goes too. */
struct field_set *field_set_without(struct arena *a, const struct field_set *x,
                                    const struct field_set *y);

/* ---- FieldsV1 ------------------------------------------------------------------------------------------------------ */

/* Steps of kinds that nobody knows are left out. -ERROR_INVALID: it is no set. */
int field_set_parse(struct arena *a, const struct json *v, struct field_set **ret,
                    struct error **err);
struct json *field_set_json(struct arena *a, const struct field_set *s);
