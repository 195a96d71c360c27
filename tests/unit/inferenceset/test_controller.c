/* The controller with its threads against the embedded API server; the test plays everybody else.
 */
#include <unistd.h>

#include "base/str.h"
#include "kube/meta.h"
#include "metrics/metrics.h"
#include "set_world.h"

static const struct json *wait_ready(struct set_world *w, const char *name)
{
    return set_world_wait(w, &KUBE_INFERENCE_SETS, NS, name, "InferenceSetReady", "True",
                          "inferencesetReady", NULL);
}

static const struct json *wait_not_ready(struct set_world *w, const char *name, const char *part)
{
    return set_world_wait(w, &KUBE_INFERENCE_SETS, NS, name, "InferenceSetReady", "False",
                          "inferencesetNotReady", part);
}

static void nothing_is_written_while_nothing_changes(struct set_world *w)
{
    set_world_settle(w);
    unsigned writes = set_world_writes(w);
    uint64_t commits = apiserver_commits(w->server);
    usleep(1200000);
    assert_int_equal(set_world_writes(w), writes);
    assert_int_equal(apiserver_commits(w->server), commits);
}

static const char *child(struct set_world *w, size_t n)
{
    return meta_name(json_at(set_world_children(w, NS, "is"), n));
}

/* ---- how many ---------------------------------------------------------------------------------------------------------- */

static void it_scales_up_and_down(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "1"));
    set_world_wait_children(&w, NS, "is", 1);
    wait_not_ready(&w, "is", "0/1 replicas are ready");
    const struct json *ws = json_at(set_world_children(&w, NS, "is"), 0);
    assert_int_equal(strlen(meta_name(ws)), 8);
    assert_true(str_has_prefix(meta_name(ws), "is-"));
    assert_string_equal(json_find_str(ws, "metadata", "generateName"), "is-");
    assert_string_equal(meta_label(ws, "inferenceset.kaito.sh/created-by"), "is");
    assert_string_equal(json_find_str(ws, "resource", "instanceType"), "Standard_NC24ads_A100_v4");
    assert_string_equal(json_find_str(meta_controller_of(ws), "kind"), "InferenceSet");
    set_world_serve_all(&w, NS, "is");
    const struct json *set = wait_ready(&w, "is");
    assert_int_equal(json_find_int(set, 0, "status", "readyReplicas"), 1);
    assert_int_equal(json_find_int(set, 0, "status", "replicas"), 1);
    assert_string_equal(json_find_str(set, "status", "selector"),
                        "inferenceset.kaito.sh/created-by=is");
    assert_string_equal(json_find_str(set, "status", "performance", "metrics",
                                      "aggregatedPeakTokensPerMinute", "value"),
                        "123456.50");
    assert_true(meta_has_finalizer(set, "inferenceset.finalizer.kaito.sh"));
    assert_true(condition_is(json_find(set, "status", "conditions"), "BenchmarkCompleted", "True"));

    /* as kubectl scale does */
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", "scale", "{'spec':{'replicas':3}}");
    set_world_wait_children(&w, NS, "is", 3);
    wait_not_ready(&w, "is", "1/3 replicas are ready");
    set_world_serve_all(&w, NS, "is");
    set = wait_ready(&w, "is");
    assert_string_equal(meta_annotation(set, "inferenceset.kaito.io/revision"), "2");
    nothing_is_written_while_nothing_changes(&w);

    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", "scale", "{'spec':{'replicas':1}}");
    set_world_wait_children(&w, NS, "is", 1);
    set = wait_ready(&w, "is");
    assert_string_equal(meta_annotation(set, "inferenceset.kaito.io/revision"), "1");
    nothing_is_written_while_nothing_changes(&w);
    assert_true(set_world_writes(&w) <= 20);
    set_world_stop(&w);
}

