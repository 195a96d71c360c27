#include "operator/apply.h"

#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

/* It is there: ours, not yet in the cache, or somebody else's. */
static int exists_already(struct arena *a, const struct apply_target *t, const struct write *w,
                          const char *ns, const struct apply_subject *s, struct error **err)
{
    struct json *found = NULL;
    if (w->shared)
        return 0;
    int r = kube_get(t->client, w->resource, ns, w->name, a, &found, err);
    if (r < 0 || meta_controlled_by(found, meta_uid(s->object)) ||
        (w->same_labels && json_contains(json_find(found, "metadata", "labels"), w->same_labels)))
        return r;
    return error_set(err, ERROR_ALREADY_EXISTS,
                     "%s %s exists already and does not belong to this %s", w->resource->kind,
                     w->name, s->resource->kind);
}

static int create(struct arena *a, const struct apply_target *t, const struct write *w,
                  const char *ns, const struct apply_subject *s, struct error **err)
{
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r = kube_create(t->client, w->resource, ns, w->body, a, NULL, &e);
    if (r == -ERROR_ALREADY_EXISTS)
        return exists_already(a, t, w, ns, s, err);
    if (r < 0 && err)
        *err = TAKE_PTR(e);
    return r < 0 ? error_prefix(err, r, "creating %s %s", w->resource->kind, w->name) : 0;
}

static int patch(struct arena *a, const struct apply_target *t, const struct write *w,
                 const char *ns, const struct apply_subject *s, const char **ret_version,
                 struct error **err)
{
    struct json *result = NULL;
    int r = kube_patch(t->client, w->resource, ns, w->name, w->subresource,
                       w->op == WRITE_JSON_PATCH ? KUBE_PATCH_JSON : KUBE_PATCH_MERGE, w->body, a,
                       &result, err);
    if (r < 0)
        return error_prefix(err, r, "patching %s %s", w->resource->kind, w->name);
    if (w->resource == s->resource && str_eq(w->name, meta_name(s->object)))
        *ret_version = meta_resource_version(result);
    return 0;
}

/* A server that is busy says conflict too: only a look tells whether the object is another one. */
static bool is_another_by_now(struct arena *a, const struct apply_target *t, const struct write *w,
                              const char *ns)
{
    struct json *found = NULL;
    int r =
        w->uid ? kube_get(t->client, w->resource, ns, w->name, a, &found, NULL) : -ERROR_INVALID;
    return r == -ERROR_NOT_FOUND || (r == 0 && !str_eq(meta_uid(found), w->uid));
}

static int remove_object(struct arena *a, const struct apply_target *t, const struct write *w,
                         const char *ns, struct error **err)
{
    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    options.uid = w->uid;
    options.propagation = w->propagation;
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r = kube_delete(t->client, w->resource, ns, w->name, &options, &e);
    if (r == 0 || r == -ERROR_NOT_FOUND || (r == -ERROR_CONFLICT && is_another_by_now(a, t, w, ns)))
        return 0;
    if (err)
        *err = TAKE_PTR(e);
    return error_prefix(err, r, "deleting %s %s", w->resource->kind, w->name);
}

static int carry_out(struct arena *a, const struct apply_target *t, const struct write *w,
                     const struct apply_subject *s, const char **ret_version, struct error **err)
{
    const char *ns = !w->resource->namespaced ? NULL : w->ns ? w->ns : meta_namespace(s->object);
    switch (w->op) {
    case WRITE_CREATE:
        return create(a, t, w, ns, s, err);
    case WRITE_PATCH:
    case WRITE_JSON_PATCH:
        return patch(a, t, w, ns, s, ret_version, err);
    case WRITE_DELETE:
        return remove_object(a, t, w, ns, err);
    }
    return 0;
}

static int write_status(struct arena *a, const struct apply_target *t,
                        const struct apply_subject *s, const struct json *status,
                        const char **ret_version, struct error **err)
{
    const struct json *before = json_get(s->object, "status");
    struct json *diff = status ? json_merge_diff(a, before ? before : EMPTY_OBJ(), status) : NULL;
    if (!diff)
        return 0;
    struct json *result = NULL;
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r =
        kube_patch(t->client, s->resource,
                   s->resource->namespaced ? meta_namespace(s->object) : NULL, meta_name(s->object),
                   "status", KUBE_PATCH_MERGE, OBJ("status", diff), a, &result, &e);
    if (r == -ERROR_NOT_FOUND) /* deleted meanwhile: nobody is left to read it */
        return 0;
    if (r < 0) {
        if (err)
            *err = TAKE_PTR(e);
        return error_prefix(err, r, "writing the status");
    }
    *ret_version = meta_resource_version(result);
    return 0;
}

static void record(const struct apply_target *t, const struct apply_subject *s,
                   const struct decided_event *e, const struct error *because)
{
    if (t->events && e->type)
        event_record_as(t->events, e->component, s->object, e->type, e->reason, "%s%s%s",
                        e->message, because ? ": " : "", because ? error_message(because) : "");
}

/* One write, with its events. */
static int write_one(struct arena *a, const struct apply_target *t, const struct apply_subject *s,
                     const struct write *w, const char **ret_version, struct error **err)
{
    CLEANUP(error_cleanup) struct error *e = NULL;
    if (s->write_begins)
        s->write_begins(s->ctx, w);
    int r = carry_out(a, t, w, s, ret_version, &e);
    if (s->write_ended)
        s->write_ended(s->ctx, w, r);
    record(t, s, r < 0 ? &w->failed : &w->done, e);
    if (r < 0 && w->best_effort)
        return 0;
    if (r < 0 && err)
        *err = TAKE_PTR(e);
    return r;
}

/* Machines take minutes to come, all else seconds: when many owners come at once, their machines
 * are asked for before anything else, but for what makes them go again with their owner. */
static bool comes_first(const struct apply_subject *s, const struct write *w)
{
    bool of_subject = w->resource == s->resource && str_eq(w->name, meta_name(s->object));
    return of_subject || write_makes_machine(w);
}

int operator_apply(struct arena *a, const struct apply_target *t, const struct apply_subject *s,
                   const struct decision *d, const char **ret_version, struct error **err)
{
    *ret_version = NULL;
    bool machines = decision_makes_machines(d);
    for (size_t i = 0; i < d->event_count && !machines; i++)
        record(t, s, &d->events[i], NULL);
    CLEANUP(error_cleanup) struct error *failure = NULL;
    int failed = 0;
    for (size_t i = 0; i < d->write_count && failed == 0; i++)
        if (!machines || comes_first(s, &d->writes[i]))
            failed = write_one(a, t, s, &d->writes[i], ret_version, &failure);
    if (machines && failed == 0)
        return 0;
    if (failed == -ERROR_NOT_FOUND && d->write_count > 0 &&
        !d->status) /* its own removal was faster */
        return 0;
    /* A conflict says only that the cache was behind: not worth telling. */
    const struct json *status = failed < 0 && failed != -ERROR_CONFLICT && s->status_after_error
                                    ? s->status_after_error(s->ctx, a, d, error_message(failure))
                                    : d->status;
    int r = failed == -ERROR_CONFLICT
                ? 0
                : write_status(a, t, s, status, ret_version, failed < 0 ? NULL : err);
    if (failed < 0) {
        if (err)
            *err = TAKE_PTR(failure);
        return failed;
    }
    return r;
}
