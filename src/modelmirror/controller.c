/* Informers, keys and the reconcile function. Claims are not watched, as those of others would be
 * too: they are asked for, every ten seconds while a mirror is being filled. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "modelmirror/decide.h"
#include "modelmirror/modelmirror.h"
#include "operator/apply.h"
#include "operator/echo.h"
#include "json/build.h"

#define WORKERS 2
#define MAX_PODS (4 * MIB)
#define MAX_METRICS (64 * KIB)

struct model_mirror_controller {
    const struct operator_settings *settings;
    struct clock *clock;
    struct informer *mirrors, *jobs;
    struct apply_target target;
    struct controller *controller;
    struct echo *echo;
};

/* ---- observing ----------------------------------------------------------------------------------------------------- */

static int observe_claim(struct arena *a, struct kube_client *c, struct mirror_observed *o,
                         struct error **err)
{
    const char *ns = json_find_str(o->mirror, "spec", "jobNamespace");
    struct json *claim = NULL;
    CLEANUP(error_cleanup) struct error *e = NULL;
    bool settled = str_eq(json_find_str(o->mirror, "status", "phase"), "Ready");
    if (str_empty(ns) || (settled && !meta_deleting(o->mirror)))
        return 0;
    int r = kube_get(c, &KUBE_PERSISTENT_VOLUME_CLAIMS, ns, meta_name(o->mirror), a, &claim, &e);
    if (r < 0 && r != -ERROR_NOT_FOUND) {
        *err = TAKE_PTR(e);
        return error_prefix(err, r, "looking for PersistentVolumeClaim %s", meta_name(o->mirror));
    }
    o->claim = claim;
    return 0;
}

/* The newest that is not going. */
static void observe_job(struct arena *a, struct informer *jobs, struct mirror_observed *o)
{
    struct kube_object_list all = { 0 };
    const char *ns = json_find_str(o->mirror, "spec", "jobNamespace");
    informer_list(jobs, ns, NULL, &all);
    for (size_t i = 0; i < all.count; i++) {
        if (!str_eq(kube_object_label(all.items[i], MIRROR_LABEL), meta_name(o->mirror)))
            continue;
        struct json *job = kube_object_parse(a, all.items[i]);
        const char *made = json_find_str(job, "metadata", "creationTimestamp");
        const char *newest = json_find_str(o->job, "metadata", "creationTimestamp");
        if (!o->job || strcmp(str_or_empty(made), str_or_empty(newest)) > 0)
            o->job = job;
    }
    kube_object_list_done(&all);
}

static void observe_pods(struct arena *a, struct kube_client *c, struct mirror_observed *o)
{
    o->pods = EMPTY_ARR();
    if (!o->job || condition_is(json_find(o->job, "status", "conditions"), "Complete", "True"))
        return;
    AUTO_BUF text = BUF_INIT(MAX_PODS);
    struct json *list = NULL;
    const char *path = arena_printf(a, "/api/v1/namespaces/%s/pods?labelSelector=job-name%%3D%s",
                                    meta_namespace(o->job), meta_name(o->job));
    if (kube_get_raw(c, path, &text, NULL) == 0 &&
        json_parse(a, text.data, text.len, &list, NULL) == 0 && json_get(list, "items"))
        o->pods = json_get(list, "items");
}

/* Of the download that runs. */
static void observe_sampler(struct arena *a, struct kube_client *c, struct mirror_observed *o)
{
    JSON_FOREACH(it, o->pods) {
        if (!str_eq(json_find_str(it.value, "status", "phase"), "Running"))
            continue;
        AUTO_BUF text = BUF_INIT(MAX_METRICS);
        const char *path =
            arena_printf(a, "/api/v1/namespaces/%s/pods/%s:%d/proxy/metrics",
                         meta_namespace(it.value), meta_name(it.value), MIRROR_SAMPLER_PORT);
        if (kube_get_raw(c, path, &text, NULL) == 0) {
            o->metrics = arena_strdup(a, buf_str(&text));
            return;
        }
    }
}

/* ---- reconcile ------------------------------------------------------------------------------------------------------ */

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct model_mirror_controller *m = ctx;
    const char *ns = NULL;
    const char *name = NULL;
    kube_key_split(a, key, &ns, &name);
    CLEANUP(kube_object_cleanup) struct kube_object *cached = informer_get(m->mirrors, NULL, name);
    if (!cached) {
        echo_remember(m->echo, key, NULL);
        return 0;
    }
    struct mirror_observed o = { .mirror = kube_object_parse(a, cached) };
    if (echo_awaited(m->echo, key, meta_resource_version(o.mirror))) {
        ret->requeue_after_ms = ECHO_WAIT_MS;
        return 0;
    }
    int r = observe_claim(a, m->target.client, &o, err);
    if (r < 0)
        return r;
    observe_job(a, m->jobs, &o);
    observe_pods(a, m->target.client, &o);
    observe_sampler(a, m->target.client, &o);
    const struct mirror_input in = { m->settings, &o, clock_wall(m->clock) };
    struct decision decision;
    mirror_decide(a, &in, &decision);
    const struct apply_subject subject = {
        .resource = &KUBE_MODEL_MIRRORS,
        .object = o.mirror,
        .status_after_error = mirror_status_after_error,
        .ctx = (void *)&in,
    };
    const char *version = NULL;
    r = operator_apply(a, &m->target, &subject, &decision, &version, err);
    if (version)
        echo_remember(m->echo, key, version);
    ret->requeue_after_ms = decision.requeue_ms;
    return r;
}

static void map_job(void *ctx, struct workqueue *q, struct kube_object *old,
                    struct kube_object *new)
{
    const char *name = kube_object_label(new ? new : old, MIRROR_LABEL);
    AUTO_ARENA a = arena_new();
    if (name)
        workqueue_add(q, kube_key(a, NULL, name));
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

int model_mirror_controller_add(struct manager *manager, struct kube_client *c,
                                const struct operator_settings *settings,
                                struct event_recorder *events, struct clock *clock,
                                struct model_mirror_controller **ret, struct error **err)
{
    struct model_mirror_controller *m = NEW0(struct model_mirror_controller);
    m->settings = settings;
    m->clock = clock;
    m->target = (struct apply_target){ .client = c, .events = events };
    m->echo = echo_new();
    m->mirrors = manager_informer(manager, &KUBE_MODEL_MIRRORS,
                                  &(struct informer_options){ .optional = true });
    m->jobs = manager_informer(manager, &KUBE_JOBS,
                               &(struct informer_options){ .label_selector = MIRROR_LABEL,
                                                           .optional = true });
    m->controller = controller_new(&(struct controller_options){
        .name = "modelmirror",
        .workers = WORKERS,
        .reconcile = reconcile,
        .ctx = m,
        .clock = clock,
    });
    controller_watch(m->controller, m->mirrors);
    controller_watch_mapped(m->controller, m->jobs, map_job, m);
    manager_add(manager, m->controller);
    *ret = m;
    return 0;
}

void model_mirror_controller_free(struct model_mirror_controller *m)
{
    if (!m)
        return;
    echo_free(m->echo);
    free(m);
}
