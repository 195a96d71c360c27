/* Types of built-in kinds, from data/kinds.json: which fields there are, of which type, with which
 * defaults, and how lists merge. One source for decoding errors, unknown fields, defaults,
 * strategic merge patches and OpenAPI. */
#pragma once

#include "kube/resource.h"
#include "schema/schema.h"

struct api_type;

/* The type of a kind ("v1", "Pod"); NULL when unknown. Loaded once from the embedded data;
 * thread-safe. */
const struct api_type *api_type_find(const char *api_version, const char *kind);

/* Checks JSON types of all known fields as the API server's decoder does (error text: `json: cannot
 * unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string` …)
 * and removes unknown fields, whose paths are appended to `unknown` (`unknown field "spec.foo"` is
 * made of them). Explicit nulls are dropped. */
int api_type_decode(struct arena *a, const struct api_type *t, struct json *obj,
                    struct json *unknown, struct error **err);

/* Fills in the static defaults of the type data, recursively. */
void api_type_default(struct arena *a, const struct api_type *t, struct json *obj);
/* What the API server's store makes of lists that are always written: empty ones are null. */
void api_type_settle(struct arena *a, const struct api_type *t, struct json *obj);

/* An object with nothing in it but the members that are always written. */
struct json *api_type_empty(struct arena *a, const struct api_type *t);

/* Strategic merge patch: $patch (replace, delete, merge), $retainKeys, $deleteFromPrimitiveList,
 * $setElementOrder, merge keys, null deletes. Errors as the API server words them. Returns the
 * result; `target` may be changed. */
int api_strategic_merge(struct arena *a, const struct api_type *t, struct json *target,
                        const struct json *patch, struct json **ret, struct error **err);
