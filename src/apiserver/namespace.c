#include "apiserver/namespace.h"

#include "apiserver/rest.h"
#include "apiserver/server.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

int namespace_check_delete(struct api_request *rq)
{
    static const char *const kept[] = { "default", "kube-system", "kube-public" };
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        if (STREQ(rq->name, kept[i]))
            return request_fail(
                rq,
                status_make(rq->a, "Forbidden",
                            arena_printf(
                                rq->a,
                                "namespaces \"%s\" is forbidden: this namespace may not be deleted",
                                rq->name),
                            status_details(rq->a, "", "namespaces", rq->name)));
    }
    return 0;
}

void namespace_on_delete(struct api_request *rq, struct json *obj)
{
    json_del(json_get(obj, "metadata"), "deletionGracePeriodSeconds");
    json_set_str(rq->a, json_ensure_object(rq->a, obj, "status"), "phase", "Terminating");
}

bool namespace_holds(const struct json *obj)
{
    return json_size(json_find(obj, "spec", "finalizers")) > 0;
}

bool namespace_has_finalizer(const struct json *obj)
{
    JSON_FOREACH(it, json_find(obj, "spec", "finalizers")) {
        if (str_eq(json_string(it.value), NAMESPACE_FINALIZER))
            return true;
    }
    return false;
}

int rest_check_namespace(struct api_request *rq, const char *name, bool newest)
{
    if (!rq->kind->k->resource.namespaced)
        return 0;
    struct arena *a = rq->a;
    struct store *store = rq->server->store;
    CLEANUP(kube_object_cleanup)
    struct kube_object *ns = newest ? store_peek(store, NAMESPACES_RESOURCE, "", rq->ns)
                                    : store_get(store, NAMESPACES_RESOURCE, "", rq->ns);
    if (!ns)
        return request_fail(rq, status_make(a, "NotFound",
                                            arena_printf(a, "namespaces %s not found",
                                                         go_quote(a, rq->ns)),
                                            status_details(a, "", "namespaces", rq->ns)));
    if (!ns->deleting)
        return 0;
    const struct kube_resource *r = &rq->kind->k->resource;
    const char *message = arena_printf(
        a,
        "%s %s is forbidden: unable to create new content in namespace %s because it is being terminated",
        status_qualified(a, r->group, r->plural), go_quote(a, name), rq->ns);
    struct json *details = status_details(a, r->group, r->plural, name);
    json_set(a, details, "causes",
             ARR(OBJ("reason", STR("NamespaceTerminating"), "message",
                     STRF("namespace %s is being terminated", rq->ns), "field",
                     STR("metadata.namespace"))));
    return request_fail(rq, status_make(a, "Forbidden", message, details));
}
