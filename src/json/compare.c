/* Comparison, merge patch (RFC 7396) and its inverse, and differences in words. */
#include "json/json.h"

#include <string.h>

#include "json/value.h"

static bool equal_numbers(const struct json *x, const struct json *y)
{
    if (json_type(x) == JSON_INT && json_type(y) == JSON_INT)
        return val(x)->uni.i64 == val(y)->uni.i64;
    if (json_type(x) == JSON_DOUBLE && json_type(y) == JSON_DOUBLE)
        return val(x)->uni.f64 <= val(y)->uni.f64 && val(x)->uni.f64 >= val(y)->uni.f64;
    /* 2^53 + 1 is not equal to the double 2^53, so the double has to be an integer, not the integer
     * a double. */
    const struct json *n = json_type(x) == JSON_INT ? x : y, *d = n == x ? y : x;
    int64_t i = val(n)->uni.i64, otherwise = i == 0 ? 1 : 0;
    return json_int(d, otherwise) == i;
}

static bool equal_arrays(const struct json *x, const struct json *y)
{
    if (json_size(x) != json_size(y))
        return false;
    struct json_iter other = json_iter(y);
    JSON_FOREACH(it, x) {
        json_next(&other);
        if (!json_equal(it.value, other.value))
            return false;
    }
    return true;
}

/* Every member of `part` is in `whole`, and `same` says yes to the two values. */
static bool members_match(const struct json *whole, const struct json *part,
                          bool (*same)(const struct json *in_whole, const struct json *in_part))
{
    AUTO_MEMBER_INDEX ix;
    member_index_init(&ix, whole);
    JSON_FOREACH(it, part) {
        yyjson_mut_val *key = member_index_find(&ix, it.key, it.key_len);
        if (!key || !same(json_of(key->next), it.value))
            return false;
    }
    return true;
}

bool json_equal(const struct json *x, const struct json *y)
{
    if (x == y)
        return true;
    if (json_is_null(x) || json_is_null(y))
        return json_is_null(x) && json_is_null(y);
    if (val_type(val(x)) != val_type(val(y)))
        return false;
    switch (json_type(x)) {
    case JSON_BOOL:
        return val_subtype(val(x)) == val_subtype(val(y));
    case JSON_STRING:
        return val_str_eq(val(x), val(y)->uni.str, val_len(val(y)));
    case JSON_ARRAY:
        return equal_arrays(x, y);
    case JSON_OBJECT:
        return json_size(x) == json_size(y) && members_match(x, y, json_equal);
    default:
        return equal_numbers(x, y);
    }
}

bool json_contains(const struct json *v, const struct json *subset)
{
    if (json_is_object(v) && json_is_object(subset))
        return members_match(v, subset, json_contains);
    return json_equal(v, subset);
}

/* ---- merge patch -------------------------------------------------------------------------------------------------- */

static void add_member(struct arena *a, struct json *obj, const char *key, size_t len,
                       struct json *value)
{
    val_link_member(val(obj), val_new_str(a, arena_strndup(a, key, len), len), val(value));
}

/* A copy of the patch as it looks when applied to nothing: without the members that only delete. */
static struct json *patch_value(struct arena *a, const struct json *patch)
{
    if (!json_is_object(patch))
        return json_clone(a, patch);
    struct json *obj = json_new_object(a);
    JSON_FOREACH(it, patch)
        if (!json_is_null(it.value))
            add_member(a, obj, it.key, it.key_len, patch_value(a, it.value));
    return obj;
}

/* Members that are in both: removed, merged or replaced. */
static void merge_existing(struct arena *a, struct json *target, const struct json *patch)
{
    AUTO_MEMBER_INDEX ix;
    member_index_init(&ix, patch);
    JSON_FOREACH(it, target) {
        yyjson_mut_val *patch_key = member_index_find(&ix, it.key, it.key_len);
        if (!patch_key)
            continue;
        const struct json *change = json_of(patch_key->next);
        if (json_is_null(change)) {
            json_iter_remove(&it);
        } else if (json_is_object(change) && json_is_object(it.value)) {
            json_merge_patch(a, it.value, change);
        } else {
            val_replace_member(val_iter_key(&it), val(patch_value(a, change)));
        }
    }
}

struct json *json_merge_patch(struct arena *a, struct json *target, const struct json *patch)
{
    if (!json_is_object(patch))
        return patch ? json_clone(a, patch) : target;
    if (!json_is_object(target))
        return patch_value(a, patch);
    size_t old_size = json_size(target);
    struct json *fresh = json_new_object(a);
    {
        AUTO_MEMBER_INDEX ix;
        member_index_init(&ix, target);
        JSON_FOREACH(it, patch)
            if (!json_is_null(it.value) &&
                (old_size == 0 || !member_index_find(&ix, it.key, it.key_len)))
                add_member(a, fresh, it.key, it.key_len, patch_value(a, it.value));
    }
    merge_existing(a, target, patch);
    JSON_FOREACH(it, fresh) {
        struct json *value = it.value;
        const char *key = it.key;
        size_t len = it.key_len;
        json_iter_remove(&it);
        val_link_member(val(target), val_new_str(a, key, len), val(value));
    }
    return target;
}

