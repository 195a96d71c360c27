/* Node counts and vLLM flags against what the Go operator gave. */
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "catalog/estimate.h"
#include "catalog/vllm_flags.h"
#include "unit.h"
#include "json/build.h"

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

static void check_sku(struct arena *a, const struct catalog *c, const struct json *table,
                      const struct json *v, const char *line)
{
    struct gpu gpu = { .product = "",
                       .count = json_int(json_at(v, 1), 0),
                       .bytes = json_int(json_at(v, 2), 0) };
    const struct preset *p = catalog_find(c, json_string(json_at(v, 0)));
    int64_t nodes = 0;
    struct error *err = NULL;
    int r = estimate_nodes(p, &gpu, json_int(json_at(v, 3), 0), &nodes, &err);
    expect(json_at(v, 4), r, nodes, err, line);
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

static void check_flags(struct arena *a, const struct catalog *c, const struct json *table,
                        const struct json *v, const char *line)
{
    struct gpu gpu = {
        .product = json_find_str(v, "product"),
        .count = json_find_int(v, 0, "gpus"),
        .bytes = json_find_int(v, 0, "bytes"),
    };
    const struct preset *p = catalog_find(c, json_find_str(v, "model"));
    struct vllm_request q = {
        .preset = p, .gpu = &gpu, .nodes = json_find_int(v, 0, "nodes"), .served_name = p->name
    };
    struct json *flags = vllm_flags(a, &q);
    if (!json_equal(flags, json_get(v, "flags"))) {
        AUTO_BUF diff = BUF_INIT(MIB);
        json_describe_diff(json_get(v, "flags"), flags, 20, &diff);
        fail_msg("%s:\n%s", line, buf_str(&diff));
    }
}

static void node_counts_of_skus(void **state)
{
    assert_true(each_vector("estimate-vectors.jsonl", check_sku) > 8000);
}

static void node_counts_from_labels(void **state)
{
    assert_true(each_vector("gpu-label-vectors.jsonl", check_labels) > 9000);
}

static void flags_of_vllm(void **state)
{
    assert_true(each_vector("vllm-flag-vectors.jsonl", check_flags) > 800);
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

UNIT_TESTS(TEST(node_counts_of_skus), TEST(node_counts_from_labels), TEST(flags_of_vllm),
           TEST(the_command_line_is_in_one_order))
