/* The ModelMirror controller (gate ModelMirror): a model of Hugging Face, fetched once into a
 * volume that many pods can read, by a Job that is tried again while it fails. What is Ready stays
 * so. */
#pragma once

#include "kube/controller.h"
#include "kube/events.h"
#include "operator/settings.h"

struct model_mirror_controller;

/* As workspace_controller_add(). */
int model_mirror_controller_add(struct manager *m, struct kube_client *c,
                                const struct operator_settings *settings,
                                struct event_recorder *events, struct clock *clock,
                                struct model_mirror_controller **ret, struct error **err);
void model_mirror_controller_free(struct model_mirror_controller *m);
