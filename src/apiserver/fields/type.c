#include "apiserver/fields/type.h"

#include <string.h>

#include "apiserver/status.h"
#include "apiserver/types_internal.h"
#include "base/str.h"
#include "schema/tree.h"
#include "json/build.h"

static const struct field_type any_value = { .source = FROM_VALUE };
static const struct field_type raw_value = { .source = FROM_RAW_VALUE };

struct field_type field_type_of_kind(const struct api_type *t)
{
    return (struct field_type){ .source = FROM_SHAPE, .of = t, .whole = true };
}

struct field_type field_type_of_schema(const struct schema *s)
{
    return (struct field_type){ .source = FROM_SCHEMA, .of = schema_root(s), .is_object = true };
}

/* ---- atoms --------------------------------------------------------------------------------------------------------- */

static struct field_atom atom_of_any(bool raw)
{
    return (struct field_atom){
        .scalar = SCALAR_ANY,
        .list = true,
        .map = true,
        .element = raw_value,
        .members = raw ? raw_value : any_value,
        .atomic_map = raw,
    };
}

static struct field_atom atom_of_record(const struct api_type *t)
{
    struct field_atom atom = { .map = true, .declares = true, .atomic_map = t->atomic };
    if (t->count == 0)
        atom.members = any_value;
    return atom;
}

static struct field_atom atom_of_list(const struct shape *s, const struct type_field *f)
{
    struct field_atom atom = { .list = true };
    atom.element = (struct field_type){ .source = FROM_SHAPE, .of = s->element };
    if (!f || f->shape != s)
        return atom;
    atom.relation = f->list == FIELD_LIST_MAP   ? RELATION_MAP
                    : f->list == FIELD_LIST_SET ? RELATION_SET
                                                : RELATION_ATOMIC;
    atom.keys = f->list_keys;
    while (atom.relation == RELATION_MAP && atom.keys[atom.key_count])
        atom.key_count++;
    return atom;
}

static struct field_atom atom_of_shape(const struct shape *s, const struct type_field *f)
{
    switch (s->kind) {
    case SHAPE_STRING:
    case SHAPE_BYTES:
        return (struct field_atom){ .scalar = SCALAR_STRING };
    case SHAPE_BOOL:
        return (struct field_atom){ .scalar = SCALAR_BOOLEAN };
    case SHAPE_INT32:
    case SHAPE_INT64:
    case SHAPE_FLOAT:
        return (struct field_atom){ .scalar = SCALAR_NUMBER };
    case SHAPE_QUANTITY:
    case SHAPE_INT_OR_STRING:
    case SHAPE_TIME:
    case SHAPE_MICRO_TIME:
        return (struct field_atom){ .scalar = SCALAR_ANY };
    case SHAPE_RAW:
        return atom_of_any(STREQ(s->go, "runtime.RawExtension"));
    case SHAPE_SCHEMA_OR_BOOL:
    case SHAPE_SCHEMA_OR_LIST:
    case SHAPE_SCHEMA_OR_STRINGS:
        return atom_of_any(false);
    case SHAPE_STRUCT: {
        struct field_atom atom = atom_of_record(s->record);
        if (f && f->shape == s && f->granular)
            atom.atomic_map = false;
        return atom;
    }
    case SHAPE_LIST:
        return atom_of_list(s, f);
    case SHAPE_MAP:
        return (struct field_atom){
            .map = true,
            .atomic_map = f && f->shape == s && f->atomic_map,
            .members = { .source = FROM_SHAPE, .of = s->element },
        };
    }
    return (struct field_atom){ 0 };
}

static struct field_type type_of_node(const struct field_type *parent, const struct schema_node *n)
{
    struct schema_traits traits = schema_traits_of(n);
    return (struct field_type){
        .source = FROM_SCHEMA,
        .of = n,
        .keeps_unknown = parent->keeps_unknown || traits.preserves_unknown,
        .is_object = traits.embedded,
    };
}

static struct field_atom atom_of_node(const struct field_type *t)
{
    struct schema_traits n = schema_traits_of(t->of);
    bool open = t->keeps_unknown || n.preserves_unknown || n.free_form;
    struct field_atom atom = {
        .list = n.list,
        .map = n.object,
        .declares = true,
        .atomic_map = n.atomic_object,
        .element = n.items ? type_of_node(t, n.items) : raw_value,
        .keys = n.list_keys,
        .key_count = n.list_key_count,
    };
    if (n.additional)
        atom.members = type_of_node(t, n.additional);
    else if (open)
        atom.members = any_value;
    static const enum field_scalar scalars[] = {
        [SCHEMA_NO_SCALAR] = SCALAR_NONE,  [SCHEMA_ANY_SCALAR] = SCALAR_ANY,
        [SCHEMA_BOOLEAN] = SCALAR_BOOLEAN, [SCHEMA_NUMBER] = SCALAR_NUMBER,
        [SCHEMA_STRING] = SCALAR_STRING,
    };
    atom.scalar = scalars[n.scalar];
    atom.relation = n.list_type == SCHEMA_LIST_MAP   ? RELATION_MAP
                    : n.list_type == SCHEMA_LIST_SET ? RELATION_SET
                                                     : RELATION_ATOMIC;
    return atom;
}

