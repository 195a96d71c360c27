#include "set_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cmd/crds.h"
#include "kube/meta.h"

#define WAIT_MS 10000

/* ---- a transport that fails from a point on --------------------------------------------------------------------------- */

struct faulty_transport {
    struct kube_transport base;
    struct kube_transport *inner;
    atomic_uint writes;
    unsigned die_at;
    bool applied;
    unsigned slow_ms;
    struct arena *a; /* of the streams' handlers */
};

static int faulty_call(struct kube_transport *t, const struct kube_request *request,
                       struct kube_response *ret, struct error **err)
{
    struct faulty_transport *f = (struct faulty_transport *)t;
    if (STREQ(request->method, "GET") || strstr(request->path, "/events"))
        return f->inner->ops->call(f->inner, request, ret, err);
    unsigned n = atomic_fetch_add(&f->writes, 1) + 1;
    if (f->die_at == 0 || n < f->die_at)
        return f->inner->ops->call(f->inner, request, ret, err);
    if (n == f->die_at && f->applied) {
        struct kube_response lost = { 0 };
        f->inner->ops->call(f->inner, request, &lost, NULL);
        buf_done(&lost.body);
    }
    return error_set(err, ERROR_CANCELLED, "the process is dead");
}

static pthread_mutex_t stream_lock = PTHREAD_MUTEX_INITIALIZER;

/* A stream whose news is late. */
struct slow_stream {
    struct kube_stream_handler inner;
    unsigned ms;
};

static void slow_status(void *ctx, int status)
{
    struct slow_stream *s = ctx;
    s->inner.on_status(s->inner.ctx, status);
}

static bool slow_data(void *ctx, const char *data, size_t len)
{
    struct slow_stream *s = ctx;
    usleep(s->ms * 1000);
    return s->inner.on_data(s->inner.ctx, data, len);
}

static void slow_end(void *ctx, const struct error *err)
{
    struct slow_stream *s = ctx;
    s->inner.on_end(s->inner.ctx, err);
}

static int faulty_stream(struct kube_transport *t, const struct kube_request *request,
                         const struct kube_stream_handler *handler, struct kube_stream **ret,
                         struct error **err)
{
    struct faulty_transport *f = (struct faulty_transport *)t;
    if (f->slow_ms == 0)
        return f->inner->ops->stream(f->inner, request, handler, ret, err);
    struct slow_stream *s = NULL;
    pthread_mutex_lock(&stream_lock);
    s = arena_alloc(f->a, sizeof(*s));
    pthread_mutex_unlock(&stream_lock);
    *s = (struct slow_stream){ *handler, f->slow_ms };
    const struct kube_stream_handler slow = { slow_status, slow_data, slow_end, s };
    return f->inner->ops->stream(f->inner, request, &slow, ret, err);
}

static void faulty_free(struct kube_transport *t)
{
    arena_free(((struct faulty_transport *)t)->a);
    free(t);
}

static const struct kube_transport_ops faulty_ops = {
    .call = faulty_call,
    .stream = faulty_stream,
    .free = faulty_free,
};

void set_world_die_at(struct set_world *w, unsigned n, bool applied)
{
    struct faulty_transport *f = (struct faulty_transport *)w->faulty;
    f->die_at = n;
    f->applied = applied;
    atomic_store(&f->writes, 0);
}

void set_world_slow_watches(struct set_world *w, unsigned ms)
{
    ((struct faulty_transport *)w->faulty)->slow_ms = ms;
}

