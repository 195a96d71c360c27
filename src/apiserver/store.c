/* Staging, group commit, and the life of the store. */
#include <stdlib.h>

#include "apiserver/store_internal.h"
#include "base/mem.h"
#include "base/str.h"

#define DEFAULT_HISTORY 10000
#define DEFAULT_HISTORY_BYTES (8 * MIB)
#define DEFAULT_WATCHERS 4096
#define MAX_STAGED 8192 /* writes that wait for the disk */
#define MAX_BATCH 1024  /* writes of one transaction */

/* ---- staging ------------------------------------------------------------------------------------------------------ */

/* The newest state of a key, a reference. *ret_pending: it is ahead of the disk. */
static struct kube_object *read_newest(struct store *s, const char *resource, const char *key,
                                       bool *ret_pending)
{
    pthread_rwlock_rdlock(&s->state_lock);
    struct slot *slot = collection_find(store_find_collection(s, resource), key);
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

static void stage_change(struct store *s, struct store_ticket *t, const char *resource,
                         const char *key)
{
    pthread_rwlock_wrlock(&s->state_lock);
    t->home = store_need_collection(s, resource);
    t->slot = collection_find(t->home, key);
    if (!t->slot)
        t->slot = collection_add(t->home, key);
    slot_set_newest(t->slot, t->removes ? NULL : t->object);
    t->slot->pending++;
    pthread_rwlock_unlock(&s->state_lock);
    enqueue(s, t);
}

/* With write_lock held. */
static int stage_locked(struct store *s, const char *resource, const char *key,
                        store_decide_fn *decide, void *ctx, struct store_ticket **ret,
                        struct error **err)
{
    bool pending = false;
    CLEANUP(kube_object_cleanup)
    struct kube_object *current = read_newest(s, resource, key, &pending);
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
        t->object =
            with_version(s->arena, next ? next : kube_object_parse(s->arena, current), t->version);
        stage_change(s, t, resource, key);
    }
    *ret = t;
    return 0;
}

int store_stage(struct store *s, const char *resource, const char *ns, const char *name,
                store_decide_fn *decide, void *ctx, struct store_ticket **ret, struct error **err)
{
    if (strlen(ns ? ns : "") + strlen(name) + 2 > STORE_MAX_KEY)
        return error_set(err, ERROR_INVALID, "the name is longer than %d bytes", STORE_MAX_KEY);
    char key[STORE_MAX_KEY];
    store_key(key, ns, name);

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

int store_write(struct store *s, const char *resource, const char *ns, const char *name,
                store_decide_fn *decide, void *ctx, struct kube_object **ret, struct error **err)
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
            .what = t->removes     ? STORE_REMOVE
                    : t->slot->row ? STORE_UPDATE
                                   : STORE_INSERT,
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
        collection_drop_unused(t->home, slot);
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
        slot_set_newest(t->slot, t->slot->visible);
        t->slot->pending--;
        collection_drop_unused(t->home, t->slot);
    }
    pthread_rwlock_unlock(&s->state_lock);
}

static void wake(struct store *s, struct store_ticket **batch, size_t n, int result,
                 const struct error *why)
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
static void fail(struct store *s, struct store_ticket **batch, size_t n, int result,
                 const struct error *why)
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

/* Moves at most MAX_BATCH tickets out; false at the end. */
static bool take_batch(struct store *s, struct store_ticket **batch, size_t *ret_n)
{
    LOCK(&s->write_lock);
    while (s->staged_count == 0 && !s->closing)
        pthread_cond_wait(&s->work, &s->write_lock);
    size_t n = MIN(s->staged_count, (size_t)MAX_BATCH);
    if (n > 0) {
        memcpy(batch, s->staged, n * sizeof *batch);
        s->staged_count -= n;
        memmove(s->staged, s->staged + n, s->staged_count * sizeof *batch);
    }
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
        store_deliver(s);
    }
    free(batch);
    return NULL;
}

/* ---- open and close ----------------------------------------------------------------------------------------------- */

static int load_row(void *ctx, struct arena *a, const char *resource, int64_t row,
                    const struct json *value, struct error **err)
{
    struct store *s = ctx;
    struct kube_object *o = kube_object_new(value);
    char key[STORE_MAX_KEY];
    store_key(key, o->ns, o->name);
    struct collection *c = store_need_collection(s, resource);
    struct slot *slot = collection_add(c, key);
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
    history_free(s);
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
