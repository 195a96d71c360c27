#include "api/cron.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define MAX_CRON 256
#define FIELDS 5
#define MAX_DAYS (5 * 366)
#define NS_PER_MINUTE (60 * NS_PER_S)
#define MINUTES_PER_DAY (24 * 60)

static const char *const month_names[] = { "jan", "feb", "mar", "apr", "may", "jun", "jul",
                                           "aug", "sep", "oct", "nov", "dec", NULL };
static const char *const day_names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL };

static const struct field {
    const char *name;
    unsigned min, max;
    const char *const *names; /* of min and the following; NULL: numbers only */
} fields[FIELDS] = {
    { "minute", 0, 59, NULL },          { "hour", 0, 23, NULL },
    { "day of month", 1, 31, NULL },    { "month", 1, 12, month_names },
    { "day of week", 0, 6, day_names },
};

static const struct {
    const char *word;
    const char *means;
} descriptors[] = {
    { "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
    { "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },    { "@midnight", "0 0 * * *" },
    { "@hourly", "0 * * * *" },
};

/* ---- parse ---------------------------------------------------------------------------------------------------------- */

static int refuse(const struct field *f, const char *text, struct error **err)
{
    return error_set(err, ERROR_INVALID,
                     "\"%s\" is no %s; it may be *, a number of %u to %u, a range \"a-b\", a step "
                     "\"/n\" behind these, or a list of them with commas",
                     text, f->name, f->min, f->max);
}

/* A number or a name of the field, whole. */
static bool read_value(const struct field *f, const char *text, unsigned *ret)
{
    for (unsigned i = 0; f->names && f->names[i]; i++) {
        if (str_case_eq(text, f->names[i])) {
            *ret = f->min + i;
            return true;
        }
    }
    uint64_t number = 0;
    if (text[0] < '0' || text[0] > '9' || str_to_uint64(text, &number) < 0 || number > 1000)
        return false;
    *ret = (unsigned)number;
    return true;
}

/* One element of a list. ret_star: it is a star without a step. */
static bool read_range(const struct field *f, char *text, uint64_t *bits, bool *ret_star)
{
    char *slash = strchr(text, '/');
    unsigned step = 1, low = f->min, high = f->max;
    if (slash) {
        *slash = '\0';
        if (slash[1] < '0' || slash[1] > '9' || !read_value(&fields[0], slash + 1, &step) ||
            step == 0)
            return false;
    }
    bool star = STREQ(text, "*") || STREQ(text, "?");
    if (!star) {
        char *dash = strchr(text, '-');
        if (dash)
            *dash = '\0';
        if (!read_value(f, text, &low))
            return false;
        if (dash && !read_value(f, dash + 1, &high))
            return false;
        if (!dash && !slash) /* "3/5" goes on to the end */
            high = low;
    }
    if (low < f->min || high > f->max || low > high)
        return false;
    for (unsigned n = low; n <= high; n += step)
        *bits |= UINT64_C(1) << n;
    if (star && step == 1)
        *ret_star = true;
    return true;
}

static int read_field(struct arena *a, const struct field *f, const char *text, uint64_t *ret,
                      bool *ret_star, struct error **err)
{
    char **parts = str_split(a, text, ',', NULL);
    *ret = 0;
    *ret_star = false;
    for (size_t i = 0; parts[i]; i++)
        if (!read_range(f, parts[i], ret, ret_star))
            return refuse(f, text, err);
    return 0;
}

int cron_parse(const char *text, struct cron *ret, struct error **err)
{
    if (strnlen(text, MAX_CRON + 1) > MAX_CRON)
        return error_set(err, ERROR_INVALID, "a schedule has at most %d characters", MAX_CRON);
    AUTO_ARENA a = arena_new();
    text = str_trim(a, text);
    for (size_t i = 0; i < COUNT_OF(descriptors); i++)
        if (STREQ(text, descriptors[i].word))
            text = descriptors[i].means;
    char *words[FIELDS + 1];
    size_t n = 0;
    char *rest = NULL;
    for (char *w = strtok_r(arena_strdup(a, text), " \t", &rest); w && n <= FIELDS;
         w = strtok_r(NULL, " \t", &rest))
        words[n++] = w;
    if (str_has_prefix(text, "CRON_TZ=") || str_has_prefix(text, "TZ="))
        return error_set(err, ERROR_UNSUPPORTED,
                         "\"%s\" names a time zone; schedules are in UTC: write it in UTC, without "
                         "the zone",
                         text);
    if (str_has_prefix(text, "@every"))
        return error_set(err, ERROR_UNSUPPORTED,
                         "\"%s\" has no time of the day; write when the window opens, as in \"0 2 "
                         "* * 6\"",
                         text);
    if (n != FIELDS)
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is no schedule; it has five fields: minute, hour, day of month, "
                         "month, day of week, as in \"0 2 * * 6\"",
                         text);
    struct cron c = { 0 };
    uint64_t *const bits[FIELDS] = { &c.minutes, &c.hours, &c.days, &c.months, &c.weekdays };
    bool star[FIELDS] = { false };
    for (size_t i = 0; i < FIELDS; i++) {
        int r = read_field(a, &fields[i], words[i], bits[i], &star[i], err);
        if (r < 0)
            return r;
    }
    c.any_day = star[2];
    c.any_weekday = star[4];
    *ret = c;
    return 0;
}

/* ---- times ---------------------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t x, int64_t y)
{
    return x / y - (x % y < 0);
}

/* Month and day of the month of a day counted from 1970-01-01. The calendar repeats every 400
 * years, 146,097 days; years begin in March here, so that the leap day is the last. */
static void civil_from_days(int64_t days, unsigned *ret_month, unsigned *ret_day)
{
    int64_t z = days + 719468;
    int64_t of_era = z - floor_div(z, 146097) * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    *ret_day = (unsigned)(of_year - (153 * month + 2) / 5 + 1);
    *ret_month = (unsigned)(month < 10 ? month + 3 : month - 9);
}

static bool has(uint64_t bits, unsigned n)
{
    return bits >> n & 1;
}

static bool day_matches(const struct cron *c, int64_t days)
{
    unsigned month, day;
    civil_from_days(days, &month, &day);
    int64_t weekday = days + 4 - floor_div(days + 4, 7) * 7; /* 1970-01-01 was a Thursday */
    bool by_day = has(c->days, day), by_weekday = has(c->weekdays, (unsigned)weekday);
    if (!has(c->months, month))
        return false;
    return c->any_day || c->any_weekday ? by_day && by_weekday : by_day || by_weekday;
}

static bool minute_matches(const struct cron *c, int64_t of_day)
{
    return has(c->hours, (unsigned)(of_day / 60)) && has(c->minutes, (unsigned)(of_day % 60));
}

/* From the minute `from` in steps of +1 or -1 minute; whole days that do not match are skipped. */
static bool search(const struct cron *c, int64_t from, int step, int64_t *ret_ns)
{
    int64_t day = floor_div(from, MINUTES_PER_DAY);
    int64_t of_day = from - day * MINUTES_PER_DAY;
    for (int n = 0; n < MAX_DAYS; n++, day += step) {
        if (day_matches(c, day)) {
            for (; of_day >= 0 && of_day < MINUTES_PER_DAY; of_day += step) {
                if (minute_matches(c, of_day)) {
                    *ret_ns = (day * MINUTES_PER_DAY + of_day) * NS_PER_MINUTE;
                    return true;
                }
            }
        }
        of_day = step > 0 ? 0 : MINUTES_PER_DAY - 1;
    }
    return false;
}

bool cron_before(const struct cron *c, int64_t now_ns, int64_t *ret_ns)
{
    return search(c, floor_div(now_ns, NS_PER_MINUTE), -1, ret_ns);
}

bool cron_after(const struct cron *c, int64_t now_ns, int64_t *ret_ns)
{
    return search(c, floor_div(now_ns, NS_PER_MINUTE) + 1, 1, ret_ns);
}

bool cron_window_open(const struct cron *c, int64_t duration_ns, int64_t now_ns,
                      int64_t *ret_next_ns)
{
    int64_t opened = 0;
    *ret_next_ns = INT64_MAX;
    if (duration_ns >= 0 && cron_before(c, now_ns, &opened) && now_ns - opened <= duration_ns) {
        if (opened <= INT64_MAX - duration_ns - 1)
            *ret_next_ns = opened + duration_ns + 1;
        return true;
    }
    int64_t next = 0;
    if (cron_after(c, now_ns, &next))
        *ret_next_ns = next;
    return false;
}
