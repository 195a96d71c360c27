/* Equality of values over a round trip through text: an integral double comes back as the integer
 * with the same digits, and minus zero without its sign. */
#pragma once

#include "json/json.h"

static inline bool same_value(const struct json *x, const struct json *y)
{
    if (json_is_number(x) && json_is_number(y))
        return json_equal(x, y) ||
               (json_double(x, 0) <= json_double(y, 0) && json_double(x, 0) >= json_double(y, 0));
    if (json_type(x) != json_type(y) || json_size(x) != json_size(y))
        return false;
    if (!json_is_object(x) && !json_is_array(x))
        return json_equal(x, y);
    struct json_iter other = json_iter(y);
    JSON_FOREACH(it, x) {
        json_next(&other);
        if (!same_value(it.value, it.key ? json_get_n(y, it.key, it.key_len) : other.value))
            return false;
    }
    return true;
}
