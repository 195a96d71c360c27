#include "apiserver/pool.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#define IDLE_NS (10 * NS_PER_S)

struct pool {
    struct pool_options o;
    pthread_mutex_t lock;
    pthread_cond_t work, ended;
    void **items; /* a ring of max_waiting */
    size_t first, count;
    unsigned threads, idle;
    bool stopping;
};

/* With the lock held: waits for an item; false when the thread shall end. */
static bool take(struct pool *p, void **ret)
{
    int64_t until = clock_mono(clock_system()) + IDLE_NS;
    p->idle++;
    while (p->count == 0 && !p->stopping) {
        if (!cond_wait_until(&p->work, &p->lock, until))
            break;
    }
    p->idle--;
    if (p->count == 0)
        return false;
    *ret = p->items[p->first];
    p->first = (p->first + 1) % p->o.max_waiting;
    p->count--;
    return true;
}

static void *worker_main(void *arg)
{
    struct pool *p = arg;
    void *item;
    pthread_mutex_lock(&p->lock);
    while (take(p, &item)) {
        pthread_mutex_unlock(&p->lock);
        p->o.run(p->o.ctx, item);
        pthread_mutex_lock(&p->lock);
    }
    p->threads--;
    pthread_cond_signal(&p->ended);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pool *pool_new(const struct pool_options *options)
{
    struct pool *p = NEW0(struct pool);
    p->o = *options;
    p->items = mem_array(NULL, options->max_waiting, sizeof *p->items);
    pthread_mutex_init(&p->lock, NULL);
    cond_init_monotonic(&p->work);
    cond_init_monotonic(&p->ended);
    return p;
}

bool pool_add(struct pool *p, void *item)
{
    LOCK(&p->lock);
    if (p->count == p->o.max_waiting)
        return false;
    if (p->count >= p->idle && p->threads < p->o.max_threads) {
        pthread_t thread;
        if (thread_start(&thread, p->o.name, worker_main, p, NULL) == 0) {
            pthread_detach(thread);
            p->threads++;
        }
    }
    if (p->threads == 0)
        return false;
    p->items[(p->first + p->count++) % p->o.max_waiting] = item;
    pthread_cond_signal(&p->work);
    return true;
}

void pool_free(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    while (p->threads > 0)
        pthread_cond_wait(&p->ended, &p->lock);
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->ended);
    free(p->items);
    free(p);
}
