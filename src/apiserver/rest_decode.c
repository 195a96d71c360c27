#include "apiserver/fields/managed.h"
#include "apiserver/object_meta.h"
#include "apiserver/registry.h"
#include "apiserver/rest_write.h"
#include "apiserver/types.h"
#include "base/str.h"
#include "kube/meta.h"

#define SUMMARY_BYTES 30

/* How the API server's decoder names what it reads kind and apiVersion into. */
#define GO_TYPE_META                                                                               \
    "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string "               \
    "\"json:\\\"kind,omitempty\\\"\" }"
#define GO_SCHEME "pkg/runtime/scheme.go:111"

/* ---- unknown and duplicate fields --------------------------------------------------------------------------------- */

const char *write_strict_text(struct arena *a, const struct json *unknown,
                              const struct json *duplicates)
{
    AUTO_BUF text = BUF_INIT(1 * MIB);
    buf_puts(&text, "strict decoding error: ");
    size_t prefix = text.len;
    JSON_FOREACH(it, unknown)
        buf_printf(&text, "%sunknown field \"%s\"", text.len > prefix ? ", " : "",
                   json_string(it.value));
    JSON_FOREACH(it, duplicates)
        buf_printf(&text, "%sduplicate field \"%s\"", text.len > prefix ? ", " : "",
                   json_string(it.value));
    return arena_strdup(a, buf_str(&text));
}

void write_warn_unknown(struct api_request *rq, const struct json *unknown,
                        const struct json *duplicates)
{
    JSON_FOREACH(it, unknown)
        request_warn(rq, "unknown field \"%s\"", json_string(it.value));
    JSON_FOREACH(it, duplicates)
        request_warn(rq, "duplicate field \"%s\"", json_string(it.value));
}

/* `KIND in version "V" cannot be handled as a KIND: why` */
static int fail_decode(struct api_request *rq, const char *kind, const char *version,
                       const char *why)
{
    return request_failf(rq, "BadRequest", "%s in version \"%s\" cannot be handled as a %s: %s",
                         kind, version, rq->kind->k->resource.kind, why);
}

static int warn_or_fail_unknown(struct api_request *rq, const struct json *unknown,
                                const struct json *duplicates)
{
    if (rq->validation == FIELD_VALIDATION_IGNORE ||
        (json_size(unknown) == 0 && json_size(duplicates) == 0))
        return 0;
    if (rq->validation == FIELD_VALIDATION_STRICT) {
        const struct kube_resource *r = &rq->kind->k->resource;
        return fail_decode(rq, r->kind, r->version, write_strict_text(rq->a, unknown, duplicates));
    }
    write_warn_unknown(rq, unknown, duplicates);
    return 0;
}

/* ---- what it is --------------------------------------------------------------------------------------------------- */

/* The beginning of the body; in hexadecimal when it does not look like an object. */
static const char *summary(struct api_request *rq)
{
    size_t n = MIN(rq->body_len, (size_t)SUMMARY_BYTES);
    const char *more = rq->body_len > SUMMARY_BYTES ? " ..." : "";
    if (n == 0)
        return "<empty>";
    if (rq->body[0] == '{')
        return arena_printf(rq->a, "%.*s%s", (int)n, rq->body, more);
    AUTO_BUF hex = BUF_INIT(4 * SUMMARY_BYTES);
    for (size_t i = 0; i < n; i++)
        buf_printf(&hex, "%02x", (unsigned char)rq->body[i]);
    return arena_printf(rq->a, "%s%s", buf_str(&hex), more);
}

static int fail_unrecognized(struct api_request *rq, const char *why)
{
    return request_failf(rq, "BadRequest",
                         "the object provided is unrecognized (must be of type %s): %s (%s)",
                         rq->kind->k->resource.kind, why, summary(rq));
}

static int fail_syntax(struct api_request *rq, const char *why)
{
    if (strstr(why, "unexpected end") || strstr(why, "the text is empty"))
        why = "unexpected end of JSON input";
    return fail_unrecognized(rq,
                             arena_printf(rq->a, "couldn't get version/kind; json parse error: %s",
                                          why));
}

static const char *version_of(const char *api_version)
{
    const char *slash = strchr(api_version, '/');
    return slash ? slash + 1 : api_version;
}

/* "core.ConfigMap": the internal type of a built-in kind. */
static const char *internal_type(struct arena *a, const char *group, const char *kind)
{
    const char *name = *group ? arena_strndup(a, group, strcspn(group, ".")) : "core";
    return arena_printf(a, "%s.%s", name, kind);
}

/* Built-in kinds may leave kind and apiVersion out; another kind cannot be converted into this one.
 */
