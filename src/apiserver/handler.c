/* Paths as the API server has them: /api/v1/…, /apis/GROUP/VERSION/…, then
 * [namespaces/NS/]RESOURCE[/NAME[/SUBRESOURCE]]. */
#include "apiserver/handler.h"

#include "apiserver/binding.h"
#include "apiserver/discovery.h"
#include "apiserver/rest.h"
#include "apiserver/scale.h"
#include "apiserver/server.h"
#include "apiserver/stream.h"
#include "base/str.h"
#include "json/build.h"

#define MAX_PATH 4096
#define MAX_SEGMENTS 16

typedef int handler_fn(struct api_request *rq, struct api_reply *reply);

/* ---- paths that are no resources ---------------------------------------------------------------------------------- */

static void reply_text(struct api_reply *reply, int status, const char *text)
{
    reply->status = status;
    reply->content_type = "text/plain; charset=utf-8";
    reply->body = (struct buf)BUF_INIT(64 * KIB);
    buf_puts(&reply->body, text);
}

static int health(struct api_request *rq, struct api_reply *reply)
{
    reply_text(reply, 200, "ok");
    return 0;
}

static const struct {
    const char *path;
    handler_fn *get;
} fixed[] = {
    { "/healthz", health },
    { "/livez", health },
    { "/readyz", health },
    { "/version", discovery_version },
    { "/api", discovery_core_versions },
    { "/apis", discovery_groups },
    { "/openapi/v2", discovery_openapi_v2 },
    { "/openapi/v3", discovery_openapi_v3_index },
};

static handler_fn *find_fixed(const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        if (strlen(fixed[i].path) == len && strncmp(fixed[i].path, path, len) == 0)
            return fixed[i].get;
    }
    return NULL;
}

static int page_not_found(struct api_reply *reply)
{
    reply_text(reply, 404, "404 page not found\n");
    return 0;
}

/* ---- resources ---------------------------------------------------------------------------------------------------- */

struct route {
    const char *group, *version;
    char **rest; /* segments behind the version */
    size_t count;
};

static bool parse_route(struct api_request *rq, struct route *r)
{
    if (strlen(rq->path) > MAX_PATH)
        return false;
    size_t n = 0;
    char **all = str_split(rq->a, rq->path + 1, '/', &n);
    while (n > 0 && !*all[n - 1])
        n--;
    if (n > MAX_SEGMENTS)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!*all[i])
            return false;
    }
    if (n >= 2 && STREQ(all[0], "api")) {
        *r = (struct route){ "", all[1], all + 2, n - 2 };
        return STREQ(all[1], "v1");
    }
    if (n >= 2 && STREQ(all[0], "apis")) {
        *r = (struct route){ all[1], n > 2 ? all[2] : NULL, all + 3, n > 3 ? n - 3 : 0 };
        return true;
    }
    return false;
}

static bool is_namespace_subresource(const char *s)
{
    return STREQ(s, "status") || STREQ(s, "finalize");
}

/* Below a group that is served the API speaks; elsewhere it is a web server. */
static int not_found(struct api_request *rq, const struct route *r, struct api_reply *reply)
{
    return registry_is_builtin_group(rq->registry, r->group) ? request_fail_unknown_path(rq)
                                                             : page_not_found(reply);
}

/* Fills in kind, ns, name and sub. False: no such resource. */
static bool resolve(struct api_request *rq, const struct route *r)
{
    char **at = r->rest;
    size_t n = r->count;
    bool in_namespace =
        n > 2 && STREQ(at[0], "namespaces") && !(n == 3 && is_namespace_subresource(at[2]));
    if (in_namespace) {
        rq->ns = at[1];
        at += 2;
        n -= 2;
    }
    rq->kind = registry_find(rq->registry, r->group, r->version, at[0]);
    if (!rq->kind || n > 3 || (in_namespace && !rq->kind->k->resource.namespaced))
        return false;
    if (n > 1)
        rq->name = at[1];
    if (n > 2)
        rq->sub = at[2];
    /* Objects of all namespaces can be listed only. */
    return !(rq->kind->k->resource.namespaced && !in_namespace && n > 1);
}