unsigned set_world_writes(struct set_world *w)
{
    return atomic_load(&((struct faulty_transport *)w->faulty)->writes);
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

void set_world_start(struct set_world *w)
{
    struct error *err = NULL;
    *w = (struct set_world){ .a = arena_new() };
    struct apiserver_options options = { .service_cidr = "127.96.0.0/16" };
    if (apiserver_new(&options, &w->server, &err) < 0)
        fail_msg("API server: %s", error_message(err));
    w->transport = apiserver_transport(w->server);
    w->client = kube_client_new(w->transport, &(struct kube_client_options){ 0 });
    if (crds_ensure(w->client, &err) < 0)
        fail_msg("CRD: %s", error_message(err));
    w->settings = (struct operator_settings){
        .provisioner = PROVISIONER_AZURE_GPU,
        .cloud = "azure",
        .image_registry = "mcr.microsoft.com/aks/kaito",
        .release_namespace = "kaito-workspace",
        .gates = GATES_DEFAULT,
    };
    struct faulty_transport *f = NEW0(struct faulty_transport);
    f->base.ops = &faulty_ops;
    f->a = arena_new();
    f->inner = w->transport;
    w->faulty = &f->base;
}

void set_world_run(struct set_world *w)
{
    struct error *err = NULL;
    struct clock *clock = w->clock ? w->clock : clock_system();
    w->own = kube_client_new(w->faulty, &(struct kube_client_options){ 0 });
    w->events = event_recorder_new(w->own, "InferenceSet", NULL, clock_system());
    w->manager =
        manager_new(&(struct manager_options){ .client = w->own, .clock = clock_system() });
    int r = inference_set_controller_add(w->manager, w->own, &w->settings, w->events, clock,
                                         &w->sets, &err);
    if (r == 0 && w->settings.gates.on[GATE_MULTI_ROLE])
        r = multi_role_controller_add(w->manager, w->own, &w->settings, w->events, clock, &w->roles,
                                      &err);
    if (r < 0 || manager_start(w->manager, &err) < 0)
        fail_msg("controller: %s", error_message(err));
}

void set_world_halt(struct set_world *w)
{
    if (!w->manager)
        return;
    manager_stop(w->manager);
    manager_free(w->manager);
    inference_set_controller_free(w->sets);
    multi_role_controller_free(w->roles);
    event_recorder_free(w->events);
    kube_client_free(w->own);
    w->manager = NULL;
    w->sets = NULL;
    w->roles = NULL;
}

void set_world_stop(struct set_world *w)
{
    set_world_halt(w);
    kube_transport_free(w->faulty);
    kube_client_free(w->client);
    kube_transport_free(w->transport);
    apiserver_free(w->server);
    arena_free(w->a);
}

/* ---- objects -------------------------------------------------------------------------------------------------------- */

struct json *set_world_parse(struct set_world *w, const char *text)
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

struct json *set_world_create(struct set_world *w, const struct kube_resource *r, const char *ns,
                              const char *text)
{
    struct json *made = NULL;
    struct error *err = NULL;
    if (kube_create(w->client, r, ns, set_world_parse(w, text), w->a, &made, &err) < 0)
        fail_msg("creating %s: %s", text, error_message(err));
    return made;
}

struct json *set_world_get(struct set_world *w, const struct kube_resource *r, const char *ns,
                           const char *name)
{
    struct json *found = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    int status = kube_get(w->client, r, ns, name, w->a, &found, &err);
    if (status < 0 && status != -ERROR_NOT_FOUND)
        fail_msg("%s %s: %s", r->kind, name, error_message(err));
    return found;
}

/* -ERROR_NOT_FOUND, or it is done. */
static int patch_if_there(struct set_world *w, const struct kube_resource *r, const char *ns,
                          const char *name, const char *sub, const char *patch)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    int status = kube_patch(w->client, r, ns, name, sub, KUBE_PATCH_MERGE,
                            set_world_parse(w, patch), w->a, NULL, &err);
    if (status < 0 && status != -ERROR_NOT_FOUND)
        fail_msg("%s %s: %s", r->kind, name, error_message(err));
    return status;
}

void set_world_patch(struct set_world *w, const struct kube_resource *r, const char *ns,
                     const char *name, const char *sub, const char *patch)
{
    if (patch_if_there(w, r, ns, name, sub, patch) < 0)
        fail_msg("there is no %s %s", r->kind, name);
}

