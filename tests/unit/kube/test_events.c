#include "kube/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "fake_transport.h"
#include "kube/event_correlator.h"
#include "timing.h"
#include "unit.h"
#include "json/build.h"

/* ---- which Event --------------------------------------------------------------------------------------------- */

static struct event_decision see(struct event_correlator *c, const char *object,
                                 const char *message, int64_t s)
{
    struct event_decision d;
    event_correlate(c,
                    &(struct event_occurrence){ object, "Warning", "Reason", message,
                                                s * NS_PER_S + 1 },
                    &d);
    return d;
}

static void the_same_is_counted(void **state)
{
    struct event_correlator *c = event_correlator_new();
    struct event_decision d = see(c, "o", "m", 0);
    assert_null(d.name);
    assert_int_equal(d.count, 1);
    event_correlator_written(c, d.key, "o.1");
    d = see(c, "o", "m", 500);
    assert_string_equal(d.name, "o.1");
    assert_int_equal(d.count, 2);
    assert_true(d.first_ns == 1);
    d = see(c, "o", "other", 500);
    assert_null(d.name);
    d = see(c, "p", "m", 500);
    assert_null(d.name);
    d = see(c, "o", "m", 1101); /* more than ten minutes after the last */
    assert_null(d.name);
    assert_int_equal(d.count, 1);
    event_correlator_free(c);
}

static void many_similar_ones_become_one(void **state)
{
    struct event_correlator *c = event_correlator_new();
    for (int i = 0; i < 15; i++) {
        char message[16];
        snprintf(message, sizeof(message), "m%d", i);
        struct event_decision d = see(c, "o", message, i);
        assert_int_equal(d.combined, i >= 10);
        if (i < 11)
            assert_null(d.name);
        else
            assert_string_equal(d.name, "o.combined");
        assert_int_equal(d.count, i < 10 ? 1 : i - 9);
        event_correlator_written(c, d.key, i < 10 ? "o.single" : "o.combined");
    }
    assert_false(see(c, "o", "m3", 20).combined); /* one that has an Event of its own */
    assert_false(see(c, "o", "n", 700).combined);
    event_correlator_free(c);
}

static void an_object_has_its_share(void **state)
{
    struct event_correlator *c = event_correlator_new();
    for (int i = 0; i < 40; i++)
        assert_int_equal(see(c, "o", "m", 0).drop, i >= 25);
    assert_false(see(c, "p", "m", 0).drop);
    assert_true(see(c, "o", "m", 299).drop);
    assert_false(see(c, "o", "m", 301).drop);
    assert_true(see(c, "o", "m", 302).drop);
    assert_int_equal(see(c, "o", "m", 302).count, 44); /* what was dropped is counted */
    event_correlator_free(c);
}

