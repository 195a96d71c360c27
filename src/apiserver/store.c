/* Objects live in slots, sorted by key within their resource. A slot has two faces: what readers see, and the newest state,
 * which is ahead of it while a write waits for the disk. A writer decides on the newest state, so that writes to one object
 * queue up without waiting for each other's commit; the commit thread moves `visible` forward, or, when the disk refuses,
 * takes `newest` back.
 *
 * Locks, in the order in which they nest: watch_lock (delivery), write_lock (staging), state_lock (slots, history),
 * done_lock (wake-ups). */
#include "apiserver/store.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "apiserver/store_db.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"

#define DEFAULT_HISTORY 10000
#define DEFAULT_HISTORY_BYTES (8 * MIB)
#define DEFAULT_WATCHERS 4096
#define MAX_KEY 512      /* bytes of "ns/name" */
#define MAX_STAGED 8192  /* writes that wait for the disk */
#define MAX_BATCH 1024   /* writes of one transaction */

struct slot {
    struct kube_object *visible; /* NULL: readers do not see it */
    struct kube_object *newest;  /* NULL: deleted, or not there yet */
    unsigned pending;            /* staged writes */
    int64_t row;                 /* in the file, 0: none; the commit thread's */
    char key[];
};

struct collection {
    char *resource;
    struct slot **slots;
    size_t count, cap;
    size_t visible;
    struct store_watch *watches;
};

struct past {
    struct store_event event;
    struct collection *home;
};

struct store_ticket {
    struct store *store;
    struct collection *home; /* NULL: nothing to write, only to wait */
    struct slot *slot;
    struct kube_object *object; /* the new state, or the tombstone */
    uint64_t version;
    bool removes;
    int64_t row_before;
    bool done;
    int result;
    struct error *err;
    pthread_cond_t woken;
};

struct store_watch {
    struct store *store;
    struct collection *home; /* NULL: all */
    char *ns;                /* NULL: all */
    uint64_t from;
    void (*on_event)(void *ctx, const struct store_event *event);
    void *ctx;
    struct store_watch *next, **link;
};

struct store {
    struct store_db *db; /* NULL: in memory */
    size_t max_history, max_history_bytes, max_watchers;

    pthread_mutex_t write_lock;
    pthread_cond_t work;
    bool closing;
    struct arena *arena;   /* of the decision under way */
    uint64_t assigned;     /* last version given out */
    struct store_ticket **staged;
    size_t staged_count, staged_cap;

    pthread_rwlock_t state_lock;
    struct map *collections;
    uint64_t visible_version;
    struct past *history;  /* a ring */
    size_t history_cap, history_start, history_count, history_bytes;
    uint64_t forgotten;    /* events up to here are not in the history */

    pthread_mutex_t watch_lock;
    struct store_watch *watches; /* of all resources */
    size_t watch_count;
    atomic_uint_fast64_t delivered;

    pthread_mutex_t done_lock;
    int64_t last_row;      /* the commit thread's */
    atomic_uint_fast64_t commits;
    pthread_t thread;
    bool thread_runs;
};

/* ---- slots -------------------------------------------------------------------------------------------------------- */

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static void make_key(char out[MAX_KEY], const char *ns, const char *name)
{
    snprintf(out, MAX_KEY, "%s%s%s", or_empty(ns), str_empty(ns) ? "" : "/", name);
}

