#include "workspace/streaming.h"

#include <string.h>

#include "api/workspace.h"
#include "base/str.h"
#include "http/crypto.h"
#include "kube/meta.h"
#include "workspace/decide_internal.h"
#include "json/build.h"

/* What nobody announces is looked at again. */
#define POLL_MS 10000

/* ---- what is wanted ------------------------------------------------------------------------------------------------ */

bool streaming_wanted(const struct operator_settings *settings, const struct workspace *ws)
{
    return settings->gates.on[GATE_MODEL_STREAMING] && str_eq(settings->cloud, "azure") &&
           settings->gates.on[GATE_VLLM] && !STREQ(ws->runtime, engine_transformers.name) &&
           !STREQ(ws->runtime, engine_llama.name) && ws->inference && !ws->template &&
           ws->preset_name[0] &&
           !str_eq(meta_annotation(ws->json, WORKSPACE_STREAMING), "disabled");
}

const char *streaming_mirror_name(struct arena *a, const char *model_id)
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex(model_id, strlen(model_id), hex);
    return arena_strndup(a, hex, 6);
}

const char *streaming_model_id(struct arena *a, const struct catalog *catalog,
                               const struct workspace *ws)
{
    const struct preset *p = catalog_find_format(catalog, ws->preset_name, WEIGHTS_SAFETENSORS);
    return p ? str_lower(a, p->id) : ws->preset_name;
}

static const char *annotation_or(const struct workspace *ws, const char *key, const char *otherwise)
{
    const char *value = meta_annotation(ws->json, key);
    return str_empty(value) ? str_or_empty(otherwise) : value;
}

const char *streaming_storage_class(const struct operator_settings *settings,
                                    const struct workspace *ws)
{
    return annotation_or(ws, WORKSPACE_MIRROR_CLASS, settings->mirror_storage_class);
}

const char *streaming_service_account(const struct operator_settings *settings,
                                      const struct workspace *ws)
{
    return annotation_or(ws, WORKSPACE_STREAMING_ACCOUNT, settings->streaming_service_account);
}

/* Pods go on as they were started. */
static bool streaming_static(const struct workspace *ws, const struct json *statefulset)
{
    return statefulset ? streaming_static_runs(statefulset) : streaming_static_asked(ws);
}

/* ---- observing ----------------------------------------------------------------------------------------------------- */

static struct json *cached(struct arena *a, struct informer *i, const char *ns, const char *name)
{
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(i, ns, name);
    return o ? kube_object_parse(a, o) : NULL;
}

/* The volume that the mirror's claim is bound to says where the weights are. */
static void observe_volume(struct arena *a, struct kube_client *c, struct observed_streaming *ret)
{
    const char *ns = json_find_str(ret->mirror, "spec", "jobNamespace");
    struct json *claim = NULL;
    struct json *volume = NULL;
    if (!ns || kube_get(c, &KUBE_PERSISTENT_VOLUME_CLAIMS, ns, meta_name(ret->mirror), a, &claim,
                        NULL) < 0)
        return;
    const char *name = json_find_str(claim, "spec", "volumeName");
    if (name && kube_get(c, &KUBE_PERSISTENT_VOLUMES, NULL, name, a, &volume, NULL) == 0)
        ret->volume_handle = json_find_str(volume, "spec", "csi", "volumeHandle");
}

void streaming_observe(struct arena *a, const struct workspace_caches *caches,
                       struct kube_client *c, const struct operator_settings *settings,
                       const struct catalog *catalog, const struct workspace *ws,
                       const struct json *statefulset, struct observed_streaming *ret)
{
    if (!caches->mirrors || ws->deleting || !streaming_wanted(settings, ws))
        return;
    const char *id = streaming_model_id(a, catalog, ws);
    const char *class = streaming_storage_class(settings, ws);
    const char *account = streaming_service_account(settings, ws);
    bool others = streaming_static(ws, statefulset);
    ret->mirror = cached(a, caches->mirrors, NULL, streaming_mirror_name(a, id));
    ret->storage_class = class[0] ? cached(a, caches->storage_classes, NULL, class) : NULL;
    if (others)
        ret->script = cached(a, caches->config_maps, ws->ns, streaming_script_name(a, ws->name));
    struct json *found = NULL;
    if (!statefulset && account[0] &&
        kube_get(c, &KUBE_SERVICE_ACCOUNTS, ws->ns, account, a, &found, NULL) == 0)
        ret->service_account = found;
    if (!statefulset && !others && str_eq(json_find_str(ret->mirror, "status", "phase"), "Ready"))
        observe_volume(a, c, ret);
}

/* ---- the mirror ---------------------------------------------------------------------------------------------------- */

static void problem(struct decider *d, const char *reason, const char *message)
{
    decider_problem(d, false, reason, message);
    decision_requeue(d->out, POLL_MS);
}

