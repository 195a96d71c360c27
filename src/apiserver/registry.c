#include "apiserver/registry.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "apiserver/table.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/object.h"
#include "json/build.h"

/* Kinds that were compiled together: all built-in ones, or those of one CRD object. */
struct kind_pack {
    atomic_uint refs;
    atomic_bool retired;
    struct arena *a;
    const char *crd; /* name of the CRD; NULL: built-in */
    const char *uid;
    const char *resource_version;
    int64_t generation;
    uint64_t schema_since;
    struct served_kind *kinds;
    struct api_kind *api_kinds; /* as many; NULL: built-in */
    size_t count;
};

struct registry {
    atomic_uint refs;
    uint64_t generation;
    struct kind_pack **packs;
    size_t pack_count;
    const struct served_kind **kinds;
    size_t count;
};

bool served_kind_retired(const struct served_kind *sk)
{
    return atomic_load(&sk->pack->retired);
}

/* ---- packs -------------------------------------------------------------------------------------------------------- */

static void pack_unref(struct kind_pack *p)
{
    if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    for (size_t i = 0; i < p->count && p->api_kinds; i++) {
        if (p->api_kinds[i].schema)
            schema_free(p->api_kinds[i].schema);
        if (p->api_kinds[i].crd_columns)
            crd_columns_free(p->api_kinds[i].crd_columns);
    }
    arena_free(p->a);
    free(p);
}
DEFINE_CLEANUP(struct kind_pack *, pack_unref, pack_cleanup)

static struct kind_pack *pack_new(void)
{
    struct kind_pack *p = NEW0(struct kind_pack);
    atomic_store(&p->refs, 1);
    p->a = arena_new();
    return p;
}

static void serve(struct kind_pack *p, struct served_kind *sk, const struct api_kind *k)
{
    const struct kube_resource *r = &k->resource;
    sk->k = k;
    sk->pack = p;
    sk->resource = arena_printf(p->a, "%s/%s", r->group, r->plural);
    sk->api_version = kube_api_version(p->a, r);
    sk->head = arena_printf(p->a,
                            k->builtin ? "{\"kind\":\"%1$s\",\"apiVersion\":\"%2$s\","
                                       : "{\"apiVersion\":\"%2$s\",\"kind\":\"%1$s\",",
                            r->kind, sk->api_version);
    sk->head_len = strlen(sk->head);
    sk->served = sk->storage = true;
}

static struct kind_pack *pack_builtin(void)
{
    struct kind_pack *p = pack_new();
    while (api_builtin_kinds[p->count] && api_builtin_kinds[p->count]->resource.plural)
        p->count++;
    p->kinds = arena_zalloc(p->a, p->count * sizeof *p->kinds);
    for (size_t i = 0; i < p->count; i++)
        serve(p, &p->kinds[i], api_builtin_kinds[i]);
    return p;
}

/* ---- versions ------------------------------------------------------------------------------------------------------ */

/* v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > any other name (later in the alphabet is lower). */
static int version_rank(const char *v, int64_t *ret_major, int64_t *ret_minor)
{
    *ret_major = *ret_minor = 0;
    if (v[0] != 'v' || v[1] < '1' || v[1] > '9')
        return 0;
    char *end;
    *ret_major = strtoll(v + 1, &end, 10);
    if (!*end)
        return 3;
    const char *rest = str_skip_prefix(end, "beta");
    int rank = rest ? 2 : 1;
    if (!rest)
        rest = str_skip_prefix(end, "alpha");
    return rest && str_to_int64(rest, ret_minor) == 0 ? rank : 0;
}

static int compare_versions(const char *x, const char *y)
{
    int64_t x_major, x_minor, y_major, y_minor;
    int x_rank = version_rank(x, &x_major, &x_minor), y_rank = version_rank(y, &y_major, &y_minor);
    if (x_rank != y_rank)
        return y_rank - x_rank;
    if (x_major != y_major)
        return x_major > y_major ? -1 : 1;
    if (x_minor != y_minor)
        return x_minor > y_minor ? -1 : 1;
    return strcmp(x, y);
}

