/* A MultiRoleInference (kaito.sh/v1alpha1) decoded, and the words of its API. Pure. */
#pragma once

#include "api/workspace.h"

#define MULTI_ROLE_FINALIZER "multiroleinference.kaito.sh/finalizer"

enum role { ROLE_PREFILL, ROLE_DECODE, ROLE_COUNT };

struct role_spec {
    bool present;
    int64_t replicas;           /* -1 when unset: whoever scales the InferenceSet decides */
    const char *instance_type;  /* "" when unset, as the following */
    const char *runtime_config; /* name of a ConfigMap */
};

struct multi_role {
    const struct json *json;
    const char *name;
    const char *ns;
    const char *uid;
    int64_t generation;
    bool deleting;

    const struct json *selector;
    const char *model;         /* "" when unset, as the following */
    const char *access_secret; /* of the model */
    const char *plugins;       /* eppPluginsConfig: a ConfigMap with the key config.yaml */
    struct role_spec roles[ROLE_COUNT];
};

/* "prefill", "decode": the type of a role, the value of its label, the end of its child's name. */
const char *role_name(enum role role);

/* Borrows from obj. */
void multi_role_read(const struct json *obj, struct multi_role *ret);

/* Whether it can work at all, beyond what the CRD's schema checks. -ERROR_INVALID. */
int multi_role_check(const struct multi_role *m, struct error **err);
