/* Servers of a few lines, for the tests of probes and the proxy. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include "machine_test.h"

static inline int net_listen(const char *ip, uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(*port) };
    inet_pton(AF_INET, ip, &sa.sin_addr);
    socklen_t len = sizeof(sa);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 128), 0);
    getsockname(fd, (struct sockaddr *)&sa, &len);
    *port = ntohs(sa.sin_port);
    return fd;
}

static inline int net_connect(const char *ip, uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct timeval limit = { .tv_sec = 10 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    inet_pton(AF_INET, ip, &sa.sin_addr);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A thread that serves one connection after the other until its listener is shut down. */
struct net_server {
    int fd;
    uint16_t port;
    pthread_t thread;
    void (*serve)(struct net_server *s, int client);
    const char *text; /* for serve */
    int accepted;     /* atomic */
};

static inline void *net_server_main(void *arg)
{
    struct net_server *s = arg;
    int client;
    while ((client = accept(s->fd, NULL, NULL)) >= 0) {
        __atomic_add_fetch(&s->accepted, 1, __ATOMIC_RELAXED);
        s->serve(s, client);
        close(client);
    }
    return NULL;
}

static inline void net_server_start(struct net_server *s, const char *ip,
                                    void (*serve)(struct net_server *s, int client),
                                    const char *text)
{
    s->serve = serve;
    s->text = text;
    s->fd = net_listen(ip, &s->port);
    assert_int_equal(pthread_create(&s->thread, NULL, net_server_main, s), 0);
}

static inline void net_server_stop(struct net_server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}
