/* What there is: versions, groups, resources, and the OpenAPI documents that kubectl asks for. */
#pragma once

#include "apiserver/request.h"

int discovery_version(struct api_request *rq, struct api_reply *reply);
int discovery_core_versions(struct api_request *rq, struct api_reply *reply); /* /api */
int discovery_groups(struct api_request *rq,
                     struct api_reply *reply); /* /apis, the aggregated form too */
/* -ERROR_NOT_FOUND without a failure: no such group or version. */
int discovery_group(struct api_request *rq, const char *group, struct api_reply *reply);
int discovery_resources(struct api_request *rq, const char *group, const char *version,
                        struct api_reply *reply);

/* openapi.c */
int discovery_openapi_v2(struct api_request *rq, struct api_reply *reply);
int discovery_openapi_v3_index(struct api_request *rq, struct api_reply *reply);
int discovery_openapi_v3(struct api_request *rq, const char *document, struct api_reply *reply);
