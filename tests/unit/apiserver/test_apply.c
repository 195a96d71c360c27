/* Server-side apply and managers on a running server. */
#include <stdio.h>

#include "apiserver/fields/set.h"
#include "base/clock.h"
#include "base/str.h"
#include "test_server.h"
#include "unit.h"

#define MAPS "/api/v1/namespaces/default/configmaps"
#define APPLY "application/apply-patch+yaml"

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

static int apply(const char *name, const char *options, const char *body)
{
    char path[512];
    snprintf(path, sizeof path, MAPS "/%s?%s", name, options);
    return test_server_ask_type(&t, "PATCH", path, APPLY, NULL, body);
}

#define MAP(name, rest) "{apiVersion: v1, kind: ConfigMap, metadata: {name: " name "}" rest "}"
#define assert_get(pointer, value) assert_string_equal(test_server_get(&t, pointer), value)

static size_t managers(void)
{
    return json_size(json_pointer(t.answer, "/metadata/managedFields"));
}

/* The entry's fields, by manager; NULL: there is no such manager. */
static const char *fields_of_manager(const char *manager)
{
    JSON_FOREACH(it, json_pointer(t.answer, "/metadata/managedFields"))
        if (str_eq(json_find_str(it.value, "manager"), manager))
            return json_text(t.a, json_get(it.value, "fieldsV1"));
    return NULL;
}

static void what_is_applied_is_made_and_changed(void **state)
{
    assert_int_equal(apply("made", "fieldManager=one", MAP("made", ", data: {a: '1', b: '2'}")),
                     201);
    assert_string_equal(fields_of_manager("one"), "{\"f:data\":{\"f:a\":{},\"f:b\":{}}}");
    const char *version = test_server_get(&t, "/metadata/resourceVersion");
    assert_int_equal(apply("made", "fieldManager=one", MAP("made", ", data: {a: '1', b: '2'}")),
                     200);
    assert_get("/metadata/resourceVersion", version);
    assert_int_equal(apply("made", "fieldManager=one", MAP("made", ", data: {a: '3'}")), 200);
    assert_get("/data/a", "3");
    assert_get("/data/b", "");
}

static void conflicts_are_told_and_forced(void **state)
{
    assert_int_equal(apply("torn", "fieldManager=one", MAP("torn", ", data: {a: '1', b: '2'}")),
                     201);
    assert_int_equal(apply("torn", "fieldManager=two", MAP("torn", ", data: {a: '2', b: '3'}")),
                     409);
    assert_get("/reason", "Conflict");
    assert_get("/message",
               "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b");
    assert_get("/details/causes/0/reason", "FieldManagerConflict");
    assert_get("/details/causes/1/field", ".data.b");
    assert_int_equal(apply("torn", "fieldManager=two&force=true", MAP("torn", ", data: {a: '2'}")),
                     200);
    assert_string_equal(fields_of_manager("one"), "{\"f:data\":{\"f:b\":{}}}");
    assert_string_equal(fields_of_manager("two"), "{\"f:data\":{\"f:a\":{}}}");
}

static void shared_fields_stay_until_the_last_one_leaves(void **state)
{
    assert_int_equal(apply("both", "fieldManager=one", MAP("both", ", data: {a: '1'}")), 201);
    assert_int_equal(apply("both", "fieldManager=two", MAP("both", ", data: {a: '1'}")), 200);
    assert_int_equal(apply("both", "fieldManager=one", MAP("both", "")), 200);
    assert_get("/data/a", "1");
    assert_int_equal(apply("both", "fieldManager=two", MAP("both", "")), 200);
    assert_get("/data/a", "");
    assert_int_equal(managers(), 0);
}

static void only_so_many_updaters_are_told_apart(void **state)
{
    assert_int_equal(test_server_ask(&t, "POST", MAPS "?fieldManager=u00",
                                     "{'metadata':{'name':'many'},'data':{'u00':'1'}}"),
                     201);
    for (int i = 1; i < 15; i++) {
        char path[128], body[128];
        snprintf(path, sizeof path, MAPS "/many?fieldManager=u%02d", i);
        snprintf(body, sizeof body, "{\"data\":{\"u%02d\":\"1\"}}", i);
        assert_int_equal(test_server_ask_type(&t, "PATCH", path, "application/merge-patch+json",
                                              NULL, body),
                         200);
    }
    assert_int_equal(managers(), 10);
    assert_string_equal(
        fields_of_manager("ancient-changes"),
        "{\"f:data\":{\".\":{},\"f:u00\":{},\"f:u01\":{},\"f:u02\":{},\"f:u03\":{},\"f:u04\":{},\"f:u05\":{}}}");
}

static void managers_can_be_forgotten(void **state)
{
    assert_int_equal(apply("lost", "fieldManager=one", MAP("lost", ", data: {a: '1'}")), 201);
    assert_int_equal(test_server_ask_type(&t, "PATCH", MAPS "/lost", "application/merge-patch+json",
                                          NULL, "{\"metadata\":{\"managedFields\":[]}}"),
                     200);
    assert_int_equal(managers(), 0);
    assert_int_equal(test_server_ask_type(&t, "PATCH", MAPS "/lost", "application/merge-patch+json",
                                          NULL, "{\"data\":{\"b\":\"1\"}}"),
                     200);
    assert_int_equal(managers(), 0);
    assert_int_equal(apply("lost", "fieldManager=two", MAP("lost", ", data: {a: '1'}")), 200);
    assert_string_equal(fields_of_manager("before-first-apply"),
                        "{\"f:data\":{\".\":{},\"f:a\":{},\"f:b\":{}}}");
}

