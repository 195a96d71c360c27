/* What proxy.c (Services and listeners) and proxy_connection.c (connections) share. All of it
 * belongs to the proxy's thread. */
#pragma once

#include <netinet/in.h>

#include "base/buf.h"
#include "machine/loop.h"

/* Where connections of a listener go; shared by those that are still connecting. */
struct backends {
    unsigned refs;
    size_t count;
    struct sockaddr_in addresses[];
};
void backends_unref(struct backends *b);

struct proxy_connection;

/* The connections of a proxy. */
struct proxy_connections {
    struct loop *loop;
    struct proxy_connection *first;
    size_t count;
    size_t max;
    char *scratch; /* what was read and not yet written */
};

void connections_init(struct proxy_connections *cs, struct loop *loop, size_t max);
void connections_done(struct proxy_connections *cs);
/* Takes the socket of a client over. first: which of the backends is tried first. */
void connection_start(struct proxy_connections *cs, int client_fd, struct backends *b,
                      size_t first);
