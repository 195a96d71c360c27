#include "catalog/vllm_flags.h"

#include "base/str.h"
#include "kube/quantity.h"
#include "json/build.h"

/* Each GPU holds a whole copy of the model when at least this many fit into the memory of the node.
 */
#define REPLICA_FACTOR 2

static bool runs_replicas(const struct vllm_request *q)
{
    int64_t bytes = 0;
    if (q->nodes > 1 || q->gpu->count < 2 || quantity_value(q->preset->file_size, &bytes, NULL) < 0)
        return false;
    return bytes * q->gpu->count * REPLICA_FACTOR < q->gpu->bytes;
}

static void add_parallelism(struct arena *a, const struct vllm_request *q, struct json *flags)
{
    bool replicas = runs_replicas(q);
    if (replicas)
        json_set(a, flags, "data-parallel-size", STRF("%lld", (long long)q->gpu->count));
    json_set(a, flags, "tensor-parallel-size",
             STRF("%lld", replicas ? 1 : (long long)q->gpu->count));
    if (q->nodes > 1) {
        json_set(a, flags, "pipeline-parallel-size", STRF("%lld", (long long)q->nodes));
        json_set_str(a, flags, "distributed-executor-backend", "ray");
    }
    /* the cache cannot be moved to the host's memory where parts of it are elsewhere or of another
     * kind */
    if (replicas || q->nodes > 1 || q->gpu->mig || q->preset->no_cpu_offload)
        json_set_str(a, flags, "kaito-kv-cache-cpu-memory-utilization", "0");
}

/* The A10 keeps more of its memory for itself than others. The cloud's tables write a space,
 * NVIDIA's node labels a hyphen. */
static bool is_a10(const char *product)
{
    return STREQ(product, "NVIDIA A10") || STREQ(product, "NVIDIA-A10");
}

/* GPUs before Ampere (8.0) have no bfloat16, and those before Turing (7.5) no kernel for chunked
 * prefill. */
static void suit_old_gpu(struct arena *a, const struct gpu *gpu, struct json *flags)
{
    if (gpu->compute_capability <= 0 || gpu->compute_capability >= 80)
        return;
    if (str_eq(json_find_str(flags, "dtype"), "bfloat16"))
        json_set_str(a, flags, "dtype", "float16");
    if (gpu->compute_capability < 75)
        json_set_str(a, flags, "no-enable-chunked-prefill", "");
}

struct json *vllm_flags(struct arena *a, const struct vllm_request *q)
{
    struct json *flags = json_clone(a, q->preset->vllm);
    json_set_str(a, flags, "served-model-name", q->served_name);
    json_set_str(a, flags, "max-model-len", "auto");
    json_set_str(a, flags, "gpu-memory-utilization", is_a10(q->gpu->product) ? "0.82" : "0.84");
    suit_old_gpu(a, q->gpu, flags);
    if (!json_get(flags, "kv-events-config"))
        json_set_str(a, flags, "kv-events-config", "'{\"enable_kv_cache_events\":true}'");
    json_set_str(a, flags, "compilation-config.pass_config.fuse_allreduce_rms", "False");
    json_set_str(a, flags, "model", str_lower(a, q->preset->id));
    json_set_str(a, flags, "download-dir", "/workspace/weights");
    json_set_str(a, flags, "kaito-config-file", q->config_file);
    if (q->performance_mode && !STREQ(q->performance_mode, "balanced"))
        json_set_str(a, flags, "performance-mode", q->performance_mode);
    if (q->adapters)
        json_set_str(a, flags, "enable-lora", "");
    if (q->decode_role)
        json_set_str(a, flags, "port", "5001");
    add_parallelism(a, q, flags);
    json_sort_keys(flags);
    return flags;
}

char *vllm_command_line(struct arena *a, const struct vllm_request *q)
{
    AUTO_BUF line = BUF_INIT(64 * KIB);
    buf_puts(&line, "python3 /workspace/vllm/inference_api.py");
    JSON_FOREACH(it, vllm_flags(a, q)) {
        const char *value = json_string(it.value);
        buf_printf(&line, " --%s%s%s", it.key, value[0] ? "=" : "", value);
    }
    return arena_strdup(a, buf_str(&line));
}
