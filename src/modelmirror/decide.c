/* In this order: the claim, the Job that fills it, and when the Job has succeeded, Ready for good.
 * A Job that failed stays for five minutes, to be looked at, and is made again. */
#include "modelmirror/decide.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

#define RETRY_NS (300 * NS_PER_S)
#define POLL_MS 10000
#define MAX_MESSAGE 512

struct mirror {
    struct arena *a;
    const struct mirror_input *in;
    const struct mirror_observed *o;
    struct decision *out;
    const struct json *json, *spec;
    const char *name, *ns; /* where claim and Job are */
    struct json *status, *conditions;
};

static struct write *write_to(struct mirror *m, enum write_op op, const struct kube_resource *r,
                              const char *name, struct json *body)
{
    struct write *w = decision_write(m->a, m->out, op, r, name, body);
    w->ns = r->namespaced ? m->ns : NULL;
    return w;
}

static void set(struct mirror *m, const char *type, bool status, const char *reason,
                const char *message)
{
    condition_set(m->a, m->conditions,
                  &(struct condition){ type, status ? "True" : "False", reason, message },
                  meta_generation(m->json), m->in->now_ns);
}

/* ---- deletion ------------------------------------------------------------------------------------------------------ */

static struct json *without(struct arena *a, const struct json *obj, const char *finalizer)
{
    struct json *left = EMPTY_ARR();
    JSON_FOREACH(it, json_find(obj, "metadata", "finalizers"))
        if (!str_eq(json_string(it.value), finalizer))
            json_append(left, json_clone(a, it.value));
    return OBJ("metadata", OBJ("finalizers", json_size(left) > 0 ? left : NUL(), "resourceVersion",
                               STR(meta_resource_version(obj))));
}

static void remove_all(struct mirror *m)
{
    if (m->o->job && !meta_deleting(m->o->job)) {
        struct write *w = write_to(m, WRITE_DELETE, &KUBE_JOBS, meta_name(m->o->job), NULL);
        w->propagation = KUBE_BACKGROUND;
        w->uid = meta_uid(m->o->job);
    }
    if (m->o->claim && meta_has_finalizer(m->o->claim, MIRROR_PROTECTION)) {
        struct json *body = without(m->a, m->o->claim, MIRROR_PROTECTION);
        write_to(m, WRITE_PATCH, &KUBE_PERSISTENT_VOLUME_CLAIMS, m->name, body);
        if (!meta_deleting(m->o->claim))
            write_to(m, WRITE_DELETE, &KUBE_PERSISTENT_VOLUME_CLAIMS, m->name, NULL)->uid =
                meta_uid(m->o->claim);
    }
    if (meta_has_finalizer(m->json, MIRROR_FINALIZER))
        write_to(m, WRITE_PATCH, &KUBE_MODEL_MIRRORS, m->name,
                 without(m->a, m->json, MIRROR_FINALIZER));
}

/* ---- claim --------------------------------------------------------------------------------------------------------- */

static void add_finalizer(struct mirror *m)
{
    struct arena *a = m->a;
    if (meta_has_finalizer(m->json, MIRROR_FINALIZER))
        return;
    struct json *list = json_clone(a, json_find(m->json, "metadata", "finalizers"));
    list = list ? list : EMPTY_ARR();
    json_append(list, STR(MIRROR_FINALIZER));
    write_to(m, WRITE_PATCH, &KUBE_MODEL_MIRRORS, m->name,
             OBJ("metadata",
                 OBJ("finalizers", list, "resourceVersion", STR(meta_resource_version(m->json)))));
}

/* clang-format off */
static struct json *claim_object(const struct mirror *m)
{
    struct arena *a = m->a;
    const char *class = json_find_str(m->spec, "storage", "storageClassName");
    struct json *requests = OBJ("storage", STR(json_find_str(m->spec, "storage", "size")));
    return OBJ("apiVersion", STR("v1"),
               "kind", STR("PersistentVolumeClaim"),
               "metadata", OBJ("name", STR(m->name), "namespace", STR(m->ns),
                               "finalizers", ARR(STR(MIRROR_PROTECTION))),
               "spec", OBJ("accessModes", ARR(STR("ReadWriteMany")),
                           "storageClassName", str_empty(class) ? NULL : STR(class),
                           "resources", OBJ("requests", requests)));
}
/* clang-format on */