void set_world_delete(struct set_world *w, const struct kube_resource *r, const char *ns,
                      const char *name)
{
    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    struct error *err = NULL;
    if (kube_delete(w->client, r, ns, name, &options, &err) < 0)
        fail_msg("deleting %s %s: %s", r->kind, name, error_message(err));
}

struct json *set_world_list(struct set_world *w, const struct kube_resource *r, const char *ns,
                            const char *labels)
{
    struct json *list = NULL;
    struct error *err = NULL;
    struct kube_list_options options = { .ns = ns, .label_selector = labels };
    if (kube_list(w->client, r, &options, w->a, &list, &err) < 0)
        fail_msg("listing %s: %s", r->plural, error_message(err));
    return json_get(list, "items");
}

struct json *set_world_children(struct set_world *w, const char *ns, const char *set)
{
    return set_world_list(w, &KUBE_WORKSPACES, ns,
                          arena_printf(w->a, "inferenceset.kaito.sh/created-by=%s", set));
}

/* ---- the Workspace controller ---------------------------------------------------------------------------------------- */

static void ensure_statefulset(struct set_world *w, const char *ns, const struct json *ws,
                               const char *image)
{
    struct arena *a = w->a;
    const char *name = meta_name(ws);
    struct json *set = set_world_get(w, &KUBE_STATEFULSETS, ns, name);
    if (set && image)
        patch_if_there(w, &KUBE_STATEFULSETS, ns, name, NULL,
                       arena_printf(a,
                                    "{'spec':{'template':{'spec':{'containers':[{'name':'%s',"
                                    "'image':'%s'}]}}}}",
                                    name, image));
    if (set)
        return;
    const char *text = arena_printf(
        a,
        "{'metadata':{'name':'%s','ownerReferences':[{'apiVersion':'kaito.sh/v1beta1','kind':"
        "'Workspace','name':'%s','uid':'%s','controller':true,'blockOwnerDeletion':true}]},'spec':"
        "{'serviceName':'%s','selector':{'matchLabels':{'kaito.sh/workspace':'%s'}},'template':"
        "{'metadata':{'labels':{'kaito.sh/workspace':'%s'}},'spec':{'containers':[{'name':'%s',"
        "'image':'%s'}]}}}}",
        name, name, meta_uid(ws), name, name, name, name, image ? image : IMAGE_NOW);
    set_world_create(w, &KUBE_STATEFULSETS, ns, text);
}

void set_world_serve(struct set_world *w, const char *ns, const char *name, const char *image,
                     bool ready)
{
    struct arena *a = w->a;
    const struct json *ws = set_world_get(w, &KUBE_WORKSPACES, ns, name);
    if (!ws) /* deleted meanwhile */
        return;
    if (!image && str_eq(meta_label(ws, "kaito.sh/upgrade-to-version"), "0.5.0"))
        image = IMAGE_NOW;
    ensure_statefulset(w, ns, ws, image);
    long long generation =
        (long long)meta_generation(set_world_get(w, &KUBE_STATEFULSETS, ns, name));
    patch_if_there(w, &KUBE_STATEFULSETS, ns, name, "status",
                   arena_printf(a,
                                "{'status':{'replicas':1,'readyReplicas':%d,'observedGeneration':"
                                "%lld,'currentRevision':'r','updateRevision':'r'}}",
                                ready, generation));
    const char *condition = arena_printf(
        a,
        "'status':'%s','observedGeneration':%lld,'lastTransitionTime':'2026-01-01T00:00:00Z',"
        "'reason':'r','message':'%s'",
        ready ? "True" : "False", (long long)meta_generation(ws), ready ? "" : "pods are late");
    const char *metric =
        "'peakTokensPerMinute':{'description':'stress/high-concurrency','unit':'tokens/min',"
        "'value':'123456.5','config':{'engine':'vllm','engineVersion':'0.25.1','durationSec':'60'}}";
    patch_if_there(w, &KUBE_WORKSPACES, ns, name, "status",
                   arena_printf(a,
                                "{'status':{'targetNodeCount':1,'conditions':[{'type':"
                                "'WorkspaceSucceeded',%s},{'type':'BenchmarkCompleted',%s}],"
                                "'performance':{'metrics':{%s}}}}",
                                condition, condition, metric));
}

