/* The whole machine against the API server in memory: objects become processes, and processes
 * become statuses. */
#include "machine/machine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/thread.h"
#include "kube/meta.h"
#include "machine_test.h"

/* Addresses of this process only: several of these tests may run on a machine at once. */
static const char *cidr(struct arena *a, int second)
{
    return arena_printf(a, "127.%d.%d.0/24", second, (int)(getpid() % 250));
}

struct box {
    const char *dir;
    bool durable; /* the API server keeps its objects below dir */
    struct arena *a;
    struct machine_logs *logs;
    struct apiserver *server;
    struct kube_transport *transport;
    struct kube_client *client;
    struct machine *machine;
};

static const char images[] = "{\"images\": [{\"match\": \"host\", \"run\": \"host\"}]}";

static void start_machine(struct box *b)
{
    struct error *err = NULL;
    struct machine_options o = {
        .client = b->client,
        .data_dir = b->dir,
        .node_name = "box",
        .shim_path = test_shim(),
        .engine_path = "/no/engines",
        .pod_cidr = cidr(b->a, 98),
    };
    if (machine_new(&o, &b->machine, &err) < 0)
        fail_msg("%s", error_message(err));
    machine_logs_bind(b->logs, b->machine);
    if (machine_start(b->machine, &err) < 0)
        fail_msg("%s", error_message(err));
}

static void stop_machine(struct box *b)
{
    machine_stop(b->machine, 2000);
    machine_logs_bind(b->logs, NULL);
    machine_free(b->machine);
    b->machine = NULL;
}

static void start_box(struct box *b)
{
    struct error *err = NULL;
    b->logs = machine_logs_new(b->dir);
    struct apiserver_options so = {
        .data_dir = b->durable ? b->dir : NULL,
        .service_cidr = cidr(b->a, 99),
        .pod_logs = machine_logs_handler(b->logs),
    };
    if (apiserver_new(&so, &b->server, &err) < 0)
        fail_msg("%s", error_message(err));
    b->transport = apiserver_transport(b->server);
    b->client = kube_client_new(b->transport, &(struct kube_client_options){ 0 });
    start_machine(b);
}

static struct box *box_new(bool durable)
{
    struct box *b = NEW0(struct box);
    void *dir = NULL;
    test_dir_setup(&dir);
    b->dir = dir;
    b->durable = durable;
    b->a = arena_new();
    write_all(arena_printf(b->a, "%s/images.json", b->dir), images);
    return b;
}

static int box_setup(void **state)
{
    struct box *b = box_new(false);
    start_box(b);
    *state = b;
    return 0;
}

/* Nothing runs yet: the test forks, and a process with threads cannot. */
static int cold_box_setup(void **state)
{
    *state = box_new(true);
    return 0;
}

/* Processes that carry the mark of this box. */
static int count_left(struct box *b)
{
    int n = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; (e = readdir(proc));) {
        char *text = NULL;
        size_t len = 0;
        if (file_read(arena_printf(b->a, "/proc/%s/environ", e->d_name), MIB, &text, &len, NULL) ==
                0 &&
            len > 0 && memmem(text, len, b->dir, strlen(b->dir)))
            n++;
        free(text);
        text = NULL;
        if (file_read(arena_printf(b->a, "/proc/%s/cmdline", e->d_name), MIB, &text, &len, NULL) ==
                0 &&
            len > 0 && memmem(text, len, b->dir, strlen(b->dir)))
            n++;
        free(text);
    }
    closedir(proc);
    return n;
}

static int box_teardown(void **state)
{
    struct box *b = *state;
    if (b->machine)
        stop_machine(b);
    int left = count_left(b);
    kube_client_free(b->client);
    kube_transport_free(b->transport);
    apiserver_free(b->server);
    machine_logs_free(b->logs);
    arena_free(b->a);
    void *dir = (void *)(uintptr_t)b->dir;
    test_dir_teardown(&dir);
    free(b);
    if (left > 0)
        fail_msg("%d processes were left", left);
    return 0;
}