/* Index of the first slot whose key is not less. */
static size_t lower_bound(const struct collection *c, const char *key)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(c->slots[mid]->key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct slot *find_slot(const struct collection *c, const char *key)
{
    if (!c)
        return NULL;
    size_t i = lower_bound(c, key);
    return i < c->count && STREQ(c->slots[i]->key, key) ? c->slots[i] : NULL;
}

static struct slot *add_slot(struct collection *c, const char *key)
{
    size_t len = strlen(key);
    struct slot *slot = mem_zalloc(sizeof *slot + len + 1);
    memcpy(slot->key, key, len + 1);
    if (c->count == c->cap) {
        c->cap = MAX(c->cap * 2, (size_t)8);
        c->slots = mem_array(c->slots, c->cap, sizeof *c->slots);
    }
    size_t i = lower_bound(c, key);
    memmove(&c->slots[i + 1], &c->slots[i], (c->count - i) * sizeof *c->slots);
    c->slots[i] = slot;
    c->count++;
    return slot;
}

static void drop_slot_if_unused(struct collection *c, struct slot *slot)
{
    if (slot->visible || slot->newest || slot->pending)
        return;
    size_t i = lower_bound(c, slot->key);
    c->count--;
    memmove(&c->slots[i], &c->slots[i + 1], (c->count - i) * sizeof *c->slots);
    free(slot);
}

static void set_newest(struct slot *slot, struct kube_object *o)
{
    if (o)
        kube_object_ref(o);
    kube_object_unref(slot->newest);
    slot->newest = o;
}

static struct collection *find_collection(struct store *s, const char *resource)
{
    return map_get(s->collections, resource);
}

static struct collection *need_collection(struct store *s, const char *resource)
{
    struct collection *c = find_collection(s, resource);
    if (!c) {
        c = NEW0(struct collection);
        c->resource = mem_strdup(resource);
        map_set(s->collections, resource, c);
    }
    return c;
}

static void collection_free(void *p)
{
    struct collection *c = p;
    for (size_t i = 0; i < c->count; i++) {
        kube_object_unref(c->slots[i]->visible);
        kube_object_unref(c->slots[i]->newest);
        free(c->slots[i]);
    }
    free(c->slots);
    free(c->resource);
    free(c);
}

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

/* Only before a batch is added, so that what was just published is still there when it is delivered. */
static void history_trim(struct store *s)
{
    while (s->history_count > 0 && (s->history_count > s->max_history || s->history_bytes > s->max_history_bytes))
        history_forget_first(s);
}

/* Takes over the reference of previous. */
static void history_add(struct store *s, struct collection *home, const struct store_ticket *t, struct kube_object *previous)
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
        .type = t->removes ? STORE_DELETED : previous ? STORE_MODIFIED : STORE_ADDED,
        .version = t->version,
        .resource = home->resource,
        .object = kube_object_ref(t->object),
        .previous = previous,
    };
    s->history_bytes += past_bytes(p);
}

/* ---- staging ------------------------------------------------------------------------------------------------------ */

/* The newest state of a key, a reference. *ret_pending: it is ahead of the disk. */
static struct kube_object *read_newest(struct store *s, const char *resource, const char *key, bool *ret_pending)
{
    pthread_rwlock_rdlock(&s->state_lock);
    struct slot *slot = find_slot(find_collection(s, resource), key);
    struct kube_object *o = slot && slot->newest ? kube_object_ref(slot->newest) : NULL;
    *ret_pending = slot && slot->pending;
    pthread_rwlock_unlock(&s->state_lock);
    return o;
}

static struct store_ticket *ticket_new(struct store *s)
{
    struct store_ticket *t = NEW0(struct store_ticket);
    t->store = s;
    pthread_cond_init(&t->woken, NULL);
    return t;
}

static struct kube_object *with_version(struct arena *a, struct json *value, uint64_t version)
{
    struct json *meta = json_ensure_object(a, value, "metadata");
    json_set(a, meta, "resourceVersion", json_new_stringf(a, "%llu", (unsigned long long)version));
    return kube_object_new(value);
}

static void enqueue(struct store *s, struct store_ticket *t)
{
    if (s->staged_count == s->staged_cap) {
        s->staged_cap = MAX(s->staged_cap * 2, (size_t)64);
        s->staged = mem_array(s->staged, s->staged_cap, sizeof(struct store_ticket *));
    }
    s->staged[s->staged_count++] = t;
    if (s->staged_count == 1)
        pthread_cond_signal(&s->work);
}

