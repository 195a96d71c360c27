/* What a server has from its first start on: the namespaces of every cluster, and the Service
 * `kubernetes`. */
#pragma once

#include "apiserver/server.h"

int bootstrap(struct apiserver *s, struct error **err);
/* The Service's endpoint, once the address and port are known. */
int bootstrap_service(struct apiserver *s, const char *address, uint16_t port, struct error **err);
