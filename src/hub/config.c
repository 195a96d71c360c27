#include "hub/config.h"

#include <math.h>

#include "base/mem.h"
#include "base/str.h"

#define DEFAULT_CONTEXT 2048
#define MAX_FIGURE ((int64_t)1 << 31) /* of layers, heads, sizes; larger ones are nonsense */
#define CACHE_BYTES 2                 /* of an element of the key-value cache */
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

/* A number, or a string that is one. */
static bool figure_of(const struct json *v, int64_t *ret)
{
    double d = json_double(v, NAN);
    if (json_is_string(v) && str_to_double(json_string(v), &d) < 0)
        return false;
    if (!(d >= -1 && d <= (double)MAX_FIGURE))
        return false;
    *ret = (int64_t)d;
    return true;
}

/* The first of the keys (NULL-terminated) that has a figure. */
static int64_t figure(const struct json *config, const char *const *keys, int64_t otherwise)
{
    int64_t n = otherwise;
    for (; *keys; keys++)
        if (figure_of(json_get(config, *keys), &n))
            return n;
    return otherwise;
}
#define FIGURE(config, otherwise, ...)                                                             \
    figure((config), (const char *const[]){ __VA_ARGS__, NULL }, (otherwise))

/* Elements of the cache for one token in one layer. */
static double cache_elements(const struct json *config, const char **ret_type)
{
    int64_t heads = FIGURE(config, 0, "num_attention_heads", "n_head", "n_heads");
    int64_t kv_heads = FIGURE(config, 0, "num_key_value_heads", "n_head_kv", "n_kv_heads");
    int64_t head_dim = FIGURE(config, 0, "head_dim", "attention_head_dim");
    int64_t latent = FIGURE(config, -1, "kv_lora_rank");
    if (head_dim <= 0 && heads > 0)
        head_dim = FIGURE(config, 0, "hidden_size", "n_embd", "d_model", "dim") / heads;
    if (kv_heads <= 0)
        kv_heads = json_find_bool(config, false, "multi_query") ? 1 : heads;
    if (latent > 0) {
        *ret_type = "MLA";
        return (double)(latent + MAX(FIGURE(config, 0, "qk_rope_head_dim"), (int64_t)0));
    }
    *ret_type = "";
    if (heads <= 0 || kv_heads <= 0 || head_dim <= 0)
        return 0;
    *ret_type = heads == kv_heads ? "MHA" : kv_heads == 1 ? "MQA" : "GQA";
    return 2 * (double)kv_heads * (double)head_dim;
}

static int64_t bytes_per_token(const struct json *config)
{
    const char *type;
    int64_t layers = FIGURE(config, 0, "num_hidden_layers", "n_layer", "n_layers");
    double bytes = cache_elements(config, &type) * (double)MAX(layers, (int64_t)0) * CACHE_BYTES;
    return (int64_t)MIN(bytes, 1e12);
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
    int64_t context = FIGURE(m->config, 0, "max_position_embeddings", "n_ctx", "seq_length",
                             "max_seq_len", "max_sequence_length", "model_max_length");
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
        .bytes_per_token = bytes_per_token(m->config),
        .readiness_seconds = readiness(gib),
        .no_cpu_offload = hub_rules_no_cpu_offload(rules, &traits),
        .deep_gemm = hub_rules_deep_gemm(rules, &traits),
        .cuda_toolkit = hub_rules_cuda_toolkit(rules, &traits),
        .vllm = hub_rules_vllm(rules, a, &traits),
        .transformers = lent_transformers(catalog, name),
    };
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
    return copy;
}
