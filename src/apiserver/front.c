/* The server over HTTPS. Small reads are answered on the HTTP server's own threads; what may block
 * (writes wait for the disk) or takes long (lists) goes to a pool, which many writers fill, so that
 * their writes share transactions. */
#include <stdlib.h>

#include "apiserver/bootstrap.h"
#include "apiserver/credentials.h"
#include "apiserver/handler.h"
#include "apiserver/pool.h"
#include "apiserver/server.h"
#include "apiserver/stream.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/build.h"

#define WORKERS 32
#define MAX_WAITING 1024
#define STOP_GRACE_MS 2000

struct apiserver_front {
    struct apiserver *server;
    struct front_credentials credentials;
    struct http_server *http;
    struct pool *pool;
    bool (*ready)(void *ctx);
    void *ready_ctx;
};

/* ---- streams ------------------------------------------------------------------------------------------------------ */

struct front_stream {
    struct http_stream_out *out;
    struct api_stream *source;
};

static int sink_write(void *ctx, struct shared_text *t)
{
    struct front_stream *s = ctx;
    return http_stream_write(s->out, t->data, t->len);
}

static void sink_end(void *ctx)
{
    struct front_stream *s = ctx;
    http_stream_end(s->out);
    api_stream_unref(s->source);
    free(s);
}

static void on_close(void *ctx)
{
    struct front_stream *s = ctx;
    s->source->ops->cancel(s->source);
}

static void reply_stream(struct http_exchange *x, struct api_reply *reply)
{
    struct front_stream *s = NEW0(struct front_stream);
    s->source = reply->stream;
    s->out = http_reply_stream(x, reply->status, reply->content_type, s->source->max_pending,
                               on_close, s);
    s->source->ops->start(s->source,
                          &(struct api_sink){ .write = sink_write, .end = sink_end, .ctx = s });
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

/* Everything that is asked of the exchange is asked on the thread that received it. */
struct job {
    struct http_exchange *x;
    struct arena *a;
    struct api_request rq;
};

static void release_object(void *ctx)
{
    kube_object_unref(ctx);
}

static void send_reply(struct http_exchange *x, struct api_reply *reply)
{
    http_set_header(x, "Cache-Control", "no-cache, private");
    for (size_t i = 0; i < reply->header_count; i++)
        http_set_header(x, reply->headers[i].name, reply->headers[i].value);
    if (reply->stream) {
        reply_stream(x, reply);
    } else if (reply->object) {
        struct kube_object *o = TAKE_PTR(reply->object);
        http_reply_owned(x, reply->status, reply->content_type, o->text, o->text_len,
                         release_object, o);
    } else {
        size_t len = reply->body.len;
        char *body = buf_steal(&reply->body);
        http_reply_owned(x, reply->status, reply->content_type, body, len, free, body);
    }
}

static void run_job(void *ctx, void *item)
{
    struct job *job = item;
    struct api_reply reply;
    api_handle(&job->rq, &reply);
    send_reply(job->x, &reply);
    api_reply_done(&reply);
    arena_free(job->a);
}

static void reply_status(struct http_exchange *x, const char *reason, const char *message)
{
    AUTO_ARENA a = arena_new();
    const char *text = json_text(a, status_make(a, reason, message, NULL));
    if (STREQ(reason, "TooManyRequests"))
        http_set_header(x, "Retry-After", "1");
    http_reply(x, status_code(reason), "application/json", text, strlen(text));
}

/* Health and version say nothing that must be kept from anybody on this machine. */
static bool is_public(const char *path)
{
    static const char *const paths[] = { "/healthz", "/livez", "/readyz", "/version" };
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        if (STREQ(path, paths[i]))
            return true;
    }
    return false;
}

static bool is_authorized(struct apiserver_front *f, const struct http_exchange *x)
{
    const char *header = http_header(x, "Authorization");
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return false;
    return crypto_equal(header + 7, f->credentials.token);
}

static void receive(struct http_exchange *x, void *ctx)
{
    struct apiserver_front *f = ctx;
    const char *path = http_path(x), *method = http_method(x);
    if (!is_public(path) && !is_authorized(f, x)) {
        reply_status(x, "Unauthorized", "Unauthorized");
        return;
    }
    if (STREQ(path, "/readyz") && f->ready && !f->ready(f->ready_ctx)) {
        http_reply_text(x, 503, "not ready\n");
        return;
    }
    struct arena *a = arena_new();
    struct job *job = arena_zalloc(a, sizeof *job);
    *job = (struct job){ .x = x, .a = a };
    job->rq = (struct api_request){
        .server = f->server,
        .a = a,
        .method = STREQ(method, "HEAD") ? "GET" : method,
        .path = path,
        .raw_query = http_raw_query(x),
        .content_type = http_header(x, "Content-Type"),
        .accept = http_header(x, "Accept"),
        .user_agent = http_header(x, "User-Agent"),
        .if_none_match = http_header(x, "If-None-Match"),
    };
    job->rq.body = http_body(x, &job->rq.body_len);
    if (api_is_quick(job->rq.method, path, job->rq.raw_query, job->rq.accept)) {
        run_job(f, job);
    } else if (!pool_add(f->pool, job)) {
        arena_free(a);
        reply_status(x, "TooManyRequests", "too many requests are waiting, please try again");
    }
}

/* ---- start and stop ----------------------------------------------------------------------------------------------- */

int apiserver_front_start(struct apiserver *s, const struct apiserver_front_options *options,
                          struct apiserver_front **ret, struct error **err)
{
    struct apiserver_front *f = NEW0(struct apiserver_front);
    f->server = s;
    f->ready = options->ready;
    f->ready_ctx = options->ready_ctx;
    f->pool = pool_new(&(struct pool_options){
        .name = "api-worker",
        .max_threads = WORKERS,
        .max_waiting = MAX_WAITING,
        .run = run_job,
        .ctx = f,
    });
    const char *address = options->address ? options->address : "127.0.0.1";
    int r = front_credentials_load(s, address, &f->credentials, err);
    if (r == 0)
        r = http_server_start(
            &(struct http_server_options){
                .name = "api",
                .address = address,
                .port = options->port,
                .cert_pem = f->credentials.server.cert_pem,
                .key_pem = f->credentials.server.key_pem,
                .max_body = s->o.max_body,
                .handler = receive,
                .ctx = f,
            },
            &f->http, err);
    if (r == 0 && options->kubeconfig_path)
        r = front_kubeconfig_write(&f->credentials, options->kubeconfig_path, address,
                                   http_server_port(f->http), err);
    if (r == 0 && s->o.service_address)
        r = bootstrap_service(s, s->o.service_address, http_server_port(f->http), err);
    if (r < 0) {
        apiserver_front_stop(f);
        return r;
    }
    *ret = f;
    return 0;
}

uint16_t apiserver_front_port(const struct apiserver_front *f)
{
    return http_server_port(f->http);
}

void apiserver_front_stop(struct apiserver_front *f)
{
    if (!f)
        return;
    http_server_stop(f->http, STOP_GRACE_MS);
    pool_free(f->pool);
    front_credentials_done(&f->credentials);
    free(f);
}
