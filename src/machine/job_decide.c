#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/meta.h"
#include "machine/job.h"
#include "machine/pod.h"
#include "json/build.h"

#define INDEX_KEY "batch.kubernetes.io/job-completion-index"
#define CREATE_MAX 500 /* in one pass */
#define PODS_MAX 10000
#define RETRY_FIRST_MS INT64_C(10000)
#define RETRY_MAX_MS INT64_C(600000)
#define SUFFIX 5

struct decision {
    struct arena *a;
    const struct job_view *v;
    struct job_plan *plan;
    const struct json *spec, *was; /* spec and status */
    bool indexed;
    bool only_failed; /* a pod that is on its way out is replaced when it has ended */
    int64_t active, ready, terminating;
    int64_t succeeded, failed;               /* counted */
    struct json *new_succeeded, *new_failed; /* uids: uncounted */
    struct json *conditions;
    bool *done; /* by index: completed */
    int64_t completions;
};

/* ---- pods ------------------------------------------------------------------------------------ */

static bool has_phase(const struct json *pod, const char *phase)
{
    return str_eq(json_find_str(pod, "status", "phase"), phase);
}

/* Nothing of it runs: it has ended, or its node is done with it. */
static bool is_over(const struct json *pod)
{
    return has_phase(pod, "Succeeded") || has_phase(pod, "Failed") ||
           (meta_deleting(pod) &&
            json_find_int(pod, -1, "metadata", "deletionGracePeriodSeconds") == 0);
}

static bool has_failed(const struct decision *d, const struct json *pod)
{
    return !has_phase(pod, "Succeeded") &&
           (is_over(pod) || (meta_deleting(pod) && !d->only_failed));
}

static bool is_active(const struct json *pod)
{
    return !is_over(pod) && !meta_deleting(pod);
}

static int64_t index_of(const struct json *pod)
{
    const char *text = meta_annotation(pod, INDEX_KEY);
    int64_t n = -1;
    return text && str_to_int64(text, &n) == 0 ? n : -1;
}

static bool has_uid(const struct json *list, const char *uid)
{
    JSON_FOREACH(it, list)
        if (str_eq(json_string(it.value), uid))
            return true;
    return false;
}

static void delete_pod(struct decision *d, const struct json *pod, bool release)
{
    struct arena *a = d->a;
    if (release && meta_has_finalizer(pod, JOB_FINALIZER))
        json_append(d->plan->release_pods, json_clone(a, pod));
    json_append(d->plan->delete_pods, OBJ("name", STR(meta_name(pod)), "uid", STR(meta_uid(pod))));
}

static void delete_active(struct decision *d, bool release)
{
    JSON_FOREACH(it, d->v->pods)
        if (is_active(it.value))
            delete_pod(d, it.value, release);
}

/* ---- counting -------------------------------------------------------------------------------- */

/* Uids of an earlier pass whose pods have no finalizer any more are numbers now. */
static int64_t settle(struct decision *d, const char *member, struct json *still)
{
    struct arena *a = d->a;
    int64_t settled = 0;
    JSON_FOREACH(it, json_find(d->was, "uncountedTerminatedPods", member)) {
        const char *uid = json_string(it.value);
        bool held = false;
        JSON_FOREACH(pod, d->v->pods)
            held = held || (str_eq(meta_uid(pod.value), uid) &&
                            meta_has_finalizer(pod.value, JOB_FINALIZER));
        if (held)
            json_append(still, STR(uid));
        else
            settled++;
    }
    return settled;
}

static void read_indexes(struct decision *d)
{
    const char *s = json_find_str(d->was, "completedIndexes");
    d->done = arena_zalloc(d->a, (size_t)MAX(d->completions, INT64_C(1)) * sizeof *d->done);
    while (s && *s) {
        char *end;
        int64_t first = strtoll(s, &end, 10), last = first;
        if (*end == '-')
            last = strtoll(end + 1, &end, 10);
        for (int64_t i = MAX(first, INT64_C(0)); i <= last && i < d->completions; i++)
            d->done[i] = true;
        s = *end == ',' ? end + 1 : NULL;
    }
}

