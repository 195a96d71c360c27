/* Namespaces: what is created in them, and how they end. A deleted Namespace is Terminating until
 * nothing is left in it and then loses the finalizer "kubernetes" in its spec (housekeeper.c does
 * both). */
#pragma once

#include "apiserver/request.h"

#define NAMESPACES_RESOURCE "/namespaces"
#define NAMESPACE_FINALIZER "kubernetes"

int namespace_check_delete(struct api_request *rq);
void namespace_on_delete(struct api_request *rq, struct json *obj);
bool namespace_holds(const struct json *obj);
/* Its content is ours to delete. */
bool namespace_has_finalizer(const struct json *obj);