struct field_atom field_atom_of(const struct field_type *t)
{
    switch (t->source) {
    case FROM_NOTHING:
        break;
    case FROM_SHAPE:
        return t->whole ? atom_of_record(t->of) : atom_of_shape(t->of, t->field);
    case FROM_SCHEMA:
        return atom_of_node(t);
    case FROM_VALUE:
        return atom_of_any(false);
    case FROM_RAW_VALUE:
        return atom_of_any(true);
    }
    return (struct field_atom){ 0 };
}

/* ---- members ------------------------------------------------------------------------------------------------------- */

static struct field_type member_of_record(const struct api_type *record, const char *name,
                                          bool *ret_declared)
{
    const struct type_field *f = type_field_find(record, name);
    *ret_declared = f != NULL;
    if (!f)
        return (struct field_type){ 0 };
    return (struct field_type){ .source = FROM_SHAPE, .of = f->shape, .field = f };
}

/* What all objects have besides what their schema says. */
static struct field_type member_of_object(const char *name)
{
    if (STREQ(name, "metadata"))
        return field_type_of_kind(api_type_struct("v1.ObjectMeta"));
    if (STREQ(name, "kind") || STREQ(name, "apiVersion"))
        return member_of_record(api_type_find("v1", "ConfigMap"), name, &(bool){ false });
    return (struct field_type){ 0 };
}

struct field_type field_member(const struct field_type *t, const struct field_atom *atom,
                               const char *name, bool *ret_declared)
{
    struct field_type member = { 0 };
    *ret_declared = false;
    if (t->source == FROM_SHAPE && atom->declares) {
        const struct shape *s = t->of;
        member = member_of_record(t->whole ? t->of : s->record, name, ret_declared);
    } else if (t->source == FROM_SCHEMA) {
        if (t->is_object)
            member = member_of_object(name);
        const struct schema_node *n =
            member.source == FROM_NOTHING ? schema_property_of(t->of, name) : NULL;
        if (n)
            member = type_of_node(t, n);
        *ret_declared = member.source != FROM_NOTHING;
    }
    return *ret_declared ? member : atom->members;
}

enum field_form field_form_of(const struct field_atom *atom, const struct json *v)
{
    if (v && !json_is_null(v)) {
        if (json_is_object(v) && atom->map)
            return FORM_MAP;
        if (json_is_array(v) && atom->list)
            return FORM_LIST;
        if (!json_is_object(v) && !json_is_array(v) && atom->scalar)
            return FORM_SCALAR;
    }
    return atom->map      ? FORM_MAP
           : atom->scalar ? FORM_SCALAR
           : atom->list   ? FORM_LIST
                          : FORM_NOTHING;
}

/* ---- elements ------------------------------------------------------------------------------------------------------ */

/* A key that is always written is empty when it is absent. */
static const struct json *default_of_key(struct arena *a, const struct field_type *element,
                                         const char *name)
{
    struct field_atom atom = field_atom_of(element);
    bool declared = false;
    if (element->source == FROM_SCHEMA) {
        const struct schema_node *n = schema_property_of(element->of, name);
        return n ? schema_default_of(n) : NULL;
    }
    struct field_type member = field_member(element, &atom, name, &declared);
    const struct type_field *f = declared ? member.field : NULL;
    if (!f || f->default_value || !f->always)
        return f ? f->default_value : NULL;
    enum field_scalar scalar = field_atom_of(&member).scalar;
    return scalar == SCALAR_STRING ? STR("") : scalar == SCALAR_NUMBER ? INT(0) : NULL;
}

static int keyed_step(struct arena *a, const struct field_atom *atom, const struct json *element,
                      struct field_step *ret, struct error **err)
{
    if (json_is_null(element))
        return error_set(err, ERROR_INVALID,
                         "associative list with keys may not have a null element");
    if (!json_is_object(element))
        return error_set(err, ERROR_INVALID,
                         "associative list with keys may not have non-map elements");
    struct json *key = EMPTY_OBJ();
    for (size_t i = 0; i < atom->key_count; i++) {
        const struct json *v = json_get(element, atom->keys[i]);
        if (!v)
            v = default_of_key(a, &atom->element, atom->keys[i]);
        if (v)
            json_add(a, key, atom->keys[i], strlen(atom->keys[i]), json_clone(a, v));
    }
    if (json_size(key) == 0) {
        const char *names = "";
        for (size_t i = 0; i < atom->key_count; i++)
            names = arena_printf(a, "%s%s%s", names, i ? " " : "", go_quote(a, atom->keys[i]));
        return error_set(
            err, ERROR_INVALID,
            "associative list with keys has an element that omits all key fields [%s] (and doesn't have default "
            "values for any key fields)",
            names);
    }
    if (json_size(key) > 1)
        json_sort_keys(key);
    *ret = (struct field_step){ .kind = STEP_KEY, .value = key };
    return 0;
}

int field_element_step(struct arena *a, const struct field_atom *atom, const struct json *element,
                       struct field_step *ret, struct error **err)
{
    if (atom->relation == RELATION_ATOMIC)
        return error_set(err, ERROR_INTERNAL, "invalid indexing of non-associative list");
    if (atom->relation == RELATION_MAP)
        return keyed_step(a, atom, element, ret, err);
    if (json_is_object(element))
        return error_set(err, ERROR_INVALID,
                         "associative list without keys has an element that's a map type");
    if (json_is_array(element))
        return error_set(err, ERROR_INVALID,
                         "not supported: associative list with lists as elements");
    if (json_is_null(element))
        return error_set(err, ERROR_INVALID,
                         "associative list without keys has an element that's an explicit null");
    *ret = (struct field_step){ .kind = STEP_VALUE, .value = element };
    return 0;
}
