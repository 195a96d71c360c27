/* curl's result codes in the words of someone who has to find out what is wrong: which host and
 * port, how long, how much. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http/client_internal.h"

#define DURATION_SIZE 32

static const char *format_duration(int64_t ms, char out[DURATION_SIZE])
{
    if (ms < 1000)
        snprintf(out, DURATION_SIZE, "%lld ms", (long long)ms);
    else
        snprintf(out, DURATION_SIZE, "%.4g s", (double)ms / 1000);
    return out;
}

/* Where the connection stood when it failed: after a redirect this is another host than the
 * request's. */
static const char *where(const struct transfer *t, char *out, size_t size)
{
    long redirects = 0;
    const char *url = NULL;
    curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    if (redirects > 0 && curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK &&
        url) {
        const char *host = strstr(url, "://");
        host = host ? host + 3 : url;
        snprintf(out, size, "%.*s", (int)strcspn(host, "/?#"), host);
    } else {
        snprintf(out, size, "%s", t->target);
    }
    return out;
}

static const char *detail(const struct transfer *t, CURLcode code)
{
    return t->detail[0] != '\0' ? t->detail : curl_easy_strerror(code);
}

static bool connected(const struct transfer *t)
{
    curl_off_t us = 0;
    return curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &us) == CURLE_OK && us > 0;
}

struct error *transfer_timeout_error(struct transfer *t, bool idle)
{
    char host[300], duration[DURATION_SIZE];
    where(t, host, sizeof host);
    format_duration(idle ? t->idle_timeout_ms : t->timeout_ms, duration);
    struct error *e = NULL;
    if (idle)
        error_set(&e, ERROR_TIMEOUT, "no data from %s for %s", host, duration);
    else if (!connected(t))
        error_set(&e, ERROR_TIMEOUT, "no connection to %s within %s", host, duration);
    else if (!t->in_body)
        error_set(&e, ERROR_TIMEOUT, "no response from %s within %s", host, duration);
    else
        error_set(&e, ERROR_TIMEOUT,
                  "the response of %s was not complete after %s (%llu bytes so far)", host,
                  duration, (unsigned long long)t->received);
    return e;
}

static struct error *connect_error(struct transfer *t, const char *host)
{
    struct error *e = NULL;
    long errnum = 0;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &errnum);
    /* curl's text names whom it could not reach: when that is not the server, it was the proxy. */
    if (t->detail[0] != '\0' && !strstr(t->detail, t->host))
        error_set(&e, ERROR_UNAVAILABLE, "no connection to %s through the proxy: %s", host,
                  t->detail);
    else if (errnum == ECONNREFUSED)
        error_set(&e, ERROR_UNAVAILABLE, "connection to %s refused", host);
    else if (errnum != 0)
        error_set_errno(&e, (int)errnum, "no connection to %s", host);
    else
        error_set(&e, ERROR_UNAVAILABLE, "no connection to %s: %s", host,
                  detail(t, CURLE_COULDNT_CONNECT));
    if (error_code(e) != ERROR_UNAVAILABLE) {
        struct error *other = e;
        e = NULL;
        error_set(&e, ERROR_UNAVAILABLE, "%s", error_message(other));
        error_free(other);
    }
    return e;
}

struct error *transfer_error(struct transfer *t, CURLcode code)
{
    struct error *e = NULL;
    char host[300], duration[DURATION_SIZE];
    if (code == CURLE_OK)
        return NULL;
    where(t, host, sizeof host);
    switch (code) {
    case CURLE_WRITE_ERROR:
        if (t->too_large)
            error_set(&e, ERROR_TOO_LARGE, "the response of %s is larger than %zu bytes", host,
                      t->max_response);
        else
            error_set(&e, ERROR_CANCELLED, "cancelled");
        break;
    case CURLE_COULDNT_CONNECT:
        return connect_error(t, host);
    case CURLE_COULDNT_RESOLVE_HOST:
        error_set(&e, ERROR_UNAVAILABLE, "the name of %s cannot be resolved", host);
        break;
    case CURLE_COULDNT_RESOLVE_PROXY:
        error_set(&e, ERROR_UNAVAILABLE, "no connection to %s through the proxy: %s", host,
                  detail(t, code));
        break;
    case CURLE_OPERATION_TIMEDOUT:
        error_set(&e, ERROR_TIMEOUT, "no connection to %s within %s", host,
                  format_duration(t->connect_timeout_ms, duration));
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        error_set(&e, ERROR_FORBIDDEN, "the TLS certificate of %s cannot be trusted: %s", host,
                  detail(t, code));
        break;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        error_set(&e, ERROR_FORBIDDEN, "TLS credentials for %s: %s", host, detail(t, code));
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CIPHER:
        error_set(&e, ERROR_UNAVAILABLE, "no TLS connection to %s: %s", host, detail(t, code));
        break;
    case CURLE_GOT_NOTHING:
        error_set(&e, ERROR_UNAVAILABLE, "%s closed the connection without an answer", host);
        break;
    case CURLE_PARTIAL_FILE:
        error_set(&e, ERROR_UNAVAILABLE, "the response of %s was cut off after %llu bytes", host,
                  (unsigned long long)t->received);
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        error_set(&e, ERROR_UNAVAILABLE, "the connection to %s was lost: %s", host,
                  detail(t, code));
        break;
    case CURLE_TOO_MANY_REDIRECTS:
        error_set(&e, ERROR_UNAVAILABLE, "%s redirects too often", host);
        break;
    case CURLE_OUT_OF_MEMORY:
        error_set(&e, ERROR_INTERNAL, "request to %s: out of memory", host);
        break;
    default: /* also answers that are no HTTP, and redirects that lead nowhere: our own URL was
                checked before */
        error_set(&e, ERROR_UNAVAILABLE, "request to %s: %s", host, detail(t, code));
    }
    return e;
}
