/* What the API server says when it refuses, as an error. For the files of this folder. */
#pragma once

#include "json/json.h"

/* From an answer: code from the HTTP status, reason and message from the body when it is a Status;
 * else the text tells the status and the start of the body. Returns the negative code. */
int kube_error_from_answer(int http_status, const char *body, size_t len, int64_t retry_after_ms,
                           struct error **err);
/* From a Status object, as in ERROR events of a watch. */
int kube_error_from_status(const struct json *status, struct error **err);
