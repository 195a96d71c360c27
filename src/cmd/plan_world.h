/* The world of `kaito plan`: the embedded API server in memory, the controllers of the operator as
 * they are, and a provisioner that gives every node that is asked for at once. What the controllers
 * make there is what they would make in a cluster; there is no second implementation to be wrong.
 */
#pragma once

#include "operator/settings.h"
#include "json/json.h"

struct plan_input {
    const struct operator_settings *settings;
    const struct json *documents; /* array: what the user would apply */
    const struct json *objects;   /* array: what the cluster has already; NULL: nothing */
};

struct plan {
    struct json *refused;  /* documents that the API server or admission would refuse: {kind, name,
                              message} */
    struct json *subjects; /* the documents as the controllers left them, in their order */
    struct json *created;  /* what else came to be, by kind and name */
    struct json *workspaces; /* of the documents and of their sets: workspace_explain() with
                                namespace, name */
    struct json *warnings;   /* Warning events: {kind, namespace, name, reason, message} */
};

/* Errors name the document of a kind that has no part in a plan, or say that the controllers came
 * to no rest. */
int plan_make(struct arena *a, const struct plan_input *in, struct plan *ret, struct error **err);
