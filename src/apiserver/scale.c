#include "apiserver/scale.h"

#include "apiserver/fields/request.h"
#include "apiserver/registry.h"
#include "apiserver/rest.h"
#include "apiserver/rest_write.h"
#include "apiserver/server.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

/* What bodies are decoded as. */
static const struct api_kind scale_api_kind = {
    .resource = { "autoscaling", "v1", "scales", "Scale", true },
    .builtin = true,
};
static const struct served_kind scale_kind = {
    .k = &scale_api_kind,
    .resource = "autoscaling/scales",
    .api_version = "autoscaling/v1",
};

const struct kube_resource *scale_resource(void)
{
    return &scale_api_kind.resource;
}

bool scale_served(const struct api_kind *k)
{
    return k->scale.replicas != NULL;
}

/* ---- from an object ---------------------------------------------------------------------------------------------------- */

/* "spec.replicas" in an object; NULL when absent. */
static struct json *at_path(struct arena *a, const struct json *obj, const char *path)
{
    size_t n = 0;
    char **parts = str_split(a, path, '.', &n);
    struct json *v = (struct json *)obj;
    for (size_t i = 0; i < n && v; i++)
        v = json_get(v, parts[i]);
    return v;
}

static const char *selector_of(struct arena *a, const struct api_kind *k, const struct json *obj)
{
    const struct json *v = k->scale.selector ? at_path(a, obj, k->scale.selector) : NULL;
    CLEANUP(selector_cleanup) struct selector *s = NULL;
    if (!json_is_object(v))
        return json_string(v);
    return selector_from_object(v, &s, NULL) == 0 ? selector_text(a, s) : NULL;
}

static bool has_replicas(struct arena *a, const struct api_kind *k, const struct json *obj)
{
    return json_is_number(at_path(a, obj, k->scale.replicas));
}

/* clang-format off */
struct json *scale_view(struct arena *a, const struct api_kind *k, const struct json *obj)
{
    static const char *const kept[] = { "name", "namespace", "uid", "resourceVersion", "creationTimestamp" };
    struct json *metadata = EMPTY_OBJ();
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        json_set(a, metadata, kept[i], json_clone(a, json_find(obj, "metadata", kept[i])));
    int64_t replicas = json_int(at_path(a, obj, k->scale.replicas), 0);
    int64_t present = json_int(at_path(a, obj, k->scale.status_replicas), 0);
    const char *selector = selector_of(a, k, obj);
    return OBJ("kind", STR(scale_api_kind.resource.kind),
               "apiVersion", STR(scale_kind.api_version),
               "metadata", metadata,
               "spec", OBJ("replicas", replicas ? INT(replicas) : NULL),
               "status", OBJ("replicas", INT(present),
                             "selector", str_empty(selector) ? NULL : STR(selector)));
}
/* clang-format on */

int scale_reply(struct api_request *rq, struct api_reply *reply, int status, const struct json *obj)
{
    struct arena *a = rq->a;
    const struct api_kind *k = rq->kind->k;
    if (!has_replicas(a, k, obj)) {
        const char *why =
            arena_printf(a, "the spec replicas field \".%s\" does not exist", k->scale.replicas);
        return request_fail(rq, status_make(a, "InternalError",
                                            arena_printf(a, "Internal error occurred: %s", why),
                                            OBJ("causes", ARR(OBJ("message", STR(why))))));
    }
    api_reply_json(rq, reply, status, scale_view(a, k, obj));
    return 0;
}

int scale_get(struct api_request *rq, struct api_reply *reply)
{
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = store_get(rq->server->store, rq->kind->resource, rq->ns, rq->name);
    if (!o)
        return request_fail_not_found(rq, rq->name);
    return scale_reply(rq, reply, 200, rest_view(rq->a, rq->kind, o));
}

/* ---- into an object ---------------------------------------------------------------------------------------------------- */

int scale_read(struct api_request *rq, struct json **ret)
{
    const struct served_kind *kind = rq->kind;
    rq->kind = &scale_kind;
    int r = write_read(rq, ret);
    rq->kind = kind;
    return r;
}

/* As the real server shows what a patch has made. */
static struct json *version_first(struct arena *a, const struct json *scale)
{
    struct json *copy = OBJ("apiVersion", STR(scale_kind.api_version));
    JSON_FOREACH(it, scale)
        json_set(a, copy, it.key, json_clone(a, it.value));
    return copy;
}

