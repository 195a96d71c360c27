/* The kubelet's decision for one pod (pod.h). */
#include "machine/pod.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"

#define DEFAULT_GRACE_S 30
/* For a pod that was removed from the API without waiting. */
#define FORCED_GRACE_MS 1000

static bool policy_is(const struct pod_view *v, const char *policy)
{
    const char *p = json_find_str(v->pod, "spec", "restartPolicy");
    return str_eq(p ? p : "Always", policy);
}

bool container_will_restart(const struct pod_view *v, const struct container *c)
{
    if (c->phase != CONTAINER_EXITED || v->gone || meta_deleting(v->pod))
        return false;
    if (c->sidecar)
        return true;
    if (policy_is(v, "Never"))
        return false;
    if (c->init)
        return c->end.exit_code != 0;
    return policy_is(v, "Always") || c->end.exit_code != 0;
}

/* Init containers are over and done with: all have succeeded, and sidecars have started. */
bool pod_initialized(const struct pod_view *v)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct container *c = &v->containers[i];
        if (c->init &&
            !(c->sidecar ? c->has_run && (container_started(c) || c->phase == CONTAINER_EXITED)
                         : c->phase == CONTAINER_EXITED && c->end.exit_code == 0))
            return false;
        /* A main container that has run proves it, whatever is left of the init containers. */
        if (!c->init && c->has_run)
            return true;
    }
    return true;
}

static bool init_failed(const struct pod_view *v)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct container *c = &v->containers[i];
        if (c->init && !c->sidecar && c->phase == CONTAINER_EXITED && c->end.exit_code != 0 &&
            !container_will_restart(v, c))
            return true;
    }
    return false;
}

const char *pod_phase(const struct pod_view *v, bool terminating)
{
    const char *known = json_find_str(v->pod, "status", "phase");
    if (str_eq(known, "Succeeded") || str_eq(known, "Failed"))
        return known;
    if (init_failed(v) && !terminating && policy_is(v, "Never"))
        return "Failed";
    if (!pod_initialized(v) && !terminating)
        return "Pending";
    size_t waiting = 0;
    size_t running = 0;
    size_t stopped = 0;
    size_t succeeded = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct container *c = &v->containers[i];
        if (c->init)
            continue;
        if (c->phase == CONTAINER_RUNNING) {
            running++;
        } else if (c->phase == CONTAINER_EXITED) {
            stopped++;
            succeeded += c->end.exit_code == 0;
        } else if (!c->last.set) {
            waiting++;
        } else if (terminating) {
            stopped++;
        } else {
            running++; /* on its way to the next instance */
        }
    }
    if (waiting > 0)
        return "Pending";
    if (running > 0)
        return "Running";
    if (stopped == 0)
        return "Pending";
    if (!terminating && policy_is(v, "Always"))
        return "Running";
    if (stopped == succeeded)
        return "Succeeded";
    if (!terminating && policy_is(v, "OnFailure"))
        return "Running";
    return "Failed";
}

/* ---- actions ------------------------------------------------------------------------------------------------------- */

struct decision {
    struct arena *a;
    const struct pod_view *v;
    struct pod_plan *plan;
};

static void wake(struct decision *d, int64_t at)
{
    d->plan->wake_at = MIN(d->plan->wake_at, at);
}

static void act(struct decision *d, const struct pod_action *action)
{
    d->plan->actions[d->plan->action_count++] = *action;
}

int64_t pod_spec_grace_ms(const struct json *pod)
{
    return seconds_ms(json_find(pod, "spec", "terminationGracePeriodSeconds"), DEFAULT_GRACE_S);
}

static int64_t pod_grace_ms(const struct pod_view *v)
{
    int64_t spec_ms = pod_spec_grace_ms(v->pod);
    const struct json *deletion = json_find(v->pod, "metadata", "deletionGracePeriodSeconds");
    if (deletion)
        return MAX(seconds_ms(deletion, DEFAULT_GRACE_S), v->gone ? (int64_t)FORCED_GRACE_MS : 0);
    return v->gone ? MIN(spec_ms, (int64_t)FORCED_GRACE_MS) : spec_ms;
}

