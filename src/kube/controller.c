#include "kube/controller.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "metrics/metrics.h"

#define MAX_WORKERS 64

/* Where keys come from. */
struct source {
    struct controller *controller;
    char *owner_kind;       /* keys of owners of this kind; NULL: see map */
    controller_map_fn *map; /* NULL: keys of the objects themselves */
    void *ctx;
    struct source *next;
};

struct controller {
    char *name;
    unsigned workers;
    reconcile_fn *reconcile;
    void *ctx;
    struct workqueue *queue;
    struct source *sources;
    pthread_t threads[MAX_WORKERS];
    unsigned running;
    bool stopping; /* atomic */
};

/* ---- metrics ------------------------------------------------------------------------------------------------ */

static struct {
    struct metric *results, *errors, *seconds, *active, *max;
} metrics;

static void metrics_init(void)
{
    static const char *const by_controller[] = { "controller", NULL };
    static const char *const by_result[] = { "controller", "result", NULL };
    static const double buckets[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3,  0.35,
                                      0.4,   0.45, 0.5,   0.6,  0.7, 0.8,  0.9, 1,    1.25, 1.5,
                                      1.75,  2,    2.5,   3,    3.5, 4,    4.5, 5,    6,    7,
                                      8,     9,    10,    15,   20,  25,   30,  40,   50,   60 };
    metrics.results = metric_counter("controller_runtime_reconcile_total",
                                     "Reconciles per controller and result", by_result);
    metrics.errors = metric_counter("controller_runtime_reconcile_errors_total",
                                    "Reconciles that failed", by_controller);
    metrics.seconds =
        metric_histogram("controller_runtime_reconcile_time_seconds", "How long a reconcile takes",
                         by_controller, buckets, COUNT_OF(buckets));
    metrics.active = metric_gauge("controller_runtime_active_workers",
                                  "Workers that reconcile right now", by_controller);
    metrics.max = metric_gauge("controller_runtime_max_concurrent_reconciles",
                               "Workers of the controller", by_controller);
}

/* Families show from the start, as controller-runtime's do: a rate over them has a beginning. */
static void metrics_zero(const char *name)
{
    static const char *const results[] = { "error", "requeue", "requeue_after", "success" };
    for (size_t i = 0; i < COUNT_OF(results); i++)
        metric_add(metrics.results, 0, name, results[i]);
    metric_add(metrics.errors, 0, name);
    metric_add(metrics.active, 0, name);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

struct controller *controller_new(const struct controller_options *options)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, metrics_init);

    struct controller *c = NEW0(struct controller);
    c->name = mem_strdup(options->name ? options->name : "");
    c->workers = MIN(MAX(options->workers, 1u), (unsigned)MAX_WORKERS);
    c->reconcile = options->reconcile;
    c->ctx = options->ctx;
    c->queue =
        workqueue_new(&(struct workqueue_options){ .name = c->name, .clock = options->clock });
    metric_set(metrics.max, c->workers, c->name);
    metrics_zero(c->name);
    return c;
}

void controller_free(struct controller *c)
{
    if (!c)
        return;
    controller_stop(c);
    while (c->sources) {
        struct source *s = c->sources;
        c->sources = s->next;
        free(s->owner_kind);
        free(s);
    }
    workqueue_free(c->queue);
    free(c->name);
    free(c);
}

struct workqueue *controller_queue(struct controller *c)
{
    return c->queue;
}

/* ---- sources ------------------------------------------------------------------------------------------------ */

static void add_key(struct workqueue *q, const char *ns, const char *name)
{
    AUTO_ARENA a = arena_new();
    workqueue_add(q, kube_key(a, ns, name));
}

static void on_object(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct source *s = ctx;
    struct kube_object *o = new ? new : old;
    add_key(s->controller->queue, o->ns, o->name);
}

static void add_owner(const struct source *s, const struct kube_object *o)
{
    if (o && *o->controller_name && STREQ(o->controller_kind, s->owner_kind))
        add_key(s->controller->queue, o->ns, o->controller_name);
}

