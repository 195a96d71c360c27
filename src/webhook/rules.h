/* The rules of admission/admission.h as the reviewer of a webhook, on a cluster: what they look up
 * comes from caches where there are any, else from the API server, with a short deadline. */
#pragma once

#include "admission/admission.h"
#include "kube/informer.h"
#include "webhook/webhook.h"

struct webhook_rules;

struct webhook_rules_options {
    struct kube_client *client;               /* its transport is borrowed */
    const struct operator_settings *settings; /* borrowed */
    const struct catalog *catalog;            /* borrowed; NULL: one of its own */
    struct informer *nodes, *config_maps;     /* NULL, or not synced: ask the API server. They must
                                                 hold all Nodes with their labels, all ConfigMaps
                                                 with their data */
};

struct webhook_rules *webhook_rules_new(const struct webhook_rules_options *options);
/* ctx: the struct webhook_rules. */
webhook_review_fn webhook_rules_review;
void webhook_rules_free(struct webhook_rules *r); /* NULL is fine */
