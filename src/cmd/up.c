/* `kaito up`: one box. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/daemon.h"
#include "cmd/data_dir.h"
#include "cmd/onebox.h"

#define DEFAULT_PORT 6443

static int run(const struct onebox_options *options, int64_t stop_grace_ms, struct error **err)
{
    int64_t started = clock_mono(clock_system());
    struct onebox *box = NULL;
    int r = onebox_start(options, &box, err);
    if (r < 0)
        return r;
    printf("kaito is up after %d ms: https://%s:%d\n  export KUBECONFIG=%s\n",
           (int)((clock_mono(clock_system()) - started) / NS_PER_MS), options->address,
           (int)onebox_port(box), onebox_kubeconfig(box));
    fflush(stdout);
    int signal_number = daemon_wait_signal(-1);
    log_info("stopping", "signal", strsignal(signal_number), NULL);
    onebox_stop(box, stop_grace_ms);
    return 0;
}

int command_up(int argc, char **argv)
{
    AUTO_ARENA a = arena_new();
    struct onebox_options options = { .data_dir = data_dir_default(a), .address = "127.0.0.1" };
    struct log_flags log_flags = LOG_FLAGS_INIT;
    int64_t port = DEFAULT_PORT;
    int64_t stop_grace_ns = 10 * NS_PER_S;
    struct flag flags[] = {
        { "data-dir", FLAG_STRING, &options.data_dir, "DIR",
          "where everything is kept; made when absent", 0 },
        { "address", FLAG_STRING, &options.address, "ADDRESS", "loopback address of the API server",
          0 },
        { "port", FLAG_INT, &port, "PORT", "port of the API server; 0 takes any free one", 0 },
        { "kubeconfig", FLAG_STRING, &options.kubeconfig, "FILE",
          "kubeconfig to write; DATA_DIR/kubeconfig when not given", 0 },
        { "node-name", FLAG_STRING, &options.node_name, "NAME",
          "name of this machine's Node; the host name when not given", 0 },
        { "models-dir", FLAG_STRING, &options.models_dir, "DIR",
          "the model store; $KAITO_MODELS_DIR or DATA_DIR/models when not given", 0 },
        { "engine-path", FLAG_STRING, &options.engine_path, "DIRS",
          "directories with kaito-shim, kaito-serve and engines, \":\" between them", 0 },
        { "images", FLAG_STRING, &options.images_file, "FILE",
          "image names mapped to local programs; DATA_DIR/images.json when not given", 0 },
        { "stop-grace", FLAG_DURATION, &stop_grace_ns, "DURATION",
          "how long processes may take to end at Ctrl-C", 0 },
        LOG_FLAG_ROWS(log_flags),
        { .name = NULL },
    };
    struct flag_set set = {
        .usage = "kaito up [flags]",
        .summary =
            "Runs a Kubernetes API server, KAITO's controllers and a node on this machine, until Ctrl-C.",
        .flags = flags,
    };
    int done = command_flags(&set, argc, argv);
    if (done >= 0)
        return done;

    struct error *err = NULL;
    int r = log_flags_apply(&log_flags, &err);
    if (r == 0 && (port < 0 || port > UINT16_MAX))
        r = error_set(&err, ERROR_INVALID, "--port is %lld; it can be 0 to 65535", (long long)port);
    if (r == 0 && !str_has_prefix(options.address, "127.") && !str_eq(options.address, "::1"))
        r = error_set(
            &err, ERROR_INVALID,
            "--address is %s; one box serves loopback addresses only (127.0.0.0/8 or ::1)",
            options.address);
    if (r == 0)
        r = data_dir_absolute(a, &options.data_dir, &err);
    if (r < 0)
        return command_fail(argv[0], err);
    options.port = (uint16_t)port;

    daemon_prepare();
    r = run(&options, stop_grace_ns / NS_PER_MS, &err);
    return r < 0 ? command_fail(argv[0], err) : EXIT_DONE;
}
