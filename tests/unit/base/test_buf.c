#include "base/buf.h"
#include "base/mem.h"
#include "unit.h"

static void grows_and_stays_terminated(void **state)
{
    AUTO_BUF b = BUF_INIT(1000);
    assert_string_equal(buf_str(&b), "");
    buf_puts(&b, "ab");
    buf_putc(&b, 'c');
    buf_printf(&b, "-%d-%s", 12, "x");
    assert_string_equal(buf_str(&b), "abc-12-x");
    assert_int_equal(b.len, 8);
    buf_append(&b, "\0z", 2);
    assert_int_equal(b.len, 10);
    assert_memory_equal(b.data, "abc-12-x\0z\0", 11);
    assert_true(buf_ok(&b));
}

static void the_maximum_is_reached_but_not_passed(void **state)
{
    AUTO_BUF b = BUF_INIT(5);
    buf_puts(&b, "12345");
    assert_true(buf_ok(&b));
    buf_puts(&b, "");
    assert_true(buf_ok(&b));
    buf_putc(&b, '6');
    assert_false(buf_ok(&b));
    assert_string_equal(buf_str(&b), "12345");
    buf_clear(&b);
    assert_true(buf_ok(&b));
    buf_puts(&b, "abc");
    buf_printf(&b, "%s", "def"); /* dropped whole */
    assert_false(buf_ok(&b));
    assert_string_equal(buf_str(&b), "abc");
}

static void formatting_respects_a_maximum_inside_the_capacity(void **state)
{
    AUTO_BUF b = BUF_INIT(70);
    for (int i = 0; i < 66; i++)
        buf_putc(&b, '.');
    buf_printf(&b, "%s", "abcde");
    assert_false(buf_ok(&b));
    assert_int_equal(strlen(buf_str(&b)), 66);
    b.overflow = false;
    buf_printf(&b, "%s", "abcd");
    assert_true(buf_ok(&b));
    assert_int_equal(b.len, 70);
}

static void an_enormous_append_overflows_without_reading(void **state)
{
    AUTO_BUF b = BUF_INIT(SIZE_MAX);
    buf_puts(&b, "a");
    buf_append(&b, "", SIZE_MAX - 1);
    assert_false(buf_ok(&b));
    assert_string_equal(buf_str(&b), "a");
}

static void consumes_from_the_front(void **state)
{
    AUTO_BUF b = BUF_INIT(100);
    buf_consume(&b, 3);
    buf_puts(&b, "hello world");
    buf_consume(&b, 6);
    assert_string_equal(buf_str(&b), "world");
    buf_consume(&b, 60);
    assert_string_equal(buf_str(&b), "");
}

static void hands_the_string_over(void **state)
{
    AUTO_BUF b = BUF_INIT(100);
    AUTO_FREE char *empty = buf_steal(&b);
    assert_string_equal(empty, "");
    buf_puts(&b, "x");
    AUTO_FREE char *s = buf_steal(&b);
    assert_string_equal(s, "x");
    assert_null(b.data);
    buf_puts(&b, "again");
    assert_string_equal(buf_str(&b), "again");
}

UNIT_TESTS(TEST(grows_and_stays_terminated), TEST(the_maximum_is_reached_but_not_passed),
           TEST(formatting_respects_a_maximum_inside_the_capacity),
           TEST(an_enormous_append_overflows_without_reading), TEST(consumes_from_the_front),
           TEST(hands_the_string_over))
