/* Carries a decision out: what every controller does with what it decided. */
#pragma once

#include "kube/events.h"
#include "operator/decision.h"

struct apply_target {
    struct kube_client *client;
    struct event_recorder *events; /* NULL: none are recorded */
};

struct apply_subject {
    const struct kube_resource *resource; /* of the object that the decision is about */
    const struct json *object;            /* as it was observed */
    /* The status to write when a write of the decision failed; NULL: the decided one. */
    struct json *(*status_after_error)(void *ctx, struct arena *a, const struct decision *d,
                                       const char *error);
    /* Told of each write before it is sent, and how it ended (0 or negative); NULL: nobody is. */
    void (*write_begins)(void *ctx, const struct write *w);
    void (*write_ended)(void *ctx, const struct write *w, int r);
    void *ctx;
};

/* The writes in their order, then the status, if it differs. A decision that makes machines stops
 * after those; what is left is decided again once they are seen. When a write fails, the rest of
 * them is left out, the status says so, and the error is returned; the next reconcile goes on from
 * what is there. ret_version (in the arena): the resourceVersion of the object after the last write
 * to it; NULL when there was none. */
int operator_apply(struct arena *a, const struct apply_target *t, const struct apply_subject *s,
                   const struct decision *d, const char **ret_version, struct error **err);
