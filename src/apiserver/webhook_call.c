/* One call of a webhook over HTTPS, and what counts as an answer. Errors are in the words of the
 * real API server as far as its users see them in every cluster. */
#include <stdlib.h>

#include "apiserver/admission.h"
#include "apiserver/server.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/client.h"
#include "http/crypto.h"
#include "json/build.h"

#define DEFAULT_TIMEOUT_S 10
#define MAX_ANSWER (3 * MIB)
#define MAX_BUNDLES 32 /* CA bundles that one client holds; a new one is made for more */

/* ---- the client -------------------------------------------------------------------------------------------------- */

/* Connections are kept by their TLS settings, whose texts must live as long as the client. */
struct caller {
    int refs;
    struct http_client *http;
    struct map *bundles; /* CA bundle -> struct http_tls, by server name and bundle */
};

struct webhook_callers {
    pthread_mutex_t lock;
    struct caller *now;
};

struct bundle {
    char *ca_pem, *server_name; /* NULL: the system's; the URL's host */
    struct http_tls tls;
};

static void bundle_free(void *value)
{
    struct bundle *b = value;
    free(b->ca_pem);
    free(b->server_name);
    free(b);
}

/* The last reference is dropped without the lock. */
static void caller_free(struct caller *c)
{
    http_client_free(c->http);
    map_free(c->bundles);
    free(c);
}

