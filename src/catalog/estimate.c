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

int estimate_nodes(const struct preset *p, const struct gpu *gpu, int64_t context, int64_t *ret,
                   struct error **err)
{
    if (gpu->count <= 0 || gpu->bytes <= 0) {
        *ret = 1;
        return 0;
    }
    int64_t file_bytes = 0;
    int r = quantity_value(p->file_size, &file_bytes, err);
    if (r < 0)
        return error_prefix(err, r, "size of %s", p->id);
    double weights = (double)file_bytes * WEIGHTS_FACTOR;
    double available = (double)(gpu->bytes / gpu->count) * UTILIZATION;
    int64_t tokens = context > 0 ? context : ESTIMATE_DEFAULT_CONTEXT;
    double cache = (double)(tokens * p->bytes_per_token) / (double)gpu->count;
    double fixed = BASE_GIB * GIB_F + cache;
    if (available <= fixed)
        return refuse(
            err,
            error_set(
                err, ERROR_TOO_LARGE,
                "a GPU of %.1f GiB, of which %.1f can be used, is too small for %s: %.1f GiB of overhead and "
                "%.1f GiB for %lld tokens of context come before the weights",
                (double)(gpu->bytes / gpu->count) / GIB_F, available / GIB_F, p->name, BASE_GIB,
                cache / GIB_F, (long long)tokens),
            "GPUMemoryTooSmall");
    double room = (available - fixed) / WEIGHTS_OVERHEAD;
    int64_t gpus = (int64_t)fmin(weights / room, MAX_GPUS) + 1;
    int64_t nodes = (gpus + gpu->count - 1) / gpu->count;
    if (gpu->mig && nodes > 1)
        return refuse(
            err,
            error_set(
                err, ERROR_TOO_LARGE,
                "%s needs %.1f GiB for weights; the MIG slice of %.1f GiB has room for %.1f GiB of them. A "
                "model cannot be spread over slices: choose a larger profile or a smaller model",
                p->name, weights / GIB_F, (double)gpu->bytes / GIB_F, room / GIB_F),
            "MIGSliceTooSmall");
    *ret = nodes;
    return 0;
}
