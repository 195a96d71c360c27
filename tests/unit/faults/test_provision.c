/* Nodes that are made: never one too many, whatever the caches show and whoever deletes what; no
 * write while they are awaited; and a cluster without Karpenter's CRDs is one like any other. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "cmd/crds.h"
#include "kube/meta.h"
#include "stage.h"

#define WORKSPACE                                                                                  \
    "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace','metadata':{'name':'w'},'resource':"      \
    "{'instanceType':'Standard_NC24ads_A100_v4','count':%d,"                                       \
    "'labelSelector':{'matchLabels':{'apps':'x'}}},"                                               \
    "'inference':{'template':{'spec':{'containers':[{'name':'c','image':'nginx'}]}}}}"

/* ---- the world ------------------------------------------------------------------------------------------------------ */

static void install_crds(struct stage *s)
{
    struct error *err = NULL;
    if (crds_ensure_karpenter(s->w.client, &s->w.settings, &err) < 0)
        fail_msg("CRDs: %s", error_message(err));
}

static void open_without_crds(struct stage *s)
{
    stage_open(s);
    s->w.settings.models_dir = NULL;
    s->w.settings.provisioner = PROVISIONER_AZURE_GPU;
    s->w.settings.image_family = "";
}

static void open(struct stage *s)
{
    open_without_crds(s);
    install_crds(s);
    stage_live(s);
    s->calls.counted = "nodeclaims";
}

static void create(struct stage *s, const char *name, int count)
{
    struct json *ws = world_parse(&s->w, arena_printf(s->w.a, WORKSPACE, count));
    json_set_str(s->w.a, json_get(ws, "metadata"), "name", name);
    struct workqueue *q = controller_queue(workspace_controller_inner(s->controller));
    size_t before = workqueue_len(q);
    world_create(&s->w, &KUBE_WORKSPACES, ws);
    /* right after the start the watch may not be open yet */
    for (int i = 0; i < 5000 && workqueue_len(q) == before; i++)
        usleep(1000);
}

static struct json *claims(struct stage *s)
{
    struct json *list = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r = kube_list(s->w.client, &KUBE_NODECLAIMS, NULL, s->w.a, &list, &err);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        fail_msg("%s", error_message(err));
    return json_get(list, "items");
}

static void set_claim(struct stage *s, const char *name, const char *status)
{
    world_patch(&s->w, &KUBE_NODECLAIMS, NULL, name, "status", status);
}

#define CONDITION(type, status, reason, message)                                                   \
    "{'type':'" type "','status':'" status "','reason':'" reason "','message':'" message           \
    "','lastTransitionTime':'2026-01-01T00:00:00Z'}"

static void set_node(struct stage *s, const char *node, const char *ready, int gpus)
{
    world_patch(&s->w, &KUBE_NODES, NULL, node, "status",
                arena_printf(s->w.a,
                             "{'status':{'capacity':{'nvidia.com/gpu':'%d'},"
                             "'conditions':[{'type':'Ready','status':'%s','reason':'x'}]}}",
                             gpus, ready));
}

/* The machine of a NodeClaim comes up; `ready` says whether its kubelet is. */
static const char *serve(struct stage *s, const struct json *claim, const char *ready)
{
    struct arena *a = s->w.a;
    const char *node = arena_printf(a, "n-%s", meta_name(claim));
    set_claim(s, meta_name(claim),
              arena_printf(a, "{'status':{'nodeName':'%s','conditions':[%s]}}", node,
                           CONDITION("Ready", "True", "Ready", "")));
    struct json *labels = json_clone(a, json_find(claim, "metadata", "labels"));
    json_set_str(a, labels, "node.kubernetes.io/instance-type", "Standard_NC24ads_A100_v4");
    world_create(&s->w, &KUBE_NODES, OBJ("metadata", OBJ("name", STR(node), "labels", labels)));
    set_node(s, node, ready, 1);
    return node;
}

static const struct json *condition(struct stage *s, const char *type)
{
    const struct json *ws = world_get(&s->w, &KUBE_WORKSPACES, NS, "w");
    return condition_find(json_find(ws, "status", "conditions"), type);
}

