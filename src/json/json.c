/* Values: reading, making and changing them. Parsing is in parse.c, text in write.c. */
#include "json/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/build.h"
#include "json/value.h"

/* ---- layout ------------------------------------------------------------------------------------------------------- */

yyjson_mut_val *val_new(struct arena *a)
{
    yyjson_mut_val *v = arena_alloc(a, sizeof *v);
    v->next = NULL;
    return v;
}

yyjson_mut_val *val_new_str(struct arena *a, const char *s, size_t len)
{
    yyjson_mut_val *v = val_new(a);
    val_set_tag(v, YYJSON_TYPE_STR, len);
    v->uni.str = s;
    return v;
}

/* A value in two places would tie two rings into one: better to stop here than to answer with a
 * tangle. */
static void must_be_free(const yyjson_mut_val *v)
{
    if (!v->next)
        return;
    static const char line[] =
        "kaito: a JSON value was put into a second place; it has to be cloned first\n";
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
    (void)ignored;
    abort();
}

static void add_to_count(yyjson_mut_val *container, int by)
{
    container->tag += (uint64_t)by << YYJSON_TAG_BIT;
}

void val_link_element(yyjson_mut_val *arr, yyjson_mut_val *value)
{
    must_be_free(value);
    yyjson_mut_val *last = val_len(arr) > 0 ? arr->uni.ptr : value;
    value->next = last->next;
    if (last == value)
        value->next = value;
    last->next = value;
    arr->uni.ptr = value;
    add_to_count(arr, 1);
}

void val_link_member(yyjson_mut_val *obj, yyjson_mut_val *key, yyjson_mut_val *value)
{
    must_be_free(value);
    key->next = value;
    if (val_len(obj) == 0) {
        value->next = key;
    } else {
        yyjson_mut_val *last_value = ((yyjson_mut_val *)obj->uni.ptr)->next;
        value->next = last_value->next;
        last_value->next = key;
    }
    obj->uni.ptr = key;
    add_to_count(obj, 1);
}

/* The first key; the object must not be empty. */
static yyjson_mut_val *first_key(const yyjson_mut_val *obj)
{
    return ((yyjson_mut_val *)obj->uni.ptr)->next->next;
}

yyjson_mut_val *val_find_key(const yyjson_mut_val *obj, const char *key, size_t len)
{
    size_t n = val_len(obj);
    if (n == 0)
        return NULL;
    yyjson_mut_val *k = first_key(obj);
    for (; n > 0; n--, k = k->next->next)
        if (val_str_eq(k, key, len))
            return k;
    return NULL;
}

void val_replace_member(yyjson_mut_val *key, yyjson_mut_val *value)
{
    yyjson_mut_val *old = key->next;
    if (old == value)
        return;
    must_be_free(value);
    value->next = old->next;
    key->next = value;
    old->next = NULL;
}

/* Unlinks the member behind the one with the key `before`. */
static void unlink_member(yyjson_mut_val *obj, yyjson_mut_val *before)
{
    yyjson_mut_val *key = before->next->next, *value = key->next;
    if (val_len(obj) == 1) {
        obj->uni.ptr = NULL;
    } else {
        before->next->next = value->next;
        if (obj->uni.ptr == key)
            obj->uni.ptr = before;
    }
    value->next = NULL;
    add_to_count(obj, -1);
}

/* Unlinks the element behind `before`. */
static void unlink_element(yyjson_mut_val *arr, yyjson_mut_val *before)
{
    yyjson_mut_val *value = before->next;
    if (val_len(arr) == 1) {
        arr->uni.ptr = NULL;
    } else {
        before->next = value->next;
        if (arr->uni.ptr == value)
            arr->uni.ptr = before;
    }
    value->next = NULL;
    add_to_count(arr, -1);
}

int val_key_compare(const yyjson_mut_val *x, const yyjson_mut_val *y)
{
    size_t x_len = val_len(x), y_len = val_len(y);
    int order = memcmp(x->uni.str, y->uni.str, MIN(x_len, y_len));
    if (order != 0)
        return order;
    return x_len < y_len ? -1 : x_len > y_len;
}

/* ---- member index ------------------------------------------------------------------------------------------------- */

#define INDEX_FROM 24 /* members; below, a scan is as fast */

void member_index_init(struct member_index *ix, const struct json *obj)
{
    *ix = (struct member_index){ .obj = val(obj) };
    if (json_is_object(obj) && val_len(val(obj)) > 0)
        ix->hint = first_key(val(obj));
}

