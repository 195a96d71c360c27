/* Node counts and vLLM flags against what the Go operator gave. */
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "catalog/estimate.h"
#include "catalog/sku.h"
#include "catalog/vllm_flags.h"
#include "unit.h"
#include "json/build.h"

static size_t rows; /* of the file that is being read */

/* Calls fn for each line's value; the first line of some files is a table. */
static size_t each_vector(const char *name, void (*fn)(struct arena *a, const struct catalog *c,
                                                       const struct json *table,
                                                       const struct json *v, const char *line))
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    AUTO_FREE char *path = mem_printf("%s/%s", DATA, name);
    AUTO_FREE char *text = NULL;
    size_t len = 0, count = 0;
    assert_int_equal(file_read(path, 16 * MIB, &text, &len, NULL), 0);
    AUTO_ARENA whole = arena_new();
    AUTO_ARENA a = arena_new();
    struct json *table = NULL;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        struct json *v = NULL;
        arena_reset(a);
        if (!table && str_has_suffix(name, "label-vectors.jsonl")) {
            assert_int_equal(json_parse(whole, line, (size_t)(end - line), &table, NULL), 0);
            continue;
        }
        assert_int_equal(json_parse(a, line, (size_t)(end - line), &v, NULL), 0);
        fn(a, c, table, v, line);
        count++;
    }
    return count;
}

/* The words of the vectors. */
static const char *error_class(const struct error *err)
{
    static const char *const words[][2] = {
        { "UnsupportedSKU", "unsupported-sku" },
        { "GPUMemoryTooSmall", "gpu-memory-below-overhead" },
        { "MIGSliceTooSmall", "mig-slice-too-small" },
        { "MissingGPULabels", "missing-gpu-labels" },
        { "InvalidGPULabel", "invalid-gpu-label" },
        { "InvalidMIGProfile", "invalid-mig-profile" },
        { "AcceleratorCountExceedsNode", "accelerator-count-exceeds-node" },
    };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_eq(error_reason(err), words[i][0]))
            return words[i][1];
    return error_message(err);
}

static void expect(const struct json *want, int r, int64_t nodes, struct error *err,
                   const char *line)
{
    if (json_is_string(want) ? r == 0 || !STREQ(json_string(want), error_class(err))
                             : r < 0 || nodes != json_int(want, -1))
        fail_msg("%s: %lld %s", line, (long long)nodes, error_message(err));
    error_free(err);
}

/* Of an instance type that no table has the reference says so, whatever else is asked. */
static int estimate_sku(const struct catalog *c, const struct json *v, const struct json *row,
                        int64_t *ret, struct error **err)
{
    const struct sku *sku = NULL;
    const struct preset *p = catalog_find(c, json_string(json_at(v, 2)));
    struct gpu gpu;
    int r = sku_require(c, json_string(json_at(v, 0)), json_string(json_at(v, 1)), &sku, err);
    if (r == 0)
        r = gpu_from_sku(sku, &gpu);
    return r < 0 ? r : estimate_nodes(p, &gpu, json_int(json_at(row, 1), 0), ret, err);
}

/* [cloud, sku, model, [[requested, context, nodes or error class], …]]; what is requested does not
 * count. */
static void check_sku(struct arena *a, const struct catalog *c, const struct json *table,
                      const struct json *v, const char *line)
{
    JSON_FOREACH(it, json_at(v, 3)) {
        int64_t nodes = 0;
        struct error *err = NULL;
        int r = estimate_sku(c, v, it.value, &nodes, &err);
        expect(json_at(it.value, 2), r, nodes, err, line);
        rows++;
    }
}

