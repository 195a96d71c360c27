/* Patterns against what Go's regexp package says of them. */
#include "base/clock.h"
#include "base/str.h"
#include "regex/pattern.h"
#include "schema_test.h"

static const struct {
    const char *pattern;
    const char *matches[6];
    const char *others[6];
} patterns[] = {
    { "", { "", "a" }, { 0 } },
    { "a", { "a", "xay" }, { "", "A", "b" } },
    { "^a$", { "a" }, { "aa", "a\n", "" } },
    { "^a?b*c+d{2}e{1,3}f{0}g{2,}$",
      { "cddegg", "abbccddeeeggg" },
      { "cdegg", "cddeeeegg", "cddefgg" } },
    { "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", { "a", "a-b", "0" }, { "-a", "a-", "A", "" } },
    { "^(foo|ba[rz])$", { "foo", "bar", "baz" }, { "ba", "foobar" } },
    { "^\\d+\\.\\w\\s$", { "12.a ", "1._\t" }, { "a.a ", "1.-\t" } },
    { "^\\D\\W\\S$", { "a-b", "\xc3\xa9\xc3\xa9\xc3\xa9" }, { "1-b", "aab", "a- " } },
    { "^.$", { "a", "\xc3\xa9", "\xe4\xb8\x96" }, { "\n", "ab", "" } },
    { "^(?s:.)$", { "\n" }, { "" } },
    { "(?m)^b$", { "a\nb\nc", "b" }, { "ab" } },
    { "(?i)^stra\xc3\x9f"
      "e$",
      { "STRA\xc3\x9f"
        "E" },
      { "strasse" } },
    { "(?i)k", { "K", "\xe2\x84\xaa" }, { "c" } },
    { "(?i)[^k]", { "a" }, { "K", "k" } },
    { "^(?i:a)b$", { "Ab", "ab" }, { "AB" } },
    { "^[[:alpha:]_][[:^digit:]]$", { "_a", "b-" }, { "1a", "a1" } },
    { "^[\\d-z]$", { "1", "-", "z" }, { "a" } },
    { "^[]a]$", { "]", "a" }, { "b" } },
    { "^[^]a]$", { "b" }, { "]", "a" } },
    { "^\\p{Lu}\\pN\\P{L}$",
      { "A1-", "\xc3\x89"
               "1 " },
      { "a1-", "AB-" } },
    { "^\\x41\\x{e9}\\t\\.$", { "A\xc3\xa9\t." }, { "A\xc3\xa9\tx" } },
    { "^\\Qa.b*\\E$", { "a.b*" }, { "axb" } },
    { "^\\Qab\\E*$", { "a", "abbb" }, { "abab", "b" } },
    { "\\bcat\\b", { "a cat.", "cat" }, { "concat", "cats" } },
    { "\\Bcat", { "concat" }, { "cat" } },
    { "^a+?b??$", { "aaa", "aab" }, { "b" } },
    { "^(?P<year>\\d{4})-(?<m>\\d\\d)$", { "2024-01" }, { "24-01" } },
    { "^a(?i)b(?-i)c$", { "aBc", "abc" }, { "ABc", "abC" } },
    { "^{$|^a{,2}$", { "{", "a{,2}" }, { "aa" } },
    { "^(a*)*$", { "", "aaaa" }, { "b" } },
    { "\\z", { "", "a" }, { 0 } },
};

static void patterns_match_what_they_should(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        const struct pattern *p = NULL;
        struct error *err = NULL;
        if (pattern_compile(a, patterns[i].pattern, &p, &err) < 0)
            fail_msg("%s: %s", patterns[i].pattern, error_message(err));
        for (size_t k = 0; k < 6; k++) {
            const char *yes = patterns[i].matches[k], *no = patterns[i].others[k];
            if (yes && !pattern_matches(p, yes, strlen(yes)))
                fail_msg("%s does not match %s", patterns[i].pattern, yes);
            if (no && pattern_matches(p, no, strlen(no)))
                fail_msg("%s matches %s", patterns[i].pattern, no);
        }
    }
}

