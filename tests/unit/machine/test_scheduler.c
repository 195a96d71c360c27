#include "machine/scheduler.h"

#include "machine_test.h"

static const char node_yaml[] =
    "metadata: {name: n1, labels: {zone: a, size: '4', gpu: 'yes'}}\n"
    "spec: {taints: TAINTS, unschedulable: CORDONED}\n"
    "status: {allocatable: {cpu: '2', memory: 4Gi, pods: '3', nvidia.com/gpu: '1'}}\n";

#define AFFINITY(key, op, values)                                                                  \
    "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "                   \
    "{nodeSelectorTerms: [{matchExpressions: [{key: " key ", operator: " op ", values: " values    \
    "}]}]}}}"
#define NO_MATCH                                                                                   \
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: "   \
    "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
#define TAINTED(what)                                                                              \
    "0/1 nodes are available: 1 node(s) had untolerated taint {" what                              \
    "}. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
#define FULL(what)                                                                                 \
    "0/1 nodes are available: " what                                                               \
    ". preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
#define TAINT "[{key: k, value: v, effect: NoSchedule}]"

static const struct {
    const char *taints;
    const char *cordoned;
    const char *spec; /* of the pod */
    const char *want; /* NULL: it fits */
} cases[] = {
    { "[]", "false", "{}", NULL },
    { "[]", "true", "{}",
      "0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1 nodes are available: 1 Preemption is not helpful for "
      "scheduling." },
    { "[]", "true", "{tolerations: [{operator: Exists}]}", NULL },
    { "[]", "false", "{nodeSelector: {zone: a}}", NULL },
    { "[]", "false", "{nodeSelector: {zone: b}}", NO_MATCH },
    { "[]", "false", "{nodeSelector: {zone: a, none: ''}}", NO_MATCH },
    { "[]", "false", "{" AFFINITY("zone", "In", "[b, a]") "}", NULL },
    { "[]", "false", "{" AFFINITY("zone", "In", "[b]") "}", NO_MATCH },
    { "[]", "false", "{" AFFINITY("none", "In", "[b]") "}", NO_MATCH },
    { "[]", "false", "{" AFFINITY("zone", "NotIn", "[b]") "}", NULL },
    { "[]", "false", "{" AFFINITY("none", "NotIn", "[b]") "}", NULL },
    { "[]", "false", "{" AFFINITY("zone", "NotIn", "[a]") "}", NO_MATCH },
    { "[]", "false", "{" AFFINITY("gpu", "Exists", "[]") "}", NULL },
    { "[]", "false", "{" AFFINITY("gpu", "DoesNotExist", "[]") "}", NO_MATCH },
    { "[]", "false", "{" AFFINITY("none", "DoesNotExist", "[]") "}", NULL },
    { "[]", "false", "{" AFFINITY("size", "Gt", "['3']") "}", NULL },
    { "[]", "false", "{" AFFINITY("size", "Gt", "['4']") "}", NO_MATCH },
    { "[]", "false", "{" AFFINITY("size", "Lt", "['5']") "}", NULL },
    { "[]", "false", "{" AFFINITY("zone", "Lt", "['5']") "}", NO_MATCH },
    { "[]", "false",
      "{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{}, {matchFields: [{key: "
      "metadata.name, operator: In, values: [n1]}]}]}}}}",
      NULL },
    { "[]", "false",
      "{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{}]}}}}",
      NO_MATCH },
    { "[]", "false",
      "{affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}}", NULL },
    { TAINT, "false", "{}", TAINTED("k: v") },
    { TAINT, "false", "{tolerations: [{key: k, value: v}]}", NULL },
    { TAINT, "false", "{tolerations: [{key: k, operator: Equal, value: v, effect: NoSchedule}]}",
      NULL },
    { TAINT, "false", "{tolerations: [{key: k, operator: Equal, value: w}]}", TAINTED("k: v") },
    { TAINT, "false", "{tolerations: [{key: k, operator: Exists, effect: NoExecute}]}",
      TAINTED("k: v") },
    { TAINT, "false", "{tolerations: [{key: k, operator: Exists}]}", NULL },
    { "[{key: k, effect: PreferNoSchedule}]", "false", "{}", NULL },
    { "[{key: gone, effect: NoExecute}]", "false", "{}", TAINTED("gone: ") },
    { "[]", "false", "{containers: [{resources: {requests: {cpu: '1', memory: 1Gi}}}]}", NULL },
    { "[]", "false",
      "{containers: [{resources: {requests: {cpu: 1500m}}}, {resources: {requests: {cpu: 600m}}}]}",
      FULL("1 Insufficient cpu") },
    { "[]", "false", "{containers: [{resources: {requests: {cpu: '3', memory: 5Gi}}}]}",
      FULL("1 Insufficient cpu, 1 Insufficient memory") },
    { "[]", "false", "{containers: [{resources: {limits: {nvidia.com/gpu: '2'}}}]}",
      FULL("1 Insufficient nvidia.com/gpu") },
    { "[]", "false", "{containers: [{resources: {limits: {nvidia.com/gpu: '1'}}}]}", NULL },
    { "[]", "false", "{containers: [{resources: {requests: {example.com/thing: '1'}}}]}",
      FULL("1 Insufficient example.com/thing") },
    { "[]", "false", "{initContainers: [{resources: {requests: {cpu: '3'}}}], containers: [{}]}",
      FULL("1 Insufficient cpu") },
};

static void a_pod_fits_or_there_is_a_reason(void **state)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_ARENA a = arena_new();
        const char *text = str_replace(a, node_yaml, "TAINTS", cases[i].taints);
        struct json *node = yaml_of(a, str_replace(a, text, "CORDONED", cases[i].cordoned));
        struct json *pod = yaml_of(a, arena_printf(a, "spec: %s", cases[i].spec));
        const char *reason = scheduler_reason(a, pod, node, EMPTY_ARR());
        if (!str_eq(reason, cases[i].want))
            fail_msg("%s: %s", cases[i].spec, reason ? reason : "fits");
    }
}

static void others_take_room(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *node =
        yaml_of(a, str_replace(a, str_replace(a, node_yaml, "TAINTS", "[]"), "CORDONED", "false"));
    struct json *pod = yaml_of(a, "spec: {containers: [{resources: {requests: {cpu: '1'}}}]}");
    struct json *one = yaml_of(
        a,
        "[{spec: {containers: [{resources: {requests: {cpu: 1100m}}}]}, status: {phase: Running}}]");
    assert_string_equal(scheduler_reason(a, pod, node, one), FULL("1 Insufficient cpu"));
    json_set_str(a, json_get(json_at(one, 0), "status"), "phase", "Succeeded");
    assert_null(scheduler_reason(a, pod, node, one));
    struct json *three = yaml_of(a, "[{spec: {}}, {spec: {}}, {spec: {}}]");
    assert_string_equal(scheduler_reason(a, pod, node, three), FULL("1 Too many pods"));
}

UNIT_TESTS(TEST(a_pod_fits_or_there_is_a_reason), TEST(others_take_room))