static void check_labels(struct arena *a, const struct catalog *c, const struct json *table,
                         const struct json *v, const char *line)
{
    const char *set = json_string(json_at(v, 1));
    const char *profile = str_skip_prefix(set, "mig:");
    const struct json *labels = json_get(table, set);
    if (!profile && !json_is_object(labels)) /* no ready node: not this function's matter */
        return;
    int64_t accelerators = json_int(json_at(v, 2), 0);
    struct json *partition = profile ? OBJ("mode", STR("mig"), "profile", STR(profile))
                             : accelerators
                                 ? OBJ("mode", STR("accelerator"), "count", INT(accelerators))
                                 : NULL;
    struct gpu gpu;
    int64_t nodes = 0;
    struct error *err = NULL;
    int r = gpu_from_labels(a, labels, partition, &gpu, &err);
    if (r == 0)
        r = estimate_nodes(catalog_find(c, json_string(json_at(v, 0))), &gpu,
                           json_int(json_at(v, 3), 0), &nodes, &err);
    expect(json_at(v, 4), r, nodes, err, line);
}

static void check_row(struct arena *a, const struct catalog *c, const struct preset *p,
                      const struct json *want, const char *place)
{
    size_t n = 0;
    char **words = str_split(a, place, ' ', &n); /* cloud, SKU, nodes */
    assert_int_equal(n, 3);
    struct gpu gpu;
    int64_t nodes = 0;
    assert_int_equal(gpu_from_sku(sku_find(c, words[0], words[1]), &gpu), 0);
    assert_int_equal(str_to_int64(words[2], &nodes), 0);
    struct vllm_request q = { .preset = p, .gpu = &gpu, .nodes = nodes, .served_name = p->name };
    struct json *flags = vllm_flags(a, &q);
    if (!json_equal(flags, want)) {
        AUTO_BUF diff = BUF_INIT(MIB);
        json_describe_diff(want, flags, 20, &diff);
        fail_msg("%s on %s:\n%s", p->id, place, buf_str(&diff));
    }
    rows++;
}

/* One file line per model: {"model", "flags": those of most rows, "rows": [[merge patch of the
 * flags,
 * ["cloud sku nodes", …]], …]} */
static void check_flags(struct arena *a, const struct catalog *c, const struct json *table,
                        const struct json *v, const char *line)
{
    const struct preset *p = catalog_find(c, json_find_str(v, "model"));
    JSON_FOREACH(it, json_get(v, "rows")) {
        struct json *want =
            json_merge_patch(a, json_clone(a, json_get(v, "flags")), json_at(it.value, 0));
        JSON_FOREACH(place, json_at(it.value, 1))
            check_row(a, c, p, want, json_string(place.value));
    }
}

static void node_counts_of_skus(void **state)
{
    rows = 0;
    assert_int_equal(each_vector("sku-vectors.jsonl", check_sku), 3600);
    assert_int_equal(rows, 40867);
}

static void node_counts_from_labels(void **state)
{
    assert_true(each_vector("gpu-label-vectors.jsonl", check_labels) > 9000);
}

static void flags_of_vllm(void **state)
{
    rows = 0;
    assert_int_equal(each_vector("sku-flag-vectors.jsonl", check_flags), 60);
    assert_int_equal(rows, 7443);
}

static void the_command_line_is_in_one_order(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    AUTO_ARENA a = arena_new();
    struct gpu gpu = { .product = "NVIDIA A100", .count = 1, .bytes = 80 * (int64_t)GIB };
    struct vllm_request q = { .preset = catalog_find(c, "phi-4"),
                              .gpu = &gpu,
                              .nodes = 1,
                              .served_name = "chat",
                              .config_file = "/mnt/config/inference_config.yaml",
                              .performance_mode = "throughput",
                              .adapters = true };
    assert_string_equal(
        vllm_command_line(a, &q),
        "python3 /workspace/vllm/inference_api.py --compilation-config.pass_config.fuse_allreduce_rms=False --config_format=auto "
        "--download-dir=/workspace/weights --dtype=bfloat16 --enable-lora --gpu-memory-utilization=0.84 "
        "--kaito-config-file=/mnt/config/inference_config.yaml --kv-events-config='{\"enable_kv_cache_events\":true}' "
        "--load_format=auto --max-model-len=auto --model=microsoft/phi-4 --performance-mode=throughput "
        "--served-model-name=chat --tensor-parallel-size=1 --tokenizer_mode=auto --trust-remote-code");
}

