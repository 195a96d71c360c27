#include "operator/nodes_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/selector.h"
#include "json/build.h"

#define PENDING_NS (5 * 60 * NS_PER_S)
#define MAX_PENDING 100000

/* Something that was made and that the cache has not shown yet. */
struct pending {
    char *owner;   /* "ns/name" */
    int64_t until; /* by then at the latest the cache is right again */
};

/* Nodes that somebody asks for. */
struct wanted {
    char *labels; /* as JSON */
    struct selector *selector;
    size_t owners;
};

struct nodes_cache {
    const struct operator_settings *settings;
    const struct nodes_backend *backend;
    const struct nodes_words *words;
    struct clock *clock;
    struct kube_resource class_resource;
    struct informer *nodes, *legacy_nodes, *claims, *pools, *classes; /* NULL: not needed */
    bool filters; /* only nodes that somebody asks for are kept */
    struct informer *owners;
    struct nodes_wake wake;
    struct workqueue *queue;
    /* of node_classes.c */
    informer_served_handler *classes_served;
    void *classes_ctx;

    pthread_mutex_t lock; /* of all below */
    struct map *pending;  /* name → struct pending */
    struct map *wanted;   /* labels → struct wanted */
    struct map *asks;     /* owner "ns/name" → labels */
    uint64_t ticket;      /* the list of nodes that covers all of wanted */
};

/* ---- projections ---------------------------------------------------------------------------------------------------- */

/* Keeps the members named; `keys` ends with NULL. */
static void keep_only(struct json *obj, const char *const *keys)
{
    JSON_FOREACH(it, obj) {
        bool keep = false;
        for (const char *const *k = keys; *k && !keep; k++)
            keep = STREQ(it.key, *k);
        if (!keep)
            json_iter_remove(&it);
    }
}

static const char *const top_keys[] = { "apiVersion", "kind", "metadata", "spec", "status", NULL };
static const char *const metadata_keys[] = {
    "name", "uid", "resourceVersion", "deletionTimestamp", "labels", NULL
};

void nodes_project_node(struct arena *a, struct json *obj)
{
    static const char *const status_keys[] = { "allocatable", "capacity", "conditions", NULL };
    static const char *const resource_keys[] = { "memory", "nvidia.com/gpu", NULL };
    static const char *const condition_keys[] = { "type", "status", "reason", NULL };
    keep_only(obj, top_keys);
    json_del(obj, "spec");
    keep_only(json_get(obj, "metadata"), metadata_keys);
    struct json *status = json_get(obj, "status");
    keep_only(status, status_keys);
    keep_only(json_get(status, "allocatable"), resource_keys);
    JSON_FOREACH(it, json_get(status, "capacity"))
        if (!str_has_prefix(it.key, "nvidia.com/"))
            json_iter_remove(&it);
    JSON_FOREACH(it, json_get(status, "conditions"))
        keep_only(it.value, condition_keys); /* the heartbeat is not among them */
}

void nodes_project_claim(struct arena *a, struct json *obj)
{
    static const char *const spec_keys[] = { "replicas", NULL };
    static const char *const status_keys[] = { "nodeName", "conditions", NULL };
    static const char *const condition_keys[] = { "type", "status", "reason", "message", NULL };
    keep_only(obj, top_keys);
    keep_only(json_get(obj, "metadata"), metadata_keys);
    keep_only(json_get(obj, "spec"), spec_keys);
    struct json *status = json_get(obj, "status");
    keep_only(status, status_keys);
    JSON_FOREACH(it, json_get(status, "conditions"))
        keep_only(it.value, condition_keys);
}

/* ---- what was made and is not seen yet ------------------------------------------------------------------------------ */

static void pending_free(void *p)
{
    struct pending *x = p;
    free(x->owner);
    free(x);
}

static bool is_made_here(const struct write *w)
{
    return w->op == WRITE_CREATE &&
           (w->resource == &KUBE_NODECLAIMS || w->resource == &KUBE_NODEPOOLS);
}

