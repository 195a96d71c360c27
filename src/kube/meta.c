#include "kube/meta.h"

#include "base/clock.h"
#include "base/str.h"

static const char *meta_string(const struct json *obj, const char *key)
{
    const char *s = json_find_str(obj, "metadata", key);
    return s ? s : "";
}

const char *meta_name(const struct json *obj)
{
    return meta_string(obj, "name");
}

const char *meta_namespace(const struct json *obj)
{
    return meta_string(obj, "namespace");
}

const char *meta_uid(const struct json *obj)
{
    return meta_string(obj, "uid");
}

const char *meta_resource_version(const struct json *obj)
{
    return meta_string(obj, "resourceVersion");
}

int64_t meta_generation(const struct json *obj)
{
    return json_find_int(obj, 0, "metadata", "generation");
}

const char *meta_label(const struct json *obj, const char *key)
{
    return json_find_str(obj, "metadata", "labels", key);
}

const char *meta_annotation(const struct json *obj, const char *key)
{
    return json_find_str(obj, "metadata", "annotations", key);
}

bool meta_deleting(const struct json *obj)
{
    return json_is_string(json_find(obj, "metadata", "deletionTimestamp"));
}

bool meta_has_finalizer(const struct json *obj, const char *finalizer)
{
    JSON_FOREACH(it, json_find(obj, "metadata", "finalizers")) {
        if (str_eq(json_string(it.value), finalizer))
            return true;
    }
    return false;
}

struct json *meta_controller_ref(struct arena *a, const struct json *owner,
                                 const struct kube_resource *resource)
{
    /* clang-format off */
    return OBJ("apiVersion", STR(kube_api_version(a, resource)),
               "kind", STR(resource->kind),
               "name", STR(meta_name(owner)),
               "uid", STR(meta_uid(owner)),
               "controller", BOOL(true),
               "blockOwnerDeletion", BOOL(true));
    /* clang-format on */
}

const struct json *meta_controller_of(const struct json *obj)
{
    JSON_FOREACH(it, json_find(obj, "metadata", "ownerReferences")) {
        if (json_bool(json_get(it.value, "controller"), false))
            return it.value;
    }
    return NULL;
}

bool meta_controlled_by(const struct json *obj, const char *uid)
{
    return str_eq(json_find_str(meta_controller_of(obj), "uid"), uid);
}

const struct json *condition_find(const struct json *conditions, const char *type)
{
    JSON_FOREACH(it, conditions) {
        if (str_eq(json_find_str(it.value, "type"), type))
            return it.value;
    }
    return NULL;
}

bool condition_is(const struct json *conditions, const char *type, const char *status)
{
    return str_eq(json_find_str(condition_find(conditions, type), "status"), status);
}

void condition_set(struct arena *a, struct json *conditions, const struct condition *c,
                   int64_t observed_generation, int64_t now_wall_ns)
{
    char now[TIME_RFC3339_SIZE];
    time_format_rfc3339(now_wall_ns, now);
    struct json *generation = observed_generation > 0 ? INT(observed_generation) : NULL;
    struct json *found = (struct json *)(uintptr_t)condition_find(conditions, c->type);
    if (!found) {
        /* clang-format off */
        json_append(conditions, OBJ("type", STR(c->type),
                                    "status", STR(c->status),
                                    "observedGeneration", generation,
                                    "lastTransitionTime", STR(now),
                                    "reason", STR(c->reason ? c->reason : ""),
                                    "message", STR(c->message ? c->message : "")));
        /* clang-format on */
        return;
    }
    if (!str_eq(json_find_str(found, "status"), c->status) ||
        !json_find_str(found, "lastTransitionTime")) {
        json_set_str(a, found, "status", c->status);
        json_set_str(a, found, "lastTransitionTime", now);
    }
    json_set(a, found, "observedGeneration", generation);
    json_set_str(a, found, "reason", c->reason ? c->reason : "");
    json_set_str(a, found, "message", c->message ? c->message : "");
}

bool condition_remove(struct json *conditions, const char *type)
{
    bool removed = false;
    JSON_FOREACH(it, conditions) {
        if (str_eq(json_find_str(it.value, "type"), type)) {
            json_iter_remove(&it);
            removed = true;
        }
    }
    return removed;
}