static const char *write_indexes(const struct decision *d)
{
    AUTO_BUF out = BUF_INIT(MIB);
    for (int64_t i = 0; i < d->completions; i++) {
        int64_t last = i;
        if (!d->done[i])
            continue;
        while (last + 1 < d->completions && d->done[last + 1])
            last++;
        /* two in a row are a pair, and more a range */
        buf_printf(&out, "%s%" PRId64, out.len ? "," : "", i);
        if (last > i)
            buf_printf(&out, "%c%" PRId64, last == i + 1 ? ',' : '-', last);
        i = last;
    }
    return arena_strdup(d->a, buf_str(&out));
}

static void count_pod(struct decision *d, const struct json *pod)
{
    struct arena *a = d->a;
    int64_t index = index_of(pod);
    if (is_active(pod)) {
        d->active++;
        d->ready += condition_is(json_find(pod, "status", "conditions"), "Ready", "True");
    } else if (meta_deleting(pod) && !is_over(pod)) {
        d->terminating++;
    }
    if (!meta_has_finalizer(pod, JOB_FINALIZER))
        return;
    if (has_phase(pod, "Succeeded") && d->indexed) {
        if (index >= 0 && index < d->completions)
            d->done[index] = true;
    } else if (has_phase(pod, "Succeeded")) {
        if (!has_uid(d->new_succeeded, meta_uid(pod)))
            json_append(d->new_succeeded, STR(meta_uid(pod)));
    } else if (has_failed(d, pod) && !has_uid(d->new_failed, meta_uid(pod))) {
        json_append(d->new_failed, STR(meta_uid(pod)));
    }
}

static void count(struct decision *d)
{
    struct arena *a = d->a;
    d->new_succeeded = EMPTY_ARR();
    d->new_failed = EMPTY_ARR();
    d->succeeded = json_find_int(d->was, 0, "succeeded") + settle(d, "succeeded", d->new_succeeded);
    d->failed = json_find_int(d->was, 0, "failed") + settle(d, "failed", d->new_failed);
    if (d->indexed)
        read_indexes(d);
    JSON_FOREACH(it, d->v->pods)
        count_pod(d, it.value);
    if (!d->indexed)
        return;
    d->succeeded = 0;
    for (int64_t i = 0; i < d->completions; i++)
        d->succeeded += d->done[i];
}

static int64_t all_succeeded(const struct decision *d)
{
    return d->succeeded + (int64_t)json_size(d->new_succeeded);
}

static int64_t all_failed(const struct decision *d)
{
    return d->failed + (int64_t)json_size(d->new_failed);
}

/* ---- conditions ------------------------------------------------------------------------------ */

static const char *now_text(const struct decision *d)
{
    char now[TIME_RFC3339_SIZE];
    time_format_rfc3339(d->v->now_wall, now);
    return arena_strdup(d->a, now);
}

static bool is(const struct decision *d, const char *type)
{
    return condition_is(d->conditions, type, "True");
}

static void set_condition(struct decision *d, const char *type, const char *status,
                          const char *reason, const char *message)
{
    struct arena *a = d->a;
    const char *now = now_text(d);
    condition_remove(d->conditions, type);
    json_append(d->conditions, OBJ("type", STR(type), "status", STR(status), "lastProbeTime",
                                   STR(now), "lastTransitionTime", STR(now), "reason", STR(reason),
                                   "message", STR(message)));
}

static void say(struct decision *d, const char *type, const char *reason, const char *message)
{
    struct arena *a = d->a;
    json_append(d->plan->events,
                OBJ("type", STR(type), "reason", STR(reason), "message", STR(message)));
}

static void wake(struct decision *d, int64_t ms)
{
    int64_t at = MAX(ms, INT64_C(1));
    if (d->plan->requeue_after_ms == 0 || at < d->plan->requeue_after_ms)
        d->plan->requeue_after_ms = at;
}

