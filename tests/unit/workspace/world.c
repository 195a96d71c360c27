#include "world.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../gguf/gguf_make.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/crds.h"
#include "kube/meta.h"

#define WAIT_MS 10000

/* ---- a transport that counts ---------------------------------------------------------------------------------------- */

struct counting_transport {
    struct kube_transport base;
    struct kube_transport *inner;
    atomic_uint writes;
};

static int counting_call(struct kube_transport *t, const struct kube_request *request,
                         struct kube_response *ret, struct error **err)
{
    struct counting_transport *c = (struct counting_transport *)t;
    if (strcmp(request->method, "GET") != 0)
        atomic_fetch_add(&c->writes, 1);
    return c->inner->ops->call(c->inner, request, ret, err);
}

static int counting_stream(struct kube_transport *t, const struct kube_request *request,
                           const struct kube_stream_handler *handler, struct kube_stream **ret,
                           struct error **err)
{
    struct counting_transport *c = (struct counting_transport *)t;
    return c->inner->ops->stream(c->inner, request, handler, ret, err);
}

static void counting_free(struct kube_transport *t)
{
    free(t);
}

static const struct kube_transport_ops counting_ops = {
    .call = counting_call,
    .stream = counting_stream,
    .free = counting_free,
};

unsigned world_writes(struct world *w)
{
    return atomic_load(&((struct counting_transport *)w->counting)->writes);
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

void world_start(struct world *w)
{
    struct error *err = NULL;
    *w = (struct world){ .a = arena_new() };
    snprintf(w->models_dir, sizeof(w->models_dir), "/tmp/kaito-models-XXXXXX");
    assert_non_null(mkdtemp(w->models_dir));
    struct apiserver_options options = { .service_cidr = "127.96.0.0/16" };
    if (apiserver_new(&options, &w->server, &err) < 0)
        fail_msg("API server: %s", error_message(err));
    w->transport = apiserver_transport(w->server);
    w->client = kube_client_new(w->transport, &(struct kube_client_options){ 0 });
    if (crds_ensure(w->client, &err) < 0)
        fail_msg("CRD: %s", error_message(err));
    w->settings = (struct operator_settings){
        .provisioner = PROVISIONER_BYO,
        .cloud = "azure",
        .image_registry = "mcr.microsoft.com/aks/kaito",
        .release_namespace = "kaito-workspace",
        .models_dir = w->models_dir,
        .gates = GATES_DEFAULT,
    };
}

void world_start_controller(struct world *w)
{
    struct counting_transport *c = NEW0(struct counting_transport);
    c->base.ops = &counting_ops;
    c->inner = w->transport;
    w->counting = &c->base;
    w->counted = kube_client_new(w->counting, &(struct kube_client_options){ 0 });
    w->events = event_recorder_new(w->counted, "Workspace", NULL, clock_system());
    w->manager =
        manager_new(&(struct manager_options){ .client = w->counted, .clock = clock_system() });
    struct error *err = NULL;
    if (workspace_controller_add(w->manager, w->counted, &w->settings, w->events, clock_system(),
                                 &w->controller, &err) < 0 ||
        manager_start(w->manager, &err) < 0)
        fail_msg("controller: %s", error_message(err));
}

void world_stop(struct world *w)
{
    if (w->manager) {
        manager_stop(w->manager);
        manager_free(w->manager);
        workspace_controller_free(w->controller);
        event_recorder_free(w->events);
        kube_client_free(w->counted);
        kube_transport_free(w->counting);
    }
    kube_client_free(w->client);
    kube_transport_free(w->transport);
    apiserver_free(w->server);
    file_remove_tree(w->models_dir, NULL);
    arena_free(w->a);
}

/* ---- objects -------------------------------------------------------------------------------------------------------- */

struct json *world_parse(struct world *w, const char *text)
{
    char *copy = arena_strdup(w->a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct json *v = NULL;
    struct error *err = NULL;
    if (json_parse(w->a, copy, strlen(copy), &v, &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return v;
}

struct json *world_create(struct world *w, const struct kube_resource *r, struct json *obj)
{
    struct json *made = NULL;
    struct error *err = NULL;
    if (kube_create(w->client, r, r->namespaced ? NS : NULL, obj, w->a, &made, &err) < 0)
        fail_msg("creating %s: %s", json_text(w->a, obj), error_message(err));
    return made;
}

struct json *world_get(struct world *w, const struct kube_resource *r, const char *ns,
                       const char *name)
{
    struct json *found = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    int status = kube_get(w->client, r, ns, name, w->a, &found, &err);
    if (status < 0 && status != -ERROR_NOT_FOUND)
        fail_msg("%s %s: %s", r->kind, name, error_message(err));
    return found;
}

void world_patch(struct world *w, const struct kube_resource *r, const char *ns, const char *name,
                 const char *sub, const char *patch)
{
    struct error *err = NULL;
    if (kube_patch(w->client, r, ns, name, sub, KUBE_PATCH_MERGE, world_parse(w, patch), w->a, NULL,
                   &err) < 0)
        fail_msg("%s %s: %s", r->kind, name, error_message(err));
}

void world_delete(struct world *w, const struct kube_resource *r, const char *ns, const char *name)
{
    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    struct error *err = NULL;
    if (kube_delete(w->client, r, ns, name, &options, &err) < 0)
        fail_msg("deleting %s %s: %s", r->kind, name, error_message(err));
}

void world_add_node(struct world *w, const char *name, const char *labels)
{
    const char *text = arena_printf(w->a, "{'metadata':{'name':'%s','labels':%s}}", name, labels);
    world_create(w, &KUBE_NODES, world_parse(w, text));
    world_patch(
        w, &KUBE_NODES, NULL, name, "status",
        "{'status':{'capacity':{'memory':'8Gi'},'allocatable':{'memory':'8Gi'},'conditions':[{'type':'Ready','status':"
        "'True','reason':'KubeletReady','lastHeartbeatTime':'2026-01-01T00:00:00Z'}]}}");
}

void world_add_model(struct world *w, const char *name)
{
    struct buf file = gguf_make_gemma();
    AUTO_FREE char *path = mem_printf("%s/%s.gguf", w->models_dir, name);
    assert_int_equal(file_write_atomic(path, file.data, file.len, 0644, NULL), 0);
    buf_done(&file);
}

void world_set_ready(struct world *w, const char *name, int64_t ready)
{
    world_patch(w, &KUBE_STATEFULSETS, NS, name, "status",
                arena_printf(w->a, "{'status':{'replicas':1,'readyReplicas':%lld}}",
                             (long long)ready));
}

/* ---- waiting -------------------------------------------------------------------------------------------------------- */

const struct json *world_wait_condition(struct world *w, const char *name, const char *type,
                                        const char *status, const char *reason, const char *part)
{
    struct json *ws = NULL;
    for (int i = 0; i < WAIT_MS / 5; i++) {
        ws = world_get(w, &KUBE_WORKSPACES, NS, name);
        const struct json *c = condition_find(json_find(ws, "status", "conditions"), type);
        const char *message = json_find_str(c, "message");
        if (c && str_eq(json_find_str(c, "status"), status) &&
            (!reason || str_eq(json_find_str(c, "reason"), reason)) &&
            (!part || strstr(message ? message : "", part)))
            return ws;
        usleep(5000);
    }
    fail_msg("%s is not %s %s %s: %s", type, status, reason ? reason : "", part ? part : "",
             json_text(w->a, json_get(ws, "status")));
    return NULL;
}

struct json *world_wait_exists(struct world *w, const struct kube_resource *r, const char *name)
{
    for (int i = 0; i < WAIT_MS / 5; i++) {
        struct json *found = world_get(w, r, r->namespaced ? NS : NULL, name);
        if (found)
            return found;
        usleep(5000);
    }
    fail_msg("there is no %s %s", r->kind, name);
    return NULL;
}

void world_wait_gone(struct world *w, const struct kube_resource *r, const char *name)
{
    for (int i = 0; i < WAIT_MS / 5; i++) {
        if (!world_get(w, r, r->namespaced ? NS : NULL, name))
            return;
        usleep(5000);
    }
    fail_msg("%s %s is still there", r->kind, name);
}

void world_settle(struct world *w)
{
    uint64_t version = apiserver_resource_version(w->server);
    for (int still = 0, i = 0; still < 30; i++) {
        assert_true(i < WAIT_MS / 10);
        usleep(10000);
        uint64_t now = apiserver_resource_version(w->server);
        still = now == version ? still + 1 : 0;
        version = now;
    }
}
