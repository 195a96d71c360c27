/* One thread looks after all streams: it alone ends them, whatever the reason (time, reader gone,
 * reader too slow, kind gone, server stopping), so that nothing is ended twice. The others only set
 * `over` and wake it. */
#include "apiserver/stream.h"

#include <stdlib.h>
#include <string.h>

#include "apiserver/server.h"
#include "apiserver/stream_internal.h"
#include "base/mem.h"

#define POLL_NS (20 * NS_PER_MS) /* where time is played, nobody can say when to wake up */

/* ---- shared text -------------------------------------------------------------------------------------------------- */

struct shared_text *shared_text_new(const char *data, size_t len)
{
    struct shared_text *t = mem_alloc(sizeof *t + len + 1);
    t->refs = 1;
    t->len = len;
    memcpy(t->data, data, len);
    t->data[len] = '\0';
    return t;
}

struct shared_text *shared_text_ref(struct shared_text *t)
{
    __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
    return t;
}

void shared_text_unref(struct shared_text *t)
{
    if (t && __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(t);
}

/* ---- the keeper --------------------------------------------------------------------------------------------------- */

void streams_wake(struct streams *t)
{
    LOCK(&t->lock);
    t->poked = true;
    pthread_cond_signal(&t->wake);
}

void streams_add(struct streams *t, struct kept_stream *k)
{
    LOCK(&t->lock);
    k->next = t->first;
    t->first = k;
    t->poked = true;
    pthread_cond_signal(&t->wake);
}

size_t streams_count(struct streams *t)
{
    LOCK(&t->lock);
    return t->count;
}

bool streams_reserve(struct streams *t, size_t max)
{
    LOCK(&t->lock);
    if (t->count >= max || t->stopping)
        return false;
    t->count++;
    return true;
}

void streams_release(struct streams *t)
{
    LOCK(&t->lock);
    t->count--;
    pthread_cond_broadcast(&t->gone);
}

/* Unlinks those that are over; the time of the next thing to do in *ret_next. */
static struct kept_stream *take_over_ones(struct streams *t, int64_t *ret_next)
{
    struct kept_stream *over = NULL;
    *ret_next = INT64_MAX;
    for (struct kept_stream **at = &t->first; *at;) {
        struct kept_stream *k = *at;
        int64_t next = t->stopping ? 0 : k->ops->tick(k, clock_mono(t->server->clock));
        if (next == 0) {
            *at = k->next;
            k->next = over;
            over = k;
        } else {
            *ret_next = MIN(*ret_next, next);
            at = &k->next;
        }
    }
    return over;
}

static void wait_for_work(struct streams *t, int64_t next)
{
    struct clock *system = clock_system();
    if (next == INT64_MAX) {
        while (!t->poked)
            pthread_cond_wait(&t->wake, &t->lock);
    } else {
        int64_t until = t->server->clock == system ? next : clock_mono(system) + POLL_NS;
        while (!t->poked && cond_wait_until(&t->wake, &t->lock, until))
            ;
    }
    t->poked = false;
}

static void *keeper_main(void *arg)
{
    struct streams *t = arg;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        int64_t next;
        struct kept_stream *over = take_over_ones(t, &next);
        if (over) {
            pthread_mutex_unlock(&t->lock);
            while (over) {
                struct kept_stream *k = over;
                over = k->next;
                k->ops->finish(k);
            }
            pthread_mutex_lock(&t->lock);
            continue;
        }
        if (t->stopping && t->count == 0)
            break;
        wait_for_work(t, t->stopping ? INT64_MAX : next);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

int streams_new(struct apiserver *s, struct streams **ret, struct error **err)
{
    struct streams *t = NEW0(struct streams);
    t->server = s;
    pthread_mutex_init(&t->lock, NULL);
    cond_init_monotonic(&t->wake);
    cond_init_monotonic(&t->gone);
    int r = thread_start(&t->thread, "streams", keeper_main, t, err);
    if (r < 0) {
        free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void streams_stop(struct streams *t)
{
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    t->poked = true;
    pthread_cond_signal(&t->wake);
    while (t->count > 0) {
        pthread_cond_wait(&t->gone, &t->lock);
        t->poked = true;
        pthread_cond_signal(&t->wake);
    }
    pthread_mutex_unlock(&t->lock);
    thread_join(t->thread);
}

void streams_free(struct streams *t)
{
    event_cache_done(&t->cache);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->wake);
    pthread_cond_destroy(&t->gone);
    free(t);
}