static bool check_class(struct decider *d)
{
    const char *name = streaming_storage_class(d->in->settings, &d->ws);
    const struct json *class = d->o->streaming.storage_class;
    if (!class)
        problem(d, "ModelStreamingStorageClassNotFound",
                name[0] ? arena_printf(d->a,
                                       "there is no StorageClass %s for the model's mirror; the "
                                       "annotation " WORKSPACE_MIRROR_CLASS " names another",
                                       name)
                        : "no StorageClass is named for the model's mirror; the "
                          "annotation " WORKSPACE_MIRROR_CLASS
                          " or --default-model-mirror-storage-class does");
    else if (!str_eq(json_find_str(class, "provisioner"), BLOB_DRIVER))
        problem(d, "ModelStreamingInvalidStorageClass",
                arena_printf(d->a,
                             "StorageClass %s has the provisioner %s; it must be " BLOB_DRIVER,
                             name, str_or_empty(json_find_str(class, "provisioner"))));
    else
        return true;
    return false;
}

static bool check_account(struct decider *d)
{
    static const char client_id[] = "azure.workload.identity/client-id";
    const char *name = streaming_service_account(d->in->settings, &d->ws);
    if (!str_empty(meta_annotation(d->o->streaming.service_account, client_id)))
        return true;
    problem(d, "ModelStreamingServiceAccountInvalid",
            name[0] ? arena_printf(d->a,
                                   "ServiceAccount %s of namespace %s is not there or lacks the "
                                   "annotation %s",
                                   name, d->ws.ns, client_id)
                    : "no ServiceAccount is named for streaming; the "
                      "annotation " WORKSPACE_STREAMING_ACCOUNT
                      " or --default-streaming-service-account does");
    return false;
}

/* What is not kept by us is only named. */
static struct json *static_object(struct arena *a, const char *name, const char *id)
{
    return OBJ("apiVersion", STR("kaito.sh/v1alpha1"), "kind", STR("ModelMirror"), "metadata",
               OBJ("name", STR(name)), "spec",
               OBJ("mode", STR("Static"), "source",
                   OBJ("registry", STR("huggingface"), "modelID", STR(id))));
}

/* clang-format off */
static struct json *mirror_object(const struct decider *d, const char *name, const char *id)
{
    struct arena *a = d->a;
    struct json *secret = d->ws.access_secret[0]
        ? OBJ("name", STR(d->ws.access_secret), "namespace", STR(d->ws.ns)) : NULL;
    return OBJ("apiVersion", STR("kaito.sh/v1alpha1"),
               "kind", STR("ModelMirror"),
               "metadata", OBJ("name", STR(name)),
               "spec", OBJ("mode", STR("Managed"),
                           "source", OBJ("registry", STR("huggingface"), "modelID", STR(id),
                                         "accessSecret", secret),
                           "storage", OBJ("size", STR(d->choice.preset->disk),
                                          "storageClassName", STR(streaming_storage_class(d->in->settings, &d->ws))),
                           "jobNamespace", STR(d->ws.ns),
                           "serviceAccountName", STR(streaming_service_account(d->in->settings, &d->ws))));
}
/* clang-format on */

/* Of the shell that starts the engine; "" when there is none. */
static const char *live_line(const struct json *statefulset)
{
    const struct json *main =
        json_at(json_find(statefulset, "spec", "template", "spec", "containers"), 0);
    const struct json *command = json_get(main, "command");
    size_t n = json_size(command);
    return str_or_empty(n > 0 ? json_string(json_at(command, n - 1)) : NULL);
}

/* Pods that run without streaming go on so. */
static bool runs_without(const struct json *statefulset)
{
    return statefulset && !strstr(live_line(statefulset), "runai_streamer");
}

static bool is_static(const struct json *mirror)
{
    return str_eq(json_find_str(mirror, "spec", "mode"), "Static");
}

/* Pods that run know where the weights are: then one that somebody deleted is not made again. */
static void decide_static_mirror(struct decider *d, const char *name, const char *id)
{
    if (d->o->statefulset || d->o->streaming.mirror || !check_account(d))
        return;
    decider_write(d, WRITE_CREATE, &KUBE_MODEL_MIRRORS, name, static_object(d->a, name, id))
        ->shared = true;
}

