/* One way to start a thread, and scoped locks. Threads block all signals; main handles signals
 * itself. */
#pragma once

#include <pthread.h>

#include "base/error.h"

/* Starts fn(arg) on a joinable thread whose name shows in ps -L (15 bytes at most). Small stacks
 * (512 KiB). */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *arg), void *arg,
                 struct error **err);
void thread_join(pthread_t thread);

static inline void thread_unlock_cleanup(pthread_mutex_t **m)
{
    pthread_mutex_unlock(*m);
}
#define LOCK_NAME_(line) lock_guard_##line
#define LOCK_NAME(line) LOCK_NAME_(line)
/* Holds the mutex until the end of the enclosing block. */
#define LOCK(mutex)                                                                                \
    pthread_mutex_lock(mutex);                                                                     \
    CLEANUP(thread_unlock_cleanup) pthread_mutex_t *LOCK_NAME(__LINE__) ATTR_UNUSED = (mutex)

/* A condition variable on the monotonic clock. */
void cond_init_monotonic(pthread_cond_t *c);
/* Waits until the condition is signalled or mono_ns (CLOCK_MONOTONIC) has passed. Returns false on
 * time-out. */
bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t mono_ns);
