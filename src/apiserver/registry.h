/* The kinds that are served now: the built-in ones, and those of established
 * CustomResourceDefinitions.
 *
 * A registry is an immutable snapshot. Whoever needs kinds for longer than a call takes a
 * reference; a change of a CustomResourceDefinition makes a new snapshot, which shares the compiled
 * kinds of all others. */
#pragma once

#include "apiserver/strategy.h"

struct apiserver;
struct kube_object;

struct served_kind {
    const struct api_kind *k;
    const char *resource;    /* its name in the store: "apps/statefulsets" */
    const char *api_version; /* "apps/v1" */
    const char *head;        /* how the stored text of an object of this version begins:
                                `{"kind":…,"apiVersion":…,` */
    size_t head_len;
    bool served; /* else only stored objects are of this version */
    /* CRDs */
    bool storage; /* the version in which objects are stored */
    bool deprecated;
    const char *deprecation; /* the warning; NULL: none */
    uint64_t schema_since;   /* objects written before this version may not have been through this
                                schema */
    const struct served_kind *storage_kind; /* NULL for built-in kinds */
    struct kind_pack *pack;                 /* what was compiled with it */
    bool terminating;                       /* the CRD is being deleted: nothing new is created */
};

struct registry;

/* The first snapshot: built-in kinds only. */
struct registry *registry_new(void);
struct registry *registry_ref(struct registry *r);
void registry_unref(struct registry *r);
DEFINE_CLEANUP(struct registry *, registry_unref, registry_cleanup)

/* A new snapshot with the kinds of these CRD objects (those that are established), reusing what
 * `old` has compiled. A CRD that cannot be compiled (its check at creation was another program's)
 * is left out; its name goes to the log. */
struct registry *registry_with_crds(struct registry *old, struct kube_object *const *crds,
                                    size_t n);

const struct served_kind *registry_find(const struct registry *r, const char *group,
                                        const char *version, const char *plural);
/* By kind; any version of the group when version is NULL. */
const struct served_kind *registry_find_kind(const struct registry *r, const char *group,
                                             const char *version, const char *kind);
/* Any version of a store resource; the storage version for CRDs. */
const struct served_kind *registry_find_resource(const struct registry *r, const char *resource);

size_t registry_count(const struct registry *r);
const struct served_kind *registry_at(
    const struct registry *r, size_t i); /* sorted by group, then preferred version, plural */
/* A group with built-in kinds. */
bool registry_is_builtin_group(const struct registry *r, const char *group);
/* Changes whenever the kinds do: the ETag of discovery documents. */
uint64_t registry_generation(const struct registry *r);

/* The CRD of this kind was changed or deleted since: its watches end. */
bool served_kind_retired(const struct served_kind *sk);
