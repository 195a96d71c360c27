/* The cluster that bench/manager.py measures the manager against: the embedded API server over
 * HTTPS, a node provisioner and a kubelet that react at once. It takes commands on standard input,
 * one a line, and answers each with one line of JSON:
 *
 *     nodes N           N nodes that nobody asked for
 *     pods N            N pods of others
 *     create FROM TO S  Workspaces b-FROM … b-(TO-1), evenly within S seconds
 *     wait FROM TO S    until they are Ready, S seconds at most: {"ready", "readyS", "claimed",
 *                       "p50S", "p99S", "maxS", "twice"}; latencies are from the creation to the
 *                       first NodeClaim (byo: StatefulSet)
 *     touch FROM TO     an annotation of each is changed, to which there is nothing to do
 *     unready N         N nodes of Workspaces become NotReady
 *     version           of the last write
 *
 * What it is killed with, it knows again in the same DIR. Port 0: any.
 *
 * cluster KUBECONFIG DIR byo|claims PORT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apiserver/apiserver.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "cmd/crds.h"
#include "kube/controller.h"
#include "kube/meta.h"
#include "json/build.h"

#define NS "default"
#define SYSTEM_NS "kaito-workspace"
#define INSTANCE_TYPE "Standard_NV36ads_A10_v5"
#define PRESET "phi-4-mini-instruct"
#define MAX_NAME 32

/* What is known of one Workspace; times are monotonic ns, 0: not yet. */
struct progress {
    int64_t created, claimed, ready;
    unsigned claims;
};

struct cluster {
    struct apiserver *server;
    struct apiserver_front *front;
    struct kube_transport *transport;
    struct kube_client *client;
    struct manager *manager;
    struct informer *claims, *sets;
    bool byo;
    pthread_mutex_t lock; /* of `known` */
    struct map *known;    /* name → struct progress */
};

static int64_t now(void)
{
    return clock_mono(clock_system());
}

static void must(int r, struct error *err)
{
    if (r == 0)
        return;
    fprintf(stderr, "cluster: %s\n", error_message(err));
    exit(1);
}

/* ---- what is noted -------------------------------------------------------------------------------------------------- */

static struct progress *progress_of(struct cluster *c, const char *name)
{
    struct progress *p = map_get(c->known, name);
    if (!p) {
        p = NEW0(struct progress);
        map_set(c->known, name, p);
    }
    return p;
}

static void note_claim(struct cluster *c, const char *workspace)
{
    if (!workspace)
        return;
    LOCK(&c->lock);
    struct progress *p = progress_of(c, workspace);
    if (p->claims++ == 0)
        p->claimed = now();
}

static void on_claim(void *ctx, struct kube_object *old, struct kube_object *new)
{
    if (!old)
        note_claim(ctx, kube_object_label(new, "kaito.sh/workspace"));
}

static void on_set(void *ctx, struct kube_object *old, struct kube_object *new)
{
    if (!old)
        note_claim(ctx, new->name);
}

static void on_workspace(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct cluster *c = ctx;
    if (!new)
        return;
    LOCK(&c->lock);
    struct progress *p = progress_of(c, new->name);
    if (!strstr(new->text, "\"state\":\"Ready\""))
        p->ready = 0;
    else if (p->ready == 0)
        p->ready = now();
}

/* ---- provisioner and kubelet ---------------------------------------------------------------------------------------- */

