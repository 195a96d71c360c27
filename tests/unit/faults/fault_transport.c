#include "fault_transport.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/cancel.h"

/* Has two owners: who opened it, and the list of the transport. */
struct fault_stream {
    struct kube_stream base; /* first */
    struct fault_transport *t;
    struct kube_stream *inner;
    struct kube_stream_handler handler;
    struct buf kept; /* while held; the status is told at once */
    struct buf line; /* the beginning of one, with `twice` */
    size_t left;     /* bytes until it is cut */
    bool kept_end;
    bool over; /* on_end was called, or it was closed */
    bool first;
    unsigned refs;
    struct fault_stream *next;
};

/* ---- calls ---------------------------------------------------------------------------------------------------------- */

static bool is_write(const struct kube_request *request)
{
    return request->method && !STREQ(request->method, "GET");
}

/* "/api/v1/nodes?limit=500": the path ends with a plural, as no name of the tests does. */
static bool is_list(const struct kube_request *request)
{
    return !is_write(request) && strstr(request->path, "limit=");
}

static void count(struct fault_transport *t, const struct kube_request *request, int r, int status)
{
    LOCK(&t->lock);
    t->writes += is_write(request);
    t->lists += is_list(request) && status != 404; /* of what the server has */
    if (is_list(request) && !strstr(request->path, "continue=")) {
        if (r == 0 && status == 200)
            map_set(t->listed, request->path, t);
        else
            map_del(t->listed, request->path);
    }
    t->creates += r == 0 && status == 201 && t->counted && STREQ(request->method, "POST") &&
                  str_has_suffix(request->path, t->counted);
    t->made += r == 0 && status == 201 &&
               (str_has_suffix(request->path, "/nodeclaims") ||
                str_has_suffix(request->path, "/nodepools"));
}

static int forward(struct fault_transport *t, const struct kube_request *request,
                   struct kube_response *ret, struct error **err)
{
    if (t->on_write && is_write(request))
        t->on_write(t->ctx, request);
    int r = t->inner->ops->call(t->inner, request, ret, err);
    count(t, request, r, ret->status);
    return r;
}

static int fail(const struct fault *f, struct error **err)
{
    int r = error_set(err, f->code, "%s, says the test", f->name);
    if (f->reason && err)
        error_set_reason(*err, f->reason);
    return r;
}

static int meet(struct fault_transport *t, const struct fault *f,
                const struct kube_request *request, struct kube_response *ret, struct error **err)
{
    struct kube_response lost = { 0 };
    CLEANUP(error_cleanup) struct error *why = NULL;
    if (f->done && forward(t, request, &lost, &why) < 0)
        lost = (struct kube_response){ 0 };
    if (f->cut) {
        *ret = lost;
        ret->body.len /= 2;
        if (ret->body.data)
            ret->body.data[ret->body.len] = '\0';
        return 0;
    }
    buf_done(&lost.body);
    if (f->status == 0)
        return fail(f, err);
    ret->status = f->status;
    ret->retry_after_ms = f->retry_after_ms;
    if (f->body)
        buf_puts(&ret->body, f->body);
    return 0;
}