static void decide_claim(struct mirror *m)
{
    if (!m->o->claim)
        write_to(m, WRITE_CREATE, &KUBE_PERSISTENT_VOLUME_CLAIMS, m->name, claim_object(m))
            ->shared = true;
    bool bound = str_eq(json_find_str(m->o->claim, "status", "phase"), "Bound");
    set(m, "StorageReady", bound, bound ? "PVCBound" : "PVCPending",
        bound ? "the volume is there" : "waiting for the volume");
}

/* ---- the Job ------------------------------------------------------------------------------------------------------- */

static const struct json *last_end(const struct json *pod)
{
    const struct json *status = json_at(json_find(pod, "status", "containerStatuses"), 0);
    const struct json *end = json_find(status, "state", "terminated");
    return end ? end : json_find(status, "lastState", "terminated");
}

/* The reason of the failure, and its words. */
static const char *failure(const struct mirror *m, const char **ret_message)
{
    const struct json *c = condition_find(json_find(m->o->job, "status", "conditions"), "Failed");
    const char *reason = "DownloadFailed";
    const char *message = json_find_str(c, "message");
    JSON_FOREACH(it, m->o->pods) {
        const struct json *end = last_end(it.value);
        const char *words = json_find_str(end, "message");
        if (str_eq(json_find_str(it.value, "status", "reason"), "Evicted")) {
            reason = "DownloadEvicted";
            words = json_find_str(it.value, "status", "message");
        } else if (str_eq(json_find_str(end, "reason"), "OOMKilled")) {
            reason = "DownloadOOMKilled";
            words = "the download used more memory than it may (--model-mirror-download-memory)";
        }
        message = str_empty(words) ? message : words;
    }
    message = str_empty(message) ? "the download failed" : message;
    *ret_message =
        arena_strndup(m->a, message, str_utf8_valid_len(message, strnlen(message, MAX_MESSAGE)));
    return reason;
}

static void decide_failed(struct mirror *m, const struct json *failed)
{
    const char *message = NULL;
    const char *reason = failure(m, &message);
    set(m, "Ready", false, reason, message);
    json_set_str(m->a, m->status, "phase", "Pending");
    json_set_str(m->a, m->status, "failureMessage", message);
    json_del(m->status, "download");
    int64_t at = 0;
    const char *when = json_find_str(failed, "lastTransitionTime");
    if (when && time_parse_rfc3339(when, &at) == 0 && m->in->now_ns - at < RETRY_NS) {
        decision_requeue(m->out, (at + RETRY_NS - m->in->now_ns) / NS_PER_MS + 1);
        return;
    }
    struct write *w = write_to(m, WRITE_DELETE, &KUBE_JOBS, meta_name(m->o->job), NULL);
    w->propagation = KUBE_BACKGROUND;
    w->uid = meta_uid(m->o->job);
}

static void decide_done(struct mirror *m)
{
    struct arena *a = m->a;
    set(m, "Ready", true, "DownloadSucceeded", "the model is there");
    json_set_str(a, m->status, "phase", "Ready");
    json_set(a, m->status, "modelPath",
             STRF("/models/%s", json_find_str(m->spec, "source", "modelID")));
    json_set_str(a, m->status, "lastDownloadTime",
                 json_find_str(m->o->job, "status", "completionTime"));
    json_del(m->status, "failureMessage");
    json_del(m->status, "download");
}

