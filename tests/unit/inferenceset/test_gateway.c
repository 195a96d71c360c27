/* The Gateway API inference extension: Flux is absent, comes, says that it is ready or not. */
#include <unistd.h>

#include "base/str.h"
#include "kube/meta.h"
#include "set_world.h"

static void start(struct set_world *w)
{
    set_world_start(w);
    w->settings.gates.on[GATE_GATEWAY_API] = true;
}

static void serve_flux(struct set_world *w)
{
    set_world_serve_kind(w, &KUBE_OCI_REPOSITORIES);
    set_world_serve_kind(w, &KUBE_HELM_RELEASES);
}

static void flux_says(struct set_world *w, const struct kube_resource *r, const char *name,
                      bool ready)
{
    set_world_patch(w, r, NS, name, "status",
                    arena_printf(w->a,
                                 "{'status':{'conditions':[{'type':'Ready','status':'%s',"
                                 "'message':'chart is late'}]}}",
                                 ready ? "True" : "False"));
}

static struct json *wait_for(struct set_world *w, const struct kube_resource *r, const char *name)
{
    for (int i = 0; i < 2000; i++) {
        struct json *found = set_world_get(w, r, NS, name);
        if (found)
            return found;
        usleep(5000);
    }
    fail_msg("there is no %s %s", r->kind, name);
    return NULL;
}

static void wait_set(struct set_world *w, const char *status, const char *part)
{
    set_world_wait(w, &KUBE_INFERENCE_SETS, NS, "is", "InferenceSetReady", status, NULL, part);
}

static void the_pool_is_made_and_waited_for(void **state)
{
    struct set_world w;
    start(&w);
    serve_flux(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "1"));
    const struct json *release = wait_for(&w, &KUBE_HELM_RELEASES, "is-inferencepool");
    const struct json *repository = wait_for(&w, &KUBE_OCI_REPOSITORIES, "is-inferencepool");
    struct json *expected = set_world_parse(
        &w,
        "{'chartRef':{'kind':'OCIRepository','name':'is-inferencepool','namespace':'default'},"
        "'interval':'0s','values':{'router':{'epp':{'flags':{'secure-serving':false},'image':"
        "{'pullPolicy':'IfNotPresent','registry':'mcr.microsoft.com/oss/v2/llm-d','repository':"
        "'llm-d-router-endpoint-picker','tag':'v0.9.0'},'resources':{'limits':{'memory':'16Gi'},"
        "'requests':{'cpu':'1','memory':'2Gi'}}},'modelServers':{'matchLabels':"
        "{'apps.kubernetes.io/pod-index':'0','inferenceset.kaito.sh/created-by':'is'},"
        "'targetPorts':[{'number':5000}]}}}}");
    assert_true(json_equal(json_get(release, "spec"), expected));
    expected = set_world_parse(&w, "{'interval':'0s','ref':{'tag':'v0.9.0'},'url':"
                                   "'oci://ghcr.io/llm-d/charts/llm-d-router-gateway'}");
    assert_true(json_equal(json_get(repository, "spec"), expected));
    assert_string_equal(json_find_str(meta_controller_of(release), "kind"), "InferenceSet");

    set_world_wait_children(&w, NS, "is", 1);
    set_world_serve_all(&w, NS, "is");
    wait_set(&w, "False", "1/1 replicas are ready; waiting for Flux to take up OCIRepository");
    flux_says(&w, &KUBE_OCI_REPOSITORIES, "is-inferencepool", true);
    flux_says(&w, &KUBE_HELM_RELEASES, "is-inferencepool", false);
    wait_set(&w, "False", "HelmRelease is-inferencepool: chart is late");
    flux_says(&w, &KUBE_HELM_RELEASES, "is-inferencepool", true);
    wait_set(&w, "True", NULL);
    /* what others change is put back */
    set_world_patch(&w, &KUBE_OCI_REPOSITORIES, NS, "is-inferencepool", NULL,
                    "{'spec':{'ref':{'tag':'v0.1.0'}}}");
    set_world_settle(&w);
    assert_string_equal(json_find_str(wait_for(&w, &KUBE_OCI_REPOSITORIES, "is-inferencepool"),
                                      "spec", "ref", "tag"),
                        "v0.9.0");
    /* deletion waits for nothing */
    set_world_delete(&w, &KUBE_INFERENCE_SETS, NS, "is");
    set_world_wait_gone(&w, &KUBE_INFERENCE_SETS, NS, "is");
    set_world_wait_gone(&w, &KUBE_HELM_RELEASES, NS, "is-inferencepool");
    set_world_stop(&w);
}

static void without_flux_replicas_run_and_the_condition_says_why(void **state)
{
    struct set_world w;
    start(&w);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "1"));
    set_world_wait_children(&w, NS, "is", 1);
    set_world_serve_all(&w, NS, "is");
    wait_set(&w, "False", "install Flux");
    serve_flux(&w);
    wait_for(&w, &KUBE_HELM_RELEASES, "is-inferencepool");
    set_world_stop(&w);
}

static void none_for_transformers_and_roles(void **state)
{
    struct set_world w;
    start(&w);
    serve_flux(&w);
    set_world_run(&w);
    struct json *set = set_world_parse(&w, SET("is", "1"));
    json_set(w.a, json_find(set, "spec", "template"), "metadata",
             set_world_parse(&w, "{'annotations':{'kaito.sh/runtime':'transformers'}}"));
    kube_create(w.client, &KUBE_INFERENCE_SETS, NS, set, w.a, NULL, NULL);
    set = set_world_parse(&w, SET("role", "1"));
    json_set(w.a, json_get(set, "metadata"), "labels",
             set_world_parse(&w, "{'multiroleinference.kaito.sh/created-by':'m'}"));
    kube_create(w.client, &KUBE_INFERENCE_SETS, NS, set, w.a, NULL, NULL);
    set_world_wait_children(&w, NS, "is", 1);
    set_world_wait_children(&w, NS, "role", 1);
    set_world_settle(&w);
    assert_int_equal(json_size(set_world_list(&w, &KUBE_HELM_RELEASES, NS, NULL)), 0);
    set_world_stop(&w);
}

UNIT_TESTS(TEST(the_pool_is_made_and_waited_for),
           TEST(without_flux_replicas_run_and_the_condition_says_why),
           TEST(none_for_transformers_and_roles))
