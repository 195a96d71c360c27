/* The informer's thread is a loop of two steps: list when there is no version to go on from, then
 * watch until the watch ends. How it ended decides what is next:
 *
 *     in order                       watch again from the last version
 *     GONE                           list again
 *     NOT_FOUND, when optional       list again: the resource itself may be gone
 *     anything else                  wait, then watch again from the last version
 *
 * A list is compared with the cache, so that handlers see what changed meanwhile and nothing else.
 * Objects enter the cache page by page, as bytes, so that a list of many thousands never lies in
 * memory as parsed values.
 *
 * Events are applied on the transport's thread and list results on the informer's own, but never at
 * the same time: the watch is closed before the next list. */
#include "kube/informer.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/cancel.h"
#include "kube/meta.h"
#include "kube/store.h"
#include "kube/watch.h"

#define PAGE_SIZE 500
#define MAX_HANDLERS 8
#define LIST_TIMEOUT_MS 60000
#define IDLE_TIMEOUT_MS 150000 /* API servers send a bookmark about once a minute */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS 30000
#define ABSENT_FIRST_MS 250
#define OTHER_LOOK_MS 20
#define ABSENT_LAST_MS 30000
#define HEALTHY_NS (60 * NS_PER_S)
#define SHORT_LIVED_NS (1 * NS_PER_S)

struct informer {
    struct kube_client *client;
    const struct kube_resource *resource;
    char *ns, *label_selector, *field_selector;
    void (*project)(struct arena *a, struct json *obj);
    bool (*keep)(void *ctx, const struct json *obj);
    void *keep_ctx;
    struct informer *after;
    informer_listed_handler *on_listed;
    void *listed_ctx;
    bool optional;
    int64_t absent_poll_ms;
    informer_served_handler *on_served;
    void *served_ctx;
    struct {
        informer_handler *fn;
        void *ctx;
    } handlers[MAX_HANDLERS];
    size_t handler_count;
    struct kube_store *store;

    pthread_t thread;
    bool started;

    /* of whoever applies changes at the moment */
    struct buf version; /* to watch from; empty: list first */

    /* of the thread */
    int64_t backoff_ms;
    bool got_event;         /* from the watch that is open or was last */
    int64_t absent_ms;      /* until an absent resource is asked for again; 0: it is served */
    enum error_code logged; /* the failure that was logged last; OK: none since things went well */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    bool stopping;
    bool synced;
    bool absent; /* the server does not serve the resource */
    bool relist;
    uint64_t lists_begun, list_done; /* the ordinal of the last one that is in the cache */
    bool watch_ended;
    struct error *watch_error; /* how */
    char *list_error;          /* text of the last one, for those who wait for the first list */
};

struct informer *informer_new(struct kube_client *c, const struct kube_resource *r,
                              const struct informer_options *options)
{
    static const struct informer_options everything = { 0 };
    const struct informer_options *o = options ? options : &everything;
    struct informer *i = NEW0(struct informer);
    i->client = kube_client_new(kube_client_transport(c),
                                &(struct kube_client_options){ .timeout_ms = LIST_TIMEOUT_MS,
                                                               .no_retry = true });
    i->resource = r;
    i->ns = mem_strdup(o->ns);
    i->label_selector = mem_strdup(o->label_selector);
    i->field_selector = mem_strdup(o->field_selector);
    i->project = o->project;
    i->keep = o->keep;
    i->keep_ctx = o->keep_ctx;
    i->after = o->after;
    i->optional = o->optional;
    i->absent_poll_ms = o->absent_poll_ms > 0 ? o->absent_poll_ms : ABSENT_LAST_MS;
    i->store = kube_store_new(o->index_label);
    i->version = (struct buf)BUF_INIT(KIB);
    i->backoff_ms = BACKOFF_FIRST_MS;
    pthread_mutex_init(&i->lock, NULL);
    cond_init_monotonic(&i->changed);
    return i;
}