static void expect(struct stage *s, const char *type, const char *status, const char *reason,
                   const char *part)
{
    const struct json *c = condition(s, type);
    if (!c || !str_eq(json_find_str(c, "status"), status) ||
        !str_eq(json_find_str(c, "reason"), reason) || !strstr(json_find_str(c, "message"), part))
        fail_msg("%s is %s, not %s %s %s", type, json_text(s->w.a, c), status, reason, part);
}

static void nothing_is_due(struct stage *s)
{
    assert_int_equal(workqueue_next_due_ns(
                         controller_queue(workspace_controller_inner(s->controller))),
                     INT64_MAX);
}

static void look_again(struct stage *s)
{
    clock_virtual_advance(&s->clock, 2 * NS_PER_S);
    workqueue_add(controller_queue(workspace_controller_inner(s->controller)), NS "/w");
    stage_step(s);
}

/* ---- never one too many --------------------------------------------------------------------------------------------- */

/* T7 */
static void all_are_asked_for_at_once_and_once(void **state)
{
    struct stage s;
    open(&s);
    create(&s, "w", 3);
    apiserver_transport_flush(s.w.transport);
    fault_transport_hold(&s.caches);
    stage_step(&s);
    assert_int_equal(json_size(claims(&s)), 3);
    unsigned writes = s.calls.writes;
    for (int i = 0; i < 5; i++)
        look_again(&s);
    assert_int_equal(s.calls.writes, writes);
    fault_transport_release(&s.caches);
    assert_true(stage_settle(&s));
    assert_int_equal(json_size(claims(&s)), 3);
    assert_int_equal(s.calls.creates, 3);
    stage_close(&s);
}

static void another_process_makes_no_more(void **state)
{
    struct stage s;
    open(&s);
    create(&s, "w", 2);
    assert_true(stage_settle(&s));
    stage_die(&s);
    /* its list is of the time before */
    stage_live(&s);
    stage_settle(&s);
    assert_int_equal(json_size(claims(&s)), 2);
    assert_int_equal(s.calls.writes, 0);
    stage_close(&s);
}

static void what_goes_is_replaced_once(void **state)
{
    struct stage s;
    open(&s);
    create(&s, "w", 1);
    assert_true(stage_settle(&s));
    const char *first = meta_name(json_at(claims(&s), 0));
    world_patch(&s.w, &KUBE_NODECLAIMS, NULL, first, NULL,
                "{'metadata':{'finalizers':['karpenter.sh/termination']}}");
    world_delete(&s.w, &KUBE_NODECLAIMS, NULL, first); /* it takes its time */
    apiserver_transport_flush(s.w.transport);
    fault_transport_hold(&s.caches);
    stage_step(&s);
    struct json *now = claims(&s);
    assert_int_equal(json_size(now), 2);
    /* The old one is gone; of the new one the cache knows nothing yet. */
    world_patch(&s.w, &KUBE_NODECLAIMS, NULL, first, NULL, "{'metadata':{'finalizers':null}}");
    for (int i = 0; i < 3; i++)
        look_again(&s);
    assert_int_equal(json_size(claims(&s)), 1);
    fault_transport_release(&s.caches);
    assert_true(stage_settle(&s));
    assert_int_equal(json_size(claims(&s)), 1);
    assert_string_not_equal(meta_name(json_at(claims(&s), 0)), first);
    assert_int_equal(s.calls.creates, 2);
    stage_close(&s);
}

static void claims_of_the_go_operator_are_taken_over(void **state)
{
    struct stage s;
    open(&s);
    world_create(
        &s.w, &KUBE_NODECLAIMS,
        world_parse(&s.w,
                    "{'apiVersion':'karpenter.sh/v1','kind':'NodeClaim','metadata':{'name':"
                    "'ws0123abcde','labels':{'apps':'x','karpenter.sh/nodepool':'kaito',"
                    "'kaito.sh/workspace':'w','kaito.sh/workspacenamespace':'default'}},'spec':"
                    "{'nodeClassRef':{'group':'kaito.sh','kind':'KaitoNodeClass','name':"
                    "'default'},'requirements':[]}}"));
    create(&s, "w", 1);
    assert_true(stage_settle(&s));
    assert_int_equal(json_size(claims(&s)), 1);
    assert_int_equal(s.calls.creates, 0);
    stage_close(&s);
}

