/* The kubelet: runs the pods that are bound to this node.
 *
 * One thread owns all pods. It is woken by changes of objects (from the informers' threads, by
 * key), by containers that start or end (their shims' descriptors), by probes, and by time; then it
 * asks pod_decide() (pod.h) what to do for the pods concerned, and does it. Statuses and deletions
 * are written by status_writer.h, so that this thread never waits for a disk.
 *
 *     DATA_DIR/pods/UID/
 *         pod.json                     name, namespace, address: known before the API is asked
 *         volumes/NAME/
 *         containers/NAME/ATTEMPT/     shim/shim.h */
#pragma once

#include "base/clock.h"
#include "kube/events.h"
#include "kube/informer.h"
#include "machine/images.h"
#include "machine/status_writer.h"
#include "machine/trash.h"

struct kubelet;

struct kubelet_options {
    struct kube_client *client;  /* ConfigMaps and Secrets are read with it */
    struct informer *pods;       /* not started yet; a handler is added */
    struct informer *configmaps; /* only their names are looked at */
    struct informer *secrets;
    struct images *images;
    struct event_recorder *events;
    struct status_writer *writer;
    struct trash *trash;
    struct clock *clock;
    const char *data_dir;
    const char *shim_path;
    const char *node_name;
    const char *host_ip;
    const char *pod_cidr;
    const char *models_dir;
    int64_t cpu_milli; /* allocatable */
    int64_t memory_bytes;
};

int kubelet_new(const struct kubelet_options *options, struct kubelet **ret, struct error **err);
/* After the informers are synced: adopts what an earlier run left, ends what has no pod any more,
 * starts the thread. */
int kubelet_start(struct kubelet *k, struct error **err);
/* Ends all containers, without a word to the API: SIGTERM, the pod's grace but at most
 * stop_grace_ms, SIGKILL. The next start runs the pods anew. Joins. */
void kubelet_stop(struct kubelet *k, int64_t stop_grace_ms);
void kubelet_free(struct kubelet *k);
