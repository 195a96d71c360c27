/* The precise estimate: each correction has rows of its own. */
#include "base/str.h"
#include "catalog/estimate.h"
#include "catalog/sku.h"
#include "catalog/vllm_flags.h"
#include "unit.h"

#define GIB_F 1073741824.0

static struct gpu gpu_of(const struct catalog *c, const char *cloud, const char *sku)
{
    struct gpu gpu;
    assert_int_equal(gpu_from_sku(sku_find(c, cloud, sku), &gpu), 0);
    return gpu;
}

static struct estimate precise(const struct catalog *c, const char *model, const char *cloud,
                               const char *sku, int64_t context)
{
    struct gpu gpu = gpu_of(c, cloud, sku);
    struct estimate e = { 0 };
    struct error *err = NULL;
    if (estimate_precise(catalog_find(c, model), &gpu, context, &e, &err) < 0) {
        e.nodes = -1;
        error_free(err);
    }
    return e;
}

struct row {
    const char *model, *cloud, *sku;
    int64_t context;
    int64_t reference, nodes; /* -1: does not fit */
    int64_t tensor, pipeline, data;
};

static void check(const struct row *rows, size_t count)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    for (size_t i = 0; i < count; i++) {
        const struct row *w = &rows[i];
        struct gpu gpu = gpu_of(c, w->cloud, w->sku);
        int64_t reference = -1;
        estimate_nodes(catalog_find(c, w->model), &gpu, w->context, &reference, NULL);
        struct estimate e = precise(c, w->model, w->cloud, w->sku, w->context);
        if (reference != w->reference || e.nodes != w->nodes ||
            (w->nodes > 0 && (e.layout.tensor != w->tensor || e.layout.pipeline != w->pipeline ||
                              e.layout.data != w->data)))
            fail_msg("%s on %s, %lld tokens: reference %lld, precise %lld (%lld x %lld x %lld)",
                     w->model, w->sku, (long long)w->context, (long long)reference,
                     (long long)e.nodes, (long long)e.layout.tensor, (long long)e.layout.pipeline,
                     (long long)e.layout.data);
    }
}

/* T30 */
static void weights_are_counted_once(void **state)
{
    static const struct row rows[] = {
        { "gpt-oss-120b", "azure", "Standard_NC24ads_A100_v4", 0, 3, 1, 1, 1, 1 },
        { "gpt-oss-120b", "azure", "Standard_NC48ads_A100_v4", 0, 2, 1, 2, 1, 1 },
        { "gpt-oss-20b", "azure", "Standard_NV36ads_A10_v5", 0, 2, 1, 1, 1, 1 },
        { "nvidia/NVIDIA-Nemotron-Nano-9B-v2", "azure", "Standard_NV36ads_A10_v5", 0, 2, 2, 1, 2,
          1 },
        /* 61 GiB of weights: one margin lets them into 80 GiB */
        { "qwen2.5-coder-32b-instruct", "azure", "Standard_NC24ads_A100_v4", 0, 2, 1, 1, 1, 1 },
    };
    check(rows, COUNT_OF(rows));
}

/* T31: vLLM printed 810,208; each GPU keeps all of the latent. */
static void a_latent_is_on_each_gpu(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    const char *model = "mistralai/Mistral-Small-4-119B-2603";
    struct estimate e = precise(c, model, "azure", "Standard_NC80adis_H100_v5", 0);
    assert_int_equal(e.nodes, 1);
    assert_int_equal(e.layout.tensor, 2);
    assert_true(e.max_context <= 810208 && e.max_context > 780000);
    struct estimate more = precise(c, model, "azure", "Standard_NC80adis_H100_v5", 102048);
    assert_int_equal((int64_t)(more.cache - e.cache), INT64_C(100000) * (256 + 64) * 36 * 2);
    /* where heads are shared the cache of a GPU is halved with them */
    model = "llama-3.3-70b-instruct";
    e = precise(c, model, "azure", "Standard_NC80adis_H100_v5", 1000);
    assert_int_equal(e.layout.tensor, 2);
    assert_int_equal((int64_t)e.cache, INT64_C(1000) * 2 * 4 * 128 * 80 * 2);
}