static void stage_change(struct store *s, struct store_ticket *t, const char *resource, const char *key)
{
    pthread_rwlock_wrlock(&s->state_lock);
    t->home = need_collection(s, resource);
    t->slot = find_slot(t->home, key);
    if (!t->slot)
        t->slot = add_slot(t->home, key);
    set_newest(t->slot, t->removes ? NULL : t->object);
    t->slot->pending++;
    pthread_rwlock_unlock(&s->state_lock);
    enqueue(s, t);
}

/* With write_lock held. */
static int stage_locked(struct store *s, const char *resource, const char *key, store_decide_fn *decide, void *ctx,
                        struct store_ticket **ret, struct error **err)
{
    bool pending = false;
    CLEANUP(kube_object_cleanup) struct kube_object *current = read_newest(s, resource, key, &pending);
    struct json *next = NULL;
    bool unchanged = false;
    int r = decide(ctx, current, s->arena, &next, &unchanged, err);
    if (r < 0)
        return r;

    struct store_ticket *t = ticket_new(s);
    if (unchanged || (!next && !current)) {
        t->object = TAKE_PTR(current);
        t->done = !pending;
        if (pending)
            enqueue(s, t);
    } else {
        t->version = ++s->assigned;
        t->removes = !next;
        t->object = with_version(s->arena, next ? next : kube_object_parse(s->arena, current), t->version);
        stage_change(s, t, resource, key);
    }
    *ret = t;
    return 0;
}

int store_stage(struct store *s, const char *resource, const char *ns, const char *name, store_decide_fn *decide, void *ctx,
                struct store_ticket **ret, struct error **err)
{
    if (strlen(or_empty(ns)) + strlen(name) + 2 > MAX_KEY)
        return error_set(err, ERROR_INVALID, "the name is longer than %d bytes", MAX_KEY);
    char key[MAX_KEY];
    make_key(key, ns, name);

    LOCK(&s->write_lock);
    if (s->closing)
        return error_set(err, ERROR_UNAVAILABLE, "the store is closing");
    if (s->staged_count >= MAX_STAGED)
        return error_set(err, ERROR_TOO_MANY, "too many writes wait for the disk");
    int r = stage_locked(s, resource, key, decide, ctx, ret, err);
    arena_reset(s->arena);
    return r;
}

int store_finish(struct store_ticket *t, struct kube_object **ret, struct error **err)
{
    struct store *s = t->store;
    pthread_mutex_lock(&s->done_lock);
    while (!t->done)
        pthread_cond_wait(&t->woken, &s->done_lock);
    pthread_mutex_unlock(&s->done_lock);

    int r = t->result;
    if (r == 0 && ret)
        *ret = TAKE_PTR(t->object);
    if (r < 0 && err)
        *err = TAKE_PTR(t->err);
    kube_object_unref(t->object);
    error_free(t->err);
    pthread_cond_destroy(&t->woken);
    free(t);
    return r;
}

int store_write(struct store *s, const char *resource, const char *ns, const char *name, store_decide_fn *decide, void *ctx,
                struct kube_object **ret, struct error **err)
{
    struct store_ticket *t = NULL;
    int r = store_stage(s, resource, ns, name, decide, ctx, &t, err);
    return r < 0 ? r : store_finish(t, ret, err);
}

/* ---- commit thread ------------------------------------------------------------------------------------------------ */

static int write_batch(struct store *s, struct store_ticket **batch, size_t n, struct error **err)
{
    struct store_change *changes = mem_array(NULL, n, sizeof *changes);
    size_t count = 0;
    uint64_t version = 0;
    for (size_t i = 0; i < n; i++) {
        struct store_ticket *t = batch[i];
        if (!t->home)
            continue;
        t->row_before = t->slot->row;
        struct store_change *c = &changes[count++];
        *c = (struct store_change){
            .what = t->removes ? STORE_REMOVE : t->slot->row ? STORE_UPDATE : STORE_INSERT,
            .row = t->slot->row ? t->slot->row : s->last_row + 1,
            .resource = t->home->resource,
            .ns = t->object->ns,
            .name = t->object->name,
            .version = t->version,
            .object = t->object,
        };
        if (c->what == STORE_INSERT)
            s->last_row++;
        t->slot->row = t->removes ? 0 : c->row;
        version = t->version;
    }
    int r = count > 0 && s->db ? store_db_commit(s->db, changes, count, version, err) : 0;
    free(changes);
    if (r == 0 && count > 0)
        atomic_fetch_add(&s->commits, 1);
    return r;
}

