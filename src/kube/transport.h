/* How requests reach an API server: over HTTP (kube/http_transport.c) or straight into the embedded
 * one (apiserver/transport.h). Everything above is the same for both. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

struct kube_transport;
struct kube_stream;
struct kube_cancel; /* kube/cancel.h */

/* error_reason() of an UNAVAILABLE that says: nobody listened, so nothing was sent. */
#define KUBE_REASON_REFUSED "ConnectionRefused"

struct kube_request {
    const char *method;
    const char *path;         /* with query */
    const char *content_type; /* of body; NULL: application/json */
    const char *accept;       /* NULL: application/json */
    const char *body;
    size_t body_len;
    int64_t timeout_ms;      /* calls; 0: 30 s */
    int64_t idle_timeout_ms; /* streams; 0: none */
    /* Once it is set, a call ends with CANCELLED, and opening a stream does not wait for anything.
     * NULL: none. A transport that never waits may ignore it. */
    struct kube_cancel *cancel;
};

struct kube_response {
    int status;
    struct buf body;        /* buf_done() */
    int64_t retry_after_ms; /* from Retry-After; 0: none */
};

/* Called on a thread of the transport; must not block for long. on_end is the last call. */
struct kube_stream_handler {
    void (*on_status)(void *ctx, int status);
    bool (*on_data)(void *ctx, const char *data, size_t len); /* false ends the stream */
    void (*on_end)(void *ctx, const struct error *err);       /* NULL: clean end */
    void *ctx;
};

struct kube_transport_ops {
    int (*call)(struct kube_transport *t, const struct kube_request *request,
                struct kube_response *ret, struct error **err);
    int (*stream)(struct kube_transport *t, const struct kube_request *request,
                  const struct kube_stream_handler *handler, struct kube_stream **ret,
                  struct error **err);
    /* Ends it if open and frees it; no handler runs after it returns. Not from a handler. */
    void (*stream_close)(struct kube_stream *s);
    void (*free)(struct kube_transport *t);
};

/* Implementations embed this first. */
struct kube_transport {
    const struct kube_transport_ops *ops;
};
struct kube_stream {
    const struct kube_transport_ops *ops;
};

static inline void kube_transport_free(struct kube_transport *t)
{
    if (t)
        t->ops->free(t);
}
static inline void kube_stream_close(struct kube_stream *s)
{
    if (s)
        s->ops->stream_close(s);
}
