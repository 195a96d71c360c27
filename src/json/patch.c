/* JSON Patch (RFC 6902). The operations work on a copy, so that a patch applies whole or not at
 * all. */
#include "json/json.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/pointer.h"
#include "json/value.h"

/* A "copy" can double a document; together they may add this many bytes of text. */
#define COPIED_MAX (16 * MIB)

struct patcher {
    struct arena *arena;
    struct json *root;
    size_t copied;
    struct error **err;
};

/* Where a pointer points: a member or element of `parent`, or the whole document (parent is NULL).
 */
struct place {
    struct json *parent;
    const char *token;
    size_t token_len;
    size_t index;       /* in arrays; its size for "-" */
    size_t depth;       /* steps from the root */
    struct json *value; /* NULL when nothing is there */
};

static int find_place(struct patcher *p, const char *pointer, struct place *ret)
{
    *ret = (struct place){ .value = p->root };
    if (*pointer != '\0' && *pointer != '/')
        return error_set(p->err, ERROR_INVALID, "the path \"%s\" does not begin with a slash",
                         pointer);
    char *token = arena_alloc(p->arena, strlen(pointer) + 1);
    for (const char *at = pointer; *at == '/';) {
        if (!ret->value || !val_is_container(val(ret->value)))
            return error_set(p->err, ERROR_INVALID, "there is nothing at \"%.*s\"",
                             (int)(at - pointer), pointer);
        ret->parent = ret->value;
        ret->depth++;
        at++;
        if (!pointer_take_token(&at, token, &ret->token_len))
            return error_set(p->err, ERROR_INVALID, "the path \"%s\" has a bad escape", pointer);
        ret->token = token;
        if (json_is_object(ret->parent)) {
            ret->value = json_get_n(ret->parent, token, ret->token_len);
            token += ret->token_len + 1;
            continue;
        }
        bool end = strcmp(token, "-") == 0;
        ret->index = json_size(ret->parent);
        if (!end && !pointer_index(token, ret->token_len, &ret->index))
            return error_set(p->err, ERROR_INVALID, "\"%s\" in the path \"%s\" is no array index",
                             token, pointer);
        ret->value = end ? NULL : json_at(ret->parent, ret->index);
        token += ret->token_len + 1;
    }
    return 0;
}

static int find_existing(struct patcher *p, const char *pointer, struct place *ret)
{
    int r = find_place(p, pointer, ret);
    if (r == 0 && !ret->value)
        return error_set(p->err, ERROR_INVALID, "there is nothing at \"%s\"", pointer);
    return r;
}

static size_t depth_of(const struct json *v)
{
    size_t deepest = 0;
    JSON_FOREACH(it, v)
        deepest = MAX(deepest, depth_of(it.value));
    return v && val_is_container(val(v)) ? deepest + 1 : 0;
}

static int place_put(struct patcher *p, const char *pointer, struct json *value)
{
    struct place at;
    int r = find_place(p, pointer, &at);
    if (r < 0)
        return r;
    if (at.depth + depth_of(value) > JSON_MAX_DEPTH)
        return error_set(p->err, ERROR_TOO_LARGE, "the result would be nested deeper than %d",
                         JSON_MAX_DEPTH);
    if (!at.parent) {
        p->root = value;
        return 0;
    }
    if (json_is_array(at.parent)) {
        if (at.index > json_size(at.parent))
            return error_set(p->err, ERROR_INVALID,
                             "\"%s\" is behind the end of the array, which has %zu elements",
                             pointer, json_size(at.parent));
        json_insert(at.parent, at.index, value);
        return 0;
    }
    yyjson_mut_val *key = val_find_key(val(at.parent), at.token, at.token_len);
    if (key)
        val_replace_member(key, val(value));
    else
        val_link_member(val(at.parent), val(json_new_string_n(p->arena, at.token, at.token_len)),
                        val(value));
    return 0;
}

static void place_remove(struct patcher *p, const struct place *at)
{
    if (!at->parent)
        p->root = json_new_null(p->arena);
    else if (json_is_array(at->parent))
        json_remove_at(at->parent, at->index);
    else
        json_del(at->parent, at->token);
}

/* ---- operations --------------------------------------------------------------------------------------------------- */

struct op {
    const char *path;
    const char *from;
    const struct json *value;
};

static int op_add(struct patcher *p, const struct op *op)
{
    return place_put(p, op->path, json_clone(p->arena, op->value));
}

