/* The bodies of PATCH: JSON patch, merge patch, strategic merge patch, server-side apply. */
#pragma once

#include "apiserver/request.h"

enum patch_kind { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };

struct patch {
    enum patch_kind kind;
    struct json *value;
    const struct json *duplicates;
};

/* From Content-Type and body. */
int patch_parse(struct api_request *rq, struct patch *ret);
/* The patched object, decoded: types checked, unknown fields gone or refused. `old` is not changed;
 * NULL, for apply only: there is none. What was applied has its managers, others are to be tracked.
 */
int patch_apply(struct api_request *rq, const struct patch *p, const struct json *old,
                struct json **ret);
