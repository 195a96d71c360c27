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
};

static void set_free(void *p)
{
    struct object_set *s = p;
    free(s->items);
    free(s);
}

struct kube_store *kube_store_new(void)
{
    struct kube_store *s = NEW0(struct kube_store);
    pthread_mutex_init(&s->lock, NULL);
    s->by_owner = map_new(set_free);
    return s;
}

void kube_store_free(struct kube_store *s)
{
    if (!s)
        return;
    map_free(s->by_owner);
    for (size_t i = 0; i < s->all.count; i++)
        kube_object_unref(s->all.items[i]);
    free(s->all.items);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- changes ------------------------------------------------------------------------------------------------ */

static void index_add(struct kube_store *s, struct kube_object *o)
{
    if (!*o->controller_uid)
        return;
    struct object_set *owned = map_get(s->by_owner, o->controller_uid);
    if (!owned) {
        owned = NEW0(struct object_set);
        map_set(s->by_owner, o->controller_uid, owned);
    }
    size_t at;
    if (!object_set_find(owned, o->ns, o->name, &at))
        object_set_insert(owned, at, o);
}

static void index_remove(struct kube_store *s, struct kube_object *o)
{
    struct object_set *owned = *o->controller_uid ? map_get(s->by_owner, o->controller_uid) : NULL;
    size_t at;
    if (!owned || !object_set_find(owned, o->ns, o->name, &at))
        return;
    object_set_remove(owned, at);
    if (owned->count == 0)
        map_del(s->by_owner, o->controller_uid);
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

void kube_store_list(struct kube_store *s, const char *ns, const struct selector *match,
                     struct kube_object_list *ret)
{
    LOCK(&s->lock);
    size_t from = ns ? object_set_lower_bound(&s->all, ns) : 0;
    size_t to = from;
    while (to < s->all.count && (!ns || STREQ(s->all.items[to]->ns, ns)))
        to++;
    *ret = (struct kube_object_list){ 0 };
    if (to == from)
        return;
    ret->items = mem_array(NULL, to - from, sizeof(struct kube_object *));
    for (size_t i = from; i < to; i++)
        if (!match || selector_matches_object(match, s->all.items[i]))
            ret->items[ret->count++] = kube_object_ref(s->all.items[i]);
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
