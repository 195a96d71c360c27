/* What the files of the decision share. Nobody outside includes it. */
#pragma once

#include "api/inference_set.h"
#include "inferenceset/decide.h"

struct child {
    const struct json *json;
    const struct json *statefulset; /* NULL: none yet */
    const char *name;
    const char *uid;
    bool deleting;
    bool orphan;   /* carries the label, belongs to nobody */
    bool ready;    /* it says so */
    bool settled;  /* ready, of its present specification, with all its pods */
    bool old;      /* its pods have another base image than this operator's */
    bool outdated; /* the template changed since, in what can be changed in place … */
    bool replaced; /* … or only by another Workspace */
    bool removed;  /* by this decision */
    bool touched;  /* changed by this decision */
    int64_t nodes; /* status.targetNodeCount, 0: unknown */
};

/* Events and words about what does not move on. */
#define MAX_WORDS 512

struct set_decider {
    struct arena *a;
    const struct set_input *in;
    const struct set_observed *o;
    struct decision *out;
    struct inference_set set;
    struct child *children;
    size_t count;
    const char *problem; /* nothing can be made of this specification: why */
    bool rolls_out;      /* the template's changes are carried to children */
    size_t drifted;      /* with an older base image */
    int64_t allowed;     /* replicas that there may be by nodeCountLimit; INT64_MAX: any number */
    const char *limited; /* what the limit keeps from being done; NULL: nothing */
    const char *pool;    /* why the inference pool is not ready; NULL: it is, or none is wanted */
    const char *stalled; /* why a base image upgrade does not go on; NULL: it does, or is none */
};

/* Live: not deleting, not removed by this decision. */
bool child_live(const struct child *c);
size_t set_live(const struct set_decider *d);
size_t set_ready(const struct set_decider *d);
void set_remove(struct set_decider *d, struct child *c);
void set_create(struct set_decider *d, size_t count);
/* The inference and resource that children should have. */
struct json *set_child_resource(struct set_decider *d);

/* decide_identity.c: ControllerRevision, annotations, finalizer; whether changes are rolled out. */
void set_decide_identity(struct set_decider *d);
/* decide_scale.c */
void set_decide_limit(struct set_decider *d);
void set_decide_scale(struct set_decider *d);
/* decide_rollout.c: labels and annotations, adoption, changes of the template. */
void set_find_outdated(struct set_decider *d);
void set_decide_metadata(struct set_decider *d);
void set_decide_rollout(struct set_decider *d);
/* decide_upgrade.c */
void set_find_drifted(struct set_decider *d);
void set_decide_upgrade(struct set_decider *d);
/* decide_status.c */
void set_decide_status(struct set_decider *d);
