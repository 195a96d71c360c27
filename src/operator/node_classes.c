#include "operator/node_classes.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/build.h"

struct node_classes {
    struct kube_client *client;
    const struct operator_settings *settings;
    struct kube_resource resource;
    struct informer *classes;
    struct controller *controller;
};

static const struct json *settings_of(const struct node_classes *n, const char *name)
{
    JSON_FOREACH(it, n->settings->node_classes)
        if (str_eq(json_find_str(it.value, "name"), name))
            return it.value;
    return NULL;
}

/* clang-format off */
static struct json *class_object(const struct node_classes *n, struct arena *a, const struct json *settings)
{
    bool is_default = json_find_bool(settings, false, "default");
    const struct json *spec = json_get(settings, "spec");
    return OBJ("apiVersion", STR(kube_api_version(a, &n->resource)),
               "kind", STR(n->resource.kind),
               "metadata", OBJ("name", STR(json_find_str(settings, "name")),
                               "labels", OBJ("karpenter.kaito.sh/managed-by", STR("kaito"),
                                             "karpenter.kaito.sh/default", is_default ? STR("true") : NULL)),
               "spec", spec ? json_clone(a, spec) : EMPTY_OBJ());
}
/* clang-format on */

/* The key is the name of a class. */
static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct node_classes *n = ctx;
    const struct json *settings = settings_of(n, key);
    CLEANUP(kube_object_cleanup) struct kube_object *there = informer_get(n->classes, "", key);
    if (!settings || there || !informer_served(n->classes))
        return 0;
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r = kube_create(n->client, &n->resource, NULL, class_object(n, a, settings), a, NULL, &e);
    if (r == 0 || r == -ERROR_ALREADY_EXISTS)
        return 0;
    *err = TAKE_PTR(e);
    return error_prefix(err, r, "creating %s %s", n->resource.kind, key);
}

static void add_all(void *ctx, bool served)
{
    struct node_classes *n = ctx;
    JSON_FOREACH(it, n->settings->node_classes)
        workqueue_add(controller_queue(n->controller), json_find_str(it.value, "name"));
}

struct node_classes *node_classes_add(struct manager *m, struct kube_client *client,
                                      const struct operator_settings *settings,
                                      struct nodes_cache *cache, struct clock *clock)
{
    struct node_classes *n = NEW0(struct node_classes);
    n->classes = nodes_cache_classes(cache, add_all, n);
    if (!n->classes) {
        free(n);
        return NULL;
    }
    n->client = client;
    n->settings = settings;
    n->resource = nodes_class_resource(settings);
    n->controller = controller_new(&(struct controller_options){
        .name = "node-classes", .reconcile = reconcile, .ctx = n, .clock = clock });
    controller_watch(n->controller, n->classes); /* one that is deleted is made again */
    add_all(n, true);
    manager_add(m, n->controller);
    return n;
}

void node_classes_free(struct node_classes *n)
{
    free(n);
}

struct controller *node_classes_controller(struct node_classes *n)
{
    return n->controller;
}
