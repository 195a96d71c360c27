/* Names of API resources, and paths made from them. */
#pragma once

#include "json/json.h"

struct kube_resource {
    const char *group; /* "" for core */
    const char *version;
    const char *plural; /* "statefulsets" */
    const char *kind;   /* "StatefulSet" */
    bool namespaced;
};

/* The kinds that our own code reads and writes. */
extern const struct kube_resource KUBE_NAMESPACES, KUBE_NODES, KUBE_PODS, KUBE_SERVICES,
    KUBE_ENDPOINTS, KUBE_ENDPOINT_SLICES, KUBE_CONFIGMAPS, KUBE_SECRETS, KUBE_EVENTS,
    KUBE_STATEFULSETS, KUBE_DEPLOYMENTS, KUBE_CONTROLLER_REVISIONS, KUBE_JOBS, KUBE_LEASES,
    KUBE_CRDS, KUBE_STORAGE_CLASSES, KUBE_NODECLAIMS, KUBE_NODEPOOLS, KUBE_WORKSPACES,
    KUBE_INFERENCE_SETS, KUBE_MULTI_ROLE_INFERENCES, KUBE_OCI_REPOSITORIES, KUBE_HELM_RELEASES,
    KUBE_MODEL_MIRRORS, KUBE_PERSISTENT_VOLUME_CLAIMS, KUBE_PERSISTENT_VOLUMES,
    KUBE_SERVICE_ACCOUNTS;

/* "apps/v1" or "v1". */
char *kube_api_version(struct arena *a, const struct kube_resource *r);
/* "/apis/apps/v1/namespaces/NS/statefulsets/NAME/SUB"; ns, name, subresource may be NULL. */
char *kube_path(struct arena *a, const struct kube_resource *r, const char *ns, const char *name,
                const char *subresource);
