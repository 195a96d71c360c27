/* Allocation. These abort with one line on the log when the system has no memory: a process that
 * cannot allocate a few bytes cannot report it either. Sizes that come from outside are checked
 * against a cap *before* they get here (see buf.h); mem_try() is for the few large blocks whose
 * failure the caller can report. */
#pragma once

#include "base/macros.h"

void *mem_alloc(size_t size) ATTR_NONNULL;  /* not zeroed */
void *mem_zalloc(size_t size) ATTR_NONNULL; /* zeroed */
void *mem_realloc(void *p, size_t size) ATTR_NONNULL;
void *mem_array(void *p, size_t count,
                size_t size) ATTR_NONNULL; /* realloc of count*size, overflow checked */
void *mem_try(size_t size);                /* NULL on failure */
char *mem_strdup(const char *s);           /* NULL for NULL */
char *mem_strndup(const char *s, size_t len);
char *mem_printf(const char *fmt, ...) ATTR_PRINTF(1, 2);

#define NEW0(type) ((type *)mem_zalloc(sizeof(type)))

static inline void mem_free_cleanup(void *p)
{
    __builtin_free(*(void **)p);
}
/* `AUTO_FREE char *s = …` frees s when it leaves scope. */
#define AUTO_FREE CLEANUP(mem_free_cleanup)
