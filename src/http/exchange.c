/* One request and its reply. See server_internal.h for the threads and the locks.
 *
 * libmicrohttpd would decode the path itself, and stop at an encoded NUL. It is told not to, and
 * the request target is taken as the client sent it: decoded here, once, or refused. */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/server_internal.h"

#define EXCHANGE_MAGIC 0x45584348u

/* A body that is not much too large is read to its end: the client then sees the 413 instead of a
 * reset connection, and the connection stays usable. */
#define DISCARD_MAX (8 * MIB)

#define METHOD_MAX 24

static struct http_exchange *exchange_of(void *cls)
{
    struct http_exchange *x = cls;
    assert(x && x->magic == EXCHANGE_MAGIC);
    return x;
}

static void pairs_free(struct pair *p)
{
    while (p) {
        struct pair *next = p->next;
        free(p);
        p = next;
    }
}

static void exchange_unref(struct http_exchange *x)
{
    if (__atomic_sub_fetch(&x->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    assert(!x->response && !x->out);
    pairs_free(x->query_pairs);
    pairs_free(x->header_pairs);
    pairs_free(x->set_headers);
    buf_done(&x->body);
    pthread_mutex_destroy(&x->mutex);
    x->magic = 0;
    free(x);
}

/* value may be NULL. */
static struct pair *pair_new(const char *name, const char *value)
{
    size_t name_size = strlen(name) + 1;
    size_t value_size = value ? strlen(value) + 1 : 0;
    struct pair *p = mem_alloc(sizeof *p + name_size + value_size);
    p->next = NULL;
    memcpy(p->name, name, name_size);
    p->value = value ? memcpy(p->name + name_size, value, value_size) : NULL;
    return p;
}

/* ---- the request arrives (on the connection's thread) -------------------------------------------------------- */

void *exchange_on_request_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *s = cls;
    if (!uri)
        uri = "";
    size_t len = strlen(uri);
    /* One block: the exchange, the method, the raw target, the decoded path (never longer than the
     * target). */
    struct http_exchange *x = mem_alloc(sizeof *x + METHOD_MAX + 2 * (len + 1));
    *x = (struct http_exchange){
        .magic = EXCHANGE_MAGIC,
        .refs = 1,
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .server = s,
        .connection = connection,
        .body = BUF_INIT(s->max_body),
    };
    x->method = (char *)(x + 1);
    x->method[0] = '\0';
    char *raw = x->method + METHOD_MAX;
    memcpy(raw, uri, len + 1);
    x->path = raw + len + 1;
    x->path[0] = '\0';

    char *query = strchr(raw, '?');
    if (query)
        *query++ = '\0';
    x->query = query ? query : "";

    /* A client that takes us for a proxy sends the whole URL. */
    const char *path = raw;
    const char *after_scheme = str_skip_prefix(raw, "http://");
    if (!after_scheme)
        after_scheme = str_skip_prefix(raw, "https://");
    if (after_scheme) {
        path = strchr(after_scheme, '/');
        if (!path)
            path = "/";
    }
    if (path[0] != '/' || http_url_decode(path, strlen(path), false, x->path) < 0)
        x->path[0] = '\0';
    return x;
}

static enum MHD_Result answer(struct MHD_Connection *connection, int status, const char *text,
                              bool close)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                        MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
    if (close)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result r = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result on_headers(struct http_exchange *x, struct MHD_Connection *connection,
                                  const char *method)
{
    x->seen = true;
    if (server_stage(x->server) != SERVER_RUNS)
        return answer(connection, 503, "the server is shutting down\n", true);
    size_t method_size = strlen(method) + 1;
    if (method_size > METHOD_MAX)
        return answer(connection, 501, "unknown method\n", true);
    memcpy(x->method, method, method_size);
    if (x->path[0] == '\0')
        return answer(connection, 400,
                      "the request target is not a path, or has a bad percent escape\n", true);

    const char *text =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t length;
    if (text && str_to_uint64(text, &length) == 0 && length > x->body.max) {
        x->too_large = true;
        bool waits = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                 MHD_HTTP_HEADER_EXPECT) != NULL;
        if (waits || length > DISCARD_MAX)
            return answer(connection, 413, "the body of the request is too large\n", true);
    }
    return MHD_YES;
}

