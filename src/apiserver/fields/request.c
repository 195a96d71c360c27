#include "apiserver/fields/request.h"

#include <ctype.h>
#include <string.h>

#include "apiserver/fields/managed.h"
#include "apiserver/registry.h"
#include "apiserver/rest_write.h"
#include "apiserver/server.h"
#include "apiserver/types.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

#define MAX_MANAGER 128
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define KUBECTL "kubectl"
#define ANNOTATIONS_MAX (256 * KIB)

/* ---- who and what -------------------------------------------------------------------------------------------------- */

/* A client that does not name itself is called as its program is. */
static const char *manager_of(struct api_request *rq)
{
    const char *manager = request_param(rq, "fieldManager"), *agent = rq->user_agent;
    if (!str_empty(manager))
        return manager;
    char *name = arena_alloc(rq->a, MAX_MANAGER + 1);
    size_t n = 0;
    for (; agent && *agent && *agent != '/' && n < MAX_MANAGER; agent++)
        if (isprint((unsigned char)*agent))
            name[n++] = *agent;
    name[n] = '\0';
    return name;
}

static struct field_type type_of(const struct served_kind *sk)
{
    return sk->k->schema ? field_type_of_schema(sk->k->schema)
                         : field_type_of_kind(api_type_find(sk->api_version, sk->k->resource.kind));
}

/* The kind in another version; NULL: it has none. */
static const struct served_kind *kind_in(struct api_request *rq, const char *api_version)
{
    const struct kube_resource *r = &rq->kind->k->resource;
    const char *version = *r->group ? str_skip_prefix(api_version, r->group) : api_version;
    if (version && *r->group)
        version = *version == '/' ? version + 1 : NULL;
    return version ? registry_find(rq->registry, r->group, version, r->plural) : NULL;
}

static bool type_of_version(void *ctx, const char *api_version, struct field_type *ret)
{
    const struct served_kind *sk = kind_in(ctx, api_version);
    if (sk)
        *ret = type_of(sk);
    return sk != NULL;
}

/* What writes to this path leave alone, whatever the body has. */
static struct field_set *reset_fields(struct api_request *rq)
{
    const struct api_kind *k = rq->kind->k;
    bool status = STREQ(rq->sub, "status");
    static const char *const status_path[] = { "status", NULL }, *const spec[] = { "spec", NULL };
    static const char *const metadata[] = { "metadata", NULL };
    static const char *const deletion[] = { "metadata", "deletionTimestamp", NULL };
    static const char *const owners[] = { "metadata", "ownerReferences", NULL };
    if (!k->has_status || (*rq->sub && !status && !STREQ(rq->sub, "finalize")))
        return NULL;
    struct field_set *set = field_set_of_path(rq->a, status ? spec : status_path);
    if (!status || !k->builtin)
        return set;
    if (STREQ(k->resource.plural, "pods")) {
        set = field_set_union(rq->a, set, field_set_of_path(rq->a, deletion));
        set = field_set_union(rq->a, set, field_set_of_path(rq->a, owners));
    } else if (STREQ(k->resource.plural, "customresourcedefinitions")) {
        set = field_set_union(rq->a, set, field_set_of_path(rq->a, metadata));
    }
    return set;
}

static struct managed_context context_of(struct api_request *rq)
{
    char *now = arena_alloc(rq->a, TIME_RFC3339_SIZE);
    time_format_rfc3339(clock_wall(rq->server->clock), now);
    return (struct managed_context){
        .a = rq->a,
        .api_version = rq->kind->api_version,
        .subresource = rq->sub,
        .now = now,
        .type = type_of(rq->kind),
        .reset = reset_fields(rq),
        .type_of = type_of_version,
        .ctx = rq,
    };
}

/* What there is before an object is created. */
static struct json *nothing(struct api_request *rq)
{
    struct arena *a = rq->a;
    const struct served_kind *sk = rq->kind;
    if (sk->k->schema)
        return OBJ("apiVersion", STR(sk->api_version), "kind", STR(sk->k->resource.kind));
    return api_type_empty(a, api_type_find(sk->api_version, sk->k->resource.kind));
}

static const struct json *entries_of(const struct json *obj)
{
    return json_find(obj, "metadata", "managedFields");
}

/* Those that the object has, unless the client gives others, which only writes to the object itself
 * can; what cannot be read counts as none. */
static void find_managers(struct api_request *rq, const struct json *given,
                          const struct json *current, struct managed *m)
{
    if (!*rq->sub && rq->forget_managers) {
        *m = (struct managed){ 0 };
        return;
    }
    if (!*rq->sub && managed_parse(rq->a, given, m, NULL) == 0 && m->count)
        return;
    if (managed_parse(rq->a, current, m, NULL) < 0)
        *m = (struct managed){ 0 };
}

