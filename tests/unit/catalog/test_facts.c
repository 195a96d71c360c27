/* What configurations say about layers and what these keep. */
#include "base/str.h"
#include "catalog/catalog.h"
#include "unit.h"
#include "json/build.h"

#define HEADS "\"num_attention_heads\":32,\"num_key_value_heads\":8,\"head_dim\":128"

static void layers_by_kind(void **state)
{
    static const struct {
        const char *config;
        int64_t full, sliding, stateful;
    } table[] = {
        { "{\"num_hidden_layers\":32," HEADS "}", 32, 0, 0 },
        { "{\"num_hidden_layers\":4," HEADS ",\"sliding_window\":128,\"layer_types\":"
          "[\"sliding_attention\",\"full_attention\",\"sliding_attention\",\"full_attention\"]}",
          2, 2, 0 },
        { "{\"num_hidden_layers\":4," HEADS ",\"layer_types\":"
          "[\"linear_attention\",\"linear_attention\",\"linear_attention\",\"full_attention\"]}",
          1, 0, 3 },
        { "{\"num_hidden_layers\":4," HEADS ",\"layers_block_type\":"
          "[\"mamba\",\"mlp\",\"attention\",\"mamba\"]}",
          1, 0, 2 },
        { "{\"num_hidden_layers\":6," HEADS ",\"hybrid_override_pattern\":\"M-M*EM\"}", 1, 0, 3 },
        { "{\"num_hidden_layers\":48," HEADS ",\"full_attention_interval\":4}", 12, 0, 36 },
        { "{\"num_hidden_layers\":34," HEADS ",\"sliding_window\":1024,"
          "\"sliding_window_pattern\":6}",
          5, 29, 0 },
        /* a window without a word about its layers: none is taken for a small one */
        { "{\"num_hidden_layers\":32," HEADS ",\"sliding_window\":4096}", 32, 0, 0 },
        { "{\"num_hidden_layers\":32," HEADS ",\"sliding_window\":null,"
          "\"sliding_window_pattern\":6}",
          32, 0, 0 },
        { "{\"num_hidden_layers\":32," HEADS ",\"full_attention_interval\":0}", 32, 0, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        AUTO_ARENA a = arena_new();
        struct json *config = NULL;
        struct model_facts f;
        assert_int_equal(json_parse(a, table[i].config, strlen(table[i].config), &config, NULL), 0);
        assert_true(model_facts_read(config, &f));
        if (f.full != table[i].full || f.sliding != table[i].sliding ||
            f.stateful != table[i].stateful)
            fail_msg("%s: %lld %lld %lld", table[i].config, (long long)f.full, (long long)f.sliding,
                     (long long)f.stateful);
    }
}

static void states_of_fixed_size(void **state)
{
    AUTO_ARENA a = arena_new();
    struct model_facts f;
    struct json *mamba =
        OBJ("num_hidden_layers", INT(2), "num_attention_heads", INT(8), "head_dim", INT(128),
            "hybrid_override_pattern", STR("M*"), "mamba_num_heads", INT(128), "mamba_head_dim",
            INT(80), "ssm_state_size", INT(128), "n_groups", INT(8), "conv_kernel", INT(4));
    assert_true(model_facts_read(mamba, &f));
    assert_int_equal((int64_t)f.state_bytes, 128 * 80 * 128 * 4 + 3 * (128 * 80 + 2 * 8 * 128) * 2);
    json_set_str(a, mamba, "mamba_ssm_cache_dtype", "bfloat16");
    assert_true(model_facts_read(mamba, &f));
    assert_int_equal((int64_t)f.state_bytes, 128 * 80 * 128 * 2 + 3 * (128 * 80 + 2 * 8 * 128) * 2);
    struct json *delta =
        OBJ("num_hidden_layers", INT(4), "num_attention_heads", INT(16), "head_dim", INT(256),
            "full_attention_interval", INT(4), "linear_num_value_heads", INT(32),
            "linear_num_key_heads", INT(16), "linear_value_head_dim", INT(128),
            "linear_key_head_dim", INT(128), "linear_conv_kernel_dim", INT(4));
    assert_true(model_facts_read(delta, &f));
    assert_int_equal((int64_t)f.state_bytes,
                     32 * 128 * 128 * 4 + 3 * (2 * 16 * 128 + 32 * 128) * 2);
    assert_false(f.state_unknown);
    struct json *other =
        OBJ("num_hidden_layers", INT(2), "num_attention_heads", INT(16), "head_dim", INT(64),
            "layers_block_type", ARR(STR("mamba"), STR("attention")));
    assert_true(model_facts_read(other, &f));
    assert_true(f.state_unknown);
}

static void too_little_is_told(void **state)
{
    AUTO_ARENA a = arena_new();
    struct model_facts f;
    assert_false(model_facts_read(NULL, &f));
    assert_false(model_facts_read(OBJ("num_hidden_layers", INT(4)), &f));
    assert_false(model_facts_read(OBJ("num_attention_heads", INT(4), "head_dim", INT(8)), &f));
    assert_false(
        model_facts_read(OBJ("num_hidden_layers", INT(4), "num_attention_heads", INT(4)), &f));
}

/* With every layer in full and in half precision they give the catalogue's own figure. */
static void the_catalogue_has_facts_of_all(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    size_t count = 0;
    for (size_t i = 0; i < catalog_count(c); i++) {
        const struct preset *p = catalog_at(c, i);
        const struct model_facts *f = p->facts;
        if (p->format != WEIGHTS_SAFETENSORS)
            continue;
        if (!f || str_empty(f->source))
            fail_msg("%s has no facts", p->id);
        int64_t elements = f->latent > 0 ? f->latent : 2 * f->kv_heads * f->head_dim;
        assert_int_equal(elements * f->layers * 2, p->bytes_per_token);
        assert_true(f->full > 0 && f->full + f->sliding + f->stateful <= f->layers);
        assert_true(f->sliding == 0 || f->window > 0);
        assert_false(f->state_unknown);
        count++;
    }
    assert_int_equal(count, 60);
}

UNIT_TESTS(TEST(layers_by_kind), TEST(states_of_fixed_size), TEST(too_little_is_told),
           TEST(the_catalogue_has_facts_of_all))
