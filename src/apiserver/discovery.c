#include "apiserver/discovery.h"

#include "apiserver/registry.h"
#include "apiserver/scale.h"
#include "apiserver/server.h"
#include "base/str.h"
#include "http/crypto.h"
#include "json/build.h"

/* The version whose API this is; clients choose their behaviour by it. */
#define MAJOR "1"
#define MINOR "32"
#define GIT_VERSION "v1.32.0+kaito"

/* clang-format off */
int discovery_version(struct api_request *rq, struct api_reply *reply)
{
    struct arena *a = rq->a;
    api_reply_json(rq, reply, 200,
                   OBJ("major", STR(MAJOR), "minor", STR(MINOR), "gitVersion", STR(GIT_VERSION), "gitCommit", STR(KAITO_VERSION),
                       "gitTreeState", STR("clean"), "buildDate", STR("2026-01-01T00:00:00Z"), "goVersion", STR("none"),
                       "compiler", STR("gcc"), "platform", STR("linux/amd64")));
    return 0;
}
/* clang-format on */

/* ---- resources ---------------------------------------------------------------------------------------------------- */

static struct json *words(struct arena *a, const char *const *list)
{
    struct json *out = EMPTY_ARR();
    for (; list && *list; list++)
        json_append(out, STR(*list));
    return out;
}

static struct json *words_or_none(struct arena *a, const char *const *list)
{
    return list && *list ? words(a, list) : NULL;
}

static struct json *kind_verbs(struct arena *a, const struct api_kind *k)
{
    if (k->builtin && STREQ(k->resource.plural, "namespaces"))
        return ARR(STR("create"), STR("delete"), STR("get"), STR("list"), STR("patch"),
                   STR("update"), STR("watch"));
    if (!k->builtin)
        return ARR(STR("delete"), STR("deletecollection"), STR("get"), STR("list"), STR("patch"),
                   STR("create"), STR("update"), STR("watch"));
    return ARR(STR("create"), STR("delete"), STR("deletecollection"), STR("get"), STR("list"),
               STR("patch"), STR("update"), STR("watch"));
}

/* The subresources that are served. */
struct sub {
    const char *name;
    struct json *verbs;
    const char *kind;            /* NULL: the resource's own */
    const char *group, *version; /* of that kind; NULL: the resource's own */
};

#define MAX_SUBRESOURCES 4

static struct sub scale_sub(struct arena *a)
{
    return (struct sub){ "scale", ARR(STR("get"), STR("patch"), STR("update")), "Scale",
                         "autoscaling", "v1" };
}

static size_t subresources(struct arena *a, const struct api_kind *k,
                           struct sub out[MAX_SUBRESOURCES])
{
    size_t n = 0;
    if (k->builtin && STREQ(k->resource.plural, "namespaces"))
        out[n++] = (struct sub){ "finalize", ARR(STR("update")) };
    if (k->builtin && STREQ(k->resource.plural, "pods")) {
        out[n++] = (struct sub){ "binding", ARR(STR("create")), "Binding" };
        out[n++] = (struct sub){ "log", ARR(STR("get")) };
    }
    /* built-in kinds have them in the order of the alphabet, custom ones as they are declared */
    if (k->builtin && scale_served(k))
        out[n++] = scale_sub(a);
    if (k->has_status)
        out[n++] = (struct sub){ "status", ARR(STR("get"), STR("patch"), STR("update")) };
    if (!k->builtin && scale_served(k))
        out[n++] = scale_sub(a);
    return n;
}

#define HASH_BYTES 8

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Tells clients when objects are stored in another version than before; none where they are not
 * stored at all. */
static struct json *storage_version_hash(struct arena *a, const struct api_kind *k)
{
    const struct kube_resource *r = &k->resource;
    const char *version = k->builtin ? r->version : k->storage_version;
    if (!version)
        return NULL;
    const char *text = arena_printf(a, "%s/%s/%s", r->group, version, r->kind);
    char hex[SHA256_HEX_SIZE], digest[HASH_BYTES];
    sha256_hex(text, strlen(text), hex);
    for (size_t i = 0; i < HASH_BYTES; i++)
        digest[i] = (char)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return STR(base64_encode(a, digest, HASH_BYTES));
}

