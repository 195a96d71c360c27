/* Slots and what is read from them. */
#include <stdio.h>
#include <stdlib.h>

#include "apiserver/store_internal.h"
#include "base/mem.h"
#include "base/str.h"

/* ---- slots -------------------------------------------------------------------------------------------------------- */

void store_key(char out[STORE_MAX_KEY], const char *ns, const char *name)
{
    snprintf(out, STORE_MAX_KEY, "%s%s%s", str_or_empty(ns), str_empty(ns) ? "" : "/", name);
}

/* Index of the first slot whose key is not less. */
static size_t lower_bound(const struct collection *c, const char *key)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(c->slots[mid]->key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct slot *collection_find(const struct collection *c, const char *key)
{
    if (!c)
        return NULL;
    size_t i = lower_bound(c, key);
    return i < c->count && STREQ(c->slots[i]->key, key) ? c->slots[i] : NULL;
}

struct slot *collection_add(struct collection *c, const char *key)
{
    size_t len = strlen(key);
    struct slot *slot = mem_zalloc(sizeof *slot + len + 1);
    memcpy(slot->key, key, len + 1);
    if (c->count == c->cap) {
        c->cap = MAX(c->cap * 2, (size_t)8);
        c->slots = mem_array(c->slots, c->cap, sizeof *c->slots);
    }
    size_t i = lower_bound(c, key);
    memmove(&c->slots[i + 1], &c->slots[i], (c->count - i) * sizeof *c->slots);
    c->slots[i] = slot;
    c->count++;
    return slot;
}

void collection_drop_unused(struct collection *c, struct slot *slot)
{
    if (slot->visible || slot->newest || slot->pending)
        return;
    size_t i = lower_bound(c, slot->key);
    c->count--;
    memmove(&c->slots[i], &c->slots[i + 1], (c->count - i) * sizeof *c->slots);
    free(slot);
}

void slot_set_newest(struct slot *slot, struct kube_object *o)
{
    if (o)
        kube_object_ref(o);
    kube_object_unref(slot->newest);
    slot->newest = o;
}

struct collection *store_find_collection(struct store *s, const char *resource)
{
    return map_get(s->collections, resource);
}

struct collection *store_need_collection(struct store *s, const char *resource)
{
    struct collection *c = store_find_collection(s, resource);
    if (!c) {
        c = NEW0(struct collection);
        c->resource = mem_strdup(resource);
        map_set(s->collections, resource, c);
    }
    return c;
}

void collection_free(void *p)
{
    struct collection *c = p;
    for (size_t i = 0; i < c->count; i++) {
        kube_object_unref(c->slots[i]->visible);
        kube_object_unref(c->slots[i]->newest);
        free(c->slots[i]);
    }
    free(c->slots);
    free(c->resource);
    free(c);
}

/* ---- reads -------------------------------------------------------------------------------------------------------- */

uint64_t store_version(struct store *s)
{
    pthread_rwlock_rdlock(&s->state_lock);
    uint64_t version = s->visible_version;
    pthread_rwlock_unlock(&s->state_lock);
    return version;
}

uint64_t store_commits(struct store *s)
{
    return atomic_load(&s->commits);
}

static struct kube_object *get_face(struct store *s, const char *resource, const char *ns,
                                    const char *name, bool newest)
{
    char key[STORE_MAX_KEY];
    store_key(key, ns, name);
    pthread_rwlock_rdlock(&s->state_lock);
    struct slot *slot = collection_find(store_find_collection(s, resource), key);
    struct kube_object *o = !slot ? NULL : newest ? slot->newest : slot->visible;
    if (o)
        kube_object_ref(o);
    pthread_rwlock_unlock(&s->state_lock);
    return o;
}

struct kube_object *store_get(struct store *s, const char *resource, const char *ns,
                              const char *name)
{
    return get_face(s, resource, ns, name, false);
}

struct kube_object *store_peek(struct store *s, const char *resource, const char *ns,
                               const char *name)
{
    return get_face(s, resource, ns, name, true);
}

/* Indexes of the slots of a namespace behind after_key. The keys of one namespace stand together:
 * "ns/" … "ns0". */
static void find_range(const struct collection *c, const char *ns, const char *after_key,
                       size_t *ret_from, size_t *ret_to)
{
    *ret_from = 0;
    *ret_to = c->count;
    if (!str_empty(ns)) {
        AUTO_FREE char *first = mem_printf("%s/", ns);
        AUTO_FREE char *end = mem_printf("%s%c", ns, '/' + 1);
        *ret_from = lower_bound(c, first);
        *ret_to = lower_bound(c, end);
    }
    if (after_key) {
        size_t i = lower_bound(c, after_key);
        if (i < c->count && STREQ(c->slots[i]->key, after_key))
            i++;
        *ret_from = MAX(*ret_from, i);
    }
    *ret_to = MAX(*ret_to, *ret_from);
}

void store_list_locked(struct store *s, const char *resource, const char *ns, const char *after_key,
                       size_t limit, bool newest, struct store_list *ret)
{
    *ret = (struct store_list){ .version = s->visible_version };
    const struct collection *c = store_find_collection(s, resource);
    if (!c)
        return;
    size_t from, to;
    find_range(c, ns, after_key, &from, &to);
    if (from == to)
        return;
    ret->items =
        mem_array(NULL, MIN(to - from, limit ? limit : SIZE_MAX), sizeof(struct kube_object *));
    for (; from < to; from++) {
        struct kube_object *o = newest ? c->slots[from]->newest : c->slots[from]->visible;
        if (!o)
            continue;
        if (limit && ret->count == limit)
            ret->remaining++;
        else
            ret->items[ret->count++] = kube_object_ref(o);
    }
}

void store_list(struct store *s, const char *resource, const char *ns, const char *after_key,
                size_t limit, struct store_list *ret)
{
    pthread_rwlock_rdlock(&s->state_lock);
    store_list_locked(s, resource, ns, after_key, limit, false, ret);
    pthread_rwlock_unlock(&s->state_lock);
}

void store_peek_list(struct store *s, const char *resource, const char *ns, struct store_list *ret)
{
    pthread_rwlock_rdlock(&s->state_lock);
    store_list_locked(s, resource, ns, NULL, 0, true, ret);
    pthread_rwlock_unlock(&s->state_lock);
}

void store_list_done(struct store_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        kube_object_unref(l->items[i]);
    free(l->items);
    *l = (struct store_list){ 0 };
}

size_t store_count(struct store *s, const char *resource)
{
    pthread_rwlock_rdlock(&s->state_lock);
    const struct collection *c = store_find_collection(s, resource);
    size_t n = c ? c->visible : 0;
    pthread_rwlock_unlock(&s->state_lock);
    return n;
}

char **store_resources(struct store *s, struct arena *a)
{
    pthread_rwlock_rdlock(&s->state_lock);
    char **names = arena_alloc(a, (map_size(s->collections) + 1) * sizeof *names);
    size_t n = 0;
    void *c;
    for (struct map_iter it = MAP_ITER_INIT; map_next(s->collections, &it, NULL, &c);) {
        if (((struct collection *)c)->visible > 0)
            names[n++] = arena_strdup(a, ((struct collection *)c)->resource);
    }
    names[n] = NULL;
    pthread_rwlock_unlock(&s->state_lock);
    return names;
}
