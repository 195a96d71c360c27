/* A small world for the controllers of sets: the embedded API server in memory, the controllers
 * with their threads, and the test as everybody else: the user, the Workspace controller, Flux,
 * Karpenter. Writes of the controllers can be made to fail from the n-th on, as when the process
 * dies there. */
#pragma once

#include "apiserver/apiserver.h"
#include "inferenceset/inferenceset.h"
#include "multirole/multirole.h"
#include "unit.h"
#include "json/build.h"

struct set_world {
    struct arena *a; /* of the test */
    struct apiserver *server;
    struct kube_transport *transport;
    struct kube_client *client; /* of the test */
    struct clock *clock;        /* NULL: the system's */
    struct operator_settings settings;
    /* of the controllers */
    struct kube_transport *faulty;
    struct kube_client *own;
    struct manager *manager;
    struct event_recorder *events;
    struct inference_set_controller *sets;
    struct multi_role_controller *roles; /* with its gate */
};

/* The base image of this operator, and one of an earlier one. */
#define IMAGE_NOW "mcr.microsoft.com/aks/kaito/kaito-base:0.5.0"
#define IMAGE_OLD "mcr.microsoft.com/aks/kaito/kaito-base:0.4.2"

void set_world_start(struct set_world *w); /* API server and CRDs; no controllers yet */
void set_world_run(struct set_world *w);   /* the controllers */
void set_world_halt(struct set_world *w);  /* ends them, as a crash would: nothing is tidied up */
void set_world_stop(struct set_world *w);

/* The controllers' writes from the n-th on (1: the first) do not get through, with `applied` the
 * n-th itself reaches the server and only its answer is lost. 0: all get through. Before run. */
void set_world_die_at(struct set_world *w, unsigned n, bool applied);
/* Everything that the controllers' watches tell comes so much later. Before run. */
void set_world_slow_watches(struct set_world *w, unsigned ms);
unsigned set_world_writes(struct set_world *w); /* tried by the controllers since run */

/* The single quotes of `text` become double quotes. */
struct json *set_world_parse(struct set_world *w, const char *text);
struct json *set_world_create(struct set_world *w, const struct kube_resource *r, const char *ns,
                              const char *text);
struct json *set_world_get(struct set_world *w, const struct kube_resource *r, const char *ns,
                           const char *name); /* NULL: absent */
void set_world_patch(struct set_world *w, const struct kube_resource *r, const char *ns,
                     const char *name, const char *sub, const char *patch);
void set_world_delete(struct set_world *w, const struct kube_resource *r, const char *ns,
                      const char *name);
struct json *set_world_list(struct set_world *w, const struct kube_resource *r, const char *ns,
                            const char *labels); /* items */

/* Workspaces of a set, by name. */
struct json *set_world_children(struct set_world *w, const char *ns, const char *set);
/* What the Workspace controller and its pods would do: a StatefulSet of this image (NULL: as it is,
 * or the one that the Workspace is told to take), all pods ready or none, and the status that says
 * so, of the present specification. */
void set_world_serve(struct set_world *w, const char *ns, const char *name, const char *image,
                     bool ready);
void set_world_serve_all(struct set_world *w, const char *ns, const char *set);

/* CRDs that have no schema to speak of: of Flux, of Karpenter. */
void set_world_serve_kind(struct set_world *w, const struct kube_resource *r);

/* Until nothing has been written for 120 ms. */
void set_world_settle(struct set_world *w);
/* Waits, at most ten seconds, for a condition of a set. part: of its message; NULL: any. */
const struct json *set_world_wait(struct set_world *w, const struct kube_resource *r,
                                  const char *ns, const char *name, const char *type,
                                  const char *status, const char *reason, const char *part);
void set_world_wait_children(struct set_world *w, const char *ns, const char *set, size_t count);
void set_world_wait_gone(struct set_world *w, const struct kube_resource *r, const char *ns,
                         const char *name);

#define NS "default"
#define SET(name, replicas)                                                                        \
    "{'metadata':{'name':'" name "'},'spec':{'replicas':" replicas                                 \
    ",'labelSelector':{'matchLabels':{'apps':'x'}},'template':{'resource':{'instanceType':"        \
    "'Standard_NC24ads_A100_v4'},'inference':{'preset':{'name':'phi-4-mini-instruct'}}}}}"
