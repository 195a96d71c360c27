/* What has happened: a ring of events, bounded in number and bytes. Watches that begin at an old
 * version start in it, and lists of an old version are the newest state with the events since
 * undone. */
#include <stdlib.h>

#include "apiserver/store_internal.h"
#include "base/mem.h"
#include "base/str.h"

/* ---- history ------------------------------------------------------------------------------------------------------ */

static struct past *history_at(struct store *s, size_t i)
{
    return &s->history[(s->history_start + i) % s->history_cap];
}

static size_t past_bytes(const struct past *p)
{
    return p->event.object->text_len + (p->event.previous ? p->event.previous->text_len : 0);
}

static void history_forget_first(struct store *s)
{
    struct past *p = history_at(s, 0);
    s->history_bytes -= past_bytes(p);
    s->forgotten = p->event.version;
    kube_object_unref(p->event.object);
    kube_object_unref(p->event.previous);
    s->history_start = (s->history_start + 1) % s->history_cap;
    s->history_count--;
}

void history_trim(struct store *s)
{
    while (s->history_count > 0 &&
           (s->history_count > s->max_history || s->history_bytes > s->max_history_bytes))
        history_forget_first(s);
}

void history_free(struct store *s)
{
    while (s->history_count > 0)
        history_forget_first(s);
    free(s->history);
}

void history_add(struct store *s, struct collection *home, const struct store_ticket *t,
                 struct kube_object *previous)
{
    if (s->history_count == s->history_cap) {
        size_t cap = MAX(s->history_cap * 2, (size_t)256);
        struct past *ring = mem_alloc(cap * sizeof *ring);
        for (size_t i = 0; i < s->history_count; i++)
            ring[i] = *history_at(s, i);
        free(s->history);
        s->history = ring;
        s->history_cap = cap;
        s->history_start = 0;
    }
    struct past *p = &s->history[(s->history_start + s->history_count++) % s->history_cap];
    p->home = home;
    p->event = (struct store_event){
        .type = t->removes ? STORE_DELETED
                : previous ? STORE_MODIFIED
                           : STORE_ADDED,
        .version = t->version,
        .resource = home->resource,
        .object = kube_object_ref(t->object),
        .previous = previous,
    };
    s->history_bytes += past_bytes(p);
}

/* ---- the past ----------------------------------------------------------------------------------------------------- */

static int compare_object(const struct kube_object *o, const char *key)
{
    char have[STORE_MAX_KEY];
    store_key(have, o->ns, o->name);
    return strcmp(have, key);
}

/* Makes one event not to have happened: `with` is put in the place of the key, NULL takes it out.
 */
static void list_undo(struct store_list *l, size_t *cap, const char *key, struct kube_object *with)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare_object(l->items[mid], key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    bool found = low < l->count && compare_object(l->items[low], key) == 0;
    if (found)
        kube_object_unref(l->items[low]);
    if (found && !with) {
        l->count--;
        memmove(&l->items[low], &l->items[low + 1],
                (l->count - low) * sizeof(struct kube_object *));
    } else if (!found && with) {
        if (l->count == *cap) {
            *cap = MAX(*cap * 2, (size_t)16);
            l->items = mem_array(l->items, *cap, sizeof(struct kube_object *));
        }
        memmove(&l->items[low + 1], &l->items[low],
                (l->count - low) * sizeof(struct kube_object *));
        l->count++;
    }
    if (with)
        l->items[low] = kube_object_ref(with);
}

static void list_rewind(struct store *s, const char *resource, const char *ns,
                        const char *after_key, uint64_t version, struct store_list *l)
{
    size_t cap = l->count;
    const struct collection *c = store_find_collection(s, resource);
    for (size_t i = s->history_count; i-- > 0;) {
        const struct past *p = history_at(s, i);
        if (p->event.version <= version)
            break;
        if (p->home != c || (!str_empty(ns) && !STREQ(p->event.object->ns, ns)))
            continue;
        char key[STORE_MAX_KEY];
        store_key(key, p->event.object->ns, p->event.object->name);
        if (!after_key || strcmp(key, after_key) > 0)
            list_undo(l, &cap, key, p->event.previous);
    }
    l->version = version;
}

int store_list_at(struct store *s, const char *resource, const char *ns, const char *after_key,
                  size_t limit, uint64_t version, struct store_list *ret, struct error **err)
{
    pthread_rwlock_rdlock(&s->state_lock);
    if (version < s->forgotten) {
        uint64_t oldest = s->forgotten;
        pthread_rwlock_unlock(&s->state_lock);
        return error_set(err, ERROR_GONE, "too old resource version: %llu (%llu)",
                         (unsigned long long)version, (unsigned long long)oldest);
    }
    bool now = version >= s->visible_version;
    store_list_locked(s, resource, ns, after_key, now ? limit : 0, false, ret);
    if (!now)
        list_rewind(s, resource, ns, after_key, version, ret);
    pthread_rwlock_unlock(&s->state_lock);
    for (; limit && ret->count > limit; ret->remaining++)
        kube_object_unref(ret->items[--ret->count]);
    return 0;
}

