#include "cmd/plan_world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admission/admission.h"
#include "apiserver/apiserver.h"
#include "base/mem.h"
#include "base/str.h"
#include "catalog/catalog.h"
#include "cmd/crds.h"
#include "cmd/plan_provisioner.h"
#include "hub/hub.h"
#include "inferenceset/inferenceset.h"
#include "kube/events.h"
#include "kube/meta.h"
#include "modelmirror/modelmirror.h"
#include "multirole/multirole.h"
#include "webhook/webhook.h"
#include "workspace/workspace.h"
#include "json/build.h"

/* Still for that long is still for good: the controllers act within a millisecond. */
#define STILL_MS 60
#define POLL_MS 5
#define LIMIT_MS 30000
#define SERVICE_CIDR "127.96.0.0/16"
#define MAX_HOOKS 8
#define HUB_CALL_MS 10000

struct plan_world {
    struct operator_settings settings;
    struct hub *hub; /* for models that the catalogue does not have */
    struct catalog *catalog;
    struct go_types *types;
    struct admission_world cluster; /* what the rules of admission look up */
    struct admission rules;
    struct apiserver_admission hooks[MAX_HOOKS + 1];
    struct apiserver *server;
    struct kube_transport *transport;
    struct kube_client *client;
    struct event_recorder *events;
    struct manager *manager;
    struct workspace_controller *workspaces;
    struct inference_set_controller *sets;
    struct multi_role_controller *roles; /* NULL: its gate is off, as of the next */
    struct model_mirror_controller *mirrors;
    struct kube_resource node_class; /* .group NULL: the provisioner has none */
};

/* ---- kinds ------------------------------------------------------------------------------------------------------ */

/* What may stand in a file, and what is shown when it was made; in this order. */
static const struct kube_resource *const kinds[] = {
    &KUBE_MULTI_ROLE_INFERENCES,
    &KUBE_INFERENCE_SETS,
    &KUBE_WORKSPACES,
    &KUBE_MODEL_MIRRORS,
    &KUBE_NODECLAIMS,
    &KUBE_NODEPOOLS,
    &KUBE_NODES,
    &KUBE_STATEFULSETS,
    &KUBE_JOBS,
    &KUBE_PERSISTENT_VOLUME_CLAIMS,
    &KUBE_SERVICES,
    &KUBE_CONFIGMAPS,
    &KUBE_SECRETS,
    &KUBE_SERVICE_ACCOUNTS,
    &KUBE_STORAGE_CLASSES,
    &KUBE_CONTROLLER_REVISIONS,
};

static const struct kube_resource *kind_find(const struct json *obj)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_eq(json_find_str(obj, "kind"), kinds[i]->kind))
            return kinds[i];
    return NULL;
}

static const char *kinds_text(struct arena *a)
{
    AUTO_BUF out = BUF_INIT(KIB);
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        buf_printf(&out, "%s%s", i > 0 ? ", " : "", kinds[i]->kind);
    return arena_strdup(a, buf_str(&out));
}

/* ---- objects ---------------------------------------------------------------------------------------------------- */

static int ensure_namespace(struct arena *a, struct kube_client *c, const char *ns,
                            struct error **err)
{
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r =
        kube_create(c, &KUBE_NAMESPACES, NULL, OBJ("metadata", OBJ("name", STR(ns))), a, NULL, &e);
    if (r == -ERROR_ALREADY_EXISTS)
        return 0;
    if (r < 0 && err)
        *err = TAKE_PTR(e);
    return r;
}

/* The kind in the version in which the object is written. */
static struct kube_resource as_written(struct arena *a, const struct kube_resource *kind,
                                       const struct json *obj)
{
    struct kube_resource r = *kind;
    const char *prefix = arena_printf(a, "%s/", kind->group);
    const char *given = str_or_empty(json_find_str(obj, "apiVersion"));
    if (*kind->group && str_has_prefix(given, prefix))
        r.version = given + strlen(prefix);
    return r;
}

