/* Informers, keys and the reconcile function. Everything that a decision depends on is watched, so
 * that nothing has to be asked for again and again; the exception is the model store, whose files
 * nobody announces. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "operator/echo.h"
#include "operator/node_classes.h"
#include "workspace/apply.h"
#include "workspace/streaming.h"

#define WORKERS 5
#define GIVE_WAY_MS 500
#define RUSH_NS (2 * NS_PER_S)
#define LONGEST_RUSH_NS (30 * NS_PER_S)
/* While the nodes that a new Workspace asks for are being listed; the end of the list wakes it. */
#define NODES_WAIT_MS 1000

struct workspace_controller {
    const struct operator_settings *settings;
    struct clock *clock;
    struct catalog *catalog;
    struct go_types *types;
    struct workspace_caches caches;
    struct apply_target target;
    struct controller *controller;
    struct node_classes *node_classes; /* NULL: there are none to make */
    int64_t newest_ns;                 /* when a new Workspace was seen last; atomic; 0: none was */
    struct echo *echo;
};

const char *workspace_state(const struct json *workspace)
{
    const char *state = json_find_str(workspace, "status", "state");
    return state ? state : "";
}

/* The finalizer tells that a reconcile has seen it. */
static bool is_known(const struct kube_object *workspace)
{
    return strstr(workspace->text, "\"" WORKSPACE_FINALIZER "\"");
}

/* ---- many at once --------------------------------------------------------------------------------------------------- */

/* While new Workspaces come in numbers, and the API server may not be asked any faster, those whose
 * machines have been asked for wait: what is left to do for them takes seconds, their machines take
 * minutes. */
static bool gives_way(struct workspace_controller *w, const char *ns, const char *name)
{
    int64_t newest = __atomic_load_n(&w->newest_ns, __ATOMIC_RELAXED);
    if (newest == 0 || clock_mono(w->clock) - newest > RUSH_NS ||
        !kube_client_pressed(w->target.client))
        return false;
    AUTO_ARENA a = arena_new();
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = informer_get(w->caches.workspaces, ns, name);
    if (!o || o->deleting || !is_known(o))
        return false;
    const char *text = json_find_str(kube_object_parse(a, o), "metadata", "creationTimestamp");
    int64_t created = 0;
    return text && time_parse_rfc3339(text, &created) == 0 &&
           clock_wall(w->clock) - created < LONGEST_RUSH_NS;
}

/* ---- reconcile ------------------------------------------------------------------------------------------------------ */

static struct decide_input decide_input_of(struct workspace_controller *w,
                                           const struct observed *observed)
{
    return (struct decide_input){
        .settings = w->settings,
        .catalog = w->catalog,
        .types = w->types,
        .now_ns = clock_wall(w->clock),
        .observed = observed,
    };
}

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct workspace_controller *w = ctx;
    const char *ns = NULL;
    const char *name = NULL;
    kube_key_split(a, key, &ns, &name);
    if (gives_way(w, ns, name)) {
        ret->requeue_after_ms = GIVE_WAY_MS;
        return 0;
    }
    struct observed observed = { 0 };
    enum observe_state state = OBSERVE_ABSENT;
    int r = workspace_observe(a, &w->caches, w->target.client, w->settings, w->catalog, ns, name,
                              &observed, &state, err);
    if (r < 0)
        return r;
    if (state == OBSERVE_ABSENT) {
        echo_remember(w->echo, key, NULL);
        return 0;
    }
    if (state == OBSERVE_TOO_SOON) {
        ret->requeue_after_ms = NODES_WAIT_MS;
        return 0;
    }
    if (echo_awaited(w->echo, key, meta_resource_version(observed.workspace))) {
        ret->requeue_after_ms = ECHO_WAIT_MS;
        return 0;
    }
    struct decide_input in = decide_input_of(w, &observed);
    struct decision decision;
    workspace_decide(a, &in, &decision);
    const char *version = NULL;
    r = workspace_apply(a, &w->target, w->caches.nodes, &in, &decision, &version, err);
    if (version)
        echo_remember(w->echo, key, version);
    decision_requeue(&decision, decision_makes_machines(&decision) ? ECHO_WAIT_MS : 0);
    ret->requeue_after_ms = decision.requeue_ms;
    return r;
}

