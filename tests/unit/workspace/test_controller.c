/* The controller with its threads against the embedded API server; the test plays everybody else.
 */
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "kube/meta.h"
#include "world.h"

#define GEMMA(name)                                                                                \
    "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace','metadata':{'name':'" name                \
    "'},'resource':{'labelSelector':{'matchLabels':{'apps':'x'}}},'inference':{'preset':{'name':'gemma-3-270m'}}}"
#define TEMPLATE(name)                                                                                                         \
    "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace','metadata':{'name':'" name                                            \
    "'},'resource':{'labelSelector':{'matchLabels':{'apps':'x'}}},'inference':{'template':{'spec':{'containers':[{'name':'c'," \
    "'image':'nginx'}]}}}}"

static void nothing_is_written_while_nothing_changes(struct world *w)
{
    world_settle(w);
    unsigned writes = world_writes(w);
    uint64_t commits = apiserver_commits(w->server);
    usleep(1200000);
    assert_int_equal(world_writes(w), writes);
    assert_int_equal(apiserver_commits(w->server), commits);
}

static void a_preset_becomes_ready_and_goes_again(void **state)
{
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'apps':'x'}");
    world_add_model(&w, "gemma-3-270m");
    world_start_controller(&w);
    world_create(&w, &KUBE_WORKSPACES, world_parse(&w, GEMMA("w")));
    struct json *set = world_wait_exists(&w, &KUBE_STATEFULSETS, "w");
    assert_string_equal(json_find_str(json_at(json_find(set, "spec", "template", "spec",
                                                        "containers"),
                                              0),
                                      "image"),
                        "mcr.microsoft.com/aks/kaito/kaito-llama-cpp:" KAITO_VERSION);
    world_wait_exists(&w, &KUBE_SERVICES, "w");
    assert_string_equal(json_find_str(world_wait_exists(&w, &KUBE_SERVICES, "w-headless"), "spec",
                                      "clusterIP"),
                        "None");
    world_wait_condition(&w, "w", "InferenceReady", "False", "WorkspaceInferenceStatusPending",
                         NULL);
    world_set_ready(&w, "w", 1);
    const struct json *ws =
        world_wait_condition(&w, "w", "WorkspaceSucceeded", "True", "workspaceSucceeded", NULL);
    assert_string_equal(workspace_state(ws), "Ready");
    assert_int_equal(json_find_int(ws, 0, "status", "targetNodeCount"), 1);
    assert_string_equal(meta_annotation(ws, "workspace.kaito.io/revision"), "1");
    assert_true(meta_has_finalizer(ws, "workspace.finalizer.kaito.sh"));
    world_settle(&w);
    assert_true(world_writes(&w) <= 12);
    nothing_is_written_while_nothing_changes(&w);

    world_delete(&w, &KUBE_WORKSPACES, NS, "w");
    world_wait_gone(&w, &KUBE_WORKSPACES, "w");
    world_wait_gone(&w, &KUBE_STATEFULSETS, "w");
    world_wait_gone(&w, &KUBE_SERVICES, "w");
    world_stop(&w);
}

static void it_waits_for_a_node_without_asking(void **state)
{
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'kubernetes.io/os':'linux'}");
    world_start_controller(&w);
    world_create(&w, &KUBE_WORKSPACES, world_parse(&w, TEMPLATE("w")));
    world_wait_condition(&w, "w", "ResourceReady", "False", "workspaceResourceStatusNotReady",
                         "`kubectl label node box apps=x`");
    nothing_is_written_while_nothing_changes(&w);
    assert_true(controller_idle(workspace_controller_inner(w.controller), 3600 * 1000));
    assert_null(world_get(&w, &KUBE_STATEFULSETS, NS, "w"));

    /* heartbeats are no news */
    world_patch(
        &w, &KUBE_NODES, NULL, "box", "status",
        "{'status':{'conditions':[{'type':'Ready','status':'True','reason':'KubeletReady','lastHeartbeatTime':"
        "'2026-01-01T00:01:00Z'}]}}");
    world_settle(&w);
    world_patch(&w, &KUBE_NODES, NULL, "box", NULL, "{'metadata':{'labels':{'apps':'x'}}}");
    world_wait_exists(&w, &KUBE_STATEFULSETS, "w");
    world_set_ready(&w, "w", 1);
    world_wait_condition(&w, "w", "WorkspaceSucceeded", "True", NULL, NULL);

    world_patch(
        &w, &KUBE_NODES, NULL, "box", "status",
        "{'status':{'conditions':[{'type':'Ready','status':'Unknown','reason':'NodeStatusUnknown'}]}}");
    const struct json *ws =
        world_wait_condition(&w, "w", "ResourceReady", "False", NULL, "NodeStatusUnknown");
    assert_string_equal(workspace_state(ws), "NotReady");
    world_stop(&w);
}

