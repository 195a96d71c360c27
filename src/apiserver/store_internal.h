/* What the files of the store share.
 *
 * Objects live in slots, sorted by key within their resource. A slot has two faces: what readers
 * see, and the newest state, which is ahead of it while a write waits for the disk. A writer
 * decides on the newest state, so that writes to one object queue up without waiting for each
 * other's commit; the commit thread moves `visible` forward, or, when the disk refuses, takes
 * `newest` back.
 *
 * Locks, in the order in which they nest: watch_lock (delivery), write_lock (staging), state_lock
 * (slots, history), done_lock (wake-ups). */
#pragma once

#include <stdatomic.h>

#include "apiserver/store.h"
#include "apiserver/store_db.h"
#include "base/map.h"
#include "base/thread.h"

#define STORE_MAX_KEY 512 /* bytes of "ns/name" */

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
    struct arena *arena; /* of the decision under way */
    uint64_t assigned;   /* last version given out */
    struct store_ticket **staged;
    size_t staged_count, staged_cap;

    pthread_rwlock_t state_lock;
    struct map *collections;
    uint64_t visible_version;
    struct past *history; /* a ring */
    size_t history_cap, history_start, history_count, history_bytes;
    uint64_t forgotten; /* events up to here are not in the history */

    pthread_mutex_t watch_lock;
    struct store_watch *watches; /* of all resources */
    size_t watch_count;
    atomic_uint_fast64_t delivered;

    pthread_mutex_t done_lock;
    int64_t last_row; /* the commit thread's */
    atomic_uint_fast64_t commits;
    pthread_t thread;
    bool thread_runs;
};

/* ---- store_slots.c: with state_lock held ------------------------------------------------------------------------ */

void store_key(char out[STORE_MAX_KEY], const char *ns, const char *name);
struct collection *store_find_collection(struct store *s, const char *resource); /* NULL: none */
struct collection *store_need_collection(struct store *s, const char *resource);
void collection_free(void *p);
struct slot *collection_find(const struct collection *c,
                             const char *key); /* NULL: none; c may be NULL */
struct slot *collection_add(struct collection *c, const char *key);
void collection_drop_unused(struct collection *c, struct slot *slot);
void slot_set_newest(struct slot *slot, struct kube_object *o);
void store_list_locked(struct store *s, const char *resource, const char *ns, const char *after_key,
                       size_t limit, bool newest, struct store_list *ret);

/* ---- store_past.c: history and watches -------------------------------------------------------------------------- */

/* With state_lock held. history_trim() only before a batch is added, so that what was just
 * published is still there when it is delivered. history_add() takes over the reference of
 * previous. */
void history_trim(struct store *s);
void history_add(struct store *s, struct collection *home, const struct store_ticket *t,
                 struct kube_object *previous);
void history_free(struct store *s);
/* On the commit thread: tells the watches what was published since. */
void store_deliver(struct store *s);
