/* The wire format: tags, varints, lengths. Nothing is read before its length is checked. */
#include "apiserver/protobuf_internal.h"

#include <inttypes.h>
#include <string.h>

#define MAX_GROUP_DEPTH 64

static int cut(struct error **err)
{
    return error_set(err, ERROR_INVALID, "unexpected EOF");
}

int wire_varint(struct wire *w, uint64_t *ret, struct error **err)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!wire_more(w))
            return cut(err);
        uint8_t b = *w->at++;
        n |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = n;
            return 0;
        }
    }
    return error_set(err, ERROR_INVALID, "proto: integer overflow");
}

int wire_fixed64(struct wire *w, uint64_t *ret, struct error **err)
{
    if (wire_len(w) < 8)
        return cut(err);
    uint64_t n = 0;
    for (unsigned i = 0; i < 8; i++)
        n |= (uint64_t)w->at[i] << (8 * i);
    w->at += 8;
    *ret = n;
    return 0;
}

int wire_bytes(struct wire *w, struct wire *ret, struct error **err)
{
    uint64_t len;
    int r = wire_varint(w, &len, err);
    if (r < 0)
        return r;
    if (len > INT64_MAX)
        return error_set(err, ERROR_INVALID, "proto: negative length found during unmarshaling");
    if (len > wire_len(w))
        return cut(err);
    *ret = (struct wire){ w->at, w->at + len, w->message };
    w->at += len;
    return 0;
}

int wire_tag(struct wire *w, struct wire_tag *ret, struct error **err)
{
    uint64_t n;
    int r = wire_varint(w, &n, err);
    if (r < 0)
        return r;
    int32_t number = (int32_t)(n >> 3);
    *ret = (struct wire_tag){ (uint32_t)number, (enum wire_type)(n & 7) };
    if (ret->type == WIRE_GROUP_END)
        return error_set(err, ERROR_INVALID, "proto: %s: wiretype end group for non-group",
                         w->message);
    if (number <= 0)
        return error_set(err, ERROR_INVALID,
                         "proto: %s: illegal tag %" PRId32 " (wire type %" PRIu64 ")", w->message,
                         number, n);
    return 0;
}

static int skip_plain(struct wire *w, enum wire_type type, struct error **err)
{
    uint64_t n;
    struct wire bytes;
    switch (type) {
    case WIRE_VARINT:
        return wire_varint(w, &n, err);
    case WIRE_FIXED64:
        return wire_fixed64(w, &n, err);
    case WIRE_BYTES:
        return wire_bytes(w, &bytes, err);
    case WIRE_FIXED32:
        if (wire_len(w) < 4)
            return cut(err);
        w->at += 4;
        return 0;
    default:
        return error_set(err, ERROR_INVALID, "proto: illegal wireType %d", (int)type);
    }
}

int wire_skip(struct wire *w, enum wire_type type, struct error **err)
{
    if (type != WIRE_GROUP)
        return skip_plain(w, type, err);
    for (int depth = 1; depth > 0;) {
        uint64_t n;
        int r = wire_varint(w, &n, err);
        if (r < 0)
            return r;
        type = (enum wire_type)(n & 7);
        if (type == WIRE_GROUP)
            depth++;
        else if (type == WIRE_GROUP_END)
            depth--;
        else
            r = skip_plain(w, type, err);
        if (r < 0)
            return r;
        if (depth > MAX_GROUP_DEPTH)
            return error_set(err, ERROR_TOO_LARGE, "proto: %s: groups are nested more than %d deep",
                             w->message, MAX_GROUP_DEPTH);
    }
    return 0;
}

int wire_expect(const struct wire_tag *tag, enum wire_type type, const char *field,
                struct error **err)
{
    if (tag->type == type)
        return 0;
    return error_set(err, ERROR_INVALID, "proto: wrong wireType = %d for field %s", (int)tag->type,
                     field);
}

int wire_take_bytes(struct wire *w, const struct wire_tag *tag, const char *field, struct wire *ret,
                    struct error **err)
{
    int r = wire_expect(tag, WIRE_BYTES, field, err);
    return r < 0 ? r : wire_bytes(w, ret, err);
}
