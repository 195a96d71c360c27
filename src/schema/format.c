/* Checks of string formats. What each accepts is what the API server's format library accepts, odd
 * corners included (a date-time may have no more than one "T", any character may stand before a
 * fraction). */
#include "schema/format.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "regex/pattern.h"

/* ---- helpers --------------------------------------------------------------------------------- */

static bool is_digits(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isdigit((unsigned char)s[i]))
            return false;
    return true;
}

static int number(const char *s, size_t n)
{
    int v = 0;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (s[i] - '0');
    return v;
}

static bool is_hex(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isxdigit((unsigned char)s[i]))
            return false;
    return true;
}

/* Matches with a pattern that is compiled for this one call: only formats that are hardly ever used
 * do so. */
static bool matches(const char *pattern, const char *s, size_t len)
{
    AUTO_ARENA a = arena_new();
    const struct pattern *p = NULL;
    return pattern_compile(a, pattern, &p, NULL) == 0 && pattern_matches(p, s, len);
}

/* ---- times ----------------------------------------------------------------------------------- */

static bool is_date(const char *s, size_t len)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (len != 10 || !is_digits(s, 4) || s[4] != '-' || !is_digits(s + 5, 2) || s[7] != '-' ||
        !is_digits(s + 8, 2))
        return false;
    int year = number(s, 4), month = number(s + 5, 2), day = number(s + 8, 2);
    if (month < 1 || month > 12)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

static bool is_zone(const char *s, size_t len)
{
    if (len == 1)
        return *s == 'z' || *s == 'Z';
    return len == 6 && (*s == '+' || *s == '-') && is_digits(s + 1, 2) && s[3] == ':' &&
           is_digits(s + 4, 2);
}

/* hh:mm:ss, a fraction behind any one character, and a zone. */
static bool is_time_with_zone(const char *s, size_t len)
{
    if (len < 9 || !is_digits(s, 2) || s[2] != ':' || !is_digits(s + 3, 2) || s[5] != ':' ||
        !is_digits(s + 6, 2))
        return false;
    if (number(s, 2) > 23 || number(s + 3, 2) > 59 || number(s + 6, 2) > 59)
        return false;
    const char *p = s + 8, *end = s + len, *fraction = p;
    if (end - p >= 2 && *p != '\n' && isdigit((unsigned char)p[1]))
        for (fraction++; fraction < end && isdigit((unsigned char)*fraction);)
            fraction++;
    return is_zone(p, (size_t)(end - p)) || is_zone(fraction, (size_t)(end - fraction));
}

static bool is_date_time(const char *s, size_t len)
{
    if (len < 11 || (s[10] != 'T' && s[10] != 't') || !is_date(s, 10))
        return false;
    size_t rest = len - 11;
    for (size_t i = 11; i < len; i++) {
        if (s[i] == 't' || s[i] == 'T') {
            rest = i - 11;
            break;
        }
    }
    return is_time_with_zone(s + 11, rest);
}

/* Go's durations, and "2 weeks 3 days". */
static bool is_duration(const char *s, size_t len)
{
    int64_t ns;
    if (strlen(s) == len && str_to_duration_ns(s, &ns) == 0)
        return true;
    return matches(
               "(?i)[0-9]\\s*(ns|nano|us|µs|micro|ms|milli|s|sec|m|min|h|hr|hour|d|day|w|wk|week)([^a-zµ]|$)",
               s, len) ||
           matches("(?i)[0-9]\\s*(nano|micro|milli|sec|min|hour|day|week)[a-z]*", s, len);
}

/* ---- networks -------------------------------------------------------------------------------- */

/* Numbers of IPv4 addresses may begin with zeros, as they could before Go refused them. */
static bool parse_ip(const char *s, size_t len, int *ret_family)
{
    char plain[INET6_ADDRSTRLEN];
    unsigned char out[sizeof(struct in6_addr)];
    const bool dotted = memchr(s, '.', len);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        bool starts = i == 0 || s[i - 1] == '.' || s[i - 1] == ':';
        if (dotted && starts && !memchr(s + i, ':', len - i))
            while (i + 1 < len && s[i] == '0' && isdigit((unsigned char)s[i + 1]))
                i++;
        if (!s[i] || n == sizeof plain - 1)
            return false;
        plain[n++] = s[i];
    }
    plain[n] = '\0';
    *ret_family = strchr(plain, ':') ? AF_INET6 : AF_INET;
    return inet_pton(*ret_family, plain, out) == 1;
}

/* Addresses of IPv6 that end like one of IPv4 count as both. */
static bool is_ipv4(const char *s, size_t len)
{
    int family;
    return parse_ip(s, len, &family) && memchr(s, '.', len);
}

static bool is_ipv6(const char *s, size_t len)
{
    struct in6_addr out;
    return strlen(s) == len && strchr(s, ':') && inet_pton(AF_INET6, s, &out) == 1;
}

