/* The subresource pods/binding. */
#pragma once

#include "apiserver/request.h"

int binding_create(struct api_request *rq, struct api_reply *reply);