static struct json *parse(struct arena *a, const char *text)
{
    char *copy = arena_strdup(a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct json *v = NULL;
    struct error *err = NULL;
    must(json_parse(a, copy, strlen(copy), &v, &err), err);
    return v;
}

static int create(struct cluster *c, struct arena *a, const struct kube_resource *r,
                  struct json *obj, struct error **err)
{
    struct error *why = NULL;
    int rc = kube_create(c->client, r, r->namespaced ? NS : NULL, obj, a, NULL, &why);
    if (rc == -ERROR_ALREADY_EXISTS) {
        error_free(why);
        return 0;
    }
    if (why)
        *err = why;
    return rc;
}

#define GPU_STATUS                                                                                 \
    "{'status':{'capacity':{'cpu':'36','memory':'440Gi','nvidia.com/gpu':'1'},'allocatable':"      \
    "{'cpu':'36','memory':'440Gi','nvidia.com/gpu':'1'},'conditions':[{'type':'Ready','status':"   \
    "'%s','reason':'KubeletReady'}]}}"

static int put_node(struct cluster *c, struct arena *a, const char *name, struct json *labels,
                    struct error **err)
{
    json_set_str(a, labels, "node.kubernetes.io/instance-type", INSTANCE_TYPE);
    json_set_str(a, labels, "accelerator", "nvidia");
    json_set_str(a, labels, "kubernetes.io/os", "linux");
    int r =
        create(c, a, &KUBE_NODES, OBJ("metadata", OBJ("name", STR(name), "labels", labels)), err);
    if (r < 0)
        return r;
    return kube_patch(c->client, &KUBE_NODES, NULL, name, "status", KUBE_PATCH_MERGE,
                      parse(a, arena_printf(a, GPU_STATUS, "True")), a, NULL, err);
}

static int serve_claim(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                       struct error **err)
{
    struct cluster *c = ctx;
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(c->claims, NULL, key);
    struct json *claim = o ? kube_object_parse(a, o) : NULL;
    if (!claim || o->deleting || json_find_str(claim, "status", "nodeName"))
        return 0;
    const char *node = arena_printf(a, "n-%s", key);
    struct json *labels = json_clone(a, json_find(claim, "metadata", "labels"));
    int r = put_node(c, a, node, labels ? labels : EMPTY_OBJ(), err);
    if (r < 0)
        return r;
    struct json *conditions = EMPTY_ARR();
    static const char *const types[] = { "Launched", "Registered", "Initialized", "Ready" };
    for (size_t i = 0; i < COUNT_OF(types); i++)
        condition_set(a, conditions, &(struct condition){ types[i], "True", types[i], "" }, 1,
                      clock_wall(clock_system()));
    return kube_patch(c->client, &KUBE_NODECLAIMS, NULL, key, "status", KUBE_PATCH_MERGE,
                      OBJ("status",
                          OBJ("nodeName", STR(node), "providerID", STRF("azure:///bench/%s", node),
                              "imageID", STR("bench"), "conditions", conditions)),
                      a, NULL, err);
}

static int serve_set(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct cluster *c = ctx;
    const char *ns = NULL, *name = NULL;
    kube_key_split(a, key, &ns, &name);
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(c->sets, ns, name);
    struct json *set = o ? kube_object_parse(a, o) : NULL;
    if (!set || o->deleting || json_find_int(set, 0, "status", "readyReplicas") > 0)
        return 0;
    int64_t replicas = json_find_int(set, 1, "spec", "replicas");
    for (int64_t i = 0; i < replicas; i++) {
        struct json *pod =
            OBJ("metadata",
                OBJ("name", STRF("%s-%lld", name, (long long)i), "labels",
                    json_clone(a, json_find(set, "spec", "template", "metadata", "labels")),
                    "ownerReferences", ARR(meta_controller_ref(a, set, &KUBE_STATEFULSETS))),
                "spec", OBJ("containers", ARR(OBJ("name", STR(name), "image", STR("bench")))));
        int r = create(c, a, &KUBE_PODS, pod, err);
        if (r < 0)
            return r;
    }
    return kube_patch(c->client, &KUBE_STATEFULSETS, ns, name, "status", KUBE_PATCH_MERGE,
                      OBJ("status", OBJ("replicas", INT(replicas), "readyReplicas", INT(replicas),
                                        "availableReplicas", INT(replicas))),
                      a, NULL, err);
}

static int open_log(void *ctx, const char *ns, const char *pod,
                    const struct pod_log_options *options, const struct pod_log_sink *sink,
                    struct error **err)
{
    static const char text[] =
        "2026-01-01 KAITO_BENCHMARK_CONFIG v1 {\"duration_sec\": 60, \"input_tokens\": 1024, "
        "\"output_tokens\": 256, \"max_concurrency\": 64}\n"
        "2026-01-01 KAITO_BENCHMARK_RESULT v1 {\"vllm_total_tpm\": 123456.5}\n";
    sink->write(sink->ctx, text, sizeof(text) - 1);
    sink->end(sink->ctx, NULL);
    return 0;
}

/* ---- commands ------------------------------------------------------------------------------------------------------- */

/* As large as those of a cloud are. */
static void add_foreign_nodes(struct cluster *c, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        AUTO_ARENA a = arena_new();
        struct json *images = EMPTY_ARR();
        for (int k = 0; k < 20; k++)
            json_append(images,
                        OBJ("names", ARR(STRF("registry.example.com/team/image-%d:v1.%d", k, k)),
                            "sizeBytes", INT(100000000 + k)));
        struct json *node =
            parse(a, arena_printf(a,
                                  "{'metadata':{'name':'foreign-%lld','labels':{'kubernetes.io/os':"
                                  "'linux','kubernetes.io/arch':'amd64','kubernetes.io/hostname':"
                                  "'foreign-%lld','node.kubernetes.io/instance-type':"
                                  "'Standard_D4s_v5','topology.kubernetes.io/zone':'eastus-1',"
                                  "'topology.kubernetes.io/region':'eastus','agentpool':'pool1'}},"
                                  "'spec':{'providerID':'azure:///x/%lld'}}",
                                  (long long)i, (long long)i, (long long)i));
        struct json *status =
            json_clone(a, json_get(parse(a, arena_printf(a, GPU_STATUS, "True")), "status"));
        json_set(a, status, "images", images);
        json_set(a, node, "status", status);
        struct error *err = NULL;
        must(create(c, a, &KUBE_NODES, node, &err), err);
    }
}

