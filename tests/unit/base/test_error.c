#include <errno.h>

#include "base/error.h"
#include "unit.h"

static void carries_code_and_text(void **state)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    assert_int_equal(error_set(&err, ERROR_CONFLICT, "port %d", 80), -ERROR_CONFLICT);
    assert_string_equal(error_message(err), "port 80");
    assert_int_equal(error_code(err), ERROR_CONFLICT);
    assert_null(error_reason(err));
    assert_int_equal(error_retry_after_ms(err), 0);
}

static void context_goes_in_front(void **state)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r = error_set(&err, ERROR_NOT_FOUND, "no such thing");
    assert_int_equal(error_prefix(&err, r, "reading %s", "x"), -ERROR_NOT_FOUND);
    assert_int_equal(error_prefix(&err, r, "starting"), -ERROR_NOT_FOUND);
    assert_string_equal(error_message(err), "starting: reading x: no such thing");
}

static void nobody_has_to_want_the_text(void **state)
{
    struct error *none = NULL;
    assert_int_equal(error_set(NULL, ERROR_IO, "x"), -ERROR_IO);
    assert_int_equal(error_set_errno(NULL, ENOENT, "x"), -ERROR_NOT_FOUND);
    assert_int_equal(error_prefix(NULL, -5, "x"), -5);
    assert_int_equal(error_prefix(&none, 0, "x"), 0);
    assert_null(none);
    assert_string_equal(error_message(NULL), "");
    assert_int_equal(error_code(NULL), ERROR_OK);
    error_set_reason(NULL, "x");
    error_set_retry_after(NULL, 1);
    error_free(NULL);
}

static void errno_picks_the_code_and_adds_its_words(void **state)
{
    static const struct {
        int errnum;
        enum error_code code;
    } table[] = {
        { ENOENT, ERROR_NOT_FOUND },         { EACCES, ERROR_FORBIDDEN },
        { EEXIST, ERROR_ALREADY_EXISTS },    { ENOSPC, ERROR_IO },
        { EADDRINUSE, ERROR_CONFLICT },      { ETIMEDOUT, ERROR_TIMEOUT },
        { ECONNREFUSED, ERROR_UNAVAILABLE },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct error *err = NULL;
        assert_int_equal(error_set_errno(&err, table[i].errnum, "cannot"), -(int)table[i].code);
        assert_int_equal(error_code(err), table[i].code);
        error_free(err);
    }
    struct error *err = NULL;
    int r = error_set_errno(&err, ENOENT, "cannot open %s", "f");
    assert_error(r, err, ERROR_NOT_FOUND, "cannot open f: No such file or directory");
}

static void reason_and_wait_can_be_replaced(void **state)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    error_set(&err, ERROR_TOO_MANY, "slow down");
    error_set_reason(err, "TooManyRequests");
    error_set_reason(err, "Other");
    error_set_retry_after(err, 1500);
    assert_string_equal(error_reason(err), "Other");
    assert_int_equal(error_retry_after_ms(err), 1500);
}

static void every_code_has_a_name(void **state)
{
    for (int code = ERROR_OK; code <= ERROR_INTERNAL; code++)
        assert_string_not_equal(error_code_name((enum error_code)code), "unknown");
    assert_string_equal(error_code_name((enum error_code)999), "unknown");
}

UNIT_TESTS(TEST(carries_code_and_text), TEST(context_goes_in_front),
           TEST(nobody_has_to_want_the_text), TEST(errno_picks_the_code_and_adds_its_words),
           TEST(reason_and_wait_can_be_replaced), TEST(every_code_has_a_name))
