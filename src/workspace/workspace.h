/* The Workspace controller.
 *
 *   observe.c   Workspace, its StatefulSet, Services, ControllerRevisions, Pods, Nodes, ConfigMap, weights → struct observed
 *   decide.c    observed → desired objects, status, events, requeue                      (pure)
 *   apply.c     creates, patches, deletes what differs */
#pragma once

#include "kube/controller.h"
#include "kube/events.h"

enum node_provisioner { PROVISIONER_AZURE_GPU, PROVISIONER_KARPENTER, PROVISIONER_BYO };

struct workspace_settings {
    enum node_provisioner provisioner;   /* this slice: BYO only; the others are refused at start by name */
    const char *cloud;                   /* "azure", "aws", "arc"; "" on one box */
    const char *image_registry;          /* PRESET_REGISTRY_NAME; "mcr.microsoft.com/aks/kaito" */
    const char *release_namespace;
    const char *models_dir;              /* one box: where weights are; NULL on a cluster */
    bool vllm;                           /* feature gate vLLM */
};

/* Registers its informers with the manager and adds the controller to it. Borrowed: all arguments live until manager_stop(). */
int workspace_controller_add(struct manager *m, struct kube_client *c, const struct workspace_settings *settings,
                             struct event_recorder *events, struct clock *clock, struct error **err);

/* Waits, for tests and status pages: */
const char *workspace_state(const struct json *workspace);   /* status.state, "" when unset */
