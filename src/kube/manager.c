/* The manager starts what the controllers stand on, in the order in which they lean on each other,
 * and takes it down the other way round. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/server.h"
#include "kube/controller.h"
#include "kube/leader.h"
#include "metrics/metrics.h"

#define DEFAULT_SYNC_MS 120000
#define LOOK_MS 50
#define MAX_METRICS (16 * MIB)
#define SERVER_GRACE_MS 100

struct manager {
    struct kube_client *client;
    struct clock *clock;
    char *health_address, *metrics_address;
    bool elects;
    struct leader_options leader_options;
    int64_t sync_timeout_ms;
    bool (*ready)(void *ctx, char *why, size_t why_size);
    void *ready_ctx;

    struct informer **informers;
    size_t informer_count;
    struct informer **shared; /* of them, those that anyone may use */
    size_t shared_count;
    struct controller **controllers;
    size_t controller_count;
    struct http_server *health, *metrics;
    struct leader *leader;

    pthread_mutex_t lock; /* of the flags, and held while controllers are started */
    pthread_cond_t changed;
    bool starting; /* manager_start() is under way */
    bool stopping;
    bool synced;
    bool lost;
};

struct manager *manager_new(const struct manager_options *options)
{
    struct manager *m = NEW0(struct manager);
    m->client = options->client;
    m->clock = options->clock ? options->clock : clock_system();
    m->health_address = mem_strdup(options->health_address);
    m->metrics_address = mem_strdup(options->metrics_address);
    m->elects = options->leader;
    if (options->leader)
        m->leader_options = *options->leader;
    m->sync_timeout_ms = options->sync_timeout_ms > 0 ? options->sync_timeout_ms : DEFAULT_SYNC_MS;
    m->ready = options->ready;
    m->ready_ctx = options->ready_ctx;
    pthread_mutex_init(&m->lock, NULL);
    cond_init_monotonic(&m->changed);
    return m;
}

/* Room for one more pointer. */
static void *grown(void *array, size_t count)
{
    return (count & (count - 1)) == 0 ? mem_array(array, count ? count * 2 : 1, sizeof(void *))
                                      : array;
}

struct informer *manager_informer(struct manager *m, const struct kube_resource *r,
                                  const struct informer_options *options)
{
    m->informers = grown(m->informers, m->informer_count);
    struct informer *i = informer_new(m->client, r, options);
    m->informers[m->informer_count++] = i;
    if (options && options->shared) {
        m->shared = grown(m->shared, m->shared_count);
        m->shared[m->shared_count++] = i;
    }
    return i;
}

struct informer *manager_shared(struct manager *m, const struct kube_resource *r)
{
    for (size_t n = 0; n < m->shared_count; n++)
        if (informer_resource(m->shared[n]) == r)
            return m->shared[n];
    return NULL;
}

void manager_add(struct manager *m, struct controller *c)
{
    m->controllers = grown(m->controllers, m->controller_count);
    m->controllers[m->controller_count++] = c;
}

/* ---- probes and metrics ------------------------------------------------------------------------------------- */

static bool flag(struct manager *m, const bool *f)
{
    LOCK(&m->lock);
    return *f;
}

static void on_probe(struct http_exchange *x, void *ctx)
{
    struct manager *m = ctx;
    char why[512] = "not ready";
    if (STREQ(http_path(x), "/healthz"))
        http_reply_text(x, 200, "ok");
    else if (!STREQ(http_path(x), "/readyz"))
        http_reply_text(x, 404, "not found");
    else if (!flag(m, &m->synced))
        http_reply_text(x, 500, "caches are not synced yet");
    else if (m->ready && !m->ready(m->ready_ctx, why, sizeof why))
        http_reply_text(x, 500, why);
    else
        http_reply_text(x, 200, "ok");
}

static void on_metrics(struct http_exchange *x, void *ctx)
{
    if (!STREQ(http_path(x), "/metrics")) {
        http_reply_text(x, 404, "not found");
        return;
    }
    AUTO_BUF text = BUF_INIT(MAX_METRICS);
    metrics_write(&text);
    http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text), text.len);
}

/* ":8080", "127.0.0.1:8080", "[::1]:8080"; "" and "0" are none, as in the flags of other operators.
 */
static int serve(const char *name, const char *where,
                 void (*handler)(struct http_exchange *x, void *ctx), void *ctx,
                 struct http_server **ret, struct error **err)
{
    if (str_empty(where) || STREQ(where, "0"))
        return 0;
    AUTO_ARENA a = arena_new();
    const char *colon = strrchr(where, ':');
    uint64_t port = 0;
    if (!colon || str_to_uint64(colon + 1, &port) < 0 || port > UINT16_MAX)
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is not an address to listen on; write HOST:PORT or :PORT", where);
    char *host = arena_strndup(a, where, (size_t)(colon - where));
    size_t len = strlen(host);
    if (len > 1 && host[0] == '[' && host[len - 1] == ']')
        host = arena_strndup(a, host + 1, len - 2);
    bool any = *host == '\0';
    struct http_server_options options = {
        .name = name,
        .address = any ? "::" : host,
        .port = (uint16_t)port,
        .threads = 1,
        .handler = handler,
        .ctx = ctx,
    };
    struct error *why = NULL;
    int r = http_server_start(&options, ret, &why);
    if (r < 0 && any && r != -ERROR_CONFLICT &&
        r != -ERROR_FORBIDDEN) { /* a machine without IPv6 */
        error_free(TAKE_PTR(why));
        options.address = "0.0.0.0";
        r = http_server_start(&options, ret, &why);
    }
    if (r == 0)
        return 0;
    r = error_set(err, (enum error_code) - r, "%s: %s", name, error_message(why));
    error_free(why);
    return r;
}