static void publish(struct store *s, struct store_ticket **batch, size_t n)
{
    pthread_rwlock_wrlock(&s->state_lock);
    history_trim(s);
    for (size_t i = 0; i < n; i++) {
        struct store_ticket *t = batch[i];
        if (!t->home)
            continue;
        struct slot *slot = t->slot;
        t->home->visible += (size_t)(t->removes ? 0 : 1) - (size_t)(slot->visible ? 1 : 0);
        history_add(s, t->home, t, slot->visible);
        slot->visible = t->removes ? NULL : kube_object_ref(t->object);
        slot->pending--;
        s->visible_version = t->version;
        drop_slot_if_unused(t->home, slot);
    }
    pthread_rwlock_unlock(&s->state_lock);
}

/* The newest first, so that each slot ends with the row that it had before the first. */
static void take_back(struct store *s, struct store_ticket **batch, size_t n, bool tried)
{
    pthread_rwlock_wrlock(&s->state_lock);
    for (size_t i = n; i-- > 0;) {
        struct store_ticket *t = batch[i];
        if (!t->home)
            continue;
        if (tried)
            t->slot->row = t->row_before;
        set_newest(t->slot, t->slot->visible);
        t->slot->pending--;
        drop_slot_if_unused(t->home, t->slot);
    }
    pthread_rwlock_unlock(&s->state_lock);
}

static void wake(struct store *s, struct store_ticket **batch, size_t n, int result, const struct error *why)
{
    LOCK(&s->done_lock);
    for (size_t i = 0; i < n; i++) {
        struct store_ticket *t = batch[i];
        t->result = result;
        if (result < 0) {
            error_set(&t->err, error_code(why), "%s", error_message(why));
            error_set_reason(t->err, error_reason(why));
        }
        t->done = true;
        pthread_cond_signal(&t->woken);
    }
}

/* What was staged meanwhile stands on what has failed: it fails too. */
static void fail(struct store *s, struct store_ticket **batch, size_t n, int result, const struct error *why)
{
    pthread_mutex_lock(&s->write_lock);
    struct store_ticket **later = TAKE_PTR(s->staged);
    size_t later_count = s->staged_count;
    s->staged_count = s->staged_cap = 0;
    take_back(s, later, later_count, false);
    take_back(s, batch, n, true);
    pthread_mutex_unlock(&s->write_lock);
    wake(s, batch, n, result, why);
    wake(s, later, later_count, result, why);
    free(later);
}

static void tell(const struct store_watch *first, const struct store_event *e)
{
    for (const struct store_watch *w = first; w; w = w->next) {
        if (e->version > w->from && (!w->ns || STREQ(w->ns, e->object->ns)))
            w->on_event(w->ctx, e);
    }
}

/* The history is read without its lock: only this thread changes it. */
static void deliver(struct store *s)
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

/* Moves at most MAX_BATCH tickets out; false at the end. */
static bool take_batch(struct store *s, struct store_ticket **batch, size_t *ret_n)
{
    LOCK(&s->write_lock);
    while (s->staged_count == 0 && !s->closing)
        pthread_cond_wait(&s->work, &s->write_lock);
    size_t n = MIN(s->staged_count, (size_t)MAX_BATCH);
    memcpy(batch, s->staged, n * sizeof *batch);
    s->staged_count -= n;
    memmove(s->staged, s->staged + n, s->staged_count * sizeof *batch);
    *ret_n = n;
    return n > 0;
}

