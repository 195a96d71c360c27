#include "machine/logs.h"

#include "machine/log_read.h"
#include "machine_test.h"

#define STAMP "2026-01-02T15:04:05.000000000Z "

static void lines_are_parsed(void **state)
{
    struct log_line l;
    static const char good[] = STAMP "stderr P a b";
    assert_int_equal(log_line_parse(good, strlen(good), &l), 0);
    assert_true(l.is_stderr && l.partial);
    assert_int_equal(l.text_len, 3);
    assert_memory_equal(l.text, "a b", 3);
    assert_true(l.time_ns == INT64_C(1767366245) * NS_PER_S);
    static const char empty[] = STAMP "stdout F ";
    assert_int_equal(log_line_parse(empty, strlen(empty), &l), 0);
    assert_int_equal(l.text_len, 0);
    static const char *const bad[] = { "",
                                       "x",
                                       STAMP,
                                       STAMP "stdout F",
                                       STAMP "stdout X a",
                                       STAMP "stdfoo F a",
                                       STAMP "stdout Fa",
                                       "yesterday stdout F a",
                                       STAMP "stdout",
                                       " stdout F a" };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(log_line_parse(bad[i], strlen(bad[i]), &l), -ERROR_INVALID);
}

static const char *rest(struct arena *a, struct log_reader *r)
{
    AUTO_BUF b = BUF_INIT(MIB);
    struct log_line l;
    while (log_reader_next(r, &l)) {
        buf_append(&b, l.text, l.text_len);
        buf_puts(&b, l.partial ? "" : ";");
    }
    return arena_strdup(a, buf_str(&b));
}

static void append(const char *path, const char *text)
{
    FILE *f = fopen(path, "a");
    fprintf(f, STAMP "stdout F %s\n", text);
    fclose(f);
}

static void both_files_are_read_and_followed(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *dir = *state;
    const char *log = arena_printf(a, "%s/log", dir);
    const char *old = arena_printf(a, "%s/log.1", dir);
    append(old, "one");
    append(log, "two");
    struct log_reader r;
    assert_int_equal(log_reader_open(&r, dir, NULL), 0);
    assert_string_equal(rest(a, &r), "one;two;");
    append(log, "three");
    assert_string_equal(rest(a, &r), "three;");
    append(log, "four");
    assert_int_equal(rename(log, old), 0);
    append(log, "five");
    assert_string_equal(rest(a, &r), "four;five;");
    /* A line that is not complete waits. */
    FILE *f = fopen(log, "a");
    fputs(STAMP "stdout F si", f);
    fflush(f);
    assert_string_equal(rest(a, &r), "");
    fputs("x\n", f);
    fclose(f);
    assert_string_equal(rest(a, &r), "six;");
    log_reader_close(&r);
}

static const char *tail(struct arena *a, const char *dir, int64_t n)
{
    struct log_reader r;
    assert_int_equal(log_reader_open(&r, dir, NULL), 0);
    log_reader_tail(&r, n);
    const char *text = rest(a, &r);
    log_reader_close(&r);
    return text;
}

static void the_tail_is_found(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *dir = *state;
    assert_string_equal(tail(a, dir, 3), "");
    append(arena_printf(a, "%s/log.1", dir), "one");
    append(arena_printf(a, "%s/log.1", dir), "two");
    append(arena_printf(a, "%s/log", dir), "three");
    append(arena_printf(a, "%s/log", dir), "four");
    assert_string_equal(tail(a, dir, 0), "");
    assert_string_equal(tail(a, dir, 1), "four;");
    assert_string_equal(tail(a, dir, 2), "three;four;");
    assert_string_equal(tail(a, dir, 3), "two;three;four;");
    assert_string_equal(tail(a, dir, 4), "one;two;three;four;");
    assert_string_equal(tail(a, dir, 5), "one;two;three;four;");
}

static void a_long_tail_spans_chunks(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *dir = *state;
    FILE *f = fopen(arena_printf(a, "%s/log", dir), "w");
    for (int i = 0; i < 5000; i++)
        fprintf(f, STAMP "stdout F %d\n", i);
    fclose(f);
    const char *text = tail(a, dir, 2000);
    assert_true(str_has_prefix(text, "3000;3001;"));
    assert_true(str_has_suffix(text, ";4999;"));
}

static void what_is_no_log_line_is_skipped(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *dir = *state;
    const char *log = arena_printf(a, "%s/log", dir);
    append(log, "one");
    FILE *f = fopen(log, "a");
    for (int i = 0; i < 300000; i++)
        fputc('x', f);
    fputs("\n\n", f);
    fclose(f);
    append(log, "two");
    assert_string_equal(tail(a, dir, 100), "one;two;");
}

static void the_last_words_are_short_and_whole(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *dir = *state;
    assert_null(log_tail(a, dir, 5, 100));
    append(arena_printf(a, "%s/log", dir), "ä");
    append(arena_printf(a, "%s/log", dir), "b");
    assert_string_equal(log_tail(a, dir, 5, 100), "ä\nb\n");
    assert_string_equal(log_tail(a, dir, 5, 4), "\nb\n");
    assert_string_equal(log_tail(a, dir, 1, 100), "b\n");
}

UNIT_TESTS(TEST(lines_are_parsed), TEST_IN_DIR(both_files_are_read_and_followed),
           TEST_IN_DIR(the_tail_is_found), TEST_IN_DIR(a_long_tail_spans_chunks),
           TEST_IN_DIR(what_is_no_log_line_is_skipped),
           TEST_IN_DIR(the_last_words_are_short_and_whole))
