/* Values to YAML in the form that kubectl prints: block style, sequences at the indentation of
 * their key, keys in natural order, each string in the plainest style that reads back as the same
 * string. */
#include "yaml/yaml.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "yaml/scalar.h"

#define STEP 2             /* columns per level */
#define SIMPLE_KEY_MAX 128 /* longer keys are written with a question mark in front */

/* ---- styles ------------------------------------------------------------------------------------------------------- */

/* Reads one character of valid UTF-8. */
static uint32_t take_char(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    int more = p[0] < 0x80 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
    uint32_t c = more == 0 ? p[0] : p[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++)
        c = c << 6 | (p[i] & 0x3f);
    *s += more + 1;
    return c;
}

/* Must be escaped: control characters, line breaks of other systems, byte order marks, and what
 * lies outside the basic plane (kubectl escapes it too). */
static bool is_special(uint32_t c)
{
    return (c < 0x20 && c != '\n') || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 ||
           c == 0xfeff || c >= 0xfffe;
}

struct traits {
    bool special;
    bool line_breaks;
    bool edge_space; /* at either end */
    bool trailing_space;
    bool space_break; /* a space in front of a line break: invisible, so better escaped */
    bool indicator;   /* something that plain style would not read as text */
};

static bool starts_like_syntax(const char *s, size_t len)
{
    bool alone = len == 1 || s[1] == ' ' || s[1] == '\n';
    if (strchr("#,[]{}&*!|>'\"%@`", s[0]))
        return true;
    if (strchr("-?:", s[0]) && alone)
        return true;
    return strncmp(s, "---", 3) == 0 || strncmp(s, "...", 3) == 0;
}

static struct traits traits_of(const char *s, size_t len)
{
    struct traits t = { 0 };
    if (len == 0)
        return t;
    const char *end = s + len;
    t.indicator = starts_like_syntax(s, len);
    t.trailing_space = end[-1] == ' ';
    t.edge_space = s[0] == ' ' || t.trailing_space;
    uint32_t before = 0;
    for (const char *p = s; p < end;) {
        uint32_t c = take_char(&p);
        t.special = t.special || is_special(c);
        if (c == '\n') {
            t.line_breaks = true;
            t.space_break = t.space_break || before == ' ';
        }
        bool space_follows = p == end || *p == ' ' || *p == '\n';
        if ((c == ':' && space_follows) || (c == '#' && (before == ' ' || before == '\n')))
            t.indicator = true;
        before = c;
    }
    return t;
}

/* ---- scalars ------------------------------------------------------------------------------------------------------ */

static void put_indent(struct buf *out, size_t columns)
{
    static const char spaces[] = "                                ";
    for (; columns >= sizeof spaces; columns -= sizeof spaces - 1)
        buf_append(out, spaces, sizeof spaces - 1);
    buf_append(out, spaces, columns);
}

static void put_single_quoted(struct buf *out, const char *s, size_t len)
{
    buf_putc(out, '\'');
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\'')
            buf_putc(out, '\'');
        buf_putc(out, s[i]);
    }
    buf_putc(out, '\'');
}

static void put_escaped_char(struct buf *out, uint32_t c)
{
    static const struct {
        uint32_t c;
        char name;
    } named[] = { { '\0', '0' },  { '\a', 'a' }, { '\b', 'b' },   { '\t', 't' },  { '\n', 'n' },
                  { '\v', 'v' },  { '\f', 'f' }, { '\r', 'r' },   { 27, 'e' },    { '"', '"' },
                  { '\\', '\\' }, { 0x85, 'N' }, { 0x2028, 'L' }, { 0x2029, 'P' } };
    for (size_t i = 0; i < COUNT_OF(named); i++) {
        if (c == named[i].c) {
            buf_printf(out, "\\%c", named[i].name);
            return;
        }
    }
    if (c <= 0xff)
        buf_printf(out, "\\x%02X", (unsigned)c);
    else if (c <= 0xffff)
        buf_printf(out, "\\u%04X", (unsigned)c);
    else
        buf_printf(out, "\\U%08X", (unsigned)c);
}

static void put_double_quoted(struct buf *out, const char *s, size_t len)
{
    const char *end = s + len;
    buf_putc(out, '"');
    while (s < end) {
        const char *start = s;
        uint32_t c = take_char(&s);
        if (is_special(c) || c == '\n' || c == '"' || c == '\\')
            put_escaped_char(out, c);
        else
            buf_append(out, start, (size_t)(s - start));
    }
    buf_putc(out, '"');
}

/* The text line by line under a bar. `columns` is the indentation of its lines. */
static void put_literal(struct buf *out, const char *s, size_t len, size_t columns)
{
    buf_putc(out, '|');
    if (s[0] == ' ' || s[0] == '\n') /* the indentation cannot be seen from the first line */
        buf_printf(out, "%d", STEP);
    if (s[len - 1] != '\n')
        buf_putc(out, '-');
    else if (len == 1 || s[len - 2] == '\n')
        buf_putc(out, '+');
    const char *end = s + len;
    while (s < end) {
        const char *line_end = memchr(s, '\n', (size_t)(end - s));
        if (!line_end)
            line_end = end;
        buf_putc(out, '\n');
        if (line_end > s) {
            put_indent(out, columns);
            buf_append(out, s, (size_t)(line_end - s));
        }
        s = line_end + 1;
    }
}

