/* A tuning from its creation to its end, against the embedded API server; the test plays node, Job
 * controller and kubelet. */
#include <unistd.h>

#include "base/str.h"
#include "kube/meta.h"
#include "world.h"

#define URLS(file) "'urls':['https://example.com/" file "']"
#define TUNING                                                                                     \
    "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace','metadata':{'name':'w'},'resource':"      \
    "{'labelSelector':{'matchLabels':{'apps':'x'}}},'tuning':{'preset':{'name':"                   \
    "'phi-3-mini-128k-instruct'},'method':'lora','input':{" URLS(                                  \
        "a") "},'output':{"                                                                        \
             "'image':'reg.io/out:1','imagePushSecret':'push'}}}"

static void begin(struct world *w)
{
    world_start(w);
    w->settings.models_dir = NULL;
    world_add_node(w, "n1",
                   "{'apps':'x','nvidia.com/gpu.product':'NVIDIA-A100-SXM4-80GB',"
                   "'nvidia.com/gpu.count':'1','nvidia.com/gpu.memory':'81920'}");
    world_patch(w, &KUBE_NODES, NULL, "n1", "status",
                "{'status':{'capacity':{'nvidia.com/gpu':'1'},"
                "'allocatable':{'nvidia.com/gpu':'1'}}}");
    world_start_controller(w);
    world_create(w, &KUBE_WORKSPACES, world_parse(w, TUNING));
}

static void job_status(struct world *w, const char *status)
{
    world_patch(w, &KUBE_JOBS, NS, "w", "status", arena_printf(w->a, "{'status':%s}", status));
}

static void job_succeeds(struct world *w)
{
    job_status(w, "{'active':0,'ready':0,'succeeded':1,'startTime':'2026-01-01T00:00:00Z',"
                  "'completionTime':'2026-01-01T01:00:00Z','conditions':["
                  "{'type':'SuccessCriteriaMet','status':'True'},"
                  "{'type':'Complete','status':'True'}]}");
}

/* Another of the same name. */
static struct json *wait_replaced(struct world *w, const char *uid)
{
    for (int i = 0; i < 2000; i++) {
        struct json *job = world_get(w, &KUBE_JOBS, NS, "w");
        if (job && !STREQ(meta_uid(job), uid) && !meta_deleting(job))
            return job;
        usleep(5000);
    }
    fail_msg("the Job is not replaced");
    return NULL;
}

static void still(struct world *w)
{
    world_settle(w);
    unsigned writes = world_writes(w);
    usleep(500000);
    assert_int_equal(world_writes(w), writes);
}

static void it_runs_and_succeeds(void **state)
{
    struct world w;
    begin(&w);
    struct json *job = world_wait_exists(&w, &KUBE_JOBS, "w");
    assert_string_equal(meta_annotation(job, "workspace.kaito.io/revision"), "1");
    assert_non_null(world_wait_exists(&w, &KUBE_CONFIGMAPS, "lora-params-template"));
    world_wait_condition(&w, "w", "JobStarted", "False", "WorkspaceTuningJobStatusPending", NULL);
    job_status(&w, "{'active':1,'ready':1}");
    const struct json *ws = world_wait_condition(&w, "w", "JobStarted", "True",
                                                 "WorkspaceTuningJobStatusStarted", "running");
    assert_string_equal(workspace_state(ws), "Running");
    still(&w);
    job_succeeds(&w);
    ws = world_wait_condition(&w, "w", "WorkspaceSucceeded", "True", "workspaceSucceeded", NULL);
    assert_string_equal(workspace_state(ws), "Succeeded");
    still(&w);
    assert_null(world_get(&w, &KUBE_STATEFULSETS, NS, "w"));
    assert_null(world_get(&w, &KUBE_SERVICES, NS, "w"));
    world_stop(&w);
}