static void member_index_build(struct member_index *ix)
{
    size_t n = val_len(ix->obj), slots = 64;
    while (slots < n * 2)
        slots *= 2;
    ix->slots = mem_zalloc(slots * sizeof *ix->slots);
    ix->mask = slots - 1;
    yyjson_mut_val *k = first_key(ix->obj);
    for (; n > 0; n--, k = k->next->next) {
        size_t at = hash_bytes(k->uni.str, val_len(k)) & ix->mask;
        while (ix->slots[at])
            at = (at + 1) & ix->mask;
        ix->slots[at] = k;
    }
}

yyjson_mut_val *member_index_find(struct member_index *ix, const char *key, size_t len)
{
    if (!ix->hint)
        return NULL;
    yyjson_mut_val *found = NULL;
    if (val_str_eq(ix->hint, key, len)) {
        found = ix->hint;
    } else if (val_len(ix->obj) < INDEX_FROM) {
        found = val_find_key(ix->obj, key, len);
    } else {
        if (!ix->slots)
            member_index_build(ix);
        size_t at = hash_bytes(key, len) & ix->mask;
        while (ix->slots[at] && !val_str_eq(ix->slots[at], key, len))
            at = (at + 1) & ix->mask;
        found = ix->slots[at];
    }
    if (found)
        ix->hint = found->next->next;
    return found;
}

void member_index_done(struct member_index *ix)
{
    free(ix->slots);
    ix->slots = NULL;
}

/* ---- read --------------------------------------------------------------------------------------------------------- */

enum json_type json_type(const struct json *v)
{
    if (!v)
        return JSON_NULL;
    switch (val_type(val(v))) {
    case YYJSON_TYPE_BOOL:
        return JSON_BOOL;
    case YYJSON_TYPE_NUM:
        return val_subtype(val(v)) == YYJSON_SUBTYPE_REAL ? JSON_DOUBLE : JSON_INT;
    case YYJSON_TYPE_STR:
        return JSON_STRING;
    case YYJSON_TYPE_ARR:
        return JSON_ARRAY;
    case YYJSON_TYPE_OBJ:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",     [JSON_BOOL] = "boolean",  [JSON_INT] = "integer",
        [JSON_DOUBLE] = "number", [JSON_STRING] = "string", [JSON_ARRAY] = "array",
        [JSON_OBJECT] = "object",
    };
    return (size_t)type < COUNT_OF(names) ? names[type] : "unknown";
}

bool json_is_null(const struct json *v)
{
    return !v || val_type(val(v)) == YYJSON_TYPE_NULL;
}

bool json_is_object(const struct json *v)
{
    return val_is(v, YYJSON_TYPE_OBJ);
}

bool json_is_array(const struct json *v)
{
    return val_is(v, YYJSON_TYPE_ARR);
}

bool json_is_string(const struct json *v)
{
    return val_is(v, YYJSON_TYPE_STR);
}

bool json_is_number(const struct json *v)
{
    return val_is(v, YYJSON_TYPE_NUM);
}

bool json_is_bool(const struct json *v)
{
    return val_is(v, YYJSON_TYPE_BOOL);
}

const char *json_string(const struct json *v)
{
    return json_is_string(v) ? val(v)->uni.str : NULL;
}

size_t json_string_len(const struct json *v)
{
    return json_is_string(v) ? val_len(val(v)) : 0;
}

bool json_bool(const struct json *v, bool otherwise)
{
    return json_is_bool(v) ? val_subtype(val(v)) == YYJSON_SUBTYPE_TRUE : otherwise;
}

int64_t json_int(const struct json *v, int64_t otherwise)
{
    if (!json_is_number(v))
        return otherwise;
    if (val_subtype(val(v)) != YYJSON_SUBTYPE_REAL)
        return val(v)->uni.i64;
    double d = val(v)->uni.f64;
    /* 2^63 is a double and the first one too large; its negative is the last one that fits. */
    if (!(d >= -0x1p63 && d < 0x1p63) || floor(d) < d)
        return otherwise;
    return (int64_t)d;
}

double json_double(const struct json *v, double otherwise)
{
    if (!json_is_number(v))
        return otherwise;
    return val_subtype(val(v)) == YYJSON_SUBTYPE_REAL ? val(v)->uni.f64 : (double)val(v)->uni.i64;
}

size_t json_size(const struct json *v)
{
    return v && val_is_container(val(v)) ? val_len(val(v)) : 0;
}

