/* Paths to fields, and errors about them in the API server's words.
 *
 * A path is a chain of compound literals on the C stack, so walking an object builds no strings
 * until something is wrong:
 *
 *     const struct field_path *spec = FIELD(NULL, "spec");
 *     field_required(errors, FIELD(FIELD_AT(containers, i), "image"), NO_DETAIL);
 *
 * adds `spec.containers[0].image: Required value`. */
#pragma once

#include "schema/schema.h"

struct field_path {
    const struct field_path *up; /* NULL: the root */
    const char *name;            /* ".name" */
    const char *key;             /* "[key]" */
    size_t index;                /* "[3]" when name and key are NULL */
};
#define FIELD(up, name) (&(const struct field_path){ (up), (name), NULL, 0 })
#define FIELD_KEY(up, key) (&(const struct field_path){ (up), NULL, (key), 0 })
#define FIELD_AT(up, index) (&(const struct field_path){ (up), NULL, NULL, (index) })

/* In the place of a detail and its arguments. */
#define NO_DETAIL "%s", ""

/* "spec.containers[0].image"; "<nil>" for NULL, as the API server writes it. */
char *field_path_text(struct arena *a, const struct field_path *p);

/* At most this many errors are kept; an object with more is as wrong with them as without. */
#define FIELD_ERRORS_MAX 1000

/* A value in an error: strings quoted as Go quotes them, other scalars plain, containers as compact
 * JSON. */
char *field_value_text(struct arena *a, const struct json *v);
char *field_quote(struct arena *a, const char *s, size_t len);

void field_required(struct field_errors *e, const struct field_path *p, const char *detail, ...)
    ATTR_PRINTF(3, 4);
void field_forbidden(struct field_errors *e, const struct field_path *p, const char *detail, ...)
    ATTR_PRINTF(3, 4);
void field_invalid(struct field_errors *e, const struct field_path *p, const struct json *value,
                   const char *detail, ...) ATTR_PRINTF(4, 5);
void field_invalid_str(struct field_errors *e, const struct field_path *p, const char *value,
                       const char *detail, ...) ATTR_PRINTF(4, 5);
/* The value's text is given as it is to be shown. */
void field_invalid_raw(struct field_errors *e, const struct field_path *p, const char *value,
                       const char *detail, ...) ATTR_PRINTF(4, 5);
void field_invalid_int(struct field_errors *e, const struct field_path *p, int64_t value,
                       const char *detail, ...) ATTR_PRINTF(4, 5);
void field_type_invalid(struct field_errors *e, const struct field_path *p, const char *value,
                        const char *detail, ...) ATTR_PRINTF(4, 5);
void field_duplicate(struct field_errors *e, const struct field_path *p, const struct json *value);
void field_duplicate_str(struct field_errors *e, const struct field_path *p, const char *value);
void field_not_found_str(struct field_errors *e, const struct field_path *p, const char *value);
/* supported: NULL-terminated, in the order in which they are to be shown. */
void field_not_supported(struct field_errors *e, const struct field_path *p,
                         const struct json *value, const char *const *supported);
void field_not_supported_str(struct field_errors *e, const struct field_path *p, const char *value,
                             const char *const *supported);
void field_too_long(struct field_errors *e, const struct field_path *p, int64_t max);
void field_too_many(struct field_errors *e, const struct field_path *p, int64_t actual,
                    int64_t max);

/* Adds an "Invalid value" whose detail is the text of err, which is freed; nothing when err is
 * NULL. */
void field_invalid_err(struct field_errors *e, const struct field_path *p, const char *value,
                       struct error *err);
