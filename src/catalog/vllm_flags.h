/* The command line of vLLM for a preset on given GPUs, as KAITO v0.12 makes it, in one fixed order.
 * Pure. */
#pragma once

#include "catalog/catalog.h"
#include "catalog/layout.h"

struct vllm_request {
    const struct preset *preset;
    const struct gpu *gpu;
    int64_t nodes;
    const struct layout *layout; /* NULL: layout_reference() */
    const char *served_name;
    const char *config_file;      /* NULL: none */
    const char *performance_mode; /* NULL or "balanced": the default */
    bool adapters;
    const char *source; /* where the weights are read from, a path or URI; NULL: Hugging Face */
    bool decode_role;   /* listens on 5001, behind a sidecar */
};

/* {"flag": "value"}, sorted; "" is a bare flag. Values are as a shell wants them. */
struct json *vllm_flags(struct arena *a, const struct vllm_request *q);
/* "python3 /workspace/vllm/inference_api.py --a=b --c …" */
char *vllm_command_line(struct arena *a, const struct vllm_request *q);