void set_world_serve_all(struct set_world *w, const char *ns, const char *set)
{
    JSON_FOREACH(it, set_world_children(w, ns, set))
        set_world_serve(w, ns, meta_name(it.value), NULL, true);
}

/* clang-format off */
void set_world_serve_kind(struct set_world *w, const struct kube_resource *r)
{
    struct arena *a = w->a;
    struct json *open = OBJ("type", STR("object"), "x-kubernetes-preserve-unknown-fields", BOOL(true));
    struct json *schema = OBJ("type", STR("object"),
                              "properties", OBJ("spec", open, "status", json_clone(a, open)));
    struct json *version = OBJ("name", STR(r->version), "served", BOOL(true), "storage", BOOL(true),
                               "schema", OBJ("openAPIV3Schema", schema),
                               "subresources", OBJ("status", EMPTY_OBJ()));
    struct json *crd =
        OBJ("metadata", OBJ("name", STRF("%s.%s", r->plural, r->group)),
            "spec", OBJ("group", STR(r->group),
                        "names", OBJ("kind", STR(r->kind), "plural", STR(r->plural)),
                        "scope", STR(r->namespaced ? "Namespaced" : "Cluster"),
                        "versions", ARR(version)));
    struct error *err = NULL;
    if (kube_create(w->client, &KUBE_CRDS, NULL, crd, a, NULL, &err) < 0)
        fail_msg("CRD of %s: %s", r->kind, error_message(err));
}
/* clang-format on */

/* ---- waiting -------------------------------------------------------------------------------------------------------- */

/* No key is in work or due: on a slow machine a change may take longer to be noticed than to
 * settle. */
static bool idle(const struct set_world *w)
{
    return (!w->sets || controller_idle(inference_set_controller_inner(w->sets), 0)) &&
           (!w->roles || controller_idle(multi_role_controller_inner(w->roles), 0));
}

void set_world_settle(struct set_world *w)
{
    uint64_t version = apiserver_resource_version(w->server);
    for (int still = 0, i = 0; still < 12; i++) {
        assert_true(i < WAIT_MS / 10);
        usleep(10000);
        uint64_t now = apiserver_resource_version(w->server);
        still = now == version && idle(w) ? still + 1 : 0;
        version = now;
    }
}

const struct json *set_world_wait(struct set_world *w, const struct kube_resource *r,
                                  const char *ns, const char *name, const char *type,
                                  const char *status, const char *reason, const char *part)
{
    const struct json *set = NULL;
    for (int i = 0; i < WAIT_MS / 5; i++) {
        set = set_world_get(w, r, ns, name);
        const struct json *c = condition_find(json_find(set, "status", "conditions"), type);
        const char *message = json_find_str(c, "message");
        if (c && str_eq(json_find_str(c, "status"), status) &&
            (!reason || str_eq(json_find_str(c, "reason"), reason)) &&
            (!part || strstr(message ? message : "", part)))
            return set;
        usleep(5000);
    }
    fail_msg("%s is not %s %s %s: %s", type, status, reason ? reason : "", part ? part : "",
             json_text(w->a, json_get(set, "status")));
    return NULL;
}

void set_world_wait_children(struct set_world *w, const char *ns, const char *set, size_t count)
{
    size_t n = 0;
    for (int i = 0; i < WAIT_MS / 5; i++) {
        n = json_size(set_world_children(w, ns, set));
        if (n == count)
            return;
        usleep(5000);
    }
    fail_msg("%s has %zu Workspaces and not %zu", set, n, count);
}

void set_world_wait_gone(struct set_world *w, const struct kube_resource *r, const char *ns,
                         const char *name)
{
    for (int i = 0; i < WAIT_MS / 5; i++) {
        if (!set_world_get(w, r, ns, name))
            return;
        usleep(5000);
    }
    fail_msg("%s %s is still there", r->kind, name);
}