/* Restarts of the containers of pods that restart them themselves. */
static bool restarts_too_often(const struct decision *d, int64_t limit)
{
    int64_t restarts = 0;
    if (!str_eq(json_find_str(d->spec, "template", "spec", "restartPolicy"), "OnFailure"))
        return false;
    JSON_FOREACH(it, d->v->pods) {
        if (!has_phase(it.value, "Running") && !has_phase(it.value, "Pending"))
            continue;
        JSON_FOREACH(c, json_find(it.value, "status", "containerStatuses"))
            restarts += json_find_int(c.value, 0, "restartCount");
        JSON_FOREACH(c, json_find(it.value, "status", "initContainerStatuses"))
            restarts += json_find_int(c.value, 0, "restartCount");
    }
    return limit == 0 ? restarts > 0 : restarts >= limit;
}

/* Milliseconds until the Job has been active for too long; it is when that is not above 0. */
static bool deadline_passed(struct decision *d)
{
    const struct json *limit = json_get(d->spec, "activeDeadlineSeconds");
    const char *text = json_find_str(d->was, "startTime");
    int64_t since = 0;
    if (!limit || !text || time_parse_rfc3339(text, &since) < 0)
        return false;
    int64_t left = seconds_ms(limit, 0) - (d->v->now_wall - since) / NS_PER_MS;
    if (left > 0)
        wake(d, left);
    return left <= 0;
}

static bool is_satisfied(const struct decision *d)
{
    if (json_get(d->spec, "completions"))
        return all_succeeded(d) >= d->completions;
    return all_succeeded(d) > 0 && d->active == 0;
}

static bool is_suspended(const struct decision *d)
{
    return json_find_bool(d->spec, false, "suspend");
}

/* What the outcome is, once it is clear. */
static void decide_outcome(struct decision *d)
{
    int64_t limit = json_find_int(d->spec, 6, "backoffLimit");
    if (is(d, "FailureTarget") || is(d, "SuccessCriteriaMet"))
        return;
    if (all_failed(d) > limit || restarts_too_often(d, limit))
        set_condition(d, "FailureTarget", "True", "BackoffLimitExceeded",
                      "Job has reached the specified backoff limit");
    else if (!is_suspended(d) && deadline_passed(d))
        set_condition(d, "FailureTarget", "True", "DeadlineExceeded",
                      "Job was active longer than specified deadline");
    else if (is_satisfied(d))
        set_condition(d, "SuccessCriteriaMet", "True", "CompletionsReached",
                      "Reached expected number of succeeded pods");
}

static bool is_settled(const struct decision *d)
{
    return d->active + d->terminating == 0 &&
           json_size(d->new_succeeded) + json_size(d->new_failed) == 0;
}

/* Ends what still runs, and then the Job. */
static void decide_end(struct decision *d)
{
    bool failing = is(d, "FailureTarget");
    delete_active(d, !failing);
    if (!is_settled(d))
        return;
    if (failing) {
        const struct json *target = condition_find(d->conditions, "FailureTarget");
        const char *reason = json_find_str(target, "reason"),
                   *message = json_find_str(target, "message");
        set_condition(d, "Failed", "True", reason, message);
        say(d, "Warning", reason, message);
    } else {
        set_condition(d, "Complete", "True", "CompletionsReached",
                      "Reached expected number of succeeded pods");
        say(d, "Normal", "Completed", "Job completed");
    }
}

/* ---- new pods -------------------------------------------------------------------------------- */

/* 64 bits of FNV-1a, as letters of generated names. */
static const char *suffix_of(struct decision *d, int64_t index, int64_t number)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    const char *text =
        arena_printf(d->a, "%s/%" PRId64 "/%" PRId64, meta_uid(d->v->job), index, number);
    uint64_t h = UINT64_C(14695981039346656037);
    for (const char *c = text; *c; c++)
        h = (h ^ (unsigned char)*c) * UINT64_C(1099511628211);
    h ^= h >> 29;
    char *out = arena_zalloc(d->a, SUFFIX + 1);
    for (size_t i = 0; i < SUFFIX; i++, h /= sizeof(letters) - 1)
        out[i] = letters[h % (sizeof(letters) - 1)];
    return out;
}

