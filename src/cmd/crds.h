/* The CustomResourceDefinitions that this executable carries. */
#pragma once

#include "kube/client.h"
#include "operator/settings.h"

/* Creates those that are missing and updates those whose spec differs; waits until they are served.
 */
int crds_ensure(struct kube_client *c, struct error **err);

/* The same for the kinds of a node provisioner, which bring their own on a cluster: NodeClaims,
 * NodePools, and with the provisioner karpenter its node classes. For worlds in memory. */
int crds_ensure_karpenter(struct kube_client *c, const struct operator_settings *settings,
                          struct error **err);

/* ModelMirrors, for worlds in memory with their gate on. */
int crds_ensure_mirrors(struct kube_client *c, struct error **err);

/* One of all that are carried, by the kind of its objects; -ERROR_NOT_FOUND without a text when
 * there is none. */
int crds_find(struct arena *a, const char *group, const char *kind, struct json **ret);
