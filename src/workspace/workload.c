/* Services and StatefulSet of a Workspace. What exists under their names and belongs to somebody
 * else is neither adopted nor touched: a condition says so. */
#include <string.h>

#include "base/str.h"
#include "http/crypto.h"
#include "kube/meta.h"
#include "workspace/decide_internal.h"
#include "workspace/streaming.h"
#include "json/build.h"

/* ---- pieces -------------------------------------------------------------------------------------------------------- */

/* Labels of the Workspace that its pods carry too. */
static const char *const passed_labels[] = { WORKSPACE_CREATED_BY, WORKSPACE_MRI_CREATED_BY,
                                             WORKSPACE_ROLE };

static struct json *pod_labels(const struct decider *d)
{
    struct arena *a = d->a;
    struct json *labels = OBJ(WORKSPACE_LABEL, STR(d->ws.name));
    for (size_t i = 0; i < COUNT_OF(passed_labels); i++)
        json_set_str(a, labels, passed_labels[i], meta_label(d->ws.json, passed_labels[i]));
    return labels;
}

/* NULL when any node will do. */
struct json *decide_node_affinity(const struct decider *d)
{
    struct arena *a = d->a;
    struct json *expressions = EMPTY_ARR();
    JSON_FOREACH(it, d->ws.node_labels)
        json_append(expressions, OBJ("key", STR(it.key), "operator", STR("In"), "values",
                                     ARR(STR(json_string(it.value)))));
    JSON_FOREACH(it, d->own_labels)
        json_append(expressions, OBJ("key", STR(it.key), "operator", STR("In"), "values",
                                     ARR(STR(json_string(it.value)))));
    if (json_size(expressions) == 0)
        return NULL;
    struct json *terms = ARR(OBJ("matchExpressions", expressions));
    return OBJ("nodeAffinity", OBJ("requiredDuringSchedulingIgnoredDuringExecution",
                                   OBJ("nodeSelectorTerms", terms)));
}

/* GPU nodes keep other pods away; ours may go there. */
void decide_append_tolerations(const struct decider *d, struct json *list)
{
    struct arena *a = d->a;
    json_append(list, OBJ("key", STR("nvidia.com/gpu"), "operator", STR("Exists"), "effect",
                          STR("NoSchedule")));
    json_append(list, OBJ("key", STR("sku"), "operator", STR("Equal"), "value", STR("gpu"),
                          "effect", STR("NoSchedule")));
    if (str_eq(d->in->settings->cloud, "azure"))
        json_append(list, OBJ("key", STR("kubernetes.azure.com/scalesetpriority"), "operator",
                              STR("Equal"), "value", STR("spot"), "effect", STR("NoSchedule")));
    if (d->gpu.mig && d->gpu.profile[0])
        json_append(list, OBJ("key", STR(d->gpu.resource), "operator", STR("Exists"), "effect",
                              STR("NoSchedule")));
}

/* clang-format off */
struct json *decide_owned_metadata(const struct decider *d, const char *name,
                                   struct json *annotations)
{
    struct arena *a = d->a;
    return OBJ("name", STR(name),
               "namespace", STR(d->ws.ns),
               "annotations", annotations,
               "ownerReferences", ARR(meta_controller_ref(a, d->ws.json, &KUBE_WORKSPACES)));
}
/* clang-format on */

/* The specification that the pods were made from. */
struct json *decide_revision_annotation(const struct decider *d)
{
    struct arena *a = d->a;
    return OBJ(WORKSPACE_REVISION, STRF("%lld", (long long)d->revision));
}

/* ---- Services ------------------------------------------------------------------------------------------------------ */

/* clang-format off */
static struct json *service_object(const struct decider *d, enum load_balancer lb)
{
    struct arena *a = d->a;
    return OBJ("apiVersion", STR("v1"),
               "kind", STR("Service"),
               "metadata", decide_owned_metadata(d, d->ws.name, NULL),
               "spec", OBJ("type", STR(lb == LOAD_BALANCER_YES ? "LoadBalancer" : "ClusterIP"),
                           "ports", d->choice.engine->service_ports(a, lb),
                           "selector", OBJ(WORKSPACE_LABEL, STR(d->ws.name),
                                           "statefulset.kubernetes.io/pod-name", STRF("%s-0", d->ws.name)),
                           "publishNotReadyAddresses", BOOL(true)));
}

static struct json *headless_object(const struct decider *d, const char *name)
{
    struct arena *a = d->a;
    return OBJ("apiVersion", STR("v1"),
               "kind", STR("Service"),
               "metadata", decide_owned_metadata(d, name, NULL),
               "spec", OBJ("clusterIP", STR("None"),
                           "selector", OBJ(WORKSPACE_LABEL, STR(d->ws.name)),
                           "publishNotReadyAddresses", BOOL(true)));
}

/* clang-format on */