void decide_mirror(struct decider *d)
{
    const struct json *mirror = d->o->streaming.mirror;
    if (!streaming_wanted(d->in->settings, &d->ws) || d->choice.engine != &engine_vllm ||
        !d->choice.preset || runs_without(d->o->statefulset))
        return;
    d->streaming = true;
    d->static_source = streaming_static(&d->ws, d->o->statefulset);
    const char *id = streaming_model_id(d->a, d->in->catalog, &d->ws);
    const char *name = streaming_mirror_name(d->a, id);
    const char *kept = json_find_str(mirror, "spec", "source", "modelID");
    if (d->problem.reason)
        return;
    const char *fault = d->static_source ? streaming_static_fault(d->a, &d->ws) : NULL;
    if (fault)
        decider_problem(d, true, "ModelStreamingInvalidAnnotations", fault);
    else if (mirror && !str_eq(kept, id))
        problem(
            d, "ModelMirrorCreateFailed",
            arena_printf(d->a,
                         "ModelMirror %s is of the model %s; the annotation " WORKSPACE_STREAMING
                         ": disabled runs %s without streaming",
                         name, str_or_empty(kept), id));
    else if (d->static_source)
        decide_static_mirror(d, name, id);
    else if (is_static(mirror) && !d->o->statefulset)
        problem(d, "ModelMirrorCreateFailed",
                arena_printf(d->a,
                             "ModelMirror %s is Static: others keep the model. Delete it, and one "
                             "that keeps the model is made; or annotate this Workspace "
                             "with " WORKSPACE_STREAMING ": disabled",
                             name));
    else if (!mirror && check_class(d) && check_account(d))
        decider_write(d, WRITE_CREATE, &KUBE_MODEL_MIRRORS, name, mirror_object(d, name, id))
            ->shared = true;
}

static bool mirror_ready(const struct decider *d)
{
    const struct json *mirror = d->o->streaming.mirror;
    bool ready = str_eq(json_find_str(mirror, "status", "phase"), "Ready");
    if (d->static_source)
        return d->o->statefulset || ready || (mirror && !is_static(mirror));
    return ready && (!is_static(mirror) || d->o->statefulset);
}

static const char *progress(const struct decider *d)
{
    const struct json *mirror = d->o->streaming.mirror;
    const char *failure = json_find_str(mirror, "status", "failureMessage");
    return d->static_source || is_static(mirror) ? "waiting for the ModelMirror"
           : !mirror                             ? "Model download has not started"
           : str_empty(failure)                  ? "Model download in progress"
                                                 : failure;
}

/* Third part of "resource group#account#container#…"; "" when there is none. */
static const char *handle_part(struct arena *a, const char *handle, size_t part)
{
    size_t n = 0;
    char **parts = str_split(a, str_or_empty(handle), '#', &n);
    return part < n ? parts[part] : "";
}

/* Of pods that stream already: as they were started. */
static void read_live(struct decider *d)
{
    const struct json *main =
        json_at(json_find(d->o->statefulset, "spec", "template", "spec", "containers"), 0);
    const char *line = live_line(d->o->statefulset);
    const char *source = strstr(line, "--model=");
    if (source) {
        source += strlen("--model=");
        d->weights_source = arena_strndup(d->a, source, strcspn(source, " "));
    }
    JSON_FOREACH(it, json_get(main, "env"))
        if (str_eq(json_find_str(it.value, "name"), "AZURE_STORAGE_ACCOUNT_NAME"))
            d->storage_account = json_find_str(it.value, "value");
}

void decide_stream_source(struct decider *d)
{
    if (!d->streaming)
        return;
    d->place = PLACE_STREAMED;
    d->stream_id = streaming_model_id(d->a, d->in->catalog, &d->ws);
    if (!mirror_ready(d)) {
        d->resource_ready = false;
        d->nodes.resource =
            (struct condition){ "ResourceReady", "False", "ModelMirrorNotReady", progress(d) };
        return;
    }
    if (d->static_source) {
        d->weights_source = "$STREAM_MODEL_URI"; /* what runs before the engine finds it out */
        return;
    }
    if (d->o->statefulset) {
        read_live(d);
        return;
    }
    const char *handle = d->o->streaming.volume_handle;
    const char *container = handle_part(d->a, handle, 2);
    d->storage_account = handle_part(d->a, handle, 1);
    if (!container[0] || !d->storage_account[0]) {
        problem(d, "ModelMirrorVolumeUnknown",
                arena_printf(d->a,
                             "the volume of ModelMirror %s does not say where it is (volumeHandle "
                             "\"%s\")",
                             meta_name(d->o->streaming.mirror), str_or_empty(handle)));
        return;
    }
    d->weights_source =
        str_shell_word(d->a, arena_printf(d->a, "az://%s/%s", container, d->stream_id));
}

/* ---- the status ---------------------------------------------------------------------------------------------------- */

static void set(const struct decider *d, struct json *conditions, const char *type, bool status,
                const char *reason, const char *message)
{
    condition_set(d->a, conditions,
                  &(struct condition){ type, status ? "True" : "False", reason, message },
                  d->ws.generation, d->in->now_ns);
}

void decide_streaming_status(const struct decider *d, struct json *conditions)
{
    const struct json *mirror = d->o->streaming.mirror;
    if (!d->streaming) {
        condition_remove(conditions, "ModelMirrorReady");
        return;
    }
    if (mirror_ready(d)) {
        set(d, conditions, "ModelMirrorReady", true, "ModelMirrorReady",
            d->static_source ? "others keep the model" : "the model is mirrored");
        return;
    }
    const struct json *c = condition_find(json_find(mirror, "status", "conditions"), "Ready");
    const char *reason = json_find_str(c, "reason");
    set(d, conditions, "ModelMirrorReady", false, str_empty(reason) ? "ModelMirrorPending" : reason,
        progress(d));
}
