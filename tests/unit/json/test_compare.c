#include "base/mem.h"
#include "json_test.h"

static void equality_ignores_order_and_spelling(void **state)
{
    AUTO_ARENA a = arena_new();
    static const struct {
        const char *x, *y;
        bool equal;
    } table[] = {
        { "1", "1.0", true },
        { "0", "-0.0", true },
        { "0", "0.5", false },
        { "9007199254740993", "9007199254740992.0", false },
        { "9223372036854775807", "9223372036854775808", false },
        { "1.5", "1.5", true },
        { "\"a\"", "\"\\u0061\"", true },
        { "\"a\"", "\"a\\u0000\"", false },
        { "{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1.0}", true },
        { "{\"a\":1}", "{\"a\":1,\"b\":null}", false },
        { "{\"a\":null}", "{\"b\":null}", false },
        { "[1,2]", "[2,1]", false },
        { "[1]", "[1,1]", false },
        { "[]", "{}", false },
        { "null", "false", false },
        { "true", "true", true },
        { "true", "false", false },
        { "\"1\"", "1", false },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        assert_int_equal(json_equal(J(table[i].x), J(table[i].y)), table[i].equal);
        assert_int_equal(json_equal(J(table[i].y), J(table[i].x)), table[i].equal);
    }
    assert_true(json_equal(NULL, NULL));
    assert_true(json_equal(NULL, J("null")));
    assert_false(json_equal(NULL, J("0")));
}

static struct json *many_members(struct arena *a, int n, bool backwards)
{
    struct json *v = EMPTY_OBJ();
    for (int i = 0; i < n; i++) {
        int k = backwards ? n - 1 - i : i;
        char *key = arena_printf(a, "key-%d", k);
        json_add(a, v, key, strlen(key), INT(k));
    }
    return v;
}

static void large_objects_compare_in_any_order(void **state)
{
    AUTO_ARENA a = arena_new();
    const int n = 100000; /* a look-up by scan for each would take minutes */
    struct json *x = many_members(a, n, false), *y = many_members(a, n, true);
    assert_true(json_equal(x, y));
    assert_true(json_contains(x, y));
    assert_null(json_merge_diff(a, x, y));
    json_set_int(a, y, "key-5", 0);
    assert_false(json_equal(x, y));
    assert_json(json_merge_diff(a, x, y), "{\"key-5\":0}");
    x = json_merge_patch(a, x, y);
    assert_int_equal(json_size(x), n);
    assert_true(json_equal(x, y));
}

static void containment_goes_into_objects(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J("{\"a\":{\"b\":1,\"c\":[1,2]},\"d\":null}");
    assert_true(json_contains(v, J("{}")));
    assert_true(json_contains(v, J("{\"a\":{\"b\":1.0}}")));
    assert_true(json_contains(v, J("{\"a\":{\"c\":[1,2]},\"d\":null}")));
    assert_false(json_contains(v, J("{\"a\":{\"c\":[1]}}")));
    assert_false(json_contains(v, J("{\"a\":{\"x\":null}}")));
    assert_false(json_contains(v, J("{\"a\":1}")));
    assert_true(json_contains(J("[1]"), J("[1]")));
}