static void a_failure_names_its_cause(void **state)
{
    struct world w;
    begin(&w);
    struct json *job = world_wait_exists(&w, &KUBE_JOBS, "w");
    const char *label =
        json_find_str(job, "spec", "template", "metadata", "labels", "kaito.sh/workspace");
    world_create(&w, &KUBE_PODS,
                 world_parse(&w, arena_printf(w.a,
                                              "{'metadata':{'name':'w-abcde','labels':{"
                                              "'kaito.sh/workspace':'%s'}},'spec':{'containers':"
                                              "[{'name':'w','image':'x'}]}}",
                                              label ? label : "w")));
    world_patch(&w, &KUBE_PODS, NS, "w-abcde", "status",
                "{'status':{'phase':'Failed','containerStatuses':[{'name':'w','ready':false,"
                "'restartCount':0,'image':'x','imageID':'','state':{'terminated':{'exitCode':1,"
                "'message':'CUDA out of memory'}}}]}}");
    job_status(&w, "{'active':1,'failed':1}");
    const struct json *ws =
        world_wait_condition(&w, "w", "JobStarted", "False", "WorkspaceTuningJobStatusFailed",
                             "attempt 1 of 7 of Job w failed: pod w-abcde: container w ended with "
                             "exit code 1");
    assert_string_equal(workspace_state(ws), "Failed");
    job_status(&w, "{'active':0,'failed':7,'startTime':'2026-01-01T00:00:00Z','conditions':["
                   "{'type':'FailureTarget','status':'True','reason':'BackoffLimitExceeded'},"
                   "{'type':'Failed','status':'True','reason':'BackoffLimitExceeded'}]}");
    world_wait_condition(&w, "w", "WorkspaceSucceeded", "False", "workspaceFailed",
                         "CUDA out of memory");
    still(&w);
    world_stop(&w);
}

static void a_changed_specification_starts_anew(void **state)
{
    struct world w;
    begin(&w);
    const char *uid = meta_uid(world_wait_exists(&w, &KUBE_JOBS, "w"));
    job_succeeds(&w);
    world_wait_condition(&w, "w", "WorkspaceSucceeded", "True", "workspaceSucceeded", NULL);
    world_patch(&w, &KUBE_WORKSPACES, NS, "w", NULL, "{'tuning':{'input':{" URLS("b") "}}}");
    const struct json *job = wait_replaced(&w, uid);
    assert_string_equal(meta_annotation(job, "workspace.kaito.io/revision"), "2");
    world_wait_condition(&w, "w", "WorkspaceSucceeded", "False", "workspacePending", NULL);
    still(&w);
    assert_string_equal(meta_uid(world_get(&w, &KUBE_JOBS, NS, "w")), meta_uid(job));
    world_stop(&w);
}

static void what_others_delete_is_made_again(void **state)
{
    struct world w;
    begin(&w);
    const char *uid = meta_uid(world_wait_exists(&w, &KUBE_JOBS, "w"));
    world_settle(&w);
    world_delete(&w, &KUBE_JOBS, NS, "w");
    wait_replaced(&w, uid);
    still(&w);
    world_stop(&w);
}

static void with_its_workspace_it_goes(void **state)
{
    struct world w;
    begin(&w);
    world_wait_exists(&w, &KUBE_JOBS, "w");
    job_status(&w, "{'active':1,'ready':1}");
    world_settle(&w);
    world_delete(&w, &KUBE_WORKSPACES, NS, "w");
    world_wait_gone(&w, &KUBE_WORKSPACES, "w");
    world_wait_gone(&w, &KUBE_JOBS, "w");
    world_wait_gone(&w, &KUBE_CONFIGMAPS, "lora-params-template");
    world_stop(&w);
}

UNIT_TESTS(TEST(it_runs_and_succeeds), TEST(a_failure_names_its_cause),
           TEST(a_changed_specification_starts_anew), TEST(what_others_delete_is_made_again),
           TEST(with_its_workspace_it_goes))
