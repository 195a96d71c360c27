/* The provisioner of `kaito plan`: every node that is asked for comes at once, with the GPUs that
 * its instance type has. */
#pragma once

#include "catalog/catalog.h"
#include "kube/client.h"
#include "operator/settings.h"

/* Nodes for all NodeClaims that have none, NodeClaims for all NodePools that want more. *ret_made:
 * how many objects were made; 0: there is nothing left to do. */
int plan_provision(struct arena *a, struct kube_client *c, const struct operator_settings *settings,
                   const struct catalog *catalog, size_t *ret_made, struct error **err);

/* Tells the controllers that the node classes that they made at their start are ready. */
int plan_ready_node_classes(struct arena *a, struct kube_client *c,
                            const struct kube_resource *node_classes, struct error **err);
