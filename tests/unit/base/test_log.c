#include <pthread.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "unit.h"

static struct buf seen = BUF_INIT(8 * MIB);

static void keep(const char *line, size_t len, void *ctx)
{
    buf_append(ctx, line, len);
}

static int setup(void **state)
{
    buf_clear(&seen);
    log_set_sink(keep, &seen);
    log_setup(LOG_INFO, LOG_TEXT);
    return 0;
}

static int teardown(void **state)
{
    log_set_sink(NULL, NULL);
    buf_done(&seen);
    return 0;
}

/* The line without its time, which has 24 characters. */
static const char *line(void)
{
    assert_true(seen.len > 25);
    assert_int_equal(seen.data[23], 'Z');
    return seen.data + 25;
}

static void text_quotes_what_needs_it(void **state)
{
    log_info("workspace is ready", "name", "w", "why", "two words", "none", NULL, "eq", "a=b",
             NULL);
    assert_string_equal(line(),
                        "INFO  workspace is ready name=w why=\"two words\" none=\"\" eq=\"a=b\"\n");
    buf_clear(&seen);
    log_error("two\nlines", "bytes", "\xff\x01\"\\\t", NULL);
    assert_string_equal(line(), "ERROR \"two\\nlines\" bytes=\"\xef\xbf\xbd\\u0001\\\"\\\\\\t\"\n");
}

static void json_is_json(void **state)
{
    log_setup(LOG_DEBUG, LOG_JSON);
    log_debug("a \"b\"", "k", "v\n\xf0\x9f\x98\x80", NULL);
    assert_non_null(
        strstr(buf_str(&seen),
               "\",\"level\":\"debug\",\"msg\":\"a \\\"b\\\"\",\"k\":\"v\\n\xf0\x9f\x98\x80\"}\n"));
    assert_memory_equal(seen.data, "{\"time\":\"20", 11);
}

static void lower_levels_are_silent(void **state)
{
    log_setup(LOG_WARN, LOG_TEXT);
    log_info("no", NULL);
    assert_int_equal(seen.len, 0);
    assert_false(log_enabled(LOG_INFO));
    assert_true(log_enabled(LOG_ERROR));
    log_warn("yes", NULL);
    assert_string_equal(line(), "WARN  yes\n");
}

static void long_values_are_cut_between_characters(void **state)
{
    AUTO_BUF b = BUF_INIT(1 * MIB);
    buf_putc(&b, 'x');
    while (b.len < 100 * KIB)
        buf_puts(&b, "é");
    log_info("m", "k", buf_str(&b), NULL);
    assert_true(seen.len < 9 * KIB);
    assert_int_equal(str_utf8_valid_len(seen.data, seen.len), seen.len);
    assert_non_null(strstr(seen.data, "é…\""));
}

static void *write_lines(void *arg)
{
    for (int i = 0; i < 500; i++)
        log_info("line", "from", arg, NULL);
    return NULL;
}

static void lines_of_threads_stay_whole(void **state)
{
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "logger", write_lines, (void *)"thread", NULL),
                         0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(threads[i]);
    size_t lines = 0;
    for (char *p = seen.data; *p; p = strchr(p, '\n') + 1) {
        assert_memory_equal(p + 24, " INFO  line from=thread\n", 24);
        lines++;
    }
    assert_int_equal(lines, 2000);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

UNIT_TESTS(CASE(text_quotes_what_needs_it), CASE(json_is_json), CASE(lower_levels_are_silent),
           CASE(long_values_are_cut_between_characters), CASE(lines_of_threads_stay_whole))
