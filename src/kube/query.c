#include "kube/query.h"

#include <stdio.h>
#include <string.h>

static bool stands_for_itself(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

void query_add(struct buf *path, const char *key, const char *value)
{
    if (!value)
        return;
    buf_putc(path, strchr(buf_str(path), '?') ? '&' : '?');
    buf_puts(path, key);
    buf_putc(path, '=');
    for (const char *p = value; *p; p++) {
        if (stands_for_itself(*p))
            buf_putc(path, *p);
        else
            buf_printf(path, "%%%02X", (unsigned char)*p);
    }
}

void query_add_int(struct buf *path, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    query_add(path, key, text);
}
