/* The Job of a tuning, as KAITO v0.12 makes it: the weights and the data are fetched first, then
 * the training runs; when the result goes to a registry, a container beside it pushes it. */
#include <string.h>

#include "base/embed.h"
#include "base/str.h"
#include "kube/meta.h"
#include "workspace/pull.h"
#include "workspace/tuning.h"
#include "json/build.h"

EMBEDDED(download_data);
EMBEDDED(push_result);

#define ORAS_PULL_IMAGE "mcr.microsoft.com/oss/v2/oras-project/oras:v1.2.3"
#define ORAS_PUSH_IMAGE "ghcr.io/oras-project/oras:v1.2.2"
#define PAUSE_IMAGE "registry.k8s.io/pause:latest"
#define DOWNLOAD_IMAGE "curlimages/curl"
#define RESULTS "results-volume"
#define DATA "data-volume"
#define CONFIG "config-volume"

struct tuning {
    const struct decider *d;
    const struct tuning_config *config;
    const struct json *input, *output;
    const char *data_image; /* NULL: not from an image, as the following */
    const struct json *urls;
    const char *result_image;
    const char *secrets; /* name of the data image's */
};

static const char *text_or_null(const struct json *obj, const char *key)
{
    const char *s = json_find_str(obj, key);
    return str_empty(s) ? NULL : s;
}

static struct json *mount(struct arena *a, const char *volume, const char *path)
{
    return OBJ("name", STR(volume), "mountPath", STR(path));
}

static struct json *volume_of(struct arena *a, const char *name, const struct json *source)
{
    struct json *volume = source ? json_clone(a, source) : OBJ("emptyDir", EMPTY_OBJ());
    json_set_str(a, volume, "name", name);
    return volume;
}

static const struct json *volume_source(const struct json *place)
{
    const struct json *source = json_get(place, "volumeSource");
    return json_size(source) > 0 ? source : NULL;
}

static struct json *secrets_mount(struct arena *a, const struct tuning *t)
{
    return t->data_image
               ? pull_secrets_mount(a, t->secrets, json_get(t->input, "imagePullSecrets"), true)
               : NULL;
}

/* ---- before the training ------------------------------------------------------------------------------------------- */

/* clang-format off */
static struct json *weights_container(struct arena *a, const struct tuning *t)
{
    const struct preset_tuning *tuning = t->d->choice.preset->tuning;
    if (tuning->download_at_runtime)
        return NULL;
    return OBJ("name", STR("model-weights-downloader"),
               "image", STR(ORAS_PULL_IMAGE),
               "command", ARR(STR("oras"), STR("pull"),
                              STRF("%s/%s", t->d->in->settings->image_registry, tuning->image),
                              STR("-o"), STR(ENGINE_WEIGHTS_DIR)),
               "volumeMounts", ARR(mount(a, ENGINE_WEIGHTS_VOLUME, ENGINE_WEIGHTS_DIR)));
}

static const char *joined(struct arena *a, const struct json *list)
{
    AUTO_BUF out = BUF_INIT(MIB);
    JSON_FOREACH(it, list)
        buf_printf(&out, "%s%s", out.len > 0 ? " " : "", str_or_empty(json_string(it.value)));
    return arena_strdup(a, buf_str(&out));
}

static struct json *data_container(struct arena *a, const struct tuning *t)
{
    if (t->data_image)
        return pull_container(a, "puller", t->data_image, TUNING_DATA_DIR,
                              ARR(secrets_mount(a, t), mount(a, DATA, TUNING_DATA_DIR)));
    if (!t->urls)
        return NULL;
    return OBJ("name", STR("data-downloader"),
               "image", STR(DOWNLOAD_IMAGE),
               "command", ARR(STR("sh"), STR("-c"), STR(data_download_data)),
               "env", ARR(OBJ("name", STR("DATA_URLS"), "value", STR(joined(a, t->urls))),
                          OBJ("name", STR("DATA_VOLUME_PATH"), "value", STR(TUNING_DATA_DIR))),
               "volumeMounts", ARR(mount(a, DATA, TUNING_DATA_DIR)));
}

/* ---- the training, and what brings its result away ------------------------------------------------------------------ */

static struct json *training_container(struct arena *a, const struct tuning *t)
{
    const struct decider *d = t->d;
    struct json *gpus = OBJ(d->gpu.resource, STRF("%lld", (long long)d->gpu.count));
    struct json *modules = str_has_prefix(d->choice.preset->name, "phi-3")
        ? OBJ("name", STR("DEFAULT_TARGET_MODULES"),
              "value", STR("k_proj,q_proj,v_proj,o_proj,gate_proj,down_proj,up_proj"))
        : NULL;
    struct json *allocator = OBJ("name", STR("PYTORCH_CUDA_ALLOC_CONF"), "value", STR("expandable_segments:True"));
    return OBJ("name", STR(d->ws.name),
               "image", STR(engine_base_image(a, d->in->settings)),
               "command", ARR(STR("/bin/sh"), STR("-c"),
                              STRF("cd /workspace/tfs/ && python3 metrics_server.py & accelerate launch "
                                   "--num_processes=%lld /workspace/tfs/fine_tuning.py", (long long)d->gpu.count)),
               "env", ARR(modules, allocator),
               "ports", ARR(OBJ("containerPort", INT(ENGINE_PORT), "protocol", STR("TCP"))),
               "resources", OBJ("requests", gpus, "limits", json_clone(a, gpus)),
               "volumeMounts", ARR(engine_dshm_mount(a),
                                   mount(a, ENGINE_WEIGHTS_VOLUME, ENGINE_WEIGHTS_DIR),
                                   mount(a, CONFIG, TUNING_CONFIG_DIR),
                                   mount(a, RESULTS, t->config->output_dir),
                                   secrets_mount(a, t),
                                   mount(a, DATA, TUNING_DATA_DIR)));
}

