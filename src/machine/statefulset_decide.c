#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "kube/meta.h"
#include "machine/pod.h"
#include "machine/statefulset.h"
#include "json/build.h"

#define REVISION_LABEL "controller-revision-hash"
#define HASH_LABEL "controller.kubernetes.io/hash"
#define POD_NAME_LABEL "statefulset.kubernetes.io/pod-name"
#define POD_INDEX_LABEL "apps.kubernetes.io/pod-index"
#define DEFAULT_HISTORY 10
#define MAX_REPLICAS 10000

/* ---- revisions ----------------------------------------------------------------------------------------------------- */

/* 32 bits of FNV-1a in the letters that generated names use. */
static const char *hash_name(struct arena *a, const char *data, size_t len, int64_t collisions)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)data[i]) * 16777619u;
    if (collisions > 0)
        h = (h ^ (uint32_t)collisions) * 16777619u;
    char *text = arena_printf(a, "%u", h);
    for (char *c = text; *c; c++)
        *c = letters[(unsigned char)*c % (sizeof(letters) - 1)];
    return text;
}

static struct json *revision_data(struct arena *a, const struct json *set)
{
    struct json *template = json_clone(a, json_find(set, "spec", "template"));
    if (!template)
        template = EMPTY_OBJ();
    json_set_str(a, template, "$patch", "replace");
    return OBJ("spec", OBJ("template", template));
}

struct json *statefulset_revision(struct arena *a, const struct json *set, int64_t number,
                                  int64_t collisions)
{
    struct json *data = revision_data(a, set);
    AUTO_BUF b = BUF_INIT(4 * MIB);
    json_write_canonical(data, &b);
    const char *hash = hash_name(a, buf_str(&b), b.len, collisions);
    struct json *labels = json_clone(a, json_find(set, "spec", "template", "metadata", "labels"));
    if (!labels)
        labels = EMPTY_OBJ();
    json_set_str(a, labels, HASH_LABEL, hash);
    return OBJ("apiVersion", STR("apps/v1"), "kind", STR("ControllerRevision"), "metadata",
               OBJ("name", STRF("%s-%s", meta_name(set), hash), "namespace",
                   STR(meta_namespace(set)), "labels", labels, "ownerReferences",
                   ARR(meta_controller_ref(a, set, &KUBE_STATEFULSETS))),
               "data", data, "revision", INT(number));
}

/* ---- what is there ------------------------------------------------------------------------------------------------- */

struct decision {
    struct arena *a;
    const struct statefulset_view *v;
    struct statefulset_plan *plan;
    const char *update_revision;
    const char *current_revision;
    int64_t start; /* first ordinal */
    int64_t replicas;
    const struct json **replica_pods; /* by ordinal - start; NULL: absent */
    const struct json **condemned;    /* highest ordinal first */
    size_t condemned_count;
    bool parallel;
    int64_t min_ready_ms;
};

/* The ordinal in "SET-12", -1 when the name is not of this set. */
static int64_t ordinal_of(const struct json *set, const struct json *pod)
{
    const char *rest = str_skip_prefix(meta_name(pod), meta_name(set));
    int64_t n = -1;
    if (!rest || rest[0] != '-' || rest[1] < '0' || rest[1] > '9' || str_to_int64(rest + 1, &n) < 0)
        return -1;
    return n;
}

static bool pod_condition(const struct json *pod, const char *type)
{
    return str_eq(json_find_str(condition_find(json_find(pod, "status", "conditions"), type),
                                "status"),
                  "True");
}

static bool is_running_and_ready(const struct json *pod)
{
    return str_eq(json_find_str(pod, "status", "phase"), "Running") && pod_condition(pod, "Ready");
}

static bool is_healthy(const struct json *pod)
{
    return is_running_and_ready(pod) && !meta_deleting(pod);
}

static bool is_over(const struct json *pod)
{
    const char *phase = json_find_str(pod, "status", "phase");
    return str_eq(phase, "Failed") || str_eq(phase, "Succeeded");
}

static const char *revision_of(const struct json *pod)
{
    const char *label = meta_label(pod, REVISION_LABEL);
    return label ? label : "";
}

/* Milliseconds until a ready pod counts as available; 0: it does. */
static int64_t until_available(const struct decision *d, const struct json *pod)
{
    const struct json *ready = condition_find(json_find(pod, "status", "conditions"), "Ready");
    int64_t since = 0;
    const char *text = json_find_str(ready, "lastTransitionTime");
    if (d->min_ready_ms == 0 || !text || time_parse_rfc3339(text, &since) < 0)
        return 0;
    int64_t left = d->min_ready_ms - (d->v->now_wall - since) / NS_PER_MS;
    return MAX(left, INT64_C(0));
}

