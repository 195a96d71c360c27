#include "kube/controller.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "fake_transport.h"
#include "http/client.h"
#include "kube/leader.h"
#include "metrics/metrics.h"
#include "timing.h"
#include "unit.h"

#define OBJECT(name, owner)                                                                        \
    "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"" name "\",\"uid\":\"" name                    \
    "\",\"resourceVersion\":\"1\",\"ownerReferences\":"                                            \
    "[{\"controller\":true,\"kind\":\"Workspace\",\"name\":\"" owner "\",\"uid\":\"u\"}]}}"

struct fixture {
    struct fake_transport f;
    struct kube_client *c;
    struct clock_virtual clock;
    struct buf seen; /* keys that were reconciled */
    pthread_mutex_t lock;
    atomic_int count;
    int fails; /* so many times */
    int64_t retry_after_ms;
    int64_t requeue_ms;
    bool hang_list;
    bool hang_get;
};

static int answer(struct fake_transport *f, const struct kube_request *request,
                  struct kube_response *ret, struct error **err)
{
    struct fixture *x = f->ctx;
    if (strstr(request->path, "pods/")) /* what a reconcile asks for */
        return x->hang_get ? fake_hang(request, err) : fake_reply(ret, 200, "{}");
    if (x->hang_list)
        return fake_hang(request, err);
    return fake_reply(ret, 200,
                      "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" OBJECT(
                          "a", "o1") "," OBJECT("b", "o2") "]}");
}

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct fixture *x = ctx;
    {
        LOCK(&x->lock);
        buf_printf(&x->seen, "%s ", key);
    }
    atomic_fetch_add(&x->count, 1);
    struct json *obj = NULL;
    if (x->hang_get) {
        int r = kube_get(x->c, &KUBE_PODS, "ns", "x", a, &obj, err);
        if (r < 0)
            return r;
    }
    ret->requeue_after_ms = x->requeue_ms;
    if (x->fails-- > 0) {
        int r = error_set(err, ERROR_UNAVAILABLE, "not yet");
        error_set_retry_after(*err, x->retry_after_ms);
        return r;
    }
    return 0;
}

static int set_up(void **state)
{
    static const struct fake_step silence[] = { { FAKE_SILENCE } };
    static const struct fake_step *const scripts[] = { silence, NULL };
    struct fixture *x = calloc(1, sizeof(*x));
    fake_init(&x->f);
    x->f.answer = answer;
    x->f.ctx = x;
    x->f.scripts = scripts;
    x->c = kube_client_new(&x->f.transport, NULL);
    clock_virtual_init(&x->clock, 0);
    x->seen = (struct buf)BUF_INIT(64 * KIB);
    pthread_mutex_init(&x->lock, NULL);
    *state = x;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *x = *state;
    kube_client_free(x->c);
    fake_done(&x->f);
    buf_done(&x->seen);
    pthread_mutex_destroy(&x->lock);
    free(x);
    return 0;
}

static struct controller *new_controller(struct fixture *x, struct clock *clock)
{
    return controller_new(&(struct controller_options){
        .name = "test", .workers = 2, .reconcile = reconcile, .ctx = x, .clock = clock });
}

static void expect_seen(struct fixture *x, const char *wanted)
{
    LOCK(&x->lock);
    assert_string_equal(buf_str(&x->seen), wanted);
    buf_clear(&x->seen);
}

/* ---- reconciling -------------------------------------------------------------------------------------------- */

static void failures_come_back_and_success_forgets_them(void **state)
{
    struct fixture *x = *state;
    struct controller *c = new_controller(x, &x->clock.clock);
    log_setup(LOG_ERROR + 1, LOG_TEXT);
    x->fails = 2;
    workqueue_add(controller_queue(c), "k");
    assert_false(controller_idle(c, 0));
    assert_int_equal(controller_drain(c), 1);
    assert_int_equal(controller_drain(c), 0);
    assert_int_equal(workqueue_failures(controller_queue(c), "k"), 1);
    clock_virtual_advance(&x->clock, 5 * NS_PER_MS);
    assert_int_equal(controller_drain(c), 1);
    assert_true(controller_idle(c, 9));
    assert_false(controller_idle(c, 10));
    clock_virtual_advance(&x->clock, 10 * NS_PER_MS);
    assert_int_equal(controller_drain(c), 1);
    assert_int_equal(workqueue_failures(controller_queue(c), "k"), 0);
    assert_true(controller_idle(c, 1000000));
    expect_seen(x, "k k k ");

    x->fails = 1;
    x->retry_after_ms = 3000;
    workqueue_add(controller_queue(c), "k");
    assert_int_equal(controller_drain(c), 1);
    assert_true(controller_idle(c, 2999));
    assert_false(controller_idle(c, 3000));
    controller_free(c);
    log_setup(LOG_INFO, LOG_TEXT);
}

