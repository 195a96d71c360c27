/* How many nodes a model needs, exactly as KAITO v0.12 reckons it: weights by file size, a
 * key-value cache for one context, a fixed overhead. Pure. */
#pragma once

#include "catalog/catalog.h"
#include "catalog/gpu.h"

#define ESTIMATE_DEFAULT_CONTEXT 2048

/* The figures behind a number of nodes. Bytes; of one GPU where nothing else is said. */
struct estimate {
    int64_t nodes;
    int64_t gpus;    /* the least number that the weights fit on */
    int64_t context; /* tokens */
    double gpu;      /* its memory */
    double usable;   /* what the engine may take of it */
    double base;     /* taken by the engine itself */
    double cache;    /* of keys and values, for one context */
    double room;     /* left for weights */
    double weights;  /* of the whole model, in memory */
};

/* context: tokens; 0: the default. Reasons of errors: GPUMemoryTooSmall, MIGSliceTooSmall. Of GPUs
 * about which nothing is known, one node is thought enough, and all other figures are 0. */
int estimate_model(const struct preset *p, const struct gpu *gpu, int64_t context,
                   struct estimate *ret, struct error **err);
/* The number of nodes alone. */
int estimate_nodes(const struct preset *p, const struct gpu *gpu, int64_t context, int64_t *ret,
                   struct error **err);
