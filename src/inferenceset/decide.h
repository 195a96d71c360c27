/* What to do about an InferenceSet. Pure: no clock, no I/O, no globals. */
#pragma once

#include "api/go_json.h"
#include "catalog/catalog.h"
#include "inferenceset/observe.h"
#include "operator/decision.h"

struct set_input {
    const struct operator_settings *settings;
    const struct catalog *catalog;
    const struct go_types *types;
    int64_t now_ns; /* wall clock */
    const struct set_observed *observed;
};

/* Values of *ret live in the arena. */
void set_decide(struct arena *a, const struct set_input *in, struct decision *ret);

/* The status to show when a write of the decision failed: the decided one, with the error where it
 * says that something is not ready. */
struct json *set_status_after_error(struct arena *a, const struct set_input *in,
                                    const struct decision *d, const char *error);

/* The name of the n-th Workspace of a set: fixed by the set's uid, so that making it again after a
 * crash is a no-op; it looks like a generated one. */
const char *set_child_name(struct arena *a, const char *set, const char *uid, uint64_t n);
/* The Workspace of this name that the set would make now, for its creation and `kaito plan`. */
struct json *set_child(struct arena *a, const struct set_input *in, const char *name);
