/* Reviews of writes: what they see, that they may use the server meanwhile, and that nothing is
 * written which was not reviewed. How webhooks are called is compared with the real server in
 * tests/kube_diff/test_webhooks.py. */
#include <stdio.h>

#include "base/str.h"
#include "kube/client.h"
#include "test_server.h"
#include "unit.h"
#include "json/build.h"

#define MAPS "/api/v1/namespaces/default/configmaps"
#define CONFIGS "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"

static struct test_server t;
static const struct kube_resource config_maps = { "", "v1", "configmaps", "ConfigMap", true };

/* What the reviewer does, and what it has seen. */
static struct {
    int calls;
    int meddle;        /* so many times it changes the object while it is being reviewed */
    char seen[8][128]; /* operation, old value → new value */
    bool dry_run;
} hook;

#define ASK(...) test_server_ask(&t, __VA_ARGS__)

static void meddle(const char *name)
{
    AUTO_ARENA a = arena_new();
    struct kube_client *c = kube_client_new(t.transport, &(struct kube_client_options){ 0 });
    struct json *patch = OBJ("metadata", OBJ("annotations", OBJ("n", STRF("%d", hook.calls))));
    assert_int_equal(kube_patch(c, &config_maps, "default", name, NULL, KUBE_PATCH_MERGE, patch, a,
                                NULL, NULL),
                     0);
    kube_client_free(c);
}

static int review(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                  struct error **err)
{
    const char *value = json_find_str(request, "object", "data", "v");
    const char *n = json_find_str(request, "oldObject", "metadata", "annotations", "n");
    int call = hook.calls++;
    if (call < (int)COUNT_OF(hook.seen))
        snprintf(hook.seen[call], sizeof hook.seen[call], "%s %s>%s %s",
                 json_find_str(request, "operation"),
                 str_or_empty(json_find_str(request, "oldObject", "data", "v")),
                 str_or_empty(value), str_or_empty(n));
    hook.dry_run = json_find_bool(request, false, "dryRun");
    if (hook.meddle > 0 && json_is_object(json_get(request, "oldObject"))) {
        hook.meddle--;
        meddle(json_find_str(request, "name"));
    }
    if (str_eq(value, "break"))
        return error_set(err, ERROR_UNAVAILABLE, "out of order");
    *ret = OBJ("allowed", BOOL(!str_eq(value, "bad")), "status",
               str_eq(value, "bad") ? OBJ("message", STR("bad it is")) : NULL);
    return 0;
}

static int start(void **state)
{
    static const struct apiserver_admission admission[] = {
        { .name = "a.b.c", .group = "", .plural = "configmaps", .review = review },
        { NULL },
    };
    memset(&hook, 0, sizeof hook);
    test_server_start(&t, &(struct apiserver_options){ .admission = admission });
    return 0;
}

static int stop(void **state)
{
    test_server_stop(&t);
    return 0;
}

static void writes_are_reviewed(void **state)
{
    assert_int_equal(ASK("POST", MAPS, "{'metadata':{'name':'a'},'data':{'v':'bad'}}"), 400);
    assert_string_equal(test_server_get(&t, "/message"),
                        "admission webhook \"a.b.c\" denied the request: bad it is");
    assert_int_equal(ASK("GET", MAPS "/a", NULL), 404);
    assert_int_equal(ASK("POST", MAPS, "{'metadata':{'name':'a'},'data':{'v':'1'}}"), 201);
    assert_int_equal(ASK("PATCH", MAPS "/a", "{'data':{'v':'bad'}}"), 400);
    assert_int_equal(ASK("PUT", MAPS "/a", "{'metadata':{'name':'a'},'data':{'v':'bad'}}"), 400);
    assert_int_equal(ASK("PATCH", MAPS "/a?dryRun=All", "{'data':{'v':'2'}}"), 200);
    assert_true(hook.dry_run);
    assert_int_equal(ASK("PATCH", MAPS "/a", "{'data':{'v':'2'}}"), 200);
    assert_false(hook.dry_run);
    assert_string_equal(hook.seen[0], "CREATE >bad ");
    assert_string_equal(hook.seen[2], "UPDATE 1>bad ");
    assert_string_equal(hook.seen[5], "UPDATE 1>2 ");
    int calls = hook.calls;
    assert_int_equal(ASK("PATCH", MAPS "/missing", "{'data':{'v':'2'}}"), 404);
    assert_int_equal(ASK("POST", MAPS, "{'metadata':{'name':'_'}}"), 422);
    assert_int_equal(ASK("POST", "/api/v1/namespaces/default/secrets", "{'metadata':{'name':'s'}}"),
                     201);
    assert_int_equal(hook.calls, calls);
}

