/* Requests that the server makes to itself: the same path as those of clients, so that the same
 * rules hold. */
#pragma once

#include "apiserver/request.h"

/* ret (may be NULL): the answer's value. Negative: the Status is in *ret. content_type NULL: JSON.
 * body NULL: none. */
int inside_request(struct apiserver *s, struct arena *a, const char *method, const char *path,
                   const char *content_type, const struct json *body, struct json **ret);
