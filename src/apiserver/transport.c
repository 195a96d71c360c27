/* A kube_transport without sockets. Calls run on the caller's thread. Streams are queues of shared
 * texts, emptied by one thread of the transport, so that what a handler does can never hold up the
 * store. */
#include <stdlib.h>
#include <unistd.h>

#include "apiserver/handler.h"
#include "apiserver/server.h"
#include "apiserver/stream.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/server.h"

#define MAX_RESPONSE (256 * MIB)

struct inside_transport {
    struct kube_transport base; /* first */
    struct apiserver *server;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    struct inside_stream *ready, **ready_end;
    struct inside_stream *delivering;
    bool stopping, thread_runs;
    size_t live; /* streams whose two sides have not both let go */
    pthread_t thread;
};

struct inside_stream {
    struct kube_stream base; /* first */
    struct inside_transport *t;
    struct kube_stream_handler handler;
    struct api_stream *source; /* NULL: a complete answer is in the queue */
    unsigned refs;             /* the user's and the source's */
    int status;                /* to be told; 0: told */
    struct shared_text **queue;
    size_t count, cap, bytes, max_bytes;
    bool closed, ended, overflow, is_ready, end_told;
    struct inside_stream *next_ready;
};

/* ---- requests ----------------------------------------------------------------------------------------------------- */

/* Fills in what comes from the transport; false: the path is malformed. */
static bool make_request(struct inside_transport *t, struct arena *a,
                         const struct kube_request *from, struct api_request *rq)
{
    const char *query = strchr(from->path, '?');
    size_t len = query ? (size_t)(query - from->path) : strlen(from->path);
    char *path = arena_alloc(a, len + 1);
    *rq = (struct api_request){
        .server = t->server,
        .a = a,
        .method = from->method ? from->method : "GET",
        .path = path,
        .raw_query = query ? query + 1 : NULL,
        .content_type = from->content_type,
        .accept = from->accept,
        .user_agent = "kaito",
        .body = from->body ? from->body : "",
        .body_len = from->body_len,
    };
    return http_url_decode(from->path, len, false, path) == 0;
}

