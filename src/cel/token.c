#include "cel/token.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"

static struct token make(struct lexer *l, enum token_kind kind, const char *from, const char *name)
{
    return (struct token){ .kind = kind, .column = (int)(from - l->text) + 1, .name = name };
}

static struct token fault(struct lexer *l, const char *from, const char *what)
{
    return make(l, TOKEN_FAULT, from, what);
}

static struct token literal(struct lexer *l, const char *from, const struct json *value)
{
    struct token t = make(l, TOKEN_LITERAL, from, NULL);
    t.literal = value;
    return t;
}

static void skip_blanks(struct lexer *l)
{
    for (;;) {
        while (*l->at && strchr(" \t\r\n\f", *l->at))
            l->at++;
        if (l->at[0] != '/' || l->at[1] != '/')
            return;
        l->at += strcspn(l->at, "\n");
    }
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static struct token take_integer(struct lexer *l, const char *from, const char *end, int base)
{
    char *stop = NULL;
    errno = 0;
    unsigned long long n = strtoull(base == 16 ? from + 2 : from, &stop, base);
    if (errno != 0 || stop != end || n > INT64_MAX)
        return fault(l, from, "invalid int literal");
    l->at = end;
    if (*l->at == 'u' || *l->at == 'U')
        l->at++;
    return literal(l, from, json_new_int(l->a, (int64_t)n));
}

static struct token take_number(struct lexer *l)
{
    const char *from = l->at, *p = from;
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        for (p += 2; isxdigit((unsigned char)*p); p++)
            ;
        return p == from + 2 ? fault(l, from, "invalid int literal") : take_integer(l, from, p, 16);
    }
    bool whole = true;
    while (isdigit((unsigned char)*p))
        p++;
    if (*p == '.' && isdigit((unsigned char)p[1])) {
        whole = false;
        for (p++; isdigit((unsigned char)*p); p++)
            ;
    }
    if (*p == 'e' || *p == 'E') {
        const char *e = p + 1;
        e += *e == '+' || *e == '-';
        if (isdigit((unsigned char)*e)) {
            whole = false;
            for (p = e; isdigit((unsigned char)*p); p++)
                ;
        }
    }
    if (whole)
        return take_integer(l, from, p, 10);
    double d = 0;
    if (str_to_double(arena_strndup(l->a, from, (size_t)(p - from)), &d) < 0)
        return fault(l, from, "invalid double literal");
    l->at = p;
    return literal(l, from, json_new_double(l->a, d));
}

/* ---- strings ---------------------------------------------------------------------------------------------------- */