static int fault_call(struct kube_transport *base, const struct kube_request *request,
                      struct kube_response *ret, struct error **err)
{
    struct fault_transport *t = (struct fault_transport *)base;
    const struct fault *f = NULL;
    pthread_mutex_lock(&t->lock);
    bool dead = t->dead, down = t->down;
    if (!dead && ++t->seen == t->at) {
        f = t->fault;
        t->dead = f->dies;
    }
    pthread_mutex_unlock(&t->lock);
    if (dead)
        return error_set(err, ERROR_CANCELLED, "this process is dead");
    if (request->cancel && kube_cancel_is_set(request->cancel))
        return error_set(err, ERROR_CANCELLED, "interrupted");
    if (down)
        return fail(&(struct fault){ .name = "nobody listens",
                                     .code = ERROR_UNAVAILABLE,
                                     .reason = KUBE_REASON_REFUSED },
                    err);
    return f ? meet(t, f, request, ret, err) : forward(t, request, ret, err);
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

static void unref(struct fault_stream *s)
{
    if (--s->refs > 0)
        return;
    buf_done(&s->kept);
    buf_done(&s->line);
    free(s);
}

static void end(struct fault_stream *s, const struct error *err)
{
    if (s->over)
        return;
    s->over = true;
    s->handler.on_end(s->handler.ctx, err);
}

static bool tell_pieces(struct fault_stream *s, const char *data, size_t len)
{
    size_t piece = s->t->piece ? s->t->piece : len;
    for (size_t at = 0; at < len; at += piece)
        if (!s->handler.on_data(s->handler.ctx, data + at, MIN(piece, len - at)))
            return false;
    return true;
}

static bool tell_twice(struct fault_stream *s, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        buf_putc(&s->line, data[i]);
        if (data[i] != '\n')
            continue;
        if (!tell_pieces(s, s->line.data, s->line.len) ||
            !tell_pieces(s, s->line.data, s->line.len))
            return false;
        buf_clear(&s->line);
    }
    return true;
}

/* With the transport's lock. false: the stream is over. */
static bool tell(struct fault_stream *s, const char *data, size_t len)
{
    size_t part = MIN(len, s->left);
    s->t->bytes += s->first ? part : 0;
    if (s->left != SIZE_MAX)
        s->left -= part;
    bool fine = part == 0 || (s->t->twice ? tell_twice(s, data, part) : tell_pieces(s, data, part));
    if (fine && s->left > 0)
        return true;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!fine)
        error_set(&err, ERROR_CANCELLED, "the reader ended the stream");
    else if (s->t->cut_hard)
        error_set(&err, ERROR_UNAVAILABLE, "the connection was reset");
    end(s, err);
    return false;
}

static void on_status(void *ctx, int status)
{
    struct fault_stream *s = ctx;
    LOCK(&s->t->lock);
    if (!s->over && s->handler.on_status)
        s->handler.on_status(s->handler.ctx, status);
}

static bool on_data(void *ctx, const char *data, size_t len)
{
    struct fault_stream *s = ctx;
    LOCK(&s->t->lock);
    if (s->over)
        return false;
    if (s->t->held) {
        buf_append(&s->kept, data, len);
        return true;
    }
    return tell(s, data, len);
}

static void on_end(void *ctx, const struct error *err)
{
    struct fault_stream *s = ctx;
    LOCK(&s->t->lock);
    if (s->t->held && !err)
        s->kept_end = true;
    else
        end(s, err);
}

static void fault_stream_close(struct kube_stream *base);

static int fault_stream_open(struct kube_transport *base, const struct kube_request *request,
                             const struct kube_stream_handler *handler, struct kube_stream **ret,
                             struct error **err)
{
    struct fault_transport *t = (struct fault_transport *)base;
    pthread_mutex_lock(&t->lock);
    bool down = t->down || t->dead;
    bool first = t->opened++ == 0;
    pthread_mutex_unlock(&t->lock);
    if (down)
        return error_set(err, ERROR_UNAVAILABLE, "nobody listens");
    struct fault_stream *s = NEW0(struct fault_stream);
    *s = (struct fault_stream){
        .base = { t->base.ops },
        .t = t,
        .handler = *handler,
        .kept = BUF_INIT(16 * MIB),
        .line = BUF_INIT(16 * MIB),
        .left = first ? t->cut_after : SIZE_MAX,
        .first = first,
        .refs = 2,
    };
    struct kube_stream_handler mine = { on_status, on_data, on_end, s };
    int r = t->inner->ops->stream(t->inner, request, &mine, &s->inner, err);
    if (r < 0) {
        s->refs = 1;
        unref(s);
        return r;
    }
    pthread_mutex_lock(&t->lock);
    s->next = t->streams;
    t->streams = s;
    down = t->down;
    pthread_mutex_unlock(&t->lock);
    if (down) { /* since then */
        fault_stream_close(&s->base);
        return error_set(err, ERROR_UNAVAILABLE, "nobody listens");
    }
    *ret = &s->base;
    return 0;
}