int workspace_controller_explain(struct workspace_controller *w, const char *ns, const char *name,
                                 struct arena *a, struct json **ret, struct error **err)
{
    struct observed observed = { 0 };
    enum observe_state state = OBSERVE_ABSENT;
    *ret = NULL;
    int r = workspace_observe(a, &w->caches, w->target.client, w->settings, w->catalog, ns, name,
                              &observed, &state, err);
    if (r < 0 || state != OBSERVED)
        return r;
    struct decide_input in = decide_input_of(w, &observed);
    *ret = workspace_explain(a, &in);
    return 0;
}

/* ---- which Workspace a change is about ------------------------------------------------------------------------------ */

static void add_key(struct workqueue *q, const char *ns, const char *name)
{
    AUTO_ARENA a = arena_new();
    workqueue_add(q, kube_key(a, ns, name));
}

/* A new one comes first: its machines take minutes to come. The finalizer tells that it was seen.
 */
static void map_workspace(void *ctx, struct workqueue *q, struct kube_object *old,
                          struct kube_object *new)
{
    struct kube_object *o = new ? new : old;
    AUTO_ARENA a = arena_new();
    if (old || is_known(o)) {
        workqueue_add(q, kube_key(a, o->ns, o->name));
        return;
    }
    workqueue_add_urgent(q, kube_key(a, o->ns, o->name));
    struct workspace_controller *w = ctx;
    __atomic_store_n(&w->newest_ns, clock_mono(w->clock), __ATOMIC_RELAXED);
}

static void map_pod(void *ctx, struct workqueue *q, struct kube_object *old,
                    struct kube_object *new)
{
    struct kube_object *pod = new ? new : old;
    const char *name = kube_object_label(pod, WORKSPACE_LABEL);
    if (name)
        add_key(q, pod->ns, name);
}

static void map_revision(void *ctx, struct workqueue *q, struct kube_object *old,
                         struct kube_object *new)
{
    struct kube_object *revision = new ? new : old;
    const char *name = kube_object_label(revision, WORKSPACE_REVISION_NAME);
    if (name)
        add_key(q, revision->ns, name);
}

/* Objects of others that bear the name of ours: a Workspace may wait for them to go. */
static void map_same_name(void *ctx, struct workqueue *q, struct kube_object *old,
                          struct kube_object *new)
{
    struct workspace_controller *w = ctx;
    struct kube_object *o = new ? new : old;
    if (STREQ(o->controller_kind, KUBE_WORKSPACES.kind))
        return;
    AUTO_ARENA a = arena_new();
    char *name = arena_strdup(a, o->name);
    if (str_has_suffix(name, "-headless"))
        name[strlen(name) - strlen("-headless")] = '\0';
    CLEANUP(kube_object_cleanup)
    struct kube_object *ws = informer_get(w->caches.workspaces, o->ns, name);
    if (ws)
        add_key(q, o->ns, name);
}

static bool node_matters(struct arena *a, const struct workspace *ws,
                         const struct kube_object *node)
{
    if (!node)
        return false;
    JSON_FOREACH(it, ws->node_labels)
        if (!str_eq(kube_object_label(node, it.key), json_string(it.value)))
            return false;
    return true;
}

