#include "apiserver/bootstrap.h"

#include <stdio.h>

#include "apiserver/inside.h"
#include "apiserver/namespace.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

static int fail(const struct json *status, const char *what, struct error **err)
{
    const char *message = json_find_str(status, "message");
    return error_set(err, ERROR_INTERNAL, "cannot make %s: %s", what,
                     message ? message : "no reason given");
}

struct new_namespace {
    const char *name;
    int64_t now_wall_ns;
};

/* As a create would make it. All of them are one transaction, so that the first start waits for the
 * disk once. */
static int decide_namespace(void *ctx, const struct kube_object *current, struct arena *a,
                            struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    const struct new_namespace *n = ctx;
    *ret_unchanged = current != NULL;
    if (current)
        return 0;
    char uid[37], now[TIME_RFC3339_SIZE];
    rand_uuid(uid);
    time_format_rfc3339(n->now_wall_ns, now);
    struct json *fields =
        OBJ("f:metadata",
            OBJ("f:labels", OBJ(".", EMPTY_OBJ(), "f:kubernetes.io/metadata.name", EMPTY_OBJ())));
    struct json *manager =
        OBJ("manager", STR("kube-apiserver"), "operation", STR("Update"), "apiVersion", STR("v1"),
            "time", STR(now), "fieldsType", STR("FieldsV1"), "fieldsV1", fields);
    struct json *labels = OBJ("kubernetes.io/metadata.name", STR(n->name));
    *ret_next = OBJ("kind", STR("Namespace"), "apiVersion", STR("v1"), "metadata",
                    OBJ("name", STR(n->name), "uid", STR(uid), "creationTimestamp", STR(now),
                        "labels", labels, "managedFields", ARR(manager)),
                    "spec", OBJ("finalizers", ARR(STR(NAMESPACE_FINALIZER))), "status",
                    OBJ("phase", STR("Active")));
    return 0;
}

int bootstrap(struct apiserver *s, struct error **err)
{
    static const char *const names[] = { "default", "kube-node-lease", "kube-public",
                                         "kube-system" };
    struct store_ticket *tickets[COUNT_OF(names)];
    size_t n = 0;
    int r = 0;
    for (; n < COUNT_OF(names) && r == 0; n += r == 0) {
        struct new_namespace x = { names[n], clock_wall(s->clock) };
        r = store_stage(s->store, NAMESPACES_RESOURCE, "", names[n], decide_namespace, &x,
                        &tickets[n], err);
    }
    for (size_t i = 0; i < n; i++) {
        int finished = store_finish(tickets[i], NULL, r == 0 ? err : NULL);
        r = r < 0 ? r : finished;
    }
    return r;
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