static int compare_ordinals_down(const void *x, const void *y, void *set)
{
    int64_t a = ordinal_of(set, *(const struct json *const *)x);
    int64_t b = ordinal_of(set, *(const struct json *const *)y);
    return a < b ? 1 : a > b ? -1 : 0;
}

static void sort_pods(struct decision *d)
{
    size_t n = json_size(d->v->pods);
    d->replica_pods = arena_zalloc(d->a, ((size_t)d->replicas + 1) * sizeof(*d->replica_pods));
    d->condemned = arena_zalloc(d->a, (n + 1) * sizeof(*d->condemned));
    JSON_FOREACH(it, d->v->pods) {
        int64_t ordinal = ordinal_of(d->v->set, it.value);
        if (ordinal >= d->start && ordinal < d->start + d->replicas)
            d->replica_pods[ordinal - d->start] = it.value;
        else if (ordinal >= 0)
            d->condemned[d->condemned_count++] = it.value;
    }
    qsort_r(d->condemned, d->condemned_count, sizeof(*d->condemned), compare_ordinals_down,
            (void *)(uintptr_t)d->v->set);
}

/* ---- versions ------------------------------------------------------------------------------------------------------ */

static void decide_revisions(struct decision *d)
{
    struct arena *a = d->a;
    const struct json *set = d->v->set;
    struct json *data = revision_data(a, set);
    const struct json *equal = NULL;
    int64_t newest = 0;
    JSON_FOREACH(it, d->v->revisions) {
        newest = MAX(newest, json_find_int(it.value, 0, "revision"));
        if (json_equal(json_get(it.value, "data"), data))
            equal = it.value;
    }
    if (!equal) {
        int64_t collisions = json_find_int(set, 0, "status", "collisionCount");
        d->plan->create_revision =
            statefulset_revision(a, set, MIN(newest, INT64_MAX - 1) + 1, collisions);
        equal = d->plan->create_revision;
    } else if (json_find_int(equal, 0, "revision") < newest) {
        d->plan->bump_revision = json_clone(a, equal);
        json_set_int(a, d->plan->bump_revision, "revision", MIN(newest, INT64_MAX - 1) + 1);
    }
    d->update_revision = meta_name(equal);
    const char *current = json_find_str(set, "status", "currentRevision");
    d->current_revision = str_empty(current) ? d->update_revision : current;
}

static bool is_live_revision(const struct decision *d, const char *name)
{
    if (str_eq(name, d->update_revision) || str_eq(name, d->current_revision))
        return true;
    JSON_FOREACH(it, d->v->pods) {
        if (str_eq(revision_of(it.value), name))
            return true;
    }
    return false;
}

static int compare_revisions(const struct json *x, const struct json *y)
{
    int64_t a = json_find_int(x, 0, "revision");
    int64_t b = json_find_int(y, 0, "revision");
    return a < b ? -1 : a > b ? 1 : 0;
}

/* Old versions that nothing uses, oldest first, beyond the limit. */
static void decide_history(struct decision *d)
{
    struct arena *a = d->a;
    struct json *history = EMPTY_ARR();
    JSON_FOREACH(it, d->v->revisions) {
        if (!is_live_revision(d, meta_name(it.value)))
            json_append(history, OBJ("name", STR(meta_name(it.value)), "revision",
                                     INT(json_find_int(it.value, 0, "revision"))));
    }
    json_sort(history, compare_revisions);
    int64_t limit =
        MAX(json_find_int(d->v->set, DEFAULT_HISTORY, "spec", "revisionHistoryLimit"), INT64_C(0));
    int64_t surplus = (int64_t)json_size(history) - limit;
    d->plan->delete_revisions = EMPTY_ARR();
    JSON_FOREACH(it, history) {
        if ((int64_t)it.index < surplus)
            json_append(d->plan->delete_revisions, STR(json_find_str(it.value, "name")));
    }
}

/* ---- pods ---------------------------------------------------------------------------------------------------------- */

static int64_t partition_of(const struct decision *d)
{
    int64_t partition =
        json_find_int(d->v->set, 0, "spec", "updateStrategy", "rollingUpdate", "partition");
    return MIN(MAX(partition, INT64_C(0)), (int64_t)INT32_MAX);
}

static bool is_on_delete(const struct decision *d)
{
    return str_eq(json_find_str(d->v->set, "spec", "updateStrategy", "type"), "OnDelete");
}

/* During a rolling update, what is below the partition stays at the current version, also when it
 * has to be made anew. */
static const struct json *template_for(struct decision *d, int64_t ordinal,
                                       const char **ret_revision)
{
    bool old = !is_on_delete(d) && ordinal < d->start + partition_of(d) &&
               !str_eq(d->current_revision, d->update_revision);
    if (old) {
        JSON_FOREACH(it, d->v->revisions) {
            if (!str_eq(meta_name(it.value), d->current_revision))
                continue;
            *ret_revision = d->current_revision;
            return json_find(it.value, "data", "spec", "template");
        }
    }
    *ret_revision = d->update_revision;
    return json_find(d->v->set, "spec", "template");
}

