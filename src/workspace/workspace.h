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

enum node_provisioner { PROVISIONER_AZURE_GPU, PROVISIONER_KARPENTER, PROVISIONER_BYO };

struct workspace_settings {
    enum node_provisioner
        provisioner;            /* this slice: BYO only; the others are refused at start by name */
    const char *cloud;          /* "azure", "aws", "arc"; "" on one box */
    const char *image_registry; /* PRESET_REGISTRY_NAME; "mcr.microsoft.com/aks/kaito" */
    const char *release_namespace;
    const char *models_dir; /* one box: where weights are; NULL on a cluster */
    bool vllm;              /* feature gate vLLM */
};

struct workspace_controller;

/* Registers its informers with the manager and adds the controller to it. Borrowed: all arguments
 * live until manager_stop(). *ret is freed after manager_free(). */
int workspace_controller_add(struct manager *m, struct kube_client *c,
                             const struct workspace_settings *settings,
                             struct event_recorder *events, struct clock *clock,
                             struct workspace_controller **ret, struct error **err);
void workspace_controller_free(struct workspace_controller *w);
/* For tests: to drain it on the calling thread. */
struct controller *workspace_controller_inner(struct workspace_controller *w);

/* Waits, for tests and status pages: */
const char *workspace_state(const struct json *workspace); /* status.state, "" when unset */
