#include "kube/resource.h"

#include <ctype.h>
#include <string.h>

#define CORE(plural, kind, namespaced)                                                             \
    {                                                                                              \
        "", "v1", plural, kind, namespaced                                                         \
    }

const struct kube_resource KUBE_NAMESPACES = CORE("namespaces", "Namespace", false);
const struct kube_resource KUBE_NODES = CORE("nodes", "Node", false);
const struct kube_resource KUBE_PODS = CORE("pods", "Pod", true);
const struct kube_resource KUBE_SERVICES = CORE("services", "Service", true);
const struct kube_resource KUBE_ENDPOINTS = CORE("endpoints", "Endpoints", true);
const struct kube_resource KUBE_ENDPOINT_SLICES = { "discovery.k8s.io", "v1", "endpointslices",
                                                    "EndpointSlice", true };
const struct kube_resource KUBE_CONFIGMAPS = CORE("configmaps", "ConfigMap", true);
const struct kube_resource KUBE_SECRETS = CORE("secrets", "Secret", true);
const struct kube_resource KUBE_EVENTS = CORE("events", "Event", true);
const struct kube_resource KUBE_STATEFULSETS = { "apps", "v1", "statefulsets", "StatefulSet",
                                                 true };
const struct kube_resource KUBE_DEPLOYMENTS = { "apps", "v1", "deployments", "Deployment", true };
const struct kube_resource KUBE_CONTROLLER_REVISIONS = { "apps", "v1", "controllerrevisions",
                                                         "ControllerRevision", true };
const struct kube_resource KUBE_JOBS = { "batch", "v1", "jobs", "Job", true };
const struct kube_resource KUBE_LEASES = { "coordination.k8s.io", "v1", "leases", "Lease", true };
const struct kube_resource KUBE_CRDS = { "apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                         "CustomResourceDefinition", false };
const struct kube_resource KUBE_STORAGE_CLASSES = { "storage.k8s.io", "v1", "storageclasses",
                                                    "StorageClass", false };
const struct kube_resource KUBE_NODECLAIMS = { "karpenter.sh", "v1", "nodeclaims", "NodeClaim",
                                               false };
const struct kube_resource KUBE_NODEPOOLS = { "karpenter.sh", "v1", "nodepools", "NodePool",
                                              false };
const struct kube_resource KUBE_WORKSPACES = { "kaito.sh", "v1beta1", "workspaces", "Workspace",
                                               true };
const struct kube_resource KUBE_INFERENCE_SETS = { "kaito.sh", "v1beta1", "inferencesets",
                                                   "InferenceSet", true };
const struct kube_resource KUBE_MULTI_ROLE_INFERENCES = { "kaito.sh", "v1alpha1",
                                                          "multiroleinferences",
                                                          "MultiRoleInference", true };
const struct kube_resource KUBE_MODEL_MIRRORS = { "kaito.sh", "v1alpha1", "modelmirrors",
                                                  "ModelMirror", false };
const struct kube_resource KUBE_PERSISTENT_VOLUME_CLAIMS =
    CORE("persistentvolumeclaims", "PersistentVolumeClaim", true);
const struct kube_resource KUBE_PERSISTENT_VOLUMES =
    CORE("persistentvolumes", "PersistentVolume", false);
const struct kube_resource KUBE_SERVICE_ACCOUNTS = CORE("serviceaccounts", "ServiceAccount", true);
/* Flux */
const struct kube_resource KUBE_OCI_REPOSITORIES = { "source.toolkit.fluxcd.io", "v1",
                                                     "ocirepositories", "OCIRepository", true };
const struct kube_resource KUBE_HELM_RELEASES = { "helm.toolkit.fluxcd.io", "v2", "helmreleases",
                                                  "HelmRelease", true };

char *kube_api_version(struct arena *a, const struct kube_resource *r)
{
    return *r->group ? arena_printf(a, "%s/%s", r->group, r->version) : arena_strdup(a, r->version);
}

/* Names are checked by the server, not here; but whatever they hold must not end the path segment.
 */
static void append_segment(struct buf *out, const char *segment)
{
    if (!segment)
        return;
    buf_putc(out, '/');
    for (const char *p = segment; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (isalnum(c) || strchr("-._~:", c))
            buf_putc(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

char *kube_path(struct arena *a, const struct kube_resource *r, const char *ns, const char *name,
                const char *subresource)
{
    AUTO_BUF out = BUF_INIT(64 * KIB);
    buf_puts(&out, *r->group ? "/apis/" : "/api/");
    if (*r->group)
        buf_printf(&out, "%s/", r->group);
    buf_puts(&out, r->version);
    if (ns && *ns && r->namespaced) {
        buf_puts(&out, "/namespaces");
        append_segment(&out, ns);
    }
    append_segment(&out, r->plural);
    append_segment(&out, name);
    if (subresource) {
        buf_putc(&out, '/');
        buf_puts(&out, subresource);
    }
    return arena_strndup(a, buf_str(&out), out.len);
}
