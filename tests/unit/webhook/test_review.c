/* Envelopes: what is answered, and what is no review. */
#include <stdlib.h>

#include "base/log.h"
#include "unit.h"
#include "webhook/internal.h"
#include "json/build.h"

static int admits(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                  struct error **err)
{
    (*(int *)ctx)++;
    *ret = OBJ("allowed", BOOL(true), "warnings", ARR(STR("careful")));
    return 0;
}

static int breaks(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                  struct error **err)
{
    return error_set(err, ERROR_UNAVAILABLE, "nobody is home");
}

static int says_nothing(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                        struct error **err)
{
    return 0;
}

static void no_log(const char *line, size_t len, void *ctx) {}

#define ENVELOPE(request)                                                                          \
    "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":" request "}"
#define REQUEST ENVELOPE("{\"uid\":\"u\",\"operation\":\"CREATE\",\"object\":{\"a\":1}}")

static struct json *answer(struct arena *a, const char *body, webhook_review_fn *review)
{
    int calls = 0;
    struct json *out = NULL;
    struct error *err = NULL;
    if (review_answer(a, body, strlen(body), review, &calls, &out, &err) < 0)
        fail_msg("%s: %s", body, error_message(err));
    return out;
}

static void a_review_is_answered_under_its_uid(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(
        json_text(a, answer(a, REQUEST, admits)),
        "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\","
        "\"response\":{\"allowed\":true,\"warnings\":[\"careful\"],\"uid\":\"u\"}}");
}

static void what_cannot_be_judged_is_refused(void **state)
{
    AUTO_ARENA a = arena_new();
    log_set_sink(no_log, NULL);
    const struct json *r = json_get(answer(a, REQUEST, breaks), "response");
    assert_false(json_find_bool(r, true, "allowed"));
    assert_int_equal(json_find_int(r, 0, "status", "code"), 500);
    assert_string_equal(json_find_str(r, "status", "message"),
                        "the request could not be judged: nobody is home");
    r = json_get(answer(a, REQUEST, says_nothing), "response");
    assert_false(json_find_bool(r, true, "allowed"));
    assert_string_equal(json_find_str(r, "uid"), "u");
    log_set_sink(NULL, NULL);
}

static void what_is_no_review_is_told_so(void **state)
{
    static const struct {
        const char *body, *part;
    } rows[] = {
        { "", "not JSON" },
        { "{", "not JSON" },
        { "[]", "not an AdmissionReview" },
        { "null", "not an AdmissionReview" },
        { "{}", "not an AdmissionReview" },
        { "{\"kind\":\"AdmissionReview\"}", "apiVersion of the AdmissionReview is \"\"" },
        { "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1beta1\"}",
          "admissionReviewVersions" },
        { ENVELOPE("null"), "has no request" },
        { ENVELOPE("[]"), "has no request" },
        { ENVELOPE("{\"operation\":\"CREATE\"}"), "request.uid" },
        { ENVELOPE("{\"uid\":7,\"operation\":\"CREATE\"}"), "request.uid" },
        { ENVELOPE("{\"uid\":\"u\"}"), "request.operation" },
        { ENVELOPE("{\"uid\":\"u\",\"operation\":{}}"), "request.operation" },
        { ENVELOPE("{\"uid\":\"u\",\"operation\":\"CREATE\",\"object\":[]}"), "request.object" },
        { ENVELOPE("{\"uid\":\"u\",\"operation\":\"UPDATE\",\"oldObject\":1}"),
          "request.oldObject" },
        { ENVELOPE("{\"uid\":\"u\",\"operation\":\"UPDATE\",\"userInfo\":\"me\"}"),
          "request.userInfo" },
    };
    AUTO_ARENA a = arena_new();
    int calls = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json *out = NULL;
        struct error *err = NULL;
        int r = review_answer(a, rows[i].body, strlen(rows[i].body), admits, &calls, &out, &err);
        assert_error(r, err, ERROR_INVALID, rows[i].part);
    }
    assert_int_equal(calls, 0);
}

UNIT_TESTS(TEST(a_review_is_answered_under_its_uid), TEST(what_cannot_be_judged_is_refused),
           TEST(what_is_no_review_is_told_so))
