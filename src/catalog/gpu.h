/* What GPUs a node has, from the labels that NVIDIA's feature discovery puts on it, or the part of
 * it that a Workspace asks for. Pure. */
#pragma once

#include "json/json.h"

struct gpu {
    const char *product;  /* "NVIDIA-A100-SXM4-80GB"; "" when unknown */
    int64_t count;        /* GPUs of one node, or of the part that is asked for */
    int64_t bytes;        /* memory of all of these, as it is sold */
    int64_t visible;      /* of all of these, as the driver shows it; 0: unknown */
    const char *resource; /* what pods ask for: "nvidia.com/gpu", "nvidia.com/mig-1g.10gb" */
    bool mig;
    const char *profile;    /* "1g.10gb"; "" when the node is not cut by the Workspace */
    int compute_capability; /* of CUDA, times ten: 75, 80, 86; 0: unknown */
};

/* `partition` is resource.partition of a Workspace; NULL: whole nodes. Reasons of errors:
 * MissingGPULabels, InvalidGPULabel, AcceleratorCountExceedsNode, InvalidMIGProfile. */
int gpu_from_labels(struct arena *a, const struct json *labels, const struct json *partition,
                    struct gpu *ret, struct error **err);
/* A MIG profile says all there is to know; no node is needed. */
bool gpu_partition_is_mig(const struct json *partition);
/* The part of a GPU's memory that the engine is allowed to take. */
double gpu_utilization(const struct gpu *gpu);
