#include "base/clock.h"
#include "base/error.h"
#include "unit.h"

static void formats_with_any_precision(void **state)
{
    char s[TIME_RFC3339_SIZE];
    int64_t t = INT64_C(1767366245123456789);
    time_format_rfc3339(t, s);
    assert_string_equal(s, "2026-01-02T15:04:05Z");
    time_format_rfc3339_micro(t, s);
    assert_string_equal(s, "2026-01-02T15:04:05.123456Z");
    time_format_rfc3339_nano(t, s);
    assert_string_equal(s, "2026-01-02T15:04:05.123456789Z");
    time_format_rfc3339_nano(-1, s);
    assert_string_equal(s, "1969-12-31T23:59:59.999999999Z");
    time_format_rfc3339(INT64_MIN, s);
    assert_string_equal(s, "1677-09-21T00:12:43Z");
    time_format_rfc3339(INT64_MAX, s);
    assert_string_equal(s, "2262-04-11T23:47:16Z");
}

/* What Go's time.Parse makes of them. */
static void parses_like_go(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        { "2026-01-02T15:04:05Z", INT64_C(1767366245000000000) },
        { "2026-01-02T15:04:05.123456789123Z", INT64_C(1767366245123456789) },
        { "2026-01-02T15:04:05+02:00", INT64_C(1767359045000000000) },
        { "2024-02-29T00:00:00Z", INT64_C(1709164800000000000) },
        { "1969-12-31T23:59:59.5Z", INT64_C(-500000000) },
        { "1700-03-01T00:00:00Z", INT64_C(-8515238400000000000) },
        { "2100-12-31T23:59:59Z", INT64_C(4133980799000000000) },
        { "2026-01-02T15:04:05-00:30", INT64_C(1767368045000000000) },
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        int64_t ns;
        assert_int_equal(time_parse_rfc3339(good[i].text, &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
}

static void refuses_what_is_no_time(void **state)
{
    static const char *const bad[] = {
        "",
        "2026-01-02",
        "2026-01-02T15:04:05",
        "2026-1-2T15:04:05Z",
        "2023-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T15:60:00Z",
        "2026-01-02T15:04:60Z",
        "2026-01-02T15:04:05.Z",
        "2026-01-02T15:04:05Zx",
        "2026-01-02T15:04:05+2:00",
        "2026-01-02T15:04:05+02:60",
        "1500-01-01T00:00:00Z", /* nanoseconds do not reach that far */
        "2300-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t ns;
        assert_int_equal(time_parse_rfc3339(bad[i], &ns), -ERROR_INVALID);
    }
    int64_t ns;
    assert_int_equal(time_parse_rfc3339(NULL, &ns), -ERROR_INVALID);
}

static void every_day_round_trips(void **state)
{
    const int64_t day = 86400 * NS_PER_S;
    for (int64_t t = -106000 * day; t < 106000 * day; t += day) {
        char s[TIME_RFC3339_SIZE];
        int64_t back;
        time_format_rfc3339(t + day / 3, s);
        assert_int_equal(time_parse_rfc3339(s, &back), 0);
        assert_int_equal(back, t + day / 3);
    }
}

/* The texts of kubectl's AGE column. */
static void ages_are_short(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } ages[] = {
        { -5, "<invalid>" },   { -1, "0s" },
        { 0, "0s" },           { 1, "1s" },
        { 119, "119s" },       { 120, "2m" },
        { 125, "2m5s" },       { 599, "9m59s" },
        { 600, "10m" },        { 601, "10m" },
        { 3599, "59m" },       { 10799, "179m" },
        { 10800, "3h" },       { 10860, "3h1m" },
        { 28799, "7h59m" },    { 28800, "8h" },
        { 30000, "8h" },       { 172799, "47h" },
        { 172800, "2d" },      { 176400, "2d1h" },
        { 691199, "7d23h" },   { 691200, "8d" },
        { 63071999, "729d" },  { 63072000, "2y" },
        { 70000000, "2y80d" }, { 252287999, "7y364d" },
        { 252288000, "8y" },   { 400000000, "12y" },
    };
    for (size_t i = 0; i < COUNT_OF(ages); i++) {
        char s[TIME_RFC3339_SIZE];
        time_format_age(ages[i].seconds * NS_PER_S, s);
        assert_string_equal(s, ages[i].text);
    }
}

static void a_virtual_clock_moves_when_told(void **state)
{
    struct clock_virtual v;
    clock_virtual_init(&v, 1000);
    int64_t mono = clock_mono(&v.clock);
    assert_int_equal(clock_wall(&v.clock), 1000);
    clock_virtual_advance(&v, 5 * NS_PER_S);
    assert_int_equal(clock_wall(&v.clock), 1000 + 5 * NS_PER_S);
    assert_int_equal(clock_mono(&v.clock), mono + 5 * NS_PER_S);
}

static void the_system_clock_goes_on(void **state)
{
    int64_t before = clock_mono(clock_system());
    assert_true(clock_wall(clock_system()) > INT64_C(1700000000) * NS_PER_S);
    assert_true(clock_mono(clock_system()) >= before);
}

UNIT_TESTS(TEST(formats_with_any_precision), TEST(parses_like_go), TEST(refuses_what_is_no_time),
           TEST(every_day_round_trips), TEST(ages_are_short), TEST(a_virtual_clock_moves_when_told),
           TEST(the_system_clock_goes_on))
