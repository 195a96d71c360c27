/* From a request to a reply: path, content types, verb. */
#pragma once

#include "apiserver/request.h"

/* Answers; errors are replies too. The request's first part is filled in; afterwards the reply is
 * complete, or has a stream. Writes block until they are durable. */
void api_handle(struct api_request *rq, struct api_reply *reply);

/* The request only reads one small thing: it may run on a thread that must not block. */
bool api_is_quick(const char *method, const char *path, const char *raw_query, const char *accept);