void informer_add_handler(struct informer *i, informer_handler *handler, void *ctx)
{
    if (i->handler_count == MAX_HANDLERS || i->started)
        abort(); /* a mistake of ours, found on the first run */
    i->handlers[i->handler_count].fn = handler;
    i->handlers[i->handler_count++].ctx = ctx;
}

void informer_on_listed(struct informer *i, informer_listed_handler *handler, void *ctx)
{
    if (i->on_listed || i->started)
        abort(); /* a mistake of ours, found on the first run */
    i->on_listed = handler;
    i->listed_ctx = ctx;
}

void informer_on_served(struct informer *i, informer_served_handler *handler, void *ctx)
{
    if (i->on_served || i->started)
        abort(); /* a mistake of ours, found on the first run */
    i->on_served = handler;
    i->served_ctx = ctx;
}

/* ---- changes ------------------------------------------------------------------------------------------------ */

static void notify(struct informer *i, struct kube_object *old, struct kube_object *now)
{
    for (size_t n = 0; n < i->handler_count; n++)
        i->handlers[n].fn(i->handlers[n].ctx, old, now);
}

static void put(struct informer *i, struct kube_object *o)
{
    struct kube_store_change change;
    if (!kube_store_put(i->store, o, &change))
        return;
    if (change.old && !STREQ(change.old->uid, change.now->uid)) {
        notify(i, change.old, NULL);
        notify(i, NULL, change.now);
    } else {
        notify(i, change.old, change.now);
    }
    kube_store_change_done(&change);
}

static void remove_object(struct informer *i, const char *ns, const char *name)
{
    struct kube_store_change change;
    if (!kube_store_remove(i->store, ns, name, &change))
        return;
    notify(i, change.old, NULL);
    kube_store_change_done(&change);
}

/* NULL: it is not to be kept. */
static struct kube_object *object_of(struct informer *i, struct arena *a, struct json *obj)
{
    json_del(json_get(obj, "metadata"), "managedFields");
    if (i->project)
        i->project(a, obj);
    return !i->keep || i->keep(i->keep_ctx, obj) ? kube_object_new(obj) : NULL;
}

static void set_version(struct informer *i, const char *version)
{
    buf_clear(&i->version);
    buf_puts(&i->version, version);
}

/* ---- list --------------------------------------------------------------------------------------------------- */

static void set_done(struct object_set *s)
{
    for (size_t n = 0; n < s->count; n++)
        kube_object_unref(s->items[n]);
    free(s->items);
}

static int compare_items(const void *x, const void *y)
{
    return kube_object_compare(*(struct kube_object *const *)x, *(struct kube_object *const *)y);
}

struct fetched {
    struct informer *informer;
    struct object_set *all;
};

static void on_item(void *ctx, struct arena *a, struct json *item)
{
    const struct fetched *f = ctx;
    const struct kube_resource *r = f->informer->resource;
    /* List items come without these; whoever reads the object alone wants them. */
    if (json_is_object(item) && !json_get(item, "kind")) {
        json_set_str(a, item, "apiVersion", kube_api_version(a, r));
        json_set_str(a, item, "kind", r->kind);
    }
    struct kube_object *o = object_of(f->informer, a, item);
    if (o)
        object_set_insert(f->all, f->all->count, o);
}

/* All pages into `ret`, unsorted, and the version of the list. */
static int fetch(struct informer *i, int64_t limit, struct object_set *ret, struct buf *ret_version,
                 struct error **err)
{
    struct kube_list_options options = {
        .ns = i->ns,
        .label_selector = i->label_selector,
        .field_selector = i->field_selector,
        .limit = limit,
    };
    struct fetched fetched = { i, ret };
    const struct kube_item_handler handler = { on_item, &fetched };
    AUTO_FREE char *token = NULL;
    AUTO_ARENA a = arena_new();
    do {
        arena_reset(a);
        struct json *list = NULL;
        const char *next = "";
        int r = kube_list_items(i->client, i->resource, &options, token, &handler, a, &list, &next,
                                err);
        if (r < 0)
            return r;
        buf_clear(ret_version);
        buf_puts(ret_version, meta_resource_version(list));
        free(token);
        token = *next ? mem_strdup(next) : NULL;
    } while (token);
    if (ret_version->len == 0)
        return error_set(err, ERROR_INTERNAL, "the list has no resourceVersion");
    return 0;
}

