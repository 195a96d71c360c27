/* The MultiRoleInference controller: one model whose prompts are read by some Workspaces (prefill)
 * and answered by others (decode), an InferenceSet each, behind one inference pool.
 *
 *   observe.c  it, its InferenceSets, the configuration of the endpoint picker, Flux objects
 *   decide.c   observed → writes, status, events (pure)
 *   plugins.c  the endpoint picker's configuration when the user brings none
 *
 * controller.c puts them together. */
#pragma once

#include "kube/controller.h"
#include "kube/events.h"
#include "operator/settings.h"

struct multi_role_controller;

/* As inference_set_controller_add(). */
int multi_role_controller_add(struct manager *m, struct kube_client *c,
                              const struct operator_settings *settings,
                              struct event_recorder *events, struct clock *clock,
                              struct multi_role_controller **ret, struct error **err);
void multi_role_controller_free(struct multi_role_controller *m);
struct controller *multi_role_controller_inner(struct multi_role_controller *m);
