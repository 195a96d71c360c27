/* A pod as the kubelet sees it, and the kubelet's decisions: from the pod's spec, what its
 * containers do, what probes found and the time, to what has to be done and the status. Pure: no
 * I/O, no clock; kubelet.c carries it out. The rules and words are the kubelet's (Kubernetes 1.32).
 */
#pragma once

#include "json/json.h"

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KIND_COUNT };

struct probe {
    bool set; /* the container has it */
    int64_t initial_delay_ms;
    int64_t period_ms;
    int64_t timeout_ms;
    unsigned success_threshold;
    unsigned failure_threshold;
    int64_t grace_ms; /* of the kill that it may cause; -1: the pod's */
    /* what was found */
    unsigned successes; /* in a row */
    unsigned failures;
    bool good;       /* the verdict, after thresholds */
    bool running;    /* an attempt is under way */
    int64_t next_ns; /* mono: when the next attempt is due */
};

enum container_phase {
    CONTAINER_WAITING,  /* has not been started, or could not be */
    CONTAINER_STARTING, /* its shim is on its way */
    CONTAINER_RUNNING,
    CONTAINER_EXITED,
};

struct container_end {
    bool set;
    unsigned attempt;
    int exit_code;
    bool oom_killed;
    bool start_error; /* never ran: message says why */
    bool lost;
    char *message;      /* owned; NULL: none */
    int64_t started_ns; /* wall */
    int64_t finished_ns;
};

struct container {
    char *name;
    bool init;
    bool sidecar; /* init container with restartPolicy Always */
    enum container_phase phase;
    unsigned attempt;   /* number of the instance that is or was the newest; counts restarts */
    bool has_run;       /* there is such an instance */
    int64_t started_ns; /* wall, of the newest instance */
    int64_t started_mono;
    int64_t finished_mono;
    struct container_end end;  /* of the newest instance, when EXITED */
    struct container_end last; /* of the one before */

    const char *wait_reason; /* static text; NULL: the usual one of the state of the pod */
    char *wait_message;      /* owned */
    unsigned wait_failures;  /* in a row */
    int64_t waiting_since;   /* mono, of the last failure */
    int64_t retry_at;        /* mono */

    int64_t backoff_ms;    /* 0: no restart so far */
    int64_t backoff_since; /* mono, of the last restart */

    int64_t stop_grace_ms;      /* of the stop that is under way; -1: none */
    char *unhealthy;            /* owned; a probe wants it killed and this is why; NULL: none */
    int64_t unhealthy_grace_ms; /* -1: the pod's */

    struct probe probes[PROBE_KIND_COUNT];
    char *image_id; /* owned; NULL until it was resolved */
    void *process;  /* the kubelet's */
};

#define BACKOFF_FIRST_MS INT64_C(10000)
#define BACKOFF_MAX_MS INT64_C(300000)
#define BACKOFF_RESET_MS (2 * BACKOFF_MAX_MS)

/* Reads names, kinds and probes of a container's spec; everything else is zero. */
void container_init(struct container *c, const struct json *spec, bool init);
void container_done(struct container *c);
bool container_alive(const struct container *c); /* STARTING or RUNNING */
bool container_started(
    const struct container *c); /* running, and its startup probe (if any) has succeeded */
bool container_ready(const struct container *c);

/* ---- changes of state ---------------------------------------------------------------------------------------------- */

/* A new instance is being started: the old end becomes the last one, back-off grows, probes start
 * anew. */
void container_set_starting(struct container *c, int64_t now_mono);
void container_set_running(struct container *c, int64_t started_wall_ns, int64_t now_mono);
/* Takes end.message over. */
void container_set_exited(struct container *c, const struct container_end *end, int64_t now_mono);
/* It could not be created: reason is static text. Retries back off from first_ms to max_ms. */
void container_set_waiting(struct container *c, const char *reason, const char *message,
                           int64_t first_ms, int64_t max_ms, int64_t now_mono);

/* Takes the outcome of one probe attempt in; returns what it means for the pod. */
enum probe_effect { PROBE_NOTHING, PROBE_CHANGED, PROBE_KILL };
enum probe_effect probe_outcome(struct container *c, enum probe_kind kind, bool success,
                                int64_t now_mono);
/* The next moment at which a probe of a running container is due (mono); INT64_MAX: none.
 * *ret_kind: which. */
int64_t probe_next(const struct container *c, enum probe_kind *ret_kind);

/* ---- decision ------------------------------------------------------------------------------------------------------ */

/* A field in seconds, as milliseconds, between 0 and a lifetime, so that sums of it stay in range.
 */
int64_t seconds_ms(const struct json *v, int64_t otherwise_s);
/* terminationGracePeriodSeconds of a pod. */
int64_t pod_spec_grace_ms(const struct json *pod);

struct pod_view {
    const struct json *pod;       /* spec and newest known status */
    struct container *containers; /* init containers first; read only */
    size_t count;
    bool gone;                 /* no longer in the API: end everything */
    const char *volumes_error; /* NULL: fine or not tried */
    const char *ip;            /* NULL: none yet */
    const char *host_ip;
    int64_t start_time_ns; /* wall: when this node first saw it */
    int64_t now_wall;
    int64_t now_mono;
};

struct pod_action {
    enum { POD_START, POD_STOP } what;
    size_t index;
    int64_t grace_ms; /* POD_STOP */
    const char
        *message; /* of the Killing event; NULL: none (a stop that is only brought forward) */
};

struct pod_plan {
    struct pod_action *actions;
    size_t action_count;
    bool finished;       /* being deleted, and nothing runs: the object can go */
    int64_t wake_at;     /* mono: decide again then; INT64_MAX: only when something happens */
    struct json *status; /* the whole status object */
    bool terminal;       /* Succeeded or Failed: nothing will be started any more */
};

void pod_decide(struct arena *a, const struct pod_view *v, struct pod_plan *ret);

/* ---- for pod.c and pod_status.c ------------------------------------------------------------------------------------ */

struct json *pod_status(struct arena *a, const struct pod_view *v, const char *phase);
const char *pod_phase(const struct pod_view *v, bool terminating);
bool pod_initialized(const struct pod_view *v);
bool container_will_restart(const struct pod_view *v, const struct container *c);
/* When the back-off of an exited container ends (mono); in the past: it may start. */
int64_t container_backoff_end(const struct container *c);