/* clang-format off */
static void append_resources(struct arena *a, const struct api_kind *k, struct json *list)
{
    const struct kube_resource *r = &k->resource;
    json_append(list, OBJ("name", STR(r->plural),
                          "singularName", STR(k->singular),
                          "namespaced", BOOL(r->namespaced),
                          "kind", STR(r->kind),
                          "verbs", kind_verbs(a, k),
                          "shortNames", words_or_none(a, k->short_names),
                          "categories", words_or_none(a, k->categories),
                          "storageVersionHash", storage_version_hash(a, k)));
    struct sub subs[MAX_SUBRESOURCES];
    size_t n = subresources(a, k, subs);
    for (size_t i = 0; i < n; i++)
        json_append(list, OBJ("name", STRF("%s/%s", r->plural, subs[i].name),
                              "singularName", STR(""),
                              "namespaced", BOOL(r->namespaced),
                              "group", STR(subs[i].group),
                              "version", STR(subs[i].version),
                              "kind", STR(subs[i].kind ? subs[i].kind : r->kind),
                              "verbs", subs[i].verbs));
}
/* clang-format on */

int discovery_resources(struct api_request *rq, const char *group, const char *version,
                        struct api_reply *reply)
{
    struct arena *a = rq->a;
    struct json *list = EMPTY_ARR();
    for (size_t i = 0; i < registry_count(rq->registry); i++) {
        const struct served_kind *sk = registry_at(rq->registry, i);
        if (sk->served && STREQ(sk->k->resource.group, group) &&
            STREQ(sk->k->resource.version, version))
            append_resources(a, sk->k, list);
    }
    if (json_size(list) == 0)
        return -ERROR_NOT_FOUND;
    const char *group_version = *group ? arena_printf(a, "%s/%s", group, version) : version;
    api_reply_json(rq, reply, 200,
                   OBJ("kind", STR("APIResourceList"), "apiVersion", *group ? STR("v1") : NULL,
                       "groupVersion", STR(group_version), "resources", list));
    return 0;
}

/* ---- groups ------------------------------------------------------------------------------------------------------- */

/* Calls for each served version once: the registry is sorted by group and preference. */
static const struct served_kind *next_version(const struct registry *r, size_t *at,
                                              const struct served_kind *before)
{
    for (; *at < registry_count(r); (*at)++) {
        const struct served_kind *sk = registry_at(r, *at);
        bool same = before && STREQ(sk->k->resource.group, before->k->resource.group) &&
                    STREQ(sk->k->resource.version, before->k->resource.version);
        if (sk->served && !same)
            return sk;
    }
    return NULL;
}

static struct json *group_object(struct arena *a, const struct registry *r, const char *group)
{
    struct json *versions = EMPTY_ARR();
    size_t at = 0;
    for (const struct served_kind *sk = NULL; (sk = next_version(r, &at, sk));) {
        if (STREQ(sk->k->resource.group, group))
            json_append(versions, OBJ("groupVersion", STR(sk->api_version), "version",
                                      STR(sk->k->resource.version)));
    }
    if (json_size(versions) == 0)
        return NULL;
    return OBJ("name", STR(group), "versions", versions, "preferredVersion",
               json_clone(a, json_at(versions, 0)));
}

int discovery_group(struct api_request *rq, const char *group, struct api_reply *reply)
{
    struct arena *a = rq->a;
    struct json *g = *group ? group_object(a, rq->registry, group) : NULL;
    if (!g)
        return -ERROR_NOT_FOUND;
    struct json *out = OBJ("kind", STR("APIGroup"), "apiVersion", STR("v1"));
    JSON_FOREACH(it, g)
        json_set(a, out, it.key, json_clone(a, it.value));
    api_reply_json(rq, reply, 200, out);
    return 0;
}

/* ---- aggregated --------------------------------------------------------------------------------------------------- */

/* Built-in kinds leave group and version to the document around them. */
static struct json *response_kind(struct arena *a, const struct api_kind *k, const struct sub *s)
{
    const struct kube_resource *r = &k->resource;
    const char *kind = s ? s->kind : NULL;
    if (s && s->group)
        return OBJ("group", STR(s->group), "version", STR(s->version), "kind", STR(kind));
    return OBJ("group", STR(k->builtin ? "" : r->group), "version",
               STR(k->builtin ? "" : r->version), "kind", STR(kind ? kind : r->kind));
}

