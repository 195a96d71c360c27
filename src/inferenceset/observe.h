/* Everything a reconcile of one InferenceSet needs to know, read once. Values live in the arena of
 * the reconcile. */
#pragma once

#include "inferenceset/pool.h"

struct set_observed {
    const struct json *set;
    const struct json *children;     /* array: Workspaces with its label that are its own or
                                        nobody's, sorted by name */
    const struct json *detached;     /* array: names of its own that lost the label; they count no
                                        more, but their names are taken */
    const struct json *statefulsets; /* object: name of a child → its StatefulSet */
    const struct json *revisions;    /* array: its ControllerRevisions */
    struct pool_observed pool;       /* with the gate only */
};

struct set_caches {
    struct informer *sets, *workspaces, *statefulsets, *revisions;
    struct pool_caches pool; /* NULLs without the gate */
};

/* Drop what no reconcile reads, for informers. */
/* Workspaces of sets: those with the label, and those that had it. */
bool set_keep_workspace(void *ctx, const struct json *obj);
void set_project_workspace(struct arena *a, struct json *obj);
void set_project_statefulset(struct arena *a, struct json *obj);

/* false: there is no such InferenceSet. */
bool set_observe(struct arena *a, const struct set_caches *caches, const char *ns, const char *name,
                 struct set_observed *ret);
