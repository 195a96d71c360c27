/* The kubelet's decisions: (spec, containers, probes, time) → (actions, status). No processes, no
 * clock. */
#include "machine/pod.h"

#include "kube/meta.h"
#include "machine_test.h"

#define T0 (INT64_C(1767366245) * NS_PER_S) /* 2026-01-02T15:04:05Z */

struct world {
    struct arena *a;
    struct json *pod;
    struct container c[4];
    size_t n;
    int64_t now; /* ns since T0 */
    bool gone;
    struct pod_plan plan;
};

static void world_init(struct world *w, const char *yaml)
{
    *w = (struct world){ .a = arena_new(), .now = NS_PER_S };
    w->pod = yaml_of(w->a, yaml);
    JSON_FOREACH(it, json_find(w->pod, "spec", "initContainers")) {
        container_init(&w->c[w->n++], it.value, true);
    }
    JSON_FOREACH(it, json_find(w->pod, "spec", "containers")) {
        container_init(&w->c[w->n++], it.value, false);
    }
}

static void world_done(struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        container_done(&w->c[i]);
    arena_free(w->a);
}

/* Decides, and takes the status over as the API server would have it. */
static void decide(struct world *w)
{
    struct pod_view v = {
        .pod = w->pod,
        .containers = w->c,
        .count = w->n,
        .gone = w->gone,
        .ip = "127.97.0.1",
        .host_ip = "127.0.0.1",
        .start_time_ns = T0,
        .now_wall = T0 + w->now,
        .now_mono = w->now,
    };
    pod_decide(w->a, &v, &w->plan);
    json_set(w->a, w->pod, "status", json_clone(w->a, w->plan.status));
}

static void after(struct world *w, int64_t ms)
{
    w->now += ms * NS_PER_MS;
}

static bool starts(const struct world *w, size_t index)
{
    return w->plan.action_count == 1 && w->plan.actions[0].what == POD_START &&
           w->plan.actions[0].index == index;
}

static void run(struct world *w, size_t i)
{
    container_set_starting(&w->c[i], w->now);
    container_set_running(&w->c[i], T0 + w->now, w->now);
}

static void end(struct world *w, size_t i, int code)
{
    struct container_end e = { .exit_code = code,
                               .started_ns = w->c[i].started_ns,
                               .finished_ns = T0 + w->now };
    container_set_exited(&w->c[i], &e, w->now);
}

static const char *phase(const struct world *w)
{
    return json_find_str(w->plan.status, "phase");
}

static const struct json *status_of(const struct world *w, size_t i)
{
    const char *list = w->c[i].init ? "initContainerStatuses" : "containerStatuses";
    JSON_FOREACH(it, json_get(w->plan.status, list)) {
        if (str_eq(json_find_str(it.value, "name"), w->c[i].name))
            return it.value;
    }
    fail_msg("no status of %s", w->c[i].name);
    return NULL;
}

static const char *waiting_reason(const struct world *w, size_t i)
{
    return json_find_str(status_of(w, i), "state", "waiting", "reason");
}

static const char *condition_status(const struct world *w, const char *type)
{
    return json_find_str(condition_find(json_get(w->plan.status, "conditions"), type), "status");
}

#define META "metadata: {name: p, namespace: ns, uid: u1}\n"
#define ONE META "spec: {containers: [{name: a, image: i}]}\n"
#define NEVER META "spec: {restartPolicy: Never, containers: [{name: a, image: i}]}\n"
#define ON_FAILURE META "spec: {restartPolicy: OnFailure, containers: [{name: a, image: i}]}\n"

