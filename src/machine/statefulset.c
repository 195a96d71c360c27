#include "machine/statefulset.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

struct statefulsets {
    struct statefulset_sources src;
};

/* ---- observe ------------------------------------------------------------------------------------------------------- */

static struct json *owned(struct arena *a, struct informer *i, const char *uid)
{
    struct json *list = EMPTY_ARR();
    struct kube_object_list objects = { 0 };
    informer_list_owned(i, uid, &objects);
    for (size_t n = 0; n < objects.count; n++)
        json_append(list, kube_object_parse(a, objects.items[n]));
    kube_object_list_done(&objects);
    return list;
}

static bool observe(struct arena *a, struct statefulsets *s, const char *ns, const char *name,
                    struct statefulset_view *ret)
{
    CLEANUP(kube_object_cleanup) struct kube_object *set = informer_get(s->src.sets, ns, name);
    if (!set || set->deleting)
        return false;
    struct json *parsed = kube_object_parse(a, set);
    json_set_str(a, parsed, "apiVersion", "apps/v1");
    json_set_str(a, parsed, "kind", "StatefulSet");
    *ret = (struct statefulset_view){
        .set = parsed,
        .pods = owned(a, s->src.pods, set->uid),
        .revisions = owned(a, s->src.revisions, set->uid),
        .now_wall = clock_wall(s->src.clock),
        .volumes = s->src.volumes,
    };
    return true;
}

/* ---- apply --------------------------------------------------------------------------------------------------------- */

/* The cache may be a moment behind: what is there already, or gone already, is as it should be. */
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

static int apply_revisions(struct arena *a, struct statefulsets *s, const char *ns,
                           const struct statefulset_plan *plan, struct error **err)
{
    int r = 0;
    if (plan->create_revision)
        r = ignore(kube_create(s->src.client, &KUBE_CONTROLLER_REVISIONS, ns, plan->create_revision,
                               a, NULL, err),
                   -ERROR_ALREADY_EXISTS, err);
    if (r == 0 && plan->bump_revision) {
        struct json *patch =
            OBJ("revision", json_clone(a, json_get(plan->bump_revision, "revision")));
        r = kube_patch(s->src.client, &KUBE_CONTROLLER_REVISIONS, ns,
                       meta_name(plan->bump_revision), NULL, KUBE_PATCH_MERGE, patch, a, NULL, err);
    }
    JSON_FOREACH(it, plan->delete_revisions) {
        struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
        if (r == 0)
            r = ignore(kube_delete(s->src.client, &KUBE_CONTROLLER_REVISIONS, ns,
                                   json_string(it.value), &options, err),
                       -ERROR_NOT_FOUND, err);
    }
    return r;
}

/* One that is there is taken over, as its data are meant to outlive pods; one that goes, with its
 * data, is waited for. */
static int create_claim(struct arena *a, struct statefulsets *s, const struct json *set,
                        const struct json *claim, struct error **err)
{
    const char *ns = meta_namespace(set), *name = meta_name(claim);
    int r = kube_create(s->src.client, &KUBE_PERSISTENT_VOLUME_CLAIMS, ns, json_clone(a, claim), a,
                        NULL, err);
    if (r != -ERROR_ALREADY_EXISTS)
        return r;
    r = ignore(r, -ERROR_ALREADY_EXISTS, err);
    struct json *there = NULL;
    r = kube_get(s->src.client, &KUBE_PERSISTENT_VOLUME_CLAIMS, ns, name, a, &there, err);
    if (r == 0 && meta_deleting(there))
        r = error_set(err, ERROR_CONFLICT, "PersistentVolumeClaim %s is being deleted", name);
    return r;
}

static int create_pod(struct arena *a, struct statefulsets *s, const struct json *set,
                      struct json *pod, struct error **err)
{
    const char *name = arena_strdup(a, meta_name(pod));
    int r = kube_create(s->src.client, &KUBE_PODS, meta_namespace(set), pod, a, NULL, err);
    if (r == 0)
        event_record(s->src.events, set, "Normal", "SuccessfulCreate",
                     "create Pod %s in StatefulSet %s successful", name, meta_name(set));
    else if (r != -ERROR_ALREADY_EXISTS)
        event_record(s->src.events, set, "Warning", "FailedCreate",
                     "create Pod %s in StatefulSet %s failed error: %s", name, meta_name(set),
                     err ? error_message(*err) : "");
    return ignore(r, -ERROR_ALREADY_EXISTS, err);
}

