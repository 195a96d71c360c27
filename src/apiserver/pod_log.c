/* GET pods/NAME/log: whoever runs the pods writes, this hands it on. What is written before the
 * reply has its sink waits. */
#include <stdlib.h>

#include "apiserver/rest.h"
#include "apiserver/server.h"
#include "apiserver/stream_internal.h"
#include "base/mem.h"
#include "base/str.h"

/* The whole of an ordinary log: the writer does not wait for the reader. */
#define MAX_PENDING (64 * MIB)

struct log_stream {
    struct api_stream stream; /* first */
    struct kept_stream kept;
    struct streams *streams;
    struct pod_log_sink source; /* what the writer has */
    pthread_mutex_t lock;
    struct api_sink sink;
    bool started, cancelled, ended, finished;
    struct shared_text **waiting;
    size_t waiting_count, waiting_bytes;
};

static struct log_stream *log_of(struct api_stream *s)
{
    return (struct log_stream *)s;
}

static struct log_stream *log_of_kept(struct kept_stream *k)
{
    return (struct log_stream *)((char *)k - offsetof(struct log_stream, kept));
}

/* ---- the writer's side -------------------------------------------------------------------------------------------- */

static int put_aside(struct log_stream *l, const char *data, size_t len)
{
    if (l->waiting_bytes + len > MAX_PENDING)
        return -ERROR_TOO_LARGE;
    l->waiting = mem_array(l->waiting, l->waiting_count + 1, sizeof(struct shared_text *));
    l->waiting[l->waiting_count++] = shared_text_new(data, len);
    l->waiting_bytes += len;
    return 0;
}

static int source_write(void *ctx, const char *data, size_t len)
{
    struct log_stream *l = ctx;
    pthread_mutex_lock(&l->lock);
    int r = l->cancelled ? -ERROR_CANCELLED : 0;
    if (r == 0 && !l->started) {
        r = put_aside(l, data, len);
    } else if (r == 0) {
        struct shared_text *t = shared_text_new(data, len);
        r = l->sink.write(l->sink.ctx, t);
        shared_text_unref(t);
    }
    l->cancelled |= r < 0;
    bool wake = r < 0 && l->started && !l->finished;
    pthread_mutex_unlock(&l->lock);
    if (wake)
        streams_wake(l->streams);
    return r;
}

static bool source_cancelled(void *ctx)
{
    struct log_stream *l = ctx;
    LOCK(&l->lock);
    return l->cancelled;
}

static void source_end(void *ctx, const struct error *err)
{
    struct log_stream *l = ctx;
    pthread_mutex_lock(&l->lock);
    l->ended = true;
    struct streams *streams = l->started && !l->finished ? l->streams : NULL;
    pthread_mutex_unlock(&l->lock);
    if (streams)
        streams_wake(streams);
    api_stream_unref(&l->stream);
}

/* ---- the reader's side -------------------------------------------------------------------------------------------- */

static void log_start(struct api_stream *s, const struct api_sink *sink)
{
    struct log_stream *l = log_of(s);
    pthread_mutex_lock(&l->lock);
    l->sink = *sink;
    l->started = true;
    for (size_t i = 0; i < l->waiting_count; i++) {
        if (!l->cancelled)
            l->cancelled = l->sink.write(l->sink.ctx, l->waiting[i]) < 0;
        shared_text_unref(l->waiting[i]);
    }
    l->waiting_count = 0;
    pthread_mutex_unlock(&l->lock);
    streams_add(l->streams, &l->kept);
}

static void log_cancel(struct api_stream *s)
{
    struct log_stream *l = log_of(s);
    pthread_mutex_lock(&l->lock);
    l->cancelled = true;
    pthread_mutex_unlock(&l->lock);
    streams_wake(l->streams);
}

