#include "kube/cancel.h"

#define VIRTUAL_LOOK_NS (2 * NS_PER_MS)

void kube_cancel_init(struct kube_cancel *c)
{
    pthread_mutex_init(&c->lock, NULL);
    cond_init_monotonic(&c->changed);
    c->is_set = false;
    c->hooks = NULL;
}

void kube_cancel_done(struct kube_cancel *c)
{
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
}

void kube_cancel_set(struct kube_cancel *c, bool set)
{
    LOCK(&c->lock);
    if (set && !c->is_set)
        for (struct kube_cancel_hook *h = c->hooks; h; h = h->next)
            h->fire(h->ctx);
    c->is_set = set;
    pthread_cond_broadcast(&c->changed);
}

bool kube_cancel_is_set(struct kube_cancel *c)
{
    LOCK(&c->lock);
    return c->is_set;
}

void kube_cancel_hook(struct kube_cancel *c, struct kube_cancel_hook *hook)
{
    LOCK(&c->lock);
    hook->next = c->hooks;
    hook->at = &c->hooks;
    if (hook->next)
        hook->next->at = &hook->next;
    c->hooks = hook;
    if (c->is_set)
        hook->fire(hook->ctx);
}

void kube_cancel_unhook(struct kube_cancel *c, struct kube_cancel_hook *hook)
{
    LOCK(&c->lock);
    *hook->at = hook->next;
    if (hook->next)
        hook->next->at = hook->at;
}

bool kube_cancel_sleep(struct kube_cancel *c, struct clock *clock, int64_t ns)
{
    int64_t until = clock_mono(clock) + ns;
    LOCK(&c->lock);
    while (!c->is_set && clock_mono(clock) < until)
        kube_wait_until(clock, &c->changed, &c->lock, until);
    return !c->is_set;
}

bool kube_wait_until(struct clock *clock, pthread_cond_t *cond, pthread_mutex_t *mutex,
                     int64_t mono_ns)
{
    if (clock == clock_system())
        return cond_wait_until(cond, mutex, mono_ns);
    if (clock_mono(clock) >= mono_ns)
        return false;
    cond_wait_until(cond, mutex, clock_mono(clock_system()) + VIRTUAL_LOOK_NS);
    return clock_mono(clock) < mono_ns;
}
