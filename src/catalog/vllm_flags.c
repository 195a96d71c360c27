#include "catalog/vllm_flags.h"

#include "base/str.h"
#include "json/build.h"

static void add_parallelism(struct arena *a, const struct vllm_request *q, struct json *flags)
{
    struct layout l = q->layout ? *q->layout : layout_reference(q->preset, q->gpu, q->nodes);
    if (l.data > 1)
        json_set(a, flags, "data-parallel-size", STRF("%lld", (long long)l.data));
    json_set(a, flags, "tensor-parallel-size", STRF("%lld", (long long)l.tensor));
    if (l.pipeline > 1)
        json_set(a, flags, "pipeline-parallel-size", STRF("%lld", (long long)l.pipeline));
    if (q->nodes > 1)
        json_set_str(a, flags, "distributed-executor-backend", "ray");
    /* the cache cannot be moved to the host's memory where parts of it are elsewhere or of another
     * kind */
    if (l.data > 1 || l.pipeline > 1 || q->gpu->mig || q->preset->no_cpu_offload)
        json_set_str(a, flags, "kaito-kv-cache-cpu-memory-utilization", "0");
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

static void add_source(struct arena *a, const struct vllm_request *q, struct json *flags)
{
    if (!q->source) {
        json_set_str(a, flags, "model", str_lower(a, q->preset->id));
        json_set_str(a, flags, "download-dir", "/workspace/weights");
        return;
    }
    json_set_str(a, flags, "model", q->source);
    json_set_str(a, flags, "load-format", "runai_streamer");
    json_del(flags, "load_format"); /* the same option in other letters */
}

/* Each GPU of several reads its part of a stream. Of a variable the shell knows the URI. */
static void add_distributed_loader(struct arena *a, const struct vllm_request *q,
                                   struct json *flags)
{
    const char *parts = json_find_str(flags, "tensor-parallel-size");
    bool streams = q->source && (strstr(q->source, "://") || q->source[0] == '$');
    if (streams && !str_eq(parts, "1"))
        json_set_str(a, flags, "model-loader-extra-config", "'{\"distributed\": true}'");
}

struct json *vllm_flags(struct arena *a, const struct vllm_request *q)
{
    struct json *flags = json_clone(a, q->preset->vllm);
    json_set_str(a, flags, "served-model-name", str_shell_word(a, q->served_name));
    json_set_str(a, flags, "max-model-len", "auto");
    json_set_str(a, flags, "gpu-memory-utilization",
                 arena_printf(a, "%.2f", gpu_utilization(q->gpu)));
    suit_old_gpu(a, q->gpu, flags);
    if (!json_get(flags, "kv-events-config"))
        json_set_str(a, flags, "kv-events-config", "'{\"enable_kv_cache_events\":true}'");
    json_set_str(a, flags, "compilation-config.pass_config.fuse_allreduce_rms", "False");
    add_source(a, q, flags);
    json_set_str(a, flags, "kaito-config-file", q->config_file);
    if (q->performance_mode && !STREQ(q->performance_mode, "balanced"))
        json_set_str(a, flags, "performance-mode", str_shell_word(a, q->performance_mode));
    if (q->adapters)
        json_set_str(a, flags, "enable-lora", "");
    if (q->decode_role)
        json_set_str(a, flags, "port", "5001");
    add_parallelism(a, q, flags);
    add_distributed_loader(a, q, flags);
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
