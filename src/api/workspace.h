/* A Workspace (kaito.sh/v1beta1) decoded, and the words of its API. Pure. */
#pragma once

#include "json/json.h"

#define WORKSPACE_FINALIZER "workspace.finalizer.kaito.sh"
#define WORKSPACE_HASH "workspace.kaito.io/hash" /* annotations */
#define WORKSPACE_REVISION "workspace.kaito.io/revision"
#define WORKSPACE_REVISION_NAME "workspace.kaito.io/name" /* label of ControllerRevisions */
#define WORKSPACE_CONFIG_HASH                                                                      \
    "kaito.sh/config-hash" /* of StatefulSets, ours: of the configuration that was there last */
#define WORKSPACE_LABEL "kaito.sh/workspace" /* label of pods, selector */
#define WORKSPACE_RUNTIME "kaito.sh/runtime" /* annotations */
#define WORKSPACE_LOAD_BALANCER "kaito.sh/enablelb"
#define WORKSPACE_DISABLE_BENCHMARK "kaito.sh/disable-benchmark"
#define WORKSPACE_PERFORMANCE_MODE "kaito.sh/performance-mode"
#define WORKSPACE_STREAMING "kaito.sh/model-streaming"
#define WORKSPACE_MIRROR_CLASS "kaito.sh/model-mirror-storage-class"
#define WORKSPACE_STREAMING_ACCOUNT "kaito.sh/streaming-service-account"
#define WORKSPACE_STATIC_MIRROR "inference.kaito.sh/static-model-mirror"
#define WORKSPACE_STREAM_URL "inference.kaito.sh/stream-datarefs-url"
#define WORKSPACE_STREAM_CLIENT "inference.kaito.sh/stream-identity-client-id"
#define WORKSPACE_STREAM_SOURCE "inference.kaito.sh/stream-source-type"
#define WORKSPACE_LOCAL_WEIGHTS "kaito.sh/use-local-weights"
#define WORKSPACE_IMAGE_FAMILY "kaito.sh/node-image-family"
#define WORKSPACE_NODE_CLASS "kaito.sh/node-class-name"
#define WORKSPACE_NODE_COUNT "kaito.sh/node-count"              /* ours: instead of the estimate */
#define WORKSPACE_CREATED_BY "inferenceset.kaito.sh/created-by" /* labels */
#define WORKSPACE_MRI_CREATED_BY "multiroleinference.kaito.sh/created-by"
#define WORKSPACE_ROLE "kaito.sh/inference-role"
#define WORKSPACE_UPGRADE "kaito.sh/upgrade-to-version"

/* Longest name that works: the controller-revision-hash label of its pods is the name, a dash and
 * ten characters. */
#define WORKSPACE_NAME_MAX 52

struct workspace {
    const struct json *json;
    const char *name;
    const char *ns;
    const char *uid;
    int64_t generation;
    bool deleting;

    int64_t count;                /* resource.count, 1 when unset */
    const char *instance_type;    /* "" when unset */
    const struct json *partition; /* NULL when unset */
    struct json *node_labels; /* what its nodes must carry: matchLabels without reserved keys, and
                                 expressions that       ask for one value of one label; an object,
                                 maybe empty */
    size_t reserved_labels;   /* how many keys were left out because KAITO uses them itself */

    const struct json *inference; /* NULL when unset, as the following */
    const struct json *tuning;
    const struct json *preset; /* of inference or tuning, as preset_name and config */
    const struct json *template;
    const struct json *adapters;
    const char *preset_name;   /* "" when unset, as the following */
    const char *config;        /* name of a ConfigMap */
    const char *access_secret; /* name of a Secret with the key HF_TOKEN */
    const char *runtime;       /* the annotation */
    const char *created_by;    /* the InferenceSet it belongs to */
};

/* Borrows from obj; what is made anew lives in the arena. */
void workspace_read(struct arena *a, const struct json *obj, struct workspace *ret);

/* Whether it can work at all, beyond what the CRD's schema checks. -ERROR_INVALID or
 * -ERROR_UNSUPPORTED, with a reason for conditions (error_reason()) and a text that names the field
 * and the way out. */
int workspace_check(const struct workspace *ws, struct error **err);

/* A label that KAITO puts on nodes itself: a selector cannot ask for it. */
bool workspace_label_reserved(const char *key);

/* The name that clients ask for: of the InferenceSet that it belongs to, else of the model. */
const char *workspace_served_name(const struct workspace *ws, const char *model);

enum load_balancer { LOAD_BALANCER_NO, LOAD_BALANCER_YES, LOAD_BALANCER_UNCLEAR };
/* The annotation kaito.sh/enablelb: true, 1, yes in any case; false, 0, no or absent; anything else
 * is unclear. */
enum load_balancer workspace_load_balancer(const struct workspace *ws);
