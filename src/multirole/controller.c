/* Informers, keys and the reconcile function. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "multirole/decide.h"
#include "multirole/multirole.h"
#include "operator/apply.h"
#include "operator/echo.h"

struct multi_role_controller {
    const struct operator_settings *settings;
    struct clock *clock;
    struct multi_role_caches caches;
    struct apply_target target;
    struct controller *controller;
    struct echo *echo;
};

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct multi_role_controller *m = ctx;
    const char *ns = NULL, *name = NULL;
    kube_key_split(a, key, &ns, &name);
    struct multi_role_observed observed = { 0 };
    if (!multi_role_observe(a, &m->caches, ns, name, &observed)) {
        echo_remember(m->echo, key, NULL);
        return 0;
    }
    if (echo_awaited(m->echo, key, meta_resource_version(observed.object))) {
        ret->requeue_after_ms = ECHO_WAIT_MS;
        return 0;
    }
    struct decision decision;
    multi_role_decide(a,
                      &(struct multi_role_input){ .settings = m->settings,
                                                  .now_ns = clock_wall(m->clock),
                                                  .observed = &observed },
                      &decision);
    const struct apply_subject subject = { .resource = &KUBE_MULTI_ROLE_INFERENCES,
                                           .object = observed.object };
    const char *version = NULL;
    int r = operator_apply(a, &m->target, &subject, &decision, &version, err);
    if (version)
        echo_remember(m->echo, key, version);
    return r;
}

/* ---- which one a change is about ------------------------------------------------------------------------------------- */

/* InferenceSets of its names: its own, or somebody else's that are in its way. */
static void map_set(void *ctx, struct workqueue *q, struct kube_object *old,
                    struct kube_object *new)
{
    struct multi_role_controller *m = ctx;
    const struct kube_object *o = new ? new : old;
    AUTO_ARENA a = arena_new();
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        const char *end = arena_printf(a, "-%s", role_name(role));
        if (!str_has_suffix(o->name, end))
            continue;
        const char *name = arena_strndup(a, o->name, strlen(o->name) - strlen(end));
        CLEANUP(kube_object_cleanup)
        struct kube_object *object = informer_get(m->caches.objects, o->ns, name);
        if (object)
            workqueue_add(q, kube_key(a, o->ns, name));
    }
}

static void map_config_map(void *ctx, struct workqueue *q, struct kube_object *old,
                           struct kube_object *new)
{
    struct multi_role_controller *m = ctx;
    const struct kube_object *o = new ? new : old;
    AUTO_ARENA a = arena_new();
    struct kube_object_list all = { 0 };
    informer_list(m->caches.objects, o->ns, NULL, &all);
    for (size_t i = 0; i < all.count; i++) {
        const struct json *object = kube_object_parse(a, all.items[i]);
        if (str_eq(json_find_str(object, "spec", "eppPluginsConfig"), o->name))
            workqueue_add(q, kube_key(a, o->ns, all.items[i]->name));
    }
    kube_object_list_done(&all);
}

/* Flux was installed, or went. */
static void flux_changed(void *ctx, bool served)
{
    struct multi_role_controller *m = ctx;
    AUTO_ARENA a = arena_new();
    struct kube_object_list all = { 0 };
    informer_list(m->caches.objects, NULL, NULL, &all);
    for (size_t i = 0; i < all.count; i++)
        workqueue_add(controller_queue(m->controller),
                      kube_key(a, all.items[i]->ns, all.items[i]->name));
    kube_object_list_done(&all);
}

/* ---- life ------------------------------------------------------------------------------------------------------------- */

static void project_config_map(struct arena *a, struct json *obj)
{
    const struct json *text = json_find(obj, "data", MULTI_ROLE_PLUGINS_KEY);
    json_set(a, obj, "data", text ? OBJ(MULTI_ROLE_PLUGINS_KEY, json_clone(a, text)) : NULL);
    json_del(obj, "binaryData");
    json_del(json_get(obj, "metadata"), "annotations");
}

/* Those that can be an endpoint picker's configuration. */
static bool keep_config_map(void *ctx, const struct json *obj)
{
    return json_get(obj, "data") != NULL;
}

static void add_gateway(struct multi_role_controller *m, struct manager *manager)
{
    m->caches.config_maps =
        manager_informer(manager, &KUBE_CONFIGMAPS,
                         &(struct informer_options){ .field_selector =
                                                         "metadata.name!=kube-root-ca.crt",
                                                     .project = project_config_map,
                                                     .keep = keep_config_map });
    m->caches.pool = pool_informers(manager);
    informer_on_served(m->caches.pool.repositories, flux_changed, m);
    informer_on_served(m->caches.pool.releases, flux_changed, m);
    controller_watch_mapped(m->controller, m->caches.config_maps, map_config_map, m);
    controller_watch_owned(m->controller, m->caches.pool.repositories,
                           KUBE_MULTI_ROLE_INFERENCES.kind);
    controller_watch_owned(m->controller, m->caches.pool.releases, KUBE_MULTI_ROLE_INFERENCES.kind);
}

int multi_role_controller_add(struct manager *manager, struct kube_client *c,
                              const struct operator_settings *settings,
                              struct event_recorder *events, struct clock *clock,
                              struct multi_role_controller **ret, struct error **err)
{
    struct multi_role_controller *m = NEW0(struct multi_role_controller);
    m->settings = settings;
    m->clock = clock;
    m->target = (struct apply_target){ .client = c, .events = events };
    m->echo = echo_new();
    m->controller = controller_new(&(struct controller_options){
        .name = "multiroleinference", .reconcile = reconcile, .ctx = m, .clock = clock });
    m->caches.objects =
        manager_informer(manager, &KUBE_MULTI_ROLE_INFERENCES, &(struct informer_options){ 0 });
    m->caches.sets =
        manager_informer(manager, &KUBE_INFERENCE_SETS, &(struct informer_options){ 0 });
    controller_watch(m->controller, m->caches.objects);
    controller_watch_mapped(m->controller, m->caches.sets, map_set, m);
    if (settings->gates.on[GATE_GATEWAY_API])
        add_gateway(m, manager);
    manager_add(manager, m->controller);
    *ret = m;
    return 0;
}

void multi_role_controller_free(struct multi_role_controller *m)
{
    if (!m)
        return;
    echo_free(m->echo);
    free(m);
}

struct controller *multi_role_controller_inner(struct multi_role_controller *m)
{
    return m->controller;
}
