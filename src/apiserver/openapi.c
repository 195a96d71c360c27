/* The OpenAPI documents, as far as kubectl reads them: schemas to explain, and that PATCH takes
 * fieldValidation, so that unknown fields are found by the server and not by the client. Strategic
 * merge patches are not announced here: kubectl then uses its own knowledge of the built-in kinds,
 * which is the same. */
#include "apiserver/openapi.h"
#include "apiserver/discovery.h"
#include "apiserver/registry.h"
#include "base/str.h"
#include "json/build.h"

static struct json *info(struct arena *a)
{
    return OBJ("title", STR("Kubernetes"), "version", STR("v1.32.0"));
}

/* swagger "2.0", info {title, version}, no paths, no definitions: protobuf of a document that says
 * nothing. */
static const char empty_v2[] = "\x0a\x03"
                               "2.0"
                               "\x12\x15\x0a\x0aKubernetes\x12\x07v1.32.0\x42\x00\x4a\x00";

int discovery_openapi_v2(struct api_request *rq, struct api_reply *reply)
{
    struct arena *a = rq->a;
    if (rq->accept && strstr(rq->accept, "protobuf")) {
        reply->status = 200;
        /* also to those who ask for "v2@v1.0", a media type that nobody can read */
        reply->content_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        reply->body = (struct buf)BUF_INIT(1 * KIB);
        buf_append(&reply->body, empty_v2, sizeof empty_v2 - 1);
        return 0;
    }
    api_reply_json(rq, reply, 200,
                   OBJ("swagger", STR("2.0"), "info", info(a), "paths", EMPTY_OBJ(), "definitions",
                       EMPTY_OBJ()));
    return 0;
}

/* "api/v1", "apis/apps/v1" */
static const char *document_of(struct arena *a, const struct served_kind *sk)
{
    return arena_printf(a, "%s/%s", *sk->k->resource.group ? "apis" : "api", sk->api_version);
}

int discovery_openapi_v3_index(struct api_request *rq, struct api_reply *reply)
{
    struct arena *a = rq->a;
    struct json *paths = EMPTY_OBJ();
    for (size_t i = 0; i < registry_count(rq->registry); i++) {
        const struct served_kind *sk = registry_at(rq->registry, i);
        const char *name = document_of(a, sk);
        if (sk->served && !json_get(paths, name))
            json_set(a, paths, name,
                     OBJ("serverRelativeURL",
                         STRF("/openapi/v3/%s?hash=%llu", name,
                              (unsigned long long)registry_generation(rq->registry))));
    }
    api_reply_json(rq, reply, 200, OBJ("paths", paths));
    return 0;
}

static struct json *query_parameter(struct arena *a, const char *name, const char *type)
{
    return OBJ("name", STR(name), "in", STR("query"), "schema",
               OBJ("type", STR(type), "uniqueItems", BOOL(true)));
}

static struct json *gvk_of(struct arena *a, const struct kube_resource *r)
{
    return OBJ("group", STR(r->group), "version", STR(r->version), "kind", STR(r->kind));
}

/* clang-format off */
static struct json *operation(struct arena *a, const struct kube_resource *r, const char *action, bool writes, bool patches)
{
    struct json *body = OBJ("schema", OBJ("type", STR("object")));
    struct json *content = !patches ? OBJ("application/json", body)
                                    : OBJ("application/json-patch+json", body,
                                          "application/merge-patch+json", json_clone(a, body));
    return OBJ("operationId", STRF("%s%s%s", action, r->version, r->kind),
               "parameters", writes ? ARR(query_parameter(a, "dryRun", "string"), query_parameter(a, "fieldManager", "string"),
                                          query_parameter(a, "fieldValidation", "string"))
                                    : NULL,
               "requestBody", writes ? OBJ("content", content) : NULL,
               "responses", OBJ("200", OBJ("description", STR("OK"))),
               "x-kubernetes-action", STR(action),
               "x-kubernetes-group-version-kind", gvk_of(a, r));
}
/* clang-format on */

/* "io.k8s.api.apps.v1.StatefulSet", "sh.kaito.v1beta1.Workspace" */
static const char *schema_name(struct arena *a, const struct served_kind *sk)
{
    const struct kube_resource *r = &sk->k->resource;
    if (sk->k->builtin) {
        const char *group = *r->group ? arena_strndup(a, r->group, strcspn(r->group, ".")) : "core";
        return arena_printf(a, "io.k8s.api.%s.%s.%s", group, r->version, r->kind);
    }
    size_t n = 0;
    char **parts = str_split(a, r->group, '.', &n);
    AUTO_BUF name = BUF_INIT(1 * KIB);
    while (n-- > 0)
        buf_printf(&name, "%s.", parts[n]);
    return arena_printf(a, "%s%s.%s", buf_str(&name), r->version, r->kind);
}

static void add_kind(struct api_request *rq, const struct served_kind *sk, struct json *paths,
                     struct json *schemas)
{
    struct arena *a = rq->a;
    const struct kube_resource *r = &sk->k->resource;
    const char *list = arena_printf(a, "/%s/%s%s", document_of(a, sk),
                                    r->namespaced ? "namespaces/{namespace}/" : "", r->plural);
    const char *one = arena_printf(a, "%s/{name}", list);
    json_set(a, paths, list,
             OBJ("get", operation(a, r, "list", false, false), "post",
                 operation(a, r, "post", true, false)));
    json_set(a, paths, one,
             OBJ("get", operation(a, r, "get", false, false), "put",
                 operation(a, r, "put", true, false), "patch", operation(a, r, "patch", true, true),
                 "delete", operation(a, r, "delete", false, false)));
    struct json *schema = openapi_schema(rq, sk, schemas);
    json_set(a, schema, "x-kubernetes-group-version-kind", ARR(gvk_of(a, r)));
    json_set(a, schemas, schema_name(a, sk), schema);
}

int discovery_openapi_v3(struct api_request *rq, const char *document, struct api_reply *reply)
{
    struct arena *a = rq->a;
    struct json *paths = EMPTY_OBJ(), *schemas = EMPTY_OBJ();
    for (size_t i = 0; i < registry_count(rq->registry); i++) {
        const struct served_kind *sk = registry_at(rq->registry, i);
        if (sk->served && STREQ(document_of(a, sk), document))
            add_kind(rq, sk, paths, schemas);
    }
    if (json_size(paths) == 0)
        return request_fail_unknown_path(rq);
    api_reply_json(rq, reply, 200,
                   OBJ("openapi", STR("3.0.0"), "info", info(a), "paths", paths, "components",
                       OBJ("schemas", schemas)));
    return 0;
}
