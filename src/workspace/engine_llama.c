/* llama.cpp: GGUF weights, with or without a GPU. kaito-serve is the entry point; it reads the
 * configuration, fits the context to the memory and becomes llama-server. */
#include "workspace/engine.h"

#include "base/str.h"
#include "json/build.h"

/* As long as the slowest disk may take to read the largest model. */
#define STARTUP_SECONDS 1800

static const char *image(struct arena *a, const struct engine_request *q)
{
    return arena_printf(a, "%s/kaito-llama-cpp:%s", q->settings->image_registry, KAITO_VERSION);
}

static struct json *service_ports(struct arena *a, enum load_balancer lb)
{
    return ARR(engine_http_port(a));
}

/* clang-format off */
static struct json *command(struct arena *a, const struct engine_request *q)
{
    return ARR(STR("kaito-serve"), STR(engine_llama.name),
               STRF("--model=" ENGINE_WEIGHTS_DIR "/%s.gguf", q->model),
               STRF("--served-model-name=%s", engine_served_name(q)),
               STRF("--port=%d", ENGINE_PORT),
               q->ws->config[0] ? STR("--kaito-config-file=" ENGINE_CONFIG_FILE) : NULL);
}

static struct json *weights_mount(struct arena *a, bool read_only)
{
    return OBJ("name", STR(ENGINE_WEIGHTS_VOLUME),
               "mountPath", STR(ENGINE_WEIGHTS_DIR),
               "readOnly", read_only ? BOOL(true) : NULL);
}

static struct json *container(struct arena *a, const struct engine_request *q)
{
    struct json *memory = q->weight_bytes ? STRF("%llu", (unsigned long long)q->weight_bytes) : NULL;
    return OBJ("name", STR(q->ws->name),
               "image", STR(image(a, q)),
               "command", command(a, q),
               "ports", ARR(engine_port(a, "http", ENGINE_PORT)),
               "resources", memory ? OBJ("requests", OBJ("memory", memory)) : NULL,
               "startupProbe", engine_health_probe(a, ENGINE_PORT, 1, 0, STARTUP_SECONDS),
               /* A processor that is busy with tokens may answer late: that is no reason to kill it. */
               "livenessProbe", engine_health_probe(a, ENGINE_PORT, 10, 5, 6),
               "readinessProbe", engine_health_probe(a, ENGINE_PORT, 2, 5, 0),
               /* kaito-serve's last line says why it ended */
               "terminationMessagePolicy", STR("FallbackToLogsOnError"),
               "volumeMounts", ARR(engine_config_mount(a, q),
                                   weights_mount(a, true),
                                   engine_dshm_mount(a)));
}

/* One box mounts its model store, a cluster fetches the weights into each pod. */
static struct json *volumes(struct arena *a, const struct engine_request *q)
{
    const char *store = q->settings->models_dir;
    return ARR(engine_dshm_volume(a),
               engine_config_volume(a, q),
               OBJ("name", STR(ENGINE_WEIGHTS_VOLUME),
                   "hostPath", store ? OBJ("path", STR(store), "type", STR("Directory")) : NULL,
                   "emptyDir", store ? NULL : EMPTY_OBJ()));
}

/* The same command fills the store of one box. */
static struct json *init_containers(struct arena *a, const struct engine_request *q)
{
    if (q->settings->models_dir)
        return NULL;
    struct json *token = engine_token(a, q);
    return ARR(OBJ("name", STR("model-weights-downloader"),
                   "image", STR(image(a, q)),
                   "command", ARR(STR("kaito"), STR("models"), STR("pull"), STR(q->model),
                                  STR("--models-dir=" ENGINE_WEIGHTS_DIR)),
                   "env", token ? ARR(token) : NULL,
                   "terminationMessagePolicy", STR("FallbackToLogsOnError"),
                   "volumeMounts", ARR(weights_mount(a, false))));
}
/* clang-format on */

const struct engine engine_llama = {
    .name = "llama.cpp",
    .format = WEIGHTS_GGUF,
    .weights_in_store = true,
    .replaces_pods = true,
    .service_ports = service_ports,
    .container = container,
    .volumes = volumes,
    .init_containers = init_containers,
};
