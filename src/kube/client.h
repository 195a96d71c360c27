/* Typed calls on any resource. All block until answered, with a deadline. Results live in the arena
 * given.
 *
 * API errors become error codes (404 NOT_FOUND, 409 ALREADY_EXISTS or CONFLICT by reason, 410 GONE,
 * 422 and 400 INVALID, 429 TOO_MANY with the wait, 401/403, 5xx UNAVAILABLE or INTERNAL) with the
 * server's reason and message. 429 and 503 with Retry-After, and connections that were refused, are
 * retried within the deadline; nothing else is. */
#pragma once

#include "kube/resource.h"
#include "kube/transport.h"
#include "json/json.h"

struct kube_client;

struct kube_client_options {
    double qps;          /* 0: unlimited; token bucket */
    unsigned burst;      /* 0: 1 */
    struct clock *clock; /* NULL: system */
    int64_t timeout_ms;  /* deadline of each call, retries included; 0: 30 s */
    bool no_retry;       /* for callers that have a back-off of their own */
};

/* Borrows the transport. */
struct kube_client *kube_client_new(struct kube_transport *t,
                                    const struct kube_client_options *options);
void kube_client_free(struct kube_client *c);
struct kube_transport *kube_client_transport(struct kube_client *c);
/* Ends the calls of this client that are under way with CANCELLED, and lets none wait from now on,
 * until it is called with false. How a stop stays quick while a server hangs. From any thread. */
void kube_client_interrupt(struct kube_client *c, bool on);

/* More than a tenth of its burst is used: calls that can wait leave the rest to those that cannot.
 */
bool kube_client_pressed(struct kube_client *c);

enum kube_patch_type { KUBE_PATCH_MERGE, KUBE_PATCH_STRATEGIC, KUBE_PATCH_JSON };
enum kube_propagation { KUBE_PROPAGATION_DEFAULT, KUBE_BACKGROUND, KUBE_FOREGROUND, KUBE_ORPHAN };

struct kube_list_options {
    const char *ns; /* NULL: all */
    const char *label_selector;
    const char *field_selector;
    const char *resource_version; /* NULL: most recent */
    int64_t limit; /* page size; pages are followed until the end; 0: server's choice */
};

struct kube_delete_options {
    const char *uid;              /* precondition; NULL: none */
    const char *resource_version; /* precondition; NULL: none */
    enum kube_propagation propagation;
    int64_t grace_seconds; /* -1: the object's own */
};
#define KUBE_DELETE_OPTIONS_INIT                                                                   \
    {                                                                                              \
        .grace_seconds = -1                                                                        \
    }

int kube_get(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
             struct arena *a, struct json **ret, struct error **err);
/* The whole list object, items of all pages together. */
int kube_list(struct kube_client *c, const struct kube_resource *r,
              const struct kube_list_options *options, struct arena *a, struct json **ret,
              struct error **err);
/* One page of it, item by item: they never lie in memory as values all at once. `on_item` may
 * change the item, which goes with the arena that comes with it when it returns. A page that cannot
 * be read to its end fails after some items. *ret: the list without its items. continue_token: NULL
 * for the first page; *ret_continue: for the next, "" after the last. */
struct kube_item_handler {
    void (*on_item)(void *ctx, struct arena *a, struct json *item);
    void *ctx;
};
int kube_list_items(struct kube_client *c, const struct kube_resource *r,
                    const struct kube_list_options *options, const char *continue_token,
                    const struct kube_item_handler *handler, struct arena *a, struct json **ret,
                    const char **ret_continue, struct error **err);
/* apiVersion and kind are filled in when absent. ns NULL: the object's. `ret` may be NULL. */
int kube_create(struct kube_client *c, const struct kube_resource *r, const char *ns,
                struct json *obj, struct arena *a, struct json **ret, struct error **err);
int kube_update(struct kube_client *c, const struct kube_resource *r, struct json *obj,
                const char *subresource, struct arena *a, struct json **ret, struct error **err);
int kube_patch(struct kube_client *c, const struct kube_resource *r, const char *ns,
               const char *name, const char *subresource, enum kube_patch_type type,
               const struct json *patch, struct arena *a, struct json **ret, struct error **err);
int kube_delete(struct kube_client *c, const struct kube_resource *r, const char *ns,
                const char *name, const struct kube_delete_options *options, struct error **err);
/* A GET of any path, body as it is. */
int kube_get_raw(struct kube_client *c, const char *path, struct buf *ret, struct error **err);
