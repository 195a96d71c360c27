/* Schedules as cron writes them. Only whether one can be read: when it is due is another matter. */
#include <ctype.h>
#include <string.h>

#include "admission/internal.h"
#include "base/str.h"

struct cron_field {
    const char *name;
    int64_t min, max;
    const char *names; /* three letters each, from min on; "" when it has none */
};

static const struct cron_field fields[] = {
    { "minute", 0, 59, "" },
    { "hour", 0, 23, "" },
    { "day of month", 1, 31, "" },
    { "month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
    { "day of week", 0, 6, "sunmontuewedthufrisat" },
};

static bool read_value(const struct cron_field *f, const char *text, int64_t *ret)
{
    for (size_t i = 0; strlen(text) == 3 && f->names[i]; i += 3)
        if (strncasecmp(f->names + i, text, 3) == 0) {
            *ret = f->min + (int64_t)(i / 3);
            return true;
        }
    return *text && strspn(text, "0123456789") == strlen(text) && str_to_int64(text, ret) == 0;
}

/* "*", "5", "1-5", each with "/step". */
static bool read_range(const struct cron_field *f, char *text)
{
    char *step = strchr(text, '/');
    int64_t every = 1;
    if (step) {
        *step++ = '\0';
        if (strspn(step, "0123456789") != strlen(step) || str_to_int64(step, &every) < 0 ||
            every < 1)
            return false;
    }
    if (STREQ(text, "*") || STREQ(text, "?"))
        return true;
    char *dash = strchr(text, '-');
    if (dash)
        *dash++ = '\0';
    int64_t first = 0;
    int64_t last = 0;
    if (!read_value(f, text, &first) || (dash && !read_value(f, dash, &last)))
        return false;
    if (!dash)
        last = step ? f->max : first;
    return first >= f->min && last <= f->max && first <= last;
}

static const char *field_problem(struct arena *a, const struct cron_field *f, const char *text)
{
    size_t n = 0;
    char **parts = str_split(a, text, ',', &n);
    for (size_t i = 0; i < n; i++)
        if (!read_range(f, parts[i]))
            return arena_printf(a, "has a %s that is not in %lld to %lld: \"%s\"", f->name,
                                (long long)f->min, (long long)f->max, text);
    return NULL;
}

static const char *descriptor_problem(const char *text)
{
    static const char *const words[] = { "@yearly", "@annually", "@monthly", "@weekly",
                                         "@daily",  "@midnight", "@hourly" };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (STREQ(text, words[i]))
            return NULL;
    const char *every = str_skip_prefix(text, "@every ");
    int64_t ns = 0;
    if (every && str_to_duration_ns(every, &ns) == 0)
        return NULL;
    return "is no schedule; write five fields, such as \"0 2 * * 6\", or @daily";
}

/* The time zone in front of it is taken for granted: whether the pods' image knows it cannot be
 * seen from here. */
static const char *skip_zone(const char *text)
{
    if (!str_has_prefix(text, "CRON_TZ=") && !str_has_prefix(text, "TZ="))
        return text;
    const char *space = strchr(text, ' ');
    if (!space || space == strchr(text, '=') + 1)
        return NULL;
    return space + strspn(space, " ");
}

const char *cron_problem(struct arena *a, const char *schedule)
{
    const char *text = skip_zone(schedule);
    if (!text)
        return "has no schedule behind its time zone; write \"CRON_TZ=Asia/Tokyo 0 2 * * 6\"";
    if (*text == '@')
        return descriptor_problem(text);
    size_t n = 0;
    while (*text) {
        text += strspn(text, " \t\n\v\f\r");
        size_t len = strcspn(text, " \t\n\v\f\r");
        if (len == 0)
            break;
        if (n == COUNT_OF(fields))
            return "has more than five fields; write minute, hour, day of month, month and day of "
                   "week";
        const char *problem = field_problem(a, &fields[n++], arena_strndup(a, text, len));
        if (problem)
            return problem;
        text += len;
    }
    if (n < COUNT_OF(fields))
        return "has fewer than five fields; write minute, hour, day of month, month and day of "
               "week, such as \"0 2 * * 6\"";
    return NULL;
}
