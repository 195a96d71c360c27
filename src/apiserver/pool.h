/* Threads for work that may block. They come when work waits and go when there has been none for a
 * while, so that an idle server has none. */
#pragma once

#include "base/error.h"

struct pool;

struct pool_options {
    const char *name;
    unsigned max_threads;
    size_t max_waiting; /* beyond it pool_add() refuses */
    void (*run)(void *ctx, void *item);
    void *ctx;
};

struct pool *pool_new(const struct pool_options *options);
/* False when too much waits, or no thread can be had. Never blocks. */
bool pool_add(struct pool *p, void *item);
/* Runs what waits, then ends. */
void pool_free(struct pool *p);
