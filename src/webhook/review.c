/* AdmissionReview (admission.k8s.io/v1): the envelope. What is inside is the reviewer's. */
#include "base/log.h"
#include "base/str.h"
#include "webhook/internal.h"
#include "json/build.h"

#define API_VERSION "admission.k8s.io/v1"

static int check_envelope(const struct json *review, struct error **err)
{
    const char *kind = json_find_str(review, "kind");
    const char *version = json_find_str(review, "apiVersion");
    if (!json_is_object(review) || !str_eq(kind, "AdmissionReview"))
        return error_set(err, ERROR_INVALID,
                         "the body is not an AdmissionReview (kind is \"%.100s\")",
                         str_or_empty(kind));
    if (!str_eq(version, API_VERSION))
        return error_set(err, ERROR_INVALID,
                         "apiVersion of the AdmissionReview is \"%.100s\"; " API_VERSION
                         " is served: set admissionReviewVersions of the webhook to [v1]",
                         str_or_empty(version));
    return 0;
}

static bool is_absent_or_object(const struct json *v)
{
    return json_is_null(v) || json_is_object(v);
}

/* What every reviewer relies on. */
static int check_request(const struct json *request, struct error **err)
{
    if (!json_is_object(request))
        return error_set(err, ERROR_INVALID, "the AdmissionReview has no request");
    if (str_empty(json_find_str(request, "uid")))
        return error_set(err, ERROR_INVALID, "request.uid of the AdmissionReview is missing");
    if (!json_is_string(json_get(request, "operation")))
        return error_set(err, ERROR_INVALID, "request.operation of the AdmissionReview is missing");
    static const char *const objects[] = { "object", "oldObject", "options",
                                           "kind",   "resource",  "userInfo" };
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        if (!is_absent_or_object(json_get(request, objects[i])))
            return error_set(err, ERROR_INVALID,
                             "request.%s of the AdmissionReview is not an object", objects[i]);
    }
    return 0;
}

/* A reviewer that could not judge: refused, for the webhook is there to keep out what was not
 * looked at. */
static struct json *failed(struct arena *a, const struct error *err)
{
    return OBJ("allowed", BOOL(false), "status",
               OBJ("code", INT(500), "reason", STR("InternalError"), "status", STR("Failure"),
                   "message", STRF("the request could not be judged: %s", error_message(err))));
}

int review_answer(struct arena *a, const char *body, size_t len, webhook_review_fn *review,
                  void *ctx, struct json **ret, struct error **err)
{
    struct json *in = NULL;
    int r = json_parse(a, body, len, &in, err);
    if (r < 0)
        return error_prefix(err, -ERROR_INVALID, "the body is not JSON");
    r = check_envelope(in, err);
    const struct json *request = json_get(in, "request");
    if (r == 0)
        r = check_request(request, err);
    if (r < 0)
        return r;

    struct json *response = NULL;
    CLEANUP(error_cleanup) struct error *why = NULL;
    if (review(ctx, a, request, &response, &why) < 0 || !json_is_object(response)) {
        log_error("a review failed", "uid", json_find_str(request, "uid"), "error",
                  error_message(why), NULL);
        response = failed(a, why);
    }
    json_set(a, response, "uid", json_clone(a, json_get(request, "uid")));
    *ret =
        OBJ("apiVersion", STR(API_VERSION), "kind", STR("AdmissionReview"), "response", response);
    return 0;
}
