/* What to do about a MultiRoleInference. Pure: no clock, no I/O, no globals. */
#pragma once

#include "multirole/observe.h"
#include "operator/decision.h"

#define MULTI_ROLE_PLUGINS_KEY "config.yaml" /* of the ConfigMap */

struct multi_role_input {
    const struct operator_settings *settings;
    int64_t now_ns; /* wall clock */
    const struct multi_role_observed *observed;
};

/* Values of *ret live in the arena. */
void multi_role_decide(struct arena *a, const struct multi_role_input *in, struct decision *ret);

/* The endpoint picker's configuration: a prompt of which enough is new goes to a prefill pod first;
 * the rest to the decode pod with the least load. */
const char *multi_role_plugins(struct arena *a);
