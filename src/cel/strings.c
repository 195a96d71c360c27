/* Methods of strings. Positions count characters, not bytes. */
#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "cel/functions.h"
#include "regex/pattern.h"

#define NO_OVERLOAD "no such overload"

struct text {
    const char *s;
    size_t len;
};

static struct text text_of(const struct json *v)
{
    return (struct text){ json_string(v), json_string_len(v) };
}

/* Argument i as a string; false, with the fault, when it is none. */
static bool take(struct cel_call *c, size_t i, struct text *ret)
{
    *ret = text_of(c->args[i]);
    if (!ret->s)
        cel_fault(c, NO_OVERLOAD);
    return ret->s && cel_spend(c, ret->len / 10 + 1);
}

static bool take_two(struct cel_call *c, struct text *self, struct text *other)
{
    return take(c, 0, self) && take(c, 1, other);
}

static bool take_number(struct cel_call *c, size_t i, int64_t *ret)
{
    if (json_type(c->args[i]) != JSON_INT) {
        cel_fault(c, NO_OVERLOAD);
        return false;
    }
    *ret = json_int(c->args[i], 0);
    return true;
}

static const struct json *string(struct cel_call *c, const char *s, size_t len)
{
    return json_new_string_n(c->a, s, len);
}

static bool begins_rune(char ch)
{
    return ((unsigned char)ch & 0xc0) != 0x80;
}

static int64_t runes(struct text t)
{
    int64_t n = 0;
    for (size_t i = 0; i < t.len; i++)
        n += begins_rune(t.s[i]);
    return n;
}

/* Where the character with the number n begins; the end for the one past the last. */
static size_t offset_of(struct text t, int64_t n)
{
    size_t i = 0;
    for (; i < t.len; i++)
        if (begins_rune(t.s[i]) && n-- == 0)
            break;
    return i;
}

/* ---- questions -------------------------------------------------------------------------------------------------- */

static const struct json *contains(struct cel_call *c)
{
    struct text t, part;
    if (!take_two(c, &t, &part) || !cel_spend(c, part.len > 0 ? t.len / 10 : 0))
        return NULL;
    return json_new_bool(c->a, memmem(t.s, t.len, part.s, part.len) != NULL);
}

static const struct json *starts_with(struct cel_call *c)
{
    struct text t, part;
    if (!take_two(c, &t, &part))
        return NULL;
    return json_new_bool(c->a, part.len <= t.len && memcmp(t.s, part.s, part.len) == 0);
}

static const struct json *ends_with(struct cel_call *c)
{
    struct text t, part;
    if (!take_two(c, &t, &part))
        return NULL;
    return json_new_bool(c->a, part.len <= t.len &&
                                   memcmp(t.s + t.len - part.len, part.s, part.len) == 0);
}

/* ---- regular expressions ---------------------------------------------------------------------------------------- */

static const struct pattern *compile(struct cel_call *c, struct text pattern)
{
    const struct pattern *p = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (pattern_compile(c->a, pattern.s, &p, &err) < 0)
        cel_fault(c, "%s", error_message(err));
    return p;
}

static const struct json *matches(struct cel_call *c)
{
    struct text t, expression;
    if (!take_two(c, &t, &expression) || !cel_spend(c, t.len * (expression.len + 1) / 10))
        return NULL;
    const struct pattern *p = compile(c, expression);
    return p ? json_new_bool(c->a, pattern_matches(p, t.s, t.len)) : NULL;
}

static const struct json *find(struct cel_call *c)
{
    struct text t, expression;
    size_t from = 0, to = 0;
    if (!take_two(c, &t, &expression) || !cel_spend(c, t.len * (expression.len + 1) / 10))
        return NULL;
    const struct pattern *p = compile(c, expression);
    if (!p)
        return NULL;
    bool found = pattern_find(p, t.s, t.len, 0, &from, &to);
    return found ? string(c, t.s + from, to - from) : string(c, "", 0);
}

