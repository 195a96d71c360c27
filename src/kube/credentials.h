/* What proves to the API server who we are, at the moment of a request. For the HTTP transport;
 * from any thread. */
#pragma once

#include "base/arena.h"
#include "kube/cancel.h"
#include "kube/config.h"

struct kube_credentials;

/* Borrows config. */
struct kube_credentials *kube_credentials_new(const struct kube_config *config);
void kube_credentials_free(struct kube_credentials *c);

struct kube_credential {
    const char *authorization; /* header value; NULL: none */
    const char *cert_pem;      /* NULL: none. Both live as long as the kube_credentials */
    const char *key_pem;
};

/* Runs the plugin when what it said last has expired; that may take up to 30 s. `cancel` may be
 * NULL. */
int kube_credentials_get(struct kube_credentials *c, struct arena *a, struct kube_cancel *cancel,
                         struct kube_credential *ret, struct error **err);
/* The server answered 401: the next request shall look at the token file or ask the plugin again.
 */
void kube_credentials_rejected(struct kube_credentials *c);

/* What a plugin printed, as a credential. In the arena. For tests and fuzzing too. *ret_expires_ns:
 * wall clock, 0: never. */
int kube_exec_parse(struct arena *a, const char *text, size_t len, const char *api_version,
                    struct kube_credential *ret, int64_t *ret_expires_ns, struct error **err);
