/* A quantity is mantissa × 10^scale in 128 bits; binary suffixes are multiplied out when it is
 * read. The API server reads small ones on a fast path that keeps the text, others on a slow path
 * that does not; the difference can be seen in what it answers, so both are told apart here too
 * (`fast`). */
#include "kube/quantity.h"

#include "base/str.h"

typedef unsigned __int128 wide;

enum format { DECIMAL_SI, DECIMAL_EXPONENT, BINARY_SI };

struct quantity {
    bool negative;
    wide mantissa;
    int64_t scale;
    enum format format;
    bool keep; /* the text stands for itself */
};

#define MAX_DIGITS 36 /* 100 times such a number, which canonical text may need, still fits */
#define MAX_EXPONENT 1000000
#define NANO (-9)
#define MILLI (-3)
#define FAST_DIGITS 18

static const struct suffix {
    const char *text;
    int exponent;
    enum format format;
} suffixes[] = {
    { "n", -9, DECIMAL_SI }, { "u", -6, DECIMAL_SI }, { "m", -3, DECIMAL_SI },
    { "", 0, DECIMAL_SI },   { "k", 3, DECIMAL_SI },  { "M", 6, DECIMAL_SI },
    { "G", 9, DECIMAL_SI },  { "T", 12, DECIMAL_SI }, { "P", 15, DECIMAL_SI },
    { "E", 18, DECIMAL_SI }, { "Ki", 10, BINARY_SI }, { "Mi", 20, BINARY_SI },
    { "Gi", 30, BINARY_SI }, { "Ti", 40, BINARY_SI }, { "Pi", 50, BINARY_SI },
    { "Ei", 60, BINARY_SI },
};

/* ---- reading ------------------------------------------------------------------------------------------------ */

struct span {
    const char *s;
    size_t len;
};

/* The text in pieces: sign, digits before and after the point, suffix. */
struct pieces {
    bool negative;
    struct span whole; /* without leading zeros */
    struct span fraction;
    struct span suffix;
};

static struct span take_while(const char **at, const char *end, const char *set)
{
    struct span span = { *at, 0 };
    while (*at < end && strchr(set, **at)) {
        (*at)++;
        span.len++;
    }
    return span;
}

static int split(struct span text, struct pieces *ret, struct error **err)
{
    const char *at = text.s, *end = text.s + text.len;
    *ret = (struct pieces){ .negative = text.len > 0 && *at == '-' };
    if (text.len > 0 && (*at == '-' || *at == '+'))
        at++;
    take_while(&at, end, "0");
    ret->whole = take_while(&at, end, "0123456789");
    if (at < end && *at == '.') {
        at++;
        ret->fraction = take_while(&at, end, "0123456789");
    }
    ret->suffix.s = at;
    take_while(&at, end, "eEinumkKMGTP");
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    take_while(&at, end, "0123456789");
    ret->suffix.len = (size_t)(at - ret->suffix.s);
    if (text.len == 0 || at < end)
        return error_set(err, ERROR_INVALID,
                         "quantities must match the regular expression "
                         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    return 0;
}

static int read_suffix(struct span text, int64_t *ret_exponent, enum format *ret_format,
                       struct error **err)
{
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        if (strlen(suffixes[i].text) == text.len &&
            memcmp(suffixes[i].text, text.s, text.len) == 0) {
            *ret_exponent = suffixes[i].exponent;
            *ret_format = suffixes[i].format;
            return 0;
        }
    }
    const char *at = text.s + 1, *end = text.s + text.len;
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    int64_t exponent = 0;
    struct span digits = take_while(&at, end, "0123456789");
    for (size_t i = 0; i < digits.len && exponent <= MAX_EXPONENT; i++)
        exponent = exponent * 10 + (digits.s[i] - '0');
    if ((*text.s != 'e' && *text.s != 'E') || digits.len == 0 || at < end ||
        exponent > MAX_EXPONENT)
        return error_set(err, ERROR_INVALID, "unable to parse quantity's suffix");
    *ret_exponent = negative ? -exponent : exponent;
    *ret_format = DECIMAL_EXPONENT;
    return 0;
}

static wide append_digits(wide n, struct span digits)
{
    for (size_t i = 0; i < digits.len; i++)
        n = n * 10 + (wide)(digits.s[i] - '0');
    return n;
}

static wide power_of_ten(int64_t exponent)
{
    wide p = 1;
    for (; exponent > 0; exponent--)
        p *= 10;
    return p;
}

static int digit_count(wide n)
{
    int count = 0;
    for (; n > 0; n /= 10)
        count++;
    return count;
}

/* n / 10^exponent, away from zero. */
static wide divide_up(wide n, int64_t exponent)
{
    if (exponent > MAX_DIGITS + 2)
        return n > 0;
    wide by = power_of_ten(exponent);
    return n / by + (n % by > 0);
}

static void round_to_nano(struct quantity *q)
{
    if (q->scale >= NANO)
        return;
    q->mantissa = divide_up(q->mantissa, NANO - q->scale);
    q->scale = NANO;
}

