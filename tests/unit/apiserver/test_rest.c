#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "test_server.h"
#include "unit.h"

#define CMS "/api/v1/namespaces/default/configmaps"

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

#define GET(pointer) test_server_get(&t, pointer)
#define ASK(...) test_server_ask(&t, __VA_ARGS__)
#define assert_get(pointer, value) assert_string_equal(GET(pointer), value)

static void a_new_server_has_its_namespaces(void **state)
{
    assert_int_equal(ASK("GET", "/api/v1/namespaces", NULL), 200);
    assert_int_equal(json_size(json_get(t.answer, "items")), 4);
    assert_get("/items/0/metadata/name", "default");
    assert_get("/items/0/status/phase", "Active");
    assert_get("/items/0/metadata/labels/kubernetes.io~1metadata.name", "default");
}

static void create_sets_what_the_server_sets(void **state)
{
    assert_int_equal(
        ASK("POST", CMS,
            "{'metadata':{'name':'a','uid':'mine','generation':5,'selfLink':'x'},'data':{'k':'v'}}"),
        201);
    assert_get("/kind", "ConfigMap");
    assert_get("/apiVersion", "v1");
    assert_get("/metadata/namespace", "default");
    assert_int_equal(strlen(GET("/metadata/uid")), 36);
    assert_string_not_equal(GET("/metadata/creationTimestamp"), "");
    assert_string_not_equal(GET("/metadata/resourceVersion"), "");
    assert_get("/metadata/selfLink", "");
    assert_get("/data/k", "v");
    assert_int_equal(ASK("POST", CMS, "{'metadata':{'name':'a'}}"), 409);
    assert_get("/reason", "AlreadyExists");
    assert_get("/message", "configmaps \"a\" already exists");
    assert_int_equal(ASK("GET", CMS "/a", NULL), 200);
    assert_get("/data/k", "v");
}

static void names_are_generated(void **state)
{
    assert_int_equal(ASK("POST", CMS, "{'metadata':{'generateName':'x-'}}"), 201);
    assert_true(str_has_prefix(GET("/metadata/name"), "x-"));
    assert_int_equal(strlen(GET("/metadata/name")), 7);
    assert_int_equal(ASK("POST", CMS, "{'metadata':{}}"), 422);
    assert_get("/details/causes/0/field", "metadata.name");
}

static void a_namespace_must_be_there(void **state)
{
    assert_int_equal(ASK("POST", "/api/v1/namespaces/absent/configmaps",
                         "{'metadata':{'name':'a'}}"),
                     404);
    assert_get("/message", "namespaces \"absent\" not found");
    assert_int_equal(ASK("POST", CMS, "{'metadata':{'name':'a','namespace':'kube-system'}}"), 400);
}

static void updates_need_the_newest_version(void **state)
{
    ASK("POST", CMS, "{'metadata':{'name':'a'},'data':{'k':'1'}}");
    const char *uid = GET("/metadata/uid"), *created = GET("/metadata/creationTimestamp");
    const char *old =
        arena_printf(t.a, "{'metadata':{'name':'a','resourceVersion':'%s'},'data':{'k':'2'}}",
                     GET("/metadata/resourceVersion"));
    assert_int_equal(ASK("PUT", CMS "/a", old), 200);
    assert_get("/data/k", "2");
    assert_get("/metadata/uid", uid);
    assert_get("/metadata/creationTimestamp", created);
    assert_int_equal(ASK("PUT", CMS "/a", "{'metadata':{'name':'a'},'data':{'k':'3'}}"), 200);
    assert_int_equal(ASK("PUT", CMS "/a", old), 409);
    assert_get("/reason", "Conflict");
    assert_get(
        "/message",
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your "
        "changes to the latest version and try again");
    assert_int_equal(ASK("PUT", CMS "/b", "{'metadata':{'name':'b'}}"), 404);
    assert_int_equal(ASK("PUT", CMS "/a", "{'metadata':{'name':'b'}}"), 400);
    assert_int_equal(ASK("PUT", CMS "/a", "{'metadata':{'name':'a','uid':'other'}}"), 409);
}