static void add_index(struct decision *d, struct json *pod, int64_t index)
{
    struct arena *a = d->a;
    struct json *meta = json_get(pod, "metadata"), *spec = json_get(pod, "spec");
    const char *text = arena_printf(a, "%" PRId64, index);
    static const char *const lists[] = { "initContainers", "containers" };
    json_set_str(a, json_ensure_object(a, meta, "labels"), INDEX_KEY, text);
    json_set_str(a, json_ensure_object(a, meta, "annotations"), INDEX_KEY, text);
    json_set(a, spec, "hostname", STRF("%s-%s", meta_name(d->v->job), text));
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        JSON_FOREACH(it, json_get(spec, lists[i])) {
            struct json *env = json_ensure_array(a, it.value, "env");
            bool has = false;
            JSON_FOREACH(e, env)
                has = has || str_eq(json_find_str(e.value, "name"), "JOB_COMPLETION_INDEX");
            if (!has)
                json_append(env,
                            OBJ("name", STR("JOB_COMPLETION_INDEX"), "valueFrom",
                                OBJ("fieldRef",
                                    OBJ("fieldPath", STR("metadata.labels['" INDEX_KEY "']")))));
        }
    }
}

/* index -1: the Job has none. */
static void make_pod(struct decision *d, struct map *names, int64_t index)
{
    static char present;
    struct arena *a = d->a;
    const struct json *template = json_get(d->spec, "template");
    const char *job = meta_name(d->v->job), *name = NULL, *prefix = arena_printf(a, "%s-", job);
    if (index >= 0)
        prefix = arena_printf(a, "%s%" PRId64 "-", prefix, index);
    for (int64_t number = 0; !name || map_has(names, name); number++)
        name = arena_printf(a, "%s%s", prefix, suffix_of(d, index, number));
    map_set(names, name, &present);
    struct json *pod =
        OBJ("apiVersion", STR("v1"), "kind", STR("Pod"), "metadata",
            OBJ("name", STR(name), "generateName", STR(prefix), "namespace",
                STR(meta_namespace(d->v->job)), "labels",
                json_clone(a, json_find(template, "metadata", "labels")), "annotations",
                json_clone(a, json_find(template, "metadata", "annotations")), "finalizers",
                ARR(STR(JOB_FINALIZER)), "ownerReferences",
                ARR(meta_controller_ref(a, d->v->job, &KUBE_JOBS))),
            "spec", json_clone(a, json_get(template, "spec")));
    if (index >= 0)
        add_index(d, pod, index);
    json_append(d->plan->create_pods, pod);
}

/* When the pod ended, as far as it is known. */
static int64_t end_of(const struct json *pod)
{
    int64_t end = 0, at = 0;
    JSON_FOREACH(it, json_find(pod, "status", "containerStatuses")) {
        const char *text = json_find_str(it.value, "state", "terminated", "finishedAt");
        if (text && time_parse_rfc3339(text, &at) == 0)
            end = MAX(end, at);
    }
    const char *other = json_find_str(pod, "metadata", "deletionTimestamp");
    if (!other)
        other = json_find_str(pod, "metadata", "creationTimestamp");
    if (end == 0 && other && time_parse_rfc3339(other, &at) == 0)
        end = at;
    return end;
}

/* After failures in a row the next pod waits, each time twice as long. */
static int64_t retry_after_ms(const struct decision *d)
{
    int64_t success = 0, last = 0, wait = RETRY_FIRST_MS;
    size_t failures = 0;
    JSON_FOREACH(it, d->v->pods)
        if (has_phase(it.value, "Succeeded"))
            success = MAX(success, end_of(it.value));
    JSON_FOREACH(it, d->v->pods) {
        if (!has_failed(d, it.value) || end_of(it.value) <= success)
            continue;
        failures++;
        last = MAX(last, end_of(it.value));
    }
    if (failures == 0)
        return 0;
    for (size_t i = 1; i < failures && wait < RETRY_MAX_MS; i++)
        wait *= 2;
    return MIN(wait, RETRY_MAX_MS) - (d->v->now_wall - last) / NS_PER_MS;
}

