#include "apiserver/fields/managed.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "json/build.h"

#define MAX_UPDATERS 10
#define OLD_UPDATES "ancient-changes"
#define UNNAMED "unknown"

/* ---- entries ------------------------------------------------------------------------------------------------------- */

static struct managed_entry *add_entry(struct arena *a, struct managed *m)
{
    if (m->count == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 4;
        struct managed_entry *more = arena_alloc(a, m->cap * sizeof *more);
        if (m->count)
            memcpy(more, m->entries, m->count * sizeof *more);
        m->entries = more;
    }
    m->entries[m->count] = (struct managed_entry){ 0 };
    return &m->entries[m->count++];
}

/* What tells managers apart. One that applies is the same in all versions. */
static bool is_same(const struct managed_entry *x, const struct managed_entry *y)
{
    return x->applied == y->applied && STREQ(x->manager, y->manager) &&
           STREQ(x->subresource, y->subresource) &&
           (x->applied || STREQ(x->api_version, y->api_version));
}

static struct managed_entry *find_entry(const struct managed *m, const struct managed_entry *like)
{
    for (size_t i = 0; i < m->count; i++)
        if (is_same(&m->entries[i], like))
            return &m->entries[i];
    return NULL;
}

static void drop_empty(struct managed *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        if (!field_set_empty(m->entries[i].set))
            m->entries[n++] = m->entries[i];
    m->count = n;
}

static struct managed_entry entry_of(const struct managed_context *x, const char *manager,
                                     bool applied)
{
    return (struct managed_entry){
        .manager = str_empty(manager) ? UNNAMED : manager,
        .api_version = x->api_version,
        .subresource = x->subresource,
        .applied = applied,
    };
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

static int parse_entry(struct arena *a, const struct json *v, struct managed_entry *e,
                       struct error **err)
{
    const char *operation = json_find_str(v, "operation"), *type = json_find_str(v, "fieldsType");
    e->manager = str_or_empty(json_find_str(v, "manager"));
    e->api_version = str_or_empty(json_find_str(v, "apiVersion"));
    e->subresource = str_or_empty(json_find_str(v, "subresource"));
    e->time = json_find_str(v, "time");
    e->applied = str_eq(operation, "Apply");
    if (!e->applied && !str_eq(operation, "Update"))
        return error_set(err, ERROR_INVALID, "operation must be `Apply` or `Update`");
    if (!*e->api_version)
        return error_set(err, ERROR_INVALID, "apiVersion must not be empty");
    if (!str_eq(type, "FieldsV1"))
        return error_set(err, ERROR_INVALID, "fieldsType must be `FieldsV1`");
    return field_set_parse(a, json_get(v, "fieldsV1"), &e->set, err);
}

int managed_parse(struct arena *a, const struct json *entries, struct managed *ret,
                  struct error **err)
{
    *ret = (struct managed){ 0 };
    JSON_FOREACH(it, entries) {
        struct managed_entry e = { 0 };
        int r = parse_entry(a, it.value, &e, err);
        if (r < 0)
            return error_prefix(err, r, "entry %zu", it.index);
        struct managed_entry *same = find_entry(ret, &e);
        *(same ? same : add_entry(a, ret)) = e;
    }
    return 0;
}

bool managed_is_reset(const struct json *entries)
{
    return json_is_array(entries) &&
           (json_size(entries) == 0 ||
            (json_size(entries) == 1 && json_is_object(json_at(entries, 0)) &&
             json_size(json_at(entries, 0)) == 0));
}

static int64_t seconds(const struct managed_entry *e)
{
    int64_t ns = 0;
    return e->time && time_parse_rfc3339(e->time, &ns) == 0 ? ns / INT64_C(1000000000) : 0;
}

static int compare_entries(const void *p, const void *q)
{
    const struct managed_entry *x = p, *y = q;
    if (x->applied != y->applied)
        return x->applied ? -1 : 1;
    int64_t xs = seconds(x), ys = seconds(y);
    if (xs != ys)
        return xs < ys ? -1 : 1;
    int c = strcmp(x->manager, y->manager);
    c = c ? c : strcmp(x->api_version, y->api_version);
    return c ? c : strcmp(x->subresource, y->subresource);
}

struct json *managed_json(struct arena *a, const struct managed *m)
{
    if (m->count == 0)
        return NULL;
    qsort(m->entries, m->count, sizeof *m->entries, compare_entries);
    struct json *out = EMPTY_ARR();
    for (size_t i = 0; i < m->count; i++) {
        const struct managed_entry *e = &m->entries[i];
        json_append(out, OBJ("manager", *e->manager ? STR(e->manager) : NULL, "operation",
                             STR(e->applied ? "Apply" : "Update"), "apiVersion",
                             STR(e->api_version), "time", STR(e->time), "fieldsType",
                             STR("FieldsV1"), "fieldsV1", field_set_json(a, e->set), "subresource",
                             *e->subresource ? STR(e->subresource) : NULL));
    }
    return out;
}

/* ---- what differs, in all versions ---------------------------------------------------------------------------------- */

/* The comparison of two objects in each version that managers speak of. */
struct versions {
    const struct managed_context *x;
    const struct json *live, *next;
    struct {
        const char *api_version;
        struct field_changes changes;
    } * items;
    size_t count;
};

static bool type_in(const struct managed_context *x, const char *api_version,
                    struct field_type *ret)
{
    if (STREQ(api_version, x->api_version)) {
        *ret = x->type;
        return true;
    }
    return x->type_of && x->type_of(x->ctx, api_version, ret);
}

static int changes_in(struct versions *v, const char *api_version, struct field_type type,
                      struct field_changes *ret, struct error **err)
{
    for (size_t i = 0; i < v->count; i++) {
        if (STREQ(v->items[i].api_version, api_version)) {
            *ret = v->items[i].changes;
            return 0;
        }
    }
    struct arena *a = v->x->a;
    int r = fields_compare(a, type, v->live, v->next, ret, err);
    if (r < 0)
        return r;
    if (STREQ(api_version, v->x->api_version)) {
        ret->removed = field_set_without(a, ret->removed, v->x->reset);
        ret->modified = field_set_without(a, ret->modified, v->x->reset);
        ret->added = field_set_without(a, ret->added, v->x->reset);
    }
    v->items[v->count].api_version = api_version;
    v->items[v->count++].changes = *ret;
    return 0;
}

static struct versions versions_of(const struct managed_context *x, const struct managed *m,
                                   const struct json *live, const struct json *next)
{
    struct versions v = { x, live, next, NULL, 0 };
    v.items = arena_alloc(x->a, (m->count + 2) * sizeof *v.items);
    return v;
}

/* Entries of versions that are no more go; the others are made to fit the types of today. */
static void reconcile(const struct managed_context *x, struct managed *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct managed_entry e = m->entries[i];
        struct field_type type;
        if (!type_in(x, e.api_version, &type))
            continue;
        e.set = fields_reconcile(x->a, type, e.set);
        m->entries[n++] = e;
    }
    m->count = n;
}

