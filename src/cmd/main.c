/* `kaito`: one executable, a subcommand for each thing it is. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/command.h"

static const struct command commands[] = {
    { "up", "run an API server, the controllers and a node on this machine", command_up },
    { "manager", "run the controllers against a Kubernetes cluster", command_manager },
    { "plan", "say what the operator would make of a file, and whether it fits", command_plan },
    { "estimate", "say how many nodes a model needs, and why", command_estimate },
    { "models", "fill and list the model store of this machine", command_models },
    { "validate", "say what a cluster would say to objects", command_validate },
    { "version", "print the version", command_version },
};

static void print_usage(FILE *out)
{
    fprintf(out,
            "KAITO: a short YAML becomes a running model.\n\nusage: kaito COMMAND [flags]\n\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n`kaito COMMAND --help` prints the flags of a command.\n");
}

int command_version(int argc, char **argv)
{
    struct flag none[] = { { .name = NULL } };
    struct flag_set set = { .usage = "kaito version",
                            .summary = "Prints the version.",
                            .flags = none };
    int done = command_flags(&set, argc, argv);
    if (done >= 0)
        return done;
    printf("kaito %s\n", KAITO_VERSION);
    return EXIT_DONE;
}

/* Under the names of v0.12's executables this one takes their flags. `kubectl-kaito` is the kubectl
 * plugin, and takes ours. */
static int run_by_name(int argc, char **argv, bool *ret_done)
{
    static const char *const not_here[] = { "ragengine", "gpu-provisioner" };
    const char *slash = strrchr(argv[0], '/');
    const char *called = slash ? slash + 1 : argv[0];
    *ret_done = true;
    if (strcmp(called, "workspace") == 0) {
        argv[0] = (char *)"manager";
        return command_manager(argc, argv);
    }
    for (size_t i = 0; i < COUNT_OF(not_here); i++) {
        if (strcmp(called, not_here[i]) == 0) {
            fprintf(stderr, "%s: this version of kaito has no %s\n", called, called);
            return EXIT_FAILED;
        }
    }
    *ret_done = false;
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    bool done = false;
    if (argc > 0) {
        int code = run_by_name(argc, argv, &done);
        if (done)
            return code;
    }
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "kaito: there is no command \"%s\"; `kaito help` lists them\n", name);
    return EXIT_USAGE;
}
