#include "regex/pattern_class.h"

#include <stdlib.h>
#include <string.h>

#include "regex/unicode_ranges.h"

struct range {
    uint32_t low, high;
};

struct char_class {
    struct range *ranges;
    size_t count;
    size_t cap;
    bool sorted;
};

#define RUNE_MAX 0x10ffffu

struct char_class *char_class_new(struct arena *a)
{
    struct char_class *c = arena_zalloc(a, sizeof *c);
    c->sorted = true;
    return c;
}

static int compare_ranges(const void *x, const void *y)
{
    uint32_t p = ((const struct range *)x)->low, q = ((const struct range *)y)->low;
    return (p > q) - (p < q);
}

/* Sorts and joins ranges that touch. */
static void normalise(struct char_class *c)
{
    if (c->sorted)
        return;
    qsort(c->ranges, c->count, sizeof *c->ranges, compare_ranges);
    size_t n = 0;
    for (size_t i = 1; i < c->count; i++) {
        if (c->ranges[i].low <= c->ranges[n].high + 1)
            c->ranges[n].high =
                c->ranges[i].high > c->ranges[n].high ? c->ranges[i].high : c->ranges[n].high;
        else
            c->ranges[++n] = c->ranges[i];
    }
    c->count = c->count ? n + 1 : 0;
    c->sorted = true;
}

static void append(struct arena *a, struct char_class *c, uint32_t low, uint32_t high)
{
    if (c->count == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 4;
        struct range *grown = arena_alloc(a, cap * sizeof *grown);
        if (c->count)
            memcpy(grown, c->ranges, c->count * sizeof *grown);
        c->ranges = grown;
        c->cap = cap;
    }
    c->ranges[c->count++] = (struct range){ low, high };
}

void char_class_add(struct arena *a, struct char_class *c, uint32_t low, uint32_t high)
{
    append(a, c, low, high);
    c->sorted = false;
}

void char_class_finish(struct char_class *c)
{
    normalise(c);
}

void char_class_merge(struct arena *a, struct char_class *c, const struct char_class *other)
{
    for (size_t i = 0; i < other->count; i++)
        append(a, c, other->ranges[i].low, other->ranges[i].high);
    c->sorted = false;
}

void char_class_negate(struct arena *a, struct char_class *c)
{
    normalise(c);
    struct char_class *outside = char_class_new(a);
    uint32_t next = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (c->ranges[i].low > next)
            append(a, outside, next, c->ranges[i].low - 1);
        next = c->ranges[i].high + 1;
    }
    if (next <= RUNE_MAX)
        append(a, outside, next, RUNE_MAX);
    *c = *outside;
}

bool char_class_has(const struct char_class *c, uint32_t rune)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (rune < c->ranges[mid].low)
            high = mid;
        else if (rune > c->ranges[mid].high)
            low = mid + 1;
        else
            return true;
    }
    return false;
}

/* ---- case ------------------------------------------------------------------------------------ */

static const struct {
    uint32_t low, high; /* upper case */
    uint32_t distance;  /* to lower case */
} cases[] = {
    { 'A', 'Z', 32 },     { 0xc0, 0xd6, 32 },   { 0xd8, 0xde, 32 },   { 0x391, 0x3a1, 32 },
    { 0x3a3, 0x3ab, 32 }, { 0x410, 0x42f, 32 }, { 0x400, 0x40f, 80 },
};

/* Letters with a form beside upper and lower case. */
static void fold_third_form(struct arena *a, const struct char_class *c, struct char_class *more,
                            uint32_t lower, uint32_t third)
{
    const uint32_t upper = lower - 32;
    if (!char_class_has(c, lower) && !char_class_has(c, upper) && !char_class_has(c, third))
        return;
    append(a, more, lower, lower);
    append(a, more, upper, upper);
    append(a, more, third, third);
}