struct note {
    struct arena *a;
    struct managed_conflicts *all;
    const struct managed_entry *with;
};

static void note_path(void *ctx, const struct field_step *const *path, size_t n)
{
    struct note *note = ctx;
    struct managed_conflicts *all = note->all;
    if (all->count == all->cap) {
        all->cap = all->cap ? 2 * all->cap : 8;
        struct managed_conflict *more = arena_alloc(note->a, all->cap * sizeof *more);
        if (all->count)
            memcpy(more, all->items, all->count * sizeof *more);
        all->items = more;
    }
    struct managed_conflict *c = &all->items[all->count++];
    *c = (struct managed_conflict){ note->with, arena_alloc(note->a, n * sizeof *c->path), n };
    memcpy(c->path, path, n * sizeof *path);
}

/* Takes from all managers but `self` what has changed. conflicts: NULL takes it; else what is
 * changed of others is noted there, and nothing taken when there is any. */
static int take_changes(struct versions *v, struct managed *m, const struct managed_entry *self,
                        struct managed_conflicts *conflicts, struct error **err)
{
    struct arena *a = v->x->a;
    struct managed_entry *next = arena_alloc(a, (m->count + 1) * sizeof *next);
    for (size_t i = 0; i < m->count; i++) {
        struct managed_entry *e = &m->entries[i];
        next[i] = *e;
        if (self && is_same(e, self))
            continue;
        struct field_type type;
        struct field_changes c;
        type_in(v->x, e->api_version, &type);
        int r = changes_in(v, e->api_version, type, &c, err);
        if (r < 0)
            return r;
        struct field_set *changed = field_set_union(a, c.modified, c.added);
        struct note note = { a, conflicts, e };
        if (conflicts)
            field_set_each(field_set_intersection(a, e->set, changed), note_path, &note);
        next[i].set = field_set_difference(a, field_set_difference(a, e->set, changed), c.removed);
    }
    if (conflicts && conflicts->count)
        return error_set(err, ERROR_CONFLICT, "fields belong to others");
    m->entries = next;
    m->cap = m->count + 1;
    drop_empty(m);
    return 0;
}

