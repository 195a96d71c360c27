/* The NodePools of an InferenceSet are made with a budget of zero for drifted nodes, so that
 * Karpenter replaces none on its own. Here one pool after the other gets a budget of one, until
 * none of its nodes is drifted and its Workspace serves again. The budget itself is the memory of
 * where this stands, so a restart goes on with the same pool. */
#include "inferenceset/drift.h"

#include <stdlib.h>

#include "api/workspace.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "operator/apply.h"

#define POOL_SET "karpenter.kaito.sh/inferenceset" /* labels of NodePools */
#define POOL_SET_NAMESPACE "karpenter.kaito.sh/inferenceset-namespace"
#define POOL_WORKSPACE "karpenter.kaito.sh/workspace-name"
#define CLAIM_POOL "karpenter.sh/nodepool" /* of NodeClaims */
#define DRIFTED "Drifted"

/* ---- decide --------------------------------------------------------------------------------------------------------- */

/* The budget for drifted nodes; NULL: the pool has none. */
static struct json *drift_budget(const struct json *pool)
{
    JSON_FOREACH(it, json_find(pool, "spec", "disruption", "budgets"))
        JSON_FOREACH(reason, json_get(it.value, "reasons"))
            if (str_eq(json_string(reason.value), DRIFTED))
                return it.value;
    return NULL;
}

static bool open_for_drift(const struct json *pool)
{
    const char *nodes = json_find_str(drift_budget(pool), "nodes");
    return nodes && !STREQ(nodes, "0");
}

static bool has_drifted(const struct drift_observed *o, const struct json *pool)
{
    JSON_FOREACH(it, o->claims)
        if (str_eq(meta_label(it.value, CLAIM_POOL), meta_name(pool)) &&
            condition_is(json_find(it.value, "status", "conditions"), DRIFTED, "True"))
            return true;
    return false;
}

static bool serves(const struct drift_observed *o, const struct json *pool)
{
    JSON_FOREACH(it, o->workspaces)
        if (str_eq(meta_name(it.value), meta_label(pool, POOL_WORKSPACE)))
            return condition_is(json_find(it.value, "status", "conditions"), "WorkspaceSucceeded",
                                "True");
    return true; /* gone: nobody waits for it */
}

static void set_budget(struct arena *a, struct decision *d, const struct json *pool,
                       const char *nodes, const char *reason, const char *message)
{
    struct json *copy = json_clone(a, pool);
    json_set_str(a, drift_budget(copy), "nodes", nodes);
    struct json *budgets = json_clone(a, json_find(copy, "spec", "disruption", "budgets"));
    struct json *patch = OBJ("metadata", OBJ("resourceVersion", STR(meta_resource_version(pool))),
                             "spec", OBJ("disruption", OBJ("budgets", budgets)));
    struct write *w = decision_write(a, d, WRITE_PATCH, &KUBE_NODEPOOLS, meta_name(pool), patch);
    w->done = (struct decided_event){ "Normal", reason, message, NULL };
}

void drift_decide(struct arena *a, const struct drift_observed *o, struct decision *ret)
{
    *ret = (struct decision){ 0 };
    const struct json *open = NULL, *next = NULL;
    JSON_FOREACH(it, o->pools) {
        if (meta_deleting(it.value) || !drift_budget(it.value))
            continue;
        if (open_for_drift(it.value)) {
            if (open) /* two at once: somebody else opened one */
                set_budget(a, ret, it.value, "0", "DriftComplete",
                           arena_printf(a, "NodePool %s waits for its turn", meta_name(it.value)));
            else
                open = it.value;
        } else if (!next && has_drifted(o, it.value)) {
            next = it.value;
        }
    }
    if (meta_deleting(o->set))
        return;
    if (open && !has_drifted(o, open) && serves(o, open))
        set_budget(a, ret, open, "0", "DriftComplete",
                   arena_printf(a, "the nodes of NodePool %s are up to date", meta_name(open)));
    else if (!open && next)
        set_budget(a, ret, next, "1", "DriftStarted",
                   arena_printf(a, "drifted nodes of NodePool %s are replaced", meta_name(next)));
}

