/* Custom resources: served at once, in every version, checked by their schema; and their end. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "json/build.h"
#include "test_server.h"
#include "unit.h"

#define CRDS_PATH "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define THINGS "/apis/t.io/v1/namespaces/default/things"

#define THING_CRD(more)                                                                                                    \
    "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','metadata':{'name':'things.t.io'},'spec':{" \
    "'group':'t.io','scope':'Namespaced','names':{'kind':'Thing','plural':'things','shortNames':['th']},'versions':["      \
    "{'name':'v1','served':true,'storage':true,'subresources':{'status':{}},'schema':{'openAPIV3Schema':{'type':'object'," \
    "'properties':{'spec':{'type':'object','properties':{'size':{'type':'integer','minimum':1},'color':{'type':'string',"  \
    "'default':'red'}" more                                                                                                \
    "}},'status':{'type':'object','properties':{'ready':{'type':'boolean'}}}}}}},"                                         \
    "{'name':'v1alpha1','served':true,'storage':false,'schema':{'openAPIV3Schema':{'type':'object','properties':{'spec':{" \
    "'type':'object','properties':{'size':{'type':'integer'}}}}}}}]}}"

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

static void create_thing(const char *name)
{
    const char *body = arena_printf(
        t.a,
        "{'apiVersion':'t.io/v1','kind':'Thing','metadata':{'name':'%s'},'spec':{'size':3,'foo':1}}",
        name);
    if (ASK("POST", THINGS, body) != 201)
        fail_msg("%s", t.text);
}

static void kinds_are_served_at_once(void **state)
{
    assert_int_equal(ASK("GET", THINGS, NULL), 404);
    assert_int_equal(ASK("POST", CRDS_PATH, THING_CRD("")), 201);
    assert_get("/status/conditions/0/type", "NamesAccepted");
    assert_get("/status/conditions/1/type", "Established");
    assert_get("/status/conditions/1/status", "True");
    assert_get("/status/storedVersions/0", "v1");
    assert_get("/status/acceptedNames/listKind", "ThingList");
    assert_int_equal(ASK("GET", THINGS, NULL), 200);
    assert_get("/kind", "ThingList");
    assert_int_equal(ASK("GET", "/apis/t.io", NULL), 200);
    assert_get("/preferredVersion/version", "v1");
    assert_int_equal(ASK("GET", "/openapi/v3/apis/t.io/v1", NULL), 200);
}

static void objects_are_pruned_defaulted_and_checked(void **state)
{
    ASK("POST", CRDS_PATH, THING_CRD(""));
    create_thing("a");
    assert_get("/spec/color", "red");
    assert_get("/spec/foo", "");
    assert_get("/metadata/generation", "1");
    assert_int_equal(ASK("PATCH", THINGS "/a", "{'spec':{'size':0}}"), 422);
    assert_get("/details/causes/0/field", "spec.size");
    assert_int_equal(ASK("PATCH", THINGS "/a", "{'spec':{'size':4}}"), 200);
    assert_get("/metadata/generation", "2");
    assert_int_equal(ASK("PATCH", THINGS "/a/status",
                         "{'spec':{'size':9},'status':{'ready':true}}"),
                     200);
    assert_get("/spec/size", "4");
    assert_get("/status/ready", "true");
    assert_get("/metadata/generation", "2");
    assert_int_equal(
        ASK("POST", THINGS "?fieldValidation=Strict",
            "{'apiVersion':'t.io/v1','kind':'Thing','metadata':{'name':'b'},'spec':{'size':3,'foo':1}}"),
        400);
    assert_non_null(strstr(GET("/message"), "unknown field \"spec.foo\""));
    assert_int_equal(
        ASK("PUT", THINGS "/a",
            "{'apiVersion':'t.io/v1','kind':'Thing','metadata':{'name':'a'},'spec':{'size':3}}"),
        422);
    assert_get("/details/causes/0/field", "metadata.resourceVersion");
}

static void every_version_shows_every_object(void **state)
{
    ASK("POST", CRDS_PATH, THING_CRD(""));
    create_thing("a");
    assert_int_equal(ASK("GET", "/apis/t.io/v1alpha1/namespaces/default/things/a", NULL), 200);
    assert_get("/apiVersion", "t.io/v1alpha1");
    assert_get("/spec/color", "");
    assert_int_equal(
        ASK("POST", "/apis/t.io/v1alpha1/namespaces/default/things",
            "{'apiVersion':'t.io/v1alpha1','kind':'Thing','metadata':{'name':'b'},'spec':{'size':1}}"),
        201);
    assert_get("/apiVersion", "t.io/v1alpha1");
    assert_int_equal(ASK("GET", THINGS "/b", NULL), 200);
    assert_get("/apiVersion", "t.io/v1");
    assert_get("/spec/color", "red");
    assert_int_equal(ASK("GET", "/apis/t.io/v1alpha1/things", NULL), 200);
    assert_get("/items/1/apiVersion", "t.io/v1alpha1");
}

/* A schema that has changed holds for what was stored before. */
static void old_objects_get_the_new_schema(void **state)
{
    ASK("POST", CRDS_PATH, THING_CRD(""));
    create_thing("a");
    ASK("GET", CRDS_PATH "/things.t.io", NULL);
    const char *update =
        arena_printf(t.a, "{'metadata':{'name':'things.t.io','resourceVersion':'%s'},%s",
                     GET("/metadata/resourceVersion"),
                     strstr(THING_CRD(",'shape':{'type':'string','default':'round'}"),
                            "'spec':{'group'"));
    if (ASK("PUT", CRDS_PATH "/things.t.io", update) != 200)
        fail_msg("%s", t.text);
    ASK("GET", THINGS "/a", NULL);
    assert_get("/spec/shape", "round");
    ASK("GET", THINGS, NULL);
    assert_get("/items/0/spec/shape", "round");
    create_thing("b");
    assert_get("/spec/shape", "round");
}