/* 40 query and 10 key-value heads: 4 GPUs would end vLLM at its start. */
static void heads_are_shared_evenly(void **state)
{
    static const struct row rows[] = {
        { "phi-4", "aws", "g5.12xlarge", 0, 1, 1, 2, 2, 1 },
        { "phi-4", "aws", "g5.48xlarge", 0, 1, 1, 2, 4, 1 },
        { "qwen2.5-coder-7b-instruct", "aws", "g5.48xlarge", 0, 1, 1, 4, 2, 1 }, /* 28 and 4 */
        { "llama-3.3-70b-instruct", "azure", "Standard_ND96isr_H100_v5", 0, 1, 1, 8, 1, 1 },
        { "qwen/qwen3.6-27b", "azure", "Standard_ND96isr_H100_v5", 0, 1, 1, 8, 1, 1 }, /* 24, 4 */
    };
    check(rows, COUNT_OF(rows));
}

static void layers_keep_what_they_need(void **state)
{
    static const struct {
        const char *model, *sku;
        int64_t context;
        double bytes; /* on one GPU */
    } table[] = {
        /* half of 24 layers see 128 tokens, and what is scheduled with them: 2,048 on this GPU */
        { "gpt-oss-20b", "Standard_NV36ads_A10_v5", 100000,
          (12 * 100000. + 12 * (127 + 2048)) * 2 * 8 * 64 * 2 },
        /* 10 of 62 see everything; 8,192 are scheduled */
        { "gemma-3-27b-instruct", "Standard_NC24ads_A100_v4", 50000,
          (10 * 50000. + 52 * (1023 + 8192)) * 2 * 16 * 128 * 2 },
        /* 6 of attention, 23 with a state */
        { "nvidia/Nemotron-Cascade-2-30B-A3B", "Standard_NC24ads_A100_v4", 4096,
          6 * 4096. * 2 * 2 * 128 * 2 +
              23 * (64 * 64 * 128 * 4. + 3 * (64 * 64 + 2 * 8 * 128) * 2) },
        /* 16 of 64; 48 matrices of 128 x 128 in each of the others */
        { "qwen/qwen3.6-27b", "Standard_NC24ads_A100_v4", 4096,
          16 * 4096. * 2 * 4 * 256 * 2 +
              48 * (48 * 128 * 128 * 4. + 3 * (2 * 16 * 128 + 48 * 128) * 2) },
        /* the fp8 latent of sparse attention, and its index */
        { "zai-org/GLM-5.2-FP8", "Standard_ND96isr_H200_v5", 1000, 78 * 1000. * (656 + 132) },
        /* half precision: 512 + 64 elements, and the index */
        { "deepseek-ai/DeepSeek-V3.2", "Standard_ND96isr_H200_v5", 1000,
          61 * 1000. * (576 * 2 + 132) },
    };
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct estimate e = precise(c, table[i].model, "azure", table[i].sku, table[i].context);
        double off = e.cache - table[i].bytes;
        if (e.nodes != 1 || off < -1 || off > 1)
            fail_msg("%s: %lld nodes, %.0f bytes, expected %.0f", table[i].model,
                     (long long)e.nodes, e.cache, table[i].bytes);
    }
}

/* The stage with most layers counts: 61 over 13 are 5 for some. */
static void layers_are_dealt_out_whole(void **state)
{
    static const struct row rows[] = {
        { "deepseek-r1-0528", "azure", "Standard_NC24ads_A100_v4", 0, 11, 13, 1, 13, 1 },
        { "deepseek-r1-0528", "azure", "Standard_ND96isr_H200_v5", 0, 1, 1, 8, 1, 1 },
    };
    check(rows, COUNT_OF(rows));
}

static void copies_only_where_their_context_fits(void **state)
{
    static const struct row rows[] = {
        { "llama-3.1-8b-instruct", "azure", "Standard_NC48ads_A100_v4", 0, 1, 1, 1, 1, 2 },
        { "google/gemma-4-31b-it", "azure", "Standard_ND96isr_H200_v5", 0, 1, 1, 1, 1, 8 },
        { "google/gemma-4-31b-it", "azure", "Standard_ND96isr_H200_v5", 200000, 1, 1, 8, 1, 1 },
    };
    check(rows, COUNT_OF(rows));
}