/* How many are to run at once. */
static int64_t wanted(const struct decision *d)
{
    int64_t parallelism = json_find_int(d->spec, 1, "parallelism");
    if (json_get(d->spec, "completions"))
        return MIN(MAX(d->completions - all_succeeded(d), INT64_C(0)), parallelism);
    return all_succeeded(d) > 0 ? MIN(d->active, parallelism) : parallelism;
}

static bool is_index_taken(const struct decision *d, int64_t index)
{
    JSON_FOREACH(it, d->v->pods) {
        bool here = is_active(it.value) || (d->only_failed && !is_over(it.value));
        if (here && index_of(it.value) == index)
            return true;
    }
    return d->done[index];
}

static void create_pods(struct decision *d, int64_t count)
{
    static char present;
    AUTO_MAP names = map_new(NULL);
    JSON_FOREACH(it, d->v->pods)
        map_set(names, meta_name(it.value), &present);
    count = MIN(count, (int64_t)CREATE_MAX);
    for (int64_t i = 0; d->indexed && i < d->completions && count > 0; i++) {
        if (is_index_taken(d, i))
            continue;
        make_pod(d, names, i);
        count--;
    }
    for (; !d->indexed && count > 0; count--)
        make_pod(d, names, -1);
}

/* Those that are not ready go first. */
static void delete_some(struct decision *d, int64_t count)
{
    for (int ready = 0; ready <= 1; ready++) {
        JSON_FOREACH(it, d->v->pods) {
            bool is_ready =
                condition_is(json_find(it.value, "status", "conditions"), "Ready", "True");
            if (count > 0 && is_active(it.value) && is_ready == (ready == 1)) {
                delete_pod(d, it.value, true);
                count--;
            }
        }
    }
}

