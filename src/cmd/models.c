/* `kaito models`: the model store of this machine, and the presets that can go into it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "catalog/catalog.h"
#include "cmd/command.h"
#include "cmd/data_dir.h"
#include "cmd/models_catalog.h"
#include "models/transfer.h"
#include "yaml/yaml.h"
#include "json/build.h"

/* Flags of all actions; each reads the ones it has. */
struct models_flags {
    const char *data_dir;
    const char *models_dir;
    const char *name;
    const char *sha256;
    const char *token;
    const char *proxy;
    const char *output;
    struct models_catalog_query query;
};

struct action {
    const char *name;
    const char *usage;
    const char *summary;
    size_t operands; /* how many it wants */
    int (*run)(struct arena *a, const struct models_flags *f, char **operands, struct error **err);
};

static const char *store_dir(struct arena *a, const struct models_flags *f)
{
    return str_empty(f->models_dir) ? model_store_dir(a, f->data_dir) : f->models_dir;
}

/* ---- progress ------------------------------------------------------------------------------------------------ */

struct progress_line {
    const char *name;
    int64_t began_ns;
    uint64_t began_bytes;
    bool started;
    bool terminal;
};

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct progress_line *p = ctx;
    int64_t now = clock_mono(clock_system());
    if (!p->started) {
        p->started = true;
        p->began_ns = now;
        p->began_bytes = done;
    }
    bool last = total > 0 && done == total;
    if (!p->terminal && !last)
        return;
    double seconds = (double)(now - p->began_ns) / (double)NS_PER_S;
    double mib = (double)done / (double)MIB;
    double speed = seconds > 0.2 ? (double)(done - p->began_bytes) / (double)MIB / seconds : 0;
    fprintf(stderr, "%s%s: %.1f", p->terminal ? "\r\033[K" : "", p->name, mib);
    if (total > 0)
        fprintf(stderr, " of %.1f MiB, %d %%", (double)total / (double)MIB,
                (int)(100 * done / total));
    else
        fprintf(stderr, " MiB");
    if (speed > 0)
        fprintf(stderr, ", %.1f MiB/s", speed);
    if (last || !p->terminal)
        fputc('\n', stderr);
    fflush(stderr);
}

static struct progress_line progress_of(const char *name)
{
    return (struct progress_line){ .name = name, .terminal = isatty(STDERR_FILENO) };
}

/* ---- actions ------------------------------------------------------------------------------------------------- */

static int unknown_preset(struct arena *a, const struct catalog *catalog, const char *what,
                          struct error **err)
{
    if (catalog_find(catalog, what))
        return error_set(err, ERROR_UNSUPPORTED,
                         "preset \"%s\" has no GGUF weights; its engine fetches them itself", what);
    const char *nearest[3];
    size_t n = catalog_nearest(catalog, what, nearest, COUNT_OF(nearest));
    if (n == 0)
        return error_set(
            err, ERROR_NOT_FOUND,
            "there is no preset \"%s\"; `kaito models list` lists them, and a URL works too", what);
    return error_set(err, ERROR_NOT_FOUND, "there is no preset \"%s\"; the nearest are %s", what,
                     str_join(a, (char *const *)nearest, n, ", "));
}

/* What to fetch: the preset of that name, or the URL itself. */
static int resolve(struct arena *a, const struct models_flags *f, const char *what,
                   struct model_pull *pull, struct error **err)
{
    if (strstr(what, "://")) {
        const char *slash = strrchr(what, '/');
        char *base = str_lower(a, slash + 1);
        base[strcspn(base, "?#")] = '\0';
        if (str_has_suffix(base, ".gguf"))
            base[strlen(base) - strlen(".gguf")] = '\0';
        pull->url = what;
        pull->name = str_empty(f->name) ? base : f->name;
        return 0;
    }
    CLEANUP(catalog_cleanup) struct catalog *catalog = catalog_new();
    const struct preset *preset = catalog_find_format(catalog, what, WEIGHTS_GGUF);
    if (!preset)
        return unknown_preset(a, catalog, what, err);
    pull->url = preset_url(a, preset);
    pull->name = arena_strdup(a, str_empty(f->name) ? preset->name : f->name);
    pull->sha256 = str_empty(preset->sha256) ? NULL : arena_strdup(a, preset->sha256);
    pull->bytes = preset->bytes;
    return 0;
}

