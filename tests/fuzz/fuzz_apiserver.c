/* One request to a server in memory: METHOD PATH, then header lines (Content-Type, Accept), an
 * empty line, the body. Whatever it is, the answer is a status with a body that is valid, and the
 * server goes on: after each request a known object reads as before, or is gone for a reason.
 *
 * Objects pile up, so the server is a new one from time to time. */
#include "apiserver/apiserver.h"
#include "base/str.h"
#include "fuzz.h"
#include "json/json.h"

#define LIFE 500 /* requests */

static const char thing_crd[] =
    "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\","
    "\"metadata\":{\"name\":\"things.t.io\"},\"spec\":{\"group\":\"t.io\",\"scope\":\"Namespaced\","
    "\"names\":{\"kind\":\"Thing\",\"plural\":\"things\"},\"versions\":[{\"name\":\"v1\",\"served\":true,"
    "\"storage\":true,\"subresources\":{\"status\":{}},\"selectableFields\":[{\"jsonPath\":\".spec.color\"}],"
    "\"additionalPrinterColumns\":[{\"name\":\"S\",\"type\":\"integer\",\"jsonPath\":\".spec.size\"}],"
    "\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\","
    "\"properties\":{\"size\":{\"type\":\"integer\",\"minimum\":1},\"color\":{\"type\":\"string\","
    "\"default\":\"red\",\"enum\":[\"red\",\"blue\"]},\"tags\":{\"type\":\"array\",\"items\":{\"type\":"
    "\"string\"}}}},\"status\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}}},"
    "{\"name\":\"v2\",\"served\":true,\"storage\":false,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\","
    "\"x-kubernetes-preserve-unknown-fields\":true}}}]}}";

static const char *const seeds[][2] = {
    { "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", thing_crd },
    { "/apis/t.io/v1/namespaces/default/things",
      "{\"apiVersion\":\"t.io/v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"size\":3}}" },
    { "/api/v1/namespaces/default/configmaps",
      "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}" },
    { "/api/v1/namespaces/default/pods",
      "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}" },
    { "/api/v1/namespaces/default/services",
      "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"ports\":[{\"port\":80}],\"selector\":{\"a\":\"b\"}}}" },
};

/* The server's threads allocate and free between and during requests, which the fuzzer takes for
 * leaks of the request. Leaks are looked for by the unit tests. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static struct apiserver *server;
static struct kube_transport *transport;
static int age;

static int call(const struct kube_request *request, struct kube_response *ret)
{
    *ret = (struct kube_response){ 0 };
    int r = transport->ops->call(transport, request, ret, NULL);
    return r < 0 ? r : ret->status;
}

static void new_server(void)
{
    if (server) {
        kube_transport_free(transport);
        apiserver_free(server);
    }
    must(apiserver_new(&(struct apiserver_options){ .service_cidr = "127.96.0.0/16" }, &server,
                       NULL) == 0);
    transport = apiserver_transport(server);
    age = 0;
    for (size_t i = 0; i < COUNT_OF(seeds); i++) {
        struct kube_request request = { .method = "POST",
                                        .path = seeds[i][0],
                                        .body = seeds[i][1],
                                        .body_len = strlen(seeds[i][1]) };
        struct kube_response response;
        must(call(&request, &response) == 201);
        buf_done(&response.body);
    }
}

/* Takes a line out of the text; NULL at its end. */
static char *take_line(char **text)
{
    char *line = *text;
    if (!line)
        return NULL;
    char *end = strchr(line, '\n');
    *text = end ? end + 1 : NULL;
    if (end)
        *end = '\0';
    return line;
}

static void check(const struct kube_response *r, const char *accept)
{
    AUTO_ARENA a = arena_new();
    struct json *v;
    must(r->status >= 200 && r->status < 600);
    must(r->status != 500 || strstr(buf_str(&r->body), "InternalError") == NULL);
    bool json = buf_str(&r->body)[0] == '{' && !(accept && strstr(accept, "yaml"));
    must(!json || json_parse(a, r->body.data, r->body.len, &v, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!server || age++ == LIFE)
        new_server();
    AUTO_ARENA a = arena_new();
    char *text = arena_strndup(a, (const char *)data, size);
    struct kube_request request = { 0 };
    char *line = take_line(&text), *space = line ? strchr(line, ' ') : NULL;
    if (!space)
        return 0;
    *space = '\0';
    request.method = line;
    request.path = space + 1;
    while ((line = take_line(&text)) && *line) {
        if (str_has_prefix(line, "Content-Type: "))
            request.content_type = line + strlen("Content-Type: ");
        else if (str_has_prefix(line, "Accept: "))
            request.accept = line + strlen("Accept: ");
    }
    request.body = text ? text : "";
    request.body_len = strlen(request.body);
    struct kube_response response;
    if (call(&request, &response) >= 0)
        check(&response, request.accept);
    buf_done(&response.body);
    return 0;
}