struct webhook_callers *webhook_callers_new(void)
{
    struct webhook_callers *c = NEW0(struct webhook_callers);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void caller_unref(struct webhook_callers *all, struct caller *c)
{
    bool last;
    {
        LOCK(&all->lock);
        last = --c->refs == 0;
    }
    if (last)
        caller_free(c);
}

void webhook_callers_free(struct webhook_callers *c)
{
    if (!c)
        return;
    if (c->now)
        caller_unref(c, c->now);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* With the lock held. */
static int caller_renew(struct webhook_callers *all, struct caller **ret_old, struct error **err)
{
    struct caller *c = NEW0(struct caller);
    int r =
        http_client_new(&(struct http_client_options){ .user_agent = "kube-apiserver-admission" },
                        &c->http, err);
    if (r < 0) {
        free(c);
        return r;
    }
    c->refs = 1;
    c->bundles = map_new(bundle_free);
    *ret_old = all->now;
    all->now = c;
    return 0;
}

/* A client and TLS settings that last until caller_unref(). */
static int caller_take(struct webhook_callers *all, const char *ca_pem, const char *server_name,
                       struct caller **ret, const struct http_tls **ret_tls, struct error **err)
{
    AUTO_FREE char *key = mem_printf("%s\n%s", str_or_empty(server_name), str_or_empty(ca_pem));
    struct caller *old = NULL;
    int r = 0;
    {
        LOCK(&all->lock);
        if (!all->now ||
            (!map_has(all->now->bundles, key) && map_size(all->now->bundles) >= MAX_BUNDLES))
            r = caller_renew(all, &old, err);
        if (r == 0) {
            struct bundle *b = map_get(all->now->bundles, key);
            if (!b) {
                b = NEW0(struct bundle);
                b->ca_pem = mem_strdup(ca_pem);
                b->server_name = mem_strdup(server_name);
                b->tls = (struct http_tls){ .ca_pem = b->ca_pem, .server_name = b->server_name };
                map_set(all->now->bundles, key, b);
            }
            all->now->refs++;
            *ret = all->now;
            *ret_tls = &b->tls;
        }
    }
    if (old)
        caller_unref(all, old);
    return r;
}

/* ---- where it is -------------------------------------------------------------------------------------------------- */

struct target {
    const char *named;       /* the URL that is told in errors */
    const char *url;         /* the URL that is called */
    const char *server_name; /* of the certificate; NULL: the URL's host */
    const char *ca_pem;
    int64_t timeout_s;
};

/* Host and port behind a Service: its ClusterIP, or the host that it is an alias for. */
static int resolve_service(struct api_request *rq, const char *ns, const char *name, int64_t port,
                           const char **ret, struct error **err)
{
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = store_get(rq->server->store, "/services", ns, name);
    if (!o)
        return error_set(err, ERROR_UNAVAILABLE, "service %s not found", go_quote(rq->a, name));
    const struct json *spec = json_get(kube_object_parse(rq->a, o), "spec");
    if (str_eq(json_find_str(spec, "type"), "ExternalName")) {
        *ret = arena_printf(rq->a, "%s:%lld", str_or_empty(json_find_str(spec, "externalName")),
                            (long long)port);
        return 0;
    }
    bool found = false;
    JSON_FOREACH(it, json_get(spec, "ports")) {
        found = found || json_find_int(it.value, 0, "port") == port;
    }
    if (!found)
        return error_set(err, ERROR_UNAVAILABLE, "no service port %lld found for service %s",
                         (long long)port, go_quote(rq->a, name));
    const char *ip = json_find_str(spec, "clusterIP");
    if (str_empty(ip) || STREQ(ip, "None"))
        return error_set(err, ERROR_UNAVAILABLE,
                         "service %s has no ClusterIP; webhooks behind headless Services are not "
                         "reached by this server",
                         go_quote(rq->a, name));
    *ret = arena_printf(rq->a, "%s:%lld", ip, (long long)port);
    return 0;
}

static int find_service(struct api_request *rq, const struct json *service, const char *query,
                        struct target *ret, struct error **err)
{
    struct arena *a = rq->a;
    const char *ns = str_or_empty(json_find_str(service, "namespace"));
    const char *name = str_or_empty(json_find_str(service, "name"));
    const char *path = str_or_empty(json_find_str(service, "path"));
    int64_t port = json_find_int(service, 443, "port");
    const char *slash = path[0] == '/' ? "" : "/", *at = NULL;
    ret->server_name = arena_printf(a, "%s.%s.svc", name, ns);
    ret->named = arena_printf(a, "https://%s:%lld%s%s%s", ret->server_name, (long long)port, slash,
                              path, query);
    int r = resolve_service(rq, ns, name, port, &at, err);
    if (r < 0)
        return error_prefix(err, r, "Post %s", go_quote(a, ret->named));
    ret->url = arena_printf(a, "https://%s%s%s%s", at, slash, path, query);
    return 0;
}

static int find_target(struct api_request *rq, const struct json *webhook, struct target *ret,
                       struct error **err)
{
    struct arena *a = rq->a;
    const struct json *client = json_get(webhook, "clientConfig");
    const char *bundle = json_find_str(client, "caBundle"), *url = json_find_str(client, "url");
    *ret =
        (struct target){ .timeout_s = json_find_int(webhook, DEFAULT_TIMEOUT_S, "timeoutSeconds") };
    char *pem = NULL;
    size_t len = 0;
    if (!str_empty(bundle) && base64_decode(a, bundle, strlen(bundle), &pem, &len) < 0)
        return error_set(err, ERROR_INVALID, "caBundle is not in base64");
    ret->ca_pem = pem;
    const char *query = arena_printf(a, "?timeout=%llds", (long long)ret->timeout_s);
    if (!url)
        return find_service(rq, json_get(client, "service"), query, ret, err);
    ret->url = ret->named =
        arena_printf(a, "%s%s%s", url, strchr(url + strlen("https://"), '/') ? "" : "/", query);
    return 0;
}

/* ---- what it says -------------------------------------------------------------------------------------------------- */

/* As the real server's client sums up an answer that is not the one that was hoped for. */
static int fail_status(struct api_request *rq, int status, const struct buf *body,
                       struct error **err)
{
    const char *text = go_quote(rq->a, str_trim(rq->a, buf_str(body)));
    switch (status) {
    case 400:
        return error_set(err, ERROR_UNAVAILABLE,
                         "the server rejected our request for an unknown reason");
    case 401:
        return error_set(err, ERROR_UNAVAILABLE,
                         "the server has asked for the client to provide credentials");
    case 403:
        return error_set(err, ERROR_UNAVAILABLE, "%s",
                         buf_str(body)[0] ? str_trim(rq->a, buf_str(body)) : "forbidden");
    case 404:
        return error_set(err, ERROR_UNAVAILABLE,
                         "the server could not find the requested resource");
    case 405:
        return error_set(err, ERROR_UNAVAILABLE,
                         "the server does not allow this method on the requested resource");
    case 429:
        return error_set(err, ERROR_UNAVAILABLE,
                         "the server has received too many requests and has asked us to try again "
                         "later");
    case 503:
        return error_set(err, ERROR_UNAVAILABLE,
                         "the server is currently unable to handle the request");
    default:
        if (status >= 500)
            return error_set(
                err, ERROR_UNAVAILABLE,
                "an error on the server (%s) has prevented the request from succeeding", text);
        return error_set(err, ERROR_UNAVAILABLE,
                         "the server responded with the status code %d but did not return more "
                         "information",
                         status);
    }
}

static int check_answer(struct api_request *rq, const struct json *review,
                        const struct json *answer, struct json **ret, struct error **err)
{
    const char *uid = str_or_empty(json_find_str(review, "request", "uid"));
    const char *kind = json_find_str(answer, "kind"),
               *version = json_find_str(answer, "apiVersion");
    struct json *response = json_get(answer, "response");
    if (!str_eq(kind, "AdmissionReview") || !str_eq(version, "admission.k8s.io/v1"))
        return error_set(
            err, ERROR_INVALID,
            "failed to call webhook: no kind %s is registered for version %s in scheme "
            "\"pkg/runtime/scheme.go:111\"",
            go_quote(rq->a, str_or_empty(kind)), go_quote(rq->a, str_or_empty(version)));
    if (!json_is_object(response))
        return error_set(err, ERROR_INVALID,
                         "received invalid webhook response: webhook response was absent");
    if (!str_eq(json_find_str(response, "uid"), uid))
        return error_set(err, ERROR_INVALID,
                         "received invalid webhook response: expected response.uid=%s, got %s",
                         go_quote(rq->a, uid),
                         go_quote(rq->a, str_or_empty(json_find_str(response, "uid"))));
    *ret = response;
    return 0;
}

/* What users look for in the documents of Kubernetes is said in its words. */
static int reworded(struct api_request *rq, int r, const struct target *t, struct error **err)
{
    const char *host = t->url + strlen("https://"), *text = error_message(*err), *said = NULL;
    int len = (int)strcspn(host, "/");
    if (r == -ERROR_TIMEOUT)
        said = "context deadline exceeded";
    else if (r == -ERROR_UNAVAILABLE && str_has_suffix(text, "refused"))
        said = arena_printf(rq->a, "dial tcp %.*s%s: connect: connection refused", len, host,
                            memchr(host, ':', (size_t)len) ? "" : ":443");
    else if (r == -ERROR_FORBIDDEN &&
             (strstr(text, "self-signed") || strstr(text, "unable to get local issuer")))
        said = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    if (said) {
        error_free(TAKE_PTR(*err));
        error_set(err, (enum error_code) - r, "%s", said);
    }
    return error_prefix(err, r, "Post %s", go_quote(rq->a, t->named));
}

static int post(struct api_request *rq, const struct target *t, const char *body,
                struct http_response *ret, struct error **err)
{
    struct caller *caller = NULL;
    const struct http_tls *tls = NULL;
    int r = caller_take(rq->server->webhook_callers, t->ca_pem, t->server_name, &caller, &tls, err);
    if (r < 0)
        return r;
    const struct http_header headers[] = { { "Content-Type", "application/json" },
                                           { "Accept", "application/json, */*" } };
    struct http_request request = {
        .method = "POST",
        .url = t->url,
        .headers = headers,
        .header_count = COUNT_OF(headers),
        .body = body,
        .body_len = strlen(body),
        .tls = tls,
        .timeout_ms = t->timeout_s * 1000,
        .max_response = MAX_ANSWER,
        .proxy = "",
    };
    r = http_call(caller->http, &request, ret, err);
    caller_unref(rq->server->webhook_callers, caller);
    return r < 0 ? reworded(rq, r, t, err) : 0;
}

int webhook_call(struct api_request *rq, const struct json *webhook, const struct json *review,
                 struct json **ret, struct error **err)
{
    static const char failed[] = "failed to call webhook";
    struct target t;
    int r = find_target(rq, webhook, &t, err);
    if (r < 0)
        return error_prefix(err, r, failed);
    struct http_response response = HTTP_RESPONSE_INIT;
    r = post(rq, &t, json_text(rq->a, review), &response, err);
    if (r < 0)
        return error_prefix(err, r, failed);
    struct json *answer = NULL;
    if (response.status != 200)
        r = error_prefix(err, fail_status(rq, response.status, &response.body, err), failed);
    else if (json_parse(rq->a, buf_str(&response.body), response.body.len, &answer, err) < 0)
        r = error_prefix(err, -ERROR_INVALID, failed);
    else
        r = check_answer(rq, review, answer, ret, err);
    http_response_done(&response);
    return r;
}
