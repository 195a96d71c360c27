/* What the files of this folder share: a schema, compiled. */
#pragma once

#include "cel/cel.h"
#include "regex/pattern.h"
#include "schema/field.h"
#include "schema/format.h"

enum {
    TYPE_NONE = 0,
    TYPE_BOOLEAN = 1,
    TYPE_INTEGER = 2,
    TYPE_NUMBER = 4,
    TYPE_STRING = 8,
    TYPE_ARRAY = 16,
    TYPE_OBJECT = 32
};

enum list_type { LIST_ATOMIC, LIST_SET, LIST_MAP };

struct schema_property {
    const char *name;
    struct schema_node *node;
};

struct schema_nodes {
    struct schema_node **items;
    size_t count;
};

struct schema_strings {
    const char **items;
    size_t count;
};

/* One of x-kubernetes-validations. */
struct schema_rule {
    const char *text, *message, *reason, *field_path; /* NULL: not given */
    const struct cel_program *program, *message_program;
    const char *fault, *message_fault; /* why there is no program */
};

/* One schema object of the tree. Below allOf, anyOf, oneOf and not the same struct carries the
 * value validations. */
struct schema_node {
    unsigned types;        /* bits above; int-or-string has two */
    const char *type_text; /* as messages show it: "integer", "integer,string" */
    bool nullable;
    bool preserve_unknown;
    bool int_or_string;
    bool embedded;
    bool atomic_object; /* x-kubernetes-map-type: atomic */
    bool has_rules; /* x-kubernetes-validations here or below */

    struct schema_property *properties; /* sorted by name */
    size_t property_count;
    bool has_additional;            /* additionalProperties is given … */
    bool additional_allowed;        /* … and not false */
    struct schema_node *additional; /* its schema, if it is one */
    struct schema_node *items;
    struct json *default_value; /* NULL: none */

    const struct json *enumeration;
    const char *const *enum_texts; /* for messages */
    bool has_maximum, has_minimum, has_multiple_of;
    bool exclusive_maximum, exclusive_minimum;
    double maximum, minimum, multiple_of;
    int64_t max_length, min_length, max_items, min_items, max_properties,
        min_properties; /* -1: none */
    const struct pattern *pattern;
    const char *pattern_text;
    const char *format_text; /* only when it is checked */
    format_check *format;
    struct schema_strings required;
    struct schema_nodes all_of, any_of, one_of;
    struct schema_node *not_;

    enum list_type list_type;
    struct schema_strings list_keys;
    struct schema_rule *rules;
    size_t rule_count;
};

struct schema {
    struct arena *a;
    struct schema_node *root;
};

struct schema_node *schema_property_find(const struct schema_node *n, const char *name);
/* The schema of a member: its property's or that of additional ones; NULL when there is none. */
struct schema_node *schema_member(const struct schema_node *n, const char *name);

/* Makes the tree of a schema whose JSON has been checked. */
struct schema_node *schema_node_new(struct arena *a, const struct json *json);

/* The checks of CRD creation, in files of their own. The JSON has been decoded as JSONSchemaProps.
 */
void schema_check_structural(const struct json *json, const struct field_path *path,
                             struct field_errors *errors);
void schema_check_openapi(const struct json *json, const struct field_path *path,
                          struct field_errors *errors);
/* Why the JSON cannot be made a structural schema at all; NULL: it can. */
const char *schema_unsupported(const struct json *json);
void schema_check_defaults(struct arena *a, struct schema_node *root, const struct json *json,
                           const struct field_path *path, struct field_errors *errors);

/* rules.c: compiles the rules of a node whose children are there. */
void schema_rules_fill(struct schema_node *n, struct arena *a, const struct json *json);
/* The rules that do not compile, here and below. `lost`: the list in which values cannot be told
 * from what they were before; NULL: none. */
void schema_check_rules(const struct schema_node *n, const struct json *json,
                        const struct field_path *p, const struct field_path *lost,
                        struct field_errors *errors);
/* Asks the rules of all values that are not as they were. */
void schema_validate_rules(const struct schema_node *n, const struct json *v,
                           const struct json *old, const struct field_path *p,
                           struct field_errors *errors);

/* A value against one node, below a path whose text is `path` ("" for the root). */
void schema_validate_node(const struct schema_node *n, const struct json *v, const struct json *old,
                          const struct field_path *p, struct field_errors *errors);
/* The value is looked at as if it stood alone: messages say where in it something is, fields where
 * in the whole. */
void schema_validate_alone(const struct schema_node *n, const struct json *v,
                           const struct json *old, const struct field_path *at,
                           struct field_errors *errors);
void schema_validate_lists(const struct schema_node *n, const struct json *v,
                           const struct field_path *p, struct field_errors *errors);
void schema_validate_embedded(const struct schema_node *n, const struct json *v,
                              const struct field_path *p, struct field_errors *errors);
void schema_prune_node(struct arena *a, const struct schema_node *n, struct json *v, bool is_root,
                       struct json *dropped);
void schema_prune_embedded(struct arena *a, const struct schema_node *n, struct json *v);
