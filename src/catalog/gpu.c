#include "catalog/gpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define PRODUCT "nvidia.com/gpu.product"
#define COUNT "nvidia.com/gpu.count"
#define MEMORY "nvidia.com/gpu.memory"

static int refuse(struct error **err, int r, const char *reason)
{
    if (err && *err)
        error_set_reason(*err, reason);
    return r;
}

static int label_number(const struct json *labels, const char *key, int64_t *ret,
                        struct error **err)
{
    const char *text = json_find_str(labels, key);
    if (str_to_int64(text, ret) == 0)
        return 0;
    return refuse(err,
                  error_set(err, ERROR_INVALID, "node label %s is \"%s\"; it must be a number", key,
                            text),
                  "InvalidGPULabel");
}

static bool label_is(const struct json *labels, const char *key, const char *value)
{
    return str_eq(json_find_str(labels, key), value);
}

/* Times ten; 0 when the labels are absent or odd, as nothing must fail for want of them. */
static int compute_capability(const struct json *labels)
{
    int64_t major = 0;
    int64_t minor = 0;
    const char *first = json_find_str(labels, "nvidia.com/cuda.compute.major");
    const char *second = json_find_str(labels, "nvidia.com/cuda.compute.minor");
    if (!first || str_to_int64(first, &major) < 0 || major < 1 || major > 99)
        return 0;
    if (second && (str_to_int64(second, &minor) < 0 || minor < 0 || minor > 9))
        return 0;
    return (int)(major * 10 + minor);
}

/* Cut into slices, and the cutting is done. */
static bool node_is_mig(const struct json *labels)
{
    const char *config = json_find_str(labels, "nvidia.com/mig.config");
    return !str_empty(config) && !STREQ(config, "all-disabled") &&
           label_is(labels, "nvidia.com/mig.config.state", "success");
}

static int gpu_of_node(const struct json *labels, struct gpu *ret, struct error **err)
{
    static const char *const needed[] = { PRODUCT, COUNT, MEMORY };
    for (size_t i = 0; i < COUNT_OF(needed); i++)
        if (str_empty(json_find_str(labels, needed[i])))
            return refuse(
                err,
                error_set(
                    err, ERROR_INVALID,
                    "the node has no label %s; NVIDIA GPU feature discovery (part of the GPU operator) sets it",
                    needed[i]),
                "MissingGPULabels");
    int64_t count = 0;
    int64_t mib = 0;
    int r = label_number(labels, COUNT, &count, err);
    if (r == 0)
        r = label_number(labels, MEMORY, &mib, err);
    if (r < 0)
        return r;
    if (count < 0 || count > 1024 || mib < 0 || mib > INT32_MAX)
        return refuse(err,
                      error_set(err, ERROR_INVALID, "node labels %s and %s are out of range", COUNT,
                                MEMORY),
                      "InvalidGPULabel");
    /* whole GiB, as a GPU is sold */
    int64_t gib = (int64_t)((double)mib / 1024 + 0.5);
    *ret = (struct gpu){
        .product = json_find_str(labels, PRODUCT),
        .count = count,
        .bytes = gib * count * (int64_t)GIB,
        .visible = mib * count * (int64_t)MIB,
        .resource = "nvidia.com/gpu",
        .mig = node_is_mig(labels),
        .profile = "",
        .compute_capability = compute_capability(labels),
    };
    return 0;
}

/* "2g.20gb": two of seven slices, 20 GiB. Fractions of a GiB are dropped. */
static int gpu_of_profile(struct arena *a, const char *profile, struct gpu *ret, struct error **err)
{
    const char *rest = profile + strspn(profile, "0123456789");
    bool good = rest > profile && rest[0] == 'g' && rest[1] == '.';
    const char *number = good ? rest + 2 : "";
    size_t digits = strspn(number, "0123456789.");
    double gib = 0;
    good = good && digits > 0 && STREQ(number + digits, "gb") &&
           str_to_double(arena_strndup(a, number, digits), &gib) == 0 && gib >= 1 && gib < 10000;
    if (!good)
        return refuse(
            err,
            error_set(err, ERROR_INVALID,
                      "resource.partition.profile \"%s\" is no MIG profile such as 1g.10gb",
                      profile),
            "InvalidMIGProfile");
    *ret = (struct gpu){
        .product = "",
        .count = 1,
        .bytes = (int64_t)floor(gib) * (int64_t)GIB,
        .resource = arena_printf(a, "nvidia.com/mig-%s", profile),
        .mig = true,
        .profile = profile,
    };
    return 0;
}

bool gpu_partition_is_mig(const struct json *partition)
{
    return str_eq(json_find_str(partition, "mode"), "mig");
}

int gpu_from_labels(struct arena *a, const struct json *labels, const struct json *partition,
                    struct gpu *ret, struct error **err)
{
    if (gpu_partition_is_mig(partition)) {
        const char *profile = json_find_str(partition, "profile");
        return gpu_of_profile(a, profile ? profile : "", ret, err);
    }
    int r = gpu_of_node(labels, ret, err);
    int64_t wanted = json_find_int(partition, 0, "count");
    if (r < 0 || wanted <= 0)
        return r;
    if (wanted > ret->count)
        return refuse(err,
                      error_set(err, ERROR_INVALID,
                                "resource.partition.count is %lld; the node has %lld GPUs",
                                (long long)wanted, (long long)ret->count),
                      "AcceleratorCountExceedsNode");
    ret->bytes = ret->bytes / ret->count * wanted;
    ret->visible = ret->visible / ret->count * wanted;
    ret->count = wanted;
    return 0;
}

/* The A10 keeps more of its memory for itself than others. The cloud's tables write a space,
 * NVIDIA's node labels a hyphen. */
static bool is_a10(const char *product)
{
    return STREQ(product, "NVIDIA A10") || STREQ(product, "NVIDIA-A10");
}

double gpu_utilization(const struct gpu *gpu)
{
    return is_a10(str_or_empty(gpu->product)) ? 0.82 : 0.84;
}