static void it_goes_on_when_the_model_appears(void **state)
{
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'apps':'x'}");
    world_start_controller(&w);
    world_create(&w, &KUBE_WORKSPACES, world_parse(&w, GEMMA("w")));
    world_wait_condition(&w, "w", "InferenceReady", "False", "ModelNotFound",
                         "kaito models pull gemma-3-270m");
    nothing_is_written_while_nothing_changes(&w);
    const char *path = arena_printf(w.a, "%s/gemma-3-270m.gguf", w.models_dir);
    assert_int_equal(file_write_atomic(path, "<html>", 6, 0644, NULL), 0);
    world_wait_condition(&w, "w", "InferenceReady", "False", "ModelInvalid", "not a GGUF file");
    nothing_is_written_while_nothing_changes(&w);
    assert_null(world_get(&w, &KUBE_STATEFULSETS, NS, "w"));
    world_add_model(&w, "gemma-3-270m");
    world_wait_exists(&w, &KUBE_STATEFULSETS, "w");
    world_stop(&w);
}

/* T10 */
static void a_wrong_preset_is_final(void **state)
{
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'apps':'x'}");
    world_start_controller(&w);
    struct json *ws = world_parse(&w, GEMMA("w"));
    json_set_str(w.a, json_find(ws, "inference", "preset"), "name", "gemma-3-270");
    world_create(&w, &KUBE_WORKSPACES, ws);
    world_wait_condition(&w, "w", "InferenceReady", "False", "PresetUnknown", "gemma-3-270m");
    world_wait_condition(&w, "w", "WorkspaceSucceeded", "False", "workspaceFailed", NULL);
    nothing_is_written_while_nothing_changes(&w);
    assert_true(controller_idle(workspace_controller_inner(w.controller), 3600 * 1000));
    assert_null(world_get(&w, &KUBE_SERVICES, NS, "w"));
    world_stop(&w);
}

static void objects_of_others_are_left_alone(void **state)
{
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'apps':'x'}");
    world_create(&w, &KUBE_SERVICES,
                 world_parse(&w, "{'metadata':{'name':'w'},'spec':{'ports':[{'port':80}]}}"));
    world_start_controller(&w);
    world_create(&w, &KUBE_WORKSPACES, world_parse(&w, TEMPLATE("w")));
    world_wait_condition(&w, "w", "InferenceReady", "False", "NameConflict", "Service w");
    nothing_is_written_while_nothing_changes(&w);
    assert_null(world_get(&w, &KUBE_STATEFULSETS, NS, "w"));
    world_delete(&w, &KUBE_SERVICES, NS, "w");
    world_wait_exists(&w, &KUBE_STATEFULSETS, "w");
    assert_string_equal(json_find_str(meta_controller_of(world_get(&w, &KUBE_SERVICES, NS, "w")),
                                      "kind"),
                        "Workspace");
    world_stop(&w);
}

static void what_others_delete_is_made_again(void **state)
{
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'apps':'x'}");
    world_start_controller(&w);
    world_create(&w, &KUBE_WORKSPACES, world_parse(&w, TEMPLATE("w")));
    const char *uid = meta_uid(world_wait_exists(&w, &KUBE_STATEFULSETS, "w"));
    world_settle(&w);
    world_delete(&w, &KUBE_STATEFULSETS, NS, "w");
    world_delete(&w, &KUBE_SERVICES, NS, "w-headless");
    world_settle(&w);
    assert_string_not_equal(meta_uid(world_wait_exists(&w, &KUBE_STATEFULSETS, "w")), uid);
    world_wait_exists(&w, &KUBE_SERVICES, "w-headless");
    world_stop(&w);
}

