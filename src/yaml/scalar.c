#include "yaml/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 400 /* characters; no longer text is taken for a number */

static const struct {
    const char *text;
    struct scalar scalar;
} words[] = {
    { "", { SCALAR_NULL } },
    { "~", { SCALAR_NULL } },
    { "null", { SCALAR_NULL } },
    { "Null", { SCALAR_NULL } },
    { "NULL", { SCALAR_NULL } },
    { "y", { SCALAR_BOOL, .boolean = true } },
    { "Y", { SCALAR_BOOL, .boolean = true } },
    { "yes", { SCALAR_BOOL, .boolean = true } },
    { "Yes", { SCALAR_BOOL, .boolean = true } },
    { "YES", { SCALAR_BOOL, .boolean = true } },
    { "true", { SCALAR_BOOL, .boolean = true } },
    { "True", { SCALAR_BOOL, .boolean = true } },
    { "TRUE", { SCALAR_BOOL, .boolean = true } },
    { "on", { SCALAR_BOOL, .boolean = true } },
    { "On", { SCALAR_BOOL, .boolean = true } },
    { "ON", { SCALAR_BOOL, .boolean = true } },
    { "n", { SCALAR_BOOL } },
    { "N", { SCALAR_BOOL } },
    { "no", { SCALAR_BOOL } },
    { "No", { SCALAR_BOOL } },
    { "NO", { SCALAR_BOOL } },
    { "false", { SCALAR_BOOL } },
    { "False", { SCALAR_BOOL } },
    { "FALSE", { SCALAR_BOOL } },
    { "off", { SCALAR_BOOL } },
    { "Off", { SCALAR_BOOL } },
    { "OFF", { SCALAR_BOOL } },
    { ".nan", { SCALAR_NOT_FINITE, .number = NAN } },
    { ".NaN", { SCALAR_NOT_FINITE, .number = NAN } },
    { ".NAN", { SCALAR_NOT_FINITE, .number = NAN } },
    { ".inf", { SCALAR_NOT_FINITE, .number = INFINITY } },
    { ".Inf", { SCALAR_NOT_FINITE, .number = INFINITY } },
    { ".INF", { SCALAR_NOT_FINITE, .number = INFINITY } },
    { "+.inf", { SCALAR_NOT_FINITE, .number = INFINITY } },
    { "+.Inf", { SCALAR_NOT_FINITE, .number = INFINITY } },
    { "+.INF", { SCALAR_NOT_FINITE, .number = INFINITY } },
    { "-.inf", { SCALAR_NOT_FINITE, .number = -INFINITY } },
    { "-.Inf", { SCALAR_NOT_FINITE, .number = -INFINITY } },
    { "-.INF", { SCALAR_NOT_FINITE, .number = -INFINITY } },
    { "<<", { SCALAR_MERGE } },
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(const char *s)
{
    size_t n = 0;
    while (is_digit(s[n]))
        n++;
    return n;
}

/* "2026-1-2", alone or with a time behind it. */
static bool looks_like_date(const char *s)
{
    if (count_digits(s) != 4 || s[4] != '-')
        return false;
    s += 5;
    size_t month = count_digits(s);
    if (month < 1 || month > 2 || s[month] != '-')
        return false;
    s += month + 1;
    size_t day = count_digits(s);
    if (day < 1 || day > 2)
        return false;
    s += day;
    return *s == '\0' || ((*s == 'T' || *s == 't' || *s == ' ') && is_digit(s[1]));
}

/* "12:30:45.5", a number to the base 60 in YAML 1.1. */
static bool looks_like_time(const char *s)
{
    if (*s == '-' || *s == '+')
        s++;
    if (!is_digit(*s))
        return false;
    s += strspn(s, "0123456789_");
    if (*s != ':')
        return false;
    while (*s == ':') {
        size_t digits = count_digits(s + 1);
        if (digits < 1 || digits > 2 || (digits == 2 && s[1] > '5'))
            return false;
        s += 1 + digits;
    }
    if (*s == '.')
        s += 1 + strspn(s + 1, "0123456789_");
    return *s == '\0';
}

static int digit_of(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

/* The whole text as an integer literal: 0x, 0o, 0b, a leading 0 for octal, else decimal. */
static bool take_integer(const char *s, bool *ret_negative, uint64_t *ret_magnitude)
{
    *ret_negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    int base = 10;
    if (s[0] == '0' && s[1] != '\0') {
        char c = (char)(s[1] | 0x20);
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
    }
    if (*s == '\0')
        return false;
    uint64_t n = 0;
    for (; *s; s++) {
        int digit = digit_of(*s);
        if (digit >= base || __builtin_mul_overflow(n, (uint64_t)base, &n) ||
            __builtin_add_overflow(n, (uint64_t)digit, &n))
            return false;
    }
    *ret_magnitude = n;
    return true;
}

static bool is_float_text(const char *s)
{
    if (*s == '-' || *s == '+')
        s++;
    size_t whole = count_digits(s), fraction = 0;
    s += whole;
    if (*s == '.') {
        s++;
        fraction = count_digits(s);
        s += fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '-' || *s == '+')
            s++;
        size_t exponent = count_digits(s);
        if (exponent == 0)
            return false;
        s += exponent;
    }
    return *s == '\0';
}

static struct scalar number_of(const char *s)
{
    bool negative;
    uint64_t magnitude;
    if (take_integer(s, &negative, &magnitude)) {
        if (magnitude <= (uint64_t)INT64_MAX + (negative ? 1 : 0))
            return (struct scalar){ SCALAR_INT,
                                    .integer = (int64_t)(negative ? 0 - magnitude : magnitude) };
        if (!negative)
            return (struct scalar){ SCALAR_FLOAT, .number = (double)magnitude };
    }
    if (is_float_text(s)) {
        double d = strtod(s, NULL);
        if (isfinite(d))
            return (struct scalar){ SCALAR_FLOAT, .number = d };
    }
    return (struct scalar){ SCALAR_STRING };
}

struct scalar scalar_resolve(const char *s, size_t len)
{
    const struct scalar string = { SCALAR_STRING };
    if (len > NUMBER_MAX || memchr(s, '\0', len))
        return string;
    char text[NUMBER_MAX + 1];
    memcpy(text, s, len);
    text[len] = '\0';

    if (len <= 5)
        for (size_t i = 0; i < COUNT_OF(words); i++)
            if (strcmp(words[i].text, text) == 0)
                return words[i].scalar;
    if (text[0] == '.')
        return number_of(text);
    if (!is_digit(text[0]) && text[0] != '-' && text[0] != '+')
        return string;
    if (looks_like_date(text) || looks_like_time(text))
        return (struct scalar){ SCALAR_AMBIGUOUS };
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != '_')
            *to++ = *from;
    *to = '\0';
    return number_of(text);
}