/* The owner that the labels name; NULL: none. */
static const char *label_owner(struct arena *a, const struct json *labels, const char *ns_key,
                               const char *name_key)
{
    const char *ns = json_find_str(labels, ns_key), *name = json_find_str(labels, name_key);
    return ns && name ? kube_key(a, ns, name) : NULL;
}

static void pending_set(struct nodes_cache *c, const struct write *w)
{
    AUTO_ARENA a = arena_new();
    const struct json *labels = json_find(w->body, "metadata", "labels");
    const char *owner = label_owner(a, labels, c->words->ns_label, c->words->name_label);
    if (!owner)
        owner = label_owner(a, labels, c->words->pool_ns_label, c->words->pool_name_label);
    LOCK(&c->lock);
    if (!owner || map_size(c->pending) >= MAX_PENDING)
        return;
    struct pending *p = NEW0(struct pending);
    p->owner = mem_strdup(owner);
    p->until = clock_mono(c->clock) + PENDING_NS;
    map_set(c->pending, w->name, p);
}

static void pending_clear(struct nodes_cache *c, const char *name)
{
    LOCK(&c->lock);
    map_del(c->pending, name);
}

/* Before the write: its event may come before its answer. */
void nodes_cache_write_begins(struct nodes_cache *c, const struct write *w)
{
    if (is_made_here(w))
        pending_set(c, w);
}

void nodes_cache_write_ended(struct nodes_cache *c, const struct write *w, int r)
{
    if (!is_made_here(w))
        return;
    struct informer *i = w->resource == &KUBE_NODECLAIMS ? c->claims : c->pools;
    CLEANUP(kube_object_cleanup) struct kube_object *seen = i ? informer_get(i, "", w->name) : NULL;
    if (r < 0 || seen)
        pending_clear(c, w->name);
}

static void on_made(void *ctx, struct kube_object *old, struct kube_object *new)
{
    pending_clear(ctx, (new ? new : old)->name);
}

static struct json *pending_of(struct nodes_cache *c, struct arena *a, const char *owner)
{
    struct json *names = EMPTY_ARR();
    int64_t now = clock_mono(c->clock);
    LOCK(&c->lock);
    struct map_iter it = MAP_ITER_INIT;
    const char *name = NULL;
    void *value = NULL;
    while (map_next(c->pending, &it, &name, &value)) {
        const struct pending *p = value;
        if (p->until <= now)
            map_del(c->pending, name);
        else if (STREQ(p->owner, owner))
            json_append(names, STR(name));
    }
    return names;
}

/* ---- which nodes are kept ------------------------------------------------------------------------------------------- */

static void wanted_free(void *p)
{
    struct wanted *x = p;
    selector_free(x->selector);
    free(x->labels);
    free(x);
}

static bool keep_node(void *ctx, const struct json *node)
{
    struct nodes_cache *c = ctx;
    LOCK(&c->lock);
    struct map_iter it = MAP_ITER_INIT;
    const char *key = NULL;
    void *value = NULL;
    while (map_next(c->wanted, &it, &key, &value))
        if (selector_matches_labels(((struct wanted *)value)->selector,
                                    json_find(node, "metadata", "labels")))
            return true;
    return false;
}

/* Under the lock. */
static void forget_ask(struct nodes_cache *c, const char *owner)
{
    const char *labels = map_get(c->asks, owner);
    struct wanted *w = labels ? map_get(c->wanted, labels) : NULL;
    if (w && --w->owners == 0)
        map_del(c->wanted, labels);
    map_del(c->asks, owner);
}

/* Under the lock. true: nobody asked for these labels before. */
static bool remember_ask(struct nodes_cache *c, struct arena *a, const char *owner,
                         const char *text, const struct json *labels)
{
    struct wanted *w = map_get(c->wanted, text);
    bool fresh = !w;
    if (fresh) {
        w = NEW0(struct wanted);
        if (selector_from_object(OBJ("matchLabels", json_clone(a, labels)), &w->selector, NULL) <
            0) {
            free(w);
            return false;
        }
        w->labels = mem_strdup(text);
        map_set(c->wanted, text, w);
    }
    w->owners++;
    map_set(c->asks, owner, mem_strdup(text));
    return fresh;
}