static void map_node(void *ctx, struct workqueue *q, struct kube_object *old,
                     struct kube_object *new)
{
    struct workspace_controller *w = ctx;
    AUTO_ARENA a = arena_new();
    struct kube_object_list all = { 0 };
    informer_list(w->caches.workspaces, NULL, NULL, &all);
    for (size_t i = 0; i < all.count; i++) {
        arena_reset(a);
        struct workspace ws;
        workspace_read(a, kube_object_parse(a, all.items[i]), &ws);
        /* One that waits for its first node names the only one there is. */
        if (node_matters(a, &ws, old) || node_matters(a, &ws, new) ||
            nodes_cache_count(w->caches.nodes) <= 2)
            add_key(q, ws.ns, ws.name);
    }
    kube_object_list_done(&all);
}

/* What concerns all of them: a kind of the node provisioner's is served from now on. */
static void wake_all(void *ctx, struct workqueue *q)
{
    struct workspace_controller *w = ctx;
    struct kube_object_list all = { 0 };
    informer_list(w->caches.workspaces, NULL, NULL, &all);
    for (size_t i = 0; i < all.count; i++)
        add_key(q, all.items[i]->ns, all.items[i]->name);
    kube_object_list_done(&all);
}

/* A mirror is of a model: whoever runs it may wait for it. */
static void map_mirror(void *ctx, struct workqueue *q, struct kube_object *old,
                       struct kube_object *new)
{
    wake_all(ctx, q);
}

/* Nodes that nobody asks for are not kept. */
static void select_nodes(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct workspace_controller *w = ctx;
    if (!new) {
        nodes_cache_select(w->caches.nodes, old->ns, old->name, NULL);
        return;
    }
    AUTO_ARENA a = arena_new();
    struct workspace ws;
    workspace_read(a, kube_object_parse(a, new), &ws);
    nodes_cache_select(w->caches.nodes, ws.ns, ws.name, ws.node_labels);
}