/* Brings the cache from what it was to what the list says. `fresh` is sorted; its references move
 * into the cache. */
static void replace_all(struct informer *i, struct object_set *fresh)
{
    struct kube_object_list old;
    kube_store_list(i->store, NULL, NULL, &old);
    size_t f = 0;
    for (size_t n = 0; n < old.count; n++) {
        while (f < fresh->count && kube_object_compare(fresh->items[f], old.items[n]) < 0)
            f++;
        if (f == fresh->count || kube_object_compare(fresh->items[f], old.items[n]) != 0)
            remove_object(i, old.items[n]->ns, old.items[n]->name);
    }
    kube_object_list_done(&old);
    for (f = 0; f < fresh->count; f++)
        put(i, fresh->items[f]);
    fresh->count = 0;
}

/* Fetches again, from the beginning and in other pages, when it is the pages that do not work. */
static int fetch_somehow(struct informer *i, struct object_set *ret, struct buf *ret_version,
                         struct error **err)
{
    for (int64_t limit = PAGE_SIZE;;) {
        struct error *why = NULL;
        int r = fetch(i, limit, ret, ret_version, &why);
        if (r == -ERROR_GONE && limit > 0)
            limit = 0; /* they took longer than the server keeps a version: all at once cannot */
        else if (r == -ERROR_TOO_LARGE && limit > 1)
            limit = MAX(limit / 10, (int64_t)1); /* large objects */
        else {
            if (why)
                *err = why;
            return r;
        }
        error_free(why);
        set_done(ret);
        *ret = (struct object_set){ 0 };
    }
}

/* Tells those who want to know when the resource came or went. */
static void set_absent(struct informer *i, bool absent)
{
    bool was = false;
    {
        LOCK(&i->lock);
        was = i->absent;
        i->absent = absent;
    }
    if (absent)
        i->absent_ms = MIN(i->absent_ms ? i->absent_ms * 2 : ABSENT_FIRST_MS, i->absent_poll_ms);
    else
        i->absent_ms = 0;
    if (was != absent && i->on_served)
        i->on_served(i->served_ctx, !absent);
}

static int list(struct informer *i, struct error **err)
{
    struct object_set fresh = { 0 };
    AUTO_BUF version = BUF_INIT(KIB);
    uint64_t ordinal = 0;
    {
        LOCK(&i->lock);
        i->relist = false;
        ordinal = ++i->lists_begun;
    }
    int r = fetch_somehow(i, &fresh, &version, err);
    bool absent = i->optional && r == -ERROR_NOT_FOUND;
    if (absent) { /* nothing is all there is of it */
        error_free(TAKE_PTR(*err));
        set_done(&fresh);
        fresh = (struct object_set){ 0 };
        replace_all(i, &fresh);
        r = 0;
    } else if (r == 0) {
        set_absent(i, false);
        if (fresh.count > 1)
            qsort(fresh.items, fresh.count, sizeof(struct kube_object *), compare_items);
        replace_all(i, &fresh);
        set_version(i, buf_str(&version));
    }
    set_done(&fresh);
    if (absent)
        set_absent(i, true);

    LOCK(&i->lock);
    free(i->list_error);
    i->list_error = r < 0 ? mem_strdup(error_message(*err)) : NULL;
    i->synced = i->synced || r == 0;
    if (r == 0)
        i->list_done = ordinal;
    pthread_cond_broadcast(&i->changed);
    return r;
}

/* ---- watch -------------------------------------------------------------------------------------------------- */

static void on_event(void *ctx, enum watch_event_type type, struct arena *a, struct json *obj)
{
    struct informer *i = ctx;
    i->got_event = true;
    const char *version = arena_strdup(a, meta_resource_version(obj));
    if (type == WATCH_DELETED)
        remove_object(i, meta_namespace(obj), meta_name(obj));
    else if (type != WATCH_BOOKMARK) {
        struct kube_object *o = object_of(i, a, obj);
        if (o)
            put(i, o);
        else
            remove_object(i, meta_namespace(obj), meta_name(obj));
    }
    if (*version)
        set_version(i, version);
}

