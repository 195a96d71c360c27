/* vLLM and transformers: both in one image, on nodes with NVIDIA GPUs. Pods come out as KAITO v0.12
 * makes them. */
#include <string.h>

#include "base/str.h"
#include "catalog/estimate.h"
#include "catalog/vllm_flags.h"
#include "kube/meta.h"
#include "workspace/engine.h"
#include "json/build.h"

#define DECODE_PORT 5001
#define RAY_PORT 6379
#define KV_EVENTS_PORT 5557
#define CUDA_DIR "/opt/kaito/cuda/129"
#define CUDA_VOLUME "cuda-toolkit-hostpath"
#define HOST_WEIGHTS_VOLUME "model-weights-hostpath"
#define PROBE_PERIOD 10

/* ---- what is asked for --------------------------------------------------------------------------------------------- */

static bool is_vllm(const struct engine_request *q)
{
    return q->engine == &engine_vllm;
}

static const char *role(const struct engine_request *q)
{
    const char *r = meta_label(q->ws->json, WORKSPACE_ROLE);
    return r && (STREQ(r, "prefill") || STREQ(r, "decode")) ? r : NULL;
}

static bool is_decode(const struct engine_request *q)
{
    return is_vllm(q) && str_eq(role(q), "decode");
}

static int64_t port(const struct engine_request *q)
{
    return is_decode(q) ? DECODE_PORT : ENGINE_PORT;
}

static bool spans_nodes(const struct engine_request *q)
{
    return is_vllm(q) && q->nodes > 1;
}

bool engine_benchmark_wanted(const struct workspace *ws)
{
    return !str_eq(meta_annotation(ws->json, WORKSPACE_DISABLE_BENCHMARK), "true");
}

char *engine_base_image(struct arena *a, const struct operator_settings *settings)
{
    return arena_printf(a, "%s/kaito-base:" KAITO_BASE_TAG, settings->image_registry);
}

/* Of the pod with the number 0, where Ray's head and the API are. */
static const char *leader(struct arena *a, const struct engine_request *q)
{
    return arena_printf(a, "%s-0.%s-headless.%s.svc.cluster.local", q->ws->name, q->ws->name,
                        q->ws->ns);
}

/* ---- commands ------------------------------------------------------------------------------------------------------ */

static const char *vllm_line(struct arena *a, const struct engine_request *q)
{
    struct layout layout =
        estimate_layout(q->settings->precise_estimator, q->preset, q->gpu, q->nodes, q->context);
    const char *line =
        vllm_command_line(a, &(struct vllm_request){
                                 .preset = q->preset,
                                 .gpu = q->gpu,
                                 .nodes = q->nodes,
                                 .layout = &layout,
                                 .served_name = engine_served_name(q),
                                 .config_file = q->ws->config[0] ? ENGINE_CONFIG_FILE : NULL,
                                 .performance_mode =
                                     meta_annotation(q->ws->json, WORKSPACE_PERFORMANCE_MODE),
                                 .adapters = q->ws->adapters != NULL,
                                 .source = q->weights_source,
                                 .decode_role = is_decode(q),
                             });
    if (!spans_nodes(q))
        return line;
    return arena_printf(
        a,
        "if [ \"${POD_INDEX}\" = \"0\" ]; then /workspace/vllm/multi-node-serving.sh leader "
        "--ray_cluster_size=%lld --ray_port=%d; %s; else /workspace/vllm/multi-node-serving.sh worker "
        "--ray_address=%s --ray_port=%d; fi",
        (long long)q->nodes, RAY_PORT, line, leader(a, q), RAY_PORT);
}

