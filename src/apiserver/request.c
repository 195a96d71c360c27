#include "apiserver/request.h"

#include <stdarg.h>

#include "apiserver/protobuf.h"
#include "apiserver/registry.h"
#include "base/str.h"
#include "http/server.h"
#include "kube/object.h"
#include "yaml/yaml.h"
#include "json/build.h"

#define MAX_PARAMS 64
#define MAX_ACCEPT 4096
#define MAX_CLAUSES 32
#define MAX_MANAGER 128 /* bytes */
#define MAX_REPLY (256 * MIB)

/* ---- query -------------------------------------------------------------------------------------------------------- */

int request_parse_query(struct api_request *rq)
{
    if (str_empty(rq->raw_query))
        return 0;
    size_t n = 0;
    char **parts = str_split(rq->a, rq->raw_query, '&', &n);
    if (n > MAX_PARAMS)
        return request_failf(rq, "BadRequest", "the query has more than %d parameters", MAX_PARAMS);
    rq->params = arena_alloc(rq->a, n * sizeof *rq->params);
    for (size_t i = 0; i < n; i++) {
        char *value = strchr(parts[i], '=');
        if (value)
            *value++ = '\0';
        else
            value = arena_strdup(rq->a, "");
        if (http_url_decode(parts[i], strlen(parts[i]), true, parts[i]) < 0 ||
            http_url_decode(value, strlen(value), true, value) < 0)
            return request_failf(rq, "BadRequest", "invalid URL escape in the query");
        rq->params[rq->param_count++] = (struct query_param){ parts[i], value };
    }
    return 0;
}

const char *request_param(const struct api_request *rq, const char *name)
{
    for (size_t i = 0; i < rq->param_count; i++) {
        if (STREQ(rq->params[i].name, name))
            return rq->params[i].value;
    }
    return NULL;
}

bool request_flag(const struct api_request *rq, const char *name)
{
    const char *value = request_param(rq, name);
    return value && !str_case_eq(value, "false") && !STREQ(value, "0");
}

/* ---- Accept ------------------------------------------------------------------------------------------------------- */

struct clause {
    const char *type;
    const char *as, *group, *version;
    double q;
};

static struct clause parse_clause(struct arena *a, const char *text)
{
    struct clause c = { .q = 1 };
    char **parts = str_split(a, text, ';', NULL);
    c.type = str_lower(a, str_trim(a, parts[0]));
    for (size_t i = 1; parts[i]; i++) {
        const char *p = str_trim(a, parts[i]), *value;
        if ((value = str_skip_prefix(p, "q=")))
            str_to_double(value, &c.q);
        else if ((value = str_skip_prefix(p, "as=")))
            c.as = value;
        else if ((value = str_skip_prefix(p, "g=")))
            c.group = value;
        else if ((value = str_skip_prefix(p, "v=")))
            c.version = value;
    }
    return c;
}

static bool accept_clause(const struct clause *c, struct accepted *ret)
{
    struct accepted x = { .version = c->version };
    if (STREQ(c->type, "application/yaml"))
        x.yaml = true;
    else if (!STREQ(c->type, "application/json") && !STREQ(c->type, "*/*") &&
             !STREQ(c->type, "application/*"))
        return false;
    if (c->as) {
        bool meta = str_eq(c->group, "meta.k8s.io") &&
                    (str_eq(c->version, "v1") || str_eq(c->version, "v1beta1"));
        bool discovery =
            STREQ(c->as, "APIGroupDiscoveryList") && str_eq(c->group, "apidiscovery.k8s.io");
        if (meta && STREQ(c->as, "Table"))
            x.as = ACCEPT_TABLE;
        else if (meta && STREQ(c->as, "PartialObjectMetadata"))
            x.as = ACCEPT_PARTIAL;
        else if (meta && STREQ(c->as, "PartialObjectMetadataList"))
            x.as = ACCEPT_PARTIAL_LIST;
        else if (discovery && str_eq(c->version, "v2"))
            x.as = ACCEPT_DISCOVERY_V2;
        else if (discovery && str_eq(c->version, "v2beta1"))
            x.as = ACCEPT_DISCOVERY_V2BETA1;
        else
            return false;
    }
    *ret = x;
    return true;
}

int request_parse_accept(struct api_request *rq)
{
    rq->accepted = (struct accepted){ 0 };
    if (str_empty(rq->accept) || STREQ(rq->accept, "application/json"))
        return 0;
    if (strlen(rq->accept) > MAX_ACCEPT)
        return request_failf(rq, "BadRequest", "the Accept header is longer than %d bytes",
                             MAX_ACCEPT);
    char **texts = str_split(rq->a, rq->accept, ',', NULL);
    double best = 0;
    for (size_t i = 0; texts[i] && i < MAX_CLAUSES; i++) {
        struct clause c = parse_clause(rq->a, texts[i]);
        struct accepted x;
        if (c.q > best && accept_clause(&c, &x)) {
            rq->accepted = x;
            best = c.q;
        }
    }
    if (best > 0)
        return 0;
    return request_fail(
        rq,
        status_make(
            rq->a, "NotAcceptable",
            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml",
            json_new_object(rq->a)));
}

