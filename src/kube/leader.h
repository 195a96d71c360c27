/* Leader election by a Lease, as client-go does it: 15 s lease, 10 s renew deadline, 2 s retry. */
#pragma once

#include "kube/client.h"

struct leader_options {
    const char *ns;
    const char *name; /* of the Lease */
    const char *identity;
    int64_t lease_ms;          /* 0: 15,000 */
    int64_t renew_deadline_ms; /* 0: 10,000 */
    int64_t retry_ms;          /* 0: 2,000 */
    struct clock *clock;       /* NULL: system */
    void (*on_started)(void *ctx);
    void (*on_stopped)(void *ctx); /* lost it: the process must stop leading at once. Not called by
                                      leader_stop() */
    void *ctx;
};

struct leader;
/* Strings are copied. Both callbacks run on the leader's thread, each at most once; after
 * on_stopped it does not try again. -ERROR_INVALID unless retry < renew deadline < lease. */
int leader_start(struct kube_client *c, const struct leader_options *options, struct leader **ret,
                 struct error **err);
bool leader_is(struct leader *l);
void leader_stop(
    struct leader *l); /* releases the Lease when held; joins and frees. Not from a callback */