/* ---- kinds of a CRD ----------------------------------------------------------------------------------------------- */

static const struct api_strategy no_strategy = { 0 };

static const char *const *string_list(struct arena *a, const struct json *v)
{
    const char **list = arena_alloc(a, (json_size(v) + 1) * sizeof *list);
    size_t n = 0;
    JSON_FOREACH(it, v) {
        if (json_is_string(it.value))
            list[n++] = arena_strdup(a, json_string(it.value));
    }
    list[n] = NULL;
    return list;
}

/* ".spec.size" → "spec.size" */
static const char *const *selectable_fields(struct arena *a, const struct json *fields)
{
    const char **list = arena_alloc(a, (json_size(fields) + 1) * sizeof *list);
    size_t n = 0;
    JSON_FOREACH(it, fields) {
        const char *path = json_find_str(it.value, "jsonPath");
        if (path && path[0] == '.')
            list[n++] = arena_strdup(a, path + 1);
    }
    list[n] = NULL;
    return list;
}

static const char *text_or(struct arena *a, const char *s, const char *otherwise)
{
    return arena_strdup(a, str_empty(s) ? otherwise : s);
}

/* `g/v1alpha1 Kind is deprecated; use g/v1 Kind`, if there is a better version to use. */
static const char *default_deprecation(struct arena *a, const struct json *spec,
                                       const struct served_kind *sk, const char *kind)
{
    const char *best = NULL;
    JSON_FOREACH(it, json_get(spec, "versions")) {
        const char *name = json_find_str(it.value, "name");
        bool usable = json_find_bool(it.value, false, "served") &&
                      !json_find_bool(it.value, false, "deprecated");
        if (name && usable && compare_versions(name, sk->k->resource.version) < 0 &&
            (!best || compare_versions(name, best) < 0))
            best = name;
    }
    if (!best)
        return arena_printf(a, "%s %s is deprecated", sk->api_version, kind);
    return arena_printf(a, "%s %s is deprecated; use %s/%s %s", sk->api_version, kind,
                        sk->k->resource.group, best, kind);
}

/* ".spec.replicas" → "spec.replicas"; NULL for NULL. */
static const char *without_dot(struct arena *a, const char *path)
{
    return arena_strdup(a, path && path[0] == '.' ? path + 1 : path);
}

static void compile_scale(struct arena *a, const struct json *scale, struct api_kind *k)
{
    const char *replicas = json_find_str(scale, "specReplicasPath");
    const char *status = json_find_str(scale, "statusReplicasPath");
    if (str_empty(replicas) || str_empty(status))
        return;
    k->scale.replicas = without_dot(a, replicas);
    k->scale.status_replicas = without_dot(a, status);
    k->scale.selector = without_dot(a, json_find_str(scale, "labelSelectorPath"));
}

static bool compile_version(struct kind_pack *p, const struct json *spec,
                            const struct json *version, const char *path, struct served_kind *sk,
                            struct api_kind *k, struct field_errors *errors)
{
    struct arena *a = p->a;
    const struct json *names = json_get(spec, "names");
    const char *kind = json_find_str(names, "kind"), *name = json_find_str(version, "name");
    const char *group = json_find_str(spec, "group"), *plural = json_find_str(names, "plural");
    if (!kind || !name || !group || !plural)
        return false;
    k->resource = (struct kube_resource){
        .group = arena_strdup(a, group),
        .version = arena_strdup(a, name),
        .plural = arena_strdup(a, plural),
        .kind = arena_strdup(a, kind),
        .namespaced = str_eq(json_find_str(spec, "scope"), "Namespaced"),
    };
    k->singular = text_or(a, json_find_str(names, "singular"), str_lower(a, kind));
    k->list_kind = text_or(a, json_find_str(names, "listKind"), arena_printf(a, "%sList", kind));
    k->short_names = string_list(a, json_get(names, "shortNames"));
    k->categories = string_list(a, json_get(names, "categories"));
    k->has_status = json_find(version, "subresources", "status") != NULL;
    k->has_generation = true;
    k->strategy = &no_strategy;
    compile_scale(a, json_find(version, "subresources", "scale"), k);
    k->field_selectors = selectable_fields(a, json_get(version, "selectableFields"));
    serve(p, sk, k);
    sk->served = json_find_bool(version, false, "served");
    sk->storage = json_find_bool(version, false, "storage");
    sk->deprecated = json_find_bool(version, false, "deprecated");
    if (sk->deprecated)
        sk->deprecation = text_or(a, json_find_str(version, "deprecationWarning"),
                                  default_deprecation(a, spec, sk, kind));
    const char *schema_path = arena_printf(a, "%s.schema.openAPIV3Schema", path);
    const char *columns_path = arena_printf(a, "%s.additionalPrinterColumns", path);
    return schema_compile(json_find(version, "schema", "openAPIV3Schema"), schema_path, &k->schema,
                          errors) == 0 &&
           crd_columns_compile(json_get(version, "additionalPrinterColumns"), columns_path,
                               &k->crd_columns, errors) == 0;
}