static void nothing_changes_nothing(void **state)
{
    assert_int_equal(test_server_ask(&t, "POST", MAPS,
                                     "{'metadata':{'name':'same'},'data':{'a':'1'}}"),
                     201);
    const char *version = test_server_get(&t, "/metadata/resourceVersion");
    assert_int_equal(test_server_ask(&t, "PUT", MAPS "/same?fieldManager=other",
                                     "{'metadata':{'name':'same'},'data':{'a':'1'}}"),
                     200);
    assert_get("/metadata/resourceVersion", version);
    assert_int_equal(managers(), 1);
    assert_int_equal(test_server_ask(&t, "GET", MAPS "/same", NULL), 200);
    assert_get("/metadata/managedFields/0/manager", "kaito");
}

static void dry_runs_write_nothing(void **state)
{
    assert_int_equal(apply("dry", "fieldManager=one&dryRun=All", MAP("dry", ", data: {a: '1'}")),
                     201);
    assert_string_equal(fields_of_manager("one"), "{\"f:data\":{\"f:a\":{}}}");
    assert_int_equal(test_server_ask(&t, "GET", MAPS "/dry", NULL), 404);
}

/* Deeper than a set may be, an object has no managers; it is stored and read all the same. */
static void objects_that_are_nested_deep(void **state)
{
    static const char crd[] =
        "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','metadata':{'name':'deeps.test.io'},"
        "'spec':{'group':'test.io','scope':'Namespaced','names':{'plural':'deeps','kind':'Deep'},'versions':[{'name':'v1',"
        "'served':true,'storage':true,'schema':{'openAPIV3Schema':{'type':'object','x-kubernetes-preserve-unknown-fields':true}}}]}}";
    assert_int_equal(test_server_ask(&t, "POST",
                                     "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                                     crd),
                     201);
    AUTO_BUF body = BUF_INIT(MIB);
    buf_puts(
        &body,
        "{\"apiVersion\":\"test.io/v1\",\"kind\":\"Deep\",\"metadata\":{\"name\":\"d\"},\"spec\":");
    for (int i = 0; i < FIELD_SET_MAX_DEPTH + 5; i++)
        buf_puts(&body, "{\"a\":");
    buf_puts(&body, "1");
    for (int i = 0; i < FIELD_SET_MAX_DEPTH + 5; i++)
        buf_puts(&body, "}");
    buf_puts(&body, "}");
    assert_int_equal(test_server_ask_type(&t, "POST", "/apis/test.io/v1/namespaces/default/deeps",
                                          NULL, NULL, buf_str(&body)),
                     201);
    assert_int_equal(test_server_ask(&t, "GET", "/apis/test.io/v1/namespaces/default/deeps/d",
                                     NULL),
                     200);
    assert_int_equal(managers(), 0);
    assert_int_equal(test_server_ask_type(
                         &t, "PATCH", "/apis/test.io/v1/namespaces/default/deeps/d?fieldManager=m",
                         APPLY, NULL, buf_str(&body)),
                     500);
    assert_non_null(strstr(test_server_get(&t, "/message"), "nested more than"));
}

static void lists_of_a_workspace(void **state)
{
    test_server_crds(&t, "workspaces.kaito.sh");
    static const char path[] =
        "/apis/kaito.sh/v1beta1/namespaces/default/workspaces/w?fieldManager=one";
    assert_int_equal(
        test_server_ask_type(
            &t, "PATCH", path, APPLY, NULL,
            "{apiVersion: kaito.sh/v1beta1, kind: Workspace, metadata: {name: w}, resource: {instanceType: a, "
            "labelSelector: {matchLabels: {a: b}}}, inference: {preset: {name: phi-4}}}"),
        201);
    assert_string_equal(
        fields_of_manager("one"),
        "{\"f:inference\":{\"f:preset\":{\"f:name\":{}}},\"f:resource\":{\"f:instanceType\":{},"
        "\"f:labelSelector\":{}}}");
    assert_int_equal(
        test_server_ask_type(
            &t, "PATCH", path, APPLY, NULL,
            "{apiVersion: kaito.sh/v1beta1, kind: Workspace, metadata: {name: w}, size: 1}"),
        500);
    assert_get(
        "/message",
        "failed to create typed patch object (/w; kaito.sh/v1beta1, Kind=Workspace): .size: field not declared in schema");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(what_is_applied_is_made_and_changed), T(conflicts_are_told_and_forced),
           T(shared_fields_stay_until_the_last_one_leaves), T(only_so_many_updaters_are_told_apart),
           T(managers_can_be_forgotten), T(nothing_changes_nothing), T(dry_runs_write_nothing),
           T(objects_that_are_nested_deep), T(lists_of_a_workspace))
