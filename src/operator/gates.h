/* Feature gates of the operator, under the names of KAITO v0.12. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

enum gate {
    GATE_VLLM,
    GATE_NO_NODE_PROVISIONING, /* disableNodeAutoProvisioning: the node provisioner overrides it */
    GATE_GATEWAY_API,          /* gatewayAPIInferenceExtension */
    GATE_INFERENCE_SET,
    GATE_MIG,
    GATE_ACCELERATOR,
    GATE_MULTI_ROLE,
    GATE_MODEL_MIRROR,
    GATE_MODEL_STREAMING, /* only with GATE_MODEL_MIRROR */
    GATE_BASE_IMAGE_UPGRADE,
    GATE_COUNT,
};

struct gates {
    bool on[GATE_COUNT];
};

extern const struct gates GATES_DEFAULT;

/* "enableMIG": as it is written in --feature-gates. */
const char *gate_name(enum gate gate);

/* "name=bool,name=bool" over what *gates has; the last of several counts. -ERROR_INVALID names what
 * is unknown, wrong, or cannot be together. */
int gates_parse(const char *text, struct gates *gates, struct error **err);
