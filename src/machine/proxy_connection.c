/* One connection: a client, an endpoint, and bytes in both directions.
 *
 * A side is watched only for what it can be used for now: for reading while nothing waits to be
 * written to the other side, for writing while something waits for it. When nothing can be done
 * with it, it is not watched at all, so that a socket whose peer has gone does not wake the thread
 * again and again. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "machine/proxy_internal.h"

#define SCRATCH_SIZE (64 * KIB)

enum { CLIENT, SERVER };

struct side {
    struct proxy_connection *connection;
    struct loop_source source;
    int fd;
    uint32_t events; /* watched for; 0: not in the loop */
    bool eof;        /* nothing more comes from it */
    bool shut;       /* its peer has been told that nothing more goes to it */
    char *pending;   /* bytes that wait to be written to it; NULL: none */
    size_t pending_len;
    size_t pending_at;
};

struct proxy_connection {
    struct proxy_connections *all;
    struct proxy_connection *next;
    struct proxy_connection *prev;
    struct side sides[2];
    bool connecting;
    struct backends *backends;
    size_t backend; /* the one that is tried */
    size_t tried;
};

void backends_unref(struct backends *b)
{
    if (b && --b->refs == 0)
        free(b);
}

static struct side *other(struct side *s)
{
    return &s->connection->sides[s == &s->connection->sides[CLIENT] ? SERVER : CLIENT];
}

static void close_side(struct proxy_connection *c, struct side *s)
{
    loop_remove(c->all->loop, &s->source);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->events = 0;
    free(s->pending);
    s->pending = NULL;
}

static void connection_free(struct proxy_connection *c)
{
    close_side(c, &c->sides[CLIENT]);
    close_side(c, &c->sides[SERVER]);
    if (c->prev)
        c->prev->next = c->next;
    else
        c->all->first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->all->count--;
    backends_unref(c->backends);
    free(c);
}

/* False when it cannot be watched: the connection is over. */
static bool watch(struct side *s, uint32_t events)
{
    struct loop *l = s->connection->all->loop;
    if (events == s->events)
        return true;
    bool was = s->events != 0;
    s->events = events;
    if (events == 0)
        loop_remove(l, &s->source);
    else if (was)
        loop_modify(l, &s->source, events);
    else
        return loop_add(l, &s->source, s->fd, events, NULL) == 0;
    return true;
}

/* Watches both sides for what can be done next; frees the connection when that is nothing. */
static void update(struct proxy_connection *c)
{
    bool over = true;
    for (int i = 0; i < 2; i++) {
        struct side *s = &c->sides[i];
        uint32_t events = 0;
        if (!s->eof && !other(s)->pending)
            events |= EPOLLIN;
        if (s->pending)
            events |= EPOLLOUT;
        over = over && s->eof && !s->pending;
        if (!watch(s, events))
            over = true;
    }
    if (over)
        connection_free(c);
}

/* Tells the peer of a side that nothing more comes, once all is written. */
static void pass_eof(struct side *to)
{
    if (other(to)->eof && !to->pending && !to->shut) {
        shutdown(to->fd, SHUT_WR);
        to->shut = true;
    }
}

/* 0, or -1: the connection is broken. */
static int write_pending(struct side *to)
{
    while (to->pending_at < to->pending_len) {
        ssize_t n = send(to->fd, to->pending + to->pending_at, to->pending_len - to->pending_at,
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        to->pending_at += (size_t)n;
    }
    free(to->pending);
    to->pending = NULL;
    return 0;
}

/* Writes what it can and keeps the rest, which stops reading until it is gone. */
static int forward(struct side *to, const char *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = send(to->fd, data + done, len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n < 0)
            break;
        done += (size_t)n;
    }
    if (done < len) {
        to->pending = mem_alloc(len - done);
        memcpy(to->pending, data + done, len - done);
        to->pending_len = len - done;
        to->pending_at = 0;
    }
    return 0;
}

static int copy(struct side *from)
{
    struct proxy_connections *all = from->connection->all;
    ssize_t n = recv(from->fd, all->scratch, SCRATCH_SIZE, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (n == 0) {
        from->eof = true;
        return 0;
    }
    return forward(other(from), all->scratch, (size_t)n);
}

/* A reset of one side is a reset for the other. */
static void reset(struct proxy_connection *c)
{
    struct linger linger = { .l_onoff = 1 };
    for (int i = 0; i < 2; i++)
        if (c->sides[i].fd >= 0)
            setsockopt(c->sides[i].fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    connection_free(c);
}

static void try_backend(struct proxy_connection *c);

/* The server side may be written to, or cannot be reached. */
static void finish_connect(struct proxy_connection *c)
{
    struct side *s = &c->sides[SERVER];
    int errnum = 0;
    socklen_t len = sizeof(errnum);
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0 || errnum != 0) {
        close_side(c, s);
        try_backend(c);
        return;
    }
    c->connecting = false;
    backends_unref(c->backends);
    c->backends = NULL;
    update(c);
}

static void on_side(struct loop_source *source, uint32_t events)
{
    struct side *s = LOOP_OWNER(source, struct side, source);
    struct proxy_connection *c = s->connection;
    if (c->connecting) {
        finish_connect(c);
        return;
    }
    int r = 0;
    if (s->pending && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
        r = write_pending(s);
    if (r == 0 && !s->eof && !other(s)->pending && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        r = copy(s);
    if (r < 0) {
        reset(c);
        return;
    }
    pass_eof(s);
    pass_eof(other(s));
    update(c);
}

/* Connects to the next endpoint that has not been tried; without one, the client is reset. */
static void try_backend(struct proxy_connection *c)
{
    struct side *s = &c->sides[SERVER];
    while (c->tried < c->backends->count) {
        const struct sockaddr_in *address =
            &c->backends->addresses[(c->backend + c->tried) % c->backends->count];
        c->tried++;
        s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0)
            break;
        int on = 1;
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        bool begun = connect(s->fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
                     errno == EINPROGRESS;
        if (begun && watch(s, EPOLLOUT))
            return;
        close_side(c, s);
    }
    reset(c);
}

void connection_start(struct proxy_connections *cs, int client_fd, struct backends *b, size_t first)
{
    if (cs->count >= cs->max || b->count == 0) {
        close(client_fd);
        return;
    }
    struct proxy_connection *c = NEW0(struct proxy_connection);
    c->all = cs;
    c->backends = b;
    b->refs++;
    c->backend = first;
    c->connecting = true;
    for (int i = 0; i < 2; i++)
        c->sides[i] =
            (struct side){ .connection = c, .source = { .on_event = on_side, .fd = -1 }, .fd = -1 };
    c->sides[CLIENT].fd = client_fd;
    int on = 1;
    setsockopt(client_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->next = cs->first;
    if (cs->first)
        cs->first->prev = c;
    cs->first = c;
    cs->count++;
    try_backend(c);
}

void connections_init(struct proxy_connections *cs, struct loop *loop, size_t max)
{
    *cs =
        (struct proxy_connections){ .loop = loop, .max = max, .scratch = mem_alloc(SCRATCH_SIZE) };
}

void connections_done(struct proxy_connections *cs)
{
    while (cs->first)
        connection_free(cs->first);
    free(cs->scratch);
    cs->scratch = NULL;
}
