/* Clocks, and the time formats of Kubernetes. The calendar is the proleptic Gregorian one, computed
 * here: libc's functions look at the time zone and take locks. */
#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t system_wall(struct clock *c)
{
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_mono(struct clock *c)
{
    return read_clock(CLOCK_MONOTONIC);
}

struct clock *clock_system(void)
{
    static struct clock c = { system_wall, system_mono };
    return &c;
}

static int64_t virtual_wall(struct clock *c)
{
    return __atomic_load_n(&((struct clock_virtual *)c)->wall, __ATOMIC_SEQ_CST);
}

static int64_t virtual_mono(struct clock *c)
{
    return __atomic_load_n(&((struct clock_virtual *)c)->mono, __ATOMIC_SEQ_CST);
}

void clock_virtual_init(struct clock_virtual *v, int64_t wall_ns)
{
    v->clock.wall_ns = virtual_wall;
    v->clock.mono_ns = virtual_mono;
    v->wall = wall_ns;
    v->mono = NS_PER_S; /* not 0, which callers may use for "never" */
}

void clock_virtual_advance(struct clock_virtual *v, int64_t ns)
{
    __atomic_add_fetch(&v->wall, ns, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&v->mono, ns, __ATOMIC_SEQ_CST);
}

/* ---- calendar: years begin in March here, so that the leap day is the last one ------------------------------- */

#define DAYS_PER_400Y 146097
#define DAYS_0000_TO_1970 719468 /* from 1 March of year 0 */

static int64_t days_from_date(int64_t year, int month, int day)
{
    if (month <= 2)
        year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_400Y + day_of_era - DAYS_0000_TO_1970;
}

struct date_time {
    int year, month, day, hour, minute, second;
    int64_t ns;
};

static struct date_time date_time_of(int64_t wall_ns)
{
    int64_t seconds = wall_ns / NS_PER_S;
    int64_t ns = wall_ns % NS_PER_S;
    if (ns < 0) {
        ns += NS_PER_S;
        seconds--;
    }
    int64_t days = seconds / 86400;
    int64_t rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    days +=
        DAYS_0000_TO_1970; /* int64 nanoseconds reach back to 1677 only: positive from here on */
    int64_t era = days / DAYS_PER_400Y;
    int64_t day_of_era = days % DAYS_PER_400Y;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_PER_400Y - 1)) /
        365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    return (struct date_time){
        .year = (int)(year_of_era + era * 400 + (month <= 2 ? 1 : 0)),
        .month = month,
        .day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
        .hour = (int)(rest / 3600),
        .minute = (int)(rest / 60 % 60),
        .second = (int)(rest % 60),
        .ns = ns,
    };
}

static void format(int64_t wall_ns, int digits, char out[TIME_RFC3339_SIZE])
{
    struct date_time t = date_time_of(wall_ns);
    int n = snprintf(out, TIME_RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", t.year % 10000,
                     t.month % 100, t.day % 100, t.hour % 100, t.minute % 100, t.second % 100);
    int64_t fraction = t.ns;
    for (int i = digits; i < 9; i++)
        fraction /= 10;
    if (digits > 0)
        n += snprintf(out + n, TIME_RFC3339_SIZE - (size_t)n, ".%0*d", digits, (int)fraction);
    out[n] = 'Z';
    out[n + 1] = '\0';
}

void time_format_rfc3339(int64_t wall_ns, char out[TIME_RFC3339_SIZE])
{
    format(wall_ns, 0, out);
}

void time_format_rfc3339_micro(int64_t wall_ns, char out[TIME_RFC3339_SIZE])
{
    format(wall_ns, 6, out);
}

void time_format_rfc3339_nano(int64_t wall_ns, char out[TIME_RFC3339_SIZE])
{
    format(wall_ns, 9, out);
}