static bool is_cidr(const char *s, size_t len)
{
    const char *slash = memchr(s, '/', len);
    int family;
    if (!slash || !parse_ip(s, (size_t)(slash - s), &family))
        return false;
    const char *digits = slash + 1, *end = s + len;
    while (end - digits > 1 && *digits == '0')
        digits++;
    size_t count = (size_t)(end - digits);
    return count >= 1 && count <= 3 && is_digits(digits, count) &&
           number(digits, count) <= (family == AF_INET ? 32 : 128);
}

/* 6, 8 or 20 bytes, in pairs of digits, with dots in fours, or in one piece. */
static bool is_mac(const char *s, size_t len)
{
    const size_t digits = len > 4 && s[4] == '.' ? 4 : 2, step = digits + 1;
    if (is_hex(s, len))
        return len == 12 || len == 16 || len == 40;
    if (len <= digits || (len + 1) % step)
        return false;
    const char separator = s[digits];
    if (separator != (digits == 4 ? '.' : ':') && (digits == 4 || separator != '-'))
        return false;
    for (size_t i = 0; i < len; i += step)
        if (!is_hex(s + i, digits) || (i + digits < len && s[i + digits] != separator))
            return false;
    const size_t bytes = (len + 1) / step * digits / 2;
    return bytes == 6 || bytes == 8 || bytes == 20;
}

static bool is_hostname(const char *s, size_t len)
{
    if (len == 0 || len > 255)
        return false;
    for (size_t i = 0, label = 0; i < len; i++) {
        label = s[i] == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return matches(
        "^([a-zA-Z0-9\\p{S}\\p{L}]((-?[a-zA-Z0-9\\p{S}\\p{L}]{0,62})?)|"
        "([a-zA-Z0-9\\p{S}\\p{L}](([a-zA-Z0-9-\\p{S}\\p{L}]{0,61}[a-zA-Z0-9\\p{S}\\p{L}])?)(\\.)){1,}"
        "([a-zA-Z\\p{L}]){2,63})$",
        s, len);
}

static bool is_email(const char *s, size_t len)
{
    /* an address, or words and then one in angle brackets; a comment may stand behind it */
    static const char atom[] = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\x{80}-\\x{10ffff}-]+";
    static const char quoted[] = "([^\"\\\\\\x00-\\x08\\x0a-\\x1f]|\\\\.)";
    AUTO_ARENA a = arena_new();
    const char *dotted = arena_printf(a, "%s(\\.%s)*", atom, atom);
    const char *address =
        arena_printf(a, "(%s|\"%s+\")@[ \\t]*(%s|\\[[0-9A-Fa-f:.]+\\])", dotted, quoted, dotted);
    const char *words = arena_printf(a, "((%s|\\.)+|\"%s*\"|[ \\t])*", atom, quoted);
    const char *literal = memchr(s, '[', len),
               *end = literal ? memchr(literal, ']', len - (size_t)(literal - s)) : NULL;
    int family;
    if (literal && literal > s && literal[-1] == '@' && end &&
        !parse_ip(literal + 1, (size_t)(end - literal - 1), &family))
        return false;
    return matches(arena_printf(a, "^[ \\t]*(%s|%s<[ \\t]*%s>)[ \\t]*(\\([^()\\\\]*\\)[ \\t]*)?$",
                                address, words, address),
                   s, len);
}

/* ---- identifiers ----------------------------------------------------------------------------- */

/* Groups of 8, 4, 4, 4 and 12 digits, each dash optional; a version and a variant where asked. */
static bool is_uuid_of(const char *s, size_t len, char version, bool variant)
{
    static const size_t groups[] = { 8, 4, 4, 4, 12 };
    const char *p = s, *end = s + len;
    for (size_t i = 0; i < COUNT_OF(groups); i++) {
        if (i && p < end && *p == '-')
            p++;
        if ((size_t)(end - p) < groups[i] || !is_hex(p, groups[i]))
            return false;
        if (i == 2 && version && *p != version)
            return false;
        if (i == 3 && variant && !strchr("89abAB", *p))
            return false;
        p += groups[i];
    }
    return p == end;
}

static bool is_uuid(const char *s, size_t len)
{
    return is_uuid_of(s, len, 0, false);
}

static bool is_uuid3(const char *s, size_t len)
{
    return is_uuid_of(s, len, '3', false);
}

static bool is_uuid4(const char *s, size_t len)
{
    return is_uuid_of(s, len, '4', true);
}

static bool is_uuid5(const char *s, size_t len)
{
    return is_uuid_of(s, len, '5', true);
}

static bool is_bson_object_id(const char *s, size_t len)
{
    return len == 24 && is_hex(s, len);
}

