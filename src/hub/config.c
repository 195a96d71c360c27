#include "hub/config.h"

#include <math.h>

#include "base/mem.h"
#include "base/str.h"

#define DEFAULT_CONTEXT 2048
#define CACHE_BYTES 2 /* of an element of the key-value cache */
#define DISK_EXTRA_GIB 80

/* ---- parsing -------------------------------------------------------------------------------------------------- */

/* The length of a literal that JSON does not have, at s; 0 when there is none. */
static size_t odd_literal(const char *s, const char *end)
{
    static const char *const words[] = { "NaN", "Infinity", "-Infinity" };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(end - s) >= n && memcmp(s, words[i], n) == 0)
            return n;
    }
    return 0;
}

/* Python's json writes NaN and Infinity outside of strings, where no valid JSON has such words. */
static char *without_odd_literals(struct arena *a, const char *text, size_t len, size_t *ret_len)
{
    char *out = arena_alloc(a, len * 2 + 1); /* "NaN" grows by one byte */
    const char *end = text + len;
    size_t n = 0;
    bool quoted = false;
    for (const char *s = text; s < end;) {
        size_t odd = quoted ? 0 : odd_literal(s, end);
        if (odd) {
            memcpy(out + n, "null", 4);
            n += 4;
            s += odd;
            continue;
        }
        if (quoted && *s == '\\' && s + 1 < end)
            out[n++] = *s++;
        else if (*s == '"')
            quoted = !quoted;
        out[n++] = *s++;
    }
    *ret_len = n;
    return out;
}

int hub_config_parse(struct arena *a, const char *text, size_t len, struct json **ret,
                     struct error **err)
{
    struct json *config = NULL;
    size_t clean_len = 0;
    const char *clean = without_odd_literals(a, text, len, &clean_len);
    int r = json_parse(a, clean, clean_len, &config, err);
    if (r < 0)
        return r;
    if (!json_is_object(config))
        return error_set(err, ERROR_INVALID, "it is no object");
    const struct json *inner = json_get(config, "text_config");
    if (!json_is_object(inner))
        inner = json_get(config, "llm_config");
    if (json_is_object(inner))
        JSON_FOREACH(it, inner)
            if (!json_get_n(config, it.key, it.key_len))
                json_add(a, config, it.key, it.key_len, json_clone(a, it.value));
    *ret = config;
    return 0;
}

/* ---- figures -------------------------------------------------------------------------------------------------- */

/* As KAITO reckons it: every layer keeps everything, in half precision. */
static int64_t bytes_per_token(const struct model_facts *f)
{
    double elements = f->latent > 0 ? (double)f->latent
                      : f->kv_heads > 0 && f->head_dim > 0
                          ? 2 * (double)f->kv_heads * (double)f->head_dim
                          : 0;
    return (int64_t)MIN(elements * (double)MAX(f->layers, INT64_C(0)) * CACHE_BYTES, 1e9);
}

/* ---- the preset ----------------------------------------------------------------------------------------------- */

static struct json *architectures_of(struct arena *a, const struct hub_rules *rules,
                                     const struct json *config, const char *name)
{
    struct json *list = json_new_array(a);
    JSON_FOREACH(it, json_get(config, "architectures"))
        if (!str_empty(json_string(it.value)))
            json_append(list, json_clone(a, it.value));
    if (json_size(list) == 0)
        json_append(list, json_new_string(a, hub_rules_architecture(rules, name)));
    return list;
}

static int check_architectures(struct arena *a, const struct hub_rules *rules,
                               const struct json *list, struct error **err)
{
    if (hub_rules_loads(rules, list))
        return 0;
    const char *names = "";
    JSON_FOREACH(it, list)
        if (it.index < 8)
            names = arena_printf(a, "%s%s%s", names, it.index ? ", " : "", json_string(it.value));
    return error_set(err, ERROR_UNSUPPORTED,
                     "its architecture (%s) is none that this version's vLLM can load", names);
}

