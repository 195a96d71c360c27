/* One watch connection: frames lines, decodes events, notices dead streams. The informer
 * (informer.h) is what most code wants. */
#pragma once

#include "kube/client.h"

enum watch_event_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK };

struct watch_options {
    const char *ns;
    const char *label_selector;
    const char *field_selector;
    const char *resource_version;
    int64_t timeout_s;       /* asked of the server; 0: 5 to 10 minutes at random */
    int64_t idle_timeout_ms; /* no byte for so long: dead; 0: none beyond timeout_s + 30 s */
    size_t max_line;         /* bytes of one event; 0: 16 MiB */
};

struct watch_handler {
    /* obj lives in the arena that dies after the call. On a thread of the transport. */
    void (*on_event)(void *ctx, enum watch_event_type type, struct arena *a, struct json *obj);
    /* Last call. NULL: the server ended it in order; code GONE: list again. */
    void (*on_end)(void *ctx, const struct error *err);
    void *ctx;
};

struct watch;
/* The handler may run before this returns. On failure it does not run at all. */
int watch_open(struct kube_client *c, const struct kube_resource *r,
               const struct watch_options *options, const struct watch_handler *handler,
               struct watch **ret, struct error **err);
/* When it returns, the handler does not run and will not. Not from a handler. NULL is fine. */
void watch_close(struct watch *w);

/* Newline framing, for tests and fuzzing: feeds bytes, calls on_line for each complete line,
 * without its end. A line longer than pending.max is -ERROR_TOO_LARGE. A negative value from
 * on_line is returned at once, without an error text. */
struct line_framer {
    struct buf pending;
    int (*on_line)(void *ctx, const char *line, size_t len);
    void *ctx;
};
int line_framer_feed(struct line_framer *f, const char *data, size_t len, struct error **err);