/* As `kubectl apply` would, with the status that a file may carry. */
static int put_object(struct arena *a, struct kube_client *c, const struct json *obj,
                      struct json **ret, struct error **err)
{
    const struct kube_resource *kind = kind_find(obj);
    if (!kind)
        return error_set(err, ERROR_UNSUPPORTED,
                         "kind \"%s\" has no part in a plan; these have: %s",
                         json_find_str(obj, "kind") ? json_find_str(obj, "kind") : "",
                         kinds_text(a));
    const char *ns = kind->namespaced ? meta_namespace(obj) : NULL;
    if (kind->namespaced && str_empty(ns))
        ns = "default";
    struct kube_resource written = as_written(a, kind, obj);
    struct json *copy = json_clone(a, obj), *made = NULL;
    json_del(json_get(copy, "metadata"), "resourceVersion");
    json_del(json_get(copy, "metadata"), "uid");
    int r = ns ? ensure_namespace(a, c, ns, err) : 0;
    if (r == 0)
        r = kube_create(c, &written, ns, copy, a, &made, err);
    const struct json *status = json_get(obj, "status");
    if (r == 0 && json_is_object(status) && !json_get(made, "status"))
        r = kube_patch(c, kind, ns, meta_name(made), "status", KUBE_PATCH_MERGE,
                       OBJ("status", json_clone(a, status)), a, &made, err);
    if (r < 0)
        return error_prefix(err, r, "%s %s", kind->kind, meta_name(obj));
    *ret = made;
    return 0;
}

/* What the cluster has; what has no part in a plan is left out. */
static int put_objects(struct arena *a, struct kube_client *c, const struct json *objects,
                       struct json *ret_made, struct error **err)
{
    JSON_FOREACH(it, objects) {
        struct json *made = NULL;
        int r = kind_find(it.value) ? put_object(a, c, it.value, &made, err) : 0;
        if (r < 0)
            return r;
        json_append(ret_made, json_clone(a, made));
    }
    return 0;
}

