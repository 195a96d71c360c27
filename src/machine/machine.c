/* See machine.h: puts the parts together, and starts and stops them in order. */
#include "machine/machine.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "machine/endpoints.h"
#include "machine/job.h"
#include "machine/kubelet.h"
#include "machine/logs.h"
#include "machine/node.h"
#include "machine/proxy.h"
#include "machine/scheduler.h"
#include "machine/statefulset.h"

#define HOST_IP "127.0.0.1"

struct machine {
    struct machine_options o; /* strings in `strings` */
    struct arena *strings;
    struct node_facts facts;
    struct images *images;
    struct manager *manager;
    struct informer *pods;
    struct event_recorder *kubelet_events;
    struct event_recorder *scheduler_events;
    struct event_recorder *statefulset_events;
    struct event_recorder *job_events;
    struct event_recorder *proxy_events;
    struct kubelet *kubelet;
    struct status_writer *writer;
    struct trash *trash;
    struct statefulsets *statefulsets;
    struct jobs *jobs;
    struct endpoints_controller *endpoints;
    struct scheduler *scheduler;
    struct proxy *proxy;
    struct node_heartbeat *heartbeat;
    struct machine_logs *logs;
    bool stopped;
};

/* ---- parts --------------------------------------------------------------------------------------------------------- */

/* Only whether it is there and has changed is of interest: the values are read when they are
 * needed. */
static void project_names(struct arena *a, struct json *obj)
{
    json_del(obj, "data");
    json_del(obj, "binaryData");
    json_del(obj, "stringData");
    json_del(json_get(obj, "metadata"), "annotations");
}

static void copy_options(struct machine *m, const struct machine_options *o)
{
    struct arena *a = m->strings;
    m->o = *o;
    m->o.clock = o->clock ? o->clock : clock_system();
    m->o.data_dir = arena_strdup(a, o->data_dir);
    m->o.node_name =
        o->node_name ? arena_strdup(a, o->node_name) : node_lasting_name(a, o->data_dir);
    m->o.shim_path = arena_strdup(a, o->shim_path);
    m->o.engine_path = arena_strdup(a, o->engine_path);
    m->o.images_file = o->images_file ? arena_strdup(a, o->images_file)
                                      : arena_printf(a, "%s/images.json", o->data_dir);
    m->o.models_dir = arena_strdup(a, o->models_dir);
    m->o.pod_cidr = arena_strdup(a, o->pod_cidr ? o->pod_cidr : "127.97.0.0/16");
}

/* Connections, shims and logs take descriptors; the usual soft limit of 1,024 is for programs that
 * use select(2). */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)1048576);
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static struct informer *informer(struct machine *m, const struct kube_resource *r, bool names_only)
{
    struct informer_options options = { .project = names_only ? project_names : NULL };
    return manager_informer(m->manager, r, &options);
}

static void add_controllers(struct machine *m, struct informer *nodes, struct informer *services,
                            struct informer *endpoints)
{
    struct controller *c = NULL;
    struct kube_client *client = m->o.client;
    m->statefulsets = statefulsets_new(
        &(struct statefulset_sources){
            .client = client,
            .sets = informer(m, &KUBE_STATEFULSETS, false),
            .pods = m->pods,
            .revisions = informer(m, &KUBE_CONTROLLER_REVISIONS, false),
            .events = m->statefulset_events,
            .clock = m->o.clock,
        },
        &c);
    manager_add(m->manager, c);
    m->jobs = jobs_new(&(struct job_sources){ .client = client,
                                              .jobs = informer(m, &KUBE_JOBS, false),
                                              .pods = m->pods,
                                              .events = m->job_events,
                                              .clock = m->o.clock },
                       &c);
    manager_add(m->manager, c);
    m->scheduler = scheduler_new(
        &(struct scheduler_sources){
            .client = client,
            .pods = m->pods,
            .nodes = nodes,
            .events = m->scheduler_events,
            .clock = m->o.clock,
            .node_name = m->o.node_name,
        },
        &c);
    manager_add(m->manager, c);
    m->endpoints =
        endpoints_controller_new(&(struct endpoints_sources){ .client = client,
                                                              .services = services,
                                                              .pods = m->pods,
                                                              .endpoints = endpoints,
                                                              .slices =
                                                                  informer(m, &KUBE_ENDPOINT_SLICES,
                                                                           false),
                                                              .clock = m->o.clock },
                                 &c);
    manager_add(m->manager, c);
    m->writer = status_writer_new(client, m->o.clock, &c);
    manager_add(m->manager, c);
    m->trash = trash_new(arena_printf(m->strings, "%s/pods", m->o.data_dir), m->o.clock, &c);
    manager_add(m->manager, c);
}