static void *commit_main(void *arg)
{
    struct store *s = arg;
    struct store_ticket **batch = mem_array(NULL, MAX_BATCH, sizeof *batch);
    size_t n = 0;
    while (take_batch(s, batch, &n)) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        int r = write_batch(s, batch, n, &err);
        if (r < 0) {
            fail(s, batch, n, r, err);
            continue;
        }
        publish(s, batch, n);
        wake(s, batch, n, 0, NULL);
        deliver(s);
    }
    free(batch);
    return NULL;
}

/* ---- reads -------------------------------------------------------------------------------------------------------- */

uint64_t store_version(struct store *s)
{
    pthread_rwlock_rdlock(&s->state_lock);
    uint64_t version = s->visible_version;
    pthread_rwlock_unlock(&s->state_lock);
    return version;
}

uint64_t store_commits(struct store *s)
{
    return atomic_load(&s->commits);
}

static struct kube_object *get_face(struct store *s, const char *resource, const char *ns, const char *name, bool newest)
{
    char key[MAX_KEY];
    make_key(key, ns, name);
    pthread_rwlock_rdlock(&s->state_lock);
    struct slot *slot = find_slot(find_collection(s, resource), key);
    struct kube_object *o = !slot ? NULL : newest ? slot->newest : slot->visible;
    if (o)
        kube_object_ref(o);
    pthread_rwlock_unlock(&s->state_lock);
    return o;
}

struct kube_object *store_get(struct store *s, const char *resource, const char *ns, const char *name)
{
    return get_face(s, resource, ns, name, false);
}

struct kube_object *store_peek(struct store *s, const char *resource, const char *ns, const char *name)
{
    return get_face(s, resource, ns, name, true);
}

/* Indexes of the slots of a namespace behind after_key. The keys of one namespace stand together: "ns/" … "ns0". */
static void find_range(const struct collection *c, const char *ns, const char *after_key, size_t *ret_from, size_t *ret_to)
{
    *ret_from = 0;
    *ret_to = c->count;
    if (!str_empty(ns)) {
        AUTO_FREE char *first = mem_printf("%s/", ns);
        AUTO_FREE char *end = mem_printf("%s%c", ns, '/' + 1);
        *ret_from = lower_bound(c, first);
        *ret_to = lower_bound(c, end);
    }
    if (after_key) {
        size_t i = lower_bound(c, after_key);
        if (i < c->count && STREQ(c->slots[i]->key, after_key))
            i++;
        *ret_from = MAX(*ret_from, i);
    }
    *ret_to = MAX(*ret_to, *ret_from);
}

/* With state_lock held. */
static void list_locked(struct store *s, const char *resource, const char *ns, const char *after_key, size_t limit,
                        bool newest, struct store_list *ret)
{
    *ret = (struct store_list){ .version = s->visible_version };
    const struct collection *c = find_collection(s, resource);
    if (!c)
        return;
    size_t from, to;
    find_range(c, ns, after_key, &from, &to);
    if (from == to)
        return;
    ret->items = mem_array(NULL, MIN(to - from, limit ? limit : SIZE_MAX), sizeof(struct kube_object *));
    for (; from < to; from++) {
        struct kube_object *o = newest ? c->slots[from]->newest : c->slots[from]->visible;
        if (!o)
            continue;
        if (limit && ret->count == limit)
            ret->remaining++;
        else
            ret->items[ret->count++] = kube_object_ref(o);
    }
}

void store_list(struct store *s, const char *resource, const char *ns, const char *after_key, size_t limit,
                struct store_list *ret)
{
    pthread_rwlock_rdlock(&s->state_lock);
    list_locked(s, resource, ns, after_key, limit, false, ret);
    pthread_rwlock_unlock(&s->state_lock);
}

void store_peek_list(struct store *s, const char *resource, const char *ns, struct store_list *ret)
{
    pthread_rwlock_rdlock(&s->state_lock);
    list_locked(s, resource, ns, NULL, 0, true, ret);
    pthread_rwlock_unlock(&s->state_lock);
}

