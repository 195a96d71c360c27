#include "apiserver/object_meta.h"

#include <ctype.h>

#include "apiserver/status.h"
#include "apiserver/types_internal.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

#define MAX_ANNOTATIONS ((size_t)256 * 1024) /* bytes of all keys and values */

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
                                           "selfLink",          "managedFields",
                                           "generation",        "resourceVersion" };
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
    json_del(meta, "managedFields");
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

/* ---- validation --------------------------------------------------------------------------------------------------- */

/* A generated name ends with letters and digits, so that a prefix may end with a dash. */
static const char *as_prefix_of_name(struct arena *a, const char *prefix)
{
    size_t len = strlen(prefix);
    return len > 1 && prefix[len - 1] == '-' ? arena_printf(a, "%.*sa", (int)(len - 1), prefix)
                                             : prefix;
}

static int check_name(const struct api_kind *k, const char *name, struct error **err)
{
    const struct kube_resource *r = &k->resource;
    bool core = STREQ(r->group, "");
    if (core && STREQ(r->plural, "services"))
        return kube_validate_dns1035_label(name, err);
    if (core && STREQ(r->plural, "namespaces"))
        return kube_validate_dns1123_label(name, err);
    return kube_validate_dns1123_subdomain(name, err);
}

static void add_invalid(struct field_errors *e, const char *field, const char *value,
                        const char *why)
{
    field_errors_add(e, "FieldValueInvalid", field, "Invalid value: %s: %s",
                     go_quote(e->arena, value), why);
}

static void validate_name(const struct api_kind *k, const struct json *meta, struct field_errors *e)
{
    const char *generate = json_find_str(meta, "generateName"), *name = json_find_str(meta, "name");
    if (!str_empty(generate)) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        if (check_name(k, as_prefix_of_name(e->arena, generate), &err) < 0)
            add_invalid(e, "metadata.generateName", generate, error_message(err));
    }
    if (str_empty(name)) {
        field_errors_add(e, "FieldValueRequired", "metadata.name",
                         "Required value: name or generateName is required");
    } else {
        CLEANUP(error_cleanup) struct error *err = NULL;
        if (check_name(k, name, &err) < 0)
            add_invalid(e, "metadata.name", name, error_message(err));
    }
}

static void validate_labels(const struct json *labels, struct field_errors *e)
{
    JSON_FOREACH(it, labels) {
        CLEANUP(error_cleanup) struct error *key = NULL;
        CLEANUP(error_cleanup) struct error *value = NULL;
        if (kube_validate_label_key(it.key, &key) < 0)
            add_invalid(e, "metadata.labels", it.key, error_message(key));
        const char *text = json_string(it.value);
        if (kube_validate_label_value(text ? text : "", &value) < 0)
            add_invalid(e, "metadata.labels", text ? text : "", error_message(value));
    }
}

static void validate_annotations(const struct json *annotations, struct field_errors *e)
{
    size_t total = 0;
    JSON_FOREACH(it, annotations) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        total += it.key_len + json_string_len(it.value);
        if (kube_validate_label_key(str_lower(e->arena, it.key), &err) < 0)
            add_invalid(e, "metadata.annotations", it.key, error_message(err));
    }
    if (total > MAX_ANNOTATIONS)
        field_errors_add(e, "FieldValueTooLong", "metadata.annotations",
                         "Too long: may not be more than %zu bytes", MAX_ANNOTATIONS);
}

static void validate_finalizers(const struct api_kind *k, const struct json *finalizers,
                                struct field_errors *e)
{
    bool orphan = false, foreground = false;
    JSON_FOREACH(it, finalizers) {
        const char *name = json_string(it.value) ? json_string(it.value) : "";
        CLEANUP(error_cleanup) struct error *err = NULL;
        if (kube_validate_label_key(name, &err) < 0)
            add_invalid(e, "metadata.finalizers", name, error_message(err));
        orphan |= STREQ(name, "orphan");
        foreground |= STREQ(name, "foregroundDeletion");
        bool standard =
            STREQ(name, "orphan") || STREQ(name, "foregroundDeletion") || STREQ(name, "kubernetes");
        if (k->builtin && !standard && !strchr(name, '/'))
            add_invalid(e, arena_printf(e->arena, "metadata.finalizers[%zu]", it.index), name,
                        "name is neither a standard finalizer name nor is it fully qualified");
    }
    if (orphan && foreground)
        add_invalid(e, "metadata.finalizers", go_print(e->arena, finalizers),
                    "finalizer orphan and foregroundDeletion cannot be both set");
}

static void validate_owner(const struct json *owner, struct field_errors *e)
{
    const char *api_version = json_find_str(owner, "apiVersion");
    if (str_empty(api_version))
        add_invalid(e, "metadata.ownerReferences.apiVersion", "", "version must not be empty");
    static const char *const needed[] = { "kind", "name", "uid" };
    for (size_t i = 0; i < COUNT_OF(needed); i++) {
        if (str_empty(json_find_str(owner, needed[i])))
            add_invalid(e, arena_printf(e->arena, "metadata.ownerReferences.%s", needed[i]), "",
                        "must not be empty");
    }
}

static void validate_owners(const struct json *owners, struct field_errors *e)
{
    const char *controller = NULL;
    JSON_FOREACH(it, owners) {
        validate_owner(it.value, e);
        if (!json_find_bool(it.value, false, "controller"))
            continue;
        const char *kind = json_find_str(it.value, "kind");
        if (controller)
            field_errors_add(
                e, "FieldValueInvalid", "metadata.ownerReferences",
                "Invalid value: %s: Only one reference can have Controller set to true. Found \"true\" in references "
                "for %s and %s",
                go_print(e->arena, owners), controller, kind ? kind : "");
        controller = kind ? kind : "";
    }
}

void object_meta_validate(const struct api_kind *k, const struct json *obj,
                          struct field_errors *errors)
{
    const struct json *meta = json_get(obj, "metadata");
    validate_name(k, meta, errors);
    validate_annotations(json_get(meta, "annotations"), errors);
    validate_labels(json_get(meta, "labels"), errors);
    validate_owners(json_get(meta, "ownerReferences"), errors);
    validate_finalizers(k, json_get(meta, "finalizers"), errors);
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
        add_invalid(e, arena_printf(e->arena, "metadata.%s", key), now ? now : "",
                    "field is immutable");
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