static const struct fault faults[] = {
    { "death before the call", .dies = true, .code = ERROR_CANCELLED },
    { "death after the call", .dies = true, .done = true, .code = ERROR_CANCELLED },
    { "500 after it was done", .done = true, .status = 500, .body = "{\"kind\":\"Status\"}" },
    { "time-out after it was done", .done = true, .code = ERROR_TIMEOUT },
    { "time-out", .code = ERROR_TIMEOUT },
};

/* false: there is no such call. */
static bool survives(const struct fault *f, unsigned at)
{
    struct stage s;
    open(&s);
    create(&s, "w", 3);
    fault_transport_arm(&s.calls, f, at);
    while (!stage_settle(&s)) {
        stage_die(&s);
        stage_live(&s);
    }
    bool met = s.lives > 1 || s.calls.seen >= at;
    if (json_size(claims(&s)) != 3)
        fail_msg("%s at call %u: %zu NodeClaims", f->name, at, json_size(claims(&s)));
    fault_transport_arm(&s.calls, NULL, 0);
    world_delete(&s.w, &KUBE_WORKSPACES, NS, "w");
    assert_true(stage_settle(&s));
    assert_int_equal(json_size(claims(&s)), 0);
    stage_close(&s);
    return met;
}

static void faults_at_each_call_make_no_more_and_no_less(void **state)
{
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        unsigned at = 1;
        while (survives(&faults[i], at))
            at++;
        assert_true(at > 6); /* finalizer, revision, three NodeClaims, status */
    }
}

/* ---- what is said --------------------------------------------------------------------------------------------------- */

/* T4 */
static void the_reason_of_a_failure_is_passed_on(void **state)
{
    struct stage s;
    open(&s);
    create(&s, "w", 1);
    assert_true(stage_settle(&s));
    expect(&s, "ResourceReady", "False", "NodeClaimNotReady", "0 of 1");
    const char *name = meta_name(json_at(claims(&s), 0));
#define WAITS(type) CONDITION(type, "Unknown", "AwaitingReconciliation", "object is awaiting")
    set_claim(&s, name,
              "{'status':{'conditions':[" WAITS("Launched") "," WAITS("Registered") "]}}");
    assert_true(stage_settle(&s));
    expect(&s, "NodeClaimReady", "False", "AwaitingReconciliation", "object is awaiting");
    set_claim(&s, name,
              "{'status':{'conditions':[" WAITS(
                  "Registered") "," CONDITION("Launched", "False", "QuotaExceeded",
                                              "no cores are left") "]}}");
    assert_true(stage_settle(&s));
    expect(&s, "NodeClaimReady", "False", "QuotaExceeded", "no cores are left");
    expect(&s, "ResourceReady", "False", "QuotaExceeded", "no cores are left");
    stage_close(&s);
}

/* T14 */
static void what_changes_wakes_the_workspace(void **state)
{
    struct stage s;
    open(&s);
    create(&s, "w", 1);
    assert_true(stage_settle(&s));
    nothing_is_due(&s);
    const char *node = serve(&s, json_at(claims(&s), 0), "False");
    assert_true(stage_settle(&s));
    expect(&s, "NodeClaimReady", "True", "NodeClaimsReady", "");
    expect(&s, "NodesReady", "False", "NodeNotReady", node);
    nothing_is_due(&s);
    set_node(&s, node, "True", 0);
    assert_true(stage_settle(&s));
    expect(&s, "ResourceReady", "False", "NodePluginsNotReady", node);
    assert_string_equal(meta_label(world_get(&s.w, &KUBE_NODES, NULL, node), "accelerator"),
                        "nvidia");
    nothing_is_due(&s);
    set_node(&s, node, "True", 1);
    assert_true(stage_settle(&s));
    expect(&s, "ResourceReady", "True", "workspaceResourceStatusSuccess", "");
    assert_non_null(world_get(&s.w, &KUBE_STATEFULSETS, NS, "w"));
    set_node(&s, node, "Unknown", 1);
    assert_true(stage_settle(&s));
    expect(&s, "ResourceReady", "False", "NodeNotReady", node);
    nothing_is_due(&s);
    stage_close(&s);
}

