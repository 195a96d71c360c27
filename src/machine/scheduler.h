/* The scheduler of one node: a pod fits, or there is a reason why not, in the words of Kubernetes'
 * scheduler. */
#pragma once

#include "kube/controller.h"
#include "kube/events.h"

/* NULL when the pod can run on the node; else why not ("0/1 nodes are available: 1 Insufficient
 * cpu. …"). others: array of the pods that are bound to the node. Pure. */
const char *scheduler_reason(struct arena *a, const struct json *pod, const struct json *node,
                             const struct json *others);

struct scheduler_sources {
    struct kube_client *client;
    struct informer *pods;
    struct informer *nodes;
    struct event_recorder *events;
    struct clock *clock;
    const char *node_name;
};
struct scheduler;
struct scheduler *scheduler_new(const struct scheduler_sources *sources,
                                struct controller **ret_controller);
void scheduler_free(struct scheduler *s);
