/* The Node object of this machine, with what it really has, and the Lease that says it lives. */
#pragma once

#include "base/clock.h"
#include "kube/client.h"

struct node_facts {
    int64_t cpus;
    int64_t memory_bytes;
    int64_t disk_bytes; /* of the file system of the data directory */
    int64_t disk_free_bytes;
    int64_t gpus;           /* NVIDIA */
    const char *gpu_model;  /* "NVIDIA-A100-SXM4-80GB"; NULL: no GPU */
    int64_t gpu_memory_mib; /* of one; 0: unknown */
    const char *machine_id;
    const char *boot_id;
    const char *system_uuid;
    const char *os_image;
    const char *kernel;
    const char *architecture; /* "amd64" */
};

/* Reads /proc and so on below `root` ("" for the real one). */
void node_facts_read(struct arena *a, const char *root, const char *data_dir,
                     struct node_facts *ret);
/* This host's name as a Node's: lower case, other characters become "-". */
char *node_default_name(struct arena *a);
/* The name that it had when the data directory was first used, kept in DATA_DIR/node-name: pods are
 * bound to a name, and hosts change theirs. */
char *node_lasting_name(struct arena *a, const char *data_dir);

/* The Node to be, given what is there now (NULL: nothing). Labels and taints that others have put
 * on it stay. Pure. */
struct json *node_decide(struct arena *a, const char *name, const struct node_facts *f,
                         const struct json *current, int64_t now_wall_ns);

/* Creates or brings up to date the Node; spec and metadata first, then status. Blocks. */
int node_register(struct kube_client *c, const char *name, const struct node_facts *f,
                  struct clock *clock, struct error **err);

/* A thread that renews the Lease in kube-node-lease each 10 s. */
struct node_heartbeat;
int node_heartbeat_start(struct kube_client *c, const char *name, struct clock *clock,
                         struct node_heartbeat **ret, struct error **err);
void node_heartbeat_stop(struct node_heartbeat *h);
