/* Informers, keys and the reconcile function. */
#include <stdlib.h>

#include "api/inference_set.h"
#include "base/mem.h"
#include "base/str.h"
#include "inferenceset/decide.h"
#include "inferenceset/drift.h"
#include "inferenceset/inferenceset.h"
#include "inferenceset/pending.h"
#include "kube/meta.h"
#include "metrics/metrics.h"
#include "operator/apply.h"
#include "operator/echo.h"

#define WORKERS 5

struct inference_set_controller {
    const struct operator_settings *settings;
    struct clock *clock;
    struct catalog *catalog;
    struct go_types *types;
    struct set_caches caches;
    struct apply_target target;
    struct controller *controller;
    struct drift_controller *drift;
    struct echo *echo;
    struct pending *pending;
    struct metric *count;
};

/* ---- reconcile ------------------------------------------------------------------------------------------------------ */

struct pass {
    struct inference_set_controller *s;
    struct set_input in;
    const char *key;
};

static bool about_child(const struct write *w)
{
    return w->resource == &KUBE_WORKSPACES && (w->op == WRITE_CREATE || w->op == WRITE_DELETE);
}

static void write_begins(void *ctx, const struct write *w)
{
    struct pass *p = ctx;
    if (about_child(w))
        pending_add(p->s->pending, p->key, w->name, w->op == WRITE_DELETE ? w->uid : NULL);
}

static void write_ended(void *ctx, const struct write *w, int r)
{
    struct pass *p = ctx;
    if (about_child(w) && r < 0)
        pending_drop(p->s->pending, p->key, w->name);
}

static struct json *status_after_error(void *ctx, struct arena *a, const struct decision *d,
                                       const char *error)
{
    const struct pass *p = ctx;
    return set_status_after_error(a, &p->in, d, error);
}

static int carry_out(struct arena *a, struct pass *p, struct reconcile_result *ret,
                     struct error **err)
{
    struct inference_set_controller *s = p->s;
    struct decision decision;
    set_decide(a, &p->in, &decision);
    const struct apply_subject subject = {
        .resource = &KUBE_INFERENCE_SETS,
        .object = p->in.observed->set,
        .status_after_error = status_after_error,
        .write_begins = write_begins,
        .write_ended = write_ended,
        .ctx = p,
    };
    const char *version = NULL;
    int r = operator_apply(a, &s->target, &subject, &decision, &version, err);
    if (version)
        echo_remember(s->echo, p->key, version);
    ret->requeue_after_ms = decision.requeue_ms;
    return r;
}

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct inference_set_controller *s = ctx;
    const char *ns = NULL, *name = NULL;
    kube_key_split(a, key, &ns, &name);
    /* Before the cache is read: what it shows now it shows then. */
    bool settled = pending_settled(s->pending, key, ns, s->caches.workspaces);
    struct set_observed observed = { 0 };
    if (!set_observe(a, &s->caches, ns, name, &observed)) {
        echo_remember(s->echo, key, NULL);
        return 0;
    }
    if (!settled || echo_awaited(s->echo, key, meta_resource_version(observed.set))) {
        ret->requeue_after_ms = ECHO_WAIT_MS;
        return 0;
    }
    struct pass p = {
        .s = s,
        .key = key,
        .in = { .settings = s->settings,
                .catalog = s->catalog,
                .types = s->types,
                .now_ns = clock_wall(s->clock),
                .observed = &observed },
    };
    return carry_out(a, &p, ret, err);
}

/* ---- which set a change is about ------------------------------------------------------------------------------------- */

static bool is_of_a_set(const struct kube_object *workspace)
{
    return kube_object_label(workspace, WORKSPACE_CREATED_BY) ||
           STREQ(workspace->controller_kind, KUBE_INFERENCE_SETS.kind);
}

static void map_workspace(void *ctx, struct workqueue *q, struct kube_object *old,
                          struct kube_object *new)
{
    struct inference_set_controller *s = ctx;
    const char *before = old ? kube_object_label(old, WORKSPACE_CREATED_BY) : NULL;
    const char *after = new ? kube_object_label(new, WORKSPACE_CREATED_BY) : NULL;
    if (!before && !after)
        return;
    AUTO_ARENA a = arena_new();
    if (before &&
        (!new ||
         !is_of_a_set(new))) /* made and gone before anybody looked: it is not awaited any more */
        pending_drop(s->pending, kube_key(a, old->ns, before), old->name);
    if (before)
        workqueue_add(q, kube_key(a, old->ns, before));
    if (after && !str_eq(before, after))
        workqueue_add(q, kube_key(a, new->ns, after));
}

/* Of a Workspace of a set. */
static void map_statefulset(void *ctx, struct workqueue *q, struct kube_object *old,
                            struct kube_object *new)
{
    struct inference_set_controller *s = ctx;
    const struct kube_object *o = new ? new : old;
    if (!STREQ(o->controller_kind, KUBE_WORKSPACES.kind))
        return;
    CLEANUP(kube_object_cleanup)
    struct kube_object *ws = informer_get(s->caches.workspaces, o->ns, o->controller_name);
    if (ws)
        map_workspace(ctx, q, ws, ws);
}

