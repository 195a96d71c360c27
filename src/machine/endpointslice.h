/* EndpointSlices: what Endpoints say, in pieces, as newer clients read it. endpointslices_decide()
 * is pure; the controller of Endpoints (endpoints.c) has both in its care. */
#pragma once

#include "kube/controller.h"

struct endpointslices_plan {
    struct json *create; /* array of EndpointSlices */
    struct json *change; /* array of {name, patch} */
    struct json *remove; /* array of names */
};

/* service: with a selector. pods: array of those that it matches. current: array of the slices that
 * the Service owns. */
void endpointslices_decide(struct arena *a, const struct json *service, const struct json *pods,
                           const struct json *current, struct endpointslices_plan *ret);

/* Decides from the cache of slices, and does it. */
int endpointslices_reconcile(struct kube_client *client, struct informer *slices, struct arena *a,
                             const struct json *service, const struct json *pods,
                             struct error **err);
