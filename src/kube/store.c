#include "kube/store.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/selector.h"

struct kube_store {
    pthread_mutex_t lock;
    struct object_set all; /* holds the references */
    struct map *by_owner;  /* controller uid → struct object_set *, borrowed objects */
    char *label;           /* that by_label is of; NULL: none */
    struct map *by_label;  /* its value → the same */
};

static void set_free(void *p)
{
    struct object_set *s = p;
    free(s->items);
    free(s);
}

struct kube_store *kube_store_new(const char *label)
{
    struct kube_store *s = NEW0(struct kube_store);
    pthread_mutex_init(&s->lock, NULL);
    s->by_owner = map_new(set_free);
    s->label = mem_strdup(label);
    s->by_label = map_new(set_free);
    return s;
}

void kube_store_free(struct kube_store *s)
{
    if (!s)
        return;
    map_free(s->by_owner);
    map_free(s->by_label);
    free(s->label);
    for (size_t i = 0; i < s->all.count; i++)
        kube_object_unref(s->all.items[i]);
    free(s->all.items);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- changes ------------------------------------------------------------------------------------------------ */

static void index_add_to(struct map *index, const char *key, struct kube_object *o)
{
    if (str_empty(key))
        return;
    struct object_set *set = map_get(index, key);
    if (!set) {
        set = NEW0(struct object_set);
        map_set(index, key, set);
    }
    size_t at;
    if (!object_set_find(set, o->ns, o->name, &at))
        object_set_insert(set, at, o);
}

static void index_remove_from(struct map *index, const char *key, struct kube_object *o)
{
    struct object_set *set = str_empty(key) ? NULL : map_get(index, key);
    size_t at;
    if (!set || !object_set_find(set, o->ns, o->name, &at))
        return;
    object_set_remove(set, at);
    if (set->count == 0)
        map_del(index, key);
}

static const char *indexed_label(const struct kube_store *s, const struct kube_object *o)
{
    return s->label ? kube_object_label(o, s->label) : NULL;
}

static void index_add(struct kube_store *s, struct kube_object *o)
{
    index_add_to(s->by_owner, o->controller_uid, o);
    index_add_to(s->by_label, indexed_label(s, o), o);
}

static void index_remove(struct kube_store *s, struct kube_object *o)
{
    index_remove_from(s->by_owner, o->controller_uid, o);
    index_remove_from(s->by_label, indexed_label(s, o), o);
}

bool kube_store_put(struct kube_store *s, struct kube_object *o, struct kube_store_change *ret)
{
    LOCK(&s->lock);
    *ret = (struct kube_store_change){ 0 };
    size_t at;
    if (object_set_find(&s->all, o->ns, o->name, &at)) {
        struct kube_object *old = s->all.items[at];
        if (*o->resource_version && STREQ(old->resource_version, o->resource_version) &&
            STREQ(old->uid, o->uid)) {
            kube_object_unref(o);
            return false;
        }
        index_remove(s, old);
        s->all.items[at] = o;
        ret->old = old;
    } else {
        object_set_insert(&s->all, at, o);
    }
    index_add(s, o);
    ret->now = kube_object_ref(o);
    return true;
}

bool kube_store_remove(struct kube_store *s, const char *ns, const char *name,
                       struct kube_store_change *ret)
{
    LOCK(&s->lock);
    *ret = (struct kube_store_change){ 0 };
    size_t at;
    if (!object_set_find(&s->all, ns, name, &at))
        return false;
    ret->old = s->all.items[at];
    index_remove(s, ret->old);
    object_set_remove(&s->all, at);
    return true;
}

void kube_store_change_done(struct kube_store_change *c)
{
    kube_object_unref(c->old);
    kube_object_unref(c->now);
}

/* ---- reads -------------------------------------------------------------------------------------------------- */

struct kube_object *kube_store_get(struct kube_store *s, const char *ns, const char *name)
{
    LOCK(&s->lock);
    size_t at;
    return object_set_find(&s->all, ns ? ns : "", name, &at) ? kube_object_ref(s->all.items[at])
                                                             : NULL;
}

/* The objects that can match: all, or those of one value of the indexed label; NULL: none. */
static const struct object_set *candidates(const struct kube_store *s, const struct selector *match)
{
    size_t count = match && s->label ? selector_count(match) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *key, *op, *value;
        selector_get(match, i, &key, &op, &value);
        if (STREQ(key, s->label) && STREQ(op, "=") && !str_empty(value))
            return map_get(s->by_label, value);
    }
    return &s->all;
}

void kube_store_list(struct kube_store *s, const char *ns, const struct selector *match,
                     struct kube_object_list *ret)
{
    LOCK(&s->lock);
    *ret = (struct kube_object_list){ 0 };
    const struct object_set *set = candidates(s, match);
    if (!set)
        return;
    size_t from = ns ? object_set_lower_bound(set, ns) : 0;
    size_t to = from;
    while (to < set->count && (!ns || STREQ(set->items[to]->ns, ns)))
        to++;
    if (to == from)
        return;
    ret->items = mem_array(NULL, to - from, sizeof(struct kube_object *));
    for (size_t i = from; i < to; i++)
        if (!match || selector_matches_object(match, set->items[i]))
            ret->items[ret->count++] = kube_object_ref(set->items[i]);
}

void kube_store_list_owned(struct kube_store *s, const char *owner_uid,
                           struct kube_object_list *ret)
{
    LOCK(&s->lock);
    *ret = (struct kube_object_list){ 0 };
    const struct object_set *owned = str_empty(owner_uid) ? NULL : map_get(s->by_owner, owner_uid);
    if (!owned)
        return;
    ret->items = mem_array(NULL, owned->count, sizeof(struct kube_object *));
    for (size_t i = 0; i < owned->count; i++)
        ret->items[ret->count++] = kube_object_ref(owned->items[i]);
}

size_t kube_store_count(struct kube_store *s)
{
    LOCK(&s->lock);
    return s->all.count;
}

void kube_object_list_done(struct kube_object_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        kube_object_unref(l->items[i]);
    free(l->items);
    *l = (struct kube_object_list){ 0 };
}
