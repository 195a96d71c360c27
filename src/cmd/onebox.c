#include "cmd/onebox.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apiserver/apiserver.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/crds.h"
#include "inferenceset/inferenceset.h"
#include "kube/controller.h"
#include "kube/events.h"
#include "machine/machine.h"
#include "metrics/metrics.h"
#include "models/store.h"
#include "webhook/rules.h"
#include "workspace/workspace.h"

/* ClusterIPs and pod addresses: two /16 of loopback, so that they are reachable from this machine
 * only. */
#define SERVICE_CIDR "127.96.0.0/16"
#define POD_CIDR "127.97.0.0/16"

#define MAX_HOOKS 8

struct onebox {
    struct arena *a; /* strings of the options and paths */
    const char *kubeconfig;
    struct machine_logs *logs;
    struct apiserver *server;
    struct apiserver_front *front;
    struct kube_transport *transport;
    struct kube_client *client;
    struct event_recorder *events;
    struct machine *machine;
    struct manager *manager;
    struct workspace_controller *workspaces;
    struct inference_set_controller *sets;
    struct operator_settings settings;
    struct webhook_rules *rules;
    struct apiserver_admission admission[MAX_HOOKS];
    atomic_bool ready;
};

static bool onebox_ready(void *ctx)
{
    struct onebox *box = ctx;
    return atomic_load(&box->ready);
}

/* kaito-shim, kaito-serve and llama-server lie beside `kaito` in a build, or in ../libexec/kaito of
 * an installation; the pinned engines that set-up builds are in .deps of the source tree. */
static const char *default_engine_path(struct arena *a)
{
    AUTO_FREE char *exe_dir = file_exe_dir();
    return arena_printf(a, "%s:%s/../libexec/kaito:%s/../.deps/prefix/bin", exe_dir, exe_dir,
                        exe_dir);
}

static int find_shim(struct arena *a, const char *engine_path, const char **ret, struct error **err)
{
    char **dirs = str_split(a, engine_path, ':', NULL);
    for (size_t i = 0; dirs[i]; i++) {
        const char *path = arena_printf(a, "%s/kaito-shim", dirs[i]);
        if (access(path, X_OK) == 0) {
            *ret = path;
            return 0;
        }
    }
    return error_set(
        err, ERROR_NOT_FOUND,
        "kaito-shim is in none of %s; install it beside kaito or name its directory with --engine-path",
        engine_path);
}

static void set_settings(struct onebox *box, const char *models_dir)
{
    box->settings = (struct operator_settings){
        .provisioner = PROVISIONER_BYO,
        .cloud = "",
        .image_registry = "mcr.microsoft.com/aks/kaito",
        .release_namespace = "kube-system",
        .models_dir = models_dir,
        .gates = GATES_DEFAULT,
    };
}

static int review(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                  struct error **err)
{
    struct onebox *box = ctx;
    return webhook_rules_review(box->rules, a, request, ret, err);
}

/* What a cluster asks the webhooks of the charts, the server asks the same rules in process. */
static const struct apiserver_admission *admission(struct onebox *box)
{
    const struct webhook_hook *charts[] = { WEBHOOK_WORKSPACE_HOOKS, WEBHOOK_RAGENGINE_HOOKS };
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(charts); i++) {
        for (const struct webhook_hook *h = charts[i]; h->name && n + 1 < MAX_HOOKS; h++)
            box->admission[n++] = (struct apiserver_admission){
                .name = h->name,
                .group = h->group,
                .plural = h->plural,
                .review = review,
                .ctx = box,
            };
    }
    return box->admission;
}

static int start_server(struct onebox *box, const struct onebox_options *o, struct error **err)
{
    box->logs = machine_logs_new(o->data_dir);
    struct apiserver_options server_options = {
        .data_dir = o->data_dir,
        .service_cidr = SERVICE_CIDR,
        .service_address = o->address,
        .service_port = o->port,
        .pod_logs = machine_logs_handler(box->logs),
        .admission = admission(box),
    };
    int r = apiserver_new(&server_options, &box->server, err);
    if (r < 0)
        return r;
    box->transport = apiserver_transport(box->server);
    box->client = kube_client_new(box->transport, &(struct kube_client_options){ 0 });
    box->rules = webhook_rules_new(
        &(struct webhook_rules_options){ .client = box->client, .settings = &box->settings });
    struct apiserver_front_options front_options = {
        .address = o->address,
        .port = o->port,
        .kubeconfig_path = box->kubeconfig,
        .ready = onebox_ready,
        .ready_ctx = box,
    };
    r = apiserver_front_start(box->server, &front_options, &box->front, err);
    return r < 0 ? r : crds_ensure(box->client, err);
}