static void stop(struct decision *d, size_t i, int64_t grace_ms, const char *message)
{
    const struct container *c = &d->v->containers[i];
    if (!container_alive(c))
        return;
    if (c->stop_grace_ms < 0)
        act(d, &(struct pod_action){
                   .what = POD_STOP, .index = i, .grace_ms = grace_ms, .message = message });
    else if (grace_ms < c->stop_grace_ms)
        act(d, &(struct pod_action){ .what = POD_STOP, .index = i, .grace_ms = grace_ms });
}

static void stop_all(struct decision *d, bool sidecars_too)
{
    int64_t grace_ms = pod_grace_ms(d->v);
    for (size_t i = 0; i < d->v->count; i++)
        if (sidecars_too || !d->v->containers[i].sidecar)
            stop(d, i, grace_ms,
                 arena_printf(d->a, "Stopping container %s", d->v->containers[i].name));
}

/* Starts what can be started now, or says when. */
static void start(struct decision *d, size_t i)
{
    const struct container *c = &d->v->containers[i];
    int64_t at = c->phase == CONTAINER_WAITING ? c->retry_at : container_backoff_end(c);
    if (at > d->v->now_mono)
        wake(d, at);
    else
        act(d, &(struct pod_action){ .what = POD_START, .index = i });
    /* The reason of a failed pull changes its name after a moment. */
    if (c->phase == CONTAINER_WAITING && str_eq(c->wait_reason, "ErrImagePull"))
        wake(d, c->waiting_since + NS_PER_S);
}

static void keep(struct decision *d, size_t i)
{
    const struct container *c = &d->v->containers[i];
    if (container_alive(c)) {
        if (c->unhealthy)
            stop(d, i, c->unhealthy_grace_ms >= 0 ? c->unhealthy_grace_ms : pod_grace_ms(d->v),
                 c->unhealthy);
    } else if (c->phase == CONTAINER_WAITING || container_will_restart(d->v, c)) {
        start(d, i);
    }
}

static void run(struct decision *d)
{
    const struct pod_view *v = d->v;
    bool initialized = pod_initialized(v);
    for (size_t i = 0; i < v->count; i++) {
        const struct container *c = &v->containers[i];
        bool passed = c->init && !c->sidecar &&
                      (initialized || (c->phase == CONTAINER_EXITED && c->end.exit_code == 0));
        if (passed)
            continue;
        if (!c->init && !initialized)
            return;
        keep(d, i);
        if (c->init && !initialized && !(c->sidecar && container_started(c)))
            return; /* the next one waits for it */
    }
}

static bool any_alive(const struct pod_view *v, bool sidecars)
{
    for (size_t i = 0; i < v->count; i++)
        if (container_alive(&v->containers[i]) && (sidecars || !v->containers[i].sidecar))
            return true;
    return false;
}

static bool over_deadline(struct decision *d)
{
    const struct json *deadline = json_find(d->v->pod, "spec", "activeDeadlineSeconds");
    if (!deadline || d->v->start_time_ns == 0)
        return false;
    int64_t left = d->v->start_time_ns + seconds_ms(deadline, 0) * NS_PER_MS - d->v->now_wall;
    if (left > 0)
        wake(d, d->v->now_mono + left);
    return left <= 0;
}

void pod_decide(struct arena *a, const struct pod_view *v, struct pod_plan *ret)
{
    *ret = (struct pod_plan){
        .actions = arena_zalloc(a, (2 * v->count + 1) * sizeof(struct pod_action)),
        .wake_at = INT64_MAX,
    };
    struct decision d = { .a = a, .v = v, .plan = ret };
    const char *known = json_find_str(v->pod, "status", "phase");
    bool deleting = v->gone || meta_deleting(v->pod);
    bool expired = !deleting && !str_eq(known, "Succeeded") && over_deadline(&d);
    const char *phase = expired ? "Failed" : pod_phase(v, deleting && !any_alive(v, true));
    ret->terminal = str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
    if (deleting) {
        stop_all(&d, true);
        ret->finished = !any_alive(v, true);
    } else if (ret->terminal) {
        stop_all(&d, !any_alive(v, false));
    } else {
        run(&d);
    }
    ret->status = pod_status(a, v, phase);
    if (expired && !str_eq(known, "Failed")) {
        json_set_str(a, ret->status, "reason", "DeadlineExceeded");
        json_set_str(a, ret->status, "message",
                     "Pod was active on the node longer than the specified deadline");
    }
}