static int action_pull(struct arena *a, const struct models_flags *f, char **operands,
                       struct error **err)
{
    const char *token = str_empty(f->token) ? getenv("HF_TOKEN") : f->token;
    struct model_pull pull = { .dir = store_dir(a, f), .token = token, .proxy = f->proxy };
    int r = resolve(a, f, operands[0], &pull, err);
    if (r < 0)
        return r;
    if (!str_empty(f->sha256))
        pull.sha256 = f->sha256;
    struct progress_line line = progress_of(pull.name);
    pull.progress = show_progress;
    pull.ctx = &line;
    struct http_client *client = NULL;
    r = http_client_new(&(struct http_client_options){ .user_agent = "kaito/" KAITO_VERSION },
                        &client, err);
    if (r < 0)
        return r;
    r = model_pull(client, &pull, err);
    http_client_free(client);
    if (r == 0)
        printf("model \"%s\" is in the model store %s\n", pull.name, pull.dir);
    return r;
}

static int action_import(struct arena *a, const struct models_flags *f, char **operands,
                         struct error **err)
{
    const char *file = operands[0];
    const char *slash = strrchr(file, '/');
    const char *name = f->name;
    if (str_empty(name)) {
        char *base = str_lower(a, slash ? slash + 1 : file);
        if (str_has_suffix(base, ".gguf"))
            base[strlen(base) - strlen(".gguf")] = '\0';
        name = base;
    }
    const char *dir = store_dir(a, f);
    struct progress_line line = progress_of(name);
    int r = model_import(dir, name, file, show_progress, &line, err);
    if (r == 0)
        printf("model \"%s\" is in the model store %s\n", name, dir);
    return r;
}

static int action_remove(struct arena *a, const struct models_flags *f, char **operands,
                         struct error **err)
{
    int r = model_store_remove(a, store_dir(a, f), operands[0], err);
    if (r == 0)
        printf("model \"%s\" was removed\n", operands[0]);
    return r;
}

/* The presets and the files of the store in one list: which can be had, which are there. */
static int gather(struct arena *a, const char *dir, struct json **ret, struct error **err)
{
    struct json *stored = NULL;
    int r = model_store_list(a, dir, &stored, err);
    if (r < 0)
        return r;
    struct json *models = json_new_array(a);
    CLEANUP(catalog_cleanup) struct catalog *catalog = catalog_new();
    for (size_t i = 0; i < catalog_count(catalog); i++) {
        const struct preset *p = catalog_at(catalog, i);
        if (p->format != WEIGHTS_GGUF)
            continue;
        json_append(models, OBJ("name", STR(p->name), "preset", BOOL(true), "stored", BOOL(false),
                                "bytes", p->bytes ? INT((int64_t)p->bytes) : NULL, "quantization",
                                STR(p->quantization), "contextLength", INT(p->context_length),
                                "source", STR(preset_url(a, p))));
    }
    JSON_FOREACH(it, stored) {
        struct json *row = NULL;
        JSON_FOREACH(known, models) {
            if (str_eq(json_find_str(known.value, "name"), json_find_str(it.value, "name")))
                row = known.value;
        }
        if (!row) {
            row = OBJ("name", STR(json_find_str(it.value, "name")), "preset", BOOL(false));
            json_append(models, row);
        }
        JSON_FOREACH(field, it.value)
            json_set(a, row, field.key, json_clone(a, field.value));
        json_set_bool(a, row, "stored", true);
    }
    *ret = models;
    return 0;
}

static void print_table(const struct json *models)
{
    printf("%-24s %-10s %10s  %-8s %9s  %s\n", "NAME", "STORED", "SIZE", "QUANT", "CONTEXT",
           "NOTE");
    JSON_FOREACH(it, models) {
        const struct json *m = it.value;
        const char *error = json_find_str(m, "error");
        const char *quantization = json_find_str(m, "quantization");
        bool stored = json_find_bool(m, false, "stored");
        int64_t bytes = json_find_int(m, 0, "bytes");
        char size[32] = "";
        if (bytes > 0)
            snprintf(size, sizeof(size), "%.1f MiB", (double)bytes / (double)MIB);
        char context[32] = "";
        if (json_find_int(m, 0, "contextLength") > 0)
            snprintf(context, sizeof(context), "%lld",
                     (long long)json_find_int(m, 0, "contextLength"));
        printf("%-24s %-10s %10s  %-8s %9s  %s\n", json_find_str(m, "name"),
               error    ? "unusable"
               : stored ? "yes"
                        : "no",
               size, quantization ? quantization : "", context, error ? error : "");
    }
}

static int action_list(struct arena *a, const struct models_flags *f, char **operands,
                       struct error **err)
{
    struct json *models = NULL;
    if (!str_empty(f->output) && !str_eq(f->output, "json") && !str_eq(f->output, "yaml"))
        return error_set(err, ERROR_INVALID, "-o is \"%s\"; it can be json or yaml", f->output);
    int r = gather(a, store_dir(a, f), &models, err);
    if (r < 0)
        return r;
    AUTO_BUF text = BUF_INIT(64 * MIB);
    if (str_eq(f->output, "json"))
        json_write_pretty(models, 2, &text);
    else if (str_eq(f->output, "yaml"))
        yaml_write(models, &text);
    else
        print_table(models);
    if (text.len > 0)
        printf("%s%s", text.data, str_has_suffix(text.data, "\n") ? "" : "\n");
    return 0;
}

