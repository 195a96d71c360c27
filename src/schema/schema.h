/* Structural schemas of CustomResourceDefinitions (apiextensions.k8s.io/v1): compiled once per CRD
 * version, then used to prune, default and validate objects. A compiled schema is immutable and may
 * be used by any thread. */
#pragma once

#include "json/json.h"

struct schema;

/* Problems with one object, each with the field path and the API server's words. */
struct field_error {
    const char *type;    /* "FieldValueInvalid", "FieldValueRequired", "FieldValueNotSupported",
                            "FieldValueTypeInvalid",    "FieldValueForbidden", "FieldValueTooLong",
                            "FieldValueTooMany", "FieldValueDuplicate" */
    const char *field;   /* "spec.replicas", "inference.adapters[0].source" */
    const char *message; /* as in a Status cause: `Invalid value: "x": must be …` */
};
struct field_errors {
    struct arena *arena;
    struct field_error *items;
    size_t count;
    size_t cap;
};
void field_errors_add(struct field_errors *e, const char *type, const char *field, const char *fmt,
                      ...) ATTR_PRINTF(4, 5);

/* Checks that the schema is structural (types, no forbidden constructs, valid defaults, valid
 * patterns) with the words that the API server uses when a CRD is created; `path` is where it
 * stands ("spec.versions[0].schema.openAPIV3Schema"). On success *ret is set; on failure errors has
 * entries and *ret is NULL. What is not supported is refused by name. */
int schema_compile(const struct json *open_api_v3_schema, const char *path, struct schema **ret,
                   struct field_errors *errors);
void schema_free(struct schema *s);

/* Removes what the schema does not know (not below x-kubernetes-preserve-unknown-fields, not
 * apiVersion, kind, metadata). Dropped paths are appended to `dropped` (array of strings, may be
 * NULL), for field validation warnings. */
void schema_prune(struct arena *a, const struct schema *s, struct json *obj, struct json *dropped);
/* Fills in defaults, on the way down, as the API server does on writes and reads. */
void schema_default(struct arena *a, const struct schema *s, struct json *obj);
/* Types, enum, required, pattern, format, min/max, lengths, items, list-type set/map duplicates,
 * oneOf/anyOf/allOf/not, int-or-string, embedded resources. `old` is the stored object on updates
 * (NULL on create). */
void schema_validate(const struct schema *s, const struct json *obj, const struct json *old,
                     struct field_errors *errors);
/* The same for a write that touches nothing but status: only that is looked at. */
void schema_validate_status(const struct schema *s, const struct json *obj, const struct json *old,
                            struct field_errors *errors);
