/* Names, label selectors and image references. */
#include <ctype.h>
#include <string.h>

#include "admission/internal.h"
#include "api/workspace.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

/* The API server appends five characters to generateName, and cuts it when it is longer than this.
 */
#define GENERATE_NAME_MAX 58

static const char *name_to_be(struct review *rv, const struct json *obj)
{
    const char *base = json_find_str(obj, "metadata", "generateName");
    if (!str_empty(meta_name(obj)) || str_empty(base))
        return meta_name(obj);
    return arena_printf(rv->a, "%.*sxxxxx", GENERATE_NAME_MAX, base);
}

void check_name(struct review *rv, const struct json *obj, size_t longest, const char *why)
{
    const char *name = name_to_be(rv, obj);
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (str_empty(name))
        fault(rv, "metadata.name", NULL, "a name is required");
    else if (kube_validate_dns1035_label(name, &err) < 0)
        fault(rv, "metadata.name", name, "cannot be the name of a Service, choose another one: %s",
              error_message(err));
    else if (strlen(name) > longest)
        fault(rv, "metadata.name", name, "is too long: no more than %zu characters, because %s",
              longest, why);
}

/* ---- selectors ---------------------------------------------------------------------------------- */

static bool check_label(struct review *rv, const char *path, const char *key, const char *value)
{
    CLEANUP(error_cleanup) struct error *bad_key = NULL;
    CLEANUP(error_cleanup) struct error *bad_value = NULL;
    if (kube_validate_label_key(key, &bad_key) < 0)
        fault(rv, path, key, "cannot be the key of a label: %s", error_message(bad_key));
    else if (kube_validate_label_value(value, &bad_value) < 0)
        fault(rv, key_path(rv, path, key), value, "cannot be the value of a label: %s",
              error_message(bad_value));
    return !bad_key && !bad_value;
}

static bool add_expression(struct review *rv, const struct json *expression, const char *path,
                           struct json *labels)
{
    const char *key = json_find_str(expression, "key");
    const struct json *values = json_get(expression, "values");
    const char *value = json_string(json_at(values, 0));
    const char *operator= json_find_str(expression, "operator");
    if (!key || !value || json_size(values) != 1 || !str_eq(operator, "In")) {
        fault(rv, path, shown(rv, expression),
              "cannot be put on a node: only operator In with one value can; use matchLabels");
        return false;
    }
    json_set_str(rv->a, labels, key, value);
    return check_label(rv, path, key, value);
}

struct json *check_selector(struct review *rv, const struct json *selector, const char *path)
{
    struct json *labels = json_new_object(rv->a);
    bool fine = true;
    const char *match = member_path(rv, path, "matchLabels");
    const struct json *wanted = json_get(selector, "matchLabels");
    JSON_FOREACH(it, json_is_object(wanted) ? wanted : NULL) {
        const char *value = str_or_empty(json_string(it.value));
        json_set_str(rv->a, labels, it.key, value);
        fine &= check_label(rv, match, it.key, value);
    }
    const char *expressions = member_path(rv, path, "matchExpressions");
    JSON_FOREACH(it, json_get(selector, "matchExpressions"))
        fine &= add_expression(rv, it.value, element_path(rv, expressions, it.index), labels);
    return fine ? labels : NULL;
}

struct json *user_labels(struct review *rv, const struct json *selector, const char *path)
{
    struct json *labels = check_selector(rv, selector, path);
    if (!labels)
        return NULL;
    const struct json *match = json_get(selector, "matchLabels");
    size_t reserved = 0;
    JSON_FOREACH(it, match)
        if (it.key && workspace_label_reserved(it.key))
            reserved++;
    if (reserved > 0 && reserved == json_size(match)) {
        fault(rv, member_path(rv, path, "matchLabels"), shown(rv, match),
              "has only labels that KAITO sets itself; add one of your own");
        return NULL;
    }
    JSON_FOREACH(it, labels)
        if (workspace_label_reserved(it.key))
            json_iter_remove(&it);
    if (reserved > 0)
        warn(rv, "%s: labels that KAITO sets itself are left out of the selection of nodes",
             member_path(rv, path, "matchLabels"));
    return labels;
}