/* (whole.fraction) × 2^exponent, in units or, when there is a fraction, in nano-units. */
static void read_binary(struct quantity *q, const struct pieces *p, int64_t exponent)
{
    struct span fraction = p->fraction;
    if (fraction.len > FAST_DIGITS)
        fraction.len =
            FAST_DIGITS; /* 18 digits and 60 bits fill the 128; the rest only rounds up */
    bool rest = false;
    for (size_t i = fraction.len; i < p->fraction.len; i++)
        rest = rest || p->fraction.s[i] != '0';

    wide limit = INT64_MAX;
    wide whole = p->whole.len > 20 ? limit + 1 : append_digits(0, p->whole);
    whole = whole > (limit >> exponent) ? limit + 1 : whole << exponent;
    wide nano = append_digits(0, fraction) << exponent;
    int64_t shift = (int64_t)fraction.len + NANO;
    if (shift > 0)
        nano = divide_up(nano, shift);
    else
        nano *= power_of_ten(-shift);
    nano += rest;

    q->scale = NANO;
    q->mantissa = whole * (wide)NS_PER_S + nano;
    if (q->mantissa > limit * (wide)NS_PER_S)
        q->mantissa = limit * (wide)NS_PER_S;
    if (q->mantissa > 0 && q->mantissa < (wide)NS_PER_S)
        q->format = DECIMAL_SI;
}

static int read_decimal(struct quantity *q, const struct pieces *p, int64_t exponent,
                        struct error **err)
{
    struct span whole = p->whole, fraction = p->fraction;
    while (fraction.len > 0 && fraction.s[fraction.len - 1] == '0')
        fraction.len--;
    for (; fraction.len == 0 && whole.len > 0 && whole.s[whole.len - 1] == '0'; whole.len--)
        exponent++;
    size_t zeros =
        0; /* behind the point, before the first other digit: they take no room when whole is 0 */
    while (whole.len == 0 && zeros < fraction.len && fraction.s[zeros] == '0')
        zeros++;
    bool too_large = (int64_t)whole.len + exponent > MAX_EXPONENT;
    if (too_large || whole.len > MAX_DIGITS || p->whole.len > MAX_DIGITS + 2)
        return error_set(err, ERROR_INVALID, "unable to parse numeric part of quantity");
    size_t room = MAX_DIGITS - whole.len + zeros;
    bool rest = fraction.len > room;
    if (rest)
        fraction.len = room;
    /* The last digit that has room lies below the nano-unit, so counting the rest as one there
     * rounds the same way. */
    q->mantissa = append_digits(append_digits(0, whole), fraction) + rest;
    q->scale = exponent - (int64_t)fraction.len;
    round_to_nano(q);
    return 0;
}

/* Whether the API server's fast path takes it, and so keeps a text that looks canonical to it. */
static bool keeps_text(const struct pieces *p, int64_t exponent, enum format format)
{
    size_t whole = MAX(p->whole.len, (size_t)1);
    if (format == BINARY_SI) {
        bool fast = p->fraction.len == 0 && 14 - (int64_t)whole - exponent * 3 / 10 >= 0;
        return fast && (append_digits(0, p->whole) & 7) != 0;
    }
    int64_t scale = exponent - (int64_t)p->fraction.len;
    if (whole + p->fraction.len > FAST_DIGITS || scale < NANO || scale % 3 != 0 ||
        p->whole.len == 0)
        return false;
    wide digits = append_digits(append_digits(0, p->whole), p->fraction);
    return digits < 1000 || digits % 1000 != 0;
}

/* Blanks only: other white space is written with a backslash in JSON, and the API server looks at
 * it before that is undone. */
static struct span trim(const char *text)
{
    struct span s = { text + strspn(text, " "), 0 };
    s.len = strlen(s.s);
    while (s.len > 0 && s.s[s.len - 1] == ' ')
        s.len--;
    return s;
}