static void on_end(void *ctx, const struct error *err)
{
    struct informer *i = ctx;
    LOCK(&i->lock);
    if (err) {
        error_set(&i->watch_error, error_code(err), "%s", error_message(err));
        error_set_retry_after(i->watch_error, error_retry_after_ms(err));
    }
    i->watch_ended = true;
    pthread_cond_broadcast(&i->changed);
}

/* Until it ends or the informer stops. */
static int watch(struct informer *i, struct error **err)
{
    struct watch_options options = {
        .ns = i->ns,
        .label_selector = i->label_selector,
        .field_selector = i->field_selector,
        .resource_version = buf_str(&i->version),
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
    };
    struct watch_handler handler = { on_event, on_end, i };
    i->watch_ended = false;
    i->got_event = false;
    struct watch *w = NULL;
    int r = watch_open(i->client, i->resource, &options, &handler, &w, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&i->lock);
    while (!i->watch_ended && !i->stopping && !i->relist)
        pthread_cond_wait(&i->changed, &i->lock);
    pthread_mutex_unlock(&i->lock);
    watch_close(w);
    struct error *why = TAKE_PTR(i->watch_error); /* nobody else is left */
    if (!why)
        return 0;
    *err = why;
    return -(int)error_code(why);
}

/* ---- the loop ----------------------------------------------------------------------------------------------- */

static int64_t next_backoff_ms(struct informer *i)
{
    int64_t ms = i->backoff_ms;
    i->backoff_ms = MIN(ms * 2, (int64_t)BACKOFF_LAST_MS);
    return ms / 2 + (int64_t)(rand_unit() * (double)ms / 2);
}

/* How long to wait before the next step. `lived` is how long the step took that ended with err
 * (NULL: in order). */
static int64_t wait_before_next_ms(struct informer *i, const struct error *err, int64_t lived)
{
    if (lived >= HEALTHY_NS || i->got_event)
        i->backoff_ms = BACKOFF_FIRST_MS;
    i->got_event = false;
    bool in_order = !err || error_code(err) == ERROR_GONE;
    if (in_order && lived >= SHORT_LIVED_NS)
        return 0;
    return MAX(next_backoff_ms(i), error_retry_after_ms(err));
}

/* Once per kind of failure, not once per attempt: a server that is away for an hour is one line. */
static void log_failure(struct informer *i, const char *step, const struct error *err)
{
    enum error_code code = error_code(err);
    if (code == ERROR_GONE || code == i->logged)
        return;
    i->logged = code;
    log_warn("cannot keep the cache current, will try again", "resource", i->resource->plural,
             "step", step, "error", error_message(err), NULL);
}

static bool stopping(struct informer *i)
{
    LOCK(&i->lock);
    return i->stopping;
}

static bool relist_wanted(struct informer *i)
{
    LOCK(&i->lock);
    return i->relist;
}

static void sleep_ms(struct informer *i, int64_t ms)
{
    int64_t until = clock_mono(clock_system()) + ms * NS_PER_MS;
    LOCK(&i->lock);
    while (!i->stopping && cond_wait_until(&i->changed, &i->lock, until))
        ;
}

/* Until what has to be there first is. */
static void wait_for_other(struct informer *i)
{
    while (i->after && !stopping(i)) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        int r = informer_wait_synced(i->after, OTHER_LOOK_MS, &err);
        if (r == 0 || r == -ERROR_CANCELLED)
            return;
    }
}

