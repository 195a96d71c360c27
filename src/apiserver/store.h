/* The store: objects by (resource, namespace, name), one growing version number, watchers, all of it in one SQLite file.
 *
 * Every object is in memory as immutable bytes (kube_object); SQLite (WAL, synchronous=FULL) is the log that survives.
 * Writers validate and stage under one short lock against the newest state, staged writes included; a commit thread writes
 * all that is staged in one transaction (group commit), then makes it visible to readers and watchers in version order and
 * wakes the writers. So what a client has been told is on disk, readers never wait for the disk, and watchers see each change
 * once, in order. */
#pragma once

#include "base/clock.h"
#include "kube/object.h"

struct store;
struct store_watch;

/* Names a resource in the store: "group/plural" ("apps/statefulsets", "/pods"). Storage version independent. */

struct store_options {
    const char *path;             /* NULL: in memory only */
    size_t history;               /* events kept for store_watch(from_version) */
    size_t max_watchers;
};

int store_open(const struct store_options *options, struct store **ret, struct error **err);
void store_close(struct store *s);

uint64_t store_version(struct store *s);       /* of the last visible write */
uint64_t store_commits(struct store *s);

struct kube_object *store_get(struct store *s, const char *resource, const char *ns, const char *name); /* NULL: absent */

/* A consistent snapshot sorted by key: from `after_key` (exclusive, NULL: the beginning), at most limit (0: all). */
struct store_list {
    struct kube_object **items;
    size_t count;
    uint64_t version;
    size_t remaining;             /* after the last one returned */
};
void store_list(struct store *s, const char *resource, const char *ns, const char *after_key, size_t limit,
                struct store_list *ret);
void store_list_done(struct store_list *l);

/* One write. `decide` is called under the writer lock with the newest state (NULL: absent) and says what is to be:
 * *ret_next NULL means delete, == current means nothing to do, else the new object, whose metadata.resourceVersion the store
 * sets (that is why it gets JSON, not an object). It must be quick and must not call the store. An error from it is returned
 * as it is. The call returns when the outcome is durable and visible.
 * ret: the object as stored, or the last state with the deletion's version when deleted; a reference. */
typedef int store_decide_fn(void *ctx, const struct kube_object *current, struct arena *a, struct json **ret_next,
                            bool *ret_unchanged, struct error **err);
int store_write(struct store *s, const char *resource, const char *ns, const char *name, store_decide_fn *decide, void *ctx,
                struct kube_object **ret, struct error **err);

/* ---- watches ------------------------------------------------------------------------------------------------- */

enum store_event_type { STORE_ADDED, STORE_MODIFIED, STORE_DELETED };

struct store_event {
    enum store_event_type type;
    uint64_t version;
    const char *resource;
    struct kube_object *object;   /* for deletes: the last state, with the deletion's version as resourceVersion */
    struct kube_object *previous; /* NULL for adds: selectors turn changes into adds and deletes with it */
};

/* Events after from_version, in order, on the commit thread (history first, on the caller's thread). on_event must be quick
 * and must not call store_write. -ERROR_GONE when from_version is older than the history. ns NULL: all. */
int store_watch(struct store *s, const char *resource, const char *ns, uint64_t from_version,
                void (*on_event)(void *ctx, const struct store_event *event), void *ctx, struct store_watch **ret,
                struct error **err);
void store_watch_close(struct store_watch *w);   /* when it returns, on_event does not run and will not */