static enum MHD_Result on_body(struct http_exchange *x, const char *data, size_t *len)
{
    if (!x->too_large) {
        buf_append(&x->body, data, *len);
        x->too_large = !buf_ok(&x->body);
    }
    if (x->too_large) {
        buf_done(&x->body);
        x->discarded += *len;
        if (x->discarded > DISCARD_MAX)
            return MHD_NO; /* in the middle of a body nothing can be answered */
    }
    *len = 0;
    return MHD_YES;
}

static void link_to_server(struct http_exchange *x)
{
    struct http_server *s = x->server;
    LOCK(&s->mutex);
    x->next = s->exchanges;
    if (x->next)
        x->next->prev = x;
    s->exchanges = x;
}

static void unlink_from_server(struct http_exchange *x)
{
    struct http_server *s = x->server;
    LOCK(&s->mutex);
    if (x->prev)
        x->prev->next = x->next;
    else
        s->exchanges = x->next;
    if (x->next)
        x->next->prev = x->prev;
    if (!s->exchanges)
        pthread_cond_signal(&s->idle);
}

/* Queues the reply if there is one; else leaves the connection asleep until there is. */
static enum MHD_Result reply_or_sleep(struct http_exchange *x, struct MHD_Connection *connection)
{
    struct MHD_Response *response;
    struct http_stream_out *out;
    {
        LOCK(&x->mutex);
        if (!x->replied && server_stage(x->server) == SERVER_ENDS) {
            x->replied = true;
            return answer(connection, 503, "the server is shutting down\n", true);
        }
        if (!x->replied) {
            MHD_suspend_connection(connection);
            x->suspended = true;
            return MHD_YES;
        }
        response = TAKE_PTR(x->response);
        out = x->out;
    }
    if (!response)
        return answer(connection, 503, "the server is shutting down\n",
                      true); /* exchange_shut() replied */
    if (out)
        stream_out_attach(out, connection);
    enum MHD_Result r = MHD_queue_response(connection, (unsigned)x->status, response);
    MHD_destroy_response(response);
    return r;
}

enum MHD_Result exchange_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version,
                                    const char *upload_data, size_t *upload_data_size,
                                    void **con_cls)
{
    struct http_exchange *x = exchange_of(*con_cls);
    if (!x->seen)
        return on_headers(x, connection, method);
    if (*upload_data_size > 0)
        return on_body(x, upload_data, upload_data_size);
    if (x->too_large)
        return answer(connection, 413, "the body of the request is too large\n", false);
    if (!x->handed) {
        x->handed = true;
        __atomic_add_fetch(&x->refs, 1, __ATOMIC_RELAXED);
        link_to_server(x);
        x->server->handler(x, x->server->handler_ctx);
    }
    return reply_or_sleep(x, connection);
}

void exchange_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                           enum MHD_RequestTerminationCode code)
{
    if (!*con_cls)
        return;
    struct http_exchange *x = exchange_of(*con_cls);
    *con_cls = NULL;
    struct MHD_Response *response;
    struct http_stream_out *out;
    {
        LOCK(&x->mutex);
        x->connection = NULL;
        x->replied = true;
        response = TAKE_PTR(x->response); /* a reply that never got queued */
        out = TAKE_PTR(x->out);
    }
    if (response)
        MHD_destroy_response(response);
    if (out) {
        stream_out_detach(out);
        stream_out_unref(out);
    }
    if (x->handed)
        unlink_from_server(x);
    exchange_unref(x);
}

void exchange_shut(struct http_exchange *x, bool force)
{
    LOCK(&x->mutex);
    if (x->out)
        stream_out_shut(x->out);
    if (force && x->suspended) {
        x->replied = true;
        x->suspended = false;
        MHD_resume_connection(x->connection);
    }
}

/* ---- the request is read (by the owner) ---------------------------------------------------------------------- */

const char *http_method(const struct http_exchange *x)
{
    return x->method;
}

const char *http_path(const struct http_exchange *x)
{
    return x->path;
}

const char *http_raw_query(const struct http_exchange *x)
{
    return x->query;
}

/* Pairs that cannot be decoded are left out, as Go's url.ParseQuery does it for the servers that we
 * stand in for. */