/* ---- watches ------------------------------------------------------------------------------------------------------ */

static void tell(const struct store_watch *first, const struct store_event *e)
{
    for (const struct store_watch *w = first; w; w = w->next) {
        if (e->version > w->from && (!w->ns || STREQ(w->ns, e->object->ns)))
            w->on_event(w->ctx, e);
    }
}

/* The history is read without its lock: only this thread changes it. */
void store_deliver(struct store *s)
{
    LOCK(&s->watch_lock);
    uint64_t delivered = atomic_load(&s->delivered);
    size_t from = s->history_count;
    while (from > 0 && history_at(s, from - 1)->event.version > delivered)
        from--;
    for (; from < s->history_count; from++) {
        const struct past *p = history_at(s, from);
        tell(p->home->watches, &p->event);
        tell(s->watches, &p->event);
        delivered = p->event.version;
    }
    atomic_store(&s->delivered, delivered);
}

/* The events that a new watch has missed, copied so that nothing runs under state_lock. */
static int missed_events(struct store *s, const struct store_watch *w, struct store_event **ret,
                         size_t *ret_n, struct error **err)
{
    uint64_t delivered = atomic_load(&s->delivered);
    pthread_rwlock_rdlock(&s->state_lock);
    if (w->from < s->forgotten) {
        uint64_t oldest = s->forgotten;
        pthread_rwlock_unlock(&s->state_lock);
        return error_set(err, ERROR_GONE, "too old resource version: %llu (%llu)",
                         (unsigned long long)w->from, (unsigned long long)oldest);
    }
    size_t first = s->history_count;
    while (first > 0 && history_at(s, first - 1)->event.version > w->from)
        first--;
    size_t n = 0;
    struct store_event *events = first == s->history_count
                                     ? NULL
                                     : mem_array(NULL, s->history_count - first, sizeof *events);
    for (size_t i = first; i < s->history_count; i++) {
        const struct past *p = history_at(s, i);
        if (p->event.version > delivered)
            break;
        if ((w->home && p->home != w->home) || (w->ns && !STREQ(w->ns, p->event.object->ns)))
            continue;
        events[n] = p->event;
        kube_object_ref(events[n].object);
        if (events[n].previous)
            kube_object_ref(events[n].previous);
        n++;
    }
    pthread_rwlock_unlock(&s->state_lock);
    *ret = events;
    *ret_n = n;
    return 0;
}

static void replay(const struct store_watch *w, struct store_event *events, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        w->on_event(w->ctx, &events[i]);
        kube_object_unref(events[i].object);
        kube_object_unref(events[i].previous);
    }
    free(events);
}

static void watch_link(struct store_watch *w, struct store_watch **list)
{
    w->next = *list;
    w->link = list;
    if (w->next)
        w->next->link = &w->next;
    *list = w;
}

static void watch_free(struct store_watch *w)
{
    free(w->ns);
    free(w);
}

int store_watch(struct store *s, const char *resource, const char *ns, uint64_t from_version,
                void (*on_event)(void *ctx, const struct store_event *event), void *ctx,
                struct store_watch **ret, struct error **err)
{
    struct store_watch *w = NEW0(struct store_watch);
    *w = (struct store_watch){ .store = s, .from = from_version, .on_event = on_event, .ctx = ctx };
    w->ns = str_empty(ns) ? NULL : mem_strdup(ns);
    if (resource) {
        pthread_rwlock_wrlock(&s->state_lock);
        w->home = store_need_collection(s, resource);
        pthread_rwlock_unlock(&s->state_lock);
    }

    LOCK(&s->watch_lock);
    struct store_event *events = NULL;
    size_t n = 0;
    int r = s->watch_count < s->max_watchers
                ? missed_events(s, w, &events, &n, err)
                : error_set(err, ERROR_TOO_MANY, "too many watches are open");
    if (r < 0) {
        watch_free(w);
        return r;
    }
    replay(w, events, n);
    watch_link(w, w->home ? &w->home->watches : &s->watches);
    s->watch_count++;
    *ret = w;
    return 0;
}

void store_watch_close(struct store_watch *w)
{
    struct store *s = w->store;
    pthread_mutex_lock(&s->watch_lock);
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    s->watch_count--;
    pthread_mutex_unlock(&s->watch_lock);
    watch_free(w);
}

uint64_t store_delivered_version(struct store *s)
{
    return atomic_load(&s->delivered);
}

uint64_t store_oldest_version(struct store *s)
{
    pthread_rwlock_rdlock(&s->state_lock);
    uint64_t version = s->forgotten;
    pthread_rwlock_unlock(&s->state_lock);
    return version;
}
