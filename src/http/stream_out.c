/* A reply of unknown length. Writers leave bytes in `pending`; the connection's thread fetches them
 * when the socket has room, and sleeps (suspended) when there are none. See server_internal.h for
 * the threads and the locks. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "http/server_internal.h"

/* For HTTP/1.0 clients, who get no chunks. */
#define BLOCK_SIZE (4 * KIB)
/* A buffer that grew beyond this for a slow moment is given back once it is empty. */
#define KEEP_MAX (64 * KIB)

struct http_stream_out {
    int refs; /* the owner's, the exchange's, the response's */
    pthread_mutex_t mutex;
    struct http_server *server;
    struct MHD_Connection *connection; /* while attached */
    struct buf pending;                /* its first `sent` bytes are gone already */
    size_t sent;
    size_t max_pending;
    bool suspended;
    bool ended;    /* by the owner: nothing more will be written */
    bool cut;      /* the client was too slow */
    bool gone;     /* the client has left */
    bool detached; /* the request is over */
    int hangup;    /* of the connection's thread only */
    int fd;

    void (*on_close)(void *ctx);
    void *ctx;
    bool closing; /* on_close runs, on closing_thread */
    pthread_t closing_thread;
    pthread_cond_t closed;
};

void stream_out_ref(struct http_stream_out *out)
{
    __atomic_add_fetch(&out->refs, 1, __ATOMIC_RELAXED);
}

void stream_out_unref(struct http_stream_out *out)
{
    if (__atomic_sub_fetch(&out->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    buf_done(&out->pending);
    pthread_cond_destroy(&out->closed);
    pthread_mutex_destroy(&out->mutex);
    free(out);
}

static void unref_by_response(void *cls)
{
    stream_out_unref(cls);
}

/* Under the mutex. */
static void wake(struct http_stream_out *out)
{
    if (out->suspended) {
        out->suspended = false;
        MHD_resume_connection(out->connection);
    }
}

/* On the connection's thread. */
static ssize_t fetch(void *cls, uint64_t position, char *buffer, size_t max)
{
    struct http_stream_out *out = cls;
    LOCK(&out->mutex);
    if (out->gone || out->cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = MIN(out->pending.len - out->sent, max);
    if (n > 0) {
        memcpy(buffer, out->pending.data + out->sent, n);
        out->sent += n;
        if (out->sent == out->pending.len) {
            out->sent = 0;
            buf_clear(&out->pending);
            if (out->pending.cap > KEEP_MAX)
                buf_done(&out->pending);
        }
        return (ssize_t)n;
    }
    if (out->ended || server_stage(out->server) != SERVER_RUNS)
        return MHD_CONTENT_READER_END_OF_STREAM;
    MHD_suspend_connection(out->connection);
    out->suspended = true;
    return 0;
}

struct http_stream_out *http_reply_stream(struct http_exchange *x, int status,
                                          const char *content_type, size_t max_pending,
                                          void (*on_close)(void *ctx), void *ctx)
{
    struct http_stream_out *out = NEW0(struct http_stream_out);
    out->refs = 3;
    pthread_mutex_init(&out->mutex, NULL);
    pthread_cond_init(&out->closed, NULL);
    out->server = x->server;
    out->pending = (struct buf)BUF_INIT(SIZE_MAX);
    out->max_pending = max_pending;
    out->hangup = -1;
    out->on_close = on_close;
    out->ctx = ctx;
    exchange_give(x, status, content_type,
                  MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, fetch, out,
                                                    unref_by_response),
                  out);
    return out;
}

void stream_out_attach(struct http_stream_out *out, struct MHD_Connection *connection)
{
    {
        LOCK(&out->mutex);
        out->connection = connection;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info) {
        out->fd = info->connect_fd;
        out->hangup = hangups_add(out->server->hangups, out->fd, out);
    }
}

void stream_out_detach(struct http_stream_out *out)
{
    if (out->hangup >= 0)
        hangups_remove(out->server->hangups, out->hangup, out->fd);
    {
        LOCK(&out->mutex);
        out->detached = true;
        out->suspended = false;
        out->connection = NULL;
        buf_done(&out->pending);
        out->sent = 0;
        if (out->ended || !out->on_close)
            return;
        out->closing = true;
        out->closing_thread = pthread_self();
    }
    /* Outside of the lock, so that on_close may write and end. http_stream_end() on another thread
     * waits for it. */
    out->on_close(out->ctx);
    LOCK(&out->mutex);
    out->closing = false;
    pthread_cond_broadcast(&out->closed);
}

void stream_out_refuse(struct http_stream_out *out)
{
    LOCK(&out->mutex);
    out->detached = true;
}

void stream_out_shut(struct http_stream_out *out)
{
    LOCK(&out->mutex);
    wake(out);
}

void stream_out_hangup(struct http_stream_out *out)
{
    LOCK(&out->mutex);
    out->gone = true;
    wake(out);
}

int http_stream_write(struct http_stream_out *out, const void *data, size_t len)
{
    LOCK(&out->mutex);
    if (out->cut)
        return -ERROR_TOO_LARGE;
    if (out->detached || out->gone)
        return -ERROR_CANCELLED;
    size_t waiting = out->pending.len - out->sent;
    if (len > out->max_pending || waiting > out->max_pending - len) {
        out->cut = true;
        wake(out);
        return -ERROR_TOO_LARGE;
    }
    if (out->sent > out->pending.len / 2) {
        buf_consume(&out->pending, out->sent);
        out->sent = 0;
    }
    buf_append(&out->pending, data, len);
    if (len > 0)
        wake(out);
    return 0;
}

void http_stream_end(struct http_stream_out *out)
{
    {
        LOCK(&out->mutex);
        out->ended = true;
        wake(out);
        while (out->closing && !pthread_equal(out->closing_thread, pthread_self()))
            pthread_cond_wait(&out->closed, &out->mutex);
    }
    stream_out_unref(out);
}
