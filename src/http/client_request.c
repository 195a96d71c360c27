/* From a request to a curl handle that is ready to run. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/str.h"
#include "http/client_internal.h"

#define DEFAULT_CALL_MS 30000
#define DEFAULT_CONNECT_MS 10000
#define DEFAULT_RESPONSE (64 * MIB)
#define REDIRECTS_MAX 10L

#define KEEPALIVE_IDLE_S 30L
#define KEEPALIVE_INTERVAL_S 10L
/* A connection whose peer confirms nothing for so long is dead. Without it, a lost HTTP/2
 * connection would stay in use, since a call that times out closes its stream only. */
#define UNCONFIRMED_MS 45000

/* A caller that sets a wrong option is a mistake of ours. */
#define SET(easy, option, value)                                                                   \
    do {                                                                                           \
        if (curl_easy_setopt(easy, option, value) != CURLE_OK)                                     \
            abort();                                                                               \
    } while (false)

/* RFC 9110, 5.6.2. */
static bool is_token(const char *s)
{
    if (*s == '\0')
        return false;
    for (; *s; s++) {
        bool letter =
            (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        if (!letter && !strchr("!#$%&'*+-.^_`|~", *s))
            return false;
    }
    return true;
}

static bool is_header_value(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' && *s != '\t')
            return false;
    return true;
}

static bool is_loopback(const char *host)
{
    return str_case_eq(host, "localhost") || str_has_prefix(host, "127.") || STREQ(host, "[::1]");
}

static char *url_part(CURLU *url, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
        return NULL;
    char *copy = mem_strdup(text);
    curl_free(text);
    return copy;
}

static int add_line(struct transfer *t, const char *name, const char *value)
{
    /* curl's way to send an empty value. */
    AUTO_FREE char *line = *value ? mem_printf("%s: %s", name, value) : mem_printf("%s;", name);
    struct curl_slist *list = curl_slist_append(t->headers, line);
    if (!list)
        abort();
    t->headers = list;
    return 0;
}

/* Takes out a header that curl would add on its own. */
static void drop_line(struct transfer *t, const char *name)
{
    AUTO_FREE char *line = mem_printf("%s:", name);
    struct curl_slist *list = curl_slist_append(t->headers, line);
    if (!list)
        abort();
    t->headers = list;
}

static int set_url(struct transfer *t, CURL *easy, const struct http_request *request,
                   struct error **err)
{
    t->url = curl_url();
    if (!t->url)
        abort();
    CURLUcode code = curl_url_set(t->url, CURLUPART_URL, request->url, CURLU_PATH_AS_IS);
    if (code != CURLUE_OK)
        return error_set(err, ERROR_INVALID, "URL \"%s\": %s", request->url,
                         curl_url_strerror(code));
    AUTO_FREE char *scheme = url_part(t->url, CURLUPART_SCHEME, 0);
    if (!scheme || (!STREQ(scheme, "http") && !STREQ(scheme, "https")))
        return error_set(err, ERROR_INVALID, "URL \"%s\": neither http nor https", request->url);
    t->host = url_part(t->url, CURLUPART_HOST, 0);
    AUTO_FREE char *port = url_part(t->url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (!t->host || !port)
        return error_set(err, ERROR_INVALID, "URL \"%s\": no host", request->url);
    t->target = mem_printf("%s:%s", t->host, port);

    const char *server_name = request->tls ? request->tls->server_name : NULL;
    if (server_name && STREQ(scheme, "https") && !STREQ(server_name, t->host)) {
        /* curl checks the name in the URL: put the wanted one there, and say where it really is. */
        AUTO_FREE char *written_port = url_part(t->url, CURLUPART_PORT, 0);
        AUTO_FREE char *host_line = written_port ? mem_strdup(t->target) : mem_strdup(t->host);
        if (curl_url_set(t->url, CURLUPART_HOST, server_name, 0) != CURLUE_OK)
            return error_set(err, ERROR_INVALID, "TLS server name \"%s\"", server_name);
        AUTO_FREE char *connect_to = mem_printf("%s:%s:%s:%s", server_name, port, t->host, port);
        t->connect_to = curl_slist_append(NULL, connect_to);
        SET(easy, CURLOPT_CONNECT_TO, t->connect_to);
        add_line(t, "Host", host_line);
    }
    SET(easy, CURLOPT_CURLU, t->url);

    /* Like Go's net/http, which the proxy variables of clusters are written for: never for this
     * machine itself. */
    if (request->proxy)
        SET(easy, CURLOPT_PROXY, request->proxy);
    else if (is_loopback(t->host))
        SET(easy, CURLOPT_PROXY, "");
    if (STREQ(scheme, "https"))
        SET(easy, CURLOPT_PIPEWAIT, 1L);
    return 0;
}

static int set_headers(struct transfer *t, CURL *easy, const struct http_request *request,
                       struct error **err)
{
    bool has_type = false;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *h = &request->headers[i];
        if (!is_token(h->name) || !is_header_value(h->value))
            return error_set(err, ERROR_INVALID,
                             "header \"%s\" of the request has bytes that are not allowed",
                             h->name);
        has_type = has_type || str_case_eq(h->name, "content-type");
        add_line(t, h->name, h->value);
    }
    /* curl would wait up to a second for a "continue" that not every server sends. */
    drop_line(t, "Expect");
    if (!has_type)
        drop_line(t, "Content-Type");
    SET(easy, CURLOPT_HTTPHEADER, t->headers);
    return 0;
}

static int set_method(struct transfer *t, CURL *easy, const struct http_request *request,
                      struct error **err)
{
    const char *method = request->method ? request->method : "GET";
    if (!is_token(method))
        return error_set(err, ERROR_INVALID, "method \"%s\" of the request", method);
    bool may_have_body =
        !STREQ(method, "GET") && !STREQ(method, "HEAD") && !STREQ(method, "DELETE");
    if (request->body_len > 0 || may_have_body) {
        const char *body = request->body_len > 0 ? request->body : "";
        SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        if (t->is_stream)
            SET(easy, CURLOPT_COPYPOSTFIELDS, body);
        else
            SET(easy, CURLOPT_POSTFIELDS, body);
        if (!STREQ(method, "POST"))
            SET(easy, CURLOPT_CUSTOMREQUEST, method);
    } else if (STREQ(method, "HEAD")) {
        SET(easy, CURLOPT_NOBODY, 1L);
    } else if (!STREQ(method, "GET")) {
        SET(easy, CURLOPT_CUSTOMREQUEST, method);
    }
    return 0;
}

static void set_blob(CURL *easy, CURLoption option, const char *pem)
{
    struct curl_blob blob = { .data = (void *)(uintptr_t)pem,
                              .len = strlen(pem),
                              .flags = CURL_BLOB_NOCOPY };
    SET(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct http_tls *tls)
{
    SET(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (!tls)
        return;
    if (tls->ca_pem) {
        set_blob(easy, CURLOPT_CAINFO_BLOB, tls->ca_pem);
        SET(easy, CURLOPT_CAPATH, NULL); /* else the system's would be trusted as well */
    }
    if (tls->cert_pem)
        set_blob(easy, CURLOPT_SSLCERT_BLOB, tls->cert_pem);
    if (tls->key_pem)
        set_blob(easy, CURLOPT_SSLKEY_BLOB, tls->key_pem);
    if (tls->insecure) {
        SET(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        SET(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static int on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    unsigned ms = UNCONFIRMED_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return CURL_SOCKOPT_OK;
}

static void set_transport(struct transfer *t, CURL *easy, const struct http_request *request)
{
    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_NOPROGRESS, 1L);
    SET(easy, CURLOPT_TCP_NODELAY, 1L);
    SET(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    SET(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    SET(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET(easy, CURLOPT_QUICK_EXIT,
        1L); /* do not wait for a resolver thread when a call is given up */
    SET(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
    SET(easy, CURLOPT_PATH_AS_IS, 1L);
    SET(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    if (request->follow_redirects) {
        SET(easy, CURLOPT_FOLLOWLOCATION, 1L);
        SET(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    }
    t->follow_redirects = request->follow_redirects;
    t->connect_timeout_ms =
        request->connect_timeout_ms > 0 ? request->connect_timeout_ms : DEFAULT_CONNECT_MS;
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)t->connect_timeout_ms);
    t->timeout_ms = request->timeout_ms > 0 ? request->timeout_ms
                    : t->is_stream          ? 0
                                            : DEFAULT_CALL_MS;
    t->idle_timeout_ms = request->idle_timeout_ms;
    t->max_response = t->is_stream                ? SIZE_MAX
                      : request->max_response > 0 ? request->max_response
                                                  : DEFAULT_RESPONSE;
    t->response.body = (struct buf)BUF_INIT(t->max_response);
}

static void set_callbacks(struct transfer *t, CURL *easy)
{
    SET(easy, CURLOPT_PRIVATE, t);
    SET(easy, CURLOPT_ERRORBUFFER, t->detail);
    SET(easy, CURLOPT_HEADERFUNCTION, transfer_on_header);
    SET(easy, CURLOPT_HEADERDATA, t);
    SET(easy, CURLOPT_WRITEFUNCTION, transfer_on_body);
    SET(easy, CURLOPT_WRITEDATA, t);
}

int transfer_prepare(struct transfer *t, CURL *easy, CURLSH *share,
                     const struct http_request *request, const char *user_agent, struct error **err)
{
    t->easy = easy;
    SET(easy, CURLOPT_SHARE, share);
    if (user_agent)
        SET(easy, CURLOPT_USERAGENT, user_agent);
    int r = set_url(t, easy, request, err);
    if (r == 0)
        r = set_headers(t, easy, request, err);
    if (r == 0)
        r = set_method(t, easy, request, err);
    if (r < 0)
        return r;
    set_tls(easy, request->tls);
    set_transport(t, easy, request);
    set_callbacks(t, easy);
    return 0;
}

void transfer_release(struct transfer *t)
{
    curl_url_cleanup(TAKE_PTR(t->url));
    curl_slist_free_all(TAKE_PTR(t->headers));
    curl_slist_free_all(TAKE_PTR(t->connect_to));
    free(TAKE_PTR(t->target));
    free(TAKE_PTR(t->host));
}
