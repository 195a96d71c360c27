/* A growing byte buffer with a maximum given at creation. An append past the maximum sets
 * `overflow` and is dropped whole; writers append freely and check once at the end (buf_ok). Always
 * NUL-terminated when data is not NULL. */
#pragma once

#include <stdarg.h>

#include "base/macros.h"

struct buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max;
    bool overflow;
};

#define BUF_INIT(max_bytes)                                                                        \
    {                                                                                              \
        .max = (max_bytes)                                                                         \
    }

void buf_append(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) ATTR_PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) ATTR_PRINTF(2, 0);
void buf_consume(struct buf *b, size_t len); /* drops the first len bytes */
void buf_clear(struct buf *b);               /* keeps the memory */
char *buf_steal(struct buf *b);              /* hands the string over ("" when empty); free() it */
const char *buf_str(const struct buf *b);    /* never NULL */
bool buf_ok(const struct buf *b);
void buf_done(struct buf *b);

#define AUTO_BUF CLEANUP(buf_done) struct buf
