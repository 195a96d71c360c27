/* Where the nodes of a Workspace or RAGEngine come from. There is one back end per
 * --node-provisioner; callers fill in a request, hand over what was observed (nodes_cache.h), and
 * never ask which back end it is:
 *
 *     nodes_azure.c       one NodeClaim per node, for an installed gpu-provisioner
 *     nodes_karpenter.c   one NodePool per owner, for an installed Karpenter
 *     nodes_byo.c         nothing is made: the user brings nodes that carry his labels
 *
 * Pure. */
#pragma once

#include "kube/meta.h"
#include "operator/decision.h"
#include "operator/settings.h"

/* What differs between the kinds of owners. */
struct nodes_words {
    const char *name_label, *ns_label;           /* of NodeClaims and their nodes */
    const char *pool_name_label, *pool_ns_label; /* of NodePools and their nodes */
    const char *claim_prefix;                    /* of the names of NodeClaims: two letters */
    const char *component;                       /* of events about NodeClaims */
    const char *ready_reason, *ready_message, *not_ready_reason; /* of ResourceReady */
};
extern const struct nodes_words NODES_OF_WORKSPACES;

struct nodes_request {
    const struct nodes_words *words;
    const char *ns, *name, *uid; /* of the owner */
    const struct json *labels;   /* that the user wants on the nodes, without reserved keys */
    const char *instance_type;   /* "" when unset */
    bool gpus;                   /* its machines have NVIDIA GPUs: nodes must offer them to pods */
    int64_t count;               /* nodes wanted; 0: not known yet */
    const char *hold;            /* why nothing may be made now; NULL: make what is missing */
    const char *disk;            /* quantity; NULL: 1Ti */
    const char *image_family;    /* annotations of the owner; NULL when unset */
    const char *node_class;
    const char *set_name; /* the InferenceSet it belongs to; NULL: none */
};

/* What is there. Arrays are sorted by name and never NULL. */
struct nodes_facts {
    const struct json *nodes;         /* those that count for the owner, ready or not */
    const struct json *claims;        /* NodeClaims of the owner */
    const struct json *legacy_nodes;  /* Karpenter: the nodes and NodeClaims that the other back */
    const struct json *legacy_claims; /* end made for the owner earlier */
    const struct json *pool;          /* the NodePool of its name, whosever it is; NULL: none */
    const struct json *node_class;    /* the one that nodes_class_name() names; NULL: none */
    const struct json *pending;       /* names of what was made and is not seen yet */
    bool claims_served, pools_served, classes_served; /* the server knows the kind */
    const char *only_node; /* the name, where there is exactly one node and it does not count */
};

struct nodes_result {
    bool ready;
    const struct json *nodes_counted; /* ready or not */
    struct condition claims;          /* .type NULL: this back end has none */
    struct condition nodes, resource;
};

struct nodes_input {
    const struct operator_settings *settings;
    const struct nodes_request *request;
    const struct nodes_facts *facts;
};

struct nodes_backend {
    const char *name;
    bool provisions; /* machines are asked for by instance type */
    struct json *(*selector)(struct arena *a, const struct nodes_input *in);
    void (*decide)(struct arena *a, const struct nodes_input *in, struct decision *out,
                   struct nodes_result *ret);
    void (*remove)(struct arena *a, const struct nodes_input *in, struct decision *out);
};

const struct nodes_backend *nodes_backend(const struct operator_settings *settings);

/* Labels that the nodes of the owner carry beyond those that the user wants: pods must ask for
 * them, or they would run on nodes that another one pays for. An object, maybe empty. */
struct json *nodes_selector(struct arena *a, const struct nodes_input *in);
/* Appends what is to be made, and says how things stand. */
void nodes_decide(struct arena *a, const struct nodes_input *in, struct decision *out,
                  struct nodes_result *ret);
/* The owner goes: appends the removal of what was made for it. */
void nodes_remove(struct arena *a, const struct nodes_input *in, struct decision *out);

/* The NodePool of an owner: "NAMESPACE-NAME", shortened with a hash. */
char *nodes_pool_name(struct arena *a, const char *ns, const char *name);
/* The class that its nodes are made of: the annotation's, else the default one; NULL when there is
 * none. */
const char *nodes_class_name(const struct operator_settings *settings, const char *annotation);
/* Reads settings->node_class_*. Borrows from them. */
struct kube_resource nodes_class_resource(const struct operator_settings *settings);

bool nodes_node_ready(const struct json *node);
/* It carries the label of another owner. */
bool nodes_node_is_foreign(const struct nodes_words *words, const struct json *node, const char *ns,
                           const char *name);
