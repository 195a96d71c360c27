/* Start and stop of the server. See server_internal.h for how its parts work together. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include "http/server_internal.h"

#define DEFAULT_THREADS 2u
#define DEFAULT_CONNECTIONS 2048u
#define DEFAULT_IDLE_S 120u
#define DEFAULT_BODY (3 * MIB)
/* Sanitizers put more into each frame. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_SIZE (8 * MIB)
#else
#define STACK_SIZE (1 * MIB)
#endif

/* How long replies that are complete may take to leave once nothing new can come. */
#define FLUSH_NS (250 * NS_PER_MS)

/* The first sign of a dead peer after 30 + 3 * 10 seconds. */
#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_PROBES 3

#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define TLS13_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int parse_address(const char *text, uint16_t port, union address *ret, socklen_t *ret_len,
                         struct error **err)
{
    *ret = (union address){ 0 };
    if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        *ret_len = sizeof ret->v4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(port);
        *ret_len = sizeof ret->v6;
        return 0;
    }
    return error_set(err, ERROR_INVALID, "%s is not an IP address to listen on", text);
}

static int fail_to_listen(int errnum, const char *address, uint16_t port, struct error **err)
{
    switch (errnum) {
    case EADDRINUSE:
        return error_set(err, ERROR_CONFLICT, "port %u of %s is in use by another process", port,
                         address);
    case EACCES:
        return error_set(err, ERROR_FORBIDDEN,
                         "port %u of %s needs privileges that this process does not have", port,
                         address);
    case EADDRNOTAVAIL:
        return error_set(err, ERROR_INVALID, "%s is not an address of this machine", address);
    default:
        return error_set_errno(err, errnum, "cannot listen on port %u of %s", port, address);
    }
}

/* A socket of our own rather than libmicrohttpd's, so that errors can say what is wrong. */
static int listen_on(const char *text, uint16_t port, int *ret_fd, uint16_t *ret_port,
                     struct error **err)
{
    union address address;
    socklen_t len;
    int r = parse_address(text, port, &address, &len, err);
    if (r < 0)
        return r;
    AUTO_FD fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot make a socket for %s", text);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, &address.any, len) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, &address.any, &len) < 0)
        return fail_to_listen(errno, text, port, err);
    *ret_port =
        ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

/* ---- what libmicrohttpd calls -------------------------------------------------------------------------------- */

/* Paths and queries stay as they are: exchange.c decodes them. */
static size_t no_unescape(void *cls, struct MHD_Connection *connection, char *text)
{
    return strlen(text);
}

static enum MHD_Result on_accept(void *cls, const struct sockaddr *address, socklen_t len)
{
    return server_stage(cls) == SERVER_RUNS ? MHD_YES : MHD_NO;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **ctx,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *s = cls;
    if (code != MHD_CONNECTION_NOTIFY_STARTED) {
        identity_unref(TAKE_PTR(*ctx));
        return;
    }
    if (s->tls)
        *ctx = identity_give(s, connection);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!info)
        return;
    int fd = info->connect_fd;
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Only what it says during the start matters: that becomes the error. Later it reports on single
 * connections, which the logs of a server need not know. */
static void on_library_log(void *cls, const char *fmt, va_list ap) ATTR_PRINTF(2, 0);
static void on_library_log(void *cls, const char *fmt, va_list ap)
{
    struct http_server *s = cls;
    LOCK(&s->mutex);
    if (s->daemon || s->start_error)
        return;
    if (vasprintf(&s->start_error, fmt, ap) < 0)
        s->start_error = NULL;
}

/* ---- start --------------------------------------------------------------------------------------------------- */

static int start_daemon(struct http_server *s, const struct http_server_options *options, int fd,
                        struct error **err)
{
    struct MHD_OptionItem more[8];
    size_t n = 0;
    unsigned threads = options->threads ? options->threads : DEFAULT_THREADS;
    if (threads > 1)
        more[n++] = (struct MHD_OptionItem){ MHD_OPTION_THREAD_POOL_SIZE, threads, NULL };
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (strchr(options->address, ':'))
        flags |= MHD_USE_IPv6;
    if (options->cert_pem) {
        flags |= MHD_USE_TLS;
        more[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0,
                                             (void *)(uintptr_t)options->cert_pem };
        more[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0,
                                             (void *)(uintptr_t)options->key_pem };
        more[n++] = (struct MHD_OptionItem){
            MHD_OPTION_HTTPS_PRIORITIES, 0,
            (void *)(uintptr_t)(options->tls13_only ? TLS13_PRIORITIES : TLS_PRIORITIES)
        };
    }
    more[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };

    /* Its threads inherit the mask: signals are main's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    /* clang-format off */
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, s->port, on_accept, s, exchange_on_request, s,
        MHD_OPTION_EXTERNAL_LOGGER, on_library_log, s,
        MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, exchange_on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        MHD_OPTION_URI_LOG_CALLBACK, exchange_on_request_line, s,
        MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, s,
        MHD_OPTION_CONNECTION_LIMIT, options->max_connections ? options->max_connections : DEFAULT_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, options->idle_timeout_s ? options->idle_timeout_s : DEFAULT_IDLE_S,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_SIZE,
        MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_ARRAY, more,
        MHD_OPTION_END);
    /* clang-format on */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    LOCK(&s->mutex); /* its threads may be logging already */
    if (!daemon) {
        size_t len = s->start_error ? strcspn(s->start_error, "\n") : 0;
        return error_set(err, options->cert_pem ? ERROR_INVALID : ERROR_INTERNAL,
                         "cannot serve on port %u of %s: %.*s", s->port, options->address, (int)len,
                         len ? s->start_error : "");
    }
    s->daemon = daemon;
    return 0;
}

static void server_free(struct http_server *s)
{
    if (s->hangups)
        hangups_free(s->hangups);
    identity_unref(s->identity);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->mutex);
    free(s->start_error);
    free(s->name);
    free(s);
}

int http_server_start(const struct http_server_options *options, struct http_server **ret,
                      struct error **err)
{
    AUTO_FD fd = -1;
    uint16_t port = 0;
    int r = listen_on(options->address, options->port, &fd, &port, err);
    if (r < 0)
        return r;
    struct http_server *s = NEW0(struct http_server);
    s->name = mem_strdup(options->name ? options->name : "http");
    s->port = port;
    s->max_body = options->max_body ? options->max_body : DEFAULT_BODY;
    s->handler = options->handler;
    s->handler_ctx = options->ctx;
    s->tls = options->cert_pem != NULL;
    pthread_mutex_init(&s->mutex, NULL);
    cond_init_monotonic(&s->idle);
    r = hangups_new(s->name, &s->hangups, err);
    if (r == 0)
        r = start_daemon(s, options, fd, err);
    if (r < 0) {
        server_free(s);
        return r;
    }
    fd = -1; /* the daemon closes it */
    *ret = s;
    return 0;
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

/* ---- stop ---------------------------------------------------------------------------------------------------- */

/* libmicrohttpd aborts the process when a connection is still suspended as it stops. The stage is
 * set before the exchanges are gone through, and whoever suspends looks at it under the same lock:
 * none is missed. */
static void enter_stage(struct http_server *s, enum server_stage stage)
{
    __atomic_store_n(&s->stage, (int)stage, __ATOMIC_RELEASE);
    LOCK(&s->mutex);
    for (struct http_exchange *x = s->exchanges; x; x = x->next)
        exchange_shut(x, stage == SERVER_ENDS);
}

static void wait_idle(struct http_server *s, int64_t ns)
{
    int64_t until = clock_mono(clock_system()) + ns;
    LOCK(&s->mutex);
    while (s->exchanges && cond_wait_until(&s->idle, &s->mutex, until))
        ;
}

void http_server_stop(struct http_server *s, int64_t grace_ms)
{
    if (!s)
        return;
    enter_stage(s, SERVER_DRAINS);
    wait_idle(s, grace_ms * NS_PER_MS);
    enter_stage(s, SERVER_ENDS);
    wait_idle(s, FLUSH_NS);
    MHD_stop_daemon(s->daemon);
    server_free(s);
}
