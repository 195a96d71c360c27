/* Drifted nodes are replaced in one NodePool of a set at a time. */
#include "inferenceset/drift.h"

#include "base/str.h"
#include "kube/meta.h"
#include "set_world.h"

static void make_pool(struct set_world *w, const char *workspace)
{
    set_world_create(
        w, &KUBE_NODEPOOLS, NULL,
        arena_printf(w->a,
                     "{'metadata':{'name':'default-%s','labels':{'karpenter.kaito.sh/inferenceset':"
                     "'is','karpenter.kaito.sh/inferenceset-namespace':'default',"
                     "'karpenter.kaito.sh/workspace-name':'%s'}},'spec':{'disruption':"
                     "{'consolidateAfter':'0s','budgets':[{'nodes':'5','reasons':['Empty']},"
                     "{'nodes':'0','reasons':['Drifted']}]}}}",
                     workspace, workspace));
    set_world_create(
        w, &KUBE_NODECLAIMS, NULL,
        arena_printf(
            w->a,
            "{'metadata':{'name':'c-%s','labels':{'karpenter.kaito.sh/inferenceset':'is',"
            "'karpenter.kaito.sh/inferenceset-namespace':'default','karpenter.sh/nodepool':"
            "'default-%s'}},'spec':{}}",
            workspace, workspace));
}

static void set_drifted(struct set_world *w, const char *workspace, bool drifted)
{
    set_world_patch(w, &KUBE_NODECLAIMS, NULL, arena_printf(w->a, "c-%s", workspace), "status",
                    arena_printf(w->a,
                                 "{'status':{'conditions':[{'type':'Drifted','status':'%s'}]}}",
                                 drifted ? "True" : "False"));
}

static const char *budget(struct set_world *w, const char *workspace)
{
    const struct json *pool =
        set_world_get(w, &KUBE_NODEPOOLS, NULL, arena_printf(w->a, "default-%s", workspace));
    const struct json *budgets = json_find(pool, "spec", "disruption", "budgets");
    assert_int_equal(json_size(budgets), 2);
    assert_string_equal(json_find_str(json_at(budgets, 0), "nodes"), "5"); /* another reason's */
    return json_find_str(json_at(budgets, 1), "nodes");
}

static bool has_event(struct set_world *w, const char *reason)
{
    for (int i = 0; i < 20; i++) {
        JSON_FOREACH(it, set_world_list(w, &KUBE_EVENTS, NS, NULL))
            if (str_eq(json_find_str(it.value, "reason"), reason))
                return true;
        set_world_settle(w);
    }
    return false;
}

static void one_pool_at_a_time(void **state)
{
    struct set_world w;
    set_world_start(&w);
    w.settings.provisioner = PROVISIONER_KARPENTER;
    set_world_serve_kind(&w, &KUBE_NODEPOOLS);
    set_world_serve_kind(&w, &KUBE_NODECLAIMS);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "2"));
    set_world_wait_children(&w, NS, "is", 2);
    set_world_serve_all(&w, NS, "is");
    const struct json *children = set_world_children(&w, NS, "is");
    const char *a = meta_name(json_at(children, 0)), *b = meta_name(json_at(children, 1));
    make_pool(&w, a);
    make_pool(&w, b);
    set_world_settle(&w);
    assert_string_equal(budget(&w, a), "0");
    set_drifted(&w, b, true);
    set_world_settle(&w);
    assert_string_equal(budget(&w, b), "1");
    assert_true(has_event(&w, "DriftStarted"));
    set_drifted(&w, a, true);
    set_world_settle(&w);
    assert_string_equal(budget(&w, a), "0"); /* its turn is not yet */
    set_world_serve(&w, NS, b, NULL, false);
    set_drifted(&w, b, false);
    set_world_settle(&w);
    assert_string_equal(budget(&w, b), "1"); /* it does not serve again yet */
    assert_string_equal(budget(&w, a), "0");
    /* a restart goes on with the same pool */
    set_world_halt(&w);
    set_world_run(&w);
    set_world_settle(&w);
    assert_string_equal(budget(&w, a), "0");
    set_world_serve(&w, NS, b, NULL, true);
    set_world_settle(&w);
    assert_string_equal(budget(&w, b), "0");
    assert_string_equal(budget(&w, a), "1");
    set_drifted(&w, a, false);
    set_world_settle(&w);
    assert_string_equal(budget(&w, a), "0");
    assert_true(has_event(&w, "DriftComplete"));
    set_world_stop(&w);
}

static void two_open_pools_become_one(void **state)
{
    struct set_world w;
    set_world_start(&w);
    w.settings.provisioner = PROVISIONER_KARPENTER;
    set_world_serve_kind(&w, &KUBE_NODEPOOLS);
    set_world_serve_kind(&w, &KUBE_NODECLAIMS);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "0"));
    make_pool(&w, "a");
    make_pool(&w, "b");
    set_drifted(&w, "a", true);
    set_drifted(&w, "b", true);
    for (int i = 0; i < 2; i++)
        set_world_patch(&w, &KUBE_NODEPOOLS, NULL, i ? "default-a" : "default-b", NULL,
                        "{'spec':{'disruption':{'budgets':[{'nodes':'5','reasons':['Empty']},"
                        "{'nodes':'1','reasons':['Drifted']}]}}}");
    set_world_run(&w);
    set_world_settle(&w);
    assert_string_equal(budget(&w, "a"), "1");
    assert_string_equal(budget(&w, "b"), "0");
    set_world_stop(&w);
}

UNIT_TESTS(TEST(one_pool_at_a_time), TEST(two_open_pools_become_one))
