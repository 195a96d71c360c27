#include "apiserver/housekeeper.h"

#include <stdio.h>
#include <stdlib.h>

#include "apiserver/crd.h"
#include "apiserver/housekeeper_internal.h"
#include "apiserver/namespace.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

#define EVENTS_EVERY_NS (60 * NS_PER_S)
#define RETRY_NS (200 * NS_PER_MS)

/* ---- keys --------------------------------------------------------------------------------------------------------- */

void housekeeper_key(char out[OBJECT_KEY_MAX], const char *resource, const char *ns,
                     const char *name)
{
    snprintf(out, OBJECT_KEY_MAX, "%s\n%s\n%s", resource, ns, name);
}

static void add_key(struct housekeeper *h, const char *key)
{
    LOCK(&h->lock);
    if (!map_has(h->dirty, key))
        map_set(h->dirty, key, h);
    pthread_cond_signal(&h->work);
}

void housekeeper_add(struct housekeeper *h, const char *resource, const char *ns, const char *name)
{
    char key[OBJECT_KEY_MAX];
    housekeeper_key(key, resource, ns, name);
    add_key(h, key);
}

void housekeeper_retry(struct housekeeper *h, const char *resource, const char *ns,
                       const char *name)
{
    char key[OBJECT_KEY_MAX];
    housekeeper_key(key, resource, ns, name);
    map_set(h->later, key, h);
}

/* The CRD of a custom resource: "kaito.sh/workspaces" → "workspaces.kaito.sh". */
static void add_crd_of(struct housekeeper *h, const char *resource)
{
    const char *slash = strchr(resource, '/');
    AUTO_FREE char *name = mem_printf("%s.%.*s", slash + 1, (int)(slash - resource), resource);
    housekeeper_add(h, CRDS_RESOURCE, "", name);
}

/* On the store's delivery. */
static void on_event(void *ctx, const struct store_event *e)
{
    struct housekeeper *h = ctx;
    const struct kube_object *o = e->object;
    housekeeper_add(h, e->resource, o->ns, o->name);
    if (e->type != STORE_DELETED)
        return;
    pthread_mutex_lock(&h->lock);
    map_set(h->gone, o->uid, h);
    pthread_mutex_unlock(&h->lock);
    /* What waits to be empty may be so now. */
    if (*o->ns)
        housekeeper_add(h, NAMESPACES_RESOURCE, "", o->ns);
    if (e->resource[0] != '/')
        add_crd_of(h, e->resource);
}

/* ---- index -------------------------------------------------------------------------------------------------------- */

static void dependent_free(void *p)
{
    arena_free(((struct dependent *)p)->a);
}

static void set_free(void *p)
{
    map_free(p);
}

struct map *housekeeper_owned_by(struct housekeeper *h, const char *uid)
{
    return map_get(h->by_owner, uid);
}

struct dependent *housekeeper_dependent(struct housekeeper *h, const char *key)
{
    return map_get(h->dependents, key);
}

static void index_forget(struct housekeeper *h, const char *key)
{
    struct dependent *d = map_take(h->dependents, key);
    if (!d)
        return;
    for (size_t i = 0; i < d->owner_count; i++) {
        struct map *set = map_get(h->by_owner, d->owners[i].uid);
        if (!set)
            continue;
        map_del(set, key);
        if (map_size(set) == 0)
            map_del(h->by_owner, d->owners[i].uid);
    }
    dependent_free(d);
}

/* "apps/v1" → "apps", "v1" → "" */
static const char *group_of(struct arena *a, const char *api_version)
{
    const char *slash = strchr(api_version, '/');
    return slash ? arena_strndup(a, api_version, (size_t)(slash - api_version)) : "";
}

static const char *text(struct arena *a, const struct json *v, const char *key)
{
    const char *s = json_find_str(v, key);
    return s ? arena_strdup(a, s) : "";
}

