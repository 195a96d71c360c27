#include "kube/quantity.h"
#include "vectors.h"

static void check_one(struct arena *a, char **fields)
{
    const char *input = vector_string(a, fields[0]);
    struct error *err = NULL;
    char *text = NULL;
    if (fields[1][0] == '!') {
        assert_error(quantity_canonical(a, input, &text, &err), err, ERROR_INVALID, fields[1] + 1);
        int64_t n;
        assert_int_equal(quantity_value(input, &n, NULL), -ERROR_INVALID);
        return;
    }
    if (quantity_canonical(a, input, &text, &err) < 0)
        fail_msg("%s: %s", input, error_message(err));
    if (!STREQ(text, fields[1]))
        fail_msg("%s: \"%s\", wanted \"%s\"", input, text, fields[1]);
    int64_t value, milli;
    assert_int_equal(quantity_value(input, &value, NULL), 0);
    assert_int_equal(quantity_milli(input, &milli, NULL), 0);
    char shown[64];
    snprintf(shown, sizeof(shown), "%lld", (long long)value);
    if (!STREQ(fields[2], "-") && !STREQ(shown, fields[2]))
        fail_msg("%s: value %s, wanted %s", input, shown, fields[2]);
    snprintf(shown, sizeof(shown), "%lld", (long long)milli);
    if (!STREQ(fields[3], "-") && !STREQ(shown, fields[3]))
        fail_msg("%s: milli %s, wanted %s", input, shown, fields[3]);
    /* Canonical text means the same. */
    assert_int_equal(quantity_compare(input, text), 0);
}

static void agrees_with_kubernetes(void **state)
{
    AUTO_ARENA a = arena_new();
    for (char **line = vector_lines(a, QUANTITIES); *line; line++) {
        if (!**line)
            continue;
        char **fields = str_split(a, *line, '\t', NULL);
        if (!STREQ(fields[0], "?")) {
            check_one(a, fields);
            continue;
        }
        int64_t wanted;
        assert_int_equal(str_to_int64(fields[3], &wanted), 0);
        if (quantity_compare(fields[1], fields[2]) != wanted ||
            quantity_compare(fields[2], fields[1]) != -wanted)
            fail_msg("%s against %s is not %d", fields[1], fields[2], (int)wanted);
    }
}

static void what_does_not_fit_is_the_largest(void **state)
{
    int64_t n;
    assert_int_equal(quantity_value("100E", &n, NULL), 0);
    assert_true(n == INT64_MAX);
    assert_int_equal(quantity_value("-100E", &n, NULL), 0);
    assert_true(n == INT64_MIN);
    assert_int_equal(quantity_milli("9E", &n, NULL), 0);
    assert_true(n == INT64_MAX);
    assert_int_equal(quantity_value("1e999999", &n, NULL), 0);
    assert_true(n == INT64_MAX);
    assert_int_equal(quantity_value("1e-999999", &n, NULL), 0);
    assert_int_equal(n, 1);
}

static void too_many_digits_are_refused(void **state)
{
    struct error *err = NULL;
    int64_t n;
    assert_error(quantity_value("1234567890123456789012345678901234567", &n, &err), err,
                 ERROR_INVALID, "numeric part");
    assert_int_equal(quantity_value("0.00000000000000000000000000000000000000000000001", &n, NULL),
                     0);
    assert_int_equal(n, 1);
}

static void bytes_are_shown_in_the_largest_whole_unit(void **state)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } table[] = {
        { 0, "0" },
        { 1, "1" },
        { 1023, "1023" },
        { 1024, "1Ki" },
        { 1025, "1025" },
        { INT64_C(11) << 30, "11Gi" },
        { INT64_C(1536) << 20, "1536Mi" },
        { INT64_C(7) << 60, "7Ei" },
        { INT64_MAX, "9223372036854775807" },
        { -(INT64_C(1) << 30), "-1Gi" },
        { INT64_MIN, "-8Ei" },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_string_equal(quantity_from_bytes(a, table[i].bytes), table[i].text);
}

UNIT_TESTS(TEST(agrees_with_kubernetes), TEST(what_does_not_fit_is_the_largest),
           TEST(too_many_digits_are_refused), TEST(bytes_are_shown_in_the_largest_whole_unit))