static int quantity_read(struct span text, struct quantity *ret, struct error **err)
{
    struct pieces p;
    int r = split(text, &p, err);
    if (r < 0)
        return r;
    int64_t exponent = 0;
    struct quantity q = { .negative = p.negative };
    r = read_suffix(p.suffix, &exponent, &q.format, err);
    if (r < 0)
        return r;
    q.keep = keeps_text(&p, exponent, q.format);
    if (q.format == BINARY_SI)
        read_binary(&q, &p, exponent);
    else
        r = read_decimal(&q, &p, exponent, err);
    if (r < 0)
        return r;
    if (q.mantissa == 0)
        q.negative = false;
    *ret = q;
    return 0;
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static int64_t scaled_value(const struct quantity *q, int64_t unit)
{
    int64_t up = q->scale - unit;
    wide limit = (wide)INT64_MAX + q->negative;
    wide n;
    if (up < 0)
        n = divide_up(q->mantissa, -up);
    else if (q->mantissa > 0 && up + digit_count(q->mantissa) > 20)
        n = limit;
    else
        n = q->mantissa * power_of_ten(MIN(up, (int64_t)20));
    if (n > limit)
        n = limit;
    return q->negative ? (int64_t) - (__int128)n : (int64_t)n;
}

static int value_in(const char *text, int64_t unit, int64_t *ret, struct error **err)
{
    struct quantity q;
    int r = quantity_read(trim(text), &q, err);
    if (r < 0)
        return r;
    *ret = scaled_value(&q, unit);
    return 0;
}

int quantity_value(const char *text, int64_t *ret, struct error **err)
{
    return value_in(text, 0, ret, err);
}

int quantity_milli(const char *text, int64_t *ret, struct error **err)
{
    return value_in(text, MILLI, ret, err);
}

static int compare_magnitudes(const struct quantity *x, const struct quantity *y)
{
    if (x->mantissa == 0 || y->mantissa == 0)
        return (x->mantissa > 0) - (y->mantissa > 0);
    int64_t x_order = digit_count(x->mantissa) + x->scale;
    int64_t y_order = digit_count(y->mantissa) + y->scale;
    if (x_order != y_order)
        return x_order > y_order ? 1 : -1;
    /* Of the same order: bringing one to the other's scale gives it no more digits than the other
     * has. */
    wide m = x->mantissa, n = y->mantissa;
    if (x->scale > y->scale)
        m *= power_of_ten(x->scale - y->scale);
    else
        n *= power_of_ten(y->scale - x->scale);
    return (m > n) - (m < n);
}

int quantity_compare(const char *x, const char *y)
{
    struct quantity p = { 0 }, q = { 0 };
    quantity_read(trim(x), &p, NULL);
    quantity_read(trim(y), &q, NULL);
    if (p.negative != q.negative)
        return p.negative ? -1 : 1;
    return p.negative ? compare_magnitudes(&q, &p) : compare_magnitudes(&p, &q);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static char *wide_text(struct arena *a, bool negative, wide n, const char *suffix)
{
    char digits[48];
    char *at = digits + sizeof(digits);
    *--at = '\0';
    do {
        *--at = (char)('0' + (int)(n % 10));
        n /= 10;
    } while (n > 0);
    return arena_printf(a, "%s%s%s", negative ? "-" : "", at, suffix);
}

static const char *suffix_text(int64_t exponent, enum format format)
{
    for (size_t i = 0; i < COUNT_OF(suffixes); i++)
        if (suffixes[i].format == format && suffixes[i].exponent == exponent)
            return suffixes[i].text;
    return "";
}

static char *binary_text(struct arena *a, const struct quantity *q)
{
    wide n = q->mantissa / (wide)NS_PER_S;
    int64_t exponent = 0;
    for (; n % 1024 == 0 && exponent < 60; n /= 1024)
        exponent += 10;
    return wide_text(a, q->negative, n, exponent > 0 ? suffix_text(exponent, BINARY_SI) : "");
}

static char *decimal_text(struct arena *a, const struct quantity *q)
{
    wide n = q->mantissa;
    int64_t exponent = q->scale;
    for (; n % 10 == 0; n /= 10)
        exponent++;
    int64_t highest =
        q->format == DECIMAL_EXPONENT ? INT64_MAX : 18; /* there is no suffix above E */
    for (; (exponent % 3 != 0 || exponent > highest) && n <= power_of_ten(MAX_DIGITS + 1);
         exponent--)
        n *= 10;
    if (q->format != DECIMAL_EXPONENT)
        return wide_text(a, q->negative, n, suffix_text(exponent, DECIMAL_SI));
    return wide_text(a, q->negative, n,
                     exponent ? arena_printf(a, "e%lld", (long long)exponent) : "");
}

static char *canonical_text(struct arena *a, const struct quantity *q)
{
    if (q->mantissa == 0)
        return arena_strdup(a, "0");
    bool small = q->mantissa < (wide)1024 * (wide)NS_PER_S;
    if (q->format == BINARY_SI && !small && q->mantissa % (wide)NS_PER_S == 0)
        return binary_text(a, q);
    return decimal_text(a, q);
}

static int canonical(struct arena *a, const char *text, int64_t finest, char **ret,
                     struct error **err)
{
    struct span trimmed = trim(text);
    struct quantity q;
    int r = quantity_read(trimmed, &q, err);
    if (r < 0)
        return r;
    if (q.scale < finest) {
        q.mantissa = divide_up(q.mantissa, finest - q.scale) * power_of_ten(finest - q.scale);
        q.keep = q.keep && q.format == BINARY_SI; /* those have no fraction when they are kept */
    }
    *ret = q.keep ? arena_strndup(a, trimmed.s, trimmed.len) : canonical_text(a, &q);
    return 0;
}

int quantity_canonical(struct arena *a, const char *text, char **ret, struct error **err)
{
    return canonical(a, text, NANO, ret, err);
}

int quantity_canonical_milli(struct arena *a, const char *text, char **ret, struct error **err)
{
    return canonical(a, text, MILLI, ret, err);
}

char *quantity_from_bytes(struct arena *a, int64_t bytes)
{
    wide n = bytes < 0 ? (wide) - (__int128)bytes : (wide)bytes;
    struct quantity q = {
        .negative = bytes < 0, .mantissa = n * (wide)NS_PER_S, .scale = NANO, .format = BINARY_SI
    };
    return canonical_text(a, &q);
}
