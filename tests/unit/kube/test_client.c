#include "kube/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "base/thread.h"
#include "fake_transport.h"
#include "kube/meta.h"
#include "timing.h"
#include "unit.h"
#include "json/build.h"

/* What the server answers, in order; the last one again and again. */
struct answers {
    struct {
        int status;
        const char *body;
        int64_t retry_after_ms;
        enum error_code fails;
        const char *reason;
    } list[8];
    int next;
};

static int play(struct fake_transport *f, const struct kube_request *request,
                struct kube_response *ret, struct error **err)
{
    struct answers *a = f->ctx;
    int n = a->next;
    if (a->next < 7 && (a->list[n + 1].status || a->list[n + 1].fails))
        a->next++;
    if (a->list[n].fails) {
        int r = error_set(err, a->list[n].fails, "no luck");
        if (a->list[n].reason)
            error_set_reason(*err, a->list[n].reason);
        return r;
    }
    ret->retry_after_ms = a->list[n].retry_after_ms;
    return fake_reply(ret, a->list[n].status, a->list[n].body);
}

struct fixture {
    struct fake_transport f;
    struct answers answers;
    struct kube_client *c;
    struct arena *a;
    struct json *obj;
    struct error *err;
};

static int set_up(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));
    fake_init(&x->f);
    x->f.answer = play;
    x->f.ctx = &x->answers;
    x->c = kube_client_new(&x->f.transport, NULL);
    x->a = arena_new();
    *state = x;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *x = *state;
    kube_client_free(x->c);
    fake_done(&x->f);
    arena_free(x->a);
    error_free(x->err);
    free(x);
    return 0;
}

#define POD "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"x\"}}"

static void requests_are_made(void **state)
{
    struct fixture *x = *state;
    struct arena *a = x->a;
    x->answers.list[0].status = 200;
    x->answers.list[0].body = POD;
    assert_int_equal(kube_get(x->c, &KUBE_PODS, "ns", "x", a, &x->obj, NULL), 0);
    assert_string_equal(x->f.last_call, "GET /api/v1/namespaces/ns/pods/x");
    assert_string_equal(meta_name(x->obj), "x");

    struct json *pod = OBJ("metadata", OBJ("name", STR("x"), "namespace", STR("ns")));
    assert_int_equal(kube_create(x->c, &KUBE_PODS, "ns", pod, a, &x->obj, NULL), 0);
    assert_string_equal(
        x->f.last_call,
        "POST /api/v1/namespaces/ns/pods {\"metadata\":{\"name\":\"x\",\"namespace\":\"ns\"},"
        "\"apiVersion\":\"v1\",\"kind\":\"Pod\"}");
    assert_int_equal(kube_update(x->c, &KUBE_PODS, pod, "status", a, NULL, NULL), 0);
    assert_true(str_has_prefix(x->f.last_call, "PUT /api/v1/namespaces/ns/pods/x/status {"));
    assert_int_equal(kube_patch(x->c, &KUBE_STATEFULSETS, "ns", "x", "scale", KUBE_PATCH_MERGE,
                                OBJ("a", INT(1)), a, NULL, NULL),
                     0);
    assert_string_equal(x->f.last_call,
                        "PATCH /apis/apps/v1/namespaces/ns/statefulsets/x/scale {\"a\":1}");

    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    assert_int_equal(kube_delete(x->c, &KUBE_NODES, NULL, "n", NULL, NULL), 0);
    assert_string_equal(
        x->f.last_call,
        "DELETE /api/v1/nodes/n {\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\"}");
    options.uid = "u";
    options.propagation = KUBE_FOREGROUND;
    options.grace_seconds = 0;
    assert_int_equal(kube_delete(x->c, &KUBE_PODS, "ns", "x", &options, NULL), 0);
    assert_string_equal(
        x->f.last_call,
        "DELETE /api/v1/namespaces/ns/pods/x {\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\","
        "\"preconditions\":{\"uid\":\"u\"},\"propagationPolicy\":\"Foreground\",\"gracePeriodSeconds\":0}");
    AUTO_BUF raw = { 0 };
    assert_int_equal(kube_get_raw(x->c, "/version", &raw, NULL), 0);
    assert_string_equal(buf_str(&raw), POD);
}

