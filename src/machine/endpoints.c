#include "machine/endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "machine/endpointslice.h"
#include "machine/prober.h"
#include "json/build.h"

#define HEADLESS_LABEL "service.kubernetes.io/headless"

struct endpoints_controller {
    struct endpoints_sources src;
};

/* ---- decide -------------------------------------------------------------------------------------------------------- */

static bool is_headless(const struct json *service)
{
    return str_eq(json_find_str(service, "spec", "clusterIP"), "None");
}

static bool is_over(const struct json *pod)
{
    const char *phase = json_find_str(pod, "status", "phase");
    return str_eq(phase, "Failed") || str_eq(phase, "Succeeded");
}

static bool is_ready(const struct json *pod)
{
    return str_eq(json_find_str(condition_find(json_find(pod, "status", "conditions"), "Ready"),
                                "status"),
                  "True");
}

/* The number that a named targetPort has in this pod; 0: it has none of that name. */
static int64_t named_port(const struct json *pod, const struct json *target)
{
    JSON_FOREACH(it, json_find(pod, "spec", "containers")) {
        int64_t port = probe_port(target, it.value);
        if (port > 0)
            return port;
    }
    return 0;
}

struct json *endpoints_ports(struct arena *a, const struct json *service, const struct json *pod)
{
    struct json *ports = EMPTY_ARR();
    JSON_FOREACH(it, json_find(service, "spec", "ports")) {
        const struct json *target = json_get(it.value, "targetPort");
        const char *protocol = json_find_str(it.value, "protocol");
        int64_t number = json_find_int(it.value, 0, "port");
        if (json_is_string(target))
            number = named_port(pod, target);
        else if (json_int(target, 0) > 0)
            number = json_int(target, 0);
        if (number > 0)
            json_append(ports, OBJ("name", STR(json_find_str(it.value, "name")), "port",
                                   INT(number), "protocol", STR(protocol ? protocol : "TCP")));
    }
    return ports;
}

static struct json *address_of(struct arena *a, const struct json *service, const struct json *pod)
{
    const char *hostname = json_find_str(pod, "spec", "hostname");
    bool named = hostname && str_eq(json_find_str(pod, "spec", "subdomain"), meta_name(service));
    return OBJ("hostname", named ? STR(hostname) : NULL, "ip",
               STR(json_find_str(pod, "status", "podIP")), "nodeName",
               STR(json_find_str(pod, "spec", "nodeName")), "targetRef",
               OBJ("kind", STR("Pod"), "name", STR(meta_name(pod)), "namespace",
                   STR(meta_namespace(pod)), "uid", STR(meta_uid(pod))));
}

/* The subset with these ports, made when there is none. */
static struct json *subset_with(struct arena *a, struct json *subsets, struct json *ports)
{
    JSON_FOREACH(it, subsets) {
        if (json_equal(json_get(it.value, "ports"), ports))
            return it.value;
    }
    struct json *subset = OBJ("ports", ports);
    json_append(subsets, subset);
    return subset;
}

static int compare_addresses(const struct json *x, const struct json *y)
{
    return strcmp(json_find_str(x, "ip"), json_find_str(y, "ip"));
}

static struct json *subsets_of(struct arena *a, const struct json *service, const struct json *pods)
{
    struct json *subsets = EMPTY_ARR();
    bool all = json_find_bool(service, false, "spec", "publishNotReadyAddresses");
    JSON_FOREACH(it, pods) {
        const struct json *pod = it.value;
        /* A pod on its way out gets no new connections. */
        if (str_empty(json_find_str(pod, "status", "podIP")) || is_over(pod) ||
            (meta_deleting(pod) && !all))
            continue;
        struct json *ports = endpoints_ports(a, service, pod);
        if (json_size(ports) == 0 && !is_headless(service))
            continue;
        struct json *subset = subset_with(a, subsets, ports);
        const char *list = all || is_ready(pod) ? "addresses" : "notReadyAddresses";
        json_append(json_ensure_array(a, subset, list), address_of(a, service, pod));
    }
    JSON_FOREACH(it, subsets) {
        struct json *addresses = json_get(it.value, "addresses");
        struct json *waiting = json_get(it.value, "notReadyAddresses");
        if (addresses)
            json_sort(addresses, compare_addresses);
        if (waiting)
            json_sort(waiting, compare_addresses);
        if (json_size(json_get(it.value, "ports")) == 0)
            json_del(it.value, "ports");
    }
    return subsets;
}

struct json *endpoints_decide(struct arena *a, const struct json *service, const struct json *pods,
                              const struct json *current)
{
    struct json *subsets = subsets_of(a, service, pods);
    struct json *labels = json_clone(a, json_find(service, "metadata", "labels"));
    if (is_headless(service)) {
        labels = labels ? labels : EMPTY_OBJ();
        json_set_str(a, labels, HEADLESS_LABEL, "");
    }
    const struct json *known = json_get(current, "subsets");
    bool same_subsets =
        json_size(known) == 0 ? json_size(subsets) == 0 : json_equal(known, subsets);
    const struct json *known_labels = json_find(current, "metadata", "labels");
    bool same_labels =
        json_size(known_labels) == 0 ? json_size(labels) == 0 : json_equal(known_labels, labels);
    if (current && same_subsets && same_labels)
        return NULL;
    return OBJ("apiVersion", STR("v1"), "kind", STR("Endpoints"), "metadata",
               OBJ("name", STR(meta_name(service)), "namespace", STR(meta_namespace(service)),
                   "labels", labels),
               "subsets", json_size(subsets) > 0 ? subsets : NULL);
}

