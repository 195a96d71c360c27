/* Blocks in a list, the newest first, each filled from its start. A block is twice as large as the
 * one before up to BLOCK_MAX, so that a small request costs one malloc and a large one few. What
 * does not fit half a block gets a block of its own behind the current one, which stays in use.
 *
 * Under AddressSanitizer the unused part of each block is poisoned and a gap stays between
 * neighbours, so that an overrun inside an arena is found like one on the heap. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define GAP 16
#define POISON(p, n) __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define GAP 0
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#endif

#define ALIGN 16
#define BLOCK_MIN (4 * KIB)
#define BLOCK_MAX (1 * MIB)

struct block {
    struct block *next;
    size_t size; /* of data */
    _Alignas(ALIGN) char data[];
};

struct arena {
    char *at; /* free space of the first block */
    char *end;
    struct block *blocks;
    size_t used;
};

static struct block *block_new(size_t size)
{
    struct block *b = mem_alloc(sizeof *b + size);
    b->next = NULL;
    b->size = size;
    POISON(b->data, size);
    return b;
}

static void block_free(struct block *b)
{
    UNPOISON(b->data, b->size);
    __builtin_free(b);
}

static void arena_use(struct arena *a, struct block *b)
{
    a->blocks = b;
    a->at = b->data;
    a->end = b->data + b->size;
}

struct arena *arena_new(void)
{
    struct arena *a = mem_alloc(sizeof *a);
    a->used = 0;
    arena_use(a, block_new(BLOCK_MIN));
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct block *b = a->blocks; b;) {
        struct block *next = b->next;
        block_free(b);
        b = next;
    }
    __builtin_free(a);
}

void arena_reset(struct arena *a)
{
    /* Keep the largest block of ordinary size: a loop that resets soon works in one block. */
    struct block *keep = NULL;
    for (struct block *b = a->blocks; b; b = b->next)
        if (b->size <= BLOCK_MAX && (!keep || b->size > keep->size))
            keep = b;
    for (struct block *b = a->blocks; b;) {
        struct block *next = b->next;
        if (b != keep)
            block_free(b);
        b = next;
    }
    if (!keep)
        keep = block_new(BLOCK_MIN);
    keep->next = NULL;
    POISON(keep->data, keep->size);
    arena_use(a, keep);
    a->used = 0;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

static void *arena_alloc_slow(struct arena *a, size_t need)
{
    size_t next_size = MIN(a->blocks->size * 2, BLOCK_MAX);
    if (next_size < BLOCK_MIN)
        next_size = BLOCK_MIN;
    if (need > next_size / 2) {
        struct block *own = block_new(need);
        own->next = a->blocks->next;
        a->blocks->next = own;
        return own->data;
    }
    struct block *b = block_new(next_size);
    b->next = a->blocks;
    arena_use(a, b);
    void *p = a->at;
    a->at += need;
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t need;
    if (__builtin_add_overflow(size, ALIGN - 1 + GAP, &need) || need > SIZE_MAX / 2)
        need = SIZE_MAX / 2; /* no system has it: mem_alloc says so and ends the process */
    need &= ~(size_t)(ALIGN - 1);
    a->used += size;
    void *p;
    if (need <= (size_t)(a->end - a->at)) {
        p = a->at;
        a->at += need;
    } else {
        p = arena_alloc_slow(a, need);
    }
    UNPOISON(p, size);
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *copy = arena_alloc(a, len + 1);
    if (len > 0)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    char *s;
    if (n < 0) {
        s = arena_strndup(a, "", 0);
    } else if ((size_t)n < sizeof small) {
        s = arena_strndup(a, small, (size_t)n);
    } else {
        s = arena_alloc(a, (size_t)n + 1);
        vsnprintf(s, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return s;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}
