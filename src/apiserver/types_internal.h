/* What types.c, decode.c and strategic_merge.c share: the type data, compiled. Immutable once
 * loaded. */
#pragma once

#include "apiserver/types.h"

enum shape_kind {
    SHAPE_STRING,
    SHAPE_BOOL,
    SHAPE_INT32,
    SHAPE_INT64,
    SHAPE_FLOAT,
    SHAPE_BYTES, /* base64 text */
    SHAPE_QUANTITY,
    SHAPE_INT_OR_STRING,
    SHAPE_TIME,
    SHAPE_MICRO_TIME,
    SHAPE_RAW,            /* any JSON */
    SHAPE_SCHEMA_OR_BOOL, /* three unions of CRD schemas */
    SHAPE_SCHEMA_OR_LIST,
    SHAPE_SCHEMA_OR_STRINGS,
    SHAPE_STRUCT,
    SHAPE_LIST,
    SHAPE_MAP,
};

/* The shape of a value. `go` is its type's name in error messages, without the asterisk of a
 * pointer. */
struct shape {
    enum shape_kind kind;
    const char *go;
    bool pointer;                  /* an empty value differs from an absent one */
    bool quantities;               /* a map of resources: rounded up to thousandths */
    const struct shape *element;   /* of lists and maps; the schema struct of the unions */
    const struct api_type *record; /* of structs */
};

enum field_list { FIELD_LIST_ATOMIC, FIELD_LIST_SET, FIELD_LIST_MAP };

struct type_field {
    const char *name;
    const char *in; /* the embedded struct that it is a member of; NULL: none */
    const struct shape *shape;
    bool always; /* written even when it is empty */
    bool required;
    bool retain_keys;      /* patch strategy of structs in this list or of this struct */
    bool replace;          /* patch strategy: never merged */
    const char *merge_key; /* lists that merge: member that tells elements apart, "" for scalars;
                              else NULL */
    enum field_list list;  /* how server-side apply sees a list */
    const char *const *list_keys; /* of FIELD_LIST_MAP; ends with NULL */
    bool atomic_map;              /* a map that is replaced as a whole */
    bool granular;                /* a struct that here is not, though it is one */
    const struct json *default_value;
    const struct json *spec; /* the member of kinds.json, for what only OpenAPI needs */
};

struct api_type {
    const char *go;            /* "v1.PodSpec" */
    const char *name;          /* "PodSpec" */
    struct type_field *fields; /* sorted by name */
    size_t count;
    bool atomic; /* replaced as a whole */
};

const struct type_field *type_field_find(const struct api_type *t, const char *name);
/* A struct of the type data by its Go name; NULL when unknown. */
const struct api_type *api_type_struct(const char *go);

/* Values that read and write themselves. Each returns the value as it is stored, or NULL with the
 * decoder's words in *err. */
struct json *scalar_decode_bytes(struct arena *a, const struct json *v, struct error **err);
struct json *scalar_decode_quantity(struct arena *a, const struct json *v, bool round_to_milli,
                                    struct error **err);
struct json *scalar_decode_time(struct arena *a, const struct json *v, bool micro,
                                struct error **err); /* of a string */
/* "string", "number", "array" …: how the decoder calls a value that it cannot use. */
const char *scalar_describe(const struct json *v);