/* Objects whose managers are not known stay so until somebody applies them. */
static void track(struct api_request *rq, const char *manager, struct json *obj,
                  const struct json *old)
{
    struct arena *a = rq->a;
    struct json *meta = json_ensure_object(a, obj, "metadata");
    struct json *given = json_clone(a, json_get(meta, "managedFields"));
    struct managed m;
    find_managers(rq, given, entries_of(old), &m);
    json_del(meta, "managedFields");
    if (m.count == 0 && old)
        return;
    struct managed_context x = context_of(rq);
    if (managed_update(&x, &m, manager, old ? old : nothing(rq), obj, NULL) == 0)
        json_set(a, meta, "managedFields", managed_json(a, &m));
}

void fields_track(struct api_request *rq, struct json *obj, const struct json *old)
{
    track(rq, manager_of(rq), obj, old);
}

void fields_track_own(struct api_request *rq, struct json *obj, const struct json *old)
{
    const char *sub = rq->sub;
    rq->sub = "status";
    track(rq, "kube-apiserver", obj, old);
    rq->sub = sub;
}

static bool same_but_for_times(struct arena *a, const struct json *x, const struct json *y)
{
    if (json_size(x) != json_size(y))
        return false;
    struct json *p = json_clone(a, x), *q = json_clone(a, y);
    JSON_FOREACH(it, p)
        json_del(it.value, "time");
    JSON_FOREACH(it, q)
        json_del(it.value, "time");
    return json_equal(p, q);
}

void fields_keep_times(struct arena *a, struct json *obj, const struct json *old)
{
    struct json *meta = json_get(obj, "metadata"), *now = json_get(meta, "managedFields");
    const struct json *before = entries_of(old);
    if (!now || !before || json_equal(now, before) || !same_but_for_times(a, now, before))
        return;
    json_set(a, meta, "managedFields", json_clone(a, before));
    if (!json_equal(obj, old))
        json_set(a, meta, "managedFields", now);
}

/* ---- conflicts ------------------------------------------------------------------------------------------------------ */

static const char *manager_text(struct arena *a, const struct managed_entry *e)
{
    const char *text = go_quote(a, e->manager);
    if (*e->subresource)
        text = arena_printf(a, "%s with subresource %s", text, go_quote(a, e->subresource));
    return e->applied ? text : arena_printf(a, "%s using %s", text, e->api_version);
}

static const char *conflict_message(struct arena *a, const struct managed_conflicts *all)
{
    AUTO_BUF text = BUF_INIT(MIB);
    if (all->count == 1) {
        const struct managed_conflict *c = &all->items[0];
        return arena_printf(a, "Apply failed with 1 conflict: conflict with %s: %s",
                            manager_text(a, c->with), field_steps_text(a, c->path, c->len));
    }
    buf_printf(&text, "Apply failed with %zu conflicts: ", all->count);
    const struct managed_entry *with = NULL;
    for (size_t i = 0; i < all->count; i++) {
        const struct managed_conflict *c = &all->items[i];
        if (c->with != with)
            buf_printf(&text, "%sconflicts with %s:", with ? "\n" : "", manager_text(a, c->with));
        with = c->with;
        buf_printf(&text, "\n- %s", field_steps_text(a, c->path, c->len));
    }
    return arena_strdup(a, buf_str(&text));
}

static int fail_conflicts(struct api_request *rq, const struct managed_conflicts *all)
{
    struct arena *a = rq->a;
    struct json *causes = EMPTY_ARR();
    for (size_t i = 0; i < all->count; i++) {
        const struct managed_conflict *c = &all->items[i];
        json_append(causes, OBJ("reason", STR("FieldManagerConflict"), "message",
                                STRF("conflict with %s", manager_text(a, c->with)), "field",
                                STR(field_steps_text(a, c->path, c->len))));
    }
    return request_fail(rq, status_make(a, "Conflict", conflict_message(a, all),
                                        OBJ("causes", causes)));
}

/* ---- objects that kubectl has applied on its own side --------------------------------------------------------------- */

/* The fields that are as `kubectl apply` left them. NULL: there are none that it says it left. */
static struct field_set *last_applied_fields(const struct managed_context *x,
                                             const struct json *live)
{
    struct arena *a = x->a;
    const char *text = json_find_str(live, "metadata", "annotations", LAST_APPLIED);
    struct json *last = NULL;
    struct field_set *set = NULL;
    struct field_changes c;
    if (str_empty(text) || json_parse(a, text, strlen(text), &last, NULL) < 0 ||
        !str_eq(json_find_str(last, "apiVersion"), x->api_version) ||
        fields_check(a, x->type, last, false, NULL) < 0 ||
        fields_of(a, x->type, last, &set, NULL) < 0 ||
        fields_compare(a, x->type, last, live, &c, NULL) < 0)
        return NULL;
    set = field_set_difference(a, set, c.modified);
    set = field_set_difference(a, set, c.added);
    return field_set_difference(a, set, c.removed);
}