/* A merge patch cannot set a member to null. Here such a member counts as absent, so that what a
 * patch cannot bring about is no difference, and a caller that patches until there is none comes to
 * an end. */
struct json *json_merge_diff(struct arena *a, const struct json *from, const struct json *to)
{
    if (!json_is_object(from) || !json_is_object(to))
        return json_equal(from, to) ? NULL
               : json_is_null(to)   ? json_new_null(a)
                                    : patch_value(a, to);
    struct json *patch = NULL;
    AUTO_MEMBER_INDEX old;
    member_index_init(&old, from);
    JSON_FOREACH(it, to) {
        yyjson_mut_val *key = member_index_find(&old, it.key, it.key_len);
        struct json *change = json_merge_diff(a, key ? json_of(key->next) : NULL, it.value);
        if (!change)
            continue;
        patch = patch ? patch : json_new_object(a);
        add_member(a, patch, it.key, it.key_len, change);
    }
    AUTO_MEMBER_INDEX new;
    member_index_init(&new, to);
    JSON_FOREACH(it, from) {
        if (member_index_find(&new, it.key, it.key_len))
            continue;
        patch = patch ? patch : json_new_object(a);
        add_member(a, patch, it.key, it.key_len, json_new_null(a));
    }
    return patch;
}

/* ---- differences in words ----------------------------------------------------------------------------------------- */

#define SHOWN_MAX 80 /* characters of a value in a line */

struct describer {
    struct buf *out;
    struct buf path;
    size_t lines_left;
};

static void put_shown(struct buf *out, const struct json *v)
{
    if (!v) {
        buf_puts(out, "(absent)");
        return;
    }
    AUTO_BUF text = BUF_INIT(64 * KIB);
    json_write(v, &text);
    size_t len = MIN(text.len, (size_t)SHOWN_MAX);
    while (len < text.len && len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80)
        len--;
    buf_append(out, buf_str(&text), len);
    if (len < text.len || !buf_ok(&text))
        buf_puts(out, "…");
}

static void put_line(struct describer *d, const struct json *from, const struct json *to)
{
    if (d->lines_left == 0)
        return;
    d->lines_left--;
    buf_printf(d->out, "%s: ", d->path.len > 0 ? buf_str(&d->path) : "(root)");
    put_shown(d->out, from);
    buf_puts(d->out, " → ");
    put_shown(d->out, to);
    buf_putc(d->out, '\n');
}

static void path_push_key(struct buf *path, const char *key, size_t len)
{
    bool plain = len > 0 && !memchr(key, '.', len) && !memchr(key, '[', len);
    if (!plain) {
        buf_puts(path, "[\"");
        buf_append(path, key, len);
        buf_puts(path, "\"]");
        return;
    }
    if (path->len > 0)
        buf_putc(path, '.');
    buf_append(path, key, len);
}

static void describe(struct describer *d, const struct json *from, const struct json *to);

static void describe_at(struct describer *d, size_t path_len, const struct json *from,
                        const struct json *to)
{
    describe(d, from, to);
    d->path.len = path_len;
    d->path.data[path_len] = '\0';
}

static void describe_objects(struct describer *d, const struct json *from, const struct json *to)
{
    size_t len = d->path.len;
    AUTO_MEMBER_INDEX new;
    member_index_init(&new, to);
    JSON_FOREACH(it, from) {
        yyjson_mut_val *key = member_index_find(&new, it.key, it.key_len);
        path_push_key(&d->path, it.key, it.key_len);
        describe_at(d, len, it.value, key ? json_of(key->next) : NULL);
    }
    AUTO_MEMBER_INDEX old;
    member_index_init(&old, from);
    JSON_FOREACH(it, to) {
        if (member_index_find(&old, it.key, it.key_len))
            continue;
        path_push_key(&d->path, it.key, it.key_len);
        describe_at(d, len, NULL, it.value);
    }
}

static void describe_arrays(struct describer *d, const struct json *from, const struct json *to)
{
    size_t len = d->path.len, n = MAX(json_size(from), json_size(to));
    struct json_iter x = json_iter(from), y = json_iter(to);
    for (size_t i = 0; i < n; i++) {
        bool in_x = json_next(&x), in_y = json_next(&y);
        buf_printf(&d->path, "[%zu]", i);
        describe_at(d, len, in_x ? x.value : NULL, in_y ? y.value : NULL);
    }
}

static void describe(struct describer *d, const struct json *from, const struct json *to)
{
    if (d->lines_left == 0)
        return;
    if (json_is_object(from) && json_is_object(to))
        describe_objects(d, from, to);
    else if (json_is_array(from) && json_is_array(to))
        describe_arrays(d, from, to);
    else if ((!from) != (!to) || !json_equal(from, to))
        put_line(d, from, to);
}

void json_describe_diff(const struct json *from, const struct json *to, size_t max_lines,
                        struct buf *out)
{
    struct describer d = { .out = out, .path = BUF_INIT(SIZE_MAX), .lines_left = max_lines };
    describe(&d, from, to);
    buf_done(&d.path);
}
