/* The HTTP transport against an HTTP server of our own. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/server.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/watch.h"
#include "metrics/metrics.h"
#include "timing.h"
#include "unit.h"

struct fixture {
    struct http_server *server;
    struct kube_transport *t;
    struct kube_client *c;
    struct http_exchange *held; /* a request that is not answered */
    struct http_stream_out *stream;
    char request[2048]; /* "METHOD path?query [headers] body" */
    pthread_mutex_t lock;
    atomic_int requests;
    atomic_int busy; /* so many answers of 429 */
};

static void handle(struct http_exchange *x, void *ctx)
{
    struct fixture *f = ctx;
    LOCK(&f->lock);
    size_t len;
    const char *body = http_body(x, &len);
    const char *authorization = http_header(x, "Authorization"),
               *type = http_header(x, "Content-Type");
    snprintf(f->request, sizeof(f->request), "%s %s?%s [%s|%s|%s] %.*s", http_method(x),
             http_path(x), http_raw_query(x), http_header(x, "Accept"), type ? type : "",
             authorization ? authorization : "", (int)len, body ? body : "");
    atomic_fetch_add(&f->requests, 1);
    if (atomic_fetch_sub(&f->busy, 1) > 0) {
        http_set_header(x, "Retry-After", "1");
        http_reply_text(x, 429, "slow down");
        return;
    }
    if (strstr(http_path(x), "hold"))
        f->held = x;
    else if (strstr(http_raw_query(x), "watch=true"))
        f->stream = http_reply_stream(x, 200, "application/json", MIB, NULL, NULL);
    else if (strstr(http_path(x), "unauthorized"))
        http_reply(x, 401, "application/json", "{\"kind\":\"Status\",\"message\":\"who are you\"}",
                   42);
    else
        http_reply(x, 200, "application/json", "{\"ok\":true}", 11);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    pthread_mutex_init(&f->lock, NULL);
    assert_int_equal(http_server_start(&(struct http_server_options){ .name = "test",
                                                                      .address = "127.0.0.1",
                                                                      .handler = handle,
                                                                      .ctx = f },
                                       &f->server, NULL),
                     0);
    struct kube_config *config = NEW0(struct kube_config);
    config->server = mem_printf("http://127.0.0.1:%u/prefix", http_server_port(f->server));
    config->token = mem_strdup("secret");
    assert_int_equal(kube_http_transport_new(config, "test/1", &f->t, NULL), 0);
    f->c = kube_client_new(f->t, NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kube_client_free(f->c);
    kube_transport_free(f->t);
    {
        LOCK(&f->lock);
        if (f->held)
            http_reply_text(f->held, 200, "late");
        if (f->stream)
            http_stream_end(f->stream);
    }
    http_server_stop(f->server, 0);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static void requests_arrive(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new();
    struct json *obj = NULL;
    assert_int_equal(kube_get(f->c, &KUBE_PODS, "ns", "x", a, &obj, NULL), 0);
    assert_true(json_find_bool(obj, false, "ok"));
    assert_string_equal(
        f->request, "GET /prefix/api/v1/namespaces/ns/pods/x? [application/json||Bearer secret] ");
    struct json *patch = json_new_object(a);
    json_set_int(a, patch, "n", 1);
    assert_int_equal(kube_patch(f->c, &KUBE_PODS, "ns", "x", "status", KUBE_PATCH_MERGE, patch, a,
                                NULL, NULL),
                     0);
    assert_string_equal(
        f->request,
        "PATCH /prefix/api/v1/namespaces/ns/pods/x/status? [application/json|application/merge-patch+json|Bearer secret] {\"n\":1}");
    assert_int_equal(kube_delete(f->c, &KUBE_PODS, "ns", "x", NULL, NULL), 0);
    assert_true(str_has_prefix(
        f->request,
        "DELETE /prefix/api/v1/namespaces/ns/pods/x? [application/json|application/json|Bearer secret] {"));
    AUTO_FREE char *host = mem_printf("127.0.0.1:%u", http_server_port(f->server));
    struct metric *requests = metric_counter("rest_client_requests_total", "", NULL);
    assert_true(metric_value(requests, "200", "PATCH", host) == 1);
}

static void answers_become_errors(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new();
    struct json *obj = NULL;
    struct error *err = NULL;
    assert_error(kube_get(f->c, &KUBE_PODS, "ns", "unauthorized", a, &obj, &err), err,
                 ERROR_UNAUTHORIZED, "who are you");
}

static void a_busy_server_is_asked_again(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new();
    struct json *obj = NULL;
    atomic_store(&f->busy, 1);
    int64_t start = clock_mono(clock_system());
    assert_int_equal(kube_get(f->c, &KUBE_PODS, "ns", "x", a, &obj, NULL), 0);
    assert_true(clock_mono(clock_system()) - start >= NS_PER_S);
    assert_int_equal(atomic_load(&f->requests), 2);
}

static void *interrupt_later(void *arg)
{
    usleep(100000);
    kube_client_interrupt(arg, true);
    return NULL;
}

static void a_call_that_hangs_can_be_interrupted(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new();
    struct json *obj = NULL;
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "interrupt", interrupt_later, f->c, NULL), 0);
    int64_t start = clock_mono(clock_system());
    assert_int_equal(kube_get(f->c, &KUBE_PODS, "ns", "hold", a, &obj, NULL), -ERROR_CANCELLED);
    assert_true(within(start, 300));
    assert_int_equal(kube_get(f->c, &KUBE_PODS, "ns", "x", a, &obj, NULL), -ERROR_CANCELLED);
    thread_join(thread);
    kube_client_interrupt(f->c, false);
    assert_int_equal(kube_get(f->c, &KUBE_PODS, "ns", "x", a, &obj, NULL), 0);
}

