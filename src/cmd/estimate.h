/* What `kaito estimate` found out, and how it is told. */
#pragma once

#include "catalog/estimate.h"
#include "catalog/sku.h"
#include "catalog/vllm_flags.h"

struct estimate_answer {
    const char *mode; /* "reference", "precise" */
    const struct preset *preset;
    const struct sku *sku; /* NULL: the user's own nodes */
    struct gpu gpu;
    struct estimate estimate;
    struct json *flags;    /* of vLLM; NULL: another engine */
    struct json *warnings; /* array of strings, may be NULL */
};

struct json *estimate_json(struct arena *a, const struct estimate_answer *e);
/* {"error": class, "message"} */
struct json *estimate_error_json(struct arena *a, const struct error *err);
void estimate_print(const struct estimate_answer *e);
