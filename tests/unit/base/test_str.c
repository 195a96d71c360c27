#include "base/error.h"
#include <stdio.h>

#include "base/str.h"
#include "unit.h"

static void compares(void **state)
{
    assert_true(str_has_prefix("abc", "ab") && str_has_prefix("abc", "") &&
                !str_has_prefix("ab", "abc"));
    assert_true(str_has_suffix("abc", "bc") && str_has_suffix("abc", "") &&
                !str_has_suffix("bc", "abc"));
    assert_string_equal(str_skip_prefix("kaito.sh/x", "kaito.sh/"), "x");
    assert_null(str_skip_prefix("x", "kaito.sh/"));
    assert_true(str_eq(NULL, NULL) && str_eq("a", "a") && !str_eq("a", NULL) && !str_eq("a", "b"));
    assert_true(str_empty(NULL) && str_empty("") && !str_empty("a"));
    assert_true(str_case_eq("AbZ", "aBz") && !str_case_eq("a", "ab") && !str_case_eq("@", "`"));
    assert_true(str_case_eq(NULL, NULL) && !str_case_eq(NULL, ""));
}

static void transforms(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(str_lower(a, "ABZ[É"), "abz[É");
    assert_string_equal(str_trim(a, " \t x y \r\n"), "x y");
    assert_string_equal(str_trim(a, "  "), "");
    assert_string_equal(str_replace(a, "a-b-c", "-", "--"), "a--b--c");
    assert_string_equal(str_replace(a, "aaa", "aa", "b"), "ba");
    assert_string_equal(str_replace(a, "abc", "", "x"), "abc");
    assert_string_equal(str_replace(a, "abc", "abc", ""), "");
}

/* What a shell makes of it is the text again, byte for byte. */
static void a_shell_word_is_one_argument(void **state)
{
    static const char *const texts[] = {
        "phi-4", "",  "{\"kv_role\":\"kv_both\",\"x\":\"a b\"}", "it's", "$HOME `id` \\ *",
        "a\nb",  "''"
    };
    AUTO_ARENA a = arena_new();
    assert_string_equal(str_shell_word(a, "org/a_b:1.0"), "org/a_b:1.0");
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const char *line = arena_printf(a, "printf '%%s.' %s", str_shell_word(a, texts[i]));
        FILE *pipe = popen(line, "r");
        char out[128] = "";
        size_t n = fread(out, 1, sizeof(out) - 1, pipe);
        assert_int_equal(pclose(pipe), 0);
        out[n] = '\0';
        assert_string_equal(out, arena_printf(a, "%s.", texts[i]));
    }
}

static void splits_and_joins(void **state)
{
    AUTO_ARENA a = arena_new();
    size_t n;
    char **parts = str_split(a, ",a,,b", ',', &n);
    assert_int_equal(n, 4);
    assert_string_equal(parts[0], "");
    assert_string_equal(parts[1], "a");
    assert_string_equal(parts[2], "");
    assert_string_equal(parts[3], "b");
    assert_null(parts[4]);
    assert_string_equal(str_join(a, parts, n, ", "), ", a, , b");
    str_split(a, "", ',', &n);
    assert_int_equal(n, 1);
    assert_string_equal(str_join(a, parts, 0, ","), "");
}

