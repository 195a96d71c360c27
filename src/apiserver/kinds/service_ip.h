/* Cluster addresses and node ports of Services. */
#pragma once

#include "apiserver/strategy.h"

/* Gives the Service what its type needs and it does not have: an address of
 * apiserver_options.service_cidr, node ports. Runs in the decision about the write, so that two
 * Services cannot be given the same. What was asked for and cannot be had goes to errors. */
int service_ip_fill(struct strategy_context *x, struct json *obj, struct field_errors *errors,
                    struct error **err);
