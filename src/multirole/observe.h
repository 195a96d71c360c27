/* Everything a reconcile of one MultiRoleInference needs to know, read once. Values live in the
 * arena of the reconcile. */
#pragma once

#include "api/multi_role.h"
#include "inferenceset/pool.h"

struct multi_role_observed {
    const struct json *object;
    const struct json *children[ROLE_COUNT]; /* InferenceSets of these names; NULL: absent */
    const struct json
        *plugins; /* the ConfigMap of eppPluginsConfig; NULL: absent, or without the key */
    struct pool_observed pool; /* with the gate gatewayAPIInferenceExtension only */
};

struct multi_role_caches {
    struct informer *objects, *sets;
    struct informer *config_maps; /* NULL without the gate, as the following */
    struct pool_caches pool;
};

/* "NAME-prefill" */
const char *multi_role_child_name(struct arena *a, const char *name, enum role role);
/* false: there is no such MultiRoleInference. */
bool multi_role_observe(struct arena *a, const struct multi_role_caches *caches, const char *ns,
                        const char *name, struct multi_role_observed *ret);
