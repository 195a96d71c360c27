/* A hash map from strings to pointers. Keys are copied. Iteration is in insertion order, and
 * deleting the entry just returned is allowed. Not thread-safe. */
#pragma once

#include "base/macros.h"

struct map;

/* free_value may be NULL: then values are borrowed. */
struct map *map_new(void (*free_value)(void *value));
void map_free(struct map *m);
size_t map_size(const struct map *m);

void *map_get(const struct map *m, const char *key); /* NULL when absent */
void *map_get_n(const struct map *m, const char *key, size_t len);
bool map_has(const struct map *m, const char *key);
void map_set(struct map *m, const char *key, void *value); /* frees a value it replaces */
bool map_del(struct map *m, const char *key);              /* frees the value; false when absent */
void *map_take(struct map *m, const char *key);            /* removes without freeing */
void map_clear(struct map *m);

struct map_iter {
    size_t next;
};
#define MAP_ITER_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }
/* Returns false at the end. Inserting while iterating is not allowed. */
bool map_next(const struct map *m, struct map_iter *it, const char **ret_key, void **ret_value);

DEFINE_CLEANUP(struct map *, map_free, map_cleanup)
#define AUTO_MAP CLEANUP(map_cleanup) struct map *
