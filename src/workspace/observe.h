/* Everything a reconcile of one Workspace needs to know, read once. Values live in the arena of the
 * reconcile. */
#pragma once

#include "api/workspace.h"
#include "catalog/catalog.h"
#include "models/store.h"
#include "operator/nodes_cache.h"
#include "workspace/workspace.h"

/* Of disks of the nodes themselves: its name is part of KAITO's charts. */
#define LOCAL_DISK_CLASS "kaito-local-nvme-disk"

/* Whether the pods of a StatefulSet measure themselves while they start. */
bool benchmark_expected(const struct json *statefulset);
/* Its pods are being replaced: those that are ready may be the old ones. */
bool benchmark_premature(const struct json *statefulset);

enum weights_state {
    WEIGHTS_NOT_NEEDED, /* there is no model store, or the preset's weights are not in one */
    WEIGHTS_PRESENT,
    WEIGHTS_MISSING,
    WEIGHTS_INVALID, /* truncated, no GGUF, unreadable */
};

struct observed_weights {
    enum weights_state state;
    const char *message; /* of missing and invalid ones: what is wrong and what to do */
    uint64_t weight_bytes;
    uint64_t cache_bytes; /* of the smallest context that makes sense */
};

/* A model that the catalogue does not have, as the hub knows it. */
struct observed_hub {
    const struct preset *preset; /* NULL: not asked, or no answer that helps */
    const char *reason;          /* why there is no preset; NULL: not asked */
    const char *message;
    int64_t again_ms; /* when it may be otherwise; 0: not before the Workspace changes */
};

/* Only where weights are to be streamed; each NULL when absent. */
struct observed_streaming {
    const struct json *mirror; /* ModelMirror */
    const struct json *storage_class;
    const struct json *service_account; /* looked at before there are pods, as the following */
    const char *volume_handle;          /* of the volume that the mirror's claim is bound to */
    const struct json *script;          /* ConfigMap, of those that stream from a store of others */
};

struct observed {
    const struct json *workspace;
    const struct json *statefulset; /* NULL when absent, as the following */
    const struct json *service;     /* NAME */
    const struct json *headless;    /* NAME-headless */
    const struct json *deployment;  /* NAME, asked for only while there is no StatefulSet: what very
                                       old versions ran */
    const struct json *config_map;  /* the one that inference.config or tuning.config names, or the
                                       copy of a tuning's default one */
    const struct json *config_template; /* what that copy is made from */
    const struct json *job;
    struct observed_streaming streaming;
    bool local_disk_class;              /* there is a StorageClass LOCAL_DISK_CLASS */
    const struct json *disk_capacities; /* CSIStorageCapacities, asked for only before a
                                           StatefulSet with such a disk is made; NULL */
    const struct json *revisions;       /* array: ControllerRevisions of the Workspace */
    const struct json *pods;            /* array: pods with its label */
    struct nodes_facts nodes;           /* nodes that it can use, and what was made to get them */
    struct observed_weights weights;
    struct observed_hub hub;
    const char
        *benchmark_log; /* end of the log of pod 0, read while a benchmark's result is awaited */
    const char *benchmark_error; /* why it could not be read */
};

/* The caches that observe() reads. */
struct workspace_caches {
    struct informer *workspaces, *statefulsets, *services, *revisions, *pods, *config_maps, *jobs,
        *storage_classes;
    struct informer *mirrors; /* NULL without the gate */
    struct nodes_cache *nodes;
};

/* Set in *ret_state by workspace_observe(). */
enum observe_state {
    OBSERVED,
    OBSERVE_ABSENT,   /* there is no such Workspace */
    OBSERVE_TOO_SOON, /* the nodes that it asks for are not in the cache yet: a moment later */
};

/* What it asks of nodes by its specification alone: no count, no disk. */
struct nodes_request workspace_nodes_request(const struct workspace *ws);

/* Drop what no reconcile reads, for informers. */
void observe_project_workload(struct arena *a, struct json *obj); /* StatefulSets, Services */
void observe_project_job(struct arena *a, struct json *obj);
void observe_project_storage_class(struct arena *a, struct json *obj);
void observe_project_revision(struct arena *a, struct json *obj);
void observe_project_pod(struct arena *a, struct json *obj);
void observe_project_config_map(struct arena *a, struct json *obj);

/* *ret is untouched unless *ret_state says OBSERVED. Errors: the API server did not answer. */
int workspace_observe(struct arena *a, const struct workspace_caches *caches, struct kube_client *c,
                      const struct operator_settings *settings, const struct catalog *catalog,
                      const char *ns, const char *name, struct observed *ret,
                      enum observe_state *ret_state, struct error **err);