bool same_selector(struct review *rv, const struct json *x, const struct json *y)
{
    if (json_is_null(x) || json_is_null(y) ? json_is_null(x) && json_is_null(y) : json_equal(x, y))
        return true;
    struct admission_verdict *ignored = arena_zalloc(rv->a, sizeof(*ignored));
    struct review quiet = { rv->a, rv->ad, ignored };
    const struct json *first = check_selector(&quiet, x, "");
    const struct json *second = check_selector(&quiet, y, "");
    return first && second && json_equal(first, second);
}

/* ---- images ------------------------------------------------------------------------------------- */

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Letters and digits, joined by one dot, one or two underscores, or any number of dashes. */
static bool path_component(const char *s, size_t len)
{
    size_t i = 0;
    for (;;) {
        size_t start = i;
        while (i < len && is_lower_alnum(s[i]))
            i++;
        if (i == start)
            return false;
        if (i == len)
            return true;
        size_t joint = i;
        char c = s[i];
        while (i < len && s[i] == c)
            i++;
        if (c == '.' ? i - joint > 1 : c == '_' ? i - joint > 2 : c != '-')
            return false;
    }
}

static bool image_path(const char *s, size_t len)
{
    while (len > 0) {
        const char *slash = memchr(s, '/', len);
        size_t part = slash ? (size_t)(slash - s) : len;
        if (!path_component(s, part))
            return false;
        if (!slash)
            return true;
        s += part + 1;
        len -= part + 1;
    }
    return false;
}

static bool host_label(const char *s, size_t len)
{
    if (len == 0 || s[0] == '-' || s[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '-')
            return false;
    return true;
}

static bool all_digits(const char *s, size_t len)
{
    return len > 0 && strspn(s, "0123456789") >= len;
}

static bool image_host(struct arena *a, const char *s, size_t len)
{
    char *host = arena_strndup(a, s, len);
    char *port = strrchr(host, ':');
    if (port && !strchr(port, ']')) {
        *port++ = '\0';
        if (!all_digits(port, strlen(port)))
            return false;
    }
    len = strlen(host);
    if (len > 2 && host[0] == '[' && host[len - 1] == ']')
        return strspn(host + 1, "0123456789abcdefABCDEF:") == len - 2;
    size_t n = 0;
    char **parts = str_split(a, host, '.', &n);
    for (size_t i = 0; i < n; i++)
        if (!host_label(parts[i], strlen(parts[i])))
            return false;
    return true;
}

static bool is_host(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] == '.' || s[i] == ':' || isupper((unsigned char)s[i]))
            return true;
    return len == 9 && memcmp(s, "localhost", 9) == 0;
}

static bool image_tag(const char *s)
{
    size_t len = strlen(s);
    if (len == 0 || len > 128 || (!isalnum((unsigned char)s[0]) && s[0] != '_'))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("_.-", s[i]))
            return false;
    return true;
}

/* "sha256:" and the digits that belong to it. */
static bool image_digest(const char *s)
{
    static const struct {
        const char *prefix;
        size_t digits;
    } algorithms[] = { { "sha256:", 64 }, { "sha384:", 96 }, { "sha512:", 128 } };
    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        const char *hex = str_skip_prefix(s, algorithms[i].prefix);
        if (hex)
            return strlen(hex) == algorithms[i].digits &&
                   strspn(hex, "0123456789abcdef") == algorithms[i].digits;
    }
    return false;
}

bool image_reference_valid(const char *image)
{
    AUTO_ARENA a = arena_new();
    char *name = arena_strdup(a, image);
    char *digest = strchr(name, '@');
    if (digest) {
        *digest++ = '\0';
        if (!image_digest(digest))
            return false;
    }
    char *last = strrchr(name, '/');
    char *tag = strchr(last ? last : name, ':');
    if (tag) {
        *tag++ = '\0';
        if (!image_tag(tag))
            return false;
    }
    if (strlen(name) > 255)
        return false;
    char *slash = strchr(name, '/');
    if (!slash || !is_host(name, (size_t)(slash - name)))
        return image_path(name, strlen(name));
    return image_host(a, name, (size_t)(slash - name)) && image_path(slash + 1, strlen(slash + 1));
}
