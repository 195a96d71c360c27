/* A small world for the controller: the embedded API server in memory, the controller with its
 * threads, and the test as everybody else (user, node, StatefulSet controller, kubelet). */
#pragma once

#include "apiserver/apiserver.h"
#include "unit.h"
#include "workspace/workspace.h"
#include "json/build.h"

struct world {
    struct arena *a; /* of the test */
    char models_dir[64];
    struct apiserver *server;
    struct kube_transport *transport;
    struct kube_client *client;  /* of the test */
    struct kube_client *counted; /* of the controller */
    struct kube_transport *counting;
    struct manager *manager;
    struct event_recorder *events;
    struct operator_settings settings;
    struct workspace_controller *controller;
};

void world_start(struct world *w); /* API server and CRD; no controller yet */
void world_start_controller(struct world *w);
void world_stop(struct world *w);

/* How many requests of the controller changed something or tried to: anything but GET. */
unsigned world_writes(struct world *w);

/* The single quotes of `text` become double quotes. */
struct json *world_parse(struct world *w, const char *text);
struct json *world_create(struct world *w, const struct kube_resource *r, struct json *obj);
struct json *world_get(struct world *w, const struct kube_resource *r, const char *ns,
                       const char *name); /* NULL: absent */
void world_patch(struct world *w, const struct kube_resource *r, const char *ns, const char *name,
                 const char *sub, const char *patch);
void world_delete(struct world *w, const struct kube_resource *r, const char *ns, const char *name);

void world_add_node(struct world *w, const char *name, const char *labels);
void world_add_model(struct world *w, const char *name);
/* Status of the StatefulSet, as its controller would write it. */
void world_set_ready(struct world *w, const char *name, int64_t ready);

/* Waits, at most ten seconds. */
const struct json *world_wait_condition(struct world *w, const char *name, const char *type,
                                        const char *status, const char *reason, const char *part);
struct json *world_wait_exists(struct world *w, const struct kube_resource *r, const char *name);
void world_wait_gone(struct world *w, const struct kube_resource *r, const char *name);
/* Until nothing has been written for 300 ms. */
void world_settle(struct world *w);

#define NS "default"