/* A Service becomes a LoadBalancer when the annotation says so later. It is never made less: what
 * else its type may be is somebody's own change. */
static void decide_service_type(struct decider *d, enum load_balancer lb)
{
    struct arena *a = d->a;
    if (lb == LOAD_BALANCER_YES &&
        str_eq(json_find_str(d->o->service, "spec", "type"), "ClusterIP"))
        decider_write(d, WRITE_PATCH, &KUBE_SERVICES, d->ws.name,
                      OBJ("spec", OBJ("type", STR("LoadBalancer"))));
}

static void decide_services(struct decider *d)
{
    enum load_balancer lb = workspace_load_balancer(&d->ws);
    if (lb == LOAD_BALANCER_UNCLEAR && !d->o->service)
        decider_event(d, "Warning", "UnclearAnnotation",
                      arena_printf(d->a,
                                   "annotation " WORKSPACE_LOAD_BALANCER
                                   " is \"%s\"; it can be true or false. The Service "
                                   "gets no load balancer",
                                   meta_annotation(d->ws.json, WORKSPACE_LOAD_BALANCER)));
    if (!d->o->service)
        decider_write(d, WRITE_CREATE, &KUBE_SERVICES, d->ws.name, service_object(d, lb));
    else
        decide_service_type(d, lb);
    const char *headless = arena_printf(d->a, "%s-headless", d->ws.name);
    if (!d->o->headless)
        decider_write(d, WRITE_CREATE, &KUBE_SERVICES, headless, headless_object(d, headless));
}

/* ---- configuration ------------------------------------------------------------------------------------------------- */

/* Of what the engine reads when it starts; NULL when it reads nothing. */
static const char *config_hash(const struct decider *d)
{
    const char *text = json_find_str(d->o->config_map, "data", "inference_config.yaml");
    if (d->ws.template || !d->ws.config[0] || !text)
        return NULL;
    char hex[SHA256_HEX_SIZE];
    sha256_hex(text, strlen(text), hex);
    return arena_strndup(d->a, hex, 16);
}

/* A ConfigMap that changes does not replace pods: whoever edits it may not want a model to start
 * again now. It is said, once, how to do it. */
static void decide_config_change(struct decider *d)
{
    struct arena *a = d->a;
    const char *now = config_hash(d);
    const char *had = meta_annotation(d->o->statefulset, WORKSPACE_CONFIG_HASH);
    if (!now || str_eq(now, had))
        return;
    struct write *w =
        decider_write(d, WRITE_PATCH, &KUBE_STATEFULSETS, d->ws.name,
                      OBJ("metadata", OBJ("annotations", OBJ(WORKSPACE_CONFIG_HASH, STR(now)))));
    if (had && decide_workload_current(d))
        w->done = (struct decided_event){
            "Warning", "ConfigChanged",
            arena_printf(a,
                         "ConfigMap %s changed after the pods were started; `kubectl rollout "
                         "restart statefulset/%s -n %s` brings it to them",
                         d->ws.config, d->ws.name, d->ws.ns),
            NULL
        };
}

/* ---- StatefulSet --------------------------------------------------------------------------------------------------- */

static struct json *template_labels(const struct decider *d)
{
    struct arena *a = d->a;
    struct json *labels = pod_labels(d);
    if (d->streaming)
        json_set_str(a, labels, STREAMING_LABEL, "true");
    return labels;
}

/* Of a preset. */
static struct json *preset_spec(const struct decider *d)
{
    struct arena *a = d->a;
    const struct engine *engine = d->choice.engine;
    struct engine_request q = {
        .engine = engine,
        .ws = &d->ws,
        .preset = d->choice.preset,
        .model = d->choice.model,
        .settings = d->in->settings,
        .gpu = engine->needs_gpu ? &d->gpu : NULL,
        .weight_bytes = d->o->weights.weight_bytes,
        .nodes = d->target_nodes,
        .place = d->place,
        .weights_source = d->weights_source,
        .processor = d->stream_id ? d->stream_id : d->weights_source,
        .storage_account = d->storage_account,
        .static_source = d->static_source,
        .context = decide_context(d),
    };
    struct json *tolerations = EMPTY_ARR();
    decide_append_tolerations(d, tolerations);
    /* clang-format off */
    struct json *pod = OBJ("affinity", decide_node_affinity(d),
                           "tolerations", tolerations,
                           "serviceAccountName", d->streaming ? STR(streaming_service_account(d->in->settings, &d->ws)) : NULL,
                           "imagePullSecrets", adapters_pull_secrets(a, d->ws.adapters),
                           "initContainers", engine->init_containers ? engine->init_containers(a, &q) : NULL,
                           "containers", ARR(engine->container(a, &q), engine->sidecar ? engine->sidecar(a, &q) : NULL),
                           "volumes", engine->volumes(a, &q));
    return OBJ("replicas", INT(d->target_nodes),
               "podManagementPolicy", STR("Parallel"),
               "persistentVolumeClaimRetentionPolicy", OBJ("whenScaled", STR("Retain"), "whenDeleted", STR("Delete")),
               "serviceName", STRF("%s-headless", d->ws.name),
               "selector", OBJ("matchLabels", pod_labels(d)),
               "template", OBJ("metadata", OBJ("labels", template_labels(d)), "spec", pod),
               "volumeClaimTemplates", decide_weights_claims(d));
    /* clang-format on */
}

