/* HTTP server over libmicrohttpd: TLS, keep-alive, bodies with a cap, replies now or later, and
 * streamed replies.
 *
 * A request is handed to the handler once its body is complete, on one of the server's threads. The
 * handler answers with exactly one of http_reply*() or http_reply_stream(): right there, or later
 * from any thread (then the connection is suspended meanwhile and costs no thread). */
#pragma once

#include "base/error.h"

struct http_server;
struct http_exchange;
struct http_stream_out;

struct http_server_options {
    const char *name;     /* for logs and thread names */
    const char *address;  /* "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port;        /* 0: any free one; see http_server_port() */
    const char *cert_pem; /* NULL: plain HTTP */
    const char *key_pem;
    bool tls13_only;          /* else 1.2 or later */
    unsigned threads;         /* 0: 2 */
    unsigned max_connections; /* 0: 2048 */
    unsigned idle_timeout_s;  /* of keep-alive connections; 0: 120 */
    size_t max_body;          /* larger ones are answered 413; 0: 3 MiB */
    void (*handler)(struct http_exchange *x, void *ctx);
    void *ctx;
};

/* -ERROR_CONFLICT when the port is taken, -ERROR_FORBIDDEN when it needs privileges; the text names
 * address and port. */
int http_server_start(const struct http_server_options *options, struct http_server **ret,
                      struct error **err);
uint16_t http_server_port(const struct http_server *s);
/* Connections that come from now on see this certificate; those that are open keep theirs and go
 * on. Only of a server that was started with one; copies both. -ERROR_INVALID: they cannot be read
 * or do not belong together; the old ones stay. Any thread. */
int http_server_set_certificate(struct http_server *s, const char *cert_pem, const char *key_pem,
                                struct error **err);
/* Stops accepting, ends open streams, answers what still runs with 503 after grace_ms, and frees.
 * Waits for handlers that run; exchanges and streams that others hold may be replied to and ended
 * afterwards. Not from a handler. */
void http_server_stop(struct http_server *s, int64_t grace_ms);

/* ---- the request: valid until the reply is given ------------------------------------------------------------- */

const char *http_method(const struct http_exchange *x);
const char *http_path(
    const struct http_exchange *x); /* decoded once, without query; starts with "/" */
const char *http_raw_query(const struct http_exchange *x); /* after "?", undecoded; "" when none */
const char *http_query(const struct http_exchange *x,
                       const char *name); /* decoded first value; NULL when absent */
const char *http_header(const struct http_exchange *x, const char *name);
const char *http_body(const struct http_exchange *x, size_t *ret_len);
const char *http_peer(const struct http_exchange *x); /* address of the client */

/* ---- the reply ---------------------------------------------------------------------------------------------- */

/* Adds a header; call before the reply. */
void http_set_header(struct http_exchange *x, const char *name, const char *value);
/* Copies body. */
void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body,
                size_t len);
/* Takes body over; calls release(release_ctx) when it is sent or the client is gone. */
void http_reply_owned(struct http_exchange *x, int status, const char *content_type,
                      const void *body, size_t len, void (*release)(void *ctx), void *release_ctx);
void http_reply_text(struct http_exchange *x, int status, const char *text);

/* A reply of unknown length (chunked). At most max_pending bytes wait in memory for a slow client.
 * on_close may be NULL. */
struct http_stream_out *http_reply_stream(struct http_exchange *x, int status,
                                          const char *content_type, size_t max_pending,
                                          void (*on_close)(void *ctx), void *ctx);
/* From any thread, never blocks. -ERROR_TOO_LARGE: the client is too slow, the stream will be cut;
 * -ERROR_CANCELLED: the client has gone. No text. */
int http_stream_write(struct http_stream_out *s, const void *data, size_t len);
/* Ends and releases the stream; s must not be used after. on_close is called at most once, when the
 * client leaves before that or the server stops (from a server thread, within milliseconds of the
 * client's hang-up even when nothing is written; the owner still calls http_stream_end(), there or
 * later). When http_stream_end() returns, on_close does not run and will not: so hold no lock that
 * on_close takes. */
void http_stream_end(struct http_stream_out *s);

/* ---- helpers ------------------------------------------------------------------------------------------------ */

/* Percent-decodes in place into out (which may be s); -ERROR_INVALID for bad escapes or NUL. plus:
 * "+" is a space. */
int http_url_decode(const char *s, size_t len, bool plus, char *out);
const char *http_status_text(int status);
