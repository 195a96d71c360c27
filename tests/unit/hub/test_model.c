/* What a repository's files and its configuration say. */
#include "base/str.h"
#include "hub/config.h"
#include "unit.h"
#include "json/build.h"

static struct hub_list list_of(struct arena *a, const char *text)
{
    struct hub_list list = HUB_LIST_INIT;
    struct error *err = NULL;
    if (hub_list_add(a, &list, text, strlen(text), &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return list;
}

/* T29 */
static void copies_in_sub_folders_do_not_count(void **state)
{
    AUTO_ARENA a = arena_new();
    struct hub_list list =
        list_of(a, "[{\"type\":\"directory\",\"path\":\"original\",\"size\":0},"
                   "{\"type\":\"file\",\"path\":\"model-00001-of-00002.safetensors\",\"size\":"
                   "135,\"lfs\":{\"size\":32212254720}},"
                   "{\"type\":\"file\",\"path\":\"model-00002-of-00002.safetensors\",\"size\":"
                   "32212254720},"
                   "{\"type\":\"file\",\"path\":\"model.safetensors.index.json\",\"size\":90000},"
                   "{\"type\":\"file\",\"path\":\"original/model.safetensors\",\"size\":"
                   "64424509440},"
                   "{\"type\":\"file\",\"path\":\"metal/model.bin\",\"size\":64424509440}]");
    struct hub_weights weights;
    assert_int_equal(hub_list_weights(&list, &weights, NULL), 0);
    assert_int_equal(weights.bytes, 60 * GIB);
    assert_int_equal(weights.format, HUB_SAFETENSORS);
    assert_null(weights.index);
}

static void each_format_has_its_files(void **state)
{
    static const struct {
        const char *list;
        enum hub_format format;
        uint64_t bytes;
        const char *index;
    } table[] = {
        { "[{\"path\":\"model.safetensors\",\"size\":7},{\"path\":\"pytorch_model.bin\",\"size\":8}]",
          HUB_SAFETENSORS, 7, NULL },
        { "[{\"path\":\"consolidated.safetensors\",\"size\":9},"
          "{\"path\":\"model-00001-of-00001.safetensors\",\"size\":9}]",
          HUB_MISTRAL, 9, NULL },
        { "[{\"path\":\"pytorch_model-00001-of-00002.bin\",\"size\":3},"
          "{\"path\":\"pytorch_model-00002-of-00002.bin\",\"size\":4},"
          "{\"path\":\"training_args.bin\",\"size\":100}]",
          HUB_BIN, 7, NULL },
        /* two sets: the index has the word */
        { "[{\"path\":\"model.safetensors\",\"size\":7},{\"path\":\"model.fp16.safetensors\","
          "\"size\":4},{\"path\":\"model.safetensors.index.json\",\"size\":1}]",
          HUB_SAFETENSORS, 11, "model.safetensors.index.json" },
        /* two sets and no index: the engine loads both */
        { "[{\"path\":\"a.safetensors\",\"size\":7},{\"path\":\"b.safetensors\",\"size\":4}]",
          HUB_SAFETENSORS, 11, NULL },
        /* a part is missing from the list: the index has the word */
        { "[{\"path\":\"model-00001-of-00003.safetensors\",\"size\":7},"
          "{\"path\":\"model-00002-of-00003.safetensors\",\"size\":7},"
          "{\"path\":\"model.safetensors.index.json\",\"size\":1}]",
          HUB_SAFETENSORS, 14, "model.safetensors.index.json" },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        AUTO_ARENA a = arena_new();
        struct hub_list list = list_of(a, table[i].list);
        struct hub_weights weights;
        assert_int_equal(hub_list_weights(&list, &weights, NULL), 0);
        assert_int_equal(weights.format, table[i].format);
        assert_int_equal(weights.bytes, table[i].bytes);
        assert_string_equal(str_or_empty(weights.index), str_or_empty(table[i].index));
    }
}

static void no_weights_are_told_with_what_there_is(void **state)
{
    static const char *const table[][2] = {
        { "[]", "no weights (.safetensors or .bin)" },
        { "[{\"path\":\"m.Q4_K_M.gguf\",\"size\":1}]", "for llama.cpp" },
        { "[{\"path\":\"adapter_config.json\",\"size\":1},{\"path\":\"adapter_model.safetensors\","
          "\"size\":1}]",
          "it is an adapter" },
        { "[{\"path\":\"unet/model.safetensors\",\"size\":1}]", "sub-folders" },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        AUTO_ARENA a = arena_new();
        struct hub_list list = list_of(a, table[i][0]);
        struct hub_weights weights;
        struct error *err = NULL;
        int r = hub_list_weights(&list, &weights, &err);
        assert_error(r, err, ERROR_UNSUPPORTED, table[i][1]);
    }
}

static void lists_that_are_none(void **state)
{
    static const char *const table[] = { "", "{}", "[", "[{\"path\":\"x\",\"size\":-4}]",
                                         "[{\"path\":\"x\",\"size\":9007199254740993}]" };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        AUTO_ARENA a = arena_new();
        struct hub_list list = HUB_LIST_INIT;
        struct error *err = NULL;
        int r = hub_list_add(a, &list, table[i], strlen(table[i]), &err);
        assert_error(r, err, ERROR_INVALID, "the list of files");
    }
}

static void an_index_counts_each_file_once(void **state)
{
    AUTO_ARENA a = arena_new();
    struct hub_list list = list_of(a, "[{\"path\":\"a.safetensors\",\"size\":7},"
                                      "{\"path\":\"b.safetensors\",\"size\":4},"
                                      "{\"path\":\"c.safetensors\",\"size\":9}]");
    const char *text = "{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"a.safetensors\","
                       "\"z\":\"c.safetensors\"}}";
    uint64_t bytes = 0;
    struct error *err = NULL;
    assert_int_equal(hub_index_bytes(&list, text, strlen(text), &bytes, NULL), 0);
    assert_int_equal(bytes, 16);
    text = "{\"weight_map\":{\"x\":\"d.safetensors\"}}";
    int r = hub_index_bytes(&list, text, strlen(text), &bytes, &err);
    assert_error(r, err, ERROR_INVALID, "d.safetensors");
    r = hub_index_bytes(&list, "{}", 2, &bytes, &err);
    assert_error(r, err, ERROR_INVALID, "weight_map");
}

/* ---- the configuration ---------------------------------------------------------------------------------------- */

static struct preset *preset_in(struct arena *a, const char *id, const char *text, uint64_t bytes,
                                enum hub_format format)
{
    CLEANUP(hub_rules_cleanup) struct hub_rules *rules = hub_rules_new();
    struct json *config = NULL;
    struct preset *p = NULL;
    struct error *err = NULL;
    struct hub_model model = { .id = id, .weights = { .format = format, .bytes = bytes } };
    int r = hub_config_parse(a, text, strlen(text), &config, &err);
    model.config = config;
    if (r == 0)
        r = hub_make_preset(a, rules, NULL, &model, &p, &err);
    if (r < 0)
        fail_msg("%s: %s", text, error_message(err));
    p->vllm = json_clone(a, p->vllm);
    return p;
}

static void a_preset_of_a_plain_model(void **state)
{
    AUTO_ARENA a = arena_new();
    struct preset *p = preset_in(
        a, "Qwen/Qwen3-0.6B",
        "{\"architectures\":[\"Qwen3ForCausalLM\"],\"head_dim\":128,\"hidden_size\":1024,"
        "\"max_position_embeddings\":40960,\"num_attention_heads\":16,\"num_hidden_layers\":28,"
        "\"num_key_value_heads\":8,\"rope_theta\":1000000}",
        1503300328, HUB_SAFETENSORS);
    assert_string_equal(p->name, "qwen3-0.6b");
    assert_string_equal(p->id, "Qwen/Qwen3-0.6B");
    assert_string_equal(p->file_size, "1.40Gi");
    assert_string_equal(p->disk, "81Gi");
    assert_int_equal(p->context_length, 40960);
    assert_int_equal(p->bytes_per_token, 2 * 8 * 128 * 28 * 2);
    assert_int_equal(p->readiness_seconds, 1800);
    assert_true(json_equal(p->vllm, OBJ("load_format", STR("auto"), "config_format", STR("auto"),
                                        "tokenizer_mode", STR("auto"), "trust-remote-code", STR(""),
                                        "dtype", STR("bfloat16"), "reasoning-parser", STR("qwen3"),
                                        "tool-call-parser", STR("hermes"),
                                        "enable-auto-tool-choice", STR(""))));
}

/* T35: the method is in the weights; the engine finds it there. */
static void quantized_weights_choose_their_type(void **state)
{
    AUTO_ARENA a = arena_new();
    struct preset *p =
        preset_in(a, "o/m-awq",
                  "{\"architectures\":[\"Qwen2ForCausalLM\"],\"quantization_config\":{\"bits\":4,"
                  "\"quant_method\":\"awq\"}}",
                  GIB, HUB_SAFETENSORS);
    assert_string_equal(p->quantization, "awq");
    assert_string_equal(json_find_str(p->vllm, "dtype"), "auto");
    assert_null(json_get(p->vllm, "quantization"));
}

static void figures_of_the_cache(void **state)
{
    static const struct {
        const char *config;
        int64_t bytes;
    } table[] = {
        { "{\"num_attention_heads\":32,\"num_hidden_layers\":32,\"hidden_size\":4096,"
          "\"num_key_value_heads\":8}",
          131072 },
        /* other names, figures in strings, null is passed over */
        { "{\"n_head\":\"32\",\"n_layer\":32,\"n_embd\":4096,\"num_attention_heads\":null}",
          2 * 32 * 128 * 32 * 2 },
        { "{\"num_attention_heads\":71,\"num_hidden_layers\":32,\"hidden_size\":4544,"
          "\"multi_query\":true}",
          8192 },
        { "{\"num_attention_heads\":128,\"num_key_value_heads\":128,\"num_hidden_layers\":61,"
          "\"hidden_size\":7168,\"kv_lora_rank\":512,\"qk_rope_head_dim\":64}",
          70272 },
        { "{\"text_config\":{\"num_attention_heads\":8,\"num_key_value_heads\":4,\"head_dim\":256,"
          "\"num_hidden_layers\":34}}",
          139264 },
        { "{\"num_hidden_layers\":12}", 0 },
        { "{\"num_attention_heads\":1e300,\"num_hidden_layers\":-4,\"head_dim\":8}", 0 },
        { "{\"num_attention_heads\":2147483648,\"num_hidden_layers\":2147483648,"
          "\"head_dim\":2147483648}",
          1000000000 },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        AUTO_ARENA a = arena_new();
        struct preset *p = preset_in(a, "o/m", table[i].config, GIB, HUB_SAFETENSORS);
        if (p->bytes_per_token != table[i].bytes)
            fail_msg("%s: %lld", table[i].config, (long long)p->bytes_per_token);
        assert_int_equal(p->context_length, 2048);
    }
}

static void python_writes_what_json_has_not(void **state)
{
    static const char text[] = "{\"a\":NaN,\"b\":[Infinity,-Infinity , 1],\"c\":\"to NaN and "
                               "Infinity, \\\" NaN\",\"llm_config\":{\"d\":1,\"c\":2}}";
    AUTO_ARENA a = arena_new();
    struct json *config = NULL;
    assert_int_equal(hub_config_parse(a, text, strlen(text), &config, NULL), 0);
    assert_true(json_is_null(json_get(config, "a")));
    assert_int_equal(json_size(json_get(config, "b")), 3);
    assert_string_equal(json_find_str(config, "c"), "to NaN and Infinity, \" NaN");
    assert_int_equal(json_find_int(config, 0, "d"), 1);
    struct error *err = NULL;
    int r = hub_config_parse(a, "{\"a\":NaNa}", 10, &config, &err);
    assert_error(r, err, ERROR_INVALID, "");
    r = hub_config_parse(a, "[]", 2, &config, &err);
    assert_error(r, err, ERROR_INVALID, "no object");
}

static void architectures_are_a_gate(void **state)
{
    AUTO_ARENA a = arena_new();
    CLEANUP(hub_rules_cleanup) struct hub_rules *rules = hub_rules_new();
    struct preset *p = NULL;
    struct error *err = NULL;
    struct hub_model model = {
        .id = "o/m",
        .config = OBJ("architectures", ARR(STR("NobodyForCausalLM"), STR("Else"))),
    };
    int r = hub_make_preset(a, rules, NULL, &model, &p, &err);
    assert_error(r, err, ERROR_UNSUPPORTED, "NobodyForCausalLM, Else");
    model.config = OBJ("architectures", ARR(STR("Nobody"), STR("LlamaForCausalLM")));
    assert_int_equal(hub_make_preset(a, rules, NULL, &model, &p, NULL), 0);
    model.config = EMPTY_OBJ();
    assert_int_equal(hub_make_preset(a, rules, NULL, &model, &p, NULL), 0);
    model.id = "fork/Ministral-3-9B";
    assert_int_equal(hub_make_preset(a, rules, NULL, &model, &p, NULL), 0);
    assert_string_equal(p->architecture, "Mistral3ForConditionalGeneration");
}

/* The presets of the catalogue came about by the same rules. */
static void the_rules_give_what_the_catalogue_has(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    CLEANUP(hub_rules_cleanup) struct hub_rules *rules = hub_rules_new();
    AUTO_ARENA a = arena_new();
    size_t count = 0;
    for (size_t i = 0; i < catalog_count(c); i++) {
        const struct preset *p = catalog_at(c, i);
        if (p->format != WEIGHTS_SAFETENSORS)
            continue;
        struct hub_model model = {
            .id = p->id,
            .config = OBJ("architectures", ARR(STR(p->architecture)), "quantization_config",
                          OBJ("quant_method", STR(p->quantization))),
            .weights.format = str_eq(json_find_str(p->vllm, "load_format"), "mistral")
                                  ? HUB_MISTRAL
                                  : HUB_SAFETENSORS,
        };
        struct preset *made = NULL;
        assert_int_equal(hub_make_preset(a, rules, c, &model, &made, NULL), 0);
        AUTO_BUF diff = BUF_INIT(MIB);
        json_describe_diff(p->vllm, made->vllm, 20, &diff);
        if (!json_equal(p->vllm, made->vllm))
            fail_msg("%s:\n%s", p->id, buf_str(&diff));
        assert_string_equal(made->name, p->name);
        assert_int_equal(made->no_cpu_offload, p->no_cpu_offload);
        assert_int_equal(made->deep_gemm, p->deep_gemm);
        assert_int_equal(made->cuda_toolkit, p->cuda_toolkit);
        assert_ptr_equal(made->transformers, p->transformers);
        count++;
    }
    assert_int_equal(count, 60);
}

UNIT_TESTS(TEST(copies_in_sub_folders_do_not_count), TEST(each_format_has_its_files),
           TEST(no_weights_are_told_with_what_there_is), TEST(lists_that_are_none),
           TEST(an_index_counts_each_file_once), TEST(a_preset_of_a_plain_model),
           TEST(quantized_weights_choose_their_type), TEST(figures_of_the_cache),
           TEST(python_writes_what_json_has_not), TEST(architectures_are_a_gate),
           TEST(the_rules_give_what_the_catalogue_has))
