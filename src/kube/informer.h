/* A local, always current copy of the objects of one resource, kept by list + watch, with handlers
 * for changes.
 *
 * Watches are narrow: by namespace, labels and fields, and each object goes through `project`
 * first, so that what nobody reads is not kept. 410 means list again; a broken watch is opened
 * again with back-off (100 ms … 30 s, jitter). A watch on which nothing comes for 150 s, not even a
 * bookmark, counts as dead. What goes wrong is logged, once per kind of failure. */
#pragma once

#include "kube/client.h"
#include "kube/object.h"

struct informer;

struct informer_options {
    const char *ns;
    const char *label_selector;
    const char *field_selector;
    /* Lists by selectors that ask for one value of this label look at no other objects. NULL: none.
     */
    const char *index_label;
    /* Drops fields in place before the object is kept; metadata.managedFields is gone already.
     * NULL: drops no more. It must leave metadata.name, namespace, uid, resourceVersion and what
     * selectors and handlers read. */
    void (*project)(struct arena *a, struct json *obj);
    /* Of an object that came through `project`: whether it is kept. One that is not, or not any
     * more, is to handlers as if it did not exist. Runs where handlers run and on the informer's
     * thread, so it must not block. NULL: all are. When it would answer otherwise than before,
     * informer_relist(). */
    bool (*keep)(void *ctx, const struct json *obj);
    void *keep_ctx;
    /* Its first list is in the cache before this one lists: `keep` depends on it. */
    struct informer *after;
    /* The server need not serve this resource (its CRD may not be installed, or be removed): then
     * the cache is empty and in order, and the server is asked again every now and then, without a
     * word in the log. */
    bool optional;
    /* manager_shared() gives it to others who want this resource: `project` leaves all that anyone
     * reads of it, and there is no `keep`. One list and one watch less for each of them. */
    bool shared;
    int64_t absent_poll_ms; /* how often at most; 0: 30 s. The first times come sooner */
};

/* old is NULL for an add, new is NULL for a delete; both are set for an update. An object that was
 * deleted and made again (another uid) is a delete and an add. Called in order, one at a time, on
 * the informer's thread or one of the transport; must not block, must not stop the informer; may
 * read it. Takes its own references if it keeps the objects. */
typedef void informer_handler(void *ctx, struct kube_object *old, struct kube_object *new);

/* Borrows r. Makes a client of its own on the transport of c, so that it shares neither c's rate
 * limit nor its interruption. */
struct informer *informer_new(struct kube_client *c, const struct kube_resource *r,
                              const struct informer_options *options);
void informer_add_handler(struct informer *i, informer_handler *handler,
                          void *ctx); /* before start, at most 8 */
int informer_start(struct informer *i, struct error **err);
/* true once the first list is in the cache. */
bool informer_synced(struct informer *i);
/* Of an optional resource: the server serves it, as far as is known. Otherwise true. Handlers of
 * informer_on_served() hear of changes, where informer handlers run. */
bool informer_served(struct informer *i);
typedef void informer_served_handler(void *ctx, bool served);
void informer_on_served(struct informer *i, informer_served_handler *handler,
                        void *ctx); /* before start, one */
/* Called when a list is in the cache, on the informer's thread. Before start, one. */
typedef void informer_listed_handler(void *ctx);
void informer_on_listed(struct informer *i, informer_listed_handler *handler, void *ctx);
/* Lists anew, soon: what `keep` says has changed. The ticket is for informer_relisted(): whether a
 * list that began after the call is in the cache. */
uint64_t informer_relist(struct informer *i);
bool informer_relisted(struct informer *i, uint64_t ticket);
/* Waits for it. -ERROR_TIMEOUT carries the last list error's text. */
int informer_wait_synced(struct informer *i, int64_t timeout_ms, struct error **err);
void informer_stop(struct informer *i); /* joins, the cache stays; then informer_free */
void informer_free(struct informer *i);
const struct kube_resource *informer_resource(const struct informer *i);

/* Reads: from any thread. Results are references to be unref'ed. */
struct kube_object *informer_get(struct informer *i, const char *ns,
                                 const char *name); /* NULL when absent */
struct kube_object_list {
    struct kube_object **items; /* sorted by ns, then name */
    size_t count;
};
void kube_object_list_done(struct kube_object_list *l);
/* ns NULL: all. match NULL: all; else matching labels (selector.h). */
struct selector;
void informer_list(struct informer *i, const char *ns, const struct selector *match,
                   struct kube_object_list *ret);
/* Those whose controller ownerReference has this uid (indexed). */
void informer_list_owned(struct informer *i, const char *owner_uid, struct kube_object_list *ret);
size_t informer_count(struct informer *i);