static void leases_are_created_by_updates(void **state)
{
    const char *path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    assert_int_equal(ASK("PUT", path,
                         "{'metadata':{'name':'l'},'spec':{'leaseDurationSeconds':15}}"),
                     201);
    assert_int_equal(ASK("PUT", path,
                         "{'metadata':{'name':'l'},'spec':{'leaseDurationSeconds':15}}"),
                     422);
    assert_get("/details/causes/0/field", "metadata.resourceVersion");
}

static void nothing_changed_is_not_written(void **state)
{
    ASK("POST", CMS, "{'metadata':{'name':'a'},'data':{'k':'1'}}");
    const char *version = GET("/metadata/resourceVersion");
    uint64_t commits = apiserver_commits(t.server);
    assert_int_equal(ASK("PUT", CMS "/a", "{'metadata':{'name':'a'},'data':{'k':'1'}}"), 200);
    assert_get("/metadata/resourceVersion", version);
    assert_int_equal(ASK("PATCH", CMS "/a", "{'data':{'k':'1'}}"), 200);
    assert_int_equal(ASK("PATCH", CMS "/a", "{'metadata':{'managedFields':[{'manager':'x'}]}}"),
                     200);
    assert_get("/metadata/resourceVersion", version);
    assert_int_equal(apiserver_commits(t.server), commits);
}

static void dry_runs_write_nothing(void **state)
{
    uint64_t version = apiserver_resource_version(t.server);
    assert_int_equal(ASK("POST", CMS "?dryRun=All", "{'metadata':{'name':'a'},'data':{'k':'1'}}"),
                     201);
    assert_get("/data/k", "1");
    assert_int_equal(ASK("GET", CMS "/a", NULL), 404);
    assert_int_equal(apiserver_resource_version(t.server), version);
    ASK("POST", CMS, "{'metadata':{'name':'a'},'data':{'k':'1'}}");
    assert_int_equal(ASK("PATCH", CMS "/a?dryRun=All", "{'data':{'k':'2'}}"), 200);
    assert_get("/data/k", "2");
    assert_int_equal(ASK("DELETE", CMS "/a?dryRun=All", NULL), 200);
    assert_int_equal(ASK("GET", CMS "/a", NULL), 200);
    assert_get("/data/k", "1");
    assert_int_equal(ASK("POST", CMS "?dryRun=Some", "{'metadata':{'name':'b'}}"), 422);
}

static void unknown_fields(void **state)
{
    const char *body = "{'metadata':{'name':'a','foo':1},'spec':{},'data':{'k':'1'}}";
    assert_int_equal(ASK("POST", CMS "?fieldValidation=Strict", body), 400);
    assert_get(
        "/message",
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field "
        "\"metadata.foo\", unknown field \"spec\"");
    assert_int_equal(ASK("POST", CMS, body), 201);
    assert_get("/spec", "");
    assert_int_equal(ASK("POST", CMS "?fieldValidation=Strict",
                         "{'metadata':{'name':'b'},'data':{'a':'1','a':'2'}}"),
                     400);
    assert_non_null(strstr(GET("/message"), "duplicate field \"data.a\""));
}

static void yaml_is_read_and_written(void **state)
{
    int status = test_server_ask_type(&t, "POST", CMS, "application/yaml", "application/yaml",
                                      "metadata:\n  name: a\ndata:\n  k: \"1\"\n");
    assert_int_equal(status, 201);
    assert_non_null(strstr(t.text, "kind: ConfigMap\n"));
    assert_int_equal(test_server_ask_type(&t, "POST", CMS, "text/plain", NULL, "x"), 415);
    assert_int_equal(test_server_ask_type(&t, "GET", CMS "/a", NULL,
                                          "application/vnd.kubernetes.protobuf", NULL),
                     406);
    assert_int_equal(test_server_ask_type(&t, "GET", CMS "/a", NULL,
                                          "application/vnd.kubernetes.protobuf,application/json",
                                          NULL),
                     200);
    assert_get("/data/k", "1");
}

static void tables_and_partial_objects(void **state)
{
    ASK("POST", CMS, "{'metadata':{'name':'a'},'data':{'k':'1'}}");
    test_server_ask_type(&t, "GET", CMS, NULL,
                         "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", NULL);
    assert_get("/kind", "Table");
    assert_get("/columnDefinitions/0/name", "Name");
    assert_get("/rows/0/cells/0", "a");
    assert_get("/rows/0/object/kind", "PartialObjectMetadata");
    test_server_ask_type(&t, "GET", CMS "/a?includeObject=Object", NULL,
                         "application/json;as=Table;v=v1;g=meta.k8s.io", NULL);
    assert_get("/rows/0/object/data/k", "1");
    test_server_ask_type(&t, "GET", CMS, NULL,
                         "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", NULL);
    assert_get("/kind", "PartialObjectMetadataList");
    assert_get("/items/0/metadata/name", "a");
    assert_get("/items/0/data", "");
}