static const char *transformers_line(struct arena *a, const struct engine_request *q)
{
    struct json *flags = json_clone(a, q->preset->transformers);
    json_set_str(a, flags, "served_model_name", str_shell_word(a, engine_served_name(q)));
    json_set_str(a, flags, "pretrained_model_name_or_path", str_lower(a, q->preset->id));
    json_set_str(a, flags, "allow_remote_files", "");
    json_sort_keys(flags);
    AUTO_BUF line = BUF_INIT(16 * KIB);
    buf_puts(&line,
             "accelerate launch --gpu_ids=all --machine_rank=0 --num_machines=1 --num_processes=1 "
             "/workspace/tfs/inference_api.py");
    JSON_FOREACH(it, flags) {
        const char *value = json_string(it.value);
        buf_printf(&line, " --%s%s%s", it.key, value[0] ? "=" : "", value);
    }
    return arena_strdup(a, buf_str(&line));
}

static struct json *shell(struct arena *a, const char *line)
{
    return ARR(STR("/bin/sh"), STR("-c"), STR(line));
}

/* ---- probes -------------------------------------------------------------------------------------------------------- */

static struct json *exec_probe(struct arena *a, struct json *command, int64_t timeout_s,
                               int64_t failures)
{
    return OBJ("exec", OBJ("command", command), "periodSeconds", INT(PROBE_PERIOD),
               "timeoutSeconds", INT(timeout_s), "failureThreshold", INT(failures));
}

static struct json *cluster_check(struct arena *a, const struct engine_request *q, const char *what,
                                  const char *option)
{
    return shell(
        a,
        arena_printf(a,
                     "python3 /workspace/vllm/multi-node-health-check.py %s --leader-address=%s %s",
                     what, leader(a, q), option));
}

/* The engine gets as long as its weights may take to arrive. The benchmark stands in front of
 * readiness: it is the startup probe, and ends when its result is in the log. */
static struct json *startup_probe(struct arena *a, const struct engine_request *q)
{
    int64_t failures = (q->preset->readiness_seconds + PROBE_PERIOD - 1) / PROBE_PERIOD;
    const char *script = "/workspace/vllm/" BENCHMARK_SCRIPT;
    if (is_vllm(q) && engine_benchmark_wanted(q->ws)) {
        struct json *command =
            spans_nodes(q)
                ? shell(a, arena_printf(
                               a, "if [ \"$POD_INDEX\" = \"0\" ]; then python3 %s; else true; fi",
                               script))
                : ARR(STR("python3"), STR(script));
        return exec_probe(a, command, 600, failures);
    }
    if (spans_nodes(q))
        return exec_probe(a,
                          cluster_check(a, q, "readiness",
                                        arena_printf(a, "--vllm-port=%d", ENGINE_PORT)),
                          1, failures);
    return engine_health_probe(a, port(q), PROBE_PERIOD, 0, failures);
}

static struct json *liveness_probe(struct arena *a, const struct engine_request *q)
{
    if (!spans_nodes(q))
        return engine_health_probe(a, port(q), PROBE_PERIOD, 0, 3);
    struct json *probe =
        exec_probe(a, cluster_check(a, q, "liveness", arena_printf(a, "--ray-port=%d", RAY_PORT)),
                   5, 1);
    json_set_int(a, probe, "initialDelaySeconds", 60);
    json_set_int(a, probe, "terminationGracePeriodSeconds", 1);
    return probe;
}

static struct json *readiness_probe(struct arena *a, const struct engine_request *q)
{
    if (spans_nodes(q))
        return exec_probe(a,
                          cluster_check(a, q, "readiness",
                                        arena_printf(a, "--vllm-port=%d", ENGINE_PORT)),
                          1, 1);
    struct json *probe = engine_health_probe(a, port(q), PROBE_PERIOD, 0, 0);
    json_set_int(a, probe, "initialDelaySeconds", 30);
    return probe;
}

/* ---- containers ---------------------------------------------------------------------------------------------------- */

static struct json *value_env(struct arena *a, const char *name, const char *value)
{
    return OBJ("name", STR(name), "value", STR(value));
}