static void decide_pods(struct decision *d)
{
    int64_t want = MIN(wanted(d), (int64_t)PODS_MAX), wait = retry_after_ms(d);
    int64_t there = d->active + (d->only_failed ? d->terminating : 0);
    if (d->active > want)
        delete_some(d, d->active - want);
    else if (there < want && wait > 0)
        wake(d, wait);
    else if (there < want)
        create_pods(d, want - there);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static const char *unsupported(const struct json *spec)
{
    static const char *const members[][2] = {
        { "backoffLimitPerIndex",
          "spec.backoffLimitPerIndex is not there on one box; use spec.backoffLimit" },
        { "successPolicy", "spec.successPolicy is not there on one box; use spec.completions" },
        { "podFailurePolicy",
          "spec.podFailurePolicy is not there on one box; use spec.backoffLimit" },
    };
    for (size_t i = 0; i < COUNT_OF(members); i++)
        if (json_get(spec, members[i][0]))
            return members[i][1];
    return NULL;
}

static void decide_suspension(struct decision *d)
{
    if (is_suspended(d)) {
        if (!is(d, "Suspended")) {
            set_condition(d, "Suspended", "True", "JobSuspended", "Job suspended");
            say(d, "Normal", "Suspended", "Job suspended");
        }
        delete_active(d, true);
    } else if (is(d, "Suspended")) {
        set_condition(d, "Suspended", "False", "JobResumed", "Job resumed");
        say(d, "Normal", "Resumed", "Job resumed");
    }
}

static void set_count(struct arena *a, struct json *status, const char *member, int64_t n)
{
    if (n > 0)
        json_set_int(a, status, member, n);
    else
        json_del(status, member);
}

static const char *start_time(const struct decision *d)
{
    const char *start = json_find_str(d->was, "startTime");
    bool resumes = condition_is(json_get(d->was, "conditions"), "Suspended", "True");
    if (is_suspended(d))
        return start;
    return start && !resumes ? start : now_text(d);
}

static void decide_status(struct decision *d)
{
    struct arena *a = d->a;
    struct json *status = d->was ? json_clone(a, d->was) : EMPTY_OBJ(), *uncounted = EMPTY_OBJ();
    const char *start = start_time(d), *indexes = d->indexed ? write_indexes(d) : "";
    if (json_size(d->new_succeeded) > 0)
        json_set(a, uncounted, "succeeded", d->new_succeeded);
    if (json_size(d->new_failed) > 0)
        json_set(a, uncounted, "failed", d->new_failed);
    json_set(a, status, "conditions", json_size(d->conditions) > 0 ? d->conditions : NULL);
    json_set(a, status, "startTime", start ? STR(start) : NULL);
    if (is(d, "Complete"))
        json_set(a, status, "completionTime", STR(now_text(d)));
    set_count(a, status, "active", d->active);
    set_count(a, status, "succeeded", d->succeeded);
    set_count(a, status, "failed", d->failed);
    json_set_int(a, status, "terminating", d->terminating);
    json_set_int(a, status, "ready", d->ready);
    json_set(a, status, "completedIndexes", *indexes ? STR(indexes) : NULL);
    json_set(a, status, "uncountedTerminatedPods", uncounted);
    d->plan->status = status;
}

/* Pods whose end stands in the status need their finalizer no more. */
static void release(struct decision *d, bool all)
{
    const struct json *noted = json_get(d->was, "uncountedTerminatedPods");
    const char *indexes = json_find_str(d->was, "completedIndexes");
    bool same = str_eq(indexes ? indexes : "", d->indexed && !all ? write_indexes(d) : "");
    JSON_FOREACH(it, d->v->pods) {
        const char *uid = meta_uid(it.value);
        bool counted = has_uid(json_get(noted, "succeeded"), uid) ||
                       has_uid(json_get(noted, "failed"), uid) ||
                       (d->indexed && same && has_phase(it.value, "Succeeded"));
        if ((all || counted) && meta_has_finalizer(it.value, JOB_FINALIZER))
            json_append(d->plan->release_pods, json_clone(d->a, it.value));
    }
}

/* An ended Job may have a time to live. */
static void decide_ttl(struct decision *d)
{
    const struct json *ttl = json_get(d->spec, "ttlSecondsAfterFinished");
    const char *type = is(d, "Complete") ? "Complete" : "Failed";
    const char *text = json_find_str(condition_find(d->conditions, type), "lastTransitionTime");
    int64_t ended = 0;
    if (!ttl || !text || time_parse_rfc3339(text, &ended) < 0)
        return;
    int64_t left = seconds_ms(ttl, 0) - (d->v->now_wall - ended) / NS_PER_MS;
    d->plan->delete_job = left <= 0;
    if (left > 0)
        wake(d, left);
}

void job_decide(struct arena *a, const struct job_view *v, struct job_plan *ret)
{
    *ret = (struct job_plan){ .events = EMPTY_ARR(),
                              .release_pods = EMPTY_ARR(),
                              .delete_pods = EMPTY_ARR(),
                              .create_pods = EMPTY_ARR() };
    struct decision d = { .a = a,
                          .v = v,
                          .plan = ret,
                          .spec = json_get(v->job, "spec"),
                          .was = json_get(v->job, "status") };
    const struct json *conditions = json_get(d.was, "conditions");
    ret->status = d.was ? json_clone(a, d.was) : NULL;
    d.conditions = conditions ? json_clone(a, conditions) : EMPTY_ARR();
    d.indexed = str_eq(json_find_str(d.spec, "completionMode"), "Indexed");
    d.only_failed = str_eq(json_find_str(d.spec, "podReplacementPolicy"), "Failed");
    d.completions = MIN(json_find_int(d.spec, 0, "completions"), (int64_t)1000000);
    if (meta_deleting(v->job) || is(&d, "Complete") || is(&d, "Failed")) {
        release(&d, true);
        if (!meta_deleting(v->job))
            decide_ttl(&d);
        return;
    }
    ret->unsupported = unsupported(d.spec);
    if (ret->unsupported)
        return;
    count(&d);
    decide_outcome(&d);
    if (is(&d, "FailureTarget") || is(&d, "SuccessCriteriaMet")) {
        decide_end(&d);
    } else {
        decide_suspension(&d);
        if (!is_suspended(&d))
            decide_pods(&d);
    }
    release(&d, false);
    decide_status(&d);
}
