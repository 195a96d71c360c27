#include "apiserver/status.h"

#include <stdlib.h>

#include "base/str.h"
#include "json/build.h"

static const struct {
    const char *reason;
    int status;
    enum error_code code;
} reasons[] = {
    { "BadRequest", 400, ERROR_INVALID },
    { "Unauthorized", 401, ERROR_UNAUTHORIZED },
    { "Forbidden", 403, ERROR_FORBIDDEN },
    { "NotFound", 404, ERROR_NOT_FOUND },
    { "MethodNotAllowed", 405, ERROR_UNSUPPORTED },
    { "NotAcceptable", 406, ERROR_UNSUPPORTED },
    { "AlreadyExists", 409, ERROR_ALREADY_EXISTS },
    { "Conflict", 409, ERROR_CONFLICT },
    { "Gone", 410, ERROR_GONE },
    { "Expired", 410, ERROR_GONE },
    { "RequestEntityTooLarge", 413, ERROR_TOO_LARGE },
    { "UnsupportedMediaType", 415, ERROR_UNSUPPORTED },
    { "Invalid", 422, ERROR_INVALID },
    { "TooManyRequests", 429, ERROR_TOO_MANY },
    { "InternalError", 500, ERROR_INTERNAL },
    { "ServiceUnavailable", 503, ERROR_UNAVAILABLE },
    { "Timeout", 504, ERROR_TIMEOUT },
    { "InsufficientStorage", 507, ERROR_IO },
};

int status_code(const char *reason)
{
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        if (str_eq(reasons[i].reason, reason))
            return reasons[i].status;
    }
    return 500;
}

int status_result(const struct json *status)
{
    const char *reason = json_find_str(status, "reason");
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        if (str_eq(reasons[i].reason, reason))
            return -(int)reasons[i].code;
    }
    return -ERROR_INTERNAL;
}

/* clang-format off */
struct json *status_make(struct arena *a, const char *reason, const char *message, struct json *details)
{
    return OBJ("kind", STR("Status"),
               "apiVersion", STR("v1"),
               "metadata", EMPTY_OBJ(),
               "status", STR("Failure"),
               "message", STR(message),
               "reason", STR(reason),
               "details", details,
               "code", INT(status_code(reason)));
}
/* clang-format on */

/* clang-format off */
struct json *status_details(struct arena *a, const char *group, const char *kind_or_plural, const char *name)
{
    return OBJ("name", str_empty(name) ? NULL : STR(name),
               "group", str_empty(group) ? NULL : STR(group),
               "kind", str_empty(kind_or_plural) ? NULL : STR(kind_or_plural));
}
/* clang-format on */

char *status_qualified(struct arena *a, const char *group, const char *kind_or_plural)
{
    return str_empty(group) ? arena_strdup(a, kind_or_plural)
                            : arena_printf(a, "%s.%s", kind_or_plural, group);
}

/* One line for all, as the aggregate of a Go field.ErrorList prints: equal ones once, brackets
 * around several. */
static char *join_errors(struct arena *a, const struct field_errors *errors)
{
    char **lines = arena_alloc(a, MAX(errors->count, (size_t)1) * sizeof *lines);
    size_t n = 0;
    for (size_t i = 0; i < errors->count; i++) {
        const struct field_error *e = &errors->items[i];
        char *line = str_empty(e->field) ? arena_strdup(a, e->message)
                                         : arena_printf(a, "%s: %s", e->field, e->message);
        bool seen = false;
        for (size_t j = 0; j < n && !seen; j++)
            seen = STREQ(lines[j], line);
        if (!seen)
            lines[n++] = line;
    }
    if (n == 1)
        return lines[0];
    AUTO_BUF text = BUF_INIT(1 * MIB);
    for (size_t i = 0; i < n; i++) {
        size_t before = text.len;
        buf_printf(&text, "%s%s", i ? ", " : "[", lines[i]);
        if (text.len == before)
            break;
    }
    buf_putc(&text, ']');
    return arena_strdup(a, buf_str(&text));
}

