/* The process dies, or an answer is lost, at each call of a reconcile in turn: the end is the same
 * as if nothing had happened. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "kube/meta.h"
#include "stage.h"

#define STATUS(code, reason)                                                                       \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","           \
    "\"message\":\"says the test\",\"reason\":\"" reason "\",\"code\":" #code "}"

static const struct fault deaths[] = {
    { "death before the call", .dies = true, .code = ERROR_CANCELLED },
    { "death after the call", .dies = true, .done = true, .code = ERROR_CANCELLED },
};

static const struct fault failures[] = {
    { "401", .status = 401, .body = STATUS(401, "Unauthorized") },
    { "403", .status = 403, .body = STATUS(403, "Forbidden") },
    { "409", .status = 409, .body = STATUS(409, "Conflict") },
    { "429", .status = 429, .body = STATUS(429, "TooManyRequests") },
    { "429 with Retry-After", .status = 429, .body = STATUS(429, "TooManyRequests"),
      .retry_after_ms = 1000 },
    { "500", .status = 500, .body = STATUS(500, "InternalError") },
    { "500 after it was done", .done = true, .status = 500, .body = STATUS(500, "InternalError") },
    { "502 of a proxy", .status = 502, .body = "<html>Bad Gateway</html>" },
    { "503", .status = 503, .body = STATUS(503, "ServiceUnavailable") },
    { "503 with Retry-After", .status = 503, .body = STATUS(503, "ServiceUnavailable"),
      .retry_after_ms = 1000 },
    { "504 after it was done", .done = true, .status = 504, .body = STATUS(504, "Timeout") },
    { "time-out", .code = ERROR_TIMEOUT },
    { "time-out after it was done", .done = true, .code = ERROR_TIMEOUT },
    { "refused connection", .code = ERROR_UNAVAILABLE, .reason = KUBE_REASON_REFUSED },
    { "reset connection", .code = ERROR_UNAVAILABLE },
    { "reset connection after it was done", .done = true, .code = ERROR_UNAVAILABLE },
    { "garbage for an answer", .done = true, .status = 200, .body = "<html>Welcome</html>" },
    { "an answer of another type", .done = true, .status = 200, .body = "[1]" },
    { "no answer at all", .done = true, .status = 200 },
    { "half an answer", .done = true, .cut = true },
};

/* ---- what is done --------------------------------------------------------------------------------------------------- */

struct scenario {
    const char *name;
    void (*prepare)(struct stage *s); /* before there is a controller */
    void (*before)(struct stage *s);  /* settles before `act`; NULL: nothing */
    void (*act)(struct stage *s);     /* what the controller answers to, under faults */
};

#define WORKSPACE(inference)                                                                       \
    "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace','metadata':{'name':'w'},'resource':"      \
    "{'labelSelector':{'matchLabels':{'apps':'x'}}},'inference':" inference "}"
#define TEMPLATE(image)                                                                            \
    WORKSPACE("{'template':{'spec':{'containers':[{'name':'c','image':'" image "'}]}}}")

static void create(struct stage *s, const char *text)
{
    world_create(&s->w, &KUBE_WORKSPACES, world_parse(&s->w, text));
}

static void one_box(struct stage *s)
{
    world_add_node(&s->w, "box", "{'apps':'x'}");
    world_add_model(&s->w, "gemma-3-270m");
}

static void gpu_node(struct stage *s)
{
    s->w.settings.models_dir = NULL;
    world_add_node(&s->w, "n1",
                   "{'apps':'x','nvidia.com/gpu.product':'NVIDIA-A100-SXM4-80GB',"
                   "'nvidia.com/gpu.count':'1','nvidia.com/gpu.memory':'81920'}");
    world_patch(&s->w, &KUBE_NODES, NULL, "n1", "status",
                "{'status':{'capacity':{'nvidia.com/gpu':'1'},"
                "'allocatable':{'nvidia.com/gpu':'1'}}}");
}

static void node_claims(struct stage *s)
{
    stage_provision(s, PROVISIONER_AZURE_GPU);
}

static void node_pools(struct stage *s)
{
    stage_provision(s, PROVISIONER_KARPENTER);
}

static void create_template(struct stage *s)
{
    create(s, TEMPLATE("nginx"));
}

static void create_llama(struct stage *s)
{
    create(s, WORKSPACE("{'preset':{'name':'gemma-3-270m'}}"));
}

static void create_vllm(struct stage *s)
{
    create(s, WORKSPACE("{'preset':{'name':'phi-4-mini-instruct'}}"));
}

#define ON_MACHINES(rest)                                                                          \
    "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace','metadata':{'name':'w'},'resource':"      \
    "{'instanceType':'Standard_NC24ads_A100_v4',"                                                  \
    "'labelSelector':{'matchLabels':{'apps':'x'}}" rest "}"

