/* Addresses of pods: from a block of loopback, so that they are reachable from this machine only
 * and need no set-up. Handed out one after the other, so that an address is not another pod's a
 * moment after its pod has gone. Not thread-safe: the kubelet's. */
#pragma once

#include "base/error.h"

struct address_pool;

/* cidr: IPv4, between /8 and /30, inside 127.0.0.0/8. Network and broadcast address are not used.
 * seed: where in the block the first address is taken from. Boxes with different seeds on one
 * machine rarely hand out the same one. */
int address_pool_new(const char *cidr, uint32_t seed, struct address_pool **ret,
                     struct error **err);
void address_pool_free(struct address_pool *p);

#define ADDRESS_SIZE 16
/* -ERROR_TOO_MANY when all are in use. */
int address_pool_take(struct address_pool *p, char ret[ADDRESS_SIZE], struct error **err);
/* Marks an address as used; false when it is not in the block or is used already. */
bool address_pool_claim(struct address_pool *p, const char *address);
void address_pool_release(struct address_pool *p, const char *address);
