/* The scale subresource, as clients such as `kubectl scale` and autoscalers use it. */
#include <stdio.h>

#include "test_server.h"
#include "unit.h"

#define SETS "/apis/kaito.sh/v1beta1/namespaces/default/inferencesets"
#define SET SETS "/is"
#define STATEFULSETS "/apis/apps/v1/namespaces/default/statefulsets"
#define MERGE "application/merge-patch+json"

static struct test_server t;

static int start(void **state)
{
    test_server_start(&t, NULL);
    test_server_crds(&t, "inferencesets.kaito.sh");
    int made = test_server_ask(
        &t, "POST", SETS,
        "{'apiVersion':'kaito.sh/v1beta1','kind':'InferenceSet','metadata':{'name':'is'},"
        "'spec':{'replicas':1,'labelSelector':{'matchLabels':{'apps':'is'}},"
        "'template':{'inference':{'preset':{'name':'phi-4'}}}}}");
    assert_int_equal(made, 201);
    made = test_server_ask(
        &t, "POST", STATEFULSETS,
        "{'apiVersion':'apps/v1','kind':'StatefulSet','metadata':{'name':'s'},'spec':{'serviceName':"
        "'s','selector':{'matchLabels':{'b':'x','a':'y'}},'template':{'metadata':{'labels':{'b':'x',"
        "'a':'y'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
    assert_int_equal(made, 201);
    return 0;
}

static int stop(void **state)
{
    test_server_stop(&t);
    return 0;
}

#define assert_get(pointer, value) assert_string_equal(test_server_get(&t, pointer), value)

static int64_t number(const char *pointer)
{
    return json_int(json_pointer(t.answer, pointer), -1);
}

static int patch(const char *path, const char *body)
{
    char text[512];
    snprintf(text, sizeof(text), "%s", body);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    return test_server_ask_type(&t, "PATCH", path, MERGE, NULL, text);
}

static void a_custom_resource_is_scaled(void **state)
{
    assert_int_equal(test_server_ask(&t, "GET", SET "/scale", NULL), 200);
    assert_get("/kind", "Scale");
    assert_get("/apiVersion", "autoscaling/v1");
    assert_get("/metadata/name", "is");
    assert_get("/metadata/namespace", "default");
    assert_int_equal(number("/spec/replicas"), 1);
    assert_int_equal(number("/status/replicas"), 0);
    assert_null(json_pointer(t.answer, "/status/selector"));
    assert_int_equal(patch(SET "/status",
                           "{'status':{'replicas':1,'readyReplicas':1,'selector':'a=b'}}"),
                     200);
    /* as kubectl scale --replicas=2 does */
    assert_int_equal(patch(SET "/scale", "{'spec':{'replicas':2}}"), 200);
    assert_get("/kind", "Scale");
    assert_int_equal(number("/spec/replicas"), 2);
    assert_int_equal(number("/status/replicas"), 1);
    assert_get("/status/selector", "a=b");
    assert_int_equal(test_server_ask(&t, "GET", SET, NULL), 200);
    assert_int_equal(number("/spec/replicas"), 2);
    assert_int_equal(number("/metadata/generation"), 2);
    assert_int_equal(number("/status/readyReplicas"), 1);
    assert_int_equal(test_server_ask(&t, "PUT", SET "/scale",
                                     "{'apiVersion':'autoscaling/v1','kind':'Scale','metadata':"
                                     "{'name':'is'},'spec':{'replicas':0}}"),
                     200);
    assert_null(json_pointer(t.answer, "/spec/replicas"));
    assert_int_equal(test_server_ask(&t, "GET", SET, NULL), 200);
    assert_int_equal(number("/spec/replicas"), 0);
}

static void a_trial_changes_nothing(void **state)
{
    assert_int_equal(patch(SET "/scale?dryRun=All", "{'spec':{'replicas':7}}"), 200);
    assert_int_equal(number("/spec/replicas"), 7);
    assert_int_equal(test_server_ask(&t, "GET", SET "/scale", NULL), 200);
    assert_int_equal(number("/spec/replicas"), 1);
}

static void what_cannot_be_is_refused(void **state)
{
    assert_int_equal(patch(SET "/scale", "{'spec':{'replicas':-1}}"), 422);
    assert_non_null(strstr(test_server_get(&t, "/message"), "spec.replicas"));
    assert_int_equal(patch(STATEFULSETS "/s/scale", "{'spec':{'replicas':-1}}"), 422);
    assert_get("/message", "Scale.autoscaling \"s\" is invalid: spec.replicas: Invalid value: -1: "
                           "must be greater than or equal to 0");
    assert_int_equal(test_server_ask(&t, "PUT", SET "/scale",
                                     "{'apiVersion':'autoscaling/v1','kind':'Scale','metadata':"
                                     "{'name':'other'},'spec':{'replicas':3}}"),
                     400);
    assert_int_equal(test_server_ask(&t, "PUT", SET "/scale",
                                     "{'apiVersion':'autoscaling/v1','kind':'Scale','metadata':"
                                     "{'name':'is','resourceVersion':'1'},'spec':{'replicas':3}}"),
                     409);
    assert_int_equal(test_server_ask(&t, "PUT", SET "/scale",
                                     "{'apiVersion':'kaito.sh/v1beta1','kind':'InferenceSet',"
                                     "'metadata':{'name':'is'},'spec':{'replicas':3}}"),
                     400);
    assert_int_equal(test_server_ask(&t, "POST", SET "/scale", "{}"), 405);
    assert_int_equal(test_server_ask(&t, "DELETE", SET "/scale", NULL), 405);
    assert_int_equal(test_server_ask(&t, "GET", SETS "/none/scale", NULL), 404);
    assert_int_equal(patch(SETS "/none/scale", "{'spec':{'replicas':1}}"), 404);
    assert_int_equal(test_server_ask(&t, "GET", "/api/v1/namespaces/default/pods/p/scale", NULL),
                     404);
    assert_int_equal(test_server_ask(&t, "GET", SET, NULL), 200);
    assert_int_equal(number("/spec/replicas"), 1);
}

static void a_stateful_set_is_scaled(void **state)
{
    assert_int_equal(test_server_ask(&t, "GET", STATEFULSETS "/s/scale", NULL), 200);
    assert_get("/status/selector", "a=y,b=x");
    assert_int_equal(number("/spec/replicas"), 1);
    assert_int_equal(patch(STATEFULSETS "/s/scale", "{'spec':{'replicas':3}}"), 200);
    assert_int_equal(test_server_ask(&t, "GET", STATEFULSETS "/s", NULL), 200);
    assert_int_equal(number("/spec/replicas"), 3);
    assert_get("/spec/template/spec/containers/0/image", "i");
}

static void discovery_names_it(void **state)
{
    assert_int_equal(test_server_ask(&t, "GET", "/apis/kaito.sh/v1beta1", NULL), 200);
    const struct json *scale = json_pointer(t.answer, "/resources/2");
    assert_string_equal(json_find_str(scale, "name"), "inferencesets/scale");
    assert_string_equal(json_find_str(scale, "group"), "autoscaling");
    assert_string_equal(json_find_str(scale, "kind"), "Scale");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(a_custom_resource_is_scaled), T(a_trial_changes_nothing), T(what_cannot_be_is_refused),
           T(a_stateful_set_is_scaled), T(discovery_names_it))