static void a_new_pod_is_started(void **state)
{
    struct world w;
    world_init(&w, ONE);
    decide(&w);
    assert_true(starts(&w, 0));
    assert_string_equal(phase(&w), "Pending");
    assert_string_equal(waiting_reason(&w, 0), "ContainerCreating");
    assert_string_equal(condition_status(&w, "Initialized"), "True");
    assert_string_equal(condition_status(&w, "Ready"), "False");
    assert_string_equal(json_find_str(condition_find(json_get(w.plan.status, "conditions"),
                                                     "Ready"),
                                      "message"),
                        "containers with unready status: [a]");
    container_set_starting(&w.c[0], w.now);
    decide(&w);
    assert_int_equal(w.plan.action_count, 0);
    assert_string_equal(phase(&w), "Pending");
    container_set_running(&w.c[0], T0 + w.now, w.now);
    decide(&w);
    assert_string_equal(phase(&w), "Running");
    assert_string_equal(condition_status(&w, "Ready"), "True");
    assert_string_equal(condition_status(&w, "ContainersReady"), "True");
    assert_string_equal(condition_status(&w, "PodReadyToStartContainers"), "True");
    const struct json *s = status_of(&w, 0);
    assert_string_equal(
        json_text(w.a, s),
        "{\"containerID\":\"kaito://u1/a/0\",\"image\":\"i\",\"imageID\":\"\",\"lastState\":{},\"name\":\"a\","
        "\"ready\":true,\"restartCount\":0,\"started\":true,\"state\":{\"running\":{\"startedAt\":"
        "\"2026-01-02T15:04:06Z\"}}}");
    assert_string_equal(json_find_str(w.plan.status, "podIP"), "127.97.0.1");
    assert_string_equal(json_find_str(w.plan.status, "hostIP"), "127.0.0.1");
    assert_string_equal(json_find_str(w.plan.status, "startTime"), "2026-01-02T15:04:05Z");
    world_done(&w);
}

static void nothing_changes_when_nothing_happens(void **state)
{
    struct world w;
    world_init(&w, ONE);
    run(&w, 0);
    decide(&w);
    struct json *before = json_clone(w.a, w.plan.status);
    after(&w, 3600000);
    decide(&w);
    assert_true(json_equal(before, w.plan.status));
    assert_int_equal(w.plan.action_count, 0);
    assert_true(w.plan.wake_at == INT64_MAX);
    world_done(&w);
}

/* 0, 10, 20, 40 … 300 s, and from the start again after ten good minutes. */
static void restarts_back_off(void **state)
{
    struct world w;
    world_init(&w, ONE);
    static const int64_t delays[] = { 0, 10, 20, 40, 80, 160, 300, 300 };
    for (size_t i = 0; i < COUNT_OF(delays); i++) {
        run(&w, 0);
        assert_int_equal(w.c[0].attempt, i);
        after(&w, 100);
        end(&w, 0, 1);
        decide(&w);
        if (delays[i] > 0) {
            assert_int_equal(w.plan.action_count, 0);
            assert_string_equal(waiting_reason(&w, 0), "CrashLoopBackOff");
            assert_string_equal(phase(&w), "Running");
            const struct json *last = json_find(status_of(&w, 0), "lastState", "terminated");
            assert_string_equal(json_find_str(last, "reason"), "Error");
            assert_true(w.plan.wake_at == w.now + delays[i] * NS_PER_S);
            after(&w, delays[i] * 1000 - 1);
            decide(&w);
            assert_int_equal(w.plan.action_count, 0);
            after(&w, 1);
            decide(&w);
        }
        assert_true(starts(&w, 0));
    }
    const char *text = json_find_str(status_of(&w, 0), "state", "terminated", "reason");
    assert_string_equal(text, "Error");
    run(&w, 0);
    after(&w, 601 * 1000);
    end(&w, 0, 1);
    decide(&w);
    assert_true(starts(&w, 0));
    run(&w, 0);
    end(&w, 0, 1);
    decide(&w);
    assert_true(w.plan.wake_at == w.now + 10 * NS_PER_S);
    assert_string_equal(json_find_str(status_of(&w, 0), "state", "waiting", "message"),
                        "back-off 10s restarting failed container=a pod=p_ns(u1)");
    world_done(&w);
}