void nodes_cache_select(struct nodes_cache *c, const char *ns, const char *name,
                        const struct json *labels)
{
    if (!c->filters)
        return;
    AUTO_ARENA a = arena_new();
    const char *owner = kube_key(a, ns, name);
    AUTO_BUF text = BUF_INIT(MIB);
    if (labels)
        json_write_canonical(labels, &text);
    LOCK(&c->lock);
    const char *before = map_get(c->asks, owner);
    if (labels && str_eq(before, buf_str(&text)))
        return;
    forget_ask(c, owner);
    if (labels && remember_ask(c, a, owner, buf_str(&text), labels))
        c->ticket = informer_relist(c->nodes);
}

/* All nodes that q asks for are in the cache. */
static bool covers(struct nodes_cache *c, struct arena *a, const struct nodes_request *q)
{
    if (!c->filters)
        return true;
    AUTO_BUF text = BUF_INIT(MIB);
    json_write_canonical(q->labels, &text);
    LOCK(&c->lock);
    return str_eq(map_get(c->asks, kube_key(a, q->ns, q->name)), buf_str(&text)) &&
           informer_relisted(c->nodes, c->ticket);
}

/* ---- waking --------------------------------------------------------------------------------------------------------- */

static void add_owner(struct workqueue *q, const struct kube_object *o, const char *ns_key,
                      const char *name_key)
{
    const char *ns = kube_object_label(o, ns_key), *name = kube_object_label(o, name_key);
    if (!ns || !name)
        return;
    AUTO_ARENA a = arena_new();
    workqueue_add(q, kube_key(a, ns, name));
}

/* Heartbeats change the version only. */
static bool unchanged(const struct kube_object *old, const struct kube_object *new)
{
    if (!old || !new)
        return false;
    AUTO_ARENA a = arena_new();
    struct json *x = kube_object_parse(a, old), *y = kube_object_parse(a, new);
    json_del(json_get(x, "metadata"), "resourceVersion");
    json_del(json_get(y, "metadata"), "resourceVersion");
    return json_equal(x, y);
}

/* Owners of what changed, by its labels. */
static void map_owned(void *ctx, struct workqueue *q, struct kube_object *old,
                      struct kube_object *new)
{
    const struct nodes_cache *c = ctx;
    if (unchanged(old, new))
        return;
    const struct kube_object *both[] = { old, new };
    for (size_t i = 0; i < COUNT_OF(both); i++) {
        if (!both[i])
            continue;
        add_owner(q, both[i], c->words->ns_label, c->words->name_label);
        add_owner(q, both[i], c->words->pool_ns_label, c->words->pool_name_label);
    }
}

static void map_any_node(void *ctx, struct workqueue *q, struct kube_object *old,
                         struct kube_object *new)
{
    struct nodes_cache *c = ctx;
    if (!unchanged(old, new))
        c->wake.node(c->wake.ctx, q, old, new);
}

/* A NodePool of another owner may stand in the way of one of the same name: all of them look. */
static void map_all(void *ctx, struct workqueue *q, struct kube_object *old,
                    struct kube_object *new)
{
    struct nodes_cache *c = ctx;
    if (!unchanged(old, new))
        c->wake.all(c->wake.ctx, q);
}

static void map_pool(void *ctx, struct workqueue *q, struct kube_object *old,
                     struct kube_object *new)
{
    if (!new)
        map_all(ctx, q, old, new); /* somebody may have waited for its name */
    map_owned(ctx, q, old, new);
}

static void on_served(void *ctx, bool served)
{
    struct nodes_cache *c = ctx;
    if (c->classes_served)
        c->classes_served(c->classes_ctx, served);
    if (c->queue)
        c->wake.all(c->wake.ctx, c->queue);
}

struct informer *nodes_cache_classes(struct nodes_cache *c, informer_served_handler *served,
                                     void *ctx)
{
    if (c->classes) {
        c->classes_served = served;
        c->classes_ctx = ctx;
    }
    return c->classes;
}