/* ---- options of writes -------------------------------------------------------------------------------------------- */

static int fail_options(struct api_request *rq, const char *kind, const char *field,
                        const char *value, const char *supported)
{
    struct field_errors errors = { .arena = rq->a };
    field_errors_add(&errors, "FieldValueNotSupported", field,
                     "Unsupported value: %s: supported values: %s", value, supported);
    return request_fail(rq, status_invalid(rq->a, "meta.k8s.io", kind, "", &errors));
}

/* The position of the first character that cannot be seen; -1: there is none. */
static int64_t unseen(const char *s)
{
    for (size_t i = 0; s[i]; i++) {
        unsigned char c = (unsigned char)s[i], next = (unsigned char)s[i + 1];
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0xa0))
            return (int64_t)i;
    }
    return -1;
}

static int check_manager(struct api_request *rq, const char *kind)
{
    const char *manager = request_param(rq, "fieldManager");
    if (!manager || STREQ(kind, "DeleteOptions"))
        return 0;
    struct field_errors errors = { .arena = rq->a };
    if (strlen(manager) > MAX_MANAGER)
        field_errors_add(&errors, "FieldValueTooLong", "fieldManager",
                         "Too long: may not be more than %d bytes", MAX_MANAGER);
    int64_t at = unseen(manager);
    unsigned char c = at < 0 ? 0 : (unsigned char)manager[at];
    if (at >= 0)
        field_errors_add(&errors, "FieldValueInvalid", "fieldManager",
                         "Invalid value: %s: invalid character U+%04X (at position %lld)",
                         go_quote(rq->a, manager),
                         c == 0xc2 ? (unsigned char)manager[at + 1] : (unsigned)c, (long long)at);
    if (errors.count == 0)
        return 0;
    return request_fail(rq, status_invalid(rq->a, "meta.k8s.io", kind, "", &errors));
}

int request_parse_write_options(struct api_request *rq, const char *kind)
{
    const char *dry_run = request_param(rq, "dryRun");
    if (dry_run && !STREQ(dry_run, "All"))
        return fail_options(rq, kind, "dryRun",
                            arena_printf(rq->a, "[%s]", go_quote(rq->a, dry_run)), "\"All\"");
    rq->dry_run = dry_run != NULL;

    const char *validation = request_param(rq, "fieldValidation");
    if (str_empty(validation) || STREQ(validation, "Warn"))
        rq->validation = FIELD_VALIDATION_WARN;
    else if (STREQ(validation, "Strict"))
        rq->validation = FIELD_VALIDATION_STRICT;
    else if (STREQ(validation, "Ignore"))
        rq->validation = FIELD_VALIDATION_IGNORE;
    else
        return fail_options(rq, kind, "fieldValidation", go_quote(rq->a, validation),
                            "\"\", \"Ignore\", \"Strict\", \"Warn\"");
    return check_manager(rq, kind);
}

int request_check_apply_options(struct api_request *rq, bool apply)
{
    struct field_errors errors = { .arena = rq->a };
    if (!apply && request_param(rq, "force"))
        field_errors_add(&errors, "FieldValueForbidden", "force",
                         "Forbidden: may not be specified for non-apply patch");
    if (apply && str_empty(request_param(rq, "fieldManager")))
        field_errors_add(&errors, "FieldValueRequired", "fieldManager",
                         "Required value: is required for apply patch");
    if (errors.count == 0)
        return 0;
    return request_fail(rq, status_invalid(rq->a, "meta.k8s.io", "PatchOptions", "", &errors));
}

/* ---- body --------------------------------------------------------------------------------------------------------- */

bool request_media_type_is(const char *content_type, const char *type)
{
    size_t len = strcspn(content_type, "; ");
    return len == strlen(type) && strncasecmp(content_type, type, len) == 0;
}

int request_parse_body(struct api_request *rq, struct json **ret, struct json **ret_duplicates)
{
    const char *type = str_empty(rq->content_type) ? "application/json" : rq->content_type;
    bool yaml = request_media_type_is(type, "application/yaml");
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r;
    if (yaml)
        r = yaml_parse(rq->a, rq->body, rq->body_len, ret, &err);
    else if (request_is_protobuf(rq) && request_takes_protobuf(rq))
        return request_parse_protobuf(rq, ret);
    else if (!request_media_type_is(type, "application/json"))
        return request_failf(
            rq, "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml%s",
            request_takes_protobuf(rq) ? ", " PROTOBUF_MEDIA_TYPE : "");
    else if (ret_duplicates)
        r = json_parse_strict(rq->a, rq->body, rq->body_len, ret, ret_duplicates, &err);
    else
        r = json_parse(rq->a, rq->body, rq->body_len, ret, &err);
    if (r < 0)
        return request_failf(rq, "BadRequest", "%s", error_message(err));
    return 0;
}