static void faults_are_told_as_go_tells_them(void **state)
{
    static const char *const faults[][2] = {
        { "(", "missing closing ): `(`" },
        { "a)", "unexpected ): `a)`" },
        { "[a", "missing closing ]: `[a`" },
        { "[b-a]", "invalid character class range: `b-a`" },
        { "[[:foo:]]", "invalid character class range: `[:foo:]`" },
        { "\\p{Foo}", "invalid character class range: `\\p{Foo}`" },
        { "*a", "missing argument to repetition operator: `*`" },
        { "(?i)*", "missing argument to repetition operator: `*`" },
        { "a**", "invalid nested repetition operator: `**`" },
        { "a{2}{3}", "invalid nested repetition operator: `{2}{3}`" },
        { "a{2,1}", "invalid repeat count: `{2,1}`" },
        { "a{1001}", "invalid repeat count: `{1001}`" },
        { "(a{100}){11}", "invalid repeat count: `{11}`" },
        { "\\", "trailing backslash at end of expression: ``" },
        { "\\8", "invalid escape sequence: `\\8`" },
        { "\\xg", "invalid escape sequence: `\\xg`" },
        { "\\x{110000}", "invalid escape sequence: `\\x{110000`" },
        { "(?z)", "invalid or unsupported Perl syntax: `(?z`" },
        { "(?=a)", "invalid or unsupported Perl syntax: `(?=`" },
        { "(?P<1 >a)", "invalid named capture: `(?P<1 >`" },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        const struct pattern *p = NULL;
        struct error *err = NULL;
        if (pattern_compile(a, faults[i][0], &p, &err) == 0)
            fail_msg("%s compiles", faults[i][0]);
        assert_string_equal(str_skip_prefix(error_message(err), "error parsing regexp: "),
                            faults[i][1]);
        error_free(err);
    }
}

/* Patterns that make a matcher that backtracks run for years. */
static void matching_takes_linear_time(void **state)
{
    static const char *const bad[] = { "^(a+)+$", "^(a|aa)+$", "(x+x+)+y",
                                       "^(([a-z])+.)+[A-Z]([a-z])+$" };
    AUTO_ARENA a = arena_new();
    size_t len = 20000;
    char *text = arena_alloc(a, len + 1);
    memset(text, 'a', len);
    text[len - 1] = '!';
    text[len] = '\0';
    int64_t start = clock_mono(clock_system());
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const struct pattern *p = NULL;
        assert_int_equal(pattern_compile(a, bad[i], &p, NULL), 0);
        assert_false(pattern_matches(p, text, len));
    }
    assert_true(clock_mono(clock_system()) - start < 5 * NS_PER_S);
}

static void what_is_too_large_is_refused(void **state)
{
    AUTO_ARENA a = arena_new();
    const struct pattern *p = NULL;
    struct error *err = NULL;
    size_t len = 100 * KIB;
    char *text = arena_alloc(a, len + 1);
    memset(text, 'a', len);
    text[len] = '\0';
    assert_error(pattern_compile(a, text, &p, &err), err, ERROR_INVALID, "expression too large");
    memset(text, '(', 1000);
    text[1000] = '\0';
    assert_error(pattern_compile(a, text, &p, &err), err, ERROR_INVALID,
                 "expression nests too deeply");
}

static void the_first_match_is_the_one_that_go_takes(void **state)
{
    static const struct {
        const char *pattern, *text;
        size_t start;
        int from, to; /* -1: none */
    } rows[] = {
        { "^([^/]+)", "ab/c", 0, 0, 2 }, { "b+", "abbbc", 0, 1, 4 },
        { "b+?", "abbbc", 0, 1, 2 },     { "a|ab", "xab", 0, 1, 2 },
        { "ab|a", "xab", 0, 1, 3 },      { "x*", "aaa", 0, 0, 0 },
        { "x*", "xxa", 1, 1, 2 },        { "^a", "aa", 1, -1, -1 },
        { "a$", "aba", 0, 2, 3 },        { "(a|b)*c", "ababcx", 0, 0, 5 },
        { "z", "abc", 0, -1, -1 },       { "", "", 0, 0, 0 },
        { "\\bb", "ab b", 0, 3, 4 },     { "a.*b|.", "xaccb", 0, 0, 1 },
        { "a{1,2}?a", "aaa", 0, 0, 2 },  { "\xc3\xa9+", "x\xc3\xa9\xc3\xa9", 0, 1, 5 },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct pattern *p = NULL;
        size_t from = 0, to = 0;
        assert_int_equal(pattern_compile(a, rows[i].pattern, &p, NULL), 0);
        bool found = pattern_find(p, rows[i].text, strlen(rows[i].text), rows[i].start, &from, &to);
        if (found != (rows[i].from >= 0) ||
            (found && (from != (size_t)rows[i].from || to != (size_t)rows[i].to)))
            fail_msg("%s in %s: %d %zu %zu", rows[i].pattern, rows[i].text, found, from, to);
    }
}

UNIT_TESTS(TEST(the_first_match_is_the_one_that_go_takes), TEST(patterns_match_what_they_should),
           TEST(faults_are_told_as_go_tells_them), TEST(matching_takes_linear_time),
           TEST(what_is_too_large_is_refused))