/* ---- controller ------------------------------------------------------------------------------------------------------- */

struct drift_controller {
    struct informer *sets, *workspaces, *pools, *claims;
    struct apply_target target;
    struct controller *controller;
};

static struct json *selected(struct arena *a, struct informer *i, const char *ns,
                             const char *labels)
{
    CLEANUP(selector_cleanup) struct selector *match = NULL;
    struct json *list = EMPTY_ARR();
    if (selector_parse_labels(labels, &match, NULL) < 0)
        return list;
    struct kube_object_list objects = { 0 };
    informer_list(i, ns, match, &objects);
    for (size_t k = 0; k < objects.count; k++)
        json_append(list, kube_object_parse(a, objects.items[k]));
    kube_object_list_done(&objects);
    return list;
}

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct drift_controller *d = ctx;
    const char *ns = NULL, *name = NULL;
    kube_key_split(a, key, &ns, &name);
    CLEANUP(kube_object_cleanup) struct kube_object *set = informer_get(d->sets, ns, name);
    if (!set)
        return 0;
    const char *labels = arena_printf(a, POOL_SET "=%s," POOL_SET_NAMESPACE "=%s", name, ns);
    struct drift_observed o = {
        .set = kube_object_parse(a, set),
        .pools = selected(a, d->pools, NULL, labels),
        .claims = selected(a, d->claims, NULL, labels),
        .workspaces =
            selected(a, d->workspaces, ns, arena_printf(a, WORKSPACE_CREATED_BY "=%s", name)),
    };
    struct decision decision;
    drift_decide(a, &o, &decision);
    const char *version = NULL;
    const struct apply_subject subject = { .resource = &KUBE_INFERENCE_SETS, .object = o.set };
    return operator_apply(a, &d->target, &subject, &decision, &version, err);
}

static void map_labelled(void *ctx, struct workqueue *q, struct kube_object *old,
                         struct kube_object *new)
{
    const struct kube_object *o = new ? new : old;
    const char *name = kube_object_label(o, POOL_SET),
               *ns = kube_object_label(o, POOL_SET_NAMESPACE);
    AUTO_ARENA a = arena_new();
    if (name && ns)
        workqueue_add(q, kube_key(a, ns, name));
}

static void map_workspace(void *ctx, struct workqueue *q, struct kube_object *old,
                          struct kube_object *new)
{
    const struct kube_object *both[] = { old, new };
    for (size_t i = 0; i < COUNT_OF(both); i++) {
        const char *name = both[i] ? kube_object_label(both[i], WORKSPACE_CREATED_BY) : NULL;
        if (!name)
            continue;
        AUTO_ARENA a = arena_new();
        workqueue_add(q, kube_key(a, both[i]->ns, name));
    }
}

struct drift_controller *drift_controller_add(struct manager *m, struct kube_client *c,
                                              struct event_recorder *events, struct clock *clock,
                                              struct informer *sets, struct informer *workspaces)
{
    const struct informer_options options = { .label_selector = POOL_SET, .optional = true };
    struct drift_controller *d = NEW0(struct drift_controller);
    d->sets = sets;
    d->workspaces = workspaces;
    d->pools = manager_informer(m, &KUBE_NODEPOOLS, &options);
    d->claims = manager_informer(m, &KUBE_NODECLAIMS, &options);
    d->target = (struct apply_target){ .client = c, .events = events };
    d->controller = controller_new(&(struct controller_options){
        .name = "inferenceset-drift", .reconcile = reconcile, .ctx = d, .clock = clock });
    controller_watch_mapped(d->controller, d->pools, map_labelled, d);
    controller_watch_mapped(d->controller, d->claims, map_labelled, d);
    controller_watch_mapped(d->controller, d->workspaces, map_workspace, d);
    manager_add(m, d->controller);
    return d;
}

void drift_controller_free(struct drift_controller *d)
{
    free(d);
}

struct controller *drift_controller_inner(struct drift_controller *d)
{
    return d->controller;
}
