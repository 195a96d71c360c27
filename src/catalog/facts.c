#include "catalog/facts.h"

#include <math.h>

#include "base/str.h"

#define MAX_FIGURE ((int64_t)1 << 31) /* of layers, heads, sizes; larger ones are nonsense */
#define HALF 2                        /* bytes of an element in half precision */
#define SINGLE 4

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

int64_t model_figure(const struct json *config, const char *const *keys, int64_t otherwise)
{
    int64_t n = otherwise;
    for (; *keys; keys++)
        if (figure_of(json_get(config, *keys), &n))
            return n;
    return otherwise;
}

/* ---- kinds of layers ------------------------------------------------------------------------------------------ */

static void count_layer(struct model_facts *f, const char *kind)
{
    static const char *const stateful[] = { "mamba", "mamba2", "linear_attention", "conv" };
    if (str_empty(kind))
        return;
    for (size_t i = 0; i < COUNT_OF(stateful); i++)
        if (STREQ(kind, stateful[i])) {
            f->stateful++;
            return;
        }
    if (STREQ(kind, "sliding_attention") || STREQ(kind, "chunked_attention"))
        f->sliding++;
    else if (strstr(kind, "attention") || STREQ(kind, "hybrid"))
        f->full++;
}

/* "M-M*…": Mamba, MLP, attention; of Nemotron-H. */
static void count_pattern(struct model_facts *f, const char *pattern)
{
    for (const char *s = pattern; *s; s++) {
        f->stateful += *s == 'M';
        f->full += *s == '*';
    }
}

/* One layer of `period` sees everything, the others less. */
static bool count_period(struct model_facts *f, int64_t period, int64_t *others)
{
    if (period < 1 || period > f->layers)
        return false;
    f->full = f->layers / period;
    *others = f->layers - f->full;
    return true;
}

static void read_layers(const struct json *config, struct model_facts *f)
{
    const char *pattern = json_find_str(config, "hybrid_override_pattern");
    const struct json *kinds = json_get(config, "layer_types");
    if (!json_is_array(kinds))
        kinds = json_get(config, "layers_block_type");
    f->window = MODEL_FIGURE(config, 0, "sliding_window", "attention_chunk_size");
    f->full = MODEL_FIGURE(config, 0, "attention_layers");
    f->stateful = MODEL_FIGURE(config, 0, "mamba_layers");
    if (f->full > 0)
        return;
    f->stateful = 0;
    JSON_FOREACH(it, kinds)
        count_layer(f, json_string(it.value));
    if (json_is_array(kinds))
        return;
    if (pattern)
        count_pattern(f, pattern);
    else if (!count_period(f, MODEL_FIGURE(config, 0, "full_attention_interval"), &f->stateful) &&
             !(f->window > 0 &&
               count_period(f, MODEL_FIGURE(config, 0, "sliding_window_pattern"), &f->sliding)))
        f->full = f->layers;
}

/* ---- states of fixed size ------------------------------------------------------------------------------------- */

/* Mamba-2 (arXiv:2405.21060, section 7) keeps heads x head_dim x state_size numbers, and the last
 * conv_kernel - 1 inputs of its convolution: x, B and C. Engines keep the former in single
 * precision unless the configuration says otherwise. */
static double mamba_state(const struct json *config)
{
    double heads = (double)MODEL_FIGURE(config, 0, "mamba_num_heads", "mamba_n_heads");
    double dim = (double)MODEL_FIGURE(config, 0, "mamba_head_dim", "mamba_d_head");
    double size = (double)MODEL_FIGURE(config, 0, "ssm_state_size", "mamba_d_state");
    double groups = (double)MODEL_FIGURE(config, 1, "n_groups", "mamba_n_groups");
    double kernel = (double)MODEL_FIGURE(config, 4, "conv_kernel", "mamba_d_conv");
    const char *type = json_find_str(config, "mamba_ssm_cache_dtype");
    bool half = str_eq(type, "bfloat16") || str_eq(type, "float16");
    return heads * dim * size * (half ? HALF : SINGLE) +
           (kernel - 1) * (heads * dim + 2 * groups * size) * HALF;
}

/* Gated DeltaNet (arXiv:2412.06464) keeps a matrix of key_dim x value_dim for each value head, and
 * the last inputs of its convolution: queries, keys and values. */
static double delta_state(const struct json *config)
{
    double heads = (double)MODEL_FIGURE(config, 0, "linear_num_value_heads");
    double key_heads = (double)MODEL_FIGURE(config, 0, "linear_num_key_heads");
    double value = (double)MODEL_FIGURE(config, 0, "linear_value_head_dim");
    double key = (double)MODEL_FIGURE(config, 0, "linear_key_head_dim");
    double kernel = (double)MODEL_FIGURE(config, 4, "linear_conv_kernel_dim");
    return heads * key * value * SINGLE +
           (kernel - 1) * (2 * key_heads * key + heads * value) * HALF;
}

bool model_facts_read(const struct json *config, struct model_facts *ret)
{
    struct model_facts f = {
        .layers = MODEL_FIGURE(config, 0, "num_hidden_layers", "n_layer", "n_layers"),
        .heads = MODEL_FIGURE(config, 0, "num_attention_heads", "n_head", "n_heads"),
        .kv_heads = MODEL_FIGURE(config, 0, "num_key_value_heads", "n_head_kv", "n_kv_heads"),
        .head_dim = MODEL_FIGURE(config, 0, "head_dim", "attention_head_dim"),
        .latent = MODEL_FIGURE(config, 0, "kv_lora_rank"),
        .index_dim = MAX(MODEL_FIGURE(config, 0, "index_head_dim"), INT64_C(0)),
    };
    if (f.heads > 0 && f.head_dim <= 0)
        f.head_dim = MODEL_FIGURE(config, 0, "hidden_size", "n_embd", "d_model", "dim") / f.heads;
    if (f.kv_heads <= 0)
        f.kv_heads = json_find_bool(config, false, "multi_query") ? 1 : f.heads;
    if (f.latent > 0)
        f.latent += MAX(MODEL_FIGURE(config, 0, "qk_rope_head_dim"), INT64_C(0));
    else
        f.latent = 0;
    *ret = f;
    if (f.layers <= 0 || f.heads <= 0 || (f.latent == 0 && f.head_dim <= 0))
        return false;
    read_layers(config, ret);
    ret->state_bytes = MAX(mamba_state(config), delta_state(config));
    ret->state_unknown = ret->stateful > 0 && !(ret->state_bytes > 0);
    return true;
}
