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
