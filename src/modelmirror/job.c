/* The Job that fetches a model, as KAITO v0.12 makes it, and beside it what tells how far it is. */
#include <string.h>

#include "base/embed.h"
#include "base/str.h"
#include "http/crypto.h"
#include "kube/meta.h"
#include "modelmirror/decide.h"
#include "json/build.h"

EMBEDDED(download_model);
EMBEDDED(sample_download);

#define IMAGE "mcr.microsoft.com/mirror/docker/library/python:3.11-slim"
#define MODELS_DIR "/models"
#define VOLUME "model-storage"
#define KEPT_SECONDS 3600

const char *mirror_job_name(struct arena *a, const struct json *mirror)
{
    char hex[SHA256_HEX_SIZE];
    const char *uid = meta_uid(mirror);
    sha256_hex(uid, strlen(uid), hex);
    return arena_printf(a, "%s-download-%.5s", meta_name(mirror), hex);
}

/* clang-format off */
static struct json *variable(struct arena *a, const char *name, const char *value)
{
    return OBJ("name", STR(name), "value", STR(value));
}

/* Secrets are read in the Job's own namespace only. */
static struct json *token(struct arena *a, const struct json *spec)
{
    const struct json *secret = json_find(spec, "source", "accessSecret");
    const char *name = json_find_str(secret, "name");
    const char *ns = json_find_str(secret, "namespace");
    if (str_empty(name) || (ns && !str_eq(ns, json_find_str(spec, "jobNamespace"))))
        return NULL;
    struct json *key = OBJ("name", STR(name), "key", STR("HF_TOKEN"), "optional", BOOL(true));
    return OBJ("name", STR("HF_TOKEN"), "valueFrom", OBJ("secretKeyRef", key));
}

static struct json *downloader(struct arena *a, const struct operator_settings *settings, const struct json *spec)
{
    const char *cpu = str_empty(settings->mirror_cpu) ? "3" : settings->mirror_cpu;
    const char *memory = str_empty(settings->mirror_memory) ? "8Gi" : settings->mirror_memory;
    struct json *resources = OBJ("cpu", STR(cpu), "memory", STR(memory));
    return OBJ("name", STR("downloader"),
               "image", STR(IMAGE),
               "command", ARR(STR("/bin/sh"), STR("-c")),
               "args", ARR(STR(data_download_model)),
               "env", ARR(variable(a, "MODEL_ID", json_find_str(spec, "source", "modelID")), token(a, spec)),
               "resources", OBJ("requests", resources, "limits", json_clone(a, resources)),
               "volumeMounts", ARR(OBJ("name", STR(VOLUME), "mountPath", STR(MODELS_DIR))));
}

/* An init container that stays: it ends with the Job. */
static struct json *sampler(struct arena *a, const struct json *spec)
{
    return OBJ("name", STR("sampler"),
               "image", STR(IMAGE),
               "restartPolicy", STR("Always"),
               "command", ARR(STR("/bin/sh"), STR("-c")),
               "args", ARR(STR("#!/bin/sh\nexec python3 -c \"$SAMPLER_SCRIPT\"\n")),
               "env", ARR(variable(a, "MODEL_ID", json_find_str(spec, "source", "modelID")),
                          variable(a, "EXCLUDE_PATTERNS", "original/*"),
                          variable(a, "SAMPLER_SCRIPT", data_sample_download),
                          token(a, spec)),
               "ports", ARR(OBJ("name", STR("metrics"), "containerPort", INT(MIRROR_SAMPLER_PORT), "protocol", STR("TCP"))),
               "volumeMounts", ARR(OBJ("name", STR(VOLUME), "mountPath", STR(MODELS_DIR), "readOnly", BOOL(true))));
}

struct json *mirror_job(struct arena *a, const struct operator_settings *settings, const struct json *mirror)
{
    const struct json *spec = json_get(mirror, "spec");
    const char *account = json_find_str(spec, "serviceAccountName");
    struct json *claim = OBJ("claimName", STR(meta_name(mirror)));
    struct json *pod = OBJ("restartPolicy", STR("Never"),
                           "serviceAccountName", str_empty(account) ? NULL : STR(account),
                           "initContainers", ARR(sampler(a, spec)),
                           "containers", ARR(downloader(a, settings, spec)),
                           "volumes", ARR(OBJ("name", STR(VOLUME), "persistentVolumeClaim", claim)));
    return OBJ("apiVersion", STR("batch/v1"),
               "kind", STR("Job"),
               "metadata", OBJ("name", STR(mirror_job_name(a, mirror)),
                               "generateName", STRF("%s-download-", meta_name(mirror)), /* what looks for it by that finds it */
                               "namespace", STR(json_find_str(spec, "jobNamespace")),
                               "labels", OBJ(MIRROR_LABEL, STR(meta_name(mirror)))),
               "spec", OBJ("backoffLimit", INT(3),
                           "ttlSecondsAfterFinished", INT(KEPT_SECONDS),
                           "template", OBJ("metadata", OBJ("labels", OBJ("azure.workload.identity/use", STR("true"))),
                                           "spec", pod)));
}
/* clang-format on */
