/* A compiled schema seen as a tree of types, for those who walk values along it. */
#pragma once

#include "schema/schema.h"

struct schema_node;

enum schema_scalar {
    SCHEMA_NO_SCALAR,
    SCHEMA_ANY_SCALAR,
    SCHEMA_BOOLEAN,
    SCHEMA_NUMBER,
    SCHEMA_STRING
};
enum schema_list { SCHEMA_LIST_ATOMIC, SCHEMA_LIST_SET, SCHEMA_LIST_MAP };

/* What values of a node may be, and how they are taken apart. */
struct schema_traits {
    enum schema_scalar scalar;
    bool list, object;
    bool preserves_unknown; /* here and below */
    bool embedded;          /* it has apiVersion, kind and metadata, which no schema tells */
    bool free_form;         /* an object of members of any type … */
    bool closed;            /* … or of none but its properties */
    bool atomic_object;
    const struct schema_node *additional; /* the schema of other members; NULL: none */
    enum schema_list list_type;
    const char *const *list_keys; /* members that tell elements apart */
    size_t list_key_count;
    const struct schema_node *items; /* NULL: elements of any type */
};

const struct schema_node *schema_root(const struct schema *s);
struct schema_traits schema_traits_of(const struct schema_node *n);
/* The schema of a property; NULL: it is none. */
const struct schema_node *schema_property_of(const struct schema_node *n, const char *name);
const struct json *schema_default_of(const struct schema_node *n); /* NULL: none */