static void memory_is_bounded(void **state)
{
    struct event_correlator *c = event_correlator_new();
    for (int i = 0; i < 20000; i++) {
        char object[16];
        snprintf(object, sizeof(object), "o%d", i);
        assert_false(see(c, object, "m", 0).drop);
    }
    assert_int_equal(see(c, "o19999", "m", 0).count, 2);
    assert_int_equal(see(c, "o0", "m", 0).count, 1);
    event_correlator_free(c);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

struct server {
    struct fake_transport f;
    struct buf log; /* "POST path body\n" */
    int fail;       /* so many calls with `status` */
    int status;
    bool hang;
};

static int answer(struct fake_transport *f, const struct kube_request *request,
                  struct kube_response *ret, struct error **err)
{
    struct server *s = f->ctx;
    if (s->hang)
        return fake_hang(request, err);
    if (s->fail > 0) {
        s->fail--;
        return fake_reply(ret, s->status,
                          "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\",\"message\":\"no\"}");
    }
    buf_printf(&s->log, "%s %s %.*s\n", request->method, request->path, (int)request->body_len,
               request->body);
    return fake_reply(ret, 200, "{}");
}

static int set_up(void **state)
{
    struct server *s = calloc(1, sizeof(*s));
    fake_init(&s->f);
    s->f.answer = answer;
    s->f.ctx = s;
    s->log = (struct buf)BUF_INIT(4 * MIB);
    log_setup(LOG_ERROR + 1, LOG_TEXT);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct server *s = *state;
    fake_done(&s->f);
    buf_done(&s->log);
    free(s);
    return 0;
}

static struct json *about(struct arena *a)
{
    return OBJ("apiVersion", STR("kaito.sh/v1beta1"), "kind", STR("Workspace"), "metadata",
               OBJ("name", STR("w"), "namespace", STR("ns"), "uid", STR("u"), "resourceVersion",
                   STR("7")),
               "spec", EMPTY_OBJ());
}

static void an_event_is_created_then_counted(void **state)
{
    struct server *s = *state;
    AUTO_ARENA a = arena_new();
    struct clock_virtual clock;
    clock_virtual_init(&clock, INT64_C(1767225600) * NS_PER_S);
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct event_recorder *r = event_recorder_new(c, "kaito", "host", &clock.clock);
    event_record(r, about(a), "Normal", "Ready", "%d of %d", 1, 2);
    assert_true(fake_wait(&s->f.calls, 1));
    clock_virtual_advance(&clock, 5 * NS_PER_S);
    event_record(r, about(a), "Normal", "Ready", "1 of 2");
    event_recorder_free(r);
    kube_client_free(c);
    assert_string_equal(
        buf_str(&s->log),
        "POST /api/v1/namespaces/ns/events {\"metadata\":{\"name\":\"w.18867251edfa0000\",\"namespace\":\"ns\"},\"involvedObject\":{\"kind\":"
        "\"Workspace\",\"namespace\":\"ns\",\"name\":\"w\",\"uid\":\"u\",\"apiVersion\":\"kaito.sh/v1beta1\",\"resourceVersion\":\"7\"},"
        "\"reason\":\"Ready\",\"message\":\"1 of 2\",\"source\":{\"component\":\"kaito\",\"host\":\"host\"},\"firstTimestamp\":"
        "\"2026-01-01T00:00:00Z\",\"lastTimestamp\":\"2026-01-01T00:00:00Z\",\"count\":1,\"type\":\"Normal\",\"eventTime\":null,"
        "\"reportingComponent\":\"kaito\",\"reportingInstance\":\"host\",\"apiVersion\":\"v1\",\"kind\":\"Event\"}\n"
        "PATCH /api/v1/namespaces/ns/events/w.18867251edfa0000 {\"count\":2,\"lastTimestamp\":\"2026-01-01T00:00:05Z\"}\n");
}

static void cluster_objects_have_events_in_default(void **state)
{
    struct server *s = *state;
    AUTO_ARENA a = arena_new();
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct event_recorder *r = event_recorder_new(c, "kaito", NULL, NULL);
    event_record(r, OBJ("kind", STR("Node"), "metadata", OBJ("name", STR("n"))), "Normal", "Up",
                 "up");
    event_recorder_free(r);
    kube_client_free(c);
    assert_true(str_has_prefix(buf_str(&s->log), "POST /api/v1/namespaces/default/events "));
    assert_non_null(
        strstr(buf_str(&s->log), "\"involvedObject\":{\"kind\":\"Node\",\"name\":\"n\"},"));
    assert_non_null(strstr(buf_str(&s->log), "\"source\":{\"component\":\"kaito\"},"));
}

static void a_lost_event_is_made_again(void **state)
{
    struct server *s = *state;
    AUTO_ARENA a = arena_new();
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct event_recorder *r = event_recorder_new(c, "kaito", NULL, NULL);
    event_record(r, about(a), "Normal", "Ready", "m");
    assert_true(fake_wait(&s->f.calls, 1));
    {
        LOCK(s->f.lock);
        s->fail = 1;
        s->status = 404;
    }
    event_record(r, about(a), "Normal", "Ready", "m");
    assert_true(fake_wait(&s->f.calls, 3));
    event_record(r, about(a), "Normal", "Ready", "m");
    event_recorder_free(r);
    kube_client_free(c);
    const char *second = strchr(buf_str(&s->log), '\n') + 1;
    assert_true(str_has_prefix(second, "POST "));
    assert_non_null(strstr(second, "\"count\":2,"));
    assert_non_null(strstr(second, "PATCH "));
    assert_non_null(strstr(second, "{\"count\":3,"));
}

static void failures_that_pass_are_waited_out(void **state)
{
    static const struct {
        int status;
        int calls;
        bool written;
    } table[] = { { 503, 2, true }, { 409, 2, true }, { 403, 1, false }, { 422, 1, false } };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct server *s = *state;
        AUTO_ARENA a = arena_new();
        struct kube_client *c = kube_client_new(&s->f.transport, NULL);
        struct event_recorder *r = event_recorder_new(c, "kaito", NULL, NULL);
        s->fail = 1;
        s->status = table[i].status;
        event_record(r, about(a), "Normal", "Ready", "m");
        assert_true(fake_wait(&s->f.calls, table[i].calls));
        event_recorder_free(r);
        kube_client_free(c);
        assert_int_equal(s->log.len > 0, table[i].written);
        tear_down(state);
        set_up(state);
    }
}

