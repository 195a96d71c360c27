/* What the files of this folder share. */
#pragma once

#include "base/clock.h"
#include "webhook/webhook.h"

extern const struct kube_resource WEBHOOK_CONFIGURATIONS; /* ValidatingWebhookConfiguration */

/* ---- review.c ---- */

/* From the body of a request to the AdmissionReview that answers it. -ERROR_INVALID: it is no
 * AdmissionReview that can be answered; the text says why. */
int review_answer(struct arena *a, const char *body, size_t len, webhook_review_fn *review,
                  void *ctx, struct json **ret, struct error **err);

/* ---- certs.c ---- */

#define CERT_DAYS 7
#define CERT_RENEW_HOURS 24 /* before it ends */

/* The texts are the arena's. */
struct webhook_certs {
    const char *key, *cert, *ca;
    int64_t until_ns; /* wall clock: the first end of validity */
};

/* What the Secret holds. -ERROR_INVALID: it is missing or of no use at this time, and why. */
int certs_read(struct arena *a, const struct json *secret, const char *dns_name, int64_t now_ns,
               struct webhook_certs *ret, struct error **err);
/* The Secret with a new key, certificate and CA. CAs that it had and that are still valid stay
 * behind the new one, so that who serves with the old certificate is trusted until it changes over.
 */
int certs_renew(struct arena *a, const struct json *secret, const char *service, const char *ns,
                int64_t now_ns, struct json **ret, struct error **err);

/* ---- config.c ---- */

/* The configuration as it should be; NULL when it is right. owner: the Namespace of the release;
 * NULL: unknown, ownerReferences are left alone. */
struct json *config_correct(struct arena *a, const struct json *config,
                            const struct webhook_hook *hook, const char *ca_pem,
                            const struct json *owner);

/* ---- server.c ---- */

struct webhook_server;

/* Serves with a certificate of its own making, which nobody trusts, until it is given another. */
int webhook_server_start(const struct webhook_options *options, struct webhook_server **ret,
                         struct error **err);
uint16_t webhook_server_port(const struct webhook_server *s);
int webhook_server_set_certs(struct webhook_server *s, const struct webhook_certs *c,
                             struct error **err);
void webhook_server_stop(struct webhook_server *s);

/* ---- webhook.c, for tests ---- */

/* Its thread looks at everything again, as the clock shows it now. */
void webhook_poke(struct webhook *w);
