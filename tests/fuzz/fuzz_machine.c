/* The machine's decisions on objects of any shape: {"pod", "node", "others", "set", "pods",
 * "revisions", "service", "endpoints"}. The API server lets only valid ones in; nothing here may
 * rely on that. */
#include "base/clock.h"
#include "fuzz.h"
#include "machine/endpoints.h"
#include "machine/node.h"
#include "machine/pod.h"
#include "machine/podenv.h"
#include "machine/proxy.h"
#include "machine/scheduler.h"
#include "machine/statefulset.h"
#include "json/json.h"

#define NOW (INT64_C(1767366245) * NS_PER_S)

/* Plays some ends and starts with the pod. */
static void try_pod(struct arena *a, struct json *pod)
{
    struct container containers[8];
    size_t n = 0;
    JSON_FOREACH(it, json_find(pod, "spec", "initContainers")) {
        if (n < 4)
            container_init(&containers[n++], it.value, true);
    }
    JSON_FOREACH(it, json_find(pod, "spec", "containers")) {
        if (n < COUNT_OF(containers))
            container_init(&containers[n++], it.value, false);
    }
    for (int round = 0; round < 12; round++) {
        struct pod_view v = { .pod = pod,
                              .containers = containers,
                              .count = n,
                              .ip = "127.97.0.1",
                              .host_ip = "127.0.0.1",
                              .start_time_ns = NOW,
                              .now_wall = NOW + round * NS_PER_S,
                              .now_mono = round * 20 * NS_PER_S };
        struct pod_plan plan;
        pod_decide(a, &v, &plan);
        must(json_is_object(plan.status));
        must(plan.action_count <= 2 * n + 1);
        for (size_t i = 0; i < plan.action_count; i++) {
            struct container *c = &containers[plan.actions[i].index];
            must((plan.actions[i].what == POD_START) == !container_alive(c));
            if (plan.actions[i].what == POD_START) {
                container_set_starting(c, v.now_mono);
                container_set_running(c, v.now_wall, v.now_mono);
            } else {
                struct container_end end = { .exit_code = round % 3,
                                             .started_ns = NOW,
                                             .finished_ns = NOW };
                container_set_exited(c, &end, v.now_mono);
            }
        }
        if (n > 0 && container_alive(&containers[round % n]) && round % 2) {
            struct container_end end = { .exit_code = round % 3,
                                         .started_ns = NOW,
                                         .finished_ns = NOW };
            container_set_exited(&containers[round % n], &end, v.now_mono);
        }
    }
    for (size_t i = 0; i < n; i++)
        container_done(&containers[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    struct json *v = NULL;
    if (size > 64 * KIB || json_parse(a, (const char *)data, size, &v, NULL) < 0)
        return 0;
    try_pod(a, json_get(v, "pod"));
    scheduler_reason(a, json_get(v, "pod"), json_get(v, "node"), json_get(v, "others"));
    struct json *e =
        endpoints_decide(a, json_get(v, "service"), json_get(v, "pods"), json_get(v, "endpoints"));
    proxy_backends(a, json_at(json_find(v, "service", "spec", "ports"), 0),
                   e ? e : json_get(v, "endpoints"));
    pod_uses_source(json_get(v, "pod"), "configmaps", "cm");
    if (json_find_int(v, 0, "set", "spec", "replicas") < 100) {
        struct statefulset_view view = { .set = json_get(v, "set"),
                                         .pods = json_get(v, "pods"),
                                         .revisions = json_get(v, "revisions"),
                                         .now_wall = NOW };
        struct statefulset_plan plan;
        statefulset_decide(a, &view, &plan);
        must(json_is_object(plan.status));
    }
    struct node_facts f = { .cpus = 1, .architecture = "amd64", .os_image = "x", .kernel = "x" };
    node_decide(a, "n", &f, json_get(v, "node"), NOW);
    return 0;
}