static void on_owned(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct source *s = ctx;
    /* A child that changes hands concerns both. The queue takes care of the same key twice. */
    if (!new || (old && !STREQ(old->controller_uid, new->controller_uid)))
        add_owner(s, old);
    add_owner(s, new);
}

static void on_mapped(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct source *s = ctx;
    s->map(s->ctx, s->controller->queue, old, new);
}

static struct source *add_source(struct controller *c)
{
    struct source *s = NEW0(struct source);
    s->controller = c;
    s->next = c->sources;
    c->sources = s;
    return s;
}

void controller_watch(struct controller *c, struct informer *i)
{
    informer_add_handler(i, on_object, add_source(c));
}

void controller_watch_owned(struct controller *c, struct informer *i, const char *owner_kind)
{
    struct source *s = add_source(c);
    s->owner_kind = mem_strdup(owner_kind);
    informer_add_handler(i, on_owned, s);
}

void controller_watch_mapped(struct controller *c, struct informer *i, controller_map_fn *map,
                             void *ctx)
{
    struct source *s = add_source(c);
    s->map = map;
    s->ctx = ctx;
    informer_add_handler(i, on_mapped, s);
}

/* ---- work --------------------------------------------------------------------------------------------------- */

static bool stopping(const struct controller *c)
{
    return __atomic_load_n(&c->stopping, __ATOMIC_ACQUIRE);
}

static void log_failure(struct controller *c, const char *key, const struct error *err)
{
    enum error_code code = error_code(err);
    if (code == ERROR_CANCELLED && stopping(c))
        return;
    /* Somebody else was faster: the next look at the cache will show it, nobody has to act. */
    bool ordinary = code == ERROR_CONFLICT;
    log_write(ordinary ? LOG_INFO : LOG_ERROR, "reconcile failed, will try again", "controller",
              c->name, "key", key, "error", error_message(err), NULL);
}

/* What becomes of the key, and the name of the result in the metrics. */
static const char *settle(struct controller *c, const char *key, int r,
                          const struct reconcile_result *result, const struct error *err)
{
    if (r < 0) {
        metric_add(metrics.errors, 1, c->name);
        workqueue_add_backoff_min(c->queue, key, error_retry_after_ms(err));
        log_failure(c, key, err);
        return "error";
    }
    workqueue_forget(c->queue, key);
    if (result->requeue_after_ms <= 0)
        return "success";
    workqueue_add_after(c->queue, key, result->requeue_after_ms);
    return "requeue_after";
}

/* Takes the key over. */
static void reconcile_one(struct controller *c, struct arena *a, char *key)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct reconcile_result result = { 0 };
    int64_t started = clock_mono(clock_system());
    metric_add(metrics.active, 1, c->name);
    int r = c->reconcile(c->ctx, key, a, &result, &err);
    metric_add(metrics.active, -1, c->name);
    metric_observe(metrics.seconds,
                   (double)(clock_mono(clock_system()) - started) / (double)NS_PER_S, c->name);
    metric_add(metrics.results, 1, c->name, settle(c, key, r, &result, err));
    workqueue_done(c->queue, key);
    arena_reset(a);
}

static void *worker(void *arg)
{
    struct controller *c = arg;
    AUTO_ARENA a = arena_new();
    char *key;
    while ((key = workqueue_get(c->queue)))
        reconcile_one(c, a, key);
    return NULL;
}

int controller_start(struct controller *c, struct error **err)
{
    while (c->running < c->workers) {
        int r = thread_start(&c->threads[c->running], c->name, worker, c, err);
        if (r < 0)
            return r;
        c->running++;
    }
    return 0;
}

void controller_stop(struct controller *c)
{
    __atomic_store_n(&c->stopping, true, __ATOMIC_RELEASE);
    workqueue_shutdown(c->queue);
    while (c->running > 0)
        thread_join(c->threads[--c->running]);
}

size_t controller_drain(struct controller *c)
{
    AUTO_ARENA a = arena_new();
    size_t count = 0;
    char *key;
    for (; (key = workqueue_try_get(c->queue)); count++)
        reconcile_one(c, a, key);
    return count;
}

bool controller_idle(struct controller *c, int64_t within_ms)
{
    return workqueue_idle(c->queue, within_ms);
}
