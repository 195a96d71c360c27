/* What the front shows and asks for: the CA of the data directory, a certificate signed by it, the
 * token, the kubeconfig. */
#pragma once

#include "apiserver/server.h"
#include "http/crypto.h"

struct front_credentials {
    char *ca_pem; /* certificate only; free all with front_credentials_done() */
    struct key_pair server;
    char *token;
};

/* Reads them from the data directory, makes what is missing or runs out. Without a directory all
 * are new. */
int front_credentials_load(struct apiserver *s, const char *address, struct front_credentials *ret,
                           struct error **err);
void front_credentials_done(struct front_credentials *c);
/* Writes the kubeconfig (0600). */
int front_kubeconfig_write(const struct front_credentials *c, const char *path, const char *address,
                           uint16_t port, struct error **err);