static int action_catalog(struct arena *a, const struct models_flags *f, char **operands,
                          struct error **err)
{
    return models_catalog(a, &f->query, f->output, err);
}

static const struct action actions[] = {
    { "list", "kaito models list [-o json|yaml]",
      "Lists the presets with GGUF weights and what is in the model store.", 0, action_list },
    { "catalog", "kaito models catalog [--filter TEXT] [--fits INSTANCE-TYPE] [--cloud NAME]",
      "Lists all presets, what runs them, and how many nodes of which machines they need.", 0,
      action_catalog },
    { "pull", "kaito models pull NAME|URL [flags]",
      "Fetches the weights of a preset, or a GGUF file, into the model store.", 1, action_pull },
    { "import", "kaito models import FILE [--name NAME]",
      "Copies a GGUF file of this machine into the model store.", 1, action_import },
    { "remove", "kaito models remove NAME", "Removes a model from the model store.", 1,
      action_remove },
};

static int run_action(const struct action *action, int argc, char **argv)
{
    AUTO_ARENA a = arena_new();
    struct models_flags f = { .data_dir = data_dir_default(a) };
    f.query = models_catalog_query_default();
    struct flag flags[] = {
        { "data-dir", FLAG_STRING, &f.data_dir, "DIR",
          "directory of `kaito up`; the store is in its models/", 0 },
        { "models-dir", FLAG_STRING, &f.models_dir, "DIR",
          "the model store itself; $KAITO_MODELS_DIR", 0 },
        { "name", FLAG_STRING, &f.name, "NAME", "name in the store (pull, import)", 0 },
        { "sha256", FLAG_STRING, &f.sha256, "HEX", "checksum that the file must have (pull)", 0 },
        { "token", FLAG_STRING, &f.token, "TOKEN", "access token for the weights; $HF_TOKEN (pull)",
          0 },
        { "proxy", FLAG_STRING, &f.proxy, "URL",
          "proxy; https_proxy of the environment when not given (pull)", 0 },
        { "filter", FLAG_STRING, &f.query.filter, "TEXT",
          "only those whose name, aliases or license have this in them (catalog)", 0 },
        { "fits", FLAG_STRING, &f.query.fits, "INSTANCE-TYPE",
          "only those that run on one node of this machine type (catalog)", 0 },
        { "cloud", FLAG_STRING, &f.query.cloud, "NAME",
          "machines of azure, aws or arc; $CLOUD_PROVIDER, else azure (catalog)", 0 },
        { "context", FLAG_INT, &f.query.context, "TOKENS",
          "reckon with so long a context; 0: 2048 (catalog)", 0 },
        { "precise", FLAG_BOOL, &f.query.precise, NULL,
          "reckon as --estimator=precise does (catalog)", 0 },
        { "output", FLAG_STRING, &f.output, "FORMAT", "json or yaml (list, catalog)", 'o' },
        { .name = NULL },
    };
    struct flag_set set = {
        .usage = action->usage, .summary = action->summary, .flags = flags, .interspersed = true
    };
    struct error *err = NULL;
    AUTO_FREE char **operands = NULL;
    size_t n = 0;
    int r = flags_parse(&set, argc, argv, &operands, &n, &err);
    if (r == -ERROR_CANCELLED) {
        error_free(err);
        return EXIT_DONE;
    }
    if (r == 0 && n != action->operands)
        r = error_set(&err, ERROR_INVALID,
                      n > action->operands ? "too many arguments" : "an argument is missing");
    if (r < 0)
        return command_misused(arena_printf(a, "models %s", action->name), action->usage, err);
    r = data_dir_absolute(a, &f.data_dir, &err);
    if (r == 0)
        r = action->run(a, &f, operands, &err);
    return r < 0 ? command_fail(arena_printf(a, "models %s", action->name), err) : EXIT_DONE;
}

static void print_actions(FILE *out)
{
    fprintf(out, "usage: kaito models ACTION [flags]\n\n");
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        fprintf(out, "  %-8s %s\n", actions[i].name, actions[i].summary);
    fprintf(out, "\n`kaito models ACTION --help` prints the flags.\n");
}

int command_models(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            return run_action(&actions[i], argc - 1, argv + 1);
    bool help = str_eq(name, "--help") || str_eq(name, "-h") || str_eq(name, "help");
    print_actions(help ? stdout : stderr);
    if (!help && !str_empty(name))
        fprintf(stderr, "kaito models: there is no action \"%s\"\n", name);
    return help ? EXIT_DONE : EXIT_USAGE;
}
