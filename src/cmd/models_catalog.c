#include "cmd/models_catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "catalog/estimate.h"
#include "catalog/sku.h"
#include "cmd/offline.h"
#include "json/build.h"

#define DEFAULT_CLOUD "azure"

struct models_catalog_query models_catalog_query_default(void)
{
    const char *cloud = getenv("CLOUD_PROVIDER");
    return (struct models_catalog_query){ .cloud = str_empty(cloud) ? DEFAULT_CLOUD : cloud };
}

static bool has(struct arena *a, const char *text, const char *lower)
{
    return text && strstr(str_lower(a, text), lower);
}

static bool is_wanted(struct arena *a, const struct preset *p, const char *filter)
{
    if (str_empty(filter))
        return true;
    const char *lower = str_lower(a, filter);
    if (has(a, p->id, lower) || has(a, p->name, lower) || has(a, p->license, lower))
        return true;
    for (const char *const *alias = p->aliases; *alias; alias++)
        if (has(a, *alias, lower))
            return true;
    return false;
}

/* 0: it does not run there. */
static int64_t nodes_on(const struct preset *p, const struct sku *sku,
                        const struct models_catalog_query *q)
{
    struct gpu gpu;
    struct estimate e;
    if (p->format == WEIGHTS_GGUF || !sku_runs_cuda(sku) || gpu_from_sku(sku, &gpu) < 0 ||
        estimate_in_mode(q->precise, p, &gpu, q->context, &e, NULL) < 0)
        return 0;
    return e.nodes;
}

/* {"Standard_NC24ads_A100_v4": 1, …} */
static struct json *machines_of(struct arena *a, const struct catalog *c, const struct preset *p,
                                const struct models_catalog_query *q, const struct sku *only)
{
    struct json *machines = json_new_object(a);
    for (size_t i = 0; i < sku_count(c); i++) {
        const struct sku *sku = sku_at(c, i);
        bool counts = only ? sku == only : STREQ(sku->cloud, q->cloud);
        int64_t nodes = counts ? nodes_on(p, sku, q) : 0;
        if (nodes > 0)
            json_set_int(a, machines, sku->name, nodes);
    }
    return machines;
}

static struct json *row_of(struct arena *a, const struct preset *p, struct json *machines)
{
    bool gguf = p->format == WEIGHTS_GGUF;
    struct json *aliases = json_new_array(a);
    struct json *runtimes = json_new_array(a);
    for (const char *const *alias = p->aliases; *alias; alias++)
        json_append(aliases, STR(*alias));
    json_append(runtimes, gguf ? STR("llama.cpp") : STR("vllm"));
    if (p->transformers)
        json_append(runtimes, STR("transformers"));
    return OBJ("name", STR(p->name), "id", STR(p->id), "aliases", aliases, "license",
               STR(p->license), "architecture", STR(p->architecture), "size",
               gguf ? NULL : STR(p->file_size), "bytes",
               gguf && p->bytes ? INT((int64_t)p->bytes) : NULL, "quantization",
               STR(p->quantization), "contextLength", INT(p->context_length), "runtimes", runtimes,
               "tuning", BOOL(p->tuning != NULL), "nodes", gguf ? NULL : machines);
}

static const char *short_machine(struct arena *a, const char *name)
{
    const char *rest = str_skip_prefix(name, "Standard_");
    return rest ? rest : arena_strdup(a, name);
}

/* The machines of which one is enough, the smallest first as the tables have them; else the one of
 * which least are needed. */
static const char *machines_text(struct arena *a, const struct json *machines)
{
    const char *text = "";
    size_t count = 0;
    int64_t least = 0;
    const char *best = NULL;
    JSON_FOREACH(it, machines) {
        int64_t nodes = json_int(it.value, 0);
        if (!best || nodes < least) {
            least = nodes;
            best = it.key;
        }
        if (nodes == 1 && count++ < 3)
            text = arena_printf(a, "%s%s%s", text, *text ? ", " : "", short_machine(a, it.key));
    }
    if (count > 3)
        return arena_printf(a, "%s, %zu more", text, count - 3);
    return count || !best ? text
                          : arena_printf(a, "%lld x %s", (long long)least, short_machine(a, best));
}

static void print_rows(struct arena *a, const struct json *rows)
{
    printf("%-46s %10s %9s  %-10s %-6s  %s\n", "NAME", "SIZE", "CONTEXT", "RUNTIMES", "TUNING",
           "ONE NODE IS ENOUGH");
    JSON_FOREACH(it, rows) {
        const struct json *m = it.value;
        const char *size = json_find_str(m, "size");
        int64_t bytes = json_find_int(m, 0, "bytes");
        const struct json *runtimes = json_get(m, "runtimes");
        const char *runtime =
            json_size(runtimes) > 1 ? "vllm, tfs" : json_string(json_at(runtimes, 0));
        bool gguf = str_eq(runtime, "llama.cpp");
        if (!size)
            size = bytes ? arena_printf(a, "%.2fGi", (double)bytes / (double)GIB) : "";
        printf("%-46s %10s %9lld  %-10s %-6s  %s\n",
               gguf ? json_find_str(m, "name") : json_find_str(m, "id"), size,
               (long long)json_find_int(m, 0, "contextLength"), runtime,
               json_find_bool(m, false, "tuning") ? "yes" : "no",
               gguf ? "any, without a GPU" : machines_text(a, json_get(m, "nodes")));
    }
}

static int check_cloud(const struct catalog *c, const char *cloud, struct error **err)
{
    for (size_t i = 0; i < sku_count(c); i++)
        if (str_eq(sku_at(c, i)->cloud, cloud))
            return 0;
    return error_set(err, ERROR_INVALID, "--cloud is \"%s\"; it can be azure, aws or arc",
                     str_or_empty(cloud));
}

int models_catalog(struct arena *a, const struct models_catalog_query *q, const char *output,
                   struct error **err)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    const struct sku *only = NULL;
    int r = offline_check_output(output, err);
    if (r == 0)
        r = check_cloud(c, q->cloud, err);
    if (r == 0 && !str_empty(q->fits))
        r = sku_require(c, q->cloud, q->fits, &only, err);
    if (r < 0)
        return r;
    struct json *rows = json_new_array(a);
    for (size_t i = 0; i < catalog_count(c); i++) {
        const struct preset *p = catalog_at(c, i);
        if (!is_wanted(a, p, q->filter))
            continue;
        struct json *machines = machines_of(a, c, p, q, only);
        if (!only || json_find_int(machines, 0, only->name) == 1)
            json_append(rows, row_of(a, p, machines));
    }
    if (!str_empty(output))
        offline_print(rows, output);
    else
        print_rows(a, rows);
    return 0;
}
