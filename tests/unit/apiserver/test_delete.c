#include "test_server.h"
#include "unit.h"

#define CMS "/api/v1/namespaces/default/configmaps"
#define PODS "/api/v1/namespaces/default/pods"

static struct test_server t;

static int start(void **state)
{
    test_server_start(&t, NULL);
    return 0;
}

static int stop(void **state)
{
    test_server_stop(&t);
    return 0;
}

#define ASK(...) test_server_ask(&t, __VA_ARGS__)
#define GET(pointer) test_server_get(&t, pointer)
#define assert_get(pointer, value) assert_string_equal(GET(pointer), value)

static void what_nothing_holds_goes_at_once(void **state)
{
    ASK("POST", CMS, "{'metadata':{'name':'a'}}");
    const char *uid = GET("/metadata/uid");
    assert_int_equal(ASK("DELETE", CMS "/a", NULL), 200);
    assert_get("/status", "Success");
    assert_get("/details/uid", uid);
    assert_int_equal(ASK("DELETE", CMS "/a", NULL), 404);
}

static void finalizers_hold(void **state)
{
    ASK("POST", CMS, "{'metadata':{'name':'a','finalizers':['a.io/x']}}");
    assert_int_equal(ASK("DELETE", CMS "/a", NULL), 200);
    const char *when = GET("/metadata/deletionTimestamp");
    assert_string_not_equal(when, "");
    assert_get("/metadata/deletionGracePeriodSeconds", "0");
    const char *version = GET("/metadata/resourceVersion");
    assert_int_equal(ASK("DELETE", CMS "/a", NULL), 200);
    assert_get("/metadata/resourceVersion", version);
    assert_int_equal(ASK("PATCH", CMS "/a", "{'metadata':{'finalizers':['a.io/x','a.io/y']}}"),
                     422);
    assert_int_equal(ASK("PATCH", CMS "/a", "{'data':{'k':'v'}}"), 200);
    assert_get("/metadata/deletionTimestamp", when);
    assert_int_equal(ASK("PATCH", CMS "/a", "{'metadata':{'finalizers':null}}"), 200);
    assert_int_equal(ASK("GET", CMS "/a", NULL), 404);
}

static void preconditions(void **state)
{
    ASK("POST", CMS, "{'metadata':{'name':'a'}}");
    const char *right = arena_printf(t.a, "{'preconditions':{'uid':'%s','resourceVersion':'%s'}}",
                                     GET("/metadata/uid"), GET("/metadata/resourceVersion"));
    assert_int_equal(ASK("DELETE", CMS "/a", "{'preconditions':{'uid':'other'}}"), 409);
    assert_int_equal(ASK("DELETE", CMS "/a", "{'preconditions':{'resourceVersion':'1'}}"), 409);
    assert_int_equal(ASK("DELETE", CMS "/a", right), 200);
}

static void bad_options(void **state)
{
    ASK("POST", CMS, "{'metadata':{'name':'a'}}");
    assert_int_equal(ASK("DELETE", CMS "/a", "{'propagationPolicy':'Some'}"), 422);
    assert_int_equal(ASK("DELETE", CMS "/a?propagationPolicy=Some", NULL), 422);
    assert_int_equal(ASK("DELETE", CMS "/a?gracePeriodSeconds=x", NULL), 400);
    assert_int_equal(ASK("DELETE", CMS "/a", "{'kind':'Pod'}"), 400);
    assert_int_equal(ASK("DELETE", CMS "/a", "[]"), 400);
    assert_int_equal(ASK("GET", CMS "/a", NULL), 200);
}

#define POD                                                                                        \
    "{'metadata':{'name':'p'},'spec':{'nodeName':'n','terminationGracePeriodSeconds':20,'containers':[{'name':'c','image':'i'}]}}"

static void pods_have_time_to_end(void **state)
{
    assert_int_equal(ASK("POST", PODS, POD), 201);
    assert_int_equal(ASK("DELETE", PODS "/p", NULL), 200);
    assert_get("/metadata/deletionGracePeriodSeconds", "20");
    assert_int_equal(ASK("DELETE", PODS "/p?gracePeriodSeconds=30", NULL), 200);
    assert_get("/metadata/deletionGracePeriodSeconds", "20");
    assert_int_equal(ASK("DELETE", PODS "/p?gracePeriodSeconds=5", NULL), 200);
    assert_get("/metadata/deletionGracePeriodSeconds", "5");
    assert_int_equal(ASK("GET", PODS "/p", NULL), 200);
    assert_int_equal(ASK("DELETE", PODS "/p", "{'gracePeriodSeconds':0}"), 200);
    assert_get("/kind", "Pod");
    assert_int_equal(ASK("GET", PODS "/p", NULL), 404);
}

static void pods_that_no_node_runs_go_at_once(void **state)
{
    assert_int_equal(
        ASK("POST", PODS,
            "{'metadata':{'name':'q'},'spec':{'containers':[{'name':'c','image':'i'}]}}"),
        201);
    assert_int_equal(ASK("DELETE", PODS "/q", NULL), 200);
    assert_int_equal(ASK("GET", PODS "/q", NULL), 404);
}

static void collections_go_together(void **state)
{
    ASK("POST", CMS, "{'metadata':{'name':'a','labels':{'x':'1'}}}");
    ASK("POST", CMS, "{'metadata':{'name':'b','labels':{'x':'1'}}}");
    ASK("POST", CMS, "{'metadata':{'name':'c'}}");
    assert_int_equal(ASK("DELETE", CMS "?labelSelector=x", NULL), 200);
    assert_get("/kind", "ConfigMapList");
    assert_int_equal(json_size(json_get(t.answer, "items")), 2);
    ASK("GET", CMS, NULL);
    assert_int_equal(json_size(json_get(t.answer, "items")), 1);
    assert_int_equal(ASK("DELETE", "/api/v1/configmaps", NULL), 405);
    assert_int_equal(ASK("DELETE", "/api/v1/namespaces", NULL), 405);
}

static void namespaces_are_emptied(void **state)
{
    assert_int_equal(ASK("POST", "/api/v1/namespaces", "{'metadata':{'name':'x'}}"), 201);
    ASK("POST", "/api/v1/namespaces/x/configmaps",
        "{'metadata':{'name':'a','finalizers':['a.io/x']}}");
    ASK("POST", "/api/v1/namespaces/x/secrets", "{'metadata':{'name':'s'}}");
    assert_int_equal(ASK("DELETE", "/api/v1/namespaces/x", NULL), 200);
    assert_get("/status/phase", "Terminating");
    assert_int_equal(ASK("POST", "/api/v1/namespaces/x/configmaps", "{'metadata':{'name':'late'}}"),
                     403);
    assert_get("/details/causes/0/reason", "NamespaceTerminating");
    assert_int_equal(test_server_wait(&t, "/api/v1/namespaces/x/secrets/s", 404), 404);
    assert_int_equal(ASK("GET", "/api/v1/namespaces/x", NULL), 200);
    ASK("PATCH", "/api/v1/namespaces/x/configmaps/a", "{'metadata':{'finalizers':null}}");
    assert_int_equal(test_server_wait(&t, "/api/v1/namespaces/x", 404), 404);
    assert_int_equal(ASK("DELETE", "/api/v1/namespaces/default", NULL), 403);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(what_nothing_holds_goes_at_once), T(finalizers_hold), T(preconditions), T(bad_options),
           T(pods_have_time_to_end), T(pods_that_no_node_runs_go_at_once),
           T(collections_go_together), T(namespaces_are_emptied))
