/* The InferenceSet controller: a number of Workspaces that serve the same model under one name.
 *
 *   observe.c  the set, its Workspaces, their StatefulSets, ControllerRevisions, Flux objects
 *   decide.c   observed → writes, status, events, requeue (pure)
 *              decide_identity.c  revision and finalizer    decide_scale.c    how many, and which
 * go decide_rollout.c   changes of the template   decide_upgrade.c  newer base image
 *              decide_status.c    status and conditions
 *   pool.c     the gateway's objects, which MultiRoleInferences have too (pure)
 *   pending.c  children made and deleted that the cache does not show yet
 *   drift.c    a controller of its own: nodes of Karpenter that drifted, one pool at a time
 *
 * controller.c puts them together. */
#pragma once

#include "kube/controller.h"
#include "kube/events.h"
#include "operator/settings.h"

struct inference_set_controller;

/* Registers its informers with the manager and adds the controller to it; with the provisioner
 * karpenter also the one for drifted nodes. Borrowed: all arguments live until manager_stop(). *ret
 * is freed after manager_free(). */
int inference_set_controller_add(struct manager *m, struct kube_client *c,
                                 const struct operator_settings *settings,
                                 struct event_recorder *events, struct clock *clock,
                                 struct inference_set_controller **ret, struct error **err);
void inference_set_controller_free(struct inference_set_controller *s);
/* For tests: to drain them on the calling thread. Drift is NULL without Karpenter. */
struct controller *inference_set_controller_inner(struct inference_set_controller *s);
struct controller *inference_set_controller_drift(struct inference_set_controller *s);

/* Fills kaito_inferenceset_count{phase} from the cache; for metrics_on_collect(). ctx: the
 * controller. */
void inference_set_collect(void *ctx);