/* The sampler takes a sample a minute: that often the status is written, not each time we look. */
static void decide_running(struct mirror *m)
{
    struct arena *a = m->a;
    struct mirror_download now = { -1, -1 };
    if (m->o->metrics)
        mirror_read_download(m->o->metrics, &now);
    else if (m->o->pods && json_size(m->o->pods) > 0)
        return;
    if (now.bytes_per_second >= 0 && now.remaining_seconds >= 0)
        json_set(a, m->status, "download",
                 OBJ("speedBytesPerSecond", INT(now.bytes_per_second), "remainingSeconds",
                     INT(now.remaining_seconds)));
    else
        json_del(m->status, "download");
}

static void decide_job(struct mirror *m)
{
    const struct json *job = m->o->job;
    const struct json *conditions = json_find(job, "status", "conditions");
    if (!job)
        write_to(m, WRITE_CREATE, &KUBE_JOBS, mirror_job_name(m->a, m->json),
                 mirror_job(m->a, m->in->settings, m->json))
            ->shared = true;
    else if (condition_is(conditions, "Complete", "True") ||
             json_find_int(job, 0, "status", "succeeded") > 0)
        decide_done(m);
    else if (condition_is(conditions, "Failed", "True") && !meta_deleting(job))
        decide_failed(m, condition_find(conditions, "Failed"));
    else
        decide_running(m);
}

/* ---- together ------------------------------------------------------------------------------------------------------ */

static const char *invalid(const struct mirror *m)
{
    if (str_empty(json_find_str(m->spec, "source", "modelID")))
        return "spec.source.modelID is empty";
    if (str_empty(m->ns))
        return "spec.jobNamespace is empty";
    if (str_empty(json_find_str(m->spec, "storage", "size")))
        return "spec.storage.size is empty";
    return NULL;
}

static void decide_managed(struct mirror *m)
{
    const char *why = invalid(m);
    if (why) {
        set(m, "Ready", false, "InvalidSpec", why);
        return;
    }
    add_finalizer(m);
    if (str_eq(json_find_str(m->status, "phase"), "Ready"))
        return;
    decide_claim(m);
    if (m->o->claim)
        decide_job(m);
    if (!str_eq(json_find_str(m->status, "phase"), "Ready"))
        decision_requeue(m->out, POLL_MS);
}

void mirror_decide(struct arena *a, const struct mirror_input *in, struct decision *ret)
{
    const struct json *json = in->observed->mirror;
    struct mirror m = {
        .a = a,
        .in = in,
        .o = in->observed,
        .out = ret,
        .json = json,
        .spec = json_get(json, "spec"),
        .name = meta_name(json),
        .ns = json_find_str(json, "spec", "jobNamespace"),
        .status = json_clone(a, json_get(json, "status")),
    };
    *ret = (struct decision){ 0 };
    if (!json_is_object(m.status))
        m.status = EMPTY_OBJ();
    if (meta_deleting(json)) {
        remove_all(&m);
        return;
    }
    m.conditions = json_ensure_array(a, m.status, "conditions");
    if (str_eq(json_find_str(m.spec, "mode"), "Static")) {
        set(&m, "Ready", true, "StaticMirror", "the model is kept by others");
        json_set_str(a, m.status, "phase", "Ready");
    } else {
        decide_managed(&m);
    }
    ret->status = m.status;
}

struct json *mirror_status_after_error(void *ctx, struct arena *a, const struct decision *d,
                                       const char *error)
{
    const struct mirror_input *in = ctx;
    const char *reason = NULL;
    for (size_t i = 0; i < d->write_count; i++)
        if (d->writes[i].op == WRITE_CREATE)
            reason = d->writes[i].resource == &KUBE_JOBS ? "JobCreateFailed" : "PVCCreateFailed";
    if (!d->status || !reason)
        return d->status;
    struct json *status = json_clone(a, d->status);
    error = arena_strndup(a, error, str_utf8_valid_len(error, strnlen(error, MAX_MESSAGE)));
    condition_set(a, json_ensure_array(a, status, "conditions"),
                  &(struct condition){ "Ready", "False", reason, error },
                  meta_generation(in->observed->mirror), in->now_ns);
    json_set_str(a, status, "failureMessage", error);
    return status;
}
