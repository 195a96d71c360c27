/* The controller of MultiRoleInferences together with that of InferenceSets; the test plays
 * everybody else. */
#include "base/str.h"
#include "kube/meta.h"
#include "set_world.h"

#define M(name)                                                                                    \
    "{'metadata':{'name':'" name "'},'spec':{'labelSelector':{'matchLabels':{'apps':'m'}},"        \
    "'model':{'name':'phi-4-mini-instruct'},'roles':[{'type':'prefill','replicas':1,"              \
    "'instanceType':'Standard_NC24ads_A100_v4'},{'type':'decode','replicas':2,'instanceType':"     \
    "'Standard_NC24ads_A100_v4'}]}}"

static void start(struct set_world *w, bool gateway)
{
    set_world_start(w);
    w->settings.gates.on[GATE_MULTI_ROLE] = true;
    w->settings.gates.on[GATE_GATEWAY_API] = gateway;
    set_world_serve_kind(w, &KUBE_OCI_REPOSITORIES);
    set_world_serve_kind(w, &KUBE_HELM_RELEASES);
    set_world_run(w);
}

static const struct json *wait(struct set_world *w, const char *type, const char *status,
                               const char *reason, const char *part)
{
    return set_world_wait(w, &KUBE_MULTI_ROLE_INFERENCES, NS, "m", type, status, reason, part);
}

static struct json *set_of(struct set_world *w, const char *name)
{
    return set_world_get(w, &KUBE_INFERENCE_SETS, NS, name);
}

static bool has_event(struct set_world *w, const char *reason)
{
    for (int i = 0; i < 20; i++) {
        JSON_FOREACH(it, set_world_list(w, &KUBE_EVENTS, NS, NULL))
            if (str_eq(json_find_str(it.value, "reason"), reason) &&
                str_eq(json_find_str(it.value, "source", "component"),
                       "KAITO-MultiRoleInference-controller"))
                return true;
        set_world_settle(w);
    }
    return false;
}

static void both_roles_are_made_and_go(void **state)
{
    struct set_world w;
    start(&w, true);
    set_world_create(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, M("m"));
    set_world_wait_children(&w, NS, "m-prefill", 1);
    set_world_wait_children(&w, NS, "m-decode", 2);
    wait(&w, "PrefillReady", "False", "PrefillNotReady", "0/1 replicas are ready");
    wait(&w, "Ready", "False", "NotReady", NULL);
    JSON_FOREACH(it, set_world_children(&w, NS, "m-decode")) {
        assert_string_equal(meta_label(it.value, "kaito.sh/inference-role"), "decode");
        assert_string_equal(meta_label(it.value, "multiroleinference.kaito.sh/created-by"), "m");
        assert_string_equal(json_find_str(it.value, "resource", "labelSelector", "matchLabels",
                                          "kaito.sh/inference-role"),
                            "decode");
    }
    set_world_serve_all(&w, NS, "m-prefill");
    wait(&w, "PrefillReady", "True", "PrefillReady", NULL);
    set_world_serve_all(&w, NS, "m-decode");
    wait(&w, "DecodeReady", "True", "DecodeReady", NULL);
    wait(&w, "InferencePoolReady", "False", "InferencePoolNotReady", "OCIRepository");
    const char *ready = "{'status':{'conditions':[{'type':'Ready','status':'True'}]}}";
    set_world_patch(&w, &KUBE_OCI_REPOSITORIES, NS, "m-inferencepool", "status", ready);
    set_world_patch(&w, &KUBE_HELM_RELEASES, NS, "m-inferencepool", "status", ready);
    const struct json *m = wait(&w, "Ready", "True", "Ready", NULL);
    assert_int_equal(json_find_int(m, 0, "status", "observedGeneration"), 1);
    assert_true(has_event(&w, "Reconciled"));
    set_world_settle(&w);
    unsigned writes = set_world_writes(&w);
    set_world_settle(&w);
    assert_int_equal(set_world_writes(&w), writes);

    set_world_delete(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, "m");
    set_world_wait_gone(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, "m");
    assert_null(set_of(&w, "m-prefill"));
    assert_null(set_of(&w, "m-decode"));
    set_world_wait_children(&w, NS, "m-decode", 0);
    assert_true(has_event(&w, "Deleted"));
    set_world_stop(&w);
}

/* It waits for its InferenceSets, however long they take. */
static void its_sets_go_first(void **state)
{
    struct set_world w;
    start(&w, false);
    set_world_create(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, M("m"));
    set_world_wait_children(&w, NS, "m-decode", 2);
    set_world_settle(&w);
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "m-decode", NULL,
                    "{'metadata':{'finalizers':['test/hold','inferenceset.finalizer.kaito.sh']}}");
    set_world_delete(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, "m");
    set_world_wait_gone(&w, &KUBE_INFERENCE_SETS, NS, "m-prefill");
    set_world_settle(&w);
    assert_non_null(set_world_get(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, "m"));
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "m-decode", NULL,
                    "{'metadata':{'finalizers':null}}");
    set_world_wait_gone(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, "m");
    set_world_stop(&w);
}

