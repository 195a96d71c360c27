/* What to do about a Workspace. Pure: no clock, no I/O, no globals. */
#pragma once

#include "api/hash.h"
#include "operator/decision.h"
#include "workspace/engine.h"
#include "workspace/observe.h"

struct decide_input {
    const struct operator_settings *settings;
    const struct catalog *catalog;
    const struct go_types *types;
    int64_t now_ns; /* wall clock */
    const struct observed *observed;
};

/* Values of *ret live in the arena. */
void workspace_decide(struct arena *a, const struct decide_input *in, struct decision *ret);

/* The status to show when a write of the decision failed: the decided one, with the error where it
 * says that something is not ready. */
struct json *workspace_status_after_error(struct arena *a, const struct decide_input *in,
                                          const struct decision *d, const char *error);

/* Why it is decided so, for `kaito plan`: {"model", "engine", "instanceType", "nodes", "gpu":
 * {"product", "count", "gib"}, "memory": {"gpuGiB", "usableGiB", "engineGiB", "cacheGiB", "context",
 * "roomGiB", "weightsGiB", "gpusNeeded"}, "problem": {"reason", "message"}, "waiting": the same, for
 * nodes that are not there}; what is not known is left out. Sizes are of one GPU, weights of the whole model. */
struct json *workspace_explain(struct arena *a, const struct decide_input *in);