static void create_on_machine(struct stage *s)
{
    create(s, ON_MACHINES("},'inference':{'preset':{'name':'phi-4-mini-instruct'}}"));
}

static void create_on_machines(struct stage *s)
{
    create(s, ON_MACHINES(",'count':3},'inference':{'template':{'spec':{'containers':"
                          "[{'name':'c','image':'nginx'}]}}}"));
}

static void lose_machine(struct stage *s)
{
    struct json *list = NULL;
    assert_int_equal(kube_list(s->w.client, &KUBE_NODECLAIMS, NULL, s->w.a, &list, NULL), 0);
    world_delete(&s->w, &KUBE_NODECLAIMS, NULL, meta_name(json_at(json_get(list, "items"), 0)));
}

static void create_unknown(struct stage *s)
{
    create(s, WORKSPACE("{'preset':{'name':'no-such-preset'}}"));
}

static void change_template(struct stage *s)
{
    world_patch(&s->w, &KUBE_WORKSPACES, NS, "w", NULL,
                "{'inference':{'template':{'spec':{'containers':[{'name':'c','image':'a:2'}]}}}}");
}

#define TUNING(file)                                                                               \
    "'tuning':{'preset':{'name':'phi-3-mini-128k-instruct'},'method':'lora','input':{'urls':["     \
    "'https://example.com/" file "']},'output':{'image':'r.io/o:1','imagePushSecret':'s'}}"

static void create_tuning(struct stage *s)
{
    create(s, "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace','metadata':{'name':'w'},"
              "'resource':{'labelSelector':{'matchLabels':{'apps':'x'}}}," TUNING("a") "}");
}

static void change_tuning(struct stage *s)
{
    world_patch(&s->w, &KUBE_WORKSPACES, NS, "w", NULL, "{" TUNING("b") "}");
}

static void finish_tuning(struct stage *s)
{
    world_patch(&s->w, &KUBE_JOBS, NS, "w", "status",
                "{'status':{'active':0,'ready':0,'succeeded':1,"
                "'startTime':'2026-01-01T00:00:00Z','completionTime':'2026-01-01T01:00:00Z',"
                "'conditions':[{'type':'SuccessCriteriaMet','status':'True'},"
                "{'type':'Complete','status':'True'}]}}");
}

static void delete_workspace(struct stage *s)
{
    world_delete(&s->w, &KUBE_WORKSPACES, NS, "w");
}

static void delete_children(struct stage *s)
{
    world_delete(&s->w, &KUBE_STATEFULSETS, NS, "w");
    world_delete(&s->w, &KUBE_SERVICES, NS, "w");
}

static void lose_node(struct stage *s)
{
    world_patch(&s->w, &KUBE_NODES, NULL, "n1", "status",
                "{'status':{'conditions':[{'type':'Ready','status':'False','reason':'x'}]}}");
}

static const struct scenario scenarios[] = {
    { "a template", one_box, NULL, create_template },
    { "llama.cpp on one box", one_box, NULL, create_llama },
    { "vLLM on a node of the user's", gpu_node, NULL, create_vllm },
    { "a preset that is unknown", gpu_node, NULL, create_unknown },
    { "a change of the specification", one_box, create_template, change_template },
    { "deletion", gpu_node, create_vllm, delete_workspace },
    { "children that others delete", one_box, create_template, delete_children },
    { "a node that is lost", gpu_node, create_vllm, lose_node },
    { "one NodeClaim", node_claims, NULL, create_on_machine },
    { "three NodeClaims", node_claims, NULL, create_on_machines },
    { "a NodeClaim that is lost", node_claims, create_on_machines, lose_machine },
    { "deletion with NodeClaims", node_claims, create_on_machines, delete_workspace },
    { "a NodePool", node_pools, NULL, create_on_machine },
    { "a NodePool for three", node_pools, NULL, create_on_machines },
    { "deletion with a NodePool", node_pools, create_on_machine, delete_workspace },
    { "a tuning", gpu_node, NULL, create_tuning },
    { "a tuning that ends", gpu_node, create_tuning, finish_tuning },
    { "a tuning that is changed", gpu_node, create_tuning, change_tuning },
    { "deletion of a tuning", gpu_node, create_tuning, delete_workspace },
};

/* ---- one run -------------------------------------------------------------------------------------------------------- */

struct outcome {
    char *dump;
    unsigned calls; /* of the controller, under faults */
    unsigned made;  /* NodeClaims and NodePools */
    bool met;       /* the fault took place */
};

static struct arena *kept; /* expected dumps live longer than a stage */

/* A controller that dies is followed by another. */
static void settle(struct stage *s)
{
    while (!stage_settle(s)) {
        stage_die(s);
        stage_live(s);
    }
}

