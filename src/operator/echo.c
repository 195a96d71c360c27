#include "operator/echo.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

struct echo {
    pthread_mutex_t lock;
    struct map *written; /* key -> resourceVersion */
};

struct echo *echo_new(void)
{
    struct echo *e = NEW0(struct echo);
    pthread_mutex_init(&e->lock, NULL);
    e->written = map_new(free);
    return e;
}

void echo_free(struct echo *e)
{
    if (!e)
        return;
    map_free(e->written);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

void echo_remember(struct echo *e, const char *key, const char *version)
{
    pthread_mutex_lock(&e->lock);
    if (version)
        map_set(e->written, key, mem_strdup(version));
    else
        map_del(e->written, key);
    pthread_mutex_unlock(&e->lock);
}

bool echo_awaited(struct echo *e, const char *key, const char *version)
{
    int64_t cached = 0, own = 0;
    bool behind = false;
    pthread_mutex_lock(&e->lock);
    const char *written = map_get(e->written, key);
    if (written && str_to_int64(written, &own) == 0 && str_to_int64(version, &cached) == 0)
        behind = cached < own;
    if (written && !behind)
        map_del(e->written, key);
    pthread_mutex_unlock(&e->lock);
    return behind;
}
