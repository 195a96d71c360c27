#include "workspace/observe.h"

#include <string.h>

#include "api/workspace.h"
#include "base/str.h"
#include "catalog/sku.h"
#include "http/crypto.h"
#include "hub/hub.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "workspace/engine.h"
#include "workspace/streaming.h"
#include "workspace/tuning.h"
#include "json/build.h"

#define MAX_LOG (32 * MIB)
#define MAX_CAPACITIES (8 * MIB)
#define TOKEN_KEY "HF_TOKEN"
#define MAX_TOKEN (4 * KIB)
/* How long a reconcile waits for the hub; when it asks again after no answer, and after a no. */
#define HUB_TIMEOUT_MS 10000
#define HUB_AGAIN_MS 30000
#define HUB_DENIED_MS 300000

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

static void keep_in(struct json *obj, const char *key, const char *const *keys)
{
    keep_only(json_get(obj, key), keys);
}

static const char *const identity_keys[] = { "name",
                                             "namespace",
                                             "uid",
                                             "resourceVersion",
                                             "generation",
                                             "deletionTimestamp",
                                             "labels",
                                             "annotations",
                                             "ownerReferences",
                                             NULL };
static const char *const top_keys[] = { "apiVersion", "kind", "metadata", "spec", "status", NULL };

void observe_project_workload(struct arena *a, struct json *obj)
{
    static const char *const spec_keys[] = {
        "type", "clusterIP", "replicas", "template", "volumeClaimTemplates", NULL
    };
    static const char *const template_keys[] = { "spec", NULL };
    static const char *const pod_keys[] = { "containers", "initContainers", "volumes",
                                            "imagePullSecrets", NULL };
    static const char *const container_keys[] = { "name",         "image",        "command", "env",
                                                  "volumeMounts", "startupProbe", NULL };
    static const char *const claim_keys[] = { "metadata", NULL };
    static const char *const probe_keys[] = { "exec", NULL };
    static const char *const status_keys[] = {
        "readyReplicas",      "replicas",
        "observedGeneration", "currentRevision",
        "updateRevision",     "loadBalancer",
        "updatedReplicas",    NULL /* the last one is for InferenceSets, which share this cache */
    };
    static const char *const foreign_keys[] = {
        "name", "namespace", "uid", "resourceVersion", "ownerReferences", NULL
    };
    struct json *metadata = json_get(obj, "metadata");
    keep_only(obj, top_keys);
    keep_in(obj, "spec", spec_keys);
    keep_in(obj, "status", status_keys);
    keep_in(json_get(obj, "spec"), "template", template_keys);
    keep_in(json_find(obj, "spec", "template"), "spec", pod_keys);
    JSON_FOREACH(it, json_find(obj, "spec", "template", "spec", "containers")) {
        keep_only(it.value, container_keys);
        keep_in(it.value, "startupProbe", probe_keys);
    }
    JSON_FOREACH(it, json_find(obj, "spec", "volumeClaimTemplates"))
        keep_only(it.value, claim_keys);
    bool ours = str_eq(json_find_str(meta_controller_of(obj), "kind"), KUBE_WORKSPACES.kind);
    keep_only(metadata, ours ? identity_keys : foreign_keys);
    json_del(json_get(metadata, "annotations"), "kubectl.kubernetes.io/last-applied-configuration");
    if (!ours) { /* only that it is there counts */
        json_del(obj, "spec");
        json_del(obj, "status");
    }
}

void observe_project_storage_class(struct arena *a, struct json *obj)
{
    static const char *const keys[] = { "apiVersion", "kind", "metadata", "provisioner", NULL };
    static const char *const metadata_keys[] = { "name", "uid", "resourceVersion", NULL };
    keep_only(obj, keys);
    keep_in(obj, "metadata", metadata_keys);
}

void observe_project_job(struct arena *a, struct json *obj)
{
    static const char *const spec_keys[] = { "backoffLimit", NULL };
    static const char *const status_keys[] = { "active", "ready",      "succeeded",
                                               "failed", "conditions", NULL };
    static const char *const condition_keys[] = { "type", "status", "reason", "message", NULL };
    keep_only(obj, top_keys);
    keep_in(obj, "metadata", identity_keys);
    keep_in(obj, "spec", spec_keys);
    keep_in(obj, "status", status_keys);
    JSON_FOREACH(it, json_find(obj, "status", "conditions"))
        keep_only(it.value, condition_keys);
}

