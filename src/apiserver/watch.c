/* Watches. An event is made into text once per form and shared by all watches that want it; each
 * watch only decides whether, and as what, it sees the event: selectors turn a change into an ADDED
 * or a DELETED. */
#include <stdatomic.h>
#include <stdlib.h>

#include "apiserver/object_meta.h"
#include "apiserver/rest.h"
#include "apiserver/server.h"
#include "apiserver/stream_internal.h"
#include "apiserver/table.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "json/build.h"

#define MAX_PENDING (4 * MIB)
#define BOOKMARK_NS (60 * NS_PER_S)
#define LAST_BOOKMARK_NS (2 * NS_PER_S) /* before the end */
#define DEFAULT_TIMEOUT_S 1800 /* to twice as much, so that many watches do not end together */
#define MAX_EVENT (64 * MIB)

/* How an object is shown. */
struct form {
    enum accept_as as;
    const char *version; /* of Table and PartialObjectMetadata */
    const char *include_object;
};

struct watch {
    struct api_stream stream; /* first */
    struct kept_stream kept;
    struct apiserver *server;
    struct arena *a;
    struct registry *registry;
    const struct served_kind *kind;
    const char *ns;
    struct rest_filter filter;
    struct form form;
    bool bookmarks;
    bool initial; /* begins with what there is */
    bool initial_bookmark;
    struct store_list list; /* what there was when the request came */
    uint64_t from;
    int64_t deadline, next_bookmark; /* monotonic ns */

    atomic_bool over;
    pthread_mutex_t lock; /* orders what is written */
    struct api_sink sink;
    bool columns_sent;
    uint64_t last_version;
    struct store_watch *store_watch;
};

static struct watch *watch_of(struct api_stream *s)
{
    return (struct watch *)s;
}

static struct watch *watch_of_kept(struct kept_stream *k)
{
    return (struct watch *)((char *)k - offsetof(struct watch, kept));
}

/* ---- events as text ----------------------------------------------------------------------------------------------- */

static struct json *in_form(struct arena *a, const struct watch *w, const struct json *obj,
                            bool with_columns)
{
    const char *version = w->form.version ? w->form.version : "v1";
    switch (w->form.as) {
    case ACCEPT_TABLE: {
        struct json *table = table_from(a, w->kind->k, obj, w->form.include_object, with_columns,
                                        clock_wall(w->server->clock));
        json_set(a, table, "apiVersion", STRF("meta.k8s.io/%s", version));
        return table;
    }
    case ACCEPT_PARTIAL:
    case ACCEPT_PARTIAL_LIST:
        return rest_partial(a, obj, version);
    default:
        return json_clone(a, obj);
    }
}

static struct shared_text *event_line(const char *type, const char *object, size_t len)
{
    AUTO_BUF line = BUF_INIT(MAX_EVENT);
    buf_printf(&line, "{\"type\":\"%s\",\"object\":", type);
    buf_append(&line, object, len);
    buf_puts(&line, "}\n");
    return shared_text_new(line.data, line.len);
}

static struct shared_text *value_line(struct arena *a, const char *type, const struct json *v)
{
    const char *text = json_text(a, v);
    return event_line(type, text, strlen(text));
}

/* An object as an event. value may be NULL: then it is parsed when needed. */
static struct shared_text *object_line(struct arena *a, const struct watch *w, const char *type,
                                       const struct kube_object *o, const struct json *value,
                                       bool with_columns)
{
    if (w->form.as == ACCEPT_PLAIN && !value && rest_is_as_stored(w->kind, o))
        return event_line(type, o->text, o->text_len);
    if (!value)
        value = rest_view(a, w->kind, o);
    return value_line(a, type, in_form(a, w, value, with_columns));
}

/* ---- cache -------------------------------------------------------------------------------------------------------- */

void event_cache_done(struct event_cache *c)
{
    for (size_t i = 0; i < c->count; i++)
        shared_text_unref(c->texts[i].text);
    arena_free(c->a);
    *c = (struct event_cache){ 0 };
}

static void cache_begin(struct event_cache *c, const struct store_event *e)
{
    if (c->event_version == e->version)
        return;
    for (size_t i = 0; i < c->count; i++)
        shared_text_unref(c->texts[i].text);
    struct arena *a = c->a ? c->a : arena_new();
    arena_reset(a);
    *c = (struct event_cache){ .event_version = e->version, .a = a };
}

