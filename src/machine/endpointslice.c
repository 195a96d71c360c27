#include "machine/endpointslice.h"

#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "machine/endpoints.h"
#include "json/build.h"

#define SERVICE_LABEL "kubernetes.io/service-name"
#define MANAGER_LABEL "endpointslice.kubernetes.io/managed-by"
#define MANAGER "endpointslice-controller.k8s.io"
#define HEADLESS_LABEL "service.kubernetes.io/headless"
#define ENDPOINTS_MAX 100 /* in one slice */
#define SUFFIX 5

/* ---- what there should be -------------------------------------------------------------------- */

/* The same number of a Service's slices has the same name each time: a decision from an old cache
 * makes no second one. */
static const char *name_of(struct arena *a, const struct json *service, size_t number)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    const char *text = arena_printf(a, "%s/%zu", meta_uid(service), number);
    uint64_t h = UINT64_C(14695981039346656037);
    char suffix[SUFFIX + 1] = "";
    for (const char *c = text; *c; c++)
        h = (h ^ (unsigned char)*c) * UINT64_C(1099511628211);
    h ^= h >> 29;
    for (size_t i = 0; i < SUFFIX; i++, h /= sizeof(letters) - 1)
        suffix[i] = letters[h % (sizeof(letters) - 1)];
    return arena_printf(a, "%s-%s", meta_name(service), suffix);
}

static struct json *labels_of(struct arena *a, const struct json *service)
{
    struct json *labels = json_clone(a, json_find(service, "metadata", "labels"));
    if (!labels)
        labels = EMPTY_OBJ();
    json_set_str(a, labels, SERVICE_LABEL, meta_name(service));
    json_set_str(a, labels, MANAGER_LABEL, MANAGER);
    if (str_eq(json_find_str(service, "spec", "clusterIP"), "None"))
        json_set_str(a, labels, HEADLESS_LABEL, "");
    return labels;
}

static struct json *endpoint_of(struct arena *a, const struct json *service, const struct json *pod)
{
    bool always = json_find_bool(service, false, "spec", "publishNotReadyAddresses"),
         ready = condition_is(json_find(pod, "status", "conditions"), "Ready", "True"),
         leaving = meta_deleting(pod);
    const char *hostname = json_find_str(pod, "spec", "hostname"),
               *subdomain = json_find_str(pod, "spec", "subdomain");
    bool named = hostname && str_eq(subdomain, meta_name(service));
    return OBJ("addresses", ARR(STR(json_find_str(pod, "status", "podIP"))), "conditions",
               OBJ("ready", BOOL(always || (ready && !leaving)), "serving", BOOL(ready),
                   "terminating", BOOL(leaving)),
               "hostname", named ? STR(hostname) : NULL, "targetRef",
               OBJ("kind", STR("Pod"), "namespace", STR(meta_namespace(pod)), "name",
                   STR(meta_name(pod)), "uid", STR(meta_uid(pod))),
               "nodeName", STR(json_find_str(pod, "spec", "nodeName")));
}

static int compare_endpoints(const struct json *x, const struct json *y)
{
    return strcmp(json_string(json_at(json_get(x, "addresses"), 0)),
                  json_string(json_at(json_get(y, "addresses"), 0)));
}

/* The group with these ports, made when there is none. */
static struct json *group_with(struct arena *a, struct json *groups, struct json *ports)
{
    JSON_FOREACH(it, groups)
        if (json_equal(json_get(it.value, "ports"), ports))
            return json_get(it.value, "endpoints");
    struct json *endpoints = EMPTY_ARR();
    json_append(groups, OBJ("ports", ports, "endpoints", endpoints));
    return endpoints;
}

/* Pods by the numbers that the Service's ports have in them; one without any stands for none. */
static struct json *groups_of(struct arena *a, const struct json *service, const struct json *pods)
{
    struct json *groups = EMPTY_ARR();
    JSON_FOREACH(it, pods) {
        const char *phase = json_find_str(it.value, "status", "phase");
        if (str_empty(json_find_str(it.value, "status", "podIP")) || str_eq(phase, "Failed") ||
            str_eq(phase, "Succeeded"))
            continue;
        struct json *ports = endpoints_ports(a, service, it.value);
        JSON_FOREACH(port, ports)
            if (!json_get(port.value, "name"))
                json_set_str(a, port.value, "name", "");
        json_append(group_with(a, groups, ports), endpoint_of(a, service, it.value));
    }
    JSON_FOREACH(it, groups)
        json_sort(json_get(it.value, "endpoints"), compare_endpoints);
    if (json_size(groups) == 0)
        json_append(groups, OBJ("ports", EMPTY_ARR(), "endpoints", EMPTY_ARR()));
    return groups;
}

/* ---- decide ---------------------------------------------------------------------------------- */

static bool same_list(const struct json *x, const struct json *y)
{
    return json_size(x) == 0 ? json_size(y) == 0 : json_equal(x, y);
}