void nodes_cache_wake(struct nodes_cache *c, struct controller *controller,
                      const struct nodes_wake *wake)
{
    c->wake = *wake;
    c->queue = controller_queue(controller);
    controller_watch_mapped(controller, c->nodes, c->backend->provisions ? map_owned : map_any_node,
                            c);
    if (c->legacy_nodes)
        controller_watch_mapped(controller, c->legacy_nodes, map_owned, c);
    if (c->claims)
        controller_watch_mapped(controller, c->claims, map_owned, c);
    if (c->pools)
        controller_watch_mapped(controller, c->pools, map_pool, c);
    if (c->classes)
        controller_watch_mapped(controller, c->classes, map_all, c);
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

/* Owners who asked for nodes that had not been listed can go on. */
static void on_listed(void *ctx)
{
    struct nodes_cache *c = ctx;
    if (c->queue)
        c->wake.all(c->wake.ctx, c->queue);
}

static struct informer *node_informer(struct nodes_cache *c, struct manager *m, const char *labels)
{
    struct informer *i =
        manager_informer(m, &KUBE_NODES,
                         &(struct informer_options){ .label_selector = labels,
                                                     .index_label = labels,
                                                     .project = nodes_project_node,
                                                     .keep = c->filters ? keep_node : NULL,
                                                     .keep_ctx = c,
                                                     .after = c->filters ? c->owners : NULL });
    if (c->filters)
        informer_on_listed(i, on_listed, c);
    return i;
}

static bool keep_owned(void *ctx, const struct json *obj)
{
    const struct nodes_cache *c = ctx;
    return meta_label(obj, c->words->name_label) || meta_label(obj, c->words->pool_name_label);
}

/* Of kinds that Karpenter and its providers bring. */
static struct informer *optional_informer(struct nodes_cache *c, struct manager *m,
                                          const struct kube_resource *r, const char *labels,
                                          bool (*keep)(void *ctx, const struct json *obj))
{
    struct informer *i =
        manager_informer(m, r,
                         &(struct informer_options){ .label_selector = labels,
                                                     .index_label = labels,
                                                     .project = nodes_project_claim,
                                                     .keep = keep,
                                                     .keep_ctx = c,
                                                     .optional = true });
    informer_on_served(i, on_served, c);
    return i;
}

static void add_informers(struct nodes_cache *c, struct manager *m)
{
    switch (c->settings->provisioner) {
    case PROVISIONER_BYO:
        c->nodes = node_informer(c, m, NULL);
        return;
    case PROVISIONER_AZURE_GPU:
        c->nodes = node_informer(c, m, c->words->name_label);
        c->claims = optional_informer(c, m, &KUBE_NODECLAIMS, c->words->name_label, NULL);
        break;
    case PROVISIONER_KARPENTER:
        c->nodes = node_informer(c, m, c->words->pool_name_label);
        c->legacy_nodes = node_informer(c, m, c->words->name_label);
        c->claims = optional_informer(c, m, &KUBE_NODECLAIMS, NULL, keep_owned);
        c->pools = optional_informer(c, m, &KUBE_NODEPOOLS, NULL, NULL);
        c->classes = optional_informer(c, m, &c->class_resource, NULL, NULL);
        informer_add_handler(c->pools, on_made, c);
        break;
    }
    informer_add_handler(c->claims, on_made, c);
}

struct nodes_cache *nodes_cache_new(struct manager *m, const struct operator_settings *settings,
                                    const struct nodes_words *words, struct informer *owners,
                                    struct clock *clock)
{
    struct nodes_cache *c = NEW0(struct nodes_cache);
    c->settings = settings;
    c->backend = nodes_backend(settings);
    c->words = words;
    c->owners = owners;
    c->clock = clock;
    c->class_resource = nodes_class_resource(settings);
    /* One box has one node, whose name helps the user who has not labelled it yet. */
    c->filters = !c->backend->provisions && !settings->models_dir;
    pthread_mutex_init(&c->lock, NULL);
    c->pending = map_new(pending_free);
    c->wanted = map_new(wanted_free);
    c->asks = map_new(free);
    add_informers(c, m);
    return c;
}

void nodes_cache_free(struct nodes_cache *c)
{
    if (!c)
        return;
    map_free(c->pending);
    map_free(c->wanted);
    map_free(c->asks);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

bool nodes_cache_current(struct nodes_cache *c)
{
    LOCK(&c->lock);
    return informer_relisted(c->nodes, c->ticket);
}

size_t nodes_cache_count(struct nodes_cache *c)
{
    return informer_count(c->nodes);
}

static struct json *cached_list(struct arena *a, struct informer *i, const struct json *labels)
{
    CLEANUP(selector_cleanup) struct selector *match = NULL;
    struct json *list = EMPTY_ARR();
    if (!i || selector_from_object(OBJ("matchLabels", json_clone(a, labels)), &match, NULL) < 0)
        return list;
    struct kube_object_list objects = { 0 };
    informer_list(i, NULL, match, &objects);
    for (size_t k = 0; k < objects.count; k++)
        json_append(list, kube_object_parse(a, objects.items[k]));
    kube_object_list_done(&objects);
    return list;
}

static struct json *cached(struct arena *a, struct informer *i, const char *name)
{
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = i && name ? informer_get(i, "", name) : NULL;
    return o ? kube_object_parse(a, o) : NULL;
}

static struct json *merged(struct arena *a, const struct json *x, const struct json *y)
{
    struct json *all = json_clone(a, x);
    JSON_FOREACH(it, y)
        json_set(a, all, it.key, json_clone(a, it.value));
    return all;
}

static struct json *owner_labels(struct arena *a, const struct nodes_request *q, bool pool)
{
    const struct nodes_words *w = q->words;
    return OBJ(pool ? w->pool_name_label : w->name_label, STR(q->name),
               pool ? w->pool_ns_label : w->ns_label, STR(q->ns));
}

static void drop_foreign(const struct nodes_request *q, struct json *nodes)
{
    JSON_FOREACH(it, nodes)
        if (nodes_node_is_foreign(q->words, it.value, q->ns, q->name))
            json_iter_remove(&it);
}

static const char *only_node(struct arena *a, struct informer *i)
{
    if (informer_count(i) != 1)
        return NULL;
    struct kube_object_list all = { 0 };
    informer_list(i, NULL, NULL, &all);
    const char *name = all.count == 1 ? arena_strdup(a, all.items[0]->name) : NULL;
    kube_object_list_done(&all);
    return name;
}

bool nodes_cache_observe(struct nodes_cache *c, struct arena *a, const struct nodes_request *q,
                         struct nodes_facts *ret)
{
    bool known = covers(c, a, q);
    bool karpenter = c->pools;
    struct json *own = owner_labels(a, q, karpenter);
    struct json *legacy = owner_labels(a, q, false);
    const struct json *wanted = c->backend->provisions ? merged(a, q->labels, own) : q->labels;
    struct json *nodes = cached_list(a, c->nodes, wanted);
    drop_foreign(q, nodes);
    *ret = (struct nodes_facts){
        .nodes = nodes,
        .claims = cached_list(a, c->claims, own),
        .legacy_nodes = cached_list(a, c->legacy_nodes, merged(a, q->labels, legacy)),
        .legacy_claims = karpenter ? cached_list(a, c->claims, legacy) : EMPTY_ARR(),
        .pool = c->pools ? cached(a, c->pools, nodes_pool_name(a, q->ns, q->name)) : NULL,
        .node_class = cached(a, c->classes, nodes_class_name(c->settings, q->node_class)),
        .pending = pending_of(c, a, kube_key(a, q->ns, q->name)),
        .claims_served = c->claims && informer_served(c->claims),
        .pools_served = c->pools && informer_served(c->pools),
        .classes_served = c->classes && informer_served(c->classes),
        .only_node = json_size(nodes) == 0 ? only_node(a, c->nodes) : NULL,
    };
    return known;
}
