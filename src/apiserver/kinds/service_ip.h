/* Cluster addresses and node ports of Services. */
#pragma once

#include "apiserver/strategy.h"

/* Gives the Service what its type needs and it does not have: an address of
 * apiserver_options.service_cidr, node ports. Runs in the decision about the write, so that two
 * Services cannot be given the same. Errors are "Invalid" with the API server's words when an
 * address that was asked for cannot be had. */
int service_ip_fill(struct strategy_context *x, struct json *obj, struct error **err);
