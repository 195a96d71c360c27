/* A controller: keys from informers through a work queue into reconcile, on a few workers. And the
 * manager that starts and stops everything in order. */
#pragma once

#include "kube/informer.h"
#include "kube/workqueue.h"

struct reconcile_result {
    int64_t requeue_after_ms; /* 0: none */
};

/* key is "ns/name" (or "name"). The arena dies afterwards. An error puts the key back with back-off
 * and is logged once. */
typedef int reconcile_fn(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                         struct error **err);

struct controller_options {
    const char *name;
    unsigned workers; /* 0: 1 */
    reconcile_fn *reconcile;
    void *ctx;
    struct clock *clock;
};

struct controller;
struct controller *controller_new(const struct controller_options *options);
/* The manager does these three; tests that use no manager do them themselves. */
int controller_start(struct controller *c, struct error **err);
void controller_stop(struct controller *c); /* lets each worker end its reconcile; joins */
void controller_free(struct controller *c); /* after its informers are stopped */
struct workqueue *controller_queue(struct controller *c);

/* Sources; before start. Keys of the object itself, of its controller owner of that kind (in the
 * same namespace), or what `map` says (it calls workqueue_add as often as it likes; old or new may
 * be NULL; it runs where informer handlers run). */
void controller_watch(struct controller *c, struct informer *i);
void controller_watch_owned(struct controller *c, struct informer *i, const char *owner_kind);
typedef void controller_map_fn(void *ctx, struct workqueue *q, struct kube_object *old,
                               struct kube_object *new);
void controller_watch_mapped(struct controller *c, struct informer *i, controller_map_fn *map,
                             void *ctx);

/* For tests: reconciles every due key on the calling thread until none is due. Returns the number
 * done. */
size_t controller_drain(struct controller *c);
/* true when no key is due, waiting to be retried within `within_ms`, or in work. */
bool controller_idle(struct controller *c, int64_t within_ms);

/* ---- manager ------------------------------------------------------------------------------------------------ */

/* Start order: health server, informers (synced), leader election, controllers. Stop is the
 * reverse. Calls of the client that are under way when the manager stops are interrupted. */
struct manager;

struct manager_options {
    struct kube_client *client;
    struct clock *clock;
    const char *health_address;          /* ":8081"; NULL: none. /healthz, /readyz */
    const char *metrics_address;         /* ":8080"; NULL: none. /metrics */
    const struct leader_options *leader; /* NULL: none */
    int64_t sync_timeout_ms;             /* 0: 120 s */
    /* What /readyz waits for besides the caches; false: not yet, and why. On a thread of the health
     * server. NULL: nothing. */
    bool (*ready)(void *ctx, char *why, size_t why_size);
    void *ready_ctx;
};

struct manager *manager_new(const struct manager_options *options);
struct informer *manager_informer(struct manager *m, const struct kube_resource *r,
                                  const struct informer_options *options);
/* The informer of r that was made with `shared`; NULL: there is none. */
struct informer *manager_shared(struct manager *m, const struct kube_resource *r);
void manager_add(struct manager *m, struct controller *c);
/* Returns when controllers run (or wait for the lease). On failure stop and free it as after a
 * success. */
int manager_start(struct manager *m, struct error **err);
uint16_t manager_health_port(struct manager *m); /* 0: none */
uint16_t manager_metrics_port(struct manager *m);
bool manager_lost_lead(struct manager *m); /* the process should exit */
void manager_stop(
    struct manager *m); /* joins all; also from another thread during manager_start() */
void manager_free(struct manager *m); /* frees informers and controllers */
