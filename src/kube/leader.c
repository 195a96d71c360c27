/* Two candidates never compare their clocks: a lease counts as expired when *this* process has seen
 * it unchanged for its whole duration. The holder, for its part, stops leading when it has not
 * managed to renew within the renew deadline, which is shorter, so that it has stopped before
 * anybody else starts. */
#include "kube/leader.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/client_internal.h"
#include "kube/meta.h"
#include "metrics/metrics.h"
#include "json/build.h"

#define RELEASE_TIMEOUT_MS 500
#define LONGEST_LEASE_S (365 * 24 * 3600)

struct leader {
    struct kube_client *client; /* its own: with short calls, and interrupted when it stops */
    struct kube_transport *transport;
    char *ns, *name, *identity;
    int64_t lease_ms, renew_deadline_ms, retry_ms;
    struct clock *clock;
    void (*on_started)(void *ctx);
    void (*on_stopped)(void *ctx);
    void *ctx;
    pthread_t thread;

    /* of the thread */
    char *seen; /* the spec as it was seen last, and since when */
    int64_t seen_ns;
    enum error_code logged;

    bool leads; /* atomic */
};

/* ---- the Lease ---------------------------------------------------------------------------------------------- */

static struct json *now_micro(struct leader *l, struct arena *a)
{
    char text[TIME_RFC3339_SIZE];
    time_format_rfc3339_micro(clock_wall(l->clock), text);
    return STR(text);
}

static int64_t lease_seconds(const struct leader *l)
{
    return MAX((l->lease_ms + 999) / 1000, (int64_t)1);
}

/* Notes what the Lease says, and since when it says so. */
static void look(struct leader *l, struct arena *a, const struct json *lease)
{
    const char *spec = json_text(a, json_get(lease, "spec"));
    if (str_eq(l->seen, spec))
        return;
    free(l->seen);
    l->seen = mem_strdup(spec);
    l->seen_ns = clock_mono(l->clock);
}

static bool held_by_another(struct leader *l, const struct json *lease)
{
    const char *holder = json_find_str(lease, "spec", "holderIdentity");
    if (str_empty(holder) || STREQ(holder, l->identity))
        return false;
    int64_t duration_s = MIN(json_find_int(lease, lease_seconds(l), "spec", "leaseDurationSeconds"),
                             (int64_t)LONGEST_LEASE_S);
    return clock_mono(l->clock) - l->seen_ns < duration_s * NS_PER_S;
}

static int create_lease(struct leader *l, struct arena *a, struct error **err)
{
    /* clang-format off */
    struct json *lease = OBJ("metadata", OBJ("name", STR(l->name), "namespace", STR(l->ns)),
                             "spec", OBJ("holderIdentity", STR(l->identity),
                                         "leaseDurationSeconds", INT(lease_seconds(l)),
                                         "acquireTime", now_micro(l, a),
                                         "renewTime", now_micro(l, a),
                                         "leaseTransitions", INT(0)));
    /* clang-format on */
    struct json *created = NULL;
    int r = kube_create(l->client, &KUBE_LEASES, l->ns, lease, a, &created, err);
    if (r == 0)
        look(l, a, created);
    return r;
}

/* 0: this process holds the Lease from now on. -ERROR_CONFLICT: another one does. */
static int acquire_or_renew(struct leader *l, struct error **err)
{
    AUTO_ARENA a = arena_new();
    struct json *lease = NULL;
    struct error *why = NULL;
    int r = kube_get(l->client, &KUBE_LEASES, l->ns, l->name, a, &lease, &why);
    if (r == -ERROR_NOT_FOUND) {
        error_free(why);
        return create_lease(l, a, err);
    }
    if (r < 0) {
        if (err)
            *err = why;
        return r;
    }
    look(l, a, lease);
    const char *holder = json_find_str(lease, "spec", "holderIdentity");
    if (held_by_another(l, lease))
        return error_set(err, ERROR_CONFLICT, "the lease %s/%s is held by %s", l->ns, l->name,
                         holder);

    struct json *spec = json_ensure_object(a, lease, "spec");
    if (!str_eq(holder, l->identity)) {
        json_set_int(a, spec, "leaseTransitions", json_find_int(spec, 0, "leaseTransitions") + 1);
        json_set(a, spec, "acquireTime", now_micro(l, a));
    }
    json_set_str(a, spec, "holderIdentity", l->identity);
    json_set_int(a, spec, "leaseDurationSeconds", lease_seconds(l));
    json_set(a, spec, "renewTime", now_micro(l, a));
    struct json *updated = NULL;
    r = kube_update(l->client, &KUBE_LEASES, lease, NULL, a, &updated, err);
    if (r == 0)
        look(l, a, updated);
    return r;
}

/* Gives the Lease back, so that the next one need not wait for it to expire. */
static void release(struct leader *l)
{
    AUTO_ARENA a = arena_new();
    struct kube_client *client =
        kube_client_new(l->transport, &(struct kube_client_options){
                                          .timeout_ms = RELEASE_TIMEOUT_MS, .no_retry = true });
    struct json *lease = NULL;
    struct error *err = NULL;
    int r = kube_get(client, &KUBE_LEASES, l->ns, l->name, a, &lease, &err);
    struct json *spec = json_get(lease, "spec");
    if (r == 0 && str_eq(json_find_str(spec, "holderIdentity"), l->identity)) {
        json_set_str(a, spec, "holderIdentity", "");
        json_set_int(a, spec, "leaseDurationSeconds", 1);
        json_set(a, spec, "acquireTime", now_micro(l, a));
        json_set(a, spec, "renewTime", now_micro(l, a));
        r = kube_update(client, &KUBE_LEASES, lease, NULL, a, NULL, &err);
    }
    if (r < 0)
        log_info("the lease could not be released, it will expire", "lease", l->name, "error",
                 error_message(err), NULL);
    error_free(err);
    kube_client_free(client);
}