static struct json *push_container(struct arena *a, const struct tuning *t)
{
    if (!t->result_image)
        return NULL;
    const char *image = t->result_image;
    image_reference(a, t->result_image, &image, NULL);
    return OBJ("name", STR("pusher"),
               "image", STR(ORAS_PUSH_IMAGE),
               "command", ARR(STR("/bin/sh"), STR("-c")),
               "args", ARR(STRF("#!/bin/sh\nimage=%s\nmodel=%s\noutput=%s\n%s", str_shell_word(a, image),
                                str_shell_word(a, t->d->choice.model),
                                str_shell_word(a, t->config->output_dir), data_push_result)),
               "volumeMounts", ARR(mount(a, "docker-config", "/root/.docker"),
                                   mount(a, RESULTS, t->config->output_dir)));
}

/* Ended by the pusher, see scripts/push-result.sh. */
static struct json *pause_container(struct arena *a, const struct tuning *t)
{
    return t->result_image ? OBJ("name", STR("pause"), "image", STR(PAUSE_IMAGE)) : NULL;
}

/* ---- the pod ------------------------------------------------------------------------------------------------------- */

static struct json *push_secret_volume(struct arena *a, const struct tuning *t)
{
    if (!t->result_image)
        return NULL;
    struct json *item = OBJ("key", STR(".dockerconfigjson"), "path", STR("config.json"));
    struct json *secret = OBJ("name", STR(text_or_null(t->output, "imagePushSecret")), "items", ARR(item));
    return OBJ("name", STR("docker-config"), "projected", OBJ("sources", ARR(OBJ("secret", secret))));
}

static struct json *tuning_volumes(struct arena *a, const struct tuning *t)
{
    return ARR(engine_dshm_volume(a),
               volume_of(a, ENGINE_WEIGHTS_VOLUME, NULL),
               OBJ("name", STR(CONFIG), "configMap", OBJ("name", STR(t->config->config_map))),
               volume_of(a, RESULTS, volume_source(t->output)),
               t->data_image ? pull_secrets_volume(a, t->secrets, json_get(t->input, "imagePullSecrets"), true) : NULL,
               volume_of(a, DATA, volume_source(t->input)),
               push_secret_volume(a, t));
}

static struct json *tolerations(const struct decider *d)
{
    struct arena *a = d->a;
    struct json *list = ARR(OBJ("key", STR("gpu"), "operator", STR("Equal"), "effect", STR("NoSchedule")));
    decide_append_tolerations(d, list);
    /* as the Go operator has them, and NVIDIA's behind */
    struct json *nvidia = json_clone(a, json_at(list, 1));
    json_remove_at(list, 1);
    json_del(json_at(list, 1), "operator"); /* Equal, when nothing is said */
    json_append(list, nvidia);
    return list;
}

static struct json *pod_spec(struct arena *a, const struct tuning *t)
{
    struct json *secret = t->result_image
        ? OBJ("name", STR(text_or_null(t->output, "imagePushSecret"))) : NULL;
    struct json *containers = ARR(training_container(a, t), push_container(a, t), pause_container(a, t));
    return OBJ("affinity", decide_node_affinity(t->d),
               "tolerations", tolerations(t->d),
               "restartPolicy", STR("Never"),
               "shareProcessNamespace", json_size(containers) > 1 ? BOOL(true) : NULL,
               "imagePullSecrets", secret ? ARR(secret) : NULL,
               "initContainers", ARR(weights_container(a, t), data_container(a, t)),
               "containers", containers,
               "volumes", tuning_volumes(a, t));
}

struct json *tuning_job(const struct decider *d, const struct tuning_config *config)
{
    struct arena *a = d->a;
    const struct json *input = json_get(d->ws.tuning, "input"), *output = json_get(d->ws.tuning, "output");
    const struct json *urls = json_get(input, "urls");
    const struct tuning t = {
        .d = d,
        .config = config,
        .input = input,
        .output = output,
        .data_image = text_or_null(input, "image"),
        .urls = json_size(urls) > 0 ? urls : NULL,
        .result_image = volume_source(output) ? NULL : text_or_null(output, "image"),
        .secrets = arena_printf(a, "%s-tuning-input", str_or_empty(json_find_str(input, "name"))),
    };
    struct json *metadata = decide_owned_metadata(d, d->ws.name, decide_revision_annotation(d));
    json_set(a, metadata, "labels", OBJ(WORKSPACE_LABEL, STR(d->ws.name)));
    return OBJ("apiVersion", STR("batch/v1"),
               "kind", STR("Job"),
               "metadata", metadata,
               "spec", OBJ("template", OBJ("metadata", OBJ("labels", OBJ(WORKSPACE_LABEL, STR(d->ws.name))),
                                           "spec", pod_spec(a, &t))));
}
/* clang-format on */