/* ---- updates ------------------------------------------------------------------------------------------------------- */

/* What nobody manages: it is the server's, or tells what the object is. */
static struct field_set *unmanaged(struct arena *a)
{
    static const char *const top[] = { "apiVersion", "kind", "metadata" };
    static const char *const metadata[] = {
        "clusterName",     "creationTimestamp", "generation", "managedFields", "name", "namespace",
        "resourceVersion", "selfLink",          "uid"
    };
    struct field_set *all = field_set_new(a), *below = field_set_new(a);
    for (size_t i = 0; i < COUNT_OF(top); i++)
        field_set_add(a, all, &STEP(top[i]))->member = true;
    for (size_t i = 0; i < COUNT_OF(metadata); i++)
        field_set_add(a, below, &STEP(metadata[i]))->member = true;
    all->entries[all->count - 1].children = below;
    return all;
}

static int compare_age(const void *p, const void *q)
{
    const struct managed_entry *x = *(struct managed_entry *const *)p,
                               *y = *(struct managed_entry *const *)q;
    int64_t xs = seconds(x), ys = seconds(y);
    if (xs != ys)
        return xs < ys ? -1 : 1;
    int c = strcmp(x->manager, y->manager);
    c = c ? c : strcmp(x->api_version, y->api_version);
    return c ? c : strcmp(x->subresource, y->subresource);
}

static struct managed_entry *bucket_of(struct managed_entry *const *oldest, size_t n,
                                       const char *api_version)
{
    for (size_t i = 0; i < n; i++)
        if (STREQ(oldest[i]->api_version, api_version) && !field_set_empty(oldest[i]->set))
            return oldest[i];
    return NULL;
}

/* Of those who have updated the object only so many are told apart: the oldest become one, for each
 * version. */
static void cap_updaters(struct arena *a, struct managed *m)
{
    struct managed_entry **oldest = arena_alloc(a, (m->count + 1) * sizeof *oldest);
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        if (!m->entries[i].applied)
            oldest[n++] = &m->entries[i];
    if (n <= MAX_UPDATERS)
        return;
    qsort(oldest, n, sizeof *oldest, compare_age);
    for (size_t i = 1, left = n; i < n && left > MAX_UPDATERS; i++) {
        struct managed_entry *e = oldest[i], *bucket = bucket_of(oldest, i, e->api_version);
        if (!bucket)
            continue;
        bucket->manager = OLD_UPDATES;
        bucket->subresource = "";
        bucket->set = field_set_union(a, e->set, bucket->set);
        bucket->time = e->time;
        e->set = NULL;
        left--;
    }
    drop_empty(m);
}

int managed_update(const struct managed_context *x, struct managed *m, const char *manager,
                   const struct json *live, const struct json *next, struct error **err)
{
    struct arena *a = x->a;
    struct field_changes own;
    reconcile(x, m);
    struct versions v = versions_of(x, m, live, next);
    int r = changes_in(&v, x->api_version, x->type, &own, err);
    if (r == 0)
        r = take_changes(&v, m, NULL, NULL, err);
    if (r < 0)
        return r;
    struct field_set *set =
        field_set_difference(a, field_set_union(a, own.modified, own.added), unmanaged(a));
    if (field_set_depth(set) > FIELD_SET_MAX_DEPTH)
        return error_set(err, ERROR_TOO_LARGE, "fields are nested more than %d deep",
                         FIELD_SET_MAX_DEPTH);
    if (field_set_empty(set))
        return 0;
    struct managed_entry self = entry_of(x, manager, false), *e = find_entry(m, &self);
    if (!e)
        *(e = add_entry(a, m)) = self;
    e->set = field_set_union(a, set, e->set);
    e->time = x->now;
    cap_updaters(a, m);
    return 0;
}

/* The order in which conflicts are told. */
static int compare_names(const void *p, const void *q)
{
    const struct managed_entry *x = p, *y = q;
    int c = strcmp(x->manager, y->manager);
    c = c ? c : y->applied - x->applied;
    return c ? c : strcmp(x->subresource, y->subresource);
}

/* ---- apply --------------------------------------------------------------------------------------------------------- */