/* ---- the thread --------------------------------------------------------------------------------------------- */

static bool stopping(struct leader *l)
{
    return kube_cancel_is_set(kube_client_cancel(l->client));
}

/* Candidates that were started together shall not ask together. */
static int64_t retry_ns(const struct leader *l)
{
    return (int64_t)((double)l->retry_ms * (1 + 0.2 * rand_unit()) * (double)NS_PER_MS);
}

static bool sleep_ns(struct leader *l, int64_t ns)
{
    return kube_cancel_sleep(kube_client_cancel(l->client), l->clock, ns);
}

static void log_failure(struct leader *l, const char *what, const struct error *err)
{
    if (error_code(err) == l->logged)
        return;
    l->logged = error_code(err);
    log_write(l->logged == ERROR_CONFLICT ? LOG_INFO : LOG_WARN, what, "lease", l->name, "identity",
              l->identity, "error", error_message(err), NULL);
}

static bool acquire(struct leader *l)
{
    while (!stopping(l)) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        if (acquire_or_renew(l, &err) == 0)
            return true;
        if (!stopping(l))
            log_failure(l, "does not lead yet", err);
        sleep_ns(l, retry_ns(l));
    }
    return false;
}

/* Until it stops (true) or the Lease could not be renewed in time (false). */
static bool renew(struct leader *l)
{
    const int64_t deadline = l->renew_deadline_ms * NS_PER_MS;
    int64_t renewed = clock_mono(l->clock);
    int64_t wait = retry_ns(l);
    while (sleep_ns(l, wait)) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        int64_t started = clock_mono(l->clock);
        /* Two calls, which together must not outlast the deadline. */
        kube_client_set_timeout(l->client,
                                MAX((renewed + deadline - started) / 2 / NS_PER_MS, (int64_t)1));
        int r = acquire_or_renew(l, &err);
        wait = retry_ns(l);
        if (r == 0) {
            renewed = started;
            l->logged = ERROR_OK;
            continue;
        }
        if (stopping(l))
            break;
        log_failure(l, "cannot renew the lease", err);
        int64_t left = renewed + deadline - clock_mono(l->clock);
        bool taken =
            r == -ERROR_CONFLICT && !error_reason(err); /* our own finding, not the server's */
        if (taken || left < l->retry_ms * NS_PER_MS / 8)
            return false;
        wait = MIN(wait, left / 2);
    }
    return true;
}

/* As controller-runtime says who leads. */
static void set_master_status(struct leader *l, bool leads)
{
    static const char *const by_name[] = { "name", NULL };
    struct metric *status = metric_gauge("leader_election_master_status",
                                         "1 while this process holds the lease, else 0", by_name);
    metric_set(status, leads ? 1 : 0, l->name);
    __atomic_store_n(&l->leads, leads, __ATOMIC_RELEASE);
}

static void *run(void *arg)
{
    struct leader *l = arg;
    set_master_status(l, false);
    if (!acquire(l))
        return NULL;
    log_info("leads", "lease", l->name, "identity", l->identity, NULL);
    l->logged = ERROR_OK;
    set_master_status(l, true);
    if (l->on_started)
        l->on_started(l->ctx);
    bool kept = renew(l);
    set_master_status(l, false);
    if (kept) {
        release(l);
    } else {
        log_error("leads no more", "lease", l->name, "identity", l->identity, NULL);
        if (l->on_stopped)
            l->on_stopped(l->ctx);
    }
    return NULL;
}

static void leader_free(struct leader *l)
{
    kube_client_free(l->client);
    free(l->seen);
    free(l->ns);
    free(l->name);
    free(l->identity);
    free(l);
}

int leader_start(struct kube_client *c, const struct leader_options *options, struct leader **ret,
                 struct error **err)
{
    struct leader *l = NEW0(struct leader);
    l->transport = kube_client_transport(c);
    l->ns = mem_strdup(options->ns);
    l->name = mem_strdup(options->name);
    l->identity = mem_strdup(options->identity);
    l->lease_ms = options->lease_ms > 0 ? options->lease_ms : 15000;
    l->renew_deadline_ms = options->renew_deadline_ms > 0 ? options->renew_deadline_ms : 10000;
    l->retry_ms = options->retry_ms > 0 ? options->retry_ms : 2000;
    l->clock = options->clock ? options->clock : clock_system();
    l->on_started = options->on_started;
    l->on_stopped = options->on_stopped;
    l->ctx = options->ctx;
    l->client =
        kube_client_new(l->transport, &(struct kube_client_options){
                                          .timeout_ms = l->renew_deadline_ms, .no_retry = true });
    int r = 0;
    if (l->retry_ms >= l->renew_deadline_ms || l->renew_deadline_ms >= l->lease_ms)
        r = error_set(
            err, ERROR_INVALID,
            "leader election: retry (%lld ms) < renew deadline (%lld ms) < lease (%lld ms) must hold",
            (long long)l->retry_ms, (long long)l->renew_deadline_ms, (long long)l->lease_ms);
    if (r == 0)
        r = thread_start(&l->thread, "leader", run, l, err);
    if (r < 0) {
        leader_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

bool leader_is(struct leader *l)
{
    return __atomic_load_n(&l->leads, __ATOMIC_ACQUIRE);
}

void leader_stop(struct leader *l)
{
    kube_client_interrupt(l->client, true);
    thread_join(l->thread);
    leader_free(l);
}
