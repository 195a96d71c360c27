/* One machine as one node: what kube-controller-manager, scheduler, kubelet and kube-proxy do for
 * KAITO's objects, with local processes in the place of containers.
 *
 *   statefulset.c   StatefulSet → Pods, ControllerRevisions, status            (controller:
 * observe, decide, apply) endpoints.c     Service + Pods → Endpoints (controller) scheduler.c
 * unscheduled Pods → this node, or the reason why not        (controller) kubelet.c       Pods of
 * this node → containers; status back                (one thread; pods as state machines, pure
 * step) container.c     a container as a process under kaito-shim; adoption after a crash probe.c
 * startup, liveness, readiness (http, tcp, exec) volumes.c env.c ConfigMap, Secret, emptyDir,
 * hostPath, downward API; environment images.c        image name → local executable, by data
 *   address.c       an address in 127.0.0.0/8 for each pod and each Service
 *   proxy.c         TCP: ClusterIP:port → ready endpoints                      (one epoll thread)
 *   node.c          the Node object with true capacity; its Lease
 *
 * Talks to the API server by kube/ only. */
#pragma once

#include "apiserver/apiserver.h"
#include "kube/controller.h"

struct machine;

struct machine_options {
    struct kube_client *client; /* borrowed */
    struct clock *clock;
    const char *data_dir;  /* pods/, logs/ and images.json live below */
    const char *node_name; /* NULL: what the host was called at the first start */
    const char *shim_path; /* of the kaito-shim executable */
    const char
        *engine_path; /* directories searched first for executables of images, ":"-separated */
    const char *images_file; /* a user's image map; NULL: DATA_DIR/images.json if it is there */
    const char *models_dir;  /* made known to containers as the host path of the model store */
    const char *pod_cidr;    /* "127.97.0.0/16" */
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
