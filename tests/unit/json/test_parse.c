#include "base/mem.h"
#include "json_test.h"

static void texts_round_trip(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const texts[] = {
        "null",
        "true",
        "-1",
        "1.5",
        "\"\"",
        "[]",
        "{}",
        "[[],{},[[[]]]]",
        "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"d\":\"e\"}",
        "\"\\u0000\\\"\\\\é☺😀\"",
        "{\"\":0}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        assert_json(J(texts[i]), texts[i]);
    assert_json(J(" \r\n\t{ \"a\" : [ 1 , 2 ] } \n"), "{\"a\":[1,2]}");
    assert_json(J("\"\\u00e9\\ud83d\\ude00\\/\""), "\"é😀/\"");
}

static void the_text_may_be_part_of_a_larger_one(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v;
    char text[] = "[1,2]x";
    assert_int_equal(json_parse(a, text, 5, &v, NULL), 0);
    memset(text, 'y', 5);
    assert_json(v, "[1,2]");
}

static void mistakes_have_a_place(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const bad[][2] = {
        { "", "byte 0 (line 1, column 1): the text is empty" },
        { " ", "line 1" },
        { "{\n  \"a\": nope\n}", "byte 9 (line 2, column 8)" },
        { "{\"a\":1,}", "byte 6" },
        { "[1 2]", "byte 3" },
        { "[1]]", "byte 3" },
        { "[1", "byte 2" },
        { "\"\xff\"", "byte 1" },
        { "\"\t\"", "byte 1" },
        { "01", "byte 0" },
        { "1e999", "infinity" },
        { "NaN", "byte 0" },
        { "'a'", "byte 0" },
        { "{1:2}", "byte 1" },
        { "[1,/*c*/2]", "byte 3" },
        { "\"\\ud800\"", "byte" },
        { "\xef\xbb\xbf{}", "byte 0" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct json *v = NULL;
        struct error *err = NULL;
        int r = json_parse(a, bad[i][0], strlen(bad[i][0]), &v, &err);
        assert_error(r, err, ERROR_INVALID, bad[i][1]);
        assert_null(v);
    }
    struct json *v;
    assert_int_equal(json_parse(a, NULL, 0, &v, NULL), -ERROR_INVALID);
}

static void nest(struct buf *b, int depth, char open, char close)
{
    for (int i = 0; i < depth; i++) {
        buf_putc(b, open);
        if (open == '{' && i + 1 < depth)
            buf_puts(b, "\"k\":");
    }
    for (int i = 0; i < depth; i++)
        buf_putc(b, close);
}

static void nesting_has_a_cap(void **state)
{
    AUTO_ARENA a = arena_new();
    for (int object = 0; object < 2; object++) {
        AUTO_BUF fits = BUF_INIT(1 * MIB);
        nest(&fits, JSON_MAX_DEPTH, object ? '{' : '[', object ? '}' : ']');
        assert_json(J(buf_str(&fits)), buf_str(&fits));
        AUTO_BUF deep = BUF_INIT(1 * MIB);
        nest(&deep, JSON_MAX_DEPTH + 1, object ? '{' : '[', object ? '}' : ']');
        struct json *v;
        struct error *err = NULL;
        int r = json_parse(a, deep.data, deep.len, &v, &err);
        assert_error(r, err, ERROR_TOO_LARGE, "deeper than 128");
    }
    AUTO_BUF very_deep = BUF_INIT(8 * MIB);
    nest(&very_deep, 2000000, '[', ']');
    struct json *v;
    struct error *err = NULL;
    int r = json_parse(a, very_deep.data, very_deep.len, &v, &err);
    assert_error(r, err, ERROR_TOO_LARGE, "deeper");
}

static void the_last_duplicate_takes_the_first_place(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_json(J("{\"a\":1,\"b\":2,\"a\":3}"), "{\"a\":3,\"b\":2}");
    assert_json(J("{\"a\":1,\"a\":[2],\"a\":{\"x\":3}}"), "{\"a\":{\"x\":3}}");
    assert_json(J("{\"a\":1,\"\\u0061\":2}"), "{\"a\":2}");
    struct json *v = J("{\"a\":1,\"a\":2}");
    json_set_int(a, v, "b", 3);
    assert_json(v, "{\"a\":2,\"b\":3}");
    assert_int_equal(json_size(v), 2);
}

static void large_objects_lose_duplicates_too(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF b = BUF_INIT(8 * MIB);
    const int n = 100000; /* comparing all pairs would take minutes */
    buf_putc(&b, '{');
    for (int i = 0; i < n; i++)
        buf_printf(&b, "%s\"k%d\":%d", i ? "," : "", i / 2, i);
    buf_putc(&b, '}');
    struct json *v, *duplicates;
    assert_int_equal(json_parse_strict(a, b.data, b.len, &v, &duplicates, NULL), 0);
    assert_int_equal(json_size(v), n / 2);
    int i = 0;
    JSON_FOREACH(it, v) {
        assert_int_equal(json_int(it.value, 0), i * 2 + 1);
        i++;
    }
    assert_int_equal(json_size(duplicates), 100); /* enough to be told about */
}

static void duplicates_are_named_by_path(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char text[] =
        "{\"spec\":{\"replicas\":1,\"replicas\":2,\"replicas\":3,\"containers\":[{\"n\":1},{\"n\":2,\"n\":3}]},"
        "\"kind\":1,\"kind\":2,\"ok\":[[{\"x\":1,\"x\":1}]]}";
    struct json *v, *duplicates;
    assert_int_equal(json_parse_strict(a, text, strlen(text), &v, &duplicates, NULL), 0);
    assert_json(duplicates, "[\"spec.containers[1].n\",\"spec.replicas\",\"ok[0][0].x\",\"kind\"]");
    assert_json(
        v,
        "{\"spec\":{\"replicas\":3,\"containers\":[{\"n\":1},{\"n\":3}]},\"kind\":2,\"ok\":[[{\"x\":1}]]}");
    assert_int_equal(json_parse_strict(a, "{\"a\":{\"a\":1}}", 13, &v, &duplicates, NULL), 0);
    assert_int_equal(json_size(duplicates), 0);
}

UNIT_TESTS(TEST(texts_round_trip), TEST(the_text_may_be_part_of_a_larger_one),
           TEST(mistakes_have_a_place), TEST(nesting_has_a_cap),
           TEST(the_last_duplicate_takes_the_first_place), TEST(large_objects_lose_duplicates_too),
           TEST(duplicates_are_named_by_path))
