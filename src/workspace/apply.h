/* Carries a decision out. */
#pragma once

#include "workspace/decide.h"

struct apply_target {
    struct kube_client *client;
    struct event_recorder *events;
};

/* The writes in their order, then the status, if it differs. When a write fails, the rest of them
 * is left out, the status says so, and the error is returned; the next reconcile goes on from what
 * is there. ret_version (in the arena): the resourceVersion of the Workspace after the last write
 * to it; NULL when there was none. */
int workspace_apply(struct arena *a, const struct apply_target *t, const struct decide_input *in,
                    const struct decision *d, const char **ret_version, struct error **err);
