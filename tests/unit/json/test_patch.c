#include "base/mem.h"
#include "json_test.h"

static void operations_do_what_the_rfc_says(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const table[][3] = {
        { "{\"a\":1}", "[{'op':'add','path':'/b','value':[1]}]", "{\"a\":1,\"b\":[1]}" },
        { "{\"a\":1}", "[{'op':'add','path':'/a','value':2}]", "{\"a\":2}" },
        { "{\"a\":1}", "[{'op':'add','path':'','value':[2]}]", "[2]" },
        { "[1,3]", "[{'op':'add','path':'/1','value':2}]", "[1,2,3]" },
        { "[1,3]", "[{'op':'add','path':'/2','value':2}]", "[1,3,2]" },
        { "[1]", "[{'op':'add','path':'/-','value':2}]", "[1,2]" },
        { "[[1]]", "[{'op':'add','path':'/0/-','value':null}]", "[[1,null]]" },
        { "{\"a/b~\":1}", "[{'op':'replace','path':'/a~1b~0','value':2}]", "{\"a/b~\":2}" },
        { "{\"a\":1,\"b\":2}", "[{'op':'remove','path':'/a'}]", "{\"b\":2}" },
        { "[1,2,3]", "[{'op':'remove','path':'/1'}]", "[1,3]" },
        { "[1]", "[{'op':'remove','path':'/0'}]", "[]" },
        { "{\"a\":{\"b\":1}}", "[{'op':'replace','path':'/a','value':{'c':[]}}]",
          "{\"a\":{\"c\":[]}}" },
        { "[1,2]", "[{'op':'replace','path':'/1','value':5}]", "[1,5]" },
        { "{\"a\":1}", "[{'op':'replace','path':'','value':5}]", "5" },
        { "{\"a\":{\"x\":1},\"b\":{}}", "[{'op':'move','from':'/a/x','path':'/b/y'}]",
          "{\"a\":{},\"b\":{\"y\":1}}" },
        { "[1,2,3]", "[{'op':'move','from':'/0','path':'/2'}]", "[2,3,1]" },
        { "{\"a\":1}", "[{'op':'move','from':'/a','path':'/a'}]", "{\"a\":1}" },
        { "{\"a\":{\"b\":1}}", "[{'op':'move','from':'/a/b','path':''}]", "1" },
        { "{\"a\":[1]}",
          "[{'op':'copy','from':'/a','path':'/b'},{'op':'add','path':'/b/-','value':2}]",
          "{\"a\":[1],\"b\":[1,2]}" },
        { "{\"a\":1}", "[{'op':'test','path':'/a','value':1.0},{'op':'remove','path':'/a'}]",
          "{}" },
        { "{\"a\":null}", "[{'op':'test','path':'/a','value':null}]", "{\"a\":null}" },
        { "{}", "[]", "{}" },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char *ops = arena_strdup(a, table[i][1]);
        for (char *p = ops; *p; p++)
            if (*p == '\'')
                *p = '"';
        struct json *target = J(table[i][0]), *result = NULL;
        struct error *err = NULL;
        if (json_patch(a, target, J(ops), &result, &err) < 0)
            fail_msg("%s: %s", ops, error_message(err));
        assert_json(result, table[i][2]);
        assert_json(target, table[i][0]);
    }
}

static void mistakes_name_the_operation(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const bad[][2] = {
        { "[{'op':'add','path':'/a','value':1},{'op':'remove','path':'/x'}]",
          "operation 1: there is nothing at \"/x\"" },
        { "[{'op':'add','path':'/x/y','value':1}]", "operation 0: there is nothing at \"/x\"" },
        { "[{'op':'add','path':'/l/3','value':1}]", "behind the end of the array" },
        { "[{'op':'add','path':'/l/01','value':1}]", "no array index" },
        { "[{'op':'remove','path':'/l/-'}]", "there is nothing" },
        { "[{'op':'replace','path':'/l/2','value':1}]", "there is nothing" },
        { "[{'op':'add','path':'l','value':1}]", "does not begin with a slash" },
        { "[{'op':'add','path':'/l~','value':1}]", "bad escape" },
        { "[{'op':'add','path':'/l'}]", "needs a value" },
        { "[{'op':'add','value':1}]", "needs a path" },
        { "[{'op':'move','path':'/l'}]", "needs a from" },
        { "[{'op':'move','from':'/o','path':'/o/x'}]", "cannot be moved into itself" },
        { "[{'op':'test','path':'/l','value':[]}]", "another one" },
        { "[{'op':'merge','path':'/l'}]", "\"merge\" is no operation" },
        { "[5]", "operation 0" },
        { "{}", "array of operations" },
        { "[{'op':'remove','path':'/o\\u0000x'}]", "needs a path" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char *ops = arena_strdup(a, bad[i][0]);
        for (char *p = ops; *p; p++)
            if (*p == '\'')
                *p = '"';
        struct json *target = J("{\"l\":[1,2],\"o\":{}}"), *result = NULL;
        struct error *err = NULL;
        int r = json_patch(a, target, J(ops), &result, &err);
        assert_error(r, err, ERROR_INVALID, bad[i][1]);
        assert_null(result);
        assert_json(target, "{\"l\":[1,2],\"o\":{}}");
    }
}

static void copies_cannot_fill_the_memory(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *target = OBJ("a", ARR(STR("some text to begin with"))), *ops = EMPTY_ARR(),
                *result;
    for (int i = 0; i < 64; i++)
        json_append(ops, OBJ("op", STR("copy"), "from", STR("/a"), "path", STR("/a/-")));
    struct error *err = NULL;
    int r = json_patch(a, target, ops, &result, &err);
    assert_error(r, err, ERROR_TOO_LARGE, "copies");
}

static void nesting_keeps_its_cap(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *deep = EMPTY_ARR(), *result;
    for (int i = 0; i < 100; i++)
        deep = ARR(deep);
    struct json *ops =
        ARR(OBJ("op", STR("add"), "path", STR("/a"), "value", deep),
            OBJ("op", STR("copy"), "from", STR(""), "path",
                STR("/a/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/-")));
    struct error *err = NULL;
    int r = json_patch(a, EMPTY_OBJ(), ops, &result, &err);
    assert_error(r, err, ERROR_TOO_LARGE, "operation 1: the result would be nested deeper");
}

UNIT_TESTS(TEST(operations_do_what_the_rfc_says), TEST(mistakes_name_the_operation),
           TEST(copies_cannot_fill_the_memory), TEST(nesting_keeps_its_cap))
