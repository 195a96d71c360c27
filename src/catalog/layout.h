/* How a model is laid out over the GPUs of its nodes. Pure. */
#pragma once

#include "catalog/catalog.h"
#include "catalog/gpu.h"

/* tensor x pipeline x data is the number of GPUs that are used. */
struct layout {
    int64_t tensor;   /* GPUs that share each layer */
    int64_t pipeline; /* groups of them that share the layers out */
    int64_t data;     /* whole copies of the model */
};

/* As KAITO v0.12 does it: a copy for each GPU of a single node where two would fit, else all GPUs
 * of a node share each layer, and the nodes share the layers out. */
struct layout layout_reference(const struct preset *p, const struct gpu *gpu, int64_t nodes);

/* The same with sizes that are right (struct model_facts), and no more GPUs to a layer than its
 * attention heads can be shared by; the others take layers. */
struct layout layout_precise(const struct preset *p, const struct gpu *gpu, int64_t nodes);
/* A copy for each GPU of a single node; false where that is not worth its memory. */
bool layout_precise_copies(const struct preset *p, const struct gpu *gpu, int64_t nodes,
                           struct layout *ret);

/* Quantity: what the weights alone take. */
const char *layout_weights(const struct preset *p);