static int check_builtin_type(struct api_request *rq, const char *kind, const char *api_version)
{
    const struct served_kind *sk = rq->kind;
    const struct kube_resource *r = &sk->k->resource;
    bool same = (str_empty(kind) || STREQ(kind, r->kind)) &&
                (str_empty(api_version) || STREQ(api_version, sk->api_version));
    if (same)
        return 0;
    if (str_empty(kind))
        kind = r->kind;
    if (str_empty(api_version))
        api_version = sk->api_version;
    const char *version = version_of(api_version);
    if (api_type_find(api_version, kind))
        return fail_decode(rq, kind, version,
                           arena_printf(rq->a, "converting (%s.%s) to (%s): unknown conversion",
                                        version, kind, internal_type(rq->a, r->group, r->kind)));
    return fail_decode(
        rq, kind, version,
        arena_printf(rq->a,
                     "no kind \"%s\" is registered for version \"%s\" in scheme \"" GO_SCHEME "\"",
                     kind, api_version));
}

int write_check_custom_type(struct api_request *rq, const struct json *obj)
{
    const char *kind = json_find_str(obj, "kind"), *api_version = json_find_str(obj, "apiVersion");
    const struct served_kind *sk = rq->kind;
    if (str_empty(kind))
        return fail_unrecognized(rq,
                                 arena_printf(rq->a, "Object 'Kind' is missing in '%s'", rq->body));
    if (!str_eq(api_version, sk->api_version))
        return request_failf(
            rq, "BadRequest",
            "the API version in the data (%s) does not match the expected API version (%s)",
            api_version ? api_version : "", sk->api_version);
    if (STREQ(kind, sk->k->resource.kind))
        return 0;
    struct field_errors errors = { .arena = rq->a };
    field_errors_add(&errors, "FieldValueInvalid", "kind", "Invalid value: %s: must be %s",
                     go_quote(rq->a, kind), sk->k->resource.kind);
    return request_fail(rq, status_invalid(rq->a, sk->k->resource.group, kind, meta_name(obj),
                                           &errors));
}

/* ---- decoding ----------------------------------------------------------------------------------------------------- */

int write_decode(struct api_request *rq, struct json *obj, struct json *unknown, struct error **err)
{
    const struct served_kind *sk = rq->kind;
    const struct kube_resource *r = &sk->k->resource;
    /* An empty list cannot be told from none once it is decoded. */
    rq->forget_managers = managed_is_reset(json_find(obj, "metadata", "managedFields"));
    if (!sk->k->schema)
        return api_type_decode(rq->a, api_type_find(sk->api_version, r->kind), obj, unknown, err);
    int n = object_meta_decode(rq->a, obj, unknown, err);
    if (n < 0)
        return n;
    struct json *pruned = json_new_array(rq->a);
    schema_prune(rq->a, sk->k->schema, obj, pruned);
    JSON_FOREACH(it, pruned)
        json_append(unknown, json_clone(rq->a, it.value));
    return 0;
}

/* Protobuf says what it is before it goes on; obj is NULL when it did not get as far. */
static int fail_body(struct api_request *rq, const struct json *obj, int r)
{
    if (!str_eq(json_find_str(rq->failure, "reason"), "BadRequest"))
        return r;
    const char *why = json_find_str(rq->failure, "message");
    if (!request_is_protobuf(rq))
        return fail_syntax(rq, why);
    return obj ? fail_decode(rq, json_find_str(obj, "kind"),
                             version_of(json_find_str(obj, "apiVersion")), why)
               : fail_unrecognized(rq, why);
}

int write_read(struct api_request *rq, struct json **ret)
{
    struct json *duplicates = NULL, *obj = NULL;
    int r = request_parse_body(rq, &obj,
                               rq->validation == FIELD_VALIDATION_IGNORE ? NULL : &duplicates);
    if (r < 0)
        return fail_body(rq, obj, r);
    if (!json_is_object(obj))
        return fail_syntax(
            rq, arena_printf(rq->a, "json: cannot unmarshal %s into Go value of type " GO_TYPE_META,
                             json_type_name(json_type(obj))));
    r = rq->kind->k->builtin
            ? check_builtin_type(rq, json_find_str(obj, "kind"), json_find_str(obj, "apiVersion"))
            : write_check_custom_type(rq, obj);
    if (r < 0)
        return r;
    json_set_str(rq->a, obj, "kind", rq->kind->k->resource.kind);
    json_set_str(rq->a, obj, "apiVersion", rq->kind->api_version);
    struct json *unknown = json_new_array(rq->a);
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (write_decode(rq, obj, unknown, &err) < 0)
        return fail_decode(rq, rq->kind->k->resource.kind, rq->kind->k->resource.version,
                           error_message(err));
    r = warn_or_fail_unknown(rq, unknown, duplicates);
    *ret = obj;
    return r;
}
