/* A cluster without machines, for the scenarios that were recorded: the embedded API server over
 * HTTPS on the loopback, and what else a control plane has that the scenarios see: StatefulSets, a
 * scheduler for any number of nodes, the life of volume claims, pods' logs. Provisioner, kubelet
 * and volumes are played by lib/played.py, as they are on a real control plane.
 *
 * Everything is in memory. It ends when its standard input does, so that it cannot outlive whoever
 * started it.
 *
 * golden_cluster KUBECONFIG */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apiserver/apiserver.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/controller.h"
#include "kube/meta.h"
#include "machine/job.h"
#include "machine/scheduler.h"
#include "machine/statefulset.h"
#include "json/build.h"

#define SERVICE_CIDR "10.96.0.0/16"
#define SELECTED_NODE "volume.kubernetes.io/selected-node"
#define CLAIM_IN_USE "kubernetes.io/pvc-protection"
#define CACHE_TTL "node.alpha.kubernetes.io/ttl"
#define RETRY_MS 100

struct cluster {
    struct apiserver *server;
    struct apiserver_front *front;
    struct kube_transport *transport;
    struct kube_client *client;
    struct manager *manager;
    struct informer *pods, *nodes, *claims;
    struct event_recorder *set_events, *job_events;
    struct statefulsets *sets;
    struct jobs *jobs;
};

static void must(int r, struct error *err)
{
    if (r == 0)
        return;
    fprintf(stderr, "golden_cluster: %s\n", error_message(err));
    exit(1);
}

/* What changed or went in the meantime comes again by its event. */
static int forgive(int r, struct error **err)
{
    if (r != -ERROR_NOT_FOUND && r != -ERROR_CONFLICT)
        return r;
    error_free(*err);
    *err = NULL;
    return 0;
}

/* ---- scheduler ------------------------------------------------------------------------------- */

/* Waits that are over when something else changes: it is looked again soon. */
static int later(struct reconcile_result *ret)
{
    ret->requeue_after_ms = RETRY_MS;
    return 0;
}

static struct json *pods_of_node(struct arena *a, const struct kube_object_list *pods,
                                 const char *node)
{
    struct json *list = EMPTY_ARR();
    const char *needle = arena_printf(a, "\"nodeName\":\"%s\"", node);
    for (size_t i = 0; i < pods->count; i++) {
        if (!strstr(pods->items[i]->text, needle))
            continue;
        struct json *pod = kube_object_parse(a, pods->items[i]);
        if (str_eq(json_find_str(pod, "spec", "nodeName"), node))
            json_append(list, pod);
    }
    return list;
}

/* The first node by name that fits; NULL: none. */
static const char *find_node(struct cluster *c, struct arena *a, const struct json *pod)
{
    struct kube_object_list nodes = { 0 }, pods = { 0 };
    informer_list(c->nodes, NULL, NULL, &nodes);
    informer_list(c->pods, NULL, NULL, &pods);
    const char *found = NULL;
    for (size_t i = 0; i < nodes.count && !found; i++) {
        struct json *node = kube_object_parse(a, nodes.items[i]);
        const char *name = meta_name(node);
        if (!nodes.items[i]->deleting &&
            !scheduler_reason(a, pod, node, pods_of_node(a, &pods, name)))
            found = name;
    }
    kube_object_list_done(&pods);
    kube_object_list_done(&nodes);
    return found;
}

static struct kube_object *claim_of(struct cluster *c, const struct json *pod,
                                    const struct json *volume)
{
    const char *name = json_find_str(volume, "persistentVolumeClaim", "claimName");
    return name ? informer_get(c->claims, meta_namespace(pod), name) : NULL;
}

static bool misses_claim(struct cluster *c, const struct json *pod)
{
    JSON_FOREACH(it, json_find(pod, "spec", "volumes")) {
        CLEANUP(kube_object_cleanup) struct kube_object *claim = claim_of(c, pod, it.value);
        if (!claim && json_get(it.value, "persistentVolumeClaim"))
            return true;
    }
    return false;
}