static int delete_pod(struct statefulsets *s, const struct json *set, const struct json *pod,
                      struct error **err)
{
    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    const char *name = json_find_str(pod, "name");
    options.uid = json_find_str(pod, "uid");
    int r = kube_delete(s->src.client, &KUBE_PODS, meta_namespace(set), name, &options, err);
    if (r == 0)
        event_record(s->src.events, set, "Normal", "SuccessfulDelete",
                     "delete Pod %s in StatefulSet %s successful", name, meta_name(set));
    r = ignore(r, -ERROR_NOT_FOUND, err);
    return ignore(r, -ERROR_CONFLICT, err);
}

static int apply_pods(struct arena *a, struct statefulsets *s, const struct json *set,
                      const struct statefulset_plan *plan, struct error **err)
{
    int r = 0;
    JSON_FOREACH(it, plan->create_claims) {
        if (r == 0)
            r = create_claim(a, s, set, it.value, err);
    }
    JSON_FOREACH(it, plan->create_pods) {
        if (r == 0)
            r = create_pod(a, s, set, json_clone(a, it.value), err);
    }
    JSON_FOREACH(it, plan->delete_pods) {
        if (r == 0)
            r = delete_pod(s, set, it.value, err);
    }
    return r;
}

static int apply_status(struct arena *a, struct statefulsets *s, const struct json *set,
                        const struct statefulset_plan *plan, struct error **err)
{
    if (json_equal(json_get(set, "status"), plan->status))
        return 0;
    /* Against what is there now: a patch against an older status would mix two of them. */
    struct json *now = NULL;
    int r = kube_get(s->src.client, &KUBE_STATEFULSETS, meta_namespace(set), meta_name(set), a,
                     &now, err);
    if (r < 0)
        return ignore(r, -ERROR_NOT_FOUND, err);
    const struct json *known = json_get(now, "status");
    struct json *change = json_merge_diff(a, known ? known : EMPTY_OBJ(), plan->status);
    if (!change || !str_eq(meta_uid(now), meta_uid(set)))
        return 0;
    r = kube_patch(s->src.client, &KUBE_STATEFULSETS, meta_namespace(set), meta_name(set), "status",
                   KUBE_PATCH_MERGE,
                   OBJ("metadata", OBJ("uid", STR(meta_uid(set))), "status", change), a, NULL, err);
    return ignore(r, -ERROR_NOT_FOUND, err);
}

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct statefulsets *s = ctx;
    const char *ns;
    const char *name;
    kube_key_split(a, key, &ns, &name);
    struct statefulset_view view;
    if (!observe(a, s, ns, name, &view))
        return 0;
    struct statefulset_plan plan;
    statefulset_decide(a, &view, &plan);
    if (plan.unsupported)
        event_record(s->src.events, view.set, "Warning", "FailedCreate", "%s", plan.unsupported);
    int r = apply_revisions(a, s, ns, &plan, err);
    if (r == 0)
        r = apply_pods(a, s, view.set, &plan, err);
    if (r == 0)
        r = apply_status(a, s, view.set, &plan, err);
    ret->requeue_after_ms = plan.requeue_after_ms;
    return r;
}

struct statefulsets *statefulsets_new(const struct statefulset_sources *sources,
                                      struct controller **ret_controller)
{
    struct statefulsets *s = NEW0(struct statefulsets);
    s->src = *sources;
    struct controller *c = controller_new(&(struct controller_options){ .name = "statefulset",
                                                                        .workers = 2,
                                                                        .reconcile = reconcile,
                                                                        .ctx = s,
                                                                        .clock = sources->clock });
    controller_watch(c, sources->sets);
    controller_watch_owned(c, sources->pods, "StatefulSet");
    controller_watch_owned(c, sources->revisions, "StatefulSet");
    *ret_controller = c;
    return s;
}

void statefulsets_free(struct statefulsets *s)
{
    free(s);
}