static void a_key_asks_to_come_back(void **state)
{
    struct fixture *x = *state;
    struct controller *c = new_controller(x, &x->clock.clock);
    x->requeue_ms = 60000;
    workqueue_add(controller_queue(c), "k");
    assert_int_equal(controller_drain(c), 1);
    assert_true(controller_idle(c, 59999));
    clock_virtual_advance(&x->clock, 60 * NS_PER_S);
    assert_int_equal(controller_drain(c), 1);
    controller_free(c);
}

static void map_twice(void *ctx, struct workqueue *q, struct kube_object *old,
                      struct kube_object *new)
{
    const char *name = (new ? new : old)->name;
    workqueue_add(q, name);
    workqueue_add(q, "both");
}

static void keys_come_from_informers(void **state)
{
    struct fixture *x = *state;
    for (int kind = 0; kind < 4; kind++) {
        struct controller *c = new_controller(x, NULL);
        struct informer *i = informer_new(x->c, &KUBE_PODS, NULL);
        if (kind == 0)
            controller_watch(c, i);
        else if (kind == 1)
            controller_watch_owned(c, i, "Workspace");
        else if (kind == 2)
            controller_watch_owned(c, i, "Other");
        else
            controller_watch_mapped(c, i, map_twice, NULL);
        assert_int_equal(informer_start(i, NULL), 0);
        assert_int_equal(informer_wait_synced(i, 2000, NULL), 0);
        controller_drain(c);
        static const char *const wanted[] = { "ns/a ns/b ", "ns/o1 ns/o2 ", "", "a both b " };
        expect_seen(x, wanted[kind]);
        informer_stop(i);
        informer_free(i);
        controller_free(c);
    }
}

/* ---- manager ------------------------------------------------------------------------------------------------ */

static int http_get(uint16_t port, const char *path, struct buf *ret)
{
    struct http_client *client = NULL;
    struct http_response response = HTTP_RESPONSE_INIT;
    assert_int_equal(http_client_new(NULL, &client, NULL), 0);
    AUTO_FREE char *url = mem_printf("http://127.0.0.1:%u%s", port, path);
    assert_int_equal(http_call(client, &(struct http_request){ .url = url }, &response, NULL), 0);
    int status = response.status;
    buf_append(ret, response.body.data, response.body.len);
    http_response_done(&response);
    http_client_free(client);
    return status;
}

static void stop_quickly(struct manager *m)
{
    int64_t start = clock_mono(clock_system());
    manager_stop(m);
    assert_true(within(start, 500));
    manager_free(m);
}

static void the_manager_starts_and_stops_everything(void **state)
{
    struct fixture *x = *state;
    struct manager *m = manager_new(&(struct manager_options){
        .client = x->c, .health_address = ":0", .metrics_address = "127.0.0.1:0" });
    struct controller *c = new_controller(x, NULL);
    controller_watch(c, manager_informer(m, &KUBE_PODS, NULL));
    manager_add(m, c);
    assert_int_equal(manager_start(m, NULL), 0);
    assert_true(fake_wait(&x->count, 2));

    AUTO_BUF text = BUF_INIT(4 * MIB);
    assert_int_equal(http_get(manager_health_port(m), "/healthz", &text), 200);
    assert_int_equal(http_get(manager_health_port(m), "/readyz", &text), 200);
    assert_int_equal(http_get(manager_health_port(m), "/other", &text), 404);
    buf_clear(&text);
    assert_int_equal(http_get(manager_metrics_port(m), "/metrics", &text), 200);
    static const char *const families[] = {
        "workqueue_depth{",
        "workqueue_adds_total{",
        "workqueue_queue_duration_seconds_bucket{",
        "workqueue_work_duration_seconds_count{",
        "controller_runtime_reconcile_total{controller=\"test\",result=\"success\"}",
        "controller_runtime_reconcile_time_seconds_sum{",
        "controller_runtime_active_workers{controller=\"test\"} 0",
        "controller_runtime_max_concurrent_reconciles{controller=\"test\"} 2",
    };
    for (size_t n = 0; n < COUNT_OF(families); n++)
        if (!strstr(buf_str(&text), families[n]))
            fail_msg("no %s in the metrics", families[n]);
    assert_false(manager_lost_lead(m));
    stop_quickly(m);
}

