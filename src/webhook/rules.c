#include "webhook/rules.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/selector.h"
#include "json/build.h"

/* An API server gives a webhook ten seconds. */
#define LOOK_UP_TIMEOUT_MS 3000

static const struct kube_resource csi_drivers = { "storage.k8s.io", "v1", "csidrivers", "CSIDriver",
                                                  false };

struct webhook_rules {
    struct webhook_rules_options o;
    struct kube_client *client;
    struct catalog *own_catalog;
    struct go_types *types;
};

/* One review's view of the cluster. A look-up that fails is not the same as one that finds nothing:
 * then there is no verdict. */
struct view {
    struct webhook_rules *rules;
    struct error *err; /* the first */
};

static void fail(struct view *v, struct error *err, const char *what)
{
    if (v->err) {
        error_free(err);
        return;
    }
    error_prefix(&err, 0, "%s", what);
    v->err = err;
}

static struct kube_object_list no_objects(void)
{
    return (struct kube_object_list){ 0 };
}

static bool is_there(struct informer *i)
{
    return i && informer_synced(i);
}

static const struct json *config_map(void *ctx, struct arena *a, const char *ns, const char *name)
{
    struct view *v = ctx;
    struct informer *cache = v->rules->o.config_maps;
    if (is_there(cache)) {
        CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(cache, ns, name);
        return o ? kube_object_parse(a, o) : NULL;
    }
    struct json *found = NULL;
    struct error *err = NULL;
    int r = kube_get(v->rules->client, &KUBE_CONFIGMAPS, ns, name, a, &found, &err);
    if (r == -ERROR_NOT_FOUND)
        error_free(err);
    else if (r < 0)
        fail(v, err, arena_printf(a, "ConfigMap %s/%s", ns, name));
    return r < 0 ? NULL : found;
}

static const struct json *cached_nodes(struct informer *cache, struct arena *a,
                                       const struct selector *match)
{
    struct kube_object_list l = no_objects();
    informer_list(cache, NULL, match, &l);
    struct json *nodes = EMPTY_ARR();
    for (size_t i = 0; i < l.count; i++)
        json_append(nodes, kube_object_parse(a, l.items[i]));
    kube_object_list_done(&l);
    return nodes;
}

static const struct json *nodes(void *ctx, struct arena *a, const struct json *labels)
{
    struct view *v = ctx;
    CLEANUP(selector_cleanup) struct selector *match = NULL;
    struct error *err = NULL;
    if (selector_from_object(OBJ("matchLabels", json_clone(a, labels)), &match, &err) < 0) {
        error_free(err); /* labels that no Node can have; the API server says so elsewhere */
        return EMPTY_ARR();
    }
    if (is_there(v->rules->o.nodes))
        return cached_nodes(v->rules->o.nodes, a, match);
    struct json *list = NULL;
    struct kube_list_options options = { .label_selector = selector_text(a, match) };
    if (kube_list(v->rules->client, &KUBE_NODES, &options, a, &list, &err) < 0) {
        fail(v, err, "the list of Nodes");
        return EMPTY_ARR();
    }
    const struct json *items = json_get(list, "items");
    return items ? items : EMPTY_ARR();
}

/* Without the right to look, it is taken to be there. */
static bool exists(void *ctx, enum admission_thing thing, const char *name)
{
    struct view *v = ctx;
    AUTO_ARENA a = arena_new();
    struct json *found = NULL;
    struct error *err = NULL;
    const struct kube_resource *r =
        thing == ADMISSION_CSI_DRIVER ? &csi_drivers : &KUBE_STORAGE_CLASSES;
    int status = kube_get(v->rules->client, r, NULL, name, a, &found, &err);
    if (status == 0)
        return true;
    if (status == -ERROR_NOT_FOUND || status == -ERROR_FORBIDDEN)
        error_free(err);
    else
        fail(v, err, arena_printf(a, "%s %s", r->kind, name));
    return status != -ERROR_NOT_FOUND;
}

int webhook_rules_review(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                         struct error **err)
{
    struct webhook_rules *r = ctx;
    struct view v = { .rules = r };
    const struct admission_world world = {
        .ctx = &v,
        .config_map = config_map,
        .nodes = nodes,
        .exists = exists,
    };
    const struct admission ad = {
        .settings = r->o.settings,
        .catalog = r->o.catalog,
        .types = r->types,
        .world = &world,
    };
    *ret = admission_respond(a, &ad, request);
    if (!v.err)
        return 0;
    int code = -(int)error_code(v.err);
    if (err)
        *err = TAKE_PTR(v.err);
    error_free(v.err);
    return code;
}

struct webhook_rules *webhook_rules_new(const struct webhook_rules_options *options)
{
    struct webhook_rules *r = NEW0(struct webhook_rules);
    r->o = *options;
    r->client = kube_client_new(kube_client_transport(options->client),
                                &(struct kube_client_options){ .timeout_ms = LOOK_UP_TIMEOUT_MS });
    if (!r->o.catalog)
        r->o.catalog = r->own_catalog = catalog_new();
    r->types = go_types_new();
    return r;
}

void webhook_rules_free(struct webhook_rules *r)
{
    if (!r)
        return;
    kube_client_free(r->client);
    if (r->own_catalog)
        catalog_free(r->own_catalog);
    go_types_free(r->types);
    free(r);
}
