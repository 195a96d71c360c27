/* What the HTTP tests share: a server that answers by path, and a raw one that sends whatever bytes
 * it is told to. */
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/client.h"
#include "http/server.h"

#define URL_SIZE 512

static inline int64_t test_now_ms(void)
{
    return clock_mono(clock_system()) / NS_PER_MS;
}

static inline void test_sleep_ms(unsigned ms)
{
    usleep(ms * 1000);
}

static inline struct http_client *test_client(void)
{
    struct http_client *c = NULL;
    struct http_client_options options = { .user_agent = "kaito-test" };
    assert_int_equal(http_client_new(&options, &c, NULL), 0);
    return c;
}

static inline const char *test_url(char out[URL_SIZE], const char *scheme, uint16_t port,
                                   const char *path)
{
    snprintf(out, URL_SIZE, "%s://127.0.0.1:%u%s", scheme, port, path);
    return out;
}

static inline int test_get(struct http_client *c, uint16_t port, const char *path,
                           struct http_response *ret, struct error **err)
{
    char url[URL_SIZE];
    struct http_request request = { .url = test_url(url, "http", port, path) };
    return http_call(c, &request, ret, err);
}

/* ---- a flag that other threads raise ------------------------------------------------------------------------- */

struct test_event {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int count;
};
#define TEST_EVENT_INIT                                                                            \
    {                                                                                              \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER                       \
    }

static inline void test_event_raise(struct test_event *e)
{
    LOCK(&e->mutex);
    e->count++;
    pthread_cond_broadcast(&e->cond);
}

static inline int test_event_count(struct test_event *e)
{
    LOCK(&e->mutex);
    return e->count;
}

/* False after ms milliseconds without `count` raises. */
static inline bool test_event_wait(struct test_event *e, int count, int64_t ms)
{
    int64_t until = test_now_ms() + ms;
    while (test_event_count(e) < count) {
        if (test_now_ms() > until)
            return false;
        test_sleep_ms(1);
    }
    return true;
}

/* ---- a raw server: one thread, one connection after the other ------------------------------------------------- */

struct raw_server {
    int fd;
    uint16_t port;
    pthread_t thread;
    const char *reply;  /* sent for each request, as it is; NULL: nothing */
    bool keep_open;     /* wait for the next request after the reply; else close */
    unsigned hold_ms;   /* before closing, unless the client closes first */
    int connections;    /* atomic */
    char request[8192]; /* the last request's head */
};

static inline bool raw_read_head(int fd, char *out, size_t size)
{
    size_t n = 0;
    while (n + 1 < size) {
        ssize_t r = recv(fd, out + n, size - 1 - n, 0);
        if (r <= 0)
            return false;
        n += (size_t)r;
        out[n] = '\0';
        if (strstr(out, "\r\n\r\n"))
            return true;
    }
    return false;
}

static inline void *raw_run(void *arg)
{
    struct raw_server *s = arg;
    while (true) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        __atomic_add_fetch(&s->connections, 1, __ATOMIC_SEQ_CST);
        while (raw_read_head(fd, s->request, sizeof s->request)) {
            if (s->reply)
                send(fd, s->reply, strlen(s->reply), MSG_NOSIGNAL);
            if (!s->keep_open)
                break;
        }
        if (s->hold_ms) {
            struct pollfd p = { .fd = fd, .events = POLLRDHUP };
            poll(&p, 1, (int)s->hold_ms);
        }
        close(fd);
    }
}

static inline void raw_start(struct raw_server *s)
{
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(thread_start(&s->thread, "raw", raw_run, s, NULL), 0);
}

static inline void raw_stop(struct raw_server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    thread_join(s->thread);
    close(s->fd);
}

/* ---- a raw client --------------------------------------------------------------------------------------------- */

static inline int raw_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    struct timeval limit = { .tv_sec = 5 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static inline void raw_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until the text has `part` in it or the connection ends; returns whether it was found. */
static inline bool raw_expect(int fd, char *out, size_t size, const char *part)
{
    size_t n = 0;
    out[0] = '\0';
    while (!strstr(out, part)) {
        ssize_t r = n + 1 < size ? recv(fd, out + n, size - 1 - n, 0) : 0;
        if (r <= 0)
            return false;
        n += (size_t)r;
        out[n] = '\0';
    }
    return true;
}

/* Everything up to the end of the connection. */
static inline void raw_read_all(int fd, char *out, size_t size)
{
    size_t n = 0;
    ssize_t r;
    while (n + 1 < size && (r = recv(fd, out + n, size - 1 - n, 0)) > 0)
        n += (size_t)r;
    out[n] = '\0';
}
