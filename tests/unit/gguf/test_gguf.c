#include "unit.h"

#include "base/mem.h"
#include "gguf/gguf.h"
#include "gguf_make.h"

static void reads_what_the_model_is(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF file = gguf_make_gemma();
    struct gguf_info g;
    assert_int_equal(gguf_parse(a, file.data, file.len, file.len, &g, NULL), 0);
    assert_string_equal(g.architecture, "gemma3");
    assert_string_equal(g.file_type, "Q4_K_M");
    assert_int_equal(g.context_length, 32768);
    assert_int_equal(g.head_count_kv, 1);
    assert_int_equal(g.sliding_window_pattern, 6);
    assert_int_equal(g.weight_bytes, (4096 + 640) * 4);
    assert_int_equal(g.expected_bytes, file.len);
    assert_false(g.is_embedding);
}

static void every_shorter_file_is_refused_or_known_to_be_short(void **state)
{
    AUTO_BUF file = gguf_make_gemma();
    for (size_t len = 0; len < file.len; len++) {
        AUTO_ARENA a = arena_new();
        CLEANUP(error_cleanup) struct error *err = NULL;
        struct gguf_info g;
        /* A copy of the exact size, so that a read past its end is found by the sanitizer. */
        AUTO_FREE char *copy = mem_alloc(len ? len : 1);
        memcpy(copy, file.data, len);
        int r = gguf_parse(a, copy, len, len, &g, &err);
        if (r == 0)
            assert_true(g.expected_bytes > len);
        else
            assert_int_equal(r, -ERROR_INVALID);
    }
}

static void a_head_that_goes_on_asks_for_more(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF file = gguf_make_gemma();
    struct gguf_info g;
    assert_int_equal(gguf_parse(a, file.data, 100, file.len, &g, NULL), -ERROR_TOO_LARGE);
}

static void other_files_are_named(void **state)
{
    AUTO_ARENA a = arena_new();
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct gguf_info g;
    assert_int_equal(gguf_parse(a, "PK\3\4 something", 14, 14, &g, &err), -ERROR_INVALID);
    assert_non_null(strstr(error_message(err), "not a GGUF file"));
}

static void impossible_sizes_are_refused(void **state)
{
    AUTO_ARENA a = arena_new();
    struct gguf_make g;
    gguf_make_init(&g);
    gguf_add_string(&g, "general.architecture", "llama");
    gguf_add_tensor(&g, "huge", UINT64_C(1) << 62);
    g.data_bytes = 0;
    AUTO_BUF file = gguf_make_file(&g);
    struct gguf_info info;
    assert_int_equal(gguf_parse(a, file.data, file.len, file.len, &info, NULL), -ERROR_INVALID);
}

static void per_layer_heads_take_the_largest(void **state)
{
    AUTO_ARENA a = arena_new();
    struct gguf_make g;
    gguf_make_init(&g);
    gguf_add_string(&g, "general.architecture", "openelm");
    gguf_add_u32_array(&g, "openelm.attention.head_count_kv", (const uint32_t[]){ 3, 5, 4 }, 3);
    AUTO_BUF file = gguf_make_file(&g);
    struct gguf_info info;
    assert_int_equal(gguf_parse(a, file.data, file.len, file.len, &info, NULL), 0);
    assert_int_equal(info.head_count_kv, 5);
}

static void cache_counts_windows_once(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF file = gguf_make_gemma();
    struct gguf_info g;
    assert_int_equal(gguf_parse(a, file.data, file.len, file.len, &g, NULL), 0);
    /* One layer keeps 1 head × (256 + 256) × 2 bytes = 1 KiB a token; 3 of 18 layers keep all, 15
     * keep 512. */
    assert_int_equal(gguf_kv_bytes(&g, 256), 18 * 256 * KIB);
    assert_int_equal(gguf_kv_bytes(&g, 4096), (3 * 4096 + 15 * 512) * KIB);
}

static void context_is_what_fits(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF file = gguf_make_gemma();
    struct gguf_info g;
    assert_int_equal(gguf_parse(a, file.data, file.len, file.len, &g, NULL), 0);
    assert_int_equal(gguf_context_for(&g, UINT64_MAX, 0), 32768);
    assert_int_equal(gguf_context_for(&g, UINT64_MAX, 8000), 7936);
    assert_int_equal(gguf_context_for(&g, gguf_kv_bytes(&g, 4096), 0), 4096);
    assert_int_equal(gguf_context_for(&g, gguf_kv_bytes(&g, 4096) - 1, 0), 4096 - 256);
    assert_int_equal(gguf_context_for(&g, 0, 0), 0);
}

UNIT_TESTS(TEST(reads_what_the_model_is), TEST(every_shorter_file_is_refused_or_known_to_be_short),
           TEST(a_head_that_goes_on_asks_for_more), TEST(other_files_are_named),
           TEST(impossible_sizes_are_refused), TEST(per_layer_heads_take_the_largest),
           TEST(cache_counts_windows_once), TEST(context_is_what_fits))