struct json *json_get_n(const struct json *obj, const char *key, size_t len)
{
    if (!json_is_object(obj) || !key)
        return NULL;
    yyjson_mut_val *k = val_find_key(val(obj), key, len);
    return k ? json_of(k->next) : NULL;
}

struct json *json_get(const struct json *obj, const char *key)
{
    return key ? json_get_n(obj, key, strlen(key)) : NULL;
}

struct json *json_at(const struct json *arr, size_t index)
{
    if (!json_is_array(arr) || index >= val_len(val(arr)))
        return NULL;
    yyjson_mut_val *v = val(arr)->uni.ptr;
    for (size_t i = 0; i <= index; i++)
        v = v->next;
    return json_of(v);
}

struct json *json_last(const struct json *arr)
{
    return json_is_array(arr) && val_len(val(arr)) > 0 ? json_of(val(arr)->uni.ptr) : NULL;
}

struct json *json_find_path(const struct json *v, ...)
{
    va_list ap;
    va_start(ap, v);
    const char *key;
    while (v && (key = va_arg(ap, const char *)))
        v = json_get(v, key);
    va_end(ap);
    return json_of(val(v));
}

/* ---- iterate ------------------------------------------------------------------------------------------------------
 * The iterator remembers the element (in objects the key) in front of the current one and steps
 * over it only when the next is asked for. So the current value may be taken out or replaced. */

enum { IT_CONTAINER, IT_BEFORE, IT_HAS_CURRENT, IT_LEFT };

struct json_iter json_iter(const struct json *container)
{
    struct json_iter it = { .index = SIZE_MAX };
    size_t n = json_size(container);
    if (n == 0)
        return it;
    it.state[IT_CONTAINER] = val(container);
    it.state[IT_BEFORE] = val(container)->uni.ptr;
    it.state[IT_LEFT] = (void *)n;
    return it;
}

bool json_next(struct json_iter *it)
{
    size_t left = (size_t)it->state[IT_LEFT];
    if (left == 0) {
        it->value = NULL;
        return false;
    }
    yyjson_mut_val *before = it->state[IT_BEFORE];
    bool object = val_type(it->state[IT_CONTAINER]) == YYJSON_TYPE_OBJ;
    if (it->state[IT_HAS_CURRENT])
        it->state[IT_BEFORE] = before = object ? before->next->next : before->next;
    yyjson_mut_val *current = before->next;
    if (object) {
        yyjson_mut_val *key = current->next;
        it->key = key->uni.str;
        it->key_len = val_len(key);
        current = key->next;
    }
    it->value = json_of(current);
    it->state[IT_HAS_CURRENT] = current;
    it->state[IT_LEFT] = (void *)(left - 1);
    it->index++;
    return true;
}

yyjson_mut_val *val_iter_key(const struct json_iter *it)
{
    return ((yyjson_mut_val *)it->state[IT_BEFORE])->next->next;
}

void json_iter_remove(struct json_iter *it)
{
    if (!it->state[IT_HAS_CURRENT])
        return;
    yyjson_mut_val *container = it->state[IT_CONTAINER], *before = it->state[IT_BEFORE];
    if (val_type(container) == YYJSON_TYPE_OBJ)
        unlink_member(container, before);
    else
        unlink_element(container, before);
    it->state[IT_HAS_CURRENT] = NULL;
    it->index--;
}

/* ---- make --------------------------------------------------------------------------------------------------------- */

struct json *json_new_null(struct arena *a)
{
    yyjson_mut_val *v = val_new(a);
    val_set_tag(v, YYJSON_TYPE_NULL, 0);
    return json_of(v);
}

struct json *json_new_bool(struct arena *a, bool b)
{
    yyjson_mut_val *v = val_new(a);
    val_set_tag(v, YYJSON_TYPE_BOOL | (b ? YYJSON_SUBTYPE_TRUE : YYJSON_SUBTYPE_FALSE), 0);
    return json_of(v);
}

struct json *json_new_int(struct arena *a, int64_t n)
{
    yyjson_mut_val *v = val_new(a);
    val_set_tag(v, YYJSON_TYPE_NUM | YYJSON_SUBTYPE_SINT, 0);
    v->uni.i64 = n;
    return json_of(v);
}

struct json *json_new_double(struct arena *a, double d)
{
    yyjson_mut_val *v = val_new(a);
    val_set_tag(v, YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, 0);
    v->uni.f64 = d;
    return json_of(v);
}

