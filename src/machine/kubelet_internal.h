/* What the files kubelet*.c share. Everything belongs to the kubelet's thread, except where it is
 * said. */
#pragma once

#include "base/map.h"
#include "base/thread.h"
#include "machine/address.h"
#include "machine/container.h"
#include "machine/kubelet.h"
#include "machine/loop.h"
#include "machine/pod.h"
#include "machine/podenv.h"
#include "machine/prober.h"
#include "machine/status_writer.h"

struct pod;

/* The process of a container, and the probe attempts on it. */
struct pod_process {
    struct pod *pod;
    size_t index; /* of the container */
    struct container_process process;
    struct loop_source started; /* the shim has written that it started the container, or why not */
    struct loop_source ended;   /* the shim has gone */
    struct probe_attempt *attempts[PROBE_KIND_COUNT];
    struct pod_probe {
        struct pod_process *process;
        enum probe_kind kind;
    } probes[PROBE_KIND_COUNT];
};

struct pod {
    struct kubelet *k;
    char *ns;
    char *name;
    char *uid;
    char *dir;
    char ip[ADDRESS_SIZE]; /* "" when none */
    bool host_network;
    struct kube_object *object; /* the newest; NULL: adopted, and not in the API */
    struct container *containers;
    struct pod_process *processes; /* as many */
    size_t count;
    int64_t start_time_ns;
    bool gone;
    bool frozen;     /* it was over when we first saw it: its status is not ours to make up */
    bool dirty;      /* to be looked at */
    int64_t wake_at; /* mono */
    bool volumes_ready;
    char *volumes_error;
    unsigned volumes_failures;
    int64_t volumes_retry; /* mono */
    char *published;       /* status as last given to the writer; NULL: none */
    bool deletion_sent;
};

struct kubelet {
    struct kubelet_options o; /* strings copied into `strings` */
    struct arena *strings;
    char *pods_dir;
    struct loop *loop;
    struct address_pool *addresses;
    struct pod_sources sources;
    struct loop_source images; /* programs or the image map may have changed */
    struct map *pods;          /* uid → struct pod */
    pthread_t thread;
    bool running;
    /* under lock */
    pthread_mutex_t lock;
    struct map
        *inbox; /* keys of changed pods, "c/ns/name" and "s/ns/name" of ConfigMaps and Secrets */
    bool stopping;
    int64_t stop_grace_ms;
};

int64_t kubelet_mono(const struct kubelet *k);
int64_t kubelet_wall(const struct kubelet *k);

/* ---- kubelet_pod.c: pods and their directories ---- */
struct pod *pod_new(struct kubelet *k, struct kube_object *object);
/* From the directory of an earlier run; object NULL: the API does not know it (any more). */
struct pod *pod_adopt(struct kubelet *k, const char *uid, struct kube_object *object);
/* Its directory too, when all containers have ended. */
void pod_free(struct pod *p, bool remove_dir);
void pod_set_object(struct pod *p, struct kube_object *object);
/* The spec with the newest status. For pods that are not in the API, as much as is known. */
struct json *pod_json(struct arena *a, const struct pod *p);
void pod_context_init(struct pod_context *x, struct arena *a, const struct pod *p,
                      const struct json *pod);
/* An instance has ended: its state becomes the container's end. */
void pod_take_end(struct arena *a, struct pod *p, size_t index, const struct container_state *s);
/* The machine is about to end the container in this directory. */
void pod_mark_stopped(struct arena *a, const char *dir);
const char *pod_container_dir(struct arena *a, const struct pod *p, size_t index, unsigned attempt);
const struct json *pod_container_spec(const struct json *pod, const struct container *c);

/* ---- kubelet_start.c: starting and watching containers ---- */
void pod_start_container(struct pod *p, struct arena *a, struct json *pod, size_t index);
void pod_watch_process(struct pod *p, size_t index);
/* The shim of a container has gone: takes its end in. */
void pod_collect_process(struct pod *p, size_t index);
void pod_start_probe(struct pod *p, struct arena *a, const struct json *pod, size_t index,
                     enum probe_kind kind);
void pod_cancel_probes(struct pod *p, size_t index);
void pod_refresh_volumes(struct pod *p, struct arena *a, const struct json *pod);

/* ---- kubelet.c ---- */
void pod_mark(struct pod *p); /* look at it again before the next wait */
