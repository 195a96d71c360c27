/* What the server knows of one kind, built-in or from a CRD: names, shape, and the rules of writing
 * it.
 *
 * rest.c does what all kinds share (metadata, versions, preconditions, finalizers, generation,
 * dry-run); a strategy adds the kind's own part. Built-in kinds are described by data/kinds.json
 * (fields, types, defaults, merge keys: types.h) plus C in kinds/KIND.c for what data cannot say;
 * kinds of CRDs by their schema. */
#pragma once

#include "kube/resource.h"
#include "schema/schema.h"

struct api_kind;
struct store;

/* What a strategy may need besides the object. */
struct strategy_context {
    struct arena *a;
    int64_t now_wall_ns;
    struct store *store;     /* reads only */
    const struct json *old;  /* the stored object; NULL on create */
    const char *subresource; /* "", "status" */
    struct json *warnings;   /* array of strings: sent as Warning headers */
    void *server;            /* struct apiserver *, for allocators */
    bool labels_of_template; /* what set_defaults of Jobs tells prepare */
};

struct api_strategy {
    /* Defaults of the kind; runs on create and update after decoding. NULL: only what the type data
     * say. */
    void (*set_defaults)(struct strategy_context *x, struct json *obj);
    /* Drops or carries over fields that this write may not change (status on spec writes and the
     * reverse is done by rest.c when the kind has the status subresource). */
    void (*prepare)(struct strategy_context *x, struct json *obj);
    /* All rules for create (x->old NULL) and update. */
    void (*validate)(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors);
    /* What is allowed but most likely not meant, into x->warnings; runs when the rules find
     * nothing. NULL: never any. */
    void (*warn)(struct strategy_context *x, const struct json *obj);
    /* Runs last before an object is stored: allocations such as ClusterIPs. Fails with either
     * something in errors (what was asked for cannot be had) or err. */
    int (*allocate)(struct strategy_context *x, struct json *obj, struct field_errors *errors,
                    struct error **err);
};

struct table_column {
    const char *name;
    const char *type;   /* "string", "integer", "date", "boolean", "number" */
    const char *format; /* "name" for the first, else "" */
    int priority;       /* 0 shown always, 1 with -o wide */
    const char *description;
};

struct api_kind {
    struct kube_resource resource;
    const char *singular;
    const char *list_kind;
    const char *const *short_names; /* NULL-terminated */
    const char *const *categories;
    bool has_status;     /* status subresource */
    bool has_generation; /* metadata.generation grows with spec changes */
    bool
        deletes_gracefully; /* Pods: deletionGracePeriodSeconds, removed by the node with grace 0 */
    const char *orphans_by_default; /* what it owns stays when a deletion does not say otherwise,
                                       with this warning; NULL: no */
    bool builtin;
    bool metadata_last; /* metadata is looked at only when the kind's own rules find nothing */
    const struct api_strategy *strategy; /* never NULL */
    const char *const *field_selectors;  /* besides metadata.name and metadata.namespace */
    /* Changes a copy of an object so that its fields stand where the names in field_selectors look
     * for them, with what absent ones are; NULL: they do. */
    void (*selectable)(struct arena *a, struct json *obj);
    /* Tables. `cells` appends one value per column; NULL: name and age only. */
    const struct table_column *columns;
    size_t column_count;
    void (*cells)(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells);
    /* The conditions of an object's row ("Completed" for pods that have ended); NULL: never any. */
    struct json *(*row_conditions)(struct arena *a, const struct json *obj);
    /* CRDs: compiled schema of this version, custom printer columns; NULL for built-in kinds. */
    struct schema *schema;
    struct crd_columns *crd_columns;
    const char *storage_version; /* CRDs: objects are kept in it */
    /* The scale subresource: dotted paths; replicas NULL: the kind has none. What stands at
     * `selector` is text or a LabelSelector; NULL: it has none. */
    struct {
        const char *replicas;
        const char *status_replicas;
        const char *selector;
    } scale;
};

/* The built-in kinds, a table ending with resource.plural NULL. */
extern const struct api_kind *const api_builtin_kinds[];
