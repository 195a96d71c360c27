#include "machine/node.h"

#include <ctype.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

#define LEASE_NAMESPACE "kube-node-lease"
#define LEASE_SECONDS 40
#define HEARTBEAT_NS (10 * NS_PER_S)
#define MAX_PODS 110
/* Left to the system and to `kaito` itself when pods are placed by their memory requests. */
#define RESERVED_MEMORY ((int64_t)(256 * MIB))

/* ---- facts --------------------------------------------------------------------------------------------------------- */

static char *read_text(struct arena *a, const char *path)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    if (file_read(path, 256 * KIB, &text, &len, NULL) < 0)
        return arena_strdup(a, "");
    return str_trim(a, text);
}

static int64_t memory_total(struct arena *a, const char *root)
{
    const char *text = read_text(a, arena_printf(a, "%s/proc/meminfo", root));
    const char *line = strstr(text, "MemTotal:");
    return line ? strtoll(line + strlen("MemTotal:"), NULL, 10) * (int64_t)KIB : 0;
}

static const char *os_image(struct arena *a, const char *root)
{
    const char *text = read_text(a, arena_printf(a, "%s/etc/os-release", root));
    const char *line = strstr(text, "PRETTY_NAME=");
    if (!line)
        return "Linux";
    line += strlen("PRETTY_NAME=");
    if (*line == '"')
        line++;
    return arena_strndup(a, line, strcspn(line, "\"\n"));
}

/* "Model: \t\t NVIDIA A100-SXM4-80GB" → "NVIDIA-A100-SXM4-80GB", the form of the GPU operator's
 * label. */
static const char *gpu_model(struct arena *a, const char *information)
{
    const char *line = strstr(information, "Model:");
    if (!line)
        return "NVIDIA";
    line += strlen("Model:");
    char *model = str_trim(a, arena_strndup(a, line, strcspn(line, "\n")));
    for (char *c = model; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '_')
            *c = '-';
    return model;
}

/* The driver lists its GPUs; nothing has to be loaded or run. */
static void count_gpus(struct arena *a, const char *root, struct node_facts *f)
{
    const char *path = arena_printf(a, "%s/proc/driver/nvidia/gpus", root);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        f->gpus++;
        f->gpu_model =
            gpu_model(a, read_text(a, arena_printf(a, "%s/%s/information", path, e->d_name)));
    }
    if (d)
        closedir(d);
}

static int64_t count_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return CPU_COUNT(&set);
    return MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
}

void node_facts_read(struct arena *a, const char *root, const char *data_dir,
                     struct node_facts *ret)
{
    struct node_facts f = {
        .cpus = count_cpus(),
        .memory_bytes = memory_total(a, root),
        .machine_id = read_text(a, arena_printf(a, "%s/etc/machine-id", root)),
        .boot_id = read_text(a, arena_printf(a, "%s/proc/sys/kernel/random/boot_id", root)),
        .system_uuid = read_text(a, arena_printf(a, "%s/sys/class/dmi/id/product_uuid", root)),
        .os_image = os_image(a, root),
    };
    struct statvfs vfs;
    if (statvfs(data_dir, &vfs) == 0) {
        f.disk_bytes = (int64_t)vfs.f_blocks * (int64_t)vfs.f_frsize;
        f.disk_free_bytes = (int64_t)vfs.f_bavail * (int64_t)vfs.f_frsize;
    }
    struct utsname u = { 0 };
    uname(&u);
    f.kernel = arena_strdup(a, u.release);
    f.architecture = str_eq(u.machine, "x86_64")    ? "amd64"
                     : str_eq(u.machine, "aarch64") ? "arm64"
                                                    : arena_strdup(a, u.machine);
    count_gpus(a, root, &f);
    *ret = f;
}

char *node_default_name(struct arena *a)
{
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    char *name = str_lower(a, host);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.')
            *c = '-';
    while (*name == '-' || *name == '.')
        name++;
    size_t len = strlen(name);
    while (len > 0 && (name[len - 1] == '-' || name[len - 1] == '.'))
        name[--len] = '\0';
    return len > 0 ? name : arena_strdup(a, "localhost");
}

char *node_lasting_name(struct arena *a, const char *data_dir)
{
    const char *path = arena_printf(a, "%s/node-name", data_dir);
    char *kept = read_text(a, path);
    if (*kept && kube_validate_dns1123_subdomain(kept, NULL) == 0)
        return kept;
    char *name = node_default_name(a);
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (file_write_atomic(path, name, strlen(name), 0644, &err) < 0)
        log_warn("cannot keep the node's name", "error", error_message(err), NULL);
    return name;
}

/* ---- decide -------------------------------------------------------------------------------------------------------- */