static void pods_that_fail_are_explained(void **state)
{
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'apps':'x'}");
    world_start_controller(&w);
    world_create(&w, &KUBE_WORKSPACES, world_parse(&w, TEMPLATE("w")));
    world_wait_exists(&w, &KUBE_STATEFULSETS, "w");
    world_set_ready(&w, "w", 1);
    world_wait_condition(&w, "w", "InferenceReady", "True", NULL, NULL);
    world_create(
        &w, &KUBE_PODS,
        world_parse(
            &w,
            "{'metadata':{'name':'w-0','labels':{'kaito.sh/workspace':'w'}},'spec':{'containers':[{'name':"
            "'c','image':'nginx'}]}}"));
    world_set_ready(&w, "w", 0);
    world_patch(
        &w, &KUBE_PODS, NS, "w-0", "status",
        "{'status':{'phase':'Running','containerStatuses':[{'name':'c','image':'nginx','imageID':'','ready':false,"
        "'restartCount':12,'state':{'waiting':{'reason':'CrashLoopBackOff'}},'lastState':{'terminated':{'reason':"
        "'OOMKilled','exitCode':137}}}]}}");
    const struct json *ws =
        world_wait_condition(&w, "w", "InferenceReady", "False", "ContainerOOMKilled", "OOMKilled");
    assert_string_equal(workspace_state(ws), "NotReady");
    nothing_is_written_while_nothing_changes(&w);
    world_stop(&w);
}

static void a_refused_object_is_explained(void **state)
{
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'apps':'x'}");
    world_start_controller(&w);
    struct json *ws = world_parse(&w, TEMPLATE("w"));
    json_set(w.a, json_find(ws, "inference", "template", "spec"), "containers",
             json_new_array(w.a));
    world_create(&w, &KUBE_WORKSPACES, ws);
    world_wait_condition(&w, "w", "InferenceReady", "False", NULL,
                         "last reconcile error: creating StatefulSet w");
    world_stop(&w);
}

static void a_changed_specification_reaches_the_pods(void **state)
{
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'apps':'x'}");
    world_start_controller(&w);
    world_create(&w, &KUBE_WORKSPACES, world_parse(&w, TEMPLATE("w")));
    world_wait_exists(&w, &KUBE_STATEFULSETS, "w");
    world_settle(&w);
    world_patch(
        &w, &KUBE_WORKSPACES, NS, "w", NULL,
        "{'inference':{'template':{'spec':{'containers':[{'name':'c','image':'nginx:2'}]}}}}");
    world_settle(&w);
    struct json *set = world_get(&w, &KUBE_STATEFULSETS, NS, "w");
    assert_string_equal(json_find_str(json_at(json_find(set, "spec", "template", "spec",
                                                        "containers"),
                                              0),
                                      "image"),
                        "nginx:2");
    assert_string_equal(meta_annotation(set, "workspace.kaito.io/revision"), "2");
    const struct json *ws = world_get(&w, &KUBE_WORKSPACES, NS, "w");
    JSON_FOREACH(it, json_find(ws, "status", "conditions"))
        assert_int_equal(json_find_int(it.value, 0, "observedGeneration"), meta_generation(ws));
    nothing_is_written_while_nothing_changes(&w);
    world_stop(&w);
}

static void many_come_up_with_few_requests(void **state)
{
    enum { COUNT = 40, PER_WORKSPACE = 8 };
    struct world w;
    world_start(&w);
    world_add_node(&w, "box", "{'apps':'x'}");
    world_start_controller(&w);
    for (int i = 0; i < COUNT; i++) {
        struct json *ws = world_parse(&w, TEMPLATE("w"));
        json_set_str(w.a, json_get(ws, "metadata"), "name", arena_printf(w.a, "w%d", i));
        world_create(&w, &KUBE_WORKSPACES, ws);
    }
    for (int i = 0; i < COUNT; i++) {
        const char *name = arena_printf(w.a, "w%d", i);
        world_wait_exists(&w, &KUBE_STATEFULSETS, name);
        world_set_ready(&w, name, 1);
    }
    for (int i = 0; i < COUNT; i++)
        world_wait_condition(&w, arena_printf(w.a, "w%d", i), "WorkspaceSucceeded", "True", NULL,
                             NULL);
    nothing_is_written_while_nothing_changes(&w);
    if (world_writes(&w) > COUNT * PER_WORKSPACE)
        fail_msg("%u writes for %d Workspaces", world_writes(&w), COUNT);
    assert_true(controller_idle(workspace_controller_inner(w.controller), 3600 * 1000));
    world_stop(&w);
}

UNIT_TESTS(TEST(a_preset_becomes_ready_and_goes_again), TEST(it_waits_for_a_node_without_asking),
           TEST(it_goes_on_when_the_model_appears), TEST(a_wrong_preset_is_final),
           TEST(objects_of_others_are_left_alone), TEST(what_others_delete_is_made_again),
           TEST(pods_that_fail_are_explained), TEST(a_refused_object_is_explained),
           TEST(a_changed_specification_reaches_the_pods), TEST(many_come_up_with_few_requests))