/* ---- failing ------------------------------------------------------------------------------------------------------ */

int request_fail(struct api_request *rq, struct json *status)
{
    rq->failure = status;
    return status_result(status);
}

int request_failf(struct api_request *rq, const char *reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *message = arena_vprintf(rq->a, fmt, ap);
    va_end(ap);
    return request_fail(rq, status_make(rq->a, reason, message, NULL));
}

int request_fail_unnamed(struct api_request *rq, int code, const char *message)
{
    struct json *status = status_make(rq->a, NULL, message, NULL);
    json_set_int(rq->a, status, "code", code);
    request_fail(rq, status);
    return code < 500 ? -ERROR_INVALID : -ERROR_INTERNAL;
}

int request_fail_error(struct api_request *rq, const struct error *err)
{
    return request_fail(rq, status_from_error(rq->a, err));
}

static int fail_named(struct api_request *rq, const char *reason, const char *name,
                      const char *format)
{
    const struct kube_resource *r = &rq->kind->k->resource;
    const char *qualified = status_qualified(rq->a, r->group, r->plural);
    const char *quoted = go_quote(rq->a, name);
    const char *message = arena_printf(rq->a, "%s %s %s", qualified, quoted, format);
    return request_fail(rq, status_make(rq->a, reason, message,
                                        status_details(rq->a, r->group, r->plural, name)));
}

int request_fail_not_found(struct api_request *rq, const char *name)
{
    return fail_named(rq, "NotFound", name, "not found");
}

int request_fail_exists(struct api_request *rq, const char *name)
{
    return fail_named(rq, "AlreadyExists", name, "already exists");
}

int request_fail_conflict_text(struct api_request *rq, const char *resource, const char *name,
                               const char *text)
{
    const char *group = rq->kind->k->resource.group;
    const char *message =
        arena_printf(rq->a, "Operation cannot be fulfilled on %s %s: %s",
                     status_qualified(rq->a, group, resource), go_quote(rq->a, name), text);
    return request_fail(rq, status_make(rq->a, "Conflict", message,
                                        status_details(rq->a, group, resource, name)));
}

int request_fail_conflict(struct api_request *rq, const char *name)
{
    return request_fail_conflict_text(
        rq, rq->kind->k->resource.plural, name,
        "the object has been modified; please apply your changes to the latest version and try again");
}

int request_fail_invalid(struct api_request *rq, const char *name,
                         const struct field_errors *errors)
{
    const struct kube_resource *r = &rq->kind->k->resource;
    return request_fail(rq, status_invalid(rq->a, r->group, r->kind, name, errors));
}

int request_fail_unknown_path(struct api_request *rq)
{
    return request_fail(rq, status_make(rq->a, "NotFound",
                                        "the server could not find the requested resource",
                                        json_new_object(rq->a)));
}

int request_fail_method(struct api_request *rq)
{
    return request_fail(
        rq, status_make(rq->a, "MethodNotAllowed",
                        "the server does not allow this method on the requested resource",
                        json_new_object(rq->a)));
}

void request_warn(struct api_request *rq, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(rq->a, fmt, ap);
    va_end(ap);
    json_append(rq->warnings, json_new_string(rq->a, text));
}

/* ---- reply -------------------------------------------------------------------------------------------------------- */

void api_reply_done(struct api_reply *r)
{
    buf_done(&r->body);
    kube_object_unref(r->object);
    r->object = NULL;
}

void api_reply_header(struct api_reply *r, const char *name, const char *value)
{
    if (r->header_count < API_MAX_HEADERS)
        r->headers[r->header_count++] = (struct api_header){ name, value };
}

const char *api_reply_body(const struct api_reply *r, size_t *ret_len)
{
    *ret_len = r->object ? r->object->text_len : r->body.len;
    return r->object ? r->object->text : buf_str(&r->body);
}

void api_reply_json(struct api_request *rq, struct api_reply *r, int status, const struct json *v)
{
    r->status = status;
    r->body = (struct buf)BUF_INIT(MAX_REPLY);
    if (rq->accepted.yaml) {
        r->content_type = "application/yaml";
        yaml_write(v, &r->body);
        return;
    }
    r->content_type = "application/json";
    if (request_flag(rq, "pretty"))
        json_write_pretty(v, 2, &r->body);
    else
        json_write(v, &r->body);
}
