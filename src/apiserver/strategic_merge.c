/* Strategic merge patch: a merge patch that knows the type.
 *
 * Lists whose type has a merge key are merged element by element, others are replaced. Directives
 * in the patch:
 *
 *     $patch: replace | delete | merge            in an object: take the rest of it as it is; or
 * empty it. In an element of a list: replace the list, or remove the element of this key
 *     $retainKeys: [a, b]                         members of the original that are not named go
 *     $deleteFromPrimitiveList/NAME: [x]          removes scalars from the list NAME
 *     $setElementOrder/NAME: [...]                the order of the list NAME
 *
 * What the result's order is follows the API server's rules: elements of the patch in the order
 * that it gives, others where they were in relation to these. Elements are looked up by a text of
 * their key, so that long lists merge in linear time. */
#include <stdlib.h>
#include <string.h>

#include "apiserver/status.h"
#include "apiserver/types_internal.h"
#include "base/map.h"
#include "base/str.h"
#include "json/build.h"

#define DIRECTIVE "$patch"
#define RETAIN_KEYS "$retainKeys"
#define DELETE_PREFIX "$deleteFromPrimitiveList"
#define ORDER_PREFIX "$setElementOrder"

struct merger {
    struct arena *a;
    struct error **err;
};

/* A list taken apart: its elements belong to no array while it is worked on. */
struct items {
    struct json **v;
    size_t n;
};

static int merge_object(struct merger *m, const struct shape *s, struct json *original,
                        struct json *patch, struct json **ret);

/* ---- lists as C arrays ----------------------------------------------------------------------- */

static struct items take_items(struct merger *m, struct json *list, size_t room)
{
    struct items items = { arena_alloc(m->a, (json_size(list) + room + 1) * sizeof(struct json *)),
                           0 };
    JSON_FOREACH(it, list) {
        struct json *v = it.value;
        json_iter_remove(&it);
        items.v[items.n++] = v;
    }
    return items;
}

static struct json *list_of(struct merger *m, const struct items *items)
{
    struct json *list = json_new_array(m->a);
    for (size_t i = 0; i < items->n; i++)
        json_append(list, items->v[i]);
    return list;
}

/* What tells an element apart: the text of its merge key, or of itself when it is a scalar. NULL:
 * it has no key. */
static const char *key_text(struct merger *m, const struct json *v, const char *merge_key)
{
    const struct json *key = *merge_key ? json_get(v, merge_key) : v;
    return key ? json_text(m->a, key) : NULL;
}

/* Positions are kept as pointers, one too high so that none is NULL. */
static struct map *index_items(struct merger *m, const struct json *const *v, size_t n,
                               const char *merge_key)
{
    struct map *index = map_new(NULL);
    for (size_t i = 0; i < n; i++) {
        const char *key = key_text(m, v[i], merge_key);
        if (key && !map_has(index, key))
            map_set(index, key, (void *)(uintptr_t)(i + 1));
    }
    return index;
}

static size_t position(struct merger *m, const struct map *index, const struct json *v,
                       const char *merge_key)
{
    const char *key = key_text(m, v, merge_key);
    return key ? (size_t)(uintptr_t)map_get(index, key) : 0;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static int fail(struct merger *m, const char *reason, const char *text)
{
    int r = error_set(m->err, ERROR_INVALID, "%s", text);
    if (m->err)
        error_set_reason(*m->err, reason);
    return r;
}

static int fail_no_key(struct merger *m, const struct json *v, const char *merge_key)
{
    return fail(m, "InternalError",
                arena_printf(m->a, "map: %s does not contain declared merge key: %s",
                             go_print(m->a, v), merge_key));
}

static const char *go_type_of(const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL:
        return "%!s(<nil>)";
    case JSON_BOOL:
        return "bool";
    case JSON_INT:
        return "int64";
    case JSON_DOUBLE:
        return "float64";
    case JSON_STRING:
        return "string";
    case JSON_ARRAY:
        return "[]interface {}";
    case JSON_OBJECT:
        return "map[string]interface {}";
    }
    return "";
}

