/* The validating webhooks of an operator: an HTTPS server that API servers ask, the certificate
 * that it serves with, and the ValidatingWebhookConfigurations that tell API servers where it is.
 *
 *   server.c   POST /validate/NAME, AdmissionReview in and out
 *   review.c   from the bytes of a request to those of its answer (pure)
 *   certs.c    what the Secret should hold (pure)
 *   config.c   what the configurations should say (pure)
 *   webhook.c  reads and writes Secret and configurations, on a thread of its own
 *
 * The chart makes the Secret and the configurations; the operator fills them in and never creates
 * one. Every replica does so, without an election: writes carry the resourceVersion that was read.
 * What is right already is not written. */
#pragma once

#include "kube/client.h"

/* One of those that the chart may install. */
struct webhook_hook {
    const char *name;            /* of the configuration and of the webhook in it */
    const char *path;            /* "/validate/" and the name without "validation." */
    const char *group, *plural;  /* of the objects that are reviewed when created or updated */
    const char *const *versions; /* NULL-terminated */
};
/* validation.{workspace,inferenceset,multiroleinference,modelmirror}.kaito.sh; ends with name NULL.
 */
extern const struct webhook_hook WEBHOOK_WORKSPACE_HOOKS[];
/* validation.ragengine.kaito.sh */
extern const struct webhook_hook WEBHOOK_RAGENGINE_HOOKS[];

/* Judges the `request` of an AdmissionReview (admission.k8s.io/v1). *ret: its `response`,
 * {"allowed", "status"?, "warnings"?}, in the arena; the uid is filled in here. On several threads
 * at once. A failure becomes a denial with code 500, and is logged. */
typedef int webhook_review_fn(void *ctx, struct arena *a, const struct json *request,
                              struct json **ret, struct error **err);

struct webhook_options {
    struct kube_client
        *client;         /* its transport is borrowed; calls are made with a client of its own */
    struct clock *clock; /* NULL: system */
    const struct webhook_hook *hooks; /* NULL: WEBHOOK_WORKSPACE_HOOKS */
    const char *address;              /* NULL: all of this machine */
    uint16_t port;                    /* WEBHOOK_PORT; 0: any free one */
    const char *service;              /* WEBHOOK_SERVICE: the certificate is for its DNS names */
    const char *ns;                   /* of the Service, the Secret and this process */
    const char *secret;               /* NULL: "workspace-webhook-cert" */
    const char *tls_min_version;      /* WEBHOOK_TLS_MIN_VERSION: "1.2", "1.3"; NULL or "": "1.3" */
    webhook_review_fn *review;
    void *ctx;
};

#define WEBHOOK_WORKSPACE_SECRET "workspace-webhook-cert"
#define WEBHOOK_RAGENGINE_SECRET "ragengine-webhook-cert"

struct webhook;

/* Listens and starts its thread; reviews are answered as soon as there is a certificate, which may
 * be after this returned. -ERROR_CONFLICT: the port is taken; -ERROR_INVALID: an option is wrong.
 */
int webhook_start(const struct webhook_options *options, struct webhook **ret, struct error **err);
uint16_t webhook_port(const struct webhook *w);
/* For /readyz: a certificate is served, it is valid, and the configurations that exist were seen to
 * be right once. Otherwise false and the reason in why. Any thread. */
bool webhook_ready(struct webhook *w, char *why, size_t why_size);
/* Ends what is under way within two seconds and frees. NULL is fine. */
void webhook_stop(struct webhook *w);
