/* Schedules of five fields (minute, hour, day of month, month, day of week), in UTC: when
 * maintenance windows open. Pure.
 *
 * A field is "*", "?", a number, a range "a-b", any of them with a step "/n", or a list of these
 * with commas. Months and days of the week may be named by their first three letters. Sunday is 0.
 * When neither of the two day fields begins with a star, a day counts that matches one of them;
 * else one that matches both. "@hourly", "@daily" ("@midnight"), "@weekly", "@monthly", "@yearly"
 * ("@annually") are accepted. */
#pragma once

#include "base/error.h"

struct cron {
    uint64_t minutes, hours, days, months, weekdays; /* bit n: the number n */
    bool any_day, any_weekday;                       /* the field is a star */
};

/* At most 256 characters. -ERROR_INVALID names the field and what it may be; -ERROR_UNSUPPORTED:
 * time zones and "@every …", which others read. */
int cron_parse(const char *text, struct cron *ret, struct error **err);

/* The last time at or before `now`, and the first after it, to the minute; false when there is none
 * within the next or last five years. Times in ns since 1970. */
bool cron_before(const struct cron *c, int64_t now_ns, int64_t *ret_ns);
bool cron_after(const struct cron *c, int64_t now_ns, int64_t *ret_ns);

/* Whether a window that opens at each of these times and stays open for `duration` is open now.
 * ret_next_ns: when that changes, INT64_MAX: never. */
bool cron_window_open(const struct cron *c, int64_t duration_ns, int64_t now_ns,
                      int64_t *ret_next_ns);
