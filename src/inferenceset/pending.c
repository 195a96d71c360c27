#include "inferenceset/pending.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define EXPIRE_NS (300 * NS_PER_S)

struct entry {
    int64_t since;
    char *uid; /* NULL: a creation */
};

struct pending {
    struct clock *clock;
    pthread_mutex_t lock;
    struct map *open; /* "KEY NAME" -> entry */
};

static void entry_free(void *value)
{
    struct entry *e = value;
    free(e->uid);
    free(e);
}

struct pending *pending_new(struct clock *clock)
{
    struct pending *p = NEW0(struct pending);
    p->clock = clock;
    pthread_mutex_init(&p->lock, NULL);
    p->open = map_new(entry_free);
    return p;
}

void pending_free(struct pending *p)
{
    if (!p)
        return;
    map_free(p->open);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void pending_add(struct pending *p, const char *key, const char *name, const char *uid)
{
    AUTO_ARENA a = arena_new();
    struct entry *e = NEW0(struct entry);
    e->since = clock_mono(p->clock);
    e->uid = uid ? mem_strdup(uid) : NULL;
    pthread_mutex_lock(&p->lock);
    map_set(p->open, arena_printf(a, "%s %s", key, name), e);
    pthread_mutex_unlock(&p->lock);
}

void pending_drop(struct pending *p, const char *key, const char *name)
{
    AUTO_ARENA a = arena_new();
    pthread_mutex_lock(&p->lock);
    map_del(p->open, arena_printf(a, "%s %s", key, name));
    pthread_mutex_unlock(&p->lock);
}

/* ---- what the cache shows -------------------------------------------------------------------------------------------- */

struct copy {
    const char *name;
    const char *uid;
    int64_t since;
    struct copy *next;
};

/* The cache is asked without the lock: its handlers take ours. */
static struct copy *copies(struct arena *a, struct pending *p, const char *key)
{
    struct copy *list = NULL;
    size_t len = strlen(key);
    struct map_iter it = MAP_ITER_INIT;
    const char *which = NULL;
    void *value = NULL;
    pthread_mutex_lock(&p->lock);
    while (map_next(p->open, &it, &which, &value)) {
        const struct entry *e = value;
        if (strncmp(which, key, len) != 0 || which[len] != ' ')
            continue;
        struct copy *c = arena_alloc(a, sizeof(*c));
        *c = (struct copy){ arena_strdup(a, which + len + 1), arena_strdup(a, e->uid), e->since,
                            list };
        list = c;
    }
    pthread_mutex_unlock(&p->lock);
    return list;
}

static bool shows(const struct copy *c, struct informer *cache, const char *ns)
{
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(cache, ns, c->name);
    if (!c->uid)
        return o != NULL;
    return !o || !STREQ(o->uid, c->uid) || o->deleting;
}

bool pending_settled(struct pending *p, const char *key, const char *ns, struct informer *cache)
{
    AUTO_ARENA a = arena_new();
    bool settled = true;
    int64_t now = clock_mono(p->clock);
    for (const struct copy *c = copies(a, p, key); c; c = c->next) {
        if (shows(c, cache, ns) || now - c->since > EXPIRE_NS)
            pending_drop(p, key, c->name);
        else
            settled = false;
    }
    return settled;
}
