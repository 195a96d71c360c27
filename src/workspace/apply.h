/* Carries a decision about a Workspace out. */
#pragma once

#include "operator/apply.h"
#include "workspace/decide.h"

/* As operator_apply(). `nodes` is told of what is made to get nodes. */
int workspace_apply(struct arena *a, const struct apply_target *t, struct nodes_cache *nodes,
                    const struct decide_input *in, const struct decision *d,
                    const char **ret_version, struct error **err);
