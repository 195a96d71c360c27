/* Lists: selectors, pages, versions. */
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "test_server.h"
#include "unit.h"

#define CMS "/api/v1/namespaces/default/configmaps"

static struct test_server t;

static int start(void **state)
{
    test_server_start(&t, &(struct apiserver_options){ .watch_history = 50 });
    for (int i = 0; i < 10; i++) {
        AUTO_BUF body = BUF_INIT(KIB);
        buf_printf(&body, "{'metadata':{'name':'c%d','labels':{'n':'%d','odd':'%s'}}}", i, i,
                   i % 2 ? "yes" : "no");
        test_server_ask(&t, "POST", CMS, buf_str(&body));
    }
    return 0;
}

static int stop(void **state)
{
    test_server_stop(&t);
    return 0;
}

/* The last characters of the names of the items. */
static const char *names(void)
{
    static char text[64];
    size_t n = 0;
    JSON_FOREACH(it, json_get(t.answer, "items")) {
        const char *name = json_find_str(it.value, "metadata", "name");
        text[n++] = name[strlen(name) - 1];
    }
    text[n] = '\0';
    return text;
}

static int list(const char *query)
{
    return test_server_ask(&t, "GET", arena_printf(t.a, CMS "?%s", query), NULL);
}

#define assert_list(query, expected)                                                               \
    do {                                                                                           \
        assert_int_equal(list(query), 200);                                                        \
        assert_string_equal(names(), expected);                                                    \
    } while (0)

static void labels_select(void **state)
{
    assert_list("", "0123456789");
    assert_list("labelSelector=odd=yes", "13579");
    assert_list("labelSelector=odd!%3Dyes", "02468");
    assert_list("labelSelector=n%20in%20(1,2,30)", "12");
    assert_list("labelSelector=!odd", "");
    assert_list("labelSelector=odd=yes,n%20notin%20(1)", "3579");
    assert_int_equal(list("labelSelector=a%20b"), 400);
}

static void fields_select(void **state)
{
    assert_list("fieldSelector=metadata.name=c4", "4");
    assert_list("fieldSelector=metadata.name!%3Dc4,metadata.namespace=default", "012356789");
    assert_list("fieldSelector=metadata.namespace=other", "");
    assert_int_equal(list("fieldSelector=data.x=1"), 400);
    test_server_ask(
        &t, "POST", "/api/v1/namespaces/default/events",
        "{'metadata':{'name':'e1'},'involvedObject':{'kind':'Pod','name':'p','namespace':'default'},'reason':'R'}");
    test_server_ask(
        &t, "GET",
        "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp,involvedObject.kind%3DPod",
        NULL);
    assert_string_equal(names(), "1");
    test_server_ask(&t, "GET",
                    "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dq",
                    NULL);
    assert_string_equal(names(), "");
    test_server_ask(&t, "GET", "/api/v1/namespaces/default/events?fieldSelector=foo%3Dq", NULL);
    assert_string_equal(test_server_get(&t, "/message"), "field label not supported: foo");
}

static const char *escaped(const char *s)
{
    return str_replace(t.a, str_replace(t.a, str_replace(t.a, s, "+", "%2B"), "=", "%3D"), "/",
                       "%2F");
}

/* Pages show the state at the first of them, whatever is written in between. */
static void pages_are_of_one_moment(void **state)
{
    assert_list("limit=4", "0123");
    assert_string_equal(test_server_get(&t, "/metadata/remainingItemCount"), "6");
    const char *version = test_server_get(&t, "/metadata/resourceVersion");
    const char *next = escaped(test_server_get(&t, "/metadata/continue"));
    test_server_ask(&t, "DELETE", CMS "/c5", NULL);
    test_server_ask(&t, "POST", CMS, "{'metadata':{'name':'c55'}}");
    assert_list(arena_printf(t.a, "limit=4&continue=%s", next), "4567");
    assert_string_equal(test_server_get(&t, "/metadata/resourceVersion"), version);
    next = escaped(test_server_get(&t, "/metadata/continue"));
    assert_list(arena_printf(t.a, "limit=4&continue=%s", next), "89");
    assert_string_equal(test_server_get(&t, "/metadata/continue"), "");
    assert_list("limit=100&labelSelector=odd=yes", "1379");
    assert_list("limit=2&labelSelector=odd=yes", "13");
    next = escaped(test_server_get(&t, "/metadata/continue"));
    assert_list(arena_printf(t.a, "limit=2&labelSelector=odd=yes&continue=%s", next), "79");
}

static void old_pages_expire(void **state)
{
    assert_list("limit=4", "0123");
    const char *next = escaped(test_server_get(&t, "/metadata/continue"));
    for (int i = 0; i < 200; i++)
        test_server_ask(&t, "PATCH", CMS "/c9", arena_printf(t.a, "{'data':{'i':'%d'}}", i));
    assert_int_equal(list(arena_printf(t.a, "limit=4&continue=%s", next)), 410);
    assert_string_equal(test_server_get(&t, "/reason"), "Expired");
    next = escaped(test_server_get(&t, "/metadata/continue"));
    assert_list(arena_printf(t.a, "limit=4&continue=%s", next), "4567");
    assert_int_equal(list("continue=abc"), 400);
}

static void versions_of_lists(void **state)
{
    uint64_t version = apiserver_resource_version(t.server);
    assert_list("resourceVersion=0", "0123456789");
    assert_list(arena_printf(t.a, "resourceVersion=%llu", (unsigned long long)version),
                "0123456789");
    assert_int_equal(list(arena_printf(t.a, "resourceVersion=%llu",
                                       (unsigned long long)version + 1)),
                     504);
    assert_string_equal(test_server_get(&t, "/details/causes/0/reason"), "ResourceVersionTooLarge");
    test_server_ask(&t, "DELETE", CMS "/c5", NULL);
    assert_list(arena_printf(t.a, "resourceVersion=%llu&resourceVersionMatch=Exact",
                             (unsigned long long)version),
                "0123456789");
    assert_list(arena_printf(t.a, "resourceVersion=%llu&resourceVersionMatch=NotOlderThan",
                             (unsigned long long)version),
                "012346789");
    assert_int_equal(list("resourceVersionMatch=Exact"), 422);
    assert_int_equal(list("resourceVersion=x"), 400);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(labels_select), T(fields_select), T(pages_are_of_one_moment), T(old_pages_expire),
           T(versions_of_lists))
