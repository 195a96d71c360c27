/* Requests over HTTP. A call is a stream too, collected here: so it can be ended from outside while
 * it waits. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/client.h"
#include "kube/config.h"
#include "kube/credentials.h"
#include "metrics/metrics.h"

#define MAX_BODY (64 * MIB)
#define MAX_RETRY_AFTER_S 3600
#define DEFAULT_TIMEOUT_MS 30000

struct http_transport {
    struct kube_transport transport; /* first */
    struct kube_config *config;
    struct kube_credentials *credentials;
    struct http_client *client;
    char *host; /* for metrics */
};

static struct metric *requests_metric;

static void metrics_init(void)
{
    static const char *const labels[] = { "code", "method", "host", NULL };
    requests_metric =
        metric_counter("rest_client_requests_total",
                       "Requests to the API server, per status code, method and host", labels);
}

/* status 0: there was no answer. */
static void count_request(const struct http_transport *t, const char *method, int status)
{
    char code[16] = "<error>";
    if (status > 0)
        snprintf(code, sizeof(code), "%d", status);
    metric_add(requests_metric, 1, code, method, t->host);
}

/* ---- making the HTTP request -------------------------------------------------------------------------------- */

/* All that a request needs; in the arena. */
struct prepared {
    struct http_request http;
    struct http_header headers[3];
    struct http_tls tls;
};

static int prepare(struct http_transport *t, struct arena *a, const struct kube_request *request,
                   struct prepared *p, struct error **err)
{
    struct kube_credential credential;
    int r = kube_credentials_get(t->credentials, a, request->cancel, &credential, err);
    if (r < 0)
        return r;
    *p = (struct prepared){
        .tls = {
            .ca_pem = t->config->ca_pem,
            .cert_pem = credential.cert_pem,
            .key_pem = credential.key_pem,
            .server_name = t->config->tls_server_name,
            .insecure = t->config->insecure,
        },
        .http = {
            .method = request->method,
            .url = arena_printf(a, "%s%s", t->config->server, request->path),
            .headers = p->headers,
            .body = request->body,
            .body_len = request->body ? request->body_len : 0,
            .tls = &p->tls,
            .proxy = t->config->proxy,
        },
    };
    const char *type = request->content_type ? request->content_type : "application/json";
    p->headers[p->http.header_count++] =
        (struct http_header){ "Accept", request->accept ? request->accept : "application/json" };
    if (p->http.body_len > 0)
        p->headers[p->http.header_count++] = (struct http_header){ "Content-Type", type };
    if (credential.authorization)
        p->headers[p->http.header_count++] =
            (struct http_header){ "Authorization", credential.authorization };
    return 0;
}

static void look_at_status(struct http_transport *t, int status)
{
    if (status == 401)
        kube_credentials_rejected(t->credentials);
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

struct pending_call {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct kube_response response;
    struct error *error;
    bool done;
    bool cancelled;
};

/* Seconds; the API server sends no dates. */
static int64_t retry_after_ms(const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t seconds;
        if (str_case_eq(headers[i].name, "retry-after") &&
            str_to_int64(headers[i].value, &seconds) == 0 && seconds > 0)
            return MIN(seconds, (int64_t)MAX_RETRY_AFTER_S) * 1000;
    }
    return 0;
}

static void call_on_response(void *ctx, int status, const struct http_header *headers,
                             size_t header_count)
{
    struct pending_call *p = ctx;
    p->response.status = status;
    p->response.retry_after_ms = retry_after_ms(headers, header_count);
}

static bool call_on_data(void *ctx, const char *data, size_t len)
{
    struct pending_call *p = ctx;
    buf_append(&p->response.body, data, len);
    return buf_ok(&p->response.body);
}

static void call_on_end(void *ctx, const struct error *err)
{
    struct pending_call *p = ctx;
    LOCK(&p->lock);
    if (!buf_ok(&p->response.body)) {
        error_set(&p->error, ERROR_TOO_LARGE, "the answer is larger than %zu MiB",
                  (size_t)(MAX_BODY / MIB));
    } else if (err) {
        error_set(&p->error, error_code(err), "%s", error_message(err));
        if (error_code(err) == ERROR_UNAVAILABLE && str_has_suffix(error_message(err), " refused"))
            error_set_reason(p->error, KUBE_REASON_REFUSED);
    }
    p->done = true;
    pthread_cond_signal(&p->changed);
}

static void call_cancel(void *ctx)
{
    struct pending_call *p = ctx;
    LOCK(&p->lock);
    p->cancelled = true;
    pthread_cond_signal(&p->changed);
}