static const struct {
    const char *plural; /* NULL: every kind with a status */
    const char *sub;
    const char *methods;
} subresources[] = {
    { NULL, "status", "GET PUT PATCH" },
    { "pods", "binding", "POST" },
    { "pods", "log", "GET" },
    { "namespaces", "finalize", "PUT" },
};

static bool has_word(const char *words, const char *word)
{
    const char *at = strstr(words, word);
    size_t len = strlen(word);
    return at && (at == words || at[-1] == ' ') && (at[len] == ' ' || !at[len]);
}

/* 0; negative: failed. *ret_found false: no such subresource. */
static int check_subresource(struct api_request *rq, bool *ret_found)
{
    const struct api_kind *k = rq->kind->k;
    *ret_found = true;
    if (STREQ(rq->sub, ""))
        return 0;
    if (STREQ(rq->sub, "scale") && scale_served(k))
        return has_word("GET PUT PATCH", rq->method) ? 0 : request_fail_method(rq);
    for (size_t i = 0; i < COUNT_OF(subresources); i++) {
        bool kind = subresources[i].plural
                        ? k->builtin && STREQ(subresources[i].plural, k->resource.plural)
                        : k->has_status;
        if (kind && STREQ(subresources[i].sub, rq->sub))
            return has_word(subresources[i].methods, rq->method) ? 0 : request_fail_method(rq);
    }
    static const char *const known[] = { "exec",   "attach",   "portforward",
                                         "proxy",  "eviction", "ephemeralcontainers",
                                         "resize", "token" };
    for (size_t i = 0; k->builtin && i < COUNT_OF(known); i++) {
        if (STREQ(known[i], rq->sub))
            return request_failf(rq, "MethodNotAllowed", "%s/%s is not supported by this server",
                                 k->resource.plural, rq->sub);
    }
    *ret_found = false;
    return 0;
}

static int read_resource(struct api_request *rq, struct api_reply *reply)
{
    if (STREQ(rq->sub, "log"))
        return pod_log_request(rq, reply);
    if (STREQ(rq->sub, "scale"))
        return scale_get(rq, reply);
    if (!STREQ(rq->name, ""))
        return rest_get(rq, reply);
    return request_flag(rq, "watch") ? watch_request(rq, reply) : rest_list(rq, reply);
}

static int run_verb(struct api_request *rq, struct api_reply *reply)
{
    bool named = !STREQ(rq->name, ""),
         anywhere = rq->kind->k->resource.namespaced && STREQ(rq->ns, "");
    if (STREQ(rq->method, "GET"))
        return read_resource(rq, reply);
    if (STREQ(rq->sub, "binding"))
        return binding_create(rq, reply);
    if (STREQ(rq->method, "POST") && !named && !anywhere)
        return rest_create(rq, reply);
    if (STREQ(rq->method, "PUT") && named)
        return rest_update(rq, reply);
    if (STREQ(rq->method, "PATCH") && named)
        return rest_patch(rq, reply);
    if (STREQ(rq->method, "DELETE") && named)
        return rest_delete(rq, reply);
    if (STREQ(rq->method, "DELETE") && !anywhere && !STREQ(rq->kind->resource, "/namespaces"))
        return rest_delete_collection(rq, reply);
    return request_fail_method(rq);
}

static bool include_object_is_valid(const char *s)
{
    return str_empty(s) || STREQ(s, "Metadata") || STREQ(s, "Object") || STREQ(s, "None");
}

static int handle_resource(struct api_request *rq, const struct route *r, struct api_reply *reply)
{
    if (!resolve(rq, r))
        return not_found(rq, r, reply);
    bool found = false;
    int status = check_subresource(rq, &found);
    if (status < 0)
        return status;
    if (!found && !rq->kind->k->builtin)
        return request_fail_not_found(rq, rq->name);
    if (!found)
        return not_found(rq, r, reply);
    if (rq->accepted.as == ACCEPT_TABLE &&
        !include_object_is_valid(request_param(rq, "includeObject")))
        return request_failf(
            rq, "BadRequest",
            "Unable to convert to Table as requested: includeObject: Invalid value: %s: must be 'Metadata', "
            "'Object', 'None', or empty",
            go_quote(rq->a, request_param(rq, "includeObject")));
    if (rq->kind->deprecation)
        request_warn(rq, "%s", rq->kind->deprecation);
    return run_verb(rq, reply);
}