static void the_a10_gives_less(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    struct estimate e = precise(c, "phi-4-mini-instruct", "azure", "Standard_NV36ads_A10_v5", 0);
    assert_int_equal((int64_t)(e.usable / GIB_F * 100), 1968);
    assert_int_equal(e.assumption_count, 1); /* what the driver shows of it */
    e = precise(c, "phi-4-mini-instruct", "azure", "Standard_NC40ads_H100_v5", 0);
    assert_int_equal((int64_t)(e.usable / GIB_F * 100), 7861); /* of 95,830 MiB */
    assert_int_equal(e.assumption_count, 0);
}

static void what_fits_nowhere(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    struct gpu gpu = { .product = "", .count = 1, .bytes = 4 * (int64_t)GIB };
    struct estimate e;
    struct error *err = NULL;
    int r = estimate_precise(catalog_find(c, "llama-3.3-70b-instruct"), &gpu, 0, &e, &err);
    assert_string_equal(error_reason(err), "GPUMemoryTooSmall");
    assert_error(r, err, ERROR_TOO_LARGE, "does not fit");
    /* T37 */
    gpu = (struct gpu){ .product = "", .count = 1, .bytes = 10 * (int64_t)GIB, .mig = true };
    r = estimate_precise(catalog_find(c, "ministral-3-14b-instruct"), &gpu, 0, &e, &err);
    assert_string_equal(error_reason(err), "MIGSliceTooSmall");
    assert_error(r, err, ERROR_TOO_LARGE, "larger profile");
    r = estimate_precise(catalog_find(c, "phi-4"), &gpu, INT64_MAX, &e, &err);
    assert_error(r, err, ERROR_TOO_LARGE, "does not fit");
}

static void what_is_unknown_is_said(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    struct estimate e = precise(c, "google/gemma-4-31B-it", "azure", "Standard_ND96isr_H200_v5", 0);
    assert_int_equal(e.assumption_count, 1);
    assert_non_null(strstr(e.assumptions[0], "full attention"));
    struct preset bare = *catalog_find(c, "phi-4");
    struct gpu gpu = gpu_of(c, "azure", "Standard_NC24ads_A100_v4");
    bare.facts = NULL;
    assert_int_equal(estimate_precise(&bare, &gpu, 0, &e, NULL), 0);
    assert_int_equal(e.nodes, 1);
    assert_non_null(strstr(e.assumptions[0], "mode reference"));
}

static void flags_follow_the_layout(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    AUTO_ARENA a = arena_new();
    struct gpu gpu = gpu_of(c, "aws", "g5.12xlarge");
    struct vllm_request q = {
        .preset = catalog_find(c, "phi-4"), .gpu = &gpu, .nodes = 1, .served_name = "m"
    };
    struct layout layout = estimate_layout(true, q.preset, &gpu, 1, 0);
    assert_string_equal(json_find_str(vllm_flags(a, &q), "tensor-parallel-size"), "4");
    q.layout = &layout;
    struct json *flags = vllm_flags(a, &q);
    assert_string_equal(json_find_str(flags, "tensor-parallel-size"), "2");
    assert_string_equal(json_find_str(flags, "pipeline-parallel-size"), "2");
    assert_null(json_get(flags, "distributed-executor-backend"));
    layout = estimate_layout(false, q.preset, &gpu, 1, 0);
    assert_int_equal(layout.tensor, 4);
}

UNIT_TESTS(TEST(weights_are_counted_once), TEST(a_latent_is_on_each_gpu),
           TEST(heads_are_shared_evenly), TEST(layers_keep_what_they_need),
           TEST(layers_are_dealt_out_whole), TEST(copies_only_where_their_context_fits),
           TEST(the_a10_gives_less), TEST(what_fits_nowhere), TEST(what_is_unknown_is_said),
           TEST(flags_follow_the_layout))
