/* The caches behind nodes.h, shared by all reconciles of a controller, and what a reconcile reads
 * of them. They watch no more than the back end needs: with provisioning only nodes that carry a
 * label of ours, with the user's own nodes only those that somebody asks for. */
#pragma once

#include "kube/controller.h"
#include "operator/apply.h"
#include "operator/nodes.h"

struct nodes_cache;

/* Adds its informers to the manager. `owners`: of the objects that nodes_cache_select() is called
 * for. Borrows all; freed after manager_free(). */
struct nodes_cache *nodes_cache_new(struct manager *m, const struct operator_settings *settings,
                                    const struct nodes_words *words, struct informer *owners,
                                    struct clock *clock);
void nodes_cache_free(struct nodes_cache *c);

/* Of informers of the cache: wakes the owner of a NodeClaim, NodePool or node that changed. What
 * concerns all owners (node classes, a kind that is served from now on) goes to `all`, nodes that
 * nobody owns go to `node`. Before start. */
struct nodes_wake {
    controller_map_fn *node; /* a node without our labels; with the user's own nodes: any */
    void (*all)(void *ctx, struct workqueue *q);
    void *ctx;
};
void nodes_cache_wake(struct nodes_cache *c, struct controller *controller,
                      const struct nodes_wake *wake);

/* With the user's own nodes: the labels that an owner asks for now (NULL: it is gone). Nodes that
 * nobody asks for are not kept. Callable from informer handlers. */
void nodes_cache_select(struct nodes_cache *c, const char *ns, const char *name,
                        const struct json *labels);

/* false: not all nodes that q asks for are in the cache yet; a moment later they are. */
bool nodes_cache_observe(struct nodes_cache *c, struct arena *a, const struct nodes_request *q,
                         struct nodes_facts *ret);
/* For tests: the nodes that owners ask for have all been listed. */
bool nodes_cache_current(struct nodes_cache *c);
/* How many nodes are in the cache. */
size_t nodes_cache_count(struct nodes_cache *c);

/* For apply_subject: keeps track of what is made and not seen yet. */
void nodes_cache_write_begins(struct nodes_cache *c, const struct write *w);
void nodes_cache_write_ended(struct nodes_cache *c, const struct write *w, int r);

/* Drop what no reconcile reads: of nodes; of NodeClaims, NodePools and node classes. */
void nodes_project_node(struct arena *a, struct json *obj);
void nodes_project_claim(struct arena *a, struct json *obj);

/* The informer of node classes, NULL without Karpenter; `served` hears when a kind of Karpenter's
 * comes or goes. One caller, before start. */
struct informer *nodes_cache_classes(struct nodes_cache *c, informer_served_handler *served,
                                     void *ctx);
