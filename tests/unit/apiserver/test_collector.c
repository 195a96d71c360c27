/* Owner references and what follows from them. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
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

#define ASK(...) test_server_ask(&t, __VA_ARGS__)
#define GET(pointer) test_server_get(&t, pointer)

static const char *create(const char *name)
{
    assert_int_equal(ASK("POST", CMS, arena_printf(t.a, "{'metadata':{'name':'%s'}}", name)), 201);
    return GET("/metadata/uid");
}

static const char *ref(const char *name, const char *uid, const char *more)
{
    return arena_printf(t.a, "{'apiVersion':'v1','kind':'ConfigMap','name':'%s','uid':'%s'%s}",
                        name, uid, more);
}

static const char *create_owned(const char *name, const char *refs)
{
    assert_int_equal(ASK("POST", CMS,
                         arena_printf(t.a, "{'metadata':{'name':'%s','ownerReferences':[%s]}}",
                                      name, refs)),
                     201);
    return GET("/metadata/uid");
}

static const char *path(const char *name)
{
    return arena_printf(t.a, CMS "/%s", name);
}

static void assert_goes(const char *name)
{
    if (test_server_wait(&t, path(name), 404) != 404)
        fail_msg("%s is still there: %s", name, t.text);
}

static void assert_stays(const char *name)
{
    usleep(30000);
    assert_int_equal(ASK("GET", path(name), NULL), 200);
}

static void dependents_follow_their_owner(void **state)
{
    const char *owner = create("owner");
    const char *child = create_owned("child", ref("owner", owner, ""));
    create_owned("grandchild", ref("child", child, ""));
    create("other");
    assert_stays("grandchild");
    assert_int_equal(ASK("DELETE", path("owner"), NULL), 200);
    assert_goes("child");
    assert_goes("grandchild");
    assert_stays("other");
}

static void an_owner_that_never_was(void **state)
{
    create_owned("lost", ref("nobody", "11111111-1111-1111-1111-111111111111", ""));
    assert_goes("lost");
    /* A namesake with another uid is another owner. */
    create("owner");
    create_owned("cheat", ref("owner", "11111111-1111-1111-1111-111111111111", ""));
    assert_goes("cheat");
    assert_stays("owner");
}

static void one_owner_is_enough(void **state)
{
    const char *one = create("one"), *two = create("two");
    create_owned("child", arena_printf(t.a, "%s,%s", ref("one", one, ""), ref("two", two, "")));
    ASK("DELETE", path("one"), NULL);
    for (int i = 0; i < 1000; i++) {
        ASK("GET", path("child"), NULL);
        if (json_size(json_pointer(t.answer, "/metadata/ownerReferences")) == 1)
            break;
        usleep(2000);
    }
    assert_string_equal(GET("/metadata/ownerReferences/0/name"), "two");
    ASK("DELETE", path("two"), NULL);
    assert_goes("child");
}

static void unknown_kinds_of_owners_are_trusted(void **state)
{
    create_owned("kept", "{'apiVersion':'nothing.io/v1','kind':'Thing','name':'x','uid':'y'}");
    assert_stays("kept");
}

static void foreground_waits_for_those_that_block(void **state)
{
    const char *owner = create("owner");
    create_owned("blocks", ref("owner", owner, ",'blockOwnerDeletion':true"));
    ASK("PATCH", path("blocks"), "{'metadata':{'finalizers':['a.io/x']}}");
    create_owned("free", ref("owner", owner, ""));
    assert_int_equal(ASK("DELETE", path("owner"), "{'propagationPolicy':'Foreground'}"), 200);
    assert_string_equal(GET("/metadata/finalizers/0"), "foregroundDeletion");
    assert_goes("free");
    assert_stays("owner");
    ASK("GET", path("blocks"), NULL);
    assert_string_not_equal(GET("/metadata/deletionTimestamp"), "");
    ASK("PATCH", path("blocks"), "{'metadata':{'finalizers':null}}");
    assert_goes("blocks");
    assert_goes("owner");
}

static void orphans_are_kept(void **state)
{
    const char *owner = create("owner");
    create_owned("child", ref("owner", owner, ""));
    assert_int_equal(ASK("DELETE", path("owner"), "{'propagationPolicy':'Orphan'}"), 200);
    assert_goes("owner");
    assert_stays("child");
    assert_string_equal(GET("/metadata/ownerReferences"), "");
}

static void many_dependents(void **state)
{
    const char *owner = create("owner");
    for (int i = 0; i < 100; i++)
        create_owned(arena_printf(t.a, "child-%d", i),
                     ref("owner", owner, ",'controller':true,'blockOwnerDeletion':true"));
    ASK("DELETE", path("owner"), "{'propagationPolicy':'Foreground'}");
    assert_goes("owner");
    ASK("GET", CMS, NULL);
    assert_int_equal(json_size(json_get(t.answer, "items")), 0);
}

/* What a server did not finish, the next one does. */
static void a_start_takes_up_what_was_left(void **state)
{
    char dir[] = "/tmp/kaito-server-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct test_server memory = t;
    test_server_start(&t, &(struct apiserver_options){ .data_dir = dir });
    const char *owner = create("owner");
    create_owned("child", ref("owner", owner, ",'blockOwnerDeletion':true"));
    ASK("PATCH", path("child"), "{'metadata':{'finalizers':['a.io/x']}}");
    ASK("DELETE", path("owner"), "{'propagationPolicy':'Foreground'}");
    ASK("POST", "/api/v1/namespaces", "{'metadata':{'name':'doomed'}}");
    ASK("POST", "/api/v1/namespaces/doomed/configmaps",
        "{'metadata':{'name':'x','finalizers':['a.io/x']}}");
    ASK("DELETE", "/api/v1/namespaces/doomed", NULL);
    usleep(20000);
    test_server_stop(&t);

    test_server_start(&t, &(struct apiserver_options){ .data_dir = dir });
    assert_stays("owner");
    ASK("PATCH", path("child"), "{'metadata':{'finalizers':null}}");
    assert_goes("owner");
    ASK("PATCH", "/api/v1/namespaces/doomed/configmaps/x", "{'metadata':{'finalizers':null}}");
    assert_int_equal(test_server_wait(&t, "/api/v1/namespaces/doomed", 404), 404);
    test_server_stop(&t);
    file_remove_tree(dir, NULL);
    t = memory;
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(dependents_follow_their_owner), T(an_owner_that_never_was), T(one_owner_is_enough),
           T(unknown_kinds_of_owners_are_trusted), T(foreground_waits_for_those_that_block),
           T(orphans_are_kept), T(many_dependents), T(a_start_takes_up_what_was_left))
