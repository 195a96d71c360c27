/* An InferenceSet (kaito.sh/v1beta1) decoded, and the words of its API. Pure. */
#pragma once

#include "api/go_json.h"
#include "api/workspace.h"

#define INFERENCE_SET_FINALIZER "inferenceset.finalizer.kaito.sh"
#define INFERENCE_SET_HASH "inferenceset.kaito.io/hash" /* annotations */
#define INFERENCE_SET_REVISION "inferenceset.kaito.io/revision"
#define INFERENCE_SET_REVISION_NAME "inferenceset.kaito.io/name" /* label of ControllerRevisions   \
                                                                  */
#define WORKSPACE_UPGRADE_TO "kaito.sh/upgrade-to-version"       /* label of Workspaces */
#define WORKSPACE_UPGRADE_START "kaito.sh/upgrade-start-time"    /* annotation of Workspaces */

/* The names of its Workspaces are its own, a dash and five characters. */
#define INFERENCE_SET_SUFFIX 5
#define INFERENCE_SET_NAME_MAX (WORKSPACE_NAME_MAX - INFERENCE_SET_SUFFIX - 1)

struct inference_set {
    const struct json *json;
    const struct json *spec;
    const char *name;
    const char *ns;
    const char *uid;
    int64_t generation;
    bool deleting;

    int64_t replicas;   /* 1 when unset */
    int64_t node_limit; /* nodeCountLimit; 0: none */
    const struct json *selector;
    const struct json *labels; /* of the template, as the following; NULL when unset */
    const struct json *annotations;
    const struct json *resource;
    const struct json *inference;
    const char *runtime; /* the template's annotation, else the set's own; "" when unset */
    bool no_benchmark;   /* the same for kaito.sh/disable-benchmark */
    bool of_multi_role;  /* it belongs to a MultiRoleInference */

    bool upgrades;        /* autoUpgrade.enabled */
    bool surges;          /* its strategy is Surge */
    const char *schedule; /* of the maintenance window; NULL: there is none, always open */
    const char *duration;
};

/* Borrows from obj; what is made anew lives in the arena. */
void inference_set_read(struct arena *a, const struct json *obj, struct inference_set *ret);

/* Whether it can work at all, beyond what the CRD's schema checks. -ERROR_INVALID with a text that
 * names the field and the way out. */
int inference_set_check(const struct inference_set *set, struct error **err);

/* How many of its Workspaces may be unavailable while a change is carried to them: maxUnavailable,
 * a number or a share of the replicas (rounded down), at least one. */
int64_t inference_set_max_unavailable(const struct inference_set *set);

/* hex(SHA-256) of the specification as Go writes it, and the specification in that form.
 * -ERROR_INVALID with the field's path when a value is not of its type. */
int inference_set_identify(struct arena *a, const struct go_types *types,
                           const struct inference_set *set, const char **ret_hash,
                           struct json **ret_spec, struct error **err);