static int route_request(struct api_request *rq, struct api_reply *reply)
{
    handler_fn *get = find_fixed(rq->path);
    bool reads = STREQ(rq->method, "GET");
    int r = request_parse_query(rq);
    if (r == 0)
        r = request_parse_accept(rq);
    const char *document = str_skip_prefix(rq->path, "/openapi/v3/");
    if (!reads && (get || document))
        return request_fail_method(rq);
    if (r < 0 && !STREQ(rq->path, "/openapi/v2"))
        return r;
    rq->failure = NULL;
    if (get)
        return get(rq, reply);
    if (document)
        return discovery_openapi_v3(rq, document, reply);
    struct route route;
    if (!parse_route(rq, &route))
        return str_has_prefix(rq->path, "/api/") ? request_fail_unknown_path(rq)
                                                 : page_not_found(reply);
    if (!route.version || route.count == 0) {
        if (!reads)
            return request_fail_method(rq);
        r = route.version ? discovery_resources(rq, route.group, route.version, reply)
                          : discovery_group(rq, route.group, reply);
        return r == -ERROR_NOT_FOUND && !rq->failure ? not_found(rq, &route, reply) : r;
    }
    return handle_resource(rq, &route, reply);
}

/* ---- the answer --------------------------------------------------------------------------------------------------- */

/* Every warning once, in quotes. */
static void add_warnings(struct api_request *rq, struct api_reply *reply)
{
    struct arena *a = rq->a;
    struct json *seen = EMPTY_OBJ();
    JSON_FOREACH(it, rq->warnings) {
        const char *text = json_string(it.value);
        if (!text || json_get(seen, text))
            continue;
        json_set_bool(a, seen, text, true);
        text = str_replace(a, str_replace(a, text, "\\", "\\\\"), "\"", "\\\"");
        text = str_replace(a, str_replace(a, text, "\n", " "), "\r", " ");
        api_reply_header(reply, "Warning", arena_printf(a, "299 - \"%s\"", text));
    }
}

static void reply_failure(struct api_request *rq, struct api_reply *reply)
{
    int64_t retry = json_find_int(rq->failure, 0, "details", "retryAfterSeconds");
    if (str_eq(json_find_str(rq->failure, "reason"), "TooManyRequests"))
        retry = MAX(retry, (int64_t)1);
    if (retry > 0)
        api_reply_header(reply, "Retry-After", arena_printf(rq->a, "%lld", (long long)retry));
    rq->accepted = (struct accepted){ .yaml = rq->accepted.yaml };
    api_reply_done(reply);
    api_reply_json(rq, reply, (int)json_find_int(rq->failure, 500, "code"), rq->failure);
}

void api_handle(struct api_request *rq, struct api_reply *reply)
{
    *reply = (struct api_reply){ 0 };
    CLEANUP(registry_cleanup) struct registry *registry = apiserver_kinds(rq->server);
    rq->registry = registry;
    rq->ns = rq->name = rq->sub = "";
    rq->warnings = json_new_array(rq->a);
    if (rq->path[0] != '/')
        page_not_found(reply);
    else if (route_request(rq, reply) < 0)
        reply_failure(rq, reply);
    add_warnings(rq, reply);
}

bool api_is_quick(const char *method, const char *path, const char *raw_query, const char *accept)
{
    if (!STREQ(method, "GET") || (raw_query && strstr(raw_query, "pretty")) ||
        (accept && strstr(accept, "as=")))
        return false;
    /* One object: RESOURCE and NAME stand behind /namespaces/NS, or directly behind the version. */
    size_t slashes = 0;
    for (const char *p = path; *p; p++)
        slashes += *p == '/';
    bool core = str_has_prefix(path, "/api/"), group = str_has_prefix(path, "/apis/");
    bool in_namespace = strstr(path, "/namespaces/") != NULL;
    if (core)
        return slashes == 4 || (in_namespace && slashes == 6);
    if (group)
        return slashes == 5 || (in_namespace && slashes == 7);
    return !str_has_prefix(path, "/openapi");
}