/* Flux was installed, or went. */
static void flux_changed(void *ctx, bool served)
{
    struct inference_set_controller *s = ctx;
    AUTO_ARENA a = arena_new();
    struct kube_object_list all = { 0 };
    informer_list(s->caches.sets, NULL, NULL, &all);
    for (size_t i = 0; i < all.count; i++)
        workqueue_add(controller_queue(s->controller),
                      kube_key(a, all.items[i]->ns, all.items[i]->name));
    kube_object_list_done(&all);
}

/* ---- metrics ---------------------------------------------------------------------------------------------------------- */

static const char *phase(const struct json *set)
{
    const struct json *conditions = json_find(set, "status", "conditions");
    const struct json *ready = condition_find(conditions, "InferenceSetReady");
    if (meta_deleting(set) || condition_is(conditions, "InferenceSetDeleting", "True"))
        return "deleting";
    if (!ready)
        return "pending";
    return str_eq(json_find_str(ready, "status"), "True") ? "succeeded" : "error";
}

void inference_set_collect(void *ctx)
{
    static const char *const phases[] = { "succeeded", "error", "pending", "deleting" };
    struct inference_set_controller *s = ctx;
    double counts[COUNT_OF(phases)] = { 0 };
    struct kube_object_list all = { 0 };
    AUTO_ARENA a = arena_new();
    informer_list(s->caches.sets, NULL, NULL, &all);
    for (size_t i = 0; i < all.count; i++) {
        arena_reset(a);
        const char *which = phase(kube_object_parse(a, all.items[i]));
        for (size_t k = 0; k < COUNT_OF(phases); k++)
            counts[k] += STREQ(which, phases[k]);
    }
    kube_object_list_done(&all);
    for (size_t k = 0; k < COUNT_OF(phases); k++)
        metric_set(s->count, counts[k], phases[k]);
}

/* ---- life ------------------------------------------------------------------------------------------------------------- */

static void add_informers(struct inference_set_controller *s, struct manager *m)
{
    struct set_caches *c = &s->caches;
    c->sets = manager_informer(m, &KUBE_INFERENCE_SETS, &(struct informer_options){ 0 });
    c->workspaces = manager_shared(m, &KUBE_WORKSPACES); /* those of all, of sets or not */
    if (!c->workspaces)
        c->workspaces =
            manager_informer(m, &KUBE_WORKSPACES,
                             &(struct informer_options){ .keep = set_keep_workspace,
                                                         .index_label = WORKSPACE_CREATED_BY,
                                                         .project = set_project_workspace });
    c->statefulsets = manager_shared(m, &KUBE_STATEFULSETS);
    if (!c->statefulsets)
        c->statefulsets =
            manager_informer(m, &KUBE_STATEFULSETS,
                             &(struct informer_options){ .project = set_project_statefulset });
    c->revisions = manager_informer(m, &KUBE_CONTROLLER_REVISIONS,
                                    &(struct informer_options){ .label_selector =
                                                                    INFERENCE_SET_REVISION_NAME });
    if (s->settings->gates.on[GATE_GATEWAY_API])
        c->pool = pool_informers(m);
}

static void add_watches(struct inference_set_controller *s)
{
    struct controller *c = s->controller;
    const char *kind = KUBE_INFERENCE_SETS.kind;
    controller_watch(c, s->caches.sets);
    controller_watch_mapped(c, s->caches.workspaces, map_workspace, s);
    controller_watch_mapped(c, s->caches.statefulsets, map_statefulset, s);
    controller_watch_owned(c, s->caches.revisions, kind);
    if (!s->caches.pool.releases)
        return;
    informer_on_served(s->caches.pool.repositories, flux_changed, s);
    informer_on_served(s->caches.pool.releases, flux_changed, s);
    controller_watch_owned(c, s->caches.pool.repositories, kind);
    controller_watch_owned(c, s->caches.pool.releases, kind);
}

int inference_set_controller_add(struct manager *m, struct kube_client *c,
                                 const struct operator_settings *settings,
                                 struct event_recorder *events, struct clock *clock,
                                 struct inference_set_controller **ret, struct error **err)
{
    static const char *const labels[] = { "phase", NULL };
    struct inference_set_controller *s = NEW0(struct inference_set_controller);
    s->settings = settings;
    s->clock = clock;
    s->catalog = catalog_new();
    s->types = go_types_new();
    s->target = (struct apply_target){ .client = c, .events = events };
    s->echo = echo_new();
    s->pending = pending_new(clock);
    s->count = metric_gauge("kaito_inferenceset_count", "InferenceSets by phase", labels);
    add_informers(s, m);
    s->controller = controller_new(&(struct controller_options){ .name = "inferenceset",
                                                                 .workers = WORKERS,
                                                                 .reconcile = reconcile,
                                                                 .ctx = s,
                                                                 .clock = clock });
    add_watches(s);
    manager_add(m, s->controller);
    if (settings->provisioner == PROVISIONER_KARPENTER)
        s->drift = drift_controller_add(m, c, events, clock, s->caches.sets, s->caches.workspaces);
    *ret = s;
    return 0;
}

void inference_set_controller_free(struct inference_set_controller *s)
{
    if (!s)
        return;
    drift_controller_free(s->drift);
    pending_free(s->pending);
    echo_free(s->echo);
    go_types_free(s->types);
    catalog_free(s->catalog);
    free(s);
}

struct controller *inference_set_controller_inner(struct inference_set_controller *s)
{
    return s->controller;
}

struct controller *inference_set_controller_drift(struct inference_set_controller *s)
{
    return s->drift ? drift_controller_inner(s->drift) : NULL;
}