/* clang-format off */
static struct json *aggregated_resource(struct arena *a, const struct api_kind *k)
{
    const struct kube_resource *r = &k->resource;
    struct json *subs = EMPTY_ARR();
    struct sub list[MAX_SUBRESOURCES];
    size_t n = subresources(a, k, list);
    for (size_t i = 0; i < n; i++)
        json_append(subs, OBJ("subresource", STR(list[i].name),
                              "responseKind", response_kind(a, k, &list[i]),
                              "verbs", list[i].verbs));
    return OBJ("resource", STR(r->plural),
               "responseKind", response_kind(a, k, NULL),
               "scope", STR(r->namespaced ? "Namespaced" : "Cluster"),
               "singularResource", STR(k->singular),
               "verbs", kind_verbs(a, k),
               "shortNames", words_or_none(a, k->short_names),
               "categories", words_or_none(a, k->categories),
               "subresources", json_size(subs) ? subs : NULL);
}
/* clang-format on */

static struct json *aggregated_version(struct arena *a, const struct registry *r,
                                       const struct served_kind *first)
{
    struct json *resources = EMPTY_ARR();
    for (size_t i = 0; i < registry_count(r); i++) {
        const struct served_kind *sk = registry_at(r, i);
        if (sk->served && STREQ(sk->api_version, first->api_version))
            json_append(resources, aggregated_resource(a, sk->k));
    }
    return OBJ("version", STR(first->k->resource.version), "resources", resources, "freshness",
               STR("Current"));
}

static int reply_aggregated(struct api_request *rq, struct api_reply *reply, bool core)
{
    struct arena *a = rq->a;
    const char *version = rq->accepted.as == ACCEPT_DISCOVERY_V2 ? "v2" : "v2beta1";
    const char *etag =
        arena_printf(a, "\"%llu-%s-%d\"", (unsigned long long)registry_generation(rq->registry),
                     version, core);
    api_reply_header(reply, "ETag", etag);
    api_reply_header(reply, "Vary", "Accept");
    if (str_eq(rq->if_none_match, etag)) {
        reply->status = 304;
        return 0;
    }
    struct json *items = EMPTY_ARR(), *group = NULL;
    const char *name = NULL;
    size_t at = 0;
    for (const struct served_kind *sk = NULL; (sk = next_version(rq->registry, &at, sk));) {
        const char *of = sk->k->resource.group;
        if ((*of == '\0') != core)
            continue;
        if (!str_eq(name, of)) {
            group = OBJ("metadata", OBJ("name", *of ? STR(of) : NULL), "versions", EMPTY_ARR());
            json_append(items, group);
            name = of;
        }
        json_append(json_get(group, "versions"), aggregated_version(a, rq->registry, sk));
    }
    api_reply_json(rq, reply, 200,
                   OBJ("kind", STR("APIGroupDiscoveryList"), "apiVersion",
                       STRF("apidiscovery.k8s.io/%s", version), "metadata", EMPTY_OBJ(), "items",
                       items));
    reply->content_type =
        arena_printf(a, "application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList",
                     version);
    return 0;
}

static bool wants_aggregated(const struct api_request *rq)
{
    return rq->accepted.as == ACCEPT_DISCOVERY_V2 || rq->accepted.as == ACCEPT_DISCOVERY_V2BETA1;
}

int discovery_core_versions(struct api_request *rq, struct api_reply *reply)
{
    if (wants_aggregated(rq))
        return reply_aggregated(rq, reply, true);
    struct arena *a = rq->a;
    const struct apiserver_options *o = &rq->server->o;
    const char *address =
        arena_printf(a, "%s:%d", o->service_address ? o->service_address : "127.0.0.1",
                     (int)o->service_port);
    api_reply_json(rq, reply, 200,
                   OBJ("kind", STR("APIVersions"), "versions", ARR(STR("v1")),
                       "serverAddressByClientCIDRs",
                       ARR(OBJ("clientCIDR", STR("0.0.0.0/0"), "serverAddress", STR(address)))));
    return 0;
}

int discovery_groups(struct api_request *rq, struct api_reply *reply)
{
    if (wants_aggregated(rq))
        return reply_aggregated(rq, reply, false);
    struct arena *a = rq->a;
    struct json *groups = EMPTY_ARR();
    const char *last = "";
    for (size_t i = 0; i < registry_count(rq->registry); i++) {
        const char *group = registry_at(rq->registry, i)->k->resource.group;
        if (!STREQ(group, last))
            json_append(groups, group_object(a, rq->registry, group));
        last = group;
    }
    api_reply_json(rq, reply, 200,
                   OBJ("kind", STR("APIGroupList"), "apiVersion", STR("v1"), "groups", groups));
    return 0;
}