static void policies(void **state)
{
    static const struct {
        const char *pod;
        int code;
        bool restart;
        const char *phase;
        const char *reason;
    } cases[] = {
        { ONE, 0, true, "Running", "Completed" },
        { ONE, 1, true, "Running", "Error" },
        { ON_FAILURE, 0, false, "Succeeded", "Completed" },
        { ON_FAILURE, 1, true, "Running", "Error" },
        { NEVER, 0, false, "Succeeded", "Completed" },
        { NEVER, 2, false, "Failed", "Error" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world w;
        world_init(&w, cases[i].pod);
        run(&w, 0);
        end(&w, 0, cases[i].code);
        decide(&w);
        assert_int_equal(w.plan.action_count, cases[i].restart);
        assert_string_equal(phase(&w), cases[i].phase);
        assert_string_equal(json_find_str(status_of(&w, 0), "state", "terminated", "reason"),
                            cases[i].reason);
        assert_int_equal(w.plan.terminal, !cases[i].restart);
        /* What is over stays over. */
        decide(&w);
        assert_string_equal(phase(&w), cases[i].phase);
        world_done(&w);
    }
}

static void a_completed_pod_says_so(void **state)
{
    struct world w;
    world_init(&w, NEVER);
    run(&w, 0);
    end(&w, 0, 0);
    decide(&w);
    const struct json *ready = condition_find(json_get(w.plan.status, "conditions"), "Ready");
    assert_string_equal(json_find_str(ready, "reason"), "PodCompleted");
    assert_string_equal(json_find_str(ready, "status"), "False");
    assert_string_equal(condition_status(&w, "Initialized"), "True");
    world_done(&w);
}

#define INIT                                                                                           \
    META                                                                                               \
        "spec: {restartPolicy: Always, initContainers: [{name: i1, image: i}, {name: i2, image: i}], " \
        "containers: [{name: a, image: i}]}\n"

static void init_containers_run_in_order(void **state)
{
    struct world w;
    world_init(&w, INIT);
    decide(&w);
    assert_true(starts(&w, 0));
    assert_string_equal(waiting_reason(&w, 2), "PodInitializing");
    run(&w, 0);
    decide(&w);
    assert_int_equal(w.plan.action_count, 0);
    assert_string_equal(phase(&w), "Pending");
    const struct json *c = condition_find(json_get(w.plan.status, "conditions"), "Initialized");
    assert_string_equal(json_find_str(c, "message"), "containers with incomplete status: [i1 i2]");
    end(&w, 0, 0);
    decide(&w);
    assert_true(starts(&w, 1));
    assert_true(json_find_bool(status_of(&w, 0), false, "ready"));
    run(&w, 1);
    end(&w, 1, 5);
    decide(&w);
    assert_true(starts(&w, 1));
    assert_string_equal(phase(&w), "Pending");
    run(&w, 1);
    end(&w, 1, 5);
    decide(&w);
    assert_string_equal(waiting_reason(&w, 1), "CrashLoopBackOff");
    after(&w, 10000);
    run(&w, 1);
    end(&w, 1, 0);
    decide(&w);
    assert_true(starts(&w, 2));
    assert_string_equal(condition_status(&w, "Initialized"), "True");
    run(&w, 2);
    decide(&w);
    assert_string_equal(phase(&w), "Running");
    /* Main containers restart without their init containers. */
    end(&w, 2, 1);
    decide(&w);
    assert_true(starts(&w, 2));
    world_done(&w);
}

static void a_failed_init_container_ends_a_pod_that_never_restarts(void **state)
{
    struct world w;
    world_init(
        &w, META
        "spec: {restartPolicy: Never, initContainers: [{name: i1, image: i}], containers: [{name: a, image: i}]}\n");
    run(&w, 0);
    end(&w, 0, 1);
    decide(&w);
    assert_string_equal(phase(&w), "Failed");
    assert_int_equal(w.plan.action_count, 0);
    world_done(&w);
}

static void sidecars_start_first_and_end_last(void **state)
{
    struct world w;
    world_init(
        &w, META
        "spec: {restartPolicy: Never, initContainers: [{name: s, image: i, restartPolicy: Always}], containers: "
        "[{name: a, image: i}]}\n");
    decide(&w);
    assert_true(starts(&w, 0));
    run(&w, 0);
    decide(&w);
    assert_true(starts(&w, 1));
    run(&w, 1);
    decide(&w);
    assert_int_equal(w.plan.action_count, 0);
    end(&w, 1, 0);
    decide(&w);
    assert_int_equal(w.plan.action_count, 1);
    assert_int_equal(w.plan.actions[0].what, POD_STOP);
    assert_int_equal(w.plan.actions[0].index, 0);
    assert_string_equal(phase(&w), "Succeeded");
    world_done(&w);
}

static void a_deleted_pod_is_stopped_and_then_goes(void **state)
{
    struct world w;
    world_init(
        &w, META
        "spec: {terminationGracePeriodSeconds: 30, containers: [{name: a, image: i}, {name: b, image: i}]}\n");
    run(&w, 0);
    run(&w, 1);
    decide(&w);
    json_set_str(w.a, json_get(w.pod, "metadata"), "deletionTimestamp", "2026-01-02T15:05:00Z");
    json_set_int(w.a, json_get(w.pod, "metadata"), "deletionGracePeriodSeconds", 12);
    decide(&w);
    assert_int_equal(w.plan.action_count, 2);
    assert_int_equal(w.plan.actions[0].what, POD_STOP);
    assert_int_equal(w.plan.actions[0].grace_ms, 12000);
    assert_string_equal(w.plan.actions[0].message, "Stopping container a");
    assert_false(w.plan.finished);
    w.c[0].stop_grace_ms = w.c[1].stop_grace_ms = 12000;
    decide(&w);
    assert_int_equal(w.plan.action_count, 0);
    /* Deleted once more, faster. */
    json_set_int(w.a, json_get(w.pod, "metadata"), "deletionGracePeriodSeconds", 1);
    decide(&w);
    assert_int_equal(w.plan.action_count, 2);
    assert_int_equal(w.plan.actions[1].grace_ms, 1000);
    assert_null(w.plan.actions[1].message);
    end(&w, 0, 143);
    decide(&w);
    assert_false(w.plan.finished);
    assert_string_equal(phase(&w), "Running");
    end(&w, 1, 0);
    decide(&w);
    assert_true(w.plan.finished);
    assert_int_equal(w.plan.action_count, 0);
    assert_string_equal(phase(&w), "Failed");
    world_done(&w);
}

static void a_pod_that_vanished_is_ended_quickly(void **state)
{
    struct world w;
    world_init(&w, ONE);
    run(&w, 0);
    w.gone = true;
    decide(&w);
    assert_int_equal(w.plan.actions[0].what, POD_STOP);
    assert_int_equal(w.plan.actions[0].grace_ms, 1000);
    end(&w, 0, 0);
    decide(&w);
    assert_true(w.plan.finished);
    world_done(&w);
}

static void a_failed_pull_backs_off(void **state)
{
    struct world w;
    world_init(&w, ONE);
    container_set_waiting(&w.c[0], "ErrImagePull", "no program", 10000, 300000, w.now);
    decide(&w);
    assert_string_equal(waiting_reason(&w, 0), "ErrImagePull");
    assert_string_equal(phase(&w), "Pending");
    assert_true(w.plan.wake_at == w.now + NS_PER_S);
    after(&w, 1000);
    decide(&w);
    assert_string_equal(waiting_reason(&w, 0), "ImagePullBackOff");
    assert_string_equal(json_find_str(status_of(&w, 0), "state", "waiting", "message"),
                        "Back-off pulling image \"i\": ErrImagePull: no program");
    after(&w, 9000);
    decide(&w);
    assert_true(starts(&w, 0));
    container_set_waiting(&w.c[0], "ErrImagePull", "no program", 10000, 300000, w.now);
    assert_true(w.c[0].retry_at == w.now + 20 * NS_PER_S);
    world_done(&w);
}

static void a_start_error_is_an_end(void **state)
{
    struct world w;
    world_init(&w, ONE);
    container_set_starting(&w.c[0], w.now);
    struct container_end e = { .exit_code = 128,
                               .start_error = true,
                               .message = mem_strdup("no such file"),
                               .started_ns = T0,
                               .finished_ns = T0 };
    container_set_exited(&w.c[0], &e, w.now);
    decide(&w);
    assert_true(starts(&w, 0));
    const struct json *t = json_find(status_of(&w, 0), "state", "terminated");
    assert_string_equal(json_find_str(t, "reason"), "StartError");
    assert_string_equal(json_find_str(t, "message"), "no such file");
    assert_int_equal(json_find_int(t, 0, "exitCode"), 128);
    world_done(&w);
}

static void out_of_memory_is_named(void **state)
{
    struct world w;
    world_init(&w, NEVER);
    run(&w, 0);
    struct container_end e = {
        .exit_code = 137, .oom_killed = true, .started_ns = T0, .finished_ns = T0
    };
    container_set_exited(&w.c[0], &e, w.now);
    decide(&w);
    assert_string_equal(json_find_str(status_of(&w, 0), "state", "terminated", "reason"),
                        "OOMKilled");
    world_done(&w);
}

static void a_deadline_ends_the_pod(void **state)
{
    struct world w;
    world_init(&w, META "spec: {activeDeadlineSeconds: 5, containers: [{name: a, image: i}]}\n");
    run(&w, 0);
    decide(&w);
    assert_true(w.plan.wake_at == 5 * NS_PER_S);
    after(&w, 4000);
    decide(&w);
    assert_string_equal(phase(&w), "Failed");
    assert_string_equal(json_find_str(w.plan.status, "reason"), "DeadlineExceeded");
    assert_int_equal(w.plan.actions[0].what, POD_STOP);
    world_done(&w);
}

/* ---- probes -------------------------------------------------------------------------------------------------------- */

#define PROBED                                                                                                                \
    META                                                                                                                      \
        "spec:\n  containers:\n  - name: a\n    image: i\n"                                                                   \
        "    startupProbe: {httpGet: {port: 80}, periodSeconds: 2, failureThreshold: 3}\n"                                    \
        "    livenessProbe: {httpGet: {port: 80}, periodSeconds: 5, failureThreshold: 2, terminationGracePeriodSeconds: 4}\n" \
        "    readinessProbe: {httpGet: {port: 80}, initialDelaySeconds: 3, periodSeconds: 1, successThreshold: 2}\n"

static enum probe_kind due(struct world *w)
{
    enum probe_kind kind = PROBE_KIND_COUNT;
    int64_t at = probe_next(&w->c[0], &kind);
    assert_true(at < INT64_MAX);
    w->now = MAX(w->now, at);
    return kind;
}

static void probes_decide_started_and_ready(void **state)
{
    struct world w;
    world_init(&w, PROBED);
    enum probe_kind kind;
    assert_true(probe_next(&w.c[0], &kind) == INT64_MAX);
    run(&w, 0);
    decide(&w);
    assert_false(json_find_bool(status_of(&w, 0), true, "started"));
    assert_string_equal(condition_status(&w, "Ready"), "False");
    assert_int_equal(due(&w), PROBE_STARTUP);
    assert_true(w.now == NS_PER_S);
    assert_int_equal(probe_outcome(&w.c[0], PROBE_STARTUP, false, w.now), PROBE_NOTHING);
    assert_int_equal(due(&w), PROBE_STARTUP);
    assert_true(w.now == 3 * NS_PER_S);
    assert_int_equal(probe_outcome(&w.c[0], PROBE_STARTUP, true, w.now), PROBE_CHANGED);
    decide(&w);
    assert_true(json_find_bool(status_of(&w, 0), false, "started"));
    assert_string_equal(condition_status(&w, "Ready"), "False");
    /* Liveness at once; readiness when its delay since the start is over. */
    assert_int_equal(due(&w), PROBE_LIVENESS);
    assert_int_equal(probe_outcome(&w.c[0], PROBE_LIVENESS, true, w.now), PROBE_NOTHING);
    assert_int_equal(due(&w), PROBE_READINESS);
    assert_true(w.now == 4 * NS_PER_S);
    assert_int_equal(probe_outcome(&w.c[0], PROBE_READINESS, true, w.now), PROBE_NOTHING);
    assert_int_equal(due(&w), PROBE_READINESS);
    assert_int_equal(probe_outcome(&w.c[0], PROBE_READINESS, true, w.now), PROBE_CHANGED);
    decide(&w);
    assert_string_equal(condition_status(&w, "Ready"), "True");
    for (int i = 0; i < 2; i++)
        assert_int_equal(probe_outcome(&w.c[0], PROBE_READINESS, false, w.now), PROBE_NOTHING);
    assert_int_equal(probe_outcome(&w.c[0], PROBE_READINESS, false, w.now), PROBE_CHANGED);
    decide(&w);
    assert_string_equal(condition_status(&w, "Ready"), "False");
    assert_int_equal(w.plan.action_count, 0);
    world_done(&w);
}

static void a_failed_liveness_probe_kills(void **state)
{
    struct world w;
    world_init(&w, PROBED);
    run(&w, 0);
    probe_outcome(&w.c[0], PROBE_STARTUP, true, w.now);
    assert_int_equal(probe_outcome(&w.c[0], PROBE_LIVENESS, false, w.now), PROBE_NOTHING);
    assert_int_equal(probe_outcome(&w.c[0], PROBE_LIVENESS, false, w.now), PROBE_KILL);
    decide(&w);
    assert_int_equal(w.plan.action_count, 1);
    assert_int_equal(w.plan.actions[0].what, POD_STOP);
    assert_int_equal(w.plan.actions[0].grace_ms, 4000);
    assert_string_equal(w.plan.actions[0].message,
                        "Container a failed liveness probe, will be restarted");
    w.c[0].stop_grace_ms = 4000;
    enum probe_kind kind;
    assert_true(probe_next(&w.c[0], &kind) == INT64_MAX);
    end(&w, 0, 137);
    decide(&w);
    assert_true(starts(&w, 0));
    run(&w, 0);
    decide(&w);
    assert_int_equal(json_find_int(status_of(&w, 0), -1, "restartCount"), 1);
    assert_false(json_find_bool(status_of(&w, 0), true, "started"));
    world_done(&w);
}

static void a_failed_startup_probe_kills(void **state)
{
    struct world w;
    world_init(&w, PROBED);
    run(&w, 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(probe_outcome(&w.c[0], PROBE_STARTUP, false, w.now), PROBE_NOTHING);
    assert_int_equal(probe_outcome(&w.c[0], PROBE_STARTUP, false, w.now), PROBE_KILL);
    decide(&w);
    assert_string_equal(w.plan.actions[0].message,
                        "Container a failed startup probe, will be restarted");
    assert_int_equal(w.plan.actions[0].grace_ms, 30000);
    world_done(&w);
}

static void readiness_gates_count(void **state)
{
    struct world w;
    world_init(
        &w,
        META "spec: {readinessGates: [{conditionType: x/y}], containers: [{name: a, image: i}]}\n");
    run(&w, 0);
    decide(&w);
    assert_string_equal(condition_status(&w, "ContainersReady"), "True");
    const struct json *ready = condition_find(json_get(w.plan.status, "conditions"), "Ready");
    assert_string_equal(json_find_str(ready, "message"),
                        "corresponding condition of pod readiness gate \"x/y\" does not exist.");
    struct arena *a = w.a;
    json_append(json_find(w.pod, "status", "conditions"),
                OBJ("type", STR("x/y"), "status", STR("True")));
    decide(&w);
    assert_string_equal(condition_status(&w, "Ready"), "True");
    assert_string_equal(condition_status(&w, "x/y"), "True");
    world_done(&w);
}

UNIT_TESTS(TEST(a_new_pod_is_started), TEST(nothing_changes_when_nothing_happens),
           TEST(restarts_back_off), TEST(policies), TEST(a_completed_pod_says_so),
           TEST(init_containers_run_in_order),
           TEST(a_failed_init_container_ends_a_pod_that_never_restarts),
           TEST(sidecars_start_first_and_end_last), TEST(a_deleted_pod_is_stopped_and_then_goes),
           TEST(a_pod_that_vanished_is_ended_quickly), TEST(a_failed_pull_backs_off),
           TEST(a_start_error_is_an_end), TEST(out_of_memory_is_named),
           TEST(a_deadline_ends_the_pod), TEST(probes_decide_started_and_ready),
           TEST(a_failed_liveness_probe_kills), TEST(a_failed_startup_probe_kills),
           TEST(readiness_gates_count))
