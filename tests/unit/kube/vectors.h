/* Files of test vectors: lines of fields that tabs part. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/str.h"
#include "unit.h"
#include "json/json.h"

static inline char **vector_lines(struct arena *a, const char *path)
{
    char *text = NULL;
    size_t len;
    assert_int_equal(file_read(path, MIB, &text, &len, NULL), 0);
    char *copy = arena_strndup(a, text, len);
    free(text);
    return str_split(a, copy, '\n', NULL);
}

/* A field that is a JSON string. */
static inline const char *vector_string(struct arena *a, const char *field)
{
    struct json *v = NULL;
    assert_int_equal(json_parse(a, field, strlen(field), &v, NULL), 0);
    return json_string(v);
}
