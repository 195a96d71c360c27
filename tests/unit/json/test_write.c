#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "json_test.h"

/* numbers.txt: the bits of a double in hexadecimal, and its text as Go's encoding/json writes it.
 */
static void doubles_are_written_as_go_does(void **state)
{
    AUTO_ARENA a = arena_new();
    FILE *f = fopen(NUMBERS, "r");
    assert_non_null(f);
    char text[64];
    unsigned long long bits;
    int n = 0;
    while (fscanf(f, "%llx %63s", &bits, text) == 2) {
        double d;
        memcpy(&d, &bits, sizeof d);
        struct json *v = json_new_double(a, d);
        assert_json(v, text);
        double back = json_double(J(text), NAN);
        assert_memory_equal(&back, &d, sizeof d);
        n++;
    }
    fclose(f);
    assert_int_equal(n, 400);
}

static void numbers_without_words_are_null(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_json(ARR(json_new_double(a, NAN), json_new_double(a, -INFINITY)), "[null,null]");
    assert_json(NULL, "null");
}

static void integers_have_all_digits(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_json(ARR(INT(0), INT(-7), INT(INT64_MAX), INT(INT64_MIN)),
                "[0,-7,9223372036854775807,-9223372036854775808]");
    assert_json(ARR(json_new_double(a, 1.0), json_new_double(a, -0.0), json_new_double(a, 0x1p53)),
                "[1,-0,9007199254740992]");
}

static void strings_are_escaped_as_little_as_possible(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char text[] = "\0\b\t\n\v\f\r\x1f \"\\/<>&\x7fé\u2028😀";
    struct json *v = json_new_string_n(a, text, sizeof text - 1);
    assert_json(v, "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f \\\"\\\\/<>&\x7fé\u2028😀\"");
}

/* What Go 1.26 writes for the same value. */
static void the_canonical_form_is_that_of_go(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v =
        OBJ("z", STR("<a href='x'>&\"\\/\b\f\n\r\t\x01\x1f\x7f\xc2\x85\u2027\u2028\u2029é☺😀"), "a",
            INT(1), "<", NUL(), "B", EMPTY_ARR(), "é", BOOL(true), "a b", json_new_double(a, 1.5),
            "a.b", INT(0), "", EMPTY_OBJ());
    AUTO_BUF b = BUF_INIT(4096);
    json_write_canonical(v, &b);
    assert_string_equal(
        buf_str(&b),
        "{\"\":{},\"\\u003c\":null,\"B\":[],\"a\":1,\"a b\":1.5,\"a.b\":0,"
        "\"z\":\"\\u003ca href='x'\\u003e\\u0026\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc2\x85"
        "\u2027\\u2028\\u2029é☺😀\",\"é\":true}");
    assert_json(json_get(v, "B"), "[]"); /* and the value is as it was */
    assert_json(OBJ("b", INT(1), "a", OBJ("d", INT(2), "c", INT(3))),
                "{\"b\":1,\"a\":{\"d\":2,\"c\":3}}");
}

static void pretty_text_is_indented(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF b = BUF_INIT(4096);
    json_write_pretty(J("{\"a\":[1,{\"b\":{}}],\"c\":[],\"d\":\"e\"}"), 4, &b);
    assert_string_equal(buf_str(&b), "{\n"
                                     "    \"a\": [\n"
                                     "        1,\n"
                                     "        {\n"
                                     "            \"b\": {}\n"
                                     "        }\n"
                                     "    ],\n"
                                     "    \"c\": [],\n"
                                     "    \"d\": \"e\"\n"
                                     "}");
}

static void the_buffer_keeps_its_maximum(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF b = BUF_INIT(10);
    json_write(J("{\"a\":\"a long string\"}"), &b);
    assert_false(buf_ok(&b));
}

UNIT_TESTS(TEST(doubles_are_written_as_go_does), TEST(numbers_without_words_are_null),
           TEST(integers_have_all_digits), TEST(strings_are_escaped_as_little_as_possible),
           TEST(the_canonical_form_is_that_of_go), TEST(pretty_text_is_indented),
           TEST(the_buffer_keeps_its_maximum))
