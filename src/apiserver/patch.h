/* The bodies of PATCH: JSON patch, merge patch, strategic merge patch. Server-side apply is refused
 * by name. */
#pragma once

#include "apiserver/request.h"

enum patch_kind { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC };

struct patch {
    enum patch_kind kind;
    struct json *value;
    const struct json *duplicates;
};

/* From Content-Type and body. */
int patch_parse(struct api_request *rq, struct patch *ret);
/* The patched object, decoded: types checked, unknown fields gone or refused. `old` is not changed.
 */
int patch_apply(struct api_request *rq, const struct patch *p, const struct json *old,
                struct json **ret);
