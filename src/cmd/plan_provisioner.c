#include "cmd/plan_provisioner.h"

#include "base/str.h"
#include "catalog/sku.h"
#include "kube/meta.h"
#include "json/build.h"

#define INSTANCE_TYPE "node.kubernetes.io/instance-type"
#define NODE_POOL "karpenter.sh/nodepool"
#define NODE_MEMORY "1Ti"
#define NODE_CPUS "96"

/* ---- NodeClaims ------------------------------------------------------------------------------------------------- */

static struct json *ready_conditions(struct arena *a, const char *const *types, size_t count)
{
    struct json *list = EMPTY_ARR();
    for (size_t i = 0; i < count; i++)
        json_append(list,
                    OBJ("type", STR(types[i]), "status", STR("True"), "reason", STR(types[i]),
                        "message", STR(""), "lastTransitionTime", STR("2026-01-01T00:00:00Z")));
    return list;
}

/* The one value that a claim requires of a node's label; NULL: none. */
static const char *required_value(const struct json *claim, const char *key)
{
    JSON_FOREACH(it, json_find(claim, "spec", "requirements"))
        if (str_eq(json_find_str(it.value, "key"), key))
            return json_string(json_at(json_get(it.value, "values"), 0));
    return NULL;
}

static struct json *node_object(struct arena *a, const struct json *claim, const char *type)
{
    struct json *labels = json_clone(a, json_find(claim, "metadata", "labels"));
    labels = labels ? labels : EMPTY_OBJ();
    json_set_str(a, labels, INSTANCE_TYPE, type);
    json_set_str(a, labels, "kubernetes.io/os", "linux");
    json_set_str(a, labels, "accelerator", "nvidia");
    return OBJ("apiVersion", STR("v1"), "kind", STR("Node"), "metadata",
               OBJ("name", STRF("node-of-%s", meta_name(claim)), "labels", labels));
}

static struct json *node_status(struct arena *a, const struct sku *sku)
{
    static const char *const types[] = { "Ready" };
    struct json *capacity =
        OBJ("cpu", STR(NODE_CPUS), "memory", STR(NODE_MEMORY), "pods", STR("110"));
    if (sku && sku->gpu_count > 0)
        json_set(a, capacity, "nvidia.com/gpu", STRF("%lld", (long long)sku->gpu_count));
    return OBJ("status", OBJ("capacity", capacity, "allocatable", json_clone(a, capacity),
                             "conditions", ready_conditions(a, types, 1)));
}

static int provide_node(struct arena *a, struct kube_client *c,
                        const struct operator_settings *settings, const struct catalog *catalog,
                        const struct json *claim, struct error **err)
{
    static const char *const types[] = { "Launched", "Registered", "Initialized", "Ready" };
    const char *type = required_value(claim, INSTANCE_TYPE);
    struct json *node = node_object(a, claim, type ? type : "");
    const struct sku *sku = sku_find(catalog, settings->cloud, type ? type : "");
    int r = kube_create(c, &KUBE_NODES, NULL, node, a, NULL, err);
    if (r == 0)
        r = kube_patch(c, &KUBE_NODES, NULL, meta_name(node), "status", KUBE_PATCH_MERGE,
                       node_status(a, sku), a, NULL, err);
    struct json *status = OBJ("status", OBJ("nodeName", STR(meta_name(node)), "conditions",
                                            ready_conditions(a, types, COUNT_OF(types))));
    if (r == 0)
        r = kube_patch(c, &KUBE_NODECLAIMS, NULL, meta_name(claim), "status", KUBE_PATCH_MERGE,
                       status, a, NULL, err);
    return r;
}

/* ---- NodePools -------------------------------------------------------------------------------------------------- */

static struct json *claim_of_pool(struct arena *a, const struct json *pool, int64_t ordinal)
{
    const struct json *template = json_find(pool, "spec", "template");
    struct json *labels = json_clone(a, json_find(template, "metadata", "labels"));
    labels = labels ? labels : EMPTY_OBJ();
    json_set_str(a, labels, NODE_POOL, meta_name(pool));
    return OBJ("metadata",
               OBJ("name", STRF("%s-%lld", meta_name(pool), (long long)ordinal), "labels", labels,
                   "annotations", json_clone(a, json_find(template, "metadata", "annotations"))),
               "spec", json_clone(a, json_get(template, "spec")));
}

static int64_t claims_of_pool(const struct json *claims, const char *pool)
{
    int64_t count = 0;
    JSON_FOREACH(it, claims)
        count += str_eq(meta_label(it.value, NODE_POOL), pool);
    return count;
}

static int fill_pool(struct arena *a, struct kube_client *c, const struct json *pool,
                     const struct json *claims, size_t *ret_made, struct error **err)
{
    int64_t want = json_find_int(pool, 0, "spec", "replicas");
    for (int64_t i = claims_of_pool(claims, meta_name(pool)); i < want; i++) {
        int r = kube_create(c, &KUBE_NODECLAIMS, NULL, claim_of_pool(a, pool, i), a, NULL, err);
        if (r < 0)
            return r;
        ++*ret_made;
    }
    return 0;
}

/* ---- together --------------------------------------------------------------------------------------------------- */

int plan_provision(struct arena *a, struct kube_client *c, const struct operator_settings *settings,
                   const struct catalog *catalog, size_t *ret_made, struct error **err)
{
    struct json *pools = NULL, *claims = NULL;
    *ret_made = 0;
    int r = kube_list(c, &KUBE_NODECLAIMS, &(struct kube_list_options){ 0 }, a, &claims, err);
    if (r == 0)
        r = kube_list(c, &KUBE_NODEPOOLS, &(struct kube_list_options){ 0 }, a, &pools, err);
    if (r < 0)
        return r;
    JSON_FOREACH(it, json_get(pools, "items"))
        if ((r = fill_pool(a, c, it.value, json_get(claims, "items"), ret_made, err)) < 0)
            return r;
    JSON_FOREACH(it, json_get(claims, "items")) {
        if (json_find(it.value, "status", "nodeName"))
            continue;
        r = provide_node(a, c, settings, catalog, it.value, err);
        if (r < 0)
            return r;
        ++*ret_made;
    }
    return 0;
}

int plan_ready_node_classes(struct arena *a, struct kube_client *c,
                            const struct kube_resource *node_classes, struct error **err)
{
    static const char *const types[] = { "Ready" };
    struct json *list = NULL;
    int r = kube_list(c, node_classes, &(struct kube_list_options){ 0 }, a, &list, err);
    JSON_FOREACH(it, json_get(list, "items"))
        if (r == 0 && !json_find(it.value, "status", "conditions"))
            r = kube_patch(c, node_classes, NULL, meta_name(it.value), "status", KUBE_PATCH_MERGE,
                           OBJ("status", OBJ("conditions", ready_conditions(a, types, 1))), a, NULL,
                           err);
    return r;
}