static void index_object(struct housekeeper *h, const char *key, const char *resource,
                         const struct kube_object *o)
{
    index_forget(h, key);
    if (!strstr(o->text, "\"ownerReferences\":[{"))
        return;
    AUTO_ARENA parsed = arena_new();
    const struct json *refs =
        json_find(kube_object_parse(parsed, o), "metadata", "ownerReferences");
    if (json_size(refs) == 0)
        return;
    struct arena *a = arena_new();
    struct dependent *d = arena_zalloc(a, sizeof *d);
    d->a = a;
    d->resource = arena_strdup(a, resource);
    d->ns = arena_strdup(a, o->ns);
    d->name = arena_strdup(a, o->name);
    d->owners = arena_zalloc(a, json_size(refs) * sizeof *d->owners);
    JSON_FOREACH(it, refs) {
        struct owner_ref *r = &d->owners[d->owner_count++];
        *r = (struct owner_ref){
            .group = group_of(a, text(a, it.value, "apiVersion")),
            .kind = text(a, it.value, "kind"),
            .name = text(a, it.value, "name"),
            .uid = text(a, it.value, "uid"),
            .blocks = json_find_bool(it.value, false, "blockOwnerDeletion"),
        };
        struct map *set = map_get(h->by_owner, r->uid);
        if (!set) {
            set = map_new(NULL);
            map_set(h->by_owner, r->uid, set);
        }
        map_set(set, key, d);
    }
    map_set(h->dependents, key, d);
}

/* ---- work --------------------------------------------------------------------------------------------------------- */

/* An owner that waits for its dependents may go on. */
static void look_at_owners_of(struct housekeeper *h, const struct dependent *d)
{
    CLEANUP(registry_cleanup) struct registry *kinds = apiserver_kinds(h->server);
    for (size_t i = 0; i < d->owner_count; i++) {
        const struct served_kind *sk =
            registry_find_kind(kinds, d->owners[i].group, NULL, d->owners[i].kind);
        if (sk)
            housekeeper_add(h, sk->resource, sk->k->resource.namespaced ? d->ns : "",
                            d->owners[i].name);
    }
}

/* First the index of all that has changed, then decisions: these depend on it. */
static void index_key(struct housekeeper *h, struct arena *a, const char *key)
{
    size_t n = 0;
    char **parts = str_split(a, key, '\n', &n);
    if (n != 3)
        return;
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = store_get(h->server->store, parts[0], parts[1], parts[2]);
    if (o) {
        index_object(h, key, parts[0], o);
        return;
    }
    struct dependent *d = housekeeper_dependent(h, key);
    if (d)
        look_at_owners_of(h, d);
    index_forget(h, key);
}

static void look_at(struct housekeeper *h, struct arena *a, const char *key)
{
    size_t n = 0;
    char **parts = str_split(a, key, '\n', &n);
    if (n != 3)
        return;
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = store_get(h->server->store, parts[0], parts[1], parts[2]);
    if (!o)
        return;
    if (o->deleting && STREQ(parts[0], NAMESPACES_RESOURCE))
        cleanup_namespace(h, o);
    else if (o->deleting && STREQ(parts[0], CRDS_RESOURCE))
        cleanup_crd(h, o);
    else
        collector_look_at(h, parts[0], o);
}

static void run_batch(struct housekeeper *h, const struct map *dirty, const struct map *gone)
{
    AUTO_ARENA a = arena_new();
    const char *key = NULL;
    for (struct map_iter it = MAP_ITER_INIT; map_next(dirty, &it, &key, NULL);)
        index_key(h, a, key);
    for (struct map_iter it = MAP_ITER_INIT; map_next(gone, &it, &key, NULL);) {
        const char *owned = NULL;
        for (struct map_iter o = MAP_ITER_INIT;
             map_next(housekeeper_owned_by(h, key), &o, &owned, NULL);)
            add_key(h, owned);
    }
    for (struct map_iter it = MAP_ITER_INIT; map_next(dirty, &it, &key, NULL) && !h->stopping;) {
        look_at(h, a, key);
        arena_reset(a);
    }
}