/* Of a pod template that the user gave: the containers are his, where they run is the Workspace's.
 */
static struct json *template_spec(const struct decider *d)
{
    struct arena *a = d->a;
    struct json *template = json_clone(a, d->ws.template);
    struct json *metadata = json_ensure_object(a, template, "metadata");
    struct json *labels = json_ensure_object(a, metadata, "labels");
    JSON_FOREACH(it, pod_labels(d))
        json_set_str(a, labels, it.key, json_string(it.value));
    struct json *pod = json_ensure_object(a, template, "spec");
    json_set(a, pod, "affinity", decide_node_affinity(d));
    decide_append_tolerations(d, json_ensure_array(a, pod, "tolerations"));
    return OBJ("replicas", INT(d->target_nodes), "selector", OBJ("matchLabels", pod_labels(d)),
               "template", template);
}

struct json *decide_statefulset_spec(const struct decider *d)
{
    return d->ws.template ? template_spec(d) : preset_spec(d);
}

static struct json *statefulset_annotations(const struct decider *d)
{
    struct arena *a = d->a;
    struct json *annotations = decide_revision_annotation(d);
    json_set_str(a, annotations, WORKSPACE_CONFIG_HASH, config_hash(d));
    return annotations;
}

/* clang-format off */
static struct json *statefulset_object(const struct decider *d)
{
    struct arena *a = d->a;
    return OBJ("apiVersion", STR("apps/v1"),
               "kind", STR("StatefulSet"),
               "metadata", decide_owned_metadata(d, d->ws.name, statefulset_annotations(d)),
               "spec", decide_statefulset_spec(d));
}
/* clang-format on */

/* ---- together ------------------------------------------------------------------------------------------------------ */

bool decide_is_ours(struct decider *d, const struct json *obj, const char *kind)
{
    if (!obj || meta_controlled_by(obj, d->ws.uid))
        return true;
    const struct json *owner = meta_controller_of(obj);
    const char *whose = owner ? arena_printf(d->a, "belongs to %s %s", json_find_str(owner, "kind"),
                                             json_find_str(owner, "name"))
                              : "does not belong to this Workspace";
    decider_problem(
        d, false, "NameConflict",
        arena_printf(
            d->a, "%s %s exists already and %s; delete it or choose another name for the Workspace",
            kind, meta_name(obj), whose));
    return false;
}

/* Very old versions ran a Deployment of the same name. */
static void decide_old_deployment(struct decider *d)
{
    if (!d->o->deployment || d->o->statefulset || !meta_controlled_by(d->o->deployment, d->ws.uid))
        return;
    decider_write(d, WRITE_DELETE, &KUBE_DEPLOYMENTS, d->ws.name, NULL)->uid =
        meta_uid(d->o->deployment);
    decider_event(d, "Warning", "WorkloadMigration",
                  arena_printf(d->a, "Deployment %s is replaced by a StatefulSet", d->ws.name));
}

void decide_workload(struct decider *d)
{
    if (d->ws.tuning) {
        decide_tuning(d);
        return;
    }
    bool ours = decide_is_ours(d, d->o->service, "Service");
    ours &= decide_is_ours(d, d->o->headless, "Service");
    ours &= decide_is_ours(d, d->o->statefulset, "StatefulSet");
    if (!ours || d->problem.reason || !d->resource_ready || d->revision == 0)
        return;
    if (!decide_streaming_script(d))
        return;
    decide_services(d);
    decide_old_deployment(d);
    if (!d->o->statefulset)
        decider_write(d, WRITE_CREATE, &KUBE_STATEFULSETS, d->ws.name, statefulset_object(d));
    else {
        decide_rollout(d);
        decide_config_change(d);
    }
}

bool decide_workload_ready(const struct decider *d)
{
    const struct json *set = d->o->statefulset;
    int64_t replicas = json_find_int(set, 1, "spec", "replicas");
    return set && meta_controlled_by(set, d->ws.uid) && replicas > 0 &&
           json_find_int(set, 0, "status", "readyReplicas") >= replicas;
}

bool decide_workload_current(const struct decider *d)
{
    const char *marked = meta_annotation(d->o->statefulset, WORKSPACE_REVISION);
    return !marked || d->revision == 0 ||
           STREQ(marked, arena_printf(d->a, "%lld", (long long)d->revision));
}
