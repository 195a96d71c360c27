/* Tuning: a Job that trains an adapter. What cannot work is said before a node is asked for. A
 * changed specification replaces the Job: the old one is deleted with its pods, and the next is
 * made when it is gone. */
#include "workspace/tuning.h"

#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "workspace/pull.h"
#include "json/build.h"

/* One node, by its GPUs; the rest of what an engine does is the Job's. */
const struct engine engine_tuning = {
    .name = "tuning",
    .format = WEIGHTS_SAFETENSORS,
    .needs_gpu = true,
};

/* ---- can it work --------------------------------------------------------------------------------------------------- */

static bool is_set(const struct json *v)
{
    return json_is_object(v) || json_is_array(v) ? json_size(v) > 0 : !str_empty(json_string(v));
}

static void invalid(struct decider *d, const char *message)
{
    decider_problem(d, true, "InvalidSpec", message);
}

static void check_image(struct decider *d, const char *field, const struct json *image)
{
    const char *reference = NULL;
    struct error *err = NULL;
    if (!is_set(image) || image_reference(d->a, json_string(image), &reference, &err) == 0)
        return;
    error_prefix(&err, -ERROR_INVALID, "%s", field);
    decider_problem_error(d, true, err);
}

static void check_urls(struct decider *d, const struct json *urls)
{
    JSON_FOREACH(it, urls) {
        const char *url = str_or_empty(json_string(it.value));
        const char *rest = str_skip_prefix(url, "https://");
        rest = rest ? rest : str_skip_prefix(url, "http://");
        if (!rest || !rest[0] || rest[0] == '/' || strpbrk(url, " \t\r\n\"\\"))
            invalid(d, arena_printf(d->a, "tuning.input.urls[%zu] \"%s\" is no http or https URL",
                                    it.index, url));
    }
}

static void check_input(struct decider *d)
{
    const struct json *input = json_get(d->ws.tuning, "input");
    const struct json *urls = json_get(input, "urls"), *image = json_get(input, "image");
    int count = is_set(urls) + is_set(image) + is_set(json_get(input, "volumeSource"));
    if (count != 1)
        invalid(d, count == 0 ? "tuning.input names no data; it needs urls, an image or a "
                                "volumeSource"
                              : "tuning.input can have one of urls, image and volumeSource only");
    check_urls(d, urls);
    check_image(d, "tuning.input.image", image);
}

static void check_output(struct decider *d)
{
    const struct json *output = json_get(d->ws.tuning, "output");
    const struct json *image = json_get(output, "image");
    int count = is_set(image) + is_set(json_get(output, "volumeSource"));
    if (count != 1)
        invalid(d, count == 0 ? "tuning.output has no place for the result; it needs an image or a "
                                "volumeSource"
                              : "tuning.output can have one of image and volumeSource only");
    else if (is_set(image) && !is_set(json_get(output, "imagePushSecret")))
        decider_problem(d, true, "ImagePushSecretMissing",
                        "tuning.output.image needs tuning.output.imagePushSecret, a Secret with "
                        "the registry's credentials");
    check_image(d, "tuning.output.image", image);
}

/* "phi-4, phi-4-mini-instruct, …" */
static const char *tunable_names(const struct decider *d)
{
    AUTO_BUF out = BUF_INIT(4 * KIB);
    for (size_t i = 0; i < catalog_count(d->in->catalog); i++) {
        const struct preset *p = catalog_at(d->in->catalog, i);
        if (p->tuning)
            buf_printf(&out, "%s%s", out.len > 0 ? ", " : "",
                       p->aliases[0] ? p->aliases[0] : p->id);
    }
    return arena_strdup(d->a, buf_str(&out));
}

static void choose_preset(struct decider *d)
{
    struct error *err = NULL;
    const char *name = d->ws.preset_name;
    const struct preset *p = catalog_find_format(d->in->catalog, name, WEIGHTS_SAFETENSORS);
    if (!d->ws.preset || !name[0])
        invalid(d, "tuning has no preset; tuning.preset.name says what is tuned");
    else if (!p && engine_unknown_preset(d->a, d->in->catalog, name, &err) < 0)
        decider_problem_error(d, true, err);
    else if (!p->tuning)
        decider_problem(d, true, "TuningUnsupported",
                        arena_printf(d->a, "preset \"%s\" cannot be tuned; those that can are %s",
                                     name, tunable_names(d)));
    d->choice = (struct engine_choice){
        .engine = &engine_tuning,
        .preset = p,
        .model = p ? p->name : "",
    };
}

