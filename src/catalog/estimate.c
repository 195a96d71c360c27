#include "catalog/estimate.h"

#include <math.h>

#include "kube/quantity.h"

/* Constants of KAITO's estimator. */
#define UTILIZATION 0.84    /* of a GPU's memory, what vLLM may take */
#define WEIGHTS_FACTOR 1.02 /* weights in memory against their files */
#define BASE_GIB 2.3        /* CUDA context, graphs, activations */
#define WEIGHTS_OVERHEAD 1.05
#define MAX_GPUS 1e9 /* room can be a fraction of a byte */
#define GIB_F 1073741824.0

static int refuse(struct error **err, int r, const char *reason)
{
    if (err && *err)
        error_set_reason(*err, reason);
    return r;
}

int estimate_model(const struct preset *p, const struct gpu *gpu, int64_t context,
                   struct estimate *ret, struct error **err)
{
    *ret = (struct estimate){ .nodes = 1 };
    if (gpu->count <= 0 || gpu->bytes <= 0)
        return 0;
    int64_t file_bytes = 0;
    int r = quantity_value(p->file_size, &file_bytes, err);
    if (r < 0)
        return error_prefix(err, r, "size of %s", p->id);
    struct estimate e = {
        .context = context > 0 ? context : ESTIMATE_DEFAULT_CONTEXT,
        .gpu = (double)(gpu->bytes / gpu->count),
        .base = BASE_GIB * GIB_F,
        .weights = (double)file_bytes * WEIGHTS_FACTOR,
    };
    e.usable = e.gpu * UTILIZATION;
    e.cache = (double)e.context * (double)p->bytes_per_token / (double)gpu->count;
    double fixed = e.base + e.cache;
    if (e.usable <= fixed)
        return refuse(
            err,
            error_set(
                err, ERROR_TOO_LARGE,
                "a GPU of %.1f GiB, of which %.1f can be used, is too small for %s: %.1f GiB of overhead and "
                "%.1f GiB for %lld tokens of context come before the weights",
                e.gpu / GIB_F, e.usable / GIB_F, p->name, BASE_GIB, e.cache / GIB_F,
                (long long)e.context),
            "GPUMemoryTooSmall");
    e.room = (e.usable - fixed) / WEIGHTS_OVERHEAD;
    e.gpus = (int64_t)fmin(e.weights / e.room, MAX_GPUS) + 1;
    e.nodes = (e.gpus + gpu->count - 1) / gpu->count;
    if (gpu->mig && e.nodes > 1)
        return refuse(
            err,
            error_set(
                err, ERROR_TOO_LARGE,
                "%s needs %.1f GiB for weights; the MIG slice of %.1f GiB has room for %.1f GiB of them. A "
                "model cannot be spread over slices: choose a larger profile or a smaller model",
                p->name, e.weights / GIB_F, (double)gpu->bytes / GIB_F, e.room / GIB_F),
            "MIGSliceTooSmall");
    e.layout = layout_reference(p, gpu, e.nodes);
    e.weights_share = e.weights * WEIGHTS_OVERHEAD / (double)(e.layout.tensor * e.layout.pipeline);
    *ret = e;
    return 0;
}

int estimate_nodes(const struct preset *p, const struct gpu *gpu, int64_t context, int64_t *ret,
                   struct error **err)
{
    struct estimate e;
    int r = estimate_model(p, gpu, context, &e, err);
    if (r == 0)
        *ret = e.nodes;
    return r;
}