/* `columns`: the indentation that lines of a literal get. Keys are never literals. */
static void put_string(struct buf *out, const char *s, size_t len, size_t columns, bool key)
{
    struct traits t = traits_of(s, len);
    bool meant_otherwise = scalar_resolve(s, len).kind != SCALAR_STRING;
    if (t.line_breaks && !key && !t.special && !t.trailing_space && !t.space_break)
        put_literal(out, s, len, columns);
    else if (meant_otherwise || t.special || t.line_breaks)
        put_double_quoted(out, s, len);
    else if (t.indicator || t.edge_space)
        put_single_quoted(out, s, len);
    else
        buf_append(out, s, len);
}

/* ---- order of keys ------------------------------------------------------------------------------------------------ */

struct member {
    const char *key;
    size_t len;
    const struct json *value;
};

static bool is_digit(const char *s, size_t len, size_t i)
{
    return i < len && s[i] >= '0' && s[i] <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

/* Where two digit runs begin to differ, the longer one (without the zeros in front) is the larger
 * number; of equal length, the first digit decides. */
static int compare_digits(const struct member *x, const struct member *y, size_t i)
{
    bool inside = false; /* a digit other than zero before: zeros here count */
    for (size_t j = i; j > 0 && is_digit(x->key, x->len, j - 1); j--)
        inside = inside || x->key[j - 1] != '0';
    size_t x_at = i, y_at = i;
    if (!inside) {
        while (is_digit(x->key, x->len, x_at) && x->key[x_at] == '0')
            x_at++;
        while (is_digit(y->key, y->len, y_at) && y->key[y_at] == '0')
            y_at++;
    }
    size_t x_end = x_at, y_end = y_at;
    while (is_digit(x->key, x->len, x_end))
        x_end++;
    while (is_digit(y->key, y->len, y_end))
        y_end++;
    if (x_end - x_at != y_end - y_at)
        return x_end - x_at < y_end - y_at ? -1 : 1;
    int order = memcmp(x->key + x_at, y->key + y_at, x_end - x_at);
    if (order != 0)
        return order;
    return x_end != y_end ? (x_end < y_end ? -1 : 1) : 0;
}

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    size_t i = 0, common = MIN(x->len, y->len);
    while (i < common && x->key[i] == y->key[i])
        i++;
    if (i == common)
        return x->len < y->len ? -1 : x->len > y->len;
    char cx = x->key[i], cy = y->key[i];
    if (is_letter(cx) != is_letter(cy))
        return is_letter(cy) ? -1 : 1;
    int order = is_letter(cx) ? 0 : compare_digits(x, y, i);
    return order != 0 ? order : (int)(unsigned char)cx - (int)(unsigned char)cy;
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static void put_value(struct buf *out, const struct json *v, size_t columns);

/* The value behind "key:". */
static void put_member_value(struct buf *out, const struct json *v, size_t columns)
{
    if (json_size(v) == 0) {
        buf_putc(out, ' ');
        put_value(out, v, columns + STEP);
    } else {
        buf_putc(out, '\n');
        size_t below = json_is_array(v) ? columns : columns + STEP;
        put_indent(out, below);
        put_value(out, v, below);
    }
}

static void put_object(struct buf *out, const struct json *obj, size_t columns)
{
    size_t n = json_size(obj), i = 0;
    AUTO_FREE struct member *members = mem_array(NULL, n, sizeof *members);
    JSON_FOREACH(it, obj)
        members[i++] = (struct member){ it.key, it.key_len, it.value };
    qsort(members, n, sizeof *members, compare_members);
    for (i = 0; i < n; i++) {
        const struct member *m = &members[i];
        if (i > 0) {
            buf_putc(out, '\n');
            put_indent(out, columns);
        }
        if (m->len > SIMPLE_KEY_MAX) {
            buf_puts(out, "? ");
            put_string(out, m->key, m->len, columns + STEP, true);
            buf_putc(out, '\n');
            put_indent(out, columns);
        } else {
            put_string(out, m->key, m->len, columns + STEP, true);
        }
        buf_putc(out, ':');
        put_member_value(out, m->value, columns);
    }
}

static void put_array(struct buf *out, const struct json *arr, size_t columns)
{
    JSON_FOREACH(it, arr) {
        if (it.index > 0) {
            buf_putc(out, '\n');
            put_indent(out, columns);
        }
        buf_puts(out, "- ");
        put_value(out, it.value, columns + STEP);
    }
}

/* The first line goes where the cursor is; the others are indented by `columns`. No line break at
 * the end. */
static void put_value(struct buf *out, const struct json *v, size_t columns)
{
    switch (json_type(v)) {
    case JSON_OBJECT:
        if (json_size(v) > 0)
            put_object(out, v, columns);
        else
            buf_puts(out, "{}");
        break;
    case JSON_ARRAY:
        if (json_size(v) > 0)
            put_array(out, v, columns);
        else
            buf_puts(out, "[]");
        break;
    case JSON_STRING:
        put_string(out, json_string(v), json_string_len(v), columns, false);
        break;
    default:
        json_write(v, out);
        break;
    }
}

void yaml_write(const struct json *v, struct buf *out)
{
    put_value(out, v, json_is_string(v) ? STEP : 0);
    buf_putc(out, '\n');
}
