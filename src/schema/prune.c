/* Pruning and defaulting. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/schema_internal.h"

/* ---- pruning --------------------------------------------------------------------------------- */

struct pruner {
    struct arena *a;
    struct json *dropped; /* NULL: nobody asks */
};

static bool is_meta(const char *key)
{
    return STREQ(key, "apiVersion") || STREQ(key, "kind") || STREQ(key, "metadata");
}

static void record(struct pruner *p, const struct field_path *at, const char *key)
{
    if (p->dropped && (at || !is_meta(key)))
        json_append(p->dropped, json_new_string(p->a, field_path_text(p->a, FIELD(at, key))));
}

static void prune(struct pruner *p, const struct schema_node *n, struct json *v,
                  const struct field_path *at, bool embedded);

/* Below preserve-unknown-fields nothing is dropped, until a member has a schema of its own again.
 */
static void keep(struct pruner *p, const struct schema_node *n, struct json *v,
                 const struct field_path *at, bool embedded)
{
    if (json_is_array(v)) {
        JSON_FOREACH(it, v)
            if (n->items)
                keep(p, n->items, it.value, FIELD_AT(at, it.index), n->items->embedded);
        return;
    }
    JSON_FOREACH(it, v) {
        if (embedded && is_meta(it.key))
            continue;
        const struct schema_node *member = schema_property_find(n, it.key);
        if (member || n->has_additional)
            prune(p, member ? member : n->additional, it.value, FIELD(at, it.key),
                  member ? member->embedded : n->additional && n->additional->embedded);
    }
}

static void prune_object(struct pruner *p, const struct schema_node *n, struct json *v,
                         const struct field_path *at, bool embedded)
{
    JSON_FOREACH(it, v) {
        if (embedded && is_meta(it.key))
            continue;
        const struct schema_node *member = n ? schema_property_find(n, it.key) : NULL;
        if (!member && !(n && n->has_additional)) {
            record(p, at, it.key);
            json_iter_remove(&it);
            continue;
        }
        if (!member)
            member = n->additional;
        prune(p, member, it.value, FIELD(at, it.key), member && member->embedded);
    }
}

static void prune(struct pruner *p, const struct schema_node *n, struct json *v,
                  const struct field_path *at, bool embedded)
{
    if (n && n->preserve_unknown) {
        keep(p, n, v, at, embedded);
    } else if (json_is_object(v)) {
        prune_object(p, n, v, at, embedded);
    } else if (json_is_array(v)) {
        const struct schema_node *items = n ? n->items : NULL;
        JSON_FOREACH(it, v)
            prune(p, items, it.value, FIELD_AT(at, it.index), items && items->embedded);
    }
}

/* ---- metadata of embedded objects ------------------------------------------------------------ */

static bool is_metadata_field(const char *key)
{
    static const char *const known[] = {
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    };
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (STREQ(known[i], key))
            return true;
    return false;
}

/* Schemas say nothing of metadata: what it may hold is the same everywhere. */
static void prune_metadata(struct pruner *p, struct json *meta, const struct field_path *at)
{
    if (!json_is_object(meta))
        return;
    JSON_FOREACH(it, meta) {
        if (is_metadata_field(it.key))
            continue;
        record(p, at, it.key);
        json_iter_remove(&it);
    }
}

static void prune_embedded(struct pruner *p, const struct schema_node *n, struct json *v,
                           const struct field_path *at)
{
    if (json_is_array(v) && n->items) {
        JSON_FOREACH(it, v)
            prune_embedded(p, n->items, it.value, FIELD_AT(at, it.index));
    } else if (json_is_object(v)) {
        if (n->embedded)
            prune_metadata(p, json_get(v, "metadata"), FIELD(at, "metadata"));
        JSON_FOREACH(it, v) {
            const struct schema_node *member = schema_property_find(n, it.key);
            if (n->embedded && is_meta(it.key))
                continue;
            if (member)
                prune_embedded(p, member, it.value, FIELD(at, it.key));
            else if (n->additional)
                prune_embedded(p, n->additional, it.value, FIELD_KEY(at, it.key));
        }
    }
}

void schema_prune_embedded(struct arena *a, const struct schema_node *n, struct json *v)
{
    prune_embedded(&(struct pruner){ a, NULL }, n, v, NULL);
}

/* ---- whole ----------------------------------------------------------------------------------- */

static int compare_text(const struct json *x, const struct json *y)
{
    return strcmp(json_string(x), json_string(y));
}

void schema_prune_node(struct arena *a, const struct schema_node *n, struct json *v, bool is_root,
                       struct json *dropped)
{
    struct pruner p = { a, dropped };
    prune(&p, n, v, NULL, is_root || n->embedded);
}

void schema_prune(struct arena *a, const struct schema *s, struct json *obj, struct json *dropped)
{
    schema_prune_node(a, s->root, obj, true, dropped);
    prune_embedded(&(struct pruner){ a, dropped }, s->root, obj, NULL);
    if (dropped)
        json_sort(dropped, compare_text);
}

/* ---- defaulting ------------------------------------------------------------------------------ */

static void fill(struct arena *a, const struct schema_node *n, struct json *v);

/* A null where none is allowed counts as absent when there is a default. */
static bool wants_default(const struct schema_node *n, const struct json *v)
{
    return n->default_value && (!v || (json_is_null(v) && !n->nullable));
}

static void fill_object(struct arena *a, const struct schema_node *n, struct json *v)
{
    for (size_t i = 0; i < n->property_count; i++) {
        const struct schema_node *member = n->properties[i].node;
        if (wants_default(member, json_get(v, n->properties[i].name)))
            json_set(a, v, n->properties[i].name, json_clone(a, member->default_value));
    }
    JSON_FOREACH(it, v) {
        const struct schema_node *member = schema_member(n, it.key);
        if (!member)
            continue;
        struct json *value = it.value;
        if (wants_default(member, value)) {
            value = json_clone(a, member->default_value);
            json_set(a, v, it.key, value);
        }
        fill(a, member, value);
    }
}

/* The nulls are counted first, so that a list of many is built anew at once. */
static void fill_array(struct arena *a, const struct schema_node *items, struct json *v)
{
    bool any = false;
    JSON_FOREACH(it, v)
        any = any || wants_default(items, it.value);
    if (any) {
        struct json *old = json_clone(a, v);
        json_clear(v);
        JSON_FOREACH(it, old) {
            struct json *value =
                wants_default(items, it.value) ? json_clone(a, items->default_value) : it.value;
            json_iter_remove(&it);
            json_append(v, value);
        }
    }
    JSON_FOREACH(it, v)
        fill(a, items, it.value);
}

static void fill(struct arena *a, const struct schema_node *n, struct json *v)
{
    if (json_is_object(v))
        fill_object(a, n, v);
    else if (json_is_array(v) && n->items)
        fill_array(a, n->items, v);
}

/* Nulls that are not allowed and have no default go. */
static void drop_nulls(const struct schema_node *n, struct json *v)
{
    if (!n)
        return;
    if (json_is_array(v)) {
        JSON_FOREACH(it, v)
            drop_nulls(n->items, it.value);
        return;
    }
    if (!json_is_object(v))
        return;
    JSON_FOREACH(it, v) {
        const struct schema_node *member = schema_member(n, it.key);
        if (json_is_null(it.value) && member && !member->nullable && !member->default_value)
            json_iter_remove(&it);
        else
            drop_nulls(member, it.value);
    }
}

void schema_default(struct arena *a, const struct schema *s, struct json *obj)
{
    fill(a, s->root, obj);
    drop_nulls(s->root, obj);
}
