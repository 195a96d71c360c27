/* What the files of the server share.
 *
 * Who runs what: libmicrohttpd's threads (two by default) own the connections, parse, call the
 * handler and send. A reply or a piece of a stream that comes from another thread is left in the
 * exchange under its mutex, and the connection is resumed.
 *
 * A connection that waits for such a reply is suspended. Suspending is allowed on its own thread
 * only, and a reply may come at any moment: both sides decide under the mutex of the exchange (or
 * stream), so that a suspended connection is always seen by who resumes it, and resumed once.
 *
 * Order of locks: server, exchange, stream; then libmicrohttpd's own. */
#pragma once

#include <microhttpd.h>
#include <pthread.h>

#include "base/buf.h"
#include "http/server.h"

enum server_stage {
    SERVER_RUNS,
    SERVER_DRAINS, /* new requests get 503, streams end, replies may still come */
    SERVER_ENDS,   /* nothing is suspended any more: what has no reply gets 503 */
};

struct tls_identity;

struct http_server {
    struct MHD_Daemon *daemon;
    struct hangups *hangups;
    char *name;
    uint16_t port;
    size_t max_body;
    void (*handler)(struct http_exchange *x, void *ctx);
    void *handler_ctx;
    int stage; /* enum server_stage, atomic */

    pthread_mutex_t mutex;
    pthread_cond_t idle;             /* no exchange is left */
    struct http_exchange *exchanges; /* handed to the handler and not completed yet */
    char *start_error;               /* what libmicrohttpd said while it started */
    bool tls;
    struct tls_identity *identity; /* of new connections; NULL: as started */
};

static inline enum server_stage server_stage(struct http_server *s)
{
    return (enum server_stage)__atomic_load_n(&s->stage, __ATOMIC_ACQUIRE);
}

/* ---- exchange.c ---- */

struct pair {
    struct pair *next;
    char *value; /* NULL: known to be absent */
    char name[]; /* the value follows */
};

struct http_exchange {
    unsigned magic;
    int refs; /* libmicrohttpd's, and the owner's from the handler until the reply */
    pthread_mutex_t mutex;
    struct http_server *server;
    struct MHD_Connection *connection; /* NULL once completed */
    struct http_exchange *prev, *next; /* in server->exchanges */

    /* The request. */
    char *method;
    char *path;
    const char *query;         /* raw */
    struct pair *query_pairs;  /* decoded; made when first asked for */
    struct pair *header_pairs; /* copies of what was asked for, valid as long as the exchange */
    struct buf body;
    size_t discarded; /* bytes of a body beyond the cap */
    char peer[64];
    bool seen; /* the request line and the headers were looked at */
    bool query_parsed;
    bool too_large;
    bool handed; /* the handler was called */

    /* The reply; under mutex. */
    struct pair *set_headers;
    struct MHD_Response *response; /* until it is queued */
    struct http_stream_out *out;
    int status;
    bool replied;
    bool suspended;
};

void *exchange_on_request_line(void *cls, const char *uri, struct MHD_Connection *connection);
enum MHD_Result exchange_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version,
                                    const char *upload_data, size_t *upload_data_size,
                                    void **con_cls);
void exchange_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                           enum MHD_RequestTerminationCode code);
/* The server stops: ends its stream; with force, also answers 503 in the owner's place. */
void exchange_shut(struct http_exchange *x, bool force);

/* Hands the reply over and drops the owner's reference. */
void exchange_give(struct http_exchange *x, int status, const char *content_type,
                   struct MHD_Response *response, struct http_stream_out *out);

/* ---- stream_out.c ---- */

/* On the connection's thread, before the first byte is asked for. */
void stream_out_attach(struct http_stream_out *out, struct MHD_Connection *connection);
/* On the connection's thread: the request is over. Tells the owner unless it ended the stream
 * itself. */
void stream_out_detach(struct http_stream_out *out);
/* The reply was not taken: the owner is told by the next write. */
void stream_out_refuse(struct http_stream_out *out);
void stream_out_shut(struct http_stream_out *out); /* ends as soon as what is pending is sent */
void stream_out_hangup(struct http_stream_out *out);
void stream_out_ref(struct http_stream_out *out);
void stream_out_unref(struct http_stream_out *out);

/* ---- identity.c: what a TLS connection shows of itself ---- */

/* Gives the connection the server's current identity; returns a reference to be dropped when it is
 * closed, or NULL. */
struct tls_identity *identity_give(struct http_server *s, struct MHD_Connection *connection);
void identity_unref(struct tls_identity *i); /* NULL is fine */

/* ---- hangup.c ---- */

int hangups_new(const char *name, struct hangups **ret, struct error **err);
void hangups_free(struct hangups *h);
/* Returns a handle for hangups_remove(), or -1 when the socket cannot be watched: then the next
 * write finds out. */
int hangups_add(struct hangups *h, int fd, struct http_stream_out *out);
void hangups_remove(struct hangups *h, int handle, int fd);
