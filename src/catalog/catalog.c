#include "catalog/catalog.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "catalog/catalog_internal.h"

EMBEDDED(presets);
EMBEDDED(presets_gguf);
EMBEDDED(models_precise);

#define MAX_ALIASES 4

static const char *text(const struct json *row, const char *key)
{
    const char *s = json_find_str(row, key);
    return s ? s : "";
}

static const char *const *read_aliases(struct arena *a, const struct json *list)
{
    const char **aliases = arena_zalloc(a, (MAX_ALIASES + 1) * sizeof(*aliases));
    JSON_FOREACH(it, list)
        if (it.index < MAX_ALIASES)
            aliases[it.index] = json_string(it.value);
    return aliases;
}

static const struct preset_tuning *read_tuning(struct arena *a, const struct json *row)
{
    if (!row)
        return NULL;
    struct preset_tuning *t = arena_zalloc(a, sizeof(*t));
    t->image = text(row, "image");
    t->disk = text(row, "disk");
    t->readiness_seconds = json_find_int(row, 0, "readinessSeconds");
    t->download_at_runtime = str_empty(t->image);
    return t;
}

static void read_preset(struct arena *a, const struct json *row, struct preset *p)
{
    p->license = text(row, "license");
    p->aliases = read_aliases(a, json_get(row, "aliases"));
    p->context_length = json_find_int(row, 0, "contextLength");
    p->quantization = text(row, "quantization");
    if (p->format == WEIGHTS_GGUF) {
        p->name = text(row, "name");
        p->id = text(row, "repository");
        p->revision = text(row, "revision");
        p->file = text(row, "file");
        p->sha256 = text(row, "sha256");
        p->architecture = text(row, "architecture");
        p->bytes = (uint64_t)json_find_int(row, 0, "bytes");
        p->parameters = (uint64_t)json_find_int(row, 0, "parameters");
        p->token_required = json_find_bool(row, false, "token");
        return;
    }
    p->id = text(row, "id");
    const char *slash = strrchr(p->id, '/');
    p->name = str_lower(a, slash ? slash + 1 : p->id);
    p->architecture = json_string(json_at(json_get(row, "architectures"), 0));
    p->file_size = text(row, "fileSize");
    p->disk = text(row, "disk");
    p->bytes_per_token = json_find_int(row, 0, "bytesPerToken");
    p->readiness_seconds = (int64_t)ceil(json_double(json_get(row, "readinessSeconds"), 0));
    p->no_cpu_offload = json_find_bool(row, false, "noCpuOffload");
    p->deep_gemm = json_find_bool(row, false, "deepGemm");
    p->cuda_toolkit = json_find_bool(row, false, "cudaToolkit");
    p->vllm = json_get(row, "vllm");
    p->transformers = json_get(row, "transformers");
    p->tuning = read_tuning(a, json_get(row, "tuning"));
}

static void add_name(struct catalog *c, const char *name, struct preset *p)
{
    const char *lower = str_lower(c->a, name);
    if (!map_has(c->by_name[WEIGHTS_SAFETENSORS], lower) &&
        !map_has(c->by_name[WEIGHTS_GGUF], lower))
        c->names[c->name_count++] = lower;
    if (!map_has(c->by_name[p->format], lower))
        map_set(c->by_name[p->format], lower, p);
}

static void add_rows(struct catalog *c, const struct json *rows, enum weights_format format)
{
    JSON_FOREACH(it, rows) {
        struct preset *p = &c->presets[c->count++];
        p->format = format;
        read_preset(c->a, it.value, p);
    }
}

/* The short name of a safetensors preset counts only where it is listed as an alias:
 * "gemma-3-4b-it" is no preset of KAITO. */
static void add_names(struct catalog *c)
{
    c->names = arena_zalloc(c->a, c->count * (2 + MAX_ALIASES) * sizeof(*c->names));
    for (size_t i = 0; i < c->count; i++) {
        struct preset *p = &c->presets[i];
        if (p->format == WEIGHTS_GGUF)
            add_name(c, p->name, p);
        add_name(c, p->id, p);
        for (size_t k = 0; p->aliases[k]; k++)
            add_name(c, p->aliases[k], p);
    }
}

static void read_facts(struct catalog *c)
{
    struct json *rows = NULL;
    json_parse(c->a, data_models_precise, data_models_precise_size, &rows, NULL);
    JSON_FOREACH(it, rows) {
        struct model_facts *f = arena_alloc(c->a, sizeof(*f));
        struct preset *p =
            map_get(c->by_name[WEIGHTS_SAFETENSORS], str_lower(c->a, text(it.value, "id")));
        if (!p || !model_facts_read(json_get(it.value, "config"), f))
            continue;
        f->source = text(it.value, "source");
        f->file_size = json_find_str(it.value, "fileSize");
        f->layers_unknown = json_find_bool(it.value, false, "layersUnknown");
        p->facts = f;
    }
}

struct catalog *catalog_new(void)
{
    struct catalog *c = NEW0(struct catalog);
    c->a = arena_new();
    struct json *table = NULL;
    struct json *gguf = NULL;
    json_parse(c->a, data_presets, data_presets_size, &table, NULL);
    json_parse(c->a, data_presets_gguf, data_presets_gguf_size, &gguf, NULL);
    const struct json *rows = json_get(table, "presets");
    c->retired = json_get(table, "retired");
    c->presets = arena_zalloc(c->a, (json_size(rows) + json_size(gguf)) * sizeof(*c->presets));
    add_rows(c, rows, WEIGHTS_SAFETENSORS);
    add_rows(c, gguf, WEIGHTS_GGUF);
    c->by_name[0] = map_new(NULL);
    c->by_name[1] = map_new(NULL);
    add_names(c);
    catalog_read_skus(c);
    read_facts(c);
    return c;
}

void catalog_free(struct catalog *c)
{
    map_free(c->by_name[0]);
    map_free(c->by_name[1]);
    arena_free(c->a);
    free(c);
}

size_t catalog_count(const struct catalog *c)
{
    return c->count;
}

const struct preset *catalog_at(const struct catalog *c, size_t index)
{
    return index < c->count ? &c->presets[index] : NULL;
}

const struct preset *catalog_find_format(const struct catalog *c, const char *name,
                                         enum weights_format format)
{
    AUTO_ARENA a = arena_new();
    return map_get(c->by_name[format], str_lower(a, name));
}

const struct preset *catalog_find(const struct catalog *c, const char *name)
{
    const struct preset *p = catalog_find_format(c, name, WEIGHTS_SAFETENSORS);
    return p ? p : catalog_find_format(c, name, WEIGHTS_GGUF);
}

bool catalog_retired(const struct catalog *c, const char *name)
{
    JSON_FOREACH(it, c->retired)
        if (str_case_eq(json_string(it.value), name))
            return true;
    return false;
}

/* One name of each preset: three names of the same model are no choice. */
size_t catalog_nearest(const struct catalog *c, const char *name, const char **ret, size_t max)
{
    const char *near[16];
    const struct preset *taken[16];
    size_t n = str_nearest(name, c->names, c->name_count, near, COUNT_OF(near));
    size_t count = 0;
    for (size_t i = 0; i < n && count < max; i++) {
        const struct preset *p = catalog_find(c, near[i]);
        bool again = false;
        for (size_t k = 0; k < count; k++)
            again |= taken[k] == p;
        if (again)
            continue;
        taken[count] = p;
        ret[count++] = near[i];
    }
    return count;
}

char *preset_url(struct arena *a, const struct preset *p)
{
    return arena_printf(a, "https://huggingface.co/%s/resolve/%s/%s", p->id, p->revision, p->file);
}