void store_list_done(struct store_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        kube_object_unref(l->items[i]);
    free(l->items);
    *l = (struct store_list){ 0 };
}

size_t store_count(struct store *s, const char *resource)
{
    pthread_rwlock_rdlock(&s->state_lock);
    const struct collection *c = find_collection(s, resource);
    size_t n = c ? c->visible : 0;
    pthread_rwlock_unlock(&s->state_lock);
    return n;
}

char **store_resources(struct store *s, struct arena *a)
{
    pthread_rwlock_rdlock(&s->state_lock);
    char **names = arena_alloc(a, (map_size(s->collections) + 1) * sizeof *names);
    size_t n = 0;
    void *c;
    for (struct map_iter it = MAP_ITER_INIT; map_next(s->collections, &it, NULL, &c);) {
        if (((struct collection *)c)->visible > 0)
            names[n++] = arena_strdup(a, ((struct collection *)c)->resource);
    }
    names[n] = NULL;
    pthread_rwlock_unlock(&s->state_lock);
    return names;
}

/* ---- the past ----------------------------------------------------------------------------------------------------- */

static int compare_object(const struct kube_object *o, const char *key)
{
    char have[MAX_KEY];
    make_key(have, o->ns, o->name);
    return strcmp(have, key);
}

/* Makes one event not to have happened: `with` is put in the place of the key, NULL takes it out. */
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
        memmove(&l->items[low], &l->items[low + 1], (l->count - low) * sizeof(struct kube_object *));
    } else if (!found && with) {
        if (l->count == *cap) {
            *cap = MAX(*cap * 2, (size_t)16);
            l->items = mem_array(l->items, *cap, sizeof(struct kube_object *));
        }
        memmove(&l->items[low + 1], &l->items[low], (l->count - low) * sizeof(struct kube_object *));
        l->count++;
    }
    if (with)
        l->items[low] = kube_object_ref(with);
}

static void list_rewind(struct store *s, const char *resource, const char *ns, const char *after_key, uint64_t version,
                        struct store_list *l)
{
    size_t cap = l->count;
    const struct collection *c = find_collection(s, resource);
    for (size_t i = s->history_count; i-- > 0;) {
        const struct past *p = history_at(s, i);
        if (p->event.version <= version)
            break;
        if (p->home != c || (!str_empty(ns) && !STREQ(p->event.object->ns, ns)))
            continue;
        char key[MAX_KEY];
        make_key(key, p->event.object->ns, p->event.object->name);
        if (!after_key || strcmp(key, after_key) > 0)
            list_undo(l, &cap, key, p->event.previous);
    }
    l->version = version;
}

int store_list_at(struct store *s, const char *resource, const char *ns, const char *after_key, size_t limit,
                  uint64_t version, struct store_list *ret, struct error **err)
{
    pthread_rwlock_rdlock(&s->state_lock);
    if (version < s->forgotten) {
        uint64_t oldest = s->forgotten;
        pthread_rwlock_unlock(&s->state_lock);
        return error_set(err, ERROR_GONE, "too old resource version: %llu (%llu)", (unsigned long long)version,
                         (unsigned long long)oldest);
    }
    bool now = version >= s->visible_version;
    list_locked(s, resource, ns, after_key, now ? limit : 0, false, ret);
    if (!now)
        list_rewind(s, resource, ns, after_key, version, ret);
    pthread_rwlock_unlock(&s->state_lock);
    for (; limit && ret->count > limit; ret->remaining++)
        kube_object_unref(ret->items[--ret->count]);
    return 0;
}

/* ---- watches ------------------------------------------------------------------------------------------------------ */