void char_class_fold(struct arena *a, struct char_class *c)
{
    normalise(c);
    struct char_class *more = char_class_new(a);
    for (size_t i = 0; i < c->count; i++) {
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            uint32_t d = cases[k].distance;
            uint32_t low = c->ranges[i].low, high = c->ranges[i].high;
            uint32_t from = low > cases[k].low ? low : cases[k].low,
                     to = high < cases[k].high ? high : cases[k].high;
            if (from <= to)
                append(a, more, from + d, to + d);
            from = low > cases[k].low + d ? low : cases[k].low + d;
            to = high < cases[k].high + d ? high : cases[k].high + d;
            if (from <= to)
                append(a, more, from - d, to - d);
        }
    }
    fold_third_form(a, c, more, 'k', 0x212a); /* the Kelvin sign */
    fold_third_form(a, c, more, 's', 0x17f);  /* the long s */
    char_class_merge(a, c, more);
}

/* ---- named classes --------------------------------------------------------------------------- */

/* Pairs of ends; ASCII only, as in Go. */
static const struct {
    const char *name;
    const char *ends;
    size_t count;
} posix[] = {
#define CLASS(name, ends)                                                                          \
    {                                                                                              \
        name, ends, (sizeof ends - 1) / 2                                                          \
    }
    CLASS("alnum", "09AZaz"),
    CLASS("alpha", "AZaz"),
    CLASS("ascii", "\0\x7f"),
    CLASS("blank", "\t\t  "),
    CLASS("cntrl", "\0\x1f\x7f\x7f"),
    CLASS("digit", "09"),
    CLASS("graph", "!~"),
    CLASS("lower", "az"),
    CLASS("print", " ~"),
    CLASS("punct", "!/:@[`{~"),
    CLASS("space", "\t\r  "),
    CLASS("upper", "AZ"),
    CLASS("word", "09AZaz__"),
    CLASS("xdigit", "09AFaf"),
    CLASS("perl-s", "\t\n\f\r  "),
#undef CLASS
};

struct char_class *char_class_posix(struct arena *a, const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof posix / sizeof *posix; i++) {
        if (strlen(posix[i].name) != len || memcmp(posix[i].name, name, len) != 0)
            continue;
        struct char_class *c = char_class_new(a);
        for (size_t k = 0; k < posix[i].count; k++)
            char_class_add(a, c, (unsigned char)posix[i].ends[2 * k],
                           (unsigned char)posix[i].ends[2 * k + 1]);
        return c;
    }
    return NULL;
}

struct char_class *char_class_perl(struct arena *a, char letter)
{
    const char *name = letter == 'd' ? "digit" : letter == 's' ? "perl-s" : "word";
    return char_class_posix(a, name, strlen(name));
}

/* ---- Unicode --------------------------------------------------------------------------------- */

struct char_class *char_class_unicode(struct arena *a, const char *name, size_t len)
{
    struct char_class *c = char_class_new(a);
    if (len == 3 && memcmp(name, "Any", 3) == 0) {
        char_class_add(a, c, 0, RUNE_MAX);
        return c;
    }
    for (const struct unicode_category *u = unicode_categories; u->name; u++) {
        if (strlen(u->name) != len || memcmp(u->name, name, len) != 0)
            continue;
        for (size_t i = u->first; i < u->first + u->count; i++)
            append(a, c, unicode_ranges[i].low, unicode_ranges[i].high);
        return c;
    }
    return NULL;
}

size_t char_decode(const char *s, size_t len, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) {
        *ret = p[0];
        return 1;
    }
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    uint32_t rune = p[0] & (0xffu >> (n + 1));
    bool good = p[0] >= 0xc2 && p[0] <= 0xf4 && n <= len;
    for (size_t i = 1; good && i < n; i++) {
        good = (p[i] & 0xc0) == 0x80;
        rune = rune << 6 | (p[i] & 0x3f);
    }
    *ret = good ? rune : 0xfffd;
    return good ? n : 1;
}
