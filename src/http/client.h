/* HTTP client: one I/O thread runs libcurl's multi interface; any number of threads make calls on
 * it. Connections are kept alive and shared; HTTP/2 is used when the server offers it. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct http_client;

struct http_client_options {
    const char *user_agent;
    size_t max_connections; /* in all; 0: 64 */
};

struct http_tls {
    const char *ca_pem;   /* NULL: the system's */
    const char *cert_pem; /* client certificate and key; NULL: none */
    const char *key_pem;
    const char *server_name; /* checked instead of the URL's host; NULL: the URL's */
    bool insecure;           /* no verification */
};

struct http_header {
    const char *name;
    const char *value;
};

struct http_request {
    const char *method; /* NULL: GET */
    const char *url;
    const struct http_header *headers;
    size_t header_count;
    const void *body; /* must live until the call returns; copied by streams */
    size_t body_len;
    const struct http_tls
        *tls; /* strings must outlive the client (connections are cached by them); NULL: defaults */
    int64_t timeout_ms;         /* whole call; 0: 30 s for calls, none for streams */
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t idle_timeout_ms;    /* streams: no byte for so long ends it with TIMEOUT; 0: none */
    size_t max_response;        /* bytes; 0: 64 MiB for calls; streams have none */
    const char *proxy; /* NULL: http_proxy, https_proxy, no_proxy of the environment; "": none */
    bool follow_redirects; /* at most 10; credentials are not sent to another host */
};

struct http_response {
    int status;
    struct buf body;
    struct http_header *headers; /* names in lower case */
    size_t header_count;
};
#define HTTP_RESPONSE_INIT                                                                         \
    {                                                                                              \
        0                                                                                          \
    }

int http_client_new(const struct http_client_options *options, struct http_client **ret,
                    struct error **err);
/* Cancels what is under way (its callers get CANCELLED) and joins the thread. */
void http_client_free(struct http_client *c);

/* Blocks until the whole response is there or the deadline passes. Any HTTP status is a success of
 * this call. Errors: TIMEOUT, UNAVAILABLE (refused, DNS, reset; the text names host and port),
 * TOO_LARGE, FORBIDDEN (TLS verification), CANCELLED. */
int http_call(struct http_client *c, const struct http_request *request, struct http_response *ret,
              struct error **err);
void http_response_done(struct http_response *r);
const char *http_response_header(const struct http_response *r,
                                 const char *name); /* any case; NULL when absent */

/* ---- streams: watches, log follow, downloads ---------------------------------------------------------------- */

struct http_stream;

/* Called on the I/O thread; must not block. */
struct http_stream_handler {
    void (*on_response)(void *ctx, int status, const struct http_header *headers,
                        size_t header_count);
    /* Returning false ends the stream with CANCELLED. */
    bool (*on_data)(void *ctx, const char *data, size_t len);
    /* Always the last call. err is NULL for a clean end; it is freed afterwards. */
    void (*on_end)(void *ctx, const struct error *err);
    void *ctx;
};

/* Returns at once: what becomes of the request is told to the handler. *ret is set before the first
 * of its calls. */
int http_stream_open(struct http_client *c, const struct http_request *request,
                     const struct http_stream_handler *handler, struct http_stream **ret,
                     struct error **err);
/* Stop and resume reading (back-pressure). From any thread. */
void http_stream_pause(struct http_stream *s, bool pause);
/* Ends the stream if it is open (on_end gets CANCELLED) and frees it; also after
 * http_client_free(). When it returns no handler runs or will run: so hold no lock that a handler
 * takes. Not from a handler. */
void http_stream_close(struct http_stream *s);
