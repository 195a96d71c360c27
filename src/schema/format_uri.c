/* Format "uri": what Go's net/url accepts as the URI of a request. Only the host is looked at
 * closely; queries may hold anything. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "schema/format.h"

/* Where in a URI a text stands: what may be escaped there, and has to be. */
enum part { PATH, USER, HOST, ZONE };

struct text {
    const char *s;
    size_t len;
};

static struct text before(struct text t, size_t i)
{
    return (struct text){ t.s, i };
}

static struct text from(struct text t, size_t i)
{
    return (struct text){ t.s + i, t.len - i };
}

/* t.len: not there. */
static size_t find(struct text t, char c)
{
    const char *found = memchr(t.s, c, t.len);
    return found ? (size_t)(found - t.s) : t.len;
}

static size_t find_last(struct text t, char c)
{
    size_t i = t.len;
    while (i > 0 && t.s[i - 1] != c)
        i--;
    return i > 0 ? i - 1 : t.len;
}

static bool in_host(unsigned char c)
{
    return c >= 0x80 || isalnum(c) || (c && strchr("!\"$&'()*+,-.:;<=>[]_~", c));
}

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* A host may escape only what is not ASCII and the percent sign before a zone. */
static bool may_be_escaped(const char *escape, enum part part)
{
    if (part == PATH || part == USER || strncmp(escape, "%25", 3) == 0)
        return true;
    int byte = hex(escape[1]) * 16 + hex(escape[2]);
    if (part == HOST)
        return byte >= 0x80;
    return byte == ' ' || in_host((unsigned char)byte);
}

static bool check_escapes(struct text t, enum part part)
{
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.s[i];
        if (c != '%') {
            if ((part == HOST || part == ZONE) && !in_host(c))
                return false;
            continue;
        }
        if (t.len - i < 3 || !isxdigit((unsigned char)t.s[i + 1]) ||
            !isxdigit((unsigned char)t.s[i + 2]) || !may_be_escaped(t.s + i, part))
            return false;
        i += 2;
    }
    return true;
}

/* "" or ":" and digits. */
static bool is_port(struct text t)
{
    if (t.len == 0)
        return true;
    if (*t.s != ':')
        return false;
    for (size_t i = 1; i < t.len; i++)
        if (!isdigit((unsigned char)t.s[i]))
            return false;
    return true;
}

/* Between brackets: an address, and behind "%25" a zone. */
static bool is_bracketed(struct text t)
{
    const char *percent = memmem(t.s, t.len, "%25", 3);
    struct text address = before(t, percent ? (size_t)(percent - t.s) : t.len);
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr out;
    if (address.len >= sizeof copy || memchr(address.s, 0, address.len))
        return false;
    memcpy(copy, address.s, address.len);
    copy[address.len] = '\0';
    if (inet_pton(AF_INET6, copy, &out) != 1)
        return false;
    struct text zone = from(t, address.len);
    return !percent || (zone.len > 3 && check_escapes(zone, ZONE));
}

/* A list of hosts with ports, as databases have it, will do: only the last port is looked at. */
static bool is_host(struct text t)
{
    size_t bracket = find_last(t, '[');
    if (bracket < t.len) {
        size_t close = find_last(t, ']');
        return bracket == 0 && close < t.len && is_port(from(t, close + 1)) &&
               is_bracketed(before(from(t, 1), close - 1));
    }
    return is_port(from(t, find_last(t, ':'))) && check_escapes(t, HOST);
}

static bool is_user(struct text t)
{
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.s[i];
        if (!isalnum(c) && !(c && strchr("-._:~!$&'()*+,;=%@", c)))
            return false;
    }
    size_t colon = find(t, ':');
    return check_escapes(before(t, colon), USER) && check_escapes(from(t, colon), USER);
}

static bool is_authority(struct text t)
{
    size_t at = find_last(t, '@');
    if (at == t.len)
        return is_host(t);
    return is_user(before(t, at)) && is_host(from(t, at + 1));
}

/* The length of a scheme with its colon; 0: there is none. */
static size_t scheme_length(struct text t)
{
    if (t.len == 0 || !isalpha((unsigned char)*t.s))
        return 0;
    for (size_t i = 1; i < t.len; i++) {
        if (t.s[i] == ':')
            return i + 1;
        if (!isalnum((unsigned char)t.s[i]) && !strchr("+-.", t.s[i]))
            return 0;
    }
    return 0;
}

bool format_is_uri(const char *s, size_t len)
{
    struct text all = { s, len };
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return false;
    if (len == 1 && *s == '*')
        return true;
    size_t scheme = scheme_length(all);
    struct text rest = from(all, scheme);
    rest = before(rest, find(rest, '?'));
    if (rest.len == 0 || *rest.s != '/')
        return scheme > 0;
    if (scheme && rest.len > 1 && rest.s[1] == '/') {
        struct text authority = from(rest, 2);
        size_t slash = find(authority, '/');
        if (!is_authority(before(authority, slash)))
            return false;
        rest = from(authority, slash);
    }
    return check_escapes(rest, PATH);
}