/* The claims of one pod, each under the name of its template in the pod's volumes. Whether they go
 * with the set is the set's to say; those of pods that a smaller set no longer has stay. */
static void add_claims(struct decision *d, const char *pod_name, struct json *pod_spec)
{
    struct arena *a = d->a;
    const struct json *set = d->v->set;
    bool goes_with_set =
        str_eq(json_find_str(set, "spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"),
               "Delete");
    JSON_FOREACH(it, json_find(set, "spec", "volumeClaimTemplates")) {
        const char *volume = meta_name(it.value);
        const char *name = arena_printf(a, "%s-%s", volume, pod_name);
        struct json *claim = json_clone(a, it.value);
        struct json *meta = json_ensure_object(a, claim, "metadata");
        struct json *labels = json_ensure_object(a, meta, "labels");
        JSON_FOREACH(label, json_find(set, "spec", "selector", "matchLabels")) {
            json_set(a, labels, label.key, json_clone(a, label.value));
        }
        json_set_str(a, meta, "name", name);
        json_set_str(a, meta, "namespace", meta_namespace(set));
        json_set_str(a, claim, "apiVersion", "v1");
        json_set_str(a, claim, "kind", "PersistentVolumeClaim");
        json_del(claim, "status");
        if (goes_with_set)
            json_set(a, meta, "ownerReferences",
                     ARR(meta_controller_ref(a, set, &KUBE_STATEFULSETS)));
        json_append(d->plan->create_claims, claim);
        struct json *volumes = json_ensure_array(a, pod_spec, "volumes");
        JSON_FOREACH(v, volumes) {
            if (str_eq(json_find_str(v.value, "name"), volume)) {
                json_remove_at(volumes, v.index);
                break;
            }
        }
        json_append(volumes,
                    OBJ("name", STR(volume), "persistentVolumeClaim", OBJ("claimName", STR(name))));
    }
}

static struct json *make_pod(struct decision *d, int64_t ordinal)
{
    struct arena *a = d->a;
    const struct json *set = d->v->set;
    const char *revision;
    const struct json *template = template_for(d, ordinal, &revision);
    const char *name = arena_printf(a, "%s-%lld", meta_name(set), (long long)ordinal);
    struct json *labels = json_clone(a, json_find(template, "metadata", "labels"));
    struct json *spec = json_clone(a, json_get(template, "spec"));
    labels = labels ? labels : EMPTY_OBJ();
    spec = spec ? spec : EMPTY_OBJ();
    json_set_str(a, labels, REVISION_LABEL, revision);
    json_set_str(a, labels, POD_NAME_LABEL, name);
    json_set(a, labels, POD_INDEX_LABEL, STRF("%lld", (long long)ordinal));
    json_set_str(a, spec, "hostname", name);
    json_set_str(a, spec, "subdomain", json_find_str(set, "spec", "serviceName"));
    add_claims(d, name, spec);
    return OBJ("apiVersion", STR("v1"), "kind", STR("Pod"), "metadata",
               OBJ("name", STR(name), "generateName", STRF("%s-", meta_name(set)), "namespace",
                   STR(meta_namespace(set)), "labels", labels, "annotations",
                   json_clone(a, json_find(template, "metadata", "annotations")), "finalizers",
                   json_clone(a, json_find(template, "metadata", "finalizers")), "ownerReferences",
                   ARR(meta_controller_ref(a, set, &KUBE_STATEFULSETS))),
               "spec", spec);
}

static void delete_pod(struct decision *d, const struct json *pod)
{
    struct arena *a = d->a;
    json_append(d->plan->delete_pods, OBJ("name", STR(meta_name(pod)), "uid", STR(meta_uid(pod))));
}

static void requeue(struct decision *d, int64_t ms)
{
    if (ms > 0 && (d->plan->requeue_after_ms == 0 || ms < d->plan->requeue_after_ms))
        d->plan->requeue_after_ms = ms;
}

/* Makes what is missing. False: an ordered set waits for one of its pods. */
static bool decide_replicas(struct decision *d)
{
    for (int64_t i = 0; i < d->replicas; i++) {
        const struct json *pod = d->replica_pods[i];
        bool wait = false;
        if (!pod) {
            json_append(d->plan->create_pods, make_pod(d, d->start + i));
            wait = true;
        } else if (is_over(pod) && !meta_deleting(pod)) {
            delete_pod(d, pod);
            wait = true;
        } else if (!is_healthy(pod)) {
            wait = true;
        } else if (until_available(d, pod) > 0) {
            requeue(d, until_available(d, pod));
            wait = true;
        }
        if (wait && !d->parallel)
            return false;
    }
    return true;
}

