/* An epoll loop for one thread: descriptors with a function each, and a way to wake it from other
 * threads. */
#pragma once

#include "base/error.h"

struct loop;

/* Embedded in what owns the descriptor. */
struct loop_source {
    void (*on_event)(struct loop_source *s, uint32_t events); /* events: EPOLLIN … */
    int fd;                                                   /* -1: not in a loop */
};

/* The struct that has this source as a member. */
#define LOOP_OWNER(source, type, member) ((type *)((char *)(source)-offsetof(type, member)))

int loop_new(struct loop **ret, struct error **err);
void loop_free(struct loop *l);
int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events, struct error **err);
void loop_modify(struct loop *l, struct loop_source *s, uint32_t events);
/* Does not close the descriptor. The source is not called any more, not even for what has been
 * reported already. */
void loop_remove(struct loop *l, struct loop_source *s);
/* Waits until something happens or mono_ns has come (INT64_MAX: for ever), and calls the functions.
 */
void loop_wait(struct loop *l, int64_t until_mono_ns);
void loop_wake(struct loop *l); /* any thread */
