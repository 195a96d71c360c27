/* The first step of every write: from the bytes that a client has sent to an object of the kind. */
#pragma once

#include "apiserver/request.h"

/* The body of a create or update, decoded: of the request's kind, types checked, unknown fields
 * gone (with warnings) or refused. */
int write_read(struct api_request *rq, struct json **ret);
/* kind and apiVersion of a custom resource are those of the request. */
int write_check_custom_type(struct api_request *rq, const struct json *obj);
/* Checks JSON types and drops unknown fields, whose paths are appended to `unknown`; the error is
 * the decoder's. */
int write_decode(struct api_request *rq, struct json *obj, struct json *unknown,
                 struct error **err);
/* `strict decoding error: unknown field "spec.x", …` */
const char *write_strict_text(struct arena *a, const struct json *unknown,
                              const struct json *duplicates);
void write_warn_unknown(struct api_request *rq, const struct json *unknown,
                        const struct json *duplicates);