static void nothing_is_written_while_nodes_are_awaited(void **state)
{
    enum { COUNT = 100, MINUTES = 10 };
    struct stage s;
    open(&s);
    for (int i = 0; i < COUNT; i++)
        create(&s, arena_printf(s.w.a, "w%d", i), 1);
    assert_true(stage_settle(&s));
    assert_int_equal(json_size(claims(&s)), COUNT);
    assert_int_equal(s.calls.creates, COUNT);
    unsigned calls = s.calls.seen, lists = s.caches.lists;
    for (int i = 0; i < MINUTES * 60; i++) {
        clock_virtual_advance(&s.clock, NS_PER_S);
        stage_step(&s);
    }
    assert_int_equal(s.calls.seen, calls);
    assert_int_equal(s.caches.lists, lists);
    stage_close(&s);
}

/* ---- deletion ------------------------------------------------------------------------------------------------------- */

static void gone(struct stage *s)
{
    assert_null(world_get(&s->w, &KUBE_WORKSPACES, NS, "w"));
    JSON_FOREACH(it, claims(s))
        assert_true(meta_deleting(it.value));
}

static void what_was_made_goes_with_the_workspace(void **state)
{
    struct stage s;
    open(&s);
    create(&s, "w", 2);
    create(&s, "other", 1);
    assert_true(stage_settle(&s));
    serve(&s, json_at(claims(&s), 0), "True");
    assert_true(stage_settle(&s));
    world_delete(&s.w, &KUBE_WORKSPACES, NS, "w");
    assert_true(stage_settle(&s));
    assert_null(world_get(&s.w, &KUBE_WORKSPACES, NS, "w"));
    struct json *left = claims(&s);
    assert_int_equal(json_size(left), 1);
    assert_string_equal(meta_label(json_at(left, 0), "kaito.sh/workspace"), "other");
    stage_close(&s);
}

/* The cache has not shown them yet when the Workspace goes. */
static void what_is_not_seen_yet_goes_too(void **state)
{
    struct stage s;
    open(&s);
    create(&s, "w", 2);
    apiserver_transport_flush(s.w.transport);
    s.calls.counted = "nodeclaims";
    stage_step(&s);
    fault_transport_hold(&s.caches);
    world_delete(&s.w, &KUBE_WORKSPACES, NS, "w");
    look_again(&s);
    fault_transport_release(&s.caches);
    assert_true(stage_settle(&s));
    gone(&s);
    assert_int_equal(json_size(claims(&s)), 0);
    stage_close(&s);
}

static void claims_that_take_their_time_hold_nothing_up(void **state)
{
    struct stage s;
    open(&s);
    create(&s, "w", 1);
    assert_true(stage_settle(&s));
    const char *name = meta_name(json_at(claims(&s), 0));
    world_patch(&s.w, &KUBE_NODECLAIMS, NULL, name, NULL,
                "{'metadata':{'finalizers':['karpenter.sh/termination']}}");
    world_delete(&s.w, &KUBE_WORKSPACES, NS, "w");
    assert_true(stage_settle(&s));
    gone(&s);
    assert_int_equal(json_size(claims(&s)), 1);
    stage_close(&s);
}

/* ---- without Karpenter's CRDs --------------------------------------------------------------------------------------- */

static void settle_until(struct stage *s, const char *part)
{
    for (int i = 0; i < 500; i++) {
        assert_true(stage_settle(s));
        const char *message = json_find_str(condition(s, "NodeClaimReady"), "message");
        if (message && strstr(message, part))
            return;
        usleep(20000);
    }
    fail_msg("no \"%s\" in %s", part, json_text(s->w.a, condition(s, "NodeClaimReady")));
}

/* T3 */
static void crds_come_and_go(void **state)
{
    struct stage s;
    open_without_crds(&s);
    stage_live(&s);
    create(&s, "w", 1);
    settle_until(&s, "this cluster has no NodeClaims");
    expect(&s, "ResourceReady", "False", "NodeClaimNotReady", "install the node provisioner");
    unsigned calls = s.calls.seen;
    assert_true(stage_settle(&s));
    assert_int_equal(s.calls.seen, calls);

    create(&s, "v", 1);
    assert_true(stage_settle(&s));
    world_delete(&s.w, &KUBE_WORKSPACES, NS, "v");
    assert_true(stage_settle(&s));
    assert_null(world_get(&s.w, &KUBE_WORKSPACES, NS, "v"));

    install_crds(&s);
    settle_until(&s, "0 of 1");
    assert_int_equal(json_size(claims(&s)), 1);

    world_delete(&s.w, &KUBE_CRDS, NULL, "nodeclaims.karpenter.sh");
    settle_until(&s, "this cluster has no NodeClaims");
    world_delete(&s.w, &KUBE_WORKSPACES, NS, "w");
    assert_true(stage_settle(&s));
    assert_null(world_get(&s.w, &KUBE_WORKSPACES, NS, "w"));
    stage_close(&s);
}

