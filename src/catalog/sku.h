/* The instance types that the operator knows: data/skus.json, what GPUs a machine of each has.
 * They live in the catalogue; any thread may read them. Pure. */
#pragma once

#include "catalog/catalog.h"
#include "catalog/gpu.h"

struct sku {
    const char *cloud;     /* "azure", "aws", "arc" */
    const char *name;      /* as the cloud spells it: "Standard_NC24ads_A100_v4" */
    const char *gpu_model; /* "NVIDIA A100" */
    const char *vendor;    /* "nvidia", "amd", "aws-neuron" */
    int64_t gpu_count;
    int64_t gpu_bytes;      /* memory of all its GPUs, as it is sold */
    int64_t visible_bytes;  /* of all its GPUs, as the driver shows it; 0: unknown */
    int compute_capability; /* of CUDA, times ten: 80, 86, 90; 0: none */
    bool nvme;              /* has a local disk that weights can lie on */
};

size_t sku_count(const struct catalog *c);
const struct sku *sku_at(const struct catalog *c, size_t index); /* NULL past the end */

/* ASCII case-insensitive; NULL when that cloud has none of that name. */
const struct sku *sku_find(const struct catalog *c, const char *cloud, const char *name);
/* As sku_find; the error (reason UnsupportedSKU) names the nearest ones. */
int sku_require(const struct catalog *c, const char *cloud, const char *name,
                const struct sku **ret, struct error **err);

/* The names of that cloud's types that are spelled most like this one, else the first ones; only
 * of those that run CUDA. Returns how many there are, at most max. */
size_t sku_nearest(struct arena *a, const struct catalog *c, const char *cloud, const char *name,
                   const char **ret, size_t max);

/* The engine images are built for CUDA: false of AMD's GPUs and of AWS's accelerators. */
bool sku_runs_cuda(const struct sku *s);

/* -ERROR_NOT_FOUND, without a text, of NULL. */
int gpu_from_sku(const struct sku *s, struct gpu *ret);
