#include "apiserver/patch.h"

#include "apiserver/fields/request.h"
#include "apiserver/registry.h"
#include "apiserver/rest_write.h"
#include "apiserver/types.h"
#include "base/str.h"
#include "yaml/yaml.h"
#include "json/build.h"

#define MAX_OPERATIONS 10000

static const struct {
    const char *type;
    enum patch_kind kind;
} types[] = {
    { "application/json-patch+json", PATCH_JSON },
    { "application/merge-patch+json", PATCH_MERGE },
    { "application/strategic-merge-patch+json", PATCH_STRATEGIC },
    { "application/apply-patch+yaml", PATCH_APPLY },
};

static int fail_type(struct api_request *rq)
{
    struct arena *a = rq->a;
    if (rq->kind->k->builtin)
        return request_fail(rq, status_make(a, "UnsupportedMediaType",
                                            "415: Unsupported Media Type", EMPTY_OBJ()));
    return request_failf(
        rq, "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
}

static int parse_apply(struct api_request *rq, struct patch *ret)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    const struct yaml_limits limits = { .repeated = json_new_array(rq->a) };
    struct json *documents = NULL;
    if (yaml_parse_all(rq->a, rq->body, rq->body_len, &limits, &documents, &err) < 0)
        return request_failf(rq, "BadRequest", "error decoding YAML: %s", error_message(err));
    ret->value = json_at(documents, 0); /* others are not looked at */
    ret->duplicates = limits.repeated;
    if (json_is_object(ret->value) || json_is_null(ret->value))
        return 0;
    return request_failf(
        rq, "BadRequest",
        "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal %s into Go value "
        "of type map[string]interface {}",
        json_is_bool(ret->value) ? "bool" : json_type_name(json_type(ret->value)));
}

int patch_parse(struct api_request *rq, struct patch *ret)
{
    const char *content_type = rq->content_type ? rq->content_type : "";
    *ret = (struct patch){ 0 };
    size_t i = 0;
    while (i < COUNT_OF(types) && !request_media_type_is(content_type, types[i].type))
        i++;
    if (i == COUNT_OF(types) || (types[i].kind == PATCH_STRATEGIC && !rq->kind->k->builtin))
        return fail_type(rq);
    ret->kind = types[i].kind;
    int r = request_check_apply_options(rq, ret->kind == PATCH_APPLY);
    if (r < 0 || ret->kind == PATCH_APPLY)
        return r < 0 ? r : parse_apply(rq, ret);

    struct json *duplicates = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (json_parse_strict(rq->a, rq->body, rq->body_len, &ret->value, &duplicates, &err) < 0) {
        const char *why = strstr(error_message(err), "unexpected end")
                              ? "unexpected end of JSON input"
                              : error_message(err);
        return request_failf(rq, "BadRequest", "error decoding patch: %s", why);
    }
    ret->duplicates = duplicates;
    bool fits = ret->kind == PATCH_JSON ? json_is_array(ret->value) : json_is_object(ret->value);
    if (!fits)
        return request_failf(
            rq, "BadRequest",
            "error decoding patch: json: cannot unmarshal %s into Go value of type %s",
            json_type_name(json_type(ret->value)),
            ret->kind == PATCH_JSON ? "[]handlers.jsonPatchOp" : "map[string]interface {}");
    if (ret->kind == PATCH_JSON && json_size(ret->value) > MAX_OPERATIONS)
        return request_failf(rq, "RequestEntityTooLarge",
                             "The allowed maximum operations in a JSON patch is %d, got %zu",
                             MAX_OPERATIONS, json_size(ret->value));
    return 0;
}

/* ---- applying ----------------------------------------------------------------------------------------------------- */

static int fail_patched(struct api_request *rq, const char *shown, const char *why)
{
    struct field_errors errors = { .arena = rq->a };
    field_errors_add(&errors, "FieldValueInvalid", "patch", "Invalid value: %s: %s",
                     go_quote(rq->a, shown), why);
    return request_fail(rq, status_invalid(rq->a, "", "", "", &errors));
}