static void an_empty_name_is_never_sent(void **state)
{
    struct fixture *x = *state;
    assert_error(kube_get(x->c, &KUBE_PODS, "ns", "", x->a, &x->obj, &x->err), x->err,
                 ERROR_INVALID, "without a name");
    assert_error(kube_delete(x->c, &KUBE_PODS, "ns", "", NULL, &x->err), x->err, ERROR_INVALID,
                 "without a name");
    assert_error(kube_delete(x->c, &KUBE_PODS, "ns", NULL, NULL, &x->err), x->err, ERROR_INVALID,
                 "without a name");
    assert_int_equal(atomic_load(&x->f.calls), 0);
}

static void queries_are_encoded(void **state)
{
    struct fixture *x = *state;
    x->answers.list[0].status = 200;
    x->answers.list[0].body = "{\"items\":[]}";
    struct kube_list_options options = { .ns = "ns",
                                         .label_selector = "a in (b,c),d",
                                         .field_selector = "metadata.name=x&y",
                                         .resource_version = "0",
                                         .limit = 5 };
    assert_int_equal(kube_list(x->c, &KUBE_PODS, &options, x->a, &x->obj, NULL), 0);
    assert_string_equal(x->f.last_call,
                        "GET /api/v1/namespaces/ns/pods?labelSelector=a%20in%20%28b%2Cc%29%2Cd"
                        "&fieldSelector=metadata.name%3Dx%26y&limit=5&resourceVersion=0");
}

static void pages_are_put_together(void **state)
{
    struct fixture *x = *state;
    x->answers.list[0].status = x->answers.list[1].status = x->answers.list[2].status = 200;
    x->answers.list[0].body =
        "{\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"c/1\",\"remainingItemCount\":3},\"items\":[1,2]}";
    x->answers.list[1].body =
        "{\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"c2\"},\"items\":[3,4]}";
    x->answers.list[2].body = "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[5]}";
    struct kube_list_options options = { .limit = 2, .resource_version = "9" };
    assert_int_equal(kube_list(x->c, &KUBE_PODS, &options, x->a, &x->obj, NULL), 0);
    assert_string_equal(json_text(x->a, x->obj),
                        "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[1,2,3,4,5]}");
    assert_string_equal(x->f.last_call, "GET /api/v1/pods?limit=2&continue=c2");
    assert_int_equal(atomic_load(&x->f.calls), 3);
}