static void put_rune(struct buf *out, uint32_t r)
{
    if (r < 0x80) {
        buf_putc(out, (char)r);
    } else if (r < 0x800) {
        buf_putc(out, (char)(0xc0 | r >> 6));
        buf_putc(out, (char)(0x80 | (r & 0x3f)));
    } else if (r < 0x10000) {
        buf_putc(out, (char)(0xe0 | r >> 12));
        buf_putc(out, (char)(0x80 | (r >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (r & 0x3f)));
    } else {
        buf_putc(out, (char)(0xf0 | r >> 18));
        buf_putc(out, (char)(0x80 | (r >> 12 & 0x3f)));
        buf_putc(out, (char)(0x80 | (r >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (r & 0x3f)));
    }
}

/* `digits` of the base given, into a character. */
static bool take_code(const char **p, int digits, int base, struct buf *out)
{
    uint32_t r = 0;
    for (int i = 0; i < digits; i++, ++*p) {
        int c = tolower((unsigned char)**p);
        int value = isdigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
        if (value >= base)
            return false;
        r = r * (uint32_t)base + (uint32_t)value;
        if (r > 0x10ffff)
            return false;
    }
    if (r == 0 || (r >= 0xd800 && r < 0xe000))
        return false;
    put_rune(out, r);
    return true;
}

/* What stands behind a backslash. */
static bool take_escape(const char **p, struct buf *out)
{
    static const char plain[] = "abfnrtv\\'\"`?", meant[] = "\a\b\f\n\r\t\v\\'\"`?";
    const char *found = **p ? strchr(plain, **p) : NULL;
    if (found) {
        buf_putc(out, meant[found - plain]);
        ++*p;
        return true;
    }
    char c = *(*p)++;
    switch (c) {
    case 'x':
    case 'X':
        return take_code(p, 2, 16, out);
    case 'u':
        return take_code(p, 4, 16, out);
    case 'U':
        return take_code(p, 8, 16, out);
    default:
        --*p;
        return c >= '0' && c <= '3' && take_code(p, 3, 8, out);
    }
}

static struct token take_string(struct lexer *l, const char *from, bool raw)
{
    char quote = *l->at;
    const char three[] = { quote, quote, quote, '\0' };
    bool triple = str_has_prefix(l->at, three);
    const char *p = l->at + (triple ? 3 : 1);
    AUTO_BUF out = BUF_INIT(64 * KIB);
    for (;;) {
        if (!*p || (!triple && *p == '\n'))
            return fault(l, from, "string without an end");
        if (triple ? str_has_prefix(p, three) : *p == quote)
            break;
        if (*p != '\\' || raw) {
            buf_putc(&out, *p++);
            continue;
        }
        p++;
        if (!take_escape(&p, &out))
            return fault(l, from, "invalid escape in a string");
    }
    l->at = p + (triple ? 3 : 1);
    if (!buf_ok(&out))
        return fault(l, from, "string too long");
    return literal(l, from, json_new_string_n(l->a, out.data ? out.data : "", out.len));
}

/* A quote, or the letters r, b before it. */
static bool at_string(const char *p, bool *ret_raw, bool *ret_bytes, size_t *ret_skip)
{
    *ret_raw = *ret_bytes = false;
    size_t n = 0;
    for (; n < 2 && p[n] && strchr("rRbB", p[n]); n++) {
        *ret_raw |= tolower((unsigned char)p[n]) == 'r';
        *ret_bytes |= tolower((unsigned char)p[n]) == 'b';
    }
    *ret_skip = n;
    return p[n] == '"' || p[n] == '\'';
}

/* ---- names and signs -------------------------------------------------------------------------------------------- */

static struct token take_name(struct lexer *l)
{
    const char *from = l->at;
    while (isalnum((unsigned char)*l->at) || *l->at == '_')
        l->at++;
    const char *name = arena_strndup(l->a, from, (size_t)(l->at - from));
    if (STREQ(name, "true") || STREQ(name, "false"))
        return literal(l, from, json_new_bool(l->a, name[0] == 't'));
    if (STREQ(name, "null"))
        return literal(l, from, NULL);
    if (STREQ(name, "in"))
        return make(l, TOKEN_PUNCTUATION, from, name);
    return make(l, TOKEN_NAME, from, name);
}

struct token lexer_next(struct lexer *l)
{
    static const char *const signs[] = { "&&", "||", "<=", ">=", "==", "!=", "<", ">",
                                         "!",  "+",  "-",  "*",  "/",  "%",  "?", ":",
                                         ".",  ",",  "(",  ")",  "[",  "]",  "{", "}" };
    skip_blanks(l);
    const char *from = l->at;
    bool raw, bytes;
    size_t skip;
    if (!*from)
        return make(l, TOKEN_END, from, "end of the expression");
    if (at_string(from, &raw, &bytes, &skip)) {
        if (bytes)
            return fault(l, from, "bytes are not supported");
        l->at += skip;
        return take_string(l, from, raw);
    }
    if (isdigit((unsigned char)*from) || (*from == '.' && isdigit((unsigned char)from[1])))
        return take_number(l);
    if (isalpha((unsigned char)*from) || *from == '_')
        return take_name(l);
    for (size_t i = 0; i < COUNT_OF(signs); i++)
        if (str_has_prefix(from, signs[i])) {
            l->at += strlen(signs[i]);
            return make(l, TOKEN_PUNCTUATION, from, signs[i]);
        }
    return fault(l, from, "unexpected character");
}
