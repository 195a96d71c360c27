/* Status objects: every error answer of the API. */
#pragma once

#include "schema/schema.h"
#include "json/json.h"

struct kube_resource;

/* reason: "NotFound", "AlreadyExists", "Conflict", "Invalid", "BadRequest", "Forbidden", "Gone",
 * "Expired", "MethodNotAllowed", "NotAcceptable", "UnsupportedMediaType", "RequestEntityTooLarge",
 * "TooManyRequests", "InternalError", "Unauthorized", "Timeout", "ServiceUnavailable",
 * "InsufficientStorage". The code follows from it. details may be NULL. */
struct json *status_make(struct arena *a, const char *reason, const char *message,
                         struct json *details);
int status_code(const char *reason);

/* `StatefulSet.apps "x" is invalid: [spec.a: Required value, …]` with causes, as the API server
 * composes it. */
struct json *status_invalid(struct arena *a, const char *group, const char *kind, const char *name,
                            const struct field_errors *errors);

/* {"name", "group", "kind": kind_or_plural}, as `details`; name NULL: none. */
struct json *status_details(struct arena *a, const char *group, const char *kind_or_plural,
                            const char *name);
/* "statefulsets.apps", "pods" */
char *status_qualified(struct arena *a, const char *group, const char *kind_or_plural);
/* A Status for an error of a layer below, by its code and reason. */
struct json *status_from_error(struct arena *a, const struct error *err);
/* The negative error code that goes with a Status. */
int status_result(const struct json *status);

/* A Go string literal, as messages show values (%q). */
char *go_quote(struct arena *a, const char *s);
/* A value as Go's %v prints a map[string]interface{}. */
char *go_print(struct arena *a, const struct json *v);
