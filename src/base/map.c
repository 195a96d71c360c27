/* Entries lie in one array in insertion order; a table of positions, open-addressed with linear
 * probing, finds them. A deleted entry stays as a hole (key NULL) until the array is full: then the
 * holes are closed and the table is built again, larger if it must be. So deletion never moves an
 * entry, and iteration survives it. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

struct entry {
    char *key;
    size_t len;
    uint64_t hash;
    void *value;
};

struct map {
    void (*free_value)(void *value);
    struct entry *entries;
    uint32_t *table; /* position + 1, 0 for free; a hole keeps its place so that probing goes on
                        behind it */
    size_t count;    /* used entries, holes included */
    size_t live;
    size_t cap; /* of entries; the table has twice as many places, a power of two */
};

#define MIN_CAP 8
#define NONE SIZE_MAX

struct map *map_new(void (*free_value)(void *value))
{
    struct map *m = NEW0(struct map);
    m->free_value = free_value;
    return m;
}

static void entry_done(struct map *m, struct entry *e)
{
    free(e->key);
    e->key = NULL;
    if (m->free_value && e->value)
        m->free_value(e->value);
    e->value = NULL;
}

void map_clear(struct map *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].key)
            entry_done(m, &m->entries[i]);
    m->count = 0;
    m->live = 0;
    if (m->table)
        memset(m->table, 0, m->cap * 2 * sizeof *m->table);
}

void map_free(struct map *m)
{
    if (!m)
        return;
    map_clear(m);
    free(m->entries);
    free(m->table);
    free(m);
}

size_t map_size(const struct map *m)
{
    return m ? m->live : 0;
}

static size_t map_find(const struct map *m, const char *key, size_t len, uint64_t hash)
{
    if (m->live == 0)
        return NONE;
    size_t mask = m->cap * 2 - 1;
    for (size_t at = hash & mask; m->table[at]; at = (at + 1) & mask) {
        size_t i = m->table[at] - 1;
        const struct entry *e = &m->entries[i];
        if (e->key && e->hash == hash && e->len == len && memcmp(e->key, key, len) == 0)
            return i;
    }
    return NONE;
}

static void table_put(struct map *m, size_t i)
{
    size_t mask = m->cap * 2 - 1;
    size_t at = m->entries[i].hash & mask;
    while (m->table[at])
        at = (at + 1) & mask;
    m->table[at] = (uint32_t)(i + 1);
}

static void map_make_room(struct map *m)
{
    if (m->count < m->cap)
        return;
    size_t to = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].key)
            m->entries[to++] = m->entries[i];
    m->count = to;
    /* Growing from half full on keeps closing holes linear in the number of insertions. */
    if (m->cap == 0 || m->live > m->cap / 2) {
        m->cap = m->cap ? m->cap * 2 : MIN_CAP;
        if (m->cap > UINT32_MAX / 2)
            abort();
        m->entries = mem_array(m->entries, m->cap, sizeof *m->entries);
        m->table = mem_array(m->table, m->cap * 2, sizeof *m->table);
    }
    memset(m->table, 0, m->cap * 2 * sizeof *m->table);
    for (size_t i = 0; i < m->count; i++)
        table_put(m, i);
}

void *map_get_n(const struct map *m, const char *key, size_t len)
{
    if (map_size(m) == 0 || !key)
        return NULL;
    size_t i = map_find(m, key, len, hash_bytes(key, len));
    return i == NONE ? NULL : m->entries[i].value;
}

void *map_get(const struct map *m, const char *key)
{
    return key ? map_get_n(m, key, strlen(key)) : NULL;
}

bool map_has(const struct map *m, const char *key)
{
    if (map_size(m) == 0 || !key)
        return false;
    size_t len = strlen(key);
    return map_find(m, key, len, hash_bytes(key, len)) != NONE;
}

void map_set(struct map *m, const char *key, void *value)
{
    size_t len = strlen(key);
    uint64_t hash = hash_bytes(key, len);
    size_t i = map_find(m, key, len, hash);
    if (i != NONE) {
        void *old = m->entries[i].value;
        m->entries[i].value = value;
        if (m->free_value && old && old != value)
            m->free_value(old);
        return;
    }
    map_make_room(m);
    m->entries[m->count] = (struct entry){ mem_strndup(key, len), len, hash, value };
    table_put(m, m->count);
    m->count++;
    m->live++;
}

static bool map_remove(struct map *m, const char *key, void **ret_value)
{
    if (map_size(m) == 0 || !key)
        return false;
    size_t len = strlen(key);
    size_t i = map_find(m, key, len, hash_bytes(key, len));
    if (i == NONE)
        return false;
    struct entry *e = &m->entries[i];
    *ret_value = e->value;
    /* `key` may be the entry's own, from map_next(). */
    free(e->key);
    e->key = NULL;
    e->value = NULL;
    m->live--;
    return true;
}

bool map_del(struct map *m, const char *key)
{
    void *value;
    if (!map_remove(m, key, &value))
        return false;
    if (m->free_value && value)
        m->free_value(value);
    return true;
}

void *map_take(struct map *m, const char *key)
{
    void *value;
    return map_remove(m, key, &value) ? value : NULL;
}

bool map_next(const struct map *m, struct map_iter *it, const char **ret_key, void **ret_value)
{
    if (!m)
        return false;
    for (; it->next < m->count; it->next++) {
        const struct entry *e = &m->entries[it->next];
        if (!e->key)
            continue;
        if (ret_key)
            *ret_key = e->key;
        if (ret_value)
            *ret_value = e->value;
        it->next++;
        return true;
    }
    return false;
}