static struct json *vllm_env(struct arena *a, const struct engine_request *q)
{
    struct json *env = ARR(value_env(a, "VLLM_USE_FLASHINFER_SAMPLER", "0"),
                           value_env(a, "VLLM_USE_DEEP_GEMM", q->preset->deep_gemm ? "1" : "0"),
                           q->preset->cuda_toolkit ? value_env(a, "CUDA_HOME", CUDA_DIR) : NULL);
    if (q->processor)
        json_append(env, value_env(a, "KAITO_PROCESSOR", q->processor));
    if (role(q)) {
        json_append(env, value_env(a, "KAITO_INFERENCE_ROLE", role(q)));
        json_append(env, engine_field_env(a, "VLLM_NIXL_SIDE_CHANNEL_HOST", "status.podIP"));
    }
    json_append(env, engine_token(a, q));
    if (q->storage_account)
        json_append(env, value_env(a, "AZURE_STORAGE_ACCOUNT_NAME", q->storage_account));
    streaming_append_env(a, q, env);
    adapters_append_env(a, q->ws->adapters, env);
    if (spans_nodes(q))
        json_append(env, engine_field_env(a, "POD_INDEX",
                                          "metadata.labels['apps.kubernetes.io/pod-index']"));
    return env;
}

static struct json *transformers_env(struct arena *a, const struct engine_request *q)
{
    struct json *env = ARR(engine_token(a, q));
    adapters_append_env(a, q->ws->adapters, env);
    return json_size(env) > 0 ? env : NULL;
}

/* clang-format off */
static struct json *weights_mount(struct arena *a, const struct engine_request *q)
{
    if (q->place == PLACE_STREAMED)
        return NULL;
    if (q->place == PLACE_HOST)
        return OBJ("name", STR(HOST_WEIGHTS_VOLUME), "mountPath", STR(q->weights_source), "readOnly", BOOL(true));
    return OBJ("name", STR(ENGINE_WEIGHTS_VOLUME), "mountPath", STR(ENGINE_WEIGHTS_DIR));
}

static struct json *host_volume(struct arena *a, const struct engine_request *q)
{
    if (q->place != PLACE_HOST)
        return NULL;
    return OBJ("name", STR(HOST_WEIGHTS_VOLUME),
               "hostPath", OBJ("path", STR(q->weights_source), "type", STR("Directory")));
}

static struct json *mounts(struct arena *a, const struct engine_request *q)
{
    bool cuda = is_vllm(q) && q->preset->cuda_toolkit;
    struct json *list = ARR(engine_config_mount(a, q),
                            weights_mount(a, q),
                            cuda ? OBJ("name", STR(CUDA_VOLUME), "mountPath", STR(CUDA_DIR), "readOnly", BOOL(true)) : NULL,
                            engine_dshm_mount(a));
    adapters_append_mounts(a, q->ws->adapters, list);
    streaming_append_mount(a, q, list);
    return list;
}

static struct json *container(struct arena *a, const struct engine_request *q)
{
    bool vllm = is_vllm(q);
    struct json *gpus = OBJ(q->gpu->resource, STRF("%lld", (long long)q->gpu->count));
    return OBJ("name", STR(q->ws->name),
               "image", STR(engine_base_image(a, q->settings)),
               "command", streaming_command(a, q, shell(a, vllm ? vllm_line(a, q) : transformers_line(a, q))),
               "env", vllm ? vllm_env(a, q) : transformers_env(a, q),
               "ports", ARR(engine_port(a, "http", port(q)),
                            vllm ? engine_port(a, "kv-events", KV_EVENTS_PORT) : NULL),
               "resources", OBJ("requests", gpus, "limits", json_clone(a, gpus)),
               "startupProbe", startup_probe(a, q),
               "livenessProbe", liveness_probe(a, q),
               "readinessProbe", readiness_probe(a, q),
               "volumeMounts", mounts(a, q));
}