/* ---- observe and apply --------------------------------------------------------------------------------------------- */

static struct json *matching_pods(struct arena *a, struct informer *pods,
                                  const struct json *service, const char *ns)
{
    struct json *list = EMPTY_ARR();
    CLEANUP(selector_cleanup) struct selector *selector = NULL;
    struct json *labels = OBJ("matchLabels", json_clone(a, json_find(service, "spec", "selector")));
    if (selector_from_object(labels, &selector, NULL) < 0)
        return list;
    struct kube_object_list objects = { 0 };
    informer_list(pods, ns, selector, &objects);
    for (size_t i = 0; i < objects.count; i++)
        json_append(list, kube_object_parse(a, objects.items[i]));
    kube_object_list_done(&objects);
    return list;
}

static int remove_endpoints(struct endpoints_controller *e, const char *ns, const char *name,
                            struct error **err)
{
    CLEANUP(kube_object_cleanup)
    struct kube_object *current = informer_get(e->src.endpoints, ns, name);
    if (!current)
        return 0;
    CLEANUP(error_cleanup) struct error *own = NULL;
    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    options.uid = current->uid;
    int r = kube_delete(e->src.client, &KUBE_ENDPOINTS, ns, name, &options, &own);
    if (r == -ERROR_NOT_FOUND || r == -ERROR_CONFLICT)
        return 0;
    if (r < 0 && err)
        *err = TAKE_PTR(own);
    return r;
}

static int write_endpoints(struct endpoints_controller *e, struct arena *a,
                           const struct json *service, const struct json *pods, struct error **err)
{
    const char *ns = meta_namespace(service), *name = meta_name(service);
    CLEANUP(kube_object_cleanup)
    struct kube_object *current = informer_get(e->src.endpoints, ns, name);
    struct json *known = current ? kube_object_parse(a, current) : NULL;
    struct json *wanted = endpoints_decide(a, service, pods, known);
    if (!wanted)
        return 0;
    if (!current)
        return kube_create(e->src.client, &KUBE_ENDPOINTS, ns, wanted, a, NULL, err);
    /* A patch of what is ours: it needs no version, and what others have put there stays. */
    const struct json *old_labels = json_find(known, "metadata", "labels");
    const struct json *new_labels = json_find(wanted, "metadata", "labels");
    struct json *labels = json_merge_diff(a, old_labels ? old_labels : EMPTY_OBJ(),
                                          new_labels ? new_labels : EMPTY_OBJ());
    struct json *subsets = json_get(wanted, "subsets");
    struct json *patch =
        OBJ("metadata", OBJ("labels", labels), "subsets", subsets ? json_clone(a, subsets) : NUL());
    return kube_patch(e->src.client, &KUBE_ENDPOINTS, ns, name, NULL, KUBE_PATCH_MERGE, patch, a,
                      NULL, err);
}

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct endpoints_controller *e = ctx;
    const char *ns;
    const char *name;
    kube_key_split(a, key, &ns, &name);
    CLEANUP(kube_object_cleanup)
    struct kube_object *object = informer_get(e->src.services, ns, name);
    if (!object)
        return remove_endpoints(e, ns, name, err); /* the collector takes the slices away */
    struct json *service = kube_object_parse(a, object);
    /* Without a selector the Endpoints are somebody else's. */
    if (object->deleting || json_size(json_find(service, "spec", "selector")) == 0)
        return 0;
    struct json *pods = matching_pods(a, e->src.pods, service, ns);
    int r = write_endpoints(e, a, service, pods, err);
    if (r == 0)
        r = endpointslices_reconcile(e->src.client, e->src.slices, a, service, pods, err);
    return r;
}

/* A pod concerns the Services whose selectors match the labels it has or had. */
static void pod_to_services(void *ctx, struct workqueue *q, struct kube_object *old,
                            struct kube_object *new)
{
    struct endpoints_controller *e = ctx;
    struct kube_object *pod = new ? new : old;
    struct kube_object_list services = { 0 };
    informer_list(e->src.services, pod->ns, NULL, &services);
    for (size_t i = 0; i < services.count; i++) {
        AUTO_ARENA a = arena_new();
        bool match[2] = { new != NULL, old != NULL };
        const struct json *selector =
            json_find(kube_object_parse(a, services.items[i]), "spec", "selector");
        JSON_FOREACH(it, selector) {
            match[0] = match[0] && str_eq(kube_object_label(new, it.key), json_string(it.value));
            match[1] = match[1] && str_eq(kube_object_label(old, it.key), json_string(it.value));
        }
        if (json_size(selector) > 0 && (match[0] || match[1]))
            workqueue_add(q, kube_key(a, services.items[i]->ns, services.items[i]->name));
    }
    kube_object_list_done(&services);
}

struct endpoints_controller *endpoints_controller_new(const struct endpoints_sources *sources,
                                                      struct controller **ret_controller)
{
    struct endpoints_controller *e = NEW0(struct endpoints_controller);
    e->src = *sources;
    struct controller *c = controller_new(&(struct controller_options){ .name = "endpoints",
                                                                        .workers = 1,
                                                                        .reconcile = reconcile,
                                                                        .ctx = e,
                                                                        .clock = sources->clock });
    controller_watch(c, sources->services);
    controller_watch(c, sources->endpoints);
    controller_watch_owned(c, sources->slices, "Service");
    controller_watch_mapped(c, sources->pods, pod_to_services, e);
    *ret_controller = c;
    return e;
}

void endpoints_controller_free(struct endpoints_controller *e)
{
    free(e);
}
