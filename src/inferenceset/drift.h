/* Nodes of Karpenter that drifted: one NodePool of an InferenceSet at a time may replace one. */
#pragma once

#include "kube/controller.h"
#include "kube/events.h"
#include "operator/decision.h"

struct drift_observed {
    const struct json *set;
    const struct json *pools;      /* array: NodePools of the set, sorted by name */
    const struct json *claims;     /* array: their NodeClaims */
    const struct json *workspaces; /* array: the set's Workspaces */
};

/* Pure. */
void drift_decide(struct arena *a, const struct drift_observed *o, struct decision *ret);

struct drift_controller;
/* sets, workspaces: informers of the InferenceSet controller. */
struct drift_controller *drift_controller_add(struct manager *m, struct kube_client *c,
                                              struct event_recorder *events, struct clock *clock,
                                              struct informer *sets, struct informer *workspaces);
void drift_controller_free(struct drift_controller *d);
struct controller *drift_controller_inner(struct drift_controller *d);