static void log_free(struct api_stream *s)
{
    struct log_stream *l = log_of(s);
    for (size_t i = 0; i < l->waiting_count; i++)
        shared_text_unref(l->waiting[i]);
    free(l->waiting);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void log_drop(struct api_stream *s)
{
    struct log_stream *l = log_of(s);
    pthread_mutex_lock(&l->lock);
    l->cancelled = true;
    pthread_mutex_unlock(&l->lock);
    streams_release(l->streams);
    api_stream_unref(s);
    api_stream_unref(s);
}

/* The reader's side is over when either side is. The writer may still hold its own reference and
 * find it cancelled. */
static int64_t log_tick(struct kept_stream *k, int64_t now)
{
    struct log_stream *l = log_of_kept(k);
    LOCK(&l->lock);
    return l->ended || l->cancelled ? 0 : INT64_MAX;
}

static void log_finish(struct kept_stream *k)
{
    struct log_stream *l = log_of_kept(k);
    struct streams *streams = l->streams;
    pthread_mutex_lock(&l->lock);
    l->cancelled = l->finished = true;
    struct api_sink sink = l->sink;
    pthread_mutex_unlock(&l->lock);
    sink.end(sink.ctx);
    api_stream_unref(&l->stream);
    streams_release(streams);
}

static const struct api_stream_ops log_stream_ops = {
    .start = log_start,
    .cancel = log_cancel,
    .drop = log_drop,
    .free = log_free,
};
static const struct kept_stream_ops log_kept_ops = { .tick = log_tick, .finish = log_finish };

/* ---- the request -------------------------------------------------------------------------------------------------- */

static int parse_number(struct api_request *rq, const char *name, int64_t otherwise, int64_t *ret)
{
    const char *text = request_param(rq, name);
    *ret = otherwise;
    if (!str_empty(text) && (str_to_int64(text, ret) < 0 || *ret < 0))
        return request_failf(rq, "BadRequest",
                             "%s: Invalid value: %s: must be greater than or equal to 0", name,
                             go_quote(rq->a, text));
    return 0;
}

static int parse_options(struct api_request *rq, struct pod_log_options *o)
{
    *o = (struct pod_log_options){
        .container =
            str_empty(request_param(rq, "container")) ? NULL : request_param(rq, "container"),
        .follow = request_flag(rq, "follow"),
        .previous = request_flag(rq, "previous"),
        .timestamps = request_flag(rq, "timestamps"),
    };
    int64_t seconds = 0;
    int r = parse_number(rq, "tailLines", -1, &o->tail_lines);
    if (r == 0)
        r = parse_number(rq, "limitBytes", 0, &o->limit_bytes);
    if (r == 0)
        r = parse_number(rq, "sinceSeconds", 0, &seconds);
    if (r < 0)
        return r;
    if (seconds > 0 && seconds < INT64_MAX / NS_PER_S)
        o->since_ns = clock_wall(rq->server->clock) - seconds * NS_PER_S;
    const char *since = request_param(rq, "sinceTime");
    if (!str_empty(since) && time_parse_rfc3339(since, &o->since_ns) < 0)
        return request_failf(rq, "BadRequest",
                             "sinceTime: Invalid value: %s: must be an RFC 3339 time",
                             go_quote(rq->a, since));
    return 0;
}

static int fail_open(struct api_request *rq, const struct error *err)
{
    const char *reason = error_reason(err);
    if (!reason && error_code(err) == ERROR_INVALID)
        return request_failf(rq, "BadRequest", "%s", error_message(err));
    return request_fail_error(rq, err);
}

int pod_log_request(struct api_request *rq, struct api_reply *reply)
{
    struct apiserver *s = rq->server;
    struct pod_log_options options;
    int r = parse_options(rq, &options);
    if (r < 0)
        return r;
    CLEANUP(kube_object_cleanup)
    struct kube_object *pod = store_get(s->store, rq->kind->resource, rq->ns, rq->name);
    if (!pod)
        return request_fail_not_found(rq, rq->name);
    if (!s->o.pod_logs)
        return request_failf(rq, "MethodNotAllowed", "this server runs no pods: there are no logs");
    if (!streams_reserve(s->streams, s->o.max_watchers))
        return request_failf(rq, "TooManyRequests", "too many streams are open");

    struct log_stream *l = NEW0(struct log_stream);
    /* One reference more than others have: the writer's, until it calls end. */
    l->stream =
        (struct api_stream){ .ops = &log_stream_ops, .refs = 3, .max_pending = MAX_PENDING };
    l->kept.ops = &log_kept_ops;
    l->streams = s->streams;
    pthread_mutex_init(&l->lock, NULL);
    l->source = (struct pod_log_sink){
        .write = source_write, .end = source_end, .cancelled = source_cancelled, .ctx = l
    };
    CLEANUP(error_cleanup) struct error *err = NULL;
    r = s->o.pod_logs->open(s->o.pod_logs->ctx, rq->ns, rq->name, &options, &l->source, &err);
    if (r < 0) {
        api_stream_unref(&l->stream);
        log_drop(&l->stream);
        return fail_open(rq, err);
    }
    reply->status = 200;
    reply->content_type = "text/plain";
    reply->stream = &l->stream;
    return 0;
}
