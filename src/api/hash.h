/* The identity of a Workspace's specification: what its ControllerRevisions and the annotation
 * workspace.kaito.io/hash carry. Pure. */
#pragma once

#include "api/go_json.h"

struct workspace_identity {
    const char *hash; /* 64 hex digits */
    struct json
        *data; /* of the ControllerRevision: {inference, resource, tuning}, each null when absent */
};

/* hex(SHA-256) of resource, inference and tuning as Go writes them, a line each. Labels,
 * annotations and status are not part of it. -ERROR_INVALID with the field's path when a value is
 * not of its type ("inference.template.spec…"). */
int workspace_identify(struct arena *a, const struct go_types *types, const struct json *workspace,
                       struct workspace_identity *ret, struct error **err);