/* ---- thread ------------------------------------------------------------------------------------------------------- */

/* What was there before the start: owners and what is being deleted. The rest needs nothing. */
static void add_everything(struct housekeeper *h)
{
    AUTO_ARENA a = arena_new();
    char **resources = store_resources(h->server->store, a);
    for (size_t i = 0; resources[i]; i++) {
        struct store_list l;
        store_list(h->server->store, resources[i], NULL, NULL, 0, &l);
        for (size_t j = 0; j < l.count; j++) {
            const struct kube_object *o = l.items[j];
            if (o->deleting || strstr(o->text, "\"ownerReferences\":[{"))
                housekeeper_add(h, resources[i], o->ns, o->name);
        }
        store_list_done(&l);
    }
}

static void take_back_later_ones(struct housekeeper *h)
{
    const char *key = NULL;
    for (struct map_iter it = MAP_ITER_INIT; map_next(h->later, &it, &key, NULL);)
        add_key(h, key);
    map_clear(h->later);
}

/* With the lock held: waits until there is work; false when the server stops. */
static bool wait_for_work(struct housekeeper *h, int64_t events_at, int64_t retry_at)
{
    while (!h->stopping && map_size(h->dirty) == 0 && map_size(h->gone) == 0) {
        if (!cond_wait_until(&h->work, &h->lock, MIN(events_at, retry_at)))
            break;
    }
    return !h->stopping;
}

static void *housekeeper_main(void *arg)
{
    struct housekeeper *h = arg;
    struct clock *clock = clock_system();
    int64_t events_at = clock_mono(clock) + EVENTS_EVERY_NS, retry_at = INT64_MAX;
    add_everything(h);
    pthread_mutex_lock(&h->lock);
    while (wait_for_work(h, events_at, retry_at)) {
        struct map *dirty = h->dirty, *gone = h->gone;
        h->dirty = map_new(NULL);
        h->gone = map_new(NULL);
        pthread_mutex_unlock(&h->lock);
        run_batch(h, dirty, gone);
        map_free(dirty);
        map_free(gone);
        int64_t now = clock_mono(clock);
        if (now >= retry_at) {
            take_back_later_ones(h);
            retry_at = INT64_MAX;
        } else if (map_size(h->later) > 0 && retry_at == INT64_MAX) {
            retry_at = now + RETRY_NS;
        }
        if (now >= events_at) {
            cleanup_events(h);
            events_at = now + EVENTS_EVERY_NS;
        }
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

int housekeeper_new(struct apiserver *s, struct housekeeper **ret, struct error **err)
{
    struct housekeeper *h = NEW0(struct housekeeper);
    h->server = s;
    pthread_mutex_init(&h->lock, NULL);
    cond_init_monotonic(&h->work);
    h->dirty = map_new(NULL);
    h->gone = map_new(NULL);
    h->later = map_new(NULL);
    h->dependents = map_new(dependent_free);
    h->by_owner = map_new(set_free);
    int r = store_watch(s->store, NULL, NULL, store_version(s->store), on_event, h, &h->watch, err);
    if (r == 0)
        r = thread_start(&h->thread, "housekeeper", housekeeper_main, h, err);
    h->thread_runs = r == 0;
    if (r < 0) {
        housekeeper_free(h);
        return r;
    }
    *ret = h;
    return 0;
}

void housekeeper_free(struct housekeeper *h)
{
    if (h->watch)
        store_watch_close(h->watch);
    if (h->thread_runs) {
        pthread_mutex_lock(&h->lock);
        h->stopping = true;
        pthread_cond_signal(&h->work);
        pthread_mutex_unlock(&h->lock);
        thread_join(h->thread);
    }
    map_free(h->dirty);
    map_free(h->gone);
    map_free(h->later);
    map_free(h->dependents);
    map_free(h->by_owner);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->work);
    free(h);
}
