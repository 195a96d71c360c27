/* `kaito plan`: what the operator would make of objects, before anything is billed. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/offline.h"
#include "cmd/plan_print.h"

struct plan_flags {
    struct offline_flags offline;
    const char *file;
    const char *output;
};

/* In the form of `kubectl get -o yaml`: documents one after the other. */
static void print_documents(const struct json *objects)
{
    bool first = true;
    JSON_FOREACH(it, objects) {
        if (!first)
            puts("---");
        offline_print(it.value, "yaml");
        first = false;
    }
}

static void print(struct arena *a, const struct plan *p, const char *output)
{
    if (str_eq(output, "yaml"))
        print_documents(plan_objects(a, p));
    else if (str_eq(output, "json"))
        offline_print(plan_json(a, p), output);
    else
        plan_print_text(a, p);
}

static int run(struct arena *a, const struct plan_flags *f,
               const struct operator_settings *settings, struct plan *ret, struct error **err)
{
    struct offline_objects cluster;
    struct json *documents = NULL;
    int r = offline_read(a, f->file, f->offline.ns, &documents, err);
    if (r == 0)
        r = offline_objects(a, &f->offline, &cluster, err);
    if (r == 0 && json_size(documents) == 0)
        r = error_set(err, ERROR_INVALID, "%s has no objects", f->file);
    if (r < 0)
        return r;
    struct plan_input in = {
        .settings = settings,
        .documents = documents,
        .objects = cluster.all,
    };
    return plan_make(a, &in, ret, err);
}

int command_plan(int argc, char **argv)
{
    struct plan_flags f = { .offline = offline_flags_default() };
    struct flag flags[] = {
        { "filename", FLAG_STRING, &f.file, "FILE",
          "Workspaces and what belongs to them, as YAML or JSON; - is standard input", 'f' },
        { "output", FLAG_STRING, &f.output, "FORMAT",
          "yaml: the objects that would be made; json: these, and the figures", 'o' },
        OFFLINE_FLAG_ROWS(f.offline),
        { .name = NULL },
    };
    struct flag_set set = {
        .usage = "kaito plan -f FILE [flags]",
        .summary =
            "Says what the operator would make of a file: nodes, whether the model fits, and "
            "each object. Exit code 1: something of it cannot run.",
        .flags = flags,
    };
    int done = command_flags(&set, argc, argv);
    if (done >= 0)
        return done;

    AUTO_ARENA a = arena_new();
    struct operator_settings settings;
    struct plan plan = { 0 };
    struct error *err = NULL;
    int r = offline_check_output(f.output, &err);
    if (r == 0 && str_empty(f.file))
        r = error_set(&err, ERROR_INVALID, "-f FILE is required");
    if (r == 0)
        r = offline_settings(a, &f.offline, &settings, &err);
    if (r < 0)
        return command_misused(argv[0], set.usage, err);
    log_setup(LOG_ERROR, LOG_TEXT);
    r = run(a, &f, &settings, &plan, &err);
    if (r < 0)
        return command_fail(argv[0], err);
    print(a, &plan, f.output);
    return plan_fails(&plan) ? EXIT_FAILED : EXIT_DONE;
}
