#include "apiserver/bootstrap.h"

#include <stdio.h>

#include "apiserver/inside.h"
#include "apiserver/namespace.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

static int fail(const struct json *status, const char *what, struct error **err)
{
    const char *message = json_find_str(status, "message");
    return error_set(err, ERROR_INTERNAL, "cannot make %s: %s", what,
                     message ? message : "no reason given");
}

static int make_namespace(struct apiserver *s, const char *name, struct error **err)
{
    CLEANUP(kube_object_cleanup)
    struct kube_object *have = store_get(s->store, NAMESPACES_RESOURCE, "", name);
    if (have)
        return 0;
    AUTO_ARENA a = arena_new();
    struct json *answer = NULL;
    int r = inside_request(s, a, "POST", "/api/v1/namespaces", NULL,
                           OBJ("metadata", OBJ("name", STR(name))), &answer);
    if (r == 0 || r == -ERROR_ALREADY_EXISTS)
        return 0;
    return fail(answer, arena_printf(a, "the namespace %s", name), err);
}

int bootstrap(struct apiserver *s, struct error **err)
{
    static const char *const names[] = { "default", "kube-node-lease", "kube-public",
                                         "kube-system" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        int r = make_namespace(s, names[i], err);
        if (r < 0)
            return r;
    }
    if (s->o.service_address && s->o.service_port)
        return bootstrap_service(s, s->o.service_address, s->o.service_port, err);
    return 0;
}

/* The first address of the range: "127.96.0.0/16" → "127.96.0.1". */
static const char *first_address(struct arena *a, const char *cidr)
{
    unsigned x[4] = { 0 };
    if (!cidr || sscanf(cidr, "%u.%u.%u.%u", &x[0], &x[1], &x[2], &x[3]) != 4)
        return NULL;
    return arena_printf(a, "%u.%u.%u.%u", x[0], x[1], x[2], x[3] + 1);
}

/* clang-format off */
static struct json *kubernetes_service(struct arena *a, const char *cluster_ip)
{
    return OBJ("metadata", OBJ("name", STR("kubernetes"),
                               "labels", OBJ("component", STR("apiserver"), "provider", STR("kubernetes"))),
               "spec", OBJ("type", STR("ClusterIP"),
                           "clusterIP", cluster_ip ? STR(cluster_ip) : NULL,
                           "ports", ARR(OBJ("name", STR("https"), "port", INT(443), "protocol", STR("TCP"),
                                            "targetPort", INT(6443)))));
}
/* clang-format on */

/* clang-format off */
static struct json *kubernetes_endpoints(struct arena *a, const char *address, uint16_t port)
{
    return OBJ("metadata", OBJ("name", STR("kubernetes")),
               "subsets", ARR(OBJ("addresses", ARR(OBJ("ip", STR(address))),
                                  "ports", ARR(OBJ("name", STR("https"), "port", INT(port), "protocol", STR("TCP"))))));
}
/* clang-format on */

int bootstrap_service(struct apiserver *s, const char *address, uint16_t port, struct error **err)
{
    AUTO_ARENA a = arena_new();
    CLEANUP(kube_object_cleanup)
    struct kube_object *have = store_get(s->store, "/services", "default", "kubernetes");
    struct json *answer = NULL;
    int r = 0;
    if (!have)
        r = inside_request(s, a, "POST", "/api/v1/namespaces/default/services", NULL,
                           kubernetes_service(a, first_address(a, s->o.service_cidr)), &answer);
    if (r == 0)
        r = inside_request(s, a, "PUT", "/api/v1/namespaces/default/endpoints/kubernetes", NULL,
                           kubernetes_endpoints(a, address, port), &answer);
    return r < 0 ? fail(answer, "the Service kubernetes", err) : 0;
}