static void add_foreign_pods(struct cluster *c, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        AUTO_ARENA a = arena_new();
        struct json *pod =
            parse(a, arena_printf(a,
                                  "{'metadata':{'name':'foreign-%lld','labels':{'app':'web'}},"
                                  "'spec':{'nodeName':'foreign-%lld','containers':[{'name':'web',"
                                  "'image':'nginx:1'}]}}",
                                  (long long)i, (long long)(i % 1000)));
        struct error *err = NULL;
        must(create(c, a, &KUBE_PODS, pod, &err), err);
    }
}

static void add_workspaces(struct cluster *c, int64_t from, int64_t to, double seconds)
{
    int64_t began = now();
    for (int64_t i = from; i < to; i++) {
        double due = seconds * (double)(i - from) / (double)(to - from) * (double)NS_PER_S;
        while (now() - began < (int64_t)due)
            usleep(200);
        AUTO_ARENA a = arena_new();
        char name[MAX_NAME];
        snprintf(name, sizeof(name), "b-%04lld", (long long)i);
        struct json *resource =
            OBJ("labelSelector", OBJ("matchLabels", OBJ("apps", STR(c->byo ? "bench" : name))));
        if (!c->byo)
            json_set_str(a, resource, "instanceType", INSTANCE_TYPE);
        struct json *ws = OBJ("apiVersion", STR("kaito.sh/v1beta1"), "kind", STR("Workspace"),
                              "metadata", OBJ("name", STR(name)), "resource", resource, "inference",
                              OBJ("preset", OBJ("name", STR(PRESET))));
        struct error *err = NULL;
        {
            LOCK(&c->lock);
            progress_of(c, name)->created = now();
        }
        must(create(c, a, &KUBE_WORKSPACES, ws, &err), err);
    }
}