static const struct json *cached_value(struct event_cache *c, const struct watch *w,
                                       const struct store_event *e, bool previous)
{
    if (c->value_kind != w->kind) {
        c->value = c->previous = NULL;
        c->value_kind = w->kind;
    }
    struct json **at = previous ? &c->previous : &c->value;
    if (!*at)
        *at = rest_view(c->a, w->kind, previous ? e->previous : e->object);
    return *at;
}

static bool same_form(const struct event_text *t, const struct watch *w, const char *type, int form)
{
    return t->kind == w->kind && t->form == form && STREQ(t->type, type) &&
           str_eq(t->version, w->form.version) &&
           (w->form.as != ACCEPT_TABLE || STREQ(t->include_object, w->form.include_object));
}

/* left: the object has left the selection by this change; clients get its last state there, with
 * the change's version. */
static struct shared_text *cached_line(struct event_cache *c, const struct watch *w,
                                       const char *type, const struct store_event *e, bool left,
                                       bool with_columns)
{
    int form = (int)w->form.as * 4 + left * 2 + with_columns;
    for (size_t i = 0; i < c->count; i++) {
        if (same_form(&c->texts[i], w, type, form))
            return shared_text_ref(c->texts[i].text);
    }
    struct shared_text *t;
    if (left) {
        struct json *v = json_clone(c->a, cached_value(c, w, e, true));
        json_set(c->a, json_get(v, "metadata"), "resourceVersion",
                 json_new_stringf(c->a, "%llu", (unsigned long long)e->version));
        t = object_line(c->a, w, type, e->previous, v, with_columns);
    } else {
        const struct json *v = w->form.as == ACCEPT_PLAIN ? NULL : cached_value(c, w, e, false);
        t = object_line(c->a, w, type, e->object, v, with_columns);
    }
    if (c->count < EVENT_CACHE_TEXTS)
        c->texts[c->count++] = (struct event_text){
            .kind = w->kind,
            .type = type,
            .form = form,
            .include_object = arena_strdup(c->a, w->form.include_object),
            .version = arena_strdup(c->a, w->form.version),
            .text = shared_text_ref(t),
        };
    return t;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void end_soon(struct watch *w)
{
    if (!atomic_exchange(&w->over, true))
        streams_wake(w->server->streams);
}

/* With w->lock held; takes over t. False when the reader is gone or too slow. */
static bool write_line(struct watch *w, struct shared_text *t)
{
    bool fine = w->sink.write(w->sink.ctx, t) == 0;
    shared_text_unref(t);
    return fine;
}

static bool filter_sees(struct event_cache *c, const struct watch *w, const struct store_event *e,
                        bool previous)
{
    const struct kube_object *o = previous ? e->previous : e->object;
    if (!o)
        return false;
    const struct json *v = w->filter.fields_need_value ? cached_value(c, w, e, previous) : NULL;
    return rest_filter_matches(&w->filter, o, v);
}

/* On the store's delivery. */
static void on_event(void *ctx, const struct store_event *e)
{
    struct watch *w = ctx;
    if (atomic_load(&w->over))
        return;
    struct event_cache *c = &w->server->streams->cache;
    cache_begin(c, e);
    bool all = rest_filter_empty(&w->filter);
    bool before = e->previous && (all || filter_sees(c, w, e, true));
    bool now = e->type != STORE_DELETED && (all || filter_sees(c, w, e, false));
    bool fine = true;

    pthread_mutex_lock(&w->lock);
    w->last_version = e->version;
    if (before || now) {
        const char *type = !before ? "ADDED" : now ? "MODIFIED" : "DELETED";
        bool left = before && !now && e->type != STORE_DELETED;
        bool columns = w->form.as == ACCEPT_TABLE && !w->columns_sent;
        w->columns_sent |= columns;
        fine = write_line(w, cached_line(c, w, type, e, left, columns));
    }
    pthread_mutex_unlock(&w->lock);
    if (!fine)
        end_soon(w);
}

static bool write_bookmark(struct watch *w, uint64_t version, bool ends_initial)
{
    AUTO_ARENA a = arena_new();
    struct json *obj =
        OBJ("kind", STR(w->kind->k->resource.kind), "apiVersion", STR(w->kind->api_version),
            "metadata", OBJ("resourceVersion", STRF("%llu", (unsigned long long)version)));
    if (ends_initial)
        json_set(a, json_get(obj, "metadata"), "annotations",
                 OBJ("k8s.io/initial-events-end", STR("true")));
    if (w->form.as == ACCEPT_TABLE)
        obj = OBJ("kind", STR("Table"), "apiVersion", STRF("meta.k8s.io/%s", w->form.version),
                  "metadata", json_clone(a, json_get(obj, "metadata")), "columnDefinitions", NUL(),
                  "rows", EMPTY_ARR());
    else if (w->form.as == ACCEPT_PARTIAL || w->form.as == ACCEPT_PARTIAL_LIST)
        obj = rest_partial(a, obj, w->form.version);
    return write_line(w, value_line(a, "BOOKMARK", obj));
}

/* What there was, as ADDED. */
static bool write_initial(struct watch *w)
{
    bool fine = true;
    for (size_t i = 0; i < w->list.count && fine; i++) {
        AUTO_ARENA a = arena_new();
        const struct kube_object *o = w->list.items[i];
        struct json *v = w->filter.fields_need_value ? rest_view(a, w->kind, o) : NULL;
        if (!rest_filter_matches(&w->filter, o, v))
            continue;
        bool columns = w->form.as == ACCEPT_TABLE && !w->columns_sent;
        w->columns_sent |= columns;
        fine = write_line(w, object_line(a, w, "ADDED", o, v, columns));
    }
    if (fine && w->initial_bookmark)
        fine = write_bookmark(w, w->from, true);
    store_list_done(&w->list);
    return fine;
}

static void write_error(struct watch *w, const struct error *err)
{
    AUTO_ARENA a = arena_new();
    write_line(w, value_line(a, "ERROR", status_from_error(a, err)));
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static void watch_start(struct api_stream *s, const struct api_sink *sink)
{
    struct watch *w = watch_of(s);
    pthread_mutex_lock(&w->lock);
    w->sink = *sink;
    bool fine = !w->initial || write_initial(w);
    pthread_mutex_unlock(&w->lock);

    CLEANUP(error_cleanup) struct error *err = NULL;
    if (fine && store_watch(w->server->store, w->kind->resource, w->ns, w->from, on_event, w,
                            &w->store_watch, &err) < 0) {
        pthread_mutex_lock(&w->lock);
        write_error(w, err);
        pthread_mutex_unlock(&w->lock);
        fine = false;
    }
    if (!fine)
        atomic_store(&w->over, true);
    streams_add(w->server->streams, &w->kept);
}

static void watch_cancel(struct api_stream *s)
{
    end_soon(watch_of(s));
}

void api_stream_unref(struct api_stream *s)
{
    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
        s->ops->free(s);
}

static void watch_free(struct api_stream *s)
{
    struct watch *w = watch_of(s);
    store_list_done(&w->list);
    rest_filter_done(&w->filter);
    registry_unref(w->registry);
    pthread_mutex_destroy(&w->lock);
    arena_free(w->a);
    free(w);
}

static void watch_drop(struct api_stream *s)
{
    streams_release(watch_of(s)->server->streams);
    api_stream_unref(s);
    api_stream_unref(s);
}

/* One shortly before the end lets the client go on from there. */
static int64_t next_bookmark(const struct watch *w, int64_t now)
{
    int64_t regular = now + BOOKMARK_NS, last = w->deadline - LAST_BOOKMARK_NS;
    return last > now && last < regular ? last : regular;
}

static int64_t watch_tick(struct kept_stream *k, int64_t now)
{
    struct watch *w = watch_of_kept(k);
    if (atomic_load(&w->over) || now >= w->deadline || served_kind_retired(w->kind))
        return 0;
    if (!w->bookmarks)
        return w->deadline;
    if (now >= w->next_bookmark) {
        w->next_bookmark = next_bookmark(w, now);
        pthread_mutex_lock(&w->lock);
        bool fine =
            write_bookmark(w, MAX(store_delivered_version(w->server->store), w->last_version),
                           false);
        pthread_mutex_unlock(&w->lock);
        if (!fine)
            return 0;
    }
    return MIN(w->deadline, w->next_bookmark);
}

static void watch_finish(struct kept_stream *k)
{
    struct watch *w = watch_of_kept(k);
    struct streams *streams = w->server->streams;
    atomic_store(&w->over, true);
    if (w->store_watch)
        store_watch_close(w->store_watch);
    w->sink.end(w->sink.ctx);
    api_stream_unref(&w->stream);
    streams_release(streams);
}

static const struct api_stream_ops watch_stream_ops = {
    .start = watch_start,
    .cancel = watch_cancel,
    .drop = watch_drop,
    .free = watch_free,
};
static const struct kept_stream_ops watch_kept_ops = { .tick = watch_tick, .finish = watch_finish };

/* ---- the request -------------------------------------------------------------------------------------------------- */

static int parse_timeout(struct api_request *rq, int64_t *ret_ns)
{
    const char *text = request_param(rq, "timeoutSeconds");
    int64_t seconds = 0;
    if (!str_empty(text) && str_to_int64(text, &seconds) < 0)
        return request_failf(rq, "BadRequest", "strconv.ParseInt: parsing %s: invalid syntax",
                             go_quote(rq->a, text));
    if (seconds <= 0 || seconds > INT64_MAX / NS_PER_S / 2)
        *ret_ns = (int64_t)((1.0 + rand_unit()) * DEFAULT_TIMEOUT_S * (double)NS_PER_S);
    else
        *ret_ns = seconds * NS_PER_S;
    return 0;
}

/* Where it begins: with what there is now, or behind a version. */
static int parse_begin(struct api_request *rq, struct watch *w)
{
    const char *initial = request_param(rq, "sendInitialEvents");
    uint64_t version = 0;
    int r = rest_parse_version(rq, request_param(rq, "resourceVersion"), &version);
    if (r < 0)
        return r;
    bool wants = request_flag(rq, "sendInitialEvents");
    w->bookmarks = request_flag(rq, "allowWatchBookmarks");
    w->initial = str_empty(initial) ? version == 0 : wants;
    w->initial_bookmark = wants && w->bookmarks;
    if (w->initial && version > store_version(rq->server->store))
        return rest_fail_too_large_version(rq, version);
    w->from = version;
    if (w->initial) {
        store_list(rq->server->store, rq->kind->resource, rq->ns, NULL, 0, &w->list);
        w->from = w->list.version;
        for (size_t i = 0; i < w->list.count; i++)
            w->stream.max_pending += w->list.items[i]->text_len * 2 + KIB;
    } else if (version == 0) {
        w->from = store_version(rq->server->store);
    }
    return 0;
}

int watch_request(struct api_request *rq, struct api_reply *reply)
{
    struct apiserver *s = rq->server;
    int64_t timeout = 0;
    struct rest_filter filter = { 0 };
    int r = rest_check_list_options(rq, true);
    if (r == 0)
        r = parse_timeout(rq, &timeout);
    if (r == 0)
        r = rest_filter_parse(rq, &filter);
    if (r < 0)
        return r;
    if (!streams_reserve(s->streams, s->o.max_watchers)) {
        rest_filter_done(&filter);
        return request_failf(rq, "TooManyRequests", "too many watches are open");
    }
    struct watch *w = NEW0(struct watch);
    w->stream =
        (struct api_stream){ .ops = &watch_stream_ops, .refs = 2, .max_pending = MAX_PENDING };
    w->kept.ops = &watch_kept_ops;
    w->server = s;
    w->a = arena_new();
    w->registry = registry_ref(rq->registry);
    w->kind = rq->kind;
    w->ns = arena_strdup(w->a, rq->ns);
    w->filter = filter;
    const char *include = request_param(rq, "includeObject");
    w->form = (struct form){
        .as = rq->accepted.as,
        .version = arena_strdup(w->a, rq->accepted.version),
        .include_object = arena_strdup(w->a, str_empty(include) ? "Metadata" : include),
    };
    int64_t now = clock_mono(s->clock);
    w->deadline = now + timeout;
    w->next_bookmark = next_bookmark(w, now);
    pthread_mutex_init(&w->lock, NULL);
    r = parse_begin(rq, w);
    if (r < 0) {
        watch_drop(&w->stream);
        return r;
    }
    reply->status = 200;
    reply->content_type = "application/json";
    reply->stream = &w->stream;
    return 0;
}
