#include "kube/leader.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "fake_transport.h"
#include "kube/meta.h"
#include "timing.h"
#include "unit.h"
#include "json/build.h"

/* A server that holds one Lease. */
struct server {
    struct fake_transport f;
    char *lease; /* NULL: there is none */
    int version;
    atomic_int broken; /* 1: answers 500; 2: hangs */
    atomic_int writes;
};

static int answer(struct fake_transport *f, const struct kube_request *request,
                  struct kube_response *ret, struct error **err)
{
    struct server *s = f->ctx;
    if (atomic_load(&s->broken) == 1)
        return fake_reply(ret, 500, "{\"kind\":\"Status\",\"message\":\"broken\"}");
    if (atomic_load(&s->broken) == 2) {
        usleep((useconds_t)MIN(request->timeout_ms, INT64_C(2000)) * 1000);
        return error_set(err, ERROR_TIMEOUT, "no answer");
    }
    if (STREQ(request->method, "GET"))
        return s->lease ? fake_reply(ret, 200, s->lease)
                        : fake_reply(ret, 404, "{\"kind\":\"Status\",\"reason\":\"NotFound\"}");
    AUTO_ARENA a = arena_new();
    struct json *sent = NULL, *have = NULL;
    assert_int_equal(json_parse(a, request->body, request->body_len, &sent, NULL), 0);
    if (s->lease)
        assert_int_equal(json_parse(a, s->lease, strlen(s->lease), &have, NULL), 0);
    if (STREQ(request->method, "POST") && have)
        return fake_reply(ret, 409, "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\"}");
    if (STREQ(request->method, "PUT") &&
        !str_eq(meta_resource_version(sent), have ? meta_resource_version(have) : ""))
        return fake_reply(ret, 409,
                          "{\"kind\":\"Status\",\"reason\":\"Conflict\",\"message\":\"changed\"}");
    json_set(a, json_get(sent, "metadata"), "resourceVersion", STRF("%d", ++s->version));
    free(s->lease);
    s->lease = mem_strdup(json_text(a, sent));
    atomic_fetch_add(&s->writes, 1);
    return fake_reply(ret, 200, s->lease);
}

struct candidate {
    struct leader *l;
    atomic_int started, stopped;
};

static void on_started(void *ctx)
{
    atomic_fetch_add(&((struct candidate *)ctx)->started, 1);
}

static void on_stopped(void *ctx)
{
    atomic_fetch_add(&((struct candidate *)ctx)->stopped, 1);
}

static void join(struct server *s, struct kube_client *c, struct candidate *x, const char *identity)
{
    struct leader_options options = { .ns = "ns",
                                      .name = "lease",
                                      .identity = identity,
                                      .lease_ms = 1000,
                                      .renew_deadline_ms = 500,
                                      .retry_ms = 50,
                                      .on_started = on_started,
                                      .on_stopped = on_stopped,
                                      .ctx = x };
    assert_int_equal(leader_start(c, &options, &x->l, NULL), 0);
}

static int set_up(void **state)
{
    struct server *s = calloc(1, sizeof(*s));
    fake_init(&s->f);
    s->f.answer = answer;
    s->f.ctx = s;
    log_setup(LOG_ERROR + 1, LOG_TEXT);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct server *s = *state;
    fake_done(&s->f);
    free(s->lease);
    free(s);
    return 0;
}

static struct json *lease_of(struct server *s, struct arena *a)
{
    LOCK(s->f.lock);
    struct json *v = NULL;
    assert_non_null(s->lease);
    assert_int_equal(json_parse(a, s->lease, strlen(s->lease), &v, NULL), 0);
    return v;
}

static void stop_quickly(struct leader *l)
{
    int64_t start = clock_mono(clock_system());
    leader_stop(l);
    assert_true(within(start, 200));
}

