#include "machine/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"

struct address_pool {
    uint32_t base; /* host order */
    uint32_t size;
    uint32_t next;
    uint8_t *used; /* bits */
};

int address_pool_new(const char *cidr, uint32_t seed, struct address_pool **ret, struct error **err)
{
    AUTO_ARENA a = arena_new();
    size_t n = 0;
    char **parts = str_split(a, cidr, '/', &n);
    struct in_addr in;
    int64_t bits = 0;
    if (n != 2 || inet_pton(AF_INET, parts[0], &in) != 1 || str_to_int64(parts[1], &bits) < 0 ||
        bits < 8 || bits > 30)
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is no block of IPv4 addresses between /8 and /30", cidr);
    uint32_t size = UINT32_C(1) << (32 - bits);
    uint32_t base = ntohl(in.s_addr) & ~(size - 1);
    if (base >> 24 != 127)
        return error_set(err, ERROR_INVALID, "the block %s is not in 127.0.0.0/8", cidr);
    struct address_pool *p = NEW0(struct address_pool);
    *p = (struct address_pool){
        .base = base, .size = size, .next = 1 + seed % (size - 2), .used = mem_zalloc(size / 8 + 1)
    };
    *ret = p;
    return 0;
}

void address_pool_free(struct address_pool *p)
{
    if (p)
        free(p->used);
    free(p);
}

static bool is_used(const struct address_pool *p, uint32_t i)
{
    return p->used[i / 8] >> (i % 8) & 1;
}

int address_pool_take(struct address_pool *p, char ret[ADDRESS_SIZE], struct error **err)
{
    for (uint32_t tried = 0; tried < p->size; tried++) {
        uint32_t i = p->next;
        p->next = p->next + 1 >= p->size - 1 ? 1 : p->next + 1;
        if (is_used(p, i))
            continue;
        p->used[i / 8] |= (uint8_t)(1 << (i % 8));
        struct in_addr in = { htonl(p->base + i) };
        inet_ntop(AF_INET, &in, ret, ADDRESS_SIZE);
        return 0;
    }
    return error_set(err, ERROR_TOO_MANY, "all %u addresses for pods are in use", p->size - 2);
}

/* The index of an address that may be handed out; 0: none. */
static uint32_t index_of(const struct address_pool *p, const char *address)
{
    struct in_addr in;
    if (inet_pton(AF_INET, address, &in) != 1)
        return 0;
    uint32_t i = ntohl(in.s_addr) - p->base;
    return i < p->size - 1 ? i : 0;
}

bool address_pool_claim(struct address_pool *p, const char *address)
{
    uint32_t i = index_of(p, address);
    if (i == 0 || is_used(p, i))
        return false;
    p->used[i / 8] |= (uint8_t)(1 << (i % 8));
    return true;
}

void address_pool_release(struct address_pool *p, const char *address)
{
    uint32_t i = index_of(p, address);
    if (i != 0)
        p->used[i / 8] &= (uint8_t) ~(1 << (i % 8));
}
