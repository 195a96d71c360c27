#include "machine/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define BATCH 64

struct loop {
    int epoll_fd;
    int wake_fd;
    struct epoll_event batch[BATCH];
    int batch_len;
    int batch_at;
};

int loop_new(struct loop **ret, struct error **err)
{
    struct loop *l = NEW0(struct loop);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = { .events = EPOLLIN };
    if (l->epoll_fd < 0 || l->wake_fd < 0 ||
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0) {
        int r = error_set_errno(err, errno, "cannot make an event loop");
        loop_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    free(l);
}

int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events, struct error **err)
{
    struct epoll_event ev = { .events = events, .data.ptr = s };
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        return error_set_errno(err, errno, "cannot watch a descriptor");
    s->fd = fd;
    return 0;
}

void loop_modify(struct loop *l, struct loop_source *s, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = s };
    epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev);
}

void loop_remove(struct loop *l, struct loop_source *s)
{
    if (s->fd < 0)
        return;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    s->fd = -1;
    for (int i = l->batch_at; i < l->batch_len; i++)
        if (l->batch[i].data.ptr == s)
            l->batch[i].data.ptr = NULL;
}

/* Rounded up, so that a wait does not end just before its time. */
static int wait_ms(int64_t until)
{
    if (until == INT64_MAX)
        return -1;
    int64_t left = until - clock_mono(clock_system());
    return left <= 0 ? 0 : (int)MIN((left + NS_PER_MS - 1) / NS_PER_MS, (int64_t)INT32_MAX);
}

void loop_wait(struct loop *l, int64_t until_mono_ns)
{
    int n = epoll_wait(l->epoll_fd, l->batch, BATCH, wait_ms(until_mono_ns));
    l->batch_len = n < 0 ? 0 : n;
    for (l->batch_at = 0; l->batch_at < l->batch_len; l->batch_at++) {
        struct epoll_event *ev = &l->batch[l->batch_at];
        struct loop_source *s = ev->data.ptr;
        ev->data.ptr = NULL;
        if (s)
            s->on_event(s, ev->events);
    }
    l->batch_len = 0;
    uint64_t count;
    if (read(l->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return;
}

void loop_wake(struct loop *l)
{
    uint64_t one = 1;
    if (write(l->wake_fd, &one, sizeof(one)) < 0)
        return; /* full: it is awake */
}