static void the_first_one_leads_and_renews(void **state)
{
    struct server *s = *state;
    AUTO_ARENA a = arena_new();
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct candidate one = { 0 };
    join(s, c, &one, "one");
    assert_true(fake_wait(&one.started, 1));
    assert_true(leader_is(one.l));
    struct json *lease = lease_of(s, a);
    assert_string_equal(json_find_str(lease, "apiVersion"), "coordination.k8s.io/v1");
    assert_string_equal(json_find_str(lease, "spec", "holderIdentity"), "one");
    assert_int_equal(json_find_int(lease, 0, "spec", "leaseDurationSeconds"), 1);
    assert_int_equal(json_find_int(lease, -1, "spec", "leaseTransitions"), 0);
    assert_int_equal(strlen(json_find_str(lease, "spec", "renewTime")),
                     strlen("2026-01-02T15:04:05.123456Z"));
    assert_true(fake_wait(&s->writes, 4));
    assert_string_equal(json_find_str(lease_of(s, a), "spec", "acquireTime"),
                        json_find_str(lease, "spec", "acquireTime"));
    assert_string_not_equal(json_find_str(lease_of(s, a), "spec", "renewTime"),
                            json_find_str(lease, "spec", "renewTime"));
    stop_quickly(one.l);
    assert_int_equal(atomic_load(&one.stopped), 0);
    assert_string_equal(json_find_str(lease_of(s, a), "spec", "holderIdentity"), "");
    assert_int_equal(json_find_int(lease_of(s, a), 0, "spec", "leaseDurationSeconds"), 1);
    kube_client_free(c);
}

static void the_next_one_follows_at_once_after_a_release(void **state)
{
    struct server *s = *state;
    AUTO_ARENA a = arena_new();
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct candidate one = { 0 }, two = { 0 };
    join(s, c, &one, "one");
    assert_true(fake_wait(&one.started, 1));
    join(s, c, &two, "two");
    usleep(300000);
    assert_false(leader_is(two.l));
    assert_int_equal(atomic_load(&two.started), 0);
    int64_t start = clock_mono(clock_system());
    leader_stop(one.l);
    assert_true(fake_wait(&two.started, 1));
    assert_true(within(start, 400));
    assert_int_equal(json_find_int(lease_of(s, a), 0, "spec", "leaseTransitions"), 1);
    stop_quickly(two.l);
    kube_client_free(c);
}

static void a_dead_holder_is_waited_for(void **state)
{
    struct server *s = *state;
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    s->lease = mem_strdup(
        "{\"metadata\":{\"name\":\"lease\",\"namespace\":\"ns\",\"resourceVersion\":\"0\"},\"spec\":{\"holderIdentity\":\"dead\","
        "\"leaseDurationSeconds\":1,\"renewTime\":\"2020-01-01T00:00:00.000000Z\"}}");
    struct candidate one = { 0 };
    int64_t start = clock_mono(clock_system());
    join(s, c, &one, "one");
    assert_true(fake_wait(&one.started, 1));
    /* Old by its own words, but this process has seen it for an instant only. */
    assert_true(clock_mono(clock_system()) - start >= 900 * NS_PER_MS);
    stop_quickly(one.l);
    kube_client_free(c);
}

static void who_cannot_renew_stops_before_the_lease_ends(void **state)
{
    struct server *s = *state;
    for (int how = 1; how <= 2; how++) {
        struct kube_client *c = kube_client_new(&s->f.transport, NULL);
        struct candidate one = { 0 };
        join(s, c, &one, how == 1 ? "one" : "two");
        assert_true(fake_wait(&one.started, 1));
        atomic_store(&s->broken, how);
        int64_t start = clock_mono(clock_system());
        assert_true(fake_wait(&one.stopped, 1));
        int64_t took = clock_mono(clock_system()) - start;
        assert_true(took > 300 * NS_PER_MS && within(start, 600));
        assert_false(leader_is(one.l));
        atomic_store(&s->broken, 0);
        usleep(150000);
        assert_int_equal(atomic_load(&one.started), 1); /* it does not come back */
        leader_stop(one.l);
        kube_client_free(c);
    }
}