/* All fields of a value, and the members on the way to them. */
static int all_fields(struct arena *a, struct field_type t, const struct json *v,
                      struct field_set **ret, struct error **err)
{
    int r = fields_of(a, t, v, ret, err);
    *ret = r == 0 ? fields_with_parents(a, t, *ret) : NULL;
    return r;
}

/* Puts back what was taken though somebody still has it, in one version. */
static int give_back(const struct managed_context *x, struct field_type t,
                     const struct json *merged, const struct field_set *owned, struct json **pruned,
                     struct error **err)
{
    struct arena *a = x->a;
    struct field_set *all, *left;
    int r = all_fields(a, t, merged, &all, err);
    if (r == 0)
        r = all_fields(a, t, *pruned, &left, err);
    if (r < 0)
        return r;
    struct field_set *stays = field_set_union(a, left, fields_with_parents(a, t, owned));
    *pruned = fields_remove(a, t, merged, field_set_difference(a, all, stays));
    return 0;
}

/* The version in which things were applied last goes first. */
static int give_back_all(const struct managed_context *x, const struct managed *m,
                         const char *first, const struct json *merged, struct json **pruned,
                         struct error **err)
{
    for (size_t i = 0; i <= m->count; i++) {
        const char *api_version = i == 0 ? first : m->entries[i - 1].api_version;
        bool known = i > 0 && STREQ(api_version, first);
        for (size_t k = 0; !known && i > 0 && k + 1 < i; k++)
            known = STREQ(m->entries[k].api_version, api_version);
        struct field_type t;
        if (known || !type_in(x, api_version, &t))
            continue;
        struct field_set *owned = NULL;
        for (size_t k = 0; k < m->count; k++)
            if (STREQ(m->entries[k].api_version, api_version))
                owned = field_set_union(x->a, owned, m->entries[k].set);
        int r = owned ? give_back(x, t, merged, owned, pruned, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* Takes away what was applied last time and is not now, unless somebody else has it. Things that
 * would go only because something around them does, and that this manager never applied, stay. */
static int prune(const struct managed_context *x, const struct managed *m,
                 const struct managed_entry *last, struct json **merged, struct error **err)
{
    struct arena *a = x->a;
    struct field_type t;
    if (!last || field_set_empty(last->set) || !type_in(x, last->api_version, &t))
        return 0;
    struct field_set *before = fields_with_parents(a, t, last->set), *all, *left;
    struct json *pruned = fields_remove(a, t, *merged, before);
    int r = give_back_all(x, m, last->api_version, *merged, &pruned, err);
    if (r == 0)
        r = all_fields(a, t, pruned, &left, err);
    if (r == 0)
        r = all_fields(a, t, *merged, &all, err);
    if (r < 0)
        return r;
    struct field_set *gone = field_set_intersection(a, field_set_difference(a, all, left), before);
    *merged = fields_remove(a, t, *merged, gone);
    return 0;
}

int managed_apply(const struct managed_context *x, struct managed *m, const char *manager,
                  bool force, const struct json *live, const struct json *patch, struct json **ret,
                  struct managed_conflicts *conflicts, struct error **err)
{
    struct arena *a = x->a;
    struct json *merged = NULL;
    struct field_set *set = NULL;
    reconcile(x, m);
    int r = fields_merge(a, x->type, live, patch, &merged, err);
    if (r == 0)
        r = fields_of(a, x->type, patch, &set, err);
    if (r < 0)
        return r;
    if (field_set_depth(set) > FIELD_SET_MAX_DEPTH)
        return error_set(err, ERROR_TOO_LARGE, "fields are nested more than %d deep",
                         FIELD_SET_MAX_DEPTH);
    struct managed_entry self = entry_of(x, manager, true), *e = find_entry(m, &self);
    struct managed_entry last = e ? *e : self;
    if (!e)
        *(e = add_entry(a, m)) = self;
    e->api_version = x->api_version;
    e->set = field_set_without(a, set, x->reset);
    r = prune(x, m, &last, &merged, err);
    qsort(m->entries, m->count, sizeof *m->entries, compare_names);
    struct versions v = versions_of(x, m, live, merged);
    if (r == 0)
        r = take_changes(&v, m, &self, force ? NULL : conflicts, err);
    if (r < 0)
        return r;
    bool changes = !json_equal(live, merged);
    e = find_entry(m, &self);
    if (e) {
        e->set = field_set_difference(a, e->set, unmanaged(a));
        if (changes)
            e->time = x->now;
        drop_empty(m);
    }
    *ret = changes ? merged : NULL;
    return 0;
}
