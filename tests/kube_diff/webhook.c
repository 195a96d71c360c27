/* The webhook server and its rules beside any API server, until SIGTERM:
 *
 *     webhook KUBECONFIG PORT SERVICE NAMESPACE
 *
 * Prints "ready" once it is. Its clock starts six days and a few hours ago; each SIGUSR1 moves it
 * on to where the certificate is due for another, each SIGUSR2 by ten seconds. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "kube/config.h"
#include "webhook/internal.h"
#include "webhook/rules.h"

#define HOUR (3600 * NS_PER_S)
#define POLL_NS (20 * NS_PER_MS)

static struct clock_virtual now;

static int wait_signal(const sigset_t *until)
{
    const struct timespec poll = { .tv_nsec = POLL_NS };
    return sigtimedwait(until, NULL, &poll);
}

static void run(struct webhook *w, const sigset_t *until)
{
    bool told = false;
    for (int signal_number = 0; signal_number != SIGTERM;) {
        if (!told && webhook_ready(w, NULL, 0)) {
            puts("ready");
            fflush(stdout);
            told = true;
        }
        signal_number = wait_signal(until);
        if (signal_number == SIGUSR1)
            clock_virtual_advance(&now, 145 * HOUR);
        if (signal_number == SIGUSR2)
            clock_virtual_advance(&now, 10 * NS_PER_S);
        if (signal_number == SIGUSR1 || signal_number == SIGUSR2)
            webhook_poke(w);
    }
}

static int serve(char **argv, uint16_t port, const sigset_t *until, struct error **err)
{
    struct kube_config *config = NULL;
    struct kube_transport *transport = NULL;
    int r = kube_config_load(argv[1], NULL, &config, err);
    if (r == 0)
        r = kube_http_transport_new(config, "kaito-webhook-test", &transport, err);
    if (r < 0)
        return r;
    const struct operator_settings settings = { .provisioner = PROVISIONER_AZURE_GPU,
                                                .gates = GATES_DEFAULT,
                                                .cloud = "azure",
                                                .release_namespace = argv[4] };
    struct kube_client *client = kube_client_new(transport, &(struct kube_client_options){ 0 });
    struct webhook_rules *rules = webhook_rules_new(
        &(struct webhook_rules_options){ .client = client, .settings = &settings });
    struct webhook_options options = { .client = client,
                                       .clock = &now.clock,
                                       .port = port,
                                       .service = argv[3],
                                       .ns = argv[4],
                                       .review = webhook_rules_review,
                                       .ctx = rules };
    struct webhook *w = NULL;
    r = webhook_start(&options, &w, err);
    if (r == 0)
        run(w, until);
    webhook_stop(w);
    webhook_rules_free(rules);
    kube_client_free(client);
    kube_transport_free(transport);
    return r;
}

int main(int argc, char **argv)
{
    int64_t port = 0;
    if (argc != 5 || str_to_int64(argv[2], &port) < 0) {
        fputs("usage: webhook KUBECONFIG PORT SERVICE NAMESPACE\n", stderr);
        return 2;
    }
    sigset_t until;
    sigemptyset(&until);
    sigaddset(&until, SIGTERM);
    sigaddset(&until, SIGUSR1);
    sigaddset(&until, SIGUSR2);
    sigprocmask(SIG_BLOCK, &until, NULL); /* before any thread: they all inherit it */
    log_setup(LOG_INFO, LOG_TEXT);
    clock_virtual_init(&now, clock_wall(clock_system()) - 150 * HOUR);
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (serve(argv, (uint16_t)port, &until, &err) < 0) {
        fprintf(stderr, "webhook: %s\n", error_message(err));
        return 1;
    }
    return 0;
}