static void reads_whole_numbers(void **state)
{
    int64_t i;
    uint64_t u;
    double d;
    assert_int_equal(str_to_int64("-9223372036854775808", &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(str_to_int64("+7", &i), 0);
    assert_int_equal(i, 7);
    assert_int_equal(str_to_uint64("18446744073709551615", &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(str_to_double("-1.5e3", &d), 0);
    assert_true(d < -1499 && d > -1501);
    static const char *const bad_ints[] = { "",
                                            "-",
                                            "+",
                                            " 1",
                                            "1 ",
                                            "1x",
                                            "0x1",
                                            "1.0",
                                            "--1",
                                            "9223372036854775808",
                                            "-9223372036854775809",
                                            "99999999999999999999" };
    for (size_t k = 0; k < COUNT_OF(bad_ints); k++)
        assert_int_equal(str_to_int64(bad_ints[k], &i), -ERROR_INVALID);
    static const char *const bad_uints[] = { "", "-1", "+1", "18446744073709551616" };
    for (size_t k = 0; k < COUNT_OF(bad_uints); k++)
        assert_int_equal(str_to_uint64(bad_uints[k], &u), -ERROR_INVALID);
    static const char *const bad_doubles[] = { "",   " 1", "1 ", "inf",   "nan",  "0x1p3",
                                               "1e", "e",  ".",  "1e999", "1.5.2" };
    for (size_t k = 0; k < COUNT_OF(bad_doubles); k++)
        assert_int_equal(str_to_double(bad_doubles[k], &d), -ERROR_INVALID);
    assert_int_equal(str_to_int64(NULL, &i), -ERROR_INVALID);
}

/* What Go's time.ParseDuration makes of them. */
static void reads_go_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        { "0", 0 },
        { "-0", 0 },
        { "5s", INT64_C(5000000000) },
        { "+5s", INT64_C(5000000000) },
        { "1h2m3.5s", INT64_C(3723500000000) },
        { "300ms", 300000000 },
        { "-1.5h", INT64_C(-5400000000000) },
        { "1us", 1000 },
        { "1\u00b5s", 1000 },
        { "1\u03bcs", 1000 },
        { "1ns", 1 },
        { ".5s", 500000000 },
        { "1.s", 1000000000 },
        { "2562047h47m16.854775807s", INT64_MAX },
        { "0.0000000019s", 1 },
        { "1.23456789123456789h", INT64_C(4444444408444) },
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        int64_t ns;
        assert_int_equal(str_to_duration_ns(good[i].text, &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    static const char *const bad[] = {
        "",  "s", "5",   "1h1",  "1x", "3000000h", "2562047h47m16.854775808s",
        "-", "+", "1 s", "1e3s", ".",  ".s",       "99999999999999999999s"
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t ns;
        assert_int_equal(str_to_duration_ns(bad[i], &ns), -ERROR_INVALID);
    }
}

static void finds_the_end_of_valid_utf8(void **state)
{
    static const struct {
        const char *text;
        size_t valid;
    } table[] = {
        { "plain ascii text", 16 }, { "é☺😀", 9 },           { "longer than a word é", 21 },
        { "a\xc0\x80", 1 },                                 /* overlong */
        { "a\xe0\x80\x80", 1 },     { "a\xed\xa0\x80", 1 }, /* a surrogate */
        { "a\xf4\x90\x80\x80", 1 },                         /* above U+10FFFF */
        { "a\xf0\x9f\x98", 1 },                             /* cut */
        { "abcdefgh\xff", 8 },      { "\x80", 0 },          { "", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_int_equal(str_utf8_valid_len(table[i].text, strlen(table[i].text)), table[i].valid);
}

static void measures_edits(void **state)
{
    assert_int_equal(str_distance("kitten", "sitting", 10), 3);
    assert_int_equal(str_distance("", "abc", 10), 3);
    assert_int_equal(str_distance("Same", "sAME", 10), 0);
    assert_int_equal(str_distance("abcdef", "uvwxyz", 2), 3);
    assert_int_equal(str_distance("a", "abcdefgh", 3), 4);
}

static void suggests_near_names(void **state)
{
    static const char *const presets[] = { "phi-4", "phi-4-mini-instruct", "gemma-3-270m",
                                           "falcon-7b", "phi-3" };
    const char *near[3];
    assert_int_equal(str_nearest("phi4", presets, COUNT_OF(presets), near, 3), 2);
    assert_string_equal(near[0], "phi-4");
    assert_string_equal(near[1], "phi-3");
    assert_int_equal(str_nearest("MINI", presets, COUNT_OF(presets), near, 3), 1);
    assert_string_equal(near[0], "phi-4-mini-instruct");
    assert_int_equal(str_nearest("zzzzzzzz", presets, COUNT_OF(presets), near, 3), 0);
    assert_int_equal(str_nearest("", presets, COUNT_OF(presets), near, 3), 0);
}

UNIT_TESTS(TEST(compares), TEST(transforms), TEST(a_shell_word_is_one_argument),
           TEST(splits_and_joins), TEST(reads_whole_numbers), TEST(reads_go_durations),
           TEST(finds_the_end_of_valid_utf8), TEST(measures_edits), TEST(suggests_near_names))
