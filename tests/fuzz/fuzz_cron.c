/* A schedule that is accepted has times that match it, in order, and windows that agree with them.
 */
#include "api/cron.h"
#include "base/arena.h"
#include "fuzz.h"

#define NOW INT64_C(1767323045000000000)
#define HOUR (3600 * NS_PER_S)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    const char *text = arena_strndup(a, (const char *)data, size);
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct cron c;
    int64_t before, after, again, next;
    if (cron_parse(text, &c, &err) < 0) {
        must(*error_message(err));
        return 0;
    }
    must(c.minutes && c.hours && c.days && c.months && c.weekdays);
    bool has_before = cron_before(&c, NOW, &before), has_after = cron_after(&c, NOW, &after);
    if (has_before)
        must(before <= NOW && before % (60 * NS_PER_S) == 0);
    if (has_after) {
        must(after > NOW && cron_before(&c, after, &again) && again == after);
        must(!has_before || (cron_after(&c, before, &again) && again == after));
    }
    bool open = cron_window_open(&c, HOUR, NOW, &next);
    must(open == (has_before && NOW - before <= HOUR));
    must(next > NOW);
    return 0;
}
