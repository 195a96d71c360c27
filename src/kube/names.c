/* Whether names and labels are valid (selector.h). The texts are what the API server answers; users
 * and scripts compare them, so they are kept to the letter. Each function puts all that is wrong
 * into one error, joined by "; ". */
#include <stdio.h>

#include "base/str.h"
#include "kube/selector.h"

#define LABEL_FORM "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define KEY_FORM "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

#define DNS1123_LABEL_TEXT                                                                                          \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end " \
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '" LABEL_FORM      \
    "')"
#define DNS1123_SUBDOMAIN_TEXT                                                                                           \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and " \
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is '" LABEL_FORM                  \
    "(\\." LABEL_FORM ")*')"
#define DNS1035_LABEL_TEXT                                                                                             \
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, " \
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "             \
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
#define KEY_TEXT                                                                                                       \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " \
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '" KEY_FORM "')"
#define VALUE_TEXT                                                                                                              \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "         \
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(" KEY_FORM \
    ")?')"

#define LABEL_MAX 63
#define SUBDOMAIN_MAX 253
#define PROBLEMS_SIZE (4 * KIB)

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* [a-z0-9]([-a-z0-9]*[a-z0-9])? */
static bool is_dns_label(const char *s, size_t len)
{
    if (len == 0 || !is_lower_alnum(s[0]) || !is_lower_alnum(s[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_lower_alnum(s[i]) && s[i] != '-')
            return false;
    return true;
}

static bool is_subdomain(const char *s)
{
    for (;;) {
        size_t len = strcspn(s, ".");
        if (!is_dns_label(s, len))
            return false;
        if (!s[len])
            return true;
        s += len + 1;
    }
}

/* ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9] */
static bool is_key_name(const char *s)
{
    size_t len = strlen(s);
    if (len == 0 || !is_alnum(s[0]) || !is_alnum(s[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(s[i]) && !strchr("-_.", s[i]))
            return false;
    return true;
}

static void problem(struct buf *out, const char *prefix, const char *text)
{
    if (out->len > 0)
        buf_puts(out, "; ");
    buf_puts(out, prefix);
    buf_puts(out, text);
}

/* The server speaks of bytes where labels are concerned, else of characters. */
static void check_length(struct buf *out, const char *prefix, const char *s, size_t max,
                         const char *unit)
{
    if (strlen(s) <= max)
        return;
    char text[64];
    snprintf(text, sizeof(text), "must be no more than %zu %s", max, unit);
    problem(out, prefix, text);
}

static int result(const struct buf *problems, struct error **err)
{
    return problems->len == 0 ? 0 : error_set(err, ERROR_INVALID, "%s", buf_str(problems));
}

static void check_subdomain(struct buf *out, const char *prefix, const char *s, const char *unit)
{
    check_length(out, prefix, s, SUBDOMAIN_MAX, unit);
    if (!is_subdomain(s))
        problem(out, prefix, DNS1123_SUBDOMAIN_TEXT);
}

int kube_validate_label_key(const char *key, struct error **err)
{
    AUTO_BUF problems = BUF_INIT(PROBLEMS_SIZE);
    const char *slash = strchr(key, '/');
    const char *name = slash ? slash + 1 : key;
    if (slash && strchr(name, '/')) {
        problem(&problems, "a valid label key ",
                KEY_TEXT
                " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
        return result(&problems, err);
    }
    if (slash == key) {
        problem(&problems, "prefix part ", "must be non-empty");
    } else if (slash) {
        AUTO_ARENA a = arena_new();
        check_subdomain(&problems, "prefix part ", arena_strndup(a, key, (size_t)(slash - key)),
                        "bytes");
    }
    if (!*name)
        problem(&problems, "name part ", "must be non-empty");
    check_length(&problems, "name part ", name, LABEL_MAX, "bytes");
    if (!is_key_name(name))
        problem(&problems, "name part ", KEY_TEXT);
    return result(&problems, err);
}

int kube_validate_label_value(const char *value, struct error **err)
{
    AUTO_BUF problems = BUF_INIT(PROBLEMS_SIZE);
    check_length(&problems, "", value, LABEL_MAX, "bytes");
    if (*value && !is_key_name(value))
        problem(&problems, "", VALUE_TEXT);
    return result(&problems, err);
}

int kube_validate_dns1123_label(const char *name, struct error **err)
{
    AUTO_BUF problems = BUF_INIT(PROBLEMS_SIZE);
    check_length(&problems, "", name, LABEL_MAX, "characters");
    if (!is_dns_label(name, strlen(name)))
        problem(&problems, "", is_subdomain(name) ? "must not contain dots" : DNS1123_LABEL_TEXT);
    return result(&problems, err);
}

int kube_validate_dns1123_subdomain(const char *name, struct error **err)
{
    AUTO_BUF problems = BUF_INIT(PROBLEMS_SIZE);
    check_subdomain(&problems, "", name, "characters");
    return result(&problems, err);
}

int kube_validate_dns1035_label(const char *name, struct error **err)
{
    AUTO_BUF problems = BUF_INIT(PROBLEMS_SIZE);
    check_length(&problems, "", name, LABEL_MAX, "characters");
    if (!is_dns_label(name, strlen(name)) || (name[0] >= '0' && name[0] <= '9'))
        problem(&problems, "", DNS1035_LABEL_TEXT);
    return result(&problems, err);
}
