/* `kaito manager`: the controllers against a cluster. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/daemon.h"
#include "kube/config.h"
#include "kube/controller.h"
#include "kube/events.h"
#include "kube/leader.h"
#include "metrics/metrics.h"
#include "workspace/workspace.h"

struct manager_flags {
    const char *kubeconfig;
    const char *context;
    const char *metrics_address;
    const char *health_address;
    const char *node_provisioner;
    const char *registry;
    bool leader_elect;
    double qps;
    int64_t burst;
    struct log_flags log;
};

/* Everything `kaito manager` holds, in the order it is made. */
struct manager_process {
    struct kube_transport *transport;
    struct kube_client *client;
    struct event_recorder *events;
    struct manager *manager;
    struct workspace_controller *workspaces;
    struct operator_settings settings;
    struct leader_options leader;
    char identity[128];
};

static void process_done(struct manager_process *p)
{
    if (p->manager) {
        manager_stop(p->manager);
        manager_free(p->manager);
    }
    workspace_controller_free(p->workspaces);
    if (p->events)
        event_recorder_free(p->events);
    if (p->client)
        kube_client_free(p->client);
    kube_transport_free(p->transport);
}

static int connect_cluster(struct manager_process *p, const struct manager_flags *f,
                           struct error **err)
{
    struct kube_config *config = NULL;
    int r = kube_config_load(f->kubeconfig, f->context, &config, err);
    if (r < 0)
        return r;
    r = kube_http_transport_new(config, "kaito-workspace/" KAITO_VERSION, &p->transport, err);
    if (r < 0)
        return r;
    p->client = kube_client_new(p->transport, &(struct kube_client_options){
                                                  .qps = f->qps, .burst = (unsigned)f->burst });
    return 0;
}

static int start_controllers(struct manager_process *p, const struct manager_flags *f,
                             struct error **err)
{
    char host[64] = "";
    gethostname(host, sizeof(host) - 1);
    char suffix[9];
    rand_suffix(suffix, sizeof(suffix) - 1);
    snprintf(p->identity, sizeof(p->identity), "%s_%s", host, suffix);
    p->leader = (struct leader_options){ .ns = "kaito-workspace",
                                         .name = "ef60f9b0.io",
                                         .identity = p->identity };
    const char *cloud = getenv("CLOUD_PROVIDER");
    p->settings = (struct operator_settings){
        .provisioner = PROVISIONER_BYO,
        .cloud = cloud ? cloud : "",
        .image_registry = f->registry,
        .release_namespace = "kaito-workspace",
        .gates = GATES_DEFAULT,
    };

    p->events = event_recorder_new(p->client, "Workspace", host, clock_system());
    p->manager = manager_new(&(struct manager_options){
        .client = p->client,
        .clock = clock_system(),
        .health_address = f->health_address,
        .metrics_address = f->metrics_address,
        .leader = f->leader_elect ? &p->leader : NULL,
    });
    int r = workspace_controller_add(p->manager, p->client, &p->settings, p->events, clock_system(),
                                     &p->workspaces, err);
    return r < 0 ? r : manager_start(p->manager, err);
}

static int run(const struct manager_flags *f, struct error **err)
{
    struct manager_process p = { 0 };
    metrics_register_process();
    int r = connect_cluster(&p, f, err);
    if (r == 0)
        r = start_controllers(&p, f, err);
    if (r == 0) {
        log_info("controllers run", "version", KAITO_VERSION, NULL);
        int signal_number = 0;
        while (signal_number == 0 && !manager_lost_lead(p.manager))
            signal_number = daemon_wait_signal(500);
        if (signal_number == 0)
            r = error_set(err, ERROR_CONFLICT, "lost the leader lease; another manager leads now");
        else
            log_info("stopping", "signal", strsignal(signal_number), NULL);
    }
    process_done(&p);
    return r;
}

int command_manager(int argc, char **argv)
{
    struct manager_flags f = {
        .metrics_address = ":8080",
        .health_address = ":8081",
        .node_provisioner = "byo",
        .registry = "mcr.microsoft.com/aks/kaito",
        .qps = 30,
        .burst = 50,
        .log = LOG_FLAGS_INIT,
    };
    struct flag flags[] = {
        { "kubeconfig", FLAG_STRING, &f.kubeconfig, "FILE",
          "the cluster; $KUBECONFIG, the service account or ~/.kube/config when not given", 0 },
        { "context", FLAG_STRING, &f.context, "NAME", "context of the kubeconfig", 0 },
        { "metrics-bind-address", FLAG_STRING, &f.metrics_address, "ADDRESS",
          "where /metrics is served", 0 },
        { "health-probe-bind-address", FLAG_STRING, &f.health_address, "ADDRESS",
          "where /healthz and /readyz are served", 0 },
        { "node-provisioner", FLAG_STRING, &f.node_provisioner, "NAME",
          "byo: nodes are brought by the user", 0 },
        { "registry", FLAG_STRING, &f.registry, "NAME", "registry of the engine images", 0 },
        { "kube-client-qps", FLAG_DOUBLE, &f.qps, "N", "requests a second to the API server", 0 },
        { "kube-client-burst", FLAG_INT, &f.burst, "N", "requests at once beyond that", 0 },
        { "leader-elect", FLAG_BOOL, &f.leader_elect, NULL,
          "only one of several managers acts at a time", 0 },
        LOG_FLAG_ROWS(f.log),
        { .name = NULL },
    };
    struct flag_set set = {
        .usage = "kaito manager [flags]",
        .summary = "Runs the Workspace controller against a Kubernetes cluster.",
        .flags = flags,
    };
    int done = command_flags(&set, argc, argv);
    if (done >= 0)
        return done;

    struct error *err = NULL;
    int r = log_flags_apply(&f.log, &err);
    if (r == 0 && !str_eq(f.node_provisioner, "byo"))
        r = error_set(
            &err, ERROR_UNSUPPORTED,
            "--node-provisioner is \"%s\"; this version brings up no nodes: byo is the only choice",
            f.node_provisioner);
    if (r == 0 && (f.qps < 0 || f.burst < 0 || f.burst > 100000))
        r = error_set(
            &err, ERROR_INVALID,
            "--kube-client-qps and --kube-client-burst must be 0 or more (burst at most 100000)");
    if (r < 0)
        return command_fail(argv[0], err);

    daemon_prepare();
    r = run(&f, &err);
    return r < 0 ? command_fail(argv[0], err) : EXIT_DONE;
}