/* What the merge finds on its way is the server's own fault in the real one's answers. */
static int fail_strategic(struct api_request *rq, const struct patch *p, const struct error *err)
{
    const char *reason = error_reason(err);
    if (str_eq(reason, "InternalError"))
        return request_fail_unnamed(rq, 500, error_message(err));
    if (str_eq(reason, "Invalid"))
        return fail_patched(rq, go_print(rq->a, p->value), error_message(err));
    return request_failf(rq, "BadRequest", "%s", error_message(err));
}

static int run(struct api_request *rq, const struct patch *p, struct json *target,
               struct json **ret)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct arena *a = rq->a;
    const struct served_kind *sk = rq->kind;
    switch (p->kind) {
    case PATCH_MERGE:
        *ret = json_merge_patch(a, target, p->value);
        return 0;
    case PATCH_JSON:
        if (json_patch(a, target, p->value, ret, &err) < 0)
            return request_fail(rq, status_make(a, "Invalid", error_message(err), EMPTY_OBJ()));
        return 0;
    case PATCH_STRATEGIC:
        if (api_strategic_merge(a, api_type_find(sk->api_version, sk->k->resource.kind), target,
                                p->value, ret, &err) < 0)
            return fail_strategic(rq, p, err);
        return 0;
    case PATCH_APPLY:
        break;
    }
    return 0;
}

/* A patch cannot make another kind of an object. */
static int check_type(struct api_request *rq, const struct json *obj, const char *shown)
{
    const char *kind = json_find_str(obj, "kind"), *api_version = json_find_str(obj, "apiVersion");
    if (!rq->kind->k->builtin)
        return write_check_custom_type(rq, obj);
    if (str_eq(kind, rq->kind->k->resource.kind) && str_eq(api_version, rq->kind->api_version))
        return 0;
    return fail_patched(
        rq, shown,
        arena_printf(
            rq->a,
            "no kind %s is registered for version %s in scheme \"pkg/runtime/scheme.go:111\"",
            go_quote(rq->a, kind ? kind : ""), go_quote(rq->a, api_version ? api_version : "")));
}

/* Keys that are there twice in what was applied. */
static int tell_repeated(struct api_request *rq, const struct json *repeated)
{
    AUTO_BUF text = BUF_INIT(MIB);
    JSON_FOREACH(it, repeated)
        buf_printf(&text, "\n  %s", json_string(it.value));
    if (json_size(repeated) == 0 || rq->validation == FIELD_VALIDATION_IGNORE)
        return 0;
    if (rq->validation == FIELD_VALIDATION_STRICT)
        return request_failf(rq, "BadRequest",
                             "error strict decoding YAML: error converting YAML to JSON: yaml: "
                             "unmarshal errors:%s",
                             buf_str(&text));
    JSON_FOREACH(it, repeated)
        request_warn(rq, "%s", json_string(it.value));
    return 0;
}

int patch_apply(struct api_request *rq, const struct patch *p, const struct json *old,
                struct json **ret)
{
    if (p->kind == PATCH_APPLY) {
        int applied = fields_apply(rq, p->value, old, ret);
        return applied < 0 ? applied : tell_repeated(rq, p->duplicates);
    }
    struct json *obj = NULL;
    int r = run(rq, p, json_clone(rq->a, old), &obj);
    if (r < 0)
        return r;
    if (!json_is_object(obj))
        return request_failf(rq, "BadRequest", "the patch does not leave an object");
    /* The message shows the patched object, or the patch as a Go map when it was a strategic one.
     */
    const char *shown =
        p->kind == PATCH_STRATEGIC ? go_print(rq->a, p->value) : json_text(rq->a, obj);
    r = check_type(rq, obj, shown);
    if (r < 0)
        return r;
    struct json *unknown = json_new_array(rq->a);
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (write_decode(rq, obj, unknown, &err) < 0)
        return fail_patched(rq, shown, error_message(err));
    if (rq->validation == FIELD_VALIDATION_STRICT &&
        (json_size(unknown) || json_size(p->duplicates)))
        return fail_patched(rq, shown, write_strict_text(rq->a, unknown, p->duplicates));
    if (rq->validation == FIELD_VALIDATION_WARN)
        write_warn_unknown(rq, unknown, p->duplicates);
    *ret = obj;
    return 0;
}