static void answers_become_errors(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum error_code code;
        const char *reason;
        const char *message;
    } table[] = {
        { 404,
          "{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"pods \\\"x\\\" not found\",\"code\":404}",
          ERROR_NOT_FOUND, "NotFound", "pods \"x\" not found" },
        { 409, "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\",\"message\":\"m\"}",
          ERROR_ALREADY_EXISTS, "AlreadyExists", "m" },
        { 409, "{\"kind\":\"Status\",\"reason\":\"Conflict\",\"message\":\"m\"}", ERROR_CONFLICT,
          "Conflict", "m" },
        { 410, "{\"kind\":\"Status\",\"reason\":\"Expired\",\"message\":\"m\"}", ERROR_GONE,
          "Expired", "m" },
        { 400, "{\"kind\":\"Status\",\"reason\":\"BadRequest\",\"message\":\"m\"}", ERROR_INVALID,
          "BadRequest", "m" },
        { 422, "{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"m\"}", ERROR_INVALID,
          "Invalid", "m" },
        { 401, "{\"kind\":\"Status\",\"reason\":\"Unauthorized\",\"message\":\"m\"}",
          ERROR_UNAUTHORIZED, "Unauthorized", "m" },
        { 403, "{\"kind\":\"Status\",\"reason\":\"Forbidden\"}", ERROR_FORBIDDEN, "Forbidden",
          "Forbidden" },
        { 405, "", ERROR_UNSUPPORTED, NULL, "the server answered 405" },
        { 413, "", ERROR_TOO_LARGE, NULL, "the server answered 413" },
        { 429, "", ERROR_TOO_MANY, NULL, "the server answered 429" },
        { 500, "{\"kind\":\"Status\"}", ERROR_INTERNAL, NULL, "the server gave no reason" },
        { 500, "{\"kind\":\"Status\",\"reason\":\"ServerTimeout\",\"message\":\"m\"}",
          ERROR_TIMEOUT, "ServerTimeout", "m" },
        { 502, "<html>\n<h1>Bad\tGateway</h1>\n", ERROR_UNAVAILABLE, NULL,
          "the server answered 502: <html> <h1>Bad Gateway</h1>" },
        { 503, "no", ERROR_UNAVAILABLE, NULL, "the server answered 503: no" },
        { 504, "", ERROR_TIMEOUT, NULL, "the server answered 504" },
        { 302, "", ERROR_INTERNAL, NULL, "the server answered 302" },
    };
    struct fixture *x = *state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        x->answers.list[0].status = table[i].status;
        x->answers.list[0].body = table[i].body;
        CLEANUP(error_cleanup) struct error *err = NULL;
        assert_int_equal(kube_get(x->c, &KUBE_PODS, "ns", "x", x->a, &x->obj, &err),
                         -(int)table[i].code);
        assert_string_equal(error_message(err), table[i].message);
        assert_true(str_eq(error_reason(err), table[i].reason));
    }
}

static void answers_that_are_no_objects_are_refused(void **state)
{
    struct fixture *x = *state;
    x->answers.list[0].status = 200;
    x->answers.list[0].body = "<html>login</html>";
    assert_error(kube_get(x->c, &KUBE_PODS, "ns", "x", x->a, &x->obj, &x->err), x->err,
                 ERROR_INTERNAL,
                 "the answer to GET /api/v1/namespaces/ns/pods/x is not a JSON object");
    x->answers.list[0].body = "[]";
    assert_error(kube_get(x->c, &KUBE_PODS, "ns", "x", x->a, &x->obj, &x->err), x->err,
                 ERROR_INTERNAL, "not a JSON object");
}

static void busy_servers_are_asked_again_when_they_say_so(void **state)
{
    struct fixture *x = *state;
    x->answers.list[0].status = 429;
    x->answers.list[0].retry_after_ms = 10;
    x->answers.list[1].status = 503;
    x->answers.list[1].retry_after_ms = 10;
    x->answers.list[2].fails = ERROR_UNAVAILABLE;
    x->answers.list[2].reason = KUBE_REASON_REFUSED;
    x->answers.list[3].status = 200;
    x->answers.list[0].body = x->answers.list[1].body = "";
    x->answers.list[3].body = POD;
    assert_int_equal(kube_get(x->c, &KUBE_PODS, "ns", "x", x->a, &x->obj, NULL), 0);
    assert_int_equal(atomic_load(&x->f.calls), 4);
}

static void nothing_else_is_tried_twice(void **state)
{
    struct fixture *x = *state;
    x->answers.list[0].body = "";
    x->answers.list[0].status = 503; /* without a word when to come back */
    assert_int_equal(kube_get(x->c, &KUBE_PODS, "ns", "x", x->a, &x->obj, NULL),
                     -ERROR_UNAVAILABLE);
    x->answers.list[0].status = 500;
    x->answers.list[0].retry_after_ms = 10;
    assert_int_equal(kube_get(x->c, &KUBE_PODS, "ns", "x", x->a, &x->obj, NULL), -ERROR_INTERNAL);
    x->answers.list[0].fails = ERROR_UNAVAILABLE; /* a lost connection: it may have arrived */
    assert_int_equal(kube_get(x->c, &KUBE_PODS, "ns", "x", x->a, &x->obj, NULL),
                     -ERROR_UNAVAILABLE);
    assert_int_equal(atomic_load(&x->f.calls), 3);
}