static const struct json *named(const struct json *list, const char *name)
{
    JSON_FOREACH(it, list)
        if (str_eq(meta_name(it.value), name))
            return it.value;
    return NULL;
}

struct decision {
    struct arena *a;
    const struct json *service, *current;
    struct json *labels;
    struct json *wanted; /* names as members */
    struct endpointslices_plan *plan;
};

static void decide_slice(struct decision *d, struct json *endpoints, const struct json *ports)
{
    struct arena *a = d->a;
    const char *name = name_of(a, d->service, json_size(d->wanted));
    const struct json *is = named(d->current, name), *has = json_find(is, "metadata", "labels");
    json_set(a, d->wanted, name, BOOL(true));
    if (!is) {
        json_append(d->plan->create,
                    OBJ("apiVersion", STR("discovery.k8s.io/v1"), "kind", STR("EndpointSlice"),
                        "metadata",
                        OBJ("name", STR(name), "generateName", STRF("%s-", meta_name(d->service)),
                            "namespace", STR(meta_namespace(d->service)), "labels",
                            json_clone(a, d->labels), "ownerReferences",
                            ARR(meta_controller_ref(a, d->service, &KUBE_SERVICES))),
                        "addressType", STR("IPv4"), "endpoints", endpoints, "ports",
                        json_clone(a, ports)));
        return;
    }
    if (same_list(json_get(is, "endpoints"), endpoints) &&
        same_list(json_get(is, "ports"), ports) && json_equal(has, d->labels))
        return;
    struct json *change = json_merge_diff(a, has ? has : EMPTY_OBJ(), d->labels);
    json_append(d->plan->change, OBJ("name", STR(name), "patch",
                                     OBJ("metadata", change ? OBJ("labels", change) : NULL,
                                         "endpoints", endpoints, "ports", json_clone(a, ports))));
}

void endpointslices_decide(struct arena *a, const struct json *service, const struct json *pods,
                           const struct json *current, struct endpointslices_plan *ret)
{
    *ret = (struct endpointslices_plan){ .create = EMPTY_ARR(),
                                         .change = EMPTY_ARR(),
                                         .remove = EMPTY_ARR() };
    struct decision d = { .a = a,
                          .service = service,
                          .current = current,
                          .labels = labels_of(a, service),
                          .wanted = EMPTY_OBJ(),
                          .plan = ret };
    JSON_FOREACH(group, groups_of(a, service, pods)) {
        const struct json *ports = json_get(group.value, "ports");
        struct json *piece = EMPTY_ARR();
        JSON_FOREACH(it, json_get(group.value, "endpoints")) {
            if (json_size(piece) == ENDPOINTS_MAX) {
                decide_slice(&d, piece, ports);
                piece = EMPTY_ARR();
            }
            json_append(piece, json_clone(a, it.value));
        }
        decide_slice(&d, piece, ports);
    }
    JSON_FOREACH(it, current)
        if (str_eq(meta_label(it.value, MANAGER_LABEL), MANAGER) &&
            !json_get(d.wanted, meta_name(it.value)))
            json_append(ret->remove, STR(meta_name(it.value)));
}

/* ---- apply ----------------------------------------------------------------------------------- */

/* The cache may be a moment behind. */
static int ignore(int r, int harmless, struct error **err)
{
    if (r != harmless)
        return r;
    if (err) {
        error_free(*err);
        *err = NULL;
    }
    return 0;
}

int endpointslices_reconcile(struct kube_client *client, struct informer *slices, struct arena *a,
                             const struct json *service, const struct json *pods,
                             struct error **err)
{
    const char *ns = meta_namespace(service);
    struct kube_object_list objects = { 0 };
    struct json *current = EMPTY_ARR();
    informer_list_owned(slices, meta_uid(service), &objects);
    for (size_t i = 0; i < objects.count; i++)
        json_append(current, kube_object_parse(a, objects.items[i]));
    kube_object_list_done(&objects);
    struct endpointslices_plan plan;
    endpointslices_decide(a, service, pods, current, &plan);
    int r = 0;
    JSON_FOREACH(it, plan.create) {
        if (r == 0)
            r = ignore(kube_create(client, &KUBE_ENDPOINT_SLICES, ns, json_clone(a, it.value), a,
                                   NULL, err),
                       -ERROR_ALREADY_EXISTS, err);
    }
    JSON_FOREACH(it, plan.change) {
        if (r == 0)
            r = ignore(kube_patch(client, &KUBE_ENDPOINT_SLICES, ns,
                                  json_find_str(it.value, "name"), NULL, KUBE_PATCH_MERGE,
                                  json_get(it.value, "patch"), a, NULL, err),
                       -ERROR_NOT_FOUND, err);
    }
    JSON_FOREACH(it, plan.remove) {
        struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
        if (r == 0)
            r = ignore(kube_delete(client, &KUBE_ENDPOINT_SLICES, ns, json_string(it.value),
                                   &options, err),
                       -ERROR_NOT_FOUND, err);
    }
    return r;
}