static int compare_doubles(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

struct summary {
    size_t ready, claimed, twice;
    double *latencies;
};

static struct summary summarise(struct cluster *c, struct arena *a, int64_t from, int64_t to)
{
    struct summary s = { .latencies = arena_zalloc(a, (size_t)(to - from + 1) * sizeof(double)) };
    LOCK(&c->lock);
    for (int64_t i = from; i < to; i++) {
        char name[MAX_NAME];
        snprintf(name, sizeof(name), "b-%04lld", (long long)i);
        const struct progress *p = progress_of(c, name);
        s.ready += p->ready > 0;
        s.twice += p->claims > 1;
        if (p->claims > 0)
            s.latencies[s.claimed++] = (double)(p->claimed - p->created) / (double)NS_PER_S;
    }
    qsort(s.latencies, s.claimed, sizeof(double), compare_doubles);
    return s;
}

static void wait_ready(struct cluster *c, int64_t from, int64_t to, int64_t seconds)
{
    AUTO_ARENA a = arena_new();
    int64_t began = now();
    struct summary s;
    for (;;) {
        arena_reset(a);
        s = summarise(c, a, from, to);
        if (s.ready == (size_t)(to - from) || now() - began > seconds * NS_PER_S)
            break;
        usleep(1000);
    }
    size_t last = s.claimed > 0 ? s.claimed - 1 : 0;
    printf("{\"ready\":%zu,\"readyS\":%.4f,\"claimed\":%zu,\"p50S\":%.5f,\"p99S\":%.5f,"
           "\"maxS\":%.5f,\"twice\":%zu}\n",
           s.ready, (double)(now() - began) / (double)NS_PER_S, s.claimed,
           s.latencies[MIN(last, s.claimed / 2)], s.latencies[MIN(last, s.claimed * 99 / 100)],
           s.latencies[last], s.twice);
}

static void touch(struct cluster *c, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) {
        AUTO_ARENA a = arena_new();
        struct error *err = NULL;
        must(kube_patch(c->client, &KUBE_WORKSPACES, NS, arena_printf(a, "b-%04lld", (long long)i),
                        NULL, KUBE_PATCH_MERGE,
                        OBJ("metadata",
                            OBJ("annotations", OBJ("bench/touch", STRF("%lld", (long long)now())))),
                        a, NULL, &err),
             err);
    }
}

static void make_unready(struct cluster *c, int64_t count)
{
    AUTO_ARENA a = arena_new();
    struct kube_object_list all = { 0 };
    informer_list(c->claims, NULL, NULL, &all);
    for (size_t i = 0; i < all.count && (int64_t)i < count; i++) {
        struct error *err = NULL;
        must(kube_patch(c->client, &KUBE_NODES, NULL, arena_printf(a, "n-%s", all.items[i]->name),
                        "status", KUBE_PATCH_MERGE, parse(a, arena_printf(a, GPU_STATUS, "False")),
                        a, NULL, &err),
             err);
    }
    kube_object_list_done(&all);
}

