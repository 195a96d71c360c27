/* What may be created and changed: the rules that the API server asks the webhook about, and that
 * `kaito validate` applies offline. Pure: no clock, no I/O; what a rule has to look up comes from
 * the world that the caller describes, which answers from memory. Any number of threads may review
 * at the same time. */
#pragma once

#include "api/go_json.h"
#include "catalog/catalog.h"
#include "operator/settings.h"

enum admission_operation { ADMISSION_CREATE, ADMISSION_UPDATE, ADMISSION_DELETE };

enum admission_thing { ADMISSION_CSI_DRIVER, ADMISSION_STORAGE_CLASS };

/* What rules look up. What they give back is borrowed and must last as long as the arena. */
struct admission_world {
    void *ctx;
    /* The ConfigMap, or NULL when there is none. */
    const struct json *(*config_map)(void *ctx, struct arena *a, const char *ns, const char *name);
    /* An array of the Nodes that carry all of these labels; {}: all Nodes. */
    const struct json *(*nodes)(void *ctx, struct arena *a, const struct json *labels);
    /* Cluster-scoped. A world that cannot know answers true. */
    bool (*exists)(void *ctx, enum admission_thing thing, const char *name);
};

/* What all reviews share. */
struct admission {
    const struct operator_settings *settings;
    const struct catalog *catalog;
    const struct go_types *types;
    const struct admission_world *world;
};

/* As in an AdmissionReview. */
struct admission_request {
    enum admission_operation operation;
    const char *subresource;   /* NULL or "": the object itself; "status", "scale" */
    const struct json *object; /* NULL when it is deleted */
    const struct json *old;    /* NULL when it is created */
};

struct admission_fault {
    const char *field;   /* "resource.instanceType", "metadata.annotations[kaito.sh/x]" */
    const char *value;   /* what is there, as text; NULL: nothing */
    const char *message; /* what is wrong with it and the way out */
};

/* More faults than anybody reads are left out. */
#define ADMISSION_MAX_FAULTS 50
#define ADMISSION_MAX_WARNINGS 20

struct admission_verdict {
    bool allowed;
    struct admission_fault faults[ADMISSION_MAX_FAULTS];
    size_t fault_count;
    const char *warnings[ADMISSION_MAX_WARNINGS]; /* for the user; also of what is allowed */
    size_t warning_count;
};

/* Workspace (v1beta1, v1alpha1), InferenceSet (v1beta1, v1alpha1), MultiRoleInference, ModelMirror
 * and RAGEngine (v1beta1, v1alpha1); the kind is the object's own. Other kinds are refused. The
 * verdict's texts live in the arena. */
void admission_review(struct arena *a, const struct admission *ad,
                      const struct admission_request *q, struct admission_verdict *ret);

/* "validation failed: FIELD: MESSAGE", one fault a line; what the API server shows the user. NULL
 * when it is allowed. */
char *admission_denial(struct arena *a, const struct admission_verdict *v);

/* {"allowed": bool, "errors": [{"field", "value", "message"}], "warnings": […]}; the last only
 * when there are any. */
struct json *admission_verdict_json(struct arena *a, const struct admission_verdict *v);

/* The `request` of an AdmissionReview (admission.k8s.io/v1) to its `response`, without the uid:
 * {"allowed", "status": {"code": 400, "reason": "BadRequest", "message"}, "warnings"}. */
struct json *admission_respond(struct arena *a, const struct admission *ad,
                               const struct json *request);

/* A world made of objects: an array of ConfigMaps, Nodes, CSIDrivers and StorageClasses; others are
 * ignored. Fills in *ret; `objects` is borrowed. */
void admission_world_of(const struct json *objects, struct admission_world *ret);
