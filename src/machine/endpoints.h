/* Endpoints: which pods stand behind a Service, and at which ports. endpoints_decide() is pure. */
#pragma once

#include "kube/controller.h"

/* The Endpoints object of a Service with a selector. pods: array of those that its selector
 * matches. current: what is there, or NULL. Returns NULL when nothing has to change. */
struct json *endpoints_decide(struct arena *a, const struct json *service, const struct json *pods,
                              const struct json *current);

/* The Service's ports with the numbers that they have in this pod. */
struct json *endpoints_ports(struct arena *a, const struct json *service, const struct json *pod);

struct endpoints_sources {
    struct kube_client *client;
    struct informer *services;
    struct informer *pods;
    struct informer *endpoints;
    struct informer *slices;
    struct clock *clock;
};
struct endpoints_controller;
struct endpoints_controller *endpoints_controller_new(const struct endpoints_sources *sources,
                                                      struct controller **ret_controller);
void endpoints_controller_free(struct endpoints_controller *e);
