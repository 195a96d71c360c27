/* The Workspace controller.
 *
 *   observe.c   Workspace, its StatefulSet, Services, ControllerRevisions, Pods, Nodes, ConfigMap,
 * weights → struct observed decide.c    observed → writes, status, events, requeue (pure) apply.c
 * creates, patches, deletes what differs
 *
 * controller.c puts them together: informers, keys, the reconcile function. */
#pragma once

#include "kube/controller.h"
#include "kube/events.h"
#include "operator/settings.h"

struct catalog;
struct workspace_controller;

/* Registers its informers with the manager and adds the controller to it. Borrowed: all arguments
 * live until manager_stop(). *ret is freed after manager_free(). */
int workspace_controller_add(struct manager *m, struct kube_client *c,
                             const struct operator_settings *settings,
                             struct event_recorder *events, struct clock *clock,
                             struct workspace_controller **ret, struct error **err);
void workspace_controller_free(struct workspace_controller *w);
/* Lives as long as the controller. */
const struct catalog *workspace_controller_catalog(const struct workspace_controller *w);
/* For tests: to drain it on the calling thread. */
struct controller *workspace_controller_inner(struct workspace_controller *w);

/* workspace_explain() of a Workspace as the caches have it; *ret NULL: there is none. */
int workspace_controller_explain(struct workspace_controller *w, const char *ns, const char *name,
                                 struct arena *a, struct json **ret, struct error **err);

/* For tests: its caches have what the Workspaces ask for. */
bool workspace_controller_current(struct workspace_controller *w);
struct controller *workspace_controller_classes(struct workspace_controller *w); /* or NULL */
size_t workspace_controller_nodes(struct workspace_controller *w); /* how many are cached */

/* Waits, for tests and status pages: */
const char *workspace_state(const struct json *workspace); /* status.state, "" when unset */
