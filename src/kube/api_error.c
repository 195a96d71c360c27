#include "kube/api_error.h"

#include "base/str.h"

#define SHOWN_BODY 200

static enum error_code code_of(int http_status, const char *reason)
{
    switch (http_status) {
    case 400:
    case 422:
        return ERROR_INVALID;
    case 401:
        return ERROR_UNAUTHORIZED;
    case 403:
        return ERROR_FORBIDDEN;
    case 404:
        return ERROR_NOT_FOUND;
    case 405:
    case 406:
    case 415:
    case 501:
        return ERROR_UNSUPPORTED;
    case 409:
        return str_eq(reason, "AlreadyExists") ? ERROR_ALREADY_EXISTS : ERROR_CONFLICT;
    case 410:
        return ERROR_GONE;
    case 413:
        return ERROR_TOO_LARGE;
    case 429:
        return ERROR_TOO_MANY;
    case 408:
    case 504:
        return ERROR_TIMEOUT;
    case 502:
    case 503:
        return ERROR_UNAVAILABLE;
    default:
        return str_eq(reason, "ServerTimeout") || str_eq(reason, "Timeout") ? ERROR_TIMEOUT
                                                                            : ERROR_INTERNAL;
    }
}

static int set_error(int http_status, const char *reason, int64_t retry_after_ms,
                     struct error **err, const char *message)
{
    int r = error_set(err, code_of(http_status, reason), "%s", message);
    if (err && !str_empty(reason))
        error_set_reason(*err, reason);
    if (err && retry_after_ms > 0)
        error_set_retry_after(*err, retry_after_ms);
    return r;
}

static int from_status(const struct json *status, int http_status, int64_t retry_after_ms,
                       struct error **err)
{
    const char *reason = json_find_str(status, "reason");
    const char *message = json_find_str(status, "message");
    if (retry_after_ms == 0)
        retry_after_ms =
            1000 * MIN(json_find_int(status, 0, "details", "retryAfterSeconds"), (int64_t)86400);
    if (str_empty(message))
        message = str_empty(reason) ? "the server gave no reason" : reason;
    return set_error(http_status, reason, retry_after_ms, err, message);
}

int kube_error_from_status(const struct json *status, struct error **err)
{
    return from_status(status, (int)json_find_int(status, 500, "code"), 0, err);
}

/* The start of a body on one line, so that a proxy's HTML page does not flood a condition. */
static char *shown(struct arena *a, const char *body, size_t len)
{
    size_t cut = str_utf8_valid_len(body, MIN(len, (size_t)SHOWN_BODY));
    char *text = arena_strndup(a, body, cut);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    text = str_trim(a, text);
    return *text && cut < len ? arena_printf(a, "%s…", text) : text;
}

int kube_error_from_answer(int http_status, const char *body, size_t len, int64_t retry_after_ms,
                           struct error **err)
{
    AUTO_ARENA a = arena_new();
    struct json *status = NULL;
    if (len > 0 && json_parse(a, body, len, &status, NULL) == 0 &&
        str_eq(json_find_str(status, "kind"), "Status"))
        return from_status(status, http_status, retry_after_ms, err);
    char *text = shown(a, len > 0 ? body : "", len);
    text = *text ? arena_printf(a, "the server answered %d: %s", http_status, text)
                 : arena_printf(a, "the server answered %d", http_status);
    return set_error(http_status, NULL, retry_after_ms, err, text);
}