static void command(struct cluster *c, char *line)
{
    long long x = 0, y = 0, z = 0;
    double seconds = 0;
    int64_t began = now();
    if (sscanf(line, "nodes %lld", &x) == 1)
        add_foreign_nodes(c, x);
    else if (sscanf(line, "pods %lld", &x) == 1)
        add_foreign_pods(c, x);
    else if (sscanf(line, "create %lld %lld %lf", &x, &y, &seconds) == 3)
        add_workspaces(c, x, y, seconds);
    else if (sscanf(line, "touch %lld %lld", &x, &y) == 2)
        touch(c, x, y);
    else if (sscanf(line, "unready %lld", &x) == 1)
        make_unready(c, x);
    else if (sscanf(line, "wait %lld %lld %lld", &x, &y, &z) == 3) {
        wait_ready(c, x, y, z);
        return;
    } else if (!str_has_prefix(line, "version")) {
        printf("{\"error\":\"unknown command\"}\n");
        return;
    }
    printf("{\"seconds\":%.4f,\"version\":%llu}\n", (double)(now() - began) / (double)NS_PER_S,
           (unsigned long long)apiserver_resource_version(c->server));
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static void start_played_parts(struct cluster *c)
{
    c->manager = manager_new(&(struct manager_options){ .client = c->client });
    c->claims = manager_informer(c->manager, &KUBE_NODECLAIMS, NULL);
    c->sets = manager_informer(c->manager, &KUBE_STATEFULSETS, NULL);
    struct informer *workspaces = manager_informer(c->manager, &KUBE_WORKSPACES, NULL);
    informer_add_handler(workspaces, on_workspace, c);
    if (c->byo)
        informer_add_handler(c->sets, on_set, c);
    else
        informer_add_handler(c->claims, on_claim, c);
    struct controller *provisioner = controller_new(&(struct controller_options){
        .name = "provisioner", .workers = 2, .reconcile = serve_claim, .ctx = c });
    controller_watch(provisioner, c->claims);
    struct controller *kubelet = controller_new(&(struct controller_options){
        .name = "kubelet", .workers = 2, .reconcile = serve_set, .ctx = c });
    controller_watch(kubelet, c->sets);
    manager_add(c->manager, provisioner);
    manager_add(c->manager, kubelet);
    struct error *err = NULL;
    must(manager_start(c->manager, &err), err);
}

static void add_own_node(struct cluster *c)
{
    AUTO_ARENA a = arena_new();
    struct json *labels =
        OBJ("apps", STR("bench"), "nvidia.com/gpu.product", STR("NVIDIA-A10"),
            "nvidia.com/gpu.count", STR("1"), "nvidia.com/gpu.memory", STR("24512"));
    struct error *err = NULL;
    must(put_node(c, a, "own", labels, &err), err);
}

/* Which the chart makes; the manager fills it in and serves its webhooks with it. */
static void add_webhook_secret(struct cluster *c)
{
    AUTO_ARENA a = arena_new();
    struct json *secret =
        OBJ("metadata", OBJ("name", STR("workspace-webhook-cert")), "data", EMPTY_OBJ());
    struct error *err = NULL;
    int r = kube_create(c->client, &KUBE_NAMESPACES, NULL,
                        OBJ("metadata", OBJ("name", STR(SYSTEM_NS))), a, NULL, &err);
    if (r == 0)
        r = kube_create(c->client, &KUBE_SECRETS, SYSTEM_NS, secret, a, NULL, &err);
    if (r == -ERROR_ALREADY_EXISTS) /* it was killed before */
        error_free(err);
    else
        must(r, err);
}

int main(int argc, char **argv)
{
    int64_t port = 0;
    if (argc != 5 || str_to_int64(argv[4], &port) < 0) {
        fputs("usage: cluster KUBECONFIG DIR byo|claims PORT\n", stderr);
        return 2;
    }
    struct cluster c = { .byo = STREQ(argv[3], "byo"), .known = map_new(free) };
    pthread_mutex_init(&c.lock, NULL);
    log_setup(LOG_ERROR, LOG_TEXT);
    struct apiserver_pod_logs logs = { .open = open_log };
    struct error *err = NULL;
    must(apiserver_new(&(struct apiserver_options){ .data_dir = argv[2],
                                                    .service_cidr = "127.96.0.0/16",
                                                    .service_address = "127.96.0.1",
                                                    .pod_logs = &logs },
                       &c.server, &err),
         err);
    c.transport = apiserver_transport(c.server);
    c.client = kube_client_new(c.transport, NULL);
    struct operator_settings settings = { .provisioner = PROVISIONER_AZURE_GPU };
    must(crds_ensure(c.client, &err), err);
    must(crds_ensure_karpenter(c.client, &settings, &err), err);
    must(apiserver_front_start(c.server,
                               &(struct apiserver_front_options){ .address = "127.0.0.1",
                                                                  .port = (uint16_t)port,
                                                                  .kubeconfig_path = argv[1] },
                               &c.front, &err),
         err);
    add_webhook_secret(&c);
    start_played_parts(&c);
    if (c.byo)
        add_own_node(&c);
    printf("{\"port\":%u}\n", apiserver_front_port(c.front));
    fflush(stdout);
    char line[256];
    while (fgets(line, sizeof(line), stdin)) {
        command(&c, line);
        fflush(stdout);
    }
    manager_stop(c.manager);
    manager_free(c.manager);
    kube_client_free(c.client);
    apiserver_front_stop(c.front);
    kube_transport_free(c.transport);
    apiserver_free(c.server);
    map_free(c.known);
    return 0;
}
