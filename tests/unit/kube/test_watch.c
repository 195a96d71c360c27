#include "kube/watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "fake_transport.h"
#include "kube/meta.h"
#include "timing.h"
#include "unit.h"

/* ---- framing ------------------------------------------------------------------------------------------------ */

static int keep_line(void *ctx, const char *line, size_t len)
{
    struct buf *seen = ctx;
    buf_append(seen, line, len);
    buf_putc(seen, '|');
    return len == 4 && memcmp(line, "stop", 4) == 0 ? -42 : 0;
}

static void lines_are_found_however_they_are_cut(void **state)
{
    const char *text = "one\ntwo\r\n\nthree\n\r\nfour";
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        AUTO_BUF seen = BUF_INIT(KIB);
        struct line_framer f = { .pending = BUF_INIT(16), .on_line = keep_line, .ctx = &seen };
        for (size_t at = 0; at < strlen(text); at += piece)
            assert_int_equal(line_framer_feed(&f, text + at, MIN(piece, strlen(text) - at), NULL),
                             0);
        assert_string_equal(buf_str(&seen), "one|two||three||");
        assert_string_equal(buf_str(&f.pending), "four");
        buf_done(&f.pending);
    }
}

static void long_lines_are_refused(void **state)
{
    AUTO_BUF seen = BUF_INIT(KIB);
    struct error *err = NULL;
    struct line_framer f = { .pending = BUF_INIT(8), .on_line = keep_line, .ctx = &seen };
    assert_int_equal(line_framer_feed(&f, "12345678\n1234567", 16, NULL), 0);
    assert_int_equal(line_framer_feed(&f, "8\n", 2, NULL), 0);
    assert_string_equal(buf_str(&seen), "12345678|12345678|");
    assert_error(line_framer_feed(&f, "123456789\n", 10, &err), err, ERROR_TOO_LARGE,
                 "longer than 8 bytes");
    assert_int_equal(line_framer_feed(&f, "12345678", 8, NULL), 0);
    assert_error(line_framer_feed(&f, "9", 1, &err), err, ERROR_TOO_LARGE, "longer than 8 bytes");
    buf_done(&f.pending);
}

static void a_line_can_end_it(void **state)
{
    AUTO_BUF seen = BUF_INIT(KIB);
    struct line_framer f = { .pending = BUF_INIT(8), .on_line = keep_line, .ctx = &seen };
    assert_int_equal(line_framer_feed(&f, "a\nstop\nb\n", 9, NULL), -42);
    assert_string_equal(buf_str(&seen), "a|stop|");
    buf_done(&f.pending);
}

/* ---- events ------------------------------------------------------------------------------------------------- */

struct seen {
    struct buf events; /* "0:name@version " */
    atomic_int count;
    atomic_int ended;
    int code; /* of the end */
    char text[300];
};

static void on_event(void *ctx, enum watch_event_type type, struct arena *a, struct json *obj)
{
    struct seen *s = ctx;
    buf_printf(&s->events, "%d:%s@%s ", type, meta_name(obj), meta_resource_version(obj));
    atomic_fetch_add(&s->count, 1);
}

static void on_end(void *ctx, const struct error *err)
{
    struct seen *s = ctx;
    s->code = err ? (int)error_code(err) : 0;
    snprintf(s->text, sizeof(s->text), "%s", error_message(err));
    atomic_fetch_add(&s->ended, 1);
}

#define EVENT(type, name, version)                                                                 \
    "{\"type\":\"" type "\",\"object\":{\"metadata\":{\"name\":\"" name                            \
    "\",\"resourceVersion\":\"" version "\"}}}\n"