static bool says_not_yet(void *ctx, char *why, size_t why_size)
{
    snprintf(why, why_size, "no certificate");
    return *(bool *)ctx;
}

static void readiness_waits_for_what_else_there_is(void **state)
{
    struct fixture *x = *state;
    bool ready = false;
    struct manager *m = manager_new(&(struct manager_options){
        .client = x->c, .health_address = ":0", .ready = says_not_yet, .ready_ctx = &ready });
    assert_int_equal(manager_start(m, NULL), 0);
    AUTO_BUF text = BUF_INIT(1 * KIB);
    assert_int_equal(http_get(manager_health_port(m), "/readyz", &text), 500);
    assert_string_equal(buf_str(&text), "no certificate");
    assert_int_equal(http_get(manager_health_port(m), "/healthz", &text), 200);
    ready = true;
    assert_int_equal(http_get(manager_health_port(m), "/readyz", &text), 200);
    stop_quickly(m);
}

static void a_manager_that_cannot_sync_says_why(void **state)
{
    struct fixture *x = *state;
    x->hang_list = true;
    struct manager *m =
        manager_new(&(struct manager_options){ .client = x->c, .sync_timeout_ms = 100 });
    struct controller *c = new_controller(x, NULL);
    controller_watch(c, manager_informer(m, &KUBE_PODS, NULL));
    manager_add(m, c);
    struct error *err = NULL;
    assert_error(manager_start(m, &err), err, ERROR_TIMEOUT, "the first list of pods did not come");
    stop_quickly(m);
    assert_int_equal(atomic_load(&x->count), 0);
}

static void *stop_later(void *arg)
{
    usleep(100000);
    manager_stop(arg);
    return NULL;
}

static void a_start_can_be_given_up(void **state)
{
    struct fixture *x = *state;
    x->hang_list = true;
    struct manager *m = manager_new(&(struct manager_options){ .client = x->c });
    manager_informer(m, &KUBE_PODS, NULL);
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "stop", stop_later, m, NULL), 0);
    int64_t start = clock_mono(clock_system());
    assert_int_equal(manager_start(m, NULL), -ERROR_CANCELLED);
    thread_join(thread);
    assert_true(within(start, 1000));
    manager_free(m);
}

static void a_hanging_reconcile_does_not_hold_up_the_stop(void **state)
{
    struct fixture *x = *state;
    x->hang_get = true;
    struct manager *m = manager_new(&(struct manager_options){ .client = x->c });
    struct controller *c = new_controller(x, NULL);
    controller_watch(c, manager_informer(m, &KUBE_PODS, NULL));
    manager_add(m, c);
    assert_int_equal(manager_start(m, NULL), 0);
    assert_true(fake_wait(&x->count, 1));
    stop_quickly(m);
}

static void bad_addresses_are_refused(void **state)
{
    struct fixture *x = *state;
    static const char *const bad[] = { "8080", "localhost:http", ":70000", "nowhere:80",
                                       "[::1:80" };
    for (size_t n = 0; n < COUNT_OF(bad); n++) {
        struct manager *m =
            manager_new(&(struct manager_options){ .client = x->c, .health_address = bad[n] });
        CLEANUP(error_cleanup) struct error *err = NULL;
        assert_true(manager_start(m, &err) < 0);
        assert_true(error_code(err) == ERROR_INVALID);
        manager_free(m);
    }
    struct manager *m = manager_new(
        &(struct manager_options){ .client = x->c, .health_address = "0", .metrics_address = "" });
    assert_int_equal(manager_start(m, NULL), 0);
    assert_int_equal(manager_health_port(m), 0);
    manager_free(m);
}

#define CONTROLLER_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
UNIT_TESTS(CONTROLLER_TEST(failures_come_back_and_success_forgets_them),
           CONTROLLER_TEST(a_key_asks_to_come_back), CONTROLLER_TEST(keys_come_from_informers),
           CONTROLLER_TEST(the_manager_starts_and_stops_everything),
           CONTROLLER_TEST(readiness_waits_for_what_else_there_is),
           CONTROLLER_TEST(a_manager_that_cannot_sync_says_why),
           CONTROLLER_TEST(a_start_can_be_given_up),
           CONTROLLER_TEST(a_hanging_reconcile_does_not_hold_up_the_stop),
           CONTROLLER_TEST(bad_addresses_are_refused))
