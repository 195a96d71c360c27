#include "machine/job.h"

#include "kube/meta.h"
#include "machine_test.h"

#define T0 (INT64_C(1767366245) * NS_PER_S) /* 2026-01-02T15:04:05Z */

struct world {
    struct arena *a;
    struct json *job;
    struct json *pods;
    struct job_plan plan;
    int64_t now;
    int uids;
};

static void world_init(struct world *w, const char *spec)
{
    struct arena *a = arena_new();
    *w = (struct world){ .a = a, .pods = EMPTY_ARR(), .now = T0 };
    w->job = yaml_of(a, "metadata: {name: work, namespace: ns, uid: j1}\n"
                        "spec:\n"
                        "  template:\n"
                        "    metadata: {labels: {app: work}, annotations: {note: x}}\n"
                        "    spec: {restartPolicy: Never, containers: [{name: c, image: one}]}\n");
    struct json *more = yaml_of(a, spec), *to = json_get(w->job, "spec");
    JSON_FOREACH(it, more)
        json_set(a, to, it.key, json_clone(a, it.value));
}

static void decide(struct world *w)
{
    struct job_view v = { .job = w->job, .pods = w->pods, .now_wall = w->now };
    job_decide(w->a, &v, &w->plan);
}

static struct json *pod(struct world *w, size_t i)
{
    return json_at(w->pods, i);
}

static void release(struct world *w, const char *uid)
{
    JSON_FOREACH(it, w->pods)
        if (str_eq(meta_uid(it.value), uid))
            json_del(json_get(it.value, "metadata"), "finalizers");
}

/* Does what was decided, as the API server and the caches would; pods that are deleted are gone
 * once nothing holds them. */
static void apply(struct world *w)
{
    struct arena *a = w->a;
    JSON_FOREACH(it, w->plan.release_pods)
        release(w, meta_uid(it.value));
    JSON_FOREACH(it, w->plan.delete_pods) {
        JSON_FOREACH(p, w->pods) {
            struct json *meta = json_get(p.value, "metadata");
            if (!str_eq(meta_uid(p.value), json_find_str(it.value, "uid")))
                continue;
            json_set_str(a, meta, "deletionTimestamp", "2026-01-02T15:04:05Z");
            json_set_int(a, meta, "deletionGracePeriodSeconds", 0);
        }
    }
    JSON_FOREACH(it, w->pods)
        if (meta_deleting(it.value) && !meta_has_finalizer(it.value, JOB_FINALIZER))
            json_iter_remove(&it);
    JSON_FOREACH(it, w->plan.create_pods) {
        struct json *p = json_clone(a, it.value);
        json_set(a, json_get(p, "metadata"), "uid", STRF("p%d", w->uids++));
        json_append(w->pods, p);
    }
    json_set(a, w->job, "status", json_clone(a, w->plan.status));
}

/* Until nothing changes any more. */
static void settle(struct world *w)
{
    for (int i = 0; i < 20; i++) {
        decide(w);
        bool quiet = json_size(w->plan.create_pods) + json_size(w->plan.delete_pods) +
                         json_size(w->plan.release_pods) ==
                     0;
        if (quiet && json_equal(json_get(w->job, "status"), w->plan.status))
            return;
        apply(w);
    }
    fail_msg("it never comes to rest");
}

static void set_phase(struct world *w, size_t i, const char *phase, const char *finished)
{
    struct arena *a = w->a;
    json_set(a, pod(w, i), "status",
             OBJ("phase", STR(phase), "containerStatuses",
                 ARR(OBJ("state", OBJ("terminated", OBJ("finishedAt", STR(finished)))))));
}

static int64_t status(struct world *w, const char *member)
{
    return json_int(json_get(json_get(w->job, "status"), member), 0);
}

static bool is(struct world *w, const char *type)
{
    return condition_is(json_find(w->job, "status", "conditions"), type, "True");
}

static const char *reason(struct world *w, const char *type)
{
    return json_find_str(condition_find(json_find(w->job, "status", "conditions"), type), "reason");
}

