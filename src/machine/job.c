#include "machine/job.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

#define NAME_LABEL "batch.kubernetes.io/job-name"
#define MANAGER "kubernetes.io/job-controller"

struct jobs {
    struct job_sources src;
};

/* ---- observe --------------------------------------------------------------------------------- */

static struct json *parse_all(struct arena *a, struct kube_object_list *objects)
{
    struct json *list = EMPTY_ARR();
    for (size_t n = 0; n < objects->count; n++)
        json_append(list, kube_object_parse(a, objects->items[n]));
    kube_object_list_done(objects);
    return list;
}

static struct json *owned(struct arena *a, struct jobs *j, const char *uid)
{
    struct kube_object_list objects = { 0 };
    informer_list_owned(j->src.pods, uid, &objects);
    return parse_all(a, &objects);
}

/* Pods with the name of the Job that no Job controls: it is gone, or it let them go. */
static struct json *abandoned(struct arena *a, struct jobs *j, const char *ns, const char *name)
{
    struct json *all, *list = EMPTY_ARR();
    CLEANUP(selector_cleanup) struct selector *selector = NULL;
    struct json *labels = OBJ("matchLabels", EMPTY_OBJ());
    json_set_str(a, json_get(labels, "matchLabels"), NAME_LABEL, name);
    if (selector_from_object(labels, &selector, NULL) < 0)
        return list;
    struct kube_object_list objects = { 0 };
    informer_list(j->src.pods, ns, selector, &objects);
    all = parse_all(a, &objects);
    CLEANUP(kube_object_cleanup) struct kube_object *job = informer_get(j->src.jobs, ns, name);
    JSON_FOREACH(it, all) {
        bool held = meta_has_finalizer(it.value, JOB_FINALIZER);
        if (held && !(job && meta_controlled_by(it.value, job->uid)))
            json_append(list, json_clone(a, it.value));
    }
    return list;
}

/* ---- apply ----------------------------------------------------------------------------------- */

static int ignore(int r, int harmless, struct error **err)
{
    if (r != harmless)
        return r;
    if (err) {
        error_free(*err);
        *err = NULL;
    }
    return 0;
}

/* Fails when the pod is no longer as it was seen: it comes again then. */
static int release_pod(struct arena *a, struct jobs *j, const struct json *pod, struct error **err)
{
    struct json *finalizers = EMPTY_ARR();
    JSON_FOREACH(it, json_find(pod, "metadata", "finalizers"))
        if (!str_eq(json_string(it.value), JOB_FINALIZER))
            json_append(finalizers, json_clone(a, it.value));
    struct json *meta = OBJ("uid", STR(meta_uid(pod)), "resourceVersion",
                            STR(json_find_str(pod, "metadata", "resourceVersion")), "finalizers",
                            json_size(finalizers) > 0 ? finalizers : NUL());
    int r = kube_patch(j->src.client, &KUBE_PODS, meta_namespace(pod), meta_name(pod), NULL,
                       KUBE_PATCH_MERGE, OBJ("metadata", meta), a, NULL, err);
    r = ignore(r, -ERROR_NOT_FOUND, err);
    return ignore(r, -ERROR_CONFLICT, err);
}

static int release_pods(struct arena *a, struct jobs *j, const struct json *pods,
                        struct error **err)
{
    int r = 0;
    JSON_FOREACH(it, pods)
        if (r == 0)
            r = release_pod(a, j, it.value, err);
    return r;
}

static int delete_pod(struct jobs *j, const struct json *job, const struct json *pod,
                      struct error **err)
{
    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    const char *name = json_find_str(pod, "name");
    options.uid = json_find_str(pod, "uid");
    int r = kube_delete(j->src.client, &KUBE_PODS, meta_namespace(job), name, &options, err);
    if (r == 0)
        event_record(j->src.events, job, "Normal", "SuccessfulDelete", "Deleted pod: %s", name);
    r = ignore(r, -ERROR_NOT_FOUND, err);
    return ignore(r, -ERROR_CONFLICT, err);
}

