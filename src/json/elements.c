#include "json/elements.h"

#include <string.h>

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* p is at the opening quote. NULL: it does not end. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '"')
            return p + 1;
        if (*p == '\\')
            p++;
    }
    return NULL;
}

/* What nests, from its first bracket to the last. */
static const char *skip_nested(const char *p, const char *end)
{
    size_t depth = 0;
    while (p && p < end) {
        switch (*p) {
        case '"':
            p = skip_string(p, end);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return p + 1;
            break;
        default:
            break;
        }
        p++;
    }
    return NULL;
}

/* NULL: it does not end, or there is none. */
static const char *skip_value(const char *p, const char *end)
{
    if (p == end)
        return NULL;
    if (*p == '"')
        return skip_string(p, end);
    if (*p == '{' || *p == '[')
        return skip_nested(p, end);
    const char *from = p;
    while (p < end && !strchr(",:]} \t\n\r", *p))
        p++;
    return p > from ? p : NULL;
}

bool json_elements_find(const char *text, size_t len, const char *key, struct json_elements *ret)
{
    const char *end = text + len, *p = skip_space(text, end);
    size_t key_len = strlen(key);
    if (p == end || *p != '{')
        return false;
    do {
        const char *name = skip_space(p + 1, end);
        const char *colon = name < end && *name == '"' ? skip_string(name, end) : NULL;
        if (!colon)
            return false;
        bool same = (size_t)(colon - name) == key_len + 2 && memcmp(name + 1, key, key_len) == 0;
        p = skip_space(colon, end);
        if (p == end || *p != ':')
            return false;
        p = skip_space(p + 1, end);
        if (same && p < end && *p == '[') {
            *ret = (struct json_elements){ .at = p + 1, .end = end, .first = true };
            return true;
        }
        p = same ? NULL : skip_value(p, end);
        p = p ? skip_space(p, end) : NULL;
    } while (p && p < end && *p == ',');
    return false;
}

bool json_elements_next(struct json_elements *e, const char **ret, size_t *ret_len)
{
    const char *p = skip_space(e->at, e->end);
    bool first = e->first;
    e->first = false;
    e->at = NULL;
    if (p == e->end)
        return false;
    if (*p == ']') {
        e->at = p + 1;
        return false;
    }
    if (!first && *p != ',')
        return false;
    p = first ? p : skip_space(p + 1, e->end);
    const char *behind = skip_value(p, e->end);
    if (!behind)
        return false;
    *ret = p;
    *ret_len = (size_t)(behind - p);
    e->at = behind;
    return true;
}
