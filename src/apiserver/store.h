/* The store: objects by (resource, namespace, name), one growing version number, watchers, all of
 * it in one SQLite file.
 *
 * Every object is in memory as immutable bytes (kube_object); SQLite (WAL, synchronous=FULL) is the
 * log that survives. Writers validate and stage under one short lock against the newest state,
 * staged writes included; a commit thread writes all that is staged in one transaction (group
 * commit), then makes it visible to readers and watchers in version order and wakes the writers. So
 * what a client has been told is on disk, readers never wait for the disk, and watchers see each
 * change once, in order.
 *
 * When a commit fails (disk full, I/O error), everything staged is taken back and its writers get
 * the error; the store goes on from the last durable state. */
#pragma once

#include "base/clock.h"
#include "kube/object.h"

struct store;
struct store_watch;

/* Names a resource in the store: "group/plural" ("apps/statefulsets", "/pods"). Storage version
 * independent. */

struct store_options {
    const char *path;     /* NULL: in memory only */
    size_t history;       /* events kept for store_watch(from_version); 0: 10,000 */
    size_t history_bytes; /* and at most so many bytes of objects; 0: 8 MiB */
    size_t max_watchers;  /* 0: 4096 */
};

/* -ERROR_INVALID: the file is damaged, is no store, or is newer than this program; the text says
 * which and what to do. */
int store_open(const struct store_options *options, struct store **ret, struct error **err);
/* Commits what is staged. No call may be running, all watches must be closed. */
void store_close(struct store *s);

uint64_t store_version(struct store *s); /* of the last visible write */
uint64_t store_commits(struct store *s); /* transactions since the start */

struct kube_object *store_get(struct store *s, const char *resource, const char *ns,
                              const char *name); /* NULL: absent */

/* A consistent snapshot sorted by key ("ns/name", "name"): from `after_key` (exclusive, NULL: the
 * beginning), at most limit (0: all). ns NULL or "": all. */
struct store_list {
    struct kube_object **items;
    size_t count;
    uint64_t version;
    size_t remaining; /* after the last one returned */
};
void store_list(struct store *s, const char *resource, const char *ns, const char *after_key,
                size_t limit, struct store_list *ret);
/* As it was at `version`: -ERROR_GONE when the history does not reach back so far. */
int store_list_at(struct store *s, const char *resource, const char *ns, const char *after_key,
                  size_t limit, uint64_t version, struct store_list *ret, struct error **err);
void store_list_done(struct store_list *l);
size_t store_count(struct store *s, const char *resource);
/* The resources that have objects; the array (NULL-terminated) and its strings are the arena's. */
char **store_resources(struct store *s, struct arena *a);

/* One write. `decide` is called under the writer lock with the newest state (NULL: absent) and says
 * what is to be: *ret_next NULL means delete; *ret_unchanged true means nothing to do; else
 * *ret_next is the new object, whose metadata.resourceVersion the store sets (that is why it gets
 * JSON, not an object). It must be quick and must not write to the store; it may read. An error
 * from it is returned as it is. The call returns when the outcome, and with it the state that was
 * found unchanged, is durable and visible. The arena dies with the call. ret (may be NULL): the
 * object as stored, or the last state with the deletion's version when deleted; a reference, NULL
 * when there is and was none. Errors: -ERROR_IO (reason "InsufficientStorage" for a full disk),
 * -ERROR_TOO_MANY. */
typedef int store_decide_fn(void *ctx, const struct kube_object *current, struct arena *a,
                            struct json **ret_next, bool *ret_unchanged, struct error **err);
int store_write(struct store *s, const char *resource, const char *ns, const char *name,
                store_decide_fn *decide, void *ctx, struct kube_object **ret, struct error **err);

/* The same in two steps, so that one thread can have many writes in one transaction: store_stage()
 * decides, store_finish() waits and frees the ticket. */
struct store_ticket;
int store_stage(struct store *s, const char *resource, const char *ns, const char *name,
                store_decide_fn *decide, void *ctx, struct store_ticket **ret, struct error **err);
int store_finish(struct store_ticket *t, struct kube_object **ret, struct error **err);

/* Reads of the newest state, staged writes included; inside a decide function only. */
struct kube_object *store_peek(struct store *s, const char *resource, const char *ns,
                               const char *name);
void store_peek_list(struct store *s, const char *resource, const char *ns, struct store_list *ret);

/* ---- watches ------------------------------------------------------------------------------------------------- */

enum store_event_type { STORE_ADDED, STORE_MODIFIED, STORE_DELETED };

struct store_event {
    enum store_event_type type;
    uint64_t version;
    const char *resource;
    struct kube_object
        *object; /* for deletes: the last state, with the deletion's version as resourceVersion */
    struct kube_object
        *previous; /* NULL for adds: selectors turn changes into adds and deletes with it */
};

/* Events after from_version, in order, on the commit thread (history first, on the caller's
 * thread). No two events are delivered at the same time, to whatever watchers. on_event must be
 * quick and must not call store_write or store_watch*. -ERROR_GONE when from_version is older than
 * the history, -ERROR_TOO_MANY. resource NULL: all; ns NULL or "": all. */
int store_watch(struct store *s, const char *resource, const char *ns, uint64_t from_version,
                void (*on_event)(void *ctx, const struct store_event *event), void *ctx,
                struct store_watch **ret, struct error **err);
void store_watch_close(
    struct store_watch *w); /* when it returns, on_event does not run and will not */
/* All events up to this version were delivered to every watcher. */
uint64_t store_delivered_version(struct store *s);
/* A watch can begin at this version or later. */
uint64_t store_oldest_version(struct store *s);