void observe_project_revision(struct arena *a, struct json *obj)
{
    static const char *const keys[] = { "apiVersion", "kind", "metadata", "revision", NULL };
    keep_only(obj, keys);
    keep_in(obj, "metadata", identity_keys);
}

void observe_project_pod(struct arena *a, struct json *obj)
{
    static const char *const status_keys[] = {
        "phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses",
        NULL
    };
    static const char *const metadata_keys[] = {
        "name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "labels", NULL
    };
    static const char *const container_keys[] = { "name",  "ready",     "restartCount",
                                                  "state", "lastState", NULL };
    keep_only(obj, top_keys);
    json_del(obj, "spec");
    keep_in(obj, "metadata", metadata_keys);
    struct json *status = json_get(obj, "status");
    keep_only(status, status_keys);
    JSON_FOREACH(it, json_get(status, "containerStatuses"))
        keep_only(it.value, container_keys);
    JSON_FOREACH(it, json_get(status, "initContainerStatuses"))
        keep_only(it.value, container_keys);
}

void observe_project_config_map(struct arena *a, struct json *obj)
{
    static const char *const keys[] = { "apiVersion", "kind", "metadata", "data", NULL };
    static const char *const metadata_keys[] = {
        "name", "namespace", "uid", "resourceVersion", "ownerReferences", NULL
    };
    static const char *const data_keys[] = { "inference_config.yaml", "training_config.yaml",
                                             "fetch_sas.py", NULL };
    keep_only(obj, keys);
    keep_in(obj, "metadata", metadata_keys);
    keep_in(obj, "data", data_keys);
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static struct json *cached(struct arena *a, struct informer *i, const char *ns, const char *name)
{
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(i, ns, name);
    return o ? kube_object_parse(a, o) : NULL;
}

static struct json *cached_list(struct arena *a, struct informer *i, const char *ns,
                                const struct selector *match)
{
    struct json *list = EMPTY_ARR();
    struct kube_object_list objects = { 0 };
    informer_list(i, ns, match, &objects);
    for (size_t k = 0; k < objects.count; k++)
        json_append(list, kube_object_parse(a, objects.items[k]));
    kube_object_list_done(&objects);
    return list;
}

/* Objects of the namespace that carry key=value. */
static struct json *cached_labelled(struct arena *a, struct informer *i, const char *ns,
                                    const char *key, const char *value)
{
    CLEANUP(selector_cleanup) struct selector *match = NULL;
    struct json *list = EMPTY_ARR();
    if (selector_parse_labels(arena_printf(a, "%s=%s", key, value), &match, NULL) == 0)
        list = cached_list(a, i, ns, match);
    return list;
}

struct nodes_request workspace_nodes_request(const struct workspace *ws)
{
    return (struct nodes_request){
        .words = &NODES_OF_WORKSPACES,
        .ns = ws->ns,
        .name = ws->name,
        .uid = ws->uid,
        .labels = ws->node_labels,
        .instance_type = ws->instance_type,
        .image_family = meta_annotation(ws->json, WORKSPACE_IMAGE_FAMILY),
        .node_class = meta_annotation(ws->json, WORKSPACE_NODE_CLASS),
        .set_name = ws->created_by[0] ? ws->created_by : NULL,
    };
}

static void observe_weights(struct arena *a, const struct operator_settings *settings,
                            const struct workspace *ws, const struct catalog *catalog,
                            struct observed_weights *ret)
{
    *ret = (struct observed_weights){ .state = WEIGHTS_NOT_NEEDED };
    const char *name = settings->models_dir ? engine_store_name(a, ws, catalog) : NULL;
    if (!name)
        return;
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct model_entry entry;
    int r = model_store_find(a, settings->models_dir, name, &entry, &err);
    if (r < 0) {
        ret->state = r == -ERROR_NOT_FOUND ? WEIGHTS_MISSING : WEIGHTS_INVALID;
        ret->message = arena_strdup(a, error_message(err));
        return;
    }
    ret->state = WEIGHTS_PRESENT;
    ret->weight_bytes = entry.info.weight_bytes;
    ret->cache_bytes = gguf_kv_bytes(&entry.info, GGUF_SMALLEST_CONTEXT);
}

static void observe_config(struct arena *a, const struct workspace_caches *caches,
                           const struct operator_settings *settings, const struct workspace *ws,
                           struct observed *o)
{
    const char *name =
        ws->tuning ? tuning_default_config(json_find_str(ws->tuning, "method")) : NULL;
    if (ws->config[0])
        o->config_map = cached(a, caches->config_maps, ws->ns, ws->config);
    else if (name) {
        o->config_map = cached(a, caches->config_maps, ws->ns, name);
        o->config_template = cached(a, caches->config_maps, settings->release_namespace, name);
    }
}

/* Only once the pods are ready, and until the result is known. */
static void observe_benchmark(struct arena *a, struct kube_client *c, const struct workspace *ws,
                              struct observed *o)
{
    const struct json *conditions = json_find(ws->json, "status", "conditions");
    if (ws->template || ws->deleting || !engine_benchmark_wanted(ws) ||
        !benchmark_expected(o->statefulset) || benchmark_premature(o->statefulset) ||
        json_find_int(o->statefulset, 0, "status", "readyReplicas") <
            json_find_int(o->statefulset, 1, "spec", "replicas") ||
        condition_is(conditions, "BenchmarkCompleted", "True"))
        return;
    AUTO_BUF log = BUF_INIT(MAX_LOG);
    CLEANUP(error_cleanup) struct error *err = NULL;
    const char *path =
        arena_printf(a, "/api/v1/namespaces/%s/pods/%s-0/log?container=%s&tailLines=500", ws->ns,
                     ws->name, ws->name);
    if (kube_get_raw(c, path, &log, &err) < 0)
        o->benchmark_error =
            arena_printf(a, "the log of pod %s-0 cannot be read: %s", ws->name, error_message(err));
    else
        o->benchmark_log = arena_strdup(a, buf_str(&log));
}

static bool any_ready(const struct json *nodes)
{
    JSON_FOREACH(it, nodes)
        if (nodes_node_ready(it.value))
            return true;
    return false;
}

/* Only when a StatefulSet could be made, and only on clusters: one box never ran what this looks
 * for.
 */
static int observe_deployment(struct arena *a, struct kube_client *c,
                              const struct operator_settings *settings, const struct workspace *ws,
                              struct observed *o, struct error **err)
{
    if (o->statefulset || settings->models_dir || ws->deleting || !any_ready(o->nodes.nodes))
        return 0;
    struct json *deployment = NULL;
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r = kube_get(c, &KUBE_DEPLOYMENTS, ws->ns, ws->name, a, &deployment, &e);
    if (r < 0 && r != -ERROR_NOT_FOUND) {
        *err = TAKE_PTR(e);
        return error_prefix(err, r, "looking for an old Deployment");
    }
    o->deployment = deployment;
    return 0;
}

/* Only before the disks are asked for. A server that does not tell, or not us, is no reason to do
 * without them. */
static void observe_local_disks(struct arena *a, struct kube_client *c,
                                const struct workspace_caches *caches,
                                const struct operator_settings *settings,
                                const struct workspace *ws, const struct catalog *catalog,
                                struct observed *o)
{
    CLEANUP(kube_object_cleanup)
    struct kube_object *class = informer_get(caches->storage_classes, NULL, LOCAL_DISK_CLASS);
    const struct sku *sku = sku_find(catalog, settings->cloud, ws->instance_type);
    o->local_disk_class = class != NULL;
    if (!class || o->statefulset || ws->deleting || ws->template || ws->tuning || !sku ||
        !sku->nvme || json_size(o->nodes.nodes) == 0)
        return;
    AUTO_BUF text = BUF_INIT(MAX_CAPACITIES);
    struct json *list = NULL;
    if (kube_get_raw(c, "/apis/storage.k8s.io/v1/csistoragecapacities", &text, NULL) == 0 &&
        json_parse(a, text.data, text.len, &list, NULL) == 0)
        o->disk_capacities = json_get(list, "items");
}

/* ---- models that the catalogue does not have ------------------------------------------------------------------------ */

static void no_model(struct arena *a, struct observed_hub *hub, const char *reason,
                     const char *message, int64_t again_ms)
{
    hub->reason = arena_strdup(a, reason);
    hub->message = arena_strdup(a, message);
    hub->again_ms = again_ms;
}

/* The token of the Secret that the preset names; *ret is NULL when it names none, and when
 * there is none, which hub->reason says then. */
static int read_token(struct arena *a, struct kube_client *c, const struct workspace *ws,
                      struct observed_hub *hub, const char **ret, struct error **err)
{
    struct json *secret = NULL;
    CLEANUP(error_cleanup) struct error *e = NULL;
    if (!ws->access_secret[0])
        return 0;
    int r = kube_get(c, &KUBE_SECRETS, ws->ns, ws->access_secret, a, &secret, &e);
    if (r < 0 && r != -ERROR_NOT_FOUND) {
        *err = TAKE_PTR(e);
        return error_prefix(err, r, "reading Secret %s", ws->access_secret);
    }
    const char *text = json_find_str(secret, "data", TOKEN_KEY);
    char *token = NULL;
    size_t len = 0;
    if (text && strlen(text) <= MAX_TOKEN)
        base64_decode(a, text, strlen(text), &token, &len);
    while (len > 0 && strchr(" \t\r\n", token[len - 1])) /* of an editor */
        len--;
    if (len > 0)
        *ret = arena_strndup(a, token, len);
    else
        no_model(a, hub, "AccessSecretMissing",
                 arena_printf(a,
                              "presetOptions.modelAccessSecret is \"%s\"; namespace %s has no "
                              "Secret of this name with the key " TOKEN_KEY,
                              ws->access_secret, ws->ns),
                 HUB_DENIED_MS);
    return 0;
}

/* Asked each time; the hub has the answer at hand once it was found. The Secret may change
 * without a word, so a model that is denied is asked for again. */
static int observe_hub(struct arena *a, struct kube_client *c,
                       const struct operator_settings *settings, const struct catalog *catalog,
                       const struct workspace *ws, struct observed_hub *ret, struct error **err)
{
    const char *id = ws->preset_name;
    if (!settings->hub || ws->deleting || !hub_id_is_valid(id) || catalog_find(catalog, id) ||
        catalog_retired(catalog, id))
        return 0;
    const char *token = NULL;
    int r = read_token(a, c, ws, ret, &token, err);
    if (r < 0 || ret->reason)
        return r;
    CLEANUP(error_cleanup) struct error *e = NULL;
    const struct hub_request q = { .id = id, .token = token, .timeout_ms = HUB_TIMEOUT_MS };
    r = hub_find(settings->hub, &q, a, &ret->preset, &e);
    if (r == 0)
        return 0;
    ret->preset = NULL;
    bool may_pass = r != -ERROR_NOT_FOUND && r != -ERROR_UNSUPPORTED;
    const char *reason = error_reason(e);
    no_model(a, ret, reason ? reason : "HubUnavailable", error_message(e),
             r == -ERROR_FORBIDDEN ? HUB_DENIED_MS
             : may_pass            ? HUB_AGAIN_MS
                                   : 0);
    return 0;
}

int workspace_observe(struct arena *a, const struct workspace_caches *caches, struct kube_client *c,
                      const struct operator_settings *settings, const struct catalog *catalog,
                      const char *ns, const char *name, struct observed *ret,
                      enum observe_state *ret_state, struct error **err)
{
    *ret_state = OBSERVE_ABSENT;
    struct observed o = { .workspace = cached(a, caches->workspaces, ns, name) };
    if (!o.workspace)
        return 0;
    struct workspace ws;
    workspace_read(a, o.workspace, &ws);
    o.statefulset = cached(a, caches->statefulsets, ns, name);
    o.service = cached(a, caches->services, ns, name);
    o.headless = cached(a, caches->services, ns, arena_printf(a, "%s-headless", name));
    o.revisions = cached_labelled(a, caches->revisions, ns, WORKSPACE_REVISION_NAME, name);
    o.pods = cached_labelled(a, caches->pods, ns, WORKSPACE_LABEL, name);
    observe_config(a, caches, settings, &ws, &o);
    o.job = cached(a, caches->jobs, ns, name);
    struct nodes_request request = workspace_nodes_request(&ws);
    if (!nodes_cache_observe(caches->nodes, a, &request, &o.nodes)) {
        *ret_state = OBSERVE_TOO_SOON;
        return 0;
    }
    if (!ws.template)
        observe_weights(a, settings, &ws, catalog, &o.weights);
    streaming_observe(a, caches, c, settings, catalog, &ws, o.statefulset, &o.streaming);
    observe_local_disks(a, c, caches, settings, &ws, catalog, &o);
    int r = observe_deployment(a, c, settings, &ws, &o, err);
    if (r == 0)
        r = observe_hub(a, c, settings, catalog, &ws, &o.hub, err);
    if (r < 0)
        return r;
    observe_benchmark(a, c, &ws, &o);
    *ret = o;
    *ret_state = OBSERVED;
    return 0;
}
