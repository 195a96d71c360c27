/* How a container's record changes (pod.h): starts, ends, failures, probes. */
#include "machine/pod.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static const char *const probe_fields[PROBE_KIND_COUNT] = { "startupProbe", "livenessProbe",
                                                            "readinessProbe" };

int64_t seconds_ms(const struct json *v, int64_t otherwise_s)
{
    return MIN(MAX(json_int(v, otherwise_s), INT64_C(0)), (int64_t)INT32_MAX) * 1000;
}

static void probe_init(struct probe *p, const struct json *spec)
{
    if (!json_is_object(spec))
        return;
    const struct json *grace = json_get(spec, "terminationGracePeriodSeconds");
    *p = (struct probe){
        .set = true,
        .initial_delay_ms = seconds_ms(json_get(spec, "initialDelaySeconds"), 0),
        .period_ms = MAX(seconds_ms(json_get(spec, "periodSeconds"), 10), INT64_C(1000)),
        .timeout_ms = MAX(seconds_ms(json_get(spec, "timeoutSeconds"), 1), INT64_C(1000)),
        .success_threshold = (unsigned)MAX(json_find_int(spec, 1, "successThreshold"), INT64_C(1)),
        .failure_threshold = (unsigned)MAX(json_find_int(spec, 3, "failureThreshold"), INT64_C(1)),
        .grace_ms = grace ? seconds_ms(grace, 0) : -1,
    };
}

void container_init(struct container *c, const struct json *spec, bool init)
{
    *c = (struct container){
        .name = mem_strdup(json_find_str(spec, "name")),
        .init = init,
        .sidecar = init && str_eq(json_find_str(spec, "restartPolicy"), "Always"),
        .stop_grace_ms = -1,
    };
    for (int i = 0; i < PROBE_KIND_COUNT; i++)
        probe_init(&c->probes[i], json_get(spec, probe_fields[i]));
}

void container_done(struct container *c)
{
    free(c->name);
    free(c->end.message);
    free(c->last.message);
    free(c->wait_message);
    free(c->unhealthy);
    free(c->image_id);
}

bool container_alive(const struct container *c)
{
    return c->phase == CONTAINER_STARTING || c->phase == CONTAINER_RUNNING;
}

bool container_started(const struct container *c)
{
    return c->phase == CONTAINER_RUNNING &&
           (!c->probes[PROBE_STARTUP].set || c->probes[PROBE_STARTUP].good);
}

bool container_ready(const struct container *c)
{
    return container_started(c) &&
           (!c->probes[PROBE_READINESS].set || c->probes[PROBE_READINESS].good);
}

/* ---- starts and ends ----------------------------------------------------------------------------------------------- */

static void clear_waiting(struct container *c)
{
    free(c->wait_message);
    c->wait_message = NULL;
    c->wait_reason = NULL;
    c->wait_failures = 0;
    c->retry_at = 0;
}

/* The end of an instance that is about to have a successor. */
static void shift_end(struct container *c)
{
    if (!c->end.set)
        return;
    free(c->last.message);
    c->last = c->end;
    c->end = (struct container_end){ 0 };
}

static bool backoff_expired(const struct container *c)
{
    return c->finished_mono - c->backoff_since > BACKOFF_RESET_MS * NS_PER_MS;
}

int64_t container_backoff_end(const struct container *c)
{
    if (c->backoff_ms == 0 || backoff_expired(c))
        return c->finished_mono;
    return c->finished_mono + c->backoff_ms * NS_PER_MS;
}

void container_set_starting(struct container *c, int64_t now_mono)
{
    if (c->has_run) {
        bool anew = c->backoff_ms == 0 || backoff_expired(c);
        c->backoff_ms = anew ? BACKOFF_FIRST_MS : MIN(c->backoff_ms * 2, BACKOFF_MAX_MS);
        c->backoff_since = now_mono;
        c->attempt++;
    }
    shift_end(c);
    clear_waiting(c);
    free(c->unhealthy);
    c->unhealthy = NULL;
    c->has_run = true;
    c->phase = CONTAINER_STARTING;
    c->stop_grace_ms = -1;
}

