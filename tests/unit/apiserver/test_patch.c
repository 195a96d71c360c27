#include "test_server.h"
#include "unit.h"

#define CM "/api/v1/namespaces/default/configmaps/a"

static struct test_server t;

static int start(void **state)
{
    test_server_start(&t, NULL);
    test_server_ask(&t, "POST", "/api/v1/namespaces/default/configmaps",
                    "{'metadata':{'name':'a','labels':{'x':'y'}},'data':{'k':'1'}}");
    return 0;
}

static int stop(void **state)
{
    test_server_stop(&t);
    return 0;
}

#define assert_get(pointer, value) assert_string_equal(test_server_get(&t, pointer), value)

static int patch(const char *type, const char *body)
{
    return test_server_ask_type(&t, "PATCH", CM, type, NULL, body);
}

static void merge_patches(void **state)
{
    assert_int_equal(patch("application/merge-patch+json", "{\"data\":{\"k\":null,\"l\":\"2\"}}"),
                     200);
    assert_get("/data/k", "");
    assert_get("/data/l", "2");
    assert_get("/metadata/labels/x", "y");
    assert_int_equal(patch("application/merge-patch+json; charset=utf-8", "{\"data\":null}"), 200);
    assert_get("/data", "");
}

static void strategic_patches(void **state)
{
    assert_int_equal(patch("application/strategic-merge-patch+json",
                           "{\"data\":{\"l\":\"2\"},\"metadata\":{\"finalizers\":[\"a.io/x\"]}}"),
                     200);
    assert_int_equal(patch("application/strategic-merge-patch+json",
                           "{\"metadata\":{\"finalizers\":[\"a.io/y\"]}}"),
                     200);
    assert_int_equal(json_size(json_pointer(t.answer, "/metadata/finalizers")), 2);
}

static void json_patches(void **state)
{
    assert_int_equal(patch("application/json-patch+json",
                           "[{\"op\":\"test\",\"path\":\"/data/k\",\"value\":\"1\"},"
                           "{\"op\":\"replace\",\"path\":\"/data/k\",\"value\":\"2\"}]"),
                     200);
    assert_get("/data/k", "2");
    assert_int_equal(patch("application/json-patch+json",
                           "[{\"op\":\"remove\",\"path\":\"/data/zzz\"}]"),
                     422);
    assert_int_equal(patch("application/json-patch+json", "{}"), 400);
}

static void bad_patches(void **state)
{
    assert_int_equal(patch("application/merge-patch+json", "{"), 400);
    assert_int_equal(patch("application/merge-patch+json", "[]"), 400);
    assert_int_equal(patch("application/json", "{}"), 415);
    assert_int_equal(patch(NULL, "{}"), 415);
    assert_int_equal(patch("application/apply-patch+yaml", "metadata: {}"), 422);
    assert_non_null(strstr(test_server_get(&t, "/message"), "is required for apply patch"));
    assert_int_equal(patch("application/apply-patch+cbor", ""), 415);
    assert_int_equal(patch("application/merge-patch+json", "{\"data\":{\"k\":5}}"), 422);
    assert_int_equal(patch("application/merge-patch+json", "{\"metadata\":{\"name\":\"b\"}}"), 400);
    assert_int_equal(patch("application/merge-patch+json",
                           "{\"metadata\":{\"resourceVersion\":\"1\"}}"),
                     409);
    assert_int_equal(patch("application/merge-patch+json", "{\"metadata\":null}"), 400);
    assert_int_equal(patch("application/merge-patch+json", "{\"metadata\":\"x\"}"), 422);
}

static void what_only_the_server_sets_stays(void **state)
{
    test_server_ask(&t, "GET", CM, NULL);
    const char *created = test_server_get(&t, "/metadata/creationTimestamp");
    assert_int_equal(patch("application/merge-patch+json",
                           "{\"metadata\":{\"creationTimestamp\":null,\"generation\":9}}"),
                     200);
    assert_get("/metadata/creationTimestamp", created);
    assert_get("/metadata/generation", "");
    assert_int_equal(patch("application/merge-patch+json", "{\"metadata\":{\"uid\":\"x\"}}"), 422);
    assert_int_equal(patch("application/merge-patch+json",
                           "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}"),
                     422);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(merge_patches), T(strategic_patches), T(json_patches), T(bad_patches),
           T(what_only_the_server_sets_stays))
