#include "fake_transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "kube/cancel.h"

struct fake_stream {
    struct kube_stream stream; /* first */
    struct kube_stream_handler handler;
    const struct fake_step *step;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;
};

int fake_reply(struct kube_response *ret, int status, const char *body)
{
    ret->status = status;
    buf_puts(&ret->body, body);
    return 0;
}

int fake_hang(const struct kube_request *request, struct error **err)
{
    if (request->cancel && kube_cancel_sleep(request->cancel, clock_system(), 20 * NS_PER_S))
        return error_set(err, ERROR_TIMEOUT, "hung for 20 s");
    return error_set(err, ERROR_CANCELLED, "cancelled");
}

bool fake_wait(atomic_int *counter, int n)
{
    for (int i = 0; i < 10000 && atomic_load(counter) < n; i++)
        usleep(1000);
    return atomic_load(counter) >= n;
}

static int fake_call(struct kube_transport *t, const struct kube_request *request,
                     struct kube_response *ret, struct error **err)
{
    struct fake_transport *f = (struct fake_transport *)t;
    LOCK(f->lock);
    snprintf(f->last_call, sizeof(f->last_call), "%s %s%s%.*s", request->method, request->path,
             request->body_len ? " " : "", (int)request->body_len,
             request->body ? request->body : "");
    atomic_fetch_add(&f->calls, 1);
    return f->answer ? f->answer(f, request, ret, err) : fake_reply(ret, 404, "");
}

/* false: closed meanwhile. */
static bool stream_sleep(struct fake_stream *s, int64_t ms)
{
    int64_t until = ms < 0 ? INT64_MAX : clock_mono(clock_system()) + ms * NS_PER_MS;
    LOCK(&s->lock);
    while (!s->closing && cond_wait_until(&s->changed, &s->lock, until))
        ;
    return !s->closing;
}

static bool send_pieces(struct fake_stream *s, const struct fake_step *step)
{
    size_t len = strlen(step->text);
    size_t piece = step->n > 0 ? (size_t)step->n : len;
    for (size_t at = 0; at < len; at += piece) {
        size_t part = MIN(piece, len - at);
        char *copy = mem_strndup(step->text + at, part); /* of the exact size, for the sanitizer */
        bool more = s->handler.on_data(s->handler.ctx, copy, part);
        free(copy);
        if (!more)
            return false;
    }
    return true;
}

static void finish(struct fake_stream *s, enum error_code code, const char *text)
{
    struct error *err = NULL;
    if (code != ERROR_OK)
        error_set(&err, code, "%s", text);
    s->handler.on_end(s->handler.ctx, err);
    error_free(err);
}

static void *play(void *arg)
{
    struct fake_stream *s = arg;
    const struct fake_step *step = s->step;
    if (step->kind != FAKE_STATUS && step->kind != FAKE_SILENCE && step->kind != FAKE_FAIL)
        s->handler.on_status(s->handler.ctx, 200);
    for (;; step++) {
        switch (step->kind) {
        case FAKE_STATUS:
            s->handler.on_status(s->handler.ctx, step->n);
            continue;
        case FAKE_DATA:
            if (send_pieces(s, step))
                continue;
            finish(s, ERROR_CANCELLED, "cancelled");
            return NULL;
        case FAKE_SLEEP:
            if (stream_sleep(s, step->n))
                continue;
            finish(s, ERROR_CANCELLED, "cancelled");
            return NULL;
        case FAKE_SILENCE:
            stream_sleep(s, -1);
            finish(s, ERROR_CANCELLED, "cancelled");
            return NULL;
        case FAKE_FAIL:
            finish(s, (enum error_code)step->n, step->text ? step->text : "failed by the script");
            return NULL;
        default:
            finish(s, ERROR_OK, NULL);
            return NULL;
        }
    }
}

static int fake_stream(struct kube_transport *t, const struct kube_request *request,
                       const struct kube_stream_handler *handler, struct kube_stream **ret,
                       struct error **err)
{
    struct fake_transport *f = (struct fake_transport *)t;
    LOCK(f->lock);
    snprintf(f->last_stream, sizeof(f->last_stream), "%s", request->path);
    int n = atomic_fetch_add(&f->streams, 1);
    int count = 0;
    while (f->scripts[count])
        count++;
    const struct fake_step *script = f->scripts[MIN(n, count - 1)];
    if (script->kind == FAKE_REFUSE)
        return error_set(err, (enum error_code)script->n, "refused by the script");
    struct fake_stream *s = NEW0(struct fake_stream);
    s->stream.ops = t->ops;
    s->handler = *handler;
    s->step = script;
    pthread_mutex_init(&s->lock, NULL);
    cond_init_monotonic(&s->changed);
    int r = thread_start(&s->thread, "fake-stream", play, s, err);
    if (r == 0)
        *ret = &s->stream;
    return r;
}

static void fake_stream_close(struct kube_stream *stream)
{
    struct fake_stream *s = (struct fake_stream *)stream;
    {
        LOCK(&s->lock);
        s->closing = true;
        pthread_cond_signal(&s->changed);
    }
    thread_join(s->thread);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void fake_free(struct kube_transport *t) {}

static const struct kube_transport_ops fake_ops = { fake_call, fake_stream, fake_stream_close,
                                                    fake_free };

void fake_init(struct fake_transport *f)
{
    *f = (struct fake_transport){ .transport.ops = &fake_ops };
    f->lock = mem_alloc(sizeof(pthread_mutex_t));
    pthread_mutex_init(f->lock, NULL);
}

void fake_done(struct fake_transport *f)
{
    pthread_mutex_destroy(f->lock);
    free(f->lock);
}