/* Leaves those conflicts that are not about such fields. */
static void forgive(struct managed_conflicts *conflicts, const struct field_set *fields)
{
    size_t n = 0;
    for (size_t i = 0; i < conflicts->count; i++) {
        const struct managed_conflict *c = &conflicts->items[i];
        if (!field_set_has(fields, c->path, c->len))
            conflicts->items[n++] = *c;
    }
    conflicts->count = n;
}

/* The annotation that `kubectl apply` on the client's side looks at follows what was applied. */
static void renew_last_applied(struct api_request *rq, struct json *obj, const struct json *patch)
{
    struct arena *a = rq->a;
    struct json *annotations = json_find(obj, "metadata", "annotations");
    if (str_empty(json_find_str(annotations, LAST_APPLIED)))
        return;
    struct json *applied = json_clone(a, patch);
    json_del(json_find(applied, "metadata", "annotations"), LAST_APPLIED);
    AUTO_BUF text = BUF_INIT(4 * MIB);
    json_write_canonical(applied, &text);
    buf_putc(&text, '\n');
    json_set_str(a, annotations, LAST_APPLIED, buf_str(&text));
    size_t total = 0;
    JSON_FOREACH(it, annotations)
        total += it.key_len + json_string_len(it.value);
    if (total > ANNOTATIONS_MAX)
        json_del(annotations, LAST_APPLIED);
}

/* ---- apply ---------------------------------------------------------------------------------------------------------- */

/* "apps/v1, Kind=StatefulSet" */
static const char *type_text(struct arena *a, const struct json *obj)
{
    const char *api_version = str_or_empty(json_find_str(obj, "apiVersion"));
    return arena_printf(a, "%s%s, Kind=%s", strchr(api_version, '/') ? "" : "/", api_version,
                        str_or_empty(json_find_str(obj, "kind")));
}

static int check_patch(struct api_request *rq, const struct managed_context *x,
                       const struct json *patch)
{
    struct arena *a = rq->a;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!str_eq(json_find_str(patch, "apiVersion"), rq->kind->api_version) ||
        !str_eq(json_find_str(patch, "kind"), rq->kind->k->resource.kind))
        return request_failf(rq, "BadRequest", "invalid object type: %s", type_text(a, patch));
    if (json_find(patch, "metadata", "managedFields"))
        return request_failf(rq, "BadRequest", "metadata.managedFields must be nil");
    if (fields_check(a, x->type, patch, false, &err) == 0)
        return 0;
    const char *text = arena_printf(a, "failed to create typed patch object (%s/%s; %s): %s",
                                    str_or_empty(json_find_str(patch, "metadata", "namespace")),
                                    str_or_empty(json_find_str(patch, "metadata", "name")),
                                    type_text(a, patch), error_message(err));
    return request_fail_unnamed(rq, 500, text);
}

/* Before an object is applied for the first time, all that it has belongs to one manager. */
static int managers_of_live(struct api_request *rq, const struct managed_context *x,
                            const struct json *old, const struct json *live, struct managed *m,
                            struct error **err)
{
    int r = managed_parse(rq->a, entries_of(old), m, err);
    if (r < 0)
        return error_prefix(err, r, "failed to decode managed fields");
    return m->count || !old ? 0
                            : managed_update(x, m, "before-first-apply", nothing(rq), live, err);
}

static int apply(struct api_request *rq, const struct json *patch, const struct json *old,
                 const struct json *live, bool force, struct json **ret, struct managed *m)
{
    struct managed_context x = context_of(rq);
    struct managed_conflicts conflicts = { 0 };
    CLEANUP(error_cleanup) struct error *err = NULL;
    const char *manager = request_param(rq, "fieldManager");
    int r = managers_of_live(rq, &x, old, live, m, &err);
    if (r == 0)
        r = managed_apply(&x, m, manager, force, live, patch, ret, &conflicts, &err);
    if (r == 0)
        return 0;
    if (conflicts.count == 0)
        return request_fail_unnamed(rq, 500, error_message(err));
    if (STREQ(manager, KUBECTL)) {
        forgive(&conflicts, last_applied_fields(&x, live));
        if (conflicts.count == 0)
            return apply(rq, patch, old, live, true, ret, m);
    }
    return fail_conflicts(rq, &conflicts);
}

/* As what it is stored as. */
static int decode(struct api_request *rq, const struct json *patch, struct json *obj)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (write_decode(rq, obj, json_new_array(rq->a), &err) == 0)
        return 0;
    const char *type = type_text(rq->a, patch);
    const char *what =
        rq->kind->k->builtin
            ? arena_printf(rq->a, "unable to convert unstructured object to %s", type)
            : "";
    const char *text =
        arena_printf(rq->a, "failed to convert new object (%s/%s; %s) to proper version: %s%s%s",
                     str_or_empty(json_find_str(patch, "metadata", "namespace")),
                     str_or_empty(json_find_str(patch, "metadata", "name")), type, what,
                     rq->kind->k->builtin ? ": " : "", error_message(err));
    return request_fail_unnamed(rq, 500, text);
}