/* A copy in which each byte that is not UTF-8 is U+FFFD, as Go's encoder does. */
static char *repair_utf8(struct arena *a, const char *s, size_t len, size_t *ret_len)
{
    static const char replacement[] = "\xef\xbf\xbd";
    char *out = arena_alloc(a, len * 3 + 1), *to = out;
    while (len > 0) {
        size_t good = str_utf8_valid_len(s, len);
        to = mempcpy(to, s, good);
        s += good;
        len -= good;
        if (len > 0) {
            to = mempcpy(to, replacement, 3);
            s++;
            len--;
        }
    }
    *to = '\0';
    *ret_len = (size_t)(to - out);
    return out;
}

struct json *json_new_string_n(struct arena *a, const char *s, size_t len)
{
    if (!s)
        return NULL;
    char *copy =
        str_utf8_valid_len(s, len) == len ? arena_strndup(a, s, len) : repair_utf8(a, s, len, &len);
    return json_of(val_new_str(a, copy, len));
}

struct json *json_new_string(struct arena *a, const char *s)
{
    return s ? json_new_string_n(a, s, strlen(s)) : NULL;
}

struct json *json_new_stringf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    size_t len = strlen(s);
    if (str_utf8_valid_len(s, len) != len)
        s = repair_utf8(a, s, len, &len);
    return json_of(val_new_str(a, s, len));
}

static struct json *new_container(struct arena *a, uint8_t type)
{
    yyjson_mut_val *v = val_new(a);
    val_set_tag(v, type, 0);
    v->uni.ptr = NULL;
    return json_of(v);
}

struct json *json_new_array(struct arena *a)
{
    return new_container(a, YYJSON_TYPE_ARR);
}

struct json *json_new_object(struct arena *a)
{
    return new_container(a, YYJSON_TYPE_OBJ);
}

struct json *json_clone(struct arena *a, const struct json *v)
{
    if (!v)
        return NULL;
    yyjson_mut_val *copy = val_new(a);
    if (json_is_string(v)) {
        size_t len = val_len(val(v));
        copy->tag = val(v)->tag;
        copy->uni.str = arena_strndup(a, val(v)->uni.str, len);
    } else if (val_is_container(val(v))) {
        val_set_tag(copy, val_type(val(v)), 0);
        copy->uni.ptr = NULL;
        JSON_FOREACH(it, v) {
            yyjson_mut_val *child = val(json_clone(a, it.value));
            if (it.key)
                val_link_member(copy,
                                val_new_str(a, arena_strndup(a, it.key, it.key_len), it.key_len),
                                child);
            else
                val_link_element(copy, child);
        }
    } else {
        copy->tag = val(v)->tag;
        copy->uni = val(v)->uni;
    }
    return json_of(copy);
}

/* ---- change ------------------------------------------------------------------------------------------------------- */

void json_set(struct arena *a, struct json *obj, const char *key, struct json *value)
{
    if (!json_is_object(obj))
        return;
    if (!value) {
        json_del(obj, key);
        return;
    }
    size_t len = strlen(key);
    yyjson_mut_val *k = val_find_key(val(obj), key, len);
    if (k)
        val_replace_member(k, val(value));
    else
        val_link_member(val(obj), val(json_new_string_n(a, key, len)), val(value));
}

void json_add(struct arena *a, struct json *obj, const char *key, size_t len, struct json *value)
{
    if (value && json_is_object(obj))
        val_link_member(val(obj), val(json_new_string_n(a, key, len)), val(value));
}

void json_set_str(struct arena *a, struct json *obj, const char *key, const char *value)
{
    if (value)
        json_set(a, obj, key, json_new_string(a, value));
}

void json_set_int(struct arena *a, struct json *obj, const char *key, int64_t value)
{
    json_set(a, obj, key, json_new_int(a, value));
}

void json_set_bool(struct arena *a, struct json *obj, const char *key, bool value)
{
    json_set(a, obj, key, json_new_bool(a, value));
}

bool json_del(struct json *obj, const char *key)
{
    if (!json_is_object(obj) || !key)
        return false;
    size_t len = strlen(key);
    JSON_FOREACH(it, obj) {
        if (it.key_len == len && memcmp(it.key, key, len) == 0) {
            json_iter_remove(&it);
            return true;
        }
    }
    return false;
}

void json_append(struct json *arr, struct json *value)
{
    if (value && json_is_array(arr))
        val_link_element(val(arr), val(value));
}

