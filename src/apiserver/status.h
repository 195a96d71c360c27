/* Status objects: every error answer of the API. */
#pragma once

#include "json/json.h"
#include "schema/schema.h"

/* reason: "NotFound", "AlreadyExists", "Conflict", "Invalid", "BadRequest", "Forbidden", "Gone", "Expired",
 * "MethodNotAllowed", "NotAcceptable", "UnsupportedMediaType", "RequestEntityTooLarge", "TooManyRequests",
 * "InternalError", "Unauthorized", "Timeout", "ServiceUnavailable". The code follows from it. details may be NULL. */
struct json *status_make(struct arena *a, const char *reason, const char *message, struct json *details);
int status_code(const char *reason);

/* `StatefulSet.apps "x" is invalid: [spec.a: Required value, …]` with causes, as the API server composes it. */
struct json *status_invalid(struct arena *a, const char *group, const char *kind, const char *name,
                            const struct field_errors *errors);