/* Plays the script to its end and tells what came. */
static void watch_script(const struct fake_step *script, size_t max_line, struct seen *ret)
{
    struct fake_transport f;
    fake_init(&f);
    f.scripts = (const struct fake_step *const[]){ script, NULL };
    struct kube_client *c = kube_client_new(&f.transport, NULL);
    *ret = (struct seen){ .events = BUF_INIT(64 * KIB) };
    struct watch_options options = { .ns = "ns",
                                     .label_selector = "a=b",
                                     .resource_version = "5",
                                     .timeout_s = 60,
                                     .max_line = max_line };
    struct watch_handler handler = { on_event, on_end, ret };
    struct watch *w = NULL;
    assert_int_equal(watch_open(c, &KUBE_PODS, &options, &handler, &w, NULL), 0);
    assert_true(fake_wait(&ret->ended, 1));
    watch_close(w);
    assert_int_equal(atomic_load(&ret->ended), 1);
    assert_string_equal(
        f.last_stream,
        "/api/v1/namespaces/ns/pods?watch=true&allowWatchBookmarks=true&resourceVersion=5"
        "&labelSelector=a%3Db&timeoutSeconds=60");
    kube_client_free(c);
    fake_done(&f);
}

static void expect(const struct fake_step *script, const char *events, int code, const char *text)
{
    struct seen seen;
    watch_script(script, 0, &seen);
    assert_string_equal(buf_str(&seen.events), events);
    if (seen.code != code || !strstr(seen.text, text))
        fail_msg("ended with %d \"%s\", wanted %d \"%s\"", seen.code, seen.text, code, text);
    buf_done(&seen.events);
}

static void events_are_decoded(void **state)
{
    static const char text[] = EVENT("ADDED", "a", "6")
        EVENT("MODIFIED", "a", "7") "\n" EVENT("DELETED", "a", "8") EVENT("BOOKMARK", "", "9");
    for (int piece = 0; piece < 70; piece += 7)
        expect((const struct fake_step[]){ { FAKE_DATA, piece, text }, { FAKE_END } },
               "0:a@6 1:a@7 2:a@8 3:@9 ", 0, "");
}

static void broken_streams_end_with_a_reason(void **state)
{
    expect((const struct fake_step[]){ { FAKE_DATA, 0, EVENT("ADDED", "a", "6") "{\"type\":\"ADD" },
                                       { FAKE_END } },
           "0:a@6 ", ERROR_UNAVAILABLE, "cut off in the middle of an event");
    expect((const struct fake_step[]){ { FAKE_DATA, 0, EVENT("ADDED", "a", "6") "{\"type\":\"ADD" },
                                       { FAKE_FAIL, ERROR_UNAVAILABLE, "connection lost" } },
           "0:a@6 ", ERROR_UNAVAILABLE, "connection lost");
    expect((const struct fake_step[]){ { FAKE_DATA, 0, "<html>\n" EVENT("ADDED", "a", "6") },
                                       { FAKE_END } },
           "", ERROR_INVALID, "a line of the watch is not JSON");
    expect((const struct fake_step[]){ { FAKE_DATA, 0,
                                         EVENT("ADDED", "a", "6") "[1]\n" EVENT("ADDED", "b",
                                                                                "6") },
                                       { FAKE_END } },
           "0:a@6 ", ERROR_INTERNAL, "not an event");
    expect((const struct fake_step[]){ { FAKE_DATA, 0, EVENT("RENAMED", "a", "6") }, { FAKE_END } },
           "", ERROR_INTERNAL, "unknown type \"RENAMED\"");
    expect((const struct fake_step[]){ { FAKE_END } }, "", 0, "");
    expect((const struct fake_step[]){ { FAKE_FAIL, ERROR_TIMEOUT, "idle" } }, "", ERROR_TIMEOUT,
           "idle");
}

static void an_old_version_is_gone(void **state)
{
    expect(
        (const struct fake_step[]){
            { FAKE_DATA, 0,
              "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,"
              "\"reason\":\"Expired\",\"message\":\"too old resource version\"}}\n" },
            { FAKE_END } },
        "", ERROR_GONE, "too old resource version");
    expect(
        (const struct fake_step[]){
            { FAKE_STATUS, 410 },
            { FAKE_DATA, 3, "{\"kind\":\"Status\",\"code\":410,\"message\":\"gone\"}" },
            { FAKE_END } },
        "", ERROR_GONE, "gone");
    expect((const struct fake_step[]){ { FAKE_DATA, 0, "{\"type\":\"ERROR\",\"object\":{}}\n" },
                                       { FAKE_END } },
           "", ERROR_INTERNAL, "the server gave no reason");
}

