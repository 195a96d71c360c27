/* What the protobuf*.c share: the bytes of a message, and what its numbers mean. */
#pragma once

#include "apiserver/protobuf.h"
#include "apiserver/types_internal.h"

/* ---- bytes ----------------------------------------------------------------------------------- */

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_GROUP = 3,
    WIRE_GROUP_END = 4,
    WIRE_FIXED32 = 5,
};

/* What is left of a message; borrowed. */
struct wire {
    const uint8_t *at;
    const uint8_t *end;
    const char *message; /* its name, for errors */
};

struct wire_tag {
    uint32_t number;
    enum wire_type type;
};

static inline bool wire_more(const struct wire *w)
{
    return w->at < w->end;
}

int wire_varint(struct wire *w, uint64_t *ret, struct error **err);
int wire_fixed64(struct wire *w, uint64_t *ret, struct error **err);
int wire_bytes(struct wire *w, struct wire *ret, struct error **err);
int wire_tag(struct wire *w, struct wire_tag *ret, struct error **err);
/* Steps over the value of a field that nobody knows. */
int wire_skip(struct wire *w, enum wire_type type, struct error **err);
/* Fails unless the field has the type that its value is written with. */
int wire_expect(const struct wire_tag *tag, enum wire_type type, const char *field,
                struct error **err);
/* The value of a WIRE_BYTES field. */
int wire_take_bytes(struct wire *w, const struct wire_tag *tag, const char *field, struct wire *ret,
                    struct error **err);

static inline size_t wire_len(const struct wire *w)
{
    return (size_t)(w->end - w->at);
}

/* ---- numbers --------------------------------------------------------------------------------- */

struct proto_type;

/* Either a member, or an embedded struct: a message of its own whose members belong to the struct
 * around it. */
struct proto_field {
    uint32_t number;
    const struct type_field *member;
    const struct proto_type *embedded;
};

struct proto_type {
    const struct api_type *record;
    struct proto_field *fields; /* sorted by number */
    size_t count;
};

/* Never NULL; types that kinds-protobuf.json does not know have no fields. Thread-safe. */
const struct proto_type *proto_type_of(const struct api_type *t);
/* NULL when unknown. */
const struct proto_field *proto_field_find(const struct proto_type *t, uint32_t number);
