/* The scale subresource: the replicas of an object, seen and set as an autoscaling/v1 Scale. Kinds
 * of CRDs that name its paths have it, and StatefulSets. */
#pragma once

#include "apiserver/patch.h"

bool scale_served(const struct api_kind *k);
int scale_get(struct api_request *rq, struct api_reply *reply);
/* The Scale in the body of an update. */
int scale_read(struct api_request *rq, struct json **ret);
/* *ret: the object `old` with the replicas that the Scale has, given whole or as a patch. */
int scale_apply(struct api_request *rq, const struct patch *patch, const struct json *given,
                const struct json *old, struct json **ret);
/* The Scale of an object. */
struct json *scale_view(struct arena *a, const struct api_kind *k, const struct json *obj);
const struct kube_resource *scale_resource(void); /* autoscaling/v1 Scale */
/* Answers with the Scale of an object. */
int scale_reply(struct api_request *rq, struct api_reply *reply, int status,
                const struct json *obj);
