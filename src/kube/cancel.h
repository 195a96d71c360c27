/* Ends waiting from outside, so that stopping does not take as long as the slowest call. Whoever
 * blocks either sleeps here or hangs a hook in; setting the flag wakes all of them, and from then
 * on nobody waits until it is cleared. */
#pragma once

#include "base/clock.h"
#include "base/thread.h"

struct kube_cancel_hook {
    void (*fire)(void *ctx); /* short; must not call back into the kube_cancel */
    void *ctx;
    struct kube_cancel_hook *next, **at;
};

struct kube_cancel {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_set;
    struct kube_cancel_hook *hooks;
};

void kube_cancel_init(struct kube_cancel *c);
void kube_cancel_done(struct kube_cancel *c);
void kube_cancel_set(struct kube_cancel *c, bool set);
bool kube_cancel_is_set(struct kube_cancel *c);
/* Fires at once when the flag is set already. */
void kube_cancel_hook(struct kube_cancel *c, struct kube_cancel_hook *hook);
/* When it returns, the hook does not run and will not. Not under a lock that fire() takes. */
void kube_cancel_unhook(struct kube_cancel *c, struct kube_cancel_hook *hook);
/* Sleeps for so long on that clock. false: cancelled. */
bool kube_cancel_sleep(struct kube_cancel *c, struct clock *clock, int64_t ns);

/* Waits for the condition until the clock shows mono_ns; false when it does. A virtual clock does
 * not wake anybody, so it is looked at every few milliseconds. */
bool kube_wait_until(struct clock *clock, pthread_cond_t *cond, pthread_mutex_t *mutex,
                     int64_t mono_ns);
