#include "base/str.h"
#include "catalog/sku.h"
#include "unit.h"

/* T33: the total is the GPUs' number times the memory of one. */
static void every_row_is_complete(void **state)
{
    static const struct {
        const char *cloud;
        size_t rows;
    } clouds[] = { { "azure", 14 }, { "aws", 35 }, { "arc", 8 } };
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    size_t total = 0;
    for (size_t k = 0; k < COUNT_OF(clouds); k++) {
        size_t rows = 0;
        for (size_t i = 0; i < sku_count(c); i++)
            rows += STREQ(sku_at(c, i)->cloud, clouds[k].cloud);
        assert_int_equal(rows, clouds[k].rows);
        total += rows;
    }
    assert_int_equal(total, sku_count(c));
    assert_null(sku_at(c, total));
    for (size_t i = 0; i < total; i++) {
        const struct sku *s = sku_at(c, i);
        assert_true(s->gpu_count > 0 && s->gpu_bytes % (s->gpu_count * (int64_t)GIB) == 0);
        assert_ptr_equal(sku_find(c, s->cloud, s->name), s);
        assert_int_equal(sku_runs_cuda(s), s->compute_capability >= 75);
        assert_int_equal(sku_runs_cuda(s), str_has_prefix(s->gpu_model, "NVIDIA "));
    }
    const struct sku *s = sku_find(c, "azure", "Standard_ND96amsr_A100_v4");
    assert_int_equal(s->gpu_bytes, 640 * (int64_t)GIB);
    s = sku_find(c, "arc", "Standard_NC16_A2");
    assert_int_equal(s->gpu_bytes, 32 * (int64_t)GIB);
    assert_int_equal(s->gpu_count, 2);
}

/* T17 */
static void letters_may_be_small(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    struct gpu gpu;
    assert_int_equal(gpu_from_sku(sku_find(c, "azure", "standard_nc24ads_a100_v4"), &gpu), 0);
    assert_int_equal(gpu.count, 1);
    assert_int_equal(gpu.bytes, 80 * (int64_t)GIB);
    assert_string_equal(gpu.product, "NVIDIA A100");
    assert_string_equal(gpu.resource, "nvidia.com/gpu");
    assert_int_equal(gpu.compute_capability, 80);
}

static void a_cloud_has_its_own(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    struct gpu gpu;
    assert_null(sku_find(c, "aws", "Standard_NC24ads_A100_v4"));
    assert_null(sku_find(c, "", "g5.xlarge"));
    assert_null(sku_find(c, NULL, "g5.xlarge"));
    assert_null(sku_find(c, "aws", NULL));
    assert_int_equal(gpu_from_sku(NULL, &gpu), -ERROR_NOT_FOUND);
}

static void wrong_names_have_neighbours(void **state)
{
    CLEANUP(catalog_cleanup) struct catalog *c = catalog_new();
    const struct sku *s = NULL;
    struct error *err = NULL;
    int r = sku_require(c, "azure", "Standard_NC24ads_A100_v5", &s, &err);
    assert_string_equal(error_reason(err), "UnsupportedSKU");
    assert_error(r, err, ERROR_NOT_FOUND, "try Standard_NC24ads_A100_v4");
    r = sku_require(c, "gcp", "a2-highgpu-1g", &s, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "azure, aws and arc");
    assert_null(s);
    assert_int_equal(sku_require(c, "aws", "G5.XLARGE", &s, &err), 0);
    assert_string_equal(s->name, "g5.xlarge");
}

UNIT_TESTS(TEST(every_row_is_complete), TEST(letters_may_be_small), TEST(a_cloud_has_its_own),
           TEST(wrong_names_have_neighbours))
