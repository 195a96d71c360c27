/* The metadata that all objects share: which parts a client may write, and which values are valid.
 * Pure. */
#pragma once

#include "apiserver/registry.h"
#include "schema/schema.h"

/* Checks JSON types and drops unknown members of metadata (of custom resources, whose schema says
 * nothing about it); their paths are appended to `unknown`. Errors as the API server's decoder
 * words them. */
int object_meta_decode(struct arena *a, struct json *obj, struct json *unknown, struct error **err);

/* An owner that is named twice, word for word, is kept once, with a warning. */
void object_meta_dedup_owners(struct arena *a, struct json *obj, struct json *warnings);
/* Sets what the server sets on a new object: uid, creationTimestamp, generation; drops what only it
 * may set. */
void object_meta_create(struct arena *a, const struct api_kind *k, struct json *obj,
                        int64_t now_wall_ns);
/* Carries over what an update may not change. */
void object_meta_update(struct arena *a, struct json *obj, const struct json *old);

void object_meta_validate(const struct api_kind *k, const struct json *obj,
                          struct field_errors *errors);
void object_meta_validate_update(const struct json *obj, const struct json *old,
                                 struct field_errors *errors);

/* `head` first (kind and apiVersion in the order of the kind), then metadata, then the rest in its
 * order. */
struct json *object_in_order(struct arena *a, const struct served_kind *sk, struct json *obj);