/* With the lock. */
static void take_out(struct fault_stream *s)
{
    for (struct fault_stream **at = &s->t->streams; *at; at = &(*at)->next) {
        if (*at != s)
            continue;
        *at = s->next;
        unref(s);
        return;
    }
}

static void fault_stream_close(struct kube_stream *base)
{
    struct fault_stream *s = (struct fault_stream *)base;
    struct fault_transport *t = s->t;
    pthread_mutex_lock(&t->lock);
    s->over = true;
    struct kube_stream *inner = TAKE_PTR(s->inner);
    take_out(s);
    pthread_mutex_unlock(&t->lock);
    kube_stream_close(inner);
    LOCK(&t->lock);
    unref(s);
}

size_t fault_transport_lists(struct fault_transport *t)
{
    LOCK(&t->lock);
    return t->lists;
}

size_t fault_transport_opened(struct fault_transport *t)
{
    LOCK(&t->lock);
    return t->opened;
}

size_t fault_transport_bytes(struct fault_transport *t)
{
    LOCK(&t->lock);
    return t->bytes;
}

bool fault_transport_watches(struct fault_transport *t)
{
    LOCK(&t->lock);
    size_t open = 0;
    for (const struct fault_stream *s = t->streams; s; s = s->next)
        open += !s->over;
    return open == map_size(t->listed);
}

void fault_transport_hold(struct fault_transport *t)
{
    LOCK(&t->lock);
    t->held = true;
}

void fault_transport_release(struct fault_transport *t)
{
    LOCK(&t->lock);
    t->held = false;
    for (struct fault_stream *s = t->streams; s; s = s->next) {
        if (!s->over && s->kept.len > 0)
            tell(s, s->kept.data, s->kept.len);
        buf_clear(&s->kept);
        if (s->kept_end)
            end(s, NULL);
    }
}

void fault_transport_down(struct fault_transport *t)
{
    pthread_mutex_lock(&t->lock);
    t->down = true;
    while (t->streams) {
        struct fault_stream *s = t->streams;
        t->streams = s->next; /* its reference is ours now */
        struct kube_stream *inner = TAKE_PTR(s->inner);
        pthread_mutex_unlock(&t->lock);
        kube_stream_close(inner);
        CLEANUP(error_cleanup) struct error *err = NULL;
        error_set(&err, ERROR_UNAVAILABLE, "the connection was reset");
        pthread_mutex_lock(&t->lock);
        end(s, err);
        unref(s);
    }
    pthread_mutex_unlock(&t->lock);
}

void fault_transport_up(struct fault_transport *t, struct kube_transport *inner)
{
    LOCK(&t->lock);
    t->inner = inner;
    t->down = false;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static void fault_free(struct kube_transport *t) {}

static const struct kube_transport_ops fault_ops = {
    .call = fault_call,
    .stream = fault_stream_open,
    .stream_close = fault_stream_close,
    .free = fault_free,
};

void fault_transport_init(struct fault_transport *t, struct kube_transport *inner)
{
    *t = (struct fault_transport){ .base = { &fault_ops }, .inner = inner, .cut_after = SIZE_MAX };
    t->listed = map_new(NULL);
    pthread_mutex_init(&t->lock, NULL);
}

void fault_transport_done(struct fault_transport *t)
{
    map_free(t->listed);
    pthread_mutex_destroy(&t->lock);
}

void fault_transport_arm(struct fault_transport *t, const struct fault *f, unsigned at)
{
    LOCK(&t->lock);
    t->fault = f;
    t->at = at;
    t->seen = 0;
}
