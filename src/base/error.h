/* Errors are values.
 *
 * A function that can fail returns int (0, or the negative of an `enum error_code`) and takes
 * `struct error **err` last. On failure *err holds a new error, owned by the caller; on success it
 * is untouched. `err` may be NULL when the caller does not want the text. Each caller that knows
 * more adds context in front with error_prefix(). Libraries never log an error; the edge (reconcile
 * loop, request handler, main) does, once. */
#pragma once

#include "base/macros.h"

enum error_code {
    ERROR_OK = 0,
    ERROR_INVALID, /* the input is wrong; the text names the field, the value and the way out */
    ERROR_NOT_FOUND,
    ERROR_ALREADY_EXISTS,
    ERROR_CONFLICT, /* optimistic lock: read again and retry */
    ERROR_GONE,     /* the resourceVersion is too old: list again */
    ERROR_UNAUTHORIZED,
    ERROR_FORBIDDEN, /* also: no permission on a file or port */
    ERROR_TOO_LARGE, /* a cap was hit */
    ERROR_TOO_MANY,  /* rate limited; see error_retry_after_ms() */
    ERROR_TIMEOUT,
    ERROR_UNAVAILABLE, /* the other side cannot be reached now; a retry may help */
    ERROR_CANCELLED,
    ERROR_UNSUPPORTED, /* known, and refused by name */
    ERROR_IO,
    ERROR_INTERNAL,
};

struct error;

/* Sets *err (if err is not NULL) and returns -code. *err must be NULL before. */
int error_set(struct error **err, enum error_code code, const char *fmt, ...) ATTR_PRINTF(3, 4);

/* The same from an errno value: picks the code (ENOENT → NOT_FOUND, EACCES → FORBIDDEN, EEXIST,
 * ENOSPC → IO …) and ends the text with ": " and the errno's words. */
int error_set_errno(struct error **err, int errnum, const char *fmt, ...) ATTR_PRINTF(3, 4);

/* Puts "context: " in front of the text. Returns `r` unchanged, so that `return error_prefix(err,
 * r, "…")` reads well. */
int error_prefix(struct error **err, int r, const char *fmt, ...) ATTR_PRINTF(3, 4);

/* The machine-readable reason of an API error ("AlreadyExists", "NodeNotReady"), and the wait the
 * server asked for. */
void error_set_reason(struct error *err, const char *reason);
void error_set_retry_after(struct error *err, int64_t ms);

const char *error_message(const struct error *err); /* "" for NULL */
enum error_code error_code(const struct error *err);
const char *error_reason(const struct error *err); /* NULL when none */
int64_t error_retry_after_ms(const struct error *err);
const char *error_code_name(enum error_code code);

void error_free(struct error *err);
DEFINE_CLEANUP(struct error *, error_free, error_cleanup)
