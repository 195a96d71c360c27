#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

const char *str_skip_prefix(const char *s, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(s, prefix, len) == 0 ? s + len : NULL;
}

bool str_has_prefix(const char *s, const char *prefix)
{
    return str_skip_prefix(s, prefix) != NULL;
}

bool str_has_suffix(const char *s, const char *suffix)
{
    size_t len = strlen(s), suffix_len = strlen(suffix);
    return len >= suffix_len && memcmp(s + len - suffix_len, suffix, suffix_len) == 0;
}

bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

const char *str_or_empty(const char *s)
{
    return s ? s : "";
}

bool str_empty(const char *s)
{
    return !s || *s == '\0';
}

bool str_case_eq(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

char *str_lower(struct arena *a, const char *s)
{
    char *copy = arena_strdup(a, s);
    for (char *p = copy; p && *p; p++)
        *p = lower(*p);
    return copy;
}

char *str_trim(struct arena *a, const char *s)
{
    while (is_space(*s))
        s++;
    size_t len = strlen(s);
    while (len > 0 && is_space(s[len - 1]))
        len--;
    return arena_strndup(a, s, len);
}

char *str_replace(struct arena *a, const char *s, const char *from, const char *to)
{
    size_t from_len = strlen(from), to_len = strlen(to);
    if (from_len == 0)
        return arena_strdup(a, s);
    size_t hits = 0;
    for (const char *p = s; (p = strstr(p, from)); p += from_len)
        hits++;
    char *result = arena_alloc(a, strlen(s) - hits * from_len + hits * to_len + 1);
    char *out = result;
    for (const char *hit; (hit = strstr(s, from)); s = hit + from_len) {
        out = mempcpy(out, s, (size_t)(hit - s));
        out = mempcpy(out, to, to_len);
    }
    memcpy(out, s, strlen(s) + 1);
    return result;
}

char *str_shell_word(struct arena *a, const char *s)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "%+,-./:=@_";
    if (s[0] && s[strspn(s, safe)] == '\0')
        return arena_strdup(a, s);
    return arena_printf(a, "'%s'", str_replace(a, s, "'", "'\\''"));
}

int str_to_uint64(const char *s, uint64_t *ret)
{
    if (str_empty(s))
        return -ERROR_INVALID;
    uint64_t value = 0;
    for (; *s; s++) {
        if (!is_digit(*s) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
            return -ERROR_INVALID;
    }
    *ret = value;
    return 0;
}

int str_to_int64(const char *s, int64_t *ret)
{
    if (str_empty(s))
        return -ERROR_INVALID;
    bool negative = *s == '-';
    uint64_t magnitude;
    if (str_to_uint64(s + (*s == '-' || *s == '+'), &magnitude) < 0)
        return -ERROR_INVALID;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return -ERROR_INVALID;
    *ret = (int64_t)(negative ? 0 - magnitude : magnitude);
    return 0;
}

int str_to_double(const char *s, double *ret)
{
    if (str_empty(s))
        return -ERROR_INVALID;
    /* strtod also takes white space, hexadecimal and the names of infinity. */
    for (const char *p = s; *p; p++)
        if (!is_digit(*p) && !strchr("+-.eE", *p))
            return -ERROR_INVALID;
    char *end;
    double value = strtod(s, &end);
    if (*end != '\0' || end == s || !isfinite(value))
        return -ERROR_INVALID;
    *ret = value;
    return 0;
}

char **str_split(struct arena *a, const char *s, char sep, size_t *ret_n)
{
    size_t n = 1;
    for (const char *p = s; *p; p++)
        n += *p == sep;
    char **parts = arena_alloc(a, (n + 1) * sizeof *parts);
    for (size_t i = 0; i < n; i++) {
        const char *end = strchrnul(s, sep);
        parts[i] = arena_strndup(a, s, (size_t)(end - s));
        s = end + 1;
    }
    parts[n] = NULL;
    if (ret_n)
        *ret_n = n;
    return parts;
}

char *str_join(struct arena *a, char *const *parts, size_t n, const char *sep)
{
    size_t sep_len = strlen(sep), total = 1;
    for (size_t i = 0; i < n; i++)
        total += strlen(parts[i]) + (i > 0 ? sep_len : 0);
    char *result = arena_alloc(a, total);
    char *out = result;
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            out = mempcpy(out, sep, sep_len);
        out = mempcpy(out, parts[i], strlen(parts[i]));
    }
    *out = '\0';
    return result;
}

/* ---- durations -------------------------------------------------------------------------------------------------- */

static const char *take_unit(const char *s, uint64_t *ret_ns)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        { "ns", 1 },
        { "us", 1000 },
        { "\u00b5s", 1000 }, /* micro sign */
        { "\u03bcs", 1000 }, /* Greek mu */
        { "ms", 1000 * 1000 },
        { "s", UINT64_C(1000000000) },
        { "m", 60 * UINT64_C(1000000000) },
        { "h", 3600 * UINT64_C(1000000000) },
    };
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        const char *rest = str_skip_prefix(s, units[i].name);
        if (rest) {
            *ret_ns = units[i].ns;
            return rest;
        }
    }
    return NULL;
}

