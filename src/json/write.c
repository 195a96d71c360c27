/* Values to text. Recursion is as deep as the value, which JSON_MAX_DEPTH bounds where values come
 * from outside. */
#include "json/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "json/value.h"

struct writer {
    struct buf *out;
    bool canonical;
    bool pretty;
    unsigned indent;
};

static const char hex[] = "0123456789abcdef";

/* ---- strings ------------------------------------------------------------------------------------------------------ */

/* What to do with a byte: 0, it stands for itself; 1, \u00XX; 2, it may begin a line separator;
 * else its short escape. */
#define CONTROL_ESCAPES                                                                            \
    [0x00 ... 0x07] = 1, ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', [0x0b] = 1, ['\f'] = 'f',       \
              ['\r'] = 'r', [0x0e ... 0x1f] = 1, ['"'] = '"', ['\\'] = '\\'

static const unsigned char plain_escape[256] = { CONTROL_ESCAPES };

/* Go's encoder also escapes what could end a script in HTML, and the two line separators of
 * JavaScript (U+2028 and U+2029, E2 80 A8 and A9). */
static const unsigned char canonical_escape[256] = {
    CONTROL_ESCAPES, ['<'] = 1, ['>'] = 1, ['&'] = 1, [0xe2] = 2
};

/* buf_append without a call as long as there is room, which there mostly is; its capacity never
 * passes its maximum. */
static inline void put(struct buf *out, const void *data, size_t len)
{
    if (len >= out->cap - out->len) {
        buf_append(out, data, len);
        return;
    }
    memcpy(out->data + out->len, data, len);
    out->len += len;
    out->data[out->len] = '\0';
}

static inline void put_char(struct buf *out, char c)
{
    put(out, &c, 1);
}

/* Bytes at the start of s that surely stand for themselves, in steps of eight: none is below a
 * space, a quote or a backslash. */
static size_t plain_words(const char *s, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    size_t at = 0;
    for (; len - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, s + at, 8);
        uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
        uint64_t hit = (word - ones * ' ') & ~word; /* below a space */
        hit |= (quote - ones) & ~quote;             /* zero: a quote */
        hit |= (backslash - ones) & ~backslash;
        if (hit & highs)
            break;
    }
    return at;
}