static struct json *node_labels(struct arena *a, const char *name, const struct node_facts *f,
                                const struct json *current)
{
    struct json *labels = json_clone(a, json_find(current, "metadata", "labels"));
    labels = labels ? labels : EMPTY_OBJ();
    json_set_str(a, labels, "beta.kubernetes.io/arch", f->architecture);
    json_set_str(a, labels, "beta.kubernetes.io/os", "linux");
    json_set_str(a, labels, "kubernetes.io/arch", f->architecture);
    json_set_str(a, labels, "kubernetes.io/os", "linux");
    json_set_str(a, labels, "kubernetes.io/hostname", name);
    /* What GPU discovery would find out on a cluster's node; a user may have said otherwise. */
    if (!json_get(labels, "node.kubernetes.io/instance-type"))
        json_set_str(a, labels, "node.kubernetes.io/instance-type", "one-box");
    if (f->gpus > 0) {
        json_set(a, labels, "nvidia.com/gpu.count", STRF("%lld", (long long)f->gpus));
        json_set_str(a, labels, "nvidia.com/gpu.product", f->gpu_model);
        if (f->gpu_memory_mib > 0)
            json_set(a, labels, "nvidia.com/gpu.memory",
                     STRF("%lld", (long long)f->gpu_memory_mib));
    }
    return labels;
}

static struct json *resources(struct arena *a, const struct node_facts *f, int64_t memory,
                              int64_t disk)
{
    return OBJ("cpu", STRF("%lld", (long long)f->cpus), "ephemeral-storage",
               STRF("%lldKi", (long long)(disk / 1024)), "memory",
               STRF("%lldKi", (long long)(memory / 1024)), "nvidia.com/gpu",
               f->gpus > 0 ? STRF("%lld", (long long)f->gpus) : NULL, "pods", STRF("%d", MAX_PODS));
}

static struct json *node_condition(struct arena *a, const struct json *current, const char *type,
                                   bool status, const char *reason, const char *message,
                                   const char *now)
{
    const struct json *old = condition_find(json_find(current, "status", "conditions"), type);
    const char *text = status ? "True" : "False";
    const char *since = json_find_str(old, "lastTransitionTime");
    bool same = since && str_eq(json_find_str(old, "status"), text);
    const char *heard = json_find_str(old, "lastHeartbeatTime");
    return OBJ("lastHeartbeatTime", STR(same && heard ? heard : now), "lastTransitionTime",
               STR(same ? since : now), "message", STR(message), "reason", STR(reason), "status",
               STR(text), "type", STR(type));
}

static struct json *node_status(struct arena *a, const char *name, const struct node_facts *f,
                                const struct json *current, int64_t now_wall_ns)
{
    char now[TIME_RFC3339_SIZE];
    time_format_rfc3339(now_wall_ns, now);
    struct json *s = json_clone(a, json_get(current, "status"));
    s = s ? s : EMPTY_OBJ();
    json_set(a, s, "capacity", resources(a, f, f->memory_bytes, f->disk_bytes));
    json_set(a, s, "allocatable",
             resources(a, f, MAX(f->memory_bytes - RESERVED_MEMORY, INT64_C(0)),
                       f->disk_bytes / 10 * 9));
    json_set(a, s, "addresses",
             ARR(OBJ("address", STR("127.0.0.1"), "type", STR("InternalIP")),
                 OBJ("address", STR(name), "type", STR("Hostname"))));
    json_set(a, s, "conditions",
             ARR(node_condition(a, current, "MemoryPressure", false, "KubeletHasSufficientMemory",
                                "kubelet has sufficient memory available", now),
                 node_condition(a, current, "DiskPressure", false, "KubeletHasNoDiskPressure",
                                "kubelet has no disk pressure", now),
                 node_condition(a, current, "PIDPressure", false, "KubeletHasSufficientPID",
                                "kubelet has sufficient PID available", now),
                 node_condition(a, current, "Ready", true, "KubeletReady",
                                "kaito runs pods as local processes", now)));
    json_set(a, s, "nodeInfo",
             OBJ("architecture", STR(f->architecture), "bootID", STR(f->boot_id),
                 "containerRuntimeVersion", STR("kaito://" KAITO_VERSION), "kernelVersion",
                 STR(f->kernel), "kubeProxyVersion", STR(""), "kubeletVersion",
                 STR("v1.32.0-kaito"), "machineID", STR(f->machine_id), "operatingSystem",
                 STR("linux"), "osImage", STR(f->os_image), "systemUUID", STR(f->system_uuid)));
    return s;
}

struct json *node_decide(struct arena *a, const char *name, const struct node_facts *f,
                         const struct json *current, int64_t now_wall_ns)
{
    struct json *node =
        current ? json_clone(a, current) : OBJ("apiVersion", STR("v1"), "kind", STR("Node"));
    struct json *metadata = json_ensure_object(a, node, "metadata");
    json_set_str(a, metadata, "name", name);
    json_set(a, metadata, "labels", node_labels(a, name, f, current));
    json_set(a, node, "status", node_status(a, name, f, current, now_wall_ns));
    return node;
}

/* ---- apply --------------------------------------------------------------------------------------------------------- */