static void conflicting_names_are_not_served(void **state)
{
    ASK("POST", CRDS_PATH, THING_CRD(""));
    const char *other =
        str_replace(t.a, str_replace(t.a, THING_CRD(""), "'things", "'thangs"), "'th'", "'tha'");
    assert_int_equal(ASK("POST", CRDS_PATH, other), 201);
    assert_get("/status/conditions/0/status", "False");
    assert_get("/status/conditions/0/reason", "ListKindConflict");
    assert_int_equal(ASK("GET", "/apis/t.io/v1/thangs", NULL), 404);
}

static void a_deleted_crd_takes_its_objects_along(void **state)
{
    ASK("POST", CRDS_PATH, THING_CRD(""));
    create_thing("a");
    create_thing("held");
    ASK("PATCH", THINGS "/held", "{'metadata':{'finalizers':['a.io/x']}}");
    assert_int_equal(ASK("DELETE", CRDS_PATH "/things.t.io", NULL), 200);
    assert_int_equal(
        ASK("POST", THINGS,
            "{'apiVersion':'t.io/v1','kind':'Thing','metadata':{'name':'late'},'spec':{'size':1}}"),
        405);
    assert_int_equal(test_server_wait(&t, THINGS "/a", 404), 404);
    assert_int_equal(ASK("GET", THINGS "/held", NULL), 200);
    assert_int_equal(ASK("GET", CRDS_PATH "/things.t.io", NULL), 200);
    ASK("PATCH", THINGS "/held", "{'metadata':{'finalizers':null}}");
    assert_int_equal(test_server_wait(&t, CRDS_PATH "/things.t.io", 404), 404);
    assert_int_equal(test_server_wait(&t, "/apis/t.io", 404), 404);
    /* And it can come again, empty. */
    assert_int_equal(ASK("POST", CRDS_PATH, THING_CRD("")), 201);
    ASK("GET", THINGS, NULL);
    assert_int_equal(json_size(json_get(t.answer, "items")), 0);
}

static void kinds_are_there_after_a_restart(void **state)
{
    char dir[] = "/tmp/kaito-server-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct test_server memory = t;
    test_server_start(&t, &(struct apiserver_options){ .data_dir = dir });
    ASK("POST", CRDS_PATH, THING_CRD(""));
    create_thing("a");
    test_server_stop(&t);
    test_server_start(&t, &(struct apiserver_options){ .data_dir = dir });
    assert_int_equal(ASK("GET", THINGS "/a", NULL), 200);
    assert_get("/spec/color", "red");
    test_server_stop(&t);
    file_remove_tree(dir, NULL);
    t = memory;
}

static int review(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                  struct error **err)
{
    bool unlucky = json_find_int(request, 0, "object", "spec", "size") == 13;
    *ret = OBJ("allowed", BOOL(!unlucky), "warnings", ARR(STR("be careful")), "status",
               OBJ("message", STR("unlucky"), "code", INT(403), "reason", STR("Forbidden")));
    return 0;
}

static void admission_has_the_last_word(void **state)
{
    struct test_server memory = t;
    static const struct apiserver_admission admission[] = {
        { .name = "w.x.y", .group = "t.io", .plural = "things", .review = review },
        { NULL },
    };
    test_server_start(&t, &(struct apiserver_options){ .admission = admission });
    ASK("POST", CRDS_PATH, THING_CRD(""));
    create_thing("a");
    assert_int_equal(ASK("PATCH", THINGS "/a", "{'spec':{'size':13}}"), 403);
    assert_get("/message", "admission webhook \"w.x.y\" denied the request: unlucky");
    test_server_stop(&t);
    t = memory;
}

static void the_projects_crds_are_accepted(void **state)
{
    test_server_crds(&t, NULL);
    assert_int_equal(ASK("GET", "/apis/kaito.sh/v1beta1/workspaces", NULL), 200);
    assert_int_equal(ASK("GET", "/apis/karpenter.sh/v1/nodeclaims", NULL), 200);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(kinds_are_served_at_once), T(objects_are_pruned_defaulted_and_checked),
           T(every_version_shows_every_object), T(old_objects_get_the_new_schema),
           T(conflicting_names_are_not_served), T(a_deleted_crd_takes_its_objects_along),
           T(kinds_are_there_after_a_restart), T(admission_has_the_last_word),
           T(the_projects_crds_are_accepted))
