/* CustomResourceDefinitions: names are accepted and the kind is established in the write itself, so
 * that a client that has its answer can use the kind at once. */
#pragma once

#include "apiserver/request.h"

#define CRDS_RESOURCE "apiextensions.k8s.io/customresourcedefinitions"
#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

void crd_on_write(struct api_request *rq, struct json *obj, const struct json *old);
void crd_on_delete(struct api_request *rq, struct json *obj);
void crd_after(struct apiserver *s);
