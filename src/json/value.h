/* What the files of this folder share: the layout of a value. Nobody outside includes it.
 *
 * A value is a yyjson_mut_val: a tag (type, subtype, length or count), a payload, and the link to
 * its next sibling. The elements of a container form a ring, and the container points to the last
 * of them, so that appending and walking from the first are both cheap. An object's ring alternates
 * key, value, key, value; the container points to the last key. A value outside of any container
 * has no next sibling: that is how a second parent is noticed. */
#pragma once

#include <yyjson.h>

#include "json/json.h"

/* A key is unique within its object; strings are valid UTF-8; integers are SINT or UINT and fit
 * int64. */
static inline yyjson_mut_val *val(const struct json *v)
{
    return (yyjson_mut_val *)(uintptr_t)v;
}

static inline struct json *json_of(yyjson_mut_val *v)
{
    return (struct json *)v;
}

static inline size_t val_len(const yyjson_mut_val *v)
{
    return (size_t)(v->tag >> YYJSON_TAG_BIT);
}

static inline void val_set_tag(yyjson_mut_val *v, uint8_t type, size_t len)
{
    v->tag = ((uint64_t)len << YYJSON_TAG_BIT) | type;
}

static inline uint8_t val_type(const yyjson_mut_val *v)
{
    return (uint8_t)(v->tag & YYJSON_TYPE_MASK);
}

static inline uint8_t val_subtype(const yyjson_mut_val *v)
{
    return (uint8_t)(v->tag & YYJSON_SUBTYPE_MASK);
}

static inline bool val_is(const struct json *v, uint8_t type)
{
    return v && val_type(val(v)) == type;
}

static inline bool val_is_container(const yyjson_mut_val *v)
{
    return val_type(v) == YYJSON_TYPE_OBJ || val_type(v) == YYJSON_TYPE_ARR;
}

static inline bool val_str_eq(const yyjson_mut_val *v, const char *s, size_t len)
{
    return val_len(v) == len && memcmp(v->uni.str, s, len) == 0;
}

yyjson_mut_val *val_new(struct arena *a);
/* A string value whose bytes are in the arena already and are valid UTF-8. */
yyjson_mut_val *val_new_str(struct arena *a, const char *s, size_t len);
/* Links key and value (which must have no parent) at the end of an object. The key must not be
 * there yet. */
void val_link_member(yyjson_mut_val *obj, yyjson_mut_val *key, yyjson_mut_val *value);
void val_link_element(yyjson_mut_val *arr, yyjson_mut_val *value);
/* The key of a member, NULL when absent. */
yyjson_mut_val *val_find_key(const yyjson_mut_val *obj, const char *key, size_t len);
/* Puts `value` in the place of a key's value, which leaves the object. */
void val_replace_member(yyjson_mut_val *key, yyjson_mut_val *value);

/* The key node of the member that an iterator stands on. */
yyjson_mut_val *val_iter_key(const struct json_iter *it);

/* Orders keys by their bytes, a prefix first. */
int val_key_compare(const yyjson_mut_val *x, const yyjson_mut_val *y);

/* ---- look-up of many members -------------------------------------------------------------------------------------- */

/* Finds the members of one object by those of another. Both mostly have the same order, so the key
 * behind the last hit is tried first; when that fails in a large object, a table is made, so that
 * no input makes it quadratic. The object's keys must not be removed meanwhile. */
struct member_index {
    yyjson_mut_val *obj;
    yyjson_mut_val *hint; /* the key to try first */
    yyjson_mut_val **slots;
    size_t mask;
};
void member_index_init(struct member_index *ix, const struct json *obj);
yyjson_mut_val *member_index_find(struct member_index *ix, const char *key, size_t len);
void member_index_done(struct member_index *ix);
#define AUTO_MEMBER_INDEX CLEANUP(member_index_done) struct member_index