/* T36 */
static void old_gpus_get_what_they_can_run(void **state)
{
    static const struct {
        int capability;
        const char *dtype;
        bool no_chunks;
    } table[] = {
        { 70, "float16", true },   { 75, "float16", false }, { 80, "bfloat16", false },
        { 90, "bfloat16", false }, { 0, "bfloat16", false },
    };
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct gpu gpu = { .product = "Tesla-T4",
                           .count = 1,
                           .bytes = 16 * (int64_t)GIB,
                           .compute_capability = table[i].capability };
        struct vllm_request q = { .gpu = &gpu, .nodes = 1, .served_name = "m" };
        q.preset = catalog_find(c, "phi-4-mini-instruct");
        struct json *flags = vllm_flags(a, &q);
        assert_string_equal(json_find_str(flags, "dtype"), table[i].dtype);
        assert_int_equal(json_get(flags, "no-enable-chunked-prefill") != NULL, table[i].no_chunks);
        q.preset = catalog_find(c, "qwen/qwen3-8b-awq"); /* its method decides */
        assert_string_equal(json_find_str(vllm_flags(a, &q), "dtype"), "auto");
    }
}

/* T38: the cache stays on the GPUs where it is spread over nodes or copies, of several kinds, or of
 * a model that cannot move it. */
static void when_the_cache_cannot_be_moved(void **state)
{
    static const struct {
        const char *model;
        int64_t gpus, gib, nodes;
        const char *tensor, *data;
        bool stays;
    } table[] = {
        { "phi-4", 1, 80, 1, "1", NULL, false },
        { "llama-3.3-70b-instruct", 4, 80, 1, "4", NULL, false },
        { "llama-3.3-70b-instruct", 1, 80, 3, "1", NULL, true }, /* nodes */
        { "phi-4", 8, 80, 1, "1", "8", true },                   /* copies */
        { "google/gemma-4-31b-it", 1, 80, 1, "1", NULL, true },  /* layers of several kinds */
        { "gpt-oss-20b", 1, 80, 1, "1", NULL, true },
    };
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct gpu gpu = { .product = "NVIDIA A100",
                           .count = table[i].gpus,
                           .bytes = table[i].gpus * table[i].gib * (int64_t)GIB };
        struct vllm_request q = { .preset = catalog_find(c, table[i].model),
                                  .gpu = &gpu,
                                  .nodes = table[i].nodes,
                                  .served_name = "m" };
        struct json *flags = vllm_flags(a, &q);
        const char *moved = json_find_str(flags, "kaito-kv-cache-cpu-memory-utilization");
        assert_string_equal(json_find_str(flags, "tensor-parallel-size"), table[i].tensor);
        assert_true(str_eq(json_find_str(flags, "data-parallel-size"), table[i].data));
        if (!str_eq(moved, table[i].stays ? "0" : NULL))
            fail_msg("%s: %s", table[i].model, str_or_empty(moved));
    }
}

static void an_a10_is_known_by_both_spellings(void **state)
{
    static const char *const table[][2] = {
        { "NVIDIA A10", "0.82" },  { "NVIDIA-A10", "0.82" },  { "NVIDIA A10G", "0.84" },
        { "NVIDIA-A10G", "0.84" }, { "NVIDIA A100", "0.84" }, { "", "0.84" },
    };
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct gpu gpu = { .product = table[i][0], .count = 1, .bytes = 24 * (int64_t)GIB };
        struct vllm_request q = {
            .preset = catalog_find(c, "phi-4"), .gpu = &gpu, .nodes = 1, .served_name = "m"
        };
        assert_string_equal(json_find_str(vllm_flags(a, &q), "gpu-memory-utilization"),
                            table[i][1]);
    }
}

UNIT_TESTS(TEST(node_counts_of_skus), TEST(node_counts_from_labels), TEST(flags_of_vllm),
           TEST(old_gpus_get_what_they_can_run), TEST(when_the_cache_cannot_be_moved),
           TEST(an_a10_is_known_by_both_spellings), TEST(the_command_line_is_in_one_order))
