#include "kube/events.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/client_internal.h"
#include "kube/event_correlator.h"
#include "kube/meta.h"
#include "json/build.h"

#define MAX_WAITING 1000
#define MAX_MESSAGE (4 * KIB)
#define MAX_NAME 253
#define FAREWELL_NS (2 * NS_PER_S)
#define MAX_TRIES 6
#define FIRST_PAUSE_MS 500
#define CALL_TIMEOUT_MS 10000

/* An occurrence on its way. One arena holds all of it. */
struct waiting {
    struct arena *arena;
    struct json *involved; /* the involvedObject */
    const char *ns;
    const char *component;
    struct event_occurrence occurrence;
    struct waiting *next;
};

struct event_recorder {
    struct kube_client *client;
    char *component, *host;
    struct clock *clock;
    pthread_t thread;
    bool has_thread;

    /* of the thread */
    struct event_correlator *correlator;
    int64_t last_name; /* names come from the clock, and must differ though it stands still */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct waiting *first, *last;
    size_t count;
    uint64_t dropped;
    bool stopping;
    bool finished; /* the thread has written all */
};

static void waiting_free(struct waiting *w)
{
    struct arena *a = w->arena;
    arena_free(a);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static struct json *time_value(struct arena *a, int64_t wall_ns)
{
    char text[TIME_RFC3339_SIZE];
    time_format_rfc3339(wall_ns, text);
    return STR(text);
}

static const char *shown_message(struct arena *a, const struct waiting *w,
                                 const struct event_decision *d)
{
    const char *message = w->occurrence.message;
    return d->combined ? arena_printf(a, "(combined from similar events): %s", message) : message;
}

static char *new_name(struct event_recorder *r, struct arena *a, const char *object_name)
{
    int64_t ns = clock_wall(r->clock);
    r->last_name = MAX(ns, r->last_name + 1);
    return arena_printf(a, "%.*s.%016llx", MAX_NAME - 17, object_name,
                        (unsigned long long)r->last_name);
}

static int create_event(struct event_recorder *r, struct arena *a, const struct waiting *w,
                        const struct event_decision *d, struct error **err)
{
    const struct event_occurrence *o = &w->occurrence;
    char *name = new_name(r, a, json_find_str(w->involved, "name"));
    /* clang-format off */
    struct json *event = OBJ(
        "metadata", OBJ("name", STR(name), "namespace", STR(w->ns)),
        "involvedObject", json_clone(a, w->involved),
        "reason", STR(o->reason),
        "message", STR(shown_message(a, w, d)),
        "source", OBJ("component", STR(w->component), "host", STR(r->host)),
        "firstTimestamp", time_value(a, d->first_ns),
        "lastTimestamp", time_value(a, o->wall_ns),
        "count", INT(d->count),
        "type", STR(o->type),
        "eventTime", NUL(),
        "reportingComponent", STR(w->component),
        "reportingInstance", STR(r->host ? r->host : ""));
    /* clang-format on */
    int rc = kube_create(r->client, &KUBE_EVENTS, w->ns, event, a, NULL, err);
    if (rc == 0)
        event_correlator_written(r->correlator, d->key, name);
    return rc;
}

static int write_event(struct event_recorder *r, const struct waiting *w,
                       const struct event_decision *d, struct error **err)
{
    AUTO_ARENA a = arena_new();
    if (!d->name)
        return create_event(r, a, w, d, err);
    struct json *patch =
        OBJ("count", INT(d->count), "lastTimestamp", time_value(a, w->occurrence.wall_ns),
            "message", d->combined ? STR(shown_message(a, w, d)) : NULL);
    struct error *why = NULL;
    int rc = kube_patch(r->client, &KUBE_EVENTS, w->ns, d->name, NULL, KUBE_PATCH_MERGE, patch, a,
                        NULL, &why);
    if (rc == -ERROR_NOT_FOUND) { /* its time to live is over */
        error_free(why);
        return create_event(r, a, w, d, err);
    }
    if (why)
        *err = why;
    return rc;
}

static bool may_pass(int rc)
{
    return rc == -ERROR_UNAVAILABLE || rc == -ERROR_TIMEOUT || rc == -ERROR_TOO_MANY ||
           rc == -ERROR_INTERNAL;
}

/* false: it is being stopped, and nobody waits for a better moment. */
static bool pause_before_retry(struct event_recorder *r, int64_t ms)
{
    int64_t until = clock_mono(clock_system()) + ms * NS_PER_MS;
    LOCK(&r->lock);
    while (!r->stopping && cond_wait_until(&r->changed, &r->lock, until))
        ;
    return !r->stopping;
}

static void handle(struct event_recorder *r, const struct waiting *w)
{
    struct event_decision d;
    event_correlate(r->correlator, &w->occurrence, &d);
    if (d.drop)
        return;
    for (unsigned attempt = 0;; attempt++) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        int rc = write_event(r, w, &d, &err);
        if (rc == 0 || rc == -ERROR_CANCELLED)
            return;
        bool again = (may_pass(rc) || rc == -ERROR_ALREADY_EXISTS) && attempt + 1 < MAX_TRIES;
        int64_t pause_ms = rc == -ERROR_ALREADY_EXISTS
                               ? 0
                               : MAX((int64_t)FIRST_PAUSE_MS << attempt, error_retry_after_ms(err));
        if (!again || !pause_before_retry(r, pause_ms)) {
            log_warn("an event was not written", "namespace", w->ns, "reason", w->occurrence.reason,
                     "message", w->occurrence.message, "error", error_message(err), NULL);
            return;
        }
    }
}