static void a_reviewer_that_fails_admits_nothing(void **state)
{
    assert_int_equal(ASK("POST", MAPS, "{'metadata':{'name':'a'},'data':{'v':'break'}}"), 500);
    assert_string_equal(test_server_get(&t, "/message"),
                        "Internal error occurred: failed calling webhook \"a.b.c\": out of order");
}

/* The object that was reviewed is the one that is changed: else it is reviewed again. */
static void what_changes_meanwhile_is_reviewed_again(void **state)
{
    assert_int_equal(ASK("POST", MAPS, "{'metadata':{'name':'a'},'data':{'v':'1'}}"), 201);
    hook.calls = 0;
    hook.meddle = 1;
    assert_int_equal(ASK("PATCH", MAPS "/a", "{'data':{'v':'2'}}"), 200);
    assert_string_equal(test_server_get(&t, "/data/v"), "2");
    assert_string_equal(test_server_get(&t, "/metadata/annotations/n"), "1");
    /* the patch, that of the meddler, and the patch again */
    assert_int_equal(hook.calls, 3);
    assert_string_equal(hook.seen[0], "UPDATE 1>2 ");
    assert_string_equal(hook.seen[2], "UPDATE 1>2 1");
}

static void a_client_that_names_a_version_gets_the_conflict(void **state)
{
    assert_int_equal(ASK("POST", MAPS, "{'metadata':{'name':'a'},'data':{'v':'1'}}"), 201);
    const char *body =
        arena_printf(t.a, "{'metadata':{'name':'a','resourceVersion':'%s'},'data':{'v':'2'}}",
                     test_server_get(&t, "/metadata/resourceVersion"));
    hook.meddle = 1;
    assert_int_equal(ASK("PUT", MAPS "/a", body), 409);
    assert_int_equal(ASK("GET", MAPS "/a", NULL), 200);
    assert_string_equal(test_server_get(&t, "/data/v"), "1");
}

/* Nobody is there to be asked: the policy decides, and configurations themselves are never asked
 * about. */
static void an_absent_webhook_is_as_its_policy_says(void **state)
{
    static const char config[] =
        "{'metadata':{'name':'x'},'webhooks':[{'name':'x.y.z','clientConfig':{'service':{'name':"
        "'none','namespace':'default'}},'sideEffects':'None','admissionReviewVersions':['v1'],"
        "'rules':[{'apiGroups':['*'],'apiVersions':['*'],'resources':['*'],'operations':['*']}]}]}";
    assert_int_equal(ASK("POST", CONFIGS, config), 201);
    assert_int_equal(ASK("POST", MAPS, "{'metadata':{'name':'a'}}"), 500);
    assert_string_equal(test_server_get(&t, "/message"),
                        "Internal error occurred: failed calling webhook \"x.y.z\": failed to call "
                        "webhook: Post \"https://none.default.svc:443/?timeout=10s\": service "
                        "\"none\" not found");
    assert_int_equal(test_server_ask_type(
                         &t, "PATCH", CONFIGS "/x", "application/json-patch+json", NULL,
                         "[{\"op\":\"replace\",\"path\":\"/webhooks/0/failurePolicy\",\"value\":"
                         "\"Ignore\"}]"),
                     200);
    assert_int_equal(ASK("POST", MAPS, "{'metadata':{'name':'a'}}"), 201);
    assert_int_equal(ASK("DELETE", CONFIGS "/x", NULL), 200);
    assert_int_equal(ASK("DELETE", MAPS "/a", NULL), 200);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(writes_are_reviewed), T(a_reviewer_that_fails_admits_nothing),
           T(what_changes_meanwhile_is_reviewed_again),
           T(a_client_that_names_a_version_gets_the_conflict),
           T(an_absent_webhook_is_as_its_policy_says))