static int fail_type(struct merger *m, const char *expected, const struct json *v)
{
    return fail(m, "InternalError",
                arena_printf(m->a, "expected a %s, but received a %s", expected, go_type_of(v)));
}

/* ---- types ----------------------------------------------------------------------------------- */

struct member {
    const struct shape *shape;
    const char *merge_key; /* NULL: the list is replaced */
    bool replace;
};

/* Only containers are looked up: of scalars the type does not matter. */
static int find_member(struct merger *m, const struct shape *s, const char *name,
                       struct member *ret)
{
    *ret = (struct member){ 0 };
    if (s->kind == SHAPE_MAP) {
        ret->shape = s->element;
        return 0;
    }
    const struct type_field *f = s->kind == SHAPE_STRUCT ? type_field_find(s->record, name) : NULL;
    if (!f) {
        const char *dot = strchr(s->go, '.');
        return fail(m, "InternalError",
                    arena_printf(m->a,
                                 "unable to find api field in struct %s for the json field \"%s\"",
                                 dot ? dot + 1 : s->go, name));
    }
    *ret = (struct member){ f->shape, f->merge_key, f->replace };
    return 0;
}

/* ---- directives ------------------------------------------------------------------------------ */

/* Removes objects that are directives, at any depth. NULL when v itself is one. */
static struct json *without_directives(struct json *v)
{
    if (json_is_object(v) && json_get(v, DIRECTIVE))
        return NULL;
    if (json_is_object(v) || json_is_array(v))
        JSON_FOREACH(it, v)
            if (!without_directives(it.value))
                json_iter_remove(&it);
    return v;
}

static void drop_nulls(struct json *v)
{
    if (!json_is_object(v) && !json_is_array(v))
        return;
    bool is_object = json_is_object(v);
    JSON_FOREACH(it, v) {
        if (is_object && json_is_null(it.value))
            json_iter_remove(&it);
        else
            drop_nulls(it.value);
    }
}

static void set_new(struct merger *m, struct json *original, const char *name, struct json *v)
{
    drop_nulls(v);
    json_set(m->a, original, name, without_directives(v));
}

static int retain_keys(struct merger *m, struct json *original, struct json *patch)
{
    const struct json *list = json_get(patch, RETAIN_KEYS);
    if (!list)
        return 0;
    static const char bad[] = "invalid patch format of retainKeys";
    if (!json_is_array(list))
        return fail(m, "BadRequest", bad);
    static char present;
    AUTO_MAP kept = map_new(NULL);
    JSON_FOREACH(it, list)
        if (json_is_string(it.value))
            map_set(kept, json_string(it.value), &present);
    JSON_FOREACH(it, patch) {
        bool directive = STREQ(it.key, RETAIN_KEYS) || str_has_prefix(it.key, DELETE_PREFIX) ||
                         str_has_prefix(it.key, ORDER_PREFIX);
        if (!directive && !json_is_null(it.value) && !map_has(kept, it.key))
            return fail(m, "BadRequest", bad);
    }
    JSON_FOREACH(it, original)
        if (!map_has(kept, it.key))
            json_iter_remove(&it);
    json_del(patch, RETAIN_KEYS);
    return 0;
}

/* ---- order ----------------------------------------------------------------------------------- */

struct placed {
    struct json *v;
    size_t at; /* 0: not in the order */
    size_t index;
};