struct json *status_invalid(struct arena *a, const char *group, const char *kind, const char *name,
                            const struct field_errors *errors)
{
    struct json *details = status_details(a, group, kind, name);
    struct json *causes = EMPTY_ARR();
    for (size_t i = 0; i < errors->count; i++) {
        const struct field_error *e = &errors->items[i];
        json_append(causes, OBJ("reason", STR(e->type), "message", STR(e->message), "field",
                                STR(e->field)));
    }
    if (errors->count > 0)
        json_set(a, details, "causes", causes);
    const char *message = arena_printf(a, "%s %s is invalid%s%s", status_qualified(a, group, kind),
                                       go_quote(a, name ? name : ""), errors->count ? ": " : "",
                                       errors->count ? join_errors(a, errors) : "");
    return status_make(a, "Invalid", message, details);
}

struct json *status_from_error(struct arena *a, const struct error *err)
{
    const char *reason = error_reason(err);
    if (!reason) {
        switch (error_code(err)) {
        case ERROR_INVALID:
            reason = "Invalid";
            break;
        case ERROR_UNSUPPORTED:
            reason = "BadRequest";
            break;
        case ERROR_NOT_FOUND:
            reason = "NotFound";
            break;
        case ERROR_ALREADY_EXISTS:
            reason = "AlreadyExists";
            break;
        case ERROR_CONFLICT:
            reason = "Conflict";
            break;
        case ERROR_GONE:
            reason = "Expired";
            break;
        case ERROR_FORBIDDEN:
            reason = "Forbidden";
            break;
        case ERROR_TOO_LARGE:
            reason = "RequestEntityTooLarge";
            break;
        case ERROR_TOO_MANY:
            reason = "TooManyRequests";
            break;
        case ERROR_TIMEOUT:
            reason = "Timeout";
            break;
        case ERROR_UNAVAILABLE:
            reason = "ServiceUnavailable";
            break;
        default:
            reason = "InternalError";
        }
    }
    return status_make(a, reason, error_message(err), NULL);
}

/* ---- values in messages ------------------------------------------------------------------------------------------- */

char *go_quote(struct arena *a, const char *s)
{
    AUTO_BUF out = BUF_INIT(64 * MIB);
    buf_putc(&out, '"');
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        switch (*p) {
        case '"':
        case '\\':
            buf_printf(&out, "\\%c", *p);
            break;
        case '\a':
            buf_puts(&out, "\\a");
            break;
        case '\b':
            buf_puts(&out, "\\b");
            break;
        case '\f':
            buf_puts(&out, "\\f");
            break;
        case '\v':
            buf_puts(&out, "\\v");
            break;
        case '\n':
            buf_puts(&out, "\\n");
            break;
        case '\r':
            buf_puts(&out, "\\r");
            break;
        case '\t':
            buf_puts(&out, "\\t");
            break;
        default:
            if (*p < 0x20 || *p == 0x7f)
                buf_printf(&out, "\\x%02x", *p);
            else
                buf_putc(&out, (char)*p);
        }
    }
    buf_putc(&out, '"');
    return arena_strndup(a, buf_str(&out), out.len);
}

static int compare_keys(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void print_value(struct arena *a, const struct json *v, struct buf *out)
{
    if (json_is_array(v)) {
        buf_putc(out, '[');
        JSON_FOREACH(it, v) {
            if (it.index > 0)
                buf_putc(out, ' ');
            print_value(a, it.value, out);
        }
        buf_putc(out, ']');
    } else if (json_is_object(v)) {
        const char **keys = arena_alloc(a, MAX(json_size(v), (size_t)1) * sizeof *keys);
        size_t n = 0;
        JSON_FOREACH(it, v)
            keys[n++] = it.key;
        qsort(keys, n, sizeof *keys, compare_keys);
        buf_puts(out, "map[");
        for (size_t i = 0; i < n; i++) {
            buf_printf(out, "%s%s:", i ? " " : "", keys[i]);
            print_value(a, json_get(v, keys[i]), out);
        }
        buf_putc(out, ']');
    } else if (json_is_string(v)) {
        buf_puts(out, json_string(v));
    } else if (json_is_null(v)) {
        buf_puts(out, "<nil>");
    } else {
        json_write(v, out);
    }
}

char *go_print(struct arena *a, const struct json *v)
{
    AUTO_BUF out = BUF_INIT(4 * MIB);
    print_value(a, v, &out);
    return arena_strndup(a, buf_str(&out), out.len);
}
