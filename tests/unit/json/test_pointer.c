#include "base/mem.h"
#include "json_test.h"

/* The document and the answers of RFC 6901, section 5. */
static void finds_what_the_rfc_finds(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J(
        "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,\"k\\\"l\":6,"
        "\" \":7,\"m~n\":8}");
    assert_ptr_equal(json_pointer(v, ""), v);
    assert_json(json_pointer(v, "/foo"), "[\"bar\",\"baz\"]");
    assert_json(json_pointer(v, "/foo/0"), "\"bar\"");
    static const char *const pointers[] = { "/",     "/a~1b", "/c%d", "/e^f", "/g|h",
                                            "/i\\j", "/k\"l", "/ ",   "/m~0n" };
    for (size_t i = 0; i < COUNT_OF(pointers); i++)
        assert_int_equal(json_int(json_pointer(v, pointers[i]), -1), i);
}

static void finds_nothing_otherwise(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J("{\"foo\":[\"bar\"],\"n\":1}");
    static const char *const pointers[] = { "foo",
                                            "/foo/1",
                                            "/foo/-",
                                            "/foo/01",
                                            "/foo/-1",
                                            "/foo/ 0",
                                            "/foo/x",
                                            "/foo/",
                                            "/x",
                                            "/n/x",
                                            "/foo~",
                                            "/foo~2",
                                            "/foo/99999999999999999999" };
    for (size_t i = 0; i < COUNT_OF(pointers); i++)
        assert_null(json_pointer(v, pointers[i]));
    assert_null(json_pointer(NULL, ""));
    assert_null(json_pointer(v, NULL));
}

static void long_pointers_work(void **state)
{
    AUTO_ARENA a = arena_new();
    char *key = arena_alloc(a, 5001);
    memset(key, 'k', 5000);
    key[5000] = '\0';
    struct json *v = OBJ(key, OBJ("x", INT(3)));
    assert_int_equal(json_int(json_pointer(v, arena_printf(a, "/%s/x", key)), 0), 3);
}

UNIT_TESTS(TEST(finds_what_the_rfc_finds), TEST(finds_nothing_otherwise), TEST(long_pointers_work))