static void a_recorder_never_blocks_and_stops(void **state)
{
    struct server *s = *state;
    AUTO_ARENA a = arena_new();
    s->hang = true;
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct event_recorder *r = event_recorder_new(c, "kaito", NULL, NULL);
    int64_t start = clock_mono(clock_system());
    for (int i = 0; i < 3000; i++)
        event_record(r, about(a), "Normal", "Ready", "m%d", i);
    assert_true(within(start, 1000));
    start = clock_mono(clock_system());
    event_recorder_free(r);
    assert_true(within(start, 2300));
    kube_client_free(c);
}

static void messages_have_a_limit(void **state)
{
    struct server *s = *state;
    AUTO_ARENA a = arena_new();
    AUTO_BUF text = BUF_INIT(MIB);
    buf_puts(&text, "x");
    for (int i = 0; i < 5000; i++)
        buf_puts(&text, "é");
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct event_recorder *r = event_recorder_new(c, "kaito", NULL, NULL);
    event_record(r, about(a), "Normal", "Ready", "%s", buf_str(&text));
    event_recorder_free(r);
    kube_client_free(c);
    assert_true(s->log.len < 5000);
    assert_non_null(strstr(buf_str(&s->log), "é…\""));
}

static void another_component_can_speak(void **state)
{
    struct server *s = *state;
    AUTO_ARENA a = arena_new();
    struct kube_client *c = kube_client_new(&s->f.transport, NULL);
    struct event_recorder *r = event_recorder_new(c, "kaito", NULL, NULL);
    event_record_as(r, "nodes", about(a), "Normal", "Made", "it is made");
    event_record_as(r, NULL, about(a), "Normal", "Made", "it is made");
    event_recorder_free(r);
    kube_client_free(c);
    const char *first = strstr(buf_str(&s->log), "\"source\":{\"component\":\"nodes\"},");
    assert_non_null(first);
    assert_non_null(strstr(first, "\"reportingComponent\":\"nodes\","));
    /* two Events: the same words of two components are not one thing that happened twice */
    assert_non_null(strstr(first, "\"source\":{\"component\":\"kaito\"},"));
}

#define EVENTS_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
UNIT_TESTS(TEST(the_same_is_counted), TEST(many_similar_ones_become_one),
           TEST(an_object_has_its_share), TEST(memory_is_bounded),
           EVENTS_TEST(an_event_is_created_then_counted),
           EVENTS_TEST(cluster_objects_have_events_in_default),
           EVENTS_TEST(a_lost_event_is_made_again), EVENTS_TEST(failures_that_pass_are_waited_out),
           EVENTS_TEST(a_recorder_never_blocks_and_stops), EVENTS_TEST(messages_have_a_limit),
           EVENTS_TEST(another_component_can_speak))