/* The garbage collector takes its time: waits until there is what is expected. */
static char *dump_when(struct stage *s, const char *expected)
{
    char *dump = NULL;
    for (int i = 0; i < 1000; i++) {
        settle(s);
        char *now = stage_dump(s);
        if (expected ? STREQ(now, expected) : dump && STREQ(now, dump))
            return now;
        dump = now;
        usleep(expected ? 5000 : 100000);
    }
    return dump;
}

static void begin(struct stage *s, const struct scenario *sc)
{
    stage_open(s);
    sc->prepare(s);
    stage_live(s);
    if (!sc->before)
        return;
    sc->before(s);
    assert_true(stage_settle(s));
}

static void run(const struct scenario *sc, const struct fault *f, unsigned at, const char *expected,
                struct outcome *ret)
{
    struct stage s;
    begin(&s, sc);
    fault_transport_arm(&s.calls, f, at);
    sc->act(&s);
    ret->dump = arena_strdup(kept, dump_when(&s, expected));
    ret->met = s.lives > 1 || (at > 0 && s.calls.seen >= at);
    ret->calls = s.calls.seen;
    ret->made = stage_made(&s);

    /* Whoever looks next finds nothing to do. */
    if (!f) {
        stage_die(&s);
        stage_live(&s);
        assert_true(stage_settle(&s));
        if (s.calls.writes > 0)
            fail_msg("%s: the next controller writes %u times", sc->name, s.calls.writes);
    }
    stage_close(&s);
}

static void tell_difference(const struct scenario *sc, const struct fault *f, unsigned at,
                            const char *expected, const char *dump)
{
    size_t i = 0;
    while (expected[i] && expected[i] == dump[i])
        i++;
    size_t from = i > 300 ? i - 300 : 0;
    fail_msg("%s, %s at call %u: the end differs:\n…%.600s\nwithout the fault:\n…%.600s", sc->name,
             f->name, at, dump + from, expected + from);
}

/* Each fault at each call, until there is no such call. */
static void enumerate(const struct fault *faults, size_t fault_count)
{
    unsigned runs = 0;
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        const struct scenario *sc = &scenarios[i];
        struct outcome calm;
        run(sc, NULL, 0, NULL, &calm);
        assert_true(calm.calls > 0);
        for (size_t k = 0; k < fault_count; k++) {
            for (unsigned at = 1;; at++) {
                struct outcome out;
                run(sc, &faults[k], at, calm.dump, &out);
                if (!STREQ(out.dump, calm.dump))
                    tell_difference(sc, &faults[k], at, calm.dump, out.dump);
                if (out.made > calm.made)
                    fail_msg("%s, %s at call %u: %u NodeClaims were made, not %u", sc->name,
                             faults[k].name, at, out.made, calm.made);
                runs++;
                if (!out.met)
                    break;
            }
        }
    }
    print_message("# %u runs\n", runs);
}

static void death_at_each_call(void **state)
{
    enumerate(deaths, COUNT_OF(deaths));
}

static void failure_of_each_call(void **state)
{
    enumerate(failures, COUNT_OF(failures));
}

/* Its caches lag behind: it sees nothing of what it does, for five reconciles. */
static void run_behind(const struct scenario *sc)
{
    struct outcome calm;
    run(sc, NULL, 0, NULL, &calm);
    struct stage s;
    begin(&s, sc);
    sc->act(&s);
    stage_step(&s);
    fault_transport_hold(&s.caches);
    for (int i = 0; i < 5; i++) {
        clock_virtual_advance(&s.clock, NS_PER_S);
        workqueue_add(controller_queue(workspace_controller_inner(s.controller)), NS "/w");
        stage_step(&s);
    }
    fault_transport_release(&s.caches);
    char *dump = dump_when(&s, calm.dump);
    if (!STREQ(dump, calm.dump))
        tell_difference(sc, &(struct fault){ .name = "caches that lag behind" }, 0, calm.dump,
                        dump);
    if (stage_made(&s) > calm.made)
        fail_msg("%s: %u NodeClaims were made, not %u", sc->name, stage_made(&s), calm.made);
    stage_close(&s);
}

static void caches_that_lag_behind(void **state)
{
    for (size_t i = 0; i < COUNT_OF(scenarios); i++)
        run_behind(&scenarios[i]);
}

static void drop_line(const char *line, size_t len, void *ctx) {}

int main(int argc, char **argv)
{
    const struct CMUnitTest deaths_of_it[] = { TEST(death_at_each_call),
                                               TEST(caches_that_lag_behind) };
    const struct CMUnitTest failures_of_calls[] = { TEST(failure_of_each_call) };
    kept = arena_new();
    log_set_sink(drop_line, NULL);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    bool calls = argc > 1 && STREQ(argv[1], "calls");
    int r = calls ? cmocka_run_group_tests(failures_of_calls, NULL, NULL)
                  : cmocka_run_group_tests(deaths_of_it, NULL, NULL);
    arena_free(kept);
    return r;
}
