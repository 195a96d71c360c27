/* A watch is an endless answer of one JSON object per line. Here it becomes events; whatever is not
 * as it should be ends it with an error that says what, and the informer above starts again from
 * what it knows. */
#include "kube/watch.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/api_error.h"
#include "kube/client_internal.h"
#include "kube/query.h"

#define MAX_PATH (64 * KIB)
#define MAX_ERROR_BODY (64 * KIB)
#define DEFAULT_MAX_LINE (16 * MIB)
#define SHORTEST_S 300 /* clients that started together shall not come back together */
#define GRACE_S 30

struct watch {
    struct watch_handler handler;
    struct kube_stream *stream;
    struct line_framer framer;
    struct arena *arena; /* of the event that is being handled */
    int status;
    struct buf error_body; /* of an answer that is not 200 */
    struct error *failure; /* why we ended it ourselves */
};

/* ---- lines -------------------------------------------------------------------------------------------------- */

static int end_of_line(struct line_framer *f, const char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r')
        len--;
    return f->on_line(f->ctx, line, len);
}

int line_framer_feed(struct line_framer *f, const char *data, size_t len, struct error **err)
{
    while (len > 0) {
        const char *newline = memchr(data, '\n', len);
        size_t part = newline ? (size_t)(newline - data) : len;
        if (f->pending.len + part > f->pending.max)
            return error_set(err, ERROR_TOO_LARGE, "a line of the stream is longer than %zu bytes",
                             f->pending.max);
        if (!newline) {
            buf_append(&f->pending, data, len);
            return 0;
        }
        int r;
        if (f->pending.len == 0) {
            r = end_of_line(f, data, part);
        } else {
            buf_append(&f->pending, data, part);
            r = end_of_line(f, f->pending.data, f->pending.len);
            buf_clear(&f->pending);
        }
        if (r < 0)
            return r;
        data += part + 1;
        len -= part + 1;
    }
    return 0;
}

/* ---- events ------------------------------------------------------------------------------------------------- */

static int handle_event(struct watch *w, const struct json *event, struct error **err)
{
    static const char *const types[] = {
        [WATCH_ADDED] = "ADDED",
        [WATCH_MODIFIED] = "MODIFIED",
        [WATCH_DELETED] = "DELETED",
        [WATCH_BOOKMARK] = "BOOKMARK",
    };
    const char *type = json_find_str(event, "type");
    struct json *obj = json_get(event, "object");
    if (!type || !json_is_object(obj))
        return error_set(err, ERROR_INTERNAL, "a line of the watch is not an event");
    if (STREQ(type, "ERROR"))
        return kube_error_from_status(obj, err);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (STREQ(type, types[i])) {
            w->handler.on_event(w->handler.ctx, (enum watch_event_type)i, w->arena, obj);
            return 0;
        }
    }
    return error_set(err, ERROR_INTERNAL, "a watch event has the unknown type \"%.32s\"", type);
}

static int on_line(void *ctx, const char *line, size_t len)
{
    struct watch *w = ctx;
    if (len == 0)
        return 0;
    struct json *event = NULL;
    int r = json_parse(w->arena, line, len, &event, &w->failure);
    if (r < 0)
        error_prefix(&w->failure, r, "a line of the watch is not JSON");
    else
        r = handle_event(w, event, &w->failure);
    arena_reset(w->arena);
    return r;
}

/* ---- the stream --------------------------------------------------------------------------------------------- */

static void on_status(void *ctx, int status)
{
    struct watch *w = ctx;
    w->status = status;
}

static bool on_data(void *ctx, const char *data, size_t len)
{
    struct watch *w = ctx;
    if (w->failure)
        return false;
    if (w->status != 200) {
        buf_append(&w->error_body, data, MIN(len, w->error_body.max - w->error_body.len));
        return true;
    }
    return line_framer_feed(&w->framer, data, len, &w->failure) == 0;
}

static void on_end(void *ctx, const struct error *err)
{
    struct watch *w = ctx;
    if (!w->failure && !err && w->status != 200) {
        kube_error_from_answer(w->status, buf_str(&w->error_body), w->error_body.len, 0,
                               &w->failure);
    } else if (!w->failure && !err && w->framer.pending.len > 0) {
        error_set(&w->failure, ERROR_UNAVAILABLE,
                  "the watch was cut off in the middle of an event");
    }
    w->handler.on_end(w->handler.ctx, w->failure ? w->failure : err);
}

static void watch_free(struct watch *w)
{
    buf_done(&w->framer.pending);
    buf_done(&w->error_body);
    error_free(w->failure);
    arena_free(w->arena);
    free(w);
}

int watch_open(struct kube_client *c, const struct kube_resource *r,
               const struct watch_options *options, const struct watch_handler *handler,
               struct watch **ret, struct error **err)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF path = BUF_INIT(MAX_PATH);
    int64_t timeout_s = options->timeout_s > 0 ? options->timeout_s
                                               : SHORTEST_S + (int64_t)(rand_unit() * SHORTEST_S);
    buf_puts(&path, kube_path(a, r, options->ns, NULL, NULL));
    query_add(&path, "watch", "true");
    query_add(&path, "allowWatchBookmarks", "true");
    query_add(&path, "resourceVersion", options->resource_version);
    query_add(&path, "labelSelector",
              str_empty(options->label_selector) ? NULL : options->label_selector);
    query_add(&path, "fieldSelector",
              str_empty(options->field_selector) ? NULL : options->field_selector);
    query_add_int(&path, "timeoutSeconds", timeout_s);
    if (!buf_ok(&path))
        return error_set(err, ERROR_TOO_LARGE, "the selectors are longer than %zu KiB",
                         (size_t)(MAX_PATH / KIB));

    struct watch *w = NEW0(struct watch);
    w->handler = *handler;
    w->arena = arena_new();
    w->error_body = (struct buf)BUF_INIT(MAX_ERROR_BODY);
    w->framer = (struct line_framer){
        .pending = BUF_INIT(options->max_line > 0 ? options->max_line : DEFAULT_MAX_LINE),
        .on_line = on_line,
        .ctx = w,
    };
    struct kube_request request = {
        .method = "GET",
        .path = buf_str(&path),
        .idle_timeout_ms =
            options->idle_timeout_ms > 0 ? options->idle_timeout_ms : (timeout_s + GRACE_S) * 1000,
        .cancel = kube_client_cancel(c),
    };
    struct kube_stream_handler stream_handler = { on_status, on_data, on_end, w };
    struct kube_transport *t = kube_client_transport(c);
    int rc = t->ops->stream(t, &request, &stream_handler, &w->stream, err);
    if (rc < 0) {
        watch_free(w);
        return rc;
    }
    *ret = w;
    return 0;
}

void watch_close(struct watch *w)
{
    if (!w)
        return;
    kube_stream_close(w->stream);
    watch_free(w);
}