/* Takes away what is too many, the highest first. False: an ordered set waits. */
static bool decide_condemned(struct decision *d)
{
    const struct json *unhealthy = NULL;
    for (size_t i = d->condemned_count; i-- > 0;)
        if (!unhealthy && !is_healthy(d->condemned[i]))
            unhealthy = d->condemned[i];
    for (size_t i = 0; i < d->condemned_count; i++) {
        const struct json *pod = d->condemned[i];
        if (meta_deleting(pod)) {
            if (!d->parallel)
                return false;
            continue;
        }
        if (!d->parallel && !is_running_and_ready(pod) && pod != unhealthy)
            return false;
        delete_pod(d, pod);
        if (!d->parallel)
            return false;
    }
    return true;
}

/* One pod at a time, from the highest down, each waited for. */
static void decide_update(struct decision *d)
{
    if (is_on_delete(d))
        return;
    for (int64_t i = d->replicas - 1; i >= partition_of(d); i--) {
        const struct json *pod = d->replica_pods[i];
        if (!pod)
            return;
        if (!str_eq(revision_of(pod), d->update_revision) && !meta_deleting(pod)) {
            delete_pod(d, pod);
            return;
        }
        if (!is_healthy(pod) || until_available(d, pod) > 0)
            return;
    }
}

/* ---- status -------------------------------------------------------------------------------------------------------- */

static void decide_status(struct decision *d)
{
    struct arena *a = d->a;
    const struct json *set = d->v->set;
    int64_t replicas = 0, ready = 0, available = 0, current = 0, updated = 0;
    JSON_FOREACH(it, d->v->pods) {
        const struct json *pod = it.value;
        if (ordinal_of(set, pod) < 0)
            continue;
        replicas++;
        if (is_running_and_ready(pod)) {
            ready++;
            int64_t left = until_available(d, pod);
            available += left == 0;
            requeue(d, left);
        }
        if (meta_deleting(pod))
            continue;
        current += str_eq(revision_of(pod), d->current_revision);
        updated += str_eq(revision_of(pod), d->update_revision);
    }
    const char *current_revision = d->current_revision;
    bool rolling = !is_on_delete(d);
    if (rolling && updated == replicas && ready == replicas && d->plan->create_revision == NULL &&
        replicas == d->replicas) {
        current_revision = d->update_revision;
        current = updated;
    }
    struct json *s = json_clone(a, json_get(set, "status"));
    s = s ? s : EMPTY_OBJ();
    json_set_int(a, s, "observedGeneration", meta_generation(set));
    json_set_int(a, s, "replicas", replicas);
    json_set(a, s, "readyReplicas", ready ? INT(ready) : NULL);
    json_set(a, s, "currentReplicas", current ? INT(current) : NULL);
    json_set(a, s, "updatedReplicas", updated ? INT(updated) : NULL);
    json_set_str(a, s, "currentRevision", current_revision);
    json_set_str(a, s, "updateRevision", d->update_revision);
    json_set_int(a, s, "collisionCount", json_find_int(set, 0, "status", "collisionCount"));
    json_set_int(a, s, "availableReplicas", available);
    d->plan->status = s;
}

void statefulset_decide(struct arena *a, const struct statefulset_view *v,
                        struct statefulset_plan *ret)
{
    *ret = (struct statefulset_plan){
        .create_claims = EMPTY_ARR(),
        .create_pods = EMPTY_ARR(),
        .delete_pods = EMPTY_ARR(),
        .delete_revisions = EMPTY_ARR(),
    };
    struct decision d = {
        .a = a,
        .v = v,
        .plan = ret,
        .start = MIN(MAX(json_find_int(v->set, 0, "spec", "ordinals", "start"), INT64_C(0)),
                     (int64_t)INT32_MAX),
        .replicas = MIN(MAX(json_find_int(v->set, 1, "spec", "replicas"), INT64_C(0)),
                        (int64_t)MAX_REPLICAS),
        .parallel = str_eq(json_find_str(v->set, "spec", "podManagementPolicy"), "Parallel"),
        .min_ready_ms = seconds_ms(json_find(v->set, "spec", "minReadySeconds"), 0),
    };
    decide_revisions(&d);
    sort_pods(&d);
    if (!v->volumes && json_size(json_find(v->set, "spec", "volumeClaimTemplates")) > 0)
        ret->unsupported =
            "volumeClaimTemplates are not there on one box; use emptyDir or hostPath volumes";
    else if (decide_replicas(&d) && decide_condemned(&d))
        decide_update(&d);
    decide_status(&d);
    decide_history(&d);
}
