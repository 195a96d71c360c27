/* Notices clients that leave while their stream waits for something to send.
 *
 * libmicrohttpd does not look at the socket of a suspended connection, so a watch whose client is
 * gone would be found by the next write only, which may be hours away. One thread per server
 * therefore waits for the hang-up of these sockets. A client that closes just its sending half
 * counts as gone, as in Go's net/http; one that vanished without a word is found by TCP keep-alive
 * (server.c).
 *
 * Events carry a slot number and its generation: an event that was fetched just before its stream
 * was removed finds that the slot has moved on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "http/server_internal.h"

#define STOP_EVENT UINT64_MAX
#define EVENTS_MAX 64

struct slot {
    struct http_stream_out *out; /* borrowed: removed before it dies; NULL: free */
    uint32_t generation;
    int next_free; /* -1: none */
};

struct hangups {
    pthread_t thread;
    int epoll_fd;
    int stop_fd;
    pthread_mutex_t mutex;
    struct slot *slots;
    int count;
    int first_free;
};

static struct http_stream_out *find(struct hangups *h, uint64_t key)
{
    LOCK(&h->mutex);
    struct slot *slot = &h->slots[(uint32_t)key];
    if (!slot->out || slot->generation != (uint32_t)(key >> 32))
        return NULL;
    stream_out_ref(slot->out);
    return slot->out;
}

static void *watch(void *arg)
{
    struct hangups *h = arg;
    struct epoll_event events[EVENTS_MAX];
    while (true) {
        int n = epoll_wait(h->epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == STOP_EVENT)
                return NULL;
            struct http_stream_out *out = find(h, events[i].data.u64);
            if (out) {
                stream_out_hangup(out);
                stream_out_unref(out);
            }
        }
    }
}

int hangups_new(const char *name, struct hangups **ret, struct error **err)
{
    struct hangups *h = NEW0(struct hangups);
    pthread_mutex_init(&h->mutex, NULL);
    h->first_free = -1;
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = STOP_EVENT };
    int r = 0;
    if (h->epoll_fd < 0 || h->stop_fd < 0 ||
        epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->stop_fd, &event) < 0)
        r = error_set_errno(err, errno, "cannot make an epoll set");
    if (r == 0)
        r = thread_start(&h->thread, name, watch, h, err);
    if (r < 0) {
        if (h->epoll_fd >= 0)
            close(h->epoll_fd);
        if (h->stop_fd >= 0)
            close(h->stop_fd);
        pthread_mutex_destroy(&h->mutex);
        free(h);
        return r;
    }
    *ret = h;
    return 0;
}

void hangups_free(struct hangups *h)
{
    uint64_t one = 1;
    while (write(h->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    thread_join(h->thread);
    close(h->epoll_fd);
    close(h->stop_fd);
    pthread_mutex_destroy(&h->mutex);
    free(h->slots);
    free(h);
}

int hangups_add(struct hangups *h, int fd, struct http_stream_out *out)
{
    LOCK(&h->mutex);
    int index = h->first_free;
    if (index >= 0) {
        h->first_free = h->slots[index].next_free;
    } else {
        index = h->count++;
        h->slots = mem_array(h->slots, (size_t)h->count, sizeof *h->slots);
        h->slots[index] = (struct slot){ 0 };
    }
    struct slot *slot = &h->slots[index];
    slot->out = out;
    slot->generation++;
    struct epoll_event event = {
        .events = EPOLLRDHUP | EPOLLET,
        .data.u64 = (uint64_t)slot->generation << 32 | (uint32_t)index,
    };
    if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return index;
    slot->out = NULL;
    slot->next_free = h->first_free;
    h->first_free = index;
    return -1;
}

void hangups_remove(struct hangups *h, int handle, int fd)
{
    LOCK(&h->mutex);
    epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    struct slot *slot = &h->slots[handle];
    slot->out = NULL;
    slot->next_free = h->first_free;
    h->first_free = handle;
}