static void *run(void *arg)
{
    struct informer *i = arg;
    wait_for_other(i);
    while (!stopping(i)) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        bool has_version = i->version.len > 0;
        int64_t started = clock_mono(clock_system());
        int r = has_version ? watch(i, &err) : list(i, &err);
        if (stopping(i))
            break;
        int64_t lived = clock_mono(clock_system()) - started;
        if (r == 0 && !has_version && i->on_listed)
            i->on_listed(i->listed_ctx);
        if (r == 0 && i->absent_ms > 0) {
            sleep_ms(i, i->absent_ms / 2 + (int64_t)(rand_unit() * (double)i->absent_ms / 2));
            continue;
        }
        if (r == 0 && !has_version)
            continue; /* the list is there: watch from it */
        bool gone = i->optional && r == -ERROR_NOT_FOUND;
        bool again = relist_wanted(i);
        if (gone || again)
            buf_clear(&i->version);
        if (again && r == 0)
            continue;
        if (err && !gone)
            log_failure(i, has_version ? "watch" : "list", err);
        if (!err || lived >= HEALTHY_NS)
            i->logged = ERROR_OK;
        if (r == -ERROR_GONE)
            buf_clear(&i->version);
        int64_t wait = wait_before_next_ms(i, err, lived);
        if (wait > 0)
            sleep_ms(i, wait);
    }
    return NULL;
}

int informer_start(struct informer *i, struct error **err)
{
    int r = thread_start(&i->thread, i->resource->plural, run, i, err);
    if (r < 0)
        return r;
    i->started = true;
    return 0;
}

void informer_stop(struct informer *i)
{
    {
        LOCK(&i->lock);
        i->stopping = true;
        pthread_cond_broadcast(&i->changed);
    }
    kube_client_interrupt(i->client, true);
    if (i->started)
        thread_join(i->thread);
    i->started = false;
}

void informer_free(struct informer *i)
{
    if (!i)
        return;
    if (i->started)
        informer_stop(i);
    kube_client_free(i->client);
    kube_store_free(i->store);
    buf_done(&i->version);
    error_free(i->watch_error);
    free(i->list_error);
    free(i->ns);
    free(i->label_selector);
    free(i->field_selector);
    pthread_cond_destroy(&i->changed);
    pthread_mutex_destroy(&i->lock);
    free(i);
}

/* ---- reads -------------------------------------------------------------------------------------------------- */

const struct kube_resource *informer_resource(const struct informer *i)
{
    return i->resource;
}

bool informer_synced(struct informer *i)
{
    LOCK(&i->lock);
    return i->synced;
}

bool informer_served(struct informer *i)
{
    LOCK(&i->lock);
    return !i->absent;
}

uint64_t informer_relist(struct informer *i)
{
    LOCK(&i->lock);
    i->relist = true;
    pthread_cond_broadcast(&i->changed);
    return i->lists_begun + 1;
}

bool informer_relisted(struct informer *i, uint64_t ticket)
{
    LOCK(&i->lock);
    return i->list_done >= ticket;
}

int informer_wait_synced(struct informer *i, int64_t timeout_ms, struct error **err)
{
    int64_t until = clock_mono(clock_system()) + timeout_ms * NS_PER_MS;
    LOCK(&i->lock);
    while (!i->synced && !i->stopping)
        if (!cond_wait_until(&i->changed, &i->lock, until))
            break;
    if (i->synced)
        return 0;
    if (i->stopping)
        return error_set(err, ERROR_CANCELLED, "the cache of %s was stopped before its first list",
                         i->resource->plural);
    return error_set(err, ERROR_TIMEOUT, "the first list of %s did not come within %.4g s: %s",
                     i->resource->plural, (double)timeout_ms / 1000,
                     i->list_error ? i->list_error : "the API server has not answered yet");
}

struct kube_object *informer_get(struct informer *i, const char *ns, const char *name)
{
    return kube_store_get(i->store, ns, name);
}

void informer_list(struct informer *i, const char *ns, const struct selector *match,
                   struct kube_object_list *ret)
{
    kube_store_list(i->store, ns, match, ret);
}

void informer_list_owned(struct informer *i, const char *owner_uid, struct kube_object_list *ret)
{
    kube_store_list_owned(i->store, owner_uid, ret);
}

size_t informer_count(struct informer *i)
{
    return kube_store_count(i->store);
}
