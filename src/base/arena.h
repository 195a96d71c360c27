/* An arena: everything allocated in it dies with it, in one call. The lifetime of a request or of
 * one reconcile. Not thread-safe: an arena belongs to one thread at a time. JSON values live in
 * arenas (json/json.h). */
#pragma once

#include <stdarg.h>

#include "base/macros.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);
void arena_reset(struct arena *a);        /* frees the content, keeps one block */
size_t arena_used(const struct arena *a); /* bytes handed out since new or reset */

void *arena_alloc(struct arena *a, size_t size) ATTR_NONNULL; /* 16-byte aligned, not zeroed */
void *arena_zalloc(struct arena *a, size_t size) ATTR_NONNULL;
char *arena_strdup(struct arena *a, const char *s); /* NULL for NULL */
char *arena_strndup(struct arena *a, const char *s, size_t len) ATTR_NONNULL;
char *arena_printf(struct arena *a, const char *fmt, ...) ATTR_PRINTF(2, 3) ATTR_NONNULL;
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) ATTR_PRINTF(2, 0) ATTR_NONNULL;

DEFINE_CLEANUP(struct arena *, arena_free, arena_cleanup)
#define AUTO_ARENA CLEANUP(arena_cleanup) struct arena *