static int patch_part(struct kube_client *c, struct arena *a, const char *name, const char *sub,
                      const struct json *from, const struct json *to, const char *part,
                      struct error **err)
{
    const struct json *old = json_get(from, part);
    const struct json *new = json_get(to, part);
    struct json *change = json_merge_diff(a, old ? old : EMPTY_OBJ(), new ? new : EMPTY_OBJ());
    if (!change)
        return 0;
    struct json *patch = EMPTY_OBJ();
    json_set(a, patch, part, change);
    return kube_patch(c, &KUBE_NODES, NULL, name, sub, KUBE_PATCH_MERGE, patch, a, NULL, err);
}

int node_register(struct kube_client *c, const char *name, const struct node_facts *f,
                  struct clock *clock, struct error **err)
{
    AUTO_ARENA a = arena_new();
    struct json *current = NULL;
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r = kube_get(c, &KUBE_NODES, NULL, name, a, &current, &e);
    if (r == -ERROR_NOT_FOUND) {
        struct json *created = node_decide(a, name, f, NULL, clock_wall(clock));
        r = kube_create(c, &KUBE_NODES, NULL, created, a, &current, err);
        if (r < 0)
            return error_prefix(err, r, "cannot make Node %s", name);
    } else if (r < 0) {
        if (err)
            *err = TAKE_PTR(e);
        return error_prefix(err, r, "cannot read Node %s", name);
    }
    struct json *wanted = node_decide(a, name, f, current, clock_wall(clock));
    r = patch_part(c, a, name, NULL, current, wanted, "metadata", err);
    if (r == 0)
        r = patch_part(c, a, name, "status", current, wanted, "status", err);
    return error_prefix(err, r, "cannot write Node %s", name);
}

/* ---- heartbeat ----------------------------------------------------------------------------------------------------- */

struct node_heartbeat {
    struct kube_client *client;
    struct clock *clock;
    char *name;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
};

static int create_lease(struct node_heartbeat *h, struct arena *a, const char *now,
                        struct error **err)
{
    struct json *ns = OBJ("apiVersion", STR("v1"), "kind", STR("Namespace"), "metadata",
                          OBJ("name", STR(LEASE_NAMESPACE)));
    int r = kube_create(h->client, &KUBE_NAMESPACES, NULL, ns, a, NULL, NULL);
    if (r < 0 && r != -ERROR_ALREADY_EXISTS)
        return error_set(err, ERROR_UNAVAILABLE, "cannot make namespace " LEASE_NAMESPACE);
    struct json *lease =
        OBJ("metadata", OBJ("name", STR(h->name), "namespace", STR(LEASE_NAMESPACE)), "spec",
            OBJ("holderIdentity", STR(h->name), "leaseDurationSeconds", INT(LEASE_SECONDS),
                "renewTime", STR(now)));
    return kube_create(h->client, &KUBE_LEASES, LEASE_NAMESPACE, lease, a, NULL, err);
}

static void beat(struct node_heartbeat *h)
{
    AUTO_ARENA a = arena_new();
    char now[TIME_RFC3339_SIZE];
    time_format_rfc3339_micro(clock_wall(h->clock), now);
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct json *patch = OBJ("spec", OBJ("holderIdentity", STR(h->name), "leaseDurationSeconds",
                                         INT(LEASE_SECONDS), "renewTime", STR(now)));
    int r = kube_patch(h->client, &KUBE_LEASES, LEASE_NAMESPACE, h->name, NULL, KUBE_PATCH_MERGE,
                       patch, a, NULL, &err);
    if (r == -ERROR_NOT_FOUND) {
        error_free(err);
        err = NULL;
        r = create_lease(h, a, now, &err);
    }
    if (r < 0)
        log_warn("cannot renew the node's lease", "node", h->name, "error", error_message(err),
                 NULL);
}

static void *heartbeat_main(void *arg)
{
    struct node_heartbeat *h = arg;
    pthread_mutex_lock(&h->lock);
    while (!h->stopping) {
        pthread_mutex_unlock(&h->lock);
        beat(h);
        int64_t next = clock_mono(clock_system()) + HEARTBEAT_NS;
        pthread_mutex_lock(&h->lock);
        while (!h->stopping && cond_wait_until(&h->wake, &h->lock, next))
            ;
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

int node_heartbeat_start(struct kube_client *c, const char *name, struct clock *clock,
                         struct node_heartbeat **ret, struct error **err)
{
    struct node_heartbeat *h = NEW0(struct node_heartbeat);
    h->client = c;
    h->clock = clock;
    h->name = mem_strdup(name);
    pthread_mutex_init(&h->lock, NULL);
    cond_init_monotonic(&h->wake);
    int r = thread_start(&h->thread, "heartbeat", heartbeat_main, h, err);
    if (r < 0) {
        free(h->name);
        free(h);
        return r;
    }
    *ret = h;
    return 0;
}

void node_heartbeat_stop(struct node_heartbeat *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
    thread_join(h->thread);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h->name);
    free(h);
}