static void a_wait_beyond_the_deadline_is_not_begun(void **state)
{
    struct fixture *x = *state;
    x->answers.list[0].status = 429;
    x->answers.list[0].body = "";
    x->answers.list[0].retry_after_ms = 60000;
    assert_int_equal(kube_get(x->c, &KUBE_PODS, "ns", "x", x->a, &x->obj, &x->err),
                     -ERROR_TOO_MANY);
    assert_int_equal(error_retry_after_ms(x->err), 60000);
    assert_int_equal(atomic_load(&x->f.calls), 1);
}

static void the_bucket_limits_the_rate(void **state)
{
    struct fixture *x = *state;
    struct kube_client *slow =
        kube_client_new(&x->f.transport, &(struct kube_client_options){ .qps = 100, .burst = 5 });
    x->answers.list[0].status = 200;
    x->answers.list[0].body = POD;
    int64_t start = clock_mono(clock_system());
    for (int i = 0; i < 15; i++)
        assert_int_equal(kube_get(slow, &KUBE_PODS, "ns", "x", x->a, &x->obj, NULL), 0);
    int64_t took = clock_mono(clock_system()) - start;
    assert_true(took >= 90 * NS_PER_MS);
    assert_true(within(start, 1000));
    kube_client_free(slow);
}

static void *slow_get(void *arg)
{
    struct kube_client *c = arg;
    AUTO_ARENA a = arena_new();
    struct json *obj = NULL;
    return (void *)(intptr_t)kube_get(c, &KUBE_PODS, "ns", "x", a, &obj, NULL);
}

static int hang(struct fake_transport *f, const struct kube_request *request,
                struct kube_response *ret, struct error **err)
{
    return fake_hang(request, err);
}

static void an_interruption_ends_every_wait(void **state)
{
    struct fixture *x = *state;
    struct kube_client *limited =
        kube_client_new(&x->f.transport, &(struct kube_client_options){ .qps = 0.001, .burst = 1 });
    x->answers.list[0].status = 200;
    x->answers.list[0].body = POD;
    assert_int_equal(kube_get(limited, &KUBE_PODS, "ns", "x", x->a, &x->obj, NULL), 0);
    struct kube_client *clients[] = { x->c, limited };
    for (int round = 0; round < 3; round++) {
        /* a call that hangs; a wait for a token; a wait for a retry */
        struct kube_client *c = clients[round == 1];
        x->f.answer = round == 2 ? play : hang;
        x->answers.list[0].status = 429;
        x->answers.list[0].retry_after_ms = 20000;
        pthread_t thread;
        assert_int_equal(thread_start(&thread, "get", slow_get, c, NULL), 0);
        usleep(30000);
        int64_t start = clock_mono(clock_system());
        kube_client_interrupt(c, true);
        void *result;
        pthread_join(thread, &result);
        assert_int_equal((int)(intptr_t)result, -ERROR_CANCELLED);
        assert_true(within(start, 100));
        kube_client_interrupt(c, false);
    }
    x->f.answer = play;
    x->answers.list[0].status = 200;
    assert_int_equal(kube_get(x->c, &KUBE_PODS, "ns", "x", x->a, &x->obj, NULL), 0);
    kube_client_free(limited);
}

#define CLIENT_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
UNIT_TESTS(CLIENT_TEST(requests_are_made), CLIENT_TEST(an_empty_name_is_never_sent),
           CLIENT_TEST(queries_are_encoded), CLIENT_TEST(pages_are_put_together),
           CLIENT_TEST(answers_become_errors), CLIENT_TEST(answers_that_are_no_objects_are_refused),
           CLIENT_TEST(busy_servers_are_asked_again_when_they_say_so),
           CLIENT_TEST(nothing_else_is_tried_twice),
           CLIENT_TEST(a_wait_beyond_the_deadline_is_not_begun),
           CLIENT_TEST(the_bucket_limits_the_rate), CLIENT_TEST(an_interruption_ends_every_wait))
