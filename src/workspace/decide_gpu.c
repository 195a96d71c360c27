/* The number of nodes, computed once and kept in the status: a Workspace is not resized under
 * running pods. */
#include "base/str.h"
#include "catalog/estimate.h"
#include "kube/meta.h"
#include "workspace/decide_internal.h"
#include "yaml/yaml.h"

#define CONFIG_KEY "inference_config.yaml"

/* vllm.max-model-len of the configuration; 0 when there is none. */
static int64_t configured_context(const struct decider *d)
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
    JSON_FOREACH(it, d->o->nodes)
        if (decide_node_ready(it.value))
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

static void read_gpu(struct decider *d)
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

static void estimate(struct decider *d)
{
    struct error *err = NULL;
    if (d->gpu.count > 0 && estimate_nodes(d->choice.preset, &d->gpu, configured_context(d),
                                           &d->target_nodes, &err) < 0)
        decider_problem_error(d, d->gpu.mig && d->gpu.profile[0], err);
}

void decide_gpu(struct decider *d)
{
    const struct engine *engine = d->choice.engine;
    d->target_nodes = json_find_int(d->ws.json, 0, "status", "targetNodeCount");
    if (d->problem.reason)
        return;
    if (engine->needs_gpu && !d->ws.template)
        read_gpu(d);
    if (d->target_nodes > 0 || d->problem.reason)
        return;
    if (engine->spans_nodes && !d->ws.template)
        estimate(d);
    else if (d->ws.tuning)
        d->target_nodes = 1;
    else
        d->target_nodes = engine->weights_in_store && !d->ws.template ? 1 : d->ws.count;
}
