/* Helpers of the JSON tests. `a` is the arena in scope. */
#pragma once

#include "unit.h"
#include "json/build.h"

/* The value of a text that must parse. */
static inline struct json *parsed(struct arena *a, const char *text)
{
    struct json *v = NULL;
    struct error *err = NULL;
    if (json_parse(a, text, strlen(text), &v, &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return v;
}
#define J(text) parsed(a, text)

#define assert_json(v, text) assert_string_equal(json_text(a, (v)), (text))