static void status_has_a_door_of_its_own(void **state)
{
    const char *path = "/apis/apps/v1/namespaces/default/statefulsets";
    const char *body =
        "{'metadata':{'name':'s'},'spec':{'serviceName':'s','selector':{'matchLabels':{'a':'b'}},'template':{"
        "'metadata':{'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}}},"
        "'status':{'replicas':7}}";
    assert_int_equal(ASK("POST", path, body), 201);
    assert_get("/status/replicas", "0");
    assert_get("/metadata/generation", "1");
    path = "/apis/apps/v1/namespaces/default/statefulsets/s";
    assert_int_equal(ASK("PATCH", "/apis/apps/v1/namespaces/default/statefulsets/s/status",
                         "{'status':{'replicas':3},'spec':{'replicas':9}}"),
                     200);
    assert_get("/status/replicas", "3");
    assert_get("/spec/replicas", "1");
    assert_get("/metadata/generation", "1");
    assert_int_equal(ASK("PATCH", path, "{'status':{'replicas':4},'spec':{'replicas':2}}"), 200);
    assert_get("/status/replicas", "3");
    assert_get("/spec/replicas", "2");
    assert_get("/metadata/generation", "2");
    assert_int_equal(ASK("PATCH", path, "{'metadata':{'labels':{'x':'y'}}}"), 200);
    assert_get("/metadata/generation", "2");
}

static void what_is_not_there_is_refused(void **state)
{
    assert_int_equal(ASK("GET", "/api/v1/nothing", NULL), 404);
    assert_get("/message", "the server could not find the requested resource");
    assert_int_equal(ASK("GET", "/apis/nothing.io/v1/things", NULL), 404);
    assert_string_equal(t.text, "404 page not found\n");
    assert_int_equal(ASK("POST", "/api/v1/configmaps", "{'metadata':{'name':'a'}}"), 405);
    assert_int_equal(ASK("GET", "/api/v1/namespaces/default/pods/p/exec", NULL), 405);
    assert_get("/message", "pods/exec is not supported by this server");
    assert_int_equal(ASK("GET", "/api/v1/namespaces/default/pods/p/log", NULL), 404);
    assert_int_equal(ASK("GET", "//api//v1", NULL), 404);
    assert_int_equal(ASK("GET", "/", NULL), 404);
    assert_int_equal(ASK("GET", "/api/v1/namespaces/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q", NULL), 404);
}

static void discovery_names_everything(void **state)
{
    assert_int_equal(ASK("GET", "/api/v1", NULL), 200);
    assert_get("/kind", "APIResourceList");
    assert_int_equal(ASK("GET", "/apis", NULL), 200);
    assert_int_equal(ASK("GET", "/apis/apps", NULL), 200);
    assert_get("/preferredVersion/groupVersion", "apps/v1");
    test_server_ask_type(&t, "GET", "/apis", NULL,
                         "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                         NULL);
    assert_get("/kind", "APIGroupDiscoveryList");
    assert_get("/apiVersion", "apidiscovery.k8s.io/v2");
    assert_int_equal(ASK("GET", "/version", NULL), 200);
    assert_get("/minor", "32");
    assert_int_equal(ASK("GET", "/openapi/v3", NULL), 200);
    assert_int_equal(ASK("GET", "/openapi/v3/apis/apps/v1", NULL), 200);
    assert_int_equal(ASK("GET", "/openapi/v3/apis/nothing/v1", NULL), 404);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(a_new_server_has_its_namespaces), T(create_sets_what_the_server_sets),
           T(names_are_generated), T(a_namespace_must_be_there), T(updates_need_the_newest_version),
           T(leases_are_created_by_updates), T(nothing_changed_is_not_written),
           T(dry_runs_write_nothing), T(unknown_fields), T(yaml_is_read_and_written),
           T(tables_and_partial_objects), T(status_has_a_door_of_its_own),
           T(what_is_not_there_is_refused), T(discovery_names_everything))