static bool is_short_name(const char *s, size_t len)
{
    return len <= 63 && matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", s, len);
}

static bool is_long_name(const char *s, size_t len)
{
    return len <= 253 &&
           matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", s, len);
}

/* ---- numbers in text ------------------------------------------------------------------------- */

/* The digits of a text in which spaces and dashes may stand; false when there is anything else or
 * too much. */
static bool take_digits(const char *s, size_t len, char *digits, size_t cap, size_t *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '-' || (s[i] && strchr(" \t\n\f\r", s[i])))
            continue;
        if (n == cap)
            return false;
        digits[n++] = s[i];
    }
    *ret = n;
    return true;
}

static bool is_isbn10(const char *s, size_t len)
{
    char d[10];
    size_t n;
    if (!take_digits(s, len, d, sizeof d, &n) || n != 10 || !is_digits(d, 9) ||
        !(isdigit((unsigned char)d[9]) || d[9] == 'X'))
        return false;
    int sum = 0;
    for (int i = 0; i < 9; i++)
        sum += (i + 1) * (d[i] - '0');
    sum += 10 * (d[9] == 'X' ? 10 : d[9] - '0');
    return sum % 11 == 0;
}

static bool is_isbn13(const char *s, size_t len)
{
    char d[13];
    size_t n;
    if (!take_digits(s, len, d, sizeof d, &n) || n != 13 || !is_digits(d, 13))
        return false;
    int sum = 0;
    for (int i = 0; i < 13; i++)
        sum += (i % 2 ? 3 : 1) * (d[i] - '0');
    return sum % 10 == 0;
}

static bool is_isbn(const char *s, size_t len)
{
    return is_isbn10(s, len) || is_isbn13(s, len);
}

/* A card number's digits, whatever stands between them, with a right check digit. */
static bool is_credit_card(const char *s, size_t len)
{
    char d[20];
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)s[i]))
            continue;
        if (n == sizeof d)
            return false;
        d[n++] = s[i];
    }
    int sum = 0;
    for (size_t i = 0; i < n; i++) {
        int v = d[n - 1 - i] - '0';
        if (i % 2) {
            v *= 2;
            v = v > 9 ? v - 9 : v;
        }
        sum += v;
    }
    return sum % 10 == 0 &&
           matches(
               "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|"
               "3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\\d{3})\\d{11})$",
               d, n);
}

static bool is_ssn(const char *s, size_t len)
{
    return len == 11 && matches("^\\d{3}[- ]\\d{2}[- ]\\d{4}$", s, len);
}

static bool is_hex_color(const char *s, size_t len)
{
    return matches("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$", s, len);
}

static bool is_rgb_color(const char *s, size_t len)
{
    return matches(
        "^rgb\\(\\s*(0|[1-9]\\d?|1\\d\\d?|2[0-4]\\d|25[0-5])\\s*,\\s*(0|[1-9]\\d?|1\\d\\d?|2[0-4]\\d|25[0-5])\\s*,"
        "\\s*(0|[1-9]\\d?|1\\d\\d?|2[0-4]\\d|25[0-5])\\s*\\)$",
        s, len);
}

static bool is_base64(const char *s, size_t len)
{
    return matches(
        "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$", s, len);
}

static bool is_anything(const char *s, size_t len)
{
    return true;
}

static const struct {
    const char *name;
    format_check *check;
} formats[] = {
    { "bsonobjectid", is_bson_object_id },
    { "byte", is_base64 },
    { "cidr", is_cidr },
    { "creditcard", is_credit_card },
    { "date", is_date },
    { "datetime", is_date_time },
    { "duration", is_duration },
    { "email", is_email },
    { "hexcolor", is_hex_color },
    { "hostname", is_hostname },
    { "ipv4", is_ipv4 },
    { "ipv6", is_ipv6 },
    { "isbn", is_isbn },
    { "isbn10", is_isbn10 },
    { "isbn13", is_isbn13 },
    { "k8slongname", is_long_name },
    { "k8sshortname", is_short_name },
    { "mac", is_mac },
    { "password", is_anything },
    { "rgbcolor", is_rgb_color },
    { "ssn", is_ssn },
    { "uri", format_is_uri },
    { "uuid", is_uuid },
    { "uuid3", is_uuid3 },
    { "uuid4", is_uuid4 },
    { "uuid5", is_uuid5 },
};

format_check *format_find(const char *name)
{
    char plain[32];
    size_t n = 0;
    for (const char *p = name; *p; p++) {
        if (*p == '-')
            continue;
        if (n == sizeof plain - 1)
            return NULL;
        plain[n++] = *p;
    }
    plain[n] = '\0';
    for (size_t i = 0; i < COUNT_OF(formats); i++)
        if (STREQ(formats[i].name, plain))
            return formats[i].check;
    return NULL;
}