/* The events that a new watch has missed, copied so that nothing runs under state_lock. */
static int missed_events(struct store *s, const struct store_watch *w, struct store_event **ret, size_t *ret_n,
                         struct error **err)
{
    uint64_t delivered = atomic_load(&s->delivered);
    pthread_rwlock_rdlock(&s->state_lock);
    if (w->from < s->forgotten) {
        uint64_t oldest = s->forgotten;
        pthread_rwlock_unlock(&s->state_lock);
        return error_set(err, ERROR_GONE, "too old resource version: %llu (%llu)", (unsigned long long)w->from,
                         (unsigned long long)oldest);
    }
    size_t first = s->history_count;
    while (first > 0 && history_at(s, first - 1)->event.version > w->from)
        first--;
    size_t n = 0;
    struct store_event *events = first == s->history_count ? NULL
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
                void (*on_event)(void *ctx, const struct store_event *event), void *ctx, struct store_watch **ret,
                struct error **err)
{
    struct store_watch *w = NEW0(struct store_watch);
    *w = (struct store_watch){ .store = s, .from = from_version, .on_event = on_event, .ctx = ctx };
    w->ns = str_empty(ns) ? NULL : mem_strdup(ns);
    if (resource) {
        pthread_rwlock_wrlock(&s->state_lock);
        w->home = need_collection(s, resource);
        pthread_rwlock_unlock(&s->state_lock);
    }

    LOCK(&s->watch_lock);
    struct store_event *events = NULL;
    size_t n = 0;
    int r = s->watch_count < s->max_watchers ? missed_events(s, w, &events, &n, err)
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

/* ---- open and close ----------------------------------------------------------------------------------------------- */

static int load_row(void *ctx, struct arena *a, const char *resource, int64_t row, const struct json *value,
                    struct error **err)
{
    struct store *s = ctx;
    struct kube_object *o = kube_object_new(value);
    char key[MAX_KEY];
    make_key(key, o->ns, o->name);
    struct collection *c = need_collection(s, resource);
    struct slot *slot = add_slot(c, key);
    slot->visible = o;
    slot->newest = kube_object_ref(o);
    slot->row = row;
    c->visible++;
    s->last_row = MAX(s->last_row, row);
    return 0;
}

static void init_locks(struct store *s)
{
    pthread_mutex_init(&s->write_lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_mutex_init(&s->watch_lock, NULL);
    pthread_mutex_init(&s->done_lock, NULL);
    /* The commit thread must get in between readers that never cease. */
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&s->state_lock, &attr);
    pthread_rwlockattr_destroy(&attr);
}

int store_open(const struct store_options *options, struct store **ret, struct error **err)
{
    struct store *s = NEW0(struct store);
    s->max_history = options->history ? options->history : DEFAULT_HISTORY;
    s->max_history_bytes = options->history_bytes ? options->history_bytes : DEFAULT_HISTORY_BYTES;
    s->max_watchers = options->max_watchers ? options->max_watchers : DEFAULT_WATCHERS;
    s->arena = arena_new();
    s->collections = map_new(collection_free);
    s->visible_version = 1;
    init_locks(s);

    int r = 0;
    if (options->path)
        r = store_db_open(options->path, &s->db, err);
    if (r == 0 && s->db)
        r = store_db_load(s->db, load_row, s, &s->visible_version, err);
    s->assigned = s->forgotten = s->visible_version;
    atomic_store(&s->delivered, s->visible_version);
    if (r == 0)
        r = thread_start(&s->thread, "store-commit", commit_main, s, err);
    s->thread_runs = r == 0;
    if (r < 0) {
        store_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s->thread_runs) {
        pthread_mutex_lock(&s->write_lock);
        s->closing = true;
        pthread_cond_signal(&s->work);
        pthread_mutex_unlock(&s->write_lock);
        thread_join(s->thread);
    }
    if (s->db)
        store_db_close(s->db);
    while (s->history_count > 0)
        history_forget_first(s);
    free(s->history);
    free(s->staged);
    map_free(s->collections);
    arena_free(s->arena);
    pthread_mutex_destroy(&s->write_lock);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->watch_lock);
    pthread_mutex_destroy(&s->done_lock);
    pthread_rwlock_destroy(&s->state_lock);
    free(s);
}
