/* What the back ends share. Nobody else includes it. */
#pragma once

#include "operator/nodes.h"

#define NODEPOOL_LABEL "karpenter.sh/nodepool"
#define INSTANCE_TYPE_LABEL "node.kubernetes.io/instance-type"

extern const struct nodes_backend nodes_azure, nodes_karpenter, nodes_byo;

/* Nodes that can take the owner's pods. */
struct nodes_count {
    int64_t ready;         /* of the instance type that is asked for */
    int64_t covering;      /* of these: not made by a provisioner for the owner */
    int64_t with_plugin;   /* of these: offer GPUs */
    const char *obstacle;  /* why the first one that does not count does not; NULL: none */
    const char *no_plugin; /* the first ready one without GPUs */
};
void nodes_count(struct arena *a, const struct nodes_request *q, const struct json *nodes,
                 struct nodes_count *ret);
/* Not being deleted. */
int64_t nodes_live(const struct json *claims);
int64_t nodes_ready_claims(const struct json *claims);
/* NodeClaimReady: False, with the first real fault among the claims, else the reason given. */
struct condition nodes_claims_missing(struct arena *a, const struct json *claims, int64_t ready,
                                      int64_t wanted, const char *why);
struct condition nodes_claims_there(void);
/* NodesReady, for back ends that ask for instance types. `suffix` follows a good message. */
struct condition nodes_condition(struct arena *a, const struct nodes_request *q,
                                 const struct nodes_count *n, const char *suffix);
/* The label that GPU nodes have on Azure, on those that lack it. */
void nodes_label_gpus(struct arena *a, const struct nodes_request *q, const struct json *nodes,
                      struct decision *out);
/* Notes pressure on nodes, and sums up in ResourceReady. ret->claims and ret->nodes are set. */
void nodes_finish(struct arena *a, const struct nodes_request *q, const struct json *nodes,
                  struct nodes_result *ret);
struct json *nodes_labels(struct arena *a, const char *name_label, const char *name,
                          const char *ns_label, const char *ns);
/* Deletes the objects that are not being deleted. */
void nodes_delete_all(struct arena *a, const struct kube_resource *r, const struct json *objects,
                      struct decision *out);
