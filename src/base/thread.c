#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

/* Sanitizers put more into each frame. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_SIZE (4 * MIB)
#else
#define STACK_SIZE (512 * KIB)
#endif

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *arg), void *arg,
                 struct error **err)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);

    /* A new thread inherits the mask: blocked from its first instruction on. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int errnum = pthread_create(&thread, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (errnum != 0)
        return error_set_errno(err, errnum, "cannot start the thread %s", name);

    char short_name[16];
    snprintf(short_name, sizeof short_name, "%.15s", name);
    pthread_setname_np(thread, short_name);
    *ret = thread;
    return 0;
}

void thread_join(pthread_t thread)
{
    pthread_join(thread, NULL);
}

void cond_init_monotonic(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t mono_ns)
{
    if (mono_ns < 0)
        mono_ns = 0;
    struct timespec until = { .tv_sec = (time_t)(mono_ns / NS_PER_S),
                              .tv_nsec = (long)(mono_ns % NS_PER_S) };
    return pthread_cond_timedwait(c, m, &until) != ETIMEDOUT;
}
