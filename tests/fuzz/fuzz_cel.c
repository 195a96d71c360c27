/* An expression that compiles is evaluated the same each time, within its bounds; a pattern finds a match
 * exactly where it matches. Input: an expression, a line feed, the value of self as JSON. */
#include "fuzz.h"

#include <string.h>

#include "cel/cel.h"
#include "regex/pattern.h"

static const char *outcome(struct arena *a, const struct cel_program *p, const struct json *self)
{
    const struct json *v = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (cel_eval(a, p, self, self, &v, &err) < 0)
        return arena_strdup(a, error_message(err));
    return json_text(a, v);
}

static void check_pattern(struct arena *a, const char *pattern, const char *text)
{
    const struct pattern *p = NULL;
    if (strlen(pattern) > 200 || strlen(text) > 2000 || pattern_compile(a, pattern, &p, NULL) < 0)
        return;
    size_t from = 0, to = 0, len = strlen(text);
    bool found = pattern_find(p, text, len, 0, &from, &to);
    must(found == pattern_matches(p, text, len));
    must(!found || (from <= to && to <= len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    char *text = arena_strndup(a, (const char *)data, size);
    char *rest = strchr(text, '\n');
    if (rest)
        *rest++ = '\0';
    const char *value = rest ? rest : "";
    check_pattern(a, text, value);

    struct json *self = NULL;
    if (json_parse(a, value, strlen(value), &self, NULL) < 0)
        self = json_new_object(a);
    const struct cel_program *p = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (cel_compile(a, text, NULL, &p, &err) < 0) {
        must(*error_message(err));
        return 0;
    }
    must(strcmp(outcome(a, p, self), outcome(a, p, self)) == 0);
    return 0;
}
