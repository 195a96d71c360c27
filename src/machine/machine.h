/* One machine as one node: what kube-controller-manager, scheduler, kubelet and kube-proxy do for
 * KAITO's objects, with local processes in the place of containers.
 *
 * Controllers (observe, decide, apply; the decisions are pure):
 *
 *     statefulset_decide.c, statefulset.c   StatefulSet to Pods, ControllerRevisions and status
 *     endpoints.c                           Service and Pods to Endpoints
 *     scheduler_fit.c, scheduler.c          Pods to this node, or the reason why not
 *
 * The kubelet, on one thread:
 *
 *     pod.c, pod_status.c, container_state.c   its decisions and the status: pure
 *     kubelet.c, kubelet_pod.c, kubelet_start.c   what wakes it, and what it does
 *     container.c    a container as a process under kaito-shim; adoption after a crash
 *     prober.c       probe attempts: HTTP, TCP, programs
 *     env.c, podfield.c, volumes.c   environment, ConfigMaps, Secrets, the downward API, volumes
 *     images.c       image names to local programs, by data
 *     address.c      a loopback address for each pod
 *     status_writer.c, trash.c   writing statuses and removing directories, on workers
 *
 * And:
 *
 *     proxy.c, proxy_connection.c   TCP from ClusterIPs to ready endpoints, on one thread
 *     node.c         the Node with what the machine really has; its Lease
 *     logs.c, log_read.c   pods/NAME/log
 *
 * Talks to the API server by kube/ only. */
#pragma once

#include "apiserver/apiserver.h"
#include "kube/controller.h"

struct machine;

struct machine_options {
    struct kube_client *client; /* borrowed */
    struct clock *clock;        /* NULL: system */
    const char *data_dir;       /* pods/, images.json and node-name live below */
    const char *node_name;      /* NULL: what the host was called at the first start */
    const char *shim_path;      /* of the kaito-shim executable */
    const char *engine_path;    /* where programs of images are looked for first, ":"-separated */
    const char *images_file;    /* a user's image map; NULL: DATA_DIR/images.json if it is there */
    const char *models_dir;     /* of the model store: $KAITO_MODELS_DIR in containers */
    const char *pod_cidr;       /* NULL: "127.97.0.0/16" */
};

int machine_new(const struct machine_options *options, struct machine **ret, struct error **err);
/* Makes the Node, adopts or ends what an earlier run left behind, starts all threads. */
int machine_start(struct machine *m, struct error **err);
/* Ends every process (SIGTERM, grace, SIGKILL; grace at most stop_grace_ms) without deleting Pods:
 * the next start runs them again. Joins all threads. */
void machine_stop(struct machine *m, int64_t stop_grace_ms);
void machine_free(struct machine *m);

/* For apiserver_options.pod_logs: fill in before machine_new, bind after. */
struct machine_logs;
struct machine_logs *machine_logs_new(const char *data_dir);
struct apiserver_pod_logs *machine_logs_handler(struct machine_logs *l);
void machine_logs_bind(struct machine_logs *l, struct machine *m);
void machine_logs_free(struct machine_logs *l);
