#include "apiserver/object_meta.h"

#include "apiserver/status.h"
#include "apiserver/types_internal.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

/* ---- decoding ----------------------------------------------------------------------------------------------------- */

int object_meta_decode(struct arena *a, struct json *obj, struct json *unknown, struct error **err)
{
    const struct json *meta = json_get(obj, "metadata");
    if (!meta)
        return 0;
    struct json *decoded = json_clone(a, meta), *paths = EMPTY_ARR();
    int r = api_type_decode(a, api_type_struct("v1.ObjectMeta"), decoded, paths, err);
    if (r < 0)
        return r;
    json_set(a, obj, "metadata", decoded);
    JSON_FOREACH(it, paths)
        json_append(unknown, STRF("metadata.%s", json_string(it.value)));
    return 0;
}

/* ---- what the server sets ----------------------------------------------------------------------------------------- */

void object_meta_create(struct arena *a, const struct api_kind *k, struct json *obj,
                        int64_t now_wall_ns)
{
    struct json *meta = json_ensure_object(a, obj, "metadata");
    static const char *const servers[] = { "deletionTimestamp", "deletionGracePeriodSeconds",
                                           "selfLink", "resourceVersion" };
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        json_del(meta, servers[i]);
    char uid[37], now[TIME_RFC3339_SIZE];
    rand_uuid(uid);
    time_format_rfc3339(now_wall_ns, now);
    json_set_str(a, meta, "uid", uid);
    json_set_str(a, meta, "creationTimestamp", now);
    if (k->has_generation)
        json_set_int(a, meta, "generation", 1);
}

void object_meta_update(struct arena *a, struct json *obj, const struct json *old)
{
    struct json *meta = json_ensure_object(a, obj, "metadata");
    const struct json *old_meta = json_get(old, "metadata");
    static const char *const kept[] = { "creationTimestamp", "generation",
                                        "deletionGracePeriodSeconds" };
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        json_set(a, meta, kept[i],
                 json_clone(a, json_get(old_meta, kept[i]))); /* Once set it stays; a client that
                                                                 sets it is told that it cannot. */
    if (json_get(old_meta, "deletionTimestamp"))
        json_set(a, meta, "deletionTimestamp",
                 json_clone(a, json_get(old_meta, "deletionTimestamp")));
    if (str_empty(json_find_str(meta, "uid")))
        json_set(a, meta, "uid", json_clone(a, json_get(old_meta, "uid")));
    json_del(meta, "selfLink");
}

struct json *object_in_order(struct arena *a, const struct served_kind *sk, struct json *obj)
{
    const char *kind = sk->k->resource.kind;
    struct json *out = sk->k->builtin ? OBJ("kind", STR(kind), "apiVersion", STR(sk->api_version))
                                      : OBJ("apiVersion", STR(sk->api_version), "kind", STR(kind));
    json_set(a, out, "metadata", EMPTY_OBJ());
    JSON_FOREACH(it, obj) {
        const char *key = it.key;
        struct json *value = it.value;
        if (STREQ(key, "kind") || STREQ(key, "apiVersion"))
            continue;
        json_iter_remove(&it);
        json_set(a, out, key, value);
    }
    return out;
}

void object_meta_dedup_owners(struct arena *a, struct json *obj, struct json *warnings)
{
    struct json *refs = json_find(obj, "metadata", "ownerReferences");
    const char *uids = NULL;
    AUTO_MAP seen = map_new(NULL);
    JSON_FOREACH(it, refs) {
        AUTO_BUF text = BUF_INIT(MIB);
        json_write_canonical(it.value, &text);
        if (!map_has(seen, buf_str(&text))) {
            map_set(seen, buf_str(&text), refs);
            continue;
        }
        const char *uid = json_find_str(it.value, "uid");
        uids = uids ? arena_printf(a, "%s, %s", uids, uid ? uid : "") : uid ? uid : "";
        json_iter_remove(&it);
    }
    if (uids)
        json_append(
            warnings,
            json_new_stringf(
                a,
                ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, "
                "and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: %s",
                uids));
}

/* ---- validation --------------------------------------------------------------------------------------------------- */

static metadata_name_rule *name_rule(const struct api_kind *k)
{
    const struct kube_resource *r = &k->resource;
    bool core = k->builtin && STREQ(r->group, "");
    if (core && STREQ(r->plural, "services"))
        return kube_validate_dns1035_label;
    if (core && STREQ(r->plural, "namespaces"))
        return kube_validate_dns1123_label;
    if (core && STREQ(r->plural, "events"))
        return metadata_name_path_segment;
    if (k->builtin && STREQ(r->group, "rbac.authorization.k8s.io"))
        return metadata_name_path_segment;
    if (k->builtin && STREQ(r->plural, "statefulsets"))
        return kube_validate_dns1123_label;
    return kube_validate_dns1123_subdomain;
}

static bool is_standard_finalizer(const char *name)
{
    return STREQ(name, "orphan") || STREQ(name, "foregroundDeletion") || STREQ(name, "kubernetes");
}

static void check_finalizers_are_qualified(const struct json *finalizers,
                                           const struct field_path *path, struct field_errors *e)
{
    JSON_FOREACH(it, finalizers) {
        const char *name = json_string(it.value);
        if (name && !is_standard_finalizer(name) && !strchr(name, '/'))
            field_invalid_str(
                e, FIELD_AT(path, it.index), name,
                "name is neither a standard finalizer name nor is it fully qualified");
    }
}

void object_meta_validate(const struct api_kind *k, const struct json *obj,
                          struct field_errors *errors)
{
    const struct json *meta = json_get(obj, "metadata");
    const struct field_path *path = FIELD(NULL, "metadata");
    metadata_validate(meta, k->resource.namespaced, name_rule(k), path, errors);
    if (k->builtin && !STREQ(k->resource.plural, "leases") && !STREQ(k->resource.plural, "events"))
        check_finalizers_are_qualified(json_get(meta, "finalizers"), FIELD(path, "finalizers"),
                                       errors);
}

/* Metadata is checked twice there, by the verb and by the kind, and every fault
 * is told twice. */
#define UPDATE_CHECKS 2

static void validate_immutable(const struct json *meta, const struct json *old_meta,
                               const char *key, struct field_errors *e)
{
    const char *now = json_find_str(meta, key), *before = json_find_str(old_meta, key);
    if (str_eq(now ? now : "", before ? before : ""))
        return;
    for (int times = UPDATE_CHECKS; times > 0; times--)
        field_invalid_str(e, FIELD(FIELD(NULL, "metadata"), key), now, "field is immutable");
}

void object_meta_validate_update(const struct json *obj, const struct json *old,
                                 struct field_errors *errors)
{
    static const char *const immutable[] = { "uid", "deletionTimestamp" };
    for (size_t i = 0; i < COUNT_OF(immutable); i++)
        validate_immutable(json_get(obj, "metadata"), json_get(old, "metadata"), immutable[i],
                           errors);
    if (!meta_deleting(old))
        return;
    AUTO_BUF added = BUF_INIT(64 * KIB);
    JSON_FOREACH(it, json_find(obj, "metadata", "finalizers")) {
        const char *name = json_string(it.value);
        if (name && !meta_has_finalizer(old, name))
            buf_printf(&added, "%s%s", added.len ? ", " : "", go_quote(errors->arena, name));
    }
    for (int times = UPDATE_CHECKS; added.len && times > 0; times--)
        field_errors_add(
            errors, "FieldValueForbidden", "metadata.finalizers",
            "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{%s}",
            buf_str(&added));
}
