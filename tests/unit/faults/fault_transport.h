/* A transport between a client and the embedded API server that fails as networks, servers and
 * processes do. Calls are counted, and the n-th of them meets a fault; streams can be held back,
 * cut after so many bytes, or told twice; the server can be gone for a while. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "kube/transport.h"

struct fault {
    const char *name;
    bool done;  /* the server carries the request out all the same; the answer is what is lost */
    bool dies;  /* the process is gone: no later call of it reaches the server */
    bool cut;   /* the true answer, half of it */
    int status; /* the answer; 0: none, but an error of this code (and reason) */
    int64_t retry_after_ms;
    const char *body; /* of the answer, whatever its status */
    enum error_code code;
    const char *reason;
};

struct fault_stream;

struct fault_transport {
    struct kube_transport base; /* first */
    pthread_mutex_t lock;
    struct kube_transport *inner;

    /* calls */
    const struct fault *fault;
    unsigned at;            /* the call that meets the fault, from 1; 0: none */
    unsigned seen;          /* calls so far */
    unsigned writes, lists; /* of those that reached the server: not GET; GET of a collection */
    unsigned made;          /* NodeClaims and NodePools, by those */
    unsigned creates;       /* of those that made something of the kind `counted` */
    const char *counted;    /* its plural; NULL: none */
    bool dead;
    bool down; /* nobody listens */
    /* Called before a request that writes reaches the server. NULL: none. */
    void (*on_write)(void *ctx, const struct kube_request *request);
    void *ctx;

    /* streams */
    bool held;        /* what comes is kept back until fault_transport_release() */
    size_t cut_after; /* bytes of the first stream, which ends there; SIZE_MAX: none */
    bool cut_hard;    /* with an error; else as if it were complete */
    size_t piece;     /* bytes that are told at once; 0: as they come */
    bool twice;       /* each line is told twice */
    unsigned opened;
    size_t bytes; /* that were told by the first stream */
    struct fault_stream *streams;
    struct map *listed; /* paths of lists that were answered */
};

void fault_transport_init(struct fault_transport *t, struct kube_transport *inner);
void fault_transport_done(struct fault_transport *t); /* after its streams are closed */
/* The next calls count from 1. */
void fault_transport_arm(struct fault_transport *t, const struct fault *f, unsigned at);
/* One of the counters, while other threads count. */
size_t fault_transport_lists(struct fault_transport *t);
size_t fault_transport_opened(struct fault_transport *t);
size_t fault_transport_bytes(struct fault_transport *t);
/* For each list there is a stream that goes on from it. */
bool fault_transport_watches(struct fault_transport *t);
void fault_transport_hold(struct fault_transport *t);
void fault_transport_release(struct fault_transport *t);
/* Ends all streams; calls are refused, until fault_transport_up(), which may bring another server.
 */
void fault_transport_down(struct fault_transport *t);
void fault_transport_up(struct fault_transport *t, struct kube_transport *inner);
