/* Between the OpenAPI documents and their schemas. */
#pragma once

#include "apiserver/request.h"

/* The schema of a kind; the structs that it refers to are added to `schemas` (by their Go names)
 * unless they are there. */
struct json *openapi_schema(struct api_request *rq, const struct served_kind *sk,
                            struct json *schemas);
