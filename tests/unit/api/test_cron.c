#include "api/cron.h"
#include "api/inference_set.h"
#include "base/clock.h"
#include "base/str.h"
#include "unit.h"
#include "json/build.h"

static int64_t at(const char *text)
{
    int64_t ns = 0;
    assert_int_equal(time_parse_rfc3339(text, &ns), 0);
    return ns;
}

static const char *shown(struct arena *a, bool found, int64_t ns)
{
    char text[TIME_RFC3339_SIZE];
    time_format_rfc3339(ns, text);
    return found ? arena_strdup(a, text) : "never";
}

static void times_before_and_after(void **state)
{
    static const char *const table[][4] = {
        /* schedule, now, the last one, the next one */
        { "* * * * *", "2026-01-02T03:04:05Z", "2026-01-02T03:04:00Z", "2026-01-02T03:05:00Z" },
        { "*/15 * * * *", "2026-01-02T03:04:05Z", "2026-01-02T03:00:00Z", "2026-01-02T03:15:00Z" },
        { "5/20 * * * *", "2026-01-02T03:04:05Z", "2026-01-02T02:45:00Z", "2026-01-02T03:05:00Z" },
        { "30 2 * * 6", "2026-01-02T03:04:05Z", "2025-12-27T02:30:00Z", "2026-01-03T02:30:00Z" },
        { "30 2 * * SAT", "2026-01-03T02:30:00Z", "2026-01-03T02:30:00Z", "2026-01-10T02:30:00Z" },
        { "0 0 1 1 *", "2026-01-02T03:04:05Z", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z" },
        { "0 0 29 2 *", "2026-01-02T03:04:05Z", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z" },
        { "0 0 31 * *", "2026-03-01T00:00:00Z", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z" },
        { "0 12 1-7 jan,mar-apr ?", "2026-02-01T00:00:00Z", "2026-01-07T12:00:00Z",
          "2026-03-01T12:00:00Z" },
        { "0 0 30 2 *", "2026-01-02T03:04:05Z", "never", "never" },
        /* either of the two days … */
        { "0 0 13 * fri", "2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z" },
        /* … both, when one of them is a star */
        { "0 0 * * fri", "2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z" },
        { "0 0 13 * *", "2026-01-03T00:00:00Z", "2025-12-13T00:00:00Z", "2026-01-13T00:00:00Z" },
        { "59 23 31 12 *", "1969-12-31T23:59:30Z", "1969-12-31T23:59:00Z", "1970-12-31T23:59:00Z" },
        { "@daily", "2026-01-02T03:04:05Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z" },
        { " @weekly ", "2026-01-02T03:04:05Z", "2025-12-28T00:00:00Z", "2026-01-04T00:00:00Z" },
        { "0\t4  * *\t*", "2026-01-02T03:04:05Z", "2026-01-01T04:00:00Z", "2026-01-02T04:00:00Z" },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct cron c;
        struct error *err = NULL;
        int64_t ns = 0;
        if (cron_parse(table[i][0], &c, &err) < 0)
            fail_msg("%s: %s", table[i][0], error_message(err));
        bool found = cron_before(&c, at(table[i][1]), &ns);
        assert_string_equal(shown(a, found, ns), table[i][2]);
        found = cron_after(&c, at(table[i][1]), &ns);
        assert_string_equal(shown(a, found, ns), table[i][3]);
    }
}

static void what_is_no_schedule_is_refused(void **state)
{
    static const char *const table[][2] = {
        { "", "five fields" },
        { "* * * *", "five fields" },
        { "* * * * * *", "five fields" },
        { "60 * * * *", "minute" },
        { "* 24 * * *", "hour" },
        { "* * 0 * *", "day of month" },
        { "* * 32 * *", "day of month" },
        { "* * * 13 *", "month" },
        { "* * * * 7", "day of week" },
        { "5-1 * * * *", "minute" },
        { "*/0 * * * *", "minute" },
        { "1- * * * *", "minute" },
        { "-1 * * * *", "minute" },
        { "1,,2 * * * *", "minute" },
        { "1/ * * * *", "minute" },
        { "+1 * * * *", "minute" },
        { "* * * janu *", "month" },
        { "mon * * * *", "minute" },
        { "99999999999999999999 * * * *", "minute" },
        { "@often", "five fields" },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct cron c;
        struct error *err = NULL;
        int r = cron_parse(table[i][0], &c, &err);
        assert_error(r, err, ERROR_INVALID, table[i][1]);
    }
    static const char *const others[][2] = {
        { "@every 5m", "no time of the day" },
        { "CRON_TZ=Europe/Berlin 0 2 * * 6", "in UTC" },
        { "TZ=UTC @daily", "in UTC" },
    };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        struct cron c;
        struct error *err = NULL;
        int r = cron_parse(others[i][0], &c, &err);
        assert_error(r, err, ERROR_UNSUPPORTED, others[i][1]);
    }
    char text[400];
    memset(text, '1', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct cron c;
    struct error *err = NULL;
    int r = cron_parse(text, &c, &err);
    assert_error(r, err, ERROR_INVALID, "at most");
}

static void windows_open_and_close(void **state)
{
    AUTO_ARENA a = arena_new();
    struct cron c;
    int64_t next = 0;
    assert_int_equal(cron_parse("0 2 * * *", &c, NULL), 0);
    const int64_t hours = 3600 * NS_PER_S;
    assert_false(cron_window_open(&c, 4 * hours, at("2026-01-02T01:59:59Z"), &next));
    assert_string_equal(shown(a, true, next), "2026-01-02T02:00:00Z");
    assert_true(cron_window_open(&c, 4 * hours, at("2026-01-02T02:00:00Z"), &next));
    assert_string_equal(shown(a, true, next), "2026-01-02T06:00:00Z");
    assert_true(cron_window_open(&c, 4 * hours, at("2026-01-02T06:00:00Z"), &next));
    assert_false(cron_window_open(&c, 4 * hours, at("2026-01-02T06:00:00.000000001Z"), &next));
    /* longer than the time between two */
    assert_true(cron_window_open(&c, 30 * hours, at("2026-01-02T01:59:59Z"), &next));
    assert_int_equal(cron_parse("0 0 30 2 *", &c, NULL), 0);
    assert_false(cron_window_open(&c, 4 * hours, at("2026-01-02T02:00:00Z"), &next));
    assert_true(next == INT64_MAX);
}

static void max_unavailable_is_a_number_or_a_share(void **state)
{
    static const struct {
        const char *value; /* JSON */
        int64_t replicas, most;
    } table[] = {
        { "null", 10, 1 },   { "1", 10, 1 },       { "3", 10, 3 },
        { "0", 10, 1 },      { "-2", 10, 1 },      { "\"25%\"", 10, 2 },
        { "\"5%\"", 10, 1 }, { "\"100%\"", 4, 4 }, { "\"2\"", 10, 2 },
        { "\"x%\"", 10, 1 }, { "\"%\"", 10, 1 },   { "\"99999999999999999999%\"", 10, 1 },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct json *value = NULL;
        assert_int_equal(json_parse(a, table[i].value, strlen(table[i].value), &value, NULL), 0);
        struct json *rolling = OBJ("rollingUpdate", OBJ("maxUnavailable", value));
        struct json *set =
            OBJ("spec", OBJ("replicas", INT(table[i].replicas), "updateStrategy", rolling));
        struct inference_set s;
        inference_set_read(a, set, &s);
        assert_int_equal(inference_set_max_unavailable(&s), table[i].most);
    }
}

UNIT_TESTS(TEST(times_before_and_after), TEST(what_is_no_schedule_is_refused),
           TEST(windows_open_and_close), TEST(max_unavailable_is_a_number_or_a_share))