/* ---- Karpenter ------------------------------------------------------------------------------------------------------ */

static const struct kube_resource node_classes = { "karpenter.azure.com", "v1beta1",
                                                   "aksnodeclasses", "AKSNodeClass", false };

static void open_karpenter(struct stage *s)
{
    struct arena *a = NULL;
    stage_open(s);
    a = s->w.a;
    s->w.settings.models_dir = NULL;
    s->w.settings.provisioner = PROVISIONER_KARPENTER;
    s->w.settings.node_class_group = node_classes.group;
    s->w.settings.node_class_version = node_classes.version;
    s->w.settings.node_class_kind = node_classes.kind;
    s->w.settings.node_class_resource = node_classes.plural;
    s->w.settings.node_classes =
        ARR(OBJ("name", STR("ubuntu"), "default", BOOL(true), "spec",
                OBJ("imageFamily", STR("Ubuntu2204"), "osDiskSizeGB", INT(300))),
            OBJ("name", STR("azl"), "spec", OBJ("imageFamily", STR("AzureLinux"))));
}

/* The controller of node classes has a queue of its own. */
static void make_classes(struct stage *s)
{
    for (int i = 0; i < 3000 && !world_get(&s->w, &node_classes, NULL, "azl"); i++) {
        apiserver_transport_flush(s->w.transport);
        controller_drain(workspace_controller_classes(s->controller));
        usleep(1000);
    }
}

static struct json *pool(struct stage *s)
{
    return world_get(&s->w, &KUBE_NODEPOOLS, NULL, NS "-w");
}

static void a_pool_comes_once_its_class_is_ready_and_goes_with_its_owner(void **state)
{
    struct stage s;
    open_karpenter(&s);
    stage_live(&s);
    create(&s, "w", 2);
    settle_until(&s, "this cluster has no NodePools");
    install_crds(&s);
    settle_until(&s, "AKSNodeClass ubuntu is not there yet");
    make_classes(&s);
    const struct json *class = world_get(&s.w, &node_classes, NULL, "ubuntu");
    assert_string_equal(json_text(s.w.a, json_find(class, "metadata", "labels")),
                        "{\"karpenter.kaito.sh/managed-by\":\"kaito\","
                        "\"karpenter.kaito.sh/default\":\"true\"}");
    assert_string_equal(json_find_str(class, "spec", "imageFamily"), "Ubuntu2204");
    settle_until(&s, "AKSNodeClass ubuntu is not ready");
    assert_null(pool(&s));
    world_patch(&s.w, &node_classes, NULL, "ubuntu", "status",
                "{'status':{'conditions':[" CONDITION("Ready", "True", "Ready", "") "]}}");
    settle_until(&s, "0 of 2");
    assert_int_equal(json_find_int(pool(&s), 0, "spec", "replicas"), 2);

    /* A class that the user changes or that the settings would have otherwise stays as it is. */
    world_patch(&s.w, &node_classes, NULL, "azl", NULL, "{'spec':{'osDiskSizeGB':500}}");
    apiserver_transport_flush(s.w.transport);
    controller_drain(workspace_controller_classes(s.controller));
    assert_int_equal(json_find_int(world_get(&s.w, &node_classes, NULL, "azl"), 0, "spec",
                                   "osDiskSizeGB"),
                     500);
    unsigned writes = s.calls.writes;
    assert_true(stage_settle(&s));
    assert_int_equal(s.calls.writes, writes);

    world_delete(&s.w, &KUBE_WORKSPACES, NS, "w");
    assert_true(stage_settle(&s));
    assert_null(world_get(&s.w, &KUBE_WORKSPACES, NS, "w"));
    assert_null(pool(&s));
    stage_close(&s);
}