static int compare_placed(const void *x, const void *y)
{
    const struct placed *p = x, *q = y;
    if (p->at != q->at && p->at && q->at)
        return p->at < q->at ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

static struct items sorted_by(struct merger *m, const struct items *items, const struct map *order,
                              const char *merge_key)
{
    struct placed *placed = arena_alloc(m->a, (items->n + 1) * sizeof *placed);
    for (size_t i = 0; i < items->n; i++)
        placed[i] = (struct placed){ items->v[i], position(m, order, items->v[i], merge_key), i };
    qsort(placed, items->n, sizeof *placed, compare_placed);
    struct items out = { arena_alloc(m->a, (items->n + 1) * sizeof(struct json *)), items->n };
    for (size_t i = 0; i < items->n; i++)
        out.v[i] = placed[i].v;
    return out;
}

/* The elements that the patch names in its order, the others in the server's, woven into one: an
 * element of the server's stands before one of the patch's when it did so in the original. */
static struct json *in_order(struct merger *m, const struct items *merged,
                             const struct map *patch_order, const struct map *server_order,
                             const char *merge_key)
{
    struct items patched = { arena_alloc(m->a, (merged->n + 1) * sizeof(struct json *)), 0 };
    struct items others = { arena_alloc(m->a, (merged->n + 1) * sizeof(struct json *)), 0 };
    for (size_t i = 0; i < merged->n; i++) {
        struct items *to = position(m, patch_order, merged->v[i], merge_key) ? &patched : &others;
        to->v[to->n++] = merged->v[i];
    }
    patched = sorted_by(m, &patched, patch_order, merge_key);
    others = sorted_by(m, &others, server_order, merge_key);
    struct items out = { arena_alloc(m->a, (merged->n + 1) * sizeof(struct json *)), 0 };
    size_t i = 0, k = 0;
    while (i < others.n || k < patched.n) {
        bool take_other = k == patched.n;
        if (i < others.n && k < patched.n) {
            size_t left = position(m, server_order, others.v[i], merge_key);
            size_t right = position(m, server_order, patched.v[k], merge_key);
            take_other = left && right && left < right;
        }
        out.v[out.n++] = take_other ? others.v[i++] : patched.v[k++];
    }
    return list_of(m, &out);
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* All elements are objects, or all are scalars. */
static int check_elements(struct merger *m, const struct json *original, const struct json *patch,
                          bool *ret_objects)
{
    const struct json *both[] = { original, patch };
    const struct json *first = NULL;
    for (size_t i = 0; i < COUNT_OF(both); i++) {
        JSON_FOREACH(it, both[i]) {
            if (json_is_array(it.value))
                return fail(m, "Invalid", "lists of lists are not supported");
            if (json_is_null(it.value))
                return fail(m, "InternalError", "invalid null value in list");
            first = first ? first : it.value;
            if (json_is_object(first) != json_is_object(it.value))
                return fail(m, "InternalError",
                            arena_printf(m->a, "list element types are not identical: [%s %s]",
                                         go_print(m->a, original), go_print(m->a, patch)));
        }
    }
    *ret_objects = json_is_object(first);
    return 0;
}

static struct json *delete_scalars(struct merger *m, struct json *original, struct json *patch)
{
    struct items gone = take_items(m, patch, 0);
    AUTO_MAP index = index_items(m, (const struct json *const *)gone.v, gone.n, "");
    JSON_FOREACH(it, original)
        if (position(m, index, it.value, ""))
            json_iter_remove(&it);
    return original;
}

static struct json *merge_scalars(struct merger *m, struct json *original, struct json *patch)
{
    static char present;
    struct items theirs = take_items(m, patch, 0), all = take_items(m, original, theirs.n);
    AUTO_MAP patch_order = index_items(m, (const struct json *const *)theirs.v, theirs.n, "");
    AUTO_MAP server_order = index_items(m, (const struct json *const *)all.v, all.n, "");
    AUTO_MAP seen = map_new(NULL);
    struct items merged = { arena_alloc(m->a, (all.n + theirs.n + 1) * sizeof(struct json *)), 0 };
    for (size_t i = 0; i < all.n + theirs.n; i++) {
        struct json *v = i < all.n ? all.v[i] : theirs.v[i - all.n];
        const char *key = key_text(m, v, "");
        if (map_has(seen, key))
            continue;
        map_set(seen, key, &present);
        merged.v[merged.n++] = v;
    }
    return in_order(m, &merged, patch_order, server_order, "");
}

/* Elements of the patch with a directive: removes what they remove, and says whether the list is to
 * be replaced. */
static int apply_element_directives(struct merger *m, struct json *original, struct json *patch,
                                    const char *merge_key, bool *ret_replace)
{
    AUTO_MAP gone = map_new(NULL);
    JSON_FOREACH(it, patch) {
        const struct json *directive = json_get(it.value, DIRECTIVE);
        if (!directive)
            continue;
        const char *what = json_string(directive), *key = key_text(m, it.value, merge_key);
        if (str_eq(what, "delete")) {
            if (!key)
                return fail_no_key(m, it.value, merge_key);
            map_set(gone, key, m);
        } else if (str_eq(what, "replace")) {
            *ret_replace = true;
        } else if (str_eq(what, "merge")) {
            return fail(m, "InternalError", "merging lists cannot yet be specified in the patch");
        } else {
            return fail(m, "InternalError",
                        arena_printf(m->a, "unknown patch type: %s in map: %s",
                                     what ? what : json_text(m->a, directive),
                                     go_print(m->a, it.value)));
        }
        json_iter_remove(&it);
    }
    JSON_FOREACH(it, original) {
        const char *key = map_size(gone) ? key_text(m, it.value, merge_key) : NULL;
        if (key && map_has(gone, key))
            json_iter_remove(&it);
    }
    return 0;
}

static int merge_elements(struct merger *m, const struct shape *element, struct items *all,
                          const struct items *theirs, const char *merge_key)
{
    AUTO_MAP index = index_items(m, (const struct json *const *)all->v, all->n, merge_key);
    for (size_t i = 0; i < theirs->n; i++) {
        const char *key = key_text(m, theirs->v[i], merge_key);
        if (!key)
            return fail_no_key(m, theirs->v[i], merge_key);
        size_t at = (size_t)(uintptr_t)map_get(index, key);
        if (at) {
            struct json *merged = NULL;
            int r =
                merge_object(m, element, all->v[at - 1], json_clone(m->a, theirs->v[i]), &merged);
            if (r < 0)
                return r;
            all->v[at - 1] = merged;
        } else {
            all->v[all->n++] = theirs->v[i];
            map_set(index, key, (void *)(uintptr_t)all->n);
        }
    }
    return 0;
}

static int merge_list(struct merger *m, const struct shape *element, struct json *original,
                      struct json *patch, const char *merge_key, struct json **ret)
{
    bool objects = false, replace = false;
    *ret = original;
    if (json_size(original) == 0 && json_size(patch) == 0)
        return 0;
    int r = check_elements(m, original, patch, &objects);
    if (r < 0)
        return r;
    if (!objects) {
        *ret = merge_scalars(m, original, patch);
        return 0;
    }
    if (!*merge_key)
        return fail(m, "InternalError", "cannot merge lists without merge key for struct");
    r = apply_element_directives(m, original, patch, merge_key, &replace);
    if (r < 0)
        return r;
    if (replace) {
        JSON_FOREACH(it, patch)
            if (!key_text(m, it.value, merge_key))
                return fail_no_key(m, it.value, merge_key);
        *ret = patch;
        return 0;
    }
    struct items theirs = take_items(m, patch, 0), all = take_items(m, original, theirs.n);
    AUTO_MAP patch_order =
        index_items(m, (const struct json *const *)theirs.v, theirs.n, merge_key);
    AUTO_MAP server_order = index_items(m, (const struct json *const *)all.v, all.n, merge_key);
    r = merge_elements(m, element, &all, &theirs, merge_key);
    for (size_t i = 0; r == 0 && i < all.n; i++)
        if (!key_text(m, all.v[i], merge_key))
            r = fail_no_key(m, all.v[i], merge_key);
    if (r < 0)
        return r;
    *ret = in_order(m, &all, patch_order, server_order, merge_key);
    return 0;
}

/* ---- the order directive --------------------------------------------------------------------- */

/* The elements of the patch stand in the order that it asks for. */
static int check_order(struct merger *m, const struct json *patch_list, const struct json *order,
                       const char *merge_key)
{
    struct json_iter it = json_iter(order);
    JSON_FOREACH(p, patch_list) {
        if (json_size(order) == 0)
            return 0;
        if (json_is_object(p.value) && json_get(p.value, DIRECTIVE))
            continue;
        const char *want = key_text(m, p.value, merge_key);
        bool found = false;
        while (want && !found && json_next(&it)) {
            const char *key = key_text(m, it.value, merge_key);
            if (!key)
                return fail_no_key(m, it.value, merge_key);
            found = STREQ(key, want);
        }
        if (!want)
            return fail_no_key(m, p.value, merge_key);
        if (!found)
            return fail(m, "InternalError",
                        arena_printf(m->a,
                                     "The order in patch list:\n%s\n doesn't match %s list:\n%s\n",
                                     go_print(m->a, patch_list), ORDER_PREFIX,
                                     go_print(m->a, order)));
    }
    return 0;
}

/* The server's order. In the API server new elements slip into the places that deleted ones leave
 * at the end of the old list, and so count as having stood there. */
static struct items order_before(struct merger *m, struct json *mine, struct json *theirs,
                                 const struct items *merged, const char *merge_key)
{
    struct items before = take_items(m, mine, 0), out = { before.v, 0 };
    if (!*merge_key || !theirs)
        return before;
    struct items added = take_items(m, theirs, 0);
    AUTO_MAP old = index_items(m, (const struct json *const *)before.v, before.n, merge_key);
    AUTO_MAP kept = index_items(m, (const struct json *const *)merged->v, merged->n, merge_key);
    out.v = arena_alloc(m->a, (before.n + 1) * sizeof(struct json *));
    for (size_t i = 0; i < before.n; i++)
        if (position(m, kept, before.v[i], merge_key))
            out.v[out.n++] = before.v[i];
    for (size_t i = 0; i < added.n && out.n < before.n; i++)
        if (position(m, kept, added.v[i], merge_key) && !position(m, old, added.v[i], merge_key))
            out.v[out.n++] = added.v[i];
    return out;
}

static int apply_order(struct merger *m, const struct shape *s, struct json *original,
                       struct json *patch, const char *name, struct json *order)
{
    if (!json_is_array(order))
        return fail_type(m, "[]interface {}", order);
    struct json *mine = json_get(original, name), *theirs = json_get(patch, name);
    if (mine && !json_is_array(mine))
        return fail_type(m, "[]interface {}", mine);
    if (theirs && !json_is_array(theirs))
        return fail_type(m, "[]interface {}", theirs);
    struct member member;
    int r = find_member(m, s, name, &member);
    if (r < 0)
        return r;
    const char *merge_key = member.merge_key ? member.merge_key : "";
    r = check_order(m, theirs, order, merge_key);
    if (r < 0 || (!mine && !theirs))
        return r;
    if (json_size(mine) == 0 && json_size(theirs) == 0)
        return fail(m, "InternalError", "no elements in any of the given slices");
    struct json *server = json_clone(m->a, mine), *merged = NULL;
    if (mine && theirs) {
        struct json *from = json_clone(m->a, theirs);
        if (member.merge_key)
            r = merge_list(m, member.shape->element, json_clone(m->a, mine), from, merge_key,
                           &merged);
        else
            merged = from;
    } else if (mine) {
        merged = json_clone(m->a, mine);
    } else {
        merged = without_directives(json_clone(m->a, theirs));
    }
    if (r < 0)
        return r;
    struct items all = take_items(m, merged, 0), wanted = take_items(m, order, 0);
    struct items before =
        server ? order_before(m, server, theirs, &all, merge_key) : (struct items){ NULL, 0 };
    AUTO_MAP patch_order =
        index_items(m, (const struct json *const *)wanted.v, wanted.n, merge_key);
    AUTO_MAP server_order =
        index_items(m, (const struct json *const *)before.v, before.n, merge_key);
    json_set(m->a, original, name, in_order(m, &all, patch_order, server_order, merge_key));
    json_del(patch, name);
    return 0;
}

static int apply_orders(struct merger *m, const struct shape *s, struct json *original,
                        struct json *patch)
{
    struct json *orders = json_new_object(m->a);
    JSON_FOREACH(it, patch) {
        if (!str_has_prefix(it.key, ORDER_PREFIX))
            continue;
        const char *name = str_skip_prefix(it.key, ORDER_PREFIX "/");
        if (str_empty(name))
            return fail(m, "BadRequest", "invalid patch format of setElementOrder list");
        struct json *order = it.value;
        json_iter_remove(&it);
        json_set(m->a, orders, name, order);
    }
    JSON_FOREACH(it, orders) {
        int r = apply_order(m, s, original, patch, it.key, it.value);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- objects --------------------------------------------------------------------------------- */

static int merge_member(struct merger *m, const struct shape *s, struct json *original,
                        const char *name, struct json *v)
{
    struct json *now = json_get(original, name);
    if (json_is_null(v)) {
        json_del(original, name);
        return 0;
    }
    bool objects = json_is_object(now) && json_is_object(v),
         lists = json_is_array(now) && json_is_array(v);
    if (!objects && !lists) {
        set_new(m, original, name, json_clone(m->a, v));
        return 0;
    }
    struct member member;
    struct json *merged = json_clone(m->a, v);
    int r = find_member(m, s, name, &member);
    if (r == 0 && objects && !member.replace)
        r = merge_object(m, member.shape, json_clone(m->a, now), json_clone(m->a, v), &merged);
    else if (r == 0 && lists && member.merge_key)
        r = merge_list(m, member.shape->kind == SHAPE_LIST ? member.shape->element : member.shape,
                       json_clone(m->a, now), merged, member.merge_key, &merged);
    if (r == 0)
        json_set(m->a, original, name, merged);
    return r;
}

/* Objects are not deleted but merged, as a list of them by another name would be. */
static int delete_from_list(struct merger *m, const struct shape *s, struct json *original,
                            const char *key, struct json *v)
{
    const char *name = str_skip_prefix(key, DELETE_PREFIX "/");
    if (str_empty(name))
        return fail(m, "BadRequest", "invalid patch format of primitive list");
    struct json *now = json_get(original, name);
    if (json_is_null(v))
        json_del(original, name);
    if (!json_is_array(now) || !json_is_array(v))
        return 0;
    struct member member;
    struct json *merged = NULL;
    bool objects = false;
    int r = check_elements(m, now, v, &objects);
    if (r == 0 && !objects)
        delete_scalars(m, now, json_clone(m->a, v));
    if (r < 0 || !objects)
        return r;
    r = find_member(m, s, name, &member);
    if (r == 0)
        r = merge_list(m, member.shape->kind == SHAPE_LIST ? member.shape->element : member.shape,
                       json_clone(m->a, now), json_clone(m->a, v),
                       member.merge_key ? member.merge_key : "", &merged);
    if (r == 0)
        json_set(m->a, original, name, merged);
    return r;
}

static int merge_object(struct merger *m, const struct shape *s, struct json *original,
                        struct json *patch, struct json **ret)
{
    const struct json *directive = json_get(patch, DIRECTIVE);
    if (directive) {
        const char *what = json_string(directive);
        if (!str_eq(what, "replace") && !str_eq(what, "delete"))
            return fail(m, "InternalError",
                        arena_printf(m->a, "unknown patch type: %s in map: %s",
                                     what ? what : json_text(m->a, directive),
                                     go_print(m->a, patch)));
        json_del(patch, DIRECTIVE);
        *ret = STREQ(what, "replace") ? patch : json_new_object(m->a);
        return 0;
    }
    int r = retain_keys(m, original, patch);
    if (r == 0)
        r = apply_orders(m, s, original, patch);
    JSON_FOREACH(it, patch) {
        if (r < 0)
            return r;
        r = str_has_prefix(it.key, DELETE_PREFIX)
                ? delete_from_list(m, s, original, it.key, it.value)
                : merge_member(m, s, original, it.key, it.value);
    }
    *ret = original;
    return r;
}

int api_strategic_merge(struct arena *a, const struct api_type *t, struct json *target,
                        const struct json *patch, struct json **ret, struct error **err)
{
    struct merger m = { a, err };
    struct shape root = { .kind = SHAPE_STRUCT, .go = t->go, .record = t };
    return merge_object(&m, &root, target, json_clone(a, patch), ret);
}