static int patched(struct api_request *rq, const struct patch *patch, const struct json *before,
                   struct json **ret)
{
    const struct served_kind *kind = rq->kind;
    rq->kind = &scale_kind;
    int r = patch_apply(rq, patch, version_first(rq->a, before), ret);
    rq->kind = kind;
    return r;
}

static int check_name(struct api_request *rq, const struct json *scale)
{
    const char *name = meta_name(scale);
    if (STREQ(name, rq->name))
        return 0;
    if (!*name)
        return request_failf(
            rq, "BadRequest",
            "the name of the object (%s based on URL) was undeterminable: name must be provided",
            rq->name);
    return request_failf(rq, "BadRequest",
                         "the name of the object (%s) does not match the name on the URL (%s)",
                         name, rq->name);
}

/* What is wrong with it is told of the Scale, and of custom resources as of the object. */
static int check_replicas(struct api_request *rq, const struct json *scale)
{
    struct arena *a = rq->a;
    int64_t replicas = json_find_int(scale, 0, "spec", "replicas");
    struct field_errors errors = { .arena = a };
    if (replicas >= 0)
        return 0;
    if (!rq->kind->k->builtin) {
        field_errors_add(&errors, "FieldValueInvalid",
                         arena_printf(a, ".%s", rq->kind->k->scale.replicas),
                         "Invalid value: %lld: should be a non-negative integer",
                         (long long)replicas);
        return request_fail_invalid(rq, rq->name, &errors);
    }
    field_errors_add(&errors, "FieldValueInvalid", "spec.replicas",
                     "Invalid value: %lld: must be greater than or equal to 0",
                     (long long)replicas);
    return request_fail(rq, status_invalid(a, "autoscaling", "Scale", rq->name, &errors));
}

/* The object in which the last name of the path stands, made as far as it is absent. */
static void set_replicas(struct arena *a, const char *path, struct json *obj, int64_t replicas)
{
    size_t n = 0;
    char **parts = str_split(a, path, '.', &n);
    for (size_t i = 0; i + 1 < n; i++)
        obj = json_ensure_object(a, obj, parts[i]);
    json_set_int(a, obj, parts[n - 1], replicas);
}

/* The managers of the object follow those of the Scale. */
static void track(struct api_request *rq, struct json *scale, const struct json *before,
                  const struct json *old, struct json *obj, bool applied)
{
    const struct served_kind *kind = rq->kind;
    rq->kind = &scale_kind;
    if (!applied)
        fields_track(rq, scale, before);
    rq->kind = kind;
    const struct json *entries = json_find(old, "metadata", "managedFields");
    if (entries)
        json_set(rq->a, json_get(obj, "metadata"), "managedFields",
                 fields_from_scale(rq, entries, json_find(scale, "metadata", "managedFields")));
}

int scale_apply(struct api_request *rq, const struct patch *patch, const struct json *given,
                const struct json *old, struct json **ret)
{
    struct arena *a = rq->a;
    const struct api_kind *k = rq->kind->k;
    struct json *scale = (struct json *)given, *before = scale_view(a, k, old);
    json_set(a, json_get(before, "metadata"), "managedFields",
             fields_of_scale(rq, json_find(old, "metadata", "managedFields")));
    int r = patch ? patched(rq, patch, before, &scale) : 0;
    if (r == 0)
        r = check_name(rq, scale);
    if (r == 0)
        r = check_replicas(rq, scale);
    if (r < 0)
        return r;
    if (!has_replicas(a, k, old) && !json_find(scale, "spec", "replicas"))
        return request_failf(rq, "BadRequest", "the spec replicas field \".%s\" cannot be empty",
                             k->scale.replicas);
    *ret = json_clone(a, old);
    track(rq, scale, before, old, *ret, patch && patch->kind == PATCH_APPLY);
    /* What the Scale says of them is a precondition. */
    struct json *metadata = json_get(*ret, "metadata");
    json_set(a, metadata, "resourceVersion",
             json_clone(a, json_find(scale, "metadata", "resourceVersion")));
    json_set_str(a, metadata, "uid", json_find_str(scale, "metadata", "uid"));
    set_replicas(a, k->scale.replicas, *ret, json_find_int(scale, 0, "spec", "replicas"));
    return 0;
}