static void it_scales_to_zero_and_back(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "1"));
    set_world_wait_children(&w, NS, "is", 1);
    set_world_serve_all(&w, NS, "is");
    wait_ready(&w, "is");
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL, "{'spec':{'replicas':0}}");
    set_world_wait_children(&w, NS, "is", 0);
    set_world_settle(&w);
    const struct json *set = wait_ready(&w, "is");
    assert_int_equal(json_find_int(set, -1, "spec", "replicas"), 0);
    assert_null(json_find(set, "status", "readyReplicas"));
    assert_null(json_find(set, "status", "performance"));
    assert_string_equal(json_find_str(set, "status", "selector"),
                        "inferenceset.kaito.sh/created-by=is");
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL, "{'spec':{'replicas':1}}");
    set_world_wait_children(&w, NS, "is", 1);
    set_world_serve_all(&w, NS, "is");
    wait_ready(&w, "is");
    set_world_stop(&w);
}

/* T21 */
static void a_set_without_replicas_has_one(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    struct json *set = set_world_parse(&w, SET("is", "9"));
    json_del(json_get(set, "spec"), "replicas");
    kube_create(w.client, &KUBE_INFERENCE_SETS, NS, set, w.a, NULL, NULL);
    set_world_wait_children(&w, NS, "is", 1);
    set_world_settle(&w);
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 1);
    struct error *err = NULL;
    int r = kube_create(w.client, &KUBE_INFERENCE_SETS, NS, set_world_parse(&w, SET("no", "-1")),
                        w.a, NULL, &err);
    assert_error(r, err, ERROR_INVALID, "spec.replicas");
    set_world_stop(&w);
}

static void those_that_do_not_serve_go_first(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "3"));
    set_world_wait_children(&w, NS, "is", 3);
    const char *serving = arena_strdup(w.a, child(&w, 1));
    set_world_serve(&w, NS, serving, NULL, true);
    wait_not_ready(&w, "is", "1/3");
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL, "{'spec':{'replicas':1}}");
    set_world_wait_children(&w, NS, "is", 1);
    assert_string_equal(child(&w, 0), serving);
    wait_ready(&w, "is");
    set_world_stop(&w);
}

static void what_others_delete_is_made_again(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "2"));
    set_world_wait_children(&w, NS, "is", 2);
    set_world_settle(&w);
    for (int i = 0; i < 5; i++) {
        const struct json *ws = json_at(set_world_children(&w, NS, "is"), (size_t)i % 2);
        set_world_delete(&w, &KUBE_WORKSPACES, NS, meta_name(ws));
        set_world_settle(&w);
        assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
    }
    set_world_stop(&w);
}

/* It holds its nodes until its finalizer is gone, and is replaced all the same. */
static void one_that_does_not_go_is_replaced(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "1"));
    set_world_wait_children(&w, NS, "is", 1);
    const char *first = arena_strdup(w.a, child(&w, 0));
    set_world_patch(&w, &KUBE_WORKSPACES, NS, first, NULL,
                    "{'metadata':{'finalizers':['test/hold']}}");
    set_world_delete(&w, &KUBE_WORKSPACES, NS, first);
    set_world_wait_children(&w, NS, "is", 2);
    nothing_is_written_while_nothing_changes(&w);
    set_world_delete(&w, &KUBE_INFERENCE_SETS, NS, "is");
    set_world_wait_gone(&w, &KUBE_INFERENCE_SETS, NS, "is");
    set_world_wait_children(&w, NS, "is", 1);
    set_world_patch(&w, &KUBE_WORKSPACES, NS, first, NULL, "{'metadata':{'finalizers':null}}");
    set_world_wait_gone(&w, &KUBE_WORKSPACES, NS, first);
    set_world_stop(&w);
}

/* T12 */
static void equal_names_in_two_namespaces_do_not_mix(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_create(&w, &KUBE_NAMESPACES, NULL, "{'metadata':{'name':'other'}}");
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("a", "2"));
    set_world_create(&w, &KUBE_INFERENCE_SETS, "other", SET("a", "1"));
    set_world_wait_children(&w, NS, "a", 2);
    set_world_wait_children(&w, "other", "a", 1);
    set_world_serve_all(&w, "other", "a");
    set_world_wait(&w, &KUBE_INFERENCE_SETS, "other", "a", "InferenceSetReady", "True", NULL, NULL);
    wait_not_ready(&w, "a", "0/2");
    set_world_delete(&w, &KUBE_INFERENCE_SETS, "other", "a");
    set_world_wait_children(&w, "other", "a", 0);
    set_world_settle(&w);
    assert_int_equal(json_size(set_world_children(&w, NS, "a")), 2);
    set_world_stop(&w);
}

