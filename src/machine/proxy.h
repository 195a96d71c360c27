/* TCP from ClusterIPs to pods: what kube-proxy does with packet filters, with sockets instead, so
 * that it needs no privilege.
 *
 * A Service is listened on at its ClusterIP (an address of this machine's loopback) and ports while
 * it has endpoints; without any the connection is refused, as on a cluster. Connections go to the
 * ready endpoints in turn, and to the next one when a connect fails. Each is copied both ways with
 * at most one buffer waiting per direction; a half-close is passed on. One thread. */
#pragma once

#include "kube/events.h"
#include "kube/informer.h"

struct proxy;

struct proxy_options {
    struct informer *services; /* not started yet; handlers are added */
    struct informer *endpoints;
    struct event_recorder *events; /* ports that cannot be listened on; NULL: none */
    size_t max_connections;        /* 0: 8192; further ones are closed at once */
};

int proxy_new(const struct proxy_options *options, struct proxy **ret, struct error **err);
int proxy_start(struct proxy *p, struct error **err);
void proxy_stop(struct proxy *p); /* closes everything; joins */
void proxy_free(struct proxy *p);
size_t proxy_connections(struct proxy *p);

/* Where one port of a Service leads: array of {"ip", "port"}. Pure. */
struct json *proxy_backends(struct arena *a, const struct json *service_port,
                            const struct json *endpoints);