/* Reads exactly `width` digits at *s and moves past them. */
static bool take_digits(const char **s, int width, int *ret)
{
    int value = 0;
    for (int i = 0; i < width; i++) {
        char c = (*s)[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (c - '0');
    }
    *s += width;
    *ret = value;
    return true;
}

static bool take_char(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date_time(const char **s, struct date_time *t)
{
    if (!take_digits(s, 4, &t->year) || !take_char(s, '-') || !take_digits(s, 2, &t->month) ||
        !take_char(s, '-') || !take_digits(s, 2, &t->day))
        return false;
    if (!take_char(s, 'T') && !take_char(s, 't'))
        return false;
    if (!take_digits(s, 2, &t->hour) || !take_char(s, ':') || !take_digits(s, 2, &t->minute) ||
        !take_char(s, ':') || !take_digits(s, 2, &t->second))
        return false;
    if (t->month < 1 || t->month > 12 || t->day < 1 || t->day > days_in_month(t->year, t->month) ||
        t->hour > 23 || t->minute > 59 || t->second > 59)
        return false;
    t->ns = 0;
    if (take_char(s, '.')) {
        if (**s < '0' || **s > '9')
            return false;
        int64_t unit = NS_PER_S / 10;
        for (; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
            t->ns += (**s - '0') * unit;
    }
    return true;
}

static bool take_offset(const char **s, int64_t *ret_seconds)
{
    *ret_seconds = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return true;
    int sign = **s == '-' ? -1 : 1;
    int hours, minutes;
    if (!take_char(s, '-') && !take_char(s, '+'))
        return false;
    if (!take_digits(s, 2, &hours) || !take_char(s, ':') || !take_digits(s, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

int time_parse_rfc3339(const char *s, int64_t *ret_wall_ns)
{
    struct date_time t;
    int64_t offset;
    if (!s || !take_date_time(&s, &t) || !take_offset(&s, &offset) || *s != '\0')
        return -ERROR_INVALID;
    int64_t seconds = days_from_date(t.year, t.month, t.day) * 86400 + t.hour * 3600 +
                      t.minute * 60 + t.second - offset;
    int64_t ns;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) || __builtin_add_overflow(ns, t.ns, &ns))
        return -ERROR_INVALID;
    *ret_wall_ns = ns;
    return 0;
}

/* ---- ages, with the thresholds of kubectl: two units while the smaller one still says something ---------------- */

static void format_units(char out[TIME_RFC3339_SIZE], int64_t large, char large_unit, int64_t small,
                         char small_unit)
{
    if (small == 0)
        snprintf(out, TIME_RFC3339_SIZE, "%lld%c", (long long)large, large_unit);
    else
        snprintf(out, TIME_RFC3339_SIZE, "%lld%c%lld%c", (long long)large, large_unit,
                 (long long)small, small_unit);
}

void time_format_age(int64_t age_ns, char out[TIME_RFC3339_SIZE])
{
    int64_t seconds = age_ns / NS_PER_S;
    int64_t minutes = seconds / 60;
    int64_t hours = minutes / 60;
    int64_t days = hours / 24;

    if (seconds < -1)
        snprintf(out, TIME_RFC3339_SIZE, "<invalid>");
    else if (seconds < 0)
        snprintf(out, TIME_RFC3339_SIZE, "0s");
    else if (seconds < 2 * 60)
        format_units(out, seconds, 's', 0, 0);
    else if (minutes < 10)
        format_units(out, minutes, 'm', seconds % 60, 's');
    else if (minutes < 3 * 60)
        format_units(out, minutes, 'm', 0, 0);
    else if (hours < 8)
        format_units(out, hours, 'h', minutes % 60, 'm');
    else if (hours < 2 * 24)
        format_units(out, hours, 'h', 0, 0);
    else if (days < 8)
        format_units(out, days, 'd', hours % 24, 'h');
    else if (days < 2 * 365)
        format_units(out, days, 'd', 0, 0);
    else if (days < 8 * 365)
        format_units(out, days / 365, 'y', days % 365, 'd');
    else
        format_units(out, days / 365, 'y', 0, 0);
}
