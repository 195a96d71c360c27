/* A controller that runs on the thread of the test, step by step, on a clock of its own: the same
 * calls in the same order each time. Its caches are the real ones, and are as the server is before
 * each step. Kubelet and provisioner are played. */
#pragma once

#include "../workspace/world.h"
#include "fault_transport.h"
#include "kube/leader.h"

struct stage {
    struct world w;
    struct clock_virtual clock;
    bool played;     /* pods become ready */
    bool provisions; /* and nodes of NodeClaims come */
    unsigned lives;  /* controllers so far */
    unsigned made;   /* NodeClaims and NodePools that all of them made */

    /* of the controller that lives */
    struct fault_transport calls;  /* of its reconciles */
    struct fault_transport caches; /* lists and watches */
    struct kube_client *client, *cache_client;
    struct event_recorder *events;
    struct manager *manager;
    struct workspace_controller *controller;
    struct leader_options waits;
};

void stage_open(struct stage *s); /* server and CRDs; then change s->w.settings */
void stage_provision(struct stage *s, enum node_provisioner p); /* it is played, with its CRDs */
void stage_live(struct stage *s);                               /* a controller with empty caches */
void stage_die(struct stage *s);                                /* without a last word */
void stage_close(struct stage *s);

/* Reconciles what is due and lets the played parts act, until neither has anything to do and
 * nothing is due within two minutes; the clock moves from one due time to the next. false: it died
 * on the way. */
bool stage_settle(struct stage *s);
/* Only what is due now; the caches are brought up to date first, unless they are held. */
size_t stage_step(struct stage *s);

/* All objects that controllers make or change, without what differs between two runs that do the
 * same: times, uids, versions, addresses. */
char *stage_dump(struct stage *s);
unsigned stage_made(const struct stage *s);
