/* The GPUs of one node, and the number of nodes, which is computed once and kept in the status: a
 * Workspace is not resized under running pods. */
#include "base/str.h"
#include "catalog/estimate.h"
#include "kube/meta.h"
#include "operator/nodes.h"
#include "workspace/decide_internal.h"
#include "yaml/yaml.h"

#define CONFIG_KEY "inference_config.yaml"
#define MAX_NODES 1000

int64_t decide_context(const struct decider *d)
{
    const struct json *text = json_find(d->o->config_map, "data", CONFIG_KEY);
    struct json *config = NULL;
    if (!json_is_string(text) ||
        yaml_parse(d->a, json_string(text), json_string_len(text), &config, NULL) < 0)
        return 0;
    const struct json *value = json_find(config, "vllm", "max-model-len");
    int64_t tokens = json_int(value, 0);
    if (json_is_string(value) && str_to_int64(json_string(value), &tokens) < 0)
        return 0;
    return MAX(tokens, INT64_C(0));
}

/* The first ready node stands for all. */
static const struct json *first_ready_node(const struct decider *d)
{
    JSON_FOREACH(it, d->o->nodes.nodes)
        if (nodes_node_ready(it.value))
            return it.value;
    return NULL;
}

/* What helps where there is no GPU. */
static const char *without_gpu(const struct decider *d, const struct error *err)
{
    if (!str_eq(error_reason(err), "MissingGPULabels") ||
        !catalog_find_format(d->in->catalog, d->ws.preset_name, WEIGHTS_GGUF))
        return "";
    return "; without a GPU it runs with the annotation " WORKSPACE_RUNTIME ": llama.cpp";
}

static void read_gpu_of_node(struct decider *d)
{
    const struct json *node = first_ready_node(d);
    struct error *err = NULL;
    if (!node && !gpu_partition_is_mig(d->ws.partition))
        return;
    const struct json *labels = json_find(node, "metadata", "labels");
    if (gpu_from_labels(d->a, labels, d->ws.partition, &d->gpu, &err) == 0)
        return;
    decider_problem(d, gpu_partition_is_mig(d->ws.partition), arena_strdup(d->a, error_reason(err)),
                    arena_printf(d->a, "%s%s%s%s", node ? meta_name(node) : "", node ? ": " : "",
                                 error_message(err), without_gpu(d, err)));
    error_free(err);
}

/* A type whose GPUs are not known, or are of no use to the engine, is refused before a node is
 * asked for. Pods of a template need nothing of it. */
static void read_instance_type(struct decider *d, bool needs_gpu)
{
    struct error *err = NULL;
    const char *type = d->ws.instance_type;
    if (!type[0]) {
        decider_problem(d, true, "InstanceTypeMissing",
                        "resource.instanceType is not set; name the machine type that the node "
                        "provisioner shall make");
        return;
    }
    d->sku = sku_find(d->in->catalog, d->in->settings->cloud, type);
    if (!needs_gpu)
        return;
    if (sku_require(d->in->catalog, d->in->settings->cloud, type, &d->sku, &err) < 0)
        decider_problem_error(d, true, err);
    else if (!sku_runs_cuda(d->sku))
        decider_problem(d, true, "UnsupportedGPU",
                        arena_printf(d->a,
                                     "resource.instanceType %s has %s; the engine needs NVIDIA "
                                     "GPUs",
                                     d->sku->name, d->sku->gpu_model));
    else
        gpu_from_sku(d->sku, &d->gpu);
}

/* ---- how many nodes ------------------------------------------------------------------------------------------------- */

/* What the annotation kaito.sh/node-count says; 0: nothing that makes sense. */
static int64_t annotated_count(struct decider *d)
{
    const char *text = meta_annotation(d->ws.json, WORKSPACE_NODE_COUNT);
    int64_t count = 0;
    if (!text || (str_to_int64(text, &count) == 0 && count >= 1 && count <= MAX_NODES))
        return count;
    decider_event(d, "Warning", "UnclearAnnotation",
                  arena_printf(d->a,
                               "annotation " WORKSPACE_NODE_COUNT
                               " is \"%s\"; it can be a number from 1 to %d. It is not used",
                               text, MAX_NODES));
    return 0;
}

/* The user may know better than the estimate; resource.count does not say so, its default is 1. */
static void choose_count(struct decider *d, int64_t estimated)
{
    struct arena *a = d->a;
    int64_t wanted = d->gpu.mig && d->gpu.profile[0] ? 0 : annotated_count(d);
    d->target_nodes = wanted > 0 ? wanted : estimated;
    if (wanted > 0 && wanted < estimated)
        decider_event(d, "Warning", "NodeCountTooSmall",
                      arena_printf(a,
                                   "annotation " WORKSPACE_NODE_COUNT
                                   " is %lld; by the estimate %s needs %lld nodes",
                                   (long long)wanted, d->choice.model, (long long)estimated));
    if (wanted == 0 && d->ws.count > 1 && d->ws.count != estimated)
        decider_event(
            d, "Warning", "NodeCountIgnored",
            arena_printf(
                a,
                "resource.count is %lld and is not used: %s gets the number of "
                "nodes that it needs by the estimate, %lld. The annotation " WORKSPACE_NODE_COUNT
                " sets another number when the Workspace is made",
                (long long)d->ws.count, d->choice.model, (long long)estimated));
}

static void estimate(struct decider *d)
{
    struct error *err = NULL;
    struct estimate e;
    if (d->gpu.count <= 0)
        return;
    if (estimate_in_mode(d->in->settings->precise_estimator, d->choice.preset, &d->gpu,
                         decide_context(d), &e, &err) == 0)
        choose_count(d, e.nodes);
    else
        decider_problem_error(d, d->sku || (d->gpu.mig && d->gpu.profile[0]), err);
}

void decide_gpu(struct decider *d)
{
    const struct engine *engine = d->choice.engine;
    d->target_nodes = json_find_int(d->ws.json, 0, "status", "targetNodeCount");
    if (d->problem.reason)
        return;
    bool needs_gpu = engine->needs_gpu && !d->ws.template;
    if (nodes_backend(d->in->settings)->provisions)
        read_instance_type(d, needs_gpu);
    else if (needs_gpu)
        read_gpu_of_node(d);
    if (d->target_nodes > 0 || d->problem.reason)
        return;
    if (engine->spans_nodes && !d->ws.template)
        estimate(d);
    else if (d->ws.tuning)
        d->target_nodes = 1;
    else
        d->target_nodes = engine->weights_in_store && !d->ws.template ? 1 : d->ws.count;
}
