/* What housekeeper.c (queue and index), collector.c (owner references) and cleanup.c (namespaces,
 * CRDs, events) share. All of it runs on the housekeeper's thread, the queue aside. */
#pragma once

#include "apiserver/server.h"
#include "base/map.h"

/* Names an object: "resource\nns\nname". */
#define OBJECT_KEY_MAX 1024

struct owner_ref {
    const char *group, *kind, *name, *uid;
    bool blocks; /* blockOwnerDeletion */
};

/* An object that has owners. */
struct dependent {
    struct arena *a;
    const char *resource, *ns, *name;
    struct owner_ref *owners;
    size_t owner_count;
};

struct housekeeper {
    struct apiserver *server;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct map *dirty; /* keys of objects to look at */
    struct map *gone;  /* uids that are no more */
    atomic_bool stopping;
    pthread_t thread;
    bool thread_runs;
    struct store_watch *watch;

    struct map *dependents; /* key → struct dependent */
    struct map *by_owner;   /* uid → struct map, a set of keys */
    struct map *later;      /* keys whose work has failed */
};

void housekeeper_key(char out[OBJECT_KEY_MAX], const char *resource, const char *ns,
                     const char *name);
void housekeeper_add(struct housekeeper *h, const char *resource, const char *ns, const char *name);
/* Tries again in a moment. */
void housekeeper_retry(struct housekeeper *h, const char *resource, const char *ns,
                       const char *name);
/* The keys of what this uid owns; may be NULL. */
struct map *housekeeper_owned_by(struct housekeeper *h, const char *uid);
struct dependent *housekeeper_dependent(struct housekeeper *h, const char *key);

/* ---- collector.c */
void collector_look_at(struct housekeeper *h, const char *resource, const struct kube_object *o);
/* ---- cleanup.c */
void cleanup_namespace(struct housekeeper *h, const struct kube_object *ns);
void cleanup_crd(struct housekeeper *h, const struct kube_object *crd);
void cleanup_events(struct housekeeper *h);