static void changes_reach_the_sets(void **state)
{
    struct set_world w;
    start(&w, false);
    set_world_create(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, M("m"));
    set_world_wait_children(&w, NS, "m-decode", 2);
    wait(&w, "InferencePoolReady", "True", "InferencePoolReady", "gate");
    set_world_patch(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, "m", NULL,
                    "{'metadata':{'annotations':{'a':'b'}},'spec':{'roles':[{'type':'prefill',"
                    "'replicas':2,'runtimeConfig':'cm','instanceType':'Standard_NC24ads_A100_v4'},"
                    "{'type':'decode','instanceType':'Standard_NC24ads_A100_v4'}]}}");
    set_world_wait_children(&w, NS, "m-prefill", 2);
    set_world_settle(&w);
    const struct json *set = set_of(&w, "m-prefill");
    assert_string_equal(json_find_str(set, "spec", "template", "inference", "config"), "cm");
    assert_string_equal(meta_annotation(set, "a"), "b");
    /* without a number somebody else may scale it */
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "m-decode", "scale", "{'spec':{'replicas':1}}");
    set_world_wait_children(&w, NS, "m-decode", 1);
    set_world_settle(&w);
    assert_int_equal(json_find_int(set_of(&w, "m-decode"), 0, "spec", "replicas"), 1);
    /* with one nobody may; and a deleted one is made again */
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "m-prefill", "scale", "{'spec':{'replicas':5}}");
    set_world_settle(&w);
    assert_int_equal(json_find_int(set_of(&w, "m-prefill"), 0, "spec", "replicas"), 2);
    set_world_delete(&w, &KUBE_INFERENCE_SETS, NS, "m-prefill");
    set_world_settle(&w);
    assert_non_null(set_of(&w, "m-prefill"));
    set_world_wait_children(&w, NS, "m-prefill", 2);
    /* what is removed is removed there too */
    set_world_patch(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, "m", NULL,
                    "{'spec':{'roles':[{'type':'prefill','replicas':2,'instanceType':"
                    "'Standard_NC24ads_A100_v4'},{'type':'decode','instanceType':"
                    "'Standard_NC24ads_A100_v4'}]}}");
    set_world_settle(&w);
    assert_null(json_find(set_of(&w, "m-prefill"), "spec", "template", "inference", "config"));
    set_world_stop(&w);
}

static void a_set_of_somebody_else_is_left_alone(void **state)
{
    struct set_world w;
    start(&w, false);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("m-decode", "0"));
    set_world_create(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, M("m"));
    wait(&w, "DecodeReady", "False", "DecodeNotReady", "does not belong");
    set_world_delete(&w, &KUBE_INFERENCE_SETS, NS, "m-decode");
    set_world_wait_children(&w, NS, "m-decode", 2);
    set_world_stop(&w);
}

static void plugins_come_from_a_config_map(void **state)
{
    struct set_world w;
    start(&w, true);
    struct json *m = set_world_parse(&w, M("m"));
    json_set_str(w.a, json_get(m, "spec"), "eppPluginsConfig", "mine");
    kube_create(w.client, &KUBE_MULTI_ROLE_INFERENCES, NS, m, w.a, NULL, NULL);
    wait(&w, "InferencePoolReady", "False", "InferencePoolNotReady", "no ConfigMap mine");
    set_world_create(&w, &KUBE_CONFIGMAPS, NS,
                     "{'metadata':{'name':'mine'},'data':{'config.yaml':'plugins: []'}}");
    wait(&w, "InferencePoolReady", "False", NULL, "waiting for Flux");
    set_world_patch(&w, &KUBE_CONFIGMAPS, NS, "mine", NULL,
                    "{'data':{'config.yaml':'plugins: [a]'}}");
    set_world_settle(&w);
    const struct json *release = set_world_get(&w, &KUBE_HELM_RELEASES, NS, "m-inferencepool");
    assert_string_equal(json_find_str(release, "spec", "values", "router", "epp",
                                      "pluginsCustomConfig", "config.yaml"),
                        "plugins: [a]");
    set_world_stop(&w);
}

UNIT_TESTS(TEST(both_roles_are_made_and_go), TEST(its_sets_go_first), TEST(changes_reach_the_sets),
           TEST(a_set_of_somebody_else_is_left_alone), TEST(plugins_come_from_a_config_map))
