/* What stream.c shares with the kinds of streams that it keeps. */
#pragma once

#include "apiserver/registry.h"
#include "apiserver/stream.h"
#include "base/thread.h"

struct kept_stream;

struct kept_stream_ops {
    /* With the keeper's lock held, often. 0: it is over; else when to be called again (monotonic
     * ns, INT64_MAX: when woken). */
    int64_t (*tick)(struct kept_stream *k, int64_t now_mono_ns);
    /* Ends it, releases its place and frees it. */
    void (*finish)(struct kept_stream *k);
};
struct kept_stream {
    const struct kept_stream_ops *ops;
    struct kept_stream *next;
};

/* What was made of the event that is being delivered, for all watches that want the same form of
 * it. Used under the store's delivery only, which is never in two threads. */
struct event_text {
    const struct served_kind *kind;
    const char *type;
    int form;
    const char *include_object; /* the arena's */
    const char *version;
    struct shared_text *text;
};
#define EVENT_CACHE_TEXTS 8
struct event_cache {
    uint64_t event_version;
    struct arena *a;
    const struct served_kind *value_kind;
    struct json *value, *previous;
    struct event_text texts[EVENT_CACHE_TEXTS];
    size_t count;
};
void event_cache_done(struct event_cache *c);

struct streams {
    struct apiserver *server;
    pthread_mutex_t lock;
    pthread_cond_t wake, gone;
    bool poked, stopping;
    struct kept_stream *first;
    size_t count; /* places taken */
    pthread_t thread;
    struct event_cache cache;
};

/* A place among the open streams; false when all are taken or the server stops. */
bool streams_reserve(struct streams *t, size_t max);
void streams_release(struct streams *t);
void streams_add(struct streams *t, struct kept_stream *k);
void streams_wake(struct streams *t);
size_t streams_count(struct streams *t);