/* Whether all claims of the pod have volumes. Those that have not learn for which node they are
 * wanted: their class may bind no sooner. */
static int check_claims(struct cluster *c, struct arena *a, const struct json *pod,
                        const char *node, bool *ret_bound, struct error **err)
{
    *ret_bound = true;
    JSON_FOREACH(it, json_find(pod, "spec", "volumes")) {
        CLEANUP(kube_object_cleanup) struct kube_object *o = claim_of(c, pod, it.value);
        struct json *claim = o ? kube_object_parse(a, o) : NULL;
        if (!claim || str_eq(json_find_str(claim, "status", "phase"), "Bound"))
            continue;
        *ret_bound = false;
        if (meta_annotation(claim, SELECTED_NODE))
            continue;
        int r = kube_patch(c->client, &KUBE_PERSISTENT_VOLUME_CLAIMS, o->ns, o->name, NULL,
                           KUBE_PATCH_MERGE,
                           OBJ("metadata", OBJ("annotations", OBJ(SELECTED_NODE, STR(node)))), a,
                           NULL, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int bind_pod(struct cluster *c, struct arena *a, const struct json *pod, const char *node,
                    struct error **err)
{
    const char *ns = meta_namespace(pod), *name = meta_name(pod);
    struct json *binding =
        OBJ("apiVersion", STR("v1"), "kind", STR("Binding"), "metadata",
            OBJ("name", STR(name), "namespace", STR(ns), "uid", STR(meta_uid(pod))), "target",
            OBJ("apiVersion", STR("v1"), "kind", STR("Node"), "name", STR(node)));
    const char *body = json_text(a, binding);
    struct kube_request request = { .method = "POST",
                                    .path = kube_path(a, &KUBE_PODS, ns, name, "binding"),
                                    .body = body,
                                    .body_len = strlen(body) };
    struct kube_response response = { 0 };
    int r = c->transport->ops->call(c->transport, &request, &response, err);
    if (r < 0)
        return r;
    if (response.status >= 300 && response.status != 404 && response.status != 409)
        r = error_set(err, ERROR_UNAVAILABLE, "binding of pod %s: status %d: %s", name,
                      response.status, buf_str(&response.body));
    buf_done(&response.body);
    return r;
}

/* Said once; status only: the events of the scheduler are nobody's concern here. */
static int tell_unschedulable(struct cluster *c, struct arena *a, const struct json *pod,
                              struct error **err)
{
    const struct json *old = json_find(pod, "status", "conditions");
    if (condition_find(old, "PodScheduled"))
        return 0;
    struct json *conditions = old ? json_clone(a, old) : EMPTY_ARR();
    char now[TIME_RFC3339_SIZE];
    time_format_rfc3339(clock_wall(clock_system()), now);
    json_append(conditions, OBJ("type", STR("PodScheduled"), "status", STR("False"), "reason",
                                STR("Unschedulable"), "message", STR("no node fits"),
                                "lastTransitionTime", STR(now)));
    struct json *change =
        OBJ("metadata", OBJ("uid", STR(meta_uid(pod))), "status", OBJ("conditions", conditions));
    return kube_patch(c->client, &KUBE_PODS, meta_namespace(pod), meta_name(pod), "status",
                      KUBE_PATCH_MERGE, change, a, NULL, err);
}

static int schedule(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                    struct error **err)
{
    struct cluster *c = ctx;
    const char *ns = NULL, *name = NULL;
    kube_key_split(a, key, &ns, &name);
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(c->pods, ns, name);
    struct json *pod = o ? kube_object_parse(a, o) : NULL;
    if (!pod || o->deleting || !str_empty(json_find_str(pod, "spec", "nodeName")) ||
        json_size(json_find(pod, "spec", "schedulingGates")) > 0)
        return 0;
    const char *node = misses_claim(c, pod) ? NULL : find_node(c, a, pod);
    if (!node) {
        int told = tell_unschedulable(c, a, pod, err);
        return told < 0 ? forgive(told, err) : later(ret);
    }
    bool bound = false;
    int r = check_claims(c, a, pod, node, &bound, err);
    if (r < 0)
        return forgive(r, err);
    if (bound)
        r = bind_pod(c, a, pod, node, err);
    /* Looked at again until the cache shows it, before the next pod is put on the same node. */
    return r < 0 ? r : later(ret);
}

/* ---- volume claims --------------------------------------------------------------------------- */

static bool is_used(struct cluster *c, struct arena *a, const char *ns, const char *claim)
{
    struct kube_object_list pods = { 0 };
    informer_list(c->pods, ns, NULL, &pods);
    bool used = false;
    for (size_t i = 0; i < pods.count && !used; i++) {
        JSON_FOREACH(it, json_find(kube_object_parse(a, pods.items[i]), "spec", "volumes")) {
            const char *name = json_find_str(it.value, "persistentVolumeClaim", "claimName");
            used = used || str_eq(name, claim);
        }
    }
    kube_object_list_done(&pods);
    return used;
}

/* A claim stays as long as a pod uses it. */
static int protect(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                   struct error **err)
{
    struct cluster *c = ctx;
    const char *ns = NULL, *name = NULL;
    kube_key_split(a, key, &ns, &name);
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(c->claims, ns, name);
    if (!o)
        return 0;
    struct json *claim = kube_object_parse(a, o);
    struct json *others = EMPTY_ARR();
    bool there = false;
    JSON_FOREACH(it, json_find(claim, "metadata", "finalizers")) {
        if (str_eq(json_string(it.value), CLAIM_IN_USE))
            there = true;
        else
            json_append(others, json_clone(a, it.value));
    }
    if (there != o->deleting)
        return 0;
    if (o->deleting && is_used(c, a, ns, name))
        return later(ret);
    if (!o->deleting)
        json_append(others, STR(CLAIM_IN_USE));
    struct json *change = OBJ("metadata", OBJ("uid", STR(o->uid), "finalizers", others));
    return forgive(kube_patch(c->client, &KUBE_PERSISTENT_VOLUME_CLAIMS, ns, name, NULL,
                              KUBE_PATCH_MERGE, change, a, NULL, err),
                   err);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* How long kubelets may trust what they have cached: not at all, in a cluster as small as this. */
static int note_ttl(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                    struct error **err)
{
    struct cluster *c = ctx;
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(c->nodes, NULL, key);
    if (!o || o->deleting || meta_annotation(kube_object_parse(a, o), CACHE_TTL))
        return 0;
    struct json *change = OBJ("metadata", OBJ("annotations", OBJ(CACHE_TTL, STR("0"))));
    return forgive(kube_patch(c->client, &KUBE_NODES, NULL, key, NULL, KUBE_PATCH_MERGE, change, a,
                              NULL, err),
                   err);
}

/* ---- logs ------------------------------------------------------------------------------------ */

/* What lib/played.py's kubelet serves: an engine that has measured itself. */
static int open_log(void *ctx, const char *ns, const char *pod,
                    const struct pod_log_options *options, const struct pod_log_sink *sink,
                    struct error **err)
{
    static const char text[] =
        "starting\n"
        "2026-01-01 KAITO_BENCHMARK_CONFIG v1 {\"duration_sec\": 60, \"input_tokens\": 1024, "
        "\"output_tokens\": 256, \"max_concurrency\": 64}\n"
        "2026-01-01 KAITO_BENCHMARK_RESULT v1 {\"vllm_total_tpm\": 123456.5, "
        "\"ttft_avg_ms\": 100.0, \"tpot_avg_ms\": 20.0}\n";
    sink->write(sink->ctx, text, sizeof(text) - 1);
    sink->end(sink->ctx, NULL);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void add_controllers(struct cluster *c)
{
    struct controller *sets = NULL;
    c->set_events = event_recorder_new(c->client, "statefulset-controller", NULL, clock_system());
    c->sets = statefulsets_new(
        &(struct statefulset_sources){
            .client = c->client,
            .sets = manager_informer(c->manager, &KUBE_STATEFULSETS, NULL),
            .pods = c->pods,
            .revisions = manager_informer(c->manager, &KUBE_CONTROLLER_REVISIONS, NULL),
            .events = c->set_events,
            .clock = clock_system(),
            .volumes = true,
        },
        &sets);
    manager_add(c->manager, sets);
    struct controller *jobs = NULL;
    c->job_events = event_recorder_new(c->client, "job-controller", NULL, clock_system());
    c->jobs =
        jobs_new(&(struct job_sources){ .client = c->client,
                                        .jobs = manager_informer(c->manager, &KUBE_JOBS, NULL),
                                        .pods = c->pods,
                                        .events = c->job_events,
                                        .clock = clock_system() },
                 &jobs);
    manager_add(c->manager, jobs);
    /* One worker: two pods must not be given the same room. */
    struct controller *scheduler = controller_new(
        &(struct controller_options){ .name = "scheduler", .reconcile = schedule, .ctx = c });
    controller_watch(scheduler, c->pods);
    manager_add(c->manager, scheduler);
    struct controller *protection = controller_new(
        &(struct controller_options){ .name = "claims", .reconcile = protect, .ctx = c });
    controller_watch(protection, c->claims);
    manager_add(c->manager, protection);
    struct controller *ttl = controller_new(
        &(struct controller_options){ .name = "ttl", .reconcile = note_ttl, .ctx = c });
    controller_watch(ttl, c->nodes);
    manager_add(c->manager, ttl);
}

static void start(struct cluster *c, const char *kubeconfig, struct apiserver_pod_logs *logs)
{
    struct error *err = NULL;
    must(apiserver_new(&(struct apiserver_options){ .service_cidr = SERVICE_CIDR,
                                                    .service_address = "127.0.0.1",
                                                    .pod_logs = logs },
                       &c->server, &err),
         err);
    c->transport = apiserver_transport(c->server);
    c->client = kube_client_new(c->transport, NULL);
    c->manager = manager_new(&(struct manager_options){ .client = c->client });
    c->pods = manager_informer(c->manager, &KUBE_PODS, NULL);
    c->nodes = manager_informer(c->manager, &KUBE_NODES, NULL);
    c->claims = manager_informer(c->manager, &KUBE_PERSISTENT_VOLUME_CLAIMS, NULL);
    add_controllers(c);
    must(manager_start(c->manager, &err), err);
    must(apiserver_front_start(c->server,
                               &(struct apiserver_front_options){ .address = "127.0.0.1",
                                                                  .kubeconfig_path = kubeconfig },
                               &c->front, &err),
         err);
}

static void stop(struct cluster *c)
{
    apiserver_front_stop(c->front);
    manager_stop(c->manager);
    manager_free(c->manager);
    statefulsets_free(c->sets);
    jobs_free(c->jobs);
    event_recorder_free(c->set_events);
    event_recorder_free(c->job_events);
    kube_client_free(c->client);
    kube_transport_free(c->transport);
    apiserver_free(c->server);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: golden_cluster KUBECONFIG\n", stderr);
        return 2;
    }
    log_setup(LOG_ERROR, LOG_TEXT);
    struct apiserver_pod_logs logs = { .open = open_log };
    struct cluster c = { 0 };
    start(&c, argv[1], &logs);
    puts("ready");
    fflush(stdout);
    char ignored[256];
    while (read(STDIN_FILENO, ignored, sizeof(ignored)) > 0)
        ;
    stop(&c);
    return 0;
}
