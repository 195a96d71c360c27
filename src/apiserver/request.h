/* One request on its way through the server, and its reply. Both live as long as the request's
 * arena.
 *
 * A function that cannot go on leaves a Status in `failure` and returns a negative error code;
 * handler.c turns it into the answer, in-process callers look at the code. */
#pragma once

#include "apiserver/status.h"
#include "apiserver/strategy.h"

struct apiserver;
struct registry;
struct served_kind;
struct api_stream;

enum accept_as {
    ACCEPT_PLAIN,
    ACCEPT_TABLE,
    ACCEPT_PARTIAL,
    ACCEPT_PARTIAL_LIST,
    ACCEPT_DISCOVERY_V2,
    ACCEPT_DISCOVERY_V2BETA1
};

/* What the client wants to read, out of its Accept header. */
struct accepted {
    enum accept_as as;
    bool yaml;
    const char *version; /* of the Table or PartialObjectMetadata: "v1", "v1beta1" */
};

enum field_validation { FIELD_VALIDATION_WARN, FIELD_VALIDATION_STRICT, FIELD_VALIDATION_IGNORE };

struct query_param {
    const char *name;
    const char *value;
};

struct api_request {
    /* ---- from whoever received it; borrowed */
    struct apiserver *server;
    struct arena *a;
    const char *method;
    const char *path;          /* decoded, without query */
    const char *raw_query;     /* NULL or "": none */
    const char *content_type;  /* NULL: application/json */
    const char *accept;        /* NULL: application/json */
    const char *if_none_match; /* NULL: none */
    const char *user_agent;    /* NULL: none */
    const char *body;
    size_t body_len;

    /* ---- from the path and the headers (handler.c) */
    struct registry *registry;
    const struct served_kind *kind;
    const char *ns;   /* "" when none */
    const char *name; /* "" when none */
    const char *sub;  /* subresource, "" when none */
    struct accepted accepted;
    struct query_param *params;
    size_t param_count;
    bool dry_run;
    enum field_validation validation;
    struct json *warnings; /* array of strings */
    bool forget_managers;  /* the body asks for metadata.managedFields to be emptied */

    struct json *failure; /* a Status */
};

struct api_header {
    const char *name;
    const char *value;
};

#define API_MAX_HEADERS 36 /* warnings included */

struct api_reply {
    int status;
    const char *content_type;
    struct buf body;
    struct kube_object *object; /* when set, its text is the body (a reference) */
    struct api_stream *stream;  /* when set, the body is to come: stream.h */
    struct api_header headers[API_MAX_HEADERS];
    size_t header_count;
};
void api_reply_done(struct api_reply *r);
void api_reply_header(struct api_reply *r, const char *name, const char *value);
const char *api_reply_body(const struct api_reply *r, size_t *ret_len);
/* Answers with a value, as JSON or YAML. */
void api_reply_json(struct api_request *rq, struct api_reply *r, int status, const struct json *v);

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* Splits the query. -ERROR_INVALID for bad escapes. */
int request_parse_query(struct api_request *rq);
const char *request_param(const struct api_request *rq,
                          const char *name); /* decoded first value; NULL when absent */
bool request_flag(const struct api_request *rq, const char *name); /* "1", "true" and so on */
/* Picks the first acceptable type; fails with 406. */
int request_parse_accept(struct api_request *rq);
/* dryRun and fieldValidation of writes. kind: "CreateOptions" … for the message. */
int request_parse_write_options(struct api_request *rq, const char *kind);
/* Those that only patches have: fieldManager must be given to apply, force only then. */
int request_check_apply_options(struct api_request *rq, bool apply);
/* The body as a JSON value, whatever its format; ret_duplicates (may be NULL): messages about
 * duplicate fields. When protobuf breaks off behind its envelope, *ret has kind and apiVersion in
 * spite of the failure. */
int request_parse_body(struct api_request *rq, struct json **ret, struct json **ret_duplicates);
/* The part of it that is about protobuf. */
bool request_takes_protobuf(const struct api_request *rq);
bool request_is_protobuf(const struct api_request *rq);
int request_parse_protobuf(struct api_request *rq, struct json **ret);
bool request_media_type_is(const char *content_type, const char *type); /* parameters are ignored */

/* ---- failing: all return the negative code -------------------------------------------------------------------- */

int request_fail(struct api_request *rq, struct json *status);
int request_failf(struct api_request *rq, const char *reason, const char *fmt, ...)
    ATTR_PRINTF(3, 4);
int request_fail_error(struct api_request *rq, const struct error *err);
/* A Status without a reason: what the API server makes of errors that it does not know. */
int request_fail_unnamed(struct api_request *rq, int code, const char *message);
/* Those that name the request's resource and object. */
int request_fail_not_found(struct api_request *rq, const char *name);
int request_fail_exists(struct api_request *rq, const char *name);
int request_fail_conflict(struct api_request *rq, const char *name);
int request_fail_conflict_text(struct api_request *rq, const char *resource, const char *name,
                               const char *text);
int request_fail_invalid(struct api_request *rq, const char *name,
                         const struct field_errors *errors);
int request_fail_unknown_path(struct api_request *rq);
int request_fail_method(struct api_request *rq);
void request_warn(struct api_request *rq, const char *fmt, ...) ATTR_PRINTF(2, 3);
