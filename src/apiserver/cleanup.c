/* Namespaces and CRDs go when nothing is left in them; Events go when they are old. */
#include "apiserver/crd.h"
#include "apiserver/housekeeper_internal.h"
#include "apiserver/inside.h"
#include "apiserver/namespace.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

#include <stdlib.h>

#define EVENTS_RESOURCE "/events"
#define EVENT_AGE_NS (3600 * NS_PER_S)
#define MAX_EVENTS 10000

/* Deletes what there is of one kind in a namespace (NULL: cluster scope). */
static bool delete_all(struct housekeeper *h, struct arena *a, const struct served_kind *sk,
                       const char *ns)
{
    const char *path = kube_path(a, &sk->k->resource, ns, NULL, NULL);
    struct json *answer = NULL;
    int r = inside_request(h->server, a, "DELETE", path, NULL, NULL, &answer);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        log_warn("deleting waits", "path", path, "error", json_find_str(answer, "message"), NULL);
    return r == 0;
}

/* ---- namespaces --------------------------------------------------------------------------------------------------- */

static size_t count_in(struct housekeeper *h, const char *resource, const char *ns)
{
    struct store_list l;
    store_list(h->server->store, resource, ns, NULL, 1, &l);
    size_t n = l.count;
    store_list_done(&l);
    return n;
}

void cleanup_namespace(struct housekeeper *h, const struct kube_object *ns)
{
    AUTO_ARENA a = arena_new();
    struct json *value = kube_object_parse(a, ns);
    if (!namespace_has_finalizer(value))
        return;
    CLEANUP(registry_cleanup) struct registry *kinds = apiserver_kinds(h->server);
    size_t left = 0;
    bool fine = true;
    for (size_t i = 0; i < registry_count(kinds); i++) {
        const struct served_kind *sk = registry_at(kinds, i);
        if (!sk->storage || !sk->k->resource.namespaced || !count_in(h, sk->resource, ns->name))
            continue;
        fine &= delete_all(h, a, sk, ns->name);
        left += count_in(h, sk->resource, ns->name);
    }
    if (!fine)
        housekeeper_retry(h, NAMESPACES_RESOURCE, "", ns->name);
    if (left > 0 || !fine)
        return; /* Others that hold the namespace let go of it themselves. */
    struct json *others = EMPTY_ARR();
    JSON_FOREACH(it, json_find(value, "spec", "finalizers")) {
        if (!str_eq(json_string(it.value), NAMESPACE_FINALIZER))
            json_append(others, json_clone(a, it.value));
    }
    json_set(a, json_get(value, "spec"), "finalizers", others);
    int r = inside_request(h->server, a, "PUT",
                           arena_printf(a, "/api/v1/namespaces/%s/finalize", ns->name), NULL, value,
                           NULL);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        housekeeper_retry(h, NAMESPACES_RESOURCE, "", ns->name);
}

/* ---- CRDs --------------------------------------------------------------------------------------------------------- */

static void delete_instances(struct housekeeper *h, struct arena *a, const struct served_kind *sk)
{
    struct store_list l;
    store_list(h->server->store, sk->resource, NULL, NULL, 0, &l);
    const char *ns = NULL;
    for (size_t i = 0; i < l.count; i++) {
        /* Sorted by namespace: each comes once. */
        if (ns && STREQ(ns, l.items[i]->ns))
            continue;
        ns = l.items[i]->ns;
        delete_all(h, a, sk, sk->k->resource.namespaced ? ns : NULL);
    }
    store_list_done(&l);
}

void cleanup_crd(struct housekeeper *h, const struct kube_object *crd)
{
    AUTO_ARENA a = arena_new();
    struct json *value = kube_object_parse(a, crd);
    if (!meta_has_finalizer(value, CRD_FINALIZER))
        return;
    CLEANUP(registry_cleanup) struct registry *kinds = apiserver_kinds(h->server);
    const char *resource = arena_printf(a, "%s/%s", json_find_str(value, "spec", "group"),
                                        json_find_str(value, "spec", "names", "plural"));
    const struct served_kind *sk = registry_find_resource(kinds, resource);
    if (sk)
        delete_instances(h, a, sk);
    if (sk && store_count(h->server->store, resource) > 0)
        return;
    struct json *left = EMPTY_ARR();
    JSON_FOREACH(it, json_find(value, "metadata", "finalizers")) {
        if (!str_eq(json_string(it.value), CRD_FINALIZER))
            json_append(left, json_clone(a, it.value));
    }
    struct json *patch =
        OBJ("metadata", OBJ("uid", STR(crd->uid), "finalizers", json_size(left) ? left : NUL()));
    int r =
        inside_request(h->server, a, "PATCH",
                       arena_printf(a, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/%s",
                                    crd->name),
                       "application/merge-patch+json", patch, NULL);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        housekeeper_retry(h, CRDS_RESOURCE, "", crd->name);
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

static int64_t time_of(const struct json *obj, const char *key)
{
    int64_t t = 0;
    const char *s = json_find_str(obj, key);
    if (s)
        time_parse_rfc3339(s, &t);
    return t;
}

/* When it was last told. */
static int64_t last_seen(const struct kube_object *o)
{
    AUTO_ARENA a = arena_new();
    const struct json *v = kube_object_parse(a, o);
    int64_t t =
        MAX(time_of(v, "lastTimestamp"), time_of(json_get(v, "metadata"), "creationTimestamp"));
    return MAX(t, time_of(json_get(v, "series"), "lastObservedTime"));
}

static int decide_remove(void *ctx, const struct kube_object *current, struct arena *a,
                         struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    const struct kube_object *seen = ctx;
    *ret_unchanged = !current || !STREQ(current->resource_version, seen->resource_version);
    return 0;
}

struct seen_event {
    int64_t at;
    struct kube_object *o;
};

static int oldest_first(const void *x, const void *y)
{
    int64_t a = ((const struct seen_event *)x)->at, b = ((const struct seen_event *)y)->at;
    return a < b ? -1 : a > b;
}

void cleanup_events(struct housekeeper *h)
{
    struct store *store = h->server->store;
    struct store_list l;
    store_list(store, EVENTS_RESOURCE, NULL, NULL, 0, &l);
    struct seen_event *events = mem_array(NULL, MAX(l.count, (size_t)1), sizeof *events);
    for (size_t i = 0; i < l.count; i++)
        events[i] = (struct seen_event){ last_seen(l.items[i]), l.items[i] };
    qsort(events, l.count, sizeof *events, oldest_first);
    int64_t old = clock_wall(h->server->clock) - EVENT_AGE_NS;
    struct store_ticket **tickets = mem_array(NULL, MAX(l.count, (size_t)1), sizeof *tickets);
    size_t n = 0;
    for (size_t i = 0; i < l.count && (events[i].at < old || l.count - i > MAX_EVENTS); i++) {
        struct kube_object *o = events[i].o;
        if (store_stage(store, EVENTS_RESOURCE, o->ns, o->name, decide_remove, o, &tickets[n],
                        NULL) == 0)
            n++;
    }
    for (size_t i = 0; i < n; i++)
        store_finish(tickets[i], NULL, NULL);
    free(tickets);
    free(events);
    store_list_done(&l);
}
