/* JSON values.
 *
 * A `struct json *` is a value of a tree that lives in an arena and dies with it. There is one kind
 * of value, and it can be changed. (It is yyjson's mutable value underneath; only json/json.c knows
 * that.) A value belongs to at most one parent: to put it into a second place, json_clone() it.
 * Objects keep their insertion order. Strings given to the constructors are copied. NULL is
 * accepted wherever a value is read and means "absent", so look-ups chain:
 *
 *     const char *name = json_find_str(ws, "inference", "preset", "name");
 *
 * Values read from the same arena may be used by one thread at a time. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

struct json;

enum json_type {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,
    JSON_DOUBLE,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

#define JSON_MAX_DEPTH 128

/* ---- parse and write ---------------------------------------------------------------------------------------- */

/* Parses exactly one value (RFC 8259, valid UTF-8), nested at most JSON_MAX_DEPTH deep. Of a key
 * that is there twice the last one counts. Errors name the byte offset, line and column. */
int json_parse(struct arena *a, const char *data, size_t len, struct json **ret,
               struct error **err);

/* As json_parse, and collects the paths of duplicate keys ("spec.replicas") into ret_duplicates
 * (array of strings). */
int json_parse_strict(struct arena *a, const char *data, size_t len, struct json **ret,
                      struct json **ret_duplicates, struct error **err);

/* Compact text. Integral doubles are written without a fraction as Go does (1.0 → 1). */
void json_write(const struct json *v, struct buf *out);
char *json_text(struct arena *a, const struct json *v); /* "null" for NULL */
void json_write_pretty(const struct json *v, unsigned indent, struct buf *out);
/* Go's encoding/json form: object keys sorted by bytes, `<` `>` `&` U+2028 U+2029 escaped as
 * \u00XX. Hash input. */
void json_write_canonical(const struct json *v, struct buf *out);

/* ---- read --------------------------------------------------------------------------------------------------- */

enum json_type json_type(const struct json *v); /* JSON_NULL for NULL */
const char *json_type_name(
    enum json_type type);                /* "object", "integer", "number" … as in CRD messages */
bool json_is_null(const struct json *v); /* true for NULL too */
bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_string(const struct json *v);
bool json_is_number(const struct json *v); /* integer or double */
bool json_is_bool(const struct json *v);

const char *json_string(const struct json *v); /* NULL when not a string */
size_t json_string_len(const struct json *v);
bool json_bool(const struct json *v, bool otherwise);
int64_t json_int(const struct json *v,
                 int64_t otherwise); /* integral doubles count; out of range: otherwise */
double json_double(const struct json *v, double otherwise);
size_t json_size(const struct json *v); /* elements of an array or object, else 0 */

struct json *json_get(const struct json *obj,
                      const char *key); /* NULL when absent or not an object */
struct json *json_get_n(const struct json *obj, const char *key, size_t len);
struct json *json_at(const struct json *arr, size_t index); /* NULL when out of range; O(index) */
struct json *json_last(const struct json *arr);

/* Walk down object keys; NULL as soon as one is absent. */
struct json *json_find_path(const struct json *v, ...) ATTR_SENTINEL;
#define json_find(v, ...) json_find_path((v), __VA_ARGS__, NULL)
#define json_find_str(v, ...) json_string(json_find((v), __VA_ARGS__))
#define json_find_int(v, otherwise, ...) json_int(json_find((v), __VA_ARGS__), (otherwise))
#define json_find_bool(v, otherwise, ...) json_bool(json_find((v), __VA_ARGS__), (otherwise))

/* Iterates an array or an object. The value just returned may be removed with json_iter_remove() or
 * replaced; other changes of the same container during the loop are not allowed.
 *
 *     JSON_FOREACH(it, containers) { it.value … }       (it.key is NULL in arrays) */
struct json_iter {
    const char *key;
    size_t key_len;
    struct json *value;
    size_t index;
    void *state[5];
};
struct json_iter json_iter(const struct json *container);
bool json_next(struct json_iter *it);
void json_iter_remove(struct json_iter *it);
#define JSON_FOREACH(it, container)                                                                \
    for (struct json_iter it = json_iter(container); json_next(&it);)

/* ---- make --------------------------------------------------------------------------------------------------- */

struct json *json_new_null(struct arena *a);
struct json *json_new_bool(struct arena *a, bool b);
struct json *json_new_int(struct arena *a, int64_t n);
struct json *json_new_double(struct arena *a, double d);
struct json *json_new_string(struct arena *a, const char *s); /* NULL gives NULL */
struct json *json_new_string_n(struct arena *a, const char *s, size_t len);
struct json *json_new_stringf(struct arena *a, const char *fmt, ...) ATTR_PRINTF(2, 3);
struct json *json_new_array(struct arena *a);
struct json *json_new_object(struct arena *a);
struct json *json_clone(struct arena *a, const struct json *v); /* deep; NULL gives NULL */

/* Sets or replaces (in place) a member. A NULL value removes the key. */
void json_set(struct arena *a, struct json *obj, const char *key, struct json *value);
/* Adds a member whose key is known to be absent, without looking for it: for building large
 * objects. */
void json_add(struct arena *a, struct json *obj, const char *key, size_t len, struct json *value);
void json_set_str(struct arena *a, struct json *obj, const char *key,
                  const char *value); /* NULL value: no change */
void json_set_int(struct arena *a, struct json *obj, const char *key, int64_t value);
void json_set_bool(struct arena *a, struct json *obj, const char *key, bool value);
bool json_del(struct json *obj, const char *key);       /* true when it was there */
void json_append(struct json *arr, struct json *value); /* NULL is ignored */
void json_insert(struct json *arr, size_t index, struct json *value);
void json_replace_at(struct json *arr, size_t index, struct json *value);
void json_remove_at(struct json *arr, size_t index);
void json_clear(struct json *container);
/* The object at obj[key], made when absent or not an object. */
struct json *json_ensure_object(struct arena *a, struct json *obj, const char *key);
struct json *json_ensure_array(struct arena *a, struct json *obj, const char *key);
/* Sorts an array with a comparison of two values; stable. */
void json_sort(struct json *arr, int (*compare)(const struct json *x, const struct json *y));
void json_sort_keys(struct json *obj); /* this object only, by bytes */

/* ---- compare and combine ------------------------------------------------------------------------------------ */

bool json_equal(const struct json *x, const struct json *y); /* key order is irrelevant; 1 == 1.0 */
/* true when every member of `subset` is in `v` with an equal value (objects recursively; arrays
 * whole). */
bool json_contains(const struct json *v, const struct json *subset);

/* RFC 7396. Returns the result, which may share values with both; `target` may be changed. */
struct json *json_merge_patch(struct arena *a, struct json *target, const struct json *patch);
/* The merge patch that makes `to` out of `from`; NULL when they are equal, where a member that is
 * null counts as absent. Shares nothing. */
struct json *json_merge_diff(struct arena *a, const struct json *from, const struct json *to);

/* RFC 6901. NULL when absent or malformed. "" is the whole. */
struct json *json_pointer(const struct json *v, const char *pointer);

/* RFC 6902: all operations; -ERROR_INVALID names the operation's index and why. `target` stays as
 * it was. */
int json_patch(struct arena *a, struct json *target, const struct json *ops, struct json **ret,
               struct error **err);

/* One line per difference, "spec.replicas: 1 → 2", at most max_lines of them; for people and test
 * failures. */
void json_describe_diff(const struct json *from, const struct json *to, size_t max_lines,
                        struct buf *out);