static void create(struct box *b, const struct kube_resource *r, const char *yaml)
{
    struct error *err = NULL;
    struct json *v = yaml_of(b->a, yaml);
    if (kube_create(b->client, r, "default", v, b->a, NULL, &err) < 0)
        fail_msg("%s", error_message(err));
}

static void patch(struct box *b, const struct kube_resource *r, const char *name, const char *yaml)
{
    struct error *err = NULL;
    if (kube_patch(b->client, r, r->namespaced ? "default" : NULL, name, NULL, KUBE_PATCH_MERGE,
                   yaml_of(b->a, yaml), b->a, NULL, &err) < 0)
        fail_msg("%s", error_message(err));
}

static struct json *get(struct box *b, const struct kube_resource *r, const char *name)
{
    struct json *v = NULL;
    return kube_get(b->client, r, "default", name, b->a, &v, NULL) == 0 ? v : NULL;
}

static struct json *pod(struct box *b, const char *name)
{
    return get(b, &KUBE_PODS, name);
}

static const struct json *container(struct box *b, const char *name)
{
    return json_at(json_find(pod(b, name), "status", "containerStatuses"), 0);
}

static bool phase_is(struct box *b, const char *name, const char *phase)
{
    return str_eq(json_find_str(pod(b, name), "status", "phase"), phase);
}

static bool is_ready(struct box *b, const char *name)
{
    return str_eq(json_find_str(condition_find(json_find(pod(b, name), "status", "conditions"),
                                               "Ready"),
                                "status"),
                  "True");
}

static void delete (struct box *b, const struct kube_resource *r, const char *name, int64_t grace)
{
    struct kube_delete_options o = KUBE_DELETE_OPTIONS_INIT;
    o.grace_seconds = grace;
    assert_int_equal(kube_delete(b->client, r, "default", name, &o, NULL), 0);
}

/* What a stream has brought. */
struct reading {
    pthread_mutex_t lock;
    int status;
    struct buf text;
    bool over;
};

static void on_status(void *ctx, int status)
{
    ((struct reading *)ctx)->status = status;
}

static bool on_data(void *ctx, const char *data, size_t len)
{
    struct reading *r = ctx;
    LOCK(&r->lock);
    buf_append(&r->text, data, len);
    return true;
}

static void on_end(void *ctx, const struct error *err)
{
    struct reading *r = ctx;
    LOCK(&r->lock);
    if (err)
        buf_puts(&r->text, error_message(err));
    r->over = true;
}

static bool is_over(struct reading *r)
{
    LOCK(&r->lock);
    return r->over;
}

static struct kube_stream *open_log(struct box *b, const char *name, const char *query,
                                    struct reading *r)
{
    *r = (struct reading){ .lock = PTHREAD_MUTEX_INITIALIZER, .text = BUF_INIT(16 * MIB) };
    struct kube_request request = {
        .method = "GET",
        .path = arena_printf(b->a, "/api/v1/namespaces/default/pods/%s/log%s", name, query),
    };
    struct kube_stream_handler handler = {
        .on_status = on_status, .on_data = on_data, .on_end = on_end, .ctx = r
    };
    struct kube_stream *s = NULL;
    struct error *err = NULL;
    if (b->transport->ops->stream(b->transport, &request, &handler, &s, &err) < 0)
        fail_msg("%s", error_message(err));
    return s;
}

static const char *text_of(struct box *b, struct reading *r)
{
    LOCK(&r->lock);
    return arena_strdup(b->a, buf_str(&r->text));
}

/* The whole log, or the error. */
static const char *log_of(struct box *b, const char *name, const char *query)
{
    struct reading r;
    struct kube_stream *s = open_log(b, name, query, &r);
    WAIT_FOR(5000, is_over(&r));
    kube_stream_close(s);
    const char *text = text_of(b, &r);
    buf_done(&r.text);
    struct json *status = NULL;
    if (r.status >= 400 && json_parse(b->a, text, strlen(text), &status, NULL) == 0)
        return json_find_str(status, "message");
    return text;
}

