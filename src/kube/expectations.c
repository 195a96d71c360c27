#include "kube/expectations.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/thread.h"

/* A watch event that never comes (the object was made and deleted between two lists) must not block
 * its owner for ever. */
#define EXPIRES_NS (5 * 60 * NS_PER_S)

struct expected {
    unsigned creates;
    unsigned deletes;
    int64_t since_ns;
};

struct expectations {
    pthread_mutex_t lock;
    struct clock *clock;
    struct map *by_key;
};

struct expectations *expectations_new(struct clock *clock)
{
    struct expectations *e = NEW0(struct expectations);
    pthread_mutex_init(&e->lock, NULL);
    e->clock = clock ? clock : clock_system();
    e->by_key = map_new(free);
    return e;
}

void expectations_free(struct expectations *e)
{
    if (!e)
        return;
    map_free(e->by_key);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* What is still open for the key; what has expired is forgotten on the way. */
static struct expected *open_for(struct expectations *e, const char *key)
{
    struct expected *x = map_get(e->by_key, key);
    if (x && clock_mono(e->clock) - x->since_ns >= EXPIRES_NS) {
        map_del(e->by_key, key);
        return NULL;
    }
    return x;
}

void expectations_expect(struct expectations *e, const char *key, unsigned creates,
                         unsigned deletes)
{
    if (creates == 0 && deletes == 0)
        return;
    LOCK(&e->lock);
    struct expected *x = open_for(e, key);
    if (!x) {
        x = NEW0(struct expected);
        map_set(e->by_key, key, x);
    }
    x->creates += creates;
    x->deletes += deletes;
    x->since_ns = clock_mono(e->clock);
}

static void seen(struct expectations *e, const char *key, bool create)
{
    LOCK(&e->lock);
    struct expected *x = map_get(e->by_key, key);
    if (!x)
        return;
    unsigned *count = create ? &x->creates : &x->deletes;
    if (*count > 0)
        (*count)--;
    if (x->creates == 0 && x->deletes == 0)
        map_del(e->by_key, key);
}

void expectations_seen_create(struct expectations *e, const char *key)
{
    seen(e, key, true);
}

void expectations_seen_delete(struct expectations *e, const char *key)
{
    seen(e, key, false);
}

bool expectations_satisfied(struct expectations *e, const char *key)
{
    LOCK(&e->lock);
    return open_for(e, key) == NULL;
}

void expectations_forget(struct expectations *e, const char *key)
{
    LOCK(&e->lock);
    map_del(e->by_key, key);
}
