/* URLs that users give: what the services behind them fetch must not lead into the cluster's own
 * network or to a cloud's metadata service. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "admission/internal.h"
#include "base/str.h"

struct url {
    char *scheme; /* lower case; "" when there is none */
    bool authority;
    bool user;
    char *host; /* without brackets and zone, lower case, without a final dot */
    bool bracketed;
};

/* The scheme's length, 0 when there is none. */
static size_t scheme_length(const char *s)
{
    if (!isalpha((unsigned char)*s))
        return 0;
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || (s[n] && strchr("+-.", s[n])))
        n++;
    return s[n] == ':' ? n : 0;
}

/* Each "%" begins two hexadecimal digits. */
static bool escapes_valid(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] == '%' && (len - i < 3 || !isxdigit((unsigned char)s[i + 1]) ||
                            !isxdigit((unsigned char)s[i + 2])))
            return false;
    return true;
}

static bool host_chars_valid(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x80 && !isalnum((unsigned char)*s) &&
            !strchr("-_.~!$&'()*+,;=:[]<>\"", *s))
            return false;
    return true;
}

static bool split_port(char *host)
{
    char *end = *host == '[' ? strrchr(host, ']') : NULL;
    if (*host == '[' && !end)
        return false;
    char *port = end ? end + 1 : strrchr(host, ':');
    if (!port || !*port)
        return true;
    if (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1))
        return false;
    *port = '\0';
    return true;
}

static bool parse_authority(struct arena *a, const char *s, size_t len, struct url *u)
{
    char *text = arena_strndup(a, s, len);
    char *at = strrchr(text, '@');
    u->authority = true;
    u->user = at != NULL;
    char *host = str_lower(a, at ? at + 1 : text);
    if (!split_port(host))
        return false;
    u->bracketed = *host == '[';
    if (u->bracketed) {
        host++;
        host[strcspn(host, "]")] = '\0';
        host[strcspn(host, "%")] = '\0'; /* a zone */
    } else if (!host_chars_valid(host)) {
        return false;
    }
    size_t n = strlen(host);
    if (n > 0 && host[n - 1] == '.')
        host[n - 1] = '\0';
    u->host = host;
    return true;
}

static bool parse_url(struct arena *a, const char *s, struct url *u)
{
    *u = (struct url){ .scheme = arena_strdup(a, ""), .host = arena_strdup(a, "") };
    for (const char *c = s; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    size_t n = scheme_length(s);
    if (n > 0) {
        u->scheme = str_lower(a, arena_strndup(a, s, n));
        s += n + 1;
    }
    if (n > 0 && strncmp(s, "//", 2) == 0) {
        s += 2;
        size_t len = strcspn(s, "/?#");
        if (!parse_authority(a, s, len, u))
            return false;
        s += len;
    }
    return escapes_valid(s, strcspn(s, "?"));
}

bool request_uri_valid(const char *url)
{
    AUTO_ARENA a = arena_new();
    struct url u;
    return parse_url(a, url, &u) && (*u.scheme || *url == '/' || STREQ(url, "*"));
}

/* ---- where data may come from ------------------------------------------------------------------- */

struct range {
    uint32_t first;
    int bits;
};

/* This host, private and shared networks, link-local (metadata services), tests, multicast and what
 * is reserved. */
static const struct range closed[] = {
    { 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 }, { 0x7f000000, 8 },
    { 0xa9fe0000, 16 }, { 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0a80000, 16 },
    { 0xc6120000, 15 }, { 0xe0000000, 4 },  { 0xf0000000, 4 },
};

static bool ipv4_closed(uint32_t address)
{
    for (size_t i = 0; i < COUNT_OF(closed); i++)
        if ((address ^ closed[i].first) >> (32 - closed[i].bits) == 0)
            return true;
    return false;
}

static uint32_t read_ipv4(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Addresses that carry an IPv4 one are judged by it: mapped, compatible, NAT64, 6to4. */
static bool ipv6_closed(const uint8_t b[16])
{
    static const uint8_t zero[12] = { 0 };
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    if (memcmp(b, zero, 12) == 0 || memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0)
        return ipv4_closed(read_ipv4(b + 12));
    if (b[0] == 0x20 && b[1] == 0x02)
        return ipv4_closed(read_ipv4(b + 2));
    bool local = (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && b[1] >= 0x80);
    return local || b[0] == 0xff;
}

/* What inet_aton() takes for a number: a decimal, octal or hexadecimal one. */
static bool is_number_part(const char *s)
{
    if (s[0] == '0' && s[1] == 'x')
        return s[2 + strspn(s + 2, "0123456789abcdef")] == '\0';
    return *s && s[strspn(s, "0123456789")] == '\0';
}

/* The last part decides: no name of a host ends in a number. */
static bool looks_numeric(const char *host)
{
    const char *dot = strrchr(host, '.');
    return is_number_part(dot ? dot + 1 : host);
}

static const char *host_problem(const struct url *u)
{
    static const char *const names[] = {
        "localhost", "metadata.google.internal",   "metadata.google",
        "metadata",  "instance-data.ec2.internal", "instance-data"
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (STREQ(u->host, names[i]))
            return "leads to this machine or to the cloud's metadata service; use a public host";
    if (str_has_suffix(u->host, ".localhost"))
        return "leads to the pod itself; use a public host";
    uint8_t bytes[16];
    bool inside;
    if (inet_pton(AF_INET6, u->host, bytes) == 1)
        inside = ipv6_closed(bytes);
    else if (u->bracketed)
        return "has no IPv6 address in the brackets";
    else if (inet_pton(AF_INET, u->host, bytes) == 1)
        inside = ipv4_closed(read_ipv4(bytes));
    else if (looks_numeric(u->host))
        return "has an address that is not written as four decimal numbers; write it so";
    else
        return NULL;
    return inside ? "leads into a network that is not public; use a public host" : NULL;
}

const char *data_url_problem(struct arena *a, const char *url)
{
    struct url u;
    if (!parse_url(a, url, &u))
        return "is not a URL; write https://host/path";
    if (!STREQ(u.scheme, "http") && !STREQ(u.scheme, "https"))
        return "is not an http or https URL; write https://host/path";
    if (!u.authority || !*u.host)
        return "names no host; write https://host/path";
    if (u.user)
        return "has a user or a password in it, which everybody who may read the object would see; "
               "leave them out";
    return host_problem(&u);
}