/* The part of a string from `at` on, which begins with something to escape. */
static void put_escaped(const struct writer *w, const char *s, size_t at, size_t len)
{
    const unsigned char *escape = w->canonical ? canonical_escape : plain_escape;
    size_t from = at;
    for (size_t i = at; i < len; i++) {
        unsigned char c = (unsigned char)s[i], how = escape[c];
        if (how == 0)
            continue;
        if (how == 2) {
            bool separator = len - i >= 3 && (unsigned char)s[i + 1] == 0x80 &&
                             ((unsigned char)s[i + 2] & 0xfe) == 0xa8;
            if (!separator)
                continue;
            put(w->out, s + from, i - from);
            put(w->out, (unsigned char)s[i + 2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
            i += 2;
        } else {
            put(w->out, s + from, i - from);
            char text[6] = { '\\', (char)how };
            if (how == 1)
                memcpy(text, (char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
            put(w->out, text, how == 1 ? 6 : 2);
        }
        from = i + 1;
    }
    put(w->out, s + from, len - from);
}

static void put_string(const struct writer *w, const yyjson_mut_val *v)
{
    const char *s = v->uni.str;
    const unsigned char *escape = w->canonical ? canonical_escape : plain_escape;
    size_t len = val_len(v), plain = w->canonical ? 0 : plain_words(s, len);
    while (plain < len && escape[(unsigned char)s[plain]] == 0)
        plain++;
    struct buf *out = w->out;
    if (plain == len && out->cap - out->len > len + 2) {
        char *to = out->data + out->len;
        *to++ = '"';
        to = mempcpy(to, s, len);
        memcpy(to, "\"", 2);
        out->len += len + 2;
        return;
    }
    put_char(out, '"');
    put(out, s, plain);
    put_escaped(w, s, plain, len);
    put_char(out, '"');
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static void put_int(struct buf *out, int64_t n)
{
    char text[24], *p = text + sizeof text;
    uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    if (n < 0)
        *--p = '-';
    put(out, p, (size_t)(text + sizeof text - p));
}

/* The shortest digits that read back as d (> 0), and the exponent such that d = 0.DIGITS *
 * 10^exponent. */
static size_t shortest_digits(double d, char digits[32], int *ret_exponent)
{
    char text[64], pool[512];
    yyjson_mut_val v = { .tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, .uni.f64 = d };
    yyjson_alc alc;
    yyjson_alc_pool_init(&alc, pool, sizeof pool);
    size_t len = 0;
    char *s = yyjson_mut_val_write_opts(&v, YYJSON_WRITE_NOFLAG, &alc, &len, NULL);
    len = MIN(len, sizeof text - 1);
    memcpy(text, s ? s : "", len);
    text[len] = '\0';

    size_t n = 0;
    int point = 0; /* digits before the decimal point, leading zeros counted negative */
    bool after_point = false;
    const char *p = text;
    for (; *p && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            after_point = true;
            continue;
        }
        if (n == 0 && *p == '0') {
            point -= after_point;
            continue;
        }
        if (n < 31)
            digits[n++] = *p;
        point += !after_point;
    }
    if (*p)
        point += (int)strtol(p + 1, NULL, 10);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    *ret_exponent = point;
    return n;
}

/* As Go's encoding/json: decimal, with an exponent only below 1e-6 and from 1e21 on. */
static void put_double(struct buf *out, double d)
{
    if (!isfinite(d)) { /* JSON has no such number */
        buf_puts(out, "null");
        return;
    }
    if (signbit(d))
        put_char(out, '-');
    d = fabs(d);
    if (d < 0x1p53 && floor(d) >= d) { /* integral: exact, and shorter than any exponent form */
        put_int(out, (int64_t)d);
        return;
    }
    char digits[32];
    int exponent;
    int n = (int)shortest_digits(d, digits, &exponent);
    if (d < 1e-6 || d >= 1e21) {
        put_char(out, digits[0]);
        if (n > 1) {
            put_char(out, '.');
            put(out, digits + 1, (size_t)n - 1);
        }
        buf_printf(out, "e%+d", exponent - 1);
    } else if (exponent <= 0) {
        buf_puts(out, "0.");
        for (int i = exponent; i < 0; i++)
            put_char(out, '0');
        put(out, digits, (size_t)n);
    } else {
        put(out, digits, (size_t)MIN(n, exponent));
        for (int i = n; i < exponent; i++)
            put_char(out, '0');
        if (n > exponent) {
            put_char(out, '.');
            put(out, digits + exponent, (size_t)(n - exponent));
        }
    }
}

/* ---- containers --------------------------------------------------------------------------------------------------- */

static void put_value(const struct writer *w, const yyjson_mut_val *v, unsigned level);

static void put_break(const struct writer *w, unsigned level)
{
    if (!w->pretty)
        return;
    put_char(w->out, '\n');
    for (size_t i = 0; i < (size_t)level * w->indent; i++)
        put_char(w->out, ' ');
}

static void put_member(const struct writer *w, const yyjson_mut_val *key, unsigned level)
{
    put_break(w, level);
    put_string(w, key);
    put(w->out, ": ", w->pretty ? 2 : 1);
    put_value(w, key->next, level);
}

static int compare_key_slots(const void *x, const void *y)
{
    return val_key_compare(*(yyjson_mut_val *const *)x, *(yyjson_mut_val *const *)y);
}

static void put_sorted_members(const struct writer *w, const yyjson_mut_val *first, size_t n,
                               unsigned level)
{
    AUTO_FREE const yyjson_mut_val **keys = mem_array(NULL, n, sizeof *keys);
    for (size_t i = 0; i < n; i++, first = first->next->next)
        keys[i] = first;
    qsort(keys, n, sizeof *keys, compare_key_slots);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            put_char(w->out, ',');
        put_member(w, keys[i], level);
    }
}

static void put_object(const struct writer *w, const yyjson_mut_val *obj, unsigned level)
{
    size_t n = val_len(obj);
    put_char(w->out, '{');
    if (n > 0) {
        const yyjson_mut_val *key = ((yyjson_mut_val *)obj->uni.ptr)->next->next;
        if (w->canonical) {
            put_sorted_members(w, key, n, level + 1);
        } else {
            for (size_t i = 0; i < n; i++, key = key->next->next) {
                if (i > 0)
                    put_char(w->out, ',');
                put_member(w, key, level + 1);
            }
        }
        put_break(w, level);
    }
    put_char(w->out, '}');
}

static void put_array(const struct writer *w, const yyjson_mut_val *arr, unsigned level)
{
    size_t n = val_len(arr);
    put_char(w->out, '[');
    if (n > 0) {
        const yyjson_mut_val *v = ((yyjson_mut_val *)arr->uni.ptr)->next;
        for (size_t i = 0; i < n; i++, v = v->next) {
            if (i > 0)
                put_char(w->out, ',');
            put_break(w, level + 1);
            put_value(w, v, level + 1);
        }
        put_break(w, level);
    }
    put_char(w->out, ']');
}

static void put_value(const struct writer *w, const yyjson_mut_val *v, unsigned level)
{
    switch (val_type(v)) {
    case YYJSON_TYPE_OBJ:
        put_object(w, v, level);
        break;
    case YYJSON_TYPE_ARR:
        put_array(w, v, level);
        break;
    case YYJSON_TYPE_STR:
        put_string(w, v);
        break;
    case YYJSON_TYPE_NUM:
        if (val_subtype(v) == YYJSON_SUBTYPE_REAL)
            put_double(w->out, v->uni.f64);
        else
            put_int(w->out, v->uni.i64);
        break;
    case YYJSON_TYPE_BOOL:
        if (val_subtype(v) == YYJSON_SUBTYPE_TRUE)
            put(w->out, "true", 4);
        else
            put(w->out, "false", 5);
        break;
    default:
        buf_puts(w->out, "null");
        break;
    }
}

static void write_with(const struct writer *w, const struct json *v)
{
    if (v)
        put_value(w, val(v), 0);
    else
        buf_puts(w->out, "null");
}

void json_write(const struct json *v, struct buf *out)
{
    write_with(&(struct writer){ .out = out }, v);
}

void json_write_pretty(const struct json *v, unsigned indent, struct buf *out)
{
    write_with(&(struct writer){ .out = out, .pretty = true, .indent = indent }, v);
}

void json_write_canonical(const struct json *v, struct buf *out)
{
    write_with(&(struct writer){ .out = out, .canonical = true }, v);
}

char *json_text(struct arena *a, const struct json *v)
{
    AUTO_BUF b = BUF_INIT(SIZE_MAX);
    json_write(v, &b);
    return arena_strndup(a, buf_str(&b), b.len);
}
