/* Which type the bytes of a protobuf body have: the one that its envelope says, else the one that
 * the request is about. */
#include "apiserver/protobuf.h"
#include "apiserver/registry.h"
#include "apiserver/request.h"
#include "apiserver/types_internal.h"
#include "base/str.h"
#include "json/build.h"

/* Custom resources have no protobuf form. The options of their deletion have. */
bool request_takes_protobuf(const struct api_request *rq)
{
    return rq->kind->k->builtin || STREQ(rq->method, "DELETE");
}

bool request_is_protobuf(const struct api_request *rq)
{
    return rq->content_type && request_media_type_is(rq->content_type, PROTOBUF_MEDIA_TYPE);
}

static const char *expected_kind(const struct api_request *rq)
{
    if (STREQ(rq->method, "DELETE"))
        return "DeleteOptions";
    return str_eq(rq->sub, "binding") ? "Binding" : rq->kind->k->resource.kind;
}

/* Options of requests are the same in every group and version. */
static const struct api_type *type_of(const char *api_version, const char *kind)
{
    return STREQ(kind, "DeleteOptions") ? api_type_struct("v1.DeleteOptions")
                                        : api_type_find(api_version, kind);
}

int request_parse_protobuf(struct api_request *rq, struct json **ret)
{
    struct arena *a = rq->a;
    struct protobuf_envelope e;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (protobuf_open(a, rq->body, rq->body_len, &e, &err) < 0)
        return request_failf(rq, "BadRequest", "%s", error_message(err));
    if (!*e.api_version)
        e.api_version = rq->kind->api_version;
    if (!*e.kind)
        e.kind = expected_kind(rq);
    *ret = OBJ("kind", STR(e.kind), "apiVersion", STR(e.api_version));
    /* of another kind no more is needed: it is refused by its name */
    const struct api_type *t = type_of(e.api_version, e.kind);
    if (t && protobuf_decode(a, t, e.raw, e.raw_len, *ret, &err) < 0)
        return request_failf(rq, "BadRequest", "%s", error_message(err));
    return 0;
}