static int op_remove(struct patcher *p, const struct op *op)
{
    struct place at;
    int r = find_existing(p, op->path, &at);
    if (r == 0)
        place_remove(p, &at);
    return r;
}

static int op_replace(struct patcher *p, const struct op *op)
{
    struct place at;
    int r = find_existing(p, op->path, &at);
    if (r < 0)
        return r;
    if (!at.parent || json_is_object(at.parent))
        return place_put(p, op->path, json_clone(p->arena, op->value));
    if (at.depth + depth_of(op->value) > JSON_MAX_DEPTH)
        return error_set(p->err, ERROR_TOO_LARGE, "the result would be nested deeper than %d",
                         JSON_MAX_DEPTH);
    json_replace_at(at.parent, at.index, json_clone(p->arena, op->value));
    return 0;
}

static int op_move(struct patcher *p, const struct op *op)
{
    const char *below = str_skip_prefix(op->path, op->from);
    if (below && *below == '/')
        return error_set(p->err, ERROR_INVALID, "\"%s\" cannot be moved into itself", op->from);
    struct place at;
    int r = find_existing(p, op->from, &at);
    if (r < 0 || (below && *below == '\0'))
        return r;
    place_remove(p, &at);
    return place_put(p, op->path, at.value);
}

static int op_copy(struct patcher *p, const struct op *op)
{
    struct place at;
    int r = find_existing(p, op->from, &at);
    if (r < 0)
        return r;
    AUTO_BUF text = BUF_INIT(COPIED_MAX - p->copied);
    json_write(at.value, &text);
    p->copied += text.len;
    if (!buf_ok(&text))
        return error_set(p->err, ERROR_TOO_LARGE, "the copies are larger than %zu bytes together",
                         COPIED_MAX);
    return place_put(p, op->path, json_clone(p->arena, at.value));
}

static int op_test(struct patcher *p, const struct op *op)
{
    struct place at;
    int r = find_existing(p, op->path, &at);
    if (r == 0 && !json_equal(at.value, op->value))
        return error_set(p->err, ERROR_INVALID, "the value at \"%s\" is another one", op->path);
    return r;
}

static const struct op_kind {
    const char *name;
    int (*apply)(struct patcher *p, const struct op *op);
    bool needs_from;
    bool needs_value;
} op_kinds[] = {
    { "add", op_add, .needs_value = true },         { "remove", op_remove },
    { "replace", op_replace, .needs_value = true }, { "move", op_move, .needs_from = true },
    { "copy", op_copy, .needs_from = true },        { "test", op_test, .needs_value = true },
};

/* NULL when it is absent, not a string, or has a NUL inside, behind which it would be cut. */
static const char *pointer_of(const struct json *text, const char *key)
{
    const char *s = json_string(json_get(text, key));
    return s && strlen(s) == json_string_len(json_get(text, key)) ? s : NULL;
}

static int apply(struct patcher *p, const struct json *text)
{
    const char *name = json_string(json_get(text, "op"));
    const struct op_kind *kind = NULL;
    for (size_t i = 0; name && i < COUNT_OF(op_kinds); i++)
        if (strcmp(op_kinds[i].name, name) == 0)
            kind = &op_kinds[i];
    if (!kind)
        return error_set(p->err, ERROR_INVALID, "\"%s\" is no operation", name ? name : "");
    struct op op = {
        .path = pointer_of(text, "path"),
        .from = pointer_of(text, "from"),
        .value = json_get(text, "value"),
    };
    if (!op.path)
        return error_set(p->err, ERROR_INVALID, "%s needs a path", name);
    if (kind->needs_from && !op.from)
        return error_set(p->err, ERROR_INVALID, "%s needs a from", name);
    if (kind->needs_value && !op.value)
        return error_set(p->err, ERROR_INVALID, "%s needs a value", name);
    return kind->apply(p, &op);
}

int json_patch(struct arena *a, struct json *target, const struct json *ops, struct json **ret,
               struct error **err)
{
    if (!json_is_array(ops))
        return error_set(err, ERROR_INVALID, "a JSON patch is an array of operations");
    struct patcher p = { .arena = a, .root = json_clone(a, target), .err = err };
    if (!p.root)
        p.root = json_new_null(a);
    JSON_FOREACH(it, ops) {
        int r = apply(&p, it.value);
        if (r < 0)
            return error_prefix(err, r, "operation %zu", it.index);
    }
    *ret = p.root;
    return 0;
}
