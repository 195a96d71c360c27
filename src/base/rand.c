#include "base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void rand_bytes(void *out, size_t len)
{
    char *p = out;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            abort(); /* no randomness: tokens and names must not be guessable */
        p += n;
        len -= (size_t)n;
    }
}

uint64_t rand_u64(void)
{
    uint64_t n;
    rand_bytes(&n, sizeof n);
    return n;
}

double rand_unit(void)
{
    return (double)(rand_u64() >> 11) * 0x1p-53;
}

void rand_suffix(char *out, size_t len)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    const unsigned count = sizeof alphabet - 1;
    const unsigned usable =
        256 - 256 % count; /* bytes from here on would favour the first letters */
    size_t done = 0;
    while (done < len) {
        unsigned char bytes[32];
        rand_bytes(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes && done < len; i++)
            if (bytes[i] < usable)
                out[done++] = alphabet[bytes[i] % count];
    }
    out[len] = '\0';
}

void rand_uuid(char out[37])
{
    unsigned char b[16];
    rand_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    static const char hex[] = "0123456789abcdef";
    char *p = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[b[i] >> 4];
        *p++ = hex[b[i] & 15];
    }
    *p = '\0';
}
