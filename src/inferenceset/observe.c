#include "inferenceset/observe.h"

#include "api/inference_set.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"

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

void set_project_workspace(struct arena *a, struct json *obj)
{
    json_del(json_find(obj, "metadata", "annotations"),
             "kubectl.kubernetes.io/last-applied-configuration");
    json_del(json_get(obj, "status"), "workerNodes");
}

bool set_keep_workspace(void *ctx, const struct json *obj)
{
    return meta_label(obj, WORKSPACE_CREATED_BY) ||
           str_eq(json_find_str(meta_controller_of(obj), "kind"), KUBE_INFERENCE_SETS.kind);
}

void set_project_statefulset(struct arena *a, struct json *obj)
{
    static const char *const metadata_keys[] = { "name",
                                                 "namespace",
                                                 "uid",
                                                 "generation",
                                                 "annotations",
                                                 "ownerReferences",
                                                 "resourceVersion",
                                                 NULL };
    static const char *const annotation_keys[] = { WORKSPACE_REVISION, NULL };
    static const char *const spec_keys[] = { "replicas", "template", NULL };
    static const char *const template_keys[] = { "spec", NULL };
    static const char *const pod_keys[] = { "containers", NULL };
    static const char *const container_keys[] = { "name", "image", NULL };
    static const char *const status_keys[] = { "observedGeneration", "readyReplicas",
                                               "updatedReplicas",    "updateRevision",
                                               "currentRevision",    NULL };
    keep_only(json_get(obj, "metadata"), metadata_keys);
    keep_only(json_find(obj, "metadata", "annotations"), annotation_keys);
    keep_only(json_get(obj, "spec"), spec_keys);
    keep_only(json_find(obj, "spec", "template"), template_keys);
    keep_only(json_find(obj, "spec", "template", "spec"), pod_keys);
    JSON_FOREACH(it, json_find(obj, "spec", "template", "spec", "containers"))
        keep_only(it.value, container_keys);
    keep_only(json_get(obj, "status"), status_keys);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static struct json *cached(struct arena *a, struct informer *i, const char *ns, const char *name)
{
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(i, ns, name);
    return o ? kube_object_parse(a, o) : NULL;
}

static struct json *labelled(struct arena *a, struct informer *i, const char *ns, const char *key,
                             const char *value, const char *owner_uid)
{
    CLEANUP(selector_cleanup) struct selector *match = NULL;
    struct json *list = EMPTY_ARR();
    if (selector_parse_labels(arena_printf(a, "%s=%s", key, value), &match, NULL) < 0)
        return list;
    struct kube_object_list objects = { 0 };
    informer_list(i, ns, match, &objects);
    for (size_t k = 0; k < objects.count; k++) {
        const struct kube_object *o = objects.items[k];
        if (!*o->controller_uid || STREQ(o->controller_uid, owner_uid))
            json_append(list, kube_object_parse(a, o));
    }
    kube_object_list_done(&objects);
    return list;
}

static struct json *detached(struct arena *a, struct informer *i, const char *uid, const char *name)
{
    struct json *list = EMPTY_ARR();
    struct kube_object_list objects = { 0 };
    informer_list_owned(i, uid, &objects);
    for (size_t k = 0; k < objects.count; k++)
        if (!str_eq(kube_object_label(objects.items[k], WORKSPACE_CREATED_BY), name))
            json_append(list, STR(objects.items[k]->name));
    kube_object_list_done(&objects);
    return list;
}

bool set_observe(struct arena *a, const struct set_caches *caches, const char *ns, const char *name,
                 struct set_observed *ret)
{
    const struct json *set = cached(a, caches->sets, ns, name);
    if (!set)
        return false;
    const char *uid = meta_uid(set);
    struct json *statefulsets = EMPTY_OBJ();
    *ret = (struct set_observed){
        .set = set,
        .children = labelled(a, caches->workspaces, ns, WORKSPACE_CREATED_BY, name, uid),
        .detached = detached(a, caches->workspaces, uid, name),
        .revisions = labelled(a, caches->revisions, ns, INFERENCE_SET_REVISION_NAME, name, uid),
        .statefulsets = statefulsets,
    };
    JSON_FOREACH(it, ret->children)
        json_set(a, statefulsets, meta_name(it.value),
                 cached(a, caches->statefulsets, ns, meta_name(it.value)));
    if (caches->pool.releases)
        pool_observe(a, &caches->pool, ns, name, &ret->pool);
    return true;
}
