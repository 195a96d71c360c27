/* StatefulSets: as many pods as they ask for, with names that stay, in the version that they ask
 * for. The decision is a function of what was observed (statefulset_decide.c), so it can be tested
 * as one; statefulset.c observes and applies. The rules are those of Kubernetes' controller: pods
 * by ordinal, OrderedReady or Parallel, rolling updates from the highest ordinal down to the
 * partition, versions kept as ControllerRevisions. */
#pragma once

#include "kube/controller.h"
#include "kube/events.h"

struct statefulset_view {
    const struct json *set;
    const struct json *pods;      /* array: those that it controls, newest state */
    const struct json *revisions; /* array: ControllerRevisions that it controls */
    int64_t now_wall;
    bool volumes; /* somebody binds claims: those of volumeClaimTemplates are made */
};

struct statefulset_plan {
    struct json *create_revision; /* NULL: it is there */
    struct json
        *bump_revision; /* an older one that is the newest again, with its new number; NULL: none */
    struct json *delete_revisions; /* names beyond the history limit */
    struct json *create_claims;    /* array of PersistentVolumeClaims; before the pods */
    struct json *create_pods;      /* array of pods */
    struct json *delete_pods;      /* array of {name, uid} */
    struct json *status;           /* the whole status */
    const char *unsupported;       /* why no pods are made; NULL: they are */
    int64_t requeue_after_ms;      /* 0: only when something changes */
};

void statefulset_decide(struct arena *a, const struct statefulset_view *v,
                        struct statefulset_plan *ret);

/* "NAME-HASH" of a template, and the data that a ControllerRevision keeps of it. */
struct json *statefulset_revision(struct arena *a, const struct json *set, int64_t number,
                                  int64_t collisions);

/* All informers belong to the manager. */
struct statefulset_sources {
    struct kube_client *client;
    struct informer *sets;
    struct informer *pods;
    struct informer *revisions;
    struct event_recorder *events;
    struct clock *clock;
    bool volumes; /* see statefulset_view */
};
struct statefulsets;
struct statefulsets *statefulsets_new(const struct statefulset_sources *sources,
                                      struct controller **ret_controller);
void statefulsets_free(struct statefulsets *s);