static bool has_event(struct box *b, const char *name, const char *reason, const char *part)
{
    struct json *list = NULL;
    if (kube_list(b->client, &KUBE_EVENTS, &(struct kube_list_options){ .ns = "default" }, b->a,
                  &list, NULL) < 0)
        return false;
    JSON_FOREACH(it, json_get(list, "items")) {
        const char *message = json_find_str(it.value, "message");
        if (str_eq(json_find_str(it.value, "involvedObject", "name"), name) &&
            str_eq(json_find_str(it.value, "reason"), reason) && message && strstr(message, part))
            return true;
    }
    return false;
}

#define POD(name, more, script)                                                                    \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: " name "}\nspec: {" more                          \
    " containers: [{name: c, image: host, command: [sh, -c, '" script "']}]}\n"

static void a_pod_runs_and_completes(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_PODS, POD("p", "restartPolicy: Never,", "echo hello $KAITO_POD_IP; exit 0"));
    WAIT_FOR(5000, phase_is(b, "p", "Succeeded"));
    struct json *p = pod(b, "p");
    assert_string_equal(json_find_str(p, "spec", "nodeName"), "box");
    assert_string_equal(json_find_str(container(b, "p"), "state", "terminated", "reason"),
                        "Completed");
    const char *ip = json_find_str(p, "status", "podIP");
    assert_true(str_has_prefix(ip, "127.98."));
    assert_string_equal(log_of(b, "p", ""), arena_printf(b->a, "hello %s\n", ip));
    WAIT_FOR(2000, has_event(b, "p", "Scheduled", "Successfully assigned default/p to box"));
    WAIT_FOR(2000, has_event(b, "p", "Started", "Started container c"));
    delete (b, &KUBE_PODS, "p", -1);
    WAIT_FOR(2000, pod(b, "p") == NULL);
}

static void a_failing_pod_restarts_and_backs_off(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_PODS, POD("p", "", "echo no; exit 3"));
    WAIT_FOR(5000, str_eq(json_find_str(container(b, "p"), "state", "waiting", "reason"),
                          "CrashLoopBackOff"));
    const struct json *c = container(b, "p");
    assert_int_equal(json_find_int(c, -1, "restartCount"), 1);
    assert_int_equal(json_find_int(c, -1, "lastState", "terminated", "exitCode"), 3);
    assert_string_equal(log_of(b, "p", "?previous=true"), "no\n");
    WAIT_FOR(2000, has_event(b, "p", "BackOff",
                             "Back-off restarting failed container c in pod p_default("));
    delete (b, &KUBE_PODS, "p", -1);
    WAIT_FOR(2000, pod(b, "p") == NULL);
}

static void an_unmapped_image_is_explained(void **state)
{
    struct box *b = *state;
    create(
        b, &KUBE_PODS,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: nginx}]}\n");
    WAIT_FOR(5000, str_eq(json_find_str(container(b, "p"), "state", "waiting", "reason"),
                          "ErrImagePull"));
    assert_non_null(strstr(json_find_str(container(b, "p"), "state", "waiting", "message"),
                           "\"match\": \"nginx\""));
    assert_non_null(strstr(
        log_of(b, "p", ""),
        "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image"));
    WAIT_FOR(3000, str_eq(json_find_str(container(b, "p"), "state", "waiting", "reason"),
                          "ImagePullBackOff"));
}