static void parse_query(struct http_exchange *x)
{
    struct pair **tail = &x->query_pairs;
    AUTO_FREE char *name = mem_alloc(strlen(x->query) + 1);
    AUTO_FREE char *value = mem_alloc(strlen(x->query) + 1);
    for (const char *p = x->query; *p;) {
        const char *end = strchrnul(p, '&');
        const char *equals = memchr(p, '=', (size_t)(end - p));
        const char *name_end = equals ? equals : end;
        const char *value_start = equals ? equals + 1 : end;
        if (end > p && http_url_decode(p, (size_t)(name_end - p), true, name) == 0 &&
            http_url_decode(value_start, (size_t)(end - value_start), true, value) == 0) {
            *tail = pair_new(name, value);
            tail = &(*tail)->next;
        }
        p = *end ? end + 1 : end;
    }
    x->query_parsed = true;
}

const char *http_query(const struct http_exchange *cx, const char *name)
{
    struct http_exchange *x = (struct http_exchange *)cx;
    LOCK(&x->mutex);
    if (!x->query_parsed)
        parse_query(x);
    for (struct pair *p = x->query_pairs; p; p = p->next)
        if (STREQ(p->name, name))
            return p->value;
    return NULL;
}

const char *http_header(const struct http_exchange *cx, const char *name)
{
    struct http_exchange *x = (struct http_exchange *)cx;
    LOCK(&x->mutex);
    for (struct pair *p = x->header_pairs; p; p = p->next)
        if (str_case_eq(p->name, name))
            return p->value;
    /* Once the server has answered in our place, the connection moves on and its memory is not ours
     * to read. */
    if (!x->connection || x->replied)
        return NULL;
    struct pair *p =
        pair_new(name, MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name));
    p->next = x->header_pairs;
    x->header_pairs = p;
    return p->value;
}

const char *http_body(const struct http_exchange *x, size_t *ret_len)
{
    if (ret_len)
        *ret_len = x->body.len;
    return buf_str(&x->body);
}

static void format_peer(struct http_exchange *x)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr)
        return;
    const void *address = NULL;
    if (info->client_addr->sa_family == AF_INET)
        address = &((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr;
    else if (info->client_addr->sa_family == AF_INET6)
        address = &((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr;
    if (address)
        inet_ntop(info->client_addr->sa_family, address, x->peer, sizeof x->peer);
}

const char *http_peer(const struct http_exchange *cx)
{
    struct http_exchange *x = (struct http_exchange *)cx;
    LOCK(&x->mutex);
    if (x->peer[0] == '\0' && x->connection && !x->replied)
        format_peer(x);
    return x->peer;
}

/* ---- the reply (from any thread) ----------------------------------------------------------------------------- */

void http_set_header(struct http_exchange *x, const char *name, const char *value)
{
    struct pair **tail = &x->set_headers;
    while (*tail)
        tail = &(*tail)->next;
    *tail = pair_new(name, value);
}

void exchange_give(struct http_exchange *x, int status, const char *content_type,
                   struct MHD_Response *response, struct http_stream_out *out)
{
    if (!response) /* sizes are checked, so this is memory */
        abort();
    if (content_type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    for (struct pair *p = x->set_headers; p; p = p->next)
        MHD_add_response_header(response, p->name, p->value);

    bool taken = false;
    {
        LOCK(&x->mutex);
        if (!x->replied) {
            taken = true;
            x->replied = true;
            x->status = status;
            x->response = response;
            x->out = out;
            if (x->suspended) {
                x->suspended = false;
                MHD_resume_connection(x->connection);
            }
        }
    }
    if (!taken) {
        if (out) {
            stream_out_refuse(out);
            stream_out_unref(out);
        }
        MHD_destroy_response(response);
    }
    exchange_unref(x);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body,
                size_t len)
{
    exchange_give(x, status, content_type,
                  MHD_create_response_from_buffer(len, (void *)(uintptr_t)body,
                                                  MHD_RESPMEM_MUST_COPY),
                  NULL);
}

void http_reply_text(struct http_exchange *x, int status, const char *text)
{
    http_reply(x, status, "text/plain; charset=utf-8", text, strlen(text));
}

void http_reply_owned(struct http_exchange *x, int status, const char *content_type,
                      const void *body, size_t len, void (*release)(void *ctx), void *release_ctx)
{
    exchange_give(x, status, content_type,
                  MHD_create_response_from_buffer_with_free_callback_cls(len,
                                                                         (void *)(uintptr_t)body,
                                                                         release, release_ctx),
                  NULL);
}