static void makes_a_pod_and_completes(void **state)
{
    struct world w;
    world_init(&w, "{parallelism: 1, completions: 1, backoffLimit: 6}");
    decide(&w);
    const struct json *p = json_at(w.plan.create_pods, 0);
    assert_int_equal(json_size(w.plan.create_pods), 1);
    assert_true(str_has_prefix(meta_name(p), "work-"));
    assert_int_equal(strlen(meta_name(p)), strlen("work-") + 5);
    assert_string_equal(meta_label(p, "app"), "work");
    assert_string_equal(meta_annotation(p, "note"), "x");
    assert_true(meta_has_finalizer(p, JOB_FINALIZER));
    assert_true(meta_controlled_by(p, "j1"));
    settle(&w);
    assert_int_equal(status(&w, "active"), 1);
    assert_string_equal(json_find_str(w.job, "status", "startTime"), "2026-01-02T15:04:05Z");
    set_phase(&w, 0, "Succeeded", "2026-01-02T15:04:06Z");
    decide(&w);
    /* first it is written down, and then let go */
    assert_int_equal(json_size(w.plan.release_pods), 0);
    assert_int_equal(json_size(json_find(w.plan.status, "uncountedTerminatedPods", "succeeded")),
                     1);
    apply(&w);
    decide(&w);
    assert_int_equal(json_size(w.plan.release_pods), 1);
    assert_int_equal(json_find_int(w.plan.status, 0, "succeeded"), 0);
    settle(&w);
    assert_int_equal(status(&w, "succeeded"), 1);
    assert_int_equal(status(&w, "active"), 0);
    assert_true(is(&w, "SuccessCriteriaMet"));
    assert_true(is(&w, "Complete"));
    assert_string_equal(reason(&w, "Complete"), "CompletionsReached");
    assert_non_null(json_find(w.job, "status", "completionTime"));
    arena_free(w.a);
}

static void the_same_pod_from_an_old_cache(void **state)
{
    struct world w;
    world_init(&w, "{parallelism: 2, completions: 2, backoffLimit: 6}");
    decide(&w);
    const char *first = meta_name(json_at(w.plan.create_pods, 0)),
               *second = meta_name(json_at(w.plan.create_pods, 1));
    assert_string_not_equal(first, second);
    decide(&w);
    assert_string_equal(meta_name(json_at(w.plan.create_pods, 0)), first);
    assert_string_equal(meta_name(json_at(w.plan.create_pods, 1)), second);
    arena_free(w.a);
}

static void as_many_as_are_left(void **state)
{
    struct world w;
    world_init(&w, "{parallelism: 2, completions: 3, backoffLimit: 6}");
    settle(&w);
    assert_int_equal(json_size(w.pods), 2);
    set_phase(&w, 0, "Succeeded", "2026-01-02T15:04:06Z");
    settle(&w);
    assert_int_equal(json_size(w.pods), 3);
    set_phase(&w, 1, "Succeeded", "2026-01-02T15:04:06Z");
    settle(&w);
    assert_int_equal(json_size(w.pods), 3);
    assert_false(is(&w, "Complete"));
    json_set_int(w.a, json_get(w.job, "spec"), "parallelism", 0);
    settle(&w);
    assert_int_equal(json_size(w.pods), 2);
    assert_int_equal(status(&w, "failed"), 0);
    arena_free(w.a);
}

static void failures_wait_and_end_it(void **state)
{
    struct world w;
    world_init(&w, "{parallelism: 1, completions: 1, backoffLimit: 2}");
    settle(&w);
    set_phase(&w, 0, "Failed", "2026-01-02T15:04:05Z");
    settle(&w);
    assert_int_equal(json_size(w.pods), 1);
    assert_int_equal(status(&w, "failed"), 1);
    assert_int_equal(w.plan.requeue_after_ms, 10000);
    w.now += 10 * NS_PER_S;
    settle(&w);
    assert_int_equal(json_size(w.pods), 2);
    set_phase(&w, 1, "Failed", "2026-01-02T15:04:15Z");
    settle(&w);
    assert_int_equal(w.plan.requeue_after_ms, 20000);
    w.now += 20 * NS_PER_S;
    settle(&w);
    set_phase(&w, 2, "Failed", "2026-01-02T15:04:35Z");
    settle(&w);
    assert_true(is(&w, "FailureTarget"));
    assert_true(is(&w, "Failed"));
    assert_string_equal(reason(&w, "Failed"), "BackoffLimitExceeded");
    assert_int_equal(status(&w, "failed"), 3);
    assert_int_equal(json_size(w.pods), 3);
    arena_free(w.a);
}

static void a_deadline_ends_it(void **state)
{
    struct world w;
    world_init(&w, "{parallelism: 2, completions: 2, backoffLimit: 6, activeDeadlineSeconds: 60}");
    settle(&w);
    assert_int_equal(w.plan.requeue_after_ms, 60000);
    w.now += 60 * NS_PER_S;
    settle(&w);
    assert_string_equal(reason(&w, "Failed"), "DeadlineExceeded");
    assert_int_equal(status(&w, "failed"), 2);
    assert_int_equal(json_size(w.pods), 0);
    arena_free(w.a);
}

