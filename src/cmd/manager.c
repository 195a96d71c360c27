/* `kaito manager`: the controllers against a cluster. Called as `workspace` the executable is this
 * command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/daemon.h"
#include "cmd/manager_flags.h"
#include "cmd/workspace_metrics.h"
#include "hub/hub.h"
#include "inferenceset/inferenceset.h"
#include "kube/config.h"
#include "kube/controller.h"
#include "kube/events.h"
#include "kube/leader.h"
#include "metrics/metrics.h"
#include "modelmirror/modelmirror.h"
#include "multirole/multirole.h"
#include "webhook/rules.h"
#include "workspace/workspace.h"

#define LEASE_NAME "ef60f9b0.io"
#define ACCOUNT_NAMESPACE_FILE "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

/* Everything `kaito manager` holds, in the order it is made. */
struct manager_process {
    struct manager_config *config;
    struct kube_transport *transport;
    struct kube_client *client;
    struct event_recorder *events;
    struct manager *manager;
    struct workspace_controller *workspaces;
    struct model_mirror_controller *mirrors;
    struct hub *hub;
    struct inference_set_controller *sets;
    struct multi_role_controller *roles;
    struct workspace_metrics *metrics;
    struct webhook_rules *rules;
    struct webhook *webhook; /* NULL: none is served */
    struct leader_options leader;
    char host[64];
    char identity[128];
};

static void process_done(struct manager_process *p)
{
    webhook_stop(p->webhook);
    if (p->manager) {
        manager_stop(p->manager);
        metrics_collect_stop(inference_set_collect, p->sets);
        workspace_metrics_free(p->metrics);
        manager_free(p->manager);
    }
    webhook_rules_free(p->rules);
    multi_role_controller_free(p->roles);
    inference_set_controller_free(p->sets);
    model_mirror_controller_free(p->mirrors);
    hub_free(p->hub);
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
    p->client =
        kube_client_new(p->transport, &(struct kube_client_options){ .qps = MAX(f->qps, 0.0),
                                                                     .burst = (unsigned)f->burst });
    return 0;
}

static void make_identity(struct manager_process *p)
{
    gethostname(p->host, sizeof(p->host) - 1);
    char suffix[9];
    rand_suffix(suffix, sizeof(suffix) - 1);
    snprintf(p->identity, sizeof(p->identity), "%s_%s", p->host, suffix);
    p->leader = (struct leader_options){ .ns = p->config->settings.release_namespace,
                                         .name = LEASE_NAME,
                                         .identity = p->identity };
}

/* The webhook answers before the controllers run: it needs no lead, and API servers wait for it. */
static int start_webhook(struct manager_process *p, struct error **err)
{
    const struct manager_config *c = p->config;
    if (!*c->webhook_service)
        return 0;
    p->rules = webhook_rules_new(
        &(struct webhook_rules_options){ .client = p->client, .settings = &c->settings });
    struct webhook_options options = {
        .client = p->client,
        .port = c->webhook_port,
        .service = c->webhook_service,
        .ns = c->webhook_namespace,
        .tls_min_version = getenv("WEBHOOK_TLS_MIN_VERSION"),
        .review = webhook_rules_review,
        .ctx = p->rules,
    };
    int r = webhook_start(&options, &p->webhook, err);
    return r < 0 ? error_prefix(err, r, "webhook on port %d (WEBHOOK_PORT)", c->webhook_port) : 0;
}

/* Models that the catalogue does not have. The settings name it before a controller runs. */
static int make_hub(struct manager_process *p, struct error **err)
{
    struct hub_options options = { .catalog = workspace_controller_catalog(p->workspaces) };
    int r = hub_new(&options, &p->hub, err);
    p->config->settings.hub = p->hub;
    return r < 0 ? error_prefix(err, r, "the hub of models (HF_ENDPOINT)") : 0;
}

/* Those that a gate switches on. */
static int add_controllers(struct manager_process *p, struct error **err)
{
    const struct operator_settings *s = &p->config->settings;
    struct clock *clock = clock_system();
    int r =
        workspace_controller_add(p->manager, p->client, s, p->events, clock, &p->workspaces, err);
    if (r == 0)
        r = make_hub(p, err);
    if (r == 0 && s->gates.on[GATE_INFERENCE_SET])
        r = inference_set_controller_add(p->manager, p->client, s, p->events, clock, &p->sets, err);
    if (r == 0 && p->sets)
        metrics_on_collect(inference_set_collect, p->sets);
    if (r == 0 && s->gates.on[GATE_MULTI_ROLE])
        r = multi_role_controller_add(p->manager, p->client, s, p->events, clock, &p->roles, err);
    if (r == 0 && s->gates.on[GATE_MODEL_MIRROR])
        r = model_mirror_controller_add(p->manager, p->client, s, p->events, clock, &p->mirrors,
                                        err);
    if (r == 0)
        p->metrics = workspace_metrics_add(p->manager);
    return r;
}

static bool webhook_is_ready(void *ctx, char *why, size_t why_size)
{
    struct manager_process *p = ctx;
    return !p->webhook || webhook_ready(p->webhook, why, why_size);
}

static int start_controllers(struct manager_process *p, const struct manager_flags *f,
                             struct error **err)
{
    make_identity(p);
    p->events = event_recorder_new(p->client, "Workspace", p->host, clock_system());
    p->manager = manager_new(&(struct manager_options){
        .client = p->client,
        .clock = clock_system(),
        .health_address = f->health_address,
        .metrics_address = f->metrics_address,
        .leader = f->leader_elect ? &p->leader : NULL,
        .ready = webhook_is_ready,
        .ready_ctx = p,
    });
    int r = add_controllers(p, err);
    if (r == 0)
        r = start_webhook(p, err);
    return r < 0 ? r : manager_start(p->manager, err);
}

static int run(const struct manager_flags *f, struct manager_config *config, struct error **err)
{
    struct manager_process p = { .config = config };
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

/* Where the pod runs; "" outside of a cluster. */
static const char *account_namespace(struct arena *a)
{
    AUTO_FREE char *text = NULL;
    if (file_read(ACCOUNT_NAMESPACE_FILE, KIB, &text, NULL, NULL) < 0)
        return "";
    return str_trim(a, text);
}

/* In the form of v0.12, which names its compiler too. */
static int print_version(void)
{
    printf("%s (Build Date: not recorded, Go Version: none, Compiler: %s)\n", KAITO_VERSION,
           __VERSION__);
    return EXIT_DONE;
}

int command_manager(int argc, char **argv)
{
    AUTO_ARENA a = arena_new();
    struct error *err = NULL;
    struct manager_flags f;
    int r = manager_flags_parse(argc, argv, &f, &err);
    if (r == -ERROR_CANCELLED) {
        error_free(err);
        return EXIT_DONE;
    }
    if (r < 0)
        return command_misused(argv[0], manager_flags_usage, err);
    if (f.version)
        return print_version();

    struct manager_config config;
    r = manager_config_make(a, &f, getenv, account_namespace(a), &config, &err);
    if (r == 0)
        r = log_flags_apply(&(struct log_flags){ .level = config.log_level,
                                                 .format = config.log_format },
                            &err);
    if (r < 0)
        return command_fail(argv[0], err);

    daemon_prepare();
    r = run(&f, &config, &err);
    return r < 0 ? command_fail(argv[0], err) : EXIT_DONE;
}
