/* Replies without an end: watches and logs. The same for HTTP and for in-process clients, who bring
 * a sink. */
#pragma once

#include "apiserver/request.h"

/* Immutable bytes that many streams send. */
struct shared_text {
    unsigned refs;
    size_t len;
    char data[];
};
struct shared_text *shared_text_new(const char *data, size_t len);
struct shared_text *shared_text_ref(struct shared_text *t);
void shared_text_unref(struct shared_text *t);

/* Where the bytes go. Any thread; never blocks. */
struct api_sink {
    /* 0; negative: the reader has gone or is too slow, the stream will be ended. */
    int (*write)(void *ctx, struct shared_text *t);
    void (*end)(void *ctx); /* last call */
    void *ctx;
};

/* A stream whose reply has been decided and whose bytes wait for a sink. */
struct api_stream_ops {
    /* Begins; the stream belongs to itself from here on and calls sink->end once. */
    void (*start)(struct api_stream *s, const struct api_sink *sink);
    /* The reader has gone: ends soon, with sink->end. After start. Any thread. */
    void (*cancel)(struct api_stream *s);
    /* Instead of start; ends both references. */
    void (*drop)(struct api_stream *s);
    void (*free)(struct api_stream *s);
};
struct api_stream {
    const struct api_stream_ops *ops;
    size_t max_pending; /* bytes that may wait for a slow reader */
    unsigned refs; /* two: its own, and that of the receiver, who may cancel late and then unrefs */
};
void api_stream_unref(struct api_stream *s);

/* Open watches: ends them when their time is over, sends bookmarks, one thread for all. */
struct streams;
int streams_new(struct apiserver *s, struct streams **ret, struct error **err);
/* Ends every stream and waits for it. */
void streams_stop(struct streams *t);
void streams_free(struct streams *t);

/* ---- the two kinds of streams --------------------------------------------------------------------------------- */

int watch_request(struct api_request *rq, struct api_reply *reply);
int pod_log_request(struct api_request *rq, struct api_reply *reply);
