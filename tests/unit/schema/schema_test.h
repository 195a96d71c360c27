/* Schemas, objects and errors as text: JSON is written with ' in the place of ". */
#pragma once

#include "base/buf.h"
#include "base/mem.h"
#include "schema/field.h"
#include "unit.h"
#include "json/json.h"

static inline struct json *from_text(struct arena *a, const char *text)
{
    char *copy = arena_strdup(a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct json *v = NULL;
    struct error *err = NULL;
    if (json_parse(a, copy, strlen(copy), &v, &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return v;
}

/* "field: message" in lines, " in the messages as '. */
static inline const char *errors_text(const struct field_errors *errors)
{
    AUTO_BUF out = BUF_INIT(MIB);
    for (size_t i = 0; i < errors->count; i++)
        buf_printf(&out, "%s%s: %s", i ? "\n" : "", errors->items[i].field,
                   errors->items[i].message);
    char *text = arena_strdup(errors->arena, buf_str(&out));
    for (char *p = text; *p; p++)
        if (*p == '"')
            *p = '\'';
    return text;
}

/* The same value, told by canonical JSON. */
static inline void assert_same_json(struct arena *a, const struct json *have, const char *want)
{
    AUTO_BUF h = BUF_INIT(MIB);
    AUTO_BUF w = BUF_INIT(MIB);
    json_write_canonical(have, &h);
    json_write_canonical(from_text(a, want), &w);
    assert_string_equal(buf_str(&h), buf_str(&w));
}