/* One "12.5h". Fractions are cut at nanoseconds. */
static const char *take_duration_part(const char *s, uint64_t *ret_ns)
{
    uint64_t whole = 0, fraction = 0, scale = 1;
    bool digits = false;
    for (; is_digit(*s); s++, digits = true)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*s - '0'), &whole))
            return NULL;
    if (*s == '.') {
        s++;
        for (; is_digit(*s); s++, digits = true) {
            if (scale >= UINT64_C(100000000000000)) /* finer than a nanosecond of an hour */
                continue;
            fraction = fraction * 10 + (uint64_t)(*s - '0');
            scale *= 10;
        }
    }
    uint64_t unit;
    if (!digits || !(s = take_unit(s, &unit)))
        return NULL;
    uint64_t ns;
    if (__builtin_mul_overflow(whole, unit, &ns))
        return NULL;
    ns += (uint64_t)((unsigned __int128)fraction * unit / scale);
    *ret_ns = ns;
    return s;
}

int str_to_duration_ns(const char *s, int64_t *ret)
{
    if (str_empty(s))
        return -ERROR_INVALID;
    bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (strcmp(s, "0") == 0) {
        *ret = 0;
        return 0;
    }
    if (*s == '\0')
        return -ERROR_INVALID;
    uint64_t total = 0;
    while (*s) {
        uint64_t part;
        s = take_duration_part(s, &part);
        if (!s || __builtin_add_overflow(total, part, &total) || total > INT64_MAX)
            return -ERROR_INVALID;
    }
    *ret = negative ? -(int64_t)total : (int64_t)total;
    return 0;
}

/* ---- UTF-8 -------------------------------------------------------------------------------------------------------- */

/* Length of the valid sequence at s, which has at least one byte; 0 when there is none (RFC 3629:
 * no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t utf8_sequence(const unsigned char *s, size_t len)
{
    unsigned char c = s[0];
    if (c < 0x80)
        return 1;
    size_t need;
    unsigned char low = 0x80, high = 0xbf; /* what the second byte may be */
    if (c >= 0xc2 && c <= 0xdf) {
        need = 2;
    } else if (c >= 0xe0 && c <= 0xef) {
        need = 3;
        if (c == 0xe0)
            low = 0xa0;
        if (c == 0xed)
            high = 0x9f;
    } else if (c >= 0xf0 && c <= 0xf4) {
        need = 4;
        if (c == 0xf0)
            low = 0x90;
        if (c == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }
    if (len < need || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

size_t str_utf8_valid_len(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t at = 0;
    while (at < len) {
        if (len - at >= 8) {
            uint64_t word;
            memcpy(&word, p + at, 8);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += 8;
                continue;
            }
        }
        size_t n = utf8_sequence(p + at, len - at);
        if (n == 0)
            return at;
        at += n;
    }
    return at;
}

/* ---- near names --------------------------------------------------------------------------------------------------- */

size_t str_distance(const char *a, const char *b, size_t bound)
{
    size_t len_a = strlen(a), len_b = strlen(b);
    if (len_a > len_b) {
        const char *s = a;
        a = b;
        b = s;
        size_t n = len_a;
        len_a = len_b;
        len_b = n;
    }
    if (len_b - len_a > bound)
        return bound + 1;
    /* One row of the usual table, row[i] = distance between the first i of a and the first j of b.
     */
    AUTO_FREE size_t *row = mem_array(NULL, len_a + 1, sizeof *row);
    for (size_t i = 0; i <= len_a; i++)
        row[i] = i;
    for (size_t j = 1; j <= len_b; j++) {
        size_t diagonal = row[0];
        size_t best = row[0] = j;
        for (size_t i = 1; i <= len_a; i++) {
            size_t above = row[i];
            size_t change = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
            row[i] = MIN(change, MIN(above, row[i - 1]) + 1);
            diagonal = above;
            best = MIN(best, row[i]);
        }
        if (best > bound)
            return bound + 1;
    }
    return MIN(row[len_a], bound + 1);
}

static bool contains_case(const char *s, const char *part)
{
    for (; *s; s++) {
        size_t i = 0;
        while (part[i] && lower(s[i]) == lower(part[i]))
            i++;
        if (part[i] == '\0')
            return true;
    }
    return false;
}

struct near {
    const char *name;
    size_t score;
    size_t order;
};

static int near_compare(const void *x, const void *y)
{
    const struct near *a = x, *b = y;
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

size_t str_nearest(const char *s, const char *const *candidates, size_t n, const char **ret,
                   size_t max)
{
    if (str_empty(s) || n == 0 || max == 0)
        return 0;
    size_t bound = MAX(strlen(s) / 2, (size_t)1);
    AUTO_FREE struct near *found = mem_array(NULL, n, sizeof *found);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t score = str_distance(s, candidates[i], bound);
        if (score > bound) {
            if (!contains_case(candidates[i], s))
                continue;
            score = bound + strlen(candidates[i]) -
                    strlen(s); /* after all near misses, the shortest first */
        }
        found[count++] = (struct near){ candidates[i], score, i };
    }
    qsort(found, count, sizeof *found, near_compare);
    size_t give = MIN(count, max);
    for (size_t i = 0; i < give; i++)
        ret[i] = found[i].name;
    return give;
}
