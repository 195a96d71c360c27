#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct error {
    enum error_code code;
    char *message;
    char *reason;
    int64_t retry_after_ms;
};

static ATTR_PRINTF(1, 0) char *text_of(const char *fmt, va_list ap)
{
    char *s = NULL;
    if (vasprintf(&s, fmt, ap) < 0)
        return mem_strdup(fmt);
    return s;
}

/* Takes over `message`. An error that was there before is dropped, since two cannot be told apart
 * by the caller. */
static void error_put(struct error **err, enum error_code code, char *message)
{
    struct error *e = NEW0(struct error);
    e->code = code;
    e->message = message;
    error_free(*err);
    *err = e;
}

int error_set(struct error **err, enum error_code code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        error_put(err, code, text_of(fmt, ap));
        va_end(ap);
    }
    return -(int)code;
}

static enum error_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
    case ESRCH:
    case ENXIO:
    case ENODEV:
        return ERROR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERROR_FORBIDDEN;
    case EEXIST:
    case ENOTEMPTY:
        return ERROR_ALREADY_EXISTS;
    case EADDRINUSE:
    case EBUSY:
    case ETXTBSY:
        return ERROR_CONFLICT;
    case EINVAL:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENOEXEC:
        return ERROR_INVALID;
    case EFBIG:
    case EMSGSIZE:
    case E2BIG:
    case EOVERFLOW:
        return ERROR_TOO_LARGE;
    case ETIMEDOUT:
    case ETIME:
        return ERROR_TIMEOUT;
    case ECANCELED:
    case EINTR:
        return ERROR_CANCELLED;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
    case ENOTCONN:
        return ERROR_UNAVAILABLE;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
        return ERROR_UNSUPPORTED;
    default:
        return ERROR_IO;
    }
}

int error_set_errno(struct error **err, int errnum, const char *fmt, ...)
{
    enum error_code code = code_of_errno(errnum);
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        AUTO_FREE char *context = text_of(fmt, ap);
        va_end(ap);
        error_put(err, code, mem_printf("%s: %s", context, strerror(errnum)));
    }
    return -(int)code;
}

int error_prefix(struct error **err, int r, const char *fmt, ...)
{
    if (!err || !*err)
        return r;
    va_list ap;
    va_start(ap, fmt);
    AUTO_FREE char *context = text_of(fmt, ap);
    va_end(ap);
    char *joined = mem_printf("%s: %s", context, (*err)->message);
    free((*err)->message);
    (*err)->message = joined;
    return r;
}

void error_set_reason(struct error *err, const char *reason)
{
    if (!err)
        return;
    char *copy = mem_strdup(reason);
    free(err->reason);
    err->reason = copy;
}

void error_set_retry_after(struct error *err, int64_t ms)
{
    if (err)
        err->retry_after_ms = ms;
}

const char *error_message(const struct error *err)
{
    return err ? err->message : "";
}

enum error_code error_code(const struct error *err)
{
    return err ? err->code : ERROR_OK;
}

const char *error_reason(const struct error *err)
{
    return err ? err->reason : NULL;
}

int64_t error_retry_after_ms(const struct error *err)
{
    return err ? err->retry_after_ms : 0;
}

const char *error_code_name(enum error_code code)
{
    static const char *const names[] = {
        [ERROR_OK] = "ok",
        [ERROR_INVALID] = "invalid",
        [ERROR_NOT_FOUND] = "not found",
        [ERROR_ALREADY_EXISTS] = "already exists",
        [ERROR_CONFLICT] = "conflict",
        [ERROR_GONE] = "gone",
        [ERROR_UNAUTHORIZED] = "unauthorized",
        [ERROR_FORBIDDEN] = "forbidden",
        [ERROR_TOO_LARGE] = "too large",
        [ERROR_TOO_MANY] = "too many requests",
        [ERROR_TIMEOUT] = "timeout",
        [ERROR_UNAVAILABLE] = "unavailable",
        [ERROR_CANCELLED] = "cancelled",
        [ERROR_UNSUPPORTED] = "unsupported",
        [ERROR_IO] = "i/o",
        [ERROR_INTERNAL] = "internal",
    };
    return (size_t)code < COUNT_OF(names) ? names[code] : "unknown";
}

void error_free(struct error *err)
{
    if (!err)
        return;
    free(err->message);
    free(err->reason);
    free(err);
}
