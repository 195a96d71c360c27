/* Bodies of type application/vnd.kubernetes.protobuf: what Go clients of built-in kinds send.
 *
 * A body is four magic bytes and a runtime.Unknown, a message with apiVersion and kind, and with
 * the bytes of the typed message. Field numbers come from data/kinds-protobuf.json, types of the
 * members from data/kinds.json (types.h). Error texts are those of Go's generated decoders.
 *
 * Pure and thread-safe. Caps: JSON_MAX_DEPTH, PROTOBUF_MAX_VALUES, PROTOBUF_MAX_MERGES. */
#pragma once

#include "apiserver/types.h"

#define PROTOBUF_MEDIA_TYPE "application/vnd.kubernetes.protobuf"
/* Two bytes can make a value of a list, which takes many times as much as JSON. */
#define PROTOBUF_MAX_VALUES 1000000
/* A message that is there in several pieces is their sum. No encoder makes pieces. */
#define PROTOBUF_MAX_MERGES 16

struct protobuf_envelope {
    const char *api_version; /* "" when the body does not say; in the arena */
    const char *kind;
    const char *raw; /* borrowed from the body */
    size_t raw_len;
};

/* -ERROR_INVALID: no magic, or cut. */
int protobuf_open(struct arena *a, const char *data, size_t len, struct protobuf_envelope *ret,
                  struct error **err);

/* Decodes a typed message into the members of an object, which has none of them yet; a failure
 * leaves some. What the message holds stays, empty values too: which of them count as absent is
 * what api_type_decode() knows, and a quantity has its canonical form only behind it.
 * -ERROR_INVALID, -ERROR_TOO_LARGE for the caps. */
int protobuf_decode(struct arena *a, const struct api_type *t, const char *data, size_t len,
                    struct json *obj, struct error **err);