/* A quarter of an hour, and 18 s for each GiB that has to be loaded; half an hour at least, three
 * hours at most. */
static int64_t readiness(double gib)
{
    return (int64_t)ceil(fmin(fmax(900 + 18 * gib, 1800), 10800));
}

static const struct json *lent_transformers(const struct catalog *catalog, const char *name)
{
    for (size_t i = 0; catalog && i < catalog_count(catalog); i++) {
        const struct preset *p = catalog_at(catalog, i);
        if (p->format == WEIGHTS_SAFETENSORS && STREQ(p->name, name))
            return p->transformers;
    }
    return NULL;
}

int hub_make_preset(struct arena *a, const struct hub_rules *rules, const struct catalog *catalog,
                    const struct hub_model *m, struct preset **ret, struct error **err)
{
    const char *slash = strrchr(m->id, '/');
    const char *name = str_lower(a, slash ? slash + 1 : m->id);
    const char *method = json_find_str(m->config, "quantization_config", "quant_method");
    struct json *architectures = architectures_of(a, rules, m->config, name);
    int r = check_architectures(a, rules, architectures, err);
    if (r < 0)
        return r;
    struct hub_traits traits = {
        .name = name,
        .architectures = architectures,
        .mistral = m->weights.format == HUB_MISTRAL,
        .quantized = !str_empty(method),
    };
    int64_t context = MODEL_FIGURE(m->config, 0, "max_position_embeddings", "n_ctx", "seq_length",
                                   "max_seq_len", "max_sequence_length", "model_max_length");
    struct model_facts facts;
    bool known = model_facts_read(m->config, &facts);
    facts.source = "its configuration";
    double gib = (double)m->weights.bytes / (double)GIB;
    struct preset *p = arena_zalloc(a, sizeof(*p));
    *p = (struct preset){
        .format = WEIGHTS_SAFETENSORS,
        .name = name,
        .id = m->id,
        .aliases = arena_zalloc(a, sizeof(char *)),
        .license = "",
        .context_length = context > 0 ? context : DEFAULT_CONTEXT,
        .revision = m->revision,
        .quantization = str_or_empty(method),
        .architecture = str_or_empty(json_string(json_at(architectures, 0))),
        .file_size = arena_printf(a, "%.2fGi", gib),
        .disk = arena_printf(a, "%lldGi", (long long)(gib + DISK_EXTRA_GIB)),
        .bytes_per_token = bytes_per_token(&facts),
        .readiness_seconds = readiness(gib),
        .no_cpu_offload = hub_rules_no_cpu_offload(rules, &traits),
        .deep_gemm = hub_rules_deep_gemm(rules, &traits),
        .cuda_toolkit = hub_rules_cuda_toolkit(rules, &traits),
        .vllm = hub_rules_vllm(rules, a, &traits),
        .transformers = lent_transformers(catalog, name),
    };
    if (known) {
        struct model_facts *copy = arena_alloc(a, sizeof(*copy));
        *copy = facts;
        p->facts = copy;
    }
    *ret = p;
    return 0;
}

struct preset *hub_copy_preset(struct arena *a, const struct preset *p)
{
    struct preset *copy = arena_alloc(a, sizeof(*copy));
    *copy = *p;
    copy->name = arena_strdup(a, p->name);
    copy->id = arena_strdup(a, p->id);
    copy->aliases = arena_zalloc(a, sizeof(char *));
    copy->revision = arena_strdup(a, p->revision);
    copy->quantization = arena_strdup(a, p->quantization);
    copy->architecture = arena_strdup(a, p->architecture);
    copy->file_size = arena_strdup(a, p->file_size);
    copy->disk = arena_strdup(a, p->disk);
    copy->vllm = json_clone(a, p->vllm);
    if (p->facts) {
        struct model_facts *facts = arena_alloc(a, sizeof(*facts));
        *facts = *p->facts; /* its texts are constants */
        copy->facts = facts;
    }
    return copy;
}