/* Routes between prefill and decode pods, in front of the engine. */
static struct json *sidecar(struct arena *a, const struct engine_request *q)
{
    if (!is_decode(q))
        return NULL;
    return OBJ("name", STR("llm-d-routing-sidecar"),
               "image", STR("mcr.microsoft.com/oss/v2/llm-d/llm-d-routing-sidecar:v0.8.0"),
               "args", ARR(STRF("--port=%d", ENGINE_PORT), STRF("--vllm-port=%d", DECODE_PORT), STR("--secure-proxy=false")),
               "env", ARR(engine_field_env(a, "POD_IP", "status.podIP"),
                          engine_field_env(a, "VLLM_NIXL_SIDE_CHANNEL_HOST", "status.podIP")),
               "ports", ARR(engine_port(a, "sidecar", ENGINE_PORT)));
}

static struct json *volumes(struct arena *a, const struct engine_request *q)
{
    bool cuda = is_vllm(q) && q->preset->cuda_toolkit;
    struct json *path = cuda ? OBJ("path", STR(CUDA_DIR), "type", STR("DirectoryOrCreate")) : NULL;
    struct json *list = ARR(engine_config_volume(a, q),
                            cuda ? OBJ("name", STR(CUDA_VOLUME), "hostPath", path) : NULL,
                            host_volume(a, q),
                            engine_dshm_volume(a));
    adapters_append_volumes(a, q->ws->adapters, list);
    if (q->place == PLACE_EMPTY_DIR)
        json_append(list, OBJ("name", STR(ENGINE_WEIGHTS_VOLUME), "emptyDir", EMPTY_OBJ()));
    streaming_append_volumes(a, q, list);
    return list;
}

/* Models that compile kernels need NVIDIA's compiler: put once on each node, pods of one node take turns. */
static struct json *cuda_container(struct arena *a, const struct engine_request *q)
{
    if (!is_vllm(q) || !q->preset->cuda_toolkit)
        return NULL;
    return OBJ("name", STR("cuda-toolkit-provisioner"),
               "image", STR(engine_base_image(a, q->settings)),
               "command", ARR(STR("/bin/sh"), STR("-c"), STR("flock \"$1\" /workspace/cuda-provision.sh \"$1\""),
                              STR("sh"), STR(CUDA_DIR)),
               "volumeMounts", ARR(OBJ("name", STR(CUDA_VOLUME), "mountPath", STR(CUDA_DIR))));
}

static struct json *init_containers(struct arena *a, const struct engine_request *q)
{
    struct json *list = ARR(cuda_container(a, q));
    adapters_append_pullers(a, q->ws->adapters, list);
    streaming_append_fetcher(a, q, list);
    return json_size(list) > 0 ? list : NULL;
}
/* clang-format on */

/* ---- Services ------------------------------------------------------------------------------------------------------ */

static struct json *service_port(struct arena *a, const char *name, int64_t number)
{
    return OBJ("name", STR(name), "protocol", STR("TCP"), "port", INT(number), "targetPort",
               INT(number));
}

static struct json *transformers_ports(struct arena *a, enum load_balancer lb)
{
    return ARR(engine_http_port(a), service_port(a, "ray", RAY_PORT),
               service_port(a, "dashboard", 8265));
}

/* Cache events are for routers inside the cluster, never for the outside. */
static struct json *vllm_ports(struct arena *a, enum load_balancer lb)
{
    struct json *ports = transformers_ports(a, lb);
    if (lb != LOAD_BALANCER_YES)
        json_append(ports, service_port(a, "kv-events", KV_EVENTS_PORT));
    return ports;
}

const struct engine engine_vllm = {
    .name = "vllm",
    .format = WEIGHTS_SAFETENSORS,
    .needs_gpu = true,
    .spans_nodes = true,
    .benchmarks = true,
    .runs_adapters = true,
    .streams_weights = true,
    .in_base_image = true,
    .service_ports = vllm_ports,
    .container = container,
    .volumes = volumes,
    .sidecar = sidecar,
    .init_containers = init_containers,
};

const struct engine engine_transformers = {
    .name = "transformers",
    .format = WEIGHTS_SAFETENSORS,
    .needs_gpu = true,
    .runs_adapters = true,
    .in_base_image = true,
    .service_ports = transformers_ports,
    .container = container,
    .volumes = volumes,
    .init_containers = init_containers,
};
