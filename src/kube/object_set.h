/* A sorted set of cached objects. For the informer. */
#pragma once

#include "kube/object.h"

struct object_set {
    struct kube_object **items; /* by namespace, then name */
    size_t count;
    size_t cap;
};

int kube_object_compare(const struct kube_object *x, const struct kube_object *y);
/* Where it is, or where it would stand. */
bool object_set_find(const struct object_set *s, const char *ns, const char *name, size_t *ret_at);
/* The first one at or behind this namespace. */
size_t object_set_lower_bound(const struct object_set *s, const char *ns);
void object_set_insert(struct object_set *s, size_t at, struct kube_object *o);
void object_set_remove(struct object_set *s, size_t at);