static void a_short_failure_is_survived(void **state)
{
    struct server *s = *state;
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct candidate one = { 0 };
    join(s, c, &one, "one");
    assert_true(fake_wait(&one.started, 1));
    for (int i = 0; i < 3; i++) {
        atomic_store(&s->broken, 1);
        usleep(200000);
        atomic_store(&s->broken, 0);
        usleep(150000);
    }
    assert_true(leader_is(one.l));
    assert_int_equal(atomic_load(&one.stopped), 0);
    stop_quickly(one.l);
    kube_client_free(c);
}

static void who_is_robbed_stops_at_once(void **state)
{
    struct server *s = *state;
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct candidate one = { 0 };
    join(s, c, &one, "one");
    assert_true(fake_wait(&one.started, 1));
    {
        LOCK(s->f.lock);
        AUTO_ARENA a = arena_new();
        struct json *lease = NULL;
        assert_int_equal(json_parse(a, s->lease, strlen(s->lease), &lease, NULL), 0);
        json_set_str(a, json_get(lease, "spec"), "holderIdentity", "thief");
        json_set(a, json_get(lease, "metadata"), "resourceVersion", STRF("%d", ++s->version));
        free(s->lease);
        s->lease = mem_strdup(json_text(a, lease));
    }
    int64_t start = clock_mono(clock_system());
    assert_true(fake_wait(&one.stopped, 1));
    assert_true(within(start, 300));
    leader_stop(one.l);
    AUTO_ARENA a = arena_new();
    assert_string_equal(json_find_str(lease_of(s, a), "spec", "holderIdentity"), "thief");
    kube_client_free(c);
}

static void impossible_times_are_refused(void **state)
{
    struct server *s = *state;
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct leader *l = NULL;
    struct error *err = NULL;
    assert_error(leader_start(c,
                              &(struct leader_options){
                                  .ns = "ns", .name = "n", .identity = "i", .lease_ms = 5000 },
                              &l, &err),
                 err, ERROR_INVALID,
                 "retry (2000 ms) < renew deadline (10000 ms) < lease (5000 ms)");
    kube_client_free(c);
}

static void a_virtual_clock_is_obeyed(void **state)
{
    struct server *s = *state;
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct clock_virtual clock;
    clock_virtual_init(&clock, INT64_C(1767225600) * NS_PER_S);
    struct candidate one = { 0 };
    struct leader_options options = { .ns = "ns",
                                      .name = "lease",
                                      .identity = "one",
                                      .clock = &clock.clock,
                                      .on_started = on_started,
                                      .on_stopped = on_stopped,
                                      .ctx = &one };
    assert_int_equal(leader_start(c, &options, &one.l, NULL), 0);
    assert_true(fake_wait(&one.started, 1));
    usleep(50000);
    assert_int_equal(atomic_load(&s->writes), 1);
    clock_virtual_advance(&clock, 3 * NS_PER_S);
    assert_true(fake_wait(&s->writes, 2));
    AUTO_ARENA a = arena_new();
    assert_string_equal(json_find_str(lease_of(s, a), "spec", "renewTime"),
                        "2026-01-01T00:00:03.000000Z");
    stop_quickly(one.l);
    kube_client_free(c);
}

#define LEADER_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
UNIT_TESTS(LEADER_TEST(the_first_one_leads_and_renews),
           LEADER_TEST(the_next_one_follows_at_once_after_a_release),
           LEADER_TEST(a_dead_holder_is_waited_for),
           LEADER_TEST(who_cannot_renew_stops_before_the_lease_ends),
           LEADER_TEST(a_short_failure_is_survived), LEADER_TEST(who_is_robbed_stops_at_once),
           LEADER_TEST(impossible_times_are_refused), LEADER_TEST(a_virtual_clock_is_obeyed))
