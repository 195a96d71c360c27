/* How many nodes a model needs. Pure. Two modes:
 * - reference, the default: exactly as KAITO v0.12 reckons it: weights by file size, a key-value
 *   cache for one context, a fixed overhead;
 * - precise: catalog/estimate_precise.c, right where that is known to be wrong. */
#pragma once

#include "catalog/catalog.h"
#include "catalog/gpu.h"
#include "catalog/layout.h"

#define ESTIMATE_DEFAULT_CONTEXT 2048
#define ESTIMATE_MAX_ASSUMPTIONS 4

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
    struct layout layout;
    double weights_share; /* of the weights, on the fullest GPU */

    /* precise only */
    int64_t
        max_context; /* tokens of the longest sequence that fits, at most the model's own limit */
    const char *assumptions[ESTIMATE_MAX_ASSUMPTIONS]; /* what was not known, and what was taken */
    size_t assumption_count;
};

/* context: tokens; 0: the default. Reasons of errors: GPUMemoryTooSmall, MIGSliceTooSmall. Of GPUs
 * about which nothing is known, one node is thought enough, and all other figures are 0. */
int estimate_model(const struct preset *p, const struct gpu *gpu, int64_t context,
                   struct estimate *ret, struct error **err);
/* The number of nodes alone. */
int estimate_nodes(const struct preset *p, const struct gpu *gpu, int64_t context, int64_t *ret,
                   struct error **err);

int estimate_precise(const struct preset *p, const struct gpu *gpu, int64_t context,
                     struct estimate *ret, struct error **err);
/* Either of them. */
int estimate_in_mode(bool precise, const struct preset *p, const struct gpu *gpu, int64_t context,
                     struct estimate *ret, struct error **err);

/* How the model is laid out over nodes whose number is decided: for struct vllm_request. */
struct layout estimate_layout(bool precise, const struct preset *p, const struct gpu *gpu,
                              int64_t nodes, int64_t context);