static int start_machine(struct onebox *box, const struct onebox_options *o, const char *models_dir,
                         struct error **err)
{
    struct machine_options options = {
        .client = box->client,
        .clock = clock_system(),
        .data_dir = o->data_dir,
        .node_name = o->node_name,
        .engine_path = o->engine_path ? o->engine_path : default_engine_path(box->a),
        .images_file = o->images_file,
        .models_dir = models_dir,
        .pod_cidr = POD_CIDR,
    };
    int r = find_shim(box->a, options.engine_path, &options.shim_path, err);
    if (r < 0)
        return r;
    r = machine_new(&options, &box->machine, err);
    if (r < 0)
        return r;
    machine_logs_bind(box->logs, box->machine);
    return machine_start(box->machine, err);
}

static int start_controllers(struct onebox *box, struct error **err)
{
    box->events = event_recorder_new(box->client, "Workspace", NULL, clock_system());
    box->manager =
        manager_new(&(struct manager_options){ .client = box->client, .clock = clock_system() });
    int r = workspace_controller_add(box->manager, box->client, &box->settings, box->events,
                                     clock_system(), &box->workspaces, err);
    if (r == 0 && box->settings.gates.on[GATE_INFERENCE_SET])
        r = inference_set_controller_add(box->manager, box->client, &box->settings, box->events,
                                         clock_system(), &box->sets, err);
    if (r < 0)
        return r;
    return manager_start(box->manager, err);
}

int onebox_start(const struct onebox_options *o, struct onebox **ret, struct error **err)
{
    struct onebox *box = NEW0(struct onebox);
    box->a = arena_new();
    box->kubeconfig = o->kubeconfig ? arena_strdup(box->a, o->kubeconfig)
                                    : arena_printf(box->a, "%s/kubeconfig", o->data_dir);
    const char *models_dir =
        o->models_dir ? arena_strdup(box->a, o->models_dir) : model_store_dir(box->a, o->data_dir);

    set_settings(box, models_dir);
    metrics_register_process();
    int r = file_mkdirs(o->data_dir, 0700, err);
    if (r == 0)
        r = file_mkdirs(models_dir, 0755, err);
    if (r == 0)
        r = start_server(box, o, err);
    if (r == 0)
        r = start_machine(box, o, models_dir, err);
    if (r == 0)
        r = start_controllers(box, err);
    if (r < 0) {
        onebox_stop(box, 1000);
        return r;
    }
    atomic_store(&box->ready, true);
    *ret = box;
    return 0;
}

void onebox_stop(struct onebox *box, int64_t stop_grace_ms)
{
    atomic_store(&box->ready, false);
    if (box->manager)
        manager_stop(box->manager);
    if (box->machine)
        machine_stop(box->machine, stop_grace_ms);
    if (box->manager)
        manager_free(box->manager);
    inference_set_controller_free(box->sets);
    workspace_controller_free(box->workspaces);
    if (box->events)
        event_recorder_free(box->events);
    if (box->front)
        apiserver_front_stop(box->front);
    if (box->machine) {
        machine_logs_bind(box->logs, NULL);
        machine_free(box->machine);
    }
    webhook_rules_free(box->rules);
    if (box->client)
        kube_client_free(box->client);
    kube_transport_free(box->transport);
    if (box->server)
        apiserver_free(box->server);
    if (box->logs)
        machine_logs_free(box->logs);
    arena_free(box->a);
    free(box);
}

uint16_t onebox_port(const struct onebox *box)
{
    return apiserver_front_port(box->front);
}

const char *onebox_kubeconfig(const struct onebox *box)
{
    return box->kubeconfig;
}