/* What the Go operator made, with names that it drew, is taken over as it is. */
static void children_of_the_go_operator_are_taken_over(void **state)
{
    struct set_world w;
    set_world_start(&w);
    const struct json *set = set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "2"));
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "is-zzzzz" : "is-bbbbb";
        set_world_create(
            &w, &KUBE_WORKSPACES, NS,
            arena_printf(w.a,
                         "{'metadata':{'name':'%s','labels':{'inferenceset.kaito.sh/created-by':"
                         "'is'},'ownerReferences':[{'apiVersion':'kaito.sh/v1beta1','kind':"
                         "'InferenceSet','name':'is','uid':'%s','controller':true}]},'resource':"
                         "{'labelSelector':{'matchLabels':{'apps':'x'}}},'inference':{'preset':"
                         "{'name':'phi-4-mini-instruct','presetOptions':{}},'adapters':[{'source':"
                         "{'name':'left','image':'behind'}}]}}",
                         name, meta_uid(set)));
        set_world_serve(&w, NS, name, NULL, true);
    }
    uint64_t before = apiserver_resource_version(w.server);
    set_world_run(&w);
    set = wait_ready(&w, "is");
    set_world_settle(&w);
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
    JSON_FOREACH(it, set_world_children(&w, NS, "is")) {
        int64_t version = 0;
        assert_int_equal(str_to_int64(meta_resource_version(it.value), &version), 0);
        assert_true((uint64_t)version <= before);
    }
    set_world_stop(&w);
}

/* As one takes a pod out of a ReplicaSet to look at it. */
static void one_without_the_label_counts_no_more(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "2"));
    set_world_wait_children(&w, NS, "is", 2);
    set_world_settle(&w);
    const char *out = arena_strdup(w.a, child(&w, 0));
    set_world_patch(&w, &KUBE_WORKSPACES, NS, out, NULL,
                    "{'metadata':{'labels':{'inferenceset.kaito.sh/created-by':null}}}");
    for (int i = 0; i < 200 && json_size(set_world_children(&w, NS, "is")) < 2; i++)
        usleep(5000);
    nothing_is_written_while_nothing_changes(&w);
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
    assert_null(meta_label(set_world_get(&w, &KUBE_WORKSPACES, NS, out),
                           "inferenceset.kaito.sh/created-by"));
    set_world_delete(&w, &KUBE_INFERENCE_SETS, NS, "is");
    set_world_wait_gone(&w, &KUBE_WORKSPACES, NS, out);
    set_world_stop(&w);
}

static void orphans_are_adopted(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_create(&w, &KUBE_WORKSPACES, NS,
                     "{'metadata':{'name':'is-alone','labels':{'inferenceset.kaito.sh/created-by':"
                     "'is'}},'resource':{'labelSelector':{'matchLabels':{'apps':'x'}}},'inference':"
                     "{'preset':{'name':'phi-4-mini-instruct'}}}");
    set_world_run(&w);
    const struct json *set = set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "2"));
    set_world_wait_children(&w, NS, "is", 2);
    set_world_settle(&w);
    assert_true(
        meta_controlled_by(set_world_get(&w, &KUBE_WORKSPACES, NS, "is-alone"), meta_uid(set)));
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
    set_world_stop(&w);
}

static void the_limit_of_nodes_is_kept(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    struct json *set = set_world_parse(&w, SET("is", "3"));
    json_set_int(w.a, json_get(set, "spec"), "nodeCountLimit", 2);
    kube_create(w.client, &KUBE_INFERENCE_SETS, NS, set, w.a, NULL, NULL);
    set_world_wait_children(&w, NS, "is", 2);
    set_world_wait(&w, &KUBE_INFERENCE_SETS, NS, "is", "NodeCountLimited", "True",
                   "NodeCountLimitReached", "no more than 2 are made");
    set_world_serve_all(&w, NS, "is");
    wait_not_ready(&w, "is", "2/3 replicas are ready; 3 replicas need 3 nodes");
    nothing_is_written_while_nothing_changes(&w);
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
    /* what is there stays, what goes does not come back */
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL, "{'spec':{'nodeCountLimit':1}}");
    set_world_settle(&w);
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
    set_world_delete(&w, &KUBE_WORKSPACES, NS, child(&w, 0));
    set_world_settle(&w);
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 1);
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL, "{'spec':{'nodeCountLimit':null}}");
    set_world_wait_children(&w, NS, "is", 3);
    set_world_serve_all(&w, NS, "is");
    const struct json *done = wait_ready(&w, "is");
    assert_null(condition_find(json_find(done, "status", "conditions"), "NodeCountLimited"));
    set_world_stop(&w);
}