/* The table of RFC 7396, appendix A, and corners of our own. */
static void patches_merge_as_the_rfc_says(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const table[][3] = {
        { "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
        { "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
        { "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
        { "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
        { "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
        { "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
        { "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}" },
        { "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
        { "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
        { "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
        { "{\"a\":\"foo\"}", "null", "null" },
        { "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
        { "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
        { "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
        { "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
        { "{\"a\":1}", "{\"a\":{\"b\":null,\"c\":2}}", "{\"a\":{\"c\":2}}" },
        { "{\"a\":1,\"b\":2,\"c\":3}", "{\"c\":null,\"a\":null,\"d\":[null]}",
          "{\"b\":2,\"d\":[null]}" },
        { "{\"a\":{\"x\":1,\"y\":2}}", "{\"a\":{\"x\":null,\"y\":null}}", "{\"a\":{}}" },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct json *patch = J(table[i][1]);
        struct json *result = json_merge_patch(a, J(table[i][0]), patch);
        assert_json(result, table[i][2]);
        json_clear(patch); /* nothing is shared with it */
        assert_json(result, table[i][2]);
    }
    assert_json(json_merge_patch(a, NULL, J("{\"a\":{\"b\":null}}")), "{\"a\":{}}");
}

static void a_difference_is_the_patch_between(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const table[][3] = {
        { "{\"a\":1,\"b\":{\"c\":2,\"d\":3}}", "{\"a\":1.0,\"b\":{\"c\":2,\"d\":4}}",
          "{\"b\":{\"d\":4}}" },
        { "{\"a\":1,\"b\":2}", "{\"a\":1}", "{\"b\":null}" },
        { "{\"a\":{\"b\":{\"c\":1}}}", "{\"a\":{\"b\":{}}}", "{\"a\":{\"b\":{\"c\":null}}}" },
        { "{\"a\":[1,2]}", "{\"a\":[1,3]}", "{\"a\":[1,3]}" },
        { "{\"a\":{\"b\":1}}", "{\"a\":[1]}", "{\"a\":[1]}" },
        { "{\"a\":1}", "[1]", "[1]" },
        { "1", "null", "null" },
        { "{\"a\":1}", "{\"a\":null}", "{\"a\":null}" },
        { "{}", "{\"b\":{\"c\":{\"d\":1}}}", "{\"b\":{\"c\":{\"d\":1}}}" },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct json *from = J(table[i][0]), *to = J(table[i][1]);
        struct json *patch = json_merge_diff(a, from, to);
        assert_json(patch, table[i][2]);
        struct json *result = json_merge_patch(a, from, patch);
        assert_null(json_merge_diff(a, result, to));
    }
    assert_null(json_merge_diff(a, J("{\"a\":[1,{}]}"), J("{\"a\":[1,{}]}")));
}

/* Otherwise a controller that writes what differs would write for ever. */
static void what_a_patch_cannot_say_is_no_difference(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_null(json_merge_diff(a, J("{}"), J("{\"a\":null}")));
    struct json *from = J("{\"x\":1}"), *to = J("{\"x\":{\"y\":null,\"z\":[null]}}");
    from = json_merge_patch(a, from, json_merge_diff(a, from, to));
    assert_json(from, "{\"x\":{\"z\":[null]}}");
    assert_null(json_merge_diff(a, from, to));
}

static void differences_are_told_in_lines(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *from = J(
        "{\"spec\":{\"replicas\":1,\"gone\":true,\"list\":[1,2,3]},\"labels\":{\"kaito.sh/x\":\"a\"},\"same\":[1]}");
    struct json *to = J(
        "{\"spec\":{\"replicas\":2,\"list\":[1,5]},\"labels\":{\"kaito.sh/x\":\"b\"},\"new\":null,\"same\":[1]}");
    AUTO_BUF b = BUF_INIT(4096);
    json_describe_diff(from, to, 100, &b);
    assert_string_equal(buf_str(&b), "spec.replicas: 1 → 2\n"
                                     "spec.gone: true → (absent)\n"
                                     "spec.list[1]: 2 → 5\n"
                                     "spec.list[2]: 3 → (absent)\n"
                                     "labels[\"kaito.sh/x\"]: \"a\" → \"b\"\n"
                                     "new: (absent) → null\n");
    buf_clear(&b);
    json_describe_diff(from, to, 2, &b);
    assert_string_equal(buf_str(&b), "spec.replicas: 1 → 2\nspec.gone: true → (absent)\n");
    buf_clear(&b);
    json_describe_diff(J("1"), J("\"x\""), 5, &b);
    assert_string_equal(buf_str(&b), "(root): 1 → \"x\"\n");
    buf_clear(&b);
    json_describe_diff(from, from, 5, &b);
    assert_string_equal(buf_str(&b), "");
}

UNIT_TESTS(TEST(equality_ignores_order_and_spelling), TEST(large_objects_compare_in_any_order),
           TEST(containment_goes_into_objects), TEST(patches_merge_as_the_rfc_says),
           TEST(a_difference_is_the_patch_between), TEST(what_a_patch_cannot_say_is_no_difference),
           TEST(differences_are_told_in_lines))
