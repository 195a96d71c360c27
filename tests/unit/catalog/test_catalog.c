#include "base/str.h"
#include "catalog/catalog.h"
#include "kube/quantity.h"
#include "unit.h"

static void every_row_is_complete(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    size_t gguf = 0;
    for (size_t i = 0; i < catalog_count(c); i++) {
        const struct preset *p = catalog_at(c, i);
        if (str_empty(p->name) || !strchr(p->id, '/') || str_empty(p->license) ||
            p->context_length < 2048)
            fail_msg("row %zu (%s) lacks something", i, p->id);
        assert_ptr_equal(catalog_find_format(c, p->id, p->format), p);
        if (p->format == WEIGHTS_GGUF) {
            gguf++;
            if (!str_has_suffix(p->file, ".gguf") || str_empty(p->quantization) ||
                str_empty(p->revision) || str_empty(p->architecture) || p->parameters < 1000000)
                fail_msg("%s lacks something", p->name);
            assert_true(str_empty(p->sha256) || (strlen(p->sha256) == 64 && p->bytes > 0));
            assert_true(p->bytes == 0 || (double)p->bytes > 0.3 * (double)p->parameters);
        } else {
            int64_t bytes = 0;
            assert_int_equal(quantity_value(p->file_size, &bytes, NULL), 0);
            assert_int_equal(quantity_value(p->disk, &bytes, NULL), 0);
            assert_true(p->bytes_per_token > 0 && p->readiness_seconds >= 1800);
            assert_non_null(p->vllm);
        }
    }
    assert_true(gguf >= 6);
    assert_int_equal(catalog_count(c) - gguf, 60);
    assert_null(catalog_at(c, catalog_count(c)));
}

static void names_ids_and_aliases_are_found(void **state)
{
    static const char *const table[][2] = {
        { "gemma-3-270m", "gemma-3-270m" },
        { "GEMMA-3-270M", "gemma-3-270m" },
        { "phi-4", "phi-4" },
        { "microsoft/PHI-4", "phi-4" },
        { "gemma-3-4b-instruct", "gemma-3-4b-it" },
        { "mistral-7b", "mistral-7b-v0.3" },
        { "Qwen/Qwen3-0.6B-GGUF", "qwen3-0.6b" },
        { "phi-2", NULL },
        { "gemma-3-4b-it", NULL },
        { "", NULL },
    };
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const struct preset *p = catalog_find(c, table[i][0]);
        if (!table[i][1])
            assert_null(p);
        else
            assert_string_equal(p ? p->name : "none", table[i][1]);
    }
}

static void one_name_can_have_both_formats(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    assert_int_equal(catalog_find(c, "phi-4-mini-instruct")->format, WEIGHTS_SAFETENSORS);
    assert_int_equal(catalog_find_format(c, "phi-4-mini-instruct", WEIGHTS_GGUF)->format,
                     WEIGHTS_GGUF);
    assert_null(catalog_find_format(c, "phi-4", WEIGHTS_GGUF));
}

static void wrong_names_have_neighbours(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    const char *near[3];
    size_t n = catalog_nearest(c, "gemma-3-270", near, 3);
    assert_true(n >= 1);
    assert_string_equal(near[0], "gemma-3-270m");
    for (size_t i = 1; i < n; i++)
        assert_ptr_not_equal(catalog_find(c, near[i]), catalog_find(c, near[0]));
    assert_true(catalog_nearest(c, "phi4", near, 3) >= 1);
    assert_string_equal(near[0], "phi-4");
    assert_true(catalog_nearest(c, "llama-3.1-8b", near, 3) >= 1);
    assert_true(catalog_retired(c, "Falcon-7B"));
    assert_false(catalog_retired(c, "phi-4"));
}

static void urls(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    AUTO_ARENA a = arena_new();
    assert_string_equal(
        preset_url(a, catalog_find(c, "gemma-3-270m")),
        "https://huggingface.co/unsloth/gemma-3-270m-it-GGUF/resolve/main/gemma-3-270m-it-Q4_K_M.gguf");
}

static void ten_presets_can_be_tuned(void **state)
{
    static const char *const table[][2] = {
        { "phi-4", "kaito-phi-4:0.2.0" },
        { "phi-3-medium-128k-instruct", "kaito-phi-3-medium-128k-instruct:0.2.0" },
        { "Qwen/Qwen2.5-Coder-32B-Instruct", "kaito-qwen2.5-coder-32b-instruct:0.2.0" },
        { "mistral-7b", "kaito-mistral-7b:0.2.0" }, /* its artifact has the short name */
        { "llama-3.1-8b-instruct", NULL },
        { "gpt-oss-20b", NULL },
    };
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const struct preset_tuning *t = catalog_find(c, table[i][0])->tuning;
        assert_string_equal(t ? t->image : "none", table[i][1] ? table[i][1] : "none");
    }
    size_t count = 0;
    for (size_t i = 0; i < catalog_count(c); i++) {
        const struct preset_tuning *t = catalog_at(c, i)->tuning;
        int64_t bytes = 0;
        if (!t)
            continue;
        count++;
        assert_int_equal(quantity_value(t->disk, &bytes, NULL), 0);
        assert_true(t->readiness_seconds >= 1800 && !t->download_at_runtime);
    }
    assert_int_equal(count, 10);
}

UNIT_TESTS(TEST(every_row_is_complete), TEST(names_ids_and_aliases_are_found),
           TEST(one_name_can_have_both_formats), TEST(wrong_names_have_neighbours), TEST(urls),
           TEST(ten_presets_can_be_tuned))