/* "default-a" + "w" and "default" + "a-w" make the same name. */
static void a_pool_of_another_is_left_alone(void **state)
{
    struct stage s;
    open_karpenter(&s);
    install_crds(&s);
    world_create(
        &s.w, &KUBE_NODEPOOLS,
        world_parse(&s.w, "{'apiVersion':'karpenter.sh/v1','kind':'NodePool','metadata':{'name':"
                          "'default-w','labels':{'karpenter.kaito.sh/workspace-name':'t-w',"
                          "'karpenter.kaito.sh/workspace-namespace':'defaul'}},'spec':{'template':"
                          "{'spec':{'nodeClassRef':{'group':'g','kind':'K','name':'n'},"
                          "'requirements':[]}}}}"));
    stage_live(&s);
    make_classes(&s);
    create(&s, "w", 1);
    settle_until(&s, "NodePool default-w exists already");
    world_delete(&s.w, &KUBE_WORKSPACES, NS, "w");
    assert_true(stage_settle(&s));
    assert_null(world_get(&s.w, &KUBE_WORKSPACES, NS, "w"));
    assert_non_null(pool(&s));
    stage_close(&s);
}

/* ---- nodes of one's own --------------------------------------------------------------------------------------------- */

static void nodes_that_nobody_asks_for_are_not_kept(void **state)
{
    struct stage s;
    stage_open(&s);
    s.w.settings.models_dir = NULL;
    for (int i = 0; i < 20; i++)
        world_add_node(&s.w, arena_printf(s.w.a, "foreign%d", i), "{'apps':'other'}");
    world_add_node(&s.w, "own", "{'apps':'x'}");
    stage_live(&s);
    create(&s, "w", 1);
    world_patch(&s.w, &KUBE_WORKSPACES, NS, "w", NULL, "{'resource':{'instanceType':null}}");
    assert_true(stage_settle(&s));
    expect(&s, "ResourceReady", "True", "workspaceResourceStatusSuccess", "");
    assert_int_equal(workspace_controller_nodes(s.controller), 1);
    /* another selector: they are listed for it */
    world_patch(&s.w, &KUBE_WORKSPACES, NS, "w", NULL,
                "{'resource':{'labelSelector':{'matchLabels':{'apps':'other'}}}}");
    assert_true(stage_settle(&s));
    const struct json *ws = world_get(&s.w, &KUBE_WORKSPACES, NS, "w");
    assert_int_equal(json_size(json_find(ws, "status", "workerNodes")), 20);

    /* A restart does not make a Workspace look as if its nodes were gone for a moment. */
    stage_die(&s);
    stage_live(&s);
    assert_true(stage_settle(&s));
    assert_int_equal(s.calls.writes, 0);
    stage_close(&s);
}

/* T8: a node that was made for another Workspace is not the user's to give away. */
static void nodes_of_other_workspaces_do_not_count(void **state)
{
    struct stage s;
    stage_open(&s);
    s.w.settings.models_dir = NULL;
    world_add_node(&s.w, "n1", "{'apps':'x','kaito.sh/workspace':'w'}");
    world_add_node(&s.w, "n2", "{'apps':'x','kaito.sh/workspace':'w2'}");
    world_add_node(&s.w, "n3", "{'apps':'x'}");
    stage_live(&s);
    create(&s, "w", 2);
    assert_true(stage_settle(&s));
    const struct json *nodes =
        json_find(world_get(&s.w, &KUBE_WORKSPACES, NS, "w"), "status", "workerNodes");
    assert_string_equal(json_text(s.w.a, nodes), "[\"n1\",\"n3\"]");
    stage_close(&s);
}

static void drop_line(const char *line, size_t len, void *ctx) {}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_are_asked_for_at_once_and_once),
        TEST(another_process_makes_no_more),
        TEST(what_goes_is_replaced_once),
        TEST(claims_of_the_go_operator_are_taken_over),
        TEST(faults_at_each_call_make_no_more_and_no_less),
        TEST(the_reason_of_a_failure_is_passed_on),
        TEST(what_changes_wakes_the_workspace),
        TEST(nothing_is_written_while_nodes_are_awaited),
        TEST(what_was_made_goes_with_the_workspace),
        TEST(what_is_not_seen_yet_goes_too),
        TEST(claims_that_take_their_time_hold_nothing_up),
        TEST(crds_come_and_go),
        TEST(a_pool_comes_once_its_class_is_ready_and_goes_with_its_owner),
        TEST(a_pool_of_another_is_left_alone),
        TEST(nodes_that_nobody_asks_for_are_not_kept),
        TEST(nodes_of_other_workspaces_do_not_count),
    };
    log_set_sink(drop_line, NULL);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