static void a_mapping_that_comes_late_is_used_at_once(void **state)
{
    struct box *b = *state;
    create(
        b, &KUBE_PODS,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {restartPolicy: Never, containers: "
        "[{name: c, image: 'r.io/tool:1', command: ['true']}]}\n");
    WAIT_FOR(5000, json_find(container(b, "p"), "state", "waiting"));
    write_all(arena_printf(b->a, "%s/images.json", b->dir),
              "{\"images\": [{\"match\": \"r.io/*\", \"run\": \"host\"}]}");
    WAIT_FOR(1500, phase_is(b, "p", "Succeeded"));
}

static void a_missing_program_is_explained(void **state)
{
    struct box *b = *state;
    create(
        b, &KUBE_PODS,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {restartPolicy: Never, containers: [{name: c, image: host, command: "
        "[no-such-program]}]}\n");
    WAIT_FOR(5000, phase_is(b, "p", "Failed"));
    const struct json *t = json_find(container(b, "p"), "state", "terminated");
    assert_string_equal(json_find_str(t, "reason"), "StartError");
    assert_non_null(strstr(json_find_str(t, "message"),
                           "exec: \"no-such-program\": executable file not found in $PATH"));
}

static void a_configmap_that_comes_late_is_waited_for(void **state)
{
    struct box *b = *state;
    create(
        b, &KUBE_PODS,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  restartPolicy: Never\n  volumes: [{name: v, configMap: {name: "
        "cm}}]\n  containers:\n  - {name: c, image: host, command: [cat, /etc/cfg/a], volumeMounts: [{name: v, mountPath: "
        "/etc/cfg}]}\n");
    WAIT_FOR(3000, has_event(b, "p", "FailedMount", "configmap \"cm\" not found"));
    assert_true(phase_is(b, "p", "Pending"));
    create(b, &KUBE_CONFIGMAPS,
           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {a: content}\n");
    WAIT_FOR(2000, phase_is(b, "p", "Succeeded"));
    assert_string_equal(log_of(b, "p", ""), "content");
}

static void a_missing_key_is_a_config_error(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_CONFIGMAPS,
           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {a: content}\n");
    create(
        b, &KUBE_PODS,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  restartPolicy: Never\n  containers:\n  - {name: c, image: host, "
        "command: [printenv, B], env: [{name: B, valueFrom: {configMapKeyRef: {name: cm, key: b}}}]}\n");
    WAIT_FOR(3000, str_eq(json_find_str(container(b, "p"), "state", "waiting", "reason"),
                          "CreateContainerConfigError"));
    assert_string_equal(json_find_str(container(b, "p"), "state", "waiting", "message"),
                        "couldn't find key b in ConfigMap default/cm");
    patch(b, &KUBE_CONFIGMAPS, "cm", "data: {b: x}");
    WAIT_FOR(2000, phase_is(b, "p", "Succeeded"));
}

static void stopping_is_graceful(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_PODS,
           POD("p", "restartPolicy: Never,",
               "trap \"echo bye; sleep 0.3; exit 0\" TERM; echo up; while :; do sleep 0.02; done"));
    WAIT_FOR(5000, str_eq(log_of(b, "p", ""), "up\n"));
    delete (b, &KUBE_PODS, "p", -1);
    WAIT_FOR(1000, meta_deleting(pod(b, "p")) && strstr(log_of(b, "p", ""), "bye"));
    WAIT_FOR(3000, pod(b, "p") == NULL);
    assert_true(has_event(b, "p", "Killing", "Stopping container c"));
}

static void a_forced_deletion_ends_the_process_too(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_PODS, POD("p", "", "trap \"\" TERM; echo up; while :; do sleep 1; done"));
    WAIT_FOR(5000, phase_is(b, "p", "Running"));
    const char *uid = arena_strdup(b->a, meta_uid(pod(b, "p")));
    delete (b, &KUBE_PODS, "p", 0);
    assert_null(pod(b, "p"));
    WAIT_FOR(5000, !file_exists(arena_printf(b->a, "%s/pods/%s", b->dir, uid)));
    assert_int_equal(count_left(b), 0);
}

/* ---- probes and Services ------------------------------------------------------------------------------------------- */

static int listener_on(const char *ip, int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    inet_pton(AF_INET, ip, &sa.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static int try_connect(const char *ip, int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    inet_pton(AF_INET, ip, &sa.sin_addr);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool connects(const char *ip, int port)
{
    int fd = try_connect(ip, port);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void readiness_leads_to_endpoints_and_a_service_that_answers(void **state)
{
    struct box *b = *state;
    create(
        b, &KUBE_SERVICES,
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{name: http, port: 8098, "
        "targetPort: http}]}\n");
    create(
        b, &KUBE_PODS,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: web}}\nspec:\n  containers:\n  - name: c\n    image: host\n"
        "    command: [sleep, '1000']\n    ports: [{name: http, containerPort: 8099}]\n"
        "    readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}\n");
    WAIT_FOR(5000, phase_is(b, "p", "Running"));
    WAIT_FOR(3000, has_event(b, "p", "Unhealthy", "Readiness probe failed: dial tcp"));
    assert_false(is_ready(b, "p"));
    const char *cluster_ip = json_find_str(get(b, &KUBE_SERVICES, "web"), "spec", "clusterIP");
    assert_true(str_has_prefix(cluster_ip, "127.99."));
    assert_false(connects(cluster_ip, 8098));
    const char *ip = json_find_str(pod(b, "p"), "status", "podIP");
    AUTO_FD listener = listener_on(ip, 8099);
    WAIT_FOR(3000, is_ready(b, "p"));
    WAIT_FOR(1000, connects(cluster_ip, 8098));
    AUTO_FD client = try_connect(cluster_ip, 8098);
    assert_true(client >= 0);
    const struct json *subset = json_at(json_get(get(b, &KUBE_ENDPOINTS, "web"), "subsets"), 0);
    assert_string_equal(json_find_str(json_at(json_get(subset, "addresses"), 0), "ip"), ip);
    delete (b, &KUBE_PODS, "p", 1);
    WAIT_FOR(3000, !connects(cluster_ip, 8098));
}

static void liveness_restarts(void **state)
{
    struct box *b = *state;
    create(
        b, &KUBE_PODS,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: c\n"
        "    image: host\n    command: [sh, -c, 'echo $HOSTNAME; exec sleep 1000']\n"
        "    livenessProbe: {exec: {command: [sh, -c, 'echo broken; exit 1']}, periodSeconds: 1, failureThreshold: 1}\n");
    WAIT_FOR(8000, json_find_int(container(b, "p"), 0, "restartCount") >= 1);
    assert_true(has_event(b, "p", "Unhealthy", "Liveness probe failed: broken"));
    assert_true(
        has_event(b, "p", "Killing", "Container c failed liveness probe, will be restarted"));
}

/* ---- StatefulSets -------------------------------------------------------------------------------------------------- */

static const char set_yaml[] =
    "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: s}\nspec:\n  replicas: 2\n"
    "  podManagementPolicy: Parallel\n  serviceName: s\n  selector: {matchLabels: {app: s}}\n"
    "  template:\n    metadata: {labels: {app: s}}\n"
    "    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, "
    "'1000']}]}\n";

static int64_t set_status(struct box *b, const char *field)
{
    return json_find_int(get(b, &KUBE_STATEFULSETS, "s"), 0, "status", field);
}

static void a_statefulset_becomes_processes(void **state)
{
    struct box *b = *state;
    int64_t begin = clock_mono(clock_system());
    create(b, &KUBE_STATEFULSETS, set_yaml);
    WAIT_FOR(5000, set_status(b, "readyReplicas") == 2);
    int64_t ms = (clock_mono(clock_system()) - begin) / NS_PER_MS;
    print_message("two replicas ready after %d ms\n", (int)ms);
    WAIT_FOR(1000,
             set_status(b, "availableReplicas") == 2 && set_status(b, "updatedReplicas") == 2);
    patch(b, &KUBE_STATEFULSETS, "s", "spec: {replicas: 1}");
    WAIT_FOR(5000, pod(b, "s-1") == NULL && set_status(b, "replicas") == 1);
    assert_non_null(pod(b, "s-0"));
    /* A new template rolls out. */
    const char *uid = arena_strdup(b->a, meta_uid(pod(b, "s-0")));
    patch(b, &KUBE_STATEFULSETS, "s", "spec: {template: {metadata: {annotations: {v: '2'}}}}");
    WAIT_FOR(5000, pod(b, "s-0") && !str_eq(meta_uid(pod(b, "s-0")), uid) && is_ready(b, "s-0"));
    WAIT_FOR(2000,
             str_eq(json_find_str(get(b, &KUBE_STATEFULSETS, "s"), "status", "currentRevision"),
                    json_find_str(get(b, &KUBE_STATEFULSETS, "s"), "status", "updateRevision")));
    delete (b, &KUBE_STATEFULSETS, "s", -1);
    WAIT_FOR(5000, pod(b, "s-0") == NULL);
}

static const struct json *scheduled(struct box *b, const char *name)
{
    return condition_find(json_find(pod(b, name), "status", "conditions"), "PodScheduled");
}

static void a_pod_that_does_not_fit_says_why(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_PODS, POD("p", "nodeSelector: {disk: fast},", "sleep 1000"));
    WAIT_FOR(3000,
             has_event(b, "p", "FailedScheduling", "didn't match Pod's node affinity/selector"));
    WAIT_FOR(3000, str_eq(json_find_str(scheduled(b, "p"), "reason"), "Unschedulable"));
    patch(b, &KUBE_NODES, "box", "metadata: {labels: {disk: fast}}");
    WAIT_FOR(3000, phase_is(b, "p", "Running"));
    WAIT_FOR(3000, str_eq(json_find_str(scheduled(b, "p"), "status"), "True"));
}

/* ---- starting again ------------------------------------------------------------------------------------------------ */

static void pods_run_again_after_a_clean_stop(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_PODS, POD("p", "restartPolicy: Never,", "echo run; exec sleep 1000"));
    WAIT_FOR(5000, phase_is(b, "p", "Running"));
    stop_machine(b);
    assert_int_equal(count_left(b), 0);
    start_machine(b);
    WAIT_FOR(5000, json_find_int(container(b, "p"), 0, "restartCount") == 1 &&
                       json_find(container(b, "p"), "state", "running"));
    assert_true(phase_is(b, "p", "Running"));
}

/* Runs `work` in a process of its own with this box, and kills it in the middle of its life. */
static void live_and_be_killed(struct box *b, void (*work)(struct box *b))
{
    pid_t child = fork();
    if (child == 0) {
        start_box(b);
        work(b);
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void make_three_pods(struct box *b)
{
    create(b, &KUBE_PODS,
           POD("runs", "restartPolicy: Never,",
               "echo start; while ! test -e ../../../../volumes/go; do sleep 0.01; done; exit 7"));
    create(b, &KUBE_PODS,
           POD("ends", "restartPolicy: Never,",
               "echo start; while ! test -e ../../../../volumes/go; do sleep 0.01; done; exit 8"));
    create(b, &KUBE_PODS, POD("leaves", "restartPolicy: Never,", "sleep 1000 & exec sleep 1001"));
    WAIT_FOR(5000, phase_is(b, "runs", "Running") && phase_is(b, "ends", "Running") &&
                       phase_is(b, "leaves", "Running"));
    WAIT_FOR(5000,
             str_eq(log_of(b, "runs", ""), "start\n") && str_eq(log_of(b, "ends", ""), "start\n"));
    write_all(arena_printf(b->a, "%s/uid", b->dir), meta_uid(pod(b, "ends")));
}

/* Lets a pod's container end: the file it waits for. */
static void let_go(struct box *b, const char *uid)
{
    const char *volumes = arena_printf(b->a, "%s/pods/%s/volumes", b->dir, uid);
    file_mkdirs(volumes, 0755, NULL);
    write_all(arena_printf(b->a, "%s/go", volumes), "");
}

static void a_killed_machine_loses_nothing_and_runs_nothing_twice(void **state)
{
    struct box *b = *state;
    live_and_be_killed(b, make_three_pods);
    /* One ends while nobody is there. */
    const char *uid = read_all(b->a, arena_printf(b->a, "%s/uid", b->dir));
    let_go(b, uid);
    const char *dir = arena_printf(b->a, "%s/pods/%s/containers/c/0/state.json", b->dir, uid);
    WAIT_FOR(5000, strstr(read_all(b->a, dir), "finishedAt") != NULL);
    start_box(b);
    WAIT_FOR(5000, phase_is(b, "ends", "Failed"));
    assert_int_equal(json_find_int(container(b, "ends"), 0, "state", "terminated", "exitCode"), 8);
    assert_true(phase_is(b, "runs", "Running") && phase_is(b, "leaves", "Running"));
    assert_string_equal(log_of(b, "runs", ""), "start\n");
    assert_int_equal(json_find_int(container(b, "runs"), -1, "restartCount"), 0);
    let_go(b, meta_uid(pod(b, "runs")));
    WAIT_FOR(5000, phase_is(b, "runs", "Failed"));
    assert_int_equal(json_find_int(container(b, "runs"), 0, "state", "terminated", "exitCode"), 7);
    delete (b, &KUBE_PODS, "leaves", 1);
    WAIT_FOR(5000, pod(b, "leaves") == NULL);
    assert_int_equal(count_left(b), 0);
}

static void make_one_pod(struct box *b)
{
    create(b, &KUBE_PODS, POD("p", "", "sleep 1000 & exec sleep 1001"));
    WAIT_FOR(5000, phase_is(b, "p", "Running"));
}

static int count_entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void a_pod_that_was_deleted_meanwhile_is_ended(void **state)
{
    struct box *b = *state;
    live_and_be_killed(b, make_one_pod);
    assert_true(count_left(b) > 0);
    /* The objects are gone: another API server, the same directory. */
    b->durable = false;
    start_box(b);
    WAIT_FOR(5000, count_left(b) == 0);
    WAIT_FOR(5000, count_entries(arena_printf(b->a, "%s/pods", b->dir)) == 0);
}

static void the_node_is_described(void **state)
{
    struct box *b = *state;
    struct json *node = NULL;
    assert_int_equal(kube_get(b->client, &KUBE_NODES, NULL, "box", b->a, &node, NULL), 0);
    assert_string_equal(meta_label(node, "kubernetes.io/hostname"), "box");
    assert_string_equal(meta_label(node, "kubernetes.io/os"), "linux");
    assert_string_equal(json_find_str(condition_find(json_find(node, "status", "conditions"),
                                                     "Ready"),
                                      "status"),
                        "True");
    assert_non_null(json_find_str(node, "status", "capacity", "memory"));
    struct json *lease = NULL;
    WAIT_FOR(2000,
             kube_get(b->client, &KUBE_LEASES, "kube-node-lease", "box", b->a, &lease, NULL) == 0);
}

static void nothing_is_written_when_nothing_changes(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_STATEFULSETS, set_yaml);
    WAIT_FOR(5000, set_status(b, "availableReplicas") == 2);
    usleep(500000);
    uint64_t before = apiserver_commits(b->server);
    usleep(1500000);
    assert_true(apiserver_commits(b->server) - before <= 1); /* a lease, perhaps */
}

static void a_log_is_followed_to_its_end(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_PODS,
           POD("p", "restartPolicy: Never,",
               "echo one; while ! test -e ../../../../volumes/go; do sleep 0.01; done; echo two"));
    WAIT_FOR(5000, phase_is(b, "p", "Running"));
    struct reading r;
    struct kube_stream *s = open_log(b, "p", "?follow=true", &r);
    WAIT_FOR(3000, str_eq(text_of(b, &r), "one\n"));
    const char *volumes = arena_printf(b->a, "%s/pods/%s/volumes", b->dir, meta_uid(pod(b, "p")));
    file_mkdirs(volumes, 0755, NULL);
    write_all(arena_printf(b->a, "%s/go", volumes), "");
    WAIT_FOR(3000, is_over(&r));
    assert_string_equal(text_of(b, &r), "one\ntwo\n");
    kube_stream_close(s);
    buf_done(&r.text);
}

static void a_follower_does_not_hold_the_machine_up(void **state)
{
    struct box *b = *state;
    create(b, &KUBE_PODS, POD("p", "", "echo one; exec sleep 1000"));
    WAIT_FOR(5000, phase_is(b, "p", "Running"));
    struct reading r;
    struct kube_stream *s = open_log(b, "p", "?follow=true", &r);
    WAIT_FOR(3000, str_eq(text_of(b, &r), "one\n"));
    stop_machine(b);
    WAIT_FOR(3000, is_over(&r));
    kube_stream_close(s);
    buf_done(&r.text);
}

static void logs_are_asked_for_in_the_servers_words(void **state)
{
    struct box *b = *state;
    create(
        b, &KUBE_PODS,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  restartPolicy: Never\n  containers:\n"
        "  - {name: a, image: host, command: [sh, -c, 'echo one; echo two; echo three']}\n"
        "  - {name: b, image: host, command: [sh, -c, 'echo b']}\n");
    WAIT_FOR(5000, phase_is(b, "p", "Succeeded"));
    assert_non_null(strstr(log_of(b, "p", ""),
                           "a container name must be specified for pod p, choose one of: [a b]"));
    assert_non_null(strstr(log_of(b, "p", "?container=x"), "container x is not valid for pod p"));
    assert_string_equal(log_of(b, "p", "?container=a"), "one\ntwo\nthree\n");
    assert_string_equal(log_of(b, "p", "?container=a&tailLines=2"), "two\nthree\n");
    assert_string_equal(log_of(b, "p", "?container=a&tailLines=0"), "");
    assert_string_equal(log_of(b, "p", "?container=a&limitBytes=5"), "one\nt");
    assert_string_equal(log_of(b, "p", "?container=a&follow=true"), "one\ntwo\nthree\n");
    assert_string_equal(log_of(b, "p", "?container=a&sinceTime=2100-01-01T00:00:00Z"), "");
    assert_string_equal(log_of(b, "p", "?container=a&sinceSeconds=3600&tailLines=1"), "three\n");
    assert_true(
        str_has_prefix(strchr(log_of(b, "p", "?container=a&timestamps=true"), ' '), " one\n"));
    assert_non_null(strstr(log_of(b, "p", "?container=a&previous=true"),
                           "previous terminated container \"a\" in pod \"p\" not found"));
}

#define BOX(fn) cmocka_unit_test_setup_teardown(fn, box_setup, box_teardown)
#define COLD_BOX(fn) cmocka_unit_test_setup_teardown(fn, cold_box_setup, box_teardown)

UNIT_TESTS(BOX(a_pod_runs_and_completes), BOX(a_failing_pod_restarts_and_backs_off),
           BOX(an_unmapped_image_is_explained), BOX(a_mapping_that_comes_late_is_used_at_once),
           BOX(a_missing_program_is_explained), BOX(a_configmap_that_comes_late_is_waited_for),
           BOX(a_missing_key_is_a_config_error), BOX(stopping_is_graceful),
           BOX(a_forced_deletion_ends_the_process_too),
           BOX(readiness_leads_to_endpoints_and_a_service_that_answers), BOX(liveness_restarts),
           BOX(a_statefulset_becomes_processes), BOX(a_pod_that_does_not_fit_says_why),
           BOX(pods_run_again_after_a_clean_stop),
           COLD_BOX(a_killed_machine_loses_nothing_and_runs_nothing_twice),
           COLD_BOX(a_pod_that_was_deleted_meanwhile_is_ended), BOX(the_node_is_described),
           BOX(nothing_is_written_when_nothing_changes), BOX(a_log_is_followed_to_its_end),
           BOX(a_follower_does_not_hold_the_machine_up),
           BOX(logs_are_asked_for_in_the_servers_words))
