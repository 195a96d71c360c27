#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/flags.h"
#include "base/mem.h"
#include "unit.h"

static const char *name;
static bool verbose;
static int64_t count;
static double ratio;
static int64_t wait_ns;
static struct flag_strings features;

static const struct flag flags[] = {
    { "name", FLAG_STRING, &name, "NAME", "The name of the thing", 'n' },
    { "verbose", FLAG_BOOL, &verbose, NULL, "Say more" },
    { "count", FLAG_INT, &count, "N", "How many" },
    { "ratio", FLAG_DOUBLE, &ratio, "R", "How much" },
    { "wait-duration", FLAG_DURATION, &wait_ns, "DURATION", "How long" },
    { "feature", FLAG_STRINGS, &features, "FEATURE", "What else" },
    { "v", FLAG_INT, &count, "LEVEL", "A flag of one letter" },
    { 0 },
};

static struct flag_set set = { .usage = "kaito thing [flags] FILE",
                               .summary = "Does a thing.",
                               .flags = flags };

static char **operands;
static size_t n_operands;
static struct error *err;

static int setup(void **state)
{
    name = "default";
    verbose = false;
    count = 3;
    ratio = 0.5;
    wait_ns = 90 * NS_PER_S;
    features = (struct flag_strings){ 0 };
    set.interspersed = false;
    return 0;
}

static int teardown(void **state)
{
    free(operands);
    operands = NULL;
    free(features.items);
    error_free(err);
    err = NULL;
    return 0;
}

#define PARSE(...)                                                                                 \
    ({                                                                                             \
        char *argv_[] = { (char *)"kaito", __VA_ARGS__, NULL };                                    \
        flags_parse(&set, (int)COUNT_OF(argv_) - 1, argv_, &operands, &n_operands, &err);          \
    })

static void reads_every_spelling(void **state)
{
    assert_int_equal(PARSE((char *)"-name", (char *)"a", (char *)"--count=0x10", (char *)"-verbose",
                           (char *)"--wait-duration=1m30s", (char *)"-ratio", (char *)"2.5e1"),
                     0);
    assert_string_equal(name, "a");
    assert_int_equal(count, 16);
    assert_true(verbose);
    assert_int_equal(wait_ns, 90 * NS_PER_S);
    assert_true(ratio > 24.9 && ratio < 25.1);
    assert_int_equal(n_operands, 0);
    assert_null(operands[0]);
}

static void a_short_name_is_the_same_flag(void **state)
{
    assert_int_equal(PARSE((char *)"-n", (char *)"b", (char *)"-v=7"), 0);
    assert_string_equal(name, "b");
    assert_int_equal(count, 7);
}

static void booleans_take_a_value_only_with_an_equals_sign(void **state)
{
    assert_int_equal(PARSE((char *)"--verbose=T", (char *)"--verbose=0"), 0);
    assert_false(verbose);
    free(operands);
    assert_int_equal(PARSE((char *)"--verbose", (char *)"false"), 0);
    assert_true(verbose);
    assert_int_equal(n_operands, 1);
    assert_string_equal(operands[0], "false");
}

static void repeated_flags_add_up(void **state)
{
    assert_int_equal(PARSE((char *)"--feature=a=true,b", (char *)"--feature", (char *)"c"), 0);
    assert_int_equal(features.count, 2);
    assert_string_equal(features.items[0], "a=true,b");
    assert_string_equal(features.items[1], "c");
}

static void the_first_operand_ends_the_flags(void **state)
{
    assert_int_equal(PARSE((char *)"x", (char *)"--verbose"), 0);
    assert_int_equal(n_operands, 2);
    assert_false(verbose);
}

static void unless_they_may_be_mixed(void **state)
{
    set.interspersed = true;
    assert_int_equal(PARSE((char *)"x", (char *)"--verbose", (char *)"-", (char *)"--",
                           (char *)"--name"),
                     0);
    assert_true(verbose);
    assert_int_equal(n_operands, 3);
    assert_string_equal(operands[0], "x");
    assert_string_equal(operands[1], "-");
    assert_string_equal(operands[2], "--name");
}

static void mistakes_are_named_and_change_nothing(void **state)
{
    int r = PARSE((char *)"--name=z", (char *)"--count=ten");
    assert_error(r, err, ERROR_INVALID, "\"ten\" for --count");
    assert_string_equal(name, "default");
    r = PARSE((char *)"--nam=z");
    assert_error(r, err, ERROR_INVALID, "did you mean --name?");
    r = PARSE((char *)"--count");
    assert_error(r, err, ERROR_INVALID, "--count needs a value");
    r = PARSE((char *)"--verbose=maybe");
    assert_error(r, err, ERROR_INVALID, "true or false");
    r = PARSE((char *)"--wait-duration=5");
    assert_error(r, err, ERROR_INVALID, "a duration");
    r = PARSE((char *)"---name=z");
    assert_error(r, err, ERROR_INVALID, "---name");
    r = PARSE((char *)"--=z");
    assert_error(r, err, ERROR_INVALID, "--=z");
    r = PARSE((char *)"--count=");
    assert_error(r, err, ERROR_INVALID, "--count");
}

static void integers_are_go_literals(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } table[] = {
        { "0", true, 0 },
        { "-5", true, -5 },
        { "+5", true, 5 },
        { "0b101", true, 5 },
        { "0o17", true, 15 },
        { "017", true, 15 },
        { "0XfF", true, 255 },
        { "1_000", true, 1000 },
        { "0x_1f", true, 31 },
        { "-9223372036854775808", true, INT64_MIN },
        { "9223372036854775808", false, 0 },
        { "1__0", false, 0 },
        { "_1", false, 0 },
        { "1_", false, 0 },
        { "0x", false, 0 },
        { "08", false, 0 },
        { "1.5", false, 0 },
        { " 1", false, 0 },
        { "-", false, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        int r = PARSE((char *)"--count", (char *)table[i].text);
        if (table[i].good) {
            assert_int_equal(r, 0);
            assert_int_equal(count, table[i].value);
            free(operands);
            operands = NULL;
        } else {
            assert_error(r, err, ERROR_INVALID, table[i].text);
        }
    }
}

static void help_is_made_from_the_table(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    flags_print_help(&set, fds[1]);
    close(fds[1]);
    char text[4096];
    ssize_t n = read(fds[0], text, sizeof text - 1);
    close(fds[0]);
    assert_true(n > 0);
    text[n] = '\0';
    static const char *const parts[] = {
        "Does a thing.\n",    "Usage: kaito thing [flags] FILE\n",
        "  -n, --name NAME ", "The name of the thing (default \"default\")\n",
        "      --verbose ",   "(default 1m30s)",
        "(default 0.5)",      "  -v LEVEL ",
    };
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (!strstr(text, parts[i]))
            fail_msg("no \"%s\" in:\n%s", parts[i], text);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

UNIT_TESTS(CASE(reads_every_spelling), CASE(a_short_name_is_the_same_flag),
           CASE(booleans_take_a_value_only_with_an_equals_sign), CASE(repeated_flags_add_up),
           CASE(the_first_operand_ends_the_flags), CASE(unless_they_may_be_mixed),
           CASE(mistakes_are_named_and_change_nothing), CASE(integers_are_go_literals),
           CASE(help_is_made_from_the_table))
