#include "catalog/sku.h"

#include "base/embed.h"
#include "base/str.h"
#include "catalog/catalog_internal.h"

EMBEDDED(skus);

#define MAX_SUGGESTIONS 3

static void read_sku(const struct json *row, struct sku *s)
{
    s->cloud = json_find_str(row, "cloud");
    s->name = json_find_str(row, "name");
    s->gpu_model = json_find_str(row, "gpuModel");
    s->vendor = json_find_str(row, "vendor");
    s->gpu_count = json_find_int(row, 0, "gpuCount");
    s->gpu_bytes = json_find_int(row, 0, "gpuMemoryGiB") * (int64_t)GIB;
    s->visible_bytes = json_find_int(row, 0, "visibleMiB") * s->gpu_count * (int64_t)MIB;
    s->compute_capability = (int)(json_double(json_get(row, "computeCapability"), 0) * 10 + 0.5);
    s->nvme = json_find_bool(row, false, "nvmeDisk");
}

void catalog_read_skus(struct catalog *c)
{
    struct json *table = NULL;
    json_parse(c->a, data_skus, data_skus_size, &table, NULL);
    c->skus = arena_zalloc(c->a, json_size(table) * sizeof(*c->skus));
    JSON_FOREACH(it, table)
        read_sku(it.value, &c->skus[c->sku_count++]);
}

size_t sku_count(const struct catalog *c)
{
    return c->sku_count;
}

const struct sku *sku_at(const struct catalog *c, size_t index)
{
    return index < c->sku_count ? &c->skus[index] : NULL;
}

const struct sku *sku_find(const struct catalog *c, const char *cloud, const char *name)
{
    for (size_t i = 0; i < c->sku_count && name; i++)
        if (str_eq(c->skus[i].cloud, cloud) && str_case_eq(c->skus[i].name, name))
            return &c->skus[i];
    return NULL;
}

size_t sku_nearest(struct arena *a, const struct catalog *c, const char *cloud, const char *name,
                   const char **ret, size_t max)
{
    const char **names = arena_alloc(a, (c->sku_count + 1) * sizeof(*names));
    size_t count = 0;
    for (size_t i = 0; i < c->sku_count; i++)
        if (str_case_eq(c->skus[i].cloud, cloud) && sku_runs_cuda(&c->skus[i]))
            names[count++] = c->skus[i].name;
    size_t found = str_nearest(name, names, count, ret, max);
    if (found == 0)
        for (; found < MIN(max, count); found++)
            ret[found] = names[found];
    return found;
}

int sku_require(const struct catalog *c, const char *cloud, const char *name,
                const struct sku **ret, struct error **err)
{
    const struct sku *found = sku_find(c, cloud, name);
    if (found) {
        *ret = found;
        return 0;
    }
    AUTO_ARENA a = arena_new();
    const char *near[MAX_SUGGESTIONS];
    size_t n = sku_nearest(a, c, cloud, str_or_empty(name), near, COUNT_OF(near));
    int r = error_set(err, ERROR_NOT_FOUND, "instance type \"%s\" of %s has no known GPUs; %s%s",
                      str_or_empty(name), str_empty(cloud) ? "no cloud" : cloud,
                      n > 0 ? "try " : "the clouds are azure, aws and arc",
                      str_join(a, (char *const *)near, n, ", "));
    if (err)
        error_set_reason(*err, "UnsupportedSKU");
    return r;
}

bool sku_runs_cuda(const struct sku *s)
{
    return str_eq(s->vendor, "nvidia");
}

int gpu_from_sku(const struct sku *s, struct gpu *ret)
{
    if (!s)
        return -ERROR_NOT_FOUND;
    *ret = (struct gpu){
        .product = s->gpu_model,
        .count = s->gpu_count,
        .bytes = s->gpu_bytes,
        .visible = s->visible_bytes,
        .resource = "nvidia.com/gpu",
        .profile = "",
        .compute_capability = s->compute_capability,
    };
    return 0;
}
