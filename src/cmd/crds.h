/* The CustomResourceDefinitions that this executable carries. */
#pragma once

#include "kube/client.h"

/* Creates those that are missing and updates those whose spec differs; waits until they are served.
 */
int crds_ensure(struct kube_client *c, struct error **err);
