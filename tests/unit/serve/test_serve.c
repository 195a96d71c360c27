#include "unit.h"

#include "base/str.h"
#include "serve/serve.h"

static const struct gguf_info model = {
    .architecture = "llama",
    .weight_bytes = 2 * GIB,
    .context_length = 131072,
    .block_count = 16,
    .head_count = 32,
    .head_count_kv = 8,
    .key_length = 64,
    .value_length = 64,
};

static struct serve_request request_with(uint64_t memory)
{
    return (struct serve_request){
        .model_path = "/workspace/weights/m.gguf",
        .served_name = "m",
        .host = "127.97.0.2",
        .port = 5000,
        .memory_bytes = memory,
        .cpus = 2,
    };
}

static const char *option(char **argv, const char *name)
{
    for (size_t i = 0; argv[i]; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return NULL;
}

static struct json *section(struct arena *a, const char *yaml)
{
    struct json *config = NULL;
    assert_int_equal(serve_config_section(a, yaml, strlen(yaml), "llama.cpp", &config, NULL), 0);
    return config;
}

static void promises_are_in_the_command_line(void **state)
{
    AUTO_ARENA a = arena_new();
    struct serve_request request = request_with(32 * GIB);
    char **argv = NULL;
    uint64_t context = 0;
    assert_int_equal(serve_llama_argv(a, &request, &model, &argv, &context, NULL), 0);
    assert_string_equal(argv[0], "llama-server");
    assert_string_equal(option(argv, "--model"), "/workspace/weights/m.gguf");
    assert_string_equal(option(argv, "--alias"), "m");
    assert_string_equal(option(argv, "--host"), "127.97.0.2");
    assert_string_equal(option(argv, "--port"), "5000");
    assert_string_equal(option(argv, "--threads"), "2");
    assert_int_equal(context, 32768);
    assert_string_equal(option(argv, "--ctx-size"), "32768");
}

static void context_shrinks_to_the_memory(void **state)
{
    AUTO_ARENA a = arena_new();
    /* 32 KiB a token: 1 GiB beyond weights and engine holds 32768 tokens, a quarter of it 8192. */
    struct serve_request request = request_with(2 * GIB + 320 * MIB + 256 * MIB);
    char **argv = NULL;
    uint64_t context = 0;
    assert_int_equal(serve_llama_argv(a, &request, &model, &argv, &context, NULL), 0);
    assert_int_equal(context, 8192);
}

static void too_big_says_the_figures(void **state)
{
    AUTO_ARENA a = arena_new();
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct serve_request request = request_with(2 * GIB);
    char **argv = NULL;
    uint64_t context = 0;
    assert_int_equal(serve_llama_argv(a, &request, &model, &argv, &context, &err),
                     -ERROR_TOO_LARGE);
    assert_non_null(strstr(error_message(err), "2.00 GiB of weights"));
    assert_non_null(strstr(error_message(err), "2.00 GiB are free"));
}

static void a_context_that_was_asked_for_is_given_or_refused(void **state)
{
    AUTO_ARENA a = arena_new();
    struct serve_request request = request_with(2 * GIB + 320 * MIB + 256 * MIB);
    char **argv = NULL;
    uint64_t context = 0;
    request.max_model_len = 5000;
    assert_int_equal(serve_llama_argv(a, &request, &model, &argv, &context, NULL), 0);
    assert_string_equal(option(argv, "--ctx-size"), "5000");
    request.config = section(a, "llama.cpp:\n  max-model-len: 16384\n");
    assert_int_equal(serve_llama_argv(a, &request, &model, &argv, &context, NULL),
                     -ERROR_TOO_LARGE);
    request.config = section(a, "llama.cpp:\n  max-model-len: 200000\n");
    assert_int_equal(serve_llama_argv(a, &request, &model, &argv, &context, NULL), -ERROR_INVALID);
    request.config = section(a, "llama.cpp:\n  max-model-len: soon\n");
    assert_int_equal(serve_llama_argv(a, &request, &model, &argv, &context, NULL), -ERROR_INVALID);
}

static void options_of_the_configuration_pass_through(void **state)
{
    AUTO_ARENA a = arena_new();
    struct serve_request request = request_with(32 * GIB);
    request.config = section(
        a, "llama.cpp:\n  parallel: 2\n  cache-type-k: q8_0\n  no-mmap: true\n  verbose: false\n");
    char **argv = NULL;
    uint64_t context = 0;
    assert_int_equal(serve_llama_argv(a, &request, &model, &argv, &context, NULL), 0);
    assert_string_equal(option(argv, "--parallel"), "2");
    assert_string_equal(option(argv, "--cache-type-k"), "q8_0");
    assert_null(option(argv, "--no-mmap"));
    for (size_t i = 0; argv[i]; i++)
        assert_string_not_equal(argv[i], "--verbose");
}

static void options_that_kaito_sets_are_refused_by_name(void **state)
{
    AUTO_ARENA a = arena_new();
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct serve_request request = request_with(32 * GIB);
    request.config = section(a, "llama.cpp:\n  port: 80\n");
    char **argv = NULL;
    uint64_t context = 0;
    assert_int_equal(serve_llama_argv(a, &request, &model, &argv, &context, &err), -ERROR_INVALID);
    assert_non_null(strstr(error_message(err), "\"port\""));
}

static void bad_configuration_names_the_key(void **state)
{
    AUTO_ARENA a = arena_new();
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct json *config = NULL;
    const char *text = "llama.cpp:\n  lora: [a, b]\n";
    assert_int_equal(serve_config_section(a, text, strlen(text), "llama.cpp", &config, &err),
                     -ERROR_INVALID);
    assert_non_null(strstr(error_message(err), "llama.cpp.lora"));
    assert_int_equal(serve_config_section(a, "vllm: {}\n", 9, "llama.cpp", &config, NULL), 0);
    assert_null(config);
}

static void the_machine_has_memory_and_processors(void **state)
{
    assert_true(serve_memory_available() > 64 * MIB);
    assert_true(serve_cpu_count() >= 1);
}

UNIT_TESTS(TEST(promises_are_in_the_command_line), TEST(context_shrinks_to_the_memory),
           TEST(too_big_says_the_figures), TEST(a_context_that_was_asked_for_is_given_or_refused),
           TEST(options_of_the_configuration_pass_through),
           TEST(options_that_kaito_sets_are_refused_by_name), TEST(bad_configuration_names_the_key),
           TEST(the_machine_has_memory_and_processors))
