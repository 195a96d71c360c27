/* Text to values. yyjson reads the text (its reader does not recurse) into its flat, immutable form
 * in scratch memory; one walk over that makes our values in the arena. The text itself is copied
 * into the arena once, and the strings are decoded there in place: the values point into it. */
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "json/value.h"

#define MAX_DUPLICATES 100 /* more do not help anyone */
#define SCAN_UP_TO 16      /* members: comparing pairs is faster than hashing */

struct frame {
    yyjson_mut_val *container;
    yyjson_mut_val *key; /* of the member being read */
    size_t left;
};

struct parser {
    struct arena *arena;
    struct json *duplicates;
    struct frame stack[JSON_MAX_DEPTH];
    size_t depth;
    yyjson_mut_val **slots; /* scratch for finding duplicates, of `n_slots` */
    size_t n_slots;
};

/* ---- duplicates --------------------------------------------------------------------------------------------------- */

/* "spec.containers[0].name": the path of a key in the object on top of the stack. */
static void report_duplicate(struct parser *p, const yyjson_mut_val *key)
{
    if (!p->duplicates || json_size(p->duplicates) >= MAX_DUPLICATES)
        return;
    AUTO_BUF path = BUF_INIT(4 * KIB);
    for (size_t i = 0; i < p->depth; i++) {
        const struct frame *f = &p->stack[i];
        bool top = i + 1 == p->depth;
        if (val_type(f->container) == YYJSON_TYPE_ARR) {
            buf_printf(&path, "[%zu]", val_len(f->container));
            continue;
        }
        const yyjson_mut_val *k = top ? key : f->key;
        if (path.len > 0)
            buf_putc(&path, '.');
        buf_append(&path, k->uni.str, val_len(k));
    }
    JSON_FOREACH(it, p->duplicates)
        if (strcmp(json_string(it.value), buf_str(&path)) == 0)
            return;
    json_append(p->duplicates, json_new_string_n(p->arena, buf_str(&path), path.len));
}

/* The value behind the later key goes to the place of the earlier one; `before` is the key in front
 * of `later`. */
static void drop_duplicate(struct parser *p, yyjson_mut_val *obj, yyjson_mut_val *earlier,
                           yyjson_mut_val *before, yyjson_mut_val *later)
{
    report_duplicate(p, later);
    yyjson_mut_val *value = later->next, *after = value->next;
    /* Cut `later` out, then hang its value under `earlier`. */
    before->next->next = after;
    if (obj->uni.ptr == later)
        obj->uni.ptr = before;
    yyjson_mut_val *old = earlier->next;
    value->next = old->next;
    earlier->next = value;
    old->next = NULL;
    obj->tag -= UINT64_C(1) << YYJSON_TAG_BIT;
}

static yyjson_mut_val *first_key(const yyjson_mut_val *obj)
{
    return ((yyjson_mut_val *)obj->uni.ptr)->next->next;
}

static void dedup_by_scan(struct parser *p, yyjson_mut_val *obj)
{
    size_t n = val_len(obj);
    yyjson_mut_val *first = first_key(obj), *before = first, *key = first->next->next;
    for (size_t seen = 1; seen < n; seen++) {
        yyjson_mut_val *next = key->next->next, *k = first;
        while (k != key && !val_str_eq(k, key->uni.str, val_len(key)))
            k = k->next->next;
        if (k != key)
            drop_duplicate(p, obj, k, before, key);
        else
            before = key;
        key = next;
    }
}

static void dedup_by_table(struct parser *p, yyjson_mut_val *obj)
{
    size_t n = val_len(obj), slots = 64;
    while (slots < n * 2)
        slots *= 2;
    if (slots > p->n_slots) {
        p->slots = mem_array(p->slots, slots, sizeof *p->slots);
        p->n_slots = slots;
    }
    memset(p->slots, 0, slots * sizeof *p->slots);
    yyjson_mut_val *key = first_key(obj), *before = NULL;
    for (size_t seen = 0; seen < n; seen++) {
        yyjson_mut_val *next = key->next->next;
        size_t at = hash_bytes(key->uni.str, val_len(key)) & (slots - 1);
        while (p->slots[at] && !val_str_eq(p->slots[at], key->uni.str, val_len(key)))
            at = (at + 1) & (slots - 1);
        if (p->slots[at]) {
            drop_duplicate(p, obj, p->slots[at], before, key);
        } else {
            p->slots[at] = key;
            before = key;
        }
        key = next;
    }
}

static void dedup(struct parser *p, yyjson_mut_val *obj)
{
    size_t n = val_len(obj);
    if (n < 2)
        return;
    if (n <= SCAN_UP_TO)
        dedup_by_scan(p, obj);
    else
        dedup_by_table(p, obj);
}