void decide_tuning_choice(struct decider *d)
{
    const char *method = str_or_empty(json_find_str(d->ws.tuning, "method"));
    choose_preset(d);
    if (!tuning_default_config(method))
        invalid(d, arena_printf(d->a, "tuning.method is \"%s\"; it can be lora or qlora", method));
    check_input(d);
    check_output(d);
    struct tuning_config config;
    if (!d->problem.reason)
        tuning_config(d, &config);
}

/* ---- the Job ------------------------------------------------------------------------------------------------------- */

static bool is_outdated(const struct decider *d)
{
    const char *has = meta_annotation(d->o->job, WORKSPACE_REVISION);
    return has && !STREQ(has, arena_printf(d->a, "%lld", (long long)d->revision));
}

static void replace_job(struct decider *d)
{
    struct write *w = decider_write(d, WRITE_DELETE, &KUBE_JOBS, d->ws.name, NULL);
    w->uid = meta_uid(d->o->job);
    w->propagation = KUBE_FOREGROUND;
    w->done = (struct decided_event){
        "Normal", "TuningJobReplaced",
        arena_printf(d->a, "the specification changed (revision %lld): Job %s starts anew",
                     (long long)d->revision, d->ws.name),
        NULL
    };
}

void decide_tuning(struct decider *d)
{
    struct tuning_config config;
    if (!decide_is_ours(d, d->o->job, "Job") || d->problem.reason || !d->resource_ready ||
        d->revision == 0)
        return;
    if (d->o->job) {
        if (is_outdated(d) && !meta_deleting(d->o->job))
            replace_job(d);
        return;
    }
    if (d->gpu.count <= 0 || tuning_config(d, &config) < 0)
        return;
    decide_tuning_config_copy(d, &config);
    decider_write(d, WRITE_CREATE, &KUBE_JOBS, d->ws.name, tuning_job(d, &config));
}

/* ---- how it goes --------------------------------------------------------------------------------------------------- */

/* What its pods tell of a failure, or what the Job itself does. */
static const char *cause(const struct decider *d)
{
    struct problem p;
    if (pod_failure_find(d->a, d->o->pods, &p))
        return p.message;
    const struct json *c = condition_find(json_find(d->o->job, "status", "conditions"), "Failed");
    const char *message = json_find_str(c, "message");
    return message ? message : "its pod failed";
}

static const char *failure(const struct decider *d, bool final)
{
    int64_t failed = json_find_int(d->o->job, 0, "status", "failed");
    int64_t most = json_find_int(d->o->job, 6, "spec", "backoffLimit") + 1;
    return final
               ? arena_printf(d->a, "Job %s failed: %s", d->ws.name, cause(d))
               : arena_printf(d->a, "attempt %lld of %lld of Job %s failed: %s; it is tried again",
                              (long long)failed, (long long)most, d->ws.name, cause(d));
}

struct tuning_status decide_tuning_status(const struct decider *d)
{
    const struct json *status = json_get(d->o->job, "status");
    int64_t failed = json_find_int(status, 0, "failed"),
            done = json_find_int(status, 0, "succeeded");
    bool ended = condition_is(json_get(status, "conditions"), "Failed", "True");
    bool started = json_find_int(status, 0, "ready") > 0 || json_find_int(status, 0, "active") > 0;
    struct problem p;
    /* What is wrong now does not undo what a Job of this very specification did. */
    bool current = d->o->job && meta_controlled_by(d->o->job, d->ws.uid) && !is_outdated(d);
    if (d->problem.reason && !current)
        return (struct tuning_status){ d->problem.final ? TUNING_FAILED : TUNING_PENDING,
                                       d->problem.reason, d->problem.message };
    if (!current)
        return (struct tuning_status){ TUNING_PENDING, "WorkspaceTuningJobStatusPending",
                                       d->resource_ready ? "the Job is being made"
                                                         : "waiting for nodes" };
    if (done > 0)
        return (struct tuning_status){ TUNING_DONE, "WorkspaceTuningJobStatusStarted",
                                       "the Job has succeeded" };
    if (failed > 0 || ended)
        return (struct tuning_status){ TUNING_FAILED, "WorkspaceTuningJobStatusFailed",
                                       failure(d, ended) };
    if (!started)
        return (struct tuning_status){ TUNING_PENDING, "WorkspaceTuningJobStatusPending",
                                       "waiting for the Job's pod" };
    return (struct tuning_status){ TUNING_RUNNING, "WorkspaceTuningJobStatusStarted",
                                   pod_failure_find(d->a, d->o->pods, &p) ? p.message
                                                                          : "the Job is running" };
}