/* T23 */
static void names_that_cannot_work_make_nothing(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("1st", "1"));
    set_world_wait(&w, &KUBE_INFERENCE_SETS, NS, "1st", "InferenceSetReady", "False",
                   "inferencesetFailed", "choose another one");
    set_world_settle(&w);
    assert_int_equal(json_size(set_world_children(&w, NS, "1st")), 0);
    set_world_delete(&w, &KUBE_INFERENCE_SETS, NS, "1st");
    set_world_wait_gone(&w, &KUBE_INFERENCE_SETS, NS, "1st");
    set_world_stop(&w);
}

/* ---- deletion ---------------------------------------------------------------------------------------------------------- */

static void it_goes_with_its_children(void **state)
{
    static const char *const orders[] = { "at once", "child first", "foreground" };
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        struct set_world w;
        set_world_start(&w);
        set_world_run(&w);
        set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "2"));
        set_world_wait_children(&w, NS, "is", 2);
        if (STREQ(orders[i], "child first"))
            set_world_delete(&w, &KUBE_WORKSPACES, NS, child(&w, 0));
        struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
        options.propagation =
            STREQ(orders[i], "foreground") ? KUBE_FOREGROUND : KUBE_PROPAGATION_DEFAULT;
        assert_int_equal(kube_delete(w.client, &KUBE_INFERENCE_SETS, NS, "is", &options, NULL), 0);
        set_world_wait_gone(&w, &KUBE_INFERENCE_SETS, NS, "is");
        set_world_wait_children(&w, NS, "is", 0);
        set_world_settle(&w);
        assert_int_equal(json_size(set_world_list(&w, &KUBE_CONTROLLER_REVISIONS, NS, NULL)), 0);
        assert_int_equal(json_size(set_world_children(&w, NS, "is")), 0);
        set_world_stop(&w);
    }
}

static void another_finalizer_holds_it_and_it_says_so(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "1"));
    set_world_wait_children(&w, NS, "is", 1);
    set_world_settle(&w);
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                    "{'metadata':{'finalizers':['test/hold','inferenceset.finalizer.kaito.sh']}}");
    set_world_delete(&w, &KUBE_INFERENCE_SETS, NS, "is");
    set_world_wait(&w, &KUBE_INFERENCE_SETS, NS, "is", "InferenceSetDeleting", "True", NULL, NULL);
    set_world_wait_children(&w, NS, "is", 0);
    inference_set_collect(w.sets);
    struct metric *m = metric_gauge("kaito_inferenceset_count", NULL, NULL);
    assert_true(metric_value(m, "deleting") == 1);
    assert_true(metric_value(m, "succeeded") == 0);
    nothing_is_written_while_nothing_changes(&w);
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL, "{'metadata':{'finalizers':null}}");
    set_world_wait_gone(&w, &KUBE_INFERENCE_SETS, NS, "is");
    set_world_stop(&w);
}

/* ---- changes of the template -------------------------------------------------------------------------------------------- */

static size_t with_adapters(struct set_world *w)
{
    size_t n = 0;
    JSON_FOREACH(it, set_world_children(w, NS, "is"))
        n += json_size(json_find(it.value, "inference", "adapters"));
    return n;
}

/* Those that were changed last, or not yet: the others follow only when these serve. */
static void serve_with(struct set_world *w, bool adapters)
{
    JSON_FOREACH(it, set_world_children(w, NS, "is"))
        if (adapters == (json_size(json_find(it.value, "inference", "adapters")) > 0))
            set_world_serve(w, NS, meta_name(it.value), NULL, true);
}