/* ---- conversion --------------------------------------------------------------------------------------------------- */

static void link_last(struct frame *f, yyjson_mut_val *v)
{
    if (val_type(f->container) == YYJSON_TYPE_OBJ)
        val_link_member(f->container, f->key, v);
    else
        val_link_element(f->container, v);
    f->key = NULL;
    f->left--;
}

/* Closes the containers that are complete. */
static void close_frames(struct parser *p)
{
    while (p->depth > 0 && p->stack[p->depth - 1].left == 0) {
        yyjson_mut_val *container = p->stack[p->depth - 1].container;
        if (val_type(container) == YYJSON_TYPE_OBJ)
            dedup(p, container);
        p->depth--;
        if (p->depth > 0)
            link_last(&p->stack[p->depth - 1], container);
    }
}

static void copy_scalar(yyjson_mut_val *to, const yyjson_val *from)
{
    to->tag = from->tag;
    to->uni = from->uni;
    /* Beyond int64 a number is a double, as in Go's readers of untyped objects. */
    if ((from->tag & YYJSON_TAG_MASK) == (YYJSON_TYPE_NUM | YYJSON_SUBTYPE_UINT) &&
        from->uni.u64 > INT64_MAX) {
        val_set_tag(to, YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, 0);
        to->uni.f64 = (double)from->uni.u64;
    }
}

/* `from` has `count` values in document order, keys included. NULL when they are nested too deep.
 */
static struct json *convert(struct parser *p, const yyjson_val *from, size_t count)
{
    yyjson_mut_val *pool = arena_alloc(p->arena, count * sizeof *pool);
    for (size_t i = 0; i < count; i++, from++) {
        yyjson_mut_val *v = &pool[i];
        v->next = NULL;
        struct frame *top = p->depth > 0 ? &p->stack[p->depth - 1] : NULL;
        uint8_t type = (uint8_t)(from->tag & YYJSON_TYPE_MASK);
        if (type == YYJSON_TYPE_ARR || type == YYJSON_TYPE_OBJ) {
            if (p->depth == JSON_MAX_DEPTH)
                return NULL;
            val_set_tag(v, type, 0);
            v->uni.ptr = NULL;
            p->stack[p->depth++] = (struct frame){ v, NULL, (size_t)(from->tag >> YYJSON_TAG_BIT) };
            close_frames(p);
            continue;
        }
        copy_scalar(v, from);
        if (top && !top->key && val_type(top->container) == YYJSON_TYPE_OBJ) {
            top->key = v;
        } else if (top) {
            link_last(top, v);
            close_frames(p);
        }
    }
    return json_of(pool);
}

/* ---- parse -------------------------------------------------------------------------------------------------------- */

static int syntax_error(const char *data, size_t len, const yyjson_read_err *why,
                        struct error **err)
{
    size_t line = 1, column = 1, character = 0;
    yyjson_locate_pos(data, len, why->pos, &line, &column, &character);
    return error_set(err, ERROR_INVALID, "invalid JSON at byte %zu (line %zu, column %zu): %s",
                     why->pos, line, column, why->msg);
}

static int parse(struct arena *a, const char *data, size_t len, struct json **ret,
                 struct json *duplicates, struct error **err)
{
    if (!data || len == 0)
        return error_set(err, ERROR_INVALID,
                         "invalid JSON at byte 0 (line 1, column 1): the text is empty");
    char *text = arena_alloc(a, len + YYJSON_PADDING_SIZE);
    memcpy(text, data, len);
    memset(text + len, 0, YYJSON_PADDING_SIZE);
    yyjson_read_err why = { 0 };
    yyjson_doc *doc = yyjson_read_opts(text, len, YYJSON_READ_INSITU, NULL, &why);
    if (!doc)
        return syntax_error(data, len, &why, err);

    struct parser p = { .arena = a, .duplicates = duplicates };
    struct json *v = convert(&p, yyjson_doc_get_root(doc), yyjson_doc_get_val_count(doc));
    yyjson_doc_free(doc);
    free(p.slots);
    if (!v)
        return error_set(err, ERROR_TOO_LARGE, "the JSON is nested deeper than %d", JSON_MAX_DEPTH);
    *ret = v;
    return 0;
}

int json_parse(struct arena *a, const char *data, size_t len, struct json **ret, struct error **err)
{
    return parse(a, data, len, ret, NULL, err);
}

int json_parse_strict(struct arena *a, const char *data, size_t len, struct json **ret,
                      struct json **ret_duplicates, struct error **err)
{
    struct json *duplicates = json_new_array(a);
    int r = parse(a, data, len, ret, duplicates, err);
    if (r == 0)
        *ret_duplicates = duplicates;
    return r;
}