uint16_t manager_health_port(struct manager *m)
{
    return m->health ? http_server_port(m->health) : 0;
}

uint16_t manager_metrics_port(struct manager *m)
{
    return m->metrics ? http_server_port(m->metrics) : 0;
}

/* ---- start -------------------------------------------------------------------------------------------------- */

static int cancelled(struct error **err)
{
    return error_set(err, ERROR_CANCELLED, "stopped before the start was complete");
}

static int wait_synced(struct manager *m, struct informer *i, int64_t until, struct error **err)
{
    for (;;) {
        int64_t left_ms = (until - clock_mono(clock_system())) / NS_PER_MS;
        CLEANUP(error_cleanup) struct error *why = NULL;
        int r = informer_wait_synced(i, MIN(MAX(left_ms, INT64_C(0)), (int64_t)LOOK_MS), &why);
        if (r == 0)
            return 0;
        if (flag(m, &m->stopping))
            return cancelled(err);
        if (left_ms <= 0)
            return error_set(err, (enum error_code) - r, "%s", error_message(why));
    }
}

static int start_informers(struct manager *m, struct error **err)
{
    for (size_t n = 0; n < m->informer_count; n++) {
        int r = informer_start(m->informers[n], err);
        if (r < 0)
            return r;
    }
    int64_t until = clock_mono(clock_system()) + m->sync_timeout_ms * NS_PER_MS;
    for (size_t n = 0; n < m->informer_count; n++) {
        int r = wait_synced(m, m->informers[n], until, err);
        if (r < 0)
            return r;
    }
    LOCK(&m->lock);
    m->synced = true;
    return 0;
}

static int start_controllers(struct manager *m, struct error **err)
{
    LOCK(&m->lock);
    if (m->stopping)
        return cancelled(err);
    for (size_t n = 0; n < m->controller_count; n++) {
        int r = controller_start(m->controllers[n], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static void on_leading(void *ctx)
{
    struct manager *m = ctx;
    if (m->leader_options.on_started)
        m->leader_options.on_started(m->leader_options.ctx);
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r = start_controllers(m, &err);
    if (r < 0 && r != -ERROR_CANCELLED) {
        log_error("cannot lead", "error", error_message(err), NULL);
        LOCK(&m->lock);
        m->lost = true;
    }
}

static void on_lost(void *ctx)
{
    struct manager *m = ctx;
    {
        LOCK(&m->lock);
        m->lost = true;
        for (size_t n = 0; n < m->controller_count; n++)
            workqueue_shutdown(controller_queue(m->controllers[n]));
    }
    /* Another one leads from now on: what is on its way must not arrive after its writes. */
    kube_client_interrupt(m->client, true);
    if (m->leader_options.on_stopped)
        m->leader_options.on_stopped(m->leader_options.ctx);
}

static int start_election(struct manager *m, struct error **err)
{
    struct leader_options options = m->leader_options;
    options.clock = options.clock ? options.clock : m->clock;
    options.on_started = on_leading;
    options.on_stopped = on_lost;
    options.ctx = m;
    return leader_start(m->client, &options, &m->leader, err);
}

static int start_all(struct manager *m, struct error **err)
{
    int r = serve("health probes", m->health_address, on_probe, m, &m->health, err);
    if (r == 0)
        r = serve("metrics", m->metrics_address, on_metrics, m, &m->metrics, err);
    if (r == 0)
        r = start_informers(m, err);
    if (r == 0)
        r = m->elects ? start_election(m, err) : start_controllers(m, err);
    return r;
}

int manager_start(struct manager *m, struct error **err)
{
    {
        LOCK(&m->lock);
        if (m->stopping)
            return cancelled(err);
        m->starting = true;
    }
    int r = start_all(m, err);
    LOCK(&m->lock);
    m->starting = false;
    pthread_cond_broadcast(&m->changed);
    return r;
}

bool manager_lost_lead(struct manager *m)
{
    return flag(m, &m->lost);
}

/* ---- stop --------------------------------------------------------------------------------------------------- */

void manager_stop(struct manager *m)
{
    {
        LOCK(&m->lock);
        if (m->stopping)
            return;
        m->stopping = true;
        while (m->starting)
            pthread_cond_wait(&m->changed, &m->lock);
        for (size_t n = 0; n < m->controller_count; n++)
            workqueue_shutdown(controller_queue(m->controllers[n]));
    }
    kube_client_interrupt(m->client, true);
    for (size_t n = m->controller_count; n > 0; n--)
        controller_stop(m->controllers[n - 1]);
    kube_client_interrupt(m->client, false);
    if (m->leader)
        leader_stop(TAKE_PTR(m->leader));
    for (size_t n = m->informer_count; n > 0; n--)
        informer_stop(m->informers[n - 1]);
    if (m->metrics)
        http_server_stop(TAKE_PTR(m->metrics), SERVER_GRACE_MS);
    if (m->health)
        http_server_stop(TAKE_PTR(m->health), SERVER_GRACE_MS);
}

void manager_free(struct manager *m)
{
    if (!m)
        return;
    manager_stop(m);
    for (size_t n = 0; n < m->informer_count; n++)
        informer_free(m->informers[n]);
    for (size_t n = 0; n < m->controller_count; n++)
        controller_free(m->controllers[n]);
    free(m->informers);
    free(m->shared);
    free(m->controllers);
    free(m->health_address);
    free(m->metrics_address);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
