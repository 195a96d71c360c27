/* Three memories, each of bounded size, oldest entries dropped first:
 *   similar   (object, type, reason) → the different messages of the last ten minutes; beyond ten
 * they become one Event seen      (object, type, reason, message) → the Event that counts it shares
 * (object, type) → a bucket of 25 tokens that gains one each five minutes The numbers are those
 * that Kubernetes components use. */
#include "kube/event_correlator.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define MAX_ENTRIES 4096
#define WINDOW_NS (600 * NS_PER_S)
#define MAX_SIMILAR 10
#define SHARE 25.0
#define SHARE_GAIN_NS (300.0 * (double)NS_PER_S)

struct similar {
    struct map *messages;
    int64_t last_ns;
};

struct seen {
    char *name; /* NULL: not written yet */
    int64_t count;
    int64_t first_ns, last_ns;
};

struct share {
    double tokens;
    int64_t last_ns;
};

struct event_correlator {
    struct map *similar, *seen, *shares;
    struct arena *arena; /* of the last decision */
};

static void similar_free(void *p)
{
    struct similar *s = p;
    map_free(s->messages);
    free(s);
}

static void seen_free(void *p)
{
    struct seen *s = p;
    free(s->name);
    free(s);
}

struct event_correlator *event_correlator_new(void)
{
    struct event_correlator *c = NEW0(struct event_correlator);
    c->similar = map_new(similar_free);
    c->seen = map_new(seen_free);
    c->shares = map_new(free);
    c->arena = arena_new();
    return c;
}

void event_correlator_free(struct event_correlator *c)
{
    if (!c)
        return;
    map_free(c->similar);
    map_free(c->seen);
    map_free(c->shares);
    arena_free(c->arena);
    free(c);
}

/* The entry, made when it is not there; the map stays within its bound. */
static void *entry(struct map *m, const char *key, size_t size)
{
    void *e = map_get(m, key);
    if (e)
        return e;
    if (map_size(m) >= MAX_ENTRIES) {
        struct map_iter it = MAP_ITER_INIT;
        const char *oldest;
        map_next(m, &it, &oldest, NULL);
        map_del(m, oldest);
    }
    e = mem_zalloc(size);
    map_set(m, key, e);
    return e;
}

static bool is_one_of_many(struct event_correlator *c, const char *key,
                           const struct event_occurrence *o)
{
    struct similar *s = entry(c->similar, key, sizeof(*s));
    if (!s->messages)
        s->messages = map_new(NULL);
    else if (o->wall_ns - s->last_ns > WINDOW_NS)
        map_clear(s->messages);
    s->last_ns = o->wall_ns;
    if (map_has(s->messages, o->message))
        return false;
    if (map_size(s->messages) >= MAX_SIMILAR)
        return true;
    map_set(s->messages, o->message, NULL);
    return false;
}

static bool takes_share(struct event_correlator *c, const struct event_occurrence *o)
{
    struct share *s =
        entry(c->shares, arena_printf(c->arena, "%s\n%s", o->object, o->type), sizeof(*s));
    if (s->last_ns == 0)
        s->tokens = SHARE;
    else
        s->tokens = MIN(SHARE, s->tokens + (double)(o->wall_ns - s->last_ns) / SHARE_GAIN_NS);
    s->last_ns = o->wall_ns;
    if (s->tokens < 1)
        return false;
    s->tokens -= 1;
    return true;
}

void event_correlate(struct event_correlator *c, const struct event_occurrence *o,
                     struct event_decision *ret)
{
    arena_reset(c->arena);
    char *group = arena_printf(c->arena, "%s\n%s\n%s", o->object, o->type, o->reason);
    bool combined = is_one_of_many(c, group, o);
    char *key = combined ? group : arena_printf(c->arena, "%s\n%s", group, o->message);

    struct seen *s = entry(c->seen, key, sizeof(*s));
    if (s->count > 0 && o->wall_ns - s->last_ns > WINDOW_NS) {
        free(TAKE_PTR(s->name));
        s->count = 0;
    }
    if (s->count++ == 0)
        s->first_ns = o->wall_ns;
    s->last_ns = o->wall_ns;
    *ret = (struct event_decision){
        .drop = !takes_share(c, o),
        .combined = combined,
        .key = key,
        .name = arena_strdup(c->arena, s->name),
        .count = s->count,
        .first_ns = s->first_ns,
    };
}

void event_correlator_written(struct event_correlator *c, const char *key, const char *name)
{
    struct seen *s = map_get(c->seen, key);
    if (!s)
        return;
    char *copy = mem_strdup(name);
    free(s->name);
    s->name = copy;
}