/* The element in front of index `index`; the array must not be empty. */
static yyjson_mut_val *element_before(yyjson_mut_val *arr, size_t index)
{
    yyjson_mut_val *v = arr->uni.ptr;
    for (size_t i = 0; i < index; i++)
        v = v->next;
    return v;
}

void json_insert(struct json *arr, size_t index, struct json *value)
{
    if (!value || !json_is_array(arr))
        return;
    if (index >= val_len(val(arr))) {
        val_link_element(val(arr), val(value));
        return;
    }
    must_be_free(val(value));
    yyjson_mut_val *before = element_before(val(arr), index);
    val(value)->next = before->next;
    before->next = val(value);
    add_to_count(val(arr), 1);
}

void json_replace_at(struct json *arr, size_t index, struct json *value)
{
    if (!value || !json_is_array(arr) || index >= val_len(val(arr)))
        return;
    yyjson_mut_val *before = element_before(val(arr), index), *old = before->next;
    if (old == val(value))
        return;
    must_be_free(val(value));
    if (before == old) { /* the only element */
        val(value)->next = val(value);
    } else {
        val(value)->next = old->next;
        before->next = val(value);
    }
    if (val(arr)->uni.ptr == old)
        val(arr)->uni.ptr = val(value);
    old->next = NULL;
}

void json_remove_at(struct json *arr, size_t index)
{
    if (json_is_array(arr) && index < val_len(val(arr)))
        unlink_element(val(arr), element_before(val(arr), index));
}

void json_clear(struct json *container)
{
    /* Each value is freed of its ring, since it may go somewhere else. */
    JSON_FOREACH(it, container)
        json_iter_remove(&it);
}

struct json *json_ensure_object(struct arena *a, struct json *obj, const char *key)
{
    struct json *v = json_get(obj, key);
    if (json_is_object(v))
        return v;
    v = json_new_object(a);
    json_set(a, obj, key, v);
    return v;
}

struct json *json_ensure_array(struct arena *a, struct json *obj, const char *key)
{
    struct json *v = json_get(obj, key);
    if (json_is_array(v))
        return v;
    v = json_new_array(a);
    json_set(a, obj, key, v);
    return v;
}

/* ---- sort --------------------------------------------------------------------------------------------------------- */

typedef int compare_fn(const struct json *x, const struct json *y);

/* Merge sort, bottom up; `spare` is as long as `items`. Returns the one that holds the result. */
static yyjson_mut_val **merge_sort(yyjson_mut_val **items, yyjson_mut_val **spare, size_t n,
                                   compare_fn *compare)
{
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t start = 0; start < n; start += 2 * width) {
            size_t i = start, middle = MIN(start + width, n), j = middle,
                   end = MIN(start + 2 * width, n);
            for (size_t out = start; out < end; out++) {
                bool left =
                    i < middle && (j >= end || compare(json_of(items[i]), json_of(items[j])) <= 0);
                spare[out] = left ? items[i++] : items[j++];
            }
        }
        yyjson_mut_val **t = items;
        items = spare;
        spare = t;
    }
    return items;
}

void json_sort(struct json *arr, compare_fn *compare)
{
    if (!json_is_array(arr) || val_len(val(arr)) < 2)
        return;
    size_t n = val_len(val(arr)), count = 0;
    AUTO_FREE yyjson_mut_val **items = mem_array(NULL, n * 2, sizeof *items);
    JSON_FOREACH(it, arr)
        items[count++] = val(it.value);
    yyjson_mut_val **sorted = merge_sort(items, items + n, n, compare);
    for (size_t i = 0; i < n; i++)
        sorted[i]->next = sorted[(i + 1) % n];
    val(arr)->uni.ptr = sorted[n - 1];
}

static int compare_keys(const struct json *x, const struct json *y)
{
    return val_key_compare(val(x), val(y));
}

void json_sort_keys(struct json *obj)
{
    if (!json_is_object(obj) || val_len(val(obj)) < 2)
        return;
    size_t n = val_len(val(obj));
    AUTO_FREE yyjson_mut_val **keys = mem_array(NULL, n * 2, sizeof *keys);
    yyjson_mut_val *k = first_key(val(obj));
    for (size_t i = 0; i < n; i++, k = k->next->next)
        keys[i] = k;
    yyjson_mut_val **sorted = merge_sort(keys, keys + n, n, compare_keys);
    for (size_t i = 0; i < n; i++)
        sorted[i]->next->next = sorted[(i + 1) % n];
    val(obj)->uni.ptr = sorted[n - 1];
}