static int create_pod(struct arena *a, struct jobs *j, const struct json *job, struct json *pod,
                      struct error **err)
{
    const char *name = arena_strdup(a, meta_name(pod));
    int r = kube_create(j->src.client, &KUBE_PODS, meta_namespace(job), pod, a, NULL, err);
    if (r == 0)
        event_record(j->src.events, job, "Normal", "SuccessfulCreate", "Created pod: %s", name);
    else if (r != -ERROR_ALREADY_EXISTS)
        event_record(j->src.events, job, "Warning", "FailedCreate", "Error creating: %s",
                     err ? error_message(*err) : "");
    return ignore(r, -ERROR_ALREADY_EXISTS, err);
}

/* The status as it was seen is the one that changes: else it is decided anew. */
static int write_status(struct arena *a, struct jobs *j, const struct json *job,
                        const struct job_plan *plan, struct error **err)
{
    const struct json *was = json_get(job, "status");
    struct json *change = json_merge_diff(a, was ? was : EMPTY_OBJ(), plan->status);
    struct json *meta = OBJ("uid", STR(meta_uid(job)), "resourceVersion",
                            STR(json_find_str(job, "metadata", "resourceVersion")));
    int r = kube_patch(j->src.client, &KUBE_JOBS, meta_namespace(job), meta_name(job), "status",
                       KUBE_PATCH_MERGE, OBJ("metadata", meta, "status", change), a, NULL, err);
    if (r == 0)
        JSON_FOREACH(it, plan->events)
            event_record(j->src.events, job, json_find_str(it.value, "type"),
                         json_find_str(it.value, "reason"), "%s",
                         json_find_str(it.value, "message"));
    r = ignore(r, -ERROR_NOT_FOUND, err);
    return ignore(r, -ERROR_CONFLICT, err);
}

static int apply(struct arena *a, struct jobs *j, const struct json *job,
                 const struct job_plan *plan, struct error **err)
{
    int r = 0;
    if (plan->delete_job) {
        struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
        options.uid = meta_uid(job);
        options.propagation = KUBE_FOREGROUND;
        r = kube_delete(j->src.client, &KUBE_JOBS, meta_namespace(job), meta_name(job), &options,
                        err);
        r = ignore(r, -ERROR_NOT_FOUND, err);
        return ignore(r, -ERROR_CONFLICT, err);
    }
    r = release_pods(a, j, plan->release_pods, err);
    JSON_FOREACH(it, plan->delete_pods)
        if (r == 0)
            r = delete_pod(j, job, it.value, err);
    JSON_FOREACH(it, plan->create_pods)
        if (r == 0)
            r = create_pod(a, j, job, json_clone(a, it.value), err);
    if (r == 0 && plan->status && !json_equal(json_get(job, "status"), plan->status))
        r = write_status(a, j, job, plan, err);
    return r;
}

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct jobs *j = ctx;
    const char *ns;
    const char *name;
    kube_key_split(a, key, &ns, &name);
    int r = release_pods(a, j, abandoned(a, j, ns, name), err);
    CLEANUP(kube_object_cleanup) struct kube_object *object = informer_get(j->src.jobs, ns, name);
    if (r < 0 || !object)
        return r;
    struct json *job = kube_object_parse(a, object);
    const char *manager = json_find_str(job, "spec", "managedBy");
    if (manager && !STREQ(manager, MANAGER))
        return 0;
    json_set_str(a, job, "apiVersion", "batch/v1");
    json_set_str(a, job, "kind", "Job");
    struct job_view view = { .job = job,
                             .pods = owned(a, j, object->uid),
                             .now_wall = clock_wall(j->src.clock) };
    struct job_plan plan;
    job_decide(a, &view, &plan);
    if (plan.unsupported)
        event_record(j->src.events, job, "Warning", "FailedCreate", "%s", plan.unsupported);
    r = apply(a, j, job, &plan, err);
    ret->requeue_after_ms = plan.requeue_after_ms;
    return r;
}

struct jobs *jobs_new(const struct job_sources *sources, struct controller **ret_controller)
{
    struct jobs *j = NEW0(struct jobs);
    j->src = *sources;
    struct controller *c = controller_new(&(struct controller_options){
        .name = "job", .workers = 2, .reconcile = reconcile, .ctx = j, .clock = sources->clock });
    controller_watch(c, sources->jobs);
    controller_watch_owned(c, sources->pods, "Job");
    *ret_controller = c;
    return j;
}

void jobs_free(struct jobs *j)
{
    free(j);
}
