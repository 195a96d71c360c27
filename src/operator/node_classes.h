/* Karpenter: makes the node classes that the operator was given, as soon as the cluster knows their
 * kind. One that is there stays as it is, whatever the settings say. */
#pragma once

#include "operator/nodes_cache.h"

struct node_classes;

/* Adds a controller to the manager; NULL with other node provisioners. Borrows all; freed after
 * manager_free(). */
struct node_classes *node_classes_add(struct manager *m, struct kube_client *client,
                                      const struct operator_settings *settings,
                                      struct nodes_cache *cache, struct clock *clock);
void node_classes_free(struct node_classes *n);
/* For tests. */
struct controller *node_classes_controller(struct node_classes *n);