static void it_can_be_suspended(void **state)
{
    struct world w;
    world_init(&w, "{parallelism: 1, completions: 1, backoffLimit: 6, suspend: true}");
    settle(&w);
    assert_int_equal(json_size(w.pods), 0);
    assert_true(is(&w, "Suspended"));
    assert_null(json_find(w.job, "status", "startTime"));
    json_set_bool(w.a, json_get(w.job, "spec"), "suspend", false);
    settle(&w);
    assert_int_equal(json_size(w.pods), 1);
    assert_false(is(&w, "Suspended"));
    assert_string_equal(reason(&w, "Suspended"), "JobResumed");
    json_set_bool(w.a, json_get(w.job, "spec"), "suspend", true);
    settle(&w);
    assert_int_equal(json_size(w.pods), 0);
    assert_int_equal(status(&w, "failed"), 0);
    arena_free(w.a);
}

static void indexes_are_done_one_by_one(void **state)
{
    struct world w;
    world_init(&w, "{parallelism: 3, completions: 5, backoffLimit: 6, completionMode: Indexed}");
    settle(&w);
    assert_int_equal(json_size(w.pods), 3);
    const struct json *p = pod(&w, 1);
    assert_true(str_has_prefix(meta_name(p), "work-1-"));
    assert_string_equal(json_find_str(p, "spec", "hostname"), "work-1");
    assert_string_equal(meta_annotation(p, "batch.kubernetes.io/job-completion-index"), "1");
    assert_string_equal(
        json_find_str(json_at(json_get(json_at(json_find(p, "spec", "containers"), 0), "env"), 0),
                      "name"),
        "JOB_COMPLETION_INDEX");
    set_phase(&w, 0, "Succeeded", "2026-01-02T15:04:06Z");
    set_phase(&w, 2, "Succeeded", "2026-01-02T15:04:06Z");
    settle(&w);
    assert_string_equal(json_find_str(w.job, "status", "completedIndexes"), "0,2");
    assert_int_equal(json_size(w.pods), 5);
    set_phase(&w, 1, "Succeeded", "2026-01-02T15:04:06Z");
    set_phase(&w, 3, "Succeeded", "2026-01-02T15:04:06Z");
    set_phase(&w, 4, "Succeeded", "2026-01-02T15:04:06Z");
    settle(&w);
    assert_string_equal(json_find_str(w.job, "status", "completedIndexes"), "0-4");
    assert_int_equal(status(&w, "succeeded"), 5);
    assert_true(is(&w, "Complete"));
    arena_free(w.a);
}

static void it_lives_for_so_long(void **state)
{
    struct world w;
    world_init(&w, "{parallelism: 1, completions: 1, ttlSecondsAfterFinished: 30}");
    settle(&w);
    set_phase(&w, 0, "Succeeded", "2026-01-02T15:04:06Z");
    settle(&w);
    assert_true(is(&w, "Complete"));
    assert_false(w.plan.delete_job);
    assert_int_equal(w.plan.requeue_after_ms, 30000);
    w.now += 30 * NS_PER_S;
    decide(&w);
    assert_true(w.plan.delete_job);
    arena_free(w.a);
}

static void a_deleted_one_lets_go(void **state)
{
    struct world w;
    world_init(&w, "{parallelism: 2, completions: 2}");
    settle(&w);
    json_set_str(w.a, json_get(w.job, "metadata"), "deletionTimestamp", "2026-01-02T15:04:05Z");
    decide(&w);
    assert_int_equal(json_size(w.plan.release_pods), 2);
    assert_int_equal(json_size(w.plan.create_pods), 0);
    arena_free(w.a);
}

static void what_is_not_there_is_said(void **state)
{
    struct world w;
    world_init(&w, "{completionMode: Indexed, completions: 2, successPolicy: {rules: []}}");
    decide(&w);
    assert_non_null(w.plan.unsupported);
    assert_int_equal(json_size(w.plan.create_pods), 0);
    arena_free(w.a);
}

UNIT_TESTS(TEST(makes_a_pod_and_completes), TEST(the_same_pod_from_an_old_cache),
           TEST(as_many_as_are_left), TEST(failures_wait_and_end_it), TEST(a_deadline_ends_it),
           TEST(it_can_be_suspended), TEST(indexes_are_done_one_by_one), TEST(it_lives_for_so_long),
           TEST(a_deleted_one_lets_go), TEST(what_is_not_there_is_said))