/* NULL when it cannot be compiled. */
static struct kind_pack *pack_crd(const struct json *crd, struct field_errors *errors)
{
    CLEANUP(pack_cleanup) struct kind_pack *p = pack_new();
    const struct json *spec = json_get(crd, "spec"), *versions = json_get(spec, "versions");
    p->crd = arena_strdup(p->a, meta_name(crd));
    p->uid = arena_strdup(p->a, meta_uid(crd));
    p->generation = meta_generation(crd);
    p->resource_version = arena_strdup(p->a, json_find_str(crd, "metadata", "resourceVersion"));
    if (!p->resource_version || str_to_uint64(p->resource_version, &p->schema_since) < 0)
        return NULL;

    size_t n = json_size(versions);
    p->kinds = arena_zalloc(p->a, n * sizeof *p->kinds);
    p->api_kinds = arena_zalloc(p->a, n * sizeof *p->api_kinds);
    const struct served_kind *storage = NULL;
    JSON_FOREACH(it, versions) {
        struct served_kind *sk = &p->kinds[p->count];
        const char *path = arena_printf(p->a, "spec.versions[%zu]", it.index);
        p->count++;
        if (!compile_version(p, spec, it.value, path, sk, &p->api_kinds[p->count - 1], errors))
            return NULL;
        sk->terminating = meta_deleting(crd);
        if (sk->storage)
            storage = sk;
    }
    if (!storage)
        return NULL;
    for (size_t i = 0; i < p->count; i++) {
        p->kinds[i].storage_kind = storage;
        p->api_kinds[i].storage_version = storage->k->resource.version;
    }
    return TAKE_PTR(p);
}

/* ---- snapshots ---------------------------------------------------------------------------------------------------- */

static int compare_kinds(const void *x, const void *y)
{
    const struct kube_resource *a = &(*(const struct served_kind *const *)x)->k->resource;
    const struct kube_resource *b = &(*(const struct served_kind *const *)y)->k->resource;
    int order = strcmp(a->group, b->group);
    if (order == 0)
        order = compare_versions(a->version, b->version);
    return order ? order : strcmp(a->plural, b->plural);
}

/* Takes over the references in packs. */
static struct registry *registry_of(struct kind_pack **packs, size_t n, uint64_t generation)
{
    struct registry *r = NEW0(struct registry);
    atomic_store(&r->refs, 1);
    r->generation = generation;
    r->packs = packs;
    r->pack_count = n;
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += packs[i]->count;
    r->kinds = mem_array(NULL, MAX(total, (size_t)1), sizeof *r->kinds);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < packs[i]->count; j++)
            r->kinds[r->count++] = &packs[i]->kinds[j];
    }
    qsort(r->kinds, r->count, sizeof *r->kinds, compare_kinds);
    return r;
}

struct registry *registry_new(void)
{
    struct kind_pack **packs = mem_array(NULL, 1, sizeof *packs);
    packs[0] = pack_builtin();
    return registry_of(packs, 1, 1);
}

