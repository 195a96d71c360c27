#include "base/mem.h"
#include "json_test.h"
#include "json/path.h"

static const char document[] =
    "{\"kind\":\"W\",\"spec\":{\"a.b\":{\"c\":1},\"n\":[1,2,3],\"o\":[[1,2],[3]]},\"status\":{\"conditions\":["
    "{\"type\":\"Ready\",\"status\":\"True\",\"n\":3,\"ok\":true},{\"type\":\"W\",\"status\":\"False\",\"n\":5,\"ok\":false},"
    "{\"type\":\"N\",\"n\":null}]},\"metadata\":{\"name\":\"x\",\"labels\":{\"kubernetes.io/hostname\":\"h\",\"app\":\"a\"}}}";

static void finds_all_matches(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J(document);
    static const char *const table[][2] = {
        { ".kind", "[\"W\"]" },
        { "{.kind}", "[\"W\"]" },
        { "$.kind", "[\"W\"]" },
        { ".metadata.labels.kubernetes\\.io/hostname", "[\"h\"]" },
        { ".metadata.labels['kubernetes.io/hostname']", "[\"h\"]" },
        { ".metadata.labels[\"kubernetes\\.io/hostname\"]", "[\"h\"]" },
        { "['metadata']['name']", "[\"x\"]" },
        { ".spec['a.b'].c", "[1]" },
        { ".spec.n[0]", "[1]" },
        { ".spec.n[-1]", "[3]" },
        { ".spec.n[-4]", "[]" },
        { ".spec.n[5]", "[]" },
        { ".spec.n[*]", "[1,2,3]" },
        { ".spec.o[*][0]", "[1,3]" },
        { ".spec.o[*][*]", "[1,2,3]" },
        { ".metadata.labels.*", "[\"h\",\"a\"]" },
        { ".status.conditions[?(@.type==\"W\")].status", "[\"False\"]" },
        { ".status.conditions[?(@.type == 'Ready')].status", "[\"True\"]" },
        { ".status.conditions[?(@.type!=\"W\")].type", "[\"Ready\",\"N\"]" },
        { ".status.conditions[?(@.type>\"N\")].type", "[\"Ready\",\"W\"]" },
        { ".status.conditions[?(@.n>3)].type", "[\"W\"]" },
        { ".status.conditions[?(@.n>=3)].type", "[\"Ready\",\"W\"]" },
        { ".status.conditions[?(@.n<5)].type", "[\"Ready\"]" },
        { ".status.conditions[?(@.n<=5)].type", "[\"Ready\",\"W\"]" },
        { ".status.conditions[?(@.ok==true)].type", "[\"Ready\"]" },
        { ".status.conditions[?(@.ok!=true)].type", "[\"W\"]" },
        { ".status.conditions[?(@.n==null)].type", "[\"N\"]" },
        { ".status.conditions[?(@.n==\"3\")].type", "[]" },
        { ".status.conditions[?(@.status)].type", "[\"Ready\",\"W\"]" },
        { ".spec.n[?(@>1)]", "[2,3]" },
        { ".spec.o[?(@[0]==3)]", "[[3]]" },
        { ".absent.x", "[]" },
        { ".kind[0]", "[]" },
        { ".kind.x", "[]" },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct json_path *p;
        struct error *err = NULL;
        if (json_path_compile(table[i][0], &p, &err) < 0)
            fail_msg("%s", error_message(err));
        struct json *found = json_path_eval(a, p, v);
        assert_json(found, table[i][1]);
        const struct json *first = json_path_first(p, v);
        assert_true(json_size(found) ? json_equal(first, json_at(found, 0)) : first == NULL);
        json_path_free(p);
    }
    assert_json(v, document);
}

static void the_first_match_is_borrowed(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J(document);
    struct json_path *p;
    assert_int_equal(json_path_compile(".metadata.name", &p, NULL), 0);
    assert_ptr_equal(json_path_first(p, v), json_find(v, "metadata", "name"));
    assert_null(json_path_first(p, NULL));
    json_path_free(p);
    json_path_free(NULL);
}

static void mistakes_have_a_place(void **state)
{
    static const char *const bad[][2] = {
        { "kind", "character 1" },
        { ".a[", "character 4" },
        { ".a[b]", "character 4" },
        { ".a..b", "character 4: a name is missing" },
        { ".a.", "a name is missing" },
        { ".a[0", "expected ']'" },
        { ".a['b]", "not closed" },
        { ".a[?(@.t=W)]", "expected ==" },
        { ".a[?(@.t==W)]", "expected a quoted string" },
        { ".a[?(@.t==\"W\"]", "expected ')'" },
        { ".a[?(.t)]", "expected '@'" },
        { ".a[?@.t]", "expected '('" },
        { ".a}", "character 3" },
        { "{.a", "character 1" },
        { ".a[99999999999999999999]", "character 4" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct json_path *p = NULL;
        struct error *err = NULL;
        int r = json_path_compile(bad[i][0], &p, &err);
        assert_error(r, err, ERROR_INVALID, bad[i][1]);
        assert_null(p);
    }
}

static void length_and_steps_have_caps(void **state)
{
    AUTO_BUF b = BUF_INIT(4096);
    for (int i = 0; i < 64; i++)
        buf_puts(&b, ".a");
    struct json_path *p;
    struct error *err = NULL;
    assert_int_equal(json_path_compile(buf_str(&b), &p, &err), 0);
    json_path_free(p);
    buf_puts(&b, ".a");
    int r = json_path_compile(buf_str(&b), &p, &err);
    assert_error(r, err, ERROR_INVALID, "too many steps");
    while (b.len <= 1024)
        buf_puts(&b, "a");
    r = json_path_compile(buf_str(&b), &p, &err);
    assert_error(r, err, ERROR_TOO_LARGE, "too long");
}

UNIT_TESTS(TEST(finds_all_matches), TEST(the_first_match_is_borrowed), TEST(mistakes_have_a_place),
           TEST(length_and_steps_have_caps))