static void map_config_map(void *ctx, struct workqueue *q, struct kube_object *old,
                           struct kube_object *new)
{
    struct workspace_controller *w = ctx;
    struct kube_object *o = new ? new : old;
    AUTO_ARENA a = arena_new();
    const char *mention = arena_printf(a, "\"config\":\"%s\"", o->name);
    const char *owner = streaming_script_owner(a, o->name);
    struct kube_object_list all = { 0 };
    informer_list(w->caches.workspaces, o->ns, NULL, &all);
    for (size_t i = 0; i < all.count; i++)
        if (strstr(all.items[i]->text, mention) || str_eq(owner, all.items[i]->name))
            add_key(q, all.items[i]->ns, all.items[i]->name);
    kube_object_list_done(&all);
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static struct informer *informer_for(struct manager *m, const struct kube_resource *r,
                                     const char *labels, const char *fields,
                                     void (*project)(struct arena *a, struct json *obj))
{
    return manager_informer(m, r,
                            &(struct informer_options){ .label_selector = labels,
                                                        .field_selector = fields,
                                                        .index_label = labels,
                                                        .project = project });
}

static void add_informers(struct workspace_controller *w, struct manager *m)
{
    struct workspace_caches *c = &w->caches;
    c->workspaces = manager_informer(m, &KUBE_WORKSPACES,
                                     &(struct informer_options){
                                         .index_label = WORKSPACE_CREATED_BY, .shared = true });
    c->statefulsets = manager_informer(m, &KUBE_STATEFULSETS,
                                       &(struct informer_options){
                                           .project = observe_project_workload, .shared = true });
    c->services = informer_for(m, &KUBE_SERVICES, NULL, NULL, observe_project_workload);
    c->revisions = informer_for(m, &KUBE_CONTROLLER_REVISIONS, WORKSPACE_REVISION_NAME, NULL,
                                observe_project_revision);
    c->jobs = manager_informer(m, &KUBE_JOBS,
                               &(struct informer_options){ .label_selector = WORKSPACE_LABEL,
                                                           .optional = true,
                                                           .project = observe_project_job });
    static const char local_disk[] = "metadata.name=" LOCAL_DISK_CLASS;
    bool streams = w->settings->gates.on[GATE_MODEL_STREAMING];
    if (streams)
        c->mirrors = manager_informer(m, &KUBE_MODEL_MIRRORS,
                                      &(struct informer_options){ .optional = true });
    c->storage_classes =
        manager_informer(m, &KUBE_STORAGE_CLASSES,
                         &(struct informer_options){ .field_selector = streams ? NULL : local_disk,
                                                     .optional = true,
                                                     .project = observe_project_storage_class });
    c->pods = informer_for(m, &KUBE_PODS, WORKSPACE_LABEL, NULL, observe_project_pod);
    c->nodes = nodes_cache_new(m, w->settings, &NODES_OF_WORKSPACES, c->workspaces, w->clock);
    /* before the watch that puts the key into the queue */
    informer_add_handler(c->workspaces, select_nodes, w);
    /* each namespace has this one, and nobody configures a model with it */
    c->config_maps = informer_for(m, &KUBE_CONFIGMAPS, NULL, "metadata.name!=kube-root-ca.crt",
                                  observe_project_config_map);
}

static void add_watches(struct workspace_controller *w)
{
    struct controller *c = w->controller;
    const struct workspace_caches *caches = &w->caches;
    controller_watch_mapped(c, caches->workspaces, map_workspace, w);
    controller_watch_owned(c, caches->statefulsets, KUBE_WORKSPACES.kind);
    controller_watch_mapped(c, caches->statefulsets, map_same_name, w);
    controller_watch_owned(c, caches->services, KUBE_WORKSPACES.kind);
    controller_watch_mapped(c, caches->services, map_same_name, w);
    controller_watch_owned(c, caches->jobs, KUBE_WORKSPACES.kind);
    controller_watch_mapped(c, caches->jobs, map_same_name, w);
    controller_watch_mapped(c, caches->revisions, map_revision, w);
    controller_watch_mapped(c, caches->pods, map_pod, w);
    nodes_cache_wake(caches->nodes, c,
                     &(struct nodes_wake){ .node = map_node, .all = wake_all, .ctx = w });
    controller_watch_mapped(c, caches->config_maps, map_config_map, w);
    if (caches->mirrors)
        controller_watch_mapped(c, caches->mirrors, map_mirror, w);
}

int workspace_controller_add(struct manager *m, struct kube_client *c,
                             const struct operator_settings *settings,
                             struct event_recorder *events, struct clock *clock,
                             struct workspace_controller **ret, struct error **err)
{
    struct workspace_controller *w = NEW0(struct workspace_controller);
    w->settings = settings;
    w->clock = clock;
    w->catalog = catalog_new();
    w->types = go_types_new();
    w->target = (struct apply_target){ .client = c, .events = events };
    w->echo = echo_new();
    add_informers(w, m);
    w->controller = controller_new(&(struct controller_options){
        .name = "workspace",
        .workers = WORKERS,
        .reconcile = reconcile,
        .ctx = w,
        .clock = clock,
    });
    add_watches(w);
    manager_add(m, w->controller);
    w->node_classes = node_classes_add(m, c, settings, w->caches.nodes, clock);
    *ret = w;
    return 0;
}

void workspace_controller_free(struct workspace_controller *w)
{
    if (!w)
        return;
    node_classes_free(w->node_classes);
    nodes_cache_free(w->caches.nodes);
    echo_free(w->echo);
    go_types_free(w->types);
    catalog_free(w->catalog);
    free(w);
}

const struct catalog *workspace_controller_catalog(const struct workspace_controller *w)
{
    return w->catalog;
}

bool workspace_controller_current(struct workspace_controller *w)
{
    return nodes_cache_current(w->caches.nodes);
}

struct controller *workspace_controller_classes(struct workspace_controller *w)
{
    return w->node_classes ? node_classes_controller(w->node_classes) : NULL;
}

size_t workspace_controller_nodes(struct workspace_controller *w)
{
    return nodes_cache_count(w->caches.nodes);
}

struct controller *workspace_controller_inner(struct workspace_controller *w)
{
    return w->controller;
}