/* Until the end or until it is cancelled. */
static int call_wait(struct pending_call *p, struct http_stream *stream, struct kube_cancel *cancel,
                     struct error **err)
{
    struct kube_cancel_hook hook = { .fire = call_cancel, .ctx = p };
    if (cancel)
        kube_cancel_hook(cancel, &hook);
    pthread_mutex_lock(&p->lock);
    while (!p->done && !p->cancelled)
        pthread_cond_wait(&p->changed, &p->lock);
    bool done = p->done;
    pthread_mutex_unlock(&p->lock);
    if (cancel)
        kube_cancel_unhook(cancel, &hook);
    http_stream_close(stream);
    if (!done)
        return error_set(err, ERROR_CANCELLED, "the call was interrupted because its caller stops");
    if (!p->error)
        return 0;
    int r = -(int)error_code(p->error);
    if (err)
        *err = TAKE_PTR(p->error);
    return r;
}

static int transport_call(struct kube_transport *transport, const struct kube_request *request,
                          struct kube_response *ret, struct error **err)
{
    struct http_transport *t = (struct http_transport *)transport;
    AUTO_ARENA a = arena_new();
    struct prepared prepared;
    int r = prepare(t, a, request, &prepared, err);
    if (r < 0)
        return r;
    prepared.http.timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS;

    struct pending_call p = { .response.body = BUF_INIT(MAX_BODY) };
    pthread_mutex_init(&p.lock, NULL);
    cond_init_monotonic(&p.changed);
    struct http_stream_handler handler = { call_on_response, call_on_data, call_on_end, &p };
    struct http_stream *stream = NULL;
    r = http_stream_open(t->client, &prepared.http, &handler, &stream, err);
    if (r == 0)
        r = call_wait(&p, stream, request->cancel, err);
    if (r == 0) {
        look_at_status(t, p.response.status);
        *ret = p.response;
    } else {
        buf_done(&p.response.body);
    }
    count_request(t, request->method, r == 0 ? p.response.status : 0);
    error_free(p.error);
    pthread_cond_destroy(&p.changed);
    pthread_mutex_destroy(&p.lock);
    return r;
}

/* ---- streams ------------------------------------------------------------------------------------------------ */

struct transport_stream {
    struct kube_stream stream; /* first */
    struct http_transport *transport;
    struct kube_stream_handler handler;
    struct http_stream *http;
    bool answered;
};

static void stream_on_response(void *ctx, int status, const struct http_header *headers,
                               size_t header_count)
{
    struct transport_stream *s = ctx;
    s->answered = true;
    look_at_status(s->transport, status);
    count_request(s->transport, "GET", status);
    if (s->handler.on_status)
        s->handler.on_status(s->handler.ctx, status);
}

static bool stream_on_data(void *ctx, const char *data, size_t len)
{
    struct transport_stream *s = ctx;
    return s->handler.on_data(s->handler.ctx, data, len);
}

static void stream_on_end(void *ctx, const struct error *err)
{
    struct transport_stream *s = ctx;
    if (!s->answered)
        count_request(s->transport, "GET", 0);
    s->handler.on_end(s->handler.ctx, err);
}

static int transport_stream(struct kube_transport *transport, const struct kube_request *request,
                            const struct kube_stream_handler *handler, struct kube_stream **ret,
                            struct error **err)
{
    struct http_transport *t = (struct http_transport *)transport;
    AUTO_ARENA a = arena_new();
    struct prepared prepared;
    int r = prepare(t, a, request, &prepared, err);
    if (r < 0)
        return r;
    prepared.http.idle_timeout_ms = request->idle_timeout_ms;
    struct transport_stream *s = NEW0(struct transport_stream);
    s->stream.ops = t->transport.ops;
    s->transport = t;
    s->handler = *handler;
    struct http_stream_handler http_handler = { stream_on_response, stream_on_data, stream_on_end,
                                                s };
    r = http_stream_open(t->client, &prepared.http, &http_handler, &s->http, err);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = &s->stream;
    return 0;
}

static void transport_stream_close(struct kube_stream *stream)
{
    struct transport_stream *s = (struct transport_stream *)stream;
    http_stream_close(s->http);
    free(s);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void transport_free(struct kube_transport *transport)
{
    struct http_transport *t = (struct http_transport *)transport;
    http_client_free(t->client); /* first: its connections refer to the certificates */
    kube_credentials_free(t->credentials);
    kube_config_free(t->config);
    free(t->host);
    free(t);
}

static const struct kube_transport_ops http_transport_ops = {
    .call = transport_call,
    .stream = transport_stream,
    .stream_close = transport_stream_close,
    .free = transport_free,
};

int kube_http_transport_new(struct kube_config *config, const char *user_agent,
                            struct kube_transport **ret, struct error **err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, metrics_init);

    struct http_transport *t = NEW0(struct http_transport);
    t->transport.ops = &http_transport_ops;
    t->config = config;
    t->credentials = kube_credentials_new(config);
    const char *host = strstr(config->server, "://");
    host = host ? host + 3 : config->server;
    t->host = mem_strndup(host, strcspn(host, "/"));
    int r =
        http_client_new(&(struct http_client_options){ .user_agent = user_agent }, &t->client, err);
    if (r < 0) {
        transport_free(&t->transport);
        return r;
    }
    *ret = &t->transport;
    return 0;
}
