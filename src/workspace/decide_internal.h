/* What the files of the decision share. Nobody outside includes it. */
#pragma once

#include "catalog/sku.h"
#include "operator/nodes.h"
#include "workspace/decide.h"

/* Why inference cannot be ready; the first that is found counts. */
struct problem {
    const char *reason; /* NULL: none */
    const char *message;
    bool final; /* nothing but another specification helps */
};

struct decider {
    struct arena *a;
    const struct decide_input *in;
    const struct observed *o;
    struct decision *out;
    struct workspace ws;
    struct engine_choice choice; /* .engine NULL: none could be chosen */
    struct gpu gpu;              /* of one node; .count 0: unknown or not asked for */
    const struct sku *sku;       /* of the instance type; NULL: unknown, or nodes are brought */
    int64_t revision;            /* 0: unknown */
    int64_t target_nodes;        /* 0: unknown */
    struct nodes_result nodes;
    const struct json *own_labels; /* that its nodes carry beyond those that the user wants */
    bool resource_ready;
    enum weights_place place;
    const char *weights_source;  /* NULL: Hugging Face */
    bool streaming;              /* the weights are; of pods that run, as they were started */
    bool static_source;          /* it streams from a store of others */
    const char *stream_id;       /* model */
    const char *storage_account; /* where the mirror is */
    bool disk_full;              /* the local disks cannot take the weights */
    bool upgrading;              /* the engine image is being replaced */
    struct problem problem;
};

/* workspace_decide(), and how it came to it. */
void decide_all(struct arena *a, const struct decide_input *in, struct decision *ret,
                struct decider *ret_decider);

struct write *decider_write(struct decider *d, enum write_op op, const struct kube_resource *r,
                            const char *name, struct json *body);
void decider_event(struct decider *d, const char *type, const char *reason, const char *message);
void decider_problem(struct decider *d, bool final, const char *reason, const char *message);
/* From an error with a reason; frees it. */
void decider_problem_error(struct decider *d, bool final, struct error *err);

/* decide.c: whether the specification can work at all, and what runs it. */
void decide_engine(struct decider *d);
/* decide_revision.c: the ControllerRevision of this specification, the annotations that name it,
 * and the finalizer. */
void decide_identity(struct decider *d);
/* decide_gpu.c: GPUs of a node, and the number of nodes that the model needs. */
void decide_gpu(struct decider *d);
/* Tokens of context that its configuration asks for; 0: nothing is said. */
int64_t decide_context(const struct decider *d);
/* benchmark.c */
enum benchmark { BENCHMARK_NONE, BENCHMARK_DONE, BENCHMARK_FAILED };
enum benchmark decide_benchmark(struct decider *d, struct json *status, struct json *conditions);
/* decide_nodes.c: what is to be made to get nodes, and whether they are there. */
void decide_nodes(struct decider *d);
/* The removal of what was made to get nodes. */
void decide_nodes_removal(struct decider *d);
int64_t decide_node_memory(
    const struct decider *d); /* bytes a pod may have on the largest ready node; -1: unknown */
/* workload.c: Services and StatefulSet, or the Job of a tuning. */
void decide_workload(struct decider *d);
/* Parts of any pod: NULL when any node will do; GPU nodes keep other pods away. */
struct json *decide_node_affinity(const struct decider *d);
void decide_append_tolerations(const struct decider *d, struct json *list);
struct json *decide_owned_metadata(const struct decider *d, const char *name,
                                   struct json *annotations);
/* The specification that the pods were made from. */
struct json *decide_revision_annotation(const struct decider *d);
/* NULL is; an object of somebody else is a problem, which is said. */
bool decide_is_ours(struct decider *d, const struct json *obj, const char *kind);
bool decide_workload_ready(const struct decider *d);
bool decide_workload_current(
    const struct decider *d); /* its pods are of this specification, as far as is known */
/* decide_status.c */
void decide_status(struct decider *d);

struct json *decide_statefulset_spec(const struct decider *d);
/* rollout.c: what of a changed specification goes to a StatefulSet that is there. */
void decide_rollout(struct decider *d);

/* weights.c */
void decide_weights_place(struct decider *d);
struct json *decide_weights_claims(const struct decider *d); /* NULL when there are none */
void decide_weights_status(const struct decider *d, struct json *conditions);
/* streaming.c: the ModelMirror; where its weights are; conditions. */
void decide_mirror(struct decider *d);
void decide_stream_source(struct decider *d);
void decide_streaming_status(const struct decider *d, struct json *conditions);
/* streaming_static.c: the ConfigMap with what fetches leave to read; false: the name is taken. */
bool decide_streaming_script(struct decider *d);
/* adapters.c */
void decide_adapter_checks(struct decider *d);

/* tuning.c */
void decide_tuning_choice(struct decider *d); /* whether it can work; preset and method */
void decide_tuning(struct decider *d);        /* the Job */
enum tuning_state { TUNING_PENDING, TUNING_RUNNING, TUNING_DONE, TUNING_FAILED };
struct tuning_status {
    enum tuning_state state;
    const char *reason; /* of the condition JobStarted */
    const char *message;
};
struct tuning_status decide_tuning_status(const struct decider *d);

/* pod_failure.c: the most telling failure of the pods. false: none. */
bool pod_failure_find(struct arena *a, const struct json *pods, struct problem *ret);