struct registry *registry_ref(struct registry *r)
{
    atomic_fetch_add(&r->refs, 1);
    return r;
}

void registry_unref(struct registry *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    for (size_t i = 0; i < r->pack_count; i++)
        pack_unref(r->packs[i]);
    free(r->packs);
    free(r->kinds);
    free(r);
}

static struct kind_pack *find_pack(const struct registry *r, const char *crd)
{
    for (size_t i = 0; i < r->pack_count; i++) {
        if (str_eq(r->packs[i]->crd, crd))
            return r->packs[i];
    }
    return NULL;
}

static struct kind_pack *compile(const struct kube_object *o, const struct kind_pack *before)
{
    AUTO_ARENA a = arena_new();
    struct json *crd = kube_object_parse(a, o);
    const struct json *conditions = json_find(crd, "status", "conditions");
    if (!condition_is(conditions, "Established", "True"))
        return NULL;
    struct field_errors errors = { .arena = a };
    struct kind_pack *p = pack_crd(crd, &errors);
    if (!p) {
        log_error("the CustomResourceDefinition cannot be served", "name", o->name, "field",
                  errors.count ? errors.items[0].field : "", "error",
                  errors.count ? errors.items[0].message : "incomplete", NULL);
        return NULL;
    }
    if (before && STREQ(before->uid, p->uid) && before->generation == p->generation)
        p->schema_since = before->schema_since;
    for (size_t i = 0; i < p->count; i++)
        p->kinds[i].schema_since = p->schema_since;
    return p;
}

struct registry *registry_with_crds(struct registry *old, struct kube_object *const *crds, size_t n)
{
    struct kind_pack **packs = mem_array(NULL, n + 1, sizeof *packs);
    size_t count = 0;
    packs[count] = old->packs[0];
    atomic_fetch_add(&packs[count++]->refs, 1);
    for (size_t i = 0; i < n; i++) {
        struct kind_pack *before = find_pack(old, crds[i]->name);
        struct kind_pack *p = before;
        if (before && STREQ(before->resource_version, crds[i]->resource_version))
            atomic_fetch_add(&before->refs, 1);
        else
            p = compile(crds[i], before);
        if (p)
            packs[count++] = p;
    }
    struct registry *r = registry_of(packs, count, old->generation + 1);
    for (size_t i = 1; i < old->pack_count; i++) {
        struct kind_pack *before = old->packs[i], *now = find_pack(r, before->crd);
        if (!now || !STREQ(now->uid, before->uid) || now->generation != before->generation)
            atomic_store(&before->retired, true);
    }
    return r;
}

/* ---- look-ups ----------------------------------------------------------------------------------------------------- */

const struct served_kind *registry_find(const struct registry *r, const char *group,
                                        const char *version, const char *plural)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct kube_resource *x = &r->kinds[i]->k->resource;
        if (STREQ(x->plural, plural) && STREQ(x->group, group) && STREQ(x->version, version) &&
            r->kinds[i]->served)
            return r->kinds[i];
    }
    return NULL;
}

const struct served_kind *registry_find_kind(const struct registry *r, const char *group,
                                             const char *version, const char *kind)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct kube_resource *x = &r->kinds[i]->k->resource;
        if (STREQ(x->kind, kind) && STREQ(x->group, group) &&
            (!version || STREQ(x->version, version)) && r->kinds[i]->served)
            return r->kinds[i];
    }
    return NULL;
}

const struct served_kind *registry_find_resource(const struct registry *r, const char *resource)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->kinds[i]->storage && STREQ(r->kinds[i]->resource, resource))
            return r->kinds[i];
    }
    return NULL;
}

size_t registry_count(const struct registry *r)
{
    return r->count;
}

const struct served_kind *registry_at(const struct registry *r, size_t i)
{
    return r->kinds[i];
}

bool registry_is_builtin_group(const struct registry *r, const char *group)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->kinds[i]->k->builtin && STREQ(r->kinds[i]->k->resource.group, group))
            return true;
    }
    return false;
}

uint64_t registry_generation(const struct registry *r)
{
    return r->generation;
}
