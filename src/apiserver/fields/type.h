/* How values of a kind are taken apart into fields: a view of the type data of built-in kinds and
 * of the schemas of CRDs that is the same for both. Small values, made as they are needed; what
 * they point to is the type's. Pure. */
#pragma once

#include "apiserver/fields/set.h"

struct api_type;
struct schema;

enum field_type_source {
    FROM_NOTHING,   /* of a member that is not declared */
    FROM_SHAPE,     /* types_internal.h */
    FROM_SCHEMA,    /* schema/tree.h */
    FROM_VALUE,     /* any value: objects are taken apart, lists are not */
    FROM_RAW_VALUE, /* any value, as a whole */
};

struct field_type {
    enum field_type_source source;
    const void *of; /* struct shape, struct api_type (a whole kind) or struct schema_node */
    const struct type_field *field; /* of shapes: the member that says how lists merge; may be NULL
                                     */
    bool whole;                     /* `of` is a struct api_type */
    bool keeps_unknown;             /* of schemas: members that are not declared are of any type */
    bool is_object;                 /* of schemas: it has kind, apiVersion and metadata besides */
};

enum field_scalar { SCALAR_NONE, SCALAR_ANY, SCALAR_STRING, SCALAR_NUMBER, SCALAR_BOOLEAN };
enum field_relation { RELATION_ATOMIC, RELATION_SET, RELATION_MAP };

/* What a value of a type may be: several of these at once where the type is open. */
struct field_atom {
    enum field_scalar scalar;
    bool list, map;
    enum field_relation relation; /* of lists */
    const char *const *keys;
    size_t key_count;
    struct field_type element; /* of lists, and of members of maps that are not declared */
    bool atomic_map;
    bool declares;             /* the map has members of its own; field_member() knows them */
    struct field_type members; /* of maps: of members that are not declared */
};

struct field_type field_type_of_kind(const struct api_type *t);
struct field_type field_type_of_schema(const struct schema *s);

struct field_atom field_atom_of(const struct field_type *t);
/* The type of a member of a map. *ret_declared: it is one that the type names. */
struct field_type field_member(const struct field_type *t, const struct field_atom *atom,
                               const char *name, bool *ret_declared);

/* Which of the things that an atom may be a value is (as far as it can be told). */
enum field_form { FORM_NOTHING, FORM_MAP, FORM_SCALAR, FORM_LIST };
enum field_form field_form_of(const struct field_atom *atom, const struct json *v);

/* The step to an element of a list that is a set or a map. The value of a key is made in the arena.
 */
int field_element_step(struct arena *a, const struct field_atom *atom, const struct json *element,
                       struct field_step *ret, struct error **err);