/* What is applied: one that is refused does not keep the others away. */
static int put_documents(struct arena *a, struct kube_client *c, const struct json *documents,
                         struct json *ret_made, struct json *ret_refused, struct error **err)
{
    JSON_FOREACH(it, documents) {
        struct json *made = NULL;
        CLEANUP(error_cleanup) struct error *e = NULL;
        int r = put_object(a, c, it.value, &made, &e);
        if (r == -ERROR_INVALID || r == -ERROR_FORBIDDEN) {
            json_append(ret_refused,
                        OBJ("kind", STR(json_find_str(it.value, "kind")), "name",
                            STR(meta_name(it.value)), "message", STR(error_message(e))));
        } else if (r < 0) {
            *err = TAKE_PTR(e);
            return r;
        }
        json_append(ret_made, json_clone(a, made));
    }
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int review(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                  struct error **err)
{
    const struct plan_world *w = ctx;
    *ret = admission_respond(a, &w->rules, request);
    return 0;
}

/* The webhooks of the chart, without the wire. */
static void fill_hooks(struct plan_world *w, const struct json *objects)
{
    admission_world_of(objects, &w->cluster);
    w->rules = (struct admission){ &w->settings, w->catalog, w->types, &w->cluster };
    const struct webhook_hook *h = WEBHOOK_WORKSPACE_HOOKS;
    for (size_t i = 0; h[i].name && i < MAX_HOOKS; i++)
        w->hooks[i] = (struct apiserver_admission){ h[i].name, h[i].group, h[i].plural, review, w };
}

static int start_server(struct plan_world *w, struct error **err)
{
    struct apiserver_options options = { .service_cidr = SERVICE_CIDR, .admission = w->hooks };
    int r = apiserver_new(&options, &w->server, err);
    if (r < 0)
        return r;
    w->transport = apiserver_transport(w->server);
    w->client = kube_client_new(w->transport, &(struct kube_client_options){ 0 });
    r = crds_ensure(w->client, err);
    if (r == 0 && w->settings.gates.on[GATE_MODEL_MIRROR])
        r = crds_ensure_mirrors(w->client, err);
    return r < 0 ? r : crds_ensure_karpenter(w->client, &w->settings, err);
}

/* Asked only for a model that the catalogue does not have. */
static int make_hub(struct plan_world *w, struct error **err)
{
    struct hub_options options = { .catalog = workspace_controller_catalog(w->workspaces),
                                   .call_timeout_ms = HUB_CALL_MS };
    int r = hub_new(&options, &w->hub, err);
    w->settings.hub = w->hub;
    return r < 0 ? error_prefix(err, r, "the hub of models (HF_ENDPOINT)") : 0;
}

static int start_controllers(struct plan_world *w, struct error **err)
{
    w->events = event_recorder_new(w->client, "Workspace", NULL, clock_system());
    w->manager =
        manager_new(&(struct manager_options){ .client = w->client, .clock = clock_system() });
    const struct operator_settings *s = &w->settings;
    int r = workspace_controller_add(w->manager, w->client, s, w->events, clock_system(),
                                     &w->workspaces, err);
    if (r == 0)
        r = make_hub(w, err);
    if (r == 0)
        r = inference_set_controller_add(w->manager, w->client, s, w->events, clock_system(),
                                         &w->sets, err);
    if (r == 0 && s->gates.on[GATE_MULTI_ROLE])
        r = multi_role_controller_add(w->manager, w->client, s, w->events, clock_system(),
                                      &w->roles, err);
    if (r == 0 && s->gates.on[GATE_MODEL_MIRROR])
        r = model_mirror_controller_add(w->manager, w->client, s, w->events, clock_system(),
                                        &w->mirrors, err);
    return r < 0 ? r : manager_start(w->manager, err);
}

static void stop(struct plan_world *w)
{
    if (w->manager) {
        manager_stop(w->manager);
        manager_free(w->manager);
        model_mirror_controller_free(w->mirrors);
        multi_role_controller_free(w->roles);
        if (w->hub)
            hub_free(w->hub);
        inference_set_controller_free(w->sets);
        workspace_controller_free(w->workspaces);
    }
    if (w->events)
        event_recorder_free(w->events);
    if (w->client)
        kube_client_free(w->client);
    kube_transport_free(w->transport);
    if (w->server)
        apiserver_free(w->server);
    go_types_free(w->types);
    catalog_free(w->catalog);
}

static bool idle(const struct plan_world *w)
{
    return controller_idle(workspace_controller_inner(w->workspaces), POLL_MS) &&
           controller_idle(inference_set_controller_inner(w->sets), POLL_MS) &&
           (!w->roles || controller_idle(multi_role_controller_inner(w->roles), POLL_MS));
}

/* Until nobody writes any more and there is nothing to provide. */
static int settle(struct arena *a, struct plan_world *w, struct error **err)
{
    uint64_t version = 0;
    for (int waited = 0, still = 0; still < STILL_MS; waited += POLL_MS) {
        if (waited > LIMIT_MS)
            return error_set(
                err, ERROR_TIMEOUT,
                "the controllers still change objects after %d s; this is a fault of kaito",
                LIMIT_MS / 1000);
        size_t made = 0;
        int r =
            w->node_class.group ? plan_ready_node_classes(a, w->client, &w->node_class, err) : 0;
        if (r == 0)
            r = plan_provision(a, w->client, &w->settings, w->catalog, &made, err);
        if (r < 0)
            return r;
        uint64_t now = apiserver_resource_version(w->server);
        still = now == version && made == 0 && idle(w) ? still + POLL_MS : 0;
        version = now;
        usleep(POLL_MS * 1000);
    }
    return 0;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

/* Elements of lists do not say what they are. */
static struct json *named(struct arena *a, const struct json *obj, const struct kube_resource *kind)
{
    struct json *copy = json_clone(a, obj);
    json_set_str(a, copy, "apiVersion", kube_api_version(a, kind));
    json_set_str(a, copy, "kind", kind->kind);
    return copy;
}

static bool listed(const struct json *objects, const char *uid)
{
    JSON_FOREACH(it, objects)
        if (str_eq(meta_uid(it.value), uid))
            return true;
    return false;
}

/* What came from the provisioner, not from the operator. */
static bool provided(const struct plan_world *w, const struct kube_resource *kind)
{
    return kind == &KUBE_NODES ||
           (kind == &KUBE_NODECLAIMS && w->settings.provisioner == PROVISIONER_KARPENTER);
}

static int collect_created(struct arena *a, struct plan_world *w, const struct json *before,
                           struct plan *ret, struct error **err)
{
    ret->created = EMPTY_ARR();
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct json *list = NULL;
        if (provided(w, kinds[i]))
            continue;
        CLEANUP(error_cleanup) struct error *e = NULL;
        int r = kube_list(w->client, kinds[i], &(struct kube_list_options){ 0 }, a, &list, &e);
        if (r < 0 && r != -ERROR_NOT_FOUND) { /* a kind that is not served has no objects */
            *err = TAKE_PTR(e);
            return r;
        }
        JSON_FOREACH(it, json_get(list, "items"))
            if (!listed(before, meta_uid(it.value)))
                json_append(ret->created, named(a, it.value, kinds[i]));
    }
    return 0;
}

static int collect_subjects(struct arena *a, struct plan_world *w, const struct json *documents,
                            struct plan *ret, struct error **err)
{
    ret->subjects = EMPTY_ARR();
    JSON_FOREACH(it, documents) {
        const struct kube_resource *kind = kind_find(it.value);
        struct json *now = NULL;
        int r = kube_get(w->client, kind, kind->namespaced ? meta_namespace(it.value) : NULL,
                         meta_name(it.value), a, &now, err);
        if (r < 0)
            return r;
        json_append(ret->subjects, now);
    }
    return 0;
}

static int collect_workspaces(struct arena *a, struct plan_world *w, struct plan *ret,
                              struct error **err)
{
    struct json *list = NULL;
    ret->workspaces = EMPTY_ARR();
    int r = kube_list(w->client, &KUBE_WORKSPACES, &(struct kube_list_options){ 0 }, a, &list, err);
    JSON_FOREACH(it, json_get(list, "items")) {
        struct json *why = NULL;
        r = workspace_controller_explain(w->workspaces, meta_namespace(it.value),
                                         meta_name(it.value), a, &why, err);
        if (r < 0)
            return r;
        if (!why)
            continue;
        json_set_str(a, why, "namespace", meta_namespace(it.value));
        json_set_str(a, why, "name", meta_name(it.value));
        json_append(ret->workspaces, why);
    }
    return r;
}

static int collect_warnings(struct arena *a, struct plan_world *w, struct plan *ret,
                            struct error **err)
{
    struct json *list = NULL;
    ret->warnings = EMPTY_ARR();
    int r = kube_list(w->client, &KUBE_EVENTS, &(struct kube_list_options){ 0 }, a, &list, err);
    if (r < 0)
        return r;
    JSON_FOREACH(it, json_get(list, "items")) {
        const struct json *about = json_get(it.value, "involvedObject");
        if (str_eq(json_find_str(it.value, "type"), "Warning"))
            json_append(ret->warnings, OBJ("kind", STR(json_find_str(about, "kind")), "namespace",
                                           STR(json_find_str(about, "namespace")), "name",
                                           STR(json_find_str(about, "name")), "reason",
                                           STR(json_find_str(it.value, "reason")), "message",
                                           STR(json_find_str(it.value, "message"))));
    }
    return 0;
}

static int make(struct arena *a, struct plan_world *w, const struct plan_input *in,
                struct plan *ret, struct error **err)
{
    struct json *before = EMPTY_ARR(), *documents = EMPTY_ARR(), *all = EMPTY_ARR();
    JSON_FOREACH(it, in->objects)
        json_append(all, json_clone(a, it.value));
    JSON_FOREACH(it, in->documents)
        json_append(all, json_clone(a, it.value));
    ret->refused = EMPTY_ARR();
    fill_hooks(w, all);
    int r = start_server(w, err);
    if (r == 0 && in->objects)
        r = put_objects(a, w->client, in->objects, before, err);
    if (r == 0)
        r = start_controllers(w, err);
    if (r == 0)
        r = put_documents(a, w->client, in->documents, documents, ret->refused, err);
    if (r == 0)
        r = settle(a, w, err);
    if (r == 0)
        r = collect_workspaces(a, w, ret, err);
    if (r < 0)
        return r;
    manager_stop(w->manager);
    event_recorder_free(TAKE_PTR(w->events)); /* writes what it still has */
    JSON_FOREACH(it, documents)
        json_append(before, json_clone(a, it.value));
    r = collect_subjects(a, w, documents, ret, err);
    if (r == 0)
        r = collect_created(a, w, before, ret, err);
    return r < 0 ? r : collect_warnings(a, w, ret, err);
}

int plan_make(struct arena *a, const struct plan_input *in, struct plan *ret, struct error **err)
{
    const struct operator_settings *s = in->settings;
    struct plan_world w = { .settings = *s, .catalog = catalog_new(), .types = go_types_new() };
    if (s->provisioner == PROVISIONER_KARPENTER)
        w.node_class = (struct kube_resource){ s->node_class_group, s->node_class_version,
                                               s->node_class_resource, s->node_class_kind, false };
    int r = make(a, &w, in, ret, err);
    stop(&w);
    return r;
}
