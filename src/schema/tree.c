#include "schema/tree.h"

#include "schema/schema_internal.h"

const struct schema_node *schema_root(const struct schema *s)
{
    return s->root;
}

const struct schema_node *schema_property_of(const struct schema_node *n, const char *name)
{
    return schema_property_find(n, name);
}

const struct json *schema_default_of(const struct schema_node *n)
{
    return n->default_value;
}

static enum schema_scalar scalar_of(const struct schema_node *n)
{
    if (n->int_or_string || n->types == TYPE_NONE)
        return SCHEMA_ANY_SCALAR;
    if (n->types & TYPE_BOOLEAN)
        return SCHEMA_BOOLEAN;
    if (n->types & (TYPE_INTEGER | TYPE_NUMBER))
        return SCHEMA_NUMBER;
    if (n->types & TYPE_STRING)
        return n->format_text ? SCHEMA_ANY_SCALAR : SCHEMA_STRING;
    return SCHEMA_NO_SCALAR;
}

struct schema_traits schema_traits_of(const struct schema_node *n)
{
    bool any = n->int_or_string || n->types == TYPE_NONE;
    bool only_properties = n->has_additional ? !n->additional_allowed : n->property_count > 0;
    return (struct schema_traits){
        .scalar = scalar_of(n),
        .list = any || (n->types & TYPE_ARRAY),
        .object = any || (n->types & TYPE_OBJECT),
        .preserves_unknown = n->preserve_unknown,
        .embedded = n->embedded,
        .free_form = !n->additional && !only_properties,
        .closed = only_properties,
        .atomic_object = n->atomic_object,
        .additional = n->additional,
        .list_type = n->list_type == LIST_MAP   ? SCHEMA_LIST_MAP
                     : n->list_type == LIST_SET ? SCHEMA_LIST_SET
                                                : SCHEMA_LIST_ATOMIC,
        .list_keys = n->list_keys.items,
        .list_key_count = n->list_keys.count,
        .items = n->items,
    };
}
