#include "json/build.h"

#include <stdarg.h>

/* Only its address matters. */
static char end_mark;
struct json *const json_end_ = (struct json *)&end_mark;

struct json *json_object_of(struct arena *a, const char *key, ...)
{
    struct json *obj = json_new_object(a);
    va_list ap;
    va_start(ap, key);
    for (; key; key = va_arg(ap, const char *)) {
        struct json *value = va_arg(ap, struct json *);
        if (value)
            json_set(a, obj, key, value);
    }
    va_end(ap);
    return obj;
}

struct json *json_array_of(struct arena *a, ...)
{
    struct json *arr = json_new_array(a);
    va_list ap;
    va_start(ap, a);
    struct json *value;
    while ((value = va_arg(ap, struct json *)) != json_end_)
        json_append(arr, value);
    va_end(ap);
    return arr;
}
