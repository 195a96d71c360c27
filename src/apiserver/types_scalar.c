/* Values that read and write themselves: base64, quantities, times, numbers that may be strings.
 * What is kept is the form in which the API server writes them again. */
#include <ctype.h>
#include <string.h>

#include "apiserver/types_internal.h"
#include "base/clock.h"
#include "base/str.h"
#include "kube/quantity.h"

const char *scalar_describe(const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL:
        return "null";
    case JSON_BOOL:
        return "bool";
    case JSON_INT:
    case JSON_DOUBLE:
        return "number";
    case JSON_STRING:
        return "string";
    case JSON_ARRAY:
        return "array";
    case JSON_OBJECT:
        return "object";
    }
    return "";
}

/* ---- base64 ---------------------------------------------------------------------------------- */

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static struct json *bad_base64(size_t at, struct error **err)
{
    error_set(err, ERROR_INVALID, "illegal base64 data at input byte %zu", at);
    return NULL;
}

static size_t skip_line_ends(const char *s, size_t i, size_t len)
{
    while (i < len && (s[i] == '\n' || s[i] == '\r'))
        i++;
    return i;
}

/* Checks what begins with the first "=" at i, behind `have` letters of a group of four. */
static int check_padding(const char *s, size_t i, size_t len, size_t have, size_t *ret_bad)
{
    if (have < 2) {
        *ret_bad = i;
        return -ERROR_INVALID;
    }
    size_t next = skip_line_ends(s, i + 1, len);
    if (have == 2) {
        if (next == len || s[next] != '=') {
            *ret_bad = next == len ? len : next - 1;
            return -ERROR_INVALID;
        }
        next = skip_line_ends(s, next + 1, len);
    }
    *ret_bad = next;
    return next < len ? -ERROR_INVALID : 0;
}

/* Line ends are allowed and dropped; bits behind the last byte are cleared, as decoding and
 * encoding again does. */
struct json *scalar_decode_bytes(struct arena *a, const struct json *v, struct error **err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *s = json_string(v);
    size_t len = json_string_len(v), n = 0, i, bad;
    char *out = arena_alloc(a, len + 4);
    for (i = 0; i < len && s[i] != '='; i++) {
        if (s[i] == '\n' || s[i] == '\r')
            continue;
        if (sextet(s[i]) < 0)
            return bad_base64(i, err);
        out[n++] = s[i];
    }
    size_t have = n % 4;
    if (i == len && have)
        return bad_base64(len - have, err);
    if (i < len && check_padding(s, i, len, have, &bad) < 0)
        return bad_base64(bad, err);
    if (have) {
        out[n - 1] = letters[sextet(out[n - 1]) & (have == 2 ? 0x30 : 0x3c)];
        while (n % 4)
            out[n++] = '=';
    }
    return json_new_string_n(a, out, n);
}

/* ---- quantities ------------------------------------------------------------------------------ */

struct json *scalar_decode_quantity(struct arena *a, const struct json *v, bool round_to_milli,
                                    struct error **err)
{
    const char *text = json_string(v);
    if (!text)
        text = json_text(a, v);
    char *canonical = NULL;
    int r = round_to_milli ? quantity_canonical_milli(a, text, &canonical, err)
                           : quantity_canonical(a, text, &canonical, err);
    if (r < 0)
        return NULL;
    return json_new_string(a, canonical);
}

/* ---- times ----------------------------------------------------------------------------------- */

#define LAYOUT_SECONDS "2006-01-02T15:04:05Z07:00"
#define LAYOUT_MICRO "2006-01-02T15:04:05.000000Z07:00"

struct layout_step {
    const char *text; /* as in the layout */
    int digits;       /* 0: the text itself */
    int min, max;     /* of the number; its name when out of range */
    const char *name;
};

static const struct layout_step steps[] = {
    { "2006", 4, 0, 9999, "year" }, { "-", 0, 0, 0, NULL },       { "01", 2, 1, 12, "month" },
    { "-", 0, 0, 0, NULL },         { "02", 2, 1, 31, "day" },    { "T", 0, 0, 0, NULL },
    { "15", 2, 0, 23, "hour" },     { ":", 0, 0, 0, NULL },       { "04", 2, 0, 59, "minute" },
    { ":", 0, 0, 0, NULL },         { "05", 2, 0, 59, "second" },
};

static int bad_time(struct arena *a, const char *text, const char *layout, const char *rest,
                    const char *step, struct error **err)
{
    return error_set(err, ERROR_INVALID, "parsing time %s as \"%s\": cannot parse %s as \"%s\"",
                     json_text(a, json_new_string(a, text)), layout,
                     json_text(a, json_new_string(a, rest)), step);
}

static bool has_digits(const char *s, int n)
{
    for (int i = 0; i < n; i++)
        if (!isdigit((unsigned char)s[i]))
            return false;
    return true;
}

/* Finds out where a text leaves the layout, for the words only. */
static int check_layout(struct arena *a, const char *text, bool micro, struct error **err)
{
    const char *layout = micro ? LAYOUT_MICRO : LAYOUT_SECONDS, *p = text;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        const struct layout_step *step = &steps[i];
        if (!step->digits) {
            if (*p != *step->text)
                return bad_time(a, text, layout, p, step->text, err);
            p++;
            continue;
        }
        if (!has_digits(p, step->digits))
            return bad_time(a, text, layout, p, step->text, err);
        int n = 0;
        for (int k = 0; k < step->digits; k++)
            n = n * 10 + (p[k] - '0');
        if (n < step->min || n > step->max)
            return error_set(err, ERROR_INVALID, "parsing time %s: %s out of range",
                             json_text(a, json_new_string(a, text)), step->name);
        p += step->digits;
    }
    if (micro && (*p != '.' || !has_digits(p + 1, 6)))
        return bad_time(a, text, layout, p, ".000000", err);
    if (*p == '.')
        for (p++; isdigit((unsigned char)*p);)
            p++;
    if (*p != 'Z' &&
        !((*p == '+' || *p == '-') && has_digits(p + 1, 2) && p[3] == ':' && has_digits(p + 4, 2)))
        return bad_time(a, text, layout, p, "Z07:00", err);
    p += *p == 'Z' ? 1 : 6;
    if (*p)
        return error_set(err, ERROR_INVALID, "parsing time %s: extra text: %s",
                         json_text(a, json_new_string(a, text)),
                         json_text(a, json_new_string(a, p)));
    return 0;
}

struct json *scalar_decode_time(struct arena *a, const struct json *v, bool micro,
                                struct error **err)
{
    const char *text = json_string(v);
    int64_t ns;
    if (check_layout(a, text, micro, err) < 0)
        return NULL;
    if (time_parse_rfc3339(text, &ns) < 0) {
        error_set(err, ERROR_INVALID, "parsing time %s: day out of range",
                  json_text(a, json_new_string(a, text)));
        return NULL;
    }
    char out[TIME_RFC3339_SIZE];
    if (micro)
        time_format_rfc3339_micro(ns, out);
    else
        time_format_rfc3339(ns, out);
    return json_new_string(a, out);
}
