/* How many nodes a model needs, exactly as KAITO v0.12 reckons it: weights by file size, a
 * key-value cache for one context, a fixed overhead. Pure. */
#pragma once

#include "catalog/catalog.h"
#include "catalog/gpu.h"

#define ESTIMATE_DEFAULT_CONTEXT 2048

/* context: tokens; 0: the default. Reasons of errors: GPUMemoryTooSmall, MIGSliceTooSmall. */
int estimate_nodes(const struct preset *p, const struct gpu *gpu, int64_t context, int64_t *ret,
                   struct error **err);
