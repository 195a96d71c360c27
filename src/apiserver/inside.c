#include "apiserver/inside.h"

#include <string.h>

#include "apiserver/handler.h"
#include "apiserver/stream.h"
#include "http/server.h"

int inside_request(struct apiserver *s, struct arena *a, const char *method, const char *path,
                   const char *content_type, const struct json *body, struct json **ret)
{
    const char *query = strchr(path, '?');
    size_t path_len = query ? (size_t)(query - path) : strlen(path);
    char *decoded = arena_alloc(a, path_len + 1);
    if (http_url_decode(path, path_len, false, decoded) < 0)
        return -ERROR_INVALID;
    struct api_request rq = {
        .server = s,
        .a = a,
        .method = method,
        .path = decoded,
        .raw_query = query ? query + 1 : NULL,
        .content_type = content_type,
        .user_agent = "kube-apiserver",
        .body = body ? json_text(a, body) : "",
    };
    rq.body_len = strlen(rq.body);
    struct api_reply reply;
    api_handle(&rq, &reply);
    if (reply.stream)
        reply.stream->ops->drop(reply.stream);
    size_t len = 0;
    const char *text = api_reply_body(&reply, &len);
    struct json *value = NULL;
    json_parse(a, text, len, &value, NULL);
    if (ret)
        *ret = value;
    int r = reply.status < 300 ? 0 : value ? status_result(value) : -ERROR_NOT_FOUND;
    api_reply_done(&reply);
    return r;
}