static int inside_call(struct kube_transport *base, const struct kube_request *request,
                       struct kube_response *ret, struct error **err)
{
    struct inside_transport *t = (struct inside_transport *)base;
    AUTO_ARENA a = arena_new();
    struct api_request rq;
    if (!make_request(t, a, request, &rq))
        return error_set(err, ERROR_INVALID, "malformed path %s", request->path);
    struct api_reply reply;
    api_handle(&rq, &reply);
    if (reply.stream) {
        reply.stream->ops->drop(reply.stream);
        return error_set(err, ERROR_UNSUPPORTED, "%s is a stream", request->path);
    }
    *ret = (struct kube_response){ .status = reply.status, .body = BUF_INIT(MAX_RESPONSE) };
    size_t len = 0;
    const char *body = api_reply_body(&reply, &len);
    buf_append(&ret->body, body, len);
    for (size_t i = 0; i < reply.header_count; i++) {
        int64_t seconds = 0;
        if (STREQ(reply.headers[i].name, "Retry-After") &&
            str_to_int64(reply.headers[i].value, &seconds) == 0)
            ret->retry_after_ms = seconds * 1000;
    }
    api_reply_done(&reply);
    return 0;
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

/* With the lock held. */
static void make_ready(struct inside_stream *s)
{
    struct inside_transport *t = s->t;
    if (s->is_ready || s->closed)
        return;
    s->is_ready = true;
    s->next_ready = NULL;
    *t->ready_end = s;
    t->ready_end = &s->next_ready;
    pthread_cond_signal(&t->work);
}

static void unref(struct inside_stream *s)
{
    struct inside_transport *t = s->t;
    LOCK(&t->lock);
    if (--s->refs > 0)
        return;
    for (size_t i = 0; i < s->count; i++)
        shared_text_unref(s->queue[i]);
    free(s->queue);
    free(s);
    t->live--;
    pthread_cond_broadcast(&t->idle);
}

static void enqueue(struct inside_stream *s, struct shared_text *text)
{
    if (s->count == s->cap) {
        s->cap = MAX(s->cap * 2, (size_t)8);
        s->queue = mem_array(s->queue, s->cap, sizeof(struct shared_text *));
    }
    s->queue[s->count++] = shared_text_ref(text);
    s->bytes += text->len;
    make_ready(s);
}

static int sink_write(void *ctx, struct shared_text *text)
{
    struct inside_stream *s = ctx;
    LOCK(&s->t->lock);
    if (s->closed)
        return -ERROR_CANCELLED;
    if (s->bytes + text->len > s->max_bytes) {
        s->overflow = true;
        return -ERROR_TOO_LARGE;
    }
    enqueue(s, text);
    return 0;
}

static void sink_end(void *ctx)
{
    struct inside_stream *s = ctx;
    pthread_mutex_lock(&s->t->lock);
    s->ended = true;
    make_ready(s);
    pthread_mutex_unlock(&s->t->lock);
    unref(s);
}

/* ---- delivery ----------------------------------------------------------------------------------------------------- */

static bool is_closed(struct inside_stream *s)
{
    LOCK(&s->t->lock);
    return s->closed;
}

static void tell_end(struct inside_stream *s, const struct error *err)
{
    if (s->end_told)
        return;
    s->end_told = true;
    s->handler.on_end(s->handler.ctx, err);
}

/* Without the lock; what was queued is this thread's now. */
static void deliver(struct inside_stream *s, struct shared_text **texts, size_t n, int status,
                    bool ended, bool overflow)
{
    bool open = !s->end_told;
    if (open && status && s->handler.on_status)
        s->handler.on_status(s->handler.ctx, status);
    for (size_t i = 0; i < n; i++) {
        if (open && !is_closed(s) &&
            !s->handler.on_data(s->handler.ctx, texts[i]->data, texts[i]->len)) {
            CLEANUP(error_cleanup) struct error *err = NULL;
            error_set(&err, ERROR_CANCELLED, "the reader ended the stream");
            if (s->source)
                s->source->ops->cancel(s->source);
            tell_end(s, err);
            open = false;
        }
        shared_text_unref(texts[i]);
    }
    if (!open || !ended || is_closed(s))
        return;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (overflow)
        error_set(&err, ERROR_TOO_LARGE, "the reader was too slow: more than %zu bytes waited",
                  s->max_bytes);
    tell_end(s, err);
}

static void *delivery_main(void *arg)
{
    struct inside_transport *t = arg;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (!t->ready && !t->stopping)
            pthread_cond_wait(&t->work, &t->lock);
        if (!t->ready)
            break;
        struct inside_stream *s = t->ready;
        t->ready = s->next_ready;
        if (!t->ready)
            t->ready_end = &t->ready;
        s->is_ready = false;
        t->delivering = s;
        struct shared_text **texts = TAKE_PTR(s->queue);
        size_t n = s->count;
        s->count = s->cap = s->bytes = 0;
        int status = s->status;
        bool ended = s->ended, overflow = s->overflow;
        s->status = 0;
        pthread_mutex_unlock(&t->lock);

        deliver(s, texts, n, status, ended, overflow);
        free(texts);
        pthread_mutex_lock(&t->lock);
        t->delivering = NULL;
        pthread_cond_broadcast(&t->idle);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static int need_thread(struct inside_transport *t, struct error **err)
{
    LOCK(&t->lock);
    if (t->thread_runs)
        return 0;
    int r = thread_start(&t->thread, "inside-streams", delivery_main, t, err);
    t->thread_runs = r == 0;
    return r;
}

/* ---- open and close ----------------------------------------------------------------------------------------------- */

/* Any other answer is a short stream too. */
static void queue_answer(struct inside_stream *s, struct api_reply *reply)
{
    size_t len = 0;
    const char *body = api_reply_body(reply, &len);
    struct shared_text *text = shared_text_new(body, len);
    pthread_mutex_lock(&s->t->lock);
    if (len > 0)
        enqueue(s, text);
    s->ended = true;
    make_ready(s);
    pthread_mutex_unlock(&s->t->lock);
    shared_text_unref(text);
    unref(s);
}

static int inside_stream_open(struct kube_transport *base, const struct kube_request *request,
                              const struct kube_stream_handler *handler, struct kube_stream **ret,
                              struct error **err)
{
    struct inside_transport *t = (struct inside_transport *)base;
    AUTO_ARENA a = arena_new();
    struct api_request rq;
    if (!make_request(t, a, request, &rq))
        return error_set(err, ERROR_INVALID, "malformed path %s", request->path);
    int r = need_thread(t, err);
    if (r < 0)
        return r;
    struct api_reply reply;
    api_handle(&rq, &reply);
    struct inside_stream *s = NEW0(struct inside_stream);
    s->base.ops = base->ops;
    s->t = t;
    s->handler = *handler;
    s->refs = 2;
    s->status = reply.status;
    s->source = reply.stream;
    s->max_bytes = reply.stream ? reply.stream->max_pending : SIZE_MAX;
    *ret = &s->base;
    pthread_mutex_lock(&t->lock);
    t->live++;
    make_ready(s);
    pthread_mutex_unlock(&t->lock);
    if (s->source)
        s->source->ops->start(s->source,
                              &(struct api_sink){ .write = sink_write, .end = sink_end, .ctx = s });
    else
        queue_answer(s, &reply);
    api_reply_done(&reply);
    return 0;
}

/* With the lock held. */
static void take_out_of_ready(struct inside_stream *s)
{
    struct inside_transport *t = s->t;
    for (struct inside_stream **at = &t->ready; *at; at = &(*at)->next_ready) {
        if (*at != s)
            continue;
        *at = s->next_ready;
        if (t->ready_end == &s->next_ready)
            t->ready_end = at;
        break;
    }
    s->is_ready = false;
}

static void inside_stream_close(struct kube_stream *base)
{
    struct inside_stream *s = (struct inside_stream *)base;
    struct inside_transport *t = s->t;
    pthread_mutex_lock(&t->lock);
    s->closed = true;
    if (s->is_ready)
        take_out_of_ready(s);
    while (t->delivering == s)
        pthread_cond_wait(&t->idle, &t->lock);
    pthread_mutex_unlock(&t->lock);
    if (s->source) {
        s->source->ops->cancel(s->source);
        api_stream_unref(s->source);
    }
    unref(s);
}

static void inside_free(struct kube_transport *base)
{
    struct inside_transport *t = (struct inside_transport *)base;
    pthread_mutex_lock(&t->lock);
    while (t->live > 0)
        pthread_cond_wait(&t->idle, &t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
    if (t->thread_runs)
        thread_join(t->thread);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->work);
    pthread_cond_destroy(&t->idle);
    free(t);
}

static const struct kube_transport_ops inside_ops = {
    .call = inside_call,
    .stream = inside_stream_open,
    .stream_close = inside_stream_close,
    .free = inside_free,
};

void apiserver_transport_flush(struct kube_transport *base)
{
    struct inside_transport *t = (struct inside_transport *)base;
    uint64_t version = store_version(t->server->store);
    while (store_delivered_version(t->server->store) < version)
        usleep(100);
    LOCK(&t->lock);
    while (t->ready || t->delivering)
        pthread_cond_wait(&t->idle, &t->lock);
}

struct kube_transport *apiserver_transport(struct apiserver *s)
{
    struct inside_transport *t = NEW0(struct inside_transport);
    t->base.ops = &inside_ops;
    t->server = s;
    t->ready_end = &t->ready;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_cond_init(&t->idle, NULL);
    return &t->base;
}