static int make_kubelet(struct machine *m, struct error **err)
{
    struct kubelet_options options = {
        .client = m->o.client,
        .pods = m->pods,
        .configmaps = informer(m, &KUBE_CONFIGMAPS, true),
        .secrets = informer(m, &KUBE_SECRETS, true),
        .images = m->images,
        .events = m->kubelet_events,
        .writer = m->writer,
        .trash = m->trash,
        .clock = m->o.clock,
        .data_dir = m->o.data_dir,
        .shim_path = m->o.shim_path,
        .node_name = m->o.node_name,
        .host_ip = HOST_IP,
        .pod_cidr = m->o.pod_cidr,
        .models_dir = m->o.models_dir,
        .cpu_milli = m->facts.cpus * 1000,
        .memory_bytes = m->facts.memory_bytes,
    };
    return kubelet_new(&options, &m->kubelet, err);
}

static struct event_recorder *recorder(struct machine *m, const char *component, bool with_host)
{
    return event_recorder_new(m->o.client, component, with_host ? m->o.node_name : NULL,
                              m->o.clock);
}

int machine_new(const struct machine_options *options, struct machine **ret, struct error **err)
{
    struct machine *m = NEW0(struct machine);
    m->strings = arena_new();
    int r = file_mkdirs(options->data_dir, 0700, err);
    copy_options(m, options);
    raise_descriptor_limit();
    if (r == 0)
        r = images_new(&(struct images_options){ .engine_path = m->o.engine_path,
                                                 .user_file = m->o.images_file,
                                                 .must_exist = options->images_file != NULL },
                       &m->images, err);
    if (r < 0) {
        machine_free(m);
        return r;
    }
    node_facts_read(m->strings, "", m->o.data_dir, &m->facts);
    m->manager =
        manager_new(&(struct manager_options){ .client = m->o.client, .clock = m->o.clock });
    m->kubelet_events = recorder(m, "kubelet", true);
    m->scheduler_events = recorder(m, "default-scheduler", false);
    m->statefulset_events = recorder(m, "statefulset-controller", false);
    m->job_events = recorder(m, "job-controller", false);
    m->proxy_events = recorder(m, "kube-proxy", true);
    m->pods = informer(m, &KUBE_PODS, false);
    struct informer *services = informer(m, &KUBE_SERVICES, false);
    struct informer *endpoints = informer(m, &KUBE_ENDPOINTS, false);
    add_controllers(m, informer(m, &KUBE_NODES, false), services, endpoints);
    r = make_kubelet(m, err);
    if (r == 0)
        r = proxy_new(&(struct proxy_options){ .services = services,
                                               .endpoints = endpoints,
                                               .events = m->proxy_events },
                      &m->proxy, err);
    if (r < 0) {
        machine_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

int machine_start(struct machine *m, struct error **err)
{
    int r = node_register(m->o.client, m->o.node_name, &m->facts, m->o.clock, err);
    if (r == 0)
        r = manager_start(m->manager, err);
    if (r == 0)
        r = kubelet_start(m->kubelet, err);
    if (r == 0)
        r = proxy_start(m->proxy, err);
    if (r == 0)
        r = node_heartbeat_start(m->o.client, m->o.node_name, m->o.clock, &m->heartbeat, err);
    if (r == 0 && m->logs)
        machine_logs_bind(m->logs, m);
    return r;
}

void machine_stop(struct machine *m, int64_t stop_grace_ms)
{
    if (m->stopped)
        return;
    m->stopped = true;
    if (m->logs)
        log_server_bind((struct log_server *)m->logs, NULL);
    node_heartbeat_stop(m->heartbeat);
    m->heartbeat = NULL;
    /* Controllers first: they must not answer to what is ended now. */
    manager_stop(m->manager);
    if (m->proxy)
        proxy_stop(m->proxy);
    if (m->kubelet)
        kubelet_stop(m->kubelet, stop_grace_ms);
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    kubelet_free(m->kubelet);
    proxy_free(m->proxy);
    if (m->manager)
        manager_free(m->manager);
    statefulsets_free(m->statefulsets);
    jobs_free(m->jobs);
    scheduler_free(m->scheduler);
    endpoints_controller_free(m->endpoints);
    status_writer_free(m->writer);
    trash_free(m->trash);
    struct event_recorder *recorders[] = { m->kubelet_events, m->scheduler_events,
                                           m->statefulset_events, m->job_events, m->proxy_events };
    for (size_t i = 0; i < COUNT_OF(recorders); i++)
        if (recorders[i])
            event_recorder_free(recorders[i]);
    images_free(m->images);
    arena_free(m->strings);
    free(m);
}

/* ---- logs ---------------------------------------------------------------------------------------------------------- */

/* struct machine_logs is a log server under the name that the API server's owner knows. */
struct machine_logs *machine_logs_new(const char *data_dir)
{
    return (struct machine_logs *)log_server_new(data_dir);
}

struct apiserver_pod_logs *machine_logs_handler(struct machine_logs *l)
{
    return log_server_handler((struct log_server *)l);
}

void machine_logs_bind(struct machine_logs *l, struct machine *m)
{
    log_server_bind((struct log_server *)l, m ? m->o.client : NULL);
    if (m)
        m->logs = l;
}

void machine_logs_free(struct machine_logs *l)
{
    log_server_free((struct log_server *)l);
}
