#include "apiserver/kinds/cells.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"

struct json *cell_age(struct arena *a, const char *rfc3339, int64_t now_wall_ns)
{
    int64_t at;
    if (str_empty(rfc3339) || time_parse_rfc3339(rfc3339, &at) < 0)
        return json_new_string(a, "<unknown>");
    /* clocks that differ by a second are no reason for alarm */
    int64_t age = now_wall_ns - at;
    if (age < -2 * NS_PER_S)
        return json_new_string(a, "<invalid>");
    char text[TIME_RFC3339_SIZE];
    time_format_age(MAX(age, (int64_t)0), text);
    return json_new_string(a, text);
}

struct json *cell_object_age(struct arena *a, const struct json *obj, int64_t now_wall_ns)
{
    return cell_age(a, json_find_str(obj, "metadata", "creationTimestamp"), now_wall_ns);
}

struct json *cell_text(struct arena *a, const char *s, const char *otherwise)
{
    return json_new_string(a, str_empty(s) ? otherwise : s);
}

struct json *cell_labels(struct arena *a, const struct json *labels)
{
    if (json_size(labels) == 0)
        return json_new_string(a, "<none>");
    struct json *sorted = json_clone(a, labels);
    json_sort_keys(sorted);
    AUTO_BUF out = BUF_INIT(MIB);
    JSON_FOREACH(it, sorted)
        buf_printf(&out, "%s%s=%s", out.len ? "," : "", it.key,
                   json_string(it.value) ? json_string(it.value) : "");
    return json_new_string(a, buf_str(&out));
}