void container_set_running(struct container *c, int64_t started_wall_ns, int64_t now_mono)
{
    c->phase = CONTAINER_RUNNING;
    c->started_ns = started_wall_ns;
    c->started_mono = now_mono;
    for (int i = 0; i < PROBE_KIND_COUNT; i++) {
        struct probe *p = &c->probes[i];
        p->successes = 0;
        p->failures = 0;
        p->running = false;
        p->good = i == PROBE_LIVENESS;
        p->next_ns = now_mono + p->initial_delay_ms * NS_PER_MS;
    }
}

void container_set_exited(struct container *c, const struct container_end *end, int64_t now_mono)
{
    free(c->end.message);
    c->end = *end;
    c->end.set = true;
    c->end.attempt = c->attempt;
    c->phase = CONTAINER_EXITED;
    c->finished_mono = now_mono;
    c->stop_grace_ms = -1;
    free(c->unhealthy);
    c->unhealthy = NULL;
}

void container_set_waiting(struct container *c, const char *reason, const char *message,
                           int64_t first_ms, int64_t max_ms, int64_t now_mono)
{
    char *copy = mem_strdup(message);
    int64_t delay_ms = first_ms;
    for (unsigned i = 0; i < c->wait_failures && delay_ms < max_ms; i++)
        delay_ms *= 2;
    shift_end(c);
    free(c->wait_message);
    c->wait_message = copy;
    c->wait_reason = reason;
    c->wait_failures++;
    c->waiting_since = now_mono;
    c->retry_at = now_mono + MIN(delay_ms, max_ms) * NS_PER_MS;
    c->phase = CONTAINER_WAITING;
}

/* ---- probes -------------------------------------------------------------------------------------------------------- */

enum probe_effect probe_outcome(struct container *c, enum probe_kind kind, bool success,
                                int64_t now_mono)
{
    struct probe *p = &c->probes[kind];
    p->running = false;
    /* Periods are counted from when an attempt was due, unless it took longer than that. */
    p->next_ns = MAX(p->next_ns + p->period_ms * NS_PER_MS, now_mono);
    bool was_good = p->good;
    if (success) {
        p->failures = 0;
        p->successes++;
        if (p->successes >= p->success_threshold)
            p->good = true;
    } else {
        p->successes = 0;
        p->failures++;
        if (p->failures >= p->failure_threshold)
            p->good = false;
    }
    if (!success && kind != PROBE_READINESS && p->failures >= p->failure_threshold) {
        if (!c->unhealthy) {
            c->unhealthy = mem_printf("Container %s failed %s probe, will be restarted", c->name,
                                      kind == PROBE_STARTUP ? "startup" : "liveness");
            c->unhealthy_grace_ms = p->grace_ms;
        }
        return PROBE_KILL;
    }
    if (kind == PROBE_STARTUP && p->good && !was_good) {
        /* The other probes begin now; their initial delay counts from the container's start and may
         * be over. */
        for (int i = PROBE_LIVENESS; i < PROBE_KIND_COUNT; i++)
            c->probes[i].next_ns = MAX(c->probes[i].next_ns, now_mono);
    }
    return p->good != was_good ? PROBE_CHANGED : PROBE_NOTHING;
}

int64_t probe_next(const struct container *c, enum probe_kind *ret_kind)
{
    int64_t next = INT64_MAX;
    if (c->phase != CONTAINER_RUNNING || c->unhealthy)
        return next;
    bool started = container_started(c);
    for (int i = 0; i < PROBE_KIND_COUNT; i++) {
        const struct probe *p = &c->probes[i];
        if (!p->set || p->running || (i == PROBE_STARTUP) == started || p->next_ns >= next)
            continue;
        next = p->next_ns;
        *ret_kind = (enum probe_kind)i;
    }
    return next;
}