static void other_answers_are_errors(void **state)
{
    expect((const struct fake_step[]){ { FAKE_STATUS, 500 },
                                       { FAKE_DATA, 0, "<html>broken</html>" },
                                       { FAKE_END } },
           "", ERROR_INTERNAL, "the server answered 500: <html>broken</html>");
    expect((const struct fake_step[]){ { FAKE_STATUS, 403 },
                                       { FAKE_DATA, 0, "{\"kind\":\"Status\",\"message\":\"no\"}" },
                                       { FAKE_END } },
           "", ERROR_FORBIDDEN, "no");
    expect((const struct fake_step[]){ { FAKE_STATUS, 429 }, { FAKE_END } }, "", ERROR_TOO_MANY,
           "429");
}

static void a_giant_line_ends_it(void **state)
{
    AUTO_BUF text = BUF_INIT(MIB);
    buf_puts(&text, EVENT("ADDED", "a", "6") "{\"type\":\"ADDED\",\"object\":{\"x\":\"");
    for (int i = 0; i < 5000; i++)
        buf_puts(&text, "0123456789");
    buf_puts(&text, "\"}}\n");
    struct fake_step script[] = { { FAKE_DATA, 999, buf_str(&text) }, { FAKE_END } };
    struct seen seen;
    watch_script(script, 20000, &seen);
    assert_string_equal(buf_str(&seen.events), "0:a@6 ");
    assert_int_equal(seen.code, ERROR_TOO_LARGE);
    buf_done(&seen.events);
}

static void it_can_be_closed_at_any_time(void **state)
{
    static const struct fake_step silence[] = { { FAKE_SILENCE } };
    static const struct fake_step slow[] = { { FAKE_DATA, 0, EVENT("ADDED", "a", "6") "{\"ty" },
                                             { FAKE_SLEEP, 10000 },
                                             { FAKE_END } };
    const struct fake_step *const scripts[] = { silence, slow, NULL };
    struct fake_transport f;
    fake_init(&f);
    f.scripts = scripts;
    struct kube_client *c = kube_client_new(&f.transport, NULL);
    for (int i = 0; i < 2; i++) {
        struct seen seen = { .events = BUF_INIT(KIB) };
        struct watch_handler handler = { on_event, on_end, &seen };
        struct watch *w = NULL;
        assert_int_equal(watch_open(c, &KUBE_PODS, &(struct watch_options){ 0 }, &handler, &w,
                                    NULL),
                         0);
        if (i == 1)
            assert_true(fake_wait(&seen.count, 1));
        int64_t start = clock_mono(clock_system());
        watch_close(w);
        assert_true(within(start, 100));
        buf_done(&seen.events);
    }
    static const struct fake_step refused[] = { { FAKE_REFUSE, ERROR_FORBIDDEN } };
    const struct fake_step *const no[] = { refused, NULL };
    f.scripts = no;
    struct watch *w = NULL;
    struct watch_handler handler = { on_event, on_end, NULL };
    assert_int_equal(watch_open(c, &KUBE_PODS, &(struct watch_options){ 0 }, &handler, &w, NULL),
                     -ERROR_FORBIDDEN);
    assert_null(w);
    kube_client_free(c);
    fake_done(&f);
}

UNIT_TESTS(TEST(lines_are_found_however_they_are_cut), TEST(long_lines_are_refused),
           TEST(a_line_can_end_it), TEST(events_are_decoded),
           TEST(broken_streams_end_with_a_reason), TEST(an_old_version_is_gone),
           TEST(other_answers_are_errors), TEST(a_giant_line_ends_it),
           TEST(it_can_be_closed_at_any_time))