static void a_call_has_a_deadline(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new();
    struct json *obj = NULL;
    struct error *err = NULL;
    struct kube_client *hasty =
        kube_client_new(f->t, &(struct kube_client_options){ .timeout_ms = 150 });
    int64_t start = clock_mono(clock_system());
    assert_error(kube_get(hasty, &KUBE_PODS, "ns", "hold", a, &obj, &err), err, ERROR_TIMEOUT,
                 "127.0.0.1");
    int64_t took = clock_mono(clock_system()) - start;
    assert_true(took >= 100 * NS_PER_MS && within(start, 500));
    kube_client_free(hasty);
}

static void a_refused_connection_is_tried_again(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *obj = NULL;
    struct error *err = NULL;
    struct kube_config *config = NEW0(struct kube_config);
    config->server = mem_strdup("http://127.0.0.1:1");
    struct kube_transport *t = NULL;
    assert_int_equal(kube_http_transport_new(config, "test/1", &t, NULL), 0);
    struct kube_client *once =
        kube_client_new(t, &(struct kube_client_options){ .no_retry = true });
    struct kube_client *patient =
        kube_client_new(t, &(struct kube_client_options){ .timeout_ms = 500 });
    int64_t start = clock_mono(clock_system());
    assert_error(kube_get(once, &KUBE_PODS, "ns", "x", a, &obj, &err), err, ERROR_UNAVAILABLE,
                 "127.0.0.1:1");
    assert_true(within(start, 200));
    struct metric *requests = metric_counter("rest_client_requests_total", "", NULL);
    double before = metric_value(requests, "<error>", "GET", "127.0.0.1:1");
    assert_error(kube_get(patient, &KUBE_PODS, "ns", "x", a, &obj, &err), err, ERROR_UNAVAILABLE,
                 "127.0.0.1:1");
    assert_true(metric_value(requests, "<error>", "GET", "127.0.0.1:1") >= before + 3);
    kube_client_free(once);
    kube_client_free(patient);
    kube_transport_free(t);
}

static atomic_int events, ends;

static void on_event(void *ctx, enum watch_event_type type, struct arena *a, struct json *obj)
{
    atomic_fetch_add(&events, 1);
}

static void on_end(void *ctx, const struct error *err)
{
    atomic_store((atomic_int *)ctx, err ? (int)error_code(err) : 0);
    atomic_fetch_add(&ends, 1);
}

static void wait_for(atomic_int *n, int value)
{
    for (int i = 0; i < 2000 && atomic_load(n) < value; i++)
        usleep(1000);
    assert_true(atomic_load(n) >= value);
}

static void watches_stream_and_close(void **state)
{
    struct fixture *f = *state;
    atomic_int code = -1;
    struct watch *w = NULL;
    assert_int_equal(watch_open(f->c, &KUBE_PODS,
                                &(struct watch_options){ .resource_version = "5" },
                                &(struct watch_handler){ on_event, on_end, &code }, &w, NULL),
                     0);
    wait_for(&f->requests, 1);
    static const char event[] = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{}}}\n";
    for (size_t i = 0; i < sizeof(event) - 1; i++) {
        LOCK(&f->lock);
        assert_int_equal(http_stream_write(f->stream, event + i, 1), 0);
    }
    wait_for(&events, 1);
    int64_t start = clock_mono(clock_system());
    watch_close(w);
    assert_true(within(start, 200));

    {
        LOCK(&f->lock);
        http_stream_end(f->stream);
        f->stream = NULL;
    }
    atomic_store(&ends, 0);
    assert_int_equal(watch_open(f->c, &KUBE_PODS, &(struct watch_options){ .idle_timeout_ms = 150 },
                                &(struct watch_handler){ on_event, on_end, &code }, &w, NULL),
                     0);
    wait_for(&ends, 1); /* silence is death */
    assert_int_equal(atomic_load(&code), ERROR_TIMEOUT);
    watch_close(w);
}

#define HTTP_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
UNIT_TESTS(HTTP_TEST(requests_arrive), HTTP_TEST(answers_become_errors),
           HTTP_TEST(a_busy_server_is_asked_again), HTTP_TEST(a_call_that_hangs_can_be_interrupted),
           HTTP_TEST(a_call_has_a_deadline), HTTP_TEST(a_refused_connection_is_tried_again),
           HTTP_TEST(watches_stream_and_close))
