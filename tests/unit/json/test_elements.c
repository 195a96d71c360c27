#include "json/elements.h"

#include "base/mem.h"
#include "json_test.h"

/* The elements with a "|" behind each, then what is left behind the array; "-": it cannot be told,
 * "!": broken off. */
static const char *split(struct arena *a, const char *text)
{
    struct json_elements e;
    if (!json_elements_find(text, strlen(text), "items", &e))
        return "-";
    AUTO_BUF out = BUF_INIT(KIB);
    const char *at = NULL;
    size_t len = 0;
    while (json_elements_next(&e, &at, &len))
        buf_printf(&out, "%.*s|", (int)len, at);
    buf_puts(&out, e.at ? e.at : "!");
    return arena_strdup(a, buf_str(&out));
}

static void elements_are_found(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(split(a, "{\"items\":[]}"), "}");
    assert_string_equal(split(a, " { \"k\" : {\"items\":[1]} , \"items\" : [ {} , 2 ] , \"z\":0}"),
                        "{}|2| , \"z\":0}");
    assert_string_equal(
        split(a, "{\"a\":\"\\\"items\\\":[\",\"items\":[\"],\",[\"}\"],{\"x\":\"\\\\\"}]}"),
        "\"],\"|[\"}\"]|{\"x\":\"\\\\\"}|}");
    assert_string_equal(split(a, "{\"a\":null,\"b\":-1.5e3,\"items\":[true,null]}"), "true|null|}");
}

static void nothing_else_is(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const none[] = { "",
                                        "[]",
                                        "{}",
                                        "{\"items\"",
                                        "{\"items\":",
                                        "{\"items\":{}}",
                                        "{\"items\":null}",
                                        "{\"item\":[1]}",
                                        "{\"\\u0069tems\":[1]}",
                                        "{\"a\":[,\"items\":[1]}",
                                        "{\"a\" \"items\":[1]}",
                                        "\"items\":[1]" };
    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_string_equal(split(a, none[i]), "-");
    assert_string_equal(split(a, "{\"items\":["), "!");
    assert_string_equal(split(a, "{\"items\":[1"), "1|!");
    assert_string_equal(split(a, "{\"items\":[1,]}"), "1|!");
    assert_string_equal(split(a, "{\"items\":[,1]}"), "!");
    assert_string_equal(split(a, "{\"items\":[1 2]}"), "1|!");
    assert_string_equal(split(a, "{\"items\":[{}{}]}"), "{}|!");
    assert_string_equal(split(a, "{\"items\":[\"a]}"), "!");
    assert_string_equal(split(a, "{\"items\":[\"a\\"), "!");
    assert_string_equal(split(a, "{\"items\":[}"), "!");
}

UNIT_TESTS(TEST(elements_are_found), TEST(nothing_else_is))
