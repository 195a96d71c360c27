/* Who is asked before a write is carried out: reviewers in this process (apiserver.h), then the
 * webhooks of ValidatingWebhookConfigurations that are about the request, as the real API server
 * asks them. They are asked after validation, outside of the store's lock, for what they do may
 * take seconds and may read from this server. */
#pragma once

#include "apiserver/request.h"

/* True when a request of this operation ("CREATE", "UPDATE", "DELETE") may have to be reviewed. */
bool admission_concerns(struct api_request *rq, const char *operation);
/* A write as reviewers are told of it. */
struct admission_attributes {
    const char *operation;
    const char *name;       /* "" when one of many is deleted */
    const struct json *obj; /* as it will be, in the request's version; NULL when it is deleted */
    const struct json *old; /* as it is; NULL when it is created */
    const struct json *options; /* members of DeleteOptions; NULL: those of the query alone */
};

/* Asks all of them in turn; fails with the first denial. Warnings go to the client. */
int admission_review_write(struct api_request *rq, const struct admission_attributes *at);

/* ---- webhook_match.c: which webhooks are about a request (it reads the namespace's labels) ---- */

struct matched_webhook {
    const struct json *webhook;
    const struct served_kind *as; /* in whose version the objects are to be sent */
};

/* false: it is not asked. */
bool webhook_matches(struct api_request *rq, const struct json *webhook,
                     const struct admission_attributes *at, struct matched_webhook *ret);

/* ---- webhook_call.c ---- */

struct webhook_callers;
struct webhook_callers *webhook_callers_new(void);
void webhook_callers_free(struct webhook_callers *c); /* no call may be under way */

/* Sends an AdmissionReview to the webhook. *ret: its response, whose uid is the request's. Errors:
 * ERROR_UNAVAILABLE and others with the text that the real API server would give. */
int webhook_call(struct api_request *rq, const struct json *webhook, const struct json *review,
                 struct json **ret, struct error **err);