int fields_apply(struct api_request *rq, const struct json *patch, const struct json *old,
                 struct json **ret)
{
    struct arena *a = rq->a;
    struct managed_context x = context_of(rq);
    int r = check_patch(rq, &x, patch);
    if (r < 0)
        return r;
    struct json *live = old ? json_clone(a, old) : nothing(rq), *obj = NULL;
    json_del(json_get(live, "metadata"), "managedFields");
    struct managed m;
    r = apply(rq, patch, old, live, request_flag(rq, "force"), &obj, &m);
    if (r < 0)
        return r;
    if (!obj)
        obj = live;
    if (STREQ(request_param(rq, "fieldManager"), KUBECTL))
        renew_last_applied(rq, obj, patch);
    r = decode(rq, patch, obj);
    if (r < 0)
        return r;
    json_set(a, json_ensure_object(a, obj, "metadata"), "managedFields", managed_json(a, &m));
    *ret = obj;
    return 0;
}

/* ---- scale ---------------------------------------------------------------------------------------------------------- */

#define SCALE_VERSION "autoscaling/v1"

static struct field_set *dotted(struct arena *a, const char *path)
{
    return field_set_of_path(a, (const char *const *)str_split(a, path, '.', NULL));
}

static bool has_all(struct arena *a, const struct field_set *set, const struct field_set *path)
{
    return !field_set_empty(set) && field_set_empty(field_set_difference(a, path, set));
}

/* In a version without scale nobody has the replicas. */
static bool has_replicas(struct arena *a, const struct served_kind *sk,
                         const struct managed_entry *e)
{
    return sk->k->scale.replicas && has_all(a, e->set, dotted(a, sk->k->scale.replicas));
}

static void add(struct arena *a, struct managed *m, const struct managed_entry *e)
{
    if (m->count == m->cap) {
        m->cap = 2 * m->cap + 4;
        struct managed_entry *more = arena_alloc(a, m->cap * sizeof *more);
        if (m->count)
            memcpy(more, m->entries, m->count * sizeof *more);
        m->entries = more;
    }
    m->entries[m->count++] = *e;
}

struct json *fields_of_scale(struct api_request *rq, const struct json *entries)
{
    struct arena *a = rq->a;
    struct managed parent, scale = { 0 };
    if (managed_parse(a, entries, &parent, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < parent.count; i++) {
        struct managed_entry e = parent.entries[i];
        const struct served_kind *sk = kind_in(rq, e.api_version);
        if (!sk || !has_replicas(a, sk, &e))
            continue;
        e.api_version = SCALE_VERSION;
        e.set = dotted(a, "spec.replicas");
        add(a, &scale, &e);
    }
    return managed_json(a, &scale);
}

/* The entry of the Scale that is the same manager; those who update are told apart by the version,
 * which is another one there. */
static struct managed_entry *same_applier(struct managed *scale, const struct managed_entry *e)
{
    for (size_t i = 0; i < scale->count; i++) {
        struct managed_entry *s = &scale->entries[i];
        if (s->set && e->applied && s->applied && STREQ(s->manager, e->manager) &&
            STREQ(s->subresource, e->subresource))
            return s;
    }
    return NULL;
}

struct json *fields_from_scale(struct api_request *rq, const struct json *entries,
                               const struct json *scale_entries)
{
    struct arena *a = rq->a;
    struct managed parent, scale, out = { 0 };
    const struct field_set *in_scale = dotted(a, "spec.replicas");
    if (managed_parse(a, entries, &parent, NULL) < 0 ||
        managed_parse(a, scale_entries, &scale, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < parent.count; i++) {
        struct managed_entry e = parent.entries[i];
        const struct served_kind *sk = kind_in(rq, e.api_version);
        if (!sk)
            continue;
        bool has = has_replicas(a, sk, &e);
        struct managed_entry *still = has ? same_applier(&scale, &e) : NULL;
        if (still)
            still->set = NULL;
        else if (has)
            e.set = field_set_difference(a, e.set, dotted(a, sk->k->scale.replicas));
        if (!field_set_empty(e.set))
            add(a, &out, &e);
    }
    for (size_t i = 0; i < scale.count; i++) {
        struct managed_entry e = scale.entries[i];
        if (!has_all(a, e.set, in_scale))
            continue;
        e.api_version = rq->kind->api_version;
        e.set = dotted(a, rq->kind->k->scale.replicas);
        e.time = NULL;
        add(a, &out, &e);
    }
    return managed_json(a, &out);
}