/* T9: of several replicas one after the other, so that the model goes on answering. */
static void adapters_reach_one_workspace_after_the_other(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "3"));
    set_world_wait_children(&w, NS, "is", 3);
    set_world_serve_all(&w, NS, "is");
    wait_ready(&w, "is");
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                    "{'spec':{'template':{'inference':{'adapters':[{'source':{'name':'a','image':"
                    "'r/a'}}]}}}}");
    for (size_t n = 1; n <= 3; n++) {
        set_world_settle(&w);
        assert_int_equal(with_adapters(&w), n);
        serve_with(&w, true);
    }
    wait_ready(&w, "is");
    nothing_is_written_while_nothing_changes(&w);
    /* and back */
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                    "{'spec':{'template':{'inference':{'adapters':null}}}}");
    for (size_t n = 3; n-- > 0;) {
        set_world_settle(&w);
        assert_int_equal(with_adapters(&w), n);
        serve_with(&w, false);
    }
    set_world_stop(&w);
}

static void another_preset_needs_other_workspaces(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "2"));
    set_world_wait_children(&w, NS, "is", 2);
    set_world_serve_all(&w, NS, "is");
    wait_ready(&w, "is");
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                    "{'spec':{'template':{'inference':{'preset':{'name':'phi-4'}}}}}");
    for (size_t n = 1; n <= 2; n++) {
        size_t changed = 0;
        set_world_settle(&w);
        JSON_FOREACH(it, set_world_children(&w, NS, "is"))
            changed += str_eq(json_find_str(it.value, "inference", "preset", "name"), "phi-4");
        assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
        assert_int_equal(changed, n);
        JSON_FOREACH(it, set_world_children(&w, NS, "is"))
            if (str_eq(json_find_str(it.value, "inference", "preset", "name"), "phi-4"))
                set_world_serve(&w, NS, meta_name(it.value), NULL, true);
    }
    wait_ready(&w, "is");
    set_world_stop(&w);
}

static void labels_and_annotations_reach_all_at_once(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "2"));
    set_world_wait_children(&w, NS, "is", 2);
    set_world_patch(
        &w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
        "{'metadata':{'annotations':{'kaito.sh/disable-benchmark':'true'},'labels':"
        "{'kaito.sh/inference-role':'decode'}},'spec':{'template':{'metadata':{'labels':"
        "{'team':'b'},'annotations':{'x':'y'}}}}}");
    set_world_settle(&w);
    JSON_FOREACH(it, set_world_children(&w, NS, "is")) {
        assert_string_equal(meta_label(it.value, "team"), "b");
        assert_string_equal(meta_label(it.value, "kaito.sh/inference-role"), "decode");
        assert_string_equal(meta_annotation(it.value, "x"), "y");
        assert_string_equal(meta_annotation(it.value, "kaito.sh/disable-benchmark"), "true");
    }
    const struct json *set = set_world_get(&w, &KUBE_INFERENCE_SETS, NS, "is");
    assert_null(condition_find(json_find(set, "status", "conditions"), "BenchmarkCompleted"));
    set_world_stop(&w);
}

static void at_most_ten_revisions_are_kept(void **state)
{
    struct set_world w;
    set_world_start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "0"));
    for (int i = 1; i <= 14; i++) {
        set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                        arena_printf(w.a, "{'spec':{'nodeCountLimit':%d}}", i));
        set_world_settle(&w);
    }
    assert_int_equal(json_size(set_world_list(&w, &KUBE_CONTROLLER_REVISIONS, NS, NULL)), 10);
    set_world_stop(&w);
}

UNIT_TESTS(TEST(it_scales_up_and_down), TEST(it_scales_to_zero_and_back),
           TEST(a_set_without_replicas_has_one), TEST(those_that_do_not_serve_go_first),
           TEST(what_others_delete_is_made_again), TEST(one_that_does_not_go_is_replaced),
           TEST(equal_names_in_two_namespaces_do_not_mix),
           TEST(children_of_the_go_operator_are_taken_over),
           TEST(one_without_the_label_counts_no_more), TEST(orphans_are_adopted),
           TEST(the_limit_of_nodes_is_kept), TEST(names_that_cannot_work_make_nothing),
           TEST(it_goes_with_its_children), TEST(another_finalizer_holds_it_and_it_says_so),
           TEST(adapters_reach_one_workspace_after_the_other),
           TEST(another_preset_needs_other_workspaces),
           TEST(labels_and_annotations_reach_all_at_once), TEST(at_most_ten_revisions_are_kept))