static struct waiting *next(struct event_recorder *r)
{
    LOCK(&r->lock);
    while (!r->first && !r->stopping)
        pthread_cond_wait(&r->changed, &r->lock);
    struct waiting *w = r->first;
    if (kube_cancel_is_set(kube_client_cancel(r->client)))
        return NULL; /* the farewell is over */
    if (w) {
        r->first = w->next;
        if (!r->first)
            r->last = NULL;
        r->count--;
    }
    return w;
}

static void *run(void *arg)
{
    struct event_recorder *r = arg;
    struct waiting *w;
    while ((w = next(r))) {
        handle(r, w);
        waiting_free(w);
    }
    LOCK(&r->lock);
    r->finished = true;
    pthread_cond_broadcast(&r->changed);
    return NULL;
}

/* ---- recording ---------------------------------------------------------------------------------------------- */

struct event_recorder *event_recorder_new(struct kube_client *c, const char *component,
                                          const char *host, struct clock *clock)
{
    struct event_recorder *r = NEW0(struct event_recorder);
    r->client = kube_client_new(kube_client_transport(c),
                                &(struct kube_client_options){ .timeout_ms = CALL_TIMEOUT_MS,
                                                               .no_retry = true });
    r->component = mem_strdup(component);
    r->host = str_empty(host) ? NULL : mem_strdup(host);
    r->clock = clock ? clock : clock_system();
    r->correlator = event_correlator_new();
    pthread_mutex_init(&r->lock, NULL);
    cond_init_monotonic(&r->changed);
    struct error *err = NULL;
    r->has_thread = thread_start(&r->thread, "events", run, r, &err) == 0;
    if (!r->has_thread)
        log_error("events will not be written", "error", error_message(err), NULL);
    error_free(err);
    return r;
}

/* The message, cut at the maximum between two characters. */
ATTR_PRINTF(2, 0)
static char *formatted(struct arena *a, const char *fmt, va_list ap)
{
    char *text = arena_vprintf(a, fmt, ap);
    size_t len = strlen(text);
    if (len > MAX_MESSAGE) {
        text[str_utf8_valid_len(text, MAX_MESSAGE)] = '\0';
        text = arena_printf(a, "%s…", text);
    }
    return text;
}

ATTR_PRINTF(6, 0)
static struct waiting *waiting_new(struct event_recorder *r, const char *component,
                                   const struct json *about, const char *type, const char *reason,
                                   const char *fmt, va_list ap)
{
    struct arena *a = arena_new();
    struct waiting *w = arena_zalloc(a, sizeof(*w));
    const char *ns = meta_namespace(about);
    const char *version = meta_resource_version(about);
    w->arena = a;
    w->ns = arena_strdup(a, *ns ? ns : "default");
    w->component = arena_strdup(a, component ? component : r->component);
    /* clang-format off */
    w->involved = OBJ("kind", STR(json_find_str(about, "kind")),
                      "namespace", *ns ? STR(ns) : NULL,
                      "name", STR(meta_name(about)),
                      "uid", *meta_uid(about) ? STR(meta_uid(about)) : NULL,
                      "apiVersion", STR(json_find_str(about, "apiVersion")),
                      "resourceVersion", *version ? STR(version) : NULL);
    /* clang-format on */
    const char *kind = json_find_str(about, "kind");
    w->occurrence = (struct event_occurrence){
        .object = arena_printf(a, "%s\n%s\n%s\n%s\n%s", kind ? kind : "", ns, meta_name(about),
                               meta_uid(about), w->component),
        .type = arena_strdup(a, type),
        .reason = arena_strdup(a, reason),
        .message = formatted(a, fmt, ap),
        .wall_ns = clock_wall(r->clock),
    };
    return w;
}

static void enqueue(struct event_recorder *r, struct waiting *w)
{
    LOCK(&r->lock);
    if (r->count >= MAX_WAITING || r->stopping || !r->has_thread) {
        if (r->dropped++ % MAX_WAITING == 0)
            log_warn("events are dropped, too many wait to be written", "reason",
                     w->occurrence.reason, NULL);
        waiting_free(w);
        return;
    }
    if (r->last)
        r->last->next = w;
    else
        r->first = w;
    r->last = w;
    r->count++;
    pthread_cond_broadcast(&r->changed);
}

void event_record(struct event_recorder *r, const struct json *about, const char *type,
                  const char *reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct waiting *w = waiting_new(r, NULL, about, type, reason, fmt, ap);
    va_end(ap);
    enqueue(r, w);
}

void event_record_as(struct event_recorder *r, const char *component, const struct json *about,
                     const char *type, const char *reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct waiting *w = waiting_new(r, component, about, type, reason, fmt, ap);
    va_end(ap);
    enqueue(r, w);
}

void event_recorder_free(struct event_recorder *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->changed);
    int64_t until = clock_mono(clock_system()) + FAREWELL_NS;
    while (r->has_thread && !r->finished)
        if (!cond_wait_until(&r->changed, &r->lock, until))
            break;
    pthread_mutex_unlock(&r->lock);
    kube_client_interrupt(r->client, true);
    if (r->has_thread)
        thread_join(r->thread);
    while (r->first) {
        struct waiting *w = r->first;
        r->first = w->next;
        waiting_free(w);
    }
    event_correlator_free(r->correlator);
    kube_client_free(r->client);
    free(r->component);
    free(r->host);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
