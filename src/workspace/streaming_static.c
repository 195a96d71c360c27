/* Weights in a store that others keep (annotation inference.kaito.sh/static-model-mirror). Leave to
 * read them, for a few hours, is fetched by a container that runs before the engine, with the pod's
 * own identity; the two share a file in memory. */
#include <string.h>

#include "base/embed.h"
#include "base/str.h"
#include "kube/meta.h"
#include "workspace/decide_internal.h"
#include "workspace/streaming.h"
#include "json/build.h"

EMBEDDED(fetch_sas);

#define IMAGE "python:3.12-slim"
#define SHARED_VOLUME "streaming-sas"
#define SHARED_DIR "/mnt/streaming"
#define SHARED_FILE SHARED_DIR "/env"
#define SCRIPT_VOLUME "fetch-sas-script"
#define SCRIPT_SUFFIX "-fetch-sas-script"
#define SCRIPT_DIR "/scripts"
#define SCRIPT_KEY "fetch_sas.py"
#define WRAPPER "/workspace/vllm/export_sas_token_for_streaming.sh"
#define MAX_URL 2048

/* ---- annotations ---------------------------------------------------------------------------------------------------- */

bool streaming_static_asked(const struct workspace *ws)
{
    return str_eq(meta_annotation(ws->json, WORKSPACE_STATIC_MIRROR), "true");
}

bool streaming_static_runs(const struct json *statefulset)
{
    JSON_FOREACH(it, json_find(statefulset, "spec", "template", "spec", "initContainers"))
        if (str_eq(json_find_str(it.value, "name"), STREAMING_FETCHER))
            return true;
    return false;
}

static bool is_https(const char *url)
{
    static const char scheme[] = "https://";
    if (!str_has_prefix(url, scheme) || strlen(url) > MAX_URL)
        return false;
    const char *host = url + strlen(scheme);
    for (const char *p = host; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    return strcspn(host, "/?#") > 0;
}

const char *streaming_static_fault(struct arena *a, const struct workspace *ws)
{
    const char *url = str_or_empty(meta_annotation(ws->json, WORKSPACE_STREAM_URL));
    const char *kind = str_or_empty(meta_annotation(ws->json, WORKSPACE_STREAM_SOURCE));
    if (str_empty(meta_annotation(ws->json, WORKSPACE_STREAM_CLIENT)))
        return "annotation " WORKSPACE_STREAM_CLIENT
               " is missing; it is the client ID of the identity that may read the model";
    if (!STREQ(kind, "public") && !STREQ(kind, "byo"))
        return arena_printf(a,
                            "annotation " WORKSPACE_STREAM_SOURCE " is \"%s\"; it can be public (a "
                            "registry) or byo (a project of your own)",
                            kind);
    if (!is_https(url))
        return arena_printf(a,
                            "annotation " WORKSPACE_STREAM_URL " is \"%.200s\"; it is the https:// "
                            "URL of the model where it is kept",
                            url);
    if (STREQ(kind, "public") && !strstr(url, "/datarefs/"))
        return arena_printf(a,
                            "annotation " WORKSPACE_STREAM_URL " is \"%.200s\"; of a public source "
                            "it has /datarefs/ in its path",
                            url);
    return NULL;
}

/* ---- the script ----------------------------------------------------------------------------------------------------- */

const char *streaming_script_name(struct arena *a, const char *workspace)
{
    return arena_printf(a, "%s" SCRIPT_SUFFIX, workspace);
}

const char *streaming_script_owner(struct arena *a, const char *name)
{
    return str_has_suffix(name, SCRIPT_SUFFIX)
               ? arena_strndup(a, name, strlen(name) - strlen(SCRIPT_SUFFIX))
               : NULL;
}

/* One of another version is replaced: it may be that ConfigMaps can be made and deleted, but not
 * changed, by the operator. Pods that run do not read it. */
bool decide_streaming_script(struct decider *d)
{
    struct arena *a = d->a;
    const struct json *script = d->o->streaming.script;
    const char *name = streaming_script_name(a, d->ws.name);
    if (!d->streaming || !d->static_source)
        return true;
    if (!decide_is_ours(d, script, "ConfigMap"))
        return false;
    if (!script) {
        decider_write(d, WRITE_CREATE, &KUBE_CONFIGMAPS, name,
                      OBJ("apiVersion", STR("v1"), "kind", STR("ConfigMap"), "metadata",
                          decide_owned_metadata(d, name, NULL), "data",
                          OBJ(SCRIPT_KEY, STR(data_fetch_sas))));
    } else if (!str_eq(json_find_str(script, "data", SCRIPT_KEY), data_fetch_sas) &&
               !meta_deleting(script)) {
        decider_write(d, WRITE_DELETE, &KUBE_CONFIGMAPS, name, NULL)->uid = meta_uid(script);
    }
    return true;
}

/* ---- pods ----------------------------------------------------------------------------------------------------------- */

/* clang-format off */
static struct json *variable(struct arena *a, const char *name, const char *value)
{
    return OBJ("name", STR(name), "value", STR(str_or_empty(value)));
}

static struct json *shared_mount(struct arena *a)
{
    return OBJ("name", STR(SHARED_VOLUME), "mountPath", STR(SHARED_DIR));
}

static struct json *script_mount(struct arena *a)
{
    return OBJ("name", STR(SCRIPT_VOLUME), "mountPath", STR(SCRIPT_DIR), "readOnly", BOOL(true));
}

void streaming_append_fetcher(struct arena *a, const struct engine_request *q, struct json *containers)
{
    const struct json *ws = q->ws->json;
    if (!q->static_source)
        return;
    struct json *env = ARR(variable(a, "STREAM_DATAREFS_URL", meta_annotation(ws, WORKSPACE_STREAM_URL)),
                           variable(a, "STREAM_IDENTITY_CLIENT_ID", meta_annotation(ws, WORKSPACE_STREAM_CLIENT)),
                           variable(a, "STREAM_SOURCE_TYPE", meta_annotation(ws, WORKSPACE_STREAM_SOURCE)),
                           variable(a, "STREAM_ENV_FILE", SHARED_FILE));
    json_append(containers, OBJ("name", STR(STREAMING_FETCHER),
                                "image", STR(IMAGE),
                                "command", ARR(STR("python3"), STR(SCRIPT_DIR "/" SCRIPT_KEY)),
                                "env", env,
                                "volumeMounts", ARR(shared_mount(a), script_mount(a))));
}

void streaming_append_volumes(struct arena *a, const struct engine_request *q, struct json *volumes)
{
    if (!q->static_source)
        return;
    struct json *script = OBJ("name", STR(streaming_script_name(a, q->ws->name)));
    json_append(volumes, OBJ("name", STR(SHARED_VOLUME), "emptyDir", OBJ("medium", STR("Memory"))));
    json_append(volumes, OBJ("name", STR(SCRIPT_VOLUME), "configMap", script));
}

void streaming_append_mount(struct arena *a, const struct engine_request *q, struct json *mounts)
{
    if (q->static_source)
        json_append(mounts, shared_mount(a));
}

void streaming_append_env(struct arena *a, const struct engine_request *q, struct json *env)
{
    if (q->static_source)
        json_append(env, variable(a, "STREAM_ENV_FILE", SHARED_FILE));
}

struct json *streaming_command(struct arena *a, const struct engine_request *q, struct json *command)
{
    if (!q->static_source)
        return command;
    struct json *wrapped = ARR(STR(WRAPPER));
    JSON_FOREACH(it, command)
        json_append(wrapped, json_clone(a, it.value));
    return wrapped;
}
/* clang-format on */