static const struct json *find_all(struct cel_call *c)
{
    struct text t, expression;
    int64_t most = -1;
    if (!take_two(c, &t, &expression) || (c->count > 2 && !take_number(c, 2, &most)))
        return NULL;
    const struct pattern *p = compile(c, expression);
    struct json *list = json_new_array(c->a);
    size_t from = 0, to = 0, after = (size_t)-1;
    for (size_t at = 0; p && at <= t.len && (most < 0 || (int64_t)json_size(list) < most);) {
        if (!cel_spend(c, (t.len - at) * (expression.len + 1) / 10 + 1) ||
            !pattern_find(p, t.s, t.len, at, &from, &to))
            break;
        if (to > from || from != after) /* an empty one right behind another does not count */
            json_append(list, json_new_string_n(c->a, t.s + from, to - from));
        after = to;
        at = to;
        if (to == from)
            for (at++; at < t.len && !begins_rune(t.s[at]); at++)
                ;
    }
    return c->fault ? NULL : list;
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static const struct json *char_at(struct cel_call *c)
{
    struct text t;
    int64_t n = 0;
    if (!take(c, 0, &t) || !take_number(c, 1, &n))
        return NULL;
    if (n < 0 || n > runes(t))
        return cel_fault(c, "index out of range: %lld", (long long)n);
    size_t from = offset_of(t, n), to = offset_of(t, n + 1);
    return string(c, t.s + from, to - from);
}

static const struct json *substring(struct cel_call *c)
{
    struct text t;
    int64_t from = 0;
    if (!take(c, 0, &t) || !take_number(c, 1, &from))
        return NULL;
    int64_t end = runes(t), to = end;
    if (c->count > 2 && !take_number(c, 2, &to))
        return NULL;
    if (from < 0 || from > end || to < 0 || to > end)
        return cel_fault(c, "index out of range: %lld",
                         (long long)(from < 0 || from > end ? from : to));
    if (from > to)
        return cel_fault(c, "invalid substring range. start: %lld, end: %lld", (long long)from,
                         (long long)to);
    size_t begin = offset_of(t, from);
    return string(c, t.s + begin, offset_of(t, to) - begin);
}

/* The first or the last place at or beyond which `part` stands. */
static const struct json *place(struct cel_call *c, bool last)
{
    struct text t, part;
    int64_t limit = 0;
    if (!take_two(c, &t, &part) || (c->count > 2 && !take_number(c, 2, &limit)))
        return NULL;
    int64_t length = runes(t);
    if (c->count > 2 && (limit < 0 || limit > length))
        return cel_fault(c, "index out of range: %lld", (long long)limit);
    if (!cel_spend(c, t.len / 10 * (part.len / 10 + 1)))
        return NULL;
    int64_t n = 0, found = -1;
    for (size_t i = 0; i + part.len <= t.len; i++) {
        if (i < t.len && !begins_rune(t.s[i]))
            continue;
        bool in_reach = last ? c->count <= 2 || n <= limit : n >= limit;
        if (in_reach && memcmp(t.s + i, part.s, part.len) == 0) {
            found = n;
            if (!last)
                break;
        }
        n++;
    }
    return json_new_int(c->a, found);
}

/* A place in a list, when the receiver is one. */
static const struct json *place_in_list(struct cel_call *c, bool last)
{
    int64_t n = 0, found = -1;
    if (!cel_spend(c, json_size(c->args[0])))
        return NULL;
    JSON_FOREACH(it, c->args[0]) {
        if (cel_equal(it.value, c->args[1]) && (last || found < 0))
            found = n;
        n++;
    }
    return json_new_int(c->a, found);
}

static const struct json *index_of(struct cel_call *c)
{
    return json_is_array(c->args[0]) ? place_in_list(c, false) : place(c, false);
}

static const struct json *last_index_of(struct cel_call *c)
{
    return json_is_array(c->args[0]) ? place_in_list(c, true) : place(c, true);
}

/* ---- made anew -------------------------------------------------------------------------------------------------- */

static const struct json *split(struct cel_call *c)
{
    struct text t, mark;
    int64_t most = -1;
    if (!take_two(c, &t, &mark) || (c->count > 2 && !take_number(c, 2, &most)))
        return NULL;
    struct json *list = json_new_array(c->a);
    if (!cel_spend(c, t.len) || most == 0)
        return list;
    size_t at = 0;
    while (most < 0 || (int64_t)json_size(list) + 1 < most) {
        size_t end = at, next;
        if (mark.len == 0) { /* character by character */
            if (at >= t.len)
                break;
            for (end = at + 1; end < t.len && !begins_rune(t.s[end]); end++)
                ;
            if (end >= t.len)
                break;
            next = end;
        } else {
            const char *found = memmem(t.s + at, t.len - at, mark.s, mark.len);
            if (!found)
                break;
            end = (size_t)(found - t.s);
            next = end + mark.len;
        }
        json_append(list, json_new_string_n(c->a, t.s + at, end - at));
        at = next;
    }
    if (mark.len > 0 || t.len > 0)
        json_append(list, json_new_string_n(c->a, t.s + at, t.len - at));
    return list;
}

static const struct json *join(struct cel_call *c)
{
    struct text mark = { "", 0 };
    if (!json_is_array(c->args[0]))
        return cel_fault(c, NO_OVERLOAD);
    if (c->count > 1 && !take(c, 1, &mark))
        return NULL;
    AUTO_BUF out = BUF_INIT(MIB);
    bool first = true;
    JSON_FOREACH(it, c->args[0]) {
        if (!json_is_string(it.value))
            return cel_fault(c, NO_OVERLOAD);
        if (!first)
            buf_append(&out, mark.s, mark.len);
        buf_append(&out, json_string(it.value), json_string_len(it.value));
        first = false;
    }
    if (!buf_ok(&out))
        return cel_fault(c, "the joined string is too long");
    return cel_spend(c, out.len / 10) ? string(c, buf_str(&out), out.len) : NULL;
}

static const struct json *replace(struct cel_call *c)
{
    struct text t, from, to;
    int64_t most = -1;
    if (!take_two(c, &t, &from) || !take(c, 2, &to) || (c->count > 3 && !take_number(c, 3, &most)))
        return NULL;
    AUTO_BUF out = BUF_INIT(MIB);
    for (size_t i = 0; i <= t.len;) {
        bool rune = i == t.len || begins_rune(t.s[i]);
        bool here =
            rune && most != 0 && i + from.len <= t.len && memcmp(t.s + i, from.s, from.len) == 0;
        if (here) {
            buf_append(&out, to.s, to.len);
            most -= most > 0;
            i += from.len;
        }
        if (!here || from.len == 0) {
            if (i < t.len)
                buf_putc(&out, t.s[i]);
            i++;
        }
    }
    if (!buf_ok(&out))
        return cel_fault(c, "the replaced string is too long");
    return cel_spend(c, out.len / 10) ? string(c, buf_str(&out), out.len) : NULL;
}

static const struct json *with_case(struct cel_call *c, int (*convert)(int ch))
{
    struct text t;
    if (!take(c, 0, &t))
        return NULL;
    char *out = arena_alloc(c->a, t.len + 1);
    for (size_t i = 0; i < t.len; i++)
        out[i] = (unsigned char)t.s[i] < 0x80 ? (char)convert(t.s[i]) : t.s[i];
    return string(c, out, t.len);
}

static const struct json *lower_ascii(struct cel_call *c)
{
    return with_case(c, tolower);
}

static const struct json *upper_ascii(struct cel_call *c)
{
    return with_case(c, toupper);
}

static const struct json *trim(struct cel_call *c)
{
    struct text t;
    if (!take(c, 0, &t))
        return NULL;
    while (t.len > 0 && strchr(" \t\n\v\f\r", t.s[t.len - 1]) && t.s[t.len - 1])
        t.len--;
    while (t.len > 0 && strchr(" \t\n\v\f\r", t.s[0]) && t.s[0]) {
        t.s++;
        t.len--;
    }
    return string(c, t.s, t.len);
}

static const struct cel_function_row rows[] = {
    { "contains", true, 1, 1, contains },
    { "startsWith", true, 1, 1, starts_with },
    { "endsWith", true, 1, 1, ends_with },
    { "matches", true, 1, 1, matches },
    { "find", true, 1, 1, find },
    { "findAll", true, 1, 2, find_all },
    { "charAt", true, 1, 1, char_at },
    { "substring", true, 1, 2, substring },
    { "indexOf", true, 1, 2, index_of },
    { "lastIndexOf", true, 1, 2, last_index_of },
    { "split", true, 1, 2, split },
    { "join", true, 0, 1, join },
    { "replace", true, 2, 3, replace },
    { "lowerAscii", true, 0, 0, lower_ascii },
    { "upperAscii", true, 0, 0, upper_ascii },
    { "trim", true, 0, 0, trim },
};

const struct cel_function_row *cel_string_function_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (STREQ(rows[i].name, name))
            return &rows[i];
    return NULL;
}
